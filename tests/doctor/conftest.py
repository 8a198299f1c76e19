"""State directories with a store in them that tests damage, and what the doctor says of them."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import lmdb
import pytest

from treewarden.actors import SystemClock
from treewarden.storage import (
    ActorEntry,
    Checkpoints,
    Content,
    LmdbStore,
    Operation,
    Put,
    Table,
    Trigger,
    pack,
)
from treewarden.storage._codec import crc32c
from treewarden.storage._lmdb_tables import digest_of
from treewarden.supervision_trees._doctor_visit import Visit, examine, rehearse, treat
from treewarden.supervision_trees._findings import Finding, FindingKind, Outcome, verb

ACTOR = "actor:counter"  # a schema of durable actors


class Patient:
    """A state directory, what happens to its store, and what the doctor finds."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.store = state / "store"

    def commit(self, *operations: Operation) -> int:
        with closing(LmdbStore.open(self.store)) as store:
            return store.commit(operations).result(10)

    def put(self, path: str, *states: object, schema: str = ACTOR) -> int:
        """Put `states` as snapshots of `path`, one after another; the sequence of the last."""
        return [self.commit(Put(path, schema, 1, 1, state)) for state in states][-1]

    def opened(self) -> "closing[LmdbStore]":
        return closing(LmdbStore.open(self.store))

    def checkpoint(self, scope: str, state: object) -> int:
        """Take a checkpoint of one actor below `scope`; its number."""
        entry = ActorEntry(f"{scope}/a", "s", 1, pack("", state))
        with self.opened() as store:
            checkpoints = Checkpoints(store, wall=lambda: 1_700_000_000.0)
            number = checkpoints.begin(scope, Trigger.MANUAL)
            content = Content(scope, {entry.path: entry}, {})
            assert checkpoints.complete(number, content, events_through=None, paused=0.0).number == number
            return number

    # Damage

    def flip(self, database: str, key: bytes) -> None:
        """Change the last byte of what is kept under `key`."""
        self.rewrite(database, key, lambda kept: kept[:-1] + bytes([kept[-1] ^ 1]))

    def flip_record(self, path: str, sequence: int, database: str = "snap") -> None:
        self.flip(database, digest_of(path) + sequence.to_bytes(8, "big"))

    def raise_format(self, path: str, sequence: int) -> None:
        """Make of a record what a later release would write."""

        def change(record: bytes) -> bytes:
            covered = record[:4] + (2).to_bytes(2, "big") + record[6:-4]
            return covered + crc32c(covered).to_bytes(4, "big")

        self.rewrite("snap", digest_of(path) + sequence.to_bytes(8, "big"), change)

    def rewrite(self, database: str, key: bytes, change: Callable[[bytes], bytes]) -> None:
        with lmdb.open(str(self.store), max_dbs=16, lib_version=0) as raw:
            opened = raw.open_db(database.encode(), create=False)
            with raw.begin(write=True) as txn:
                kept = txn.get(key, db=opened)
                assert kept is not None
                txn.put(key, change(bytes(kept)), db=opened)
        LmdbStore.open(self.store).close()  # it notes that a transaction came between its own

    def values(self) -> list[bytes]:
        """The keys of all values of checkpoints."""
        with self.opened() as store:
            return [row.key for row in store.rows(Table.VALUES, limit=1000)]

    # The doctor

    def examine(self) -> Visit:
        return examine(self.state)

    def rehearse(self) -> Visit:
        return rehearse(self.state)

    def treat(self) -> Visit:
        return treat(self.state, clock=SystemClock())

    def findings(self) -> list[tuple[str, str, str | None]]:
        """Kind, severity and verb of each finding."""
        return [told(finding) for finding in self.examine().findings]

    def one(self, kind: FindingKind) -> Finding:
        """The only finding of `kind`."""
        (found,) = [finding for finding in self.examine().findings if finding.kind is kind]
        return found


def told(finding: Finding) -> tuple[str, str, str | None]:
    return (
        finding.kind.value,
        finding.severity.value,
        None if finding.remedy is None else verb(finding.remedy),
    )


def files_below(root: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and bytes of everything below `root`; of LMDB's lock file only that it is there, for each look enters it."""
    found: dict[str, tuple[int, bytes]] = {}
    for file in sorted(root.rglob("*")):
        is_plain = file.is_file() and file.name != "lock.mdb"
        found[str(file.relative_to(root))] = (file.lstat().st_mode, file.read_bytes() if is_plain else b"")
    return found


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    """A sound store that keeps "new", and before it "old", of the durable actor /dev/a."""
    made = Patient(tmp_path / "state")
    made.state.mkdir(mode=0o700)
    made.put("/dev/a", "old", "new")
    return made


@pytest.fixture
def unchanged() -> Callable[[Path], dict[str, tuple[int, bytes]]]:
    """What is below a directory, to compare."""
    return files_below


@pytest.fixture
def done() -> Callable[[Visit], dict[str, str]]:
    """What became of each remedy, by verb and place."""

    def of(visit: Visit) -> dict[str, str]:
        results: dict[str, str] = {}
        for result in visit.results:
            assert result.finding.remedy is not None
            results[f"{verb(result.finding.remedy)} {result.finding.where}"] = result.outcome.value
            if result.outcome is Outcome.FAILED:
                print(result.why)
        return results

    return of
