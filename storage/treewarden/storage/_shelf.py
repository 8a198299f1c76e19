"""A shelf: the records kept for one path, its journal, and the pure rules about both.

Both stores decide here which record may be believed and which ones go. A quarantined record
leaves a marker in its place, so the newest place of a shelf tells alone whether the path is
blocked. No input or output, no clock.
"""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple, TypeVar

from treewarden.storage._codec import FORMAT, Damaged, TooNew, decode, decode_row
from treewarden.storage._contract import Journal, JournalDamage, JournalEntry, Snapshot, Table, TableRow
from treewarden.storage._errors import RowCorrupt, SchemaTooNew, SnapshotCorrupt

__all__ = [
    "QUARANTINED",
    "Row",
    "fallback_and_surplus",
    "judge",
    "judge_journal",
    "judge_older",
    "judge_row",
    "trims_journal",
]

QUARANTINED: Final = b"quarantined"  # stands where a record was; no record begins so (see `_codec`)

P = TypeVar("P", int, bytes)  # a place: a sequence, or the key with it


class Row(NamedTuple):  # made for each record that is read: a frozen dataclass would cost twice that
    """What stands at one place of a shelf: a record, or `QUARANTINED`."""

    sequence: int
    record: bytes


def judge(path: str, rows: Sequence[Row]) -> Snapshot | SnapshotCorrupt:
    """What the shelf of `path` says; `rows` are newest first, at least one.

    Raises:
        SchemaTooNew: if a record that would decide was written by a newer release.
    """
    newest = _believed(path, rows[0])
    if isinstance(newest, Snapshot):
        return newest
    return SnapshotCorrupt(
        path,
        rows[0].sequence,
        newest.why,
        judge_older(path, rows),
        is_quarantined=rows[0].record == QUARANTINED,
    )


def judge_older(path: str, rows: Sequence[Row]) -> Snapshot | None:
    """The newest snapshot below the newest place that can be believed; `rows` as in `judge`, or none.

    Raises:
        SchemaTooNew: if a record that would decide was written by a newer release.
    """
    older = (_believed(path, row) for row in rows[1:])
    return next((found for found in older if isinstance(found, Snapshot)), None)


def judge_journal(path: str, rows: Sequence[Row]) -> Journal:
    """What the journal of `path` says; `rows` are oldest first.

    Raises:
        SchemaTooNew: if an entry before any damage was written by a newer release.
    """
    entries: list[JournalEntry] = []
    for place, row in enumerate(rows):
        found = _believed(path, row)
        if isinstance(found, Damaged):
            return Journal(tuple(entries), JournalDamage(row.sequence, found.why, len(rows) - place - 1))
        entries.append(
            JournalEntry(
                path, found.schema, found.version, found.generation, found.sequence, found.written_at, found.state
            )
        )
    return Journal(tuple(entries))


def judge_row(table: Table, key: bytes, kept: bytes) -> TableRow | RowCorrupt:
    """What is kept under `key` as a row; what cannot be believed as a value that says so."""
    try:
        return TableRow(key, decode_row(table, key, kept))
    except RowCorrupt as corrupt:
        return corrupt


def trims_journal(path: str, fallback: Row) -> bool:
    """Whether journal entries up to `fallback` may go: only if it can be read, for it stands for them."""
    try:
        return isinstance(_believed(path, fallback), Snapshot)
    except SchemaTooNew:
        return False


def fallback_and_surplus(earlier: Sequence[P], *, quarantined: Collection[P]) -> tuple[P | None, Sequence[P]]:
    """Which of the places `earlier`, ascending, stays and which go when a newer snapshot is put on top of them.

    One earlier record stays as the fallback; those `quarantined` go, markers, since what is newer
    lifts the block.
    """
    if not quarantined:
        return (earlier[-1], earlier[:-1]) if earlier else (None, earlier)
    fallback = next((place for place in reversed(earlier) if place not in quarantined), None)
    return fallback, [place for place in earlier if place != fallback]


def _believed(path: str, row: Row) -> Snapshot | Damaged:
    if row.record == QUARANTINED:
        return Damaged("it was quarantined, and nothing newer was put since")
    match decode(row.record):
        case Snapshot() as snapshot:
            if snapshot.path != path:
                return Damaged(f"it belongs to {snapshot.path!r}")
            if snapshot.sequence != row.sequence:
                return Damaged(f"it is record {snapshot.sequence}")
            return snapshot
        case Damaged() as damaged:
            return damaged
        case TooNew(found):
            raise SchemaTooNew(path, row.sequence, found=found, known=FORMAT)
