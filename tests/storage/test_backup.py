"""Verification, backup, compaction and restore of real stores: at rest, under a writer, damaged, without room."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import lmdb
import pytest

from treewarden.storage import (
    Append,
    CopyFailed,
    Holder,
    LmdbStore,
    Operation,
    OwnerLock,
    Put,
    PutRow,
    Quarantine,
    Snapshot,
    SnapshotCorrupt,
    StoreLocked,
    StoreReader,
    StoreUnusable,
    Table,
    back_up,
    compact,
    restore,
    verify_store,
)
from treewarden.storage._lmdb_tables import digest_of
from treewarden.storage._verification import NameDamaged, RecordDamaged, RecordTooNew, RowDamaged, StructureDamaged

OpenStore = Callable[..., LmdbStore]
Start = Callable[..., "subprocess.Popen[str]"]
ME = Holder(os.getpid(), 99, "b0075", "dev", "", 1_700_000_000.0)
PAGE = 4096


class LmdbBench(Protocol):
    """What conftest's has."""

    directory: Path

    def commit(self, *operations: Operation) -> int: ...
    def rewrite(self, path: str, sequence: int, change: Callable[[bytes], bytes]) -> None: ...
    def close(self) -> None: ...


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store(state: Path, open_store: OpenStore) -> Path:
    """A closed store with one of each kind of thing."""
    made = open_store(state / "store")
    made.commit([Put("/a", "s", 1, 1, "older")]).result(10)
    made.commit([Put("/a", "s", 1, 1, "newer"), Append("/a", "s", 1, 1, "entry")]).result(10)
    made.commit([Put("/bad", "s", 1, 1, "bad"), PutRow(Table.VALUES, b"key", b"value")]).result(10)
    made.commit([Quarantine("/bad", 4)]).result(10)
    made.close()
    return state / "store"


@pytest.fixture
def owner(store: Path) -> Iterator[OwnerLock]:
    """The ownership of the state directory."""
    lock = OwnerLock.acquire(store.parent, ME)
    yield lock
    lock.release()


def kept_in(directory: Path) -> dict[str, object]:
    with StoreReader.open(directory) as reader:
        return {each.path: each.state for each in reader.snapshots() if isinstance(each, Snapshot)}


def names_in(directory: Path) -> set[str]:
    return {each.name for each in directory.iterdir()}


def write_raw(directory: Path, database: bytes, key: bytes, value: bytes) -> None:
    with lmdb.open(str(directory), max_dbs=16, lib_version=0) as raw:
        opened = raw.open_db(database, create=False)
        with raw.begin(write=True) as txn:
            txn.put(key, value, db=opened)


def little_room(_: Path) -> int:
    """Free bytes of a disk that is nearly full."""
    return 1000


def break_structure(directory: Path) -> None:
    """Overwrite every page but the two that are read first."""
    with (directory / "data.mdb").open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(2 * PAGE)
        file.write(os.urandom(size - 2 * PAGE))


# Verification


def test_a_sound_store_is_counted_and_has_no_problem(store: Path) -> None:
    report = verify_store(store)

    assert (report.problems, report.is_readable) == ((), True)
    assert (report.snapshots, report.entries, report.rows, report.quarantined) == (2, 1, 1, 1)
    assert report.bytes == (store / "data.mdb").stat().st_size


def test_each_kind_of_damage_is_found_and_named(
    lmdb_bench: LmdbBench,
    flip_last_byte: Callable[[bytes], bytes],
    newer_format: Callable[[bytes], bytes],
) -> None:
    for path in ("/flipped", "/newer", "/moved", "/unnamed", "/good"):
        lmdb_bench.commit(Put(path, "s", 1, 1, path))
    lmdb_bench.rewrite("/flipped", 1, flip_last_byte)
    lmdb_bench.rewrite("/newer", 2, newer_format)
    moved: list[bytes] = []
    lmdb_bench.rewrite("/good", 5, lambda record: moved.append(record) or record)
    lmdb_bench.rewrite("/moved", 3, lambda _: moved[0])
    lmdb_bench.close()
    write_raw(lmdb_bench.directory, b"names", digest_of("/unnamed"), b"/\xff")
    write_raw(lmdb_bench.directory, b"snap", b"short", b"record")
    write_raw(lmdb_bench.directory, b"snap", digest_of("/good") + bytes(8), moved[0])
    write_raw(lmdb_bench.directory, b"journal", digest_of("/good") + bytes(8), b"no entry")
    write_raw(lmdb_bench.directory, b"values", b"key", b"value without its checksum")
    report = verify_store(lmdb_bench.directory)
    found = {type(problem): str(problem) for problem in report.problems}
    records = sorted(str(problem) for problem in report.problems if isinstance(problem, RecordDamaged))

    assert set(found) == {NameDamaged, RecordDamaged, RecordTooNew, RowDamaged}
    assert report.is_readable
    assert report.snapshots == 2
    assert len(records) == 5
    assert records[0].startswith("journal record 0 of /good: 8 bytes are fewer than")
    assert records[1].startswith("snap record 0 of /good: it is record 5")
    assert records[2].startswith("snap record 0 of the unknown path with digest 73686f7274: its key has 5 bytes")
    assert records[3].startswith("snap record 1 of /flipped: its checksum is")
    assert records[4].startswith("snap record 3 of /moved: it belongs to '/good'")
    assert "snap record 2 of /newer: a newer release wrote it, in format 2" in found[RecordTooNew]
    assert found[RowDamaged].startswith("values row 6b6579: its checksum is")
    assert digest_of("/unnamed").hex() in found[NameDamaged]


