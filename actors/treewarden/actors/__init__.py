"""Actors: the base class and its boundary to pykka, managed processes, probes, and their values."""

from treewarden.actors._actor import Actor as Actor
from treewarden.actors._actor import spawn as spawn
from treewarden.actors._asking import AskInFlight as AskInFlight
from treewarden.actors._asking import Asks as Asks
from treewarden.actors._capture import capture as capture
from treewarden.actors._checkpoint_requests import CheckpointRequests as CheckpointRequests
from treewarden.actors._child_spec import BRUTAL_KILL as BRUTAL_KILL
from treewarden.actors._child_spec import INFINITY as INFINITY
from treewarden.actors._child_spec import Backoff as Backoff
from treewarden.actors._child_spec import BrutalKill as BrutalKill
from treewarden.actors._child_spec import ChildSpec as ChildSpec
from treewarden.actors._child_spec import ChildType as ChildType
from treewarden.actors._child_spec import Intensity as Intensity
from treewarden.actors._child_spec import Restart as Restart
from treewarden.actors._child_spec import ShutdownTime as ShutdownTime
from treewarden.actors._clock import Clock as Clock
from treewarden.actors._clock import SystemClock as SystemClock
from treewarden.actors._context import Context as Context
from treewarden.actors._cut import Cut as Cut
from treewarden.actors._cut import CutFailed as CutFailed
from treewarden.actors._cut import take_cut as take_cut
from treewarden.actors._dispatcher import DEDICATED as DEDICATED
from treewarden.actors._dispatcher import SHARED as SHARED
from treewarden.actors._dispatcher import Dispatcher as Dispatcher
from treewarden.actors._dispatcher import DispatcherKind as DispatcherKind
from treewarden.actors._dispatcher import OwnThread as OwnThread
from treewarden.actors._dispatcher import Runnable as Runnable
from treewarden.actors._durability import Durability as Durability
from treewarden.actors._errors import ActorCrashed as ActorCrashed
from treewarden.actors._errors import ActorDead as ActorDead
from treewarden.actors._errors import AlreadyRegistered as AlreadyRegistered
from treewarden.actors._errors import AskCycle as AskCycle
from treewarden.actors._errors import Fenced as Fenced
from treewarden.actors._errors import Ignore as Ignore
from treewarden.actors._errors import InvalidChildSpec as InvalidChildSpec
from treewarden.actors._errors import MailboxFull as MailboxFull
from treewarden.actors._errors import Rejected as Rejected
from treewarden.actors._errors import ServiceMissing as ServiceMissing
from treewarden.actors._errors import StateCallbackFailed as StateCallbackFailed
from treewarden.actors._errors import StateInUse as StateInUse
from treewarden.actors._errors import StateNotReplaceable as StateNotReplaceable
from treewarden.actors._errors import StateUnusable as StateUnusable
from treewarden.actors._errors import TreewardenError as TreewardenError
from treewarden.actors._events import ActorTraced as ActorTraced
from treewarden.actors._events import ApplyFailed as ApplyFailed
from treewarden.actors._events import ApplyStep as ApplyStep
from treewarden.actors._events import CheckpointFailed as CheckpointFailed
from treewarden.actors._events import CheckpointRestored as CheckpointRestored
from treewarden.actors._events import CheckpointsPruned as CheckpointsPruned
from treewarden.actors._events import CheckpointTaken as CheckpointTaken
from treewarden.actors._events import ChildAbandoned as ChildAbandoned
from treewarden.actors._events import ChildDeclined as ChildDeclined
from treewarden.actors._events import ChildExited as ChildExited
from treewarden.actors._events import ChildFailed as ChildFailed
from treewarden.actors._events import ChildReady as ChildReady
from treewarden.actors._events import ChildRestarting as ChildRestarting
from treewarden.actors._events import ChildStarted as ChildStarted
from treewarden.actors._events import ChildStartFailed as ChildStartFailed
from treewarden.actors._events import ChildStopped as ChildStopped
from treewarden.actors._events import ChildWaiting as ChildWaiting
from treewarden.actors._events import CrashReport as CrashReport
from treewarden.actors._events import DeadLetter as DeadLetter
from treewarden.actors._events import Event as Event
from treewarden.actors._events import EventSink as EventSink
from treewarden.actors._events import GroupRestarting as GroupRestarting
from treewarden.actors._events import JournalCut as JournalCut
from treewarden.actors._events import MailboxWithheld as MailboxWithheld
from treewarden.actors._events import MessageFenced as MessageFenced
from treewarden.actors._events import ProbeFailed as ProbeFailed
from treewarden.actors._events import ProcessAdopted as ProcessAdopted
from treewarden.actors._events import ProcessExited as ProcessExited
from treewarden.actors._events import ProcessReplaced as ProcessReplaced
from treewarden.actors._events import ProcessSpawned as ProcessSpawned
from treewarden.actors._events import ProcessStuck as ProcessStuck
from treewarden.actors._events import RuntimeStarted as RuntimeStarted
from treewarden.actors._events import RuntimeStopped as RuntimeStopped
from treewarden.actors._events import RuntimeStopping as RuntimeStopping
from treewarden.actors._events import SnapshotFellBack as SnapshotFellBack
from treewarden.actors._events import SnapshotQuarantined as SnapshotQuarantined
from treewarden.actors._events import StoreResumed as StoreResumed
from treewarden.actors._events import StoreStalled as StoreStalled
from treewarden.actors._events import StrayEnded as StrayEnded
from treewarden.actors._events import SupervisorGaveUp as SupervisorGaveUp
from treewarden.actors._events import TreeApplied as TreeApplied
from treewarden.actors._exits import Crashed as Crashed
from treewarden.actors._exits import ExitReason as ExitReason
from treewarden.actors._exits import Gone as Gone
from treewarden.actors._exits import Killed as Killed
from treewarden.actors._exits import Normal as Normal
from treewarden.actors._exits import Shutdown as Shutdown
from treewarden.actors._exits import Unresponsive as Unresponsive
from treewarden.actors._exits import describe_exit as describe_exit
from treewarden.actors._exits import is_abnormal as is_abnormal
from treewarden.actors._giving_back import GivingBack as GivingBack
from treewarden.actors._ids import CHILD_ID_RULE as CHILD_ID_RULE
from treewarden.actors._ids import ActorPath as ActorPath
from treewarden.actors._ids import ChildId as ChildId
from treewarden.actors._ids import Generation as Generation
from treewarden.actors._ids import child_path as child_path
from treewarden.actors._ids import is_child_id as is_child_id
from treewarden.actors._ids import parse_path as parse_path
from treewarden.actors._instruments import ActorStatistics as ActorStatistics
from treewarden.actors._instruments import Instruments as Instruments
from treewarden.actors._kept_messages import MessageUnreadable as MessageUnreadable
from treewarden.actors._links import Down as Down
from treewarden.actors._links import ExitSignal as ExitSignal
from treewarden.actors._links import Monitor as Monitor
from treewarden.actors._mailbox import MailboxBound as MailboxBound
from treewarden.actors._mailbox import Overflow as Overflow
from treewarden.actors._messages import ChildNotice as ChildNotice
from treewarden.actors._messages import Declined as Declined
from treewarden.actors._messages import Exited as Exited
from treewarden.actors._messages import PostMortem as PostMortem
from treewarden.actors._messages import Ready as Ready
from treewarden.actors._messages import Started as Started
from treewarden.actors._messages import StopReport as StopReport
from treewarden.actors._names import Member as Member
from treewarden.actors._names import Names as Names
from treewarden.actors._probe import CommandProbe as CommandProbe
from treewarden.actors._probe import Health as Health
from treewarden.actors._probe import Healthy as Healthy
from treewarden.actors._probe import HttpProbe as HttpProbe
from treewarden.actors._probe import Liveness as Liveness
from treewarden.actors._probe import Probe as Probe
from treewarden.actors._probe import ProbeRunner as ProbeRunner
from treewarden.actors._probe import Readiness as Readiness
from treewarden.actors._probe import TcpProbe as TcpProbe
from treewarden.actors._probe import Unhealthy as Unhealthy
from treewarden.actors._pykka_registry import ListedTree as ListedTree
from treewarden.actors._pykka_registry import join_pykka_registry as join_pykka_registry
from treewarden.actors._ref import ActorRef as ActorRef
from treewarden.actors._ref import Address as Address
from treewarden.actors._reply import Reply as Reply
from treewarden.actors._requests import StateRequest as StateRequest
from treewarden.actors._snapshots import Snapshots as Snapshots
from treewarden.actors._sys import ActorStatus as ActorStatus
from treewarden.actors._sys import SystemCalls as SystemCalls
from treewarden.actors._system import ActorSystem as ActorSystem
from treewarden.actors._system import Directory as Directory
from treewarden.actors._system import Log as Log
from treewarden.actors._system import LogFactory as LogFactory
from treewarden.actors._timers import Timer as Timer
from treewarden.actors._timers import Timers as Timers
from treewarden.actors._timers import TimerThread as TimerThread
from treewarden.actors._tracing import TraceOptions as TraceOptions
from treewarden.actors._workers import ThreadDispatcher as ThreadDispatcher
from treewarden.actors.processes import FromEnv as FromEnv
from treewarden.actors.processes import ManagedProcess as ManagedProcess
from treewarden.actors.processes import ProcessSpec as ProcessSpec

