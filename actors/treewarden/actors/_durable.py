"""Actors whose state outlives them: the members of such a class, and how their state is written.

An actor is durable if and only if its class overrides `snapshot()`. How often its state is written
between orderly ends its `durability` says; `_kept` does that, and `_restoring` takes in what is kept.

A crash or a kill writes nothing of the message in hand: the state in memory may be what caused it.
"""

from typing import TYPE_CHECKING, Any, ClassVar, final

from treewarden import storage  # for `pack`, which loads the codec when it is first used, not when this is imported
from treewarden.actors._durability import Durability
from treewarden.actors._errors import TreewardenError
from treewarden.actors._exits import ExitReason, Normal, Shutdown
from treewarden.actors._ids import ActorPath
from treewarden.actors._snapshots import ACTOR_SCHEMA, Claim, ClaimLost, Snapshots
from treewarden.storage import Append, HolderIdentity, Operation, Put

if TYPE_CHECKING:
    from treewarden.actors._life import Life

__all__ = [
    "Durable",
    "Persist",
    "PersistedTooEarly",
    "Record",
    "class_path",
    "commit",
    "compose",
    "let_go",
    "persist",
    "record",
    "save_at_end",
    "schema_of",
]


class Durable:
    """The members by which an actor's state outlives it; `Actor` inherits them."""

    durability: ClassVar[Durability] = Durability.SNAPSHOT
    """When the state of an actor that overrides `snapshot()` is written, and when it is heard."""

    snapshot_every: ClassVar[int] = 100
    """Of class `JOURNAL`: how many entries are recorded until a snapshot is written."""

    snapshot_version: ClassVar[int] = 1
    """Which shape `snapshot()` returns. Raise it by one with each change, and teach `migrate` the step."""

    snapshot_schema: ClassVar[str | None] = None
    """The name the state is stored under; None for the class's own path. Set it when the class moves."""

    durable_messages: ClassVar[tuple[type, ...]] = ()
    """Types whose messages a checkpoint keeps while they wait or a `send_after` has yet to send them: dataclasses,
    or plain ones such as `dict`. Do not set a timer for such a message again in `on_start`: it is back already."""

    @classmethod
    def is_durable(cls) -> bool:
        """Whether the state of such an actor is kept: its class overrides `snapshot()`."""
        return cls.snapshot is not Durable.snapshot

    def snapshot(self) -> Any:
        """The whole state as plain values: what `restore` needs, and nothing else.

        None, bool, int, float, str, bytes, list, and dict with str or bytes keys. Overriding it
        makes the actor durable. It is called after each message (`SNAPSHOT`), so it should be quick
        and change nothing.
        """
        raise TypeError(f"{class_path(type(self))} overrides no snapshot(), so it has no state to keep")

    def restore(self, state: Any) -> None:  # noqa: ARG002 - for those who override it
        """Take in `state`, which `snapshot()` returned in an earlier life; runs between `__init__` and `on_start`.

        Not called if nothing was stored. If it raises, that state is set aside and the one before it
        is tried, on an object made anew.
        """
        raise TypeError(f"{class_path(type(self))} overrides snapshot() but not restore(state)")

    def replay(self, entry: Any) -> None:  # noqa: ARG002 - for those who override it
        """Do again what `entry` stands for: it was recorded after the state that is restored, or after `__init__`.

        Called for each such entry, oldest first, before `on_start`, as it was recorded by whichever
        version. If it raises, the start fails, and nothing that is stored is touched.
        """
        raise TypeError(f"{class_path(type(self))} is of class JOURNAL but overrides no replay(entry)")

    def lease_holder(self) -> HolderIdentity | None:
        """The process that holds what this state stands for, if it stands for that: a lease, a managed process.

        A checkpoint keeps it with the state, and does not bring the state back once that process has
        ended: whatever it held is somebody else's by then.
        """
        return None

    def migrate(self, state: Any, from_version: int) -> Any:  # noqa: ARG002 - for those who override it
        """`state`, written as version `from_version`, in the shape of the version after it.

        Called once for each step, oldest first; the result is stored with the next snapshot. It
        must be pure: it may run again, and its result may be thrown away.
        """
        raise TypeError(f"{class_path(type(self))} has no migrate(state, from_version) from version {from_version}")


@final
class Persist:
    """What is counted (`MessageFenced`) when an incarnation that was given up on tries to write its state."""


