"""The supervisor: an actor that carries out what its state machine decides.

It never waits for a child: starts, stops and delays are effects whose end comes back as a message,
so calls are answered and other children restarted meanwhile (supervision.md A.6). Nor does it wait
for the store: a restart that must not happen before it is on record is held until then.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, assert_never, final

from treewarden.actors import (
    Actor,
    ActorPath,
    ActorRef,
    ChildAbandoned,
    ChildId,
    ChildSpec,
    ChildType,
    Declined,
    Exited,
    ExitReason,
    Generation,
    Intensity,
    InvalidChildSpec,
    Killed,
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
from treewarden.supervision_trees._checks import checked_children, given_children
from treewarden.supervision_trees._children import Child
from treewarden.supervision_trees._effects import (
    Abandon,
    AnnounceStarted,
    Answer,
    CallId,
    CancelTimer,
    Change,
    DeleteChild,
    Effect,
    Emit,
    End,
    Forget,
    GroupDue,
    Kill,
    Outcome,
    Refused,
    Remember,
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
from treewarden.supervision_trees._errors import AlreadyStarted, InvalidSupervisor, NotApplicable
from treewarden.supervision_trees._intensity import RestartWindow
from treewarden.supervision_trees._machine import SupervisorMachine
from treewarden.supervision_trees._restart_memory import RestartMemory, Saved
from treewarden.supervision_trees._roster import Membership
from treewarden.supervision_trees._strategy import DEFAULT_INTENSITY, AutoShutdown, Strategy, SupervisorSettings

__all__ = ["ChildRow", "Describe", "Description", "Supervisor"]


@final
@dataclass(frozen=True, slots=True)
class Describe(StateRequest):
    """A state request (system lane): set `reply` to a `Description`, of `child` alone if one is named."""

    reply: Reply["Description"]
    child: ChildId | None = None


@final
@dataclass(frozen=True, slots=True)
class ChildRow:
    """A child and the ref of its living incarnation, if there is one."""

    child: Child
    ref: ActorRef[Any] | None


@final
@dataclass(frozen=True, slots=True)
class Description:
    """A supervisor's table at one moment, in start order.

    `now` is the monotonic time it was taken at, `window_time` the time by which `window` counts (it
    stands still while a group is being stopped).
    """

    rows: tuple[ChildRow, ...]
    window: RestartWindow
    now: float
    window_time: float
    settings: SupervisorSettings


class Supervisor(Actor):
    """Starts its children in order, restarts those that fail, stops them in reverse order.

    Children, strategy and intensity are OTP's (supervisor(3)); see docs/guarantees.md for what
    is kept and where it differs. It has started when all its children have, or wait for a sibling.
    """

    child_type: ClassVar[ChildType] = ChildType.SUPERVISOR
    blocks_nowhere: ClassVar[bool] = True

    membership: ClassVar[Membership] = Membership.STATIC
    """What becomes of a child that ended for good."""

    refused_calls: ClassVar[Mapping[type, str]] = {}
    """Calls that make no sense for this kind of supervisor, each with what does instead."""

    max_children: int | None = None
    """How many children there may be; None: no limit. Set by a dynamic supervisor before this `__init__`."""

    @classmethod
    def declared_children(cls, spec: ChildSpec) -> tuple[ChildSpec, ...]:
        """The children that a supervisor started from `spec` begins with, in start order.

        A class whose `__init__` takes something else says here what its children are, if they are known.

        Raises:
            InvalidSupervisor, InvalidChildSpec: they are no collection of specs; it will not start.
        """
        found = spec.kwargs.get("children", spec.args[0] if spec.args else ())
        try:
            return given_children(found)
        except (InvalidSupervisor, InvalidChildSpec):
            if cls.__init__ is Supervisor.__init__:
                raise
            return ()  # it means something else to this class

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "blocks_nowhere" not in vars(cls):  # a class says so of the code it adds, or it is taken not to be so
            cls.blocks_nowhere = False

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
            InvalidSupervisor: duplicate ids, needs that name nobody or form a cycle, or what can be
                read once only, such as a generator: it would be empty at the next start.
            InvalidChildSpec: a child is significant, or has a limit of its own, where that can mean nothing.
        """
        super().__init__()
        settings = SupervisorSettings(strategy, intensity, auto_shutdown)
        self._system, self._path = self.context.system, self.context.path
        # One for all children and timers: each would keep a bound method of its own otherwise.
        self._tell_me = self.context.incarnation().tell_system
        self._machine = SupervisorMachine(
            self._path,
            checked_children(children, settings),
            settings=settings,
            chance=self._system.random.random,
            consequence=_consequence(self.context.spec.restart, self.context.parent),
            membership=self.membership,
            max_children=self.max_children,
        )
        self._refs: dict[ChildId, ActorRef[Any]] = {}
        self._timers: dict[TimerDue, Timer] = {}
        self._replies: dict[CallId, Reply[ActorRef[Any] | None]] = {}
        self._call_ids = itertools.count(1)
        self._memory = RestartMemory(self.context, self._machine)
        self._taken_along = StopReport()  # children that a kill of this supervisor took with it

    def on_start(self) -> None:
        """Begin to start the children; the start is complete when theirs are."""
        self.context.defer_started()
        now = self.context.clock.monotonic()
        self._memory.recall(now)
        self._perform(self._machine.boot(now))

    def on_receive(self, message: object) -> None:
        """Take a call; it is answered when it is done, and others meanwhile."""
        match message:
            case StartChild() | TerminateChild() | RestartChild() | DeleteChild() | Change():
                instead = self.refused_calls.get(type(message))
                if instead is not None:
                    refused = NotApplicable(self.context.path, type(message).__name__, instead)
                    self.context.take_reply().try_fail(refused)
                    return
                call = CallId(next(self._call_ids))
                self._replies[call] = self.context.take_reply()
                self._feed(Request(call, message))
            case _:
                super().on_receive(message)

    def on_system(self, message: object) -> None:
        """Take children's notices, due timers and state requests."""
        match message:
            case Started() | Ready():
                self._feed(message)
            case Declined() | Exited():
                self._let_go(message.child, message.generation)
                self._feed(message)
            case RetryDue() | StartOverdue() | StopOverdue() | GroupDue():
                self._timers.pop(message, None)
                self._feed(message)
            case Describe(reply, child):
                reply.try_set(self._describe(child))
            case Saved():
                for start in self._memory.release(message):
                    self._spawn(start)
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
        stopped, abandoned = list[ActorPath](), list[ActorPath]()
        for ref in reversed(tuple(self._refs.values())):
            self.context.system.directory.unregister(ref.path, ref)
            ref.kill()
            # Nobody is left to take its notice. One in the middle of a handler is left behind, the others end now.
            if ref.incarnation().is_fenced():
                abandoned.append(ref.path)
                self.context.system.events.emit(ChildAbandoned(ref.path, ref.generation, 0.0))
            else:
                stopped.append(ref.path)
        self._taken_along += StopReport(tuple(stopped), tuple(abandoned))

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
        return self._machine.report + self._taken_along + StopReport(stopped=(self.context.path,))

    def _feed(self, event: SupervisorInput) -> None:
        self._perform(self._machine.handle(event, self._system.clock.monotonic()))

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:  # the most frequent ones first
                case Emit():
                    self._system.events.emit(effect.event)
                case SetTimer():
                    deliver = partial(self._tell_me, effect.due)
                    self._timers[effect.due] = self._system.timers.after(effect.delay, deliver)
                case CancelTimer():
                    timer = self._timers.pop(effect.due, None)
                    if timer is not None:
                        timer.cancel()
                case Start():
                    if not self._memory.hold(effect):
                        self._spawn(effect)
                case Up():
                    self.context.ensure_current()  # given up on, it must not register over its successor's child
                    ref = self._refs[effect.child]
                    self._system.directory.register(ref.path, ref)
                case Answer():
                    self._answer(effect.call, effect.outcome)
                case RequestStop(child, _, reason):
                    if not self._was_held(child, reason):
                        self._refs[child].request_stop(reason)
                case Kill(child):
                    if not self._was_held(child, Killed()):
                        self._refs[child].kill()
                case Abandon(child, _, after):
                    if not self._was_held(child, Unresponsive(after)):
                        self._refs[child].incarnation().abandon(Unresponsive(after))
                case Remember(child):
                    self._memory.remember(child, self.context.clock.monotonic())
                case Forget(child):
                    self._memory.forget(child)
                case AnnounceStarted():
                    self.context.announce_started()
                case End(reason):
                    self._memory.calm(reason, self.context.clock.monotonic())
                    self.context.exit(reason)
                case _:
                    assert_never(effect)

    def _spawn(self, start: Start) -> None:
        self._refs[start.spec.id] = spawn(
            self._system,
            start.spec,
            path=child_path(self._path, start.spec.id),
            parent=self._path,
            generation=start.generation,
            notify=self._tell_me,
        )

    def _was_held(self, child: ChildId, reason: ExitReason) -> bool:
        """Whether the start of `child` was still held: then it has ended before it began."""
        start = self._memory.drop(child)
        if start is None:
            return False
        report = StopReport(stopped=(child_path(self._path, child),))
        self._tell_me(Exited(child, start.generation, reason, abandoned=False, report=report))
        return True

    def _let_go(self, child: ChildId, generation: Generation) -> None:
        ref = self._refs.get(child)
        if ref is not None and ref.generation == generation:
            del self._refs[child]
            self._system.directory.unregister(ref.path, ref)

    def _answer(self, call: CallId, outcome: Outcome) -> None:
        reply = self._replies.pop(call)
        match outcome:
            case str():
                reply.try_set(self._refs[outcome])
            case None:
                reply.try_set(None)
            case Refused(error):
                reply.try_fail(error)
            case RunsAlready(child):
                reply.try_fail(AlreadyStarted(self._refs[child].path, self._refs[child]))
            case _:
                assert_never(outcome)

    def _describe(self, only: ChildId | None = None) -> Description:
        now, machine = self.context.clock.monotonic(), self._machine
        if only is None:
            children = tuple(machine.children.values())
        else:
            children = (machine.children[only],) if only in machine.children else ()
        rows = tuple(ChildRow(child, self._refs.get(child.id) if child.live else None) for child in children)
        return Description(rows, machine.window, now, machine.window_time(now), machine.settings)


def _consequence(restart: Restart, parent: ActorPath | None) -> str:
    if parent is None:
        return "nothing above it restarts it"
    if restart is Restart.PERMANENT:
        return f"{parent} restarts it"
    return f"{parent} does not restart it"
