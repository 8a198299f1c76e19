"""Reading the event journal: pages of events, what is missed between them, and where a time lies among them.

It needs no more than to read the rows of a store, so it serves the journal that writes them and a look from
outside alike. Safe from any thread, if the source is. Not promised: that a page is of one moment, while somebody writes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, final

from treewarden.storage._contract import Table, TableRow
from treewarden.storage._errors import RowCorrupt
from treewarden.storage._event_rows import (
    MARK,
    DamagedEvent,
    KeptEvent,
    StoredEvent,
    key_of,
    number_of,
    read_mark,
    read_row,
)

__all__ = ["RESERVED", "STEP", "EventPages", "EventsKept", "Known", "RowSource", "read_known"]

RESERVED: Final = 10_000  # numbers of one block
STEP: Final = 64  # rows looked at beside those that are asked for


class RowSource(Protocol):
    """Rows to read; `SnapshotStore` says what each call gives and raises."""

    def row(self, table: Table, key: bytes) -> bytes | None:
        """The value under `key`."""
        ...

    def rows(self, table: Table, *, after: bytes = b"", limit: int) -> Sequence[TableRow | RowCorrupt]:
        """Up to `limit` rows above `after`, ascending."""
        ...

    def last_row(self, table: Table) -> TableRow | RowCorrupt | None:
        """The row with the highest key."""
        ...


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
class Known:
    """What is known of the rows without reading them."""

    first: int  # the lowest number there is; 0 if there is none
    first_start: int
    first_at: float  # infinity if no row says: then it is no reason to drop any
    last: int
    end: int  # bytes written so far
    void: int
    reserved: int


@final
class EventPages:
    """The pages of one journal. `look` says what is known of it; without one it is read anew each time."""

    def __init__(self, source: RowSource, look: Callable[[], Known] | None = None) -> None:
        self._source = source
        self._look = partial(read_known, source) if look is None else look

    def last(self) -> int:
        """The highest number in the journal, 0 if it is empty."""
        return self._look().last

    def since(self, sequence: int, limit: int) -> EventsKept:
        """The oldest `limit` events after number `sequence`.

        Raises:
            StoreError: the medium cannot be read.
        """
        return self._kept(sequence, self.rows(sequence, limit))

    def tail(self, limit: int, *, after: int = 0, before: int | None = None) -> EventsKept:
        """The newest `limit` events after number `after` and before number `before`; what does not fit is missed.

        Raises:
            StoreError: the medium cannot be read.
        """
        end = self.last() if before is None else min(self.last(), before - 1)
        window, rows = limit, tuple[TableRow | RowCorrupt, ...]()
        while limit > 0 and end > after:  # numbers are nearly dense: mostly the first look is enough
            low = max(after, end - window)
            rows = tuple(row for row in self.rows(low, window) if number_of(row.key) <= end)
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
            found = next((stored for stored in self._believed(middle, STEP)), None)
            if found is None or found.event.at >= wall:
                high = middle - 1
            else:
                low = found.event.sequence
        return low + 1

    def void_after(self, sequence: int) -> int:
        """How many numbers after `sequence` belong to no event, as far as is known."""
        void = self._look().void
        return void - self._void_at(sequence, void)

    def rows(self, after: int, limit: int) -> tuple[TableRow | RowCorrupt, ...]:
        """The `limit` rows after number `after`, up to the last."""
        last = self.last()
        if limit <= 0 or not 0 <= after < last:
            return ()
        found = self._source.rows(Table.EVENTS, after=key_of(after), limit=limit)
        return tuple(row for row in found if number_of(row.key) <= last)

    def _believed(self, number: int, limit: int) -> Iterator[StoredEvent]:
        """Those of the `limit` rows from `number` on that can be believed."""
        found = map(read_row, self.rows(number - 1, limit))
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
        return EventsKept(tuple(events), missed, self._look().first, tuple(damaged))


def read_known(source: RowSource) -> Known:
    """What the rows say, without what lies between the oldest and the newest.

    Raises:
        StoreError: the medium cannot be read.
    """
    reserved = _read_mark(source)
    last = _greatest(source, reserved)
    if reserved is None:
        reserved = last + RESERVED  # no more than that can have been given
    newest, first = _newest(source, last), source.rows(Table.EVENTS, after=key_of(0), limit=1)
    if newest is None:
        return Known(number_of(first[0].key) if last else 0, 0, math.inf, last, 0, 0, reserved)
    rows = map(read_row, source.rows(Table.EVENTS, after=key_of(0), limit=STEP))
    oldest = next((row for row in rows if isinstance(row, StoredEvent)), newest)
    end = newest.start + newest.size
    return Known(number_of(first[0].key), oldest.start, oldest.event.at, last, end, newest.void, reserved)


def _greatest(source: RowSource, reserved: int | None) -> int:
    """The highest number. Of a damaged row above all that were reserved the key is damaged too: such a row is passed by."""
    found = source.last_row(Table.EVENTS)
    if found is None or found.key == MARK:
        return 0
    number = number_of(found.key)
    if isinstance(found, TableRow) or reserved is None or number <= reserved:
        return number
    newest = _newest(source, reserved)
    return 0 if newest is None else newest.event.sequence


def _newest(source: RowSource, last: int) -> StoredEvent | None:
    """The last row up to `last` that can be believed."""
    window = 1
    while last > 0:
        low = max(0, last - window)
        rows = map(read_row, source.rows(Table.EVENTS, after=key_of(low), limit=window))
        found = [row for row in rows if isinstance(row, StoredEvent) and row.event.sequence <= last]
        if found or low == 0:
            return found[-1] if found else None
        window *= 8
    return None


def _read_mark(source: RowSource) -> int | None:
    """Up to which number numbers are reserved; None if that cannot be read."""
    try:
        value = source.row(Table.EVENTS, MARK)
    except RowCorrupt:
        return None
    return 0 if value is None else read_mark(value)