@final
class Record:
    """What is counted (`MessageFenced`) when an incarnation that was given up on tries to record an entry."""


@final
class PersistedTooEarly(TreewardenError):
    """In `__init__`, `restore` or `replay`: what is stored would be overwritten before it was taken in."""

    def __init__(self, path: ActorPath, what: str) -> None:
        super().__init__(f"{path} called {what}() before its stored state was restored; call it from on_start on")


def persist(incarnation: "Life") -> None:
    """Write the actor's state and return once it is durable; see `Context.persist`."""
    _claim_to_write(incarnation, Persist(), "persist")
    _write(incarnation, compose(incarnation))


def record(incarnation: "Life", entry: object) -> None:
    """Have `entry` written after this turn; see `Context.record`."""
    keeping = incarnation.keeping()
    assert incarnation.actor is not None
    if keeping is None or keeping.durability is not Durability.JOURNAL:
        raise TypeError(
            f"{class_path(type(incarnation.actor))} called record(); that is for durability = Durability.JOURNAL"
            " in a class that overrides snapshot()"
        )
    _claim_to_write(incarnation, Record(), "record")
    if not keeping.in_turn:
        raise RuntimeError(f"{incarnation.path} called record() in on_stop; an orderly end writes the whole state")
    # Packed here, so that what cannot be stored is refused at its line, and a later change of it is none.
    packed = storage.pack(incarnation.path, entry)
    keeping.record(Append(incarnation.path, *_stamp(incarnation), packed))


def save_at_end(incarnation: "Life", reason: ExitReason) -> None:
    """After `on_stop`: write the state of an actor that ends in good order."""
    claim = incarnation.claim
    # One that was given up on is silent here: it did not ask to write anything.
    if not isinstance(reason, Normal | Shutdown) or claim is None or not claim.recovered or incarnation.is_fenced():
        return
    put, keeping = compose(incarnation), incarnation.keeping()
    if keeping is None or keeping.is_new(put):
        _write(incarnation, put)


def let_go(incarnation: "Life") -> None:
    """Write nothing more: the end was declared. Safe from any thread, never blocks."""
    claim = incarnation.claim
    if claim is not None:
        incarnation.system.service(Snapshots).release(claim)


def compose(incarnation: "Life") -> Put:
    """The operation that writes the actor's state as it is now.

    Raises:
        OperationRefused: `snapshot()` returned what cannot be stored; says what.
        BaseException: what `snapshot()` raised.
    """
    assert incarnation.actor is not None
    return Put(incarnation.path, *_stamp(incarnation), storage.pack(incarnation.path, incarnation.actor.snapshot()))


def commit(incarnation: "Life", *operations: Operation) -> None:
    """Carry out `operations` on the state of `incarnation`; return once they are durable.

    Raises:
        Fenced: it was given up on; nothing was written.
        StoreError: the store refused, or the medium did; nothing was written.
    """
    assert incarnation.claim is not None
    try:
        incarnation.system.service(Snapshots).commit(incarnation.claim, operations)
    except ClaimLost:
        incarnation.refuse(Persist())


def schema_of(actor_class: type[Durable]) -> str:
    """What the state of such an actor is stored under."""
    return ACTOR_SCHEMA + (actor_class.snapshot_schema or class_path(actor_class))


def class_path(actor_class: type[object]) -> str:
    """The class as it is imported: `module:Class`."""
    return f"{actor_class.__module__}:{actor_class.__qualname__}"


def _claim_to_write(incarnation: "Life", what: Persist | Record, name: str) -> Claim:
    actor, claim = incarnation.actor, incarnation.claim
    assert actor is not None
    if incarnation.is_fenced():
        incarnation.refuse(what)
    if not actor.is_durable():
        raise TypeError(f"{class_path(type(actor))} overrides no snapshot(), so {name}() has nothing to write")
    if claim is None or not claim.recovered:
        raise PersistedTooEarly(incarnation.path, name)
    return claim


def _write(incarnation: "Life", put: Put) -> None:
    keeping = incarnation.keeping()
    commit(incarnation, *(() if keeping is None else keeping.unwritten()), put)
    if keeping is not None:
        keeping.was_persisted(put)


def _stamp(incarnation: "Life") -> tuple[str, int, int]:
    assert incarnation.actor is not None
    actor_class = type(incarnation.actor)
    return schema_of(actor_class), actor_class.snapshot_version, incarnation.generation
