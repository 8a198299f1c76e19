"""The durable store: one LMDB environment, one storage thread, group commit.

The thread "treewarden-storage" takes what waits, writes it in one transaction, fsyncs once, and
only then resolves the futures: an acknowledged commit survives kill -9, and an unacknowledged one
happened whole or not at all. Reads run on the caller's thread. When the map is full the storage
thread doubles it and writes the same batch again; when the medium refuses a transaction, exactly
that batch fails and the store goes on. When the disk is full it takes nothing in until there is
room again, for which it looks a few times a second.

One process uses a store at a time (`OwnerLock` sees to it); a forked child is refused, since LMDB's
handles do not survive fork(2) (lmdb.h, "Caveats"): start programs by exec. Not promised: survival
of power loss beyond what fsync(2) of the file system gives, or use on a network file system.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar, final

import lmdb

from treewarden.storage._codec import decode_row, prepare
from treewarden.storage._contract import Journal, Operation, Snapshot, StoreState, Table, TableRow
from treewarden.storage._crash_points import CrashPoint, reach
from treewarden.storage._errors import (
    RowCorrupt,
    SnapshotCorrupt,
    SnapshotMissing,
    StoreClosed,
    StoreFull,
    StoreUnusable,
)
from treewarden.storage._examination import examine
from treewarden.storage._file_system import OnNetwork
from treewarden.storage._group_commit import Intake, Pending, Submitted, settle
from treewarden.storage._lmdb_files import (
    commit_failed,
    free_bytes,
    open_environment,
    reading,
    refuse_damaged,
    reopen_environment,
)
from treewarden.storage._lmdb_tables import Shelf, Tables, digest_of
from treewarden.storage._seal import Seal, seal, unbroken_seal
from treewarden.storage._shelf import judge, judge_journal, judge_older, judge_row

__all__ = ["LmdbStore"]

INITIAL_MAP_SIZE: Final = 2**30  # bytes of address space; the file is sparse and stays small
SHELVES_AT_ONCE: Final = 128  # of a scan, in one read transaction
LOOK_AFTER_READERS: Final = 60.0  # seconds between looks for readers that were killed
LOOK_FOR_ROOM: Final = 0.25  # seconds between looks, while the disk is full
ROOM: Final = 2**20  # bytes that must be free before it is tried again; a batch writes more pages than it has bytes

T = TypeVar("T")


@final
class LmdbStore:
    """A `SnapshotStore` on disk. Made by `LmdbStore.open`; safe from any thread of one process."""

    def __init__(
        self, directory: Path, *, wall: Callable[[], float], map_size: int, on_network: OnNetwork = OnNetwork.REFUSE
    ) -> None:
        self._directory = directory
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
            unbroken = self._unbroken_seal()
            if unbroken is None:
                refuse_damaged(directory, self._environment)
            self._tables = Tables(directory, self._environment)
            self._tainted = examine(directory, self._environment) if unbroken is None else frozenset[Table]()
            self._examined_at = wall() if unbroken is None else unbroken.examined_at
        except BaseException:
            self._environment.close()
            raise
        # Guards _listeners and _waiting; never held while calling out.
        self._listening = threading.Lock()
        self._listeners: list[Callable[[StoreState], object]] = []
        self._waiting: list[Callable[[], object]] = []
        self._looked_after_readers = time.monotonic()
        self._full: StoreFull | None = None  # what the disk said; written before the intake is stopped
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

    @property
    def state(self) -> StoreState:
        """Whether it takes commits now; see `StoreState`."""
        if self._intake.is_closed:
            return StoreState.CLOSED
        return StoreState.FULL if self._intake.is_stopped else StoreState.OPEN

    def on_state(self, listener: Callable[[StoreState], object]) -> None:
        """Call `listener` on the storage thread when the disk gets full, and when there is room again."""
        with self._listening:
            self._listeners.append(listener)

    def when_writable(self, callback: Callable[[], object]) -> None:
        """Call `callback` once, as soon as commits are taken; see `SnapshotStore.when_writable`."""
        with self._listening:
            waits = self.state is StoreState.FULL
            if waits:
                self._waiting.append(callback)
        if not waits:
            settle(callback)

    def commit(self, operations: Sequence[Operation]) -> "Future[int]":
        """Queue `operations` as one unit; see `SnapshotStore.commit`.

        The future fails with `CommitFailed` if the medium refuses the transaction, with `StoreFull` if the
        disk is full: none of the operations happened.

        Raises:
            OperationRefused: if an operation cannot be stored; nothing is written.
            StoreClosed: if the store was closed.
            StoreUnusable: in a forked child.
        """
        self._refuse_forked_child()
        written_at = self._wall()
        pending = Pending([prepare(operation, written_at=written_at) for operation in operations], Future())
        match self._intake.submit(pending):
            case Submitted.QUEUED:
                pass
            case Submitted.STOPPED:
                full = self._full
                assert full is not None
                pending.future.set_exception(StoreFull(full.store, full.found, full.remedy))
            case Submitted.CLOSED:
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

    def paths(self) -> list[str]:
        """Every path of which anything is kept; see `SnapshotStore.paths`."""
        return self._read(lambda tables, txn: tables.paths(txn))

    def journal(self, path: str, *, after: int) -> Journal:
        """Read what was appended for `path` above sequence `after`; see `SnapshotStore.journal`."""
        digest = digest_of(path)
        return judge_journal(path, self._read(lambda tables, txn: tables.journal(txn, digest, after=after)))

    def row(self, table: Table, key: bytes) -> bytes | None:
        """Read one row; see `SnapshotStore.row`."""
        kept = self._read(lambda tables, txn: tables.table_row(txn, table, key))
        if kept is not None:
            return decode_row(table, key, kept)
        if table in self._tainted:
            raise RowCorrupt(
                table.value, key, "there is none, but a row of this table is damaged, which may be this one"
            )
        return None

    def rows(self, table: Table, *, after: bytes = b"", limit: int) -> list[TableRow | RowCorrupt]:
        """Read rows in the order of their keys; see `SnapshotStore.rows`."""
        kept = self._read(lambda tables, txn: tables.table_rows(txn, table, after=after, limit=limit))
        return [judge_row(table, key, value) for key, value in kept]

    def last_row(self, table: Table) -> TableRow | RowCorrupt | None:
        """Read the row with the highest key; see `SnapshotStore.last_row`."""
        kept = self._read(lambda tables, txn: tables.last_table_row(txn, table))
        return None if kept is None else judge_row(table, *kept)

    def scan(self) -> Iterator[Snapshot | SnapshotCorrupt]:
        """Read the newest snapshot of every path; see `SnapshotStore.scan`.

        Each few steps are a read transaction of their own, so a slow caller holds no pages back.
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
        while shelves := self._shelves_after(reached):
            for shelf in shelves:
                self._refuse_closed()
                yield judge(shelf.path, shelf.rows)
            reached = shelves[-1].digest

    def _shelves_after(self, digest: bytes | None) -> list[Shelf]:
        return self._read(lambda tables, txn: tables.shelves_after(txn, digest, limit=SHELVES_AT_ONCE))

    def _read(self, transaction: "Callable[[Tables, lmdb.Transaction[memoryview]], T]") -> T:
        self._refuse_forked_child()
        with self._map_lock:
            self._refuse_closed()  # under the lock: the thread closes the environment under it
            with reading(self._directory), self._environment.begin(buffers=True) as txn:
                return transaction(self._tables, txn)

    def _unbroken_seal(self) -> Seal | None:
        with suppress(OSError):  # whoever reads the file next says why it cannot be read
            return unbroken_seal(self._directory, now=self._wall())
        return None

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
            while True:
                if self._intake.is_stopped and not self._wait_for_room():
                    return
                batch = self._intake.wait_batch(LOOK_AFTER_READERS)
                if batch is None:
                    self._clear_dead_readers()
                elif not batch:
                    return
                else:
                    self._carry_out([pending for pending in batch if pending.future.set_running_or_notify_cancel()])
        finally:
            with self._map_lock:
                self._environment.close()
            self._call_waiting()
            if not self._tainted:  # else the next one must look for himself
                with suppress(OSError):  # it costs the next one an examination
                    seal(self._directory, examined_at=self._examined_at)

    def _carry_out(self, batch: list[Pending]) -> None:
        try:
            answers = self._write(batch)
        except Exception as error:  # noqa: BLE001  # thread boundary: each caller gets it through its future
            # One error for each: they are raised in several threads.
            failures = [commit_failed(self._directory, error) for _ in batch]
            if failures and isinstance(failures[0], StoreFull):
                self._stop_intake(failures[0])
            for pending, failure in zip(batch, failures, strict=True):
                settle(pending.future.set_exception, failure)
        else:
            for pending, answer in zip(batch, answers, strict=True):
                settle(pending.future.set_result, answer)
        self._look_after_readers()

    def _look_after_readers(self) -> None:
        """Now and then: a reader of another process that was killed holds back every page it could see."""
        now = time.monotonic()
        if now - self._looked_after_readers >= LOOK_AFTER_READERS:
            self._clear_dead_readers()

    def _clear_dead_readers(self) -> None:
        self._looked_after_readers = time.monotonic()
        with suppress(lmdb.Error):  # it costs room, not safety; the next look is in a minute
            self._environment.reader_check()

    # The disk is full

    def _stop_intake(self, full: StoreFull) -> None:
        self._full = full
        for pending in self._intake.stop():
            if pending.future.set_running_or_notify_cancel():
                settle(pending.future.set_exception, StoreFull(full.store, full.found, full.remedy))
        self._tell_state(StoreState.FULL)

    def _wait_for_room(self) -> bool:
        """Wait until there is room on the disk; False if the store was closed meanwhile."""
        while not self._has_room():
            if self._intake.wait_closed(LOOK_FOR_ROOM):
                return False
        with self._listening:  # so that `when_writable` either sees it open, or is called below
            self._intake.reopen()
        self._tell_state(StoreState.OPEN)
        self._call_waiting()
        return True

    def _has_room(self) -> bool:
        try:
            if free_bytes(self._directory) < ROOM:
                return False
            with self._environment.begin(write=True, buffers=True) as txn:  # a quota shows only here
                self._tables.touch(txn)
        except (lmdb.Error, OSError):
            with suppress(StoreUnusable):
                self._reopen()
            return False
        return True

    def _tell_state(self, state: StoreState) -> None:
        with self._listening:
            listeners = tuple(self._listeners)
        for listener in listeners:
            settle(listener, state)

    def _call_waiting(self) -> None:
        with self._listening:
            waiting, self._waiting = self._waiting, []
        for callback in waiting:
            settle(callback)

    # Writing

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
                reach(CrashPoint.COMMIT_BEFORE)
            reach(CrashPoint.COMMIT_AFTER)
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
            self._environment = reopen_environment(self._directory, map_size=self._map_size)
            self._tables = Tables(self._directory, self._environment)
