"""What goes into a supervisor's state machine and what comes out: two closed unions of frozen values.

Inputs are children's notices (`treewarden.actors`), timers that fell due, calls, and the order to
shut down. Outputs are effects, which the `Supervisor` actor carries out in their order.
"""

from dataclasses import dataclass
from typing import NewType, TypeAlias, final

from treewarden.actors import ChildId, ChildNotice, ChildSpec, Event, ExitReason, Generation, Intensity, TreewardenError
from treewarden.supervision_trees._strategy import AutoShutdown, Strategy

__all__ = [
    "Abandon",
    "AnnounceStarted",
    "Answer",
    "Call",
    "CallId",
    "CancelTimer",
    "Change",
    "DeleteChild",
    "Effect",
    "Emit",
    "End",
    "Forget",
    "GroupDue",
    "Kill",
    "Outcome",
    "Refused",
    "Remember",
    "Request",
    "RequestStop",
    "RestartChild",
    "RetireChild",
    "RetryDue",
    "RunsAlready",
    "SetTimer",
    "ShutDown",
    "Start",
    "StartChild",
    "StartOverdue",
    "StopOverdue",
    "SupervisorInput",
    "TerminateChild",
    "TimerDue",
    "Up",
]

CallId = NewType("CallId", int)


# Calls (supervision.md A.10)


@final
@dataclass(frozen=True, slots=True)
class StartChild:
    """Add a child and start it."""

    spec: ChildSpec


@final
@dataclass(frozen=True, slots=True)
class TerminateChild:
    """Stop a child; its spec stays, unless it is temporary.

    Here and below: with a `generation`, the child of that id is meant only while no newer one ran.
    """

    child: ChildId
    generation: Generation | None = None


@final
@dataclass(frozen=True, slots=True)
class RestartChild:
    """Start a stopped or failed child."""

    child: ChildId
    generation: Generation | None = None


@final
@dataclass(frozen=True, slots=True)
class DeleteChild:
    """Forget the spec of a stopped or failed child."""

    child: ChildId
    generation: Generation | None = None


@final
@dataclass(frozen=True, slots=True)
class RetireChild:
    """Stop a child for good, whatever it is doing, and forget its spec: no group restart brings it back."""

    child: ChildId
    generation: Generation | None = None


@final
@dataclass(frozen=True, slots=True)
class Change:
    """Go by other settings and specs from now on; None leaves what it stands for as it is.

    `children` are all that are wanted, in start order: a known id gets its new spec without a
    restart, a new one is added stopped, one that is missing here runs on, behind the others.
    """

    strategy: Strategy | None = None
    intensity: Intensity | None = None
    auto_shutdown: AutoShutdown | None = None
    children: tuple[ChildSpec, ...] | None = None


Call: TypeAlias = StartChild | TerminateChild | RestartChild | DeleteChild | RetireChild | Change


# Inputs


@final
@dataclass(frozen=True, slots=True)
class Request:
    """A call, and what to name when it is answered."""

    id: CallId
    call: Call


@final
@dataclass(frozen=True, slots=True)
class RetryDue:
    """The delay before a child's next start is over."""

    child: ChildId
    generation: Generation


@final
@dataclass(frozen=True, slots=True)
class StartOverdue:
    """A child's `start_timeout` is over."""

    child: ChildId
    generation: Generation


@final
@dataclass(frozen=True, slots=True)
class StopOverdue:
    """A child's `shutdown` time is over."""

    child: ChildId
    generation: Generation


@final
@dataclass(frozen=True, slots=True)
class GroupDue:
    """The delay before the group of `child` is started again is over; `round` tells it from earlier ones."""

    child: ChildId
    round: int


TimerDue: TypeAlias = RetryDue | StartOverdue | StopOverdue | GroupDue


@final
@dataclass(frozen=True, slots=True)
class ShutDown:
    """Stop all children in reverse order, then end with `reason`."""

    reason: ExitReason


SupervisorInput: TypeAlias = ChildNotice | TimerDue | Request | ShutDown


# Effects


@final
@dataclass(frozen=True, slots=True)
class Start:
    """Spawn an incarnation of a child."""

    spec: ChildSpec
    generation: Generation


@final
@dataclass(frozen=True, slots=True)
class Up:
    """The child's incarnation runs: its path leads to it from now on."""

    child: ChildId
    generation: Generation


@final
@dataclass(frozen=True, slots=True)
class RequestStop:
    """Ask a child to stop."""

    child: ChildId
    generation: Generation
    reason: ExitReason


@final
@dataclass(frozen=True, slots=True)
class Kill:
    """End a child without its `on_stop`."""

    child: ChildId
    generation: Generation


@final
@dataclass(frozen=True, slots=True)
class Abandon:
    """Give up on an incarnation that does not start or stop: fence it and take it for ended."""

    child: ChildId
    generation: Generation
    after: float


@final
@dataclass(frozen=True, slots=True)
class SetTimer:
    """Feed `due` back in `delay` seconds."""

    due: TimerDue
    delay: float


@final
@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Do not feed `due` back."""

    due: TimerDue


@final
@dataclass(frozen=True, slots=True)
class Remember:
    """Have what is known of the failures of `child`, and of its supervisor's window, outlive the runtime.

    Nothing that follows in the same effects starts before that is on record (A.17).
    """

    child: ChildId


@final
@dataclass(frozen=True, slots=True)
class Forget:
    """The child is no more: neither is what was remembered of it."""

    child: ChildId


@final
@dataclass(frozen=True, slots=True)
class Emit:
    """Tell the world."""

    event: Event


@final
@dataclass(frozen=True, slots=True)
class RunsAlready:
    """Outcome: refused, because this child runs."""

    child: ChildId


@final
@dataclass(frozen=True, slots=True)
class Refused:
    """Outcome: `error`, raised at the caller."""

    error: TreewardenError


Outcome: TypeAlias = ChildId | RunsAlready | Refused | None
"""A child's id: it runs now. None: done, and nothing runs."""


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """Answer a call."""

    call: CallId
    outcome: Outcome


@final
@dataclass(frozen=True, slots=True)
class AnnounceStarted:
    """All children have started (or wait, or declined): so has the supervisor."""


@final
@dataclass(frozen=True, slots=True)
class End:
    """End the supervisor; nothing is alive below it."""

    reason: ExitReason


Effect: TypeAlias = (
    Start
    | Up
    | RequestStop
    | Kill
    | Abandon
    | SetTimer
    | CancelTimer
    | Remember
    | Forget
    | Emit
    | Answer
    | AnnounceStarted
    | End
)
