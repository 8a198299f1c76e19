"""Registered names: how actors find each other without knowing paths (supervision.md A.16).

A *name* belongs to one living incarnation at a time; under a *topic* any number meet (unique and
duplicate keys of Elixir's Registry). A reader sees an actor only while the directory shows that very
incarnation at its path, so from the moment its supervisor reported it running and never after its
end. Names are let go of before anybody hears of the end, a failed start's too, so a successor never
finds its own name taken.

One for each runtime. Nothing is kept for actors that register nothing.
"""

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from treewarden.actors._errors import ActorDead, AlreadyRegistered, MailboxFull

if TYPE_CHECKING:
    from treewarden.actors._life import Life
    from treewarden.actors._ref import ActorRef

__all__ = ["Member", "Names"]


@final
@dataclass(frozen=True, slots=True)
class Member:
    """An actor under a name or topic, and the value it registered with."""

    ref: "ActorRef[Any]"
    value: object = None


@final
@dataclass(slots=True)
class _Held:
    """What one incarnation has registered."""

    names: set[str] = field(default_factory=set[str])
    topics: set[str] = field(default_factory=set[str])


@final
class Names:
    """The registered names of one runtime. Safe from any thread; reading takes no lock."""

    def __init__(self) -> None:
        # Guards the writes to all three. Never held while calling out.
        self._writing = threading.Lock()
        self._names: dict[str, Member] = {}
        self._topics: dict[str, dict[Life, Member]] = {}  # in the order of joining
        self._held: dict[Life, _Held] = {}

    # Reading

    def whereis(self, name: str) -> "ActorRef[Any] | None":
        """The running actor called `name`."""
        found = self.lookup(name)
        return None if found is None else found.ref

    def lookup(self, name: str) -> Member | None:
        """The running actor called `name`, with the value it gave."""
        found = self._names.get(name)
        return found if found is not None and _runs(found) else None

    def members(self, topic: str) -> tuple[Member, ...]:
        """The running actors under `topic`, in the order in which they joined."""
        joined = self._topics.get(topic)
        # The copy is one C call under the GIL, so no other thread can change the mapping meanwhile.
        return () if joined is None else tuple(filter(_runs, tuple(joined.values())))

    def dispatch(self, topic: str, message: object) -> int:
        """Tell `message` to every member of `topic`; how many took it. One that has just ended, or is full, is passed over.

        Raises:
            Fenced: in an actor that was given up on.
        """
        told = 0
        for member in self.members(topic):
            try:
                member.ref.tell(message)
            except (ActorDead, MailboxFull):
                continue  # it was about to leave the topic anyway, or has more than it can do: the others shall hear
            told += 1
        return told

    # For contexts, whose actor it is, and for its end

    def register(self, holder: "Life", name: str, value: object) -> None:
        """Give `name` to `holder`.

        Raises:
            AlreadyRegistered: a living incarnation holds it; `holder` itself may be the one.
            ActorDead: `holder` has ended meanwhile.
        """
        mine = Member(_ref_of(holder, name), value)
        with self._writing:
            _refuse_the_dead(holder, name)
            other = self._names.get(name)
            # One that has ended is about to let go, and will find that the name is not its own any more.
            taken = other is not None and not other.ref.incarnation().has_ended()
            if not taken:
                self._names[name] = mine
                self._held.setdefault(holder, _Held()).names.add(name)
        if taken and other is not None:
            raise AlreadyRegistered(name, other.ref)

    def unregister(self, holder: "Life", name: str) -> None:
        """Take `name` from `holder`; another's stays."""
        with self._writing:
            held = self._held.get(holder)
            if held is not None and name in held.names:
                held.names.remove(name)
                self._free(holder, name)
                self._forget_if_empty(holder, held)

    def join(self, joining: "Life", topic: str, value: object) -> None:
        """Put `joining` under `topic`; again, to change its value.

        Raises:
            ActorDead: it has ended meanwhile.
        """
        mine = Member(_ref_of(joining, topic), value)
        with self._writing:
            _refuse_the_dead(joining, topic)
            self._topics.setdefault(topic, {})[joining] = mine
            self._held.setdefault(joining, _Held()).topics.add(topic)

    def leave(self, leaving: "Life", topic: str) -> None:
        """Take `leaving` out of `topic`, if it is in."""
        with self._writing:
            held = self._held.get(leaving)
            if held is not None and topic in held.topics:
                held.topics.remove(topic)
                self._part(leaving, topic)
                self._forget_if_empty(leaving, held)

    def release(self, holder: "Life") -> None:
        """Let go of all that `holder` holds; if its end is declared, it gets nothing more."""
        with self._writing:
            held = self._held.pop(holder, None)
            if held is not None:
                for name in held.names:
                    self._free(holder, name)
                for topic in held.topics:
                    self._part(holder, topic)

    def _free(self, holder: "Life", name: str) -> None:
        if self._names[name].ref.incarnation() is holder:  # otherwise a successor has it already
            del self._names[name]

    def _part(self, leaving: "Life", topic: str) -> None:
        joined = self._topics[topic]
        del joined[leaving]
        if not joined:
            del self._topics[topic]

    def _forget_if_empty(self, holder: "Life", held: _Held) -> None:
        if not (held.names or held.topics):
            del self._held[holder]


def _runs(member: Member) -> bool:
    incarnation = member.ref.incarnation()
    # The end first: the supervisor takes a dead actor out of the directory a moment after it was declared.
    return not incarnation.has_ended() and incarnation.system.directory.lookup(member.ref.path) is member.ref


def _refuse_the_dead(incarnation: "Life", what: str) -> None:
    # Under the lock that `release` takes after the end was declared: it finds the name, or this the end.
    if incarnation.has_ended():
        raise _dead(incarnation, what)


def _ref_of(incarnation: "Life", what: str) -> "ActorRef[Any]":
    actor = incarnation.actor  # looked at once: an end may just be letting go of it
    if actor is None:
        raise _dead(incarnation, what)
    return actor.actor_ref


def _dead(incarnation: "Life", what: str) -> ActorDead:
    return ActorDead(f"{incarnation.path} has ended and cannot be registered as {what!r}")
