"""How a new incarnation of a durable actor takes in what is stored of its path.

On its own turn, after `__init__` and before `on_start` and the first message, within its
`start_timeout` (supervision.md A.18):

- A record that cannot be decoded, or whose `restore` or `migrate` raises, is quarantined, and the
  one before it is tried, once, on an object made anew. It then becomes the newest.
- If there is none, or it fails too, the start fails with `StateUnusable`: an actor never starts
  empty in silence. The last record that can be read at all stays where it is, so that the next
  start tries again, perhaps with a mended class.
- What a newer version or another class wrote is no damage: it is refused and left alone.
- The journal after the record that is used is replayed. So the older record loses nothing that was
  recorded. A damaged entry is cut off with all that came after it, and an event says so; an entry whose
  `replay` raises fails the start, and stays. Entries that the class would not replay are refused.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Never, final

from treewarden import storage  # for `pack`, as in `_durable`
from treewarden.actors._durability import Durability
from treewarden.actors._durable import Durable, PersistedTooEarly, class_path, commit, compose, schema_of
from treewarden.actors._errors import StateUnusable, describe_error
from treewarden.actors._events import JournalCut, SnapshotFellBack, SnapshotQuarantined
from treewarden.actors._snapshots import ClaimLost, Snapshots
from treewarden.storage import (
    CutJournal,
    JournalEntry,
    Put,
    Quarantine,
    SchemaTooNew,
    Snapshot,
    SnapshotCorrupt,
    SnapshotMissing,
)

if TYPE_CHECKING:
    from treewarden.actors._starting import Starting

__all__ = ["migrated", "recover"]


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
    if not _is_to_be_kept(type(actor)):
        return
    snapshots = incarnation.system.service(Snapshots)
    try:
        claim = incarnation.claim = snapshots.claim(incarnation.path, unless=incarnation.has_ended)
    except ClaimLost:
        return  # given up on a moment ago
    # The end may have been declared before the claim was there to be let go; `let_go` has the counterpart.
    if incarnation.has_ended():
        snapshots.release(claim)
        return
    _Recovery(incarnation, snapshots, make).run()
    claim.recovered = True


def _is_to_be_kept(actor_class: type[Durable]) -> bool:
    is_journal = actor_class.durability is Durability.JOURNAL
    name = class_path(actor_class)
    if not actor_class.is_durable():
        if is_journal:
            raise TypeError(f"{name} is of class JOURNAL but overrides no snapshot(): it keeps the journal short")
        return False
    if actor_class.restore is Durable.restore:
        raise TypeError(f"{name} overrides snapshot() but not restore(state): override both")
    if is_journal and actor_class.replay is Durable.replay:
        raise TypeError(f"{name} is of class JOURNAL but overrides no replay(entry)")
    return True


@final
class _Recovery:
    """One start's way through what is stored of its path."""

    def __init__(self, incarnation: "Starting", snapshots: Snapshots, make: Callable[[], None]) -> None:
        assert incarnation.actor is not None
        self._incarnation, self._snapshots, self._make = incarnation, snapshots, make
        self._actor = incarnation.actor
        self._path = incarnation.path
        self._replayed = 0

    def run(self) -> None:
        try:
            newest = self._snapshots.newest(self._path)
        except SnapshotMissing:
            self._replay(after=0)
            self._found(None)
        except SchemaTooNew as error:
            self._give_up(str(error), error)
        except SnapshotCorrupt as corrupt:
            if not corrupt.is_quarantined:
                self._set_aside(corrupt.sequence, corrupt.why)
            self._fall_back(corrupt.fallback, f"record {corrupt.sequence}: {corrupt.why}", None)
        else:
            found = self._as_found(newest)
            failed = self._take_in(newest)
            if failed is None:
                self._found(found)
            else:
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
        if self._replayed:
            put = compose(self._incarnation)  # it covers the entries after the older one
            self._replayed = 0
        else:
            generation = self._incarnation.generation
            put = Put(self._path, older.schema, older.version, generation, storage.pack(self._path, older.state))
        commit(self._incarnation, put)
        self._found(put)
        self._incarnation.system.events.emit(SnapshotFellBack(self._path, older.sequence, older.written_at))

    def _set_aside(self, sequence: int, why: str) -> None:
        commit(self._incarnation, Quarantine(self._path, sequence))
        self._incarnation.system.events.emit(SnapshotQuarantined(self._path, why))

    def _take_in(self, snapshot: Snapshot) -> "_Failed | None":
        """Restore `snapshot` and replay what came after it; why the former failed, if the actor's own code did.

        Raises:
            StateUnusable: it is of another class or version, and the actor's code was not asked; or what came after
                it cannot be replayed.
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
            if self._says_nothing(error):
                raise
            return _Failed(snapshot.sequence, doing, error)
        self._replay(after=snapshot.sequence)
        return None

    def _replay(self, *, after: int) -> None:
        """Have the actor do again what it recorded after the record `after`."""
        journal = self._snapshots.journal(self._path, after=after)
        if journal.entries or journal.damage is not None:
            self._check_replays()
        for entry in journal.entries:
            self._check_entry(entry)
            try:
                self._actor.replay(entry.entry)
            except BaseException as error:  # actor boundary: whatever it raises means that it cannot do this again
                if self._says_nothing(error):
                    raise
                # Nothing is set aside: it would be the same with the snapshot before it.
                self._give_up(f"{_Failed(entry.sequence, 'replay', error)}; it is kept", error)
        self._replayed = len(journal.entries)
        damage = journal.damage
        if damage is not None:
            # Only now: what came before is taken in, so nothing is cut in vain.
            commit(self._incarnation, CutJournal(self._path, damage.sequence))
            self._incarnation.system.events.emit(
                JournalCut(self._path, damage.sequence, damage.why, lost=1 + damage.later)
            )

    def _says_nothing(self, error: BaseException) -> bool:
        """Whether `error` is no judgement on what is stored."""
        # A fenced actor may raise because it is fenced, and the other is a mistake in its code.
        return self._incarnation.is_fenced() or isinstance(error, PersistedTooEarly)

    def _check(self, snapshot: Snapshot) -> None:
        actor_class, known = type(self._actor), self._actor.snapshot_version
        self._check_schema(snapshot.schema)
        if snapshot.version > known:
            self._give_up(f"found version {snapshot.version}, {class_path(actor_class)} knows up to {known}")
        if snapshot.version < known and actor_class.migrate is Durable.migrate:
            self._give_up(
                f"found version {snapshot.version}, expected {known} or a migrate() in {class_path(actor_class)}"
            )

    def _check_replays(self) -> None:
        actor_class = type(self._actor)
        if actor_class.durability is not Durability.JOURNAL:
            self._give_up(
                f"found a journal after its newest snapshot, and {class_path(actor_class)} is of class"
                f" {actor_class.durability.name}, which replays none; stop it in good order as JOURNAL once"
            )

    def _check_entry(self, entry: JournalEntry) -> None:
        self._check_schema(entry.schema)
        if entry.version > self._actor.snapshot_version:
            known = self._actor.snapshot_version
            self._give_up(
                f"found journal entry {entry.sequence} of version {entry.version},"
                f" {class_path(type(self._actor))} knows up to {known}"
            )

    def _check_schema(self, found: str) -> None:
        expected = schema_of(type(self._actor))
        if found != expected:
            self._give_up(
                f"found {found!r}, expected {expected!r}; if that is the same actor under an earlier"
                f" name, set snapshot_schema in its class"
            )

    def _as_found(self, snapshot: Snapshot) -> Put | None:
        """What is stored, to compare with; None if it must be written again, being of an older version."""
        if self._incarnation.keeping() is None or snapshot.version != self._actor.snapshot_version:
            return None
        # Before the actor has it: it may change what it is given.
        packed = storage.pack(self._path, snapshot.state)
        return Put(self._path, snapshot.schema, snapshot.version, snapshot.generation, packed)

    def _found(self, put: Put | None) -> None:
        keeping = self._incarnation.keeping()
        if keeping is not None:
            keeping.found(put, entries=self._replayed)

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
