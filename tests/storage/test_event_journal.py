"""The event journal: numbers, pages, bounds by size and age, gaps, damage, and a store that takes no writes."""

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol, cast, final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.actors.testing import ManualClock
from treewarden.storage import (
    CommitFailed,
    EventJournal,
    EventsKept,
    KeptEvent,
    MemoryStore,
    Operation,
    PutRow,
    SnapshotStore,
    StoreError,
    StoreFull,
    Table,
    pack,
)
from treewarden.storage._event_pages import RESERVED
from treewarden.storage._event_rows import MARK, key_of

DEADLINE = 10.0
BIG = 2**40
FOR_EVER = 1e12


class Bench(Protocol):
    """A store whose records a test may damage."""

    @property
    def store(self) -> SnapshotStore: ...

    def rewrite_row(self, table: Table, key: bytes, change: Callable[[bytes], bytes]) -> None: ...


@final
class Refusing:
    """A store that takes no writes while it has something to say."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self.at_once: StoreError | None = None
        self.later: StoreError | None = None
        self.commits = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def commit(self, operations: Sequence[Operation]) -> "Future[int]":
        self.commits += 1
        if self.at_once is not None:
            raise self.at_once
        if self.later is not None:
            failed = Future[int]()
            failed.set_exception(self.later)
            return failed
        return self._store.commit(operations)


def event(sequence: int, *, at: float = 1000.0, text: str = "it happened") -> KeptEvent:
    return KeptEvent.of(sequence, at, "run", {"text": text})


def gap(first: int, last: int, *, lost: int) -> KeptEvent:
    return KeptEvent(last, 1000.0, "run", {"text": "gap"}, first, lost)


def events(first: int, last: int) -> list[KeptEvent]:
    return [event(sequence) for sequence in range(first, last + 1)]


def open_journal(store: object, **settings: float) -> EventJournal:
    bounds = {"max_bytes": BIG, "max_age": FOR_EVER, **settings}
    return EventJournal(
        cast("SnapshotStore", store),
        wall=lambda: 2000.0,
        max_bytes=int(bounds["max_bytes"]),
        max_age=bounds["max_age"],
    )


def numbers(kept: EventsKept) -> list[int]:
    return [found.sequence for found in kept.events]


def test_an_empty_journal_has_no_events_and_no_numbers_given(bench: Bench) -> None:
    journal = open_journal(bench.store)

    assert (0, 0, 1) == (journal.last(), journal.reserved(), journal.pages.first_at(0.0))
    assert (
        EventsKept((), 0, 0, ())
        == journal.pages.since(0, 10)
        == journal.pages.tail(10)
        == journal.pages.since(2**63, 10)
    )


def test_events_come_back_whole_in_the_order_of_their_numbers_and_page_by_page(bench: Bench) -> None:
    journal = open_journal(bench.store)
    told = [KeptEvent.of(n, 1000.0 + n, "run", {"text": "x" * n, "pids": [n], "none": None}) for n in range(1, 8)]

    journal.append(told[:4]).result(DEADLINE)
    journal.append(told[4:]).result(DEADLINE)

    assert (tuple(told), 0, 1) == (journal.pages.since(0, 10).events, journal.pages.since(0, 10).missed, 1)
    assert [3, 4, 5] == numbers(journal.pages.since(2, 3))
    assert [6, 7] == numbers(journal.pages.since(5, 3))
    assert ([6, 7], 5) == (numbers(journal.pages.tail(2)), journal.pages.tail(2).missed)
    assert ([3, 4], 1) == (
        numbers(journal.pages.tail(2, after=1, before=5)),
        journal.pages.tail(2, after=1, before=5).missed,
    )
    assert told == list(open_journal(bench.store).pages.since(0, 10).events), "whoever opens it next finds them"


def test_what_is_there_already_is_not_written_again(bench: Bench) -> None:
    journal = open_journal(bench.store)
    journal.append(events(1, 3)).result(DEADLINE)

    journal.append([event(2, text="another"), event(3, text="another"), event(4)]).result(DEADLINE)

    assert ["it happened"] * 4 == [found.fields["text"] for found in journal.pages.since(0, 10).events]


def test_numbers_are_reserved_ahead_and_given_back_at_an_orderly_end(bench: Bench) -> None:
    journal = open_journal(bench.store)

    journal.append([]).result(DEADLINE)
    assert RESERVED == open_journal(bench.store).reserved()
    journal.append(events(1, 200)).result(DEADLINE)
    assert RESERVED == open_journal(bench.store).reserved(), "not with each commit"
    journal.append(events(201, RESERVED // 2 + 1)).result(DEADLINE)
    assert 2 * RESERVED == open_journal(bench.store).reserved(), "the next block"
    journal.finish(events(RESERVED // 2 + 2, RESERVED // 2 + 3)).result(DEADLINE)
    assert RESERVED // 2 + 3 == open_journal(bench.store).reserved() == open_journal(bench.store).last()


def test_a_gap_counts_what_was_lost_in_it_and_not_what_nobody_was_given(bench: Bench) -> None:
    journal = open_journal(bench.store)

    journal.append([*events(1, 3), gap(4, 9, lost=6), event(10), gap(11, 5000, lost=0), event(5001)]).result(DEADLINE)

    for reading in (journal, open_journal(bench.store)):
        assert ([1, 2, 3, 9, 10, 5000, 5001], 6) == (
            numbers(reading.pages.since(0, 10)),
            reading.pages.since(0, 10).missed,
        )
        assert ([5001], 10) == (numbers(reading.pages.tail(1)), reading.pages.tail(1).missed), (
            "10 events came before, 6 of them lost"
        )
        assert ([10, 5000, 5001], 9) == (numbers(reading.pages.tail(3)), reading.pages.tail(3).missed)
        assert ([5001], 1) == (numbers(reading.pages.tail(1, after=9)), reading.pages.tail(1, after=9).missed)
        assert 4990 == reading.pages.void_after(0)
        assert 0 == reading.pages.void_after(5000)


def test_a_hole_that_no_row_stands_for_is_counted_as_missed(bench: Bench) -> None:
    journal = open_journal(bench.store)

    journal.append([*events(1, 3), *events(8, 9)]).result(DEADLINE)

    assert ([2, 3, 8, 9], 4) == (numbers(journal.pages.since(1, 10)), journal.pages.since(1, 10).missed)


@pytest.mark.parametrize("bad", [[1], [3], [5], [1, 2, 3], [3, 5], [4, 5], [1, 2, 3, 4, 5]])
def test_damaged_events_are_reported_and_counted_and_hide_no_other(
    bench: Bench, flip_last_byte: Callable[[bytes], bytes], bad: list[int]
) -> None:
    open_journal(bench.store).append(events(1, 5)).result(DEADLINE)
    for number in bad:
        bench.rewrite_row(Table.EVENTS, key_of(number), flip_last_byte)

    journal = open_journal(bench.store)
    kept = journal.pages.since(0, 10)

    assert [n for n in range(1, 6) if n not in bad] == numbers(kept)
    assert bad == [found.sequence for found in kept.damaged]
    assert all("checksum" in found.why for found in kept.damaged)
    assert len(bad) == kept.missed
    assert (5, 1) == (journal.last(), kept.first_kept)
    journal.append(events(6, 7)).result(DEADLINE)
    assert [6, 7] == numbers(journal.pages.since(5, 10))


def test_a_row_that_is_no_event_is_damage_too(bench: Bench) -> None:

    journal = open_journal(bench.store)
    journal.append(events(1, 1)).result(DEADLINE)
    rows = [
        PutRow(Table.EVENTS, key_of(2), b"\xc1"),
        PutRow(Table.EVENTS, key_of(3), pack("x", ["no map"]).body),
        PutRow(Table.EVENTS, key_of(4), pack("x", {"sequence": 4}).body),
    ]
    bench.store.commit(rows).result(DEADLINE)

    kept = open_journal(bench.store).pages.since(0, 10)

    assert ([1], [2, 3, 4], 3) == (numbers(kept), [found.sequence for found in kept.damaged], kept.missed)


def test_a_damaged_mark_reserves_all_numbers_that_can_have_been_given(
    bench: Bench, flip_last_byte: Callable[[bytes], bytes]
) -> None:
    open_journal(bench.store).append(events(1, 5)).result(DEADLINE)
    bench.rewrite_row(Table.EVENTS, MARK, flip_last_byte)

    journal = open_journal(bench.store)

    assert (5, 5 + RESERVED) == (journal.last(), journal.reserved())


def test_a_row_whose_key_is_damaged_does_not_carry_the_numbers_away(
    bench: Bench, flip_last_byte: Callable[[bytes], bytes]
) -> None:
    """One flipped bit in a key would make the next number a nineteen-digit one."""

    open_journal(bench.store).append(events(1, 5)).result(DEADLINE)
    astray = key_of(2**62 + 5)
    bench.store.commit([PutRow(Table.EVENTS, astray, b"x")]).result(DEADLINE)
    bench.rewrite_row(Table.EVENTS, astray, flip_last_byte)

    journal = open_journal(bench.store)

    assert 5 == journal.last()
    journal.append(events(6, 6)).result(DEADLINE)
    assert ([1, 2, 3, 4, 5, 6], ()) == (numbers(journal.pages.since(0, 100)), journal.pages.since(0, 100).damaged)


def test_texts_that_cannot_be_kept_are_mended_and_very_long_ones_cut(bench: Bench) -> None:
    journal = open_journal(bench.store)
    odd = {"text": "bad \udce9 byte", "number": 2**70, "thing": Path("/x"), "items": ("a", "\udc00"), "map": {1: 2}}

    journal.append([KeptEvent.of(1, 1.0, "run", odd), event(2, text="long " * 200_000)]).result(DEADLINE)

    first, second = (found.fields for found in journal.pages.since(0, 10).events)
    assert {
        "text": "bad \\udce9 byte",
        "number": str(2**70),
        "thing": "/x",
        "items": ["a", "\\udc00"],
        "map": {"1": 2},
    } == first
    assert str(second["text"]).endswith("... (1000000 characters)")
    assert len(str(second["text"])) < 5000


@pytest.mark.parametrize("how", ["at once", "later"])
def test_after_a_refused_commit_nothing_of_it_is_taken_for_kept(how: str) -> None:
    store = Refusing(MemoryStore())
    journal = open_journal(store)
    journal.append(events(1, 3)).result(DEADLINE)
    error = StoreFull(Path("/s"), "the disk is full", "make room")

    if how == "at once":
        store.at_once = error
        with pytest.raises(StoreFull):
            journal.append(events(4, 6))
    else:
        store.later = error
        with pytest.raises(StoreFull):
            journal.append(events(4, 6)).result(DEADLINE)
    store.at_once = store.later = None

    assert 3 == journal.last()
    journal.append(events(4, 6)).result(DEADLINE)
    assert ([1, 2, 3, 4, 5, 6], 0) == (numbers(journal.pages.since(0, 10)), journal.pages.since(0, 10).missed)


def test_a_medium_that_cannot_be_read_is_an_error_and_no_empty_journal() -> None:
    store = MemoryStore()
    journal = open_journal(store)
    journal.append(events(1, 3)).result(DEADLINE)
    store.close()

    for read in (
        lambda: journal.pages.since(0, 10),
        lambda: journal.pages.tail(10),
        lambda: open_journal(store).last(),
    ):
        with pytest.raises(StoreError):
            read()


def test_events_that_are_too_old_go_when_newer_ones_come() -> None:
    journal = open_journal(MemoryStore(), max_age=500.0)  # it is 2000 s now
    journal.append([event(1, at=1000.0), event(2, at=1499.9), event(3, at=1500.0)]).result(DEADLINE)
    assert [1, 2, 3] == numbers(journal.pages.since(0, 10)), "they were not there before"

    journal.append([event(4, at=1600.0)]).result(DEADLINE)

    kept = journal.pages.since(0, 10)
    assert ([3, 4], 2, 3) == (numbers(kept), kept.missed, kept.first_kept)


def test_the_newest_event_stays_however_old_and_large_it_is() -> None:
    journal = open_journal(MemoryStore(), max_age=1.0, max_bytes=1)

    for number in range(1, 4):
        journal.append([event(number, at=10.0)]).result(DEADLINE)

    assert [3] == numbers(journal.pages.since(0, 10))


def test_many_events_too_many_go_in_steps() -> None:
    store = Refusing(MemoryStore())
    wide = open_journal(store)
    wide.append(events(1, 1000)).result(DEADLINE)
    narrow = open_journal(store, max_bytes=10_000)
    counts = list[int]()

    for number in range(1001, 1021):
        narrow.append([event(number)]).result(DEADLINE)
        counts.append(len(narrow.pages.since(0, 2000).events))

    steps = {before - after for before, after in itertools.pairwise(counts)}
    assert max(steps) <= 66
    assert counts[-1] == counts[-2] < 120


def test_damage_at_the_old_end_goes_with_what_is_dropped_behind_it(
    bench: Bench, flip_last_byte: Callable[[bytes], bytes]
) -> None:
    open_journal(bench.store).append(events(1, 10)).result(DEADLINE)
    for number in (1, 2, 4):
        bench.rewrite_row(Table.EVENTS, key_of(number), flip_last_byte)
    journal = open_journal(bench.store, max_bytes=700)

    journal.append(events(11, 12)).result(DEADLINE)

    kept = journal.pages.since(0, 100)
    assert ((), 12) == (kept.damaged, numbers(kept)[-1])
    assert 0 < len(kept.events) < 8


def test_more_damage_than_one_step_drops_at_the_old_end_does_not_stop_the_dropping(
    flip_last_byte: Callable[[bytes], bytes],
) -> None:
    store = MemoryStore()
    open_journal(store).append(events(1, 400)).result(DEADLINE)
    rows = store._tables[Table.EVENTS]
    rows |= {key_of(number): flip_last_byte(rows[key_of(number)]) for number in range(1, 301)}
    journal = open_journal(store, max_bytes=2000)

    for number in range(401, 441):
        journal.append(events(number, number)).result(DEADLINE)

    kept = journal.pages.since(0, 1000)
    assert ((), 440) == (kept.damaged, numbers(kept)[-1])
    assert len(kept.events) < 30


STEPS = st.lists(
    st.tuples(st.integers(1, 5), st.integers(0, 400), st.floats(0, 20), st.booleans()), min_size=1, max_size=30
)


@given(steps=STEPS, max_bytes=st.integers(1, 5000), max_age=st.floats(1, 100))
def test_whatever_is_appended_what_is_kept_is_within_the_bounds_and_nothing_is_missed_uncounted(
    steps: list[tuple[int, int, float, bool]], max_bytes: int, max_age: float
) -> None:
    store, clock, last = MemoryStore(), ManualClock(), 0
    journal = EventJournal(store, wall=clock.wall, max_bytes=max_bytes, max_age=max_age)
    for count, length, passed, opened_anew in steps:
        clock.advance(passed)
        now = clock.wall()
        batch = [event(last + place + 1, at=now, text="x" * length) for place in range(count)]
        last += count
        if opened_anew:
            journal = EventJournal(store, wall=clock.wall, max_bytes=max_bytes, max_age=max_age)
        journal.append(batch).result(DEADLINE)

        kept = journal.pages.since(0, 1000)
        assert list(range(kept.first_kept, last + 1)) == numbers(kept), "the newest, without a hole"
        assert last == len(kept.events) + kept.missed
        assert [added.sequence for added in batch] == numbers(kept)[-count:]
        earlier = [found for found in kept.events if found.sequence <= last - count]
        assert all(found.at >= now - max_age for found in earlier)
        assert not earlier or sum(len(str(found.fields["text"])) for found in kept.events) <= max_bytes
        anew = EventJournal(store, wall=clock.wall, max_bytes=max_bytes, max_age=max_age)
        assert kept == anew.pages.since(0, 1000)
        assert anew._look() == journal._look(), "what is remembered is what would be read"


@given(
    spans=st.lists(st.tuples(st.sampled_from(["event", "lost", "void"]), st.integers(1, 50)), min_size=1, max_size=30),
    limit=st.integers(1, 10),
)
def test_every_event_that_was_told_is_found_or_counted_wherever_a_reader_begins(
    spans: list[tuple[str, int]], limit: int
) -> None:
    journal = open_journal(MemoryStore())
    rows, told = list[KeptEvent](), list[bool]()  # for each number: whether an event has it
    for kind, length in spans:
        first = len(told) + 1
        if kind == "event":
            rows.append(event(first))
            told.append(True)
        else:
            rows.append(gap(first, first + length - 1, lost=length if kind == "lost" else 0))
            told += [kind == "lost"] * length
    journal.append(rows).result(DEADLINE)

    for begin in (0, *(row.sequence for row in rows)):
        events_after = sum(told[begin:])
        newest = journal.pages.tail(limit, after=begin)
        shown = sum(row.lost is None for row in newest.events)
        assert events_after == shown + newest.missed
        at, shown, missed = begin, 0, 0
        while (page := journal.pages.since(at, limit)).events:
            at, shown, missed = (
                page.events[-1].sequence,
                shown + sum(r.lost is None for r in page.events),
                missed + page.missed,
            )
        assert events_after == shown + missed


@given(times=st.lists(st.floats(0, 100), max_size=40).map(sorted), wall=st.floats(-1, 101))
def test_the_first_event_of_a_time_is_found_where_it_is(times: list[float], wall: float) -> None:
    journal = open_journal(MemoryStore())
    journal.append([event(number, at=at) for number, at in enumerate(times, 1)]).result(DEADLINE)

    assert 1 + sum(at < wall for at in times) == journal.pages.first_at(wall)


def test_the_first_event_of_a_time_is_found_beyond_numbers_that_nobody_has() -> None:
    journal = open_journal(MemoryStore())
    journal.append([event(1, at=10.0), event(2, at=20.0), event(90_000, at=30.0), event(90_001, at=40.0)]).result(
        DEADLINE
    )

    for wall, expected in ((5.0, [1, 2, 90_000, 90_001]), (25.0, [90_000, 90_001]), (35.0, [90_001]), (45.0, [])):
        assert expected == numbers(journal.pages.since(journal.pages.first_at(wall) - 1, 10))


def test_a_commit_that_fails_for_another_reason_is_the_callers_to_see() -> None:
    store = Refusing(MemoryStore())
    store.at_once = CommitFailed(Path("/s"), "EIO", "look at the disk")

    with pytest.raises(CommitFailed):
        open_journal(store).append(events(1, 1))


def test_a_lmdb_journal_is_there_after_the_store_was_closed(lmdb_bench: Bench) -> None:
    open_journal(lmdb_bench.store).finish(events(1, 600)).result(DEADLINE)
    lmdb_bench.rewrite_row(Table.EVENTS, key_of(300), lambda value: value)  # closes it and opens it again

    journal = open_journal(lmdb_bench.store)

    assert (600, 600, 600) == (journal.last(), journal.reserved(), len(journal.pages.since(0, 1000).events))
