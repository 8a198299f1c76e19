"""A look at a store for the doctor: at a copy of it, so that all of it can be read, and nothing is changed.

The copy is made as a backup is, also while a runtime writes, and is gone at the end, however that comes.
It is opened as a store of its own: a sweep of its checkpoints shows what one of the real store would do.
Where no copy can be made, for want of room, what read transactions show is looked at instead, and that
is said. What cannot be read is a fact like any other.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias, final

from treewarden.actors import Snapshots
from treewarden.actors.processes import PROCESS_SCHEMA, look_at
from treewarden.storage import (
    Checkpoint,
    CheckpointCorrupt,
    Checkpoints,
    CheckpointStatus,
    CopyFailed,
    LmdbStore,
    OnNetwork,
    RowCorrupt,
    RowDamaged,
    SchemaTooNew,
    Snapshot,
    SnapshotCorrupt,
    SnapshotMissing,
    StoreError,
    StoreReader,
    StoreReport,
    StoreUnusable,
    StructureDamaged,
    Table,
    VersionTooNew,
    back_up,
    leftovers,
    verify_store,
)
from treewarden.supervision_trees._doctor_facts import (
    CHECKPOINT_KEY,
    Area,
    CheckpointFact,
    CheckpointState,
    CorruptRecord,
    Fallback,
    StaleReader,
    StoreAbsent,
    StoreFacts,
    StoreRefused,
    StoreSeen,
    Unseen,
)

__all__ = ["COPY_PREFIX", "Progress", "StoreLook", "look_at_store", "processes_in"]

Progress: TypeAlias = Callable[[str, int, int], None]
"""What is done, how much of it, and of how much; bytes are "copied", all else is counted."""

COPY_PREFIX: Final = "treewarden-doctor-"  # of a directory where temporary files are
_UNREAD: Final = "its store cannot be read"
_ROWS_AT_ONCE: Final = 256
_DATA: Final = "data.mdb"


@final
@dataclass(frozen=True, slots=True)
class StoreLook:
    """What was seen of a store, and its newest process records that can be believed; `how` it was looked at, for people."""

    facts: StoreFacts
    store_id: str | None = None
    processes: tuple[Snapshot, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    how: str = "nothing"


def look_at_store(store: Path, *, progress: Progress | None) -> StoreLook:
    """Look at all of the store in `store`. Never raises for what it finds there."""
    try:
        if store.exists() and not store.is_dir():
            return StoreLook(StoreRefused("it is no directory", f"move {store} away"))
        if not (store / _DATA).exists():
            return StoreLook(_absent(store))
    except OSError as error:
        return StoreLook(StoreRefused(str(error), "give this user access to it"))
    try:
        directory = Path(tempfile.mkdtemp(prefix=COPY_PREFIX))
    except OSError as error:
        return _look_in_place(store, (_no_copy(str(error)),), None)
    with _working_in(directory):
        return _look(store, directory / "copy", progress)


@contextmanager
def _working_in(directory: Path) -> Generator[None]:
    """Remove `directory` at the end, and hold until then the lock that tells it from one that a killed doctor left."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        try:
            shutil.rmtree(directory)
        finally:
            os.close(descriptor)


def processes_in(store: Path) -> tuple[Snapshot, ...]:
    """The newest process records that can be believed, as they are now; of a store whose structure is sound.

    Raises:
        SchemaTooNew, StoreUnusable: it cannot be read.
    """
    with StoreReader.open(store, on_network=OnNetwork.ALLOW) as reader:
        return tuple(
            each for each in reader.snapshots() if isinstance(each, Snapshot) and each.schema == PROCESS_SCHEMA
        )


def _absent(store: Path) -> StoreAbsent:
    restored = store.resolve().with_name(f"{store.name}.restored")
    is_whole = (restored / _DATA).is_file()
    return StoreAbsent(
        is_begun=any(left.name == "creating" for left in leftovers(store)), restored=restored if is_whole else None
    )


def _look(store: Path, copy: Path, progress: Progress | None) -> StoreLook:
    try:
        # Before the copy, for that is a new file: what is wrong with this one's meta pages is not in it.
        first = verify_store(store, on_network=OnNetwork.ALLOW)
        if not first.is_readable:
            return _damaged(first)
        back_up(store, copy, progress=None if progress is None else lambda done, of: progress("copied", done, of))
    except CopyFailed as failed:
        return _look_in_place(store, (_no_copy(str(failed)),), None)
    except StoreUnusable as refused:
        return _look_at_refused(store, refused)
    except OSError as error:
        return StoreLook(StoreRefused(str(error), f"give this user access to {store}"), unseen=(_no_id(_UNREAD),))
    try:
        look = _look_at_copy(copy, progress)
    except StoreUnusable as error:  # what no walk over pages shows: a search for a key goes astray
        return _damaged(first, error.found)
    return _with_reader(store, look)


