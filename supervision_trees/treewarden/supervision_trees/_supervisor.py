"""The supervisor: an actor that carries out what its state machine decides.

It never waits for a child: starts, stops and delays are effects whose end comes back as a message,
so calls are answered and other children restarted meanwhile (supervision.md A.6).
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, assert_never, final

from treewarden.actors import (
    Actor,
    ActorPath,
    ActorRef,
    ChildId,
    ChildSpec,
    ChildType,
    Declined,
    Exited,
    ExitReason,
    Generation,
    Intensity,
    Ready,
    Reply,
    Restart,
    Started,
    StateNotReplaceable,
    StateRequest,
    StopReport,
    Timer,
    Unresponsive,
    child_path,
    spawn,
)
from treewarden.supervision_trees._children import Child
from treewarden.supervision_trees._effects import (
    Abandon,
    AnnounceStarted,
    Answer,
    CallId,
    CancelTimer,
    DeleteChild,
    Effect,
    Emit,
    End,
    Kill,
    Outcome,
    Refused,
    Request,
    RequestStop,
    RestartChild,
    RetryDue,
    RunsAlready,
    SetTimer,
    ShutDown,
    Start,
    StartChild,
    StartOverdue,
    StopOverdue,
    SupervisorInput,
    TerminateChild,
    TimerDue,
    Up,
)
from treewarden.supervision_trees._errors import AlreadyStarted
from treewarden.supervision_trees._intensity import RestartWindow
from treewarden.supervision_trees._machine import SupervisorMachine, checked_children
from treewarden.supervision_trees._strategy import DEFAULT_INTENSITY, AutoShutdown, Strategy, SupervisorSettings

__all__ = ["ChildRow", "Describe", "Description", "Supervisor"]


@final
@dataclass(frozen=True, slots=True)
class Describe(StateRequest):
    """A state request (system lane): set `reply` to a `Description`."""

    reply: Reply["Description"]


@final
@dataclass(frozen=True, slots=True)
class ChildRow:
    """A child and the ref of its living incarnation, if there is one."""

    child: Child
    ref: ActorRef[Any] | None


@final
@dataclass(frozen=True, slots=True)
class Description:
    """A supervisor's table at one moment, in start order; `now` is the monotonic time it was taken at."""

    rows: tuple[ChildRow, ...]
    window: RestartWindow
    now: float
    settings: SupervisorSettings


