"""What a doctor has seen, before anything is judged: frozen facts of a state directory and the system around it.

A look that failed is a fact too. Pure.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias, final

from treewarden.actors import ActorPath
from treewarden.actors.processes import Bearer, ProcessRecord
from treewarden.storage import Holder, StoreProblem

__all__ = [
    "CHECKPOINT_KEY",
    "LONGEST_KEY",
    "Area",
    "AsideFact",
    "CheckpointFact",
    "CheckpointState",
    "CorruptRecord",
    "Facts",
    "Fallback",
    "FileFact",
    "LogFact",
    "ProcessFacts",
    "ScratchFact",
    "SocketFact",
    "SocketState",
    "StaleReader",
    "StoreAbsent",
    "StoreFacts",
    "StoreRefused",
    "StoreSeen",
    "Unseen",
]

LONGEST_KEY: Final = 511  # bytes of a row's key that can be asked for; a damaged one may be longer
CHECKPOINT_KEY: Final = 8  # bytes: a number


@final
class Area(enum.Enum):
    """What a look that failed was for."""

    STORE = "the store"
    CHECKPOINTS = "checkpoints"
    PROCESSES = "processes"
    FILES = "files"
    CONSOLE = "the console"
    OWNER = "the owner"


@final
@dataclass(frozen=True, slots=True)
class Unseen:
    """`what` could not be looked at. `is_expected`: it says so beforehand, and more is not wrong."""

    area: Area
    what: str
    why: str
    is_expected: bool = False


# The store


@final
class Fallback(enum.Enum):
    """What the record before a damaged one is of."""

    NONE = "none"
    STATE = "state"
    PROCESS = "process"
    OTHER = "other"


@final
@dataclass(frozen=True, slots=True)
class CorruptRecord:
    """The newest record of `path` cannot be believed."""

    path: str
    sequence: int
    why: str
    fallback: Fallback
    fallback_sequence: int
    is_quarantined: bool


@final
class CheckpointState(enum.Enum):
    """What a checkpoint is good for."""

    GOOD = "good"
    DAMAGED = "damaged"
    ROW_DAMAGED = "row-damaged"
    UNFINISHED = "unfinished"
    TOO_NEW = "too-new"
    FAILED = "failed"


@final
@dataclass(frozen=True, slots=True)
class CheckpointFact:
    """One checkpoint, its content verified; `scope` is None if its row cannot be read."""

    number: int
    scope: str | None
    state: CheckpointState
    why: str = ""


@final
@dataclass(frozen=True, slots=True)
class StaleReader:
    """The oldest reader is no process any more; so many commits were made since."""

    pid: int
    behind: int


@final
@dataclass(frozen=True, slots=True)
class StoreAbsent:
    """There is none. `is_begun`: its creation was killed; `restored`: a restore was, and its whole copy is there."""

    is_begun: bool = False
    restored: Path | None = None


@final
@dataclass(frozen=True, slots=True)
class StoreRefused:
    """It cannot be opened."""

    found: str
    remedy: str


@final
@dataclass(frozen=True, slots=True)
class StoreSeen:
    """What was found in a store.

    `paths` are those that something is kept of; `bases` the sequences after which their journals are
    replayed, where there is a journal that somebody can replay. `checkpoints` is None if they were not
    examined. `lonely_values` are the damaged ones that no checkpoint needs.
    """

    problems: tuple[StoreProblem, ...] = ()
    quarantined: int = 0
    quarantined_bytes: int = 0
    network: str | None = None
    paths: frozenset[str] = frozenset()
    corrupt: tuple[CorruptRecord, ...] = ()
    bases: Mapping[str, int] = field(default_factory=dict[str, int])
    checkpoints: tuple[CheckpointFact, ...] | None = None
    unneeded_values: int = 0
    unneeded_bytes: int = 0
    lonely_values: frozenset[bytes] = frozenset()
    stale_reader: StaleReader | None = None


StoreFacts: TypeAlias = StoreAbsent | StoreRefused | StoreSeen


# Processes


@final
@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """Records, the paths of those whose process lives, and the bearers of the store's cookie, seen before the records."""

    records: tuple[ProcessRecord, ...] = ()
    living: frozenset[ActorPath] = frozenset()
    unreadable: Mapping[str, str] = field(default_factory=dict[str, str])
    bearers: tuple[Bearer, ...] = ()


# Files


@final
@dataclass(frozen=True, slots=True)
class FileFact:
    """A file or directory that is this user's alone by rights."""

    path: Path
    uid: int
    mode: int


@final
@dataclass(frozen=True, slots=True)
class ScratchFact:
    """A directory that somebody works in, or worked in; `size` in bytes."""

    path: Path
    size: int
    is_busy: bool


@final
class SocketState(enum.Enum):
    """What stands where the console listens."""

    LISTENS = "somebody listens there"
    DEAD = "nobody listens there"
    NO_SOCKET = "it is no socket"


@final
@dataclass(frozen=True, slots=True)
class SocketFact:
    """What stands at the place of a console."""

    path: Path
    uid: int
    state: SocketState


@final
@dataclass(frozen=True, slots=True)
class LogFact:
    """A log, and the actor whose it is by its place."""

    actor: str
    size: int


@final
@dataclass(frozen=True, slots=True)
class AsideFact:
    """A directory that is kept for a person; `what` says what it is."""

    path: Path
    what: str
    size: int


@final
@dataclass(frozen=True, slots=True)
class Facts:
    """All that was seen.

    `runs`: somebody owns the directory now; `left_by` ended without giving it up.
    """

    state_dir: Path
    uid: int
    exists: bool = True
    runs: bool = False
    left_by: Holder | None = None
    store: StoreFacts = field(default_factory=StoreAbsent)
    processes: ProcessFacts = field(default_factory=ProcessFacts)
    files: tuple[FileFact, ...] = ()
    scratch: tuple[ScratchFact, ...] = ()
    sockets: tuple[SocketFact, ...] = ()
    logs: tuple[LogFact, ...] = ()
    aside: tuple[AsideFact, ...] = ()
    free_bytes: int | None = None
    unseen: tuple[Unseen, ...] = ()
