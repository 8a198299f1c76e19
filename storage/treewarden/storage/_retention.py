"""What has been kept long enough: which checkpoints go, and which event rows.

Pure: no clock, no store. Order is by number, never by time: a clock that was set back changes when
something goes, and never which of two things is the newer one. The newest of each kind stays whatever
its age: the newest good checkpoint of each scope, for it is what a recovery needs, and the row with the
highest number, for the next number is made from it. Not promised: that bytes are freed at once, since
LMDB gives pages back to itself and not to the file system.
"""

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import final

__all__ = ["CheckpointMark", "EventMark", "Standing", "checkpoints_to_drop", "events_to_drop"]


@final
@dataclass(frozen=True, slots=True)
class EventMark:
    """What retention knows of one row of events: its number, its wall time, and its bytes."""

    number: int
    written_at: float
    size: int


def events_to_drop(
    oldest_first: Iterable[EventMark], *, total_bytes: int, max_bytes: int, max_age: float, now: float
) -> tuple[int, ...]:
    """The numbers of the rows to drop: from the oldest on, until the rest is neither too large nor too old.

    The last row given is never dropped, so give at least one more than may go. Rows are taken from
    `oldest_first` only as far as they are needed.

    Args:
        oldest_first: the rows in the order of their numbers; the beginning of all there are is enough.
        total_bytes: the size of all rows, also of those not given.
        max_bytes: how large the rest may be.
        max_age: seconds that a row may lie; one from the future is as good as new.
        now: wall seconds.
    """
    return tuple(_events_to_drop(iter(oldest_first), total_bytes, max_bytes, now - max_age))


def _events_to_drop(rows: Iterator[EventMark], rest: int, max_bytes: int, oldest: float) -> Iterator[int]:
    row = next(rows, None)
    while row is not None and (rest > max_bytes or row.written_at < oldest):
        following = next(rows, None)
        if following is None:
            return
        yield row.number
        rest -= row.size
        row = following


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
