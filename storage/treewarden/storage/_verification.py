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
from typing import Final, TypeAlias, final

import lmdb

from treewarden.storage._codec import FORMAT, Damaged, TooNew, decode
from treewarden.storage._contract import Snapshot
from treewarden.storage._file_system import OnNetwork
from treewarden.storage._lmdb_files import find_problems, reading
from treewarden.storage._lmdb_tables import Tables, digest_of
from treewarden.storage._read_only import ReadOnly, open_read_only
from treewarden.storage._shelf import QUARANTINED

__all__ = [
    "NameDamaged",
    "RecordDamaged",
    "RecordTooNew",
    "StoreProblem",
    "StoreReport",
    "StructureDamaged",
    "verify_store",
]

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
    """What is kept at one place cannot be believed; everything else can. `path` is a description if it is unknown."""

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


StoreProblem: TypeAlias = StructureDamaged | RecordDamaged | RecordTooNew | NameDamaged


@final
@dataclass(frozen=True, slots=True)
class StoreReport:
    """What was found in the store at `path`; it is whole if there are no `problems`.

    `snapshots` are the records that can be believed, older ones included; `quarantined` those that
    were moved aside before.
    """

    path: Path
    bytes: int
    snapshots: int
    quarantined: int
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
            return StoreReport(source.directory, size, 0, 0, tuple(problems))
        Tables(source.directory, source.environment)  # refuses what is no store of ours
        with reading(source.directory):
            walk = _Walk(source, txn)
            problems += walk.problems()
        return StoreReport(source.directory, size, walk.snapshots, walk.quarantined, tuple(problems))


@final
class _Walk:
    """One pass over all that is kept, inside one transaction."""

    def __init__(self, source: ReadOnly, txn: "lmdb.Transaction[memoryview]") -> None:
        self.snapshots = self.quarantined = 0
        self._environment = source.environment
        self._txn = txn

    def problems(self) -> Iterator[StoreProblem]:
        """Everything that is wrong, in the order of the databases."""
        databases = {name: self._environment.open_db(name, create=False) for name in (b"names", b"snap", b"quarantine")}
        names = dict[bytes, str]()
        for key, value in self._each(databases[b"names"]):
            try:
                names[key] = value.decode()
            except UnicodeDecodeError:
                yield NameDamaged(key.hex())
            else:
                if digest_of(names[key]) != key:
                    del names[key]
                    yield NameDamaged(key.hex())
        for key, value in self._each(databases[b"snap"]):
            if value == QUARANTINED:
                continue
            if (found := _judge("snap", key, value, names)) is None:
                self.snapshots += 1
            else:
                yield found
        self.quarantined = self._txn.stat(databases[b"quarantine"])["entries"]

    def _each(self, database: "lmdb._Database") -> Iterator[tuple[bytes, bytes]]:
        with self._txn.cursor(db=database) as cursor:
            for key, value in cursor:
                yield bytes(key), bytes(value)


def _judge(database: str, key: bytes, record: bytes, names: dict[bytes, str]) -> StoreProblem | None:
    """What is wrong with `record` at the place `key`."""
    digest, sequence = key[:_DIGEST_BYTES], int.from_bytes(key[_DIGEST_BYTES:], "big")
    path = names.get(digest, f"the unknown path with digest {digest.hex()}")
    if len(key) != _KEY_BYTES:
        return RecordDamaged(database, path, sequence, f"its key has {len(key)} bytes, expected {_KEY_BYTES}")
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
