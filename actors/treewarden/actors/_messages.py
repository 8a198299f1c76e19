"""What travels in the system lane: requests to an actor, and notices from a child to its supervisor.

The system lane overtakes the mailbox. It carries stop requests, state requests and children's
notices to their own supervisor, and nothing else (supervision.md A.12).
"""

from dataclasses import dataclass
from typing import TypeAlias, final

from treewarden.actors._exits import ExitReason
from treewarden.actors._ids import ActorPath, ChildId, Generation

__all__ = ["ChildNotice", "Declined", "Exited", "Kill", "PostMortem", "Ready", "Started", "Stop", "StopReport"]


@final
@dataclass(frozen=True, slots=True)
class StopReport:
    """What a stop really did; nested supervisors included."""

    stopped: tuple[ActorPath, ...] = ()
    abandoned: tuple[ActorPath, ...] = ()  # did not stop in time; Python cannot kill a thread
    orphaned_pids: tuple[int, ...] = ()  # processes that survived SIGKILL; must be empty

    def __add__(self, other: "StopReport") -> "StopReport":
        return StopReport(
            self.stopped + other.stopped,
            self.abandoned + other.abandoned,
            self.orphaned_pids + other.orphaned_pids,
        )


@final
@dataclass(frozen=True, slots=True)
class Stop:
    """Finish the message in hand, run `on_stop(reason)`, end."""

    reason: ExitReason


@final
@dataclass(frozen=True, slots=True)
class Kill:
    """End without `on_stop`."""


@final
@dataclass(frozen=True, slots=True)
class Started:
    """The child's `on_start` returned. `ready` is False while others should still wait for it."""

    child: ChildId
    generation: Generation
    ready: bool


@final
@dataclass(frozen=True, slots=True)
class Ready:
    """The child, started before, may be relied on now."""

    child: ChildId
    generation: Generation


@final
@dataclass(frozen=True, slots=True)
class Declined:
    """The child's `on_start` raised `Ignore`; this incarnation sends nothing more."""

    child: ChildId
    generation: Generation


@final
@dataclass(frozen=True, slots=True)
class PostMortem:
    """What an incarnation knew of itself when it ended, as text that its `describe()` let through (A.13, A.14)."""

    last_message: str | None = None  # the message in hand, if there was one
    mailbox: int = 0  # messages that waited
    state: str | None = None
    log: tuple[str, ...] = ()  # its last events, oldest first


@final
@dataclass(frozen=True, slots=True)
class Exited:
    """The child has ended: sent exactly once per incarnation, unless it `Declined`.

    `abandoned` tells an end that was only declared (its thread may still run) from a real one.
    """

    child: ChildId
    generation: Generation
    reason: ExitReason
    abandoned: bool
    report: StopReport
    post_mortem: PostMortem = PostMortem()


ChildNotice: TypeAlias = Started | Ready | Declined | Exited