def test_a_broken_structure_is_told_without_reading_on(store: Path) -> None:
    break_structure(store)
    report = verify_store(store)

    assert not report.is_readable
    assert report.problems
    assert all(isinstance(problem, StructureDamaged) for problem in report.problems)


def test_a_truncated_store_is_a_broken_structure(store: Path) -> None:
    os.truncate(store / "data.mdb", 3 * PAGE)

    assert not verify_store(store).is_readable


def test_a_store_under_a_writer_is_verified_as_it_was_at_one_moment(tmp_path: Path, start_program: Start) -> None:
    """Many times, while pages are freed and used again."""
    writer = start_program("endless_writer.py", str(tmp_path), "1")
    assert writer.stdout is not None
    for _ in range(15):
        for _ in range(20):
            writer.stdout.readline()
        report = verify_store(tmp_path)
        assert report.problems == ()
    writer.kill()


# Backup


def test_a_backup_is_the_store_without_its_free_pages(store: Path, tmp_path: Path, open_store: OpenStore) -> None:
    grown = open_store(store)
    grown.commit([Put("/large", "s", 1, 1, bytes(2**20))]).result(10)
    for number in range(2):
        grown.commit([Put("/large", "s", 1, 1, number)]).result(10)
    store_id = grown.store_id
    grown.close()
    seen: list[tuple[int, int]] = []
    report = back_up(store, tmp_path / "backup", progress=lambda written, expected: seen.append((written, expected)))

    assert (report.path, report.snapshots, report.problems) == (tmp_path / "backup", 4, ())
    assert report.bytes == (tmp_path / "backup" / "data.mdb").stat().st_size < (store / "data.mdb").stat().st_size / 2
    assert names_in(tmp_path) == {"state", "backup"}
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "backup" / "data.mdb").stat().st_mode & 0o777 == 0o600
    assert seen[-1][0] == report.bytes <= seen[-1][1]
    again = open_store(tmp_path / "backup")
    assert again.store_id == store_id
    assert again.latest("/a").state == "newer"
    assert [entry.entry for entry in again.journal("/a", after=0).entries] == ["entry"]
    assert again.row(Table.VALUES, b"key") == b"value"
    with pytest.raises(SnapshotCorrupt):
        again.latest("/bad")
    again.close()


def test_a_backup_of_a_store_that_is_written_has_all_that_was_acknowledged_before(
    tmp_path: Path, start_program: Start
) -> None:
    writer = start_program("endless_writer.py", str(tmp_path / "store"), "1")
    assert writer.stdout is not None
    number = 0
    for turn in range(5):
        for _ in range(30):
            _, number, _ = writer.stdout.readline().split()  # type: ignore[assignment]  # text, then a number
        report = back_up(tmp_path / "store", tmp_path / f"backup-{turn}")
        assert report.problems == ()
        states = kept_in(tmp_path / f"backup-{turn}").values()
        assert max(state["number"] for state in states) >= int(number)  # type: ignore[index]  # it wrote dicts
    assert writer.poll() is None
    writer.kill()


def test_the_damaged_records_of_a_store_are_in_the_backup_and_in_the_report(
    lmdb_bench: LmdbBench, tmp_path: Path, flip_last_byte: Callable[[bytes], bytes]
) -> None:
    lmdb_bench.commit(Put("/a", "s", 1, 1, "lost"), Put("/b", "s", 1, 1, "kept"))
    lmdb_bench.rewrite("/a", 1, flip_last_byte)
    lmdb_bench.close()
    report = back_up(lmdb_bench.directory, tmp_path / "backup")

    assert [type(problem) for problem in report.problems] == [RecordDamaged]
    assert report.snapshots == 1
    assert kept_in(tmp_path / "backup") == {"/b": "kept"}
    with StoreReader.open(tmp_path / "backup") as reader:
        assert len([each for each in reader.snapshots() if isinstance(each, SnapshotCorrupt)]) == 1


