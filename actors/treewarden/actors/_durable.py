"""Actors whose state outlives them: how it is kept, and how a new incarnation takes it in.

An actor is durable if and only if its class overrides `snapshot()`. What it persisted is restored
on its own turn, after `__init__` and before `on_start` and the first message, within its
`start_timeout` (supervision.md A.18):

- A record that cannot be decoded, or whose `restore` or `migrate` raises, is quarantined, and the
  one before it is tried, once, on an object made anew. It then becomes the newest.
- If there is none, or it fails too, the start fails with `StateUnusable`: an actor never starts
  empty in silence. The last record that can be read at all stays where it is, so that the next
  start tries again, perhaps with a mended class.
- What a newer version or another class wrote is no damage: it is refused and left alone.

A crash or a kill persists nothing: the state in memory may be what caused it.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Never, final

from treewarden.actors._errors import StateUnusable, TreewardenError, describe_error
from treewarden.actors._events import SnapshotFellBack, SnapshotQuarantined
from treewarden.actors._exits import ExitReason, Normal, Shutdown
from treewarden.actors._ids import ActorPath
from treewarden.actors._snapshots import ACTOR_SCHEMA, Claim, ClaimLost, Snapshots
from treewarden.storage import Operation, Put, Quarantine, SchemaTooNew, Snapshot, SnapshotCorrupt, SnapshotMissing

if TYPE_CHECKING:
    from treewarden.actors._life import Life
    from treewarden.actors._starting import Starting

__all__ = ["Durable", "Persist", "let_go", "migrated", "persist", "recover", "save_at_end"]


class Durable:
    """The members by which an actor's state outlives it; `Actor` inherits them."""

    snapshot_version: ClassVar[int] = 1
    """Which shape `snapshot()` returns. Raise it by one with each change, and teach `migrate` the step."""

    snapshot_schema: ClassVar[str | None] = None
    """The name the state is stored under; None for the class's own path. Set it when the class moves."""

    @classmethod
    def is_durable(cls) -> bool:
        """Whether the state of such an actor is kept: its class overrides `snapshot()`."""
        return cls.snapshot is not Durable.snapshot

    def snapshot(self) -> Any:
        """The whole state as plain values: what `restore` needs, and nothing else.

        None, bool, int, float, str, bytes, list, and dict with str or bytes keys. Overriding it
        makes the actor durable: its state is written by `self.context.persist()` and at every
        orderly end.
        """
        raise TypeError(f"{_class_path(type(self))} overrides no snapshot(), so it has no state to keep")

    def restore(self, state: Any) -> None:  # noqa: ARG002 - for those who override it
        """Take in `state`, which `snapshot()` returned in an earlier life; runs between `__init__` and `on_start`.

        Not called if nothing was stored. If it raises, that state is set aside and the one before it
        is tried, on an object made anew.
        """
        raise TypeError(f"{_class_path(type(self))} overrides snapshot() but not restore(state)")

    def migrate(self, state: Any, from_version: int) -> Any:  # noqa: ARG002 - for those who override it
        """`state`, written as version `from_version`, in the shape of the version after it.

        Called once for each step, oldest first; the result is stored with the next snapshot. It
        must be pure: it may run again, and its result may be thrown away.
        """
        raise TypeError(f"{_class_path(type(self))} has no migrate(state, from_version) from version {from_version}")


@final
@dataclass(frozen=True, slots=True)
class Persist:
    """What is counted (`MessageFenced`) when an incarnation that was given up on tries to write its state."""


def migrated(state: object, step: Callable[[Any, int], Any], *, found: int, known: int) -> object:
    """`state` of version `found` as one of version `known`, by one `step` for each version in between."""
    for version in range(found, known):
        state = step(state, version)
    return state


def recover(incarnation: "Starting", make: Callable[[], None]) -> None:
    """Have the actor take in what is stored of it, if it is durable; `make` fills its object in anew.

    Raises:
        StateUnusable: something is stored and cannot be used.
        StoreError: the store cannot be read or written; what it keeps is not judged.
        Fenced: the incarnation was given up on meanwhile.
    """
    actor = incarnation.actor
    assert actor is not None
    if not actor.is_durable():
        return
    if type(actor).restore is Durable.restore:
        raise TypeError(f"{_class_path(type(actor))} overrides snapshot() but not restore(state): override both")
    snapshots = incarnation.system.service(Snapshots)
    try:
        claim = incarnation.claim = snapshots.claim(incarnation.path, unless=incarnation.has_ended)
    except ClaimLost:
        return  # given up on a moment ago
    # The end may have been declared before the claim was there to be let go; `let_go` has the counterpart.
    if incarnation.has_ended():
        snapshots.release(claim)
        return
    _Recovery(incarnation, snapshots, claim, make).run()
    claim.recovered = True


def persist(incarnation: "Life") -> None:
    """Write the actor's state and return once it is durable; see `Context.persist`."""
    actor, claim = incarnation.actor, incarnation.claim
    assert actor is not None
    if incarnation.is_fenced():
        incarnation.refuse(Persist())
    if not actor.is_durable():
        raise TypeError(f"{_class_path(type(actor))} overrides no snapshot(), so persist() has nothing to write")
    if claim is None or not claim.recovered:
        raise _PersistedTooEarly(incarnation.path)
    put = Put(
        incarnation.path,
        _schema(type(actor)),
        actor.snapshot_version,
        incarnation.generation,
        actor.snapshot(),
    )
    _commit(incarnation, incarnation.system.service(Snapshots), claim, put)


