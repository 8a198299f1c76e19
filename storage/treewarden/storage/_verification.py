"""Whether a store is whole: its pages and trees, and the checksum of everything it keeps.

First the structure is walked by `lmdb.verify`, which reads the file itself: the engine could crash on
a page that is damaged, and is asked for nothing until the walk found none. Then each record is
decoded at its place. Both happen in one read transaction, so a store that a runtime writes meanwhile
is judged as it was at one moment. What was quarantined is counted and not judged: it is damaged, and
known to be. Nothing is repaired here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, final

from treewarden.storage._codec import FORMAT, Damaged, TooNew, decode, decode_row
from treewarden.storage._contract import Snapshot, Table
from treewarden.storage._errors import RowCorrupt
from treewarden.storage._file_system import OnNetwork
from treewarden.storage._lmdb_files import DATABASES, LAYOUT, find_problems, reading
from treewarden.storage._lmdb_tables import Shelves, digest_of, stamp_problem
from treewarden.storage._read_only import ReadOnly, open_read_only
from treewarden.storage._shelf import QUARANTINED

if TYPE_CHECKING:
    import lmdb

__all__ = [
    "NameDamaged",
    "RecordDamaged",
    "RecordTooNew",
    "RowDamaged",
    "StoreProblem",
    "StoreReport",
    "StructureDamaged",
    "verify_store",
]

DATABASES_OF_1: Final = DATABASES[:4]  # of layout 1; later ones were added behind them
_DIGEST_BYTES: Final = 16
_KEY_BYTES: Final = 24


@final
@dataclass(frozen=True, slots=True)
class StructureDamaged:
    """The file itself is damaged: no store in this state may be opened. Restore a backup."""

    why: str

    def __str__(self) -> str:
        return f"the file: {self.why}"


@final
@dataclass(frozen=True, slots=True)
class RecordDamaged:
    """What is kept at one place cannot be believed; everything else can.

    `path` is a description if it is unknown, `sequence` 0, which no record has, if the key is damaged.
    """

    database: str
    path: str
    sequence: int
    why: str

    def __str__(self) -> str:
        return f"{self.database} record {self.sequence} of {self.path}: {self.why}"


@final
@dataclass(frozen=True, slots=True)
class RecordTooNew:
    """A newer release wrote the record; it is whole."""

    database: str
    path: str
    sequence: int
    found: int
    known: int

    def __str__(self) -> str:
        return (
            f"{self.database} record {self.sequence} of {self.path}: a newer release wrote it, in format {self.found};"
            f" this one reads up to {self.known}"
        )


@final
@dataclass(frozen=True, slots=True)
class NameDamaged:
    """The path of the records under `digest` is not the one they were kept under; they tell it themselves."""

    digest: str

    def __str__(self) -> str:
        return f"the name of the records under {self.digest} is damaged"


@final
@dataclass(frozen=True, slots=True)
class RowDamaged:
    """A row of `table` cannot be believed."""

    table: str
    key: bytes
    why: str

    def __str__(self) -> str:
        return f"{self.table} row {self.key.hex()}: {self.why}"


StoreProblem: TypeAlias = StructureDamaged | RecordDamaged | RecordTooNew | NameDamaged | RowDamaged


@final
@dataclass(frozen=True, slots=True)
class StoreReport:
    """What was found in the store at `path`; it is whole if there are no `problems`.

    `snapshots`, `entries` (of journals) and `rows` (of checkpoints and the event journal) are those
    that can be believed, older ones included; `quarantined` is what was moved aside before, with so many bytes.
    """

    path: Path
    bytes: int
    snapshots: int
    entries: int
    rows: int
    quarantined: int
    quarantined_bytes: int
    problems: tuple[StoreProblem, ...]

    @property
    def is_readable(self) -> bool:
        """Whether the store may be opened: records may be damaged, its structure is not."""
        return not any(isinstance(problem, StructureDamaged) for problem in self.problems)


def verify_store(directory: Path, *, on_network: OnNetwork = OnNetwork.REFUSE) -> StoreReport:
    """Look at every page and every record of the store in `directory`; also while a runtime writes it.

    Raises:
        StoreUnusable: there is no store to look at, or this user or this process may not.
    """
    with open_read_only(directory, on_network=on_network) as source:
        return _report_on(source)


def _report_on(source: ReadOnly) -> StoreReport:
    with source.transaction() as txn:
        size = source.data.stat().st_size
        problems: list[StoreProblem] = [StructureDamaged(why) for why in find_problems(source.data)]
        if problems:
            return StoreReport(source.directory, size, 0, 0, 0, 0, 0, tuple(problems))
        shelves = Shelves(source.directory, source.environment, txn)  # refuses what is no store of ours
        with reading(source.directory):
            if (why := stamp_problem(txn, shelves.meta, last=txn.id())) is not None:
                return StoreReport(source.directory, size, 0, 0, 0, 0, 0, (StructureDamaged(why),))
            walk = _Walk(source, txn)
            problems += walk.problems(shelves)
        return StoreReport(
            source.directory,
            size,
            walk.snapshots,
            walk.entries,
            walk.rows,
            walk.quarantined,
            walk.quarantined_bytes,
            tuple(problems),
        )


@final
class _Walk:
    """One pass over all that is kept, inside one transaction."""

    def __init__(self, source: ReadOnly, txn: "lmdb.Transaction[memoryview]") -> None:
        self.snapshots = self.entries = self.rows = self.quarantined = self.quarantined_bytes = 0
        self._databases = source.databases(txn)
        self._txn = txn

    def problems(self, shelves: Shelves) -> Iterator[StoreProblem]:
        """Everything that is wrong, in the order of the databases."""
        expected = DATABASES if shelves.layout == LAYOUT else DATABASES_OF_1
        missing = [name.decode() for name in expected if name.decode() not in self._databases]
        if missing:  # the name of one is damaged, and what it keeps cannot be found
            yield StructureDamaged(f"it has no database {', '.join(missing)}, only {', '.join(self._databases)}")
            return
        names = dict[bytes, str]()
        for key, value in self._each("names"):
            path = value.decode(errors="replace")
            if digest_of(path) == key:
                names[key] = path
            else:
                yield NameDamaged(key.hex())
        for key, value in self._each("snap"):
            if value == QUARANTINED:
                continue
            if (found := _judge("snap", key, value, names)) is None:
                self.snapshots += 1
            else:
                yield found
        for _, value in self._each("quarantine"):
            self.quarantined += 1
            self.quarantined_bytes += len(value)
        if shelves.layout == LAYOUT:  # an older one has none of these
            for key, value in self._each("journal"):
                if (found := _judge("journal", key, value, names)) is None:
                    self.entries += 1
                else:
                    yield found
            for table in Table:
                yield from self._rows(table)

    def _rows(self, table: Table) -> Iterator[RowDamaged]:
        for key, value in self._each(table.value):
            try:
                decode_row(table, key, value)
            except RowCorrupt as error:
                yield RowDamaged(table.value, key, error.why)
            else:
                self.rows += 1

    def _each(self, name: str) -> Iterator[tuple[bytes, bytes]]:
        with self._txn.cursor(db=self._databases[name]) as cursor:
            for key, value in cursor:
                yield bytes(key), bytes(value)


def _judge(database: str, key: bytes, record: bytes, names: dict[bytes, str]) -> StoreProblem | None:
    """What is wrong with `record` at the place `key`."""
    digest, sequence = key[:_DIGEST_BYTES], int.from_bytes(key[_DIGEST_BYTES:], "big")
    path = names.get(digest, f"the unknown path with digest {digest.hex()}")
    if len(key) != _KEY_BYTES:
        return RecordDamaged(database, path, 0, f"its key has {len(key)} bytes, expected {_KEY_BYTES}")
    match decode(record):
        case Damaged(why):
            return RecordDamaged(database, path, sequence, why)
        case TooNew(found):
            return RecordTooNew(database, path, sequence, found=found, known=FORMAT)
        case Snapshot() as snapshot if digest_of(snapshot.path) != digest:
            return RecordDamaged(database, path, sequence, f"it belongs to {snapshot.path!r}")
        case Snapshot() as snapshot if snapshot.sequence != sequence:
            return RecordDamaged(database, path, sequence, f"it is record {snapshot.sequence}")
        case Snapshot():
            return None
