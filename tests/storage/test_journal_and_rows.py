"""Journals and rows: what both stores promise of them."""

from collections.abc import Callable
from typing import Protocol

import pytest

from treewarden.storage import (
    Append,
    CutJournal,
    Discard,
    DropRow,
    Journal,
    JournalDamage,
    JournalEntry,
    Operation,
    OperationRefused,
    Packed,
    Put,
    PutRow,
    Quarantine,
    RowCorrupt,
    SchemaTooNew,
    SnapshotCorrupt,
    SnapshotMissing,
    SnapshotStore,
    StoreClosed,
    StoreState,
    Table,
    TableRow,
    pack,
    unpack,
)


class Bench(Protocol):
    """A store whose records a test may damage."""

    wall: float

    @property
    def store(self) -> SnapshotStore: ...

    def commit(self, *operations: Operation) -> int: ...

    def rewrite(self, path: str, sequence: int, change: Callable[[bytes], bytes]) -> None: ...

    def rewrite_entry(self, path: str, sequence: int, change: Callable[[bytes], bytes]) -> None: ...

    def rewrite_row(self, table: Table, key: bytes, change: Callable[[bytes], bytes]) -> None: ...

    def quarantined(self) -> list[bytes]: ...


Change = Callable[[bytes], bytes]


def append(path: str, entry: object) -> Append:
    return Append(path, "counter", 1, 1, entry)


def put(path: str, state: object) -> Put:
    return Put(path, "counter", 1, 1, state)


def entries(journal: Journal) -> list[object]:
    return [each.entry for each in journal.entries]


def test_entries_are_read_back_oldest_first_with_every_field(bench: Bench) -> None:
    first = bench.commit(Append("/a", "counter", 2, 7, {"by": 1}))
    second = bench.commit(append("/a", "x"))

    assert bench.store.journal("/a", after=0) == Journal(
        (
            JournalEntry("/a", "counter", 2, 7, first, bench.wall, {"by": 1}),
            JournalEntry("/a", "counter", 1, 1, second, bench.wall, "x"),
        )
    )
    assert entries(bench.store.journal("/a", after=first)) == ["x"]
    assert bench.store.journal("/b", after=0) == Journal()


def test_entries_and_snapshots_share_one_sequence(bench: Bench) -> None:
    assert [bench.commit(put("/a", 0)), bench.commit(append("/a", 1)), bench.commit(put("/a", 1))] == [1, 2, 3]


def test_a_path_with_a_journal_and_no_snapshot_is_missing(bench: Bench) -> None:
    bench.commit(append("/a", 1))

    with pytest.raises(SnapshotMissing):
        bench.store.latest("/a")
    assert list(bench.store.scan()) == []
    assert bench.store.paths() == ["/a"]


def test_the_paths_are_those_with_a_snapshot_or_a_journal(bench: Bench) -> None:
    bench.commit(append("/b", 1), put("/a", 1), put("/c", 1), append("/c", 1), put("/d", 1), Discard("/d"))

    assert bench.store.paths() == ["/a", "/b", "/c"]


def test_entries_stay_until_the_fallback_covers_them(bench: Bench) -> None:
    bench.commit(append("/a", 1), put("/a", 1), append("/a", 2), put("/a", 2), append("/a", 3))
    assert entries(bench.store.journal("/a", after=0)) == [2, 3]

    bench.commit(put("/a", 3))

    assert entries(bench.store.journal("/a", after=0)) == [3]


def test_the_first_snapshot_leaves_the_whole_journal_as_its_fallback(bench: Bench) -> None:
    bench.commit(append("/a", 1), append("/a", 2), put("/a", 3))

    assert entries(bench.store.journal("/a", after=0)) == [1, 2]


def test_entries_stay_when_the_snapshot_that_would_cover_them_is_damaged(bench: Bench, flip_last_byte: Change) -> None:
    bench.commit(append("/a", 1), append("/a", 2))
    bad = bench.commit(put("/a", 3))
    bench.rewrite("/a", bad, flip_last_byte)

    bench.commit(put("/a", 4))

    assert entries(bench.store.journal("/a", after=0)) == [1, 2]