def _damaged(report: StoreReport, *found: str) -> StoreLook:
    problems = (*report.problems, *map(StructureDamaged, found))
    return StoreLook(StoreSeen(problems), unseen=(_no_id("its store is damaged"),), how="in place")


def _no_copy(why: str) -> Unseen:
    return Unseen(Area.CHECKPOINTS, "the contents of checkpoints", f"they are read in a copy: {why}", is_expected=True)


def _look_at_refused(store: Path, refused: StoreUnusable) -> StoreLook:
    """Tell a damaged file, and one on a network, from one that cannot be read."""
    try:
        report = verify_store(store, on_network=OnNetwork.ALLOW)
    except (StoreUnusable, OSError) as error:
        first = error if isinstance(error, StoreUnusable) else refused
        return StoreLook(StoreRefused(first.found, first.remedy), unseen=(_no_id(_UNREAD),))
    if not report.is_readable:
        return _damaged(report)
    try:
        verify_store(store)
    except StoreUnusable as network:  # nothing but the network is left to refuse
        return _look_in_place(store, (_no_copy(network.found),), network.found)
    return StoreLook(StoreRefused(refused.found, refused.remedy), unseen=(_no_id(_UNREAD),))


def _no_id(why: str) -> Unseen:
    return Unseen(Area.PROCESSES, "processes that a runtime started", f"{why}, so they cannot be told from others")


# In a copy


def _look_at_copy(copy: Path, progress: Progress | None) -> StoreLook:
    report = verify_store(copy, on_network=OnNetwork.ALLOW)
    with closing(LmdbStore.open(copy, on_network=OnNetwork.ALLOW)) as opened:
        records = _Records(report)
        for path in opened.paths():
            records.paths.add(path)
            try:
                records.note(opened.latest(path))
            except SnapshotCorrupt as corrupt:
                records.note(corrupt)
            except SnapshotMissing:
                records.bases[path] = 0  # a journal alone
            except SchemaTooNew:
                pass  # one of the report's problems
        unseen: tuple[Unseen, ...] = ()
        try:
            checkpoints = tuple(_checkpoints(opened, progress))
            seen = records.seen(checkpoints, *_unneeded(opened, report))
        except VersionTooNew as error:
            seen = records.seen((CheckpointFact(0, None, CheckpointState.TOO_NEW, str(error)),))
        except StoreError as error:
            seen, unseen = records.seen(None), (Unseen(Area.CHECKPOINTS, "checkpoints", str(error)),)
        return StoreLook(seen, opened.store_id, tuple(records.processes), unseen, "in a copy")


def _checkpoints(store: LmdbStore, progress: Progress | None) -> Iterator[CheckpointFact]:
    checkpoints = Checkpoints(store, wall=time.time)
    rows = checkpoints.all()
    for place, row in enumerate(rows):
        if progress is not None:
            progress("checkpoints verified", place, len(rows))
        match row:
            case RowCorrupt() if len(row.key) != CHECKPOINT_KEY:
                pass  # of no checkpoint; it is among the report's problems
            case RowCorrupt():
                yield CheckpointFact(
                    int.from_bytes(row.key, "big"), None, CheckpointState.ROW_DAMAGED, f"its row: {row.why}"
                )
            case Checkpoint(status=CheckpointStatus.IN_PROGRESS):
                yield CheckpointFact(row.number, row.scope, CheckpointState.UNFINISHED)
            case Checkpoint(status=CheckpointStatus.FAILED):
                yield CheckpointFact(row.number, row.scope, CheckpointState.FAILED)
            case Checkpoint():
                yield _verified(checkpoints, row)


def _verified(checkpoints: Checkpoints, row: Checkpoint) -> CheckpointFact:
    try:
        checkpoints.load(row.number)
    except CheckpointCorrupt as error:
        return CheckpointFact(row.number, row.scope, CheckpointState.DAMAGED, "; ".join(why for _, why in error.why))
    except VersionTooNew as error:
        return CheckpointFact(row.number, row.scope, CheckpointState.TOO_NEW, str(error))
    return CheckpointFact(row.number, row.scope, CheckpointState.GOOD)


