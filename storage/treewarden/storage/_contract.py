"""What a snapshot store is: the operations it takes, the snapshots it gives back, the promise.

A store keeps the last states of actors by path, what happened since in a journal, and rows: opaque
values under a key of their own, for what is built on top (checkpoints, events). What was
acknowledged survives kill -9 of the process; a record that cannot be believed is an error with a
name, never "empty". `LmdbStore` keeps this promise on disk, `MemoryStore` keeps it for the life of
the object; one contract suite holds both. Not promised: a history (the two newest snapshots of a
path are kept), an order between commits of different threads, or a consistent view over several
paths of one `scan`.
"""

import enum
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeAlias, final

from treewarden.storage._errors import RowCorrupt, SnapshotCorrupt

__all__ = [
    "Append",
    "CutJournal",
    "Discard",
    "DropRow",
    "Journal",
    "JournalDamage",
    "JournalEntry",
    "Operation",
    "Packed",
    "Put",
    "PutRow",
    "Quarantine",
    "Snapshot",
    "SnapshotStore",
    "StoreState",
    "Table",
    "TableRow",
]


@final
@dataclass(frozen=True, slots=True)
class Packed:
    """A state that was packed already, by `pack`: it can be stored, and compared with another."""

    body: bytes


@final
@dataclass(frozen=True, slots=True)
class Put:
    """Make `state` the newest snapshot of `path`.

    `state` is None, bool, int (64 bits), float, str, bytes, list or dict with str or bytes keys,
    nested at most 500 deep; a tuple comes back as a list and a subclass as its base type. It may
    be `Packed` already. `schema` and `version` name the shape of `state` for later migrations;
    `generation` is the incarnation that wrote it.

    The snapshot before it stays as the fallback. Journal entries that even the fallback covers go.
    """

    path: str
    schema: str
    version: int
    generation: int
    state: object


@final
@dataclass(frozen=True, slots=True)
class Discard:
    """Forget `path`: its snapshots and its journal go, and its quarantined records no longer block `latest`.

    A person or the path's owner says so; nothing in a store does it by itself. Quarantined
    bytes stay for inspection. Forgetting an unknown path does nothing.
    """

    path: str


@final
@dataclass(frozen=True, slots=True)
class Quarantine:
    """Move the record `sequence` of `path` aside, its bytes kept as they are.

    Until something newer is put or the path is discarded, the path stays `SnapshotCorrupt`:
    moving a bad record away must not make the one before it look like the truth. A record that
    is gone, or already aside, is left as it is.
    """

    path: str
    sequence: int


@final
@dataclass(frozen=True, slots=True)
class Append:
    """Add `entry` to the journal of `path`; fields and shapes are those of `Put`."""

    path: str
    schema: str
    version: int
    generation: int
    entry: object


@final
@dataclass(frozen=True, slots=True)
class CutJournal:
    """Move the journal entry `sequence` of `path` and all later ones aside, their bytes kept as they are.

    For a journal with damage in it: what comes after an entry that cannot be read must not be
    replayed without it. If there is none, nothing happens.
    """

    path: str
    sequence: int


@final
class Table(enum.Enum):
    """The tables of rows."""

    CHECKPOINTS = "checkpoints"
    VALUES = "values"
    EVENTS = "events"


@final
@dataclass(frozen=True, slots=True)
class PutRow:
    """Make `value` the row under `key` (1 to 511 bytes) of `table`."""

    table: Table
    key: bytes
    value: bytes


@final
@dataclass(frozen=True, slots=True)
class DropRow:
    """Remove the row under `key` of `table`; none is fine."""

    table: Table
    key: bytes


Operation: TypeAlias = Put | Discard | Quarantine | Append | CutJournal | PutRow | DropRow


@final
@dataclass(frozen=True, slots=True)
class Snapshot:
    """One kept state. `sequence` grows over the life of the store; `written_at` is wall seconds."""

    path: str
    schema: str
    version: int
    generation: int
    sequence: int
    written_at: float
    state: object


