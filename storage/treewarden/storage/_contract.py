"""What a snapshot store is: the operations it takes, the snapshots it gives back, the promise.

A store keeps the last states of actors by path. What was acknowledged survives kill -9 of the
process; a record that cannot be believed is an error with a name, never "empty". `LmdbStore`
keeps this promise on disk, `MemoryStore` keeps it for the life of the object; one contract suite
holds both. Not promised: a history (the two newest snapshots of a path are kept), an order
between commits of different threads, or a consistent view over several paths of one `scan`.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeAlias, final

from treewarden.storage._errors import SnapshotCorrupt

__all__ = ["Discard", "Operation", "Put", "Quarantine", "Snapshot", "SnapshotStore"]


@final
@dataclass(frozen=True, slots=True)
class Put:
    """Make `state` the newest snapshot of `path`.

    `state` is None, bool, int (64 bits), float, str, bytes, list or dict with str or bytes keys,
    nested at most 500 deep; a tuple comes back as a list and a subclass as its base type.
    `schema` and `version` name the shape of `state` for later migrations; `generation` is the
    incarnation that wrote it.
    """

    path: str
    schema: str
    version: int
    generation: int
    state: object


@final
@dataclass(frozen=True, slots=True)
class Discard:
    """Forget `path`: its snapshots go, and its quarantined records no longer block `latest`.

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


Operation: TypeAlias = Put | Discard | Quarantine


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


class SnapshotStore(Protocol):
    """Keeps the newest snapshots of every path. Every method is safe from any thread."""

    @property
    def store_id(self) -> str:
        """32 hexadecimal digits, made once when the store was created."""
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

    def close(self) -> None:
        """Finish what was handed in, then let go of every resource. Closing twice does nothing."""
        ...
