"""Group commit: many waiting commits become one batch, and each gets its own answer.

`Intake` is the queue between the callers' threads and the storage thread. Commits leave it in
the order they came, whole. Taking a batch never waits for more to come: a lone commit is not
delayed, and a batch is what arrived while the one before it was written, up to 2,048 operations. The intake
stops while the disk is full, so that what cannot be written does not pile up.
Not promised: a bound on what waits; callers bound it by waiting for their futures.
"""

import enum
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple, TypeVarTuple, final

from treewarden.storage._codec import Prepared

__all__ = ["MAX_BATCH_OPERATIONS", "Intake", "Pending", "Submitted", "settle"]

MAX_BATCH_OPERATIONS: Final = 2048

Ts = TypeVarTuple("Ts")


class Pending(NamedTuple):  # made for each commit: a frozen dataclass would cost twice that
    """One commit on its way, and the promise made for it."""

    operations: Sequence[Prepared]
    future: "Future[int]"


@final
class Submitted(enum.Enum):
    """What became of a commit that was handed in."""

    QUEUED = "queued"
    STOPPED = "stopped"  # nothing is taken in now
    CLOSED = "closed"  # or ever


@final
class Intake:
    """The queue of commits. Any thread submits and closes; one thread takes batches, stops and reopens it."""

    def __init__(self) -> None:
        # Guards all below: nothing is queued after the stop or the close was seen.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: deque[Pending] = deque()
        self._stopped = False
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed  # without the lock: it is set once, and may be set right after any look

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called, and `reopen` not since."""
        with self._changed:
            return self._stopped

    def submit(self, pending: Pending) -> Submitted:
        """Queue `pending`, unless nothing is taken in."""
        with self._lock:
            if self._closed:
                return Submitted.CLOSED
            if self._stopped:
                return Submitted.STOPPED
            if not self._waiting:  # else the thread that takes batches is awake: it sleeps only while nothing waits
                self._changed.notify()
            self._waiting.append(pending)
            return Submitted.QUEUED

    def stop(self) -> tuple[Pending, ...]:
        """Take nothing in until `reopen`; what waited is handed out."""
        with self._changed:
            self._stopped = True
            waiting = tuple(self._waiting)
            self._waiting.clear()
            return waiting

    def reopen(self) -> None:
        """Take in again."""
        with self._changed:
            self._stopped = False

    def close(self) -> None:
        """Take nothing more in. What waits is still handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_closed(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the close; whether it came."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, timeout)

    def wait_batch(self, timeout: float | None = None) -> tuple[Pending, ...] | None:
        """Wait until something waits, then take it; empty once closed and drained, None after `timeout` seconds.

        A commit is never split, so its last commit may carry a batch over the limit.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting or self._closed, timeout):
                return None
            batch: list[Pending] = []
            room = MAX_BATCH_OPERATIONS
            while self._waiting and room > 0:
                pending = self._waiting.popleft()
                room -= max(1, len(pending.operations))
                batch.append(pending)
            return tuple(batch)


def settle(resolve: Callable[[*Ts], object], *arguments: *Ts) -> None:
    """Resolve one future, or tell one listener, by calling `resolve`; what its callbacks raise ends here.

    `concurrent.futures` logs an `Exception` of a callback itself. A `SystemExit` or
    `KeyboardInterrupt` would leave through the resolving thread, and every other commit of the
    batch would wait for ever.
    """
    try:
        resolve(*arguments)
    except BaseException:  # noqa: BLE001  # boundary to user callbacks: reported as an uncaught error, the thread goes on
        threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
