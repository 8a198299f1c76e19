"""The stores under one face, raw access to their records, and the check that no thread is left."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest

from treewarden.storage import Holder, LmdbStore, MemoryStore, Operation, OwnerLock, Put, Table
from treewarden.storage._codec import crc32c
from treewarden.storage._lmdb_tables import digest_of

WALL = 1_700_000_000.25
DEADLINE = 10.0


class MemoryBench:
    wall = WALL

    def __init__(self) -> None:
        self.store = MemoryStore(wall=lambda: WALL)

    def commit(self, *operations: Operation) -> int:
        return self.store.commit(operations).result(timeout=DEADLINE)

    def rewrite(self, path: str, sequence: int, change: Callable[[bytes], bytes]) -> None:
        shelf = self.store._shelves[path]
        shelf[sequence] = change(shelf[sequence])

    def rewrite_entry(self, path: str, sequence: int, change: Callable[[bytes], bytes]) -> None:
        journal = self.store._journals[path]
        journal[sequence] = change(journal[sequence])

    def rewrite_row(self, table: Table, key: bytes, change: Callable[[bytes], bytes]) -> None:
        rows = self.store._tables[table]
        rows[key] = change(rows[key])

    def quarantined(self) -> list[bytes]:
        return list(self.store._aside.values())

    def close(self) -> None:
        self.store.close()


class LmdbBench:
    wall = WALL

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = LmdbStore.open(directory, wall=lambda: WALL)

    def commit(self, *operations: Operation) -> int:
        return self.store.commit(operations).result(timeout=DEADLINE)

    def rewrite(self, path: str, sequence: int, change: Callable[[bytes], bytes]) -> None:
        self._rewrite(b"snap", digest_of(path) + sequence.to_bytes(8, "big"), change)

    def rewrite_entry(self, path: str, sequence: int, change: Callable[[bytes], bytes]) -> None:
        self._rewrite(b"journal", digest_of(path) + sequence.to_bytes(8, "big"), change)

    def rewrite_row(self, table: Table, key: bytes, change: Callable[[bytes], bytes]) -> None:
        self._rewrite(table.value.encode(), key, change)

    def _rewrite(self, database: bytes, key: bytes, change: Callable[[bytes], bytes]) -> None:
        self.store.close()
        with lmdb.open(str(self.directory), max_dbs=16, lib_version=0) as raw:
            opened = raw.open_db(database, create=False)
            with raw.begin(write=True) as txn:
                record = txn.get(key, db=opened)
                assert record is not None
                txn.put(key, change(record), db=opened)
        self.store = LmdbStore.open(self.directory, wall=lambda: WALL)

    def quarantined(self) -> list[bytes]:
        self.store.close()
        with lmdb.open(str(self.directory), max_dbs=16, lib_version=0) as raw:
            aside = raw.open_db(b"quarantine", create=False)
            with raw.begin() as txn:
                found = [value for _, value in txn.cursor(db=aside)]
        self.store = LmdbStore.open(self.directory, wall=lambda: WALL)
        return found

    def close(self) -> None:
        self.store.close()


@pytest.fixture(autouse=True)
def no_storage_thread_is_left() -> Iterator[None]:
    yield
    left = [thread for thread in threading.enumerate() if thread.name == "treewarden-storage"]
    assert left == []


@pytest.fixture
def lmdb_bench(tmp_path: Path) -> Iterator[LmdbBench]:
    made = LmdbBench(tmp_path / "store")
    yield made
    made.close()


@pytest.fixture(params=["memory", "lmdb"])
def bench(request: pytest.FixtureRequest) -> Iterator[MemoryBench | LmdbBench]:
    if request.param == "lmdb":
        yield request.getfixturevalue("lmdb_bench")
        return
    made = MemoryBench()
    yield made
    made.close()


@pytest.fixture
def put() -> Callable[..., Put]:
    def make(path: str, state: object = None, *, generation: int = 1) -> Put:
        return Put(path, "counter", 1, generation, state)

    return make


@pytest.fixture
def flip_last_byte() -> Callable[[bytes], bytes]:
    return lambda record: record[:-1] + bytes([record[-1] ^ 0x01])


@pytest.fixture
def programs() -> Path:
    """The folder of the programs that tests run as processes of their own."""
    return Path(__file__).parent / "programs"


@pytest.fixture
def open_store() -> Iterator[Callable[..., LmdbStore]]:
    """Open stores that are closed at the end, also when the test fails."""
    opened: list[LmdbStore] = []

    def open_one(directory: Path, *, wall: Callable[[], float] = time.time, map_size: int = 2**30) -> LmdbStore:
        opened.append(LmdbStore.open(directory, wall=wall, map_size=map_size))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def acquire() -> Iterator[Callable[[Path, Holder], OwnerLock]]:
    """Own directories that are released at the end, also when the test fails."""
    owned: list[OwnerLock] = []

    def acquire_one(state_dir: Path, holder: Holder) -> OwnerLock:
        owned.append(OwnerLock.acquire(state_dir, holder))
        return owned[-1]

    yield acquire_one
    for lock in owned:
        lock.release()


@pytest.fixture
def hold_storage_thread(open_store: Callable[..., LmdbStore]) -> Iterator[Callable[[LmdbStore], Callable[[], None]]]:
    """Park a store's storage thread in a callback; the function that is returned lets it go on.

    It uses `open_store` so that the thread goes on before the stores are closed.
    """
    gate = threading.Event()

    def hold(store: LmdbStore) -> Callable[[], None]:
        parked = threading.Event()

        def park(_: object) -> None:
            # A future that is already resolved runs its callback here and now: then try again.
            if threading.current_thread().name == "treewarden-storage":
                parked.set()
                assert gate.wait(DEADLINE)

        deadline = time.monotonic() + DEADLINE
        while not parked.is_set():
            assert time.monotonic() < deadline, "the storage thread never ran the callback"
            acknowledged = store.commit([])
            acknowledged.add_done_callback(park)
            acknowledged.result(DEADLINE)
            parked.wait(0.05)
        return gate.set

    yield hold
    gate.set()


@pytest.fixture
def newer_format() -> Callable[[bytes], bytes]:
    """Raise a record's format number to 2 and mend its checksum: what a later release would write."""

    def change(record: bytes) -> bytes:
        covered = record[:4] + (2).to_bytes(2, "big") + record[6:-4]
        return covered + crc32c(covered).to_bytes(4, "big")

    return change


@pytest.fixture
def run_program(programs: Path) -> Callable[..., list[str]]:
    """Run a program to its end; the lines it printed."""

    def run(name: str, *arguments: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, programs / name, *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    return run


@pytest.fixture
def start_program(programs: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start a program whose stdout can be read; it is killed at the end at the latest."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, programs / name, *arguments], stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()
