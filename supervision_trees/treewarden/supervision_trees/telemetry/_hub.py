"""The event hub: numbers events, remembers the newest, and hands them to sinks on a thread of its own.

`emit` only notes the event, so no actor waits for a slow terminal. The thread begins with the first
subscription; woken from its sleep it gathers for a moment, so that a burst wakes it once. Memory is bounded: a sink that
falls behind by more than is remembered misses the oldest, and a line on stderr says how
many. A sink that raises is dropped, with one line on stderr; the others and the actors never
notice.
"""

import itertools
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias, final

from treewarden.actors import Clock, Event
from treewarden.supervision_trees._inspect import RecordedEvent

__all__ = ["EventHub", "Subscriber"]

REMEMBERED: Final = 10_000
GATHER: Final = 0.001  # seconds that a subscriber may hear of an event later

Subscriber: TypeAlias = Callable[[RecordedEvent], object]


@final
class EventHub:
    """An `EventSink` with memory and subscribers. Safe from any thread."""

    def __init__(self, clock: Clock, *, remembered: int = REMEMBERED) -> None:
        self._clock = clock
        # Guards all below. An event is numbered and remembered under it, so that memory is in the order of
        # the numbers. Re-entrant: a finalizer that emits may run in the midst of `emit`.
        self._lock = threading.RLock()
        self._news = threading.Condition(self._lock)  # notified on each event that a sleeper waits for, and at the end
        self._sleepers = 0
        self._recent: deque[tuple[float, Event]] = deque(maxlen=remembered)  # the last of them has the number _last
        self._last: int = 0
        self._delivered: int = 0  # up to here the subscribers have been served
        self._subscribers: dict[Subscriber, int] = {}  # each with the last event before it came
        self._closed = False
        self._thread: threading.Thread | None = None  # from the first subscription on

    def emit(self, event: Event) -> None:
        """Number `event` and pass it on."""
        with self._lock:
            self._last += 1
            self._recent.append((self._clock.wall(), event))
            if self._sleepers:
                self._news.notify_all()

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call `subscriber` with each event from now on, in order, on the hub's thread."""
        with self._lock:
            if not self._subscribers:
                self._delivered = self._last  # nobody was there to miss what came before
            self._subscribers[subscriber] = self._last
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._serve, name="treewarden-events", daemon=True)
                self._thread.start()

    def since(self, sequence: int, *, limit: int, wait: float) -> tuple[tuple[RecordedEvent, ...], int]:
        """Events after `sequence`, the newest `limit` of them, and how many after it are forgotten or cut.

        Waits up to `wait` seconds for the first one.
        """
        with self._lock:
            if wait > 0:
                self._sleep(lambda: self._last > sequence or self._closed, wait)
            later = max(self._last - sequence, 0)
            chosen = self._newest(min(later, limit))
            return tuple(chosen), later - len(chosen)

    def last(self) -> int:
        """The number of the last event."""
        with self._lock:
            return self._last

    def close(self) -> None:
        """Pass on what was emitted, then end the thread; idempotent."""
        with self._lock:
            self._closed = True
            self._news.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _serve(self) -> None:
        while True:
            with self._lock:
                if not self._has_work():
                    self._sleep(self._has_work, None)
                    self._news.wait_for(lambda: self._closed, timeout=GATHER)  # no sleeper: nobody is to wake it
                if not self._subscribers or self._last == self._delivered:
                    if self._closed:
                        return
                    continue
                batch = self._newest(self._last - self._delivered)
                missed = self._last - self._delivered - len(batch)
                self._delivered = self._last
                subscribers = tuple(self._subscribers.items())
            if missed:
                sys.stderr.write(f"treewarden: event subscribers are too slow and missed {missed} events\n")
            for recorded in batch:
                self._pass_on(recorded, subscribers)

    def _has_work(self) -> bool:
        return self._closed or (self._last > self._delivered and bool(self._subscribers))

    def _sleep(self, is_over: Callable[[], bool], timeout: float | None) -> None:
        self._sleepers += 1
        try:
            self._news.wait_for(is_over, timeout=timeout)
        finally:
            self._sleepers -= 1

    def _newest(self, count: int) -> list[RecordedEvent]:
        """The `count` newest that are remembered, oldest first."""
        newest = itertools.islice(reversed(self._recent), max(count, 0))
        return [RecordedEvent(self._last - back, at, event) for back, (at, event) in enumerate(newest)][::-1]

    def _pass_on(self, recorded: RecordedEvent, subscribers: tuple[tuple[Subscriber, int], ...]) -> None:
        for subscriber, since in subscribers:
            if recorded.sequence <= since or subscriber not in self._subscribers:
                continue
            try:
                subscriber(recorded)
            except BaseException:  # noqa: BLE001 - sink boundary: a failing sink is dropped, one that raises SystemExit too
                with self._news:
                    del self._subscribers[subscriber]
                sys.stderr.write(f"treewarden: an event subscriber failed and was dropped:\n{traceback.format_exc()}")
