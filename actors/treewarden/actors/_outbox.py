"""What a durable actor has said and what is not to be heard yet: messages, answers, and news of its start.

They leave in the order in which they were said, each once: whoever takes an entry out lets it go or
drops it, and `deque.popleft` is atomic. So the thread that writes and one that declares the end
may both be at it. Nobody is the sender of what leaves: the actor's own code has long returned.

A message whose addressee has ended meanwhile, or whose mailbox has no place, becomes a `DeadLetter`:
the handler that could have been told is over. Where a mailbox has senders wait for a place, `let_go`
waits; `let_go_nowait` leaves the rest for a thread that may.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from treewarden.actors._errors import ActorDead, MailboxFull
from treewarden.actors._events import DeadLetter
from treewarden.actors._reply import Reply

if TYPE_CHECKING:
    from treewarden.actors._lanes import Lanes

__all__ = ["Announcement", "Answer", "Entry", "Outbox", "Tell"]


@final
class Tell:
    """A message to another actor."""

    __slots__ = ("message", "target")

    def __init__(self, target: "Lanes", message: object) -> None:
        self.target: Final = target
        self.message: Final = message

    def leave(self) -> None:
        """Send it, and wait for a place if its addressee has senders wait."""
        try:
            self.target.tell(self.message)
        except (ActorDead, MailboxFull):
            self._lose()

    def leave_nowait(self) -> bool:
        """Send it; False if that would have to wait."""
        try:
            return self.target.offer(self.message)
        except (ActorDead, MailboxFull):
            self._lose()
            return True

    def drop(self, why: Exception) -> None:
        """It is not sent: what it rests on never came to be."""

    def _lose(self) -> None:
        self.target.system.events.emit(DeadLetter(self.target.path, type(self.message).__name__))


@final
class Answer:
    """What an asker is to hear: `value`, or `error` if there is one."""

    __slots__ = ("_error", "_reply", "_value")

    def __init__(self, reply: Reply[Any], value: object, error: BaseException | None = None) -> None:
        self._reply, self._value, self._error = reply, value, error

    def leave(self) -> None:
        """Answer."""
        if self._error is None:
            self._reply.try_set(self._value)
        else:
            self._reply.try_fail(self._error)

    def leave_nowait(self) -> bool:
        """Answer, which never waits."""
        self.leave()
        return True

    def drop(self, why: Exception) -> None:
        """Answer `why` instead."""
        self._reply.try_fail(why)


@final
class Announcement:
    """News of the actor itself, for its supervisor."""

    __slots__ = ("_announce",)

    def __init__(self, announce: Callable[[], None]) -> None:
        self._announce = announce

    def leave(self) -> None:
        """Tell it."""
        self._announce()

    def leave_nowait(self) -> bool:
        """Tell it, which never waits."""
        self._announce()
        return True

    def drop(self, why: Exception) -> None:
        """Its end is told instead."""


Entry: TypeAlias = Tell | Answer | Announcement


@final
class Outbox:
    """The entries of one incarnation. Filled on its own turn; safe from any thread otherwise."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: deque[Entry] | None = None  # made with the first: an actor at rest pays for none

    def __bool__(self) -> bool:
        return bool(self._entries)

    def put(self, entries: Iterable[Entry]) -> None:
        """Add `entries`, as the newest."""
        if self._entries is None:
            self._entries = deque(entries)
        else:
            self._entries.extend(entries)

    def holds_for(self, target: "Lanes") -> bool:
        """Whether a message to `target` is among them. On the actor's own turn."""
        return any(isinstance(entry, Tell) and entry.target is target for entry in self._entries or ())

    def let_go(self) -> None:
        """Have all of them leave."""
        while (entry := self._next()) is not None:
            entry.leave()

    def let_go_nowait(self) -> bool:
        """Have them leave; False if one of them must wait for a place: it and those after it stay."""
        while (entry := self._next()) is not None:
            if not entry.leave_nowait():
                assert self._entries is not None
                self._entries.appendleft(entry)
                return False
        return True

    def drop(self, why: Exception) -> None:
        """Have none of them leave; who asked hears `why`."""
        while (entry := self._next()) is not None:
            entry.drop(why)

    def take_answers(self) -> list[Answer]:
        """Take all of them out and return those that somebody waits for."""
        taken: list[Answer] = []
        while (entry := self._next()) is not None:
            if isinstance(entry, Answer):
                taken.append(entry)
        return taken

    def _next(self) -> Entry | None:
        entries = self._entries
        try:
            return entries.popleft() if entries else None
        except IndexError:  # another thread took the last one
            return None