class Supervisor(Actor):
    """Starts its children in order, restarts those that fail, stops them in reverse order.

    Children, strategy and intensity are OTP's (supervisor(3)); see docs/guarantees.md for what
    is kept and where it differs. It has started when all its children have, or wait for a sibling.
    """

    child_type: ClassVar[ChildType] = ChildType.SUPERVISOR

    def __init__(
        self,
        children: Iterable[ChildSpec] = (),
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: Intensity = DEFAULT_INTENSITY,
        auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
    ) -> None:
        """Take the children in start order.

        Raises:
            InvalidSupervisor: duplicate ids, needs that name nobody or form a cycle.
        """
        super().__init__()
        self._settings = SupervisorSettings(strategy, intensity, auto_shutdown)
        self._machine = SupervisorMachine(
            self.context.path,
            checked_children(children),
            intensity=intensity,
            chance=self.context.system.random.random,
            consequence=_consequence(self.context.spec.restart, self.context.parent),
        )
        self._refs: dict[ChildId, ActorRef[Any]] = {}
        self._timers: dict[TimerDue, Timer] = {}
        self._replies: dict[CallId, Reply[ActorRef[Any] | None]] = {}
        self._call_ids = itertools.count(1)

    def on_start(self) -> None:
        """Begin to start the children; the start is complete when theirs are."""
        self.context.defer_started()
        self._perform(self._machine.boot(self.context.clock.monotonic()))

    def on_receive(self, message: object) -> None:
        """Take a call; it is answered when it is done, and others meanwhile."""
        match message:
            case StartChild() | TerminateChild() | RestartChild() | DeleteChild():
                call = CallId(next(self._call_ids))
                self._replies[call] = self.context.take_reply()
                self._feed(Request(call, message))
            case _:
                super().on_receive(message)

    def on_system(self, message: object) -> None:
        """Take children's notices, due timers and state requests."""
        match message:
            case Declined() | Exited():
                self._let_go(message.child, message.generation)
                self._feed(message)
            case Started() | Ready():
                self._feed(message)
            case RetryDue() | StartOverdue() | StopOverdue():
                self._timers.pop(message, None)
                self._feed(message)
            case Describe(reply):
                reply.try_set(self._describe())
            case _:
                super().on_system(message)

    def on_stop_request(self, reason: ExitReason) -> None:
        """Stop the children first; the end comes when none is left."""
        self._feed(ShutDown(reason))

    def on_stop(self, reason: ExitReason | None = None) -> None:  # noqa: ARG002 - every end is the same here
        """Kill what is still alive: nothing in an orderly end, all of it when this code itself failed."""
        self.on_kill()

    def on_kill(self) -> None:
        """A killed supervisor takes its children with it (OTP: their link carries `killed`)."""
        for timer in self._timers.values():
            timer.cancel()
        for ref in reversed(tuple(self._refs.values())):
            self.context.system.directory.unregister(ref.path, ref)
            ref.kill()

    def get_state(self) -> "Description":
        """What `ref.sys.get_state()` answers: the table of children, the window and the settings, at one moment."""
        return self._describe()

    def set_state(self, state: object) -> None:
        """Refuse: a supervisor's table says which actors really run, and must not be made up.

        OTP lets one replace it. Here `change` gives a live supervisor new limits and specs.

        Raises:
            StateNotReplaceable: always.
        """
        raise StateNotReplaceable(
            f"replace_state on the supervisor {self.context.path}, with a new state of type {type(state).__name__}:"
            " its table says what really runs; use its calls, or `change` for new limits and specs"
        )

    def describe(self) -> object:
        """What reports show: each child and its state, no arguments of theirs."""
        return {child.id: child.state.value for child in self._machine.children.values()}

    def stop_report(self) -> StopReport:
        """What became of everything below, and this supervisor itself."""
        return self._machine.report + StopReport(stopped=(self.context.path,))

    def _feed(self, event: SupervisorInput) -> None:
        self._perform(self._machine.handle(event, self.context.clock.monotonic()))

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Start(spec, generation):
                    self._spawn(spec, generation)
                case Up(child):
                    self.context.ensure_current()  # given up on, it must not register over its successor's child
                    self.context.system.directory.register(self._refs[child].path, self._refs[child])
                case RequestStop(child, _, reason):
                    self._refs[child].request_stop(reason)
                case Kill(child):
                    self._refs[child].kill()
                case Abandon(child, _, after):
                    self._refs[child].incarnation().abandon(Unresponsive(after))
                case SetTimer(due, delay):
                    deliver = partial(self.context.incarnation().tell_system, due)
                    self._timers[due] = self.context.system.timers.after(delay, deliver)
                case CancelTimer(due):
                    timer = self._timers.pop(due, None)
                    if timer is not None:
                        timer.cancel()
                case Emit(event):
                    self.context.system.events.emit(event)
                case Answer(call, outcome):
                    self._answer(call, outcome)
                case AnnounceStarted():
                    self.context.announce_started()
                case End(reason):
                    self.context.exit(reason)
                case _:
                    assert_never(effect)

    def _spawn(self, spec: ChildSpec, generation: Generation) -> None:
        me = self.context.incarnation()
        path = child_path(self.context.path, spec.id)
        self._refs[spec.id] = spawn(
            self.context.system,
            spec,
            path=path,
            parent=self.context.path,
            generation=generation,
            notify=me.tell_system,
        )

    def _let_go(self, child: ChildId, generation: Generation) -> None:
        ref = self._refs.get(child)
        if ref is not None and ref.generation == generation:
            del self._refs[child]
            self.context.system.directory.unregister(ref.path, ref)

    def _answer(self, call: CallId, outcome: Outcome) -> None:
        reply = self._replies.pop(call)
        match outcome:
            case None:
                reply.try_set(None)
            case Refused(error):
                reply.try_fail(error)
            case RunsAlready(child):
                reply.try_fail(AlreadyStarted(self._refs[child].path, self._refs[child]))
            case _:
                reply.try_set(self._refs[outcome])

    def _describe(self) -> Description:
        rows = tuple(
            ChildRow(child, self._refs.get(child.id) if child.live else None)
            for child in self._machine.children.values()
        )
        return Description(rows, self._machine.window, self.context.clock.monotonic(), self._settings)


def _consequence(restart: Restart, parent: ActorPath | None) -> str:
    if parent is None:
        return "nothing above it restarts it"
    if restart is Restart.PERMANENT:
        return f"{parent} restarts it"
    return f"{parent} does not restart it"
