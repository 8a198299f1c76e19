"""What can be asked of a running tree: frozen commands, one spelling for CLI, console and library.

A command is carried out by `Runtime.execute`, which answers with the named result or raises
`CommandRefused`. Paths are as people type them (`dev/api` is `/dev/api`).
"""

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final, TypeAlias, final

from treewarden.actors import ActorPath, TreewardenError, parse_path
from treewarden.supervision_trees._inspect import CrashView

__all__ = [
    "LONGEST_DEFINITION",
    "ApplyReport",
    "ApplyTree",
    "CheckpointDocument",
    "Command",
    "CommandRefused",
    "CrashesRead",
    "CreateCheckpoint",
    "DiffCheckpoints",
    "DiscardState",
    "EventPick",
    "EventsRead",
    "Inspect",
    "ListCheckpoints",
    "LogRead",
    "PlanTree",
    "PlannedStep",
    "PruneCheckpoints",
    "ReadCrashes",
    "ReadEvents",
    "ReadLog",
    "RestartActor",
    "RestoreCheckpoint",
    "ShowCheckpoint",
    "StartActor",
    "StopActor",
    "StopTree",
    "TreePlan",
    "path_in_command",
]

LONGEST_DEFINITION: Final = 1_000_000
"""Bytes of a definition's text that a command may carry."""


class CommandRefused(TreewardenError):
    """The command was not carried out; the message says why and what would be right."""


def path_in_command(text: str) -> ActorPath:
    """The path that `text` means; `CommandRefused` if it is none."""
    try:
        return parse_path(text)
    except ValueError as error:
        raise CommandRefused(str(error)) from None


@final
@dataclass(frozen=True, slots=True)
class Inspect:
    """Answered with a `TreeView` (its `root` is the whole tree)."""


@final
@dataclass(frozen=True, slots=True)
class StartActor:
    """Start a stopped or failed child again. Answered with its `ActorView` once it has started."""

    path: str


@final
@dataclass(frozen=True, slots=True)
class StopActor:
    """Stop a child; it stays stopped until somebody starts it. Answered with its `ActorView`."""

    path: str


@final
@dataclass(frozen=True, slots=True)
class RestartActor:
    """Stop a child, then start it. Answered with its `ActorView` once it has started."""

    path: str


@final
@dataclass(frozen=True, slots=True)
class DiscardState:
    """Forget what is stored of a durable actor that does not run, so that its next start is fresh.

    Answered with its `ActorView` once that is durable. Refused while it runs, and for a process,
    whose record may be all that is known of it.
    """

    path: str


@final
@dataclass(frozen=True, slots=True)
class StopTree:
    """Stop the whole tree and end the runtime; answered (with None) once that has begun."""


@final
class EventPick(enum.Enum):
    """Which events to give where there are more than were asked for."""

    NEWEST = "newest"
    OLDEST = "oldest"


@final
@dataclass(frozen=True, slots=True)
class ReadEvents:
    """The events after sequence number `since`, those of wall time `since_time` or later, at most `limit` of them.

    With a state directory they go back over earlier runtimes. It waits up to `wait` seconds for one. An answer may
    hold fewer than `limit`, since it must fit in a frame: to read all, read the oldest, and go on after `last`.
    """

    since: int = 0
    limit: int = 1000
    wait: float = 0.0
    since_time: float | None = None
    pick: EventPick = EventPick.NEWEST


@final
@dataclass(frozen=True, slots=True)
class EventsRead:
    """The answer to `ReadEvents`: rendered events, oldest first.

    Each is `{"sequence": int, "at": wall seconds, "runtime": which run, "event": class name, "level": ...,
    "text": one line, **fields}`. `missed` counts events after `since` that are not among them, but should be:
    they are no longer kept, or, when the newest were picked, more than `limit`.
    """

    events: tuple[dict[str, object], ...]
    last: int  # what to pass as the next `since`
    missed: int


@final
@dataclass(frozen=True, slots=True)
class ReadCrashes:
    """The last crashes of a child, those before a restart of the runtime included."""

    path: str


@final
@dataclass(frozen=True, slots=True)
class CrashesRead:
    """The answer to `ReadCrashes`, oldest first."""

    crashes: tuple[CrashView, ...]


@final
@dataclass(frozen=True, slots=True)
class ReadLog:
    """A process's output. Without `offset` the last `lines`; with it what was written from byte `offset` on."""

    path: str
    lines: int = 50
    offset: int | None = None


@final
@dataclass(frozen=True, slots=True)
class LogRead:
    """The answer to `ReadLog`: text, and the offset to go on from (it restarts at 0 when the file shrank)."""

    text: str
    next_offset: int


