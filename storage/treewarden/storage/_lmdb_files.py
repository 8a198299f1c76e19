"""The files of an LMDB store: create them whole, open them checked, keep them from children.

A store's `data.mdb` appears by a rename of a finished file, so an empty or half-made one is
never ours: LMDB would format an empty file anew, and what was kept would look never written.
A file shorter than its own meta page says is walked by `lmdb.verify` before the engine may
touch it: reading a mapped page beyond the end of the file is a SIGBUS (mmap(2)), not an error.
The format is 0.9's, always by an explicit `lib_version` (decision 0003): the environment variable
LMDB_DEFAULT_LIB_VERSION changes the library's own default. Not found here: damage inside interior
pages, which the 0.9 format does not checksum; every record carries its own checksum instead.
"""

import errno
import fcntl
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import lmdb
import lmdb.verify

from treewarden.storage._crash_points import CrashPoint, reach
from treewarden.storage._errors import CommitFailed, StoreFull, StoreUnusable

__all__ = ["DATABASES", "LAYOUT", "LIB_VERSION", "commit_failed", "free_bytes", "open_environment", "reading"]

LIB_VERSION: Final = 0  # the 0.9 file format
LAYOUT: Final = 2  # of the databases and keys; see `_lmdb_tables`
DATABASES: Final = (b"meta", b"names", b"snap", b"quarantine", b"journal", b"checkpoints", b"values", b"events")

_DATA: Final = "data.mdb"
_LOCK: Final = "lock.mdb"
_LOCK_BYTES: Final = 8192  # as LMDB makes it for 126 readers, its default
_LITTLE: Final = 2**20  # bytes; with less room than this a short write is put down to the full disk
_verify: Final = cast("Callable[[str], list[str]]", lmdb.verify.verify)  # pyright: ignore[reportUnknownMemberType]  # untyped
_SCRATCH: Final = "creating"  # what a killed creation leaves; whoever opens the store next removes it
_RESTORE: Final = "restore the directory from a backup, or move it aside to begin with an empty store"
_RETRY: Final = "nothing of this transaction was kept: mend the cause and commit again"
_REMEDIES: Final[Mapping[int, str]] = {
    errno.EACCES: "give this user read and write access to it",
    errno.EPERM: "give this user read and write access to it",
    errno.EROFS: "put the store on a writable file system",
    errno.ENOSPC: "free disk space: what was acknowledged is kept",
    errno.EDQUOT: "free disk space: what was acknowledged is kept",
    errno.ENOTDIR: "name a directory",
    errno.EEXIST: "name a directory",
    errno.ENOMEM: "raise the address space limit (ulimit -v)",
    errno.EIO: "see that the disk is well and has room (dmesg, df): what was acknowledged is kept",
}


def open_environment(directory: Path, *, map_size: int) -> lmdb.Environment:
    """Open the store in `directory`, creating it if there is none.

    `map_size` is the address space to reserve, in bytes; the file stays as small as its data.
    No descriptor of the environment is inherited by a program this process starts afterwards.

    Raises:
        StoreUnusable: names the directory, what was found and what to do.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(directory / _SCRATCH)
        if not (directory / _DATA).exists():
            _create(directory)
        elif (directory / _DATA).stat().st_size == 0:
            raise StoreUnusable(directory, f"{_DATA} is empty: its contents were lost", _RESTORE)
        return _open_checked(directory, map_size=map_size)
    except (lmdb.Error, OSError) as error:
        raise StoreUnusable(directory, str(error), _remedy(error, otherwise=_RESTORE)) from error


@contextmanager
def reading(directory: Path) -> Generator[None]:
    """Turn an error of the engine while reading into `StoreUnusable`."""
    try:
        yield
    except lmdb.Error as error:
        raise StoreUnusable(directory, f"reading failed: {error}", _remedy(error, otherwise=_RESTORE)) from error


def commit_failed(directory: Path, error: Exception) -> CommitFailed:
    """The error that tells a caller why its transaction did not happen."""
    found = str(error) or type(error).__name__
    failure = (
        StoreFull(directory, found, _REMEDIES[errno.ENOSPC])
        if _is_disk_full(directory, error)
        else CommitFailed(directory, found, _remedy(error, otherwise=_RETRY))
    )
    failure.__cause__ = error
    return failure


def free_bytes(directory: Path) -> int:
    """What this user may still write to the file system of `directory` (statvfs(3))."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def _is_disk_full(directory: Path, error: Exception) -> bool:
    code = error.code if isinstance(error, lmdb.Error) else getattr(error, "errno", None)
    if code in {errno.ENOSPC, errno.EDQUOT}:
        return True
    # LMDB calls a write that was cut short EIO (mdb_page_flush), as the last one before a full disk is.
    return code == errno.EIO and free_bytes(directory) < _LITTLE


