"""What is wrong with what a store keeps, and what can be done about it. Pure.

The rules, besides those in docs/decisions/0025-doctor.md: what the next start would do by itself may be
done now; what would take something away that somebody could still use is left to a person. Of a store that
a newer release wrote to, nothing is changed.
"""

from collections.abc import Iterator
from typing import Final, TypeVar, assert_never, final

from treewarden.storage import (
    MAILBOX_MARK,
    NameDamaged,
    RecordDamaged,
    RecordTooNew,
    RowDamaged,
    StructureDamaged,
    Table,
)
from treewarden.supervision_trees._doctor_facts import (
    CheckpointFact,
    CheckpointState,
    CorruptRecord,
    Fallback,
    StoreAbsent,
    StoreFacts,
    StoreRefused,
    StoreSeen,
)
from treewarden.supervision_trees._findings import (
    ClearReaders,
    CollectValues,
    CutEntries,
    DropCheckpoint,
    DropRecordedRow,
    Finding,
    FindingKind,
    FinishRestore,
    QuarantineRecord,
    Severity,
    SweepCheckpoints,
)

__all__ = ["findings_of_store"]

R = TypeVar("R")

_MARK: Final = "#"  # in no actor's path; what has it is about one
_RESTARTS: Final = "#restarts"
_EVENTS_MARK: Final = b"\x00"  # the row that says which numbers of events are taken
_NEWER: Final = "start the newer release of treewarden that wrote to this store"


def findings_of_store(store: StoreFacts, *, state: str, runs: bool) -> Iterator[Finding]:
    """Everything that `store`, of the state directory `state`, is not as it should be in. `runs`: a runtime has it."""
    match store:
        case StoreAbsent():
            yield _absent(store, state)
        case StoreRefused(found, remedy):
            yield Finding(
                FindingKind.STORE_UNREADABLE,
                f"{state}/store",
                found,
                "a store that this user can open",
                Severity.DAMAGE,
                command=remedy,
            )
        case StoreSeen():
            yield from _Seen(store, state, runs=runs).findings()
        case _:
            assert_never(store)


def _absent(store: StoreAbsent, state: str) -> Finding:
    where = f"{state}/store"
    if store.restored is not None:
        return Finding(
            FindingKind.RESTORE_UNFINISHED,
            where,
            f"a restore was killed; the whole copy is {store.restored}",
            "the copy in the place of the store; the next start puts it there",
            Severity.LEFTOVER,
            FinishRestore(store.restored),
        )
    if store.is_begun:
        return Finding(
            FindingKind.STORE_MISSING,
            where,
            "its creation was killed, before anything was kept",
            "nothing: the next start makes it",
            Severity.NOTE,
        )
    return Finding(
        FindingKind.STORE_MISSING,
        where,
        "there is none",
        "the store of a tree that has run; if it had one, a backup of it",
        Severity.DAMAGE,
        command=f"treewarden store restore BACKUP --state {state}",
    )


