"""What is wrong with checkpoints, their values, and the rows of events, and what can be done about it. Pure.

A damaged checkpoint is the witness that there was one, so it goes only if another one is good. While one is kept,
values that nobody seems to need are kept with it: a damaged page hides what is below it.
"""

from collections.abc import Iterator
from typing import Final, assert_never, final

from treewarden.storage import RowDamaged, Table
from treewarden.supervision_trees._doctor_facts import (
    CHECKPOINT_KEY,
    LONGEST_KEY,
    CheckpointFact,
    CheckpointState,
    StoreSeen,
)
from treewarden.supervision_trees._findings import (
    CollectValues,
    DropCheckpoint,
    DropRecordedRow,
    Finding,
    FindingKind,
    Severity,
    SweepCheckpoints,
)

__all__ = ["findings_of_rows"]

_LONGEST_NAME: Final = 64  # digits of a key
_NO_COPY: Final = "free disk space for a copy, and look again"
_EVENTS_MARK: Final = b"\x00"  # the row that says which numbers of events are taken


def findings_of_rows(store: StoreSeen, *, state: str, runs: bool) -> Iterator[Finding]:
    """Everything that is wrong with the rows of `store`."""
    yield from _Rows(store, state, runs=runs).findings()


@final
class _Rows:
    """The findings of one store's rows."""

    def __init__(self, store: StoreSeen, state: str, *, runs: bool) -> None:
        self._store, self._state, self._runs = store, state, runs
        # Parts of such a checkpoint may look as if nobody needed them: a damaged page hides what is below it.
        self._has_damaged = any(
            checkpoint.state in {CheckpointState.DAMAGED, CheckpointState.ROW_DAMAGED}
            for checkpoint in store.checkpoints or ()
        )

    def findings(self) -> Iterator[Finding]:
        for problem in self._store.problems:
            if isinstance(problem, RowDamaged) and (found := self._row(problem)) is not None:
                yield found
        yield from self._checkpoints()
        yield from self._unneeded()

    def _row(self, problem: RowDamaged) -> Finding | None:
        """A damaged row; a checkpoint's, and a value that one needs, are told with the checkpoint."""
        table, key = Table(problem.table), problem.key
        drop = DropRecordedRow(table, key) if len(key) <= LONGEST_KEY else None
        match table:
            case Table.EVENTS if key == _EVENTS_MARK:
                # Without it numbers would be given again; damaged, it makes the next runtime keep well clear of them.
                expected = "nothing: the numbers of events go on higher, and it is written anew"
                return Finding(FindingKind.ROW_DAMAGED, _row_name(problem), problem.why, expected, Severity.NOTE)
            case Table.EVENTS:
                return self._damaged_row(problem, "an event; it cannot be shown any more", drop)
            case _ if self._store.checkpoints is None:
                return self._damaged_row(problem, "a part of a checkpoint", None)
            case Table.CHECKPOINTS if len(key) == CHECKPOINT_KEY:
                return None
            case Table.CHECKPOINTS:
                return self._damaged_row(problem, "a key that a checkpoint can have", drop)
            case Table.VALUES if self._has_damaged:
                return None
            case Table.VALUES if key in self._store.lonely_values:
                return self._damaged_row(problem, "nothing: no checkpoint needs it", CollectValues())
            case Table.VALUES:  # all checkpoints are whole without it, so its key is none of theirs
                return self._damaged_row(problem, "nothing: no checkpoint can need it", drop)
            case _:
                assert_never(table)

    def _damaged_row(
        self, problem: RowDamaged, expected: str, remedy: DropRecordedRow | CollectValues | None
    ) -> Finding:
        by_hand = "restore a backup, or leave it" if self._store.checkpoints is not None else _NO_COPY
        return Finding(
            FindingKind.ROW_DAMAGED,
            _row_name(problem),
            problem.why,
            expected,
            Severity.DAMAGE,
            remedy,
            by_hand if remedy is None else None,
        )

    # Checkpoints

    def _checkpoints(self) -> Iterator[Finding]:
        checkpoints = self._store.checkpoints or ()
        good = [each for each in checkpoints if each.state is CheckpointState.GOOD]
        scopes, newest = {each.scope for each in good}, max((each.number for each in good), default=-1)
        for each in checkpoints:
            match each.state:
                case CheckpointState.GOOD | CheckpointState.FAILED:
                    pass
                case CheckpointState.UNFINISHED:
                    if not self._runs:  # a running one may be at it
                        yield self._unfinished(each)
                case CheckpointState.TOO_NEW:
                    yield Finding(
                        FindingKind.CHECKPOINT_TOO_NEW,
                        _name(each),
                        each.why,
                        "a version that this release knows; nothing of this store is changed by this release",
                        Severity.DAMAGE,
                        command="start the newer release of treewarden that wrote it",
                    )
                case CheckpointState.DAMAGED:
                    yield self._damaged(each, is_outlived=each.scope in scopes)
                case CheckpointState.ROW_DAMAGED:
                    # Of which subtree it was cannot be told. As in pruning, a newer good one outlives it.
                    yield self._damaged(each, is_outlived=each.number < newest)
                case _:
                    assert_never(each.state)

    def _unfinished(self, checkpoint: CheckpointFact) -> Finding:
        return Finding(
            FindingKind.CHECKPOINT_UNFINISHED,
            _name(checkpoint),
            "it is in progress, and no runtime is left to finish it",
            "completed or failed",
            Severity.LEFTOVER,
            SweepCheckpoints(checkpoint.number),
        )

    def _damaged(self, checkpoint: CheckpointFact, *, is_outlived: bool) -> Finding:
        return Finding(
            FindingKind.CHECKPOINT_DAMAGED,
            _name(checkpoint),
            checkpoint.why,
            "contents that can be verified"
            if is_outlived
            else "contents that can be verified; no good one outlives it, so it is kept as the witness that there was one",
            Severity.DAMAGE,
            DropCheckpoint(checkpoint.number) if is_outlived else None,
            None
            if is_outlived
            else "take a new checkpoint (treewarden checkpoint create PATH): the same content mends it, and another outlives it",
        )

    def _unneeded(self) -> Iterator[Finding]:
        store = self._store
        if not store.unneeded_values or (store.unneeded_values == len(store.lonely_values) and not self._has_damaged):
            return  # none, or each is told by itself
        where = f"{self._state}/store"
        found = f"{store.unneeded_values} values of {store.unneeded_bytes} bytes are needed by no checkpoint"
        if self._has_damaged:
            expected = "nothing: they may be parts of a damaged checkpoint, and go with it, or at the next start"
            yield Finding(FindingKind.VALUES_UNNEEDED, where, found, expected, Severity.NOTE)
        elif self._runs:
            expected = "nothing: a pruning may be under way, and the next start removes what it leaves"
            yield Finding(FindingKind.VALUES_UNNEEDED, where, found, expected, Severity.NOTE)
        else:
            yield Finding(
                FindingKind.VALUES_UNNEEDED,
                where,
                found,
                "none: they were left by a pruning that was killed, or belonged to what is gone",
                Severity.LEFTOVER,
                CollectValues(),
            )


def _row_name(problem: RowDamaged) -> str:
    digits = problem.key.hex()
    return f"{problem.table} row {digits if len(digits) <= _LONGEST_NAME else digits[:_LONGEST_NAME] + '...'}"


def _name(checkpoint: CheckpointFact) -> str:
    return f"checkpoint {checkpoint.number}" + ("" if checkpoint.scope is None else f" of {checkpoint.scope}")
