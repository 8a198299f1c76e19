"""The event hub: numbers events, remembers the newest, and hands them to sinks on a thread of its own.

`emit` only notes the event, so no actor waits for a slow terminal. The thread begins with the first
subscription; woken from its sleep it gathers for a moment, so that a burst wakes it once. Memory is bounded: a sink that
falls behind by more than is remembered misses the oldest, and a line on stderr says how
many. A sink that raises is dropped, with one line on stderr; the others and the actors never
notice.

The numbers go on from those of the runtimes before, which are known once the store is open. What is
emitted before that is remembered and gets its number then; until then nobody hears of it.
"""

import itertools
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, TypeVar, final

from treewarden.actors import Clock, Event
from treewarden.supervision_trees._inspect import RecordedEvent

__all__ = ["EventHub", "Subscriber", "Watcher"]

REMEMBERED: Final = 10_000
GATHER: Final = 0.001  # seconds that a subscriber may hear of an event later

T = TypeVar("T")
V = TypeVar("V")
Subscriber: TypeAlias = Callable[[RecordedEvent], object]
Watcher: TypeAlias = Callable[[Sequence[RecordedEvent]], object]
"""Hears that there is news, and reads the rest for itself: it gets what came since, as far as it is remembered."""


@final
class EventHub:
    """An `EventSink` with memory and subscribers. Safe from any thread."""

    def __init__(self, clock: Clock, *, first: int | None = 1, remembered: int = REMEMBERED) -> None:
        """Number events from `first` on; if that is not known yet (None), `number_from` tells it."""
        self._clock = clock
        # Guards all below. An event is numbered and remembered under it, so that memory is in the order of
        # the numbers. Re-entrant: a finalizer that emits may run in the midst of `emit`.
        self._lock = threading.RLock()
        self._news = threading.Condition(self._lock)  # notified on each event that a sleeper waits for, and at the end
        self._sleepers = 0
        self._recent: deque[tuple[float, Event]] = deque(maxlen=remembered)  # the last of them has the number _last
        self._is_numbered = first is not None
        self._last: int = 0 if first is None else first - 1  # while not numbered: how many there are
        self._delivered: int = self._last  # up to here the subscribers have been served
        self._subscribers: dict[Subscriber, int] = {}  # each with the last event before it came
        self._watchers: dict[Watcher, None] = {}  # in the order they came
        self._closed = False
        self._thread: threading.Thread | None = None  # from the first subscription on

    def emit(self, event: Event) -> None:
        """Number `event` and pass it on."""
        with self._lock:
            self._last += 1
            self._recent.append((self._clock.wall(), event))
            if self._sleepers:
                self._news.notify_all()

    def number_from(self, first: int) -> None:
        """Give what was emitted so far the numbers from `first` on, and pass it on. Called once, if at all."""
        with self._lock:
            assert not self._is_numbered, "events have their numbers already"
            self._is_numbered = True
            self._last += first - 1
            self._delivered += first - 1
            for subscriber in self._subscribers:
                self._subscribers[subscriber] += first - 1
            self._news.notify_all()

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call `subscriber` with each event from now on, in order, on the hub's thread."""
        with self._lock:
            self._begin()
            self._subscribers[subscriber] = self._last

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` whenever there is news from now on, on the hub's thread; once for a burst."""
        with self._lock:
            self._begin()
            self._watchers[watcher] = None

    def unwatch(self, watcher: Watcher) -> None:
        """Call `watcher` no more, unless it is being called right now; one that is unknown is no error."""
        with self._lock:
            self._watchers.pop(watcher, None)

    @property
    def last(self) -> int:
        """The number of the newest event, or the one before the first."""
        with self._lock:
            return self._last

    def wait_after(self, sequence: int, *, timeout: float) -> None:
        """Wait until there is an event after `sequence`, for up to `timeout` seconds."""
        with self._lock:
            self._sleep(lambda: self._last > sequence or self._closed, timeout)

    def after(self, sequence: int, *, limit: int) -> tuple[tuple[RecordedEvent, ...], int]:
        """Events after `sequence`, the oldest `limit` of them, and how many of those before them are forgotten."""
        with self._lock:
            later = max(self._last - sequence, 0)
            known = min(later, len(self._recent))
            start = len(self._recent) - known
            chosen = itertools.islice(self._recent, start, start + limit)
            first = self._last - known + 1
            found = tuple(RecordedEvent(first + place, at, event) for place, (at, event) in enumerate(chosen))
            return found, later - known

    def first_at(self, wall: float) -> tuple[int, bool]:
        """The number of the first remembered event of `wall` seconds or later, or the next one.

        And whether one before it is remembered, so that it surely is the first of all.
        """
        with self._lock:
            start = self._last - len(self._recent) + 1
            for place, (at, _) in enumerate(self._recent):
                if at >= wall:
                    return start + place, place > 0
            return self._last + 1, bool(self._recent)

    def since(self, sequence: int, *, limit: int, wait: float) -> tuple[tuple[RecordedEvent, ...], int]:
        """Events after `sequence`, the newest `limit` of them, and how many after it are forgotten or cut.

        Waits up to `wait` seconds for the first one.
        """
        with self._lock:
            if wait > 0:
                self.wait_after(sequence, timeout=wait)
            later = max(self._last - sequence, 0)
            chosen = self._newest(min(later, limit))
            return tuple(chosen), later - len(chosen)

    def close(self) -> None:
        """Pass on what was emitted, then end the thread; idempotent."""
        with self._lock:
            if not self._is_numbered:  # the store could not be opened, and what led to that is to be heard of
                self.number_from(1)
            self._closed = True
            self._news.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _begin(self) -> None:
        if not self._is_heard():
            self._delivered = self._last  # nobody was there to miss what came before
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._serve, name="treewarden-events", daemon=True)
            self._thread.start()

    def _is_heard(self) -> bool:
        return bool(self._subscribers or self._watchers)

    def _serve(self) -> None:
        while True:
            with self._lock:
                if not self._has_work():
                    self._sleep(self._has_work, None)
                    self._news.wait_for(lambda: self._closed, timeout=GATHER)  # no sleeper: nobody is to wake it
                if not self._is_heard() or not self._is_numbered or self._last == self._delivered:
                    if self._closed:
                        return
                    continue
                batch: Sequence[RecordedEvent] = self._newest(self._last - self._delivered)
                missed = self._last - self._delivered - len(batch)
                self._delivered = self._last
                subscribers, watchers = tuple(self._subscribers.items()), tuple(self._watchers)
            if missed and subscribers:
                sys.stderr.write(f"treewarden: event subscribers are too slow and missed {missed} events\n")
            for watcher in watchers:
                self._call(watcher, batch, self._watchers)
            for recorded in batch:
                self._pass_on(recorded, subscribers)

    def _has_work(self) -> bool:
        return self._closed or (self._is_numbered and self._last > self._delivered and self._is_heard())

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
            self._call(subscriber, recorded, self._subscribers)

    def _call(self, callback: Callable[[T], object], news: T, callbacks: dict[Callable[[T], object], V]) -> None:
        try:
            callback(news)
        except BaseException:  # noqa: BLE001 - sink boundary: a failing sink is dropped, one that raises SystemExit too
            with self._news:
                callbacks.pop(callback, None)
            sys.stderr.write(f"treewarden: an event subscriber failed and was dropped:\n{traceback.format_exc()}")
