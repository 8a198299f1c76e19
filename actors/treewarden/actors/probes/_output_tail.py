"""The end of a command's output: drained for as long as the command runs, a little of it kept.

The pipe never fills, so a talkative command is not blocked, and at most `TAIL_BYTES` are kept,
so it cannot eat memory. Nothing waits for the end of the output: a grandchild that holds the
pipe open for ever (the trap of `Popen.communicate`) costs nothing. Used on the event loop's
thread only.
"""

import asyncio
import os
from typing import Final, final

__all__ = ["TAIL_BYTES", "OutputTail"]

TAIL_BYTES: Final = 2048
_CHUNK: Final = 65536  # bytes: the usual capacity of a pipe (pipe(7))
_LAST_READS: Final = 16  # after the exit; a grandchild that floods must not hold us here


@final
class OutputTail:
    """A pipe whose read end the event loop drains."""

    __slots__ = ("_at_end", "_loop", "_reader", "_tail", "_writer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tail = b""
        self._at_end = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        loop.add_reader(self._reader, self._read_once)

    @property
    def writer(self) -> int:
        """The descriptor for the command's output; close our copy with `close_writer` once it runs."""
        return self._writer

    def close_writer(self) -> None:
        """Close our copy of the write end: the end of the output is seen only without it."""
        os.close(self._writer)

    def take_rest(self) -> bytes:
        """Read what lies in the pipe now, without waiting, and return the kept end of all output."""
        for _ in range(_LAST_READS):
            if not self._read_once():
                break
        return self._tail

    @property
    def is_at_end(self) -> bool:
        """Whether nobody holds the write end any more, as of the last read."""
        return self._at_end

    def close(self) -> None:
        """Stop draining and close the read end; later writers get SIGPIPE (pipe(7))."""
        self._loop.remove_reader(self._reader)
        os.close(self._reader)

    def _read_once(self) -> bool:
        """Read one chunk, so that other checks get their turn between two; whether there was one."""
        try:
            chunk = os.read(self._reader, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            # At the end the descriptor stays readable for ever: watching it on would spin the loop.
            self._loop.remove_reader(self._reader)
            self._at_end = True
            return False
        self._tail = (self._tail + chunk)[-TAIL_BYTES:]
        return True
