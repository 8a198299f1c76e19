"""The names in and around a store's directory, and what a killed process left under them.

A store is `data.mdb` and the lock file that LMDB keeps beside it. Everything else is work that is not
finished, and whoever opens the store as its owner ends it: a restore that had moved the old store away
is finished, everything else is removed, since nobody was told that it happened.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from treewarden.storage._crash_points import CrashPoint, reach

__all__ = ["DATA_FILE", "LOCK_FILE", "Places", "finish_restore", "sweep", "sync_directory"]

DATA_FILE: Final = "data.mdb"
LOCK_FILE: Final = "lock.mdb"


@final
@dataclass(frozen=True, slots=True)
class Places:
    """The names around the store in `store` that only a killed process leaves for others to see."""

    store: Path

    @property
    def creating(self) -> Path:
        """A new store's file, until it is finished."""
        return self.store / "creating"

    @property
    def compacting(self) -> Path:
        """The compacted file, until it is verified."""
        return self.store / "compacting"

    @property
    def restoring(self) -> Path:
        """What a restore copies, until it is verified."""
        return self.store.with_name(f"{self.store.name}.restoring")

    @property
    def restored(self) -> Path:
        """What a restore copied, whole, until it takes the store's place."""
        return self.store.with_name(f"{self.store.name}.restored")


def finish_restore(directory: Path) -> None:
    """Put a restored store in its place, if the restore died after it had moved the old one away.

    Without this the next look would find no store, and make an empty one.
    """
    places = Places(directory.resolve())
    if places.restored.exists() and not (places.store / DATA_FILE).exists():
        reach(CrashPoint.RESTORE_BEFORE_RENAME)
        places.restored.rename(places.store)
        reach(CrashPoint.RESTORE_AFTER_RENAME)
        sync_directory(places.store.parent)


def sweep(directory: Path) -> None:
    """Remove what a killed creation, compaction or restore left: its owner is dead, since we own the store."""
    places = Places(directory.resolve())
    # A creation may have died between its rename and its end, so beside a finished store too.
    # A whole restored copy beside a store never took its place, and nobody was told it did.
    for left in (places.creating, places.compacting, places.restoring, places.restored):
        if left.exists():
            reach(CrashPoint.STORE_SWEEP_BEFORE_RMTREE)
            shutil.rmtree(left)
            reach(CrashPoint.STORE_SWEEP_AFTER_RMTREE)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
