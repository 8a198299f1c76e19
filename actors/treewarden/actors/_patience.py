"""Whether a thread that has nothing to do looks again for a moment before it sleeps (BEAM's schedulers do: `erl +sbwt`).

To wake a sleeping thread takes the kernel 5 to 25 us, most of what an ask costs; what is waited for is
often there sooner. Between two looks a thread must let go of the interpreter's lock for as long as the
others need it for: sched_yield(2) comes back at once and fights them for it, and a sleep is never
shorter than the timer slack, 50 us. What takes a few microseconds without the lock is a checksum. Where
there is one core only it is the core that the others need, so there it is sched_yield.

It is done only as long as it pays. A thread looks again after sleeps that turned out short. When it has
looked in vain it takes twice as many short sleeps as before until it tries once more. So whoever waits
for something slow, or once in a while, sleeps at once, and an idle runtime uses no CPU.
"""

import os
import time
import zlib
from collections.abc import Callable
from typing import Final, final

__all__ = ["Patience"]

LOOKS_FOR: Final = 100e-6  # seconds: above the two wake-ups that a first short sleep took
SHORT_SLEEP: Final = 200e-6  # seconds: two wake-ups on a machine whose cores doze, and some
FEWEST: Final = 2  # short sleeps in a row before it looks again
MOST: Final = 4096

_NOTHING: Final = bytes(24 * 1024)  # about 4 us; zlib keeps the lock for less than 5 KiB


def _compute() -> None:
    zlib.crc32(_NOTHING)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _way_to_pause() -> Callable[[], None] | None:
    """What lets others go on for a moment, on this machine; None if nothing does."""
    if _cores() > 1:
        return _compute
    return os.sched_yield if hasattr(os, "sched_yield") else None


_pause: Final = _way_to_pause()


@final
class Patience:
    """What one thread has learnt. Used by that thread alone; real time, for real threads."""

    __slots__ = ("_needed", "_short")

    def __init__(self) -> None:
        self._short = 0  # sleeps in a row that were short
        self._needed = FEWEST

    def pays(self) -> bool:
        """Whether to look again now."""
        return self._short >= self._needed

    def look(self, is_there: Callable[[], object]) -> bool:
        """Look for a moment until `is_there()`; whether it was."""
        until = time.perf_counter() + LOOKS_FOR
        while not is_there():
            if _pause is None or time.perf_counter() > until:
                self._short, self._needed = 0, min(2 * self._needed, MOST)
                return False
            _pause()
        self._needed = FEWEST
        return True

    @staticmethod
    def now() -> float:
        """For `slept`."""
        return time.perf_counter()

    def slept(self, since: float) -> None:
        """A sleep that began at `since` (see `now`) is over."""
        self._short = self._short + 1 if time.perf_counter() - since < SHORT_SLEEP else 0
