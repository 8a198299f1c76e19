"""Errors of the console, each telling itself apart from its neighbour.

`CommandRefused` (in `_control`) means that nothing was done. The errors here mean that the
question could not be put, that the answer could not be understood, or that the runtime broke on it.
"""

from pathlib import Path

from treewarden.actors import TreewardenError

__all__ = ["CommandFailed", "ConsoleProtocolError", "ConsoleUnavailable", "RuntimeNotRunning"]


class ConsoleUnavailable(TreewardenError):
    """The console's socket cannot be put, or trusted, where it should be (`RuntimeNotRunning`: nobody put it there)."""

    def __init__(self, path: Path, found: str, expected: str) -> None:
        super().__init__(f"console socket {path}: found {found}, expected {expected}")
        self.path, self.found, self.expected = path, found, expected


class RuntimeNotRunning(TreewardenError):
    """No runtime listens for this state directory."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(
            f"no runtime is running with the state directory {state_dir};"
            f" start one with: treewarden up FILE --state {state_dir}"
        )
        self.state_dir = state_dir


class ConsoleProtocolError(TreewardenError):
    """The other side said something that is no answer, said nothing in time, or hung up.

    Whether a command already sent was carried out is not known. The connection is closed.
    """


class CommandFailed(TreewardenError):
    """The runtime met an unexpected error in this command: a defect, told in the runtime's own log.

    Whether the command was carried out is not known (`CommandRefused`: it was not).
    """
