"""The event journal: what a store keeps of the events of its runtimes, under numbers that go on from run to run.

One row of the store for each event, its key the number, so that the rows lie in the order of the
numbers. Every number up to the last belongs to some row, or was dropped, or is missed and counted: a row
may stand for a whole gap. Numbers are reserved in blocks ahead of their use, so that one is not given
twice even if its event was never durable (docs/decisions/0024). Dropping the oldest rides in the commit
that adds the newest, a bounded number of rows at a time; the newest row is never dropped.

Not promised: that an event is kept before its commit is acknowledged, that the bounds hold while nothing
is written, or order by time: a clock that was set back does not reorder events. Safe from any thread;
one writer at a time is expected, and a second one that writes the same numbers changes nothing.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Final, final

from treewarden.storage._contract import DropRow, PutRow, SnapshotStore, Table
from treewarden.storage._event_pages import RESERVED, STEP, EventPages, Known, read_known
from treewarden.storage._event_rows import (
    MARK,
    OVERHEAD,
    DamagedEvent,
    KeptEvent,
    key_of,
    mark_value,
    number_of,
    read_row,
    row_value,
    void_of,
)

__all__ = ["EventJournal"]

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_AGE: Final = 7 * 86_400.0  # seconds


@final
class EventJournal:
    """The journal of one store."""

    def __init__(
        self,
        store: SnapshotStore,
        *,
        wall: Callable[[], float],
        max_bytes: int = MAX_BYTES,
        max_age: float = MAX_AGE,
    ) -> None:
        self._store, self._wall = store, wall
        self._max_bytes, self._max_age = max_bytes, max_age
        # Guards _known, so that what a batch is based on is what the one before it left. Held while rows are
        # read and a commit is handed in, never while one is waited for. Re-entrant: a store may resolve at once.
        self._lock = threading.RLock()
        self._known: Known | None = None
        self.pages: Final = EventPages(store, self._look)

    def last(self) -> int:
        """The highest number in the journal, 0 if it is empty."""
        return self._look().last

    def reserved(self) -> int:
        """Numbers up to this one may have been given to events that are not here; after an orderly end `last()`."""
        known = self._look()
        return max(known.reserved, known.last)

    def append(self, events: Sequence[KeptEvent]) -> "Future[int]":
        """Add `events`, in the order of their numbers, and reserve more numbers if they run short.

        Those that are there already are left out. Without events only numbers are reserved. Texts that are no
        valid Unicode, and very long ones, are mended.

        Raises:
            StoreError: here or through the future: nothing of it was written; try again later.
        """
        with self._lock:
            top = max(self.last(), events[-1].sequence if events else 0)
            reserved = self._look().reserved
            if reserved - top < RESERVED // 2:
                reserved = max(reserved, top) + RESERVED
            return self._write(events, reserved)

    def finish(self, events: Sequence[KeptEvent]) -> "Future[int]":
        """Add the last `events` of a runtime, and give back the numbers that it reserved and did not use.

        Raises:
            StoreError: as `append`.
        """
        with self._lock:
            return self._write(events, max(self.last(), events[-1].sequence if events else 0))

    def when_writable(self, callback: Callable[[], object]) -> None:
        """Call `callback` once, when a full store takes commits again."""
        self._store.when_writable(callback)

    def _write(self, events: Sequence[KeptEvent], reserved: int) -> "Future[int]":
        before = known = self._look()
        operations: list[PutRow | DropRow] = []
        added: KeptEvent | None = None
        for event in events:
            if event.sequence <= known.last:
                continue
            added = added or event
            void = known.void + void_of(event)
            value = row_value(event, known.end, void)
            operations.append(PutRow(Table.EVENTS, key_of(event.sequence), value))
            if known.first == 0:
                known = replace(known, first=event.sequence, first_start=known.end, first_at=event.at)
            known = replace(known, last=event.sequence, end=known.end + len(value) + OVERHEAD, void=void)
        dropped: tuple[DropRow, ...] = ()
        if added is not None and before.last > 0:
            dropped, known = self._expired(before, known, added, at_most=2 * len(operations) + STEP)
        if reserved != known.reserved:
            operations.append(PutRow(Table.EVENTS, MARK, mark_value(reserved)))
        future = self._store.commit([*operations, *dropped])
        self._known = replace(known, reserved=reserved)
        future.add_done_callback(self._check)
        return future

    def _check(self, done: "Future[int]") -> None:
        if done.cancelled() or done.exception() is not None:
            with self._lock:
                self._known = None  # it is not what was thought: read it anew

    def _expired(
        self, before: Known, known: Known, added: KeptEvent, at_most: int
    ) -> tuple[tuple[DropRow, ...], Known]:
        """What is dropped of the rows that were there `before` the row `added`, and what is known then."""
        oldest = self._wall() - self._max_age

        def is_due(start: int, at: float) -> bool:
            return known.end - start > self._max_bytes or at < oldest

        if not is_due(known.first_start, known.first_at):
            return (), known
        drops, unread = list[DropRow](), list[DropRow]()
        for row in self.pages.rows(known.first - 1, at_most + 1):
            found = read_row(row)
            if isinstance(found, DamagedEvent):
                unread.append(DropRow(Table.EVENTS, row.key))  # it goes with the next one that goes
            elif len(drops) + len(unread) >= at_most or not is_due(found.start, found.event.at):
                return tuple(drops), _beginning_at(found.event.sequence, found.start, found.event.at, known)
            else:
                drops += [*unread, DropRow(Table.EVENTS, row.key)]
                unread.clear()
        if len(drops) + len(unread) <= at_most:  # there were no more: the new ones are all that stays
            return (*drops, *unread), _beginning_at(added.sequence, before.end, added.at, known)
        return (*drops, *unread), replace(known, first=number_of(unread[-1].key) + 1)  # so much damage goes as it comes

    def _look(self) -> Known:
        with self._lock:
            if self._known is None:
                self._known = read_known(self._store)
            return self._known


def _beginning_at(sequence: int, start: int, at: float, known: Known) -> Known:
    return replace(known, first=sequence, first_start=start, first_at=at)
