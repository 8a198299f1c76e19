"""A look into a store from outside: what it reads, what it never does, and beside a runtime that writes."""

import os
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import lmdb
import pytest

from treewarden.storage import (
    Append,
    LmdbStore,
    Operation,
    Put,
    Snapshot,
    SnapshotCorrupt,
    StoreClosed,
    StoreReader,
    StoreUnusable,
)
from treewarden.storage._reader import _readers_in


class LmdbBench(Protocol):
    """What conftest's has."""

    directory: Path

    def commit(self, *operations: Operation) -> int: ...
    def rewrite(self, path: str, sequence: int, change: Callable[[bytes], bytes]) -> None: ...
    def close(self) -> None: ...


OpenStore = Callable[..., LmdbStore]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def store(tmp_path: Path, open_store: OpenStore) -> Path:
    """A closed store with two snapshots of /a, one of /b and a journal."""
    made = open_store(tmp_path / "store")
    for operation in (
        Put("/a", "s", 1, 1, "older"),
        Put("/a", "s", 1, 1, "newer"),
        Put("/b", "s", 1, 1, bytes(50_000)),
        Append("/b", "s", 1, 1, "entry"),
    ):
        made.commit([operation]).result(10)
    made.close()
    return tmp_path / "store"


@contextmanager
def writing(directory: Path) -> Generator[Callable[[], None]]:
    """A process that has the store open; the function lets it write a mebibyte and double its map as often as it must."""
    with subprocess.Popen(
        [sys.executable, Path(__file__).parent / "programs" / "growing_writer.py", directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        stdin, stdout = writer.stdin, writer.stdout
        assert stdout.readline() == "open\n"

        def grow() -> None:
            stdin.write("more\n")
            stdin.flush()
            assert stdout.readline().strip().isdecimal()

        try:
            yield grow
        finally:
            writer.kill()


def test_a_look_gives_what_the_store_would(store: Path) -> None:
    with StoreReader.open(store) as reader:
        found = {each.path: each.state for each in reader.snapshots() if isinstance(each, Snapshot)}
        older = reader.older("/a")

        assert found == {"/a": "newer", "/b": bytes(50_000)}
        assert older is not None
        assert older.state == "older"
        assert reader.older("/b") is None
        assert reader.older("/none") is None
        assert (len(reader.store_id), reader.layout) == (32, 2)


def test_the_figures_of_a_store(store: Path) -> None:
    with StoreReader.open(store) as reader:
        figures = reader.statistics()

    assert figures.entries == {
        "checkpoints": 0,
        "events": 0,
        "journal": 1,
        "meta": 5,
        "names": 2,
        "quarantine": 0,
        "snap": 3,
        "values": 0,
    }
    assert figures.file_bytes == (store / "data.mdb").stat().st_size
    assert figures.map_size == 2**30
    assert 13 < figures.used_pages < (figures.used_pages + figures.free_pages) * figures.page_size <= figures.file_bytes
    assert (figures.readers, figures.oldest_reader) == (0, None)
    assert (figures.layout, figures.lib_version[:4]) == (2, "0.9.")


def test_a_record_that_cannot_be_believed_is_given_as_such(
    lmdb_bench: LmdbBench, flip_last_byte: Callable[[bytes], bytes]
) -> None:
    lmdb_bench.commit(Put("/a", "s", 1, 1, "first"))
    lmdb_bench.rewrite("/a", 1, flip_last_byte)
    lmdb_bench.close()
    with StoreReader.open(lmdb_bench.directory) as reader:
        (found,) = reader.snapshots()

    assert isinstance(found, SnapshotCorrupt)


def test_a_store_that_a_runtime_writes_is_read_and_the_runtime_goes_on(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The map of the writer grows beyond the reader's between two steps of one iteration."""
    monkeypatch.setattr("treewarden.storage._reader._SHELVES_AT_ONCE", 1)
    with writing(store) as grow, StoreReader.open(store) as reader:
        grow()
        before = {each.path for each in reader.snapshots()}
        steps = reader.snapshots()
        first = next(steps)
        for _ in range(4):
            grow()
        assert isinstance(first, Snapshot)
        assert len(list(steps)) >= 2
        after = {each.path for each in reader.snapshots()}
        figures = reader.statistics()

    assert before == {"/a", "/b", "/grown/0"}
    assert after == {"/a", "/b", *(f"/grown/{number}" for number in range(5))}
    assert figures.entries["snap"] == 8
    assert figures.map_size > 5 * 2**20


def test_a_stuck_reader_is_seen_with_how_far_it_is_behind(
    store: Path, start_program: Start, open_store: OpenStore
) -> None:
    stuck = start_program("stuck_reader.py", str(store))
    assert stuck.stdout is not None
    assert stuck.stdout.readline() == "reading\n"
    written = open_store(store)
    for number in range(3):
        written.commit([Put("/a", "s", 1, 1, number)]).result(10)
    written.close()
    with StoreReader.open(store) as reader:
        figures = reader.statistics()

    assert figures.readers == 1
    assert figures.oldest_reader is not None
    assert (figures.oldest_reader.pid, figures.oldest_reader.behind) == (stuck.pid, 3)


@pytest.mark.parametrize("lock_file", ["kept", "lost"])
def test_a_look_changes_and_creates_nothing(store: Path, lock_file: str) -> None:
    if lock_file == "lost":
        (store / "lock.mdb").unlink()
    names, data = set(store.iterdir()), (store / "data.mdb").read_bytes()
    with StoreReader.open(store) as reader:
        list(reader.snapshots())
        reader.statistics()

    assert set(store.iterdir()) == names
    assert (store / "data.mdb").read_bytes() == data


def test_a_writer_that_comes_unseen_makes_the_look_an_error(store: Path) -> None:
    """Without a lock file there is no table to enter oneself in."""
    (store / "lock.mdb").unlink()
    with StoreReader.open(store) as reader:
        with writing(store):
            with pytest.raises(StoreUnusable, match="somebody began to write it during the look; look again"):
                list(reader.snapshots())


@pytest.mark.parametrize("place", ["nothing", "empty directory", "file"])
def test_where_no_store_is_none_is_made(tmp_path: Path, place: str) -> None:
    directory = tmp_path / "store"
    if place == "empty directory":
        directory.mkdir()
    elif place == "file":
        directory.write_text("")
    with pytest.raises(StoreUnusable, match="there is no store"), StoreReader.open(directory):
        pass

    assert directory.exists() == (place != "nothing")
    assert not directory.is_dir() or list(directory.iterdir()) == []


def test_a_store_of_the_first_layout_is_read_and_stays_one(store: Path) -> None:
    with lmdb.open(str(store), max_dbs=16, lib_version=0) as raw:
        meta = raw.open_db(b"meta", create=False)
        later = [raw.open_db(name, create=False) for name in (b"journal", b"checkpoints", b"values", b"events")]
        with raw.begin(write=True) as txn:
            txn.put(b"layout", b"1", db=meta)
            for database in later:
                txn.drop(database)
    with StoreReader.open(store) as reader:
        assert {each.path for each in reader.snapshots()} == {"/a", "/b"}
        assert reader.layout == 1
        assert set(reader.statistics().entries) == {"meta", "names", "quarantine", "snap"}
    with StoreReader.open(store) as reader:
        assert reader.layout == 1


def test_a_truncated_store_is_refused_before_it_is_read(store: Path) -> None:
    os.truncate(store / "data.mdb", 3 * 4096)
    with pytest.raises(StoreUnusable, match=r"data.mdb has 12288 bytes where its meta page promises"):
        with StoreReader.open(store):
            pass


def test_the_process_that_has_it_open_is_told_to_use_that(store: Path, open_store: OpenStore) -> None:
    opened = open_store(store)
    with pytest.raises(StoreUnusable, match="share the store that is open"), StoreReader.open(store):
        pass
    opened.close()


def test_a_look_that_is_over_says_so(store: Path) -> None:
    with StoreReader.open(store) as reader:
        steps = reader.snapshots()
    with pytest.raises(StoreClosed):
        next(steps)
    with pytest.raises(StoreClosed):
        reader.statistics()


def descriptors() -> set[str]:
    """Where the descriptors of this process lead."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return {str(link.readlink()) for link in links if link.exists()}


def test_a_look_leaves_no_descriptor(store: Path) -> None:
    before = descriptors()
    with StoreReader.open(store) as reader:
        reader.statistics()

    assert descriptors() == before


def test_the_list_of_readers_is_read_as_the_engine_writes_it() -> None:
    listing = "    pid     thread     txnid\n     12 7fe1 34\n     56 7fe2 -\n"

    assert list(_readers_in(listing)) == [(12, 34), (56, None)]
    assert list(_readers_in("(no active readers)\n")) == []
    assert list(_readers_in("(no reader locks)\n")) == []
