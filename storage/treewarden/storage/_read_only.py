"""A store's environment opened to look only, also while a runtime in another process owns and writes it.

The reader takes part in LMDB's reader table, so that the writer leaves its pages alone: hold a
transaction briefly, or the file grows meanwhile. Nothing is ever created; a store that nobody has
open has perhaps no lock file, and then none is made: it is read without, and whoever began to write
meanwhile makes the look worthless, which is an error. A look holds a shared flock(2) on the
directory: compaction, which puts another file in the place of the one that is being read, waits for
no one and refuses. One environment of a store per process (LMDB's rule): a process that has it open
as `LmdbStore` reads through that.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

import lmdb

from treewarden.storage._errors import StoreUnusable
from treewarden.storage._file_system import OnNetwork
from treewarden.storage._lmdb_files import LIB_VERSION, MAX_DATABASES, keep_from_children, unusable
from treewarden.storage._mounts import MountTable, mount_table, refuse_network
from treewarden.storage._places import DATA_FILE, LOCK_FILE

__all__ = ["ReadOnly", "open_read_only"]

_NO_STORE = "name the directory of a store; a runtime keeps its own in `store` below its state directory"


@final
@dataclass(frozen=True, slots=True)
class ReadOnly:
    """An open environment of `directory`; made by `open_read_only`."""

    directory: Path
    environment: lmdb.Environment
    is_locked: bool  # by its lock file; without one nobody had it open for writing at the start

    @property
    def data(self) -> Path:
        """The store's one file of data."""
        return self.directory / DATA_FILE

    @contextmanager
    def transaction(self) -> Generator["lmdb.Transaction[memoryview]"]:
        """One consistent look; what it gives out is valid until it ends.

        Raises:
            StoreUnusable: the engine refuses, or a writer came who does not know of this look.
        """
        try:
            with self._begun() as txn:
                yield txn
        except lmdb.Error as error:
            raise unusable(self.directory, error) from error
        if not self.is_locked and (self.directory / LOCK_FILE).exists():
            raise StoreUnusable(self.directory, "somebody began to write it during the look", "look again")

    def databases(self, txn: "lmdb.Transaction[memoryview]") -> "dict[str, lmdb._Database]":
        """All databases by name, to be read in `txn`."""
        # Not `Environment.dbs`: it closes what it looked at, and a handle of ours would become another's.
        with txn.cursor() as cursor:
            names = [bytes(name) for name in cursor.iternext(values=False)]
        # Opened in this very transaction: one that began before a database was opened does not know it.
        # A name may be damaged: then whoever looks for that database misses it.
        return {name.decode(errors="replace"): self.environment.open_db(name, txn=txn, create=False) for name in names}

    def _begun(self) -> "lmdb.Transaction[memoryview]":
        try:
            return self.environment.begin(buffers=True)
        except lmdb.MapResizedError:
            # The writer's map has grown beyond ours since; 0 takes over what it wrote down (lmdb.h).
            self.environment.set_mapsize(0)
            return self.environment.begin(buffers=True)


@contextmanager
def open_read_only(
    directory: Path, *, on_network: OnNetwork = OnNetwork.REFUSE, mounts: MountTable = mount_table
) -> Generator[ReadOnly]:
    """Open the store in `directory` for a look. Its pages are not checked: see `refuse_truncated`.

    Raises:
        StoreUnusable: there is none, it is not one, or this user or this process may not.
    """
    with ExitStack() as opened:
        try:
            if on_network is OnNetwork.REFUSE:
                refuse_network(directory, mounts=mounts)
            opened.callback(os.close, _share(directory))
            size = (directory / DATA_FILE).stat().st_size
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreUnusable(directory, "there is no store", _NO_STORE) from error
        except OSError as error:
            raise unusable(directory, error) from error
        if size == 0:
            raise StoreUnusable(directory, f"{DATA_FILE} is empty: its contents were lost", _NO_STORE)
        is_locked = (directory / LOCK_FILE).exists()
        try:
            environment = _open(directory, is_locked=is_locked)
            opened.callback(environment.close)
            keep_from_children(directory)
        except (lmdb.Error, OSError) as error:
            raise unusable(directory, error) from error
        yield ReadOnly(directory, environment, is_locked)


def _open(directory: Path, *, is_locked: bool) -> lmdb.Environment:
    return lmdb.Environment(
        os.fspath(directory),
        map_size=0,  # what the store's last writer had
        max_dbs=MAX_DATABASES,
        readonly=True,
        create=False,
        lock=is_locked,
        lib_version=LIB_VERSION,
    )


def _share(directory: Path) -> int:
    """The directory, open, with a shared lock that ends with the descriptor."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StoreUnusable(directory, "it is being compacted", "try again when that is done") from error
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
