"""Supervision trees: supervisors, definitions, the runtime, and what can be seen and asked of a running tree."""

from treewarden.actors import StopReport as StopReport
from treewarden.supervision_trees._children import Child as Child
from treewarden.supervision_trees._children import ChildState as ChildState
from treewarden.supervision_trees._control import Command as Command
from treewarden.supervision_trees._control import CommandRefused as CommandRefused
from treewarden.supervision_trees._control import Down as Down
from treewarden.supervision_trees._control import EventsRead as EventsRead
from treewarden.supervision_trees._control import Inspect as Inspect
from treewarden.supervision_trees._control import LogRead as LogRead
from treewarden.supervision_trees._control import ReadEvents as ReadEvents
from treewarden.supervision_trees._control import ReadLog as ReadLog
from treewarden.supervision_trees._control import RestartActor as RestartActor
from treewarden.supervision_trees._control import StartActor as StartActor
from treewarden.supervision_trees._control import StopActor as StopActor
from treewarden.supervision_trees._errors import AlreadyPresent as AlreadyPresent
from treewarden.supervision_trees._errors import AlreadyStarted as AlreadyStarted
from treewarden.supervision_trees._errors import InvalidSupervisor as InvalidSupervisor
from treewarden.supervision_trees._errors import NotFound as NotFound
from treewarden.supervision_trees._errors import StartFailed as StartFailed
from treewarden.supervision_trees._errors import StillRestarting as StillRestarting
from treewarden.supervision_trees._errors import StillRunning as StillRunning
from treewarden.supervision_trees._errors import SupervisionError as SupervisionError
from treewarden.supervision_trees._handle import SupervisorHandle as SupervisorHandle
from treewarden.supervision_trees._inspect import ActorView as ActorView
from treewarden.supervision_trees._inspect import RecordedEvent as RecordedEvent
from treewarden.supervision_trees._inspect import TreeView as TreeView
from treewarden.supervision_trees._recovery import AnotherTree as AnotherTree
from treewarden.supervision_trees._recovery import StateCorrupt as StateCorrupt
from treewarden.supervision_trees._recovery import SweepReport as SweepReport
from treewarden.supervision_trees._runtime import Runtime as Runtime
from treewarden.supervision_trees._runtime import RuntimeEnd as RuntimeEnd
from treewarden.supervision_trees._strategy import Strategy as Strategy
from treewarden.supervision_trees._supervisor import Supervisor as Supervisor
from treewarden.supervision_trees.definitions import Complaint as Complaint
from treewarden.supervision_trees.definitions import DefinitionErrors as DefinitionErrors
from treewarden.supervision_trees.definitions import TreeDefinition as TreeDefinition
from treewarden.supervision_trees.definitions import load_definition as load_definition
from treewarden.supervision_trees.definitions import parse_definition as parse_definition

__all__ = [
    "ActorView",
    "AlreadyPresent",
    "AlreadyStarted",
    "AnotherTree",
    "Child",
    "ChildState",
    "Command",
    "CommandRefused",
    "Complaint",
    "DefinitionErrors",
    "Down",
    "EventsRead",
    "Inspect",
    "InvalidSupervisor",
    "LogRead",
    "NotFound",
    "ReadEvents",
    "ReadLog",
    "RecordedEvent",
    "RestartActor",
    "Runtime",
    "RuntimeEnd",
    "StartActor",
    "StartFailed",
    "StateCorrupt",
    "StillRestarting",
    "StillRunning",
    "StopActor",
    "StopReport",
    "Strategy",
    "SupervisionError",
    "Supervisor",
    "SupervisorHandle",
    "SweepReport",
    "TreeDefinition",
    "TreeView",
    "load_definition",
    "parse_definition",
]