def test_a_store_whose_structure_is_broken_is_not_backed_up(store: Path, tmp_path: Path) -> None:
    break_structure(store)
    with pytest.raises(StoreUnusable, match="its file is damaged"):
        back_up(store, tmp_path / "backup")

    assert names_in(tmp_path) == {"state"}


@pytest.mark.parametrize("taken", ["directory", "file", "dangling link"])
def test_a_backup_overwrites_nothing(store: Path, tmp_path: Path, taken: str) -> None:
    target = tmp_path / "backup"
    if taken == "directory":
        target.mkdir()
    elif taken == "file":
        target.write_text("mine")
    else:
        target.symlink_to("nowhere")
    with pytest.raises(CopyFailed, match="it exists; name a directory that does not"):
        back_up(store, target)

    assert names_in(tmp_path) == {"state", "backup"}


def test_a_backup_is_refused_inside_the_store_and_below_nothing(store: Path, tmp_path: Path) -> None:
    with pytest.raises(CopyFailed, match="it would be inside the store"):
        back_up(store, store / "backup")
    with pytest.raises(CopyFailed, match="there is no directory"):
        back_up(store, tmp_path / "deep" / "backup")
    with pytest.raises(StoreUnusable, match="there is no store"):
        back_up(tmp_path / "nothing", tmp_path / "backup")

    assert names_in(store) == {"data.mdb", "lock.mdb", "sealed"}
    assert names_in(tmp_path) == {"state"}


