"""Why an actor ended, as a closed union of values with a fixed reading (OTP's exit reasons).

`Normal` and `Shutdown` are orderly; everything else is abnormal and restarts a transient
child (OTP supervisor, "Restart Strategy"; supervision.md A.2).
"""

from dataclasses import dataclass
from typing import TypeAlias, final

from treewarden.actors._errors import TreewardenError, describe_error

__all__ = [
    "Crashed",
    "ExitReason",
    "Gone",
    "Killed",
    "Normal",
    "Shutdown",
    "Unresponsive",
    "describe_exit",
    "is_abnormal",
]


@final
@dataclass(frozen=True, slots=True)
class Normal:
    """The actor finished its work."""


@final
@dataclass(frozen=True, slots=True)
class Shutdown:
    """The actor was told to stop; `detail` says why (`"intensity"`, `"operator"`, ...)."""

    detail: str = ""


@final
@dataclass(frozen=True, slots=True)
class Crashed:
    """An unexpected exception ended the actor; `traceback` is its formatted text."""

    error: BaseException
    traceback: str = ""


@final
@dataclass(frozen=True, slots=True)
class Killed:
    """The actor was ended without `on_stop`."""


@final
@dataclass(frozen=True, slots=True)
class Unresponsive:
    """The actor did not start, stop or answer within `after` seconds and was given up on."""

    after: float


@final
@dataclass(frozen=True, slots=True)
class Gone:
    """Only in a notice about an actor whose true reason is no longer remembered."""


ExitReason: TypeAlias = Normal | Shutdown | Crashed | Killed | Unresponsive | Gone


def is_abnormal(reason: ExitReason) -> bool:
    """Whether a transient child is restarted after `reason`."""
    return not isinstance(reason, Normal | Shutdown)


def describe_exit(reason: ExitReason) -> str:
    """One line for a person: `crashed: ValueError: no such port`."""
    match reason:
        case Normal():
            return "normal"
        case Shutdown(detail):
            return f"shutdown ({detail})" if detail else "shutdown"
        case Crashed(TreewardenError() as error):
            return f"crashed: {error}"  # our own messages say what they are
        case Crashed(error):
            return f"crashed: {describe_error(error)}"
        case Killed():
            return "killed"
        case Unresponsive(after):
            return f"unresponsive after {after:g} s"
        case Gone():
            return "gone (reason no longer known)"
