"""What is wrong with records and journals, and what can be done about it. Pure.

A record goes aside only if what starts next can use the one before it, and a journal is cut only after the record
that it is replayed on: the rest is left to a person, and told what giving it up costs.
"""

from collections.abc import Iterator
from typing import Final, final

from treewarden.storage import MAILBOX_MARK, NameDamaged, RecordDamaged, RecordTooNew
from treewarden.supervision_trees._doctor_facts import CorruptRecord, Fallback, StoreSeen
from treewarden.supervision_trees._findings import (
    CutEntries,
    Finding,
    FindingKind,
    QuarantineRecord,
    Severity,
)

__all__ = ["findings_of_records"]

_MARK: Final = "#"  # in no actor's path; what has it is about one


def findings_of_records(store: StoreSeen, *, state: str) -> Iterator[Finding]:
    """Everything that is wrong with the records and journals of `store`."""
    yield from _Records(store, state).findings()


@final
class _Records:
    """The findings of one store's records."""

    def __init__(self, store: StoreSeen, state: str) -> None:
        self._store, self._state = store, state
        self._corrupt = {(record.path, record.sequence) for record in store.corrupt}

    def findings(self) -> Iterator[Finding]:
        yield from self._records()
        yield from self._journals()

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
            QuarantineRecord(record.path, record.sequence),
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
        found = f"record {sequence}, an older one, is damaged: {why}"
        restore = f"treewarden store restore BACKUP --state {self._state}"
        # Else both the record and its name are damaged, or the record's key is: no operation can name it.
        if not path.startswith("/") or sequence == 0:
            expected = "a record that can be named; whoever is missing one has lost it"
            return Finding(FindingKind.RECORD_DAMAGED, path, found, expected, Severity.DAMAGE, command=restore)
        if any(record.path == path for record in self._store.corrupt):
            expected = "a record to fall back on, since the newest cannot be read either"
            return Finding(FindingKind.RECORD_DAMAGED, path, found, expected, Severity.DAMAGE, command=restore)
        return Finding(
            FindingKind.RECORD_DAMAGED,
            path,
            found,
            "a record to fall back on; the newest can be read",
            Severity.DAMAGE,
            QuarantineRecord(path, sequence),
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
            yield self._journal(path, sorted(entries, key=lambda entry: entry.sequence))

    def _journal(self, path: str, entries: list[RecordDamaged]) -> Finding:
        """What the damaged `entries` of one journal come to; the oldest of them is first."""
        kind, base = FindingKind.JOURNAL_DAMAGED, self._store.bases.get(path)
        after = [entry for entry in entries if base is not None and entry.sequence > base]
        first = (after or entries)[0]
        found = f"journal entry {first.sequence} is damaged: {first.why}"
        if entries[0].sequence == 0:  # its key is damaged: no operation can name it, nor those around it
            found, expected = f"a journal entry is damaged: {entries[0].why}", "a key that an entry can have"
            restore = f"treewarden store restore BACKUP --state {self._state}"
            return Finding(kind, path, found, expected, Severity.DAMAGE, command=restore)
        if base is None:
            expected = "entries that can be read; none is replayed before its newest record is seen to"
            discard = f"treewarden up FILE --discard-state {path} --state {self._state}"
            return Finding(kind, path, found, expected, Severity.DAMAGE, command=discard)
        if after:
            expected = "an entry that can be read: the later ones cannot be replayed without it, and go aside with it"
            return Finding(kind, path, found, expected, Severity.DAMAGE, CutEntries(path, first.sequence))
        expected = f"nothing: record {base} covers it, and it goes with the next snapshots"
        return Finding(kind, path, found, expected, Severity.NOTE)
