"""Errors of the storage layer; each tells itself apart from its neighbour and carries its data.

No error of a library (`lmdb.Error`, msgpack's) leaves this package bare.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treewarden.storage._contract import Snapshot
    from treewarden.storage._owner import Holder

__all__ = [
    "CheckpointCorrupt",
    "CheckpointMissing",
    "CommitFailed",
    "ContentDamaged",
    "CopyFailed",
    "OperationRefused",
    "RowCorrupt",
    "SchemaTooNew",
    "SchemaUnknown",
    "SnapshotCorrupt",
    "SnapshotMissing",
    "StoreClosed",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoreUnusable",
    "VersionTooNew",
]


class StoreError(Exception):
    """The base of every error this package raises on purpose."""


class SnapshotMissing(StoreError):
    """Nothing is kept for the path: it was never put, or it was discarded; damage is `SnapshotCorrupt`."""

    def __init__(self, path: str) -> None:
        super().__init__(f"no snapshot is kept for {path!r}")
        self.path = path


class SnapshotCorrupt(StoreError):
    """The newest record of the path cannot be believed; never read it as "empty".

    `fallback` is the newest older snapshot that can be believed, or None. Whether an older state
    may be used is the caller's decision: it may name a process or a lease that is long gone.
    `is_quarantined` tells a record that was moved aside before from one that nobody has met yet.
    """

    def __init__(
        self, path: str, sequence: int, why: str, fallback: "Snapshot | None", *, is_quarantined: bool
    ) -> None:
        older = "no older snapshot is left" if fallback is None else f"snapshot {fallback.sequence} before it is good"
        super().__init__(
            f"the newest record of {path!r} (sequence {sequence}) cannot be believed: {why}; {older};"
            f" quarantine the record, and put a new snapshot or discard the path"
        )
        self.path, self.sequence, self.why, self.fallback = path, sequence, why, fallback
        self.is_quarantined = is_quarantined


class SchemaTooNew(StoreError):
    """The record is whole, but a newer release wrote it in a format unknown here. It is not damaged."""

    def __init__(self, path: str, sequence: int, *, found: int, known: int) -> None:
        super().__init__(
            f"record {sequence} of {path!r} has envelope format {found}, this release reads up to {known};"
            f" start the newer release of treewarden that wrote it"
        )
        self.path, self.sequence, self.found, self.known = path, sequence, found, known


class OperationRefused(StoreError):
    """The caller's operation cannot be stored, today or ever: nothing was written. After `CommitFailed` you may try again."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"cannot store {path!r}: {why}")
        self.path, self.why = path, why


class CommitFailed(StoreError):
    """The medium refused a transaction: none of its operations happened, earlier ones stand, the store goes on."""

    def __init__(self, store: Path, found: str, remedy: str) -> None:
        super().__init__(f"the store at {store} could not commit: {found}; {remedy}")
        self.store, self.found, self.remedy = store, found, remedy


class StoreFull(CommitFailed):
    """The disk is full: until there is room again every commit fails with this, at once.

    Nothing that was acknowledged is lost. The store looks for room by itself, and goes on then.
    """


class RowCorrupt(StoreError):
    """A row is there and cannot be believed; never read it as "there is none"."""

    def __init__(self, table: str, key: bytes, why: str) -> None:
        super().__init__(
            f"the row {key.hex()} of {table} cannot be believed: {why}; `treewarden doctor` tells what can be done"
        )
        self.table, self.key, self.why = table, key, why


class StoreClosed(StoreError):
    """You closed this store; nothing is wrong with what it keeps. `StoreUnusable` means the world did it."""

    def __init__(self, store: str) -> None:
        super().__init__(f"{store} is closed; open it again to use it")
        self.store = store


class StoreLocked(StoreError):
    """Another runtime owns the state directory now. `holder` is None if its owner file cannot be read."""

    def __init__(self, state_dir: Path, holder: "Holder | None") -> None:
        who = "an unknown holder" if holder is None else _described(holder)
        super().__init__(f"{state_dir} is in use by {who}; `treewarden down --state {state_dir}` ends it")
        self.state_dir, self.holder = state_dir, holder


class StoreUnusable(StoreError):
    """The store cannot be opened or read as it stands; says what was found there and what to do."""

    def __init__(self, path: Path, found: str, remedy: str) -> None:
        super().__init__(f"cannot use {path}: {found}; {remedy}")
        self.path, self.found, self.remedy = path, found, remedy


class SchemaUnknown(StoreError):
    """No release has written such a record: the name is none of ours, or the version is below 1. That is damage."""

    def __init__(self, schema: str, version: int | None) -> None:
        what = f"schema {schema!r}" if version is None else f"version {version} of {schema!r}"
        super().__init__(f"{what} was never written by treewarden; expected a known schema, and a version from 1 on")
        self.schema, self.version = schema, version


class VersionTooNew(StoreError):
    """The record is whole, but a newer release wrote its contents. `SchemaTooNew` is the same about its envelope."""

    def __init__(self, schema: str, *, found: int, known: int) -> None:
        super().__init__(
            f"a {schema!r} record has version {found}, this release reads up to {known};"
            f" start the newer release of treewarden that wrote it"
        )
        self.schema, self.found, self.known = schema, found, known


class ContentDamaged(StoreError):
    """A part of a checkpoint is missing or cannot be believed; `where` names the part."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.where, self.why = where, why


class CheckpointMissing(StoreError):
    """There is no such checkpoint, and never was as far as the store knows; damage is `CheckpointCorrupt`."""

    def __init__(self, sought: str) -> None:
        super().__init__(f"there is no {sought}; `treewarden checkpoint list` shows those that are kept")
        self.sought = sought


class CheckpointCorrupt(StoreError):
    """There are checkpoints, and none of those sought can be believed; `why` has the reason for each number.

    Never read it as "there is none": starting from nothing would take the place of what was there.
    """

    def __init__(self, sought: str, why: "tuple[tuple[int, str], ...]") -> None:
        each = "; ".join(f"{number}: {reason}" for number, reason in why)
        super().__init__(f"no {sought} can be believed ({each}); make a new one, or restore a backup of the store")
        self.sought, self.why = sought, why


class CopyFailed(StoreError):
    """A backup, a compaction or a restore was refused or given up: what was there before is there, unchanged."""

    def __init__(self, path: Path, found: str, remedy: str) -> None:
        super().__init__(f"no copy was made at {path}: {found}; {remedy}")
        self.path, self.found, self.remedy = path, found, remedy


def _described(holder: "Holder") -> str:
    since = datetime.fromtimestamp(holder.since, UTC).isoformat(timespec="seconds")
    return f"pid {holder.pid} (tree {holder.tree!r}, since {since})"
