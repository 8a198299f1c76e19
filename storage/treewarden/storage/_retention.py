"""What has been kept long enough: which checkpoints go.

Pure: no clock, no store. Order is by number, never by time: a clock that was set back changes when
a checkpoint goes, and never which of two is the newer one. Whatever its age, the newest good one of
each scope stays, for it is what a recovery needs, and so does the highest number, for the next one is
made from it. Not promised: that bytes are freed at once, since LMDB gives pages back to itself and
not to the file system.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

__all__ = ["CheckpointMark", "Standing", "checkpoints_to_drop"]


@final
class Standing(enum.Enum):
    """What a checkpoint is worth to a recovery."""

    GOOD = "good"  # completed, and everything it refers to is there
    UNUSABLE = "unusable"  # failed, or damaged: it goes by its age alone
    IN_PROGRESS = "in_progress"  # somebody is writing it: never dropped


@final
@dataclass(frozen=True, slots=True)
class CheckpointMark:
    """What retention knows of one checkpoint. `kept_from` is the wall time from which its age counts."""

    number: int
    scope: str
    standing: Standing
    kept_from: float


def checkpoints_to_drop(marks: Iterable[CheckpointMark], *, older_than: float, now: float) -> tuple[int, ...]:
    """The numbers of the checkpoints that are older than `older_than` seconds and that nobody needs, oldest first.

    Needed are the newest good one of each scope (CK14), those in progress, and the highest number.
    """
    in_order = sorted(marks, key=lambda mark: mark.number)
    newest_good = {mark.scope: mark.number for mark in in_order if mark.standing is Standing.GOOD}
    needed = {*newest_good.values(), *(mark.number for mark in in_order[-1:])}
    return tuple(
        mark.number
        for mark in in_order
        if mark.number not in needed and mark.standing is not Standing.IN_PROGRESS and mark.kept_from < now - older_than
    )