def test_a_corrupt_snapshot_is_made_up_for_by_the_one_before_and_its_journal(
    bench: Bench, flip_last_byte: Change
) -> None:
    bench.commit(put("/a", 1), append("/a", "+1"))
    bad = bench.commit(put("/a", 2))
    bench.commit(append("/a", "+1"))
    bench.rewrite("/a", bad, flip_last_byte)

    with pytest.raises(SnapshotCorrupt) as caught:
        bench.store.latest("/a")
    fallback = caught.value.fallback
    assert fallback is not None
    assert (fallback.state, entries(bench.store.journal("/a", after=fallback.sequence))) == (1, ["+1", "+1"])


def test_of_a_damaged_journal_only_what_comes_before_the_damage_is_given(bench: Bench, flip_last_byte: Change) -> None:
    bench.commit(append("/a", 1))
    bad = bench.commit(append("/a", 2))
    bench.commit(append("/a", 3), append("/a", 4))
    bench.rewrite_entry("/a", bad, flip_last_byte)

    journal = bench.store.journal("/a", after=0)

    assert entries(journal) == [1]
    assert isinstance(journal.damage, JournalDamage)
    assert (journal.damage.sequence, journal.damage.later) == (bad, 2)
    assert "checksum" in journal.damage.why


def test_a_journal_is_cut_at_an_entry_and_the_rest_lies_aside(bench: Bench) -> None:
    bench.commit(append("/a", 1), append("/a", 2), append("/a", 3), append("/b", 4))

    bench.commit(CutJournal("/a", 2))

    assert entries(bench.store.journal("/a", after=0)) == [1]
    assert entries(bench.store.journal("/b", after=0)) == [4]
    assert len(bench.quarantined()) == 2


def test_cutting_where_there_is_no_entry_does_nothing(bench: Bench) -> None:
    bench.commit(append("/a", 1), append("/b", 2), append("/a", 3))

    bench.commit(CutJournal("/a", 2), CutJournal("/c", 1))

    assert entries(bench.store.journal("/a", after=0)) == [1, 3]


def test_discarding_a_path_takes_its_journal_along(bench: Bench) -> None:
    bench.commit(put("/a", 1), append("/a", 2), append("/b", 3))

    bench.commit(Discard("/a"))

    assert bench.store.journal("/a", after=0) == Journal()
    assert entries(bench.store.journal("/b", after=0)) == [3]


def test_an_entry_of_a_later_release_is_refused(bench: Bench, newer_format: Change) -> None:
    sequence = bench.commit(append("/a", 1))
    bench.rewrite_entry("/a", sequence, newer_format)

    with pytest.raises(SchemaTooNew):
        bench.store.journal("/a", after=0)


def test_a_quarantined_snapshot_leaves_the_journal_alone(bench: Bench) -> None:
    bench.commit(put("/a", 1), append("/a", 2))
    newest = bench.commit(put("/a", 2))

    bench.commit(Quarantine("/a", newest))

    assert entries(bench.store.journal("/a", after=1)) == [2]


def test_rows_are_read_back_by_key_and_in_the_order_of_their_keys(bench: Bench) -> None:
    bench.commit(*(PutRow(Table.EVENTS, bytes([n]), b"v%d" % n) for n in (3, 1, 2)), PutRow(Table.VALUES, b"\x01", b""))

    assert bench.store.row(Table.EVENTS, b"\x02") == b"v2"
    assert bench.store.row(Table.EVENTS, b"\x04") is None
    assert bench.store.row(Table.VALUES, b"\x01") == b""
    assert bench.store.rows(Table.EVENTS, limit=2) == [TableRow(b"\x01", b"v1"), TableRow(b"\x02", b"v2")]
    assert bench.store.rows(Table.EVENTS, after=b"\x02", limit=9) == [TableRow(b"\x03", b"v3")]
    assert bench.store.rows(Table.EVENTS, after=b"\x01\x00", limit=1) == [TableRow(b"\x02", b"v2")]
    assert bench.store.rows(Table.CHECKPOINTS, limit=9) == []
    assert bench.store.last_row(Table.EVENTS) == TableRow(b"\x03", b"v3")
    assert bench.store.last_row(Table.CHECKPOINTS) is None


