"""How to look into a running actor and take hold of it: `ref.sys` (OTP's module sys; supervision.md A.13).

Every actor answers, supervisors included, and a suspended one too. `status`, `statistics`,
`last_events` and `stack` need no cooperation, so they also tell about an actor that hangs.
"""

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

import pykka

from treewarden.actors._errors import ActorDead, AskCycle
from treewarden.actors._ids import ActorPath, Generation
from treewarden.actors._incarnation import Incarnation
from treewarden.actors._instruments import KEPT_EVENTS, ActorStatistics
from treewarden.actors._life import running_incarnation
from treewarden.actors._reply import Reply
from treewarden.actors._requests import (
    DescribeState,
    GetState,
    KeepEvents,
    ReplaceState,
    Resume,
    SetTrace,
    StartStatistics,
    StateRequest,
    StopStatistics,
    Suspend,
    attend,
)
from treewarden.actors._tracing import TraceOptions

__all__ = ["ActorStatus", "SystemCalls"]

DEADLINE: Final = 5.0  # seconds; sys's own
GLANCE: Final = 0.5  # seconds `status` waits for a state


@final
@dataclass(frozen=True, slots=True)
class ActorStatus:
    """One incarnation as seen from outside (OTP's `sys:get_status`)."""

    path: ActorPath
    generation: Generation
    actor_class: str
    parent: ActorPath | None
    status: str  # "new", "starting", "running", "stopping" or "stopped"
    suspended: bool
    mailbox: int  # messages that wait
    in_hand: str | None  # the type of the message that is being handled
    in_hand_for: float | None
    """Seconds since a thread took this actor up; None if none has. It may have handled up to 63 messages since."""
    thread: int | None  # that thread, as `threading.get_ident` names it
    trace: TraceOptions | None
    statistics: ActorStatistics | None
    kept_events: int
    state: str | None  # what `describe()` lets through; None if the actor did not say in time


