"""Restore: a backup takes the place of a store, which is moved aside and never deleted.

The backup is verified, copied beside the store, and the copy verified as well, before anything of the
store is touched. Then three renames: the copy gets the name that says it is whole, the old store goes
aside as `store.replaced-N`, the copy takes its place. Killed before the second, the old store stays;
killed after it, whoever opens the store next does the third (`finish_restore`): there is no instant at
which an empty store would be made. The backup stays as it is.
"""

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import final

from treewarden.storage._backup import refuse_damaged
from treewarden.storage._compaction import require_owner
from treewarden.storage._copying import Progress, copy_file, copy_problems, require_room, scratch_directory
from treewarden.storage._crash_points import CrashPoint, reach
from treewarden.storage._errors import CopyFailed
from treewarden.storage._file_system import OnNetwork
from treewarden.storage._mounts import refuse_network
from treewarden.storage._owner import OwnerLock
from treewarden.storage._places import DATA_FILE, Places, finish_restore, sync_directory
from treewarden.storage._verification import StoreProblem, StructureDamaged, verify_store

__all__ = ["RestoreReport", "restore"]


@final
@dataclass(frozen=True, slots=True)
class RestoreReport:
    """A restored store at `path`; the one before is at `replaced`, if there was one.

    `problems` are the records that are damaged in the backup, and so in the store now.
    """

    path: Path
    bytes: int
    snapshots: int
    replaced: Path | None
    problems: tuple[StoreProblem, ...]


def restore(backup: Path, store: Path, *, owner: OwnerLock, progress: Progress | None = None) -> RestoreReport:
    """Put a copy of the backup in `backup` in the place of `store`; `owner` holds the state directory above.

    Raises:
        CopyFailed: `owner` does not own it, `backup` is the store itself, there is too little room, or
            what was written reads differently.
        StoreUnusable: `backup` is no store or its structure is damaged; `store` is on a network.
    """
    require_owner(store, owner)
    places = Places(store.resolve())
    if backup.resolve() == places.store:
        raise CopyFailed(store, "the backup is the store itself", "name a backup of it")
    report = verify_store(backup, on_network=OnNetwork.ALLOW)
    refuse_damaged(backup, [each for each in report.problems if isinstance(each, StructureDamaged)])
    with copy_problems(store):
        refuse_network(store)
        finish_restore(store)  # an earlier one that was killed: else no store would be there meanwhile
        with scratch_directory(places.restored, target=store):
            pass  # or one that was killed before it changed anything
        require_room(places.store.parent, report.bytes, target=store)
        with scratch_directory(places.restoring, target=store) as scratch:
            copy_file(backup / DATA_FILE, scratch / DATA_FILE, progress=progress)
            copied = verify_store(scratch, on_network=OnNetwork.ALLOW)
            if (copied.bytes, copied.problems) != (report.bytes, report.problems):
                raise CopyFailed(store, "what was written reads differently", "see that the disk is well")
            reach(CrashPoint.RESTORE_READY_BEFORE_RENAME)
            scratch.rename(places.restored)
            reach(CrashPoint.RESTORE_READY_AFTER_RENAME)
            sync_directory(places.store.parent)
        replaced = _move_aside(places) if places.store.exists() else None
        finish_restore(store)
    return RestoreReport(store, report.bytes, report.snapshots, replaced, report.problems)


def _move_aside(places: Places) -> Path:
    names = (places.store.with_name(f"{places.store.name}.replaced-{number}") for number in count(1))
    aside = next(name for name in names if not name.exists())
    reach(CrashPoint.RESTORE_ASIDE_BEFORE_RENAME)
    places.store.rename(aside)
    reach(CrashPoint.RESTORE_ASIDE_AFTER_RENAME)
    sync_directory(aside.parent)
    return aside
