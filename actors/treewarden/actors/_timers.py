"""One thread that calls back later; the heap behind `send_after`, restarts' delays and deadlines.

Guarantees: a callback runs at most once, never before its time, never after a `cancel` that
returned True; equal times run in the order they were set; n timers set and cancelled cost
O(n log n). Callbacks run on the timer thread, so they only put messages into mailboxes.
Not promised: lateness under load (the thread competes for the GIL like any other).
"""

import heapq
import itertools
import math
import threading
from collections.abc import Callable
from typing import Final, Protocol, final

from treewarden.actors._clock import Clock

__all__ = ["Timer", "TimerThread", "Timers", "checked_delay"]

COMPACT_ABOVE: Final = 64  # cancelled entries kept before the heap is rebuilt


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
    if math.isnan(delay):
        raise ValueError("a delay was found to be NaN; expected seconds, 0 or more")
    return max(delay, 0.0)


@final
class _Entry:
    """A pending callback; `callback` is None once it was taken or cancelled."""

    __slots__ = ("_callback", "_timers")

    def __init__(self, timers: "TimerThread", callback: Callable[[], None]) -> None:
        self._timers = timers
        self._callback = [callback]  # list.pop is atomic: run and cancel cannot both get it

    def take(self) -> Callable[[], None] | None:
        try:
            return self._callback.pop()
        except IndexError:
            return None

    def is_pending(self) -> bool:
        return bool(self._callback)

    def cancel(self) -> bool:
        if self.take() is None:
            return False
        self._timers.cancelled_one()
        return True


@final
class TimerThread:
    """Timers on `clock`, served by one daemon thread that sleeps until the next is due."""

    def __init__(self, clock: Clock, *, on_error: Callable[[BaseException], None]) -> None:
        self._clock, self._on_error = clock, on_error
        # Guards _heap, _cancelled and _closed; notified when the next due time may be earlier.
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, _Entry]] = []
        self._order = itertools.count()  # equal times run in the order they were set
        self._cancelled = 0
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="treewarden-timers", daemon=True)
        self._thread.start()

    def after(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Have `callback` called in `delay` seconds on the timer thread; never, once closed."""
        entry = _Entry(self, callback)
        due = self._clock.monotonic() + checked_delay(delay)
        with self._changed:
            if self._closed:
                return entry  # as if it were far off
            heapq.heappush(self._heap, (due, next(self._order), entry))
            if self._heap[0][2] is entry:
                self._changed.notify()
        return entry

    def cancelled_one(self) -> None:
        """Count a cancelled entry; drop them all once they are most of the heap."""
        with self._changed:
            self._cancelled += 1
            if self._cancelled > COMPACT_ABOVE and self._cancelled * 2 > len(self._heap):
                self._heap = [item for item in self._heap if item[2].is_pending()]
                heapq.heapify(self._heap)
                self._cancelled = 0

    def close(self) -> None:
        """Drop what is pending and end the thread; idempotent."""
        with self._changed:
            self._closed = True
            self._heap.clear()
            self._changed.notify()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not self._is_due():
                    self._changed.wait(self._until_next())
                if self._closed:
                    return
                callback = heapq.heappop(self._heap)[2].take()
                if callback is None:
                    self._cancelled = max(self._cancelled - 1, 0)
            if callback is not None:
                self._call(callback)
            del callback  # while it sleeps, the thread must not keep the last one's actor alive

    def _is_due(self) -> bool:
        return bool(self._heap) and self._heap[0][0] <= self._clock.monotonic()

    def _until_next(self) -> float | None:
        if not self._heap:
            return None
        # A wait refuses more than TIMEOUT_MAX; whoever wakes early looks again.
        return min(max(self._heap[0][0] - self._clock.monotonic(), 0.0), threading.TIMEOUT_MAX)

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except BaseException as error:  # noqa: BLE001 - thread boundary: one bad callback, SystemExit included, must not stop all timers
            self._on_error(error)