@final
@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One entry of a journal; the fields are those of `Snapshot`."""

    path: str
    schema: str
    version: int
    generation: int
    sequence: int
    written_at: float
    entry: object


@final
@dataclass(frozen=True, slots=True)
class JournalDamage:
    """The first entry that cannot be believed, why, and how many come after it."""

    sequence: int
    why: str
    later: int


@final
@dataclass(frozen=True, slots=True)
class Journal:
    """The entries of a path up to the first damaged one, oldest first. None after it is given: it would lack its past."""

    entries: tuple[JournalEntry, ...] = ()
    damage: JournalDamage | None = None


@final
@dataclass(frozen=True, slots=True)
class TableRow:
    """A row that can be believed."""

    key: bytes
    value: bytes


@final
class StoreState(enum.Enum):
    """Whether a store takes commits."""

    OPEN = "open"
    FULL = "full"
    """The disk is full. Commits fail at once with `StoreFull`; what was acknowledged can be read. It ends by itself."""
    CLOSED = "closed"


class SnapshotStore(Protocol):
    """Keeps the newest snapshots of every path. Every method is safe from any thread."""

    @property
    def store_id(self) -> str:
        """32 hexadecimal digits, made once when the store was created."""
        ...

    @property
    def state(self) -> StoreState:
        """Whether it takes commits now."""
        ...

    def on_state(self, listener: Callable[[StoreState], object]) -> None:
        """Call `listener` at each later change of `state` between OPEN and FULL, in order; it must be short."""
        ...

    def when_writable(self, callback: Callable[[], object]) -> None:
        """Call `callback` once, as soon as commits are taken: here and now, or later on the storage thread.

        It must be short. It is called at the close as well, so that who waits hears of that by his commit.
        """
        ...

    def commit(self, operations: Sequence[Operation]) -> "Future[int]":
        """Carry out `operations` in their order, all or nothing, and acknowledge through the future.

        The future resolves once the operations are durable, to the highest sequence used so far.
        Commits of one thread happen in the order of the calls. A commit whose future is cancelled
        in time is not carried out. Callbacks of the future run on the thread that resolves it:
        they must be short, and must not wait for another commit of the same store.

        Raises:
            OperationRefused: here, at the caller, if an operation cannot be stored; nothing is written.
            StoreClosed: if the store was closed.
        """
        ...

    def latest(self, path: str) -> Snapshot:
        """Read the newest snapshot of `path`; it sees every commit whose future is resolved.

        Raises:
            SnapshotMissing: nothing is kept for `path`.
            SnapshotCorrupt: the newest record cannot be believed; `fallback` carries the one before.
            SchemaTooNew: a newer release wrote the record.
            StoreClosed: if the store was closed.
            StoreUnusable: the medium cannot be read.
        """
        ...

    def older(self, path: str) -> Snapshot | None:
        """Read the snapshot kept before the newest one of `path`; None if there is none that can be believed.

        It says nothing about the newest: for a caller who has read that one and cannot use it.

        Raises:
            SchemaTooNew: a newer release wrote the record.
            StoreClosed: if the store was closed.
            StoreUnusable: the medium cannot be read.
        """
        ...

    def scan(self) -> Iterator[Snapshot | SnapshotCorrupt]:
        """Read the newest snapshot of every known path, in no particular order.

        A record that cannot be believed is given as a value, so that one bad path does not hide
        the others. Each path is read when the iteration reaches it.

        Raises:
            SchemaTooNew: a newer release wrote a record: none of its siblings may be trusted either.
            StoreClosed: if the store was closed, also in the middle of the iteration.
            StoreUnusable: the medium cannot be read.
        """
        ...

    def paths(self) -> Sequence[str]:
        """Every path of which anything is kept, a journal alone included; sorted. Raises what `scan` does but `SchemaTooNew`."""
        ...

    def journal(self, path: str, *, after: int) -> Journal:
        """Read the journal of `path`: the entries whose sequence is above `after`.

        Raises:
            SchemaTooNew: a newer release wrote an entry.
            StoreClosed: if the store was closed.
            StoreUnusable: the medium cannot be read.
        """
        ...

    def row(self, table: Table, key: bytes) -> bytes | None:
        """Read the value under `key`; None if there is no such row.

        Raises:
            RowCorrupt: the row cannot be believed.
            StoreClosed: if the store was closed.
            StoreUnusable: the medium cannot be read.
        """
        ...

    def rows(self, table: Table, *, after: bytes = b"", limit: int) -> Sequence[TableRow | RowCorrupt]:
        """Read up to `limit` rows whose keys are above `after`, ascending; fewer only at the end.

        A row that cannot be believed is given as a value.

        Raises:
            StoreClosed: if the store was closed.
            StoreUnusable: the medium cannot be read.
        """
        ...

    def last_row(self, table: Table) -> TableRow | RowCorrupt | None:
        """Read the row with the highest key; None if the table is empty. Raises what `rows` does."""
        ...

    def close(self) -> None:
        """Finish what was handed in, then let go of every resource. Closing twice does nothing."""
        ...
