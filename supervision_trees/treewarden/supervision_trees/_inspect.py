"""What can be seen of a running tree, as frozen values.

The CLI and every client of the console show these views and nothing else. Taking one never
waits for an actor longer than its deadline: who does not answer is shown as `silent`.
"""

from dataclasses import asdict, dataclass
from typing import final

from treewarden.actors import Event

__all__ = ["ActorView", "CrashView", "RecordedEvent", "TreeView"]


@final
@dataclass(frozen=True, slots=True)
class CrashView:
    """One abnormal end of a child, `ago` seconds before the look; `last_message` and `state` as its `describe()` says."""

    ago: float
    generation: int
    reason: str
    traceback: str
    last_message: str | None
    mailbox: int  # messages that waited
    state: str | None

    def to_json(self) -> dict[str, object]:
        """This view as plain JSON values."""
        return asdict(self)


@final
@dataclass(frozen=True, slots=True)
class ActorView:
    """One place in the tree and what is known of it.

    `state` is one of `waiting`, `starting`, `running`, `restarting`, `stopping`, `stopped`, `failed`, or
    `silent` (a supervisor that did not answer in time). Times are seconds: `uptime` since the
    running incarnation started, `retry_in` until the next try. `restarts` counts automatic ones.
    """

    path: str
    kind: str  # supervisor | process | actor
    state: str
    ready: bool
    generation: int
    restarts: int
    uptime: float | None
    last_exit: str | None
    waiting_for: tuple[str, ...]
    retry_in: float | None
    pid: int | None  # a process's
    adopted: bool  # the process was started by an earlier runtime
    command: tuple[str, ...]  # a process's; empty otherwise
    log: str | None  # where a process's output is
    health: str | None  # what the last probe found, if any: "ready", or why not
    intensity: str | None  # a supervisor's: "1 of 3 restarts used in the last 5 s"
    children: tuple["ActorView", ...]
    strategy: str | None = None  # a supervisor's

    def to_json(self) -> dict[str, object]:
        """This view as plain JSON values, children included."""
        return asdict(self)


@final
@dataclass(frozen=True, slots=True)
class TreeView:
    """A whole tree at one moment (`taken_at`, wall seconds)."""

    name: str
    runtime_pid: int
    state_dir: str | None
    started_at: float
    taken_at: float
    root: ActorView

    def to_json(self) -> dict[str, object]:
        """This view as plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        from treewarden.supervision_trees._drawing import draw  # noqa: PLC0415 - views do not depend on their drawing

        return draw(self)


@final
@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event with its place in the runtime's sequence and its wall time."""

    sequence: int
    at: float
    event: Event
