"""The event hub: numbers events, remembers the newest, and hands them to sinks on a thread of its own.

`emit` only puts the event on a queue, so no actor waits for a slow terminal. A sink that raises is
dropped, with one line on stderr; the others and the actors never notice.
"""

import itertools
import queue
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
        self._queue: queue.SimpleQueue[RecordedEvent | None] = queue.SimpleQueue()
        # Guards _recent, _last and _subscribers; notified on each new event and at the end. Also
        # held while an event is numbered and queued, so that sequence and queue order agree.
        self._news = threading.Condition()
        self._recent: deque[RecordedEvent] = deque(maxlen=remembered)
        self._sequence = itertools.count(1)
        self._last = 0
        self._subscribers: list[Subscriber] = []
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="treewarden-events", daemon=True)
        self._thread.start()

    def emit(self, event: Event) -> None:
        """Number `event` and pass it on."""
        with self._news:
            recorded = RecordedEvent(next(self._sequence), self._clock.wall(), event)
            self._recent.append(recorded)
            self._last = recorded.sequence
            self._queue.put(recorded)
            self._news.notify_all()

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call `subscriber` with each event from now on, in order, on the hub's thread."""
        with self._news:
            self._subscribers.append(subscriber)

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
        self._queue.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _serve(self) -> None:
        while (recorded := self._queue.get()) is not None:
            for subscriber in tuple(self._subscribers):
                try:
                    subscriber(recorded)
                except Exception:  # noqa: BLE001 - sink boundary: a failing sink is dropped, never the runtime
                    with self._news:
                        self._subscribers.remove(subscriber)
                    sys.stderr.write(
                        f"treewarden: an event subscriber failed and was dropped:\n{traceback.format_exc()}"
                    )
