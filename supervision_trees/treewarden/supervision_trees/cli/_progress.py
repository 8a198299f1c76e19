"""How far something long is, told on a terminal's stderr on one line that goes away again; nowhere else."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, final

__all__ = ["ProgressLine", "progress_line", "size_of"]

_QUIET_FOR: Final = 0.5  # seconds before progress is told
_BETWEEN: Final = 0.1  # seconds from one telling to the next
_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")
_UNIT: Final = 1024


def size_of(number: int) -> str:
    """So many bytes, for people."""
    size, unit = float(number), 0
    while size >= _UNIT and unit < len(_UNITS) - 1:
        size, unit = size / _UNIT, unit + 1
    return f"{number} bytes" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


@final
class ProgressLine:
    """The line. Not thread-safe."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _QUIET_FOR
        self._width = 0

    def copied(self, done: int, expected: int) -> None:
        """Tell that so many bytes are copied."""
        if self._is_time():
            self._show(f"copied {size_of(done)} of {size_of(expected)}")

    def counted(self, what: str, done: int, expected: int) -> None:
        """Tell how many of something are done."""
        if self._is_time():
            self._show(f"{what}: {done} of {expected}")

    def end(self) -> None:
        """Take the line away."""
        if self._width:
            self._show("")

    def _is_time(self) -> bool:
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + _BETWEEN
        return True

    def _show(self, text: str) -> None:
        print(f"\r{text:<{self._width}}", end="" if text else "\r", file=sys.stderr, flush=True)
        self._width = len(text)


@contextmanager
def progress_line() -> Generator[ProgressLine | None]:
    """A line that is gone at the end; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    line = ProgressLine()
    try:
        yield line
    finally:
        line.end()
