"""Time and threads under a test's control: no sleeping, no races.

`ManualClock` is a `Clock` and `Timers` whose time moves only when told to; `StepDispatcher` and
`SeededDispatcher` run actors on the test's own thread, in order or in an order drawn by chance. All
are contract-tested against the real ones.
"""

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, final

from treewarden.actors._dispatcher import Runnable, run_while_waiting
from treewarden.actors._errors import NotAnswered, TreewardenError
from treewarden.actors._incarnation import Incarnation
from treewarden.actors._timers import Timer, checked_delay

__all__ = ["EndlessLoop", "ManualClock", "NotAnswered", "SeededDispatcher", "StepDispatcher"]

BUSIEST: Final = 5  # actors that an `EndlessLoop` names


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
        self.advance_to(self._monotonic + seconds)

    def advance_to(self, end: float) -> None:
        """`advance` until monotonic time is `end`; nothing happens if that is past."""
        end = max(end, self._monotonic)
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

    def next_due(self) -> float | None:
        """When the next timer falls due, in monotonic seconds; None if none is set."""
        while self._heap and self._heap[0][2].callback is None:
            heapq.heappop(self._heap)  # cancelled
        return self._heap[0][0] if self._heap else None

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

    def own_thread(self, name: str) -> None:
        """None: a `DEDICATED` actor is run like any other."""

    def run_until_idle(self) -> int:
        """Run until nothing is scheduled; how many turns that took."""
        turns = 0
        while self._queue:
            self._queue.popleft().run()
            turns += 1
        return turns


class EndlessLoop(TreewardenError):
    """Actors kept each other busy for `turns` turns in one moment; `busiest` has the turns of those that ran most."""

    def __init__(self, turns: int, busiest: tuple[tuple[str, int], ...]) -> None:
        named = ", ".join(f"{name} ({count})" for name, count in busiest)
        super().__init__(
            f"no rest after {turns} turns in one moment of the clock; most turns went to {named}."
            f" Perhaps they message or restart each other for ever; if it is only much work, raise max_turns"
        )
        self.turns, self.busiest = turns, busiest


@final
class SeededDispatcher:
    """Runs scheduled actors on the calling thread; `chance` draws who of those that can run goes next.

    The same seed and the same acts of the test give the same history. Messages from one sender arrive
    in order whatever is drawn: they are in the mailbox. An actor is drawn for a turn at a time, and a
    turn handles up to 64 messages, so orders within such a batch are not varied.
    One thread only.
    """

    def __init__(self, chance: random.Random, *, max_turns: int) -> None:
        self._chance, self._max_turns = chance, max_turns
        self._queue: list[Runnable] = []
        # Turns of this moment, and how many there were: a sum at each turn would cost as much as the turn.
        self._turns: Counter[str] = Counter()
        self._taken = 0
        self._living: dict[int, Incarnation] = {}
        self._depth = 0  # turns that the calling thread is in: more than one while an actor waits

    def schedule(self, runnable: Runnable) -> None:
        """Have `runnable` run when it is drawn."""
        if isinstance(runnable, Incarnation) and not runnable.has_ended():
            self._living[id(runnable)] = runnable
        self._queue.append(runnable)

    def own_thread(self, name: str) -> None:
        """None: a `DEDICATED` actor is run like any other."""

    def run_until_idle(self) -> int:
        """Run until nothing is scheduled; how many turns that took.

        Raises:
            EndlessLoop: if there were more than `max_turns` since `begin_moment`.
        """
        turns = 0
        while self._queue:
            self._turn(self._chance.randrange(len(self._queue)))
            turns += 1
        return turns

    def run_until(self, is_done: Callable[[], bool]) -> None:
        """Run until nothing is scheduled or, inside an actor that waits, until `is_done()`."""
        if not self._depth:
            self.begin_moment()
            self.run_until_idle()
            return
        # Whoever was scheduled last goes first: that is the one asked. All others would run on top of the
        # actor that waits, and if one of them asked that one, it could not be answered.
        while self._queue and not is_done():
            self._turn(-1)

    def begin_moment(self) -> None:
        """Time has passed, or the test has done something new: turns are counted from 0."""
        self._turns.clear()
        self._taken = 0

    def while_waiting(self) -> AbstractContextManager[None]:
        """Within it, the calling thread runs this dispatcher whenever it would wait on a framework future.

        That goes for the test and for actors that ask each other. An answer that does not come is
        `NotAnswered`, at once and whatever the deadline. Waits outside the framework do block.
        """
        return run_while_waiting(self)

    def living(self) -> tuple[str, ...]:
        """The paths of the actors that were scheduled and have not ended, sorted."""
        return tuple(sorted(each.path for each in self._living.values() if not each.has_ended()))

    def _turn(self, index: int) -> None:
        if self._taken >= self._max_turns:
            # An actor that waits may swallow this; the tally stays, so it is raised again below it.
            raise EndlessLoop(self._taken, tuple(self._turns.most_common(BUSIEST)))
        runnable = self._queue.pop(index)
        self._taken += 1
        self._turns[str(getattr(runnable, "path", type(runnable).__name__))] += 1
        self._depth += 1
        try:
            runnable.run()
        finally:
            self._depth -= 1
            if isinstance(runnable, Incarnation) and runnable.has_ended():
                self._living.pop(id(runnable), None)