def _open_checked(directory: Path, *, map_size: int) -> lmdb.Environment:
    environment = _open(directory, map_size=map_size)
    try:
        _keep_from_children(directory)
        _refuse_truncated(directory, environment)
        environment.reader_check()  # a killed reader would hold its pages back for ever
    except BaseException:
        environment.close()
        raise
    return environment


def _open(directory: Path, *, map_size: int) -> lmdb.Environment:
    _reserve_lock_file(directory)
    # sync stays on and writemap off: an acknowledgement means "on disk", and a stray write of
    # this process must not reach the file (lmdb.h, MDB_WRITEMAP).
    return lmdb.Environment(
        os.fspath(directory),
        map_size=map_size,
        max_dbs=16,
        mode=0o600,
        lib_version=LIB_VERSION,
    )


def _reserve_lock_file(directory: Path) -> None:
    """Take the room of the lock file now: LMDB writes to it through a map, and on a full disk that is a SIGBUS."""
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, _LOCK_BYTES)
    finally:
        os.close(descriptor)


def _sweep(scratch: Path) -> None:
    # Also beside a finished store: the creation may have died between its rename and its end.
    if scratch.exists():
        reach(CrashPoint.STORE_SWEEP_BEFORE_RMTREE)
        shutil.rmtree(scratch)
        reach(CrashPoint.STORE_SWEEP_AFTER_RMTREE)


def _create(directory: Path) -> None:
    scratch = directory / _SCRATCH
    scratch.mkdir(mode=0o700)
    environment = _open(scratch, map_size=2**20)
    try:
        databases = {name: environment.open_db(name) for name in DATABASES}
        with environment.begin(write=True) as txn:
            meta = databases[b"meta"]
            txn.put(b"store_id", uuid.uuid4().hex.encode(), db=meta)
            txn.put(b"lib_version", b"%d" % LIB_VERSION, db=meta)
            txn.put(b"layout", b"%d" % LAYOUT, db=meta)
            txn.put(b"sequence", (0).to_bytes(8, "big"), db=meta)
    finally:
        environment.close()
    # The rename comes after LMDB's fsync and before ours of the directories: whoever sees the
    # name sees a finished file, and an acknowledged commit cannot lose the name.
    reach(CrashPoint.STORE_CREATE_BEFORE_RENAME)
    (scratch / _DATA).rename(directory / _DATA)
    reach(CrashPoint.STORE_CREATE_AFTER_RENAME)
    for named in (directory, directory.parent):
        descriptor = os.open(named, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    reach(CrashPoint.STORE_CREATE_BEFORE_RMTREE)
    shutil.rmtree(scratch)
    reach(CrashPoint.STORE_CREATE_AFTER_RMTREE)


def _refuse_truncated(directory: Path, environment: lmdb.Environment) -> None:
    data = directory / _DATA
    claimed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    found = data.stat().st_size
    if found >= claimed:
        return
    # The format allows a short tail of free pages, so only a walk over the live ones can tell.
    try:
        problems = _verify(os.fspath(data))
    except lmdb.verify.VerifyError as error:
        problems = [str(error)]
    if problems:
        raise StoreUnusable(
            directory, f"{_DATA} has {found} bytes where its meta page promises {claimed} ({problems[0]})", _RESTORE
        )


def _keep_from_children(directory: Path) -> None:
    """Set FD_CLOEXEC on LMDB's descriptors: it opens one of `data.mdb` without (lmdb 3.0.0)."""
    ours = {(found.st_dev, found.st_ino) for found in ((directory / name).stat() for name in (_DATA, _LOCK))}
    for name in os.listdir("/dev/fd"):  # noqa: PTH208  # descriptor numbers, not files to walk
        try:
            found = os.fstat(int(name))
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            continue  # closed since the listing, as the listing's own descriptor always is
        if stat.S_ISREG(found.st_mode) and (found.st_dev, found.st_ino) in ours:
            fcntl.fcntl(int(name), fcntl.F_SETFD, fcntl.FD_CLOEXEC)


def _remedy(error: Exception, *, otherwise: str) -> str:
    if isinstance(error, lmdb.Error):
        code = error.code
        if "already open" in str(error):  # py-lmdb gives this refusal no code
            return "share the store that is open, or close it first"
    else:
        code = error.errno if isinstance(error, OSError) and error.errno else 0
    return _REMEDIES.get(code, otherwise)
