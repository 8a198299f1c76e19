"""What can be asked of a running tree: frozen commands, one spelling for CLI, console and library.

A command is carried out by `Runtime.execute`, which answers with the named result or raises
`CommandRefused`. Paths are as people type them (`dev/api` is `/dev/api`).
"""

from dataclasses import dataclass
from typing import TypeAlias, final

from treewarden.actors import TreewardenError
from treewarden.supervision_trees._inspect import CrashView

__all__ = [
    "Command",
    "CommandRefused",
    "CrashesRead",
    "DiscardState",
    "EventsRead",
    "Inspect",
    "LogRead",
    "ReadCrashes",
    "ReadEvents",
    "ReadLog",
    "RestartActor",
    "StartActor",
    "StopActor",
    "StopTree",
]


class CommandRefused(TreewardenError):
    """The command was not carried out; the message says why and what would be right."""


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
@dataclass(frozen=True, slots=True)
class ReadEvents:
    """The events after sequence number `since`, at most `limit` of the newest; waits up to `wait` seconds for one."""

    since: int = 0
    limit: int = 1000
    wait: float = 0.0


@final
@dataclass(frozen=True, slots=True)
class EventsRead:
    """The answer to `ReadEvents`: rendered events, oldest first.

    Each is `{"sequence": int, "at": wall seconds, "event": class name, "level": ..., "text": one line, **fields}`.
    `missed` counts events after `since` that are no longer remembered.
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


Command: TypeAlias = (
    Inspect | StartActor | StopActor | RestartActor | DiscardState | StopTree | ReadEvents | ReadCrashes | ReadLog
)
