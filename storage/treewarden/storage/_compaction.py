"""Compaction: a store's file written anew without its free pages, while no runtime has it.

LMDB's file never shrinks by itself; free pages are used again, so compaction is for a store that was
much larger once. The new file is verified before it takes the old one's place by one rename, and at
every instant there is one whole file. LMDB's lock file goes first: it says which transaction was the
last, and the new file begins to count anew. So nobody may have the store open: a runtime is kept out by
the owner's lock, a look of another process by the lock on the directory that it shares.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from treewarden.storage._backup import write_compacted
from treewarden.storage._copying import Progress, copy_problems, scratch_directory
from treewarden.storage._crash_points import CrashPoint, reach
from treewarden.storage._errors import CopyFailed
from treewarden.storage._owner import OwnerLock
from treewarden.storage._places import DATA_FILE, LOCK_FILE, Places, sync_directory
from treewarden.storage._read_only import open_read_only
from treewarden.storage._verification import StoreProblem

__all__ = ["CompactionReport", "compact", "require_owner"]


@final
@dataclass(frozen=True, slots=True)
class CompactionReport:
    """A compacted store at `path`; `problems` are the damaged records, which stay as they were."""

    path: Path
    bytes_before: int
    bytes_after: int
    problems: tuple[StoreProblem, ...]


def compact(store: Path, *, owner: OwnerLock, progress: Progress | None = None) -> CompactionReport:
    """Write the store in `store` anew without its free pages; `owner` holds the state directory above it.

    Raises:
        CopyFailed: `owner` does not own it, somebody looks into it, or there is too little room.
        StoreUnusable: there is no store, it is open in this process, or its structure is damaged.
    """
    require_owner(store, owner)
    with copy_problems(store):
        with open_read_only(store) as source:
            before = source.data.stat().st_size
        with _alone(store):
            pass  # before the work rather than after it
        with scratch_directory(Places(store).compacting, target=store) as scratch:
            with open_read_only(store) as source:
                report = write_compacted(source, scratch, target=store, progress=progress)
            with _alone(store):
                # The lock file first. A new file beside an old lock file that somebody still holds would
                # be read by the wrong one of its two roots; an old file without lock file is as good as before.
                reach(CrashPoint.COMPACT_BEFORE_UNLINK)
                (store / LOCK_FILE).unlink(missing_ok=True)
                reach(CrashPoint.COMPACT_AFTER_UNLINK)
                reach(CrashPoint.COMPACT_BEFORE_RENAME)
                (scratch / DATA_FILE).rename(store / DATA_FILE)
                reach(CrashPoint.COMPACT_AFTER_RENAME)
                sync_directory(store)
    return CompactionReport(store, before, report.bytes, report.problems)


def require_owner(store: Path, owner: OwnerLock) -> None:
    """Refuse if `owner` does not own the directory above `store`.

    Raises:
        CopyFailed: names the directory.
    """
    if not owner.owns(store.absolute().parent):
        raise CopyFailed(
            store, f"{store.absolute().parent} is not owned by the lock that was given", "acquire it first"
        )


@contextmanager
def _alone(store: Path) -> Generator[None]:
    """Nobody looks into `store` now, nor begins to."""
    descriptor = os.open(store, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise CopyFailed(store, "another process looks into it", "wait until its backup or look is done") from error
    finally:
        os.close(descriptor)
