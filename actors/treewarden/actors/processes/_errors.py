"""How a managed process fails, carrying what its operator wants to see first."""

import signal
from typing import TYPE_CHECKING

from treewarden.actors._errors import TreewardenError

if TYPE_CHECKING:
    from treewarden.actors.processes._exit_watch import ProcessExit

__all__ = ["ProcessFailed", "VariableMissing", "describe_end"]


def describe_end(code: int | None, signal_number: int | None) -> str:
    """`exit code 1`, `killed by SIGKILL`, or that it cannot be known."""
    if code is not None:
        return f"exit code {code}"
    if signal_number is not None:
        try:
            return f"killed by {signal.Signals(signal_number).name}"
        except ValueError:
            return f"killed by signal {signal_number}"
    return "ended; it was adopted, so its exit code is not known"


class ProcessFailed(TreewardenError):
    """The process ended in a way that is not one of its `success_codes`.

    `log_lines` are the last lines of its output (newest last).
    """

    def __init__(self, ended: "ProcessExit", log_lines: tuple[str, ...]) -> None:
        super().__init__(describe_end(ended.code, ended.signal))
        self.ended, self.log_lines = ended, log_lines


class VariableMissing(TreewardenError):
    """A value comes from the runtime's environment, and is not there."""

    def __init__(self, name: str) -> None:
        super().__init__(f"environment variable {name} is not set in the runtime, expected a value (from_env: {name})")
        self.name = name
