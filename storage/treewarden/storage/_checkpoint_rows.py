"""The table of checkpoints in a store: rows by number, in the order of their numbers."""

from collections.abc import Iterator
from typing import Final, final

from treewarden.storage._checkpoint_row import Checkpoint, CheckpointStatus, key_of, number_of, row_from, value_of
from treewarden.storage._contract import DropRow, PutRow, SnapshotStore, Table, TableRow
from treewarden.storage._errors import CheckpointMissing, RowCorrupt

__all__ = ["CheckpointRows", "drop_row", "put_row"]

_ROWS_AT_ONCE: Final = 256


def put_row(checkpoint: Checkpoint) -> PutRow:
    """The operation that writes the row of `checkpoint`."""
    return PutRow(Table.CHECKPOINTS, key_of(checkpoint.number), value_of(checkpoint))


def drop_row(number: int) -> DropRow:
    """The operation that removes the row of checkpoint `number`."""
    return DropRow(Table.CHECKPOINTS, key_of(number))


@final
class CheckpointRows:
    """The rows in `store`, read anew each time. Safe from any thread."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store

    def all(self) -> list[Checkpoint | RowCorrupt]:
        """Every row, oldest first; one that cannot be believed is given as a value."""
        return [row if isinstance(row, RowCorrupt) else row_from(row.key, row.value) for row in self._stored()]

    def get(self, number: int) -> Checkpoint:
        """The row of `number`; `CheckpointMissing` or `RowCorrupt` if there is none to be believed."""
        value = self._store.row(Table.CHECKPOINTS, key_of(number)) if 0 <= number < 2**64 else None
        if value is None:
            raise CheckpointMissing(f"checkpoint {number}")
        found = row_from(key_of(number), value)
        if isinstance(found, RowCorrupt):
            raise found
        return found

    def highest(self) -> int:
        """The highest number there is a row of, also of one that cannot be believed; 0 without any."""
        last = self._store.last_row(Table.CHECKPOINTS)
        return 0 if last is None else number_of(last.key)

    def newest_completed(self, scope: str) -> Checkpoint | None:
        """The completed checkpoint of `scope` with the highest number, its content unseen."""
        for row in reversed(self.all()):
            if isinstance(row, Checkpoint) and row.scope == scope and row.status is CheckpointStatus.COMPLETED:
                return row
        return None

    def _stored(self) -> Iterator[TableRow | RowCorrupt]:
        after = b""
        while rows := self._store.rows(Table.CHECKPOINTS, after=after, limit=_ROWS_AT_ONCE):
            yield from rows
            after = rows[-1].key
