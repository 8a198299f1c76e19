"""What only the durable store has: files, restarts, growth, refusals, other processes."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import lmdb
import pytest

from treewarden.storage import (
    Discard,
    LmdbStore,
    Put,
    Quarantine,
    Snapshot,
    SnapshotCorrupt,
    StoreUnusable,
)
from treewarden.storage._lmdb_tables import digest_of

OpenStore = Callable[..., LmdbStore]
MakePut = Callable[..., Put]
Run = Callable[..., list[str]]
Start = Callable[..., "subprocess.Popen[str]"]
PAGE = 4096


def test_a_store_opened_again_has_its_id_its_snapshots_and_its_sequence(
    tmp_path: Path, open_store: OpenStore, put: MakePut
) -> None:
    first = open_store(tmp_path / "store")
    first.commit([put("/a", "kept"), put("/b"), Discard("/b")]).result(10)
    first.close()
    second = open_store(tmp_path / "store")

    assert first.store_id == second.store_id
    assert second.latest("/a").state == "kept"
    assert second.commit([put("/a")]).result(10) == 3
    second.close()


def test_two_stores_have_two_ids(tmp_path: Path, open_store: OpenStore) -> None:
    stores = [open_store(tmp_path / name) for name in ("a", "b")]
    for store in stores:
        store.close()

    assert stores[0].store_id != stores[1].store_id


def test_written_at_is_the_wall_time_of_the_call(tmp_path: Path, open_store: OpenStore, put: MakePut) -> None:
    now = 0.0
    store = open_store(tmp_path, wall=lambda: now)
    now = 5.0
    store.commit([put("/a"), put("/b")]).result(10)
    now = 6.5
    store.commit([put("/b")]).result(10)

    assert (store.latest("/a").written_at, store.latest("/b").written_at) == (5.0, 6.5)
    store.close()


def test_the_files_are_private_and_the_writes_synchronous(tmp_path: Path, open_store: OpenStore) -> None:
    store = open_store(tmp_path / "store")
    flags = store._environment.flags()
    modes = {name: stat.S_IMODE((tmp_path / "store" / name).stat().st_mode) for name in ("", "data.mdb", "lock.mdb")}
    store.close()

    assert modes == {"": 0o700, "data.mdb": 0o600, "lock.mdb": 0o600}
    assert (
        flags["sync"],
        flags["metasync"],
        flags["writemap"],
        flags["map_async"],
    ) == (True, True, False, False)


def test_the_file_format_is_chosen_here_and_not_by_the_environment(
    tmp_path: Path, run_program: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMDB_DEFAULT_LIB_VERSION", "1")
    engine = run_program("new_store.py", str(tmp_path))
    with lmdb.open(str(tmp_path), max_dbs=16, lib_version=0) as raw, raw.begin() as txn:
        recorded = txn.get(b"lib_version", db=raw.open_db(b"meta", txn=txn, create=False))

    assert engine == ["0 9"]
    assert recorded == b"0"


def test_the_file_stays_small_however_large_the_map(tmp_path: Path, open_store: OpenStore, put: MakePut) -> None:
    store = open_store(tmp_path)
    store.commit([put("/a")]).result(10)
    mapped, size = store._environment.info()["map_size"], (tmp_path / "data.mdb").stat().st_size
    store.close()

    assert mapped == 2**30
    assert size < 2**20


def test_a_path_rewritten_for_ever_does_not_grow_the_file(tmp_path: Path, open_store: OpenStore, put: MakePut) -> None:
    store = open_store(tmp_path)
    for number in range(300):
        store.commit([put("/a", bytes(20_000)), put(f"/gone/{number}"), Discard(f"/gone/{number}")]).result(10)
    size = (tmp_path / "data.mdb").stat().st_size
    store.close()

    assert size < 2**20
    with lmdb.open(str(tmp_path), max_dbs=16, lib_version=0) as raw, raw.begin() as txn:
        assert txn.stat(raw.open_db(b"names", txn=txn, create=False))["entries"] == 1


def test_a_full_map_is_doubled_and_the_same_commit_written_once(
    tmp_path: Path, open_store: OpenStore, put: MakePut
) -> None:
    store = open_store(tmp_path, map_size=2**18)
    answer = store.commit([put(f"/{number}", bytes(100_000)) for number in range(20)]).result(10)
    mapped = store._environment.info()["map_size"]
    found = [each for each in store.scan() if isinstance(each, Snapshot)]
    store.close()

    assert answer == 20
    assert list(range(1, 21)) == sorted(each.sequence for each in found)
    assert mapped == 2**22


def test_a_store_larger_than_the_first_map_is_opened_whole(tmp_path: Path, open_store: OpenStore, put: MakePut) -> None:
    store = open_store(tmp_path, map_size=2**18)
    store.commit([put(f"/{number}", bytes(100_000)) for number in range(20)]).result(10)
    store.close()
    again = open_store(tmp_path, map_size=2**18)
    again.commit([put("/more", bytes(1_000_000))]).result(10)

    assert len(list(again.scan())) == 21
    again.close()


def test_a_refused_transaction_fails_its_own_batch_and_the_store_goes_on(tmp_path: Path, run_program: Run) -> None:
    """A write the kernel refuses, as on a full disk; the limit lifted, the store takes commits again."""
    assert run_program("no_room.py", str(tmp_path / "store")) == [
        "CommitFailed lmdb",
        "CommitFailed lmdb",
        "before",
        "['/kept', '/large']",
    ]


def test_a_refused_map_size_fails_its_own_batch_and_the_store_goes_on(tmp_path: Path, run_program: Run) -> None:
    assert run_program("no_address_space.py", str(tmp_path / "store")) == ["CommitFailed True", "before", "after", "66"]


def test_a_forked_child_is_refused_and_harms_neither_store_nor_ownership(tmp_path: Path, run_program: Run) -> None:
    lines = run_program("forked_child.py", str(tmp_path))

    assert lines[:5] == ["StoreUnusable True"] * 4 + ["StoreUnusable False"]
    assert lines[5:] == ["still owned by the parent", "parent again"]


def test_no_program_started_later_inherits_a_descriptor_of_the_store(
    tmp_path: Path, open_store: OpenStore, programs: Path
) -> None:
    store = open_store(tmp_path / "store")
    opened = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    done = subprocess.run(
        [sys.executable, programs / "list_descriptors.py"], capture_output=True, text=True, close_fds=False, check=True
    )
    store.close()

    assert str(tmp_path / "store" / "data.mdb") in opened
    assert str(tmp_path) not in done.stdout


def test_a_killed_reader_is_cleared_when_the_store_is_opened(
    tmp_path: Path, open_store: OpenStore, start_program: Start
) -> None:
    """The living reader keeps the reader table from being made anew, as it is for a lone process."""
    open_store(tmp_path).close()
    living, killed = (start_program("stuck_reader.py", str(tmp_path)) for _ in range(2))
    for reader in (living, killed):
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
    killed.kill()
    killed.wait()
    store = open_store(tmp_path)
    readers = store._environment.readers()
    store.close()

    assert str(living.pid) in readers
    assert str(killed.pid) not in readers


def test_no_acknowledged_commit_is_lost_by_kill_9(tmp_path: Path, open_store: OpenStore, start_program: Start) -> None:
    """20 rounds: a writer is killed in mid-stride; what it acknowledged through the pipe must be there."""
    acknowledged: dict[str, int] = {}
    highest = number = 0
    for killed_after in range(1, 400, 20):
        writer = start_program("endless_writer.py", str(tmp_path), str(number + 1))
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(killed_after)]
        writer.kill()
        lines += writer.stdout.readlines()
        assert writer.wait() == -signal.SIGKILL
        for path, count, sequence in (line.split() for line in lines if line.endswith("\n")):
            acknowledged[path] = max(acknowledged.get(path, 0), int(count))
            assert int(sequence) > highest
            highest = int(sequence)
        store = open_store(tmp_path)
        found = {each.path: each for each in store.scan()}
        store.close()
        for path, promised in acknowledged.items():
            snapshot = found[path]
            assert isinstance(snapshot, Snapshot)
            kept = cast("dict[str, int]", snapshot.state)["number"]
            assert kept >= promised
            number, highest = max(number, kept), max(highest, snapshot.sequence)

    assert len(acknowledged) == 3


def test_a_creation_that_was_killed_is_begun_anew(tmp_path: Path, open_store: OpenStore) -> None:
    (tmp_path / "creating").mkdir()
    (tmp_path / "creating" / "data.mdb").write_bytes(b"half")
    open_store(tmp_path).close()

    assert {"data.mdb", "lock.mdb", "sealed"} == {each.name for each in tmp_path.iterdir()}


def test_a_damaged_name_is_read_from_the_record_itself(tmp_path: Path, open_store: OpenStore, put: MakePut) -> None:
    store = open_store(tmp_path)
    store.commit([put("/a", "found")]).result(10)
    store.close()
    with lmdb.open(str(tmp_path), max_dbs=16, lib_version=0) as raw:
        names = raw.open_db(b"names", create=False)
        with raw.begin(write=True) as txn:
            txn.put(digest_of("/a"), b"/\xff", db=names)
    again = open_store(tmp_path)

    assert [each.path for each in again.scan()] == ["/a"]
    again.close()


def test_a_shelf_whose_name_and_records_are_damaged_is_still_reported(
    tmp_path: Path, open_store: OpenStore, put: MakePut
) -> None:
    store = open_store(tmp_path)
    store.commit([put("/a"), Quarantine("/a", 1)]).result(10)
    store.close()
    with lmdb.open(str(tmp_path), max_dbs=16, lib_version=0) as raw:
        names = raw.open_db(b"names", create=False)
        with raw.begin(write=True) as txn:
            txn.delete(digest_of("/a"), db=names)
    again = open_store(tmp_path)
    found = list(again.scan())
    again.close()

    assert isinstance(found[0], SnapshotCorrupt)
    assert digest_of("/a").hex() in found[0].path


def made(directory: Path) -> Path:
    store = LmdbStore.open(directory)
    store.commit([Put("/a", "s", 1, 1, bytes(100_000))]).result(10)
    store.close()
    return directory / "data.mdb"


def a_file(directory: Path) -> None:
    directory.write_text("not a directory")


def below_a_file(directory: Path) -> None:
    shutil.rmtree(directory.parent)
    directory.parent.write_text("not a directory")


def other_bytes(directory: Path) -> None:
    directory.mkdir()
    (directory / "data.mdb").write_bytes(b"something else\n" * 1000)


def a_damaged_meta_page(directory: Path) -> None:
    data = made(directory)
    data.write_bytes(b"\xff" * PAGE + data.read_bytes()[PAGE:])


def an_emptied_file(directory: Path) -> None:
    made(directory).write_bytes(b"")


def a_file_cut_short(directory: Path) -> None:
    data = made(directory)
    os.truncate(data, data.stat().st_size - 3 * PAGE)


def pages_overwritten(directory: Path) -> None:
    data = made(directory)
    data.write_bytes(data.read_bytes()[: 2 * PAGE] + b"\xff" * (data.stat().st_size - 2 * PAGE))


def a_file_of_the_later_engine(directory: Path) -> None:
    lmdb.open(str(directory), lib_version=1).close()


def an_lmdb_file_of_somebody_else(directory: Path) -> None:
    with lmdb.open(str(directory), lib_version=0, max_dbs=4) as raw:
        raw.open_db(b"theirs")


def a_later_layout(directory: Path) -> None:
    made(directory)
    with lmdb.open(str(directory), lib_version=0, max_dbs=16) as raw:
        meta = raw.open_db(b"meta", create=False)
        with raw.begin(write=True) as txn:
            txn.put(b"layout", b"3", db=meta)


@pytest.mark.parametrize(
    ("prepare", "found", "remedy"),
    [
        (a_file, "exists", "name a directory"),
        (below_a_file, "Not a directory", "name a directory"),
        (other_bytes, "not an LMDB file", "backup"),
        (a_damaged_meta_page, "not an LMDB file", "backup"),
        (an_emptied_file, "is empty", "backup"),
        (a_file_cut_short, "promises", "backup"),
        (pages_overwritten, "is damaged", "backup"),
        (a_file_of_the_later_engine, "not an LMDB file", "backup"),
        (an_lmdb_file_of_somebody_else, "MDB_NOTFOUND", "backup"),
        (a_later_layout, "b'layout': b'3'", "start the release that wrote it"),
    ],
)
def test_what_is_not_a_readable_store_is_refused_with_path_finding_and_remedy(
    tmp_path: Path, open_store: OpenStore, prepare: Callable[[Path], None], found: str, remedy: str
) -> None:
    directory = tmp_path / "parent" / "store"
    directory.parent.mkdir()
    prepare(directory)
    before = {each: each.read_bytes() for each in directory.glob("data.mdb")}
    with pytest.raises(StoreUnusable) as caught:
        open_store(directory)

    assert directory == caught.value.path
    assert str(directory) in str(caught.value)
    assert found in caught.value.found
    assert remedy in caught.value.remedy
    assert before == {each: each.read_bytes() for each in directory.glob("data.mdb")}


def test_a_store_that_is_open_in_this_process_is_refused_a_second_time(
    tmp_path: Path, open_store: OpenStore, put: MakePut
) -> None:
    store = open_store(tmp_path)
    with pytest.raises(StoreUnusable, match="share the store that is open, or close it first"):
        open_store(tmp_path)
    store.commit([put("/a")]).result(10)
    store.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written_is_refused(tmp_path: Path, open_store: OpenStore) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreUnusable, match="give this user read and write access"):
            open_store(tmp_path / "store")
    finally:
        tmp_path.chmod(0o700)