@final
@dataclass(frozen=True, slots=True)
class PlanTree:
    """What it would take to make the running tree what a definition says. Answered with a `TreePlan`.

    `text` is read by the runtime itself, since it is there that programs, variables and classes are
    needed; `source`, the absolute path it came from, names it and is not opened.
    """

    text: str
    source: str


@final
@dataclass(frozen=True, slots=True)
class ApplyTree:
    """Make the running tree what a definition says. Answered with an `ApplyReport` when all is done, or a step failed.

    With `plan`, the digest of a `TreePlan`, it is refused if the plan would be another one by now.
    One at a time: a second one is refused.
    """

    text: str
    source: str
    plan: str | None = None


@final
@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of a plan: `stop`, `forget`, `change`, `start` or `restart` of `path`; or `leave`, which is none.

    `why` says what differs, one line for each. It never shows an argument, a command or the value of a variable.
    """

    action: str
    path: str
    why: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.action} {self.path}" + (f" ({'; '.join(self.why)})" if self.why else "")


@final
@dataclass(frozen=True, slots=True)
class TreePlan:
    """The answer to `PlanTree`. No `steps`: nothing to do. `left` is at rest in the tree, and in the file."""

    root: str
    source: str
    steps: tuple[PlannedStep, ...]
    left: tuple[PlannedStep, ...]
    digest: str

    def to_json(self) -> dict[str, object]:
        """This plan as plain JSON values."""
        return asdict(self)


@final
@dataclass(frozen=True, slots=True)
class ApplyReport:
    """The answer to `ApplyTree`: what was done, in order.

    If a step `failed`, `error` says why, `not_done` are the steps after it, and nothing was rolled
    back: applying the same again goes on from there.
    """

    root: str
    source: str
    done: tuple[PlannedStep, ...]
    failed: PlannedStep | None
    error: str | None
    not_done: tuple[PlannedStep, ...]
    left: tuple[PlannedStep, ...]

    def to_json(self) -> dict[str, object]:
        """This report as plain JSON values."""
        return asdict(self)


@final
@dataclass(frozen=True, slots=True)
class CreateCheckpoint:
    """Take a checkpoint of the subtree at `path`, whose actors have `within` seconds to come to a message boundary.

    `durable` are values of the caller's that belong to it. Answered with its row, as in `ListCheckpoints`.
    """

    path: str
    within: float = 5.0
    durable: Mapping[str, object] = field(default_factory=dict[str, object])


@final
@dataclass(frozen=True, slots=True)
class ListCheckpoints:
    """The checkpoints, or those of the subtree at `path`, oldest first.

    Answered with `{"checkpoints": [row, ...]}`; a row has the fields of `treewarden.storage.Checkpoint`, and
    `{"number", "status": "unreadable", "why"}` if it cannot be believed.
    """

    path: str | None = None


@final
@dataclass(frozen=True, slots=True)
class ShowCheckpoint:
    """A checkpoint and what is in it.

    Answered with its row, `durable` (the values of who took it), and `contents`: for each actor `path`, `schema`,
    `version`, `bytes` of state, `queue` (messages kept), `queue_left` (not kept), `timers`, `holder` (a pid).
    """

    number: int


@final
@dataclass(frozen=True, slots=True)
class DiffCheckpoints:
    """How checkpoint `later` differs from `earlier`.

    Answered with `added`, `removed` (paths), `changed` (by path: which of state, queue, timers, holder, schema),
    `unchanged` (a count), and `durable` (by name: added, removed, changed).
    """

    earlier: int
    later: int


@final
@dataclass(frozen=True, slots=True)
class RestoreCheckpoint:
    """Make the stored state of the subtree at `path` what it was in checkpoint `number`, or in the newest good one.

    Refused while anything of the subtree runs. Answered with `number`, `states` (paths that get theirs back),
    `mailboxes`, `dropped` (paths that came since), `not_restored` (by path, why), `skipped` (newer ones, why).
    """

    path: str
    number: int | None = None


@final
@dataclass(frozen=True, slots=True)
class PruneCheckpoints:
    """Remove checkpoints older than so many seconds, never the newest good one of a subtree.

    Answered with `removed` (numbers), `values_removed`, `bytes_removed`, `kept`.
    """

    older_than: float


@final
@dataclass(frozen=True, slots=True)
class CheckpointDocument:
    """The answer to each of the commands about checkpoints, whose own page says what is in it."""

    fields: dict[str, object]


Command: TypeAlias = (
    Inspect
    | StartActor
    | StopActor
    | RestartActor
    | DiscardState
    | StopTree
    | ReadEvents
    | ReadCrashes
    | ReadLog
    | PlanTree
    | ApplyTree
    | CreateCheckpoint
    | ListCheckpoints
    | ShowCheckpoint
    | DiffCheckpoints
    | RestoreCheckpoint
    | PruneCheckpoints
)
