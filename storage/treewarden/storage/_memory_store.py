"""The store of a runtime without a state directory, and of tests: nothing outlives the object.

It packs and judges with the code of the durable store, so it refuses what that one would refuse,
gives back fresh copies, and answers the same errors. A commit happens on the caller's thread; its
future is resolved when `commit` returns.
"""

import heapq
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Final, assert_never, final

from treewarden.storage._codec import (
    Prepared,
    PreparedAppend,
    PreparedPut,
    decode_row,
    encode,
    encode_row,
    prepare,
)
from treewarden.storage._contract import (
    CutJournal,
    Discard,
    DropRow,
    Journal,
    Operation,
    PutRow,
    Quarantine,
    Snapshot,
    StoreState,
    Table,
    TableRow,
)
from treewarden.storage._errors import RowCorrupt, SnapshotCorrupt, SnapshotMissing, StoreClosed
from treewarden.storage._group_commit import settle
from treewarden.storage._shelf import (
    QUARANTINED,
    Row,
    fallback_and_surplus,
    judge,
    judge_journal,
    judge_older,
    judge_row,
    trims_journal,
)

__all__ = ["MemoryStore"]


@final
class MemoryStore:
    """A `SnapshotStore` in a dict. Safe from any thread.

    Args:
        wall: wall seconds, called on the committing thread.
    """

    def __init__(self, *, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._store_id: Final = uuid.uuid4().hex
        # Guards everything below. Never held while a future is resolved, so callbacks may call us.
        self._lock = threading.Lock()
        self._closed = False
        self._sequence = 0
        self._shelves: dict[str, dict[int, bytes]] = {}
        self._journals: dict[str, dict[int, bytes]] = {}
        self._aside: dict[tuple[str, int], bytes] = {}
        self._tables: dict[Table, dict[bytes, bytes]] = {table: {} for table in Table}

    @property
    def store_id(self) -> str:
        """32 hexadecimal digits, made once for this object."""
        return self._store_id

    @property
    def state(self) -> StoreState:
        """Whether it takes commits: until it is closed."""
        with self._lock:
            return StoreState.CLOSED if self._closed else StoreState.OPEN

    def on_state(self, listener: Callable[[StoreState], object]) -> None:
        """It is never full, so `listener` is never called."""

    def when_writable(self, callback: Callable[[], object]) -> None:
        """Call `callback` here and now."""
        settle(callback)

    def commit(self, operations: Sequence[Operation]) -> "Future[int]":
        """Carry out `operations` at once; see `SnapshotStore.commit`."""
        written_at = self._wall()
        prepared = [prepare(operation, written_at=written_at) for operation in operations]
        with self._lock:
            self._refuse_closed()
            for operation in prepared:
                self._apply(operation)
            answer = self._sequence
        future = Future[int]()
        future.set_result(answer)
        return future

    def latest(self, path: str) -> Snapshot:
        """Read the newest snapshot of `path`; see `SnapshotStore.latest` for the errors."""
        found = self._judged(path)
        if found is None:
            raise SnapshotMissing(path)
        if isinstance(found, SnapshotCorrupt):
            raise found
        return found

    def older(self, path: str) -> Snapshot | None:
        """Read the snapshot before the newest; see `SnapshotStore.older`."""
        return judge_older(path, self._rows(path))

    def paths(self) -> list[str]:
        """Every path of which anything is kept; see `SnapshotStore.paths`."""
        with self._lock:
            self._refuse_closed()
            return sorted({*self._shelves, *(path for path, entries in self._journals.items() if entries)})

    def journal(self, path: str, *, after: int) -> Journal:
        """Read what was appended for `path` above sequence `after`; see `SnapshotStore.journal`."""
        with self._lock:
            self._refuse_closed()
            kept = self._journals.get(path, {})
            rows = [Row(sequence, kept[sequence]) for sequence in sorted(kept) if sequence > after]
        return judge_journal(path, rows)

    def row(self, table: Table, key: bytes) -> bytes | None:
        """Read one row; see `SnapshotStore.row`."""
        with self._lock:
            self._refuse_closed()
            kept = self._tables[table].get(key)
        return None if kept is None else decode_row(table, key, kept)

    def rows(self, table: Table, *, after: bytes = b"", limit: int) -> list[TableRow | RowCorrupt]:
        """Read rows in the order of their keys; see `SnapshotStore.rows`."""
        with self._lock:
            self._refuse_closed()
            kept = self._tables[table]
            chosen = [(key, kept[key]) for key in heapq.nsmallest(limit, (key for key in kept if key > after))]
        return [judge_row(table, key, value) for key, value in chosen]

    def last_row(self, table: Table) -> TableRow | RowCorrupt | None:
        """Read the row with the highest key; see `SnapshotStore.last_row`."""
        with self._lock:
            self._refuse_closed()
            kept = self._tables[table]
            key = max(kept, default=None)
            value = b"" if key is None else kept[key]
        return None if key is None else judge_row(table, key, value)

    def scan(self) -> Iterator[Snapshot | SnapshotCorrupt]:
        """Read the newest snapshot of every path; see `SnapshotStore.scan`."""
        with self._lock:
            self._refuse_closed()
            paths = tuple(self._shelves)
        found = (self._judged(path) for path in paths)
        return (each for each in found if each is not None)

    def close(self) -> None:
        """Refuse everything from now on. Closing twice does nothing."""
        with self._lock:
            self._closed = True

    def _judged(self, path: str) -> Snapshot | SnapshotCorrupt | None:
        rows = self._rows(path)
        return judge(path, rows) if rows else None

    def _rows(self, path: str) -> list[Row]:
        with self._lock:
            self._refuse_closed()
            shelf = self._shelves.get(path, {})
            return [Row(sequence, shelf[sequence]) for sequence in sorted(shelf, reverse=True)]

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreClosed("this memory store")

    def _apply(self, operation: Prepared) -> None:
        match operation:
            case PreparedPut(path=path):
                self._sequence += 1
                shelf = self._shelves.setdefault(path, {})
                quarantined = [place for place, record in shelf.items() if record == QUARANTINED]
                _, gone = fallback_and_surplus(sorted(shelf), quarantined=quarantined)
                for older in gone:
                    del shelf[older]
                self._trim_journal(path, shelf)
                shelf[self._sequence] = encode(operation, sequence=self._sequence)
            case PreparedAppend(entry):
                self._sequence += 1
                self._journals.setdefault(entry.path, {})[self._sequence] = encode(entry, sequence=self._sequence)
            case Discard(path):
                self._shelves.pop(path, None)
                self._journals.pop(path, None)
            case Quarantine(path, bad):
                record = self._shelves.get(path, {}).get(bad)
                if record is not None and record != QUARANTINED:
                    self._aside[path, bad] = record
                    self._shelves[path][bad] = QUARANTINED
            case CutJournal(path, bad):
                entries = self._journals.get(path, {})
                if bad in entries:
                    for later in [sequence for sequence in entries if sequence >= bad]:
                        self._aside[path, later] = entries.pop(later)
            case PutRow(table, key):
                self._tables[table][key] = encode_row(operation)
            case DropRow(table, key):
                self._tables[table].pop(key, None)
            case _:
                assert_never(operation)

    def _trim_journal(self, path: str, fallbacks: Mapping[int, bytes]) -> None:
        entries = self._journals.get(path, {})
        for fallback, record in fallbacks.items():
            if entries and trims_journal(path, Row(fallback, record)):
                for covered in [sequence for sequence in entries if sequence <= fallback]:
                    del entries[covered]
