"""A bound on a mailbox, and what becomes of a message that finds it full.

Off by default. The bound counts messages that wait; the one in hand has left. It holds for what others
send: an actor's own timers and messages to itself, news of the end of one that it watches, and
everything in the system lane come in regardless, so no bound can keep an actor from being stopped.

Guarantees: never more than `limit` messages of senders wait; a message that was refused was not put
in. Senders that wait are let in as places come free; each goes on in the order of its own sends.
Not promised: an order between senders that wait.
"""

import enum
import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from treewarden.actors._dispatcher import worker_waits

__all__ = ["MailboxBound", "Overflow", "Room"]


@final
class Overflow(enum.Enum):
    """What a send to a full mailbox does."""

    REFUSE = "refuse"  # raise MailboxFull at the sender's call
    BLOCK = "block"  # wait for a place, and raise MailboxFull if none came free in time
    DROP = "drop"  # a told message becomes a DeadLetter event; who asks hears MailboxFull


@final
@dataclass(frozen=True, slots=True)
class MailboxBound:
    """At most `limit` messages wait, and `overflow` says what becomes of one more.

    Example:
        class Indexer(Actor):
            mailbox = MailboxBound(1_000, Overflow.BLOCK, within=2.0)

    Raises:
        TypeError: if `limit` is no whole number, or `overflow` no member of `Overflow`.
        ValueError: if `limit` is below 1, or `within` not above 0 and finite.
    """

    limit: int
    overflow: Overflow = Overflow.REFUSE
    within: float = 5.0
    """Seconds that a sender waits for a place at most (`BLOCK`)."""

    def __post_init__(self) -> None:
        _refuse_wrong_types(self.limit, self.overflow)
        if self.limit < 1:
            raise ValueError(f"MailboxBound({self.limit!r}): expected a number of messages, 1 or more")
        if not self.within > 0 or math.isinf(self.within):
            raise ValueError(f"MailboxBound(within={self.within!r}): expected seconds, above 0 and finite")


def _refuse_wrong_types(limit: object, overflow: object) -> None:
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"MailboxBound({limit!r}): expected a number of messages, 1 or more")
    if not isinstance(overflow, Overflow):
        raise TypeError(f"MailboxBound(overflow={overflow!r}): expected a member of Overflow")


@final
class Room:
    """The places of one bounded mailbox. Safe from any thread; takes a lock, which an unbounded one does not."""

    __slots__ = ("_lane", "_putting", "_waiting", "bound")

    def __init__(self, bound: MailboxBound, lane: deque[object]) -> None:
        self.bound = bound
        self._lane = lane
        # Of two senders one sees what the other has put in; a signal handler may send while its own thread does.
        self._putting = threading.RLock()
        self._waiting: deque[Callable[[], object]] = deque()

    def put(self, message: object) -> bool:
        """Put `message` in if there is a place; whether there was."""
        with self._putting:
            if len(self._lane) >= self.bound.limit:
                return False
            self._lane.append(message)
            return True

    def has_place(self) -> bool:
        """Whether a place is free at this moment."""
        return len(self._lane) < self.bound.limit

    def is_waited_for(self) -> bool:
        """Whether a sender waits for a place."""
        return bool(self._waiting)

    def when_made(self, callback: Callable[[], object]) -> None:
        """Call `callback` once, when a place has come free, or nothing more will be taken; on any thread."""
        self._waiting.append(callback)
        # Announced first: whoever takes a message looks at `_waiting` after it, so one sees the other.
        if self.has_place():
            self.made()

    def wait(self, seconds: float) -> bool:
        """Block until a place has come free, at most so long; it may be gone again. Whether one had."""
        gate = threading.Lock()
        gate.acquire()
        self.when_made(gate.release)
        made = False
        try:
            with worker_waits():
                made = gate.acquire(timeout=min(max(seconds, 0.0), threading.TIMEOUT_MAX))
        finally:
            if not made:  # in vain, or a signal's handler raised on the main thread
                self.forget(gate.release)
        return made

    def forget(self, callback: Callable[[], object]) -> None:
        """Whoever waited with `callback` gives up; if it was called already, the place is passed on."""
        try:
            self._waiting.remove(callback)
        except ValueError:
            self.made()

    def made(self) -> None:
        """A place has come free: let the next one know."""
        try:
            callback = self._waiting.popleft()
        except IndexError:
            return
        callback()

    def close(self) -> None:
        """Nothing more is taken out: let all who wait look at why."""
        while self._waiting:
            self.made()
