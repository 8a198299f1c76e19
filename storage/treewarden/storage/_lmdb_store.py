"""The durable store: one LMDB environment, one storage thread, group commit.

The thread "treewarden-storage" takes what waits, writes it in one transaction, fsyncs once, and
only then resolves the futures: an acknowledged commit survives kill -9, and an unacknowledged one
happened whole or not at all. Reads run on the caller's thread. When the map is full the storage
thread doubles it and writes the same batch again; when the medium refuses a transaction, exactly
that batch fails and the store goes on.

One process uses a store at a time (`OwnerLock` sees to it); a forked child is refused, since LMDB's
handles do not survive fork(2) (lmdb.h, "Caveats"): start programs by exec. Not promised: survival
of power loss beyond what fsync(2) of the file system gives, or use on a network file system.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, final

import lmdb

from treewarden.storage._codec import prepare
from treewarden.storage._contract import Operation, Snapshot
from treewarden.storage._errors import SnapshotCorrupt, SnapshotMissing, StoreClosed, StoreUnusable
from treewarden.storage._file_system import OnNetwork
from treewarden.storage._group_commit import Intake, Pending, settle
from treewarden.storage._lmdb_files import commit_failed, open_environment, reading
from treewarden.storage._lmdb_tables import Shelf, Tables, digest_of
from treewarden.storage._shelf import judge, judge_older

__all__ = ["LmdbStore"]

INITIAL_MAP_SIZE: Final = 2**30  # bytes of address space; the file is sparse and stays small

T = TypeVar("T")


@final
class LmdbStore:
    """A `SnapshotStore` on disk. Made by `LmdbStore.open`; safe from any thread of one process."""

    def __init__(
        self, directory: Path, *, wall: Callable[[], float], map_size: int, on_network: OnNetwork = OnNetwork.REFUSE
    ) -> None:
        self._directory = directory
        self._on_network = on_network
        self._wall = wall
        self._pid = os.getpid()
        self._intake = Intake()
        # Guards _environment, _tables and _map_size. Held by every read transaction, because
        # resizing the map invalidates live ones (lmdb.h, mdb_env_set_mapsize), and by whoever
        # resizes, reopens or closes. Never held while calling out or during a write transaction.
        self._map_lock = threading.Lock()
        self._map_size = map_size
        self._environment = open_environment(directory, map_size=map_size, on_network=on_network)
        try:
            self._tables = Tables(directory, self._environment)
        except BaseException:
            self._environment.close()
            raise
        # A daemon: a store that somebody forgot to close must not keep the interpreter from
        # ending, and what it would lose was never acknowledged.
        self._thread = threading.Thread(target=self._serve, name="treewarden-storage", daemon=True)
        self._thread.start()

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        wall: Callable[[], float] = time.time,
        map_size: int = INITIAL_MAP_SIZE,
        on_network: OnNetwork = OnNetwork.REFUSE,
    ) -> "LmdbStore":
        """Open the store in `directory`, creating directory and store if there is none.

        Args:
            directory: holds the store's files and nothing else.
            wall: wall seconds, called on the committing thread.
            map_size: bytes of address space to begin with; doubled whenever it is full.
            on_network: whether a network file system is refused; allow it only if no other
                machine opens the store.

        Raises:
            StoreUnusable: not a directory, not a store, damaged, not permitted, on a network, or
                already open in this process; says what was found and what to do.
        """
        return cls(directory, wall=wall, map_size=map_size, on_network=on_network)

    @property
    def store_id(self) -> str:
        """32 hexadecimal digits, made once when the store was created."""
        return self._tables.store_id

    def commit(self, operations: Sequence[Operation]) -> "Future[int]":
        """Queue `operations` as one unit; see `SnapshotStore.commit`.

        The future fails with `CommitFailed` if the medium refuses the transaction: none of the
        operations happened.

        Raises:
            OperationRefused: if an operation cannot be stored; nothing is written.
            StoreClosed: if the store was closed.
            StoreUnusable: in a forked child.
        """
        self._refuse_forked_child()
        written_at = self._wall()
        pending = Pending(tuple(prepare(operation, written_at=written_at) for operation in operations))
        if not self._intake.submit(pending):
            raise StoreClosed(f"the store at {self._directory}")
        return pending.future

    def latest(self, path: str) -> Snapshot:
        """Read the newest snapshot of `path`; see `SnapshotStore.latest` for the errors."""
        digest = digest_of(path)
        rows = self._read(lambda tables, txn: tables.rows(txn, digest))
        if not rows:
            raise SnapshotMissing(path)
        found = judge(path, rows)
        if isinstance(found, SnapshotCorrupt):
            raise found
        return found

    def older(self, path: str) -> Snapshot | None:
        """Read the snapshot before the newest; see `SnapshotStore.older`."""
        digest = digest_of(path)
        return judge_older(path, self._read(lambda tables, txn: tables.rows(txn, digest)))

    def scan(self) -> Iterator[Snapshot | SnapshotCorrupt]:
        """Read the newest snapshot of every path; see `SnapshotStore.scan`.

        Each step is a read transaction of its own, so a slow caller holds no pages back.
        """
        self._refuse_forked_child()
        self._refuse_closed()
        return self._each_shelf()

    def close(self) -> None:
        """Write what was handed in, end the thread, release the files. Closing twice does nothing.

        Called from a future's callback, that is on the storage thread, it returns at once and
        the thread ends after what was handed in.

        Raises:
            StoreUnusable: in a forked child.
        """
        self._refuse_forked_child()
        self._intake.close()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _each_shelf(self) -> Iterator[Snapshot | SnapshotCorrupt]:
        reached: bytes | None = None
        while True:
            shelf = self._shelf_after(reached)
            if shelf is None:
                return
            yield judge(shelf.path, shelf.rows)
            reached = shelf.digest

    def _shelf_after(self, digest: bytes | None) -> Shelf | None:
        return self._read(lambda tables, txn: tables.shelf_after(txn, digest))

    def _read(self, transaction: "Callable[[Tables, lmdb.Transaction[memoryview]], T]") -> T:
        self._refuse_forked_child()
        with self._map_lock:
            self._refuse_closed()  # under the lock: the thread closes the environment under it
            with reading(self._directory), self._environment.begin(buffers=True) as txn:
                return transaction(self._tables, txn)

    def _refuse_closed(self) -> None:
        if self._intake.is_closed:
            raise StoreClosed(f"the store at {self._directory}")

    def _refuse_forked_child(self) -> None:
        if os.getpid() != self._pid:
            raise StoreUnusable(
                self._directory,
                f"process {self._pid} opened this store, and this is its forked child {os.getpid()}",
                "start children by exec (subprocess, multiprocessing's spawn) and let them ask the runtime",
            )

    # What follows runs on the storage thread only.

    def _serve(self) -> None:
        try:
            while batch := self._intake.wait_batch():
                self._carry_out([pending for pending in batch if pending.future.set_running_or_notify_cancel()])
        finally:
            with self._map_lock:
                self._environment.close()

    def _carry_out(self, batch: list[Pending]) -> None:
        try:
            answers = self._write(batch)
        except Exception as error:  # noqa: BLE001  # thread boundary: each caller gets it through its future
            for pending in batch:
                settle(partial(pending.future.set_exception, commit_failed(self._directory, error)))
        else:
            for pending, answer in zip(batch, answers, strict=True):
                settle(partial(pending.future.set_result, answer))

    def _write(self, batch: list[Pending]) -> list[int]:
        try:
            while (answers := self._write_unless_full(batch)) is None:
                self._grow()  # the transaction is gone, the batch is not: write it again
        except lmdb.Error:
            # After a failed write of a meta page LMDB refuses every transaction (MDB_PANIC), and
            # after a refused map size there is no map: begin anew from what is on disk.
            self._reopen()
            raise
        return answers

    def _write_unless_full(self, batch: list[Pending]) -> list[int] | None:
        try:
            with self._environment.begin(write=True, buffers=True) as txn:
                answers = self._tables.apply(txn, (pending.operations for pending in batch))
        except lmdb.MapFullError:
            return None
        return answers

    def _grow(self) -> None:
        with self._map_lock:
            self._environment.set_mapsize(self._map_size * 2)
            self._map_size *= 2

    def _reopen(self) -> None:
        with self._map_lock:
            self._environment.close()
            self._environment = open_environment(self._directory, map_size=self._map_size, on_network=self._on_network)
            self._tables = Tables(self._directory, self._environment)
