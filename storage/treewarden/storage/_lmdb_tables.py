"""The databases of an LMDB store, and what a transaction does to them.

    meta        store_id, lib_version, layout, sequence (the highest used, u64)
    names       digest of a path -> the path; checks itself, since the digest is the key
    snap        digest + sequence (u64) -> a record, or the marker of a quarantined one
    quarantine  digest + sequence (u64) -> the bytes of a record moved aside

The digest is BLAKE2b of the path, 16 bytes: LMDB's keys end at 511 bytes, paths do not, and the
records of one path lie side by side, oldest first. Every function works inside the transaction it
is given and copies out what it returns. Nothing here is thread-safe: the caller owns the
transaction.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, assert_never, final

import lmdb

from treewarden.storage._codec import Prepared, PreparedPut, decode, encode
from treewarden.storage._contract import Discard, Quarantine, Snapshot
from treewarden.storage._errors import StoreUnusable
from treewarden.storage._lmdb_files import LAYOUT, LIB_VERSION, reading
from treewarden.storage._shelf import QUARANTINED, Place, Row, surplus

__all__ = ["Shelf", "Tables", "digest_of"]

_ABOVE_ANY_SEQUENCE: Final = b"\xff" * 8
_DIGEST_BYTES: Final = 16

_Txn: TypeAlias = "lmdb.Transaction[memoryview]"  # generic in its stub only


@final
@dataclass(frozen=True, slots=True)
class Shelf:
    """The rows of one path, newest first, copied out of a transaction."""

    digest: bytes
    path: str
    rows: tuple[Row, ...]


def digest_of(path: str) -> bytes:
    """The key prefix of `path`. Text that no record can name has a digest too, and is never found."""
    return hashlib.blake2b(path.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).digest()


@final
class Tables:
    """The open databases of one environment.

    Raises:
        StoreUnusable: if the file is LMDB's but not a treewarden store of a known layout.
    """

    def __init__(self, directory: Path, environment: lmdb.Environment) -> None:
        with reading(directory):
            self._meta = environment.open_db(b"meta", create=False)
            self._names = environment.open_db(b"names", create=False)
            self._snap = environment.open_db(b"snap", create=False)
            self._quarantine = environment.open_db(b"quarantine", create=False)
            with environment.begin() as txn:
                found = {key: txn.get(key, db=self._meta) for key in (b"layout", b"lib_version", b"store_id")}
        expected = {b"layout": b"%d" % LAYOUT, b"lib_version": b"%d" % LIB_VERSION, b"store_id": found[b"store_id"]}
        if found != expected or found[b"store_id"] is None:
            raise StoreUnusable(
                directory,
                f"its meta database says {found}",
                f"expected layout {LAYOUT} and lib_version {LIB_VERSION}: start the release that wrote it",
            )
        self.store_id: Final = found[b"store_id"].decode()
        self.layout: Final = LAYOUT

    def apply(self, txn: _Txn, commits: Iterable[tuple[Prepared, ...]]) -> list[int]:
        """Carry out the operations of `commits` in order; the highest sequence used after each."""
        sequence = int.from_bytes(txn.get(b"sequence", bytes(8), db=self._meta), "big")
        answers: list[int] = []
        for operations in commits:
            for operation in operations:
                match operation:
                    case PreparedPut():
                        sequence += 1
                        self._put(txn, operation, sequence)
                    case Discard(path):
                        self._discard(txn, digest_of(path))
                    case Quarantine(path, bad):
                        self._move_aside(txn, _key(digest_of(path), bad))
                    case _:
                        assert_never(operation)
            answers.append(sequence)
        txn.put(b"sequence", sequence.to_bytes(8, "big"), db=self._meta)
        return answers

    def rows(self, txn: _Txn, digest: bytes) -> tuple[Row, ...]:
        """The rows kept under `digest`, newest first."""
        found = [Row(sequence, bytes(value)) for sequence, value in self._walk(txn, self._snap, digest)]
        return tuple(reversed(found))

    def shelf_after(self, txn: _Txn, digest: bytes | None) -> Shelf | None:
        """The first shelf whose digest is above `digest`; None at the end."""
        with txn.cursor(db=self._snap) as cursor:
            if not (cursor.first() if digest is None else cursor.set_range(digest + _ABOVE_ANY_SEQUENCE)):
                return None
            following = bytes(cursor.key()[:_DIGEST_BYTES])
        rows = self.rows(txn, following)
        return Shelf(following, _path_of(following, txn.get(following, db=self._names), rows), rows)

    def _put(self, txn: _Txn, put: PreparedPut, sequence: int) -> None:
        digest = digest_of(put.path)
        earlier = [Place(older, _is_marker(value)) for older, value in self._walk(txn, self._snap, digest)]
        for older in surplus(earlier):
            txn.delete(_key(digest, older), db=self._snap)
        txn.put(_key(digest, sequence), encode(put, sequence=sequence), db=self._snap)
        txn.put(digest, put.path.encode(), db=self._names)

    def _discard(self, txn: _Txn, digest: bytes) -> None:
        for sequence in [sequence for sequence, _ in self._walk(txn, self._snap, digest)]:
            txn.delete(_key(digest, sequence), db=self._snap)
        if next(self._walk(txn, self._quarantine, digest), None) is None:
            txn.delete(digest, db=self._names)  # else the name still tells whose bytes lie in quarantine

    def _move_aside(self, txn: _Txn, key: bytes) -> None:
        record = txn.get(key, db=self._snap)
        if record is None or _is_marker(record):
            return
        # Copied before the first write: a write may move the page that the view looks into.
        kept = bytes(record)
        txn.put(key, kept, db=self._quarantine)
        txn.put(key, QUARANTINED, db=self._snap)

    def _walk(self, txn: _Txn, database: "lmdb._Database", digest: bytes) -> Iterator[tuple[int, memoryview]]:
        """The sequences and values under `digest`, oldest first; valid until the next write."""
        with txn.cursor(db=database) as cursor:
            found = cursor.set_range(digest)
            while found and (key := bytes(cursor.key())).startswith(digest):
                yield int.from_bytes(key[_DIGEST_BYTES:], "big"), cursor.value()
                found = cursor.next()


def _is_marker(value: memoryview) -> bool:
    return len(value) == len(QUARANTINED) and bytes(value) == QUARANTINED


def _key(digest: bytes, sequence: int) -> bytes:
    return digest + sequence.to_bytes(8, "big")


def _path_of(digest: bytes, name: memoryview | None, rows: Iterable[Row]) -> str:
    """The path that has `digest`: as `names` says, else as a readable record says, else a description."""
    named = [] if name is None else [bytes(name).decode(errors="replace")]
    recorded = [found.path for row in rows if isinstance(found := decode(row.record), Snapshot)]
    matching = (path for path in (*named, *recorded) if digest_of(path) == digest)
    return next(matching, f"<unknown path with digest {digest.hex()}>")
