"""A look into a store from outside: its snapshots and its figures, without owning or changing it.

Works while a runtime in another process writes: each step is a read transaction of its own, so no
pages are held back, and what one step says may be older than what the next one does. A store of an
older layout is read as it is; one that was never made is an error, and nothing is made. Not for the
process that has the store open: LMDB allows one environment of a file in a process.
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from treewarden.storage._contract import Snapshot
from treewarden.storage._errors import SnapshotCorrupt, StoreClosed
from treewarden.storage._file_system import OnNetwork
from treewarden.storage._lmdb_files import refuse_truncated
from treewarden.storage._lmdb_tables import Shelf, Shelves, digest_of
from treewarden.storage._mounts import MountTable, mount_table
from treewarden.storage._read_only import ReadOnly, open_read_only
from treewarden.storage._shelf import judge, judge_older

__all__ = ["OldestReader", "StoreReader", "StoreStatistics"]

_META_PAGES: Final = 2
_SHELVES_AT_ONCE: Final = 64  # in one transaction


@final
@dataclass(frozen=True, slots=True)
class OldestReader:
    """Whoever holds back the oldest pages: its process, and how many transactions were committed since."""

    pid: int
    behind: int


@final
@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """The figures of a store at one moment.

    `used_pages` hold what is kept and `free_pages` wait to be used again; `file_bytes` is the size
    of the file, `map_size` the address space that its last writer reserved. `readers` are the read
    transactions that are open in any process, this look left out; `entries` are per database.
    """

    store_id: str
    layout: int
    lib_version: str
    file_bytes: int
    map_size: int
    page_size: int
    used_pages: int
    free_pages: int
    readers: int
    oldest_reader: OldestReader | None
    entries: Mapping[str, int]


@final
class StoreReader:
    """An open look into one store; made by `StoreReader.open`. Not thread-safe."""

    def __init__(self, source: ReadOnly) -> None:
        self._source: ReadOnly | None = source
        with source.transaction():  # adopts a larger map, before anything else looks
            refuse_truncated(source.directory, source.environment)
        self._shelves = Shelves(source.directory, source.environment)

    @classmethod
    @contextmanager
    def open(
        cls, directory: Path, *, on_network: OnNetwork = OnNetwork.REFUSE, mounts: MountTable = mount_table
    ) -> Generator["StoreReader"]:
        """Look into the store in `directory` inside a `with` block.

        Raises:
            StoreUnusable: there is no store, it is damaged, of a later layout, on a network, not
                permitted, or open in this process already.
        """
        with open_read_only(directory, on_network=on_network, mounts=mounts) as source:
            reader = cls(source)
            try:
                yield reader
            finally:
                reader._source = None

    @property
    def store_id(self) -> str:
        """32 hexadecimal digits, made once when the store was created."""
        return self._shelves.store_id

    @property
    def layout(self) -> int:
        """Of the databases and keys of this store."""
        return self._shelves.layout

    def snapshots(self) -> Iterator[Snapshot | SnapshotCorrupt]:
        """Read the newest snapshot of every path, as `SnapshotStore.scan` does.

        Raises:
            SchemaTooNew: a newer release wrote a record.
            StoreClosed: after the `with` block.
            StoreUnusable: the engine cannot read it.
        """
        reached: bytes | None = None
        while shelves := self._shelves_after(reached):
            for shelf in shelves:
                yield judge(shelf.path, shelf.rows)
            reached = shelves[-1].digest

    def older(self, path: str) -> Snapshot | None:
        """Read the snapshot kept before the newest one of `path`, as `SnapshotStore.older` does.

        Raises:
            SchemaTooNew: a newer release wrote the record.
            StoreClosed: after the `with` block.
            StoreUnusable: the engine cannot read it.
        """
        with self._opened().transaction() as txn:
            rows = self._shelves.rows(txn, digest_of(path))
        return judge_older(path, rows)

    def statistics(self) -> StoreStatistics:
        """The store's figures now.

        Raises:
            StoreClosed: after the `with` block.
            StoreUnusable: the engine cannot read it.
        """
        source = self._opened()
        environment = source.environment
        readers = tuple(_readers_in(environment.readers())) if source.is_locked else ()
        with source.transaction() as txn:
            counted = {name: txn.stat(database) for name, database in source.databases(txn).items()}
            stats = [*counted.values(), environment.stat()]
            used = _META_PAGES + sum(
                each["branch_pages"] + each["leaf_pages"] + each["overflow_pages"] for each in stats
            )
            info = environment.info()
        held = [(seen, pid) for pid, seen in readers if seen is not None]
        return StoreStatistics(
            store_id=self.store_id,
            layout=self.layout,
            lib_version=".".join(map(str, environment.lib_version())),
            file_bytes=source.data.stat().st_size,
            map_size=info["map_size"],
            page_size=environment.stat()["psize"],
            used_pages=used,
            free_pages=max(0, info["last_pgno"] + 1 - used),
            readers=len(held),
            oldest_reader=OldestReader(min(held)[1], max(0, info["last_txnid"] - min(held)[0])) if held else None,
            entries={name: found["entries"] for name, found in sorted(counted.items())},
        )

    def _shelves_after(self, digest: bytes | None) -> list[Shelf]:
        with self._opened().transaction() as txn:
            return self._shelves.shelves_after(txn, digest, limit=_SHELVES_AT_ONCE)

    def _opened(self) -> ReadOnly:
        if self._source is None:
            raise StoreClosed("this look into a store")
        return self._source


def _readers_in(listing: str) -> Iterator[tuple[int, int | None]]:
    """The pid and the transaction of each line of mdb_reader_list(3)'s: "pid thread txnid", "-" for none."""
    for line in listing.splitlines():
        match line.split():
            case [pid, _, seen] if pid.isdecimal():
                yield int(pid), int(seen) if seen.isdecimal() else None
            case _:
                continue  # the heading, or the sentence that there are none
