"""The databases of an LMDB store, and what a transaction does to them.

    meta        store_id, lib_version, layout, sequence (the highest used, u64), stamp (see `stamp`)
    names       digest of a path -> the path; checks itself, since the digest is the key
    snap        digest + sequence (u64) -> a record, or the marker of a quarantined one
    journal     digest + sequence (u64) -> a record, one entry
    quarantine  digest + sequence (u64) -> the bytes of a record moved aside, of either
    checkpoints, values, events         -> rows: a key of the caller's, a value with a checksum

A store of layout 1 lacks the last four; opening it for writing adds them.

The digest is BLAKE2b of the path, 16 bytes: LMDB's keys end at 511 bytes, paths do not, and the
records of one path lie side by side, oldest first. Every function works inside the transaction it
is given and copies out what it returns. Nothing here is thread-safe: the caller owns the
transaction.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from hashlib import blake2b
from itertools import groupby, islice
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias, assert_never, final

import lmdb

from treewarden.storage._codec import (
    MAX_KEY_BYTES,
    Prepared,
    PreparedAppend,
    PreparedPut,
    crc32c,
    decode,
    encode,
    encode_row,
)
from treewarden.storage._contract import CutJournal, Discard, DropRow, PutRow, Quarantine, Snapshot, Table
from treewarden.storage._errors import StoreUnusable
from treewarden.storage._lmdb_files import DATABASES, LAYOUT, LIB_VERSION, reading
from treewarden.storage._shelf import QUARANTINED, Row, fallback_and_surplus, trims_journal

__all__ = ["Shelf", "Shelves", "Tables", "digest_of", "is_marker", "key_of", "stamp", "stamp_problem", "stamped"]

_ABOVE_ANY_SEQUENCE: Final = b"\xff" * 8
_DIGEST_BYTES: Final = 16
_STAMPED: Final = (b"store_id", b"lib_version", b"layout", b"sequence")
_LAYOUTS: Final = (b"1", b"%d" % LAYOUT)  # what can be opened

_Txn: TypeAlias = "lmdb.Transaction[memoryview]"  # generic in its stub only
_Cursor: TypeAlias = "lmdb.Cursor[memoryview]"


class Shelf(NamedTuple):
    """The rows of one path, newest first, copied out of a transaction."""

    digest: bytes
    path: str
    rows: tuple[Row, ...]


def digest_of(path: str) -> bytes:
    """The key prefix of `path`. Text that no record can name has a digest too, and is never found."""
    return _digest(path.encode("utf-8", "surrogatepass"))


@final
class Shelves:
    """The snapshots of one environment, to be read: all that a look into a store of any known layout needs.

    With a transaction they are valid in that alone: LMDB closes what a read transaction opened, and gives
    its handle to the next database that is opened. Without one they are valid in every later transaction.

    Raises:
        StoreUnusable: if the file is LMDB's but not a treewarden store of a known layout.
    """

    def __init__(self, directory: Path, environment: lmdb.Environment, txn: "_Txn | None" = None) -> None:
        with reading(directory):
            self.meta: Final = environment.open_db(b"meta", txn=txn, create=False)
            with nullcontext(txn) if txn is not None else environment.begin(buffers=True) as look:
                kept = {key: look.get(key, db=self.meta) for key in (b"layout", b"lib_version", b"store_id")}
                found = {key: None if value is None else bytes(value) for key, value in kept.items()}
        store_id, layout = found[b"store_id"], found[b"layout"]
        if found[b"lib_version"] != b"%d" % LIB_VERSION or layout not in _LAYOUTS or store_id is None:
            raise StoreUnusable(
                directory,
                f"its meta database says {found}",
                f"expected layout {LAYOUT} and lib_version {LIB_VERSION}: start the release that wrote it",
            )
        self.store_id: Final = store_id.decode(errors="replace")
        self.layout: Final = int(layout)
        with reading(directory):
            self.names: Final = environment.open_db(b"names", txn=txn, create=False)
            self.snap: Final = environment.open_db(b"snap", txn=txn, create=False)

    def rows(self, txn: _Txn, digest: bytes) -> tuple[Row, ...]:
        """The rows kept under `digest`, newest first."""
        found = [Row(sequence, bytes(value)) for sequence, value in _walk(txn, self.snap, digest)]
        return tuple(reversed(found))

    def shelves_after(self, txn: _Txn, digest: bytes | None, *, limit: int) -> list[Shelf]:
        """Up to `limit` shelves whose digests are above `digest`, in their order; fewer only at the end."""
        shelves: list[Shelf] = []
        with txn.cursor(db=self.snap) as cursor, txn.cursor(db=self.names) as names:
            if cursor.first() if digest is None else cursor.set_range(digest + _ABOVE_ANY_SEQUENCE):
                for following, places in islice(groupby(cursor.iternext(), _digest_in), limit):
                    rows = [Row(_sequence_in(key), bytes(value)) for key, value in places]
                    rows.reverse()
                    shelves.append(Shelf(following, _path_of(following, names.get(following), rows), tuple(rows)))
        return shelves


@final
class Tables:
    """The open databases of one environment, to read and to write; a store of an older layout is brought up to this one.

    Raises:
        StoreUnusable: if the file is LMDB's but not a treewarden store of a known layout.
    """

    def __init__(self, directory: Path, environment: lmdb.Environment) -> None:
        self._shelves = Shelves(directory, environment)
        self.store_id: Final = self._shelves.store_id
        self._meta, self._names, self._snap = self._shelves.meta, self._shelves.names, self._shelves.snap
        with reading(directory):
            if self._shelves.layout != LAYOUT:
                self._upgrade(environment)
            self._journal = environment.open_db(b"journal", create=False)
            self._quarantine = environment.open_db(b"quarantine", create=False)
            self._rows = {table: environment.open_db(table.value.encode(), create=False) for table in Table}

    def _upgrade(self, environment: lmdb.Environment) -> None:
        """From layout 1: add what it lacks. In one transaction: a store is of one layout or the other."""
        with environment.begin(write=True, buffers=True) as txn:
            for name in DATABASES:
                environment.open_db(name, txn=txn)
            txn.put(b"layout", b"%d" % LAYOUT, db=self._meta)
            stamp(txn, self._meta)

    # Writing

    def apply(self, txn: _Txn, commits: Iterable[Sequence[Prepared]]) -> list[int]:
        """Carry out the operations of `commits` in order; the highest sequence used after each."""
        sequence = int.from_bytes(txn.get(b"sequence", bytes(8), db=self._meta), "big")  # the stamp proves it is there
        answers: list[int] = []
        # Most stores keep no journal, and then no snapshot need look for entries that it makes superfluous.
        journals = txn.stat(self._journal)["entries"] > 0
        with txn.cursor(db=self._snap) as snap:  # one for all: making it costs more than a step of it
            for operations in commits:
                for operation in operations:
                    match operation:
                        case PreparedPut():
                            sequence += 1
                            fallback = self._put(txn, snap, operation, sequence)
                            if journals and fallback is not None:
                                self._trim_journal(txn, operation.path, fallback)
                        case PreparedAppend(entry):
                            sequence += 1
                            journals = True
                            digest = digest_of(entry.path)
                            txn.put(_key(digest, sequence), encode(entry, sequence=sequence), db=self._journal)
                            self._note_name(txn, digest, entry.path)
                        case Discard(path):
                            self._discard(txn, digest_of(path))
                        case Quarantine(path, bad):
                            self._move_aside(txn, _key(digest_of(path), bad))
                        case CutJournal(path, bad):
                            self._cut(txn, digest_of(path), bad)
                        case PutRow(table, key):
                            # LMDB would write a smaller value over a large one of the same transaction, keep all of
                            # its pages, and `lmdb.verify` would call the file damaged.
                            txn.delete(key, db=self._rows[table])
                            txn.put(key, encode_row(operation), db=self._rows[table])
                        case DropRow(table, key):
                            txn.delete(key, db=self._rows[table])
                        case _:
                            assert_never(operation)
                answers.append(sequence)
        txn.put(b"sequence", sequence.to_bytes(8, "big"), db=self._meta)
        stamp(txn, self._meta)
        return answers

    def touch(self, txn: _Txn) -> None:
        """Write something that changes nothing: whether it can be committed tells whether there is room."""
        stamp(txn, self._meta)

    # Reading

    def rows(self, txn: _Txn, digest: bytes) -> tuple[Row, ...]:
        """The rows kept under `digest`, newest first."""
        return self._shelves.rows(txn, digest)

    def journal(self, txn: _Txn, digest: bytes, *, after: int) -> tuple[Row, ...]:
        """The journal's rows under `digest` whose sequence is above `after`, oldest first."""
        entries = _walk(txn, self._journal, digest, start=after + 1)
        return tuple(Row(sequence, bytes(value)) for sequence, value in entries)

    def shelves_after(self, txn: _Txn, digest: bytes | None, *, limit: int) -> list[Shelf]:
        """Up to `limit` shelves whose digests are above `digest`, in their order; fewer only at the end."""
        return self._shelves.shelves_after(txn, digest, limit=limit)

    def paths(self, txn: _Txn) -> list[str]:
        """The paths with a snapshot or a journal, sorted."""
        digests = {
            bytes(key[:_DIGEST_BYTES]) for database in (self._snap, self._journal) for key in _keys(txn, database)
        }
        with txn.cursor(db=self._names) as names:
            return sorted(
                _path_of(
                    digest, names.get(digest), (Row(at, bytes(kept)) for at, kept in _walk(txn, self._snap, digest))
                )
                for digest in digests  # the records are walked only where the name does not tell
            )

    def table_row(self, txn: _Txn, table: Table, key: bytes) -> bytes | None:
        """What is kept under `key`, its checksum included; a key no row can have is none's."""
        kept = txn.get(key, db=self._rows[table]) if 0 < len(key) <= MAX_KEY_BYTES else None
        return None if kept is None else bytes(kept)

    def table_rows(self, txn: _Txn, table: Table, *, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Keys above `after`, ascending, with what is kept under them."""
        kept: list[tuple[bytes, bytes]] = []
        with txn.cursor(db=self._rows[table]) as cursor:
            found = cursor.set_range(after) if after else cursor.first()
            if found and bytes(cursor.key()) == after:
                found = cursor.next()
            while found and len(kept) < limit:
                kept.append((bytes(cursor.key()), bytes(cursor.value())))
                found = cursor.next()
        return kept

    def last_table_row(self, txn: _Txn, table: Table) -> tuple[bytes, bytes] | None:
        """The highest key, with what is kept under it."""
        with txn.cursor(db=self._rows[table]) as cursor:
            return (bytes(cursor.key()), bytes(cursor.value())) if cursor.last() else None

    # Parts of writing

    def _put(self, txn: _Txn, snap: _Cursor, put: PreparedPut, sequence: int) -> bytes | None:
        """Put the snapshot; the key of the one that stays below it, if one does."""
        digest = digest_of(put.path)
        earlier: list[bytes] = []  # keys: they sort as the sequences in them do
        quarantined: list[bytes] = []
        found = snap.set_range(digest)
        while found and (key := bytes(snap.key())).startswith(digest):
            earlier.append(key)
            if is_marker(snap.value()):
                quarantined.append(key)
            found = snap.next()
        fallback, gone = fallback_and_surplus(earlier, quarantined=quarantined)
        for key in gone:
            if snap.set_key(key):
                snap.delete()
        if not earlier:
            self._note_name(txn, digest, put.path)
        snap.put(_key(digest, sequence), encode(put, sequence=sequence))
        return fallback

    def _note_name(self, txn: _Txn, digest: bytes, path: str) -> None:
        txn.put(digest, path.encode(), db=self._names, overwrite=False)

    def _trim_journal(self, txn: _Txn, path: str, key: bytes) -> None:
        """Drop the entries that the fallback under `key` covers, once it was read back: they may be needed in its place."""
        digest, fallback = key[:_DIGEST_BYTES], _sequence_in(key)
        covered = [entry for entry, _ in _walk(txn, self._journal, digest) if entry <= fallback]
        if covered and trims_journal(path, Row(fallback, bytes(txn.get(key, b"", db=self._snap)))):
            self._drop(txn, self._journal, digest, covered)

    def _discard(self, txn: _Txn, digest: bytes) -> None:
        for database in (self._snap, self._journal):
            self._drop(txn, database, digest, [sequence for sequence, _ in _walk(txn, database, digest)])
        if next(_walk(txn, self._quarantine, digest), None) is None:
            txn.delete(digest, db=self._names)  # else the name still tells whose bytes lie in quarantine

    def _drop(self, txn: _Txn, database: "lmdb._Database", digest: bytes, sequences: Iterable[int]) -> None:
        for sequence in sequences:
            txn.delete(_key(digest, sequence), db=database)

    def _move_aside(self, txn: _Txn, key: bytes) -> None:
        record = txn.get(key, db=self._snap)
        if record is None or is_marker(record):
            return
        # Copied before the first write: a write may move the page that the view looks into.
        kept = bytes(record)
        txn.put(key, kept, db=self._quarantine)
        txn.put(key, QUARANTINED, db=self._snap)

    def _cut(self, txn: _Txn, digest: bytes, sequence: int) -> None:
        entries = [(later, bytes(value)) for later, value in _walk(txn, self._journal, digest, start=sequence)]
        if entries and entries[0][0] == sequence:
            for later, kept in entries:
                txn.put(_key(digest, later), kept, db=self._quarantine)
            self._drop(txn, self._journal, digest, [later for later, _ in entries])


def _digest(path: bytes) -> bytes:
    return blake2b(path, digest_size=_DIGEST_BYTES).digest()


def _keys(txn: _Txn, database: "lmdb._Database") -> Iterator[memoryview]:
    with txn.cursor(db=database) as cursor:
        yield from cursor.iternext(keys=True, values=False)


def _walk(txn: _Txn, database: "lmdb._Database", digest: bytes, *, start: int = 0) -> Iterator[tuple[int, memoryview]]:
    """The sequences from `start` on, and the values, under `digest`, oldest first; valid until the next write."""
    with txn.cursor(db=database) as cursor:
        if cursor.set_range(_key(digest, start)):
            for key, value in cursor.iternext():
                if bytes(key[:_DIGEST_BYTES]) != digest:
                    return
                yield _sequence_in(key), value


def _digest_in(place: tuple[memoryview, memoryview]) -> bytes:
    return bytes(place[0][:_DIGEST_BYTES])


def _sequence_in(key: memoryview | bytes) -> int:
    return int.from_bytes(key[_DIGEST_BYTES:], "big")


def stamp(txn: _Txn, meta: "lmdb._Database") -> None:
    """Write down which transaction this is, with a checksum over the whole meta database; every write ends with it."""
    txn.put(b"stamp", (number := txn.id().to_bytes(8, "big")) + _meta_checksum(txn, meta, number), db=meta)


def stamped(txn: _Txn, meta: "lmdb._Database") -> int:
    """The transaction that was written down last; 0 if none was."""
    return int.from_bytes(txn.get(b"stamp", b"", db=meta)[:8], "big")


def stamp_problem(txn: _Txn, meta: "lmdb._Database", *, last: int) -> str | None:
    """What is wrong with the meta database of a file whose last transaction is `last`; None if nothing is."""
    kept = bytes(txn.get(b"stamp", b"", db=meta))
    if not kept:
        return None  # of a layout or a creation that had none yet: the first commit writes it
    if kept[8:] != _meta_checksum(txn, meta, kept[:8]):
        return "its meta database does not add up"
    # A compacted copy begins to count anew. By an odd number it is somebody else who wrote: odd and even
    # numbers have a meta page each, so a root that is older than its number is that by an even one.
    if last != (written := int.from_bytes(kept[:8], "big")) and last > 1 and (last - written) % 2 == 0:
        return f"its meta pages say transaction {last}, what they lead to is of transaction {written}"
    return None


def _meta_checksum(txn: _Txn, meta: "lmdb._Database", number: bytes) -> bytes:
    named = (name + bytes(txn.get(name, b"", db=meta)) for name in _STAMPED)
    return crc32c(b"\0".join((number, *named))).to_bytes(4, "big")


def is_marker(value: memoryview) -> bool:
    return len(value) == len(QUARANTINED) and bytes(value) == QUARANTINED


def key_of(path: str, sequence: int) -> bytes:
    """The key of the record `sequence` of `path`."""
    return _key(digest_of(path), sequence)


def _key(digest: bytes, sequence: int) -> bytes:
    return digest + sequence.to_bytes(8, "big")


def _path_of(digest: bytes, name: memoryview | None, rows: Iterable[Row]) -> str:
    """The path that has `digest`: as `names` says, else as a readable record says, else a description."""
    if name is not None and _digest(kept := bytes(name)) == digest:
        return kept.decode(errors="replace")
    recorded = (found.path for row in rows if isinstance(found := decode(row.record), Snapshot))
    matching = (path for path in recorded if digest_of(path) == digest)
    return next(matching, f"<unknown path with digest {digest.hex()}>")