@final
class SystemCalls:
    """System messages to one incarnation. Safe from any thread, and from the actor itself.

    Each call waits at most `timeout` seconds. Unless it says otherwise it may raise:
    `pykka.Timeout`, no answer in time (the actor is in a handler); `ActorDead`, the actor has
    ended; `Fenced`, the caller was given up on; `AskCycle`, the actor waits on the caller itself.
    """

    __slots__ = ("_incarnation",)

    def __init__(self, incarnation: Incarnation) -> None:
        self._incarnation = incarnation

    def get_state(self, *, timeout: float = DEADLINE) -> Any:
        """The actor's state as `Actor.get_state` gives it: the true objects, not a copy of them.

        Raises:
            StateCallbackFailed: the actor's `get_state` raised; the actor lives on.
        """
        return self._call(GetState(Reply()), timeout)

    def replace_state(self, function: Callable[[Any], object], *, timeout: float = DEADLINE) -> Any:
        """Set the state to `function(state)`, on the actor's turn, and return it.

        `function` should make a new state: what it changes inside the old one stays changed.

        Raises:
            StateCallbackFailed: `function` or the actor's `set_state` raised; the actor lives on with the state it had.
            StateNotReplaceable: an actor of this kind has another way, which the message names.
        """
        return self._call(ReplaceState(Reply(), function), timeout)

    def suspend(self, *, timeout: float = DEADLINE) -> None:
        """Have the actor leave its mailbox alone; system messages, stop and kill are still obeyed.

        Messages queue, in order; who asks waits and may time out. A suspended supervisor restarts
        nobody until it goes on, as in OTP. A restart ends the suspension, and so does a stop: one that
        is stopping is not suspended.
        """
        self._call(Suspend(Reply()), timeout)

    def resume(self, *, timeout: float = DEADLINE) -> None:
        """Have a suspended actor go on where it was; nothing if it runs."""
        self._call(Resume(Reply()), timeout)

    def trace(self, options: TraceOptions | None, *, timeout: float = DEADLINE) -> None:
        """Emit an `ActorTraced` event for each message this path takes or sends, until `options` end it; None ends it.

        Kept for the path: the next incarnation goes on with what is left.
        """
        self._call(SetTrace(Reply(), options), timeout)

    def start_statistics(self, *, timeout: float = DEADLINE) -> None:
        """Count at this path from now on; nothing if it is counted already."""
        self._call(StartStatistics(Reply()), timeout)

    def stop_statistics(self, *, timeout: float = DEADLINE) -> None:
        """Forget the counters."""
        self._call(StopStatistics(Reply()), timeout)

    def statistics(self) -> ActorStatistics | None:
        """What was counted at this path, over its restarts; None if nobody asked for it. Never waits, never raises."""
        instrument = self._incarnation.instrument
        return None if instrument is None else instrument.statistics(self._incarnation.system.clock)

    def keep_events(self, count: int = KEPT_EVENTS, *, timeout: float = DEADLINE) -> None:
        """Remember the last `count` events of this path, for `last_events` and crash reports; 0 forgets them.

        Raises:
            ValueError: if `count` is below 0.
        """
        if count < 0:
            raise ValueError(f"keep_events({count!r}): expected a number of events, 0 or more")
        self._call(KeepEvents(Reply(), count), timeout)

    def last_events(self) -> tuple[str, ...]:
        """The events that are kept, oldest first, earlier incarnations' included. Never waits, never raises."""
        instrument = self._incarnation.instrument
        return () if instrument is None else instrument.last_events()

    def status(self, *, timeout: float = GLANCE) -> ActorStatus:
        """What can be seen of the actor, however it is; raises nothing but `Fenced`, and waits only for its `state`."""
        it, clock = self._incarnation, self._incarnation.system.clock
        # Seen before it is asked to describe itself: that would be what it does.
        inside, message, mailbox = it.inside(), it.message_in_hand(), it.mailbox()
        status, suspended, instrument = it.status, it.is_suspended(), it.instrument
        return ActorStatus(
            path=it.path,
            generation=it.generation,
            actor_class=it.spec.actor_class.__name__,
            parent=it.parent,
            status=status.value,
            suspended=suspended,
            mailbox=mailbox,
            in_hand=message,
            in_hand_for=None if inside is None else clock.monotonic() - inside[1],
            thread=None if inside is None else inside[0],
            trace=None if instrument is None else instrument.trace(clock),
            statistics=None if instrument is None else instrument.statistics(clock),
            kept_events=0 if instrument is None else instrument.kept(),
            state=self._state(timeout),
        )

    def stack(self) -> tuple[str, ...]:
        """Where the thread that runs the actor is now, outermost call first; empty if none does. Never waits."""
        inside = self._incarnation.inside()
        if inside is None:
            return ()
        frame = sys._current_frames().get(inside[0])  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - documented in module sys, for debuggers
        lines = () if frame is None else tuple(traceback.format_stack(frame))
        # If the thread left meanwhile, what it does now is another actor's.
        return lines if self._incarnation.inside() is inside else ()

    def _state(self, timeout: float) -> str | None:
        try:
            state: str = self._call(DescribeState(Reply()), timeout)
        except (pykka.Timeout, ActorDead, AskCycle):
            return None
        return state

    def _call(self, request: StateRequest, timeout: float) -> Any:
        it = self._incarnation
        if running_incarnation() is it:
            attend(it, request)  # in a handler of its own: it would wait for itself
            return request.reply.get(timeout=0)
        it.check_order(request)
        # Before it is sent, as an ask: what is refused must not be attended to.
        with it.waited_on(request.reply):
            it.tell_system(request)
            # The end may have been declared, and the lane turned away, before the request was in it.
            if it.has_ended():
                request.reply.try_fail(ActorDead(f"{it.path} (generation {it.generation}) has ended"))
            return request.reply.get(timeout=timeout)
