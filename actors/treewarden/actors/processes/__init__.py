"""Managed processes: the only place that touches OS processes."""

from treewarden.actors.processes._cookies import Bearer as Bearer
from treewarden.actors.processes._cookies import Cookie as Cookie
from treewarden.actors.processes._cookies import end_bearers as end_bearers
from treewarden.actors.processes._cookies import find_bearers as find_bearers
from treewarden.actors.processes._errors import ProcessFailed as ProcessFailed
from treewarden.actors.processes._errors import VariableMissing as VariableMissing
from treewarden.actors.processes._errors import describe_end as describe_end
from treewarden.actors.processes._executable import ExecutableMissing as ExecutableMissing
from treewarden.actors.processes._executable import ExecutableNotRunnable as ExecutableNotRunnable
from treewarden.actors.processes._executable import resolve_executable as resolve_executable
from treewarden.actors.processes._exit_watch import ExitWatch as ExitWatch
from treewarden.actors.processes._exit_watch import exit_watch as exit_watch
from treewarden.actors.processes._identity import ProcessIdentity as ProcessIdentity
from treewarden.actors.processes._identity import is_alive as is_alive
from treewarden.actors.processes._identity import look_at as look_at
from treewarden.actors.processes._identity import own_identity as own_identity
from treewarden.actors.processes._launcher import Launcher as Launcher
from treewarden.actors.processes._launcher import base_environment as base_environment
from treewarden.actors.processes._log_tail import tail as tail
from treewarden.actors.processes._managed import ManagedProcess as ManagedProcess
from treewarden.actors.processes._managed import ProcessStatus as ProcessStatus
from treewarden.actors.processes._managed import ProcessSystem as ProcessSystem
from treewarden.actors.processes._record import PROCESS_SCHEMA as PROCESS_SCHEMA
from treewarden.actors.processes._record import Phase as Phase
from treewarden.actors.processes._record import ProcessRecord as ProcessRecord
from treewarden.actors.processes._record import ProcessRecords as ProcessRecords
from treewarden.actors.processes._record import RecordUnreadable as RecordUnreadable
from treewarden.actors.processes._session import end_session as end_session
from treewarden.actors.processes._spec import EnvValue as EnvValue
from treewarden.actors.processes._spec import Facts as Facts
from treewarden.actors.processes._spec import FromEnv as FromEnv
from treewarden.actors.processes._spec import ProcessPlan as ProcessPlan
from treewarden.actors.processes._spec import ProcessSpec as ProcessSpec

__all__ = [
    "PROCESS_SCHEMA",
    "Bearer",
    "Cookie",
    "EnvValue",
    "ExecutableMissing",
    "ExecutableNotRunnable",
    "ExitWatch",
    "Facts",
    "FromEnv",
    "Launcher",
    "ManagedProcess",
    "Phase",
    "ProcessFailed",
    "ProcessIdentity",
    "ProcessPlan",
    "ProcessRecord",
    "ProcessRecords",
    "ProcessSpec",
    "ProcessStatus",
    "ProcessSystem",
    "RecordUnreadable",
    "VariableMissing",
    "base_environment",
    "describe_end",
    "end_bearers",
    "end_session",
    "exit_watch",
    "find_bearers",
    "is_alive",
    "look_at",
    "own_identity",
    "resolve_executable",
    "tail",
]
