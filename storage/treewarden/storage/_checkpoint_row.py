"""One checkpoint as a row: what was asked for, how far it came, and the root of its content.

The row is written before anything of the checkpoint is (in progress), and again when its values are in
the store (completed) or will never be (failed): always the same row, under the same number. Numbers
grow, and they alone say which of two checkpoints is the newer one (CK17): its times are for people and
for retention. A recovery is written down in the row and changes nothing else of it (CK3).
"""

import enum
from dataclasses import dataclass
from typing import Final, final

from treewarden.storage._canonical import canonical
from treewarden.storage._contract import Table
from treewarden.storage._errors import ContentDamaged, RowCorrupt, SchemaUnknown
from treewarden.storage._migrations import CHECKPOINT_ROW_SCHEMA, MIGRATIONS
from treewarden.storage._shape import listed, mapped, optional, read, several, typed

__all__ = [
    "KEPT_RECOVERIES",
    "Checkpoint",
    "CheckpointStatus",
    "Trigger",
    "key_of",
    "number_of",
    "row_from",
    "value_of",
]

KEPT_RECOVERIES: Final = 16  # the newest: a tree in a crash loop must not make its checkpoint grow


@final
class Trigger(enum.Enum):
    """What a checkpoint was made for."""

    MANUAL = "manual"
    PERIODIC = "periodic"
    TASK = "task"  # a task was completed
    ITERATION = "iteration"  # a loop came around


@final
class CheckpointStatus(enum.Enum):
    """How far a checkpoint has come."""

    IN_PROGRESS = "in_progress"  # intended; nothing of its content need be there
    COMPLETED = "completed"  # written in one transaction with all its values
    FAILED = "failed"  # there is no content; `why` has the reason


@final
@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint of the subtree `scope`. Times are wall seconds.

    `root` is the hexadecimal digest of its content. `confirmed_at` is the last time at which the
    subtree was found to be as it is in here; a checkpoint of unchanged content moves that on instead of
    making a new one. `events_through` is the number of the last event that it includes, `paused` how
    long the subtree stood still for it. `bytes_total` is the size of its values, `bytes_added` of those
    that no checkpoint before it had. `recoveries` are the newest times at which it was restored.
    """

    number: int
    scope: str
    status: CheckpointStatus
    trigger: Trigger
    created_at: float
    root: str | None = None
    confirmed_at: float | None = None
    events_through: int | None = None
    actors: int = 0
    bytes_added: int = 0
    bytes_total: int = 0
    paused: float = 0.0
    why: str | None = None
    recoveries: tuple[float, ...] = ()


def key_of(number: int) -> bytes:
    """The key of a checkpoint's row; keys are in the order of the numbers."""
    return number.to_bytes(8, "big")


def number_of(key: bytes) -> int:
    """The number that a key is of."""
    return int.from_bytes(key, "big")


def value_of(checkpoint: Checkpoint) -> bytes:
    """The value of a checkpoint's row."""
    fields: dict[str, object] = {
        "scope": checkpoint.scope,
        "status": checkpoint.status.value,
        "trigger": checkpoint.trigger.value,
        "created_at": checkpoint.created_at,
        "root": checkpoint.root,
        "confirmed_at": checkpoint.confirmed_at,
        "events_through": checkpoint.events_through,
        "actors": checkpoint.actors,
        "bytes_added": checkpoint.bytes_added,
        "bytes_total": checkpoint.bytes_total,
        "paused": checkpoint.paused,
        "why": checkpoint.why,
        "recoveries": checkpoint.recoveries,
    }
    return canonical([CHECKPOINT_ROW_SCHEMA, MIGRATIONS.newest(CHECKPOINT_ROW_SCHEMA), fields], path=checkpoint.scope)


def row_from(key: bytes, value: bytes) -> Checkpoint | RowCorrupt:
    """The checkpoint that a row is of, or why it is of none.

    Raises:
        VersionTooNew: a newer release wrote it.
    """
    try:
        return _checkpoint(number_of(key), value)
    except (ContentDamaged, SchemaUnknown, ValueError) as error:  # ValueError: no such status or trigger
        return RowCorrupt(Table.CHECKPOINTS.value, key, str(error))


def _checkpoint(number: int, value: bytes) -> Checkpoint:
    what = f"checkpoint {number}"
    schema, version, state = several(read(value, what), 3, what)
    _, newest = MIGRATIONS.migrate(typed(schema, str, what), typed(version, int, what), state)
    if schema != CHECKPOINT_ROW_SCHEMA:
        raise ContentDamaged(what, f"its schema is {schema!r}, expected {CHECKPOINT_ROW_SCHEMA!r}")
    fields = mapped(newest, what)
    return Checkpoint(
        number,
        typed(fields.get("scope"), str, what),
        CheckpointStatus(fields.get("status")),
        Trigger(fields.get("trigger")),
        typed(fields.get("created_at"), float, what),
        optional(fields.get("root"), str, what),
        optional(fields.get("confirmed_at"), float, what),
        optional(fields.get("events_through"), int, what),
        typed(fields.get("actors"), int, what),
        typed(fields.get("bytes_added"), int, what),
        typed(fields.get("bytes_total"), int, what),
        typed(fields.get("paused"), float, what),
        optional(fields.get("why"), str, what),
        tuple(typed(at, float, what) for at in listed(fields.get("recoveries"), what)),
    )
