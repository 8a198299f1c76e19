"""What both stores promise; every test runs against `MemoryStore` and `LmdbStore`."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

import pytest

from treewarden.storage import (
    Discard,
    Operation,
    OperationRefused,
    Put,
    Quarantine,
    SchemaTooNew,
    Snapshot,
    SnapshotCorrupt,
    SnapshotMissing,
    SnapshotStore,
    StoreClosed,
    _codec,
)


class Bench(Protocol):
    """A store whose records a test may damage."""

    wall: float

    @property
    def store(self) -> SnapshotStore: ...

    def commit(self, *operations: Operation) -> int: ...

    def rewrite(self, path: str, sequence: int, change: Callable[[bytes], bytes]) -> None: ...

    def quarantined(self) -> list[bytes]: ...


Change = Callable[[bytes], bytes]
MakePut = Callable[..., Put]


def corrupt_of(store: SnapshotStore, path: str) -> SnapshotCorrupt:
    with pytest.raises(SnapshotCorrupt) as caught:
        store.latest(path)
    return caught.value


def test_what_was_put_is_read_back_with_every_field(bench: Bench) -> None:
    sequence = bench.commit(Put("/dev/api", "process", 3, 7, {"pid": 4711, "cookie": b"\x00\xff", "tags": ["a", None]}))

    assert Snapshot(
        "/dev/api", "process", 3, 7, sequence, bench.wall, {"pid": 4711, "cookie": b"\x00\xff", "tags": ["a", None]}
    ) == bench.store.latest("/dev/api")


def test_a_path_never_put_is_missing(bench: Bench, put: MakePut) -> None:
    bench.commit(put("/dev/api"))

    with pytest.raises(SnapshotMissing, match="'/dev'"):
        bench.store.latest("/dev")


def test_the_newest_of_several_puts_is_read(bench: Bench, put: MakePut) -> None:
    for number in range(5):
        bench.commit(put("/a", number))

    assert bench.store.latest("/a").state == 4


def test_sequences_grow_and_a_commit_answers_its_highest(bench: Bench, put: MakePut) -> None:
    first = bench.commit(put("/a"), put("/b"))
    second = bench.commit(put("/c"))

    assert (first, second) == (2, 3)
    assert [bench.store.latest(path).sequence for path in ("/a", "/b", "/c")] == [1, 2, 3]


def test_a_sequence_is_never_used_again_after_its_path_was_discarded(bench: Bench, put: MakePut) -> None:
    bench.commit(put("/a"))
    bench.commit(Discard("/a"))

    assert bench.commit(put("/a")) == 2


def test_an_empty_commit_is_acknowledged_with_the_highest_sequence(bench: Bench, put: MakePut) -> None:
    bench.commit(put("/a"), put("/b"))

    assert bench.commit() == 2


def test_operations_of_one_commit_happen_in_their_order(bench: Bench, put: MakePut) -> None:
    bench.commit(put("/a", "old"), Discard("/a"), put("/a", "new"), put("/b"), Discard("/b"))

    assert bench.store.latest("/a").state == "new"
    with pytest.raises(SnapshotMissing):
        bench.store.latest("/b")


def test_the_state_is_taken_when_commit_is_called(bench: Bench) -> None:
    state = {"steps": [1]}
    future = bench.store.commit([Put("/a", "s", 1, 1, state)])
    state["steps"].append(2)
    future.result(10)

    assert bench.store.latest("/a").state == {"steps": [1]}


def test_two_readers_never_share_a_state(bench: Bench) -> None:
    bench.commit(Put("/a", "s", 1, 1, {"steps": [1]}))
    first = bench.store.latest("/a").state
    assert isinstance(first, dict)
    first["steps"] = "changed"

    assert bench.store.latest("/a").state == {"steps": [1]}


@pytest.mark.parametrize(
    "state",
    [object(), {1: "int key"}, {("a",): 1}, {"a": {1, 2}}, 2**64, "\ud800", 1 + 2j],
    ids=["object", "int-key", "tuple-key", "set", "big-int", "surrogate", "complex"],
)
def test_a_state_that_could_not_be_read_back_is_refused_at_the_caller(bench: Bench, state: object) -> None:
    with pytest.raises(OperationRefused, match="/dev/api") as caught:
        bench.store.commit([Put("/other", "s", 1, 1, None), Put("/dev/api", "s", 1, 1, state)])

    assert caught.value.path == "/dev/api"
    assert list(bench.store.scan()) == []


def test_a_state_that_contains_itself_is_refused_at_the_caller(bench: Bench) -> None:
    state: list[object] = []
    state.append(state)

    with pytest.raises(OperationRefused, match="/a"):
        bench.store.commit([Put("/a", "s", 1, 1, state)])


def test_a_state_that_is_too_large_is_refused_with_both_sizes(bench: Bench) -> None:
    with pytest.raises(OperationRefused, match=r"'/a'.*packs to 16777222 bytes, at most 16777216"):
        bench.store.commit([Put("/a", "s", 1, 1, bytes(_codec.MAX_BODY_BYTES + 1))])


@pytest.mark.parametrize(
    ("operation", "complaint"),
    [
        (Put("", "s", 1, 1, None), "the path has 0 bytes"),
        (Put("/" + "x" * 5000, "s", 1, 1, None), "the path has 5001 bytes"),
        (Put("/\ud800", "s", 1, 1, None), "not valid Unicode"),
        (Put("/a", "", 1, 1, None), "the schema name has 0 bytes"),
        (Put("/a", "s", -1, 1, None), "version is -1, expected 0 to 4294967295"),
        (Put("/a", "s", 1, 2**64, None), "generation is 18446744073709551616"),
        (Quarantine("/a", -1), "sequence is -1"),
        (Discard(""), "the path has 0 bytes"),
    ],
)
def test_an_operation_that_fits_no_record_is_refused_at_the_caller(
    bench: Bench, operation: Operation, complaint: str
) -> None:
    with pytest.raises(OperationRefused, match=complaint):
        bench.store.commit([operation])


def test_a_path_that_nothing_could_have_put_is_missing(bench: Bench) -> None:
    with pytest.raises(SnapshotMissing):
        bench.store.latest("/\ud800")


def test_a_corrupt_newest_record_is_an_error_that_carries_the_older_good_one(
    bench: Bench, put: MakePut, flip_last_byte: Change
) -> None:
    bench.commit(put("/a", "old"))
    bad = bench.commit(put("/a", "new"))
    bench.rewrite("/a", bad, flip_last_byte)
    found = corrupt_of(bench.store, "/a")

    assert ("/a", bad) == (found.path, found.sequence)
    assert "checksum" in found.why
    assert found.fallback is not None
    assert found.fallback.state == "old"


def test_a_corrupt_only_record_is_not_missing(bench: Bench, put: MakePut, flip_last_byte: Change) -> None:
    bad = bench.commit(put("/a"))
    bench.rewrite("/a", bad, flip_last_byte)

    assert corrupt_of(bench.store, "/a").fallback is None


def test_a_corrupt_older_record_does_not_matter_while_the_newest_is_good(
    bench: Bench, put: MakePut, flip_last_byte: Change
) -> None:
    old = bench.commit(put("/a", "old"))
    bench.commit(put("/a", "new"))
    bench.rewrite("/a", old, flip_last_byte)

    assert bench.store.latest("/a").state == "new"


def test_only_the_two_newest_snapshots_are_kept(bench: Bench, put: MakePut, flip_last_byte: Change) -> None:
    for number in range(1, 5):
        bench.commit(put("/a", number))
    for bad in (4, 3):
        bench.rewrite("/a", bad, flip_last_byte)

    assert corrupt_of(bench.store, "/a").fallback is None


def emptied(_: bytes) -> bytes:
    return b""


def cut_in_its_header(record: bytes) -> bytes:
    return record[:20]


def cut_at_its_end(record: bytes) -> bytes:
    return record[:-1]


def begun_otherwise(record: bytes) -> bytes:
    return b"JUNK" + record[4:]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (emptied, "0 bytes are fewer"),
        (cut_in_its_header, "20 bytes are fewer"),
        (cut_at_its_end, "checksum"),
        (begun_otherwise, "begins with b'JUNK'"),
    ],
)
def test_a_mangled_record_is_corrupt_and_says_why(bench: Bench, put: MakePut, change: Change, why: str) -> None:
    bad = bench.commit(put("/a"))
    bench.rewrite("/a", bad, change)

    assert why in corrupt_of(bench.store, "/a").why


def test_a_whole_record_of_another_path_is_corrupt(bench: Bench, put: MakePut) -> None:
    bench.commit(put("/a", "mine"))
    stray = _codec.encode(_codec.PreparedPut("/b", "s", 1, 1, 0.0, b"\xc0"), sequence=1)
    bench.rewrite("/a", 1, lambda _: stray)

    assert corrupt_of(bench.store, "/a").why == "it belongs to '/b'"


def test_a_whole_record_of_another_sequence_is_corrupt(bench: Bench, put: MakePut) -> None:
    bench.commit(put("/a"))
    stray = _codec.encode(_codec.PreparedPut("/a", "s", 1, 1, 0.0, b"\xc0"), sequence=9)
    bench.rewrite("/a", 1, lambda _: stray)

    assert corrupt_of(bench.store, "/a").why == "it is record 9"


def test_a_record_of_a_newer_format_is_refused_not_called_corrupt(
    bench: Bench, put: MakePut, newer_format: Change
) -> None:
    bench.commit(put("/a"))
    bench.rewrite("/a", 1, newer_format)

    with pytest.raises(SchemaTooNew, match="format 2, this release reads up to 1"):
        bench.store.latest("/a")
    with pytest.raises(SchemaTooNew, match="'/a'"):
        list(bench.store.scan())


def test_a_corrupt_path_stays_corrupt_through_quarantine_until_it_is_discarded(
    bench: Bench, put: MakePut, flip_last_byte: Change
) -> None:
    bench.commit(put("/a", "old"))
    bad = bench.commit(put("/a", "new"))
    bench.rewrite("/a", bad, flip_last_byte)
    bench.commit(Quarantine("/a", bad))
    found = corrupt_of(bench.store, "/a")

    assert (bad, "old") == (found.sequence, found.fallback.state if found.fallback else None)
    assert "quarantined" in found.why

    bench.commit(Discard("/a"))

    with pytest.raises(SnapshotMissing):
        bench.store.latest("/a")
    assert list(bench.store.scan()) == []


def test_quarantine_keeps_the_bytes_as_they_were_also_after_a_discard(
    bench: Bench, put: MakePut, flip_last_byte: Change
) -> None:
    seen: list[bytes] = []

    def flip_and_see(record: bytes) -> bytes:
        seen.append(flip_last_byte(record))
        return seen[-1]

    bad = bench.commit(put("/a", "x" * 10_000))
    bench.rewrite("/a", bad, flip_and_see)
    bench.commit(Quarantine("/a", bad))
    bench.commit(Quarantine("/a", bad))
    bench.commit(Discard("/a"))

    assert seen == bench.quarantined()


def test_a_newer_put_lifts_a_quarantine_and_the_older_good_one_stays_its_fallback(
    bench: Bench, put: MakePut, flip_last_byte: Change
) -> None:
    bench.commit(put("/a", "first"))
    bad = bench.commit(put("/a", "second"))
    bench.commit(Quarantine("/a", bad))
    newest = bench.commit(put("/a", "third"))

    assert bench.store.latest("/a").state == "third"

    bench.rewrite("/a", newest, flip_last_byte)
    fallback = corrupt_of(bench.store, "/a").fallback

    assert fallback is not None
    assert fallback.state == "first"


def test_a_corrupt_path_says_whether_its_record_lies_aside_already(
    bench: Bench, put: MakePut, flip_last_byte: Change
) -> None:
    bad = bench.commit(put("/a"))
    bench.rewrite("/a", bad, flip_last_byte)
    before = corrupt_of(bench.store, "/a").is_quarantined
    bench.commit(Quarantine("/a", bad))

    assert (False, True) == (before, corrupt_of(bench.store, "/a").is_quarantined)


def test_the_snapshot_before_the_newest_can_be_read_whatever_the_newest_is(
    bench: Bench, put: MakePut, flip_last_byte: Change
) -> None:
    bench.commit(put("/a", "first"))
    bench.commit(put("/a", "second"))
    newest = bench.commit(put("/a", "third"))
    read = [bench.store.older("/a")]
    bench.rewrite("/a", newest, flip_last_byte)
    read.append(bench.store.older("/a"))
    bench.commit(Quarantine("/a", newest))
    read.append(bench.store.older("/a"))

    assert ["second"] * 3 == [each.state for each in read if each is not None]


def test_no_snapshot_before_the_newest_is_none_not_the_newest(
    bench: Bench, put: MakePut, flip_last_byte: Change
) -> None:
    bench.commit(put("/once"))
    bad = bench.commit(put("/twice", "old"))
    bench.commit(put("/twice", "new"))
    bench.rewrite("/twice", bad, flip_last_byte)

    assert [None, None, None] == [bench.store.older(path) for path in ("/never", "/once", "/twice")]


def test_a_newer_format_before_the_newest_is_refused_too(bench: Bench, put: MakePut, newer_format: Change) -> None:
    later = bench.commit(put("/a", "old"))
    bench.commit(put("/a", "new"))
    bench.rewrite("/a", later, newer_format)

    with pytest.raises(SchemaTooNew):
        bench.store.older("/a")


def test_quarantine_of_an_older_record_leaves_the_newest_readable(bench: Bench, put: MakePut) -> None:
    old = bench.commit(put("/a", "old"))
    bench.commit(put("/a", "new"))
    bench.commit(Quarantine("/a", old))

    assert bench.store.latest("/a").state == "new"


def test_quarantine_and_discard_of_what_is_not_there_do_nothing(bench: Bench, put: MakePut) -> None:
    bench.commit(put("/a", "kept"))
    bench.commit(Quarantine("/a", 99), Quarantine("/never", 1), Discard("/never"))

    assert bench.store.latest("/a").state == "kept"
    assert bench.quarantined() == []


def test_scan_gives_the_newest_of_every_path_and_corrupt_ones_as_values(
    bench: Bench, put: MakePut, flip_last_byte: Change
) -> None:
    bench.commit(put("/a", 1), put("/b", 2), put("/c", 3))
    bench.commit(put("/a", 10))
    bench.rewrite("/b", 2, flip_last_byte)
    bench.commit(Quarantine("/c", 3))
    found = {each.path: each for each in bench.store.scan()}
    good, flipped, aside = found["/a"], found["/b"], found["/c"]

    assert len(found) == 3
    assert isinstance(good, Snapshot)
    assert good.state == 10
    assert isinstance(flipped, SnapshotCorrupt)
    assert isinstance(aside, SnapshotCorrupt)


def test_scan_reads_hundreds_of_paths_once_each(bench: Bench, put: MakePut) -> None:
    paths = [f"/tree/child-{number}" for number in range(300)]
    bench.commit(*(put(path, path) for path in paths))

    assert sorted(paths) == sorted(each.path for each in bench.store.scan())


def test_commits_from_many_threads_keep_the_order_of_each_thread(bench: Bench, put: MakePut) -> None:
    answers: dict[int, list[int]] = {}

    def write(worker: int) -> None:
        futures = [bench.store.commit([put(f"/w{worker}", number)]) for number in range(50)]
        answers[worker] = [future.result(10) for future in futures]

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(answers[worker] == sorted(answers[worker]) for worker in range(4))
    assert list(range(1, 201)) == sorted(sequence for each in answers.values() for sequence in each)
    assert [bench.store.latest(f"/w{worker}").state for worker in range(4)] == [49] * 4


def test_a_read_in_a_callback_sees_the_commit_that_called_it(bench: Bench, put: MakePut) -> None:
    seen: Future[object] = Future()
    future = bench.store.commit([put("/a", "now")])
    future.add_done_callback(lambda _: seen.set_result(bench.store.latest("/a").state))

    assert seen.result(10) == "now"


def test_the_store_id_is_32_hexadecimal_digits_and_belongs_to_one_store(bench: Bench) -> None:
    assert len(bench.store.store_id) == 32
    assert len(bytes.fromhex(bench.store.store_id)) == 16


def test_a_closed_store_refuses_everything_and_closing_twice_does_nothing(bench: Bench, put: MakePut) -> None:
    bench.commit(put("/a"), put("/b"))
    running = bench.store.scan()
    next(running)
    bench.store.close()
    bench.store.close()

    with pytest.raises(StoreClosed):
        bench.store.commit([put("/a")])
    with pytest.raises(StoreClosed):
        bench.store.latest("/a")
    with pytest.raises(StoreClosed):
        bench.store.older("/a")
    with pytest.raises(StoreClosed):
        bench.store.scan()
    with pytest.raises(StoreClosed):
        next(running)