__all__ = [
    "BRUTAL_KILL",
    "CHILD_ID_RULE",
    "DEDICATED",
    "INFINITY",
    "SHARED",
    "Actor",
    "ActorCrashed",
    "ActorDead",
    "ActorPath",
    "ActorRef",
    "ActorStatistics",
    "ActorStatus",
    "ActorSystem",
    "ActorTraced",
    "Address",
    "AlreadyRegistered",
    "ApplyFailed",
    "ApplyStep",
    "AskCycle",
    "AskInFlight",
    "Asks",
    "Backoff",
    "BrutalKill",
    "CheckpointFailed",
    "CheckpointRequests",
    "CheckpointRestored",
    "CheckpointTaken",
    "CheckpointsPruned",
    "ChildAbandoned",
    "ChildDeclined",
    "ChildExited",
    "ChildFailed",
    "ChildId",
    "ChildNotice",
    "ChildReady",
    "ChildRestarting",
    "ChildSpec",
    "ChildStartFailed",
    "ChildStarted",
    "ChildStopped",
    "ChildType",
    "ChildWaiting",
    "Clock",
    "CommandProbe",
    "Context",
    "CrashReport",
    "Crashed",
    "Cut",
    "CutFailed",
    "DeadLetter",
    "Declined",
    "Directory",
    "Dispatcher",
    "DispatcherKind",
    "Down",
    "Durability",
    "Event",
    "EventSink",
    "ExitReason",
    "ExitSignal",
    "Exited",
    "Fenced",
    "FromEnv",
    "Generation",
    "GivingBack",
    "Gone",
    "GroupRestarting",
    "Health",
    "Healthy",
    "HttpProbe",
    "Ignore",
    "Instruments",
    "Intensity",
    "InvalidChildSpec",
    "JournalCut",
    "Killed",
    "ListedTree",
    "Liveness",
    "Log",
    "LogFactory",
    "MailboxBound",
    "MailboxFull",
    "MailboxWithheld",
    "ManagedProcess",
    "Member",
    "MessageFenced",
    "MessageUnreadable",
    "Monitor",
    "Names",
    "Normal",
    "Overflow",
    "OwnThread",
    "PostMortem",
    "Probe",
    "ProbeFailed",
    "ProbeRunner",
    "ProcessAdopted",
    "ProcessExited",
    "ProcessReplaced",
    "ProcessSpawned",
    "ProcessSpec",
    "ProcessStuck",
    "Readiness",
    "Ready",
    "Rejected",
    "Reply",
    "Restart",
    "Runnable",
    "RuntimeStarted",
    "RuntimeStopped",
    "RuntimeStopping",
    "ServiceMissing",
    "Shutdown",
    "ShutdownTime",
    "SnapshotFellBack",
    "SnapshotQuarantined",
    "Snapshots",
    "Started",
    "StateCallbackFailed",
    "StateInUse",
    "StateNotReplaceable",
    "StateRequest",
    "StateUnusable",
    "StopReport",
    "StoreResumed",
    "StoreStalled",
    "StrayEnded",
    "SupervisorGaveUp",
    "SystemCalls",
    "SystemClock",
    "TcpProbe",
    "ThreadDispatcher",
    "Timer",
    "TimerThread",
    "Timers",
    "TraceOptions",
    "TreeApplied",
    "TreewardenError",
    "Unhealthy",
    "Unresponsive",
    "capture",
    "child_path",
    "describe_exit",
    "is_abnormal",
    "is_child_id",
    "join_pykka_registry",
    "parse_path",
    "spawn",
    "take_cut",
]
