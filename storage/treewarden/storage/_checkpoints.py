"""Checkpoints of subtrees: made in two steps, found again, restored from, and pruned.

`begin` writes down that one is intended, `complete` writes its values and its row in one transaction,
so a checkpoint is there whole or not at all (CK8). Content that is the newest of its scope already makes
no second checkpoint: the one that is there is confirmed. What is read is verified, all of it; a damaged
one is passed over for the one before, and named; an error of the medium is never "there is none" (CK13).

One object for each store; safe from any thread, but not from the callback of a commit's future, for it
waits for commits. Of two that are made at once the one begun later counts as the newer: collect the
content after `begin`. Not promised: that a checkpoint is a point in time; whoever collects its content
sees to that.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from treewarden.storage._checkpoint_content import Content
from treewarden.storage._checkpoint_pages import encode
from treewarden.storage._checkpoint_row import (
    KEPT_RECOVERIES,
    Checkpoint,
    CheckpointStatus,
    Trigger,
    number_of,
)
from treewarden.storage._checkpoint_rows import CheckpointRows, drop_row, put_row
from treewarden.storage._checkpoint_values import (
    CheckpointValues,
    StoredValue,
    drop_values,
    put_values,
    put_volatile,
)
from treewarden.storage._contract import Operation, PutRow, SnapshotStore
from treewarden.storage._errors import (
    CheckpointCorrupt,
    CheckpointMissing,
    ContentDamaged,
    OperationRefused,
    RowCorrupt,
    StoreError,
    VersionTooNew,
)
from treewarden.storage._retention import CheckpointMark, Standing, checkpoints_to_drop

__all__ = ["CheckpointStatistics", "CheckpointSweep", "Checkpoints", "PruneReport", "Recovered"]

_LONGEST_WHY: Final = 2000  # characters
_DROPS_AT_ONCE: Final = 1024  # a transaction that dirties too many pages holds up everybody else's commits


@final
@dataclass(frozen=True, slots=True)
class Recovered:
    """The newest checkpoint that can be believed; `skipped` are newer ones that cannot, each with the reason."""

    checkpoint: Checkpoint
    content: Content
    skipped: tuple[tuple[int, str], ...]


@final
@dataclass(frozen=True, slots=True)
class CheckpointSweep:
    """What an earlier runtime left: the checkpoints that it did not finish, and values that nobody needs.

    `not_collected` says why values were left as they are, if they were.
    """

    failed: tuple[int, ...]
    values_removed: int
    bytes_removed: int
    not_collected: str | None


@final
@dataclass(frozen=True, slots=True)
class PruneReport:
    """What was removed; `kept` counts the checkpoints that are left."""

    removed: tuple[int, ...]
    values_removed: int
    bytes_removed: int
    kept: int


@final
@dataclass(frozen=True, slots=True)
class CheckpointStatistics:
    """What is kept now. `bytes` is the size of all values, each counted once."""

    completed: int
    in_progress: int
    failed: int
    unreadable: int
    values: int
    bytes: int


@final
class Checkpoints:
    """The checkpoints in `store`.

    Args:
        store: whose rows they are.
        wall: wall seconds; for people and for retention, never for order.
    """

    def __init__(self, store: SnapshotStore, *, wall: Callable[[], float]) -> None:
        self._store, self._wall = store, wall
        self._rows, self._values = CheckpointRows(store), CheckpointValues(store)
        # Held over whole calls, commits included: what `complete` finds in the store must not be
        # collected before its row refers to it, and what `load` reads not while it reads. Guards
        # _begun and _highest as well. Nobody's code is called under it.
        self._lock = threading.Lock()
        self._begun: set[int] = set()  # in progress by this object, so not what an earlier runtime left
        self._highest = 0

    def begin(self, scope: str, trigger: Trigger) -> int:
        """Write down that a checkpoint of `scope` is intended; its number, once that is durable.

        Raises:
            StoreError: it could not be written.
        """
        with self._lock:
            number = 1 + max(self._highest, self._rows.highest())
            begun = Checkpoint(number, scope, CheckpointStatus.IN_PROGRESS, trigger, float(self._wall()))
            self._commit([put_row(begun)])
            self._highest = number
            self._begun.add(number)
        return number

    def complete(self, number: int, content: Content, *, events_through: int | None, paused: float) -> Checkpoint:
        """Keep `content` as checkpoint `number`; return it once it is durable.

        If the newest completed one of the scope has the same content, that is confirmed and returned
        instead, and `number` is dropped: nearly nothing is added.

        Args:
            number: from `begin`.
            content: of the scope that was begun.
            events_through: the number of the last event that the content includes, if events are numbered.
            paused: seconds that the subtree stood still for it.

        Raises:
            OperationRefused: it is not in progress, is of another scope, or cannot be stored.
            StoreError: it could not be written. Nothing of it is there; say so with `fail`.
        """
        encoded = encode(content)
        with self._lock:
            begun = self._in_progress(number)
            if begun.scope != content.scope:
                raise OperationRefused(
                    f"checkpoint {number}", f"its content is of {content.scope!r}, expected {begun.scope!r}"
                )
            missing = self._values.missing(encoded.values)
            newest = self._rows.newest_completed(begun.scope)
            same = newest if newest is not None and newest.root == encoded.root.hex() else None
            done = replace(
                same or begun,
                status=CheckpointStatus.COMPLETED,
                root=encoded.root.hex(),
                confirmed_at=float(self._wall()),
                events_through=events_through,
                actors=len(content.runtime),
                bytes_total=sum(map(len, encoded.values.values())),
                paused=float(paused),
            )
            if same is None:
                done = replace(done, bytes_added=sum(map(len, missing.values())))
            # Values that were damaged are missing: the checkpoint that is confirmed is mended by them.
            dropped = [] if same is None else [drop_row(number)]
            self._commit([*put_values(missing), put_volatile(done.number, encoded.volatile), put_row(done), *dropped])
            self._begun.discard(number)
        return done

    def fail(self, number: int, why: str) -> StoreError | None:
        """Write down in the row of `number` that it came to nothing.

        It is called where something has failed already, and must not take its place (CK7): what goes
        wrong here is returned. The next `sweep` then finds the row as it is.
        """
        try:
            with self._lock:
                begun = self._in_progress(number)
                self._commit([put_row(replace(begun, status=CheckpointStatus.FAILED, why=_mended(why)))])
                self._begun.discard(number)
        except StoreError as error:
            return error
        return None

    def sweep(self) -> CheckpointSweep:
        """See to what an earlier runtime left. What this object has begun is not touched.

        Raises:
            StoreError: the medium cannot be read or written.
        """
        with self._lock:
            rows = self._rows.all()
            left = [
                replace(row, status=CheckpointStatus.FAILED, why="the runtime ended during it")
                for row in rows
                if isinstance(row, Checkpoint)
                and row.status is CheckpointStatus.IN_PROGRESS
                and row.number not in self._begun
            ]
            if left:
                self._commit([put_row(row) for row in left])
            failed = tuple(row.number for row in left)
            try:
                gone = self._values.unneeded(row for row in rows if isinstance(row, Checkpoint))
            except VersionTooNew as error:
                return CheckpointSweep(failed, 0, 0, str(error))
            self._drop(gone)
        return CheckpointSweep(failed, len(gone), _size(gone), None)

    def all(self, scope: str | None = None) -> tuple[Checkpoint | RowCorrupt, ...]:
        """Every checkpoint, or those of `scope`, oldest first; a row that cannot be believed is given as a value.

        Raises:
            VersionTooNew: a newer release wrote one.
            StoreError: the medium cannot be read.
        """
        return tuple(
            row for row in self._rows.all() if scope is None or isinstance(row, RowCorrupt) or row.scope == scope
        )

    def get(self, number: int) -> Checkpoint:
        """Checkpoint `number`.

        Raises:
            CheckpointMissing: there is none.
            RowCorrupt: its row cannot be believed.
            StoreError: the medium cannot be read.
        """
        return self._rows.get(number)

    def load(self, number: int) -> Content:
        """The content of checkpoint `number`, all of it verified.

        Raises:
            CheckpointMissing: there is none, or it was never completed.
            CheckpointCorrupt: it cannot be believed.
            StoreError: the medium cannot be read.
        """
        sought = f"checkpoint {number}"
        with self._lock:
            try:
                found = self.get(number)
                if found.status is not CheckpointStatus.COMPLETED:
                    raise CheckpointMissing(f"content of {sought}, which is {found.status.value}")
                return self._values.content_of(found)
            except (ContentDamaged, RowCorrupt) as error:
                raise CheckpointCorrupt(sought, ((number, str(error)),)) from error

    def latest(self, scope: str) -> Recovered:
        """The newest completed checkpoint of `scope` whose content can be believed; says which were passed over.

        The newest is the one with the highest number, whatever the clock said. Looking uses nothing up.

        Raises:
            CheckpointMissing: none was completed.
            CheckpointCorrupt: there are some, and none can be believed.
            VersionTooNew: a newer release wrote one that may be it.
            StoreError: the medium cannot be read.
        """
        sought, skipped = f"completed checkpoint of {scope!r}", list[tuple[int, str]]()
        with self._lock:
            for row in reversed(self._rows.all()):
                if isinstance(row, RowCorrupt):
                    skipped.append((number_of(row.key), f"its row: {row.why}"))  # it may be one of this scope
                elif row.scope == scope and row.status is CheckpointStatus.COMPLETED:
                    try:
                        return Recovered(row, self._values.content_of(row), tuple(skipped))
                    except ContentDamaged as error:
                        skipped.append((row.number, str(error)))
        if skipped:
            raise CheckpointCorrupt(sought, tuple(skipped))
        raise CheckpointMissing(sought)

    def note_recovery(self, number: int, at: float) -> PutRow:
        """The operation that writes down that `number` was restored; it belongs in the transaction that restores.

        It uses nothing up: the checkpoint stays what it was (CK3).

        Raises:
            CheckpointMissing: there is none.
            RowCorrupt: its row cannot be believed.
            StoreError: the medium cannot be read.
        """
        found = self.get(number)
        return put_row(replace(found, recoveries=(*found.recoveries, float(at))[-KEPT_RECOVERIES:]))

    def prune(self, *, older_than: float, now: float) -> PruneReport:
        """Remove the checkpoints that are older than `older_than` seconds, and the values that only they needed.

        Never the newest of a scope that can be believed (CK14), and never one in progress. A row that
        cannot be believed goes once one after it is old enough.

        Raises:
            VersionTooNew: a newer release wrote one of them.
            StoreError: the medium cannot be read or written.
        """
        with self._lock:
            rows = self._rows.all()
            marks = list(self._marks([row for row in rows if isinstance(row, Checkpoint)]))
            old = {mark.number for mark in marks if mark.kept_from < now - older_than}
            unreadable = [number_of(row.key) for row in rows if isinstance(row, RowCorrupt)]
            outlived = [number for number in unreadable if number < max(old, default=0)]
            removed = sorted((*checkpoints_to_drop(marks, older_than=older_than, now=now), *outlived))
            kept = [row for row in rows if isinstance(row, Checkpoint) and row.number not in removed]
            gone = self._values.unneeded(kept)
            # First the rows, then the values: a kill in between leaves values, which `sweep` finds; the
            # other way round it would leave checkpoints without theirs.
            self._commit([drop_row(number) for number in removed])
            self._drop(gone)
        return PruneReport(tuple(removed), len(gone), _size(gone), len(rows) - len(removed))

    def statistics(self) -> CheckpointStatistics:
        """Count what is kept.

        Raises:
            StoreError: the medium cannot be read.
        """
        with self._lock:
            rows, values = self._rows.all(), tuple(self._values.all())
        status = [row.status for row in rows if isinstance(row, Checkpoint)]
        return CheckpointStatistics(
            completed=status.count(CheckpointStatus.COMPLETED),
            in_progress=status.count(CheckpointStatus.IN_PROGRESS),
            failed=status.count(CheckpointStatus.FAILED),
            unreadable=len(rows) - len(status),
            values=len(values),
            bytes=_size(values),
        )

    def _in_progress(self, number: int) -> Checkpoint:
        found = self.get(number)
        if found.status is not CheckpointStatus.IN_PROGRESS:
            raise OperationRefused(f"checkpoint {number}", f"it is {found.status.value}, expected in_progress")
        return found

    def _marks(self, rows: list[Checkpoint]) -> Iterator[CheckpointMark]:
        """What retention must know. Only down to the newest good one of each scope is content read."""
        found: set[str] = set()
        for row in reversed(rows):
            standing = self._standing(row, is_needed=row.scope not in found)
            if standing is Standing.GOOD:
                found.add(row.scope)
            kept_from = row.created_at if row.confirmed_at is None else row.confirmed_at
            yield CheckpointMark(row.number, row.scope, standing, kept_from)

    def _standing(self, row: Checkpoint, *, is_needed: bool) -> Standing:
        if row.status is not CheckpointStatus.COMPLETED:
            return Standing.IN_PROGRESS if row.status is CheckpointStatus.IN_PROGRESS else Standing.UNUSABLE
        try:
            if is_needed:
                self._values.content_of(row)
        except ContentDamaged:
            return Standing.UNUSABLE
        return Standing.GOOD

    def _drop(self, gone: Sequence[StoredValue]) -> None:
        for start in range(0, len(gone), _DROPS_AT_ONCE):
            self._commit(drop_values(gone[start : start + _DROPS_AT_ONCE]))

    def _commit(self, operations: Sequence[Operation]) -> None:
        self._store.commit(operations).result()


def _mended(why: str) -> str:
    # The text of an error may hold what cannot be stored, as the bytes of a file's name.
    return why[:_LONGEST_WHY].encode(errors="backslashreplace").decode()


def _size(values: Sequence[StoredValue]) -> int:
    return sum(value.size for value in values)