def test_too_little_room_is_told_in_bytes_before_anything_is_written(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("treewarden.storage._copying.free_bytes", little_room)
    with pytest.raises(CopyFailed, match=r"it needs \d+ bytes, and 1000 are free there"):
        back_up(store, tmp_path / "backup")

    assert names_in(tmp_path) == {"state"}


def test_a_disk_that_fills_up_meanwhile_leaves_nothing_behind(
    store: Path, tmp_path: Path, programs: Path, open_store: OpenStore
) -> None:
    """A file size limit stands for the full disk: the write is refused in the middle of the copy."""
    grown = open_store(store)
    grown.commit([Put("/large", "s", 1, 1, bytes(2**21))]).result(10)
    grown.close()
    done = subprocess.run(
        [sys.executable, programs / "backup_without_room.py", store, tmp_path / "backup"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("CopyFailed True\n", "")
    assert names_in(tmp_path) == {"state"}


def test_an_interrupted_backup_leaves_no_trace_and_no_thread(
    store: Path, tmp_path: Path, open_store: OpenStore
) -> None:
    grown = open_store(store)
    grown.commit([Put(f"/{number}", "s", 1, 1, bytes(2**20)) for number in range(8)]).result(10)
    grown.close()

    def interrupt(written: int, expected: int) -> None:
        assert written < expected
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(store, tmp_path / "backup", progress=interrupt)

    assert names_in(tmp_path) == {"state"}
    assert back_up(store, tmp_path / "backup").problems == ()


def test_a_second_backup_to_the_same_place_is_refused_while_the_first_is_made(store: Path, tmp_path: Path) -> None:
    refused: list[str] = []

    def again(written: int, expected: int) -> None:
        done = subprocess.run(
            [sys.executable, "-c", SECOND, store, tmp_path / "backup"], capture_output=True, text=True, check=False
        )
        refused.append(done.stdout)

    back_up(store, tmp_path / "backup", progress=again)

    assert refused == [
        f"no copy was made at {tmp_path}/backup: another copy is being made there; wait until it is done\n"
    ]


SECOND = """
import sys
from pathlib import Path
from treewarden.storage import CopyFailed, back_up
try:
    back_up(Path(sys.argv[1]), Path(sys.argv[2]))
except CopyFailed as error:
    print(error)
"""


# Compaction


def test_a_compacted_store_is_smaller_and_goes_on_where_it_was(
    store: Path, owner: OwnerLock, open_store: OpenStore
) -> None:
    grown = open_store(store)
    for number in range(3):
        grown.commit([Put("/large", "s", 1, 1, bytes(2**20) if number == 0 else number)]).result(10)
    before = kept_of(grown)
    grown.close()
    report = compact(store, owner=owner)
    again = open_store(store)

    assert report.bytes_after == (store / "data.mdb").stat().st_size < report.bytes_before / 2
    assert report.problems == ()
    assert kept_of(again) == before
    assert again.commit([Put("/new", "s", 1, 1, None)]).result(10) == 8
    again.close()
    assert verify_store(store).problems == ()
    assert names_in(store) == {"data.mdb", "lock.mdb", "sealed"}


def kept_of(store: LmdbStore) -> dict[str, object]:
    return {each.path: each.state for each in store.scan() if isinstance(each, Snapshot)}


def test_a_store_that_is_not_owned_is_not_compacted(store: Path, owner: OwnerLock, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "other" / "store")
    with pytest.raises(CopyFailed, match="is not owned by the lock that was given"):
        compact(tmp_path / "other" / "store", owner=owner)
    owner.release()
    with pytest.raises(CopyFailed, match="is not owned by the lock that was given"):
        compact(store, owner=owner)


def test_a_store_that_somebody_looks_into_is_not_compacted(store: Path, owner: OwnerLock) -> None:
    """The old file's readers and the new file's writer would share a lock file that fits one of them."""
    looker = subprocess.Popen(
        [sys.executable, "-c", LOOKER, store], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with looker:
        assert looker.stdout is not None
        assert looker.stdout.readline() == "looking\n"
        with pytest.raises(CopyFailed, match="another process looks into it"):
            compact(store, owner=owner)
        looker.kill()

    assert compact(store, owner=owner).problems == ()


LOOKER = """
import sys
from pathlib import Path
from treewarden.storage import StoreReader
with StoreReader.open(Path(sys.argv[1])):
    print("looking", flush=True)
    sys.stdin.read()
"""


def test_a_broken_store_is_not_compacted(store: Path, owner: OwnerLock) -> None:
    break_structure(store)
    broken = (store / "data.mdb").read_bytes()
    with pytest.raises(StoreUnusable, match="its file is damaged"):
        compact(store, owner=owner)

    assert (store / "data.mdb").read_bytes() == broken
    assert names_in(store) == {"data.mdb", "lock.mdb", "sealed"}


# Restore


def test_a_restored_store_is_the_backup_and_the_one_before_is_kept(
    store: Path, owner: OwnerLock, tmp_path: Path, open_store: OpenStore
) -> None:
    back_up(store, tmp_path / "backup")
    for turn in (1, 2):
        changed = open_store(store)
        changed.commit([Put("/a", "s", 1, 1, f"changed {turn}")]).result(10)
        changed.close()
        report = restore(tmp_path / "backup", store, owner=owner)
        assert report.replaced is not None
        assert report.replaced == store.parent / f"store.replaced-{turn}"
        assert (report.snapshots, report.problems) == (2, ())
        assert kept_in(store) == {"/a": "newer"}
        assert kept_in(report.replaced) == {"/a": f"changed {turn}"}

    assert names_in(store.parent) == {"owner", "store", "store.replaced-1", "store.replaced-2"}
    assert verify_store(tmp_path / "backup").problems == ()


def test_a_store_is_restored_where_there_was_none(store: Path, tmp_path: Path) -> None:
    back_up(store, tmp_path / "backup")
    lock = OwnerLock.acquire(tmp_path / "fresh", ME)
    report = restore(tmp_path / "backup", tmp_path / "fresh" / "store", owner=lock)
    lock.release()

    assert report.replaced is None
    assert kept_in(tmp_path / "fresh" / "store") == {"/a": "newer"}


def test_a_damaged_backup_is_refused_and_the_store_stays(store: Path, owner: OwnerLock, tmp_path: Path) -> None:
    back_up(store, tmp_path / "backup")
    break_structure(tmp_path / "backup")
    with pytest.raises(StoreUnusable, match="its file is damaged"):
        restore(tmp_path / "backup", store, owner=owner)
    with pytest.raises(StoreUnusable, match="there is no store"):
        restore(tmp_path / "nothing", store, owner=owner)
    with pytest.raises(CopyFailed, match="the backup is the store itself"):
        restore(store, store, owner=owner)

    assert kept_in(store) == {"/a": "newer"}
    assert names_in(store.parent) == {"owner", "store"}


def test_a_restore_needs_the_owner_and_room(
    store: Path, owner: OwnerLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(store, tmp_path / "backup")
    monkeypatch.setattr("treewarden.storage._copying.free_bytes", little_room)
    with pytest.raises(CopyFailed, match="it needs"):
        restore(tmp_path / "backup", store, owner=owner)
    owner.release()
    with pytest.raises(CopyFailed, match="is not owned"):
        restore(tmp_path / "backup", store, owner=owner)

    assert names_in(store.parent) == {"owner", "store"}


def test_a_runtime_keeps_the_store_from_being_owned(state: Path, store: Path, start_program: Start) -> None:
    runtime = start_program("owner.py", str(state))
    assert runtime.stdout is not None
    assert runtime.stdout.readline() == "owned\n"
    with pytest.raises(StoreLocked):
        OwnerLock.acquire(state, ME)
