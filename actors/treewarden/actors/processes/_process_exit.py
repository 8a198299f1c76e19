"""How an OS process ended, as far as anybody can know."""

from dataclasses import dataclass
from typing import Final, Self, final

__all__ = ["UNKNOWN_EXIT", "ProcessExit"]


@final
@dataclass(frozen=True, slots=True)
class ProcessExit:
    """An exit code, or the number of the signal that ended the process; never both.

    Both None: it ended, and nobody can know how. Only its parent learns that (wait(2)), and the
    parent was an earlier runtime, or something else in this process reaped it first.
    """

    code: int | None
    signal: int | None

    @classmethod
    def from_returncode(cls, returncode: int) -> Self:
        """Read the convention of `subprocess`: a negative number is a signal."""
        return cls(None, -returncode) if returncode < 0 else cls(returncode, None)


UNKNOWN_EXIT: Final = ProcessExit(None, None)
