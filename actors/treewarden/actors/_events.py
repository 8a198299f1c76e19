"""Everything worth telling, as frozen events in one closed union.

Logic emits these values and nothing else; `telemetry` turns them into log lines
(docs/reference/events.md has one row for each, and a test compares the two).
"""

from dataclasses import dataclass
from typing import Protocol, TypeAlias, final

from treewarden.actors._exits import ExitReason
from treewarden.actors._ids import ActorPath, ChildId, Generation

__all__ = [
    "ActorTraced",
    "ApplyFailed",
    "ApplyStep",
    "CheckpointFailed",
    "CheckpointRestored",
    "CheckpointTaken",
    "CheckpointsPruned",
    "ChildAbandoned",
    "ChildDeclined",
    "ChildExited",
    "ChildFailed",
    "ChildReady",
    "ChildRestarting",
    "ChildStartFailed",
    "ChildStarted",
    "ChildStopped",
    "ChildWaiting",
    "CrashReport",
    "DeadLetter",
    "Event",
    "EventSink",
    "GroupRestarting",
    "JournalCut",
    "MailboxWithheld",
    "MessageFenced",
    "ProbeFailed",
    "ProcessAdopted",
    "ProcessExited",
    "ProcessReplaced",
    "ProcessSpawned",
    "ProcessStuck",
    "RuntimeStarted",
    "RuntimeStopped",
    "RuntimeStopping",
    "SnapshotFellBack",
    "SnapshotQuarantined",
    "StoreResumed",
    "StoreStalled",
    "StrayEnded",
    "SupervisorGaveUp",
    "TreeApplied",
]


@final
@dataclass(frozen=True, slots=True)
class RuntimeStarted:
    """A runtime began to run the tree called `root`."""

    root: ActorPath
    pid: int


@final
@dataclass(frozen=True, slots=True)
class RuntimeStopping:
    """The tree is being stopped, for `why`."""

    why: str


@final
@dataclass(frozen=True, slots=True)
class RuntimeStopped:
    """The tree has ended: how many children stopped, which did not, which processes are left."""

    stopped: int
    abandoned: tuple[ActorPath, ...]
    orphaned_pids: tuple[int, ...]


@final
@dataclass(frozen=True, slots=True)
class ChildWaiting:
    """A child waits for siblings that are not ready yet."""

    path: ActorPath
    needs: tuple[ChildId, ...]


@final
@dataclass(frozen=True, slots=True)
class ChildStarted:
    """A child's `on_start` returned."""

    path: ActorPath
    generation: Generation


@final
@dataclass(frozen=True, slots=True)
class ChildReady:
    """A started child may be relied on by those that need it."""

    path: ActorPath
    generation: Generation


@final
@dataclass(frozen=True, slots=True)
class ChildDeclined:
    """A child's `on_start` raised `Ignore`."""

    path: ActorPath
    generation: Generation


@final
@dataclass(frozen=True, slots=True)
class ChildStartFailed:
    """A child did not start."""

    path: ActorPath
    generation: Generation
    reason: ExitReason


@final
@dataclass(frozen=True, slots=True)
class ChildExited:
    """A running child ended by itself."""

    path: ActorPath
    generation: Generation
    reason: ExitReason


@final
@dataclass(frozen=True, slots=True)
class ChildRestarting:
    """A child will be started again in `delay` seconds; `used` of `allowed` restarts are spent."""

    path: ActorPath
    generation: Generation
    delay: float
    used: int
    allowed: int


@final
@dataclass(frozen=True, slots=True)
class ChildStopped:
    """A child ended because its supervisor told it to."""

    path: ActorPath
    generation: Generation
    reason: ExitReason


@final
@dataclass(frozen=True, slots=True)
class ChildFailed:
    """A child is parked until somebody restarts it, for `why`.

    Mostly it used up its own intensity: `restarts` within `within` seconds. Both are 0 if its stored
    state could not be restored.
    """

    path: ActorPath
    restarts: int
    within: float
    why: str