@final
class _Seen:
    """One store's findings."""

    def __init__(self, store: StoreSeen, state: str, *, runs: bool) -> None:
        self._store, self._state, self._runs = store, state, runs
        self._may_change = not any(isinstance(problem, RecordTooNew) for problem in store.problems) and not any(
            checkpoint.state is CheckpointState.TOO_NEW for checkpoint in store.checkpoints or ()
        )
        # Parts of such a checkpoint may look as if nobody needed them: a damaged page hides what is below it.
        self._has_damaged = any(
            checkpoint.state in {CheckpointState.DAMAGED, CheckpointState.ROW_DAMAGED}
            for checkpoint in store.checkpoints or ()
        )
        self._corrupt = {(record.path, record.sequence): record for record in store.corrupt}

    def findings(self) -> Iterator[Finding]:
        broken = [problem.why for problem in self._store.problems if isinstance(problem, StructureDamaged)]
        if self._store.network is not None:
            yield Finding(
                FindingKind.STORE_ON_NETWORK,
                f"{self._state}/store",
                self._store.network,
                "a file system of this machine alone",
                Severity.DAMAGE,
                command="move the state directory to a disk of this machine",
            )
        if broken:
            more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
            yield Finding(
                FindingKind.STORE_DAMAGED,
                f"{self._state}/store",
                f"the structure of its file is damaged: {broken[0]}{more}",
                "a sound file: nothing in this one can be trusted",
                Severity.DAMAGE,
                command=f"treewarden store restore BACKUP --state {self._state}",
            )
            return
        yield from self._records()
        yield from self._journals()
        yield from self._rows()
        yield from self._checkpoints()
        yield from self._rest()

    # Records

    def _records(self) -> Iterator[Finding]:
        for record in self._store.corrupt:
            yield self._of_newest(record)
        for problem in self._store.problems:
            match problem:
                case RecordDamaged("snap", path, sequence, why) if (path, sequence) not in self._corrupt:
                    yield self._of_older(path, sequence, why)
                case RecordTooNew():
                    yield self._too_new(problem)
                case NameDamaged(digest):
                    yield Finding(
                        FindingKind.NAME_DAMAGED,
                        f"records under {digest}",
                        "the name they are kept under is damaged",
                        "the path that they tell themselves, which is used instead",
                        Severity.DAMAGE,
                        command="see that the disk is well; make a backup",
                    )
                case _:
                    pass

    def _of_newest(self, record: CorruptRecord) -> Finding:
        found = f"record {record.sequence}, the newest, {'lies' if record.is_quarantined else 'is damaged'}"
        found = f"{found} in quarantine" if record.is_quarantined else f"{found}: {record.why}"
        if not self._starts_without(record):
            return self._blocking(record, found)
        expected = (
            "nothing: the next start forgets it"
            if record.fallback is Fallback.NONE
            else f"nothing: the next start uses record {record.fallback_sequence}, the one before it"
        )
        if record.is_quarantined:
            return Finding(FindingKind.RECORD_SET_ASIDE, record.path, found, expected, Severity.NOTE)
        return Finding(
            FindingKind.RECORD_DAMAGED,
            record.path,
            found,
            f"a record that can be read; record {record.fallback_sequence} before it can"
            if record.fallback is not Fallback.NONE
            else "a record that can be read; it is restart memory, and the next start does without",
            Severity.DAMAGE,
            self._if_changeable(QuarantineRecord(record.path, record.sequence)),
            self._if_not_changeable(),
        )

    def _starts_without(self, record: CorruptRecord) -> bool:
        """Whether the next start sees to it by itself, once it is aside."""
        if record.path.endswith(MAILBOX_MARK):
            return False
        return _MARK in record.path or record.fallback is Fallback.STATE

    def _blocking(self, record: CorruptRecord, found: str) -> Finding:
        """The record of something that does not start again with it, and may not with the one before it."""
        if record.path.endswith(MAILBOX_MARK):
            path = record.path.removesuffix(MAILBOX_MARK)
            return Finding(
                FindingKind.RECORD_DAMAGED,
                record.path,
                found,
                f"the messages that were restored for {path}: it runs without them, and the checkpoint has them still",
                Severity.DAMAGE,
                command=f"treewarden checkpoint restore {path} --state {self._state}",
            )
        lost = {
            Fallback.NONE: "no older record is left: what was kept of it is lost",
            Fallback.STATE: "the record before it could be used",
            Fallback.PROCESS: "the record before names a process that was replaced; its processes are found by their cookie",
            Fallback.OTHER: "the record before is of no kind that is known",
        }[record.fallback]
        return Finding(
            FindingKind.RECORD_DAMAGED,
            record.path,
            found,
            f"a record that can be read; it keeps its actor from starting. To give it up ({lost}), discard it",
            Severity.DAMAGE,
            command=f"treewarden up FILE --discard-state {record.path} --state {self._state}",
        )

    def _of_older(self, path: str, sequence: int, why: str) -> Finding:
        is_named = path.startswith("/")  # else it is a description: both the record and its name are damaged
        return Finding(
            FindingKind.RECORD_DAMAGED,
            path,
            f"record {sequence}, an older one, is damaged: {why}",
            "a record to fall back on; the newest can be read"
            if is_named
            else "a record that says whose it is: what was kept of that actor is lost",
            Severity.DAMAGE,
            self._if_changeable(QuarantineRecord(path, sequence)) if is_named else None,
            self._if_not_changeable() if is_named else f"treewarden store restore BACKUP --state {self._state}",
        )

    def _too_new(self, problem: RecordTooNew) -> Finding:
        return Finding(
            FindingKind.RECORD_TOO_NEW,
            problem.path,
            f"{problem.database} record {problem.sequence} has format {problem.found}",
            f"a format up to {problem.known}; nothing of this store is changed by this release",
            Severity.DAMAGE,
            command="start the newer release of treewarden that wrote it",
        )

    # Journals

    def _journals(self) -> Iterator[Finding]:
        damaged: dict[str, list[RecordDamaged]] = {}
        for problem in self._store.problems:
            if isinstance(problem, RecordDamaged) and problem.database == "journal":
                damaged.setdefault(problem.path, []).append(problem)
        for path, entries in damaged.items():
            base = self._store.bases.get(path)
            entries.sort(key=lambda entry: entry.sequence)
            replayed = [entry for entry in entries if base is not None and entry.sequence > base]
            first = (replayed or entries)[0]
            found = f"journal entry {first.sequence} is damaged: {first.why}"
            if base is None:
                yield Finding(
                    FindingKind.JOURNAL_DAMAGED,
                    path,
                    found,
                    "entries that can be read; none is replayed before its newest record is seen to",
                    Severity.DAMAGE,
                    command=f"treewarden up FILE --discard-state {path} --state {self._state}",
                )
            elif replayed:
                yield Finding(
                    FindingKind.JOURNAL_DAMAGED,
                    path,
                    found,
                    "an entry that can be read: the later ones cannot be replayed without it, and go aside with it",
                    Severity.DAMAGE,
                    self._if_changeable(CutEntries(path, first.sequence)),
                    self._if_not_changeable(),
                )
            else:
                yield Finding(
                    FindingKind.JOURNAL_DAMAGED,
                    path,
                    found,
                    f"nothing: record {base} covers it, and it goes with the next snapshots",
                    Severity.NOTE,
                )

    # Rows

    def _rows(self) -> Iterator[Finding]:
        for problem in self._store.problems:
            if not isinstance(problem, RowDamaged):
                continue
            table = Table(problem.table)
            where = f"{problem.table} row {problem.key.hex()}"
            if table is Table.EVENTS and problem.key == _EVENTS_MARK:
                # Without it numbers would be given again; damaged, it makes the next runtime keep well clear of them.
                yield Finding(
                    FindingKind.ROW_DAMAGED,
                    where,
                    problem.why,
                    "nothing: the numbers of events go on higher, and it is written anew",
                    Severity.NOTE,
                )
            elif table is Table.EVENTS:
                yield self._damaged_row(
                    where, problem.why, "an event; it cannot be shown any more", DropRecordedRow(table, problem.key)
                )
            elif self._store.checkpoints is None:
                yield self._damaged_row(where, problem.why, "a part of a checkpoint", None)
            elif table is Table.VALUES and problem.key in self._store.lonely_values and not self._has_damaged:
                yield self._damaged_row(where, problem.why, "nothing: no checkpoint needs it", CollectValues())
            # A value that a checkpoint needs, and a checkpoint's row, are told with the checkpoint.

    def _damaged_row(
        self, where: str, why: str, expected: str, remedy: DropRecordedRow | CollectValues | None
    ) -> Finding:
        return Finding(
            FindingKind.ROW_DAMAGED,
            where,
            why,
            expected,
            Severity.DAMAGE,
            None if remedy is None else self._if_changeable(remedy),
            "free disk space for a copy, and look again" if remedy is None else self._if_not_changeable(),
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
            self._if_changeable(SweepCheckpoints(checkpoint.number)),
            self._if_not_changeable(),
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
            self._if_changeable(DropCheckpoint(checkpoint.number)) if is_outlived else None,
            self._if_not_changeable()
            if is_outlived
            else "take a new checkpoint (treewarden checkpoint create PATH): the same content mends it, and another outlives it",
        )

    # The rest

    def _rest(self) -> Iterator[Finding]:
        store, state = self._store, self._state
        yield from self._unneeded()
        if store.stale_reader is not None:
            reader = store.stale_reader
            yield Finding(
                FindingKind.READER_STALE,
                f"{state}/store",
                f"process {reader.pid}, which is gone, reads it, {reader.behind} commits behind: its pages are not used again",
                "readers that live",
                Severity.LEFTOVER,
                ClearReaders(),
            )
        if store.quarantined:
            yield Finding(
                FindingKind.QUARANTINE,
                f"{state}/store",
                f"{store.quarantined} records of {store.quarantined_bytes} bytes lie aside",
                "nothing: they are kept for a person, and never deleted",
                Severity.NOTE,
            )
        yield from self._without_state()

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
                self._if_changeable(CollectValues()),
                self._if_not_changeable(),
            )

    def _without_state(self) -> Iterator[Finding]:
        """Records about actors that keep nothing themselves."""
        paths = self._store.paths
        for path in sorted(paths):
            of = path.removesuffix(MAILBOX_MARK)
            if path.endswith(MAILBOX_MARK) and of not in paths:
                yield Finding(
                    FindingKind.RECORD_WITHOUT_STATE,
                    path,
                    "messages are kept for an actor of which nothing else is kept",
                    "nothing, if something is to run there: it is given them then",
                    Severity.NOTE,
                )
        remembered = sorted(
            path.removesuffix(_RESTARTS)
            for path in paths
            if path.endswith(_RESTARTS) and path.removesuffix(_RESTARTS) not in paths
        )
        if remembered:
            yield Finding(
                FindingKind.RECORD_WITHOUT_STATE,
                f"{self._state}/store",
                f"the restarts of {len(remembered)} actors are remembered that keep nothing else: {_some(remembered)}",
                "nothing: they are forgotten with the child",
                Severity.NOTE,
            )

    def _if_changeable(self, remedy: R) -> R | None:
        return remedy if self._may_change else None

    def _if_not_changeable(self) -> str | None:
        return None if self._may_change else _NEWER


def _name(checkpoint: CheckpointFact) -> str:
    return f"checkpoint {checkpoint.number}" + ("" if checkpoint.scope is None else f" of {checkpoint.scope}")


def _some(paths: list[str], most: int = 3) -> str:
    return ", ".join(paths[:most]) + (f" and {len(paths) - most} more" if len(paths) > most else "")
