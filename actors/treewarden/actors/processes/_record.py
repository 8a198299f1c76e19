"""What the store knows of a managed process, and how it is written.

A record is written before the process exists (`INTENDED`), again before its command may run
(`SPAWNED`, with its identity), and when it has ended (`ENDED`): intent before effect,
confirmation after it (storage.md decision 2). So no command ever runs that the store does not know.
That holds also while an incarnation that was killed or given up on is still at work: whoever claims
a path takes the right to write it from everybody before.
"""

import enum
import hashlib
import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, TypeVar, cast, final

from treewarden.actors._errors import TreewardenError
from treewarden.actors._ids import ActorPath
from treewarden.actors.processes._identity import ProcessIdentity
from treewarden.actors.processes._spec import FromEnv, ProcessSpec
from treewarden.storage import Put, Snapshot, SnapshotMissing, SnapshotStore

__all__ = [
    "PROCESS_SCHEMA",
    "Claim",
    "Phase",
    "ProcessRecord",
    "ProcessRecords",
    "RecordClaimed",
    "RecordUnreadable",
    "fingerprint",
]

PROCESS_SCHEMA: Final = "treewarden.process"
PROCESS_VERSION: Final = 1

T = TypeVar("T")


class RecordUnreadable(TreewardenError):
    """A record's bytes are sound but are not a process record this version can read."""


class RecordClaimed(TreewardenError):
    """A later incarnation writes the record now; nothing was written."""

    def __init__(self, path: ActorPath) -> None:
        super().__init__(f"the record of {path} belongs to a later incarnation, expected the newest claim on it")
        self.path = path


@final
class Phase(enum.Enum):
    """How far a process has come, as far as the store knows."""

    INTENDED = "intended"  # about to be spawned; its command cannot have run
    SPAWNED = "spawned"  # exists, with this identity; its command may have run
    ENDED = "ended"  # its whole session is gone


@final
@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process of the actor at `path`, the `incarnation`-th; `runtime` names the runtime that spawned it."""

    path: ActorPath
    incarnation: int
    phase: Phase
    identity: ProcessIdentity | None
    fingerprint: str
    runtime: str
    spawned_at: float  # wall seconds

    def to_state(self) -> dict[str, object]:
        """This record as plain values for the store."""
        identity = self.identity
        return {
            "incarnation": self.incarnation,
            "phase": self.phase.value,
            "identity": None if identity is None else [identity.pid, identity.start_ticks, identity.boot_id],
            "fingerprint": self.fingerprint,
            "runtime": self.runtime,
            "spawned_at": self.spawned_at,
        }

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> "ProcessRecord":
        """Read a stored record.

        Raises:
            RecordUnreadable: if it is of another schema or shape; never guessed at.
        """
        if (snapshot.schema, snapshot.version) != (PROCESS_SCHEMA, PROCESS_VERSION):
            raise RecordUnreadable(
                f"the record of {snapshot.path} is {snapshot.schema} version {snapshot.version},"
                f" expected {PROCESS_SCHEMA} version {PROCESS_VERSION}"
            )
        state = cast("Mapping[str, object]", snapshot.state)
        try:
            return cls(
                path=ActorPath(snapshot.path),
                incarnation=_typed(state["incarnation"], int),
                phase=Phase(state["phase"]),
                identity=_identity(state["identity"]),
                fingerprint=_typed(state["fingerprint"], str),
                runtime=_typed(state["runtime"], str),
                spawned_at=_typed(state["spawned_at"], float),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecordUnreadable(f"the record of {snapshot.path} is not a process record: {error!r}") from error


def _typed(value: object, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"found {value!r}, expected {kind.__name__}")
    return value


def _identity(value: object) -> ProcessIdentity | None:
    if value is None:
        return None
    pid, start_ticks, boot_id = cast("list[object]", value)
    if _typed(pid, int) <= 0:
        raise ValueError(f"found the pid {pid!r}, expected one above 0")
    return ProcessIdentity(_typed(pid, int), _typed(start_ticks, int), _typed(boot_id, str))


def fingerprint(spec: ProcessSpec) -> str:
    """A digest of what makes a running process the one that `spec` asks for.

    Probes, ports and success codes may change without a restart, so they do not count. Values
    taken from the environment do not count either: a secret, not even its digest, is stored.
    """
    env = {name: ["from_env", value.name] if isinstance(value, FromEnv) else value for name, value in spec.env.items()}
    text = json.dumps([list(spec.command), spec.cwd, sorted(env.items())])
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


@final
class Claim:
    """The right to write one path's record, until somebody else claims it. Compared by identity."""

    __slots__ = ("path",)

    def __init__(self, path: ActorPath) -> None:
        self.path: Final = path


@final
class ProcessRecords:
    """Process records in a snapshot store. Safe from any thread."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        # Guards _claims, and is held while a commit is handed over: nothing of an earlier claim
        # enters the store's queue once a new one was made.
        self._lock = threading.Lock()
        self._claims: dict[ActorPath, Claim] = {}

    def claim(self, path: ActorPath) -> Claim:
        """Take the right to write the record of `path`. Claim first, then `load`.

        A commit of the claim before may still be under way and not be seen by that `load`: its
        holder looks with `ensure_newest` once it is durable, and does not act on it then.
        """
        claim = Claim(path)
        with self._lock:
            self._claims[path] = claim
        return claim

    def load(self, path: ActorPath) -> ProcessRecord | None:
        """The newest record of `path`; None only if there never was one or it was discarded.

        Raises:
            SnapshotCorrupt, RecordUnreadable: if there is one that cannot be believed. An older one
                is not used in its place: it would name a process that has been replaced.
        """
        try:
            return ProcessRecord.from_snapshot(self._store.latest(path))
        except SnapshotMissing:
            return None

    def ensure_newest(self, claim: Claim) -> None:
        """Raise `RecordClaimed` if somebody else has claimed the path since."""
        with self._lock:
            self._refuse_old(claim)

    def save(self, record: ProcessRecord, claim: Claim) -> "Future[int]":
        """Hand `record` to the store; the future resolves when it is durable.

        Raises:
            RecordClaimed: if somebody else has claimed the path since; nothing is written.
        """
        put = Put(record.path, PROCESS_SCHEMA, PROCESS_VERSION, record.incarnation, record.to_state())
        with self._lock:
            self._refuse_old(claim)
            return self._store.commit([put])

    def _refuse_old(self, claim: Claim) -> None:
        if self._claims[claim.path] is not claim:
            raise RecordClaimed(claim.path)
