"""What a doctor finds, and what can be done about it, as values.

A finding says where, what was found and what would be right. What the doctor may do by itself is its
remedy; where a person has to decide, there is a command instead. Pure.
"""

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, assert_never, final

from treewarden.actors import ActorPath
from treewarden.actors.processes import Bearer, ProcessIdentity
from treewarden.storage import Table

__all__ = [
    "ClearReaders",
    "CollectValues",
    "CutEntries",
    "DropCheckpoint",
    "DropRecordedRow",
    "EndProcess",
    "Finding",
    "FindingKind",
    "FinishRestore",
    "Outcome",
    "QuarantineRecord",
    "Remedy",
    "RemoveScratch",
    "RemoveSocket",
    "Result",
    "Severity",
    "SweepCheckpoints",
    "TightenModes",
    "plan",
    "verb",
    "why",
]


@final
class Severity(enum.Enum):
    """How bad a finding is; the worst first."""

    DAMAGE = "damage"
    """Something is lost, cannot be used, or is open to others."""
    LEFTOVER = "leftover"
    """Something is there, or goes on, that nobody will see to by himself."""
    NOTE = "note"
    """Nothing need be done."""


@final
class FindingKind(enum.Enum):
    """What was found. The table in docs/operations.md has a row for each."""

    STORE_MISSING = "store-missing"
    STORE_UNREADABLE = "store-unreadable"
    STORE_DAMAGED = "store-damaged"
    STORE_ON_NETWORK = "store-on-network"
    RESTORE_UNFINISHED = "restore-unfinished"
    RECORD_DAMAGED = "record-damaged"
    RECORD_SET_ASIDE = "record-set-aside"
    RECORD_TOO_NEW = "record-too-new"
    RECORD_WITHOUT_STATE = "record-without-state"
    NAME_DAMAGED = "name-damaged"
    JOURNAL_DAMAGED = "journal-damaged"
    ROW_DAMAGED = "row-damaged"
    CHECKPOINT_DAMAGED = "checkpoint-damaged"
    CHECKPOINT_UNFINISHED = "checkpoint-unfinished"
    CHECKPOINT_TOO_NEW = "checkpoint-too-new"
    VALUES_UNNEEDED = "values-unneeded"
    QUARANTINE = "quarantine"
    READER_STALE = "reader-stale"
    SCRATCH_LEFT = "scratch-left"
    MODE_TOO_OPEN = "mode-too-open"
    OTHER_OWNER = "other-owner"
    SPACE_LOW = "space-low"
    RUNTIME_KILLED = "runtime-killed"
    SOCKET_LEFT = "socket-left"
    SOCKET_OBSTRUCTED = "socket-obstructed"
    PROCESS_LEFT = "process-left"
    PROCESS_STRAY = "process-stray"
    PROCESS_GONE = "process-gone"
    PROCESS_RECORD_UNREADABLE = "process-record-unreadable"
    LOGS_OF_NOBODY = "logs-of-nobody"
    KEPT_ASIDE = "kept-aside"
    NOT_EXAMINED = "not-examined"


# Remedies, in the order in which they are carried out


@final
@dataclass(frozen=True, slots=True)
class TightenModes:
    """Take `path` away from other users."""

    path: Path


@final
@dataclass(frozen=True, slots=True)
class EndProcess:
    """End the session of `leader`, and what bears the cookie of this incarnation of `path`."""

    path: ActorPath
    incarnation: int
    leader: ProcessIdentity | None
    bearers: tuple[Bearer, ...]


@final
@dataclass(frozen=True, slots=True)
class RemoveSocket:
    """Remove the socket at `path`, if still nobody listens there."""

    path: Path


@final
@dataclass(frozen=True, slots=True)
class RemoveScratch:
    """Remove the directory `path`, if still nobody works in it."""

    path: Path


@final
@dataclass(frozen=True, slots=True)
class FinishRestore:
    """Put the restored store in its place."""

    path: Path


@final
@dataclass(frozen=True, slots=True)
class QuarantineRecord:
    """Move a record aside, its bytes kept."""

    path: str
    sequence: int


@final
@dataclass(frozen=True, slots=True)
class CutEntries:
    """Move a journal entry and all later ones aside, their bytes kept."""

    path: str
    sequence: int


@final
@dataclass(frozen=True, slots=True)
class DropRecordedRow:
    """Remove a row that cannot be read."""

    table: Table
    key: bytes


