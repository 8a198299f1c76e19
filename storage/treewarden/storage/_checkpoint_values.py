"""The values of checkpoints in a store: read by digest, added where they are not there, collected where nobody needs them.

A value lies under its digest and is shared by every checkpoint that needs it. Beside these, each
checkpoint has one value of its own under its number: what its timers have left. A value that is there
and cannot be believed counts as not there when a checkpoint is written, so it is put again and mended;
and as damage, never as nothing, when one is read.

Not thread-safe: its owner holds a lock while values are looked for, put and collected.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, final

from treewarden.storage._canonical import DIGEST_BYTES, Digest, digest_of_bytes
from treewarden.storage._checkpoint_content import Content
from treewarden.storage._checkpoint_pages import decode, mark
from treewarden.storage._checkpoint_row import Checkpoint, CheckpointStatus, key_of, number_of
from treewarden.storage._contract import DropRow, PutRow, SnapshotStore, Table
from treewarden.storage._errors import ContentDamaged, RowCorrupt

__all__ = ["CheckpointValues", "StoredValue", "drop_values", "put_values", "put_volatile"]

_VOLATILE: Final = b"volatile"  # and eight bytes of a number: never as long as a digest
_ROWS_AT_ONCE: Final = 256


@final
@dataclass(frozen=True, slots=True)
class StoredValue:
    """A value of the store by its key; `size` is 0 for one that cannot be believed."""

    key: bytes
    size: int


def put_values(values: Mapping[Digest, bytes]) -> list[PutRow]:
    """The operations that store `values`."""
    return [PutRow(Table.VALUES, digest, body) for digest, body in values.items()]


def put_volatile(number: int, volatile: bytes) -> PutRow:
    """The operation that stores what the timers of checkpoint `number` have left."""
    return PutRow(Table.VALUES, _VOLATILE + key_of(number), volatile)


def drop_values(values: Iterable[StoredValue]) -> list[DropRow]:
    """The operations that remove `values`."""
    return [DropRow(Table.VALUES, value.key) for value in values]


@final
class CheckpointValues:
    """The table of values of `store`."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store

    def content_of(self, checkpoint: Checkpoint) -> Content:
        """Read the content of a completed checkpoint, all of it verified.

        Raises:
            ContentDamaged: a part is missing or cannot be believed.
            VersionTooNew: a newer release wrote it.
            StoreError: the medium cannot be read.
        """
        content = decode(_root_of(checkpoint), lambda: self._volatile(checkpoint.number), self._fetch)
        if content.scope != checkpoint.scope:
            raise ContentDamaged("the root", f"it is of {content.scope!r}, expected {checkpoint.scope!r}")
        return content

    def missing(self, values: Mapping[Digest, bytes]) -> dict[Digest, bytes]:
        """Those of `values` that are not in the store, or not whole."""
        return {digest: body for digest, body in values.items() if not self._has(digest)}

    def all(self) -> Iterator[StoredValue]:
        """Every value there is."""
        after = b""
        while rows := self._store.rows(Table.VALUES, after=after, limit=_ROWS_AT_ONCE):
            for row in rows:
                yield StoredValue(row.key, 0 if isinstance(row, RowCorrupt) else len(row.value))
            after = rows[-1].key

    def unneeded(self, kept: Iterable[Checkpoint]) -> list[StoredValue]:
        """The values that none of `kept` needs: mark, then sweep. What is under a foreign key is left alone.

        Raises:
            VersionTooNew: a newer release wrote one of them, so what it needs cannot be told.
        """
        kept = tuple(kept)
        needed: set[Digest] = set()
        for checkpoint in kept:
            if checkpoint.status is CheckpointStatus.COMPLETED:
                mark(_root_of(checkpoint), self._fetch, needed)
        numbers = {checkpoint.number for checkpoint in kept}
        return [value for value in self.all() if not _is_needed(value.key, needed, numbers)]

    def _volatile(self, number: int) -> bytes:
        what = f"what the timers of checkpoint {number} have left"
        volatile = self._believed(_VOLATILE + key_of(number), what)
        if volatile is None:
            raise ContentDamaged(what, "it is missing")
        return volatile

    def _has(self, digest: Digest) -> bool:
        try:
            body = self._store.row(Table.VALUES, digest)
        except RowCorrupt:
            return False
        return body is not None and digest_of_bytes(body) == digest

    def _fetch(self, digest: Digest) -> bytes | None:
        return self._believed(digest, f"value {digest.hex()}")

    def _believed(self, key: bytes, what: str) -> bytes | None:
        try:
            return self._store.row(Table.VALUES, key)
        except RowCorrupt as error:
            raise ContentDamaged(what, error.why) from error


def _root_of(checkpoint: Checkpoint) -> Digest:
    try:
        return Digest(bytes.fromhex(checkpoint.root or ""))
    except ValueError as error:
        raise ContentDamaged(
            f"the row of checkpoint {checkpoint.number}", f"its root is {checkpoint.root!r}, expected a digest"
        ) from error


def _is_needed(key: bytes, needed: set[Digest], numbers: set[int]) -> bool:
    if len(key) == DIGEST_BYTES:
        return key in needed
    if key.startswith(_VOLATILE) and len(key) == len(_VOLATILE) + len(key_of(0)):
        return number_of(key.removeprefix(_VOLATILE)) in numbers
    return True
