"""One thread that calls back later; the heap behind `send_after`, restarts' delays and deadlines.

Guarantees: a callback runs at most once, never before its time, never after a `cancel` that
returned True; equal times run in the order they were set; n timers set and cancelled cost
O(n log n); timers that are far off wake nobody. Callbacks run on the timer thread, one after another,
so they only put messages into mailboxes: one that takes long makes all others late.
Not promised: lateness under load (the thread competes for the GIL like any other), or anything
without a GIL.
"""

import contextlib
import heapq
import itertools
import math
import queue
import threading
from collections.abc import Callable
from typing import Final, Protocol, final

from treewarden.actors._clock import Clock

__all__ = ["KeptTimer", "Timer", "TimerGroup", "TimerThread", "Timers", "checked_delay"]

BATCH: Final = 64  # timers taken in one hold of the lock, so that whoever sets one waits for no more than that
COMPACT_ABOVE: Final = 64  # cancelled entries kept before the heap is rebuilt
KEEP_AT_LEAST: Final = 8  # timers of a group before it looks for those that are over
AWAKE: Final = -math.inf  # before every due time


class Timer(Protocol):
    """A callback that waits for its time."""

    def cancel(self) -> bool:
        """Take it back; False if it has run, is running, or was cancelled before."""
        ...