@final
@dataclass(frozen=True, slots=True)
class DropCheckpoint:
    """Remove a checkpoint that cannot be restored, and the values that only it needed."""

    number: int


@final
@dataclass(frozen=True, slots=True)
class SweepCheckpoints:
    """Write down of a checkpoint that its runtime ended during it."""

    number: int


@final
@dataclass(frozen=True, slots=True)
class CollectValues:
    """Remove the values that no checkpoint needs."""


@final
@dataclass(frozen=True, slots=True)
class ClearReaders:
    """Let go of the pages that dead readers hold back."""


Remedy: TypeAlias = (
    TightenModes
    | EndProcess
    | RemoveSocket
    | RemoveScratch
    | FinishRestore
    | QuarantineRecord
    | CutEntries
    | DropRecordedRow
    | DropCheckpoint
    | SweepCheckpoints
    | CollectValues
    | ClearReaders
)

# Modes first, before the store is opened: closing a file of it would take LMDB's locks away (fcntl(2)).
# Processes before records, which say whose they are.
_ORDER: Final = (
    TightenModes,
    EndProcess,
    RemoveSocket,
    RemoveScratch,
    FinishRestore,
    QuarantineRecord,
    CutEntries,
    DropRecordedRow,
    DropCheckpoint,
    SweepCheckpoints,
    CollectValues,
    ClearReaders,
)


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between what is and what should be.

    `where` names the place for people: an actor, a file, a checkpoint. At most one of `remedy`, which
    the doctor may carry out, and `command`, which a person may, is given; a note may have neither.
    """

    kind: FindingKind
    where: str
    found: str
    expected: str
    severity: Severity
    remedy: Remedy | None = None
    command: str | None = None


@final
class Outcome(enum.Enum):
    """What became of a remedy."""

    PLANNED = "planned"
    """A dry run: nothing was done."""
    DONE = "done"
    LEFT = "left"
    """It was not needed any more, or must not be done now; nothing changed."""
    FAILED = "failed"


@final
@dataclass(frozen=True, slots=True)
class Result:
    """What became of the remedy of `finding`, and why, unless it was simply done."""

    finding: Finding
    outcome: Outcome
    why: str = ""


def plan(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The findings with a remedy, in the order in which they are treated."""
    treatable = [(_ORDER.index(type(finding.remedy)), finding) for finding in findings if finding.remedy is not None]
    return tuple(finding for _, finding in sorted(treatable, key=lambda each: each[0]))


def verb(remedy: Remedy) -> str:
    """The name of what would be done."""
    match remedy:
        case TightenModes():
            return "tighten-modes"
        case EndProcess():
            return "end-process"
        case RemoveSocket():
            return "remove-socket"
        case RemoveScratch():
            return "remove-scratch"
        case FinishRestore():
            return "finish-restore"
        case QuarantineRecord():
            return "quarantine"
        case CutEntries():
            return "cut"
        case DropRecordedRow():
            return "drop-row"
        case DropCheckpoint():
            return "drop-checkpoint"
        case SweepCheckpoints():
            return "sweep"
        case CollectValues():
            return "collect"
        case ClearReaders():
            return "clear-readers"
        case _:
            assert_never(remedy)


def why(remedy: Remedy) -> str:
    """What it is good for, in a sentence without a full stop."""
    match remedy:
        case TightenModes():
            return "so that this user alone may read it"
        case EndProcess():
            return "nobody supervises it: TERM, then KILL, after its identity was verified"
        case RemoveSocket():
            return "nobody listens there"
        case RemoveScratch():
            return "whoever worked in it was killed, and nothing of it was ever announced"
        case FinishRestore():
            return "the restore was killed after it had moved the old store aside; what it copied is whole"
        case QuarantineRecord():
            return "the next start uses the record before it; the bytes are kept"
        case CutEntries():
            return "the next start goes on from the entries before it; the bytes are kept"
        case DropRecordedRow():
            return "nothing can be read of it"
        case DropCheckpoint():
            return "it can never be restored, and another of the same subtree can"
        case SweepCheckpoints():
            return "its runtime ended during it; it is written down as failed"
        case CollectValues():
            return "no checkpoint needs them"
        case ClearReaders():
            return "a reader that was killed holds back every page it could see"
        case _:
            assert_never(remedy)