def save_at_end(incarnation: "Life", reason: ExitReason) -> None:
    """After `on_stop`: write the state of an actor that ends in good order."""
    claim = incarnation.claim
    # One that was given up on is silent here: it did not ask to write anything.
    if isinstance(reason, Normal | Shutdown) and claim is not None and claim.recovered and not incarnation.is_fenced():
        persist(incarnation)


def let_go(incarnation: "Life") -> None:
    """Write nothing more: the end was declared. Safe from any thread, never blocks."""
    claim = incarnation.claim
    if claim is not None:
        incarnation.system.service(Snapshots).release(claim)


@final
class _PersistedTooEarly(TreewardenError):
    """In `__init__` or `restore`: what is stored would be overwritten before it was taken in."""

    def __init__(self, path: ActorPath) -> None:
        super().__init__(f"{path} called persist() before its stored state was restored; call it from on_start on")


@final
class _Recovery:
    """One start's way through what is stored of its path."""

    def __init__(self, incarnation: "Starting", snapshots: Snapshots, claim: Claim, make: Callable[[], None]) -> None:
        assert incarnation.actor is not None
        self._incarnation, self._snapshots, self._claim, self._make = incarnation, snapshots, claim, make
        self._actor = incarnation.actor
        self._path = incarnation.path

    def run(self) -> None:
        try:
            newest = self._snapshots.newest(self._path)
        except SnapshotMissing:
            return
        except SchemaTooNew as error:
            self._give_up(str(error), error)
        except SnapshotCorrupt as corrupt:
            if not corrupt.is_quarantined:
                self._set_aside(corrupt.sequence, corrupt.why)
            self._fall_back(corrupt.fallback, f"record {corrupt.sequence}: {corrupt.why}", None)
        else:
            failed = self._take_in(newest)
            if failed is not None:
                self._replace(newest, failed)

    def _replace(self, newest: Snapshot, failed: "_Failed") -> None:
        """Use the snapshot before `newest`, which the actor could not take in."""
        try:
            older = self._snapshots.older(self._path)
        except SchemaTooNew as error:
            self._give_up(f"{failed}; {error}", error)
        if older is None:
            # It is all there is: moved aside, no start could ever try it again.
            self._give_up(f"{failed}, and there is no older one; it is kept", failed.error)
        self._set_aside(newest.sequence, str(failed))
        self._incarnation.make_again(self._make)
        self._fall_back(older, str(failed), failed.error)

    def _fall_back(self, older: Snapshot | None, why: str, cause: BaseException | None) -> None:
        if older is None:
            self._give_up(f"{why}; there is no older one", cause)
        # The actor may keep and change what it is given; what is written below must be what was stored.
        failed = self._take_in(replace(older, state=deepcopy(older.state)))
        if failed is not None:
            self._give_up(f"{why}; the older one: {failed}", failed.error)
        # As the newest, before `on_start`: else every later start would find the quarantined one again.
        put = Put(self._path, older.schema, older.version, self._incarnation.generation, older.state)
        _commit(self._incarnation, self._snapshots, self._claim, put)
        self._incarnation.system.events.emit(SnapshotFellBack(self._path, older.sequence, older.written_at))

    def _set_aside(self, sequence: int, why: str) -> None:
        _commit(self._incarnation, self._snapshots, self._claim, Quarantine(self._path, sequence))
        self._incarnation.system.events.emit(SnapshotQuarantined(self._path, why))

    def _take_in(self, snapshot: Snapshot) -> "_Failed | None":
        """Restore `snapshot`; why that failed, if the actor's own code did.

        Raises:
            StateUnusable: it is of another class or version; the actor's code was not asked.
        """
        self._check(snapshot)
        doing = "migrate"
        try:
            state = migrated(
                snapshot.state, self._actor.migrate, found=snapshot.version, known=self._actor.snapshot_version
            )
            doing = "restore"
            self._actor.restore(state)
        except BaseException as error:  # actor boundary: whatever it raises means that it cannot use this state
            # No judgement on the state: a fenced actor may raise because it is fenced, and the other is a
            # mistake in its code.
            if self._incarnation.is_fenced() or isinstance(error, _PersistedTooEarly):
                raise
            return _Failed(snapshot.sequence, doing, error)
        return None

    def _check(self, snapshot: Snapshot) -> None:
        actor_class, known = type(self._actor), self._actor.snapshot_version
        expected = _schema(actor_class)
        if snapshot.schema != expected:
            self._give_up(
                f"found {snapshot.schema!r}, expected {expected!r}; if that is the same actor under an earlier"
                f" name, set snapshot_schema in its class"
            )
        if snapshot.version > known:
            self._give_up(f"found version {snapshot.version}, {_class_path(actor_class)} knows up to {known}")
        if snapshot.version < known and actor_class.migrate is Durable.migrate:
            self._give_up(
                f"found version {snapshot.version}, expected {known} or a migrate() in {_class_path(actor_class)}"
            )

    def _give_up(self, why: str, cause: BaseException | None = None) -> Never:
        raise StateUnusable(self._path, why) from cause


@final
@dataclass(frozen=True, slots=True)
class _Failed:
    """The actor's code raised `error` over the record `sequence`."""

    sequence: int
    doing: str
    error: BaseException

    def __str__(self) -> str:
        return f"record {self.sequence}: {self.doing} raised {describe_error(self.error)}"


def _commit(incarnation: "Life", snapshots: Snapshots, claim: Claim, operation: Operation) -> None:
    try:
        snapshots.commit(claim, [operation])
    except ClaimLost:
        incarnation.refuse(Persist())


def _schema(actor_class: type[Durable]) -> str:
    return ACTOR_SCHEMA + (actor_class.snapshot_schema or _class_path(actor_class))


def _class_path(actor_class: type[object]) -> str:
    return f"{actor_class.__module__}:{actor_class.__qualname__}"