def test_a_row_is_replaced_and_dropped(bench: Bench) -> None:
    bench.commit(PutRow(Table.VALUES, b"k", b"old"), PutRow(Table.VALUES, b"k", b"new"))
    assert bench.store.row(Table.VALUES, b"k") == b"new"

    bench.commit(DropRow(Table.VALUES, b"k"), DropRow(Table.VALUES, b"never"))

    assert bench.store.row(Table.VALUES, b"k") is None


def test_rows_and_snapshots_of_one_commit_happen_together(bench: Bench) -> None:
    with pytest.raises(OperationRefused):
        bench.commit(PutRow(Table.VALUES, b"k", b"v"), put("/a", object()))

    assert bench.store.row(Table.VALUES, b"k") is None


def test_a_damaged_row_is_never_read_as_none(bench: Bench, flip_last_byte: Change) -> None:
    bench.commit(PutRow(Table.VALUES, b"a", b"1"), PutRow(Table.VALUES, b"b", b"2"))
    bench.rewrite_row(Table.VALUES, b"b", flip_last_byte)

    with pytest.raises(RowCorrupt, match="checksum"):
        bench.store.row(Table.VALUES, b"b")
    good, bad = bench.store.rows(Table.VALUES, limit=9)
    assert (good, type(bad), type(bench.store.last_row(Table.VALUES))) == (TableRow(b"a", b"1"), RowCorrupt, RowCorrupt)


def test_a_row_that_lies_under_another_key_is_damage(bench: Bench) -> None:
    bench.commit(PutRow(Table.VALUES, b"a", b"1"), PutRow(Table.VALUES, b"b", b"2"))
    taken: list[bytes] = []
    bench.rewrite_row(Table.VALUES, b"a", lambda kept: taken.append(kept) or kept)
    bench.rewrite_row(Table.VALUES, b"b", lambda _: taken[0])

    with pytest.raises(RowCorrupt):
        bench.store.row(Table.VALUES, b"b")


def test_a_row_too_short_for_its_checksum_is_damage(bench: Bench) -> None:
    bench.commit(PutRow(Table.VALUES, b"a", b"1"))
    bench.rewrite_row(Table.VALUES, b"a", lambda kept: kept[:2])

    with pytest.raises(RowCorrupt, match="2 bytes"):
        bench.store.row(Table.VALUES, b"a")


@pytest.mark.parametrize("key", [b"", b"k" * 512])
def test_a_key_the_store_cannot_have_is_refused_and_never_found(bench: Bench, key: bytes) -> None:
    with pytest.raises(OperationRefused, match="expected 1 to 511"):
        bench.commit(PutRow(Table.VALUES, key, b""))
    assert bench.store.row(Table.VALUES, key) is None


def test_a_packed_state_is_stored_as_the_state_it_was_packed_from(bench: Bench) -> None:
    packed = pack("/a", {"n": [1, "x", b"y", None]})

    bench.commit(put("/a", packed), append("/a", packed))

    assert bench.store.latest("/a").state == unpack(packed) == {"n": [1, "x", b"y", None]}
    assert packed == pack("/a", {"n": [1, "x", b"y", None]}) != pack("/a", {"n": [1, "x", b"y", False]})
    assert isinstance(packed, Packed)


def test_a_store_is_open_until_it_is_closed_and_calls_who_waits_at_once(bench: Bench) -> None:
    called: list[str] = []
    bench.store.when_writable(lambda: called.append("open"))
    assert (bench.store.state, called) == (StoreState.OPEN, ["open"])

    bench.store.close()

    bench.store.when_writable(lambda: called.append("closed"))
    assert (bench.store.state, called) == (StoreState.CLOSED, ["open", "closed"])
    for use in (
        lambda: bench.store.journal("/a", after=0),
        lambda: bench.store.row(Table.VALUES, b"k"),
        lambda: bench.store.rows(Table.VALUES, limit=1),
        lambda: bench.store.last_row(Table.VALUES),
    ):
        with pytest.raises(StoreClosed):
            use()
