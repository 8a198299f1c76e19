"""Crash points: named places where a test lets the process die, as if by kill -9.

A promise to survive kill -9 "at any instruction" is tested at the instructions that matter: what
is on disk changes at a commit, a rename or an unlink and nowhere else, so a member stands before
and after each of these: `tests/storage/test_crash_points.py` finds a call that has none beside it,
and dies at every member. While nothing is armed, `reach` looks at one global and returns. Nothing
but a call of `arm` in this process arms a point: no environment variable, no file, no option of the
program. Not shown by these: loss of power (a kill loses nothing that was written, synced or not),
and death within one call, as between two files of one removed tree.
"""

import signal
import threading
from enum import Enum, auto
from typing import Final, final

__all__ = ["CrashPoint", "arm", "reach"]


@final
class CrashPoint(Enum):
    """A place where the process may die. `BEFORE` and `AFTER` mean the call that the name ends in."""

    COMMIT_BEFORE = auto()
    """A batch is written in its transaction, which is not committed: none of it happened."""
    COMMIT_AFTER = auto()
    """The batch is on disk, and nobody was told: it happened, whole."""
    STORE_SWEEP_BEFORE_RMTREE = auto()
    """What a killed creation, compaction or restore left was found, and stands as it was found."""
    STORE_SWEEP_AFTER_RMTREE = auto()
    """It is gone."""
    STORE_CREATE_BEFORE_RENAME = auto()
    """A new store's file is finished in its scratch directory, not yet under its name."""
    STORE_CREATE_AFTER_RENAME = auto()
    """The new store has its name; its directory is not synced, the scratch directory is still there."""
    STORE_CREATE_BEFORE_RMTREE = auto()
    """The new store is complete and durable, the empty scratch directory beside it is still there."""
    STORE_CREATE_AFTER_RMTREE = auto()
    """The new store stands alone; nobody has opened it yet."""
    COPY_SWEEP_BEFORE_RMTREE = auto()
    """A new copy found what a killed one to the same place left."""
    COPY_SWEEP_AFTER_RMTREE = auto()
    """It is gone, and the new copy not begun."""
    COPY_CLEAR_BEFORE_RMTREE = auto()
    """A copy is given up, or a compaction is done: its scratch directory is still there."""
    COPY_CLEAR_AFTER_RMTREE = auto()
    """The scratch directory is gone."""
    BACKUP_BEFORE_RENAME = auto()
    """A backup is whole, synced and verified, not yet under its name."""
    BACKUP_AFTER_RENAME = auto()
    """The backup has its name; the directory above is not synced."""
    COMPACT_BEFORE_UNLINK = auto()
    """The compacted file is whole, synced and verified; nothing of the store has changed."""
    COMPACT_AFTER_UNLINK = auto()
    """The store has lost its lock file, which LMDB makes anew; its data is the old file."""
    COMPACT_BEFORE_RENAME = auto()
    """As before it: the data is the old file."""
    COMPACT_AFTER_RENAME = auto()
    """The data is the new file; the directory is not synced."""
    RESTORE_READY_BEFORE_RENAME = auto()
    """What is restored is whole, synced and verified in its scratch directory; the store is the old one."""
    RESTORE_READY_AFTER_RENAME = auto()
    """Its name says that it is whole; the store is the old one, and stays so unless the next step happens."""
    RESTORE_ASIDE_BEFORE_RENAME = auto()
    """As before it."""
    RESTORE_ASIDE_AFTER_RENAME = auto()
    """There is no store under its name: whoever opens it next puts the restored one there."""
    RESTORE_BEFORE_RENAME = auto()
    """The restored store is about to take its place."""
    RESTORE_AFTER_RENAME = auto()
    """The restored store is in its place; the directory above is not synced."""


@final
class _Fuse:
    """Dies when `point` is reached for the `left`-th time, on whatever thread."""

    def __init__(self, point: CrashPoint, left: int) -> None:
        self.point: Final = point
        self._left = left
        self._counting = threading.Lock()  # guards _left

    def burn(self) -> None:
        with self._counting:
            self._left -= 1
            if self._left == 0:
                signal.raise_signal(signal.SIGKILL)  # to itself; no clean-up of any kind runs after it


_fuse: _Fuse | None = None


def arm(point: CrashPoint, *, after: int = 1) -> None:
    """Let this process die by SIGKILL the `after`-th time it reaches `point`; an earlier arming is forgotten.

    Raises:
        ValueError: if `after` is below 1.
    """
    if after < 1:
        raise ValueError(f"after is {after}, expected 1 for the next time `point` is reached, or more")
    global _fuse  # noqa: PLW0603 - an argument through every layer would be a switch in production code
    _fuse = _Fuse(point, after)


def reach(point: CrashPoint) -> None:
    """Die here if `point` is armed and this is the time."""
    if _fuse is not None and _fuse.point is point:
        _fuse.burn()
