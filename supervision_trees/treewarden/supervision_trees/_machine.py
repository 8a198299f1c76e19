"""The supervisor's decisions: a state machine without pykka, clock, threads or chance of its own.

`handle(input, now)` takes one input and returns the effects to carry out, in order. Everything a
supervisor does follows from the table of frozen `Child` values in here, so that it is tested by
feeding inputs, and the actor around it stays a dozen lines.

The table is a dict that this object owns and changes, not a frozen mapping that it returns: copying
it for each exit would make a supervisor of n children cost n per event (docs/decisions/0002).

Rules (supervision.md): children start from left to right, the first start is never retried and its
failure ends the supervisor; later failures are charged to an intensity window; children stop from
right to left, one at a time, each within its own time; what ended late is taken for an
`Unresponsive` and fenced; notices of earlier generations are ignored.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Final, assert_never, final

from treewarden.actors import (
    INFINITY,
    ActorPath,
    BrutalKill,
    ChildAbandoned,
    ChildDeclined,
    ChildExited,
    ChildFailed,
    ChildId,
    ChildReady,
    ChildRestarting,
    ChildSpec,
    ChildStarted,
    ChildStartFailed,
    ChildStopped,
    ChildWaiting,
    Crashed,
    Declined,
    Event,
    Exited,
    ExitReason,
    Generation,
    Intensity,
    Ready,
    Restart,
    Shutdown,
    Started,
    StopReport,
    SupervisorGaveUp,
    child_path,
)
from treewarden.supervision_trees._backoff import restart_delay, starts_afresh
from treewarden.supervision_trees._children import Child, ChildState
from treewarden.supervision_trees._decision import AfterExit, after_exit
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
from treewarden.supervision_trees._errors import (
    AlreadyPresent,
    InvalidSupervisor,
    NotFound,
    StartFailed,
    StillRestarting,
    StillRunning,
)
from treewarden.supervision_trees._intensity import Exhausted, RestartWindow

__all__ = ["SupervisorMachine", "checked_children"]

TERMINATED: Final = Shutdown("terminated by a call")
SHUTTING_DOWN: Final = Shutdown("its supervisor stops")


def checked_children(children: Iterable[ChildSpec]) -> tuple[ChildSpec, ...]:
    """The specs, if ids are unique and needs can be met.

    Raises:
        InvalidSupervisor: naming the duplicate, the unknown need, or the cycle.
    """
    specs: dict[ChildId, ChildSpec] = {}
    for spec in children:
        if spec.id in specs:
            raise InvalidSupervisor("children", spec.id, "an id that no sibling has")
        specs[spec.id] = spec
    for spec in specs.values():
        for need in spec.needs:
            if need not in specs:
                raise InvalidSupervisor(f"children.{spec.id}.needs", need, f"a sibling: one of {', '.join(specs)}")
    try:
        TopologicalSorter({spec.id: spec.needs for spec in specs.values()}).prepare()
    except CycleError as error:
        raise InvalidSupervisor("children", " -> ".join(error.args[1]), "needs that form no cycle") from None
    return tuple(specs.values())


@final
class SupervisorMachine:
    """One supervisor's table and what follows from each input. Not thread-safe: its actor owns it."""

    def __init__(
        self,
        path: ActorPath,
        children: Iterable[ChildSpec],
        *,
        intensity: Intensity,
        chance: Callable[[], float],
        consequence: str,
    ) -> None:
        """Take the children (checked, see `checked_children`) in start order.

        `chance` gives numbers from 0 to 1 for the jitter; `consequence` says, for the event, what
        follows when this supervisor gives up.
        """
        self._path, self._chance, self._consequence = path, chance, consequence
        self._window = RestartWindow(intensity)
        self._children: dict[ChildId, Child] = {spec.id: _new_child(spec) for spec in children}
        self._effects: list[Effect] = []
        self._to_boot = deque(self._children)
        self._booting: ChildId | None = None
        self._announced = False
        self._ending: ExitReason | None = None
        self._starting_calls: dict[ChildId, list[CallId]] = {}
        self._stopping_calls: dict[ChildId, list[CallId]] = {}
        self.report = StopReport()

    # What the actor reads

    @property
    def children(self) -> Mapping[ChildId, Child]:
        """The table, in start order."""
        return self._children

    @property
    def window(self) -> RestartWindow:
        """What is left of the supervisor's own restart budget."""
        return self._window

    # What the actor feeds

    def boot(self, now: float) -> tuple[Effect, ...]:
        """Begin to start the children."""
        self._boot_next(now)
        return self._take_effects()

    def handle(self, event: SupervisorInput, now: float) -> tuple[Effect, ...]:
        """Take one input; the effects it leads to, in the order they must happen."""
        match event:
            case Started() | Ready() | Declined() | Exited():
                child = self._children.get(event.child)
                # A notice of an earlier life of the slot, or of a child forgotten since: too late to matter.
                if child is not None and child.live and child.generation == event.generation:
                    self._notice(child, event, now)
            case RetryDue() | StartOverdue() | StopOverdue():
                child = self._children.get(event.child)
                if child is not None and child.generation == event.generation:
                    self._due(child, event, now)
            case Request():
                self._request(event, now)
            case ShutDown(reason):
                self._begin_ending(reason)
            case _:
                assert_never(event)
        return self._take_effects()

    def _take_effects(self) -> tuple[Effect, ...]:
        effects, self._effects = tuple(self._effects), []
        return effects

    # Starting

    def _boot_next(self, now: float) -> None:
        while self._booting is None and self._to_boot and self._ending is None:
            child = self._children.get(self._to_boot.popleft())
            # A call may have started, stopped or deleted it before its turn came.
            if child is not None and child.generation == 0 and self._begin_attempt(child, now).live:
                self._booting = child.id
        if self._booting is None and not self._to_boot and self._ending is None and not self._announced:
            self._announced = True
            self._effects.append(AnnounceStarted())

    def _booted(self, child: Child, now: float) -> None:
        if self._booting == child.id:
            self._booting = None
            self._boot_next(now)

    def _begin_attempt(self, child: Child, now: float) -> Child:
        """Start an incarnation of `child`, or let it wait for what it needs."""
        lacking = tuple(need for need in child.spec.needs if not self._is_ready(need))
        if lacking:
            self._emit(ChildWaiting(self._path_of(child), lacking))
            return self._put(replace(child, state=ChildState.WAITING, retry_at=None))
        generation = Generation(child.generation + 1)
        state = ChildState.STARTING if generation == 1 else ChildState.RESTARTING
        child = self._put(
            replace(child, state=state, generation=generation, live=True, ready=False, retry_at=None, started_at=now)
        )
        self._effects.append(Start(child.spec, generation))
        self._set_timer(StartOverdue(child.id, generation), child.spec.start_timeout)
        return child

    def _is_ready(self, need: ChildId) -> bool:
        return need in self._children and self._children[need].ready

    def _wake_waiting(self, now: float) -> None:
        for child in tuple(self._children.values()):
            if child.state is ChildState.WAITING and all(self._is_ready(need) for need in child.spec.needs):
                self._begin_attempt(child, now)

    # Notices

    def _notice(self, child: Child, notice: Started | Ready | Declined | Exited, now: float) -> None:
        match notice:
            case Started(ready=ready):
                self._started(child, ready=ready, now=now)
            case Ready():
                self._became_ready(child, now)
            case Declined():
                self._declined(child, now)
            case Exited():
                self._exited(child, notice, now)
            case _:
                assert_never(notice)

    def _started(self, child: Child, *, ready: bool, now: float) -> None:
        self._cancel(StartOverdue(child.id, child.generation))
        if child.state is ChildState.STOPPING:
            return  # told to stop while it started; its end is on the way
        child = self._put(replace(child, state=ChildState.RUNNING, started_at=now))
        self._effects.append(Up(child.id, child.generation))
        self._emit(ChildStarted(self._path_of(child), child.generation))
        self._answer(self._starting_calls, child, child.id)
        if ready:
            self._became_ready(child, now)
        self._booted(child, now)

    def _became_ready(self, child: Child, now: float) -> None:
        if child.state is ChildState.RUNNING:
            self._put(replace(child, ready=True))
            self._emit(ChildReady(self._path_of(child), child.generation))
            self._wake_waiting(now)

    def _declined(self, child: Child, now: float) -> None:
        self._cancel(StartOverdue(child.id, child.generation))
        self._cancel(StopOverdue(child.id, child.generation))
        self._emit(ChildDeclined(self._path_of(child), child.generation))
        self._rest(replace(child, live=False), ChildState.STOPPED)
        self._answer(self._starting_calls, child, None)
        self._answer(self._stopping_calls, child, None)
        self._booted(child, now)
        self._go_on_ending()

    def _exited(self, child: Child, notice: Exited, now: float) -> None:
        self._cancel(StartOverdue(child.id, child.generation))
        self._cancel(StopOverdue(child.id, child.generation))
        was = child.state
        child = self._put(replace(child, live=False, ready=False, last_exit=notice.reason))
        if notice.abandoned:
            after = getattr(notice.reason, "after", 0.0)
            self._emit(ChildAbandoned(self._path_of(child), child.generation, after))
        if was is ChildState.STOPPING or self._ending is not None:
            self._stopped(child, notice, now)
        elif was is ChildState.RUNNING:
            self._emit(ChildExited(self._path_of(child), child.generation, notice.reason))
            uptime = 0.0 if child.started_at is None else now - child.started_at
            self._ended_by_itself(child, notice.reason, now, uptime=uptime)
        else:
            self._emit(ChildStartFailed(self._path_of(child), child.generation, notice.reason))
            self._start_failed(child, notice.reason, now)

    def _stopped(self, child: Child, notice: Exited, now: float) -> None:
        # What was left behind counts for ever; who stopped, only for the supervisor's own end.
        self.report += notice.report if self._ending is not None else replace(notice.report, stopped=())
        self._emit(ChildStopped(self._path_of(child), child.generation, notice.reason))
        self._rest(child, ChildState.STOPPED)
        self._answer(self._starting_calls, child, Refused(StartFailed(self._path_of(child), notice.reason)))
        self._answer(self._stopping_calls, child, None)
        if self._ending is None:
            self._booted(child, now)
        self._go_on_ending()

    def _start_failed(self, child: Child, reason: ExitReason, now: float) -> None:
        failed = StartFailed(self._path_of(child), reason)
        if child.id in self._starting_calls:
            # A start by hand is not retried. A new child is forgotten, a known one stays stopped.
            self._answer(self._starting_calls, child, Refused(failed))
            if child.generation == 1:
                del self._children[child.id]
            else:
                self._rest(child, ChildState.STOPPED)
        elif self._booting == child.id:
            self._booting = None
            self._rest(child, ChildState.STOPPED)
            self._begin_ending(Crashed(failed))
        else:
            self._ended_by_itself(child, reason, now, uptime=0.0)

    # Restarting

    def _ended_by_itself(self, child: Child, reason: ExitReason, now: float, *, uptime: float) -> None:
        step = after_exit(child.spec.restart, reason)
        match step:
            case AfterExit.RESTART:
                self._restart(child, reason, now, uptime=uptime)
            case AfterExit.KEEP:
                self._rest(child, ChildState.STOPPED)
            case AfterExit.FORGET:
                del self._children[child.id]
            case _:
                assert_never(step)

    def _restart(self, child: Child, reason: ExitReason, now: float, *, uptime: float) -> None:
        own = child.window
        window = self._window if own is None else own
        spent = window.spend(now)
        if isinstance(spent, Exhausted):
            if own is None:
                self._give_up(child, reason, len(spent.spent))
            else:
                limit = own.limit
                self._rest(child, ChildState.FAILED)
                self._emit(ChildFailed(self._path_of(child), len(spent.spent), limit.within))
            return
        if own is None:
            self._window = spent
        failures = 1 if starts_afresh(child.spec.backoff, uptime) else child.failures + 1
        delay = restart_delay(child.spec.backoff, failures, self._chance())
        child = self._put(
            replace(
                child,
                state=ChildState.RESTARTING,
                restarts=child.restarts + 1,
                failures=failures,
                window=None if own is None else spent,
                retry_at=now + delay if delay > 0 else None,
            )
        )
        self._emit(
            ChildRestarting(
                self._path_of(child), child.generation, delay, used=len(spent.spent), allowed=window.limit.restarts
            )
        )
        if delay > 0:
            self._set_timer(RetryDue(child.id, child.generation), delay)
        else:
            self._begin_attempt(child, now)

    def _give_up(self, child: Child, reason: ExitReason, restarts: int) -> None:
        limit = self._window.limit
        self._rest(child, ChildState.STOPPED)
        self._emit(
            SupervisorGaveUp(self._path, child.id, reason, restarts, limit.restarts, limit.within, self._consequence)
        )
        self._begin_ending(Shutdown("intensity"))

    # Timers

    def _due(self, child: Child, due: TimerDue, now: float) -> None:
        match due:
            case RetryDue():
                if child.state is ChildState.RESTARTING and not child.live and self._ending is None:
                    self._begin_attempt(child, now)
            case StartOverdue():
                if child.live and child.state in (ChildState.STARTING, ChildState.RESTARTING):
                    self._effects.append(Abandon(child.id, child.generation, child.spec.start_timeout))
            case StopOverdue():
                if child.live and child.state is ChildState.STOPPING:
                    self._effects.append(Abandon(child.id, child.generation, _stop_time(child.spec)))
            case _:
                assert_never(due)

    # Stopping

    def _stop(self, child: Child, reason: ExitReason) -> None:
        assert child.live
        self._put(replace(child, state=ChildState.STOPPING, ready=False))
        if isinstance(child.spec.shutdown, BrutalKill):
            self._effects.append(Kill(child.id, child.generation))
        else:
            self._effects.append(RequestStop(child.id, child.generation, reason))
            self._set_timer(
                StopOverdue(child.id, child.generation), _stop_time(child.spec) + child.spec.actor_class.stop_allowance
            )

    def _begin_ending(self, reason: ExitReason) -> None:
        if self._ending is not None:
            return
        self._ending = reason
        for child in tuple(self._children.values()):
            if not child.live:
                self._cancel(RetryDue(child.id, child.generation))
                if child.state in (ChildState.WAITING, ChildState.RESTARTING):
                    self._rest(child, ChildState.STOPPED)
                    self._answer(self._starting_calls, child, Refused(StartFailed(self._path_of(child), reason)))
        self._go_on_ending()

    def _go_on_ending(self) -> None:
        """Stop the last child that is still alive; when none is, end."""
        if self._ending is None:
            return
        for child in reversed(self._children.values()):
            if child.live:
                if child.state is not ChildState.STOPPING:
                    self._stop(child, SHUTTING_DOWN)
                return
        self._effects.append(End(self._ending))

    def _rest(self, child: Child, state: ChildState) -> None:
        """Leave `child` without an incarnation; a temporary one is forgotten."""
        if child.spec.restart is Restart.TEMPORARY:
            self._children.pop(child.id, None)
        else:
            self._put(replace(child, state=state, ready=False, retry_at=None))

    # Calls

    def _request(self, request: Request, now: float) -> None:
        call = request.call
        if isinstance(call, StartChild):
            self._start_child(request.id, call.spec, now)
            return
        child = self._children.get(call.child)
        if child is None:
            known = tuple(self._children)
            self._effects.append(Answer(request.id, Refused(NotFound(child_path(self._path, call.child), known))))
            return
        match call:
            case TerminateChild():
                self._terminate_child(request.id, child, now)
            case RestartChild():
                self._restart_child(request.id, child, now)
            case DeleteChild():
                refused = self._not_at_rest(child)
                if refused is None:
                    del self._children[child.id]
                self._effects.append(Answer(request.id, refused))
            case _:
                assert_never(call)

    def _start_child(self, call: CallId, spec: ChildSpec, now: float) -> None:
        known = self._children.get(spec.id)
        refused: Outcome = None
        if self._ending is not None:
            refused = Refused(StartFailed(child_path(self._path, spec.id), self._ending))
        elif known is not None and known.state is ChildState.RUNNING:
            refused = RunsAlready(spec.id)
        elif known is not None:
            refused = Refused(AlreadyPresent(self._path_of(known), known.state.value))
        else:
            unknown = [need for need in spec.needs if need not in self._children]
            if unknown:
                expected = f"siblings that exist: {', '.join(self._children) or 'there are none'}"
                refused = Refused(InvalidSupervisor(f"children.{spec.id}.needs", unknown, expected))
        if refused is not None:
            self._effects.append(Answer(call, refused))
            return
        self._starting_calls.setdefault(spec.id, []).append(call)
        self._begin_attempt(self._put(_new_child(spec)), now)

    def _terminate_child(self, call: CallId, child: Child, now: float) -> None:
        if child.live:
            self._stopping_calls.setdefault(child.id, []).append(call)
            if child.state is not ChildState.STOPPING:
                self._stop(child, TERMINATED)
            return
        self._cancel(RetryDue(child.id, child.generation))
        if child.id in self._to_boot:
            self._to_boot.remove(child.id)
        self._rest(child, ChildState.STOPPED)
        self._answer(self._starting_calls, child, Refused(StartFailed(self._path_of(child), TERMINATED)))
        self._effects.append(Answer(call, None))
        self._boot_next(now)

    def _restart_child(self, call: CallId, child: Child, now: float) -> None:
        refused = self._not_at_rest(child)
        if refused is not None or self._ending is not None:
            ended = None if self._ending is None else Refused(StartFailed(self._path_of(child), self._ending))
            self._effects.append(Answer(call, refused if ended is None else ended))
            return
        window = None if child.window is None else RestartWindow(child.window.limit)
        self._starting_calls.setdefault(child.id, []).append(call)
        self._begin_attempt(self._put(replace(child, window=window, failures=0)), now)

    def _not_at_rest(self, child: Child) -> Refused | None:
        state = child.state
        match state:
            case ChildState.STOPPED | ChildState.FAILED:
                return None
            case ChildState.RUNNING | ChildState.STOPPING:
                return Refused(StillRunning(self._path_of(child), child.state.value))
            case ChildState.STARTING | ChildState.RESTARTING | ChildState.WAITING:
                return Refused(StillRestarting(self._path_of(child), child.state.value))
            case _:
                assert_never(state)

    # Small steps

    def _put(self, child: Child) -> Child:
        self._children[child.id] = child
        return child

    def _path_of(self, child: Child) -> ActorPath:
        return child_path(self._path, child.id)

    def _emit(self, event: Event) -> None:
        self._effects.append(Emit(event))

    def _set_timer(self, due: TimerDue, delay: float) -> None:
        if delay < INFINITY:
            self._effects.append(SetTimer(due, delay))

    def _cancel(self, due: TimerDue) -> None:
        self._effects.append(CancelTimer(due))

    def _answer(self, calls: dict[ChildId, list[CallId]], child: Child, outcome: Outcome) -> None:
        for call in calls.pop(child.id, ()):
            self._effects.append(Answer(call, outcome))


def _new_child(spec: ChildSpec) -> Child:
    return Child(spec, window=None if spec.intensity is None else RestartWindow(spec.intensity))


def _stop_time(spec: ChildSpec) -> float:
    return math.inf if isinstance(spec.shutdown, BrutalKill) else spec.shutdown
