"""What a durable actor has still to have written, and what it has said that waits for that.

A turn that returns adds what it changed and what it said; one that crashes adds neither, so what is
pending is always the state between two messages. Several turns may pass before it is written: of a
state only the newest is kept then, of journal entries all.

Touched on the actor's own turn, and by the thread that resolves the commit while nobody else runs
the actor; `drop` and `take_parked` are safe from any thread.
"""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

from treewarden.actors._durability import Durability
from treewarden.actors._outbox import Answer, Entry, Outbox, Tell
from treewarden.storage import Append, Operation, Packed, Put

if TYPE_CHECKING:
    from treewarden.actors._lanes import Lanes
    from treewarden.actors._life import Ask
    from treewarden.actors._reply import Reply

__all__ = ["Keeping", "Setback"]


@final
class Setback:
    """A crash that waits: for what was pending before it, or for the actor's own turn."""

    __slots__ = ("error", "has_begun", "in_hand", "message", "reply", "unanswered")

    def __init__(
        self, error: BaseException, message: object, *, in_hand: "Ask | None" = None, reply: "Reply[Any] | None" = None
    ) -> None:
        self.error, self.message = error, message
        self.in_hand, self.reply = in_hand, reply
        self.unanswered: list[Answer] = []  # answers that rest on what could not be written
        self.has_begun = False


@final
class Keeping:
    """The pending part of one durable incarnation."""

    __slots__ = (
        "_every",
        "_newest",
        "_parked",
        "_recorded",
        "_said",
        "_since",
        "durability",
        "in_turn",
        "outbox",
        "pending",
        "setback",
    )

    def __init__(self, durability: Durability, every: int) -> None:
        self.durability = durability
        self._every = every
        self.in_turn = False  # whether a turn of the actor's own is under way, whose words are held
        self.pending: tuple[Operation, ...] = ()  # what is to be written, of turns that are over
        self.outbox = Outbox()  # what was said in them; once nothing is pending it may leave
        self.setback: Setback | None = None
        self._newest: bytes | None = None  # which state is written or pending; None: none is
        self._since = 0  # journal entries after it
        self._recorded: list[Append] = []  # in this turn
        self._said: list[Entry] = []
        self._parked: list[bool] = []  # an item while the disk is full; whoever pops it goes on

    # A turn

    def begin_turn(self) -> None:
        """From now on what the actor says is held."""
        self.in_turn = True

    def say(self, entry: Entry) -> None:
        """Hold `entry`, said in this turn."""
        self._said.append(entry)

    def record(self, entry: Append) -> None:
        """Have `entry` written after this turn."""
        self._recorded.append(entry)

    def end_turn(self, compose: Callable[[], Put]) -> None:
        """The turn returned: what it changed is pending, what it said is in the outbox.

        Raises:
            BaseException: what `compose()` raised; then nothing of this turn is pending.
        """
        self.in_turn = False
        added: list[Operation] = [*self._recorded]
        if self._is_journal():
            self._since += len(self._recorded)
            if self._is_snapshot_due():
                added.append(self._as_newest(compose()))
        else:
            put = compose()
            if self.is_new(put):
                added.append(self._as_newest(put))
        # Of a state the newest is enough; entries are nothing without those before them.
        self.pending = (*self.pending, *added) if self._is_journal() else tuple(added) or self.pending
        if self._said:
            self.outbox.put(self._said)
        self._forget_turn()

    def abort_turn(self) -> None:
        """The turn crashed: it has changed nothing and said nothing."""
        self.in_turn = False
        self._forget_turn()

    def must_hold(self) -> bool:
        """Whether what is said now must wait for something before it."""
        return bool(self.pending or self.outbox)

    def said_to(self, target: "Lanes") -> list[Tell]:
        """Take out what this turn has said to `target`."""
        found = [entry for entry in self._said if isinstance(entry, Tell) and entry.target is target]
        if found:
            self._said = [entry for entry in self._said if not (isinstance(entry, Tell) and entry.target is target)]
        return found

    def _is_journal(self) -> bool:
        return self.durability is Durability.JOURNAL

    def _is_snapshot_due(self) -> bool:
        # The first start writes one too: what `__init__` chose (an identity) must not be chosen again.
        return self._newest is None or self._since >= self._every

    def _as_newest(self, put: Put) -> Put:
        self._newest, self._since = fingerprint(put), 0
        return put

    def _forget_turn(self) -> None:
        if self._recorded:
            self._recorded = []
        if self._said:
            self._said = []

    # What is on disk

    def found(self, put: Put | None, *, entries: int) -> None:
        """What the actor took in at its start: the state in `put`, if there was any, and so many entries after it."""
        self._newest = None if put is None else fingerprint(put)
        self._since = entries

    def is_new(self, put: Put) -> bool:
        """Whether the state in `put` is another than the newest that is written or pending."""
        return self._newest != fingerprint(put)

    def unwritten(self) -> tuple[Operation, ...]:
        """What must be written before a snapshot that is taken in the middle of a turn, or at the end."""
        # A pending state is overtaken by the snapshot.
        return (*self.pending, *self._recorded) if self._is_journal() else ()

    def was_persisted(self, put: Put) -> None:
        """`put` is written, and what is `unwritten`."""
        self.pending, self._recorded = (), []
        self._as_newest(put)

    def was_written(self) -> None:
        """All that was pending is written."""
        self.pending = ()

    def failed(self, setback: Setback) -> None:
        """What was pending cannot be written: the answers that rest on it have to be given up, and nothing else leaves."""
        self.pending = ()
        setback.unanswered.extend(self.outbox.take_answers())
        self.setback = setback

    # From any thread

    def park(self) -> None:
        """Wait for space; whoever calls `take_parked` first goes on from here."""
        self._parked.append(True)

    def take_parked(self) -> bool:
        """Whether it waited for space, and the caller is to go on."""
        try:
            return self._parked.pop()
        except IndexError:
            return False

    def drop(self, why: Exception) -> None:
        """The end was declared: nothing leaves any more, and who asked hears `why`."""
        self.pending = ()
        self.outbox.drop(why)
        setback = self.setback
        if setback is None:
            return
        while setback.unanswered:
            try:
                setback.unanswered.pop().drop(why)
            except IndexError:  # another thread took the last one
                break
        if setback.reply is not None and not setback.has_begun:
            setback.reply.try_fail(why)


def fingerprint(put: Put) -> bytes:
    """What tells the packed state of `put` from every other. The state itself would have to be kept twice."""
    assert isinstance(put.state, Packed)
    return hashlib.blake2b(put.state.body, digest_size=16).digest()
