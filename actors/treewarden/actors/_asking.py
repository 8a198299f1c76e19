"""Which actor waits on which: a cycle of asks is refused by name instead of hanging.

An actor that waits inside its own code handles nothing meanwhile. So when A waits on B and B is about
to wait on A, neither is ever answered (gen_server calls the shortest such cycle `calling_self`).
Every wait of an actor is entered here before it begins, one on a system call (`ref.sys`) too, and the
one that would close a cycle is refused at once, with a deadline or without.

Only certain cycles are refused. The chain is followed from an actor only while it is itself in such
a wait, and not past an answer that is there already, an actor that has ended, or a reply that was
taken to be answered later (`context.take_reply`): that one may be set by anybody, so whoever waits
for it is not held up for sure.

An actor whose ask is being answered inline (on its own thread) waits as well, once the one that answers
does: it is entered together with that one. Its thread is held until that one returns, so an answer that
is there or was taken for later does not make its wait less certain.

Not seen: waits that are not on a reply (locks, events, queues), those of threads that an actor
started itself, an `await` in an event loop of its own, and cycles through another runtime.
"""

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, final

from treewarden.actors._errors import AskCycle
from treewarden.actors._ids import ActorPath

if TYPE_CHECKING:
    from treewarden.actors._life import InlineAsk, Life
    from treewarden.actors._reply import Reply

__all__ = ["AskInFlight", "Asks"]


@final
@dataclass(frozen=True, slots=True)
class AskInFlight:
    """The actor at `asker` waits on the actor at `asked`."""

    asker: ActorPath
    asked: ActorPath


@final
class Asks:
    """The waits of one runtime's actors. Safe from any thread."""

    def __init__(self) -> None:
        # Held over the look along the chain and the entry that follows it: of two waits that close a
        # cycle at the same moment the second sees the first. Never held while calling out.
        self._entering = threading.Lock()
        self._waits: dict[Life, _Link] = {}  # by asker

    def waiting(
        self, asker: "Life", asked: "Life", reply: "Reply[Any]", below: "Sequence[InlineAsk]" = ()
    ) -> AbstractContextManager[None]:
        """While it is entered, `asker` waits on `asked` for `reply`, and so do those `below` on the same thread.

        They are the askers whose asks are being answered inline there: none of them can go on before `asker` does.
        Entering raises `AskCycle` if that would close a cycle.
        """
        return _Wait(self, asker, asked, reply, below)

    def in_flight(self) -> tuple[AskInFlight, ...]:
        """Who waits on whom now."""
        # One C call under the GIL, so no other thread can change the mapping meanwhile.
        waits = tuple(self._waits.values())
        return tuple(AskInFlight(wait.asker.path, wait.asked.path) for wait in waits)

    def waited_on_by(self, asker: "Life") -> "tuple[Life, Reply[Any]] | None":
        """Whom `asker` waits on now, and for which reply."""
        link = self._waits.get(asker)
        return None if link is None else (link.asked, link.reply)

    def enter(self, wait: "_Wait") -> None:
        """Note `wait` and those below it, or refuse it."""
        with self._entering:
            # First, for `wait` itself may lead to one of them.
            for inline in wait.below:
                if inline.asker is not None:
                    self._waits[inline.asker] = _Link(inline.asker, inline.asked, inline.reply, is_held=True)
            cycle = self._cycle(wait.link)
            if cycle is None:
                self._waits[wait.link.asker] = wait.link
        if cycle is not None:
            self.leave(wait)
            raise AskCycle(cycle)

    def leave(self, wait: "_Wait") -> None:
        """Forget `wait` and those below it."""
        # Without the lock: a look that meets it a last time sees that the answer is there, or a wait
        # that has just come to its deadline and was a part of the cycle until now.
        self._waits.pop(wait.link.asker, None)
        for inline in wait.below:
            if inline.asker is not None:
                self._waits.pop(inline.asker, None)

    def _cycle(self, link: "_Link") -> tuple[ActorPath, ...] | None:
        asker, paths = link.asker, [link.asker.path]
        for _ in range(len(self._waits) + 1):  # no way through the waits is longer, whatever they look like
            if not link.is_certain():
                return None
            paths.append(link.asked.path)
            if link.asked is asker:
                return tuple(paths)
            following = self._waits.get(link.asked)
            if following is None:
                return None
            link = following
        return None


@final
class _Link:
    """One actor waits on another."""

    __slots__ = ("asked", "asker", "is_held", "reply")

    def __init__(self, asker: "Life", asked: "Life", reply: "Reply[Any]", *, is_held: bool = False) -> None:
        self.asker, self.asked, self.reply = asker, asked, reply
        self.is_held = is_held  # the answer is worked out on the asker's thread

    def is_certain(self) -> bool:
        """Whether only the one who was asked can end this wait (but for its deadline)."""
        # One that is held cannot go on before that one returns, whoever has answered it meanwhile.
        return self.is_held or not (self.reply.is_set() or self.asked.has_ended() or self.asked.has_taken(self.reply))


@final
class _Wait:
    """One actor's wait on another, while it lasts, with those that it holds up."""

    __slots__ = ("_asks", "below", "link")

    def __init__(
        self, asks: Asks, asker: "Life", asked: "Life", reply: "Reply[Any]", below: "Sequence[InlineAsk]" = ()
    ) -> None:
        self._asks, self.below = asks, tuple(below)
        self.link: Final = _Link(asker, asked, reply)

    def __enter__(self) -> None:
        self._asks.enter(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asks.leave(self)