@final
@dataclass(frozen=True, slots=True)
class ChildAbandoned:
    """A child did not stop in time; its thread may still run, but its messages are refused."""

    path: ActorPath
    generation: Generation
    after: float


@final
@dataclass(frozen=True, slots=True)
class GroupRestarting:
    """The end of `child` restarts its siblings `others` too: they are stopped, then all are started (path: whose)."""

    path: ActorPath
    child: ChildId
    others: tuple[ChildId, ...]


@final
@dataclass(frozen=True, slots=True)
class CrashReport:
    """All that is known of an abnormal end: OTP's crash report and supervisor report in one (A.14).

    `used` of `allowed` restarts are spent, this one included if it was charged; `then` says what follows.
    `last_message`, `state` and `log` are what the actor's own `describe()` let through, as text.
    """

    supervisor: ActorPath
    path: ActorPath
    generation: Generation
    reason: ExitReason
    traceback: str  # of a crash; empty otherwise
    last_message: str | None
    mailbox: int
    state: str | None
    log: tuple[str, ...]
    used: int
    allowed: int
    then: str


@final
@dataclass(frozen=True, slots=True)
class SupervisorGaveUp:
    """More restarts than allowed: the supervisor stops its children and ends itself.

    `reason` is how `child` ended last; `consequence` says what the parent does about it.
    """

    path: ActorPath
    child: ChildId
    reason: ExitReason
    restarts: int
    allowed: int
    within: float
    consequence: str


@final
@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message had nobody to handle it."""

    path: ActorPath
    message: str  # its type's name: contents may be secret


@final
@dataclass(frozen=True, slots=True)
class MessageFenced:
    """Something sent by or meant for an earlier incarnation was refused."""

    path: ActorPath
    generation: Generation
    message: str


@final
@dataclass(frozen=True, slots=True)
class ActorTraced:
    """A traced actor was `told` or `asked` a message or `sent` one; or its trace `ended` by itself."""

    path: ActorPath
    generation: Generation
    what: str
    message: str  # what the actor's `describe_message` lets through


@final
@dataclass(frozen=True, slots=True)
class ProcessSpawned:
    """An OS process was started and its identity is on record."""

    path: ActorPath
    incarnation: int
    pid: int


@final
@dataclass(frozen=True, slots=True)
class ProcessAdopted:
    """A process started by an earlier runtime was found alive and is watched again."""

    path: ActorPath
    incarnation: int
    pid: int


@final
@dataclass(frozen=True, slots=True)
class ProcessReplaced:
    """A living process of an earlier runtime was ended rather than adopted, for `why`."""

    path: ActorPath
    incarnation: int
    pid: int
    why: str


@final
@dataclass(frozen=True, slots=True)
class ProcessExited:
    """A process ended: with `code`, by `signal`, or, adopted, in a way nobody can know (both `None`)."""

    path: ActorPath
    incarnation: int
    pid: int
    code: int | None
    signal: int | None


@final
@dataclass(frozen=True, slots=True)
class ProcessStuck:
    """Processes survived SIGKILL within the time allowed; they are not forgotten."""

    path: ActorPath
    incarnation: int
    survivors: tuple[int, ...]


@final
@dataclass(frozen=True, slots=True)
class ProbeFailed:
    """A check failed, `in_a_row` times by now; `purpose` is `ready` or `live`."""

    path: ActorPath
    purpose: str
    why: str
    in_a_row: int


@final
@dataclass(frozen=True, slots=True)
class StrayEnded:
    """A process that carries this store's cookie but belongs to no living record was ended."""

    path: ActorPath
    incarnation: int
    pid: int


@final
@dataclass(frozen=True, slots=True)
class SnapshotQuarantined:
    """A stored record could not be believed and was set aside, not forgotten."""

    path: ActorPath
    why: str


@final
@dataclass(frozen=True, slots=True)
class SnapshotFellBack:
    """A durable actor started with the snapshot before its newest, which could not be used.

    `record` and `written_at` (wall seconds) are those of the one in use: what was persisted
    after it is lost to the actor, though not to inspection.
    """

    path: ActorPath
    record: int
    written_at: float


