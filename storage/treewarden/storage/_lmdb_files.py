"""The files of an LMDB store: create them whole, open them checked, keep them from children.

A store's `data.mdb` appears by a rename of a finished file, so an empty or half-made one is
never ours: LMDB would format an empty file anew, and what was kept would look never written.
A file shorter than its own meta page says is walked by `lmdb.verify` before the engine may
touch it: reading a mapped page beyond the end of the file is a SIGBUS (mmap(2)), not an error.
The format is 0.9's, always by an explicit `lib_version` (decision 0003): the environment variable
LMDB_DEFAULT_LIB_VERSION changes the library's own default. A network file system is refused before
anything is made on it; where the system does not list its mounts (macOS) none is known, and none is
refused. The 0.9 format does not checksum its pages: their structure is walked at every open, by
`lmdb.verify`, which reads the file itself; what it cannot see is `examine`'s.
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
from treewarden.storage._file_system import OnNetwork
from treewarden.storage._mounts import MountTable, mount_table, refuse_network
from treewarden.storage._pages import unpacked_pages
from treewarden.storage._places import DATA_FILE, LOCK_FILE, Places, finish_restore, sweep, sync_directory

__all__ = [
    "DATABASES",
    "LAYOUT",
    "LIB_VERSION",
    "MAX_DATABASES",
    "RESTORE",
    "commit_failed",
    "find_problems",
    "free_bytes",
    "keep_from_children",
    "open_environment",
    "reading",
    "refuse_damaged",
    "refuse_truncated",
    "reopen_environment",
    "unusable",
]

LIB_VERSION: Final = 0  # the 0.9 file format
LAYOUT: Final = 2  # of the databases and keys; see `_lmdb_tables`
DATABASES: Final = (b"meta", b"names", b"snap", b"quarantine", b"journal", b"checkpoints", b"values", b"events")

MAX_DATABASES: Final = 16
_LOCK_BYTES: Final = 8192  # as LMDB makes it for 126 readers, its default
_LITTLE: Final = 2**20  # bytes; with less room than this a short write is put down to the full disk
_verify: Final = cast("Callable[[str], list[str]]", lmdb.verify.verify)  # pyright: ignore[reportUnknownMemberType]  # untyped
RESTORE: Final = "restore the directory from a backup, or move it aside to begin with an empty store"
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


def open_environment(
    directory: Path, *, map_size: int, on_network: OnNetwork = OnNetwork.REFUSE, mounts: MountTable = mount_table
) -> lmdb.Environment:
    """Open the store in `directory`, creating it if there is none. Its pages are not looked at: see `refuse_damaged`.

    `map_size` is the address space to reserve, in bytes; the file stays as small as its data.
    No descriptor of the environment is inherited by a program this process starts afterwards.

    Raises:
        StoreUnusable: names the directory, what was found and what to do.
    """
    try:
        if on_network is OnNetwork.REFUSE:
            refuse_network(directory, mounts=mounts)
        finish_restore(directory)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(directory)
        if not (directory / DATA_FILE).exists():
            _create(directory)
        elif (directory / DATA_FILE).stat().st_size == 0:
            raise StoreUnusable(directory, f"{DATA_FILE} is empty: its contents were lost", RESTORE)
        return reopen_environment(directory, map_size=map_size)
    except (lmdb.Error, OSError) as error:
        raise unusable(directory, error) from error


def unusable(directory: Path, error: Exception) -> StoreUnusable:
    """The refusal that tells what the engine or the system said of the store in `directory`."""
    return StoreUnusable(directory, str(error) or type(error).__name__, _remedy(error, otherwise=RESTORE))


@contextmanager
def reading(directory: Path) -> Generator[None]:
    """Turn an error of the engine while reading into `StoreUnusable`."""
    try:
        yield
    except lmdb.Error as error:
        raise StoreUnusable(directory, f"reading failed: {error}", _remedy(error, otherwise=RESTORE)) from error


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


def reopen_environment(directory: Path, *, map_size: int) -> lmdb.Environment:
    """Open the store in `directory`, which is there, as `open_environment` does."""
    environment = _open(directory, map_size=map_size)
    try:
        keep_from_children(directory)
        refuse_truncated(directory, environment)
        environment.reader_check()  # a killed reader would hold its pages back for ever
    except BaseException:
        environment.close()
        raise
    return environment


def refuse_damaged(directory: Path, environment: lmdb.Environment) -> None:
    """Walk over all pages of the store that is open.

    The engine trusts its pages: damage in them is a crash, or a path that is not found, and no error.

    Raises:
        StoreUnusable: one is damaged; says which.
    """
    with environment.begin():
        problems = find_problems(directory / DATA_FILE)
    if problems:
        raise StoreUnusable(directory, f"{DATA_FILE} is damaged: {problems[0]}", RESTORE)


def _open(directory: Path, *, map_size: int) -> lmdb.Environment:
    _reserve_lock_file(directory)
    # sync stays on and writemap off: an acknowledgement means "on disk", and a stray write of
    # this process must not reach the file (lmdb.h, MDB_WRITEMAP).
    return lmdb.Environment(
        os.fspath(directory),
        map_size=map_size,
        max_dbs=MAX_DATABASES,
        mode=0o600,
        lib_version=LIB_VERSION,
    )


def _reserve_lock_file(directory: Path) -> None:
    """Take the room of the lock file now: LMDB writes to it through a map, and on a full disk that is a SIGBUS."""
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, _LOCK_BYTES)
    finally:
        os.close(descriptor)


def _create(directory: Path) -> None:
    scratch = Places(directory).creating
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
    (scratch / DATA_FILE).rename(directory / DATA_FILE)
    reach(CrashPoint.STORE_CREATE_AFTER_RENAME)
    sync_directory(directory)
    sync_directory(directory.parent)
    reach(CrashPoint.STORE_CREATE_BEFORE_RMTREE)
    shutil.rmtree(scratch)
    reach(CrashPoint.STORE_CREATE_AFTER_RMTREE)


def refuse_truncated(directory: Path, environment: lmdb.Environment) -> None:
    """Refuse a file that is too short for the pages it uses, before one of them is looked for beyond its end.

    Raises:
        StoreUnusable: says how long it is and how long it says it is.
    """
    data = directory / DATA_FILE
    # In this order: a file that another process writes grows before its meta page says so.
    claimed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    found = data.stat().st_size
    if found >= claimed:
        return
    # The format allows a short tail of free pages, so only a walk over the live ones can tell.
    with environment.begin():  # holds these pages, if another process writes
        problems = find_problems(data)
    if problems:
        raise StoreUnusable(
            directory, f"{DATA_FILE} has {found} bytes where its meta page promises {claimed} ({problems[0]})", RESTORE
        )


def find_problems(data: Path) -> tuple[str, ...]:
    """What is wrong with the structure of the file: pages, trees, the list of free ones. The engine is not asked.

    Exact also while another process writes it, if a read transaction of this process began before
    and lasts: the pages that it and later readers need are not used again.
    """
    # The walk looks at the file's length before its roots: one that grew in between reads as cut off.
    # Damage is there the second time as well.
    return _walk(data) and _walk(data)


def _walk(data: Path) -> tuple[str, ...]:
    try:
        return tuple(_verify(os.fspath(data))) or tuple(unpacked_pages(data))
    except lmdb.verify.VerifyError as error:
        return (str(error),)


def keep_from_children(directory: Path) -> None:
    """Set FD_CLOEXEC on LMDB's descriptors: it opens one of `data.mdb` without (lmdb 3.0.0)."""
    files = [directory / name for name in (DATA_FILE, LOCK_FILE)]
    ours = {(found.st_dev, found.st_ino) for found in (file.stat() for file in files if file.exists())}
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