def _unneeded(copy: LmdbStore, report: StoreReport) -> tuple[int, int, frozenset[bytes]]:
    """The values that a sweep removes, in number and in bytes, and which of the damaged ones are among them."""
    swept = Checkpoints(copy, wall=time.time).sweep()
    damaged = {
        problem.key
        for problem in report.problems
        if isinstance(problem, RowDamaged) and problem.table == Table.VALUES.value
    }
    return swept.values_removed, swept.bytes_removed, frozenset(damaged.difference(_keys(copy)))


def _keys(store: LmdbStore) -> Iterator[bytes]:
    """The keys of all values, damaged ones too: `row` would not say that there is none where one is damaged."""
    after = b""
    while rows := store.rows(Table.VALUES, after=after, limit=_ROWS_AT_ONCE):
        yield from (row.key for row in rows)
        after = rows[-1].key


# In place


def _look_in_place(store: Path, unseen: tuple[Unseen, ...], network: str | None) -> StoreLook:
    try:
        report = verify_store(store, on_network=OnNetwork.ALLOW)
        if not report.is_readable:
            return _damaged(report)
        records = _Records(report, network)
        with StoreReader.open(store, on_network=OnNetwork.ALLOW) as reader:
            store_id = reader.store_id
            try:
                for found in reader.snapshots():
                    records.note(found)
            except SchemaTooNew as error:
                unseen = (*unseen, Unseen(Area.STORE, "the records after it", str(error)))
    except StoreUnusable as error:
        return StoreLook(StoreRefused(error.found, error.remedy))
    look = StoreLook(records.seen(None), store_id, tuple(records.processes), unseen, "in place")
    return _with_reader(store, look)


def _with_reader(store: Path, look: StoreLook) -> StoreLook:
    """`look`, and whether the oldest reader of the store itself still lives."""
    assert isinstance(look.facts, StoreSeen)
    try:
        with StoreReader.open(store, on_network=OnNetwork.ALLOW) as reader:
            oldest = reader.statistics().oldest_reader
        if oldest is None or _lives(oldest.pid):
            return look
    except (StoreUnusable, OSError) as error:
        return replace(look, unseen=(*look.unseen, Unseen(Area.STORE, "who reads the store", str(error))))
    return replace(look, facts=replace(look.facts, stale_reader=StaleReader(oldest.pid, oldest.behind)))


def _lives(pid: int) -> bool:
    seen = look_at(pid)
    return seen is not None and seen.alive


# Records


@final
@dataclass(slots=True)
class _Records:
    """What the newest record of each path says, collected."""

    report: StoreReport
    network: str | None = None
    processes: list[Snapshot] = field(default_factory=list[Snapshot])
    paths: set[str] = field(default_factory=set[str])
    corrupt: list[CorruptRecord] = field(default_factory=list[CorruptRecord])
    bases: dict[str, int] = field(default_factory=dict[str, int])

    def note(self, found: Snapshot | SnapshotCorrupt) -> None:
        self.paths.add(found.path)
        if isinstance(found, Snapshot):
            if found.schema == PROCESS_SCHEMA:
                self.processes.append(found)
            self.bases[found.path] = found.sequence
            return
        fallback = found.fallback
        if fallback is not None:
            self.bases[found.path] = fallback.sequence
        self.corrupt.append(
            CorruptRecord(
                found.path,
                found.sequence,
                found.why,
                _kind(fallback),
                0 if fallback is None else fallback.sequence,
                found.is_quarantined,
            )
        )

    def seen(
        self,
        checkpoints: tuple[CheckpointFact, ...] | None,
        unneeded: int = 0,
        unneeded_bytes: int = 0,
        lonely: frozenset[bytes] = frozenset(),
    ) -> StoreSeen:
        return StoreSeen(
            problems=self.report.problems,
            quarantined=self.report.quarantined,
            quarantined_bytes=self.report.quarantined_bytes,
            network=self.network,
            paths=frozenset(self.paths),
            corrupt=tuple(self.corrupt),
            bases=dict(self.bases),
            checkpoints=checkpoints,
            unneeded_values=unneeded,
            unneeded_bytes=unneeded_bytes,
            lonely_values=lonely,
        )


def _kind(fallback: Snapshot | None) -> Fallback:
    if fallback is None:
        return Fallback.NONE
    if Snapshots.is_actor_state(fallback):
        return Fallback.STATE
    return Fallback.PROCESS if fallback.schema == PROCESS_SCHEMA else Fallback.OTHER
