"""The event hub: numbers events, remembers the newest, and hands them to sinks on a thread of its own.

`emit` only notes the event, so no actor waits for a slow terminal. Memory is bounded: a sink that
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

Subscriber: TypeAlias = Callable[[RecordedEvent], object]


@final
class EventHub:
    """An `EventSink` with memory and subscribers. Safe from any thread."""

    def __init__(self, clock: Clock, *, remembered: int = REMEMBERED) -> None:
        self._clock = clock
        # Guards all below; notified on each new event and at the end. An event is numbered and
        # remembered under it, so that memory is in the order of the numbers.
        self._news = threading.Condition()
        self._recent: deque[RecordedEvent] = deque(maxlen=remembered)
        self._sequence = itertools.count(1)
        self._last: int = 0
        self._delivered: int = 0  # up to here the subscribers have been served
        self._subscribers: dict[Subscriber, int] = {}  # each with the last event before it came
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="treewarden-events", daemon=True)
        self._thread.start()

    def emit(self, event: Event) -> None:
        """Number `event` and pass it on."""
        with self._news:
            recorded = RecordedEvent(next(self._sequence), self._clock.wall(), event)
            self._recent.append(recorded)
            self._last = recorded.sequence
            self._news.notify_all()

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call `subscriber` with each event from now on, in order, on the hub's thread."""
        with self._news:
            self._subscribers[subscriber] = self._last

    def since(self, sequence: int, *, limit: int, wait: float) -> tuple[tuple[RecordedEvent, ...], int]:
        """Events after `sequence`, the newest `limit` of them, and how many after it are forgotten or cut.

        Waits up to `wait` seconds for the first one.
        """
        with self._news:
            if wait > 0:
                self._news.wait_for(lambda: self._last > sequence or self._closed, timeout=wait)
            later = [recorded for recorded in self._recent if recorded.sequence > sequence]
            chosen = later[-limit:] if limit > 0 else []
            return tuple(chosen), max(self._last - sequence, 0) - len(chosen)

    def close(self) -> None:
        """Pass on what was emitted, then end the thread; idempotent."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _serve(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._last > self._delivered or self._closed)
                if self._last == self._delivered:
                    return
                batch = tuple(itertools.islice(reversed(self._recent), self._last - self._delivered))[::-1]
                missed = self._last - self._delivered - len(batch)
                self._delivered = self._last
                subscribers = tuple(self._subscribers.items())
            if missed and subscribers:
                sys.stderr.write(f"treewarden: event subscribers are too slow and missed {missed} events\n")
            for recorded in batch:
                self._pass_on(recorded, subscribers)

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
