"""The clock port: monotonic seconds for durations, wall seconds for display and records.

Everything that waits takes its clock through its constructor, so that the same code runs on
`treewarden.actors.testing.ManualClock` without sleeping.
"""

import time
from typing import Protocol, final

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Where time comes from. Safe from any thread."""

    def monotonic(self) -> float:
        """Seconds that never go backwards; only differences mean anything."""
        ...

    def wall(self) -> float:
        """Seconds since the Unix epoch; may jump when somebody sets the clock."""
        ...


@final
class SystemClock:
    """The machine's own clocks."""

    __slots__ = ()

    # No method of ours around it: it is called several times for each message.
    monotonic = staticmethod(time.monotonic)
    """CLOCK_MONOTONIC, in seconds (clock_gettime(2))."""

    def wall(self) -> float:
        """CLOCK_REALTIME, in seconds (clock_gettime(2))."""
        return time.time()