@final
@dataclass(frozen=True, slots=True)
class CheckpointTaken:
    """Checkpoint `number` of the subtree `path` was made, or found to be the newest already: `actors`, and bytes that were added.

    The subtree stood still for `paused` seconds.
    """

    path: ActorPath
    number: int
    trigger: str
    actors: int
    added: int
    paused: float


@final
@dataclass(frozen=True, slots=True)
class CheckpointFailed:
    """A checkpoint of the subtree `path` came to nothing; `number` is None if not even its row could be written."""

    path: ActorPath
    number: int | None
    why: str


@final
@dataclass(frozen=True, slots=True)
class CheckpointRestored:
    """The stored state of the subtree `path` is that of checkpoint `number` again: `states` actors get theirs when they start."""

    path: ActorPath
    number: int
    states: int


@final
@dataclass(frozen=True, slots=True)
class MailboxWithheld:
    """What a checkpoint kept in the mailbox of `path` cannot be given back; it stays in the store."""

    path: ActorPath
    why: str


@final
@dataclass(frozen=True, slots=True)
class CheckpointsPruned:
    """Checkpoints that were old enough were removed, and `freed` bytes of values that nobody else needs."""

    numbers: tuple[int, ...]
    freed: int


@final
@dataclass(frozen=True, slots=True)
class StoreStalled:
    """The disk is full: the store takes no commits until there is room again. What was acknowledged is kept."""

    state_dir: str


@final
@dataclass(frozen=True, slots=True)
class StoreResumed:
    """There is room again: the store takes commits, `stalled_for` seconds after the last one was refused."""

    state_dir: str
    stalled_for: float


@final
@dataclass(frozen=True, slots=True)
class JournalCut:
    """The journal of a durable actor was damaged: the entry `record` and all after it, `lost` in number, lie aside.

    The actor started with what came before; the bytes are kept for inspection.
    """

    path: ActorPath
    record: int
    why: str
    lost: int


@final
@dataclass(frozen=True, slots=True)
class ApplyStep:
    """A running tree is being made what a definition says; this step (of `of`) is taken next."""

    path: ActorPath
    action: str  # stop, forget, change, start or restart
    why: str
    number: int
    of: int


@final
@dataclass(frozen=True, slots=True)
class ApplyFailed:
    """A step of an apply failed; the steps after it are not taken, those before it stay done."""

    path: ActorPath
    action: str
    why: str
    number: int
    of: int


@final
@dataclass(frozen=True, slots=True)
class TreeApplied:
    """A running tree is what the definition from `source` says, after `steps` steps."""

    root: ActorPath
    source: str
    steps: int


Event: TypeAlias = (
    RuntimeStarted
    | RuntimeStopping
    | RuntimeStopped
    | ChildWaiting
    | ChildStarted
    | ChildReady
    | ChildDeclined
    | ChildStartFailed
    | ChildExited
    | ChildRestarting
    | ChildStopped
    | ChildFailed
    | ChildAbandoned
    | GroupRestarting
    | CrashReport
    | SupervisorGaveUp
    | DeadLetter
    | MessageFenced
    | ActorTraced
    | ProcessSpawned
    | ProcessAdopted
    | ProcessReplaced
    | ProcessExited
    | ProcessStuck
    | ProbeFailed
    | StrayEnded
    | SnapshotQuarantined
    | SnapshotFellBack
    | JournalCut
    | CheckpointTaken
    | CheckpointFailed
    | CheckpointRestored
    | CheckpointsPruned
    | MailboxWithheld
    | StoreStalled
    | StoreResumed
    | ApplyStep
    | ApplyFailed
    | TreeApplied
)


class EventSink(Protocol):
    """Where events go. Safe from any thread; never blocks and never raises."""

    def emit(self, event: Event) -> None:
        """Take `event`."""
        ...
