"""Copies of a store's file: where they are prepared, how they are streamed, whether they fit.

A copy is made in a scratch directory next to where it goes, synced, verified, and only then renamed:
its name stands for a whole copy from the first instant. The scratch directory is locked (flock(2)) by
whoever works in it, so a second copy to the same place is refused, and what a killed one left is
known by being unlocked and is removed by the next. LMDB writes its compacted copy into a pipe and
this process writes the file: so there is progress to tell, and Ctrl-C ends it at once; a call into the
engine could not be interrupted.
"""

import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from treewarden.storage._crash_points import CrashPoint, reach
from treewarden.storage._errors import CopyFailed
from treewarden.storage._lmdb_files import free_bytes
from treewarden.storage._places import sync_directory
from treewarden.storage._read_only import ReadOnly

if TYPE_CHECKING:
    import lmdb

__all__ = [
    "Progress",
    "copy_compacted",
    "copy_file",
    "copy_problems",
    "require_room",
    "scratch_directory",
    "used_bytes",
]

Progress: TypeAlias = Callable[[int, int], None]  # bytes written, bytes expected

_META_PAGES: Final = 2
_CHUNK: Final = 2**20
_MARGIN: Final = 2**20  # bytes for directories and the lock file


@contextmanager
def scratch_directory(scratch: Path, *, target: Path) -> Generator[Path]:
    """An empty directory of mode 0700 to prepare `target` in; what is left of it at the end is removed.

    Raises:
        CopyFailed: somebody works in it.
        OSError: it cannot be made.
    """
    _sweep(scratch, target)
    scratch.mkdir(mode=0o700)
    descriptor = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(target, descriptor, fcntl.LOCK_SH)  # shared, since what is made there is looked into
        yield scratch
    finally:
        try:
            if scratch.exists():
                reach(CrashPoint.COPY_CLEAR_BEFORE_RMTREE)
                shutil.rmtree(scratch)
                reach(CrashPoint.COPY_CLEAR_AFTER_RMTREE)
        finally:
            os.close(descriptor)


@contextmanager
def copy_problems(target: Path) -> Generator[None]:
    """Turn what the system refuses while a copy is made into `CopyFailed`."""
    try:
        yield
    except OSError as error:
        raise CopyFailed(target, str(error), "mend the cause and try again") from error


def used_bytes(source: ReadOnly, txn: "lmdb.Transaction[memoryview]") -> int:
    """An upper bound of what a compacted copy takes: all pages but the free ones. For a sound structure only."""
    stats = [*(txn.stat(database) for database in source.databases(txn).values()), source.environment.stat()]
    pages = sum(each["branch_pages"] + each["leaf_pages"] + each["overflow_pages"] for each in stats)
    return (pages + _META_PAGES) * source.environment.stat()["psize"]


def require_room(directory: Path, needed: int, *, target: Path) -> None:
    """Refuse to prepare `target` if the file system of `directory` has no room for `needed` bytes.

    Raises:
        CopyFailed: says how many bytes are needed and how many there are.
    """
    free = free_bytes(directory)
    if free < needed + _MARGIN:
        raise CopyFailed(
            target,
            f"it needs {needed + _MARGIN} bytes, and {free} are free there",
            "free disk space, or name another",
        )


def copy_compacted(
    source: ReadOnly, txn: "lmdb.Transaction[memoryview]", target: Path, *, expected: int, progress: Progress | None
) -> int:
    """Write what `txn` sees, without its free pages, to the new file `target`, durably; its size.

    Raises:
        lmdb.Error: the engine cannot read it.
        OSError: it cannot be written.
    """
    drain, source_end = os.pipe()
    failed: list[BaseException] = []

    def pour() -> None:
        try:
            source.environment.copyfd(source_end, compact=True, txn=txn)
        except BaseException as error:  # noqa: BLE001 - thread boundary: raised again by the thread that waits
            failed.append(error)
        finally:
            os.close(source_end)

    pouring = threading.Thread(target=pour, name="treewarden-copy")
    pouring.start()
    try:
        size = _write(target, iter(lambda: os.read(drain, _CHUNK), b""), expected=expected, progress=progress)
    finally:
        os.close(drain)  # if this side failed, the engine's next write is refused, and it ends
        pouring.join()
    if failed:
        raise failed[0]
    return size


def copy_file(source: Path, target: Path, *, progress: Progress | None) -> int:
    """Write the bytes of `source` to the new file `target`, durably; their number.

    Raises:
        OSError: it cannot be read or written.
    """
    with source.open("rb") as file:
        expected = os.fstat(file.fileno()).st_size
        return _write(target, iter(lambda: file.read(_CHUNK), b""), expected=expected, progress=progress)


def _write(target: Path, chunks: Iterator[bytes], *, expected: int, progress: Progress | None) -> int:
    written = 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
            written += len(chunk)
            if progress is not None:
                progress(written, max(expected, written))
        file.flush()
        os.fsync(descriptor)
    sync_directory(target.parent)
    return written


def _sweep(scratch: Path, target: Path) -> None:
    """Remove what a killed copy left; a living one's is locked."""
    try:
        descriptor = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _lock(target, descriptor, fcntl.LOCK_EX)
        reach(CrashPoint.COPY_SWEEP_BEFORE_RMTREE)
        shutil.rmtree(scratch)
        reach(CrashPoint.COPY_SWEEP_AFTER_RMTREE)
    finally:
        os.close(descriptor)


def _lock(target: Path, descriptor: int, kind: int) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CopyFailed(target, "another copy is being made there", "wait until it is done") from error