class Timers(Protocol):
    """Where timers are set. Safe from any thread."""

    def after(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Have `callback` called in `delay` seconds; `ValueError` if that is no number."""
        ...


def checked_delay(delay: float) -> float:
    """`delay`, not below 0; infinity means never.

    Raises:
        ValueError: for NaN. It is neither before nor after anything, so one such entry would stop
            every other timer of the heap.
    """
    if delay >= 0:
        return delay
    if math.isnan(delay):
        raise ValueError("a delay was found to be NaN; expected seconds, 0 or more")
    return 0.0


@final
class _Entry:
    """A pending callback; `callback` is gone once it was taken or cancelled."""

    __slots__ = ("_timers", "callback")

    def __init__(self, timers: "TimerThread", callback: Callable[[], None]) -> None:
        self._timers, self.callback = timers, callback

    def take(self) -> Callable[[], None] | None:
        try:
            callback = self.callback
            del self.callback  # of two that have read it one gets here first, and fails the other: run or cancelled
        except AttributeError:
            return None
        return callback

    def cancel(self) -> bool:
        try:
            del self.callback
        except AttributeError:
            return False
        self._timers.cancelled_one()
        return True


@final
class TimerThread:
    """Timers on `clock`, served by one daemon thread that sleeps until the next is due."""

    def __init__(self, clock: Clock, *, on_error: Callable[[BaseException], None]) -> None:
        self._clock, self._on_error = clock, on_error
        # Guards _heap, _cancelled and _closed, and that _wakes_at is what the heap says. Reentrant: a
        # finalizer or a signal handler may set or cancel a timer while its thread is at one here.
        self._lock = threading.RLock()
        self._heap: list[tuple[float, int, _Entry]] = []
        self._order = itertools.count()  # equal times run in the order they were set
        self._cancelled = 0  # entries of the heap that only take up room, or a few more: some were taken out meanwhile
        self._closed = False
        self._wakes_at = AWAKE  # when the thread looks again by itself; until then only something earlier wakes it
        self._wakes = queue.SimpleQueue[None]()  # one too many costs a look
        self._thread = threading.Thread(target=self._serve, name="treewarden-timers", daemon=True)
        self._thread.start()

    def after(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Have `callback` called in `delay` seconds on the timer thread; never, once closed."""
        entry = _Entry(self, callback)
        due = self._clock.monotonic() + checked_delay(delay)
        with self._lock:
            if self._closed:
                return entry  # as if it were far off
            heapq.heappush(self._heap, (due, next(self._order), entry))
            if due < self._wakes_at:
                self._wake()
        return entry

    def cancelled_one(self) -> None:
        """Count a cancelled entry; drop them all once they are most of the heap."""
        with self._lock:
            self._cancelled += 1
            if self._cancelled > COMPACT_ABOVE and self._cancelled * 2 > len(self._heap):
                self._sweep()

    def close(self) -> None:
        """Drop what is pending and end the thread; idempotent."""
        with self._lock:
            self._closed = True
            self._heap = []
            self._wake()
        if self._thread is not threading.current_thread():
            self._thread.join()

    # With the lock

    def _wake(self) -> None:
        self._wakes_at = AWAKE  # those who set one meanwhile need not wake it again
        self._wakes.put(None)

    def _sweep(self) -> None:
        # What a finalizer or a signal handler sets in between goes to the new heap, and stays there.
        heap, self._heap, self._cancelled = self._heap, [], 0
        kept = [item for item in heap if hasattr(item[2], "callback")]
        self._heap.extend(kept)
        heapq.heapify(self._heap)

    # On the thread

    def _serve(self) -> None:
        while not self._closed:
            due = self._take_due()
            if due:
                self._call(due)  # in a frame of its own: while it sleeps, the thread must keep no callback alive
            else:
                self._sleep()

    def _take_due(self) -> list[_Entry]:
        """The next few that are due, in order. They may still be cancelled, each until it is called."""
        now = self._clock.monotonic()
        found: list[_Entry] = []
        with self._lock:
            heap = self._heap  # should a finalizer have it swept: what is taken from the old one runs once all the same
            for _ in range(BATCH):
                if not heap or heap[0][0] > now:
                    break
                entry = heapq.heappop(heap)[2]
                if hasattr(entry, "callback"):
                    found.append(entry)
                else:
                    self._cancelled = max(self._cancelled - 1, 0)
        return found

    def _call(self, due: list[_Entry]) -> None:
        for entry in due:
            if self._closed:  # perhaps by the one before
                return
            callback = entry.take()
            if callback is None:
                continue
            try:
                callback()
            except BaseException as error:  # noqa: BLE001 - thread boundary: one bad callback, SystemExit included, must not stop all timers
                self._on_error(error)

    def _sleep(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._wakes_at = until = self._heap[0][0] if self._heap else math.inf
        # From here on whoever sets an earlier one puts something into `_wakes`. A wait refuses more than
        # TIMEOUT_MAX; whoever wakes early looks again.
        seconds = min(until - self._clock.monotonic(), threading.TIMEOUT_MAX)
        if seconds > 0:
            with contextlib.suppress(queue.Empty):
                self._wakes.get(timeout=seconds)
        self._wakes_at = AWAKE


class KeptTimer(Timer, Protocol):
    """A timer that its actor keeps, to cancel it at its end."""

    def is_pending(self) -> bool:
        """Whether it may still run."""
        ...

    def message_once(self) -> tuple[float, object] | None:
        """When (monotonic seconds) it tells its actor which message; None if it repeats that, or has gone off."""
        ...

    def is_on_its_way(self) -> bool:
        """Whether it has gone off, and its message is perhaps not in the mailbox yet."""
        ...


@final
class TimerGroup:
    """Several timers of one actor, to be cancelled at once. Used on that actor's own turn, so without a lock.

    What has run is not taken out by the timer thread. The group forgets it, at the latest when it
    has as many such as pending ones.
    """

    __slots__ = ("_kept", "_look_at")

    def __init__(self, *timers: KeptTimer) -> None:
        self._kept = [*timers]
        self._look_at = KEEP_AT_LEAST

    def add(self, timer: KeptTimer) -> None:
        """Have `timer` cancelled with the others."""
        self._kept.append(timer)
        if len(self._kept) > self._look_at:
            self._kept = [each for each in self._kept if each.is_pending()]
            self._look_at = max(2 * len(self._kept), KEEP_AT_LEAST)  # so that n timers cost n looks or so

    def timers(self) -> tuple[KeptTimer, ...]:
        """Those that are kept; some may be over."""
        return tuple(self._kept)

    def message_once(self) -> tuple[float, object] | None:
        """None: each of its timers has its own."""
        return None

    def is_on_its_way(self) -> bool:
        """Whether one of its timers is."""
        return any(each.is_on_its_way() for each in self._kept)

    def is_pending(self) -> bool:
        """Whether one of them may still run."""
        return any(each.is_pending() for each in self._kept)

    def cancel(self) -> bool:
        """Cancel them all; whether there was one to cancel."""
        kept, self._kept = self._kept, []
        return sum(each.cancel() for each in kept) > 0  # all of them, not the first
