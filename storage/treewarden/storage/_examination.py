"""What is looked at before a store that lay on disk is believed: damage that a single read would not meet.

Records and rows carry checksums, but a changed *key* hides a sound record from whoever looks for it, and what
lies under the next key would pass for the truth. So once, when its owner opens a store, every key is visited:

- what is there is also found by its key: a changed key in a branch page leads a search astray;
- a record lies where it says: one under a wrong key is moved aside, and a marker stands at its true
  place, so that the path is blocked and not older than it was;
- a row that cannot be believed makes its table one in which "there is none" may be a lie;
- the meta database adds up, and is of the transaction that the file claims: a meta page whose transaction
  number was changed would make an older root the newest, without the last commits.

It follows `find_problems`, which proves the structure of the pages. Not seen: the newest transaction number
lowered by exactly two, which is what a kill before the last commit leaves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, final

from treewarden.storage._codec import claimed, decode, decode_row
from treewarden.storage._contract import Snapshot, Table
from treewarden.storage._errors import RowCorrupt, StoreUnusable
from treewarden.storage._lmdb_files import DATABASES, RESTORE, reading
from treewarden.storage._lmdb_tables import is_marker, key_of, stamp, stamp_problem, stamped
from treewarden.storage._shelf import QUARANTINED

if TYPE_CHECKING:
    import lmdb

    _Txn: TypeAlias = "lmdb.Transaction[memoryview]"  # generic in its stub only

__all__ = ["examine"]

_SEQUENCE_BYTES: Final = 8
_AT_ONCE: Final = 512  # keys that are looked for in one call


@final
@dataclass(frozen=True, slots=True)
class _Displaced:
    """A sound record that lies under `key` and belongs under `place`."""

    key: bytes
    place: bytes
    record: bytes


def examine(directory: Path, environment: "lmdb.Environment") -> frozenset[Table]:
    """Look at every key of the store that is open; the tables with a row that cannot be believed.

    Raises:
        StoreUnusable: a key leads astray, or the meta database does not add up.
    """
    with reading(directory):
        databases = {name: environment.open_db(name, create=False) for name in DATABASES}
        last = environment.info()["last_txnid"]
        with environment.begin(buffers=True) as txn:
            if why := stamp_problem(txn, databases[b"meta"], last=last):
                raise StoreUnusable(directory, why, RESTORE)
            for name, database in databases.items():
                if (lost := _unreachable(txn, database)) is not None:
                    raise StoreUnusable(
                        directory, f"{name.decode()} has the key {lost.hex()}, and a search does not find it", RESTORE
                    )
            displaced = {
                name: list(_displaced(txn, databases[name], databases[b"names"])) for name in (b"snap", b"journal")
            }
            tainted = [table for table in Table if _is_tainted(txn, table, databases[table.value.encode()])]
            is_stamped = last in {1, stamped(txn, databases[b"meta"])}
        if any(displaced.values()) or not is_stamped:
            with environment.begin(write=True, buffers=True) as txn:
                for name, found in displaced.items():
                    for each in found:
                        txn.delete(each.key, db=databases[name])
                        txn.put(each.place, each.record, db=databases[b"quarantine"])
                        txn.put(each.place, QUARANTINED, db=databases[name])
                stamp(txn, databases[b"meta"])
    return frozenset(tainted)


def _unreachable(txn: "_Txn", database: "lmdb._Database") -> bytes | None:
    with txn.cursor(db=database) as walker, txn.cursor(db=database) as seeker:
        keys: list[bytes] = []
        for key in walker.iternext(keys=True, values=False):
            keys.append(bytes(key))
            if len(keys) == _AT_ONCE:
                if (lost := _first_lost(seeker, keys)) is not None:
                    return lost
                keys.clear()
        return _first_lost(seeker, keys)


def _first_lost(seeker: "lmdb.Cursor[memoryview]", keys: list[bytes]) -> bytes | None:
    found = seeker.getmulti(keys)
    if len(found) == len(keys):
        return None
    there = {bytes(key) for key, _ in found}
    return next(key for key in keys if key not in there)


def _displaced(txn: "_Txn", database: "lmdb._Database", names: "lmdb._Database") -> Iterator[_Displaced]:
    with txn.cursor(db=database) as cursor:
        for key, value in cursor.iternext():
            if is_marker(value):
                continue
            record = bytes(value)
            if key_of(*claimed(record)) == bytes(key):
                continue
            found = decode(record)
            if not isinstance(found, Snapshot) or (place := key_of(found.path, found.sequence)) == bytes(key):
                continue
            # One whose true place is taken is damage of the place it lies at, and is met there.
            if txn.get(place, db=database) is None and not _is_met(txn, database, names, bytes(key), place):
                yield _Displaced(bytes(key), place, record)


def _is_met(txn: "_Txn", database: "lmdb._Database", names: "lmdb._Database", key: bytes, place: bytes) -> bool:
    """Whether who reads the path that `key` stands for meets the record there, as damage, before he would miss it."""
    path = key[:-_SEQUENCE_BYTES]
    if path != place[:-_SEQUENCE_BYTES]:
        return txn.get(path, db=names) is not None
    with txn.cursor(db=database) as cursor:
        return not (cursor.set_range(key) and cursor.next() and bytes(cursor.key()).startswith(path))


def _is_tainted(txn: "_Txn", table: Table, database: "lmdb._Database") -> bool:
    with txn.cursor(db=database) as cursor:
        for key, value in cursor.iternext():
            try:
                decode_row(table, bytes(key), bytes(value))
            except RowCorrupt:
                return True
    return False
