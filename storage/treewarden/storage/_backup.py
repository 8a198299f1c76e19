"""Backup: a verified, compacted copy of a store, made while a runtime goes on writing it or while none runs.

The copy is what the store was at one moment. It appears under its name whole, synced and verified, or
not at all: kill -9 leaves a hidden scratch directory beside it, which the next backup to that name
removes. A record that is damaged in the store is damaged in the backup, and the report says which: a
store that is half lost must be possible to save. Damage of the file's structure is an error instead,
for a copy of it would be believed. While it is made, pages that the runtime replaces are not used again
(decision 0021), so a store that is written much grows meanwhile. Not a history, and not incremental.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import lmdb

from treewarden.storage._copying import (
    Progress,
    copy_compacted,
    copy_problems,
    require_room,
    scratch_directory,
    used_bytes,
)
from treewarden.storage._crash_points import CrashPoint, reach
from treewarden.storage._errors import CopyFailed, StoreUnusable
from treewarden.storage._file_system import OnNetwork
from treewarden.storage._lmdb_files import find_problems
from treewarden.storage._lmdb_tables import Shelves
from treewarden.storage._places import DATA_FILE, sync_directory
from treewarden.storage._read_only import ReadOnly, open_read_only
from treewarden.storage._verification import StoreProblem, StoreReport, verify_store

__all__ = ["BackupReport", "back_up", "refuse_damaged", "write_compacted"]


@final
@dataclass(frozen=True, slots=True)
class BackupReport:
    """A finished backup at `path`; `problems` are the records that were damaged in the store itself."""

    path: Path
    bytes: int
    snapshots: int
    problems: tuple[StoreProblem, ...]


def back_up(store: Path, target: Path, *, progress: Progress | None = None) -> BackupReport:
    """Copy the store in `store` to the new directory `target`, and verify the copy.

    `progress` is called with the bytes written and expected. The directory above `target` must
    exist; it may be on a network. An interruption (Ctrl-C) ends the copy and removes what it made.

    Raises:
        CopyFailed: `target` exists, is inside the store, has too little room, or cannot be written.
        StoreUnusable: there is no store, it is open in this process, or its structure is damaged.
    """
    _refuse_target(store, target)
    scratch_name = target.with_name(f".{target.name}.unfinished")
    with (
        open_read_only(store) as source,
        copy_problems(target),
        scratch_directory(scratch_name, target=target) as scratch,
    ):
        report = write_compacted(source, scratch, target=target, progress=progress)
        reach(CrashPoint.BACKUP_BEFORE_RENAME)
        scratch.rename(target)
        reach(CrashPoint.BACKUP_AFTER_RENAME)
        sync_directory(target.parent)
    return BackupReport(target, report.bytes, report.snapshots, report.problems)


def write_compacted(source: ReadOnly, scratch: Path, *, target: Path, progress: Progress | None) -> StoreReport:
    """Write a compacted copy of `source` into `scratch`, for `target`, and verify it; what was found in it.

    Raises:
        CopyFailed: too little room, or the copy is not what was written.
        StoreUnusable: `source` is damaged, or no store of ours.
    """
    with source.transaction() as txn:
        # Before the engine reads a page of it: a damaged one could crash this process.
        refuse_damaged(source.directory, find_problems(source.data))
        Shelves(source.directory, source.environment, txn)  # refuses what is no store of ours
        expected = used_bytes(source, txn)
        require_room(scratch, expected, target=target)
        try:
            copy_compacted(source, txn, scratch / DATA_FILE, expected=expected, progress=progress)
        except lmdb.Error as error:
            raise CopyFailed(target, f"the engine gave up: {error}", "see `treewarden store verify`") from error
    report = verify_store(scratch, on_network=OnNetwork.ALLOW)
    if not report.is_readable:
        raise CopyFailed(
            target, f"what was written reads differently ({report.problems[0]})", "see that the disk is well"
        )
    return report


def refuse_damaged(store: Path, problems: "Sequence[object]") -> None:
    """Refuse the store in `store` if its structure has `problems`.

    Raises:
        StoreUnusable: names the first of them and says how many there are.
    """
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise StoreUnusable(
            store, f"its file is damaged ({problems[0]}{more})", "restore a backup: `treewarden store restore`"
        )


def _refuse_target(store: Path, target: Path) -> None:
    above = target.resolve().parent
    if target.is_symlink() or target.exists():
        raise CopyFailed(target, "it exists", "name a directory that does not: a backup overwrites nothing")
    if not above.is_dir():
        raise CopyFailed(target, f"there is no directory {above}", "make it first")
    if above.is_relative_to(store.resolve()):
        raise CopyFailed(target, f"it would be inside the store {store}", "name a place outside of it")
