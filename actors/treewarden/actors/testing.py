"""Time and threads under a test's control: no sleeping, no races.

`ManualClock` is a `Clock` and `Timers` whose time moves only when told to; `StepDispatcher` runs
actors on the test's own thread. Both are contract-tested against the real ones.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from typing import final

from treewarden.actors._dispatcher import Runnable
from treewarden.actors._timers import Timer, checked_delay

__all__ = ["ManualClock", "StepDispatcher"]


@final
class _ManualTimer:
    """A callback that waits for `advance`."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> bool:
        taken = self.take()
        return taken is not None

    def take(self) -> Callable[[], None] | None:
        callback, self.callback = self.callback, None
        return callback


@final
class ManualClock:
    """A clock that stands still until `advance`. One thread only."""

    def __init__(self, *, monotonic: float = 1_000.0, wall: float = 1_700_000_000.0) -> None:
        self._monotonic, self._wall = monotonic, wall
        self._order = itertools.count()
        self._heap: list[tuple[float, int, _ManualTimer]] = []

    def monotonic(self) -> float:
        """Seconds, as last advanced to."""
        return self._monotonic

    def wall(self) -> float:
        """Seconds since the epoch; moves with `advance` and `step_wall`."""
        return self._wall

    def after(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Have `callback` called when the clock was advanced by `delay` seconds."""
        timer = _ManualTimer(callback)
        heapq.heappush(self._heap, (self._monotonic + checked_delay(delay), next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Move time on, calling what falls due in order, each at its own time.

        An exception of a callback ends the call, with the clock at that callback's time.

        Raises:
            ValueError: if `seconds` is below 0; monotonic time never goes back.
        """
        if not seconds >= 0:
            raise ValueError(f"advance({seconds!r}): expected seconds, 0 or more; step_wall sets the wall clock back")
        end = self._monotonic + seconds
        while self._heap and self._heap[0][0] <= end:
            due, _, timer = heapq.heappop(self._heap)
            self._wall += due - self._monotonic
            self._monotonic = due
            callback = timer.take()
            if callback is not None:
                callback()
        self._wall += end - self._monotonic
        self._monotonic = end

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator would."""
        self._wall += seconds

    def pending(self) -> int:
        """How many timers wait and were not cancelled."""
        return sum(timer.callback is not None for _, _, timer in self._heap)


@final
class StepDispatcher:
    """Runs scheduled actors in order on the thread that calls `run_until_idle`."""

    def __init__(self) -> None:
        self._queue: deque[Runnable] = deque()

    def schedule(self, runnable: Runnable) -> None:
        """Put `runnable` at the end of the queue."""
        self._queue.append(runnable)

    def run_until_idle(self) -> int:
        """Run until nothing is scheduled; how many turns that took."""
        turns = 0
        while self._queue:
            self._queue.popleft().run()
            turns += 1
        return turns
