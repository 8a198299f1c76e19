"""What a checkpoint holds, as values: actors at a message boundary, and durable values; and how two differ.

A checkpoint has a runtime side (of each actor: kept state, waiting messages, timers, the process that
holds it) and a durable side (results, metrics, references), kept apart. Nothing here tells when or by
which incarnation it was written (CK1): content that is equal is the same content. Only the times that
timers have left change with every look, and they do not count when two contents are compared.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import final

from treewarden.storage._canonical import canonical, in_canonical_form
from treewarden.storage._contract import Packed

__all__ = [
    "ActorChange",
    "ActorEntry",
    "ActorPart",
    "ChangeKind",
    "CheckpointDiff",
    "Content",
    "DurableChange",
    "HolderIdentity",
    "KeptTimer",
    "diff",
    "in_canonical_order",
    "is_within",
]


@final
@dataclass(frozen=True, slots=True)
class HolderIdentity:
    """The process that holds a lease, or that a managed process is: never its pid alone."""

    pid: int
    start_ticks: int
    boot_id: str


@final
@dataclass(frozen=True, slots=True)
class KeptTimer:
    """A timer that had not gone off: it sends `message` in `seconds_left`, and then every `repeat_every` seconds."""

    seconds_left: float
    repeat_every: float | None
    message: Packed


@final
@dataclass(frozen=True, slots=True)
class ActorEntry:
    """One actor between two of its messages.

    `schema` and `state` are None for an actor that keeps no state. `queue_left` counts waiting messages
    that could not be packed and are not in `queue`.
    """

    path: str
    schema: str | None
    version: int
    state: Packed | None
    queue: tuple[Packed, ...] = ()
    queue_left: int = 0
    timers: tuple[KeptTimer, ...] = ()
    holder: HolderIdentity | None = None


@final
@dataclass(frozen=True, slots=True)
class Content:
    """What one checkpoint of the subtree `scope` holds: actors by path, and durable values by name."""

    scope: str
    runtime: Mapping[str, ActorEntry]
    durable: Mapping[str, object]


@final
class ActorPart(enum.Enum):
    """What of an actor may differ between two checkpoints."""

    SCHEMA = "schema"  # its schema's name or version
    STATE = "state"
    QUEUE = "queue"  # what waits, or how much of it could not be kept
    TIMERS = "timers"  # which, and how often; not what they have left
    HOLDER = "holder"


@final
class ChangeKind(enum.Enum):
    """How a durable value differs."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@final
@dataclass(frozen=True, slots=True)
class ActorChange:
    """An actor that is in both checkpoints, and the parts that differ."""

    path: str
    parts: tuple[ActorPart, ...]


@final
@dataclass(frozen=True, slots=True)
class DurableChange:
    """A durable value that differs."""

    name: str
    kind: ChangeKind


@final
@dataclass(frozen=True, slots=True)
class CheckpointDiff:
    """How a later content differs from an earlier one; paths and names in order. `unchanged` counts actors."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[ActorChange, ...]
    unchanged: int
    durable: tuple[DurableChange, ...]


def is_within(path: str, scope: str) -> bool:
    """Whether `path` is `scope`, below it, or a record about it."""
    return path == scope or path.startswith((scope.rstrip("/") + "/", scope + "#"))


def in_canonical_order(entry: ActorEntry) -> ActorEntry:
    """`entry` with its state and messages in their one byte form, and its timers in an order that lasts.

    Which timer is due next changes with time; how often it repeats and what it sends does not.

    Raises:
        OperationRefused: if a state or message is not one that `pack` made.
    """

    def form(value: Packed) -> Packed:
        return Packed(in_canonical_form(value, path=entry.path))

    timers = [replace(timer, message=form(timer.message)) for timer in entry.timers]
    return replace(
        entry,
        state=None if entry.state is None else form(entry.state),
        queue=tuple(map(form, entry.queue)),
        timers=tuple(sorted(timers, key=_order_of_timers)),
    )


def diff(earlier: Content, later: Content) -> CheckpointDiff:
    """What is different in `later`."""
    before, after = earlier.runtime, later.runtime
    both = sorted(before.keys() & after.keys())
    changes = tuple(ActorChange(path, tuple(_different(before[path], after[path]))) for path in both)
    changed = tuple(change for change in changes if change.parts)
    return CheckpointDiff(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=changed,
        unchanged=len(both) - len(changed),
        durable=tuple(_durable_changes(earlier.durable, later.durable)),
    )


def _different(before: ActorEntry, after: ActorEntry) -> Iterator[ActorPart]:
    before, after = in_canonical_order(before), in_canonical_order(after)
    if (before.schema, before.version) != (after.schema, after.version):
        yield ActorPart.SCHEMA
    if before.state != after.state:
        yield ActorPart.STATE
    if (before.queue_left, before.queue) != (after.queue_left, after.queue):
        yield ActorPart.QUEUE
    if _lasting(before) != _lasting(after):
        yield ActorPart.TIMERS
    if before.holder != after.holder:
        yield ActorPart.HOLDER


def _lasting(entry: ActorEntry) -> list[tuple[float | None, Packed]]:
    return [(timer.repeat_every, timer.message) for timer in entry.timers]


def _order_of_timers(timer: KeptTimer) -> tuple[float, bytes, float]:
    return (-1.0 if timer.repeat_every is None else timer.repeat_every, timer.message.body, timer.seconds_left)


def _durable_changes(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[DurableChange]:
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield DurableChange(name, ChangeKind.ADDED)
        elif name not in after:
            yield DurableChange(name, ChangeKind.REMOVED)
        # By their bytes, since True == 1 == 1.0 in Python.
        elif canonical(before[name], path=name) != canonical(after[name], path=name):
            yield DurableChange(name, ChangeKind.CHANGED)
