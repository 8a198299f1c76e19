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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Final, final

from treewarden.storage._contract import DropRow, PutRow, SnapshotStore, Table, TableRow
from treewarden.storage._errors import RowCorrupt
from treewarden.storage._event_rows import (
    MARK,
    OVERHEAD,
    DamagedEvent,
    KeptEvent,
    StoredEvent,
    key_of,
    mark_value,
    number_of,
    read_mark,
    read_row,
    row_value,
    void_of,
)

__all__ = ["RESERVED", "EventJournal", "EventsKept"]

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_AGE: Final = 7 * 86_400.0  # seconds
RESERVED: Final = 10_000  # numbers of one block
_STEP: Final = 64  # rows dropped at a time, beyond two for each that is added


@final
@dataclass(frozen=True, slots=True)
class EventsKept:
    """What was found: events, oldest first; `missed` counts those that should be there and are not.

    It is exact as long as the row of the number that was asked for is kept, or that was 0; otherwise it may count
    numbers that a killed runtime had reserved. `damaged` ones are missed, too. `first_kept` is the lowest number
    of the journal, 0 if it is empty.
    """

    events: tuple[KeptEvent, ...]
    missed: int
    first_kept: int
    damaged: tuple[DamagedEvent, ...]


@final
@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of the rows without reading them."""

    first: int  # the lowest number there is; 0 if there is none
    first_start: int
    first_at: float
    last: int
    end: int  # bytes written so far
    void: int
    reserved: int


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
        self._known: _Known | None = None

    def last(self) -> int:
        """The highest number in the journal, 0 if it is empty."""
        with self._lock:
            return self._look().last

    def reserved(self) -> int:
        """Numbers up to this one may have been given to events that are not here; after an orderly end `last()`."""
        with self._lock:
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

    def since(self, sequence: int, limit: int) -> EventsKept:
        """The oldest `limit` events after number `sequence`.

        Raises:
            StoreError: the medium cannot be read.
        """
        return self._kept(sequence, self._rows(sequence, limit))

    def tail(self, limit: int, *, after: int = 0, before: int | None = None) -> EventsKept:
        """The newest `limit` events after number `after` and before number `before`; what does not fit is missed.

        Raises:
            StoreError: the medium cannot be read.
        """
        end = self.last() if before is None else min(self.last(), before - 1)
        window, rows = limit, tuple[TableRow | RowCorrupt, ...]()
        while limit > 0 and end > after:  # numbers are nearly dense: mostly the first look is enough
            low = max(after, end - window)
            rows = tuple(row for row in self._rows(low, window) if number_of(row.key) <= end)
            if len(rows) >= limit or low == after:
                break
            window *= 4
        return self._kept(after, rows[len(rows) - min(limit, len(rows)) :])

    def first_at(self, wall: float) -> int:
        """The first number whose event is of `wall` seconds or later; the next one to come if there is none.

        Where the clock was set back, one of the places that fit.
        """
        low, high = 0, self.last()  # what is at `low` or before is earlier, what is after `high` is not
        while low < high:
            middle = (low + high + 1) // 2
            found = next((stored for stored in self._believed(middle, _STEP)), None)
            if found is None or found.event.at >= wall:
                high = middle - 1
            else:
                low = found.event.sequence
        return low + 1

    def void_after(self, sequence: int) -> int:
        """How many numbers after `sequence` belong to no event, as far as is known."""
        with self._lock:
            return self._look().void - self._void_at(sequence, self._look().void)

    def when_writable(self, callback: Callable[[], object]) -> None:
        """Call `callback` once, when a full store takes commits again."""
        self._store.when_writable(callback)

    # Writing

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
            dropped, known = self._expired(before, known, added, at_most=2 * len(operations) + _STEP)
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
        self, before: _Known, known: _Known, added: KeptEvent, at_most: int
    ) -> tuple[tuple[DropRow, ...], _Known]:
        """What is dropped of the rows that were there `before` the row `added`, and what is known then."""
        oldest = self._wall() - self._max_age

        def is_due(start: int, at: float) -> bool:
            return known.end - start > self._max_bytes or at < oldest

        if not is_due(known.first_start, known.first_at):
            return (), known
        drops, unread = list[DropRow](), list[DropRow]()
        for row in self._rows(known.first - 1, at_most + 1):
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

    # Looking

    def _look(self) -> _Known:
        if self._known is None:
            self._known = self._read_known()
        return self._known

    def _read_known(self) -> _Known:
        reserved = self._read_mark()
        last = self._greatest(reserved)
        if reserved is None:
            reserved = last + RESERVED  # no more than that can have been given
        newest, first = self._newest(last), self._store.rows(Table.EVENTS, after=key_of(0), limit=1)
        if newest is None:
            return _Known(number_of(first[0].key) if last else 0, 0, self._wall(), last, 0, 0, reserved)
        rows = map(read_row, self._store.rows(Table.EVENTS, after=key_of(0), limit=_STEP))
        oldest = next((row for row in rows if isinstance(row, StoredEvent)), newest)
        end = newest.start + newest.size
        return _Known(number_of(first[0].key), oldest.start, oldest.event.at, last, end, newest.void, reserved)

    def _greatest(self, reserved: int | None) -> int:
        """The highest number. Of a damaged row above all that were reserved the key is damaged too: such a row is passed by."""
        found = self._store.last_row(Table.EVENTS)
        if found is None or found.key == MARK:
            return 0
        number = number_of(found.key)
        if isinstance(found, TableRow) or reserved is None or number <= reserved:
            return number
        newest = self._newest(reserved)
        return 0 if newest is None else newest.event.sequence

    def _newest(self, last: int) -> StoredEvent | None:
        """The last row up to `last` that can be believed."""
        window = 1
        while last > 0:
            low = max(0, last - window)
            rows = map(read_row, self._store.rows(Table.EVENTS, after=key_of(low), limit=window))
            found = [row for row in rows if isinstance(row, StoredEvent) and row.event.sequence <= last]
            if found or low == 0:
                return found[-1] if found else None
            window *= 8
        return None

    def _read_mark(self) -> int | None:
        """Up to which number numbers are reserved; None if that cannot be read."""
        try:
            value = self._store.row(Table.EVENTS, MARK)
        except RowCorrupt:
            return None
        return 0 if value is None else read_mark(value)

    def _rows(self, after: int, limit: int) -> tuple[TableRow | RowCorrupt, ...]:
        """The `limit` rows after number `after`, up to the last."""
        last = self.last()
        if limit <= 0 or not 0 <= after < last:
            return ()
        found = self._store.rows(Table.EVENTS, after=key_of(after), limit=limit)
        return tuple(row for row in found if number_of(row.key) <= last)

    def _believed(self, number: int, limit: int) -> Iterator[StoredEvent]:
        """Those of the `limit` rows from `number` on that can be believed."""
        found = map(read_row, self._rows(number - 1, limit))
        return (each for each in found if isinstance(each, StoredEvent))

    def _void_at(self, sequence: int, unknown: int) -> int:
        """The `void` of the row `sequence`; `unknown` if there is none that says."""
        if sequence == 0:
            return 0
        found = next((stored for stored in self._believed(sequence, 1)), None)
        return found.void if found is not None and found.event.sequence == sequence else unknown

    def _kept(self, after: int, rows: Sequence[TableRow | RowCorrupt]) -> EventsKept:
        events, damaged = list[KeptEvent](), list[DamagedEvent]()
        missed, covered = 0, after
        for found in map(read_row, rows):
            if isinstance(found, DamagedEvent):
                damaged.append(found)  # counted as the hole that it leaves
                continue
            event = found.event
            hole = max(0, event.first - covered - 1)
            if hole and not events:
                hole = max(0, hole - (found.void_before - self._void_at(after, found.void_before)))
            missed += hole + (event.lost or 0)
            covered = event.sequence
            events.append(event)
        if damaged:
            missed += max(0, damaged[-1].sequence - covered)
        return EventsKept(tuple(events), missed, self._look_first(), tuple(damaged))

    def _look_first(self) -> int:
        with self._lock:
            return self._look().first


def _beginning_at(sequence: int, start: int, at: float, known: _Known) -> _Known:
    return replace(known, first=sequence, first_start=start, first_at=at)
