"""The supervisor's decisions: a state machine without pykka, clock, threads or chance of its own.

`handle(input, now)` takes one input and returns the effects to carry out, in order. Everything a
supervisor does follows from the table of frozen `Child` values in here, so that it is tested by
feeding inputs, and the actor around it stays a dozen lines.

The table is one that this object owns and changes, not a frozen mapping that it returns: copying
it for each exit would make a supervisor of n children cost n per event (docs/decisions/0002). For
the same reason no input is answered by a look at every child, except the order to shut down.

Rules (supervision.md): children start from left to right, the first start is never retried and its
failure ends the supervisor; later failures are charged to an intensity window; children stop from
right to left, one at a time, each within its own time; what ended late is taken for an
`Unresponsive` and fenced; notices of earlier generations are ignored, and counted by an event.
"""

from collections import OrderedDict
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
    MessageFenced,
    Ready,
    Restart,
    Shutdown,
    Started,
    StopReport,
    SupervisorGaveUp,
    Unresponsive,
    child_path,
)
from treewarden.supervision_trees._backoff import restart_delay, starts_afresh
from treewarden.supervision_trees._children import Child, ChildState, ChildTable
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
        self._children = ChildTable(children)
        self._effects: list[Effect] = []
        # Not started and not called off; an OrderedDict, since a dict whose first keys go one by one is
        # searched from its old beginning each time.
        self._to_boot: OrderedDict[ChildId, None] = OrderedDict.fromkeys(self._children.rows)
        self._booting: ChildId | None = None
        self._announced = False
        self._ending: ExitReason | None = None
        self._to_stop: list[ChildId] = []  # while ending: none to the right of its last one is alive
        self._starting_calls: dict[ChildId, Request] = {}  # one at most: a second one is refused
        self._stopping_calls: dict[ChildId, list[CallId]] = {}
        self._stopped_paths: list[ActorPath] = []
        self._abandoned_paths: dict[ActorPath, None] = {}
        self._orphaned_pids: dict[int, None] = {}

    # What the actor reads

    @property
    def children(self) -> Mapping[ChildId, Child]:
        """The table, in start order."""
        return self._children.rows

    @property
    def window(self) -> RestartWindow:
        """What is left of the supervisor's own restart budget."""
        return self._window

    @property
    def report(self) -> StopReport:
        """Who stopped in the supervisor's own end, and what was left behind at any time (each named once)."""
        return StopReport(tuple(self._stopped_paths), tuple(self._abandoned_paths), tuple(self._orphaned_pids))

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
                if child is not None and child.live and child.generation == event.generation:
                    self._notice(child, event, now)
                elif self._ending is None or self._to_stop:
                    # From an earlier life of the slot, or of a child forgotten since: too late to matter (A.15).
                    late = type(event).__name__
                    self._emit(MessageFenced(child_path(self._path, event.child), event.generation, late))
            case RetryDue() | StartOverdue() | StopOverdue():
                child = self._children.get(event.child)
                # Anything else is a timer that fell due while it was cancelled.
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
        if self._ending is not None:
            return
        while self._booting is None and self._to_boot:
            child, _ = self._to_boot.popitem(last=False)
            if self._begin_attempt(self._children.rows[child], now).live:
                self._booting = child
        if self._booting is None and not self._announced:
            self._announced = True
            self._effects.append(AnnounceStarted())

    def _booted(self, child: Child, now: float) -> None:
        if self._booting == child.id:
            self._booting = None
            self._boot_next(now)

    def _begin_attempt(self, child: Child, now: float) -> Child:
        """Start an incarnation of `child`, or let it wait for what it needs."""
        lacking = self._children.lacking(child.spec)
        if lacking:
            self._emit(ChildWaiting(self._path_of(child), lacking))
            return self._children.put(replace(child, state=ChildState.WAITING, retry_at=None))
        generation = Generation(child.generation + 1)
        child = self._children.put(
            replace(
                child,
                state=ChildState.RESTARTING if child.attempts else ChildState.STARTING,
                generation=generation,
                attempts=child.attempts + 1,
                live=True,
                started=False,
                ready=False,
                started_at=now,
                retry_at=None,
            )
        )
        self._effects.append(Start(child.spec, generation))
        self._set_timer(StartOverdue(child.id, generation), child.spec.start_timeout)
        return child

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
        child = self._children.put(replace(child, started=True, started_at=now))
        if child.state is ChildState.STOPPING:
            return  # told to stop while it started; its end is on the way
        child = self._children.put(replace(child, state=ChildState.RUNNING))
        self._effects.append(Up(child.id, child.generation))
        self._emit(ChildStarted(self._path_of(child), child.generation))
        self._answer_start(child, child.id)
        if ready:
            self._became_ready(child, now)
        self._booted(child, now)

    def _became_ready(self, child: Child, now: float) -> None:
        if child.state is ChildState.RUNNING:
            self._children.put(replace(child, ready=True))
            self._emit(ChildReady(self._path_of(child), child.generation))
            for dependent in self._children.dependents(child.id):
                if dependent.state is ChildState.WAITING and not self._children.lacking(dependent.spec):
                    self._begin_attempt(dependent, now)

    def _declined(self, child: Child, now: float) -> None:
        self._cancel(StartOverdue(child.id, child.generation))
        self._cancel(StopOverdue(child.id, child.generation))
        self._emit(ChildDeclined(self._path_of(child), child.generation))
        self._rest(replace(child, live=False), ChildState.STOPPED)
        self._answer_start(child, None)
        self._answer_stops(child)
        self._booted(child, now)
        self._go_on_ending()

    def _exited(self, child: Child, notice: Exited, now: float) -> None:
        self._cancel(StartOverdue(child.id, child.generation))
        self._cancel(StopOverdue(child.id, child.generation))
        was = child.state
        child = self._children.put(replace(child, live=False, ready=False, last_exit=notice.reason))
        self._enter_in_report(notice.report)
        self._emit_end(child, was, notice)
        if was is ChildState.STOPPING or self._ending is not None:
            self._stopped(child, notice.reason, now)
        elif was is ChildState.RUNNING:
            uptime = 0.0 if child.started_at is None else now - child.started_at
            self._ended_by_itself(child, notice.reason, now, uptime=uptime)
        else:
            self._start_failed(child, notice.reason, now)

    def _enter_in_report(self, report: StopReport) -> None:
        # What was left behind counts for ever; who stopped, only for the supervisor's own end.
        self._abandoned_paths.update(dict.fromkeys(report.abandoned))
        self._orphaned_pids.update(dict.fromkeys(report.orphaned_pids))
        if self._ending is not None:
            self._stopped_paths.extend(report.stopped)

    def _emit_end(self, child: Child, was: ChildState, notice: Exited) -> None:
        path, reason = self._path_of(child), notice.reason
        if notice.abandoned:
            # Killed in the middle of a handler: nobody waited for it.
            after = reason.after if isinstance(reason, Unresponsive) else 0.0
            self._emit(ChildAbandoned(path, child.generation, after))
        if was is ChildState.RUNNING:
            self._emit(ChildExited(path, child.generation, reason))
        elif was is not ChildState.STOPPING:
            self._emit(ChildStartFailed(path, child.generation, reason))
        elif not notice.abandoned:  # an abandoned child has not stopped
            self._emit(ChildStopped(path, child.generation, reason))

    def _stopped(self, child: Child, reason: ExitReason, now: float) -> None:
        self._rest(child, ChildState.STOPPED)
        self._answer_start(child, Refused(StartFailed(self._path_of(child), reason)))
        self._answer_stops(child)
        self._booted(child, now)
        self._go_on_ending()

    def _start_failed(self, child: Child, reason: ExitReason, now: float) -> None:
        failed = StartFailed(self._path_of(child), reason)
        request = self._starting_calls.get(child.id)
        if request is not None:
            # A start by hand is not retried. A new child is forgotten, a known one stays stopped.
            self._answer_start(child, Refused(failed))
            if isinstance(request.call, StartChild):
                self._children.forget(child)
            else:
                self._rest(child, ChildState.STOPPED)
        elif self._booting == child.id:
            self._booting = None
            self._rest(child, ChildState.STOPPED)
            self._begin_ending(Crashed(failed))
        elif child.spec.restart is Restart.TEMPORARY:
            self._children.forget(child)
        else:
            # Whatever the reason: OTP tries a failed restart again even when a transient child's start
            # failed with `shutdown` (B 1.7), as a supervisor's does that gives up while it starts.
            self._restart(child, reason, now, uptime=0.0)

    # Restarting

    def _ended_by_itself(self, child: Child, reason: ExitReason, now: float, *, uptime: float) -> None:
        step = after_exit(child.spec.restart, reason)
        match step:
            case AfterExit.RESTART:
                self._restart(child, reason, now, uptime=uptime)
            case AfterExit.KEEP:
                self._rest(child, ChildState.STOPPED)
            case AfterExit.FORGET:
                self._children.forget(child)
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
        child = self._children.put(
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
                # Also when it was told to stop meanwhile: a start that hangs hears of that no sooner.
                if child.live and not child.started:
                    self._effects.append(Abandon(child.id, child.generation, child.spec.start_timeout))
            case StopOverdue():
                if child.live and child.state is ChildState.STOPPING:
                    self._effects.append(Abandon(child.id, child.generation, _stop_patience(child.spec)))
            case _:
                assert_never(due)

    # Stopping

    def _stop(self, child: Child, reason: ExitReason) -> None:
        assert child.live
        self._children.put(replace(child, state=ChildState.STOPPING, ready=False))
        if isinstance(child.spec.shutdown, BrutalKill):
            self._effects.append(Kill(child.id, child.generation))
        else:
            self._effects.append(RequestStop(child.id, child.generation, reason))
            self._set_timer(StopOverdue(child.id, child.generation), _stop_patience(child.spec))

    def _begin_ending(self, reason: ExitReason) -> None:
        if self._ending is not None:
            return
        self._ending = reason
        self._to_boot.clear()
        self._to_stop = list(self._children.rows)
        for child in tuple(self._children.rows.values()):
            if not child.live and child.state in (ChildState.WAITING, ChildState.RESTARTING):
                self._call_off(child, reason)
        self._go_on_ending()

    def _go_on_ending(self) -> None:
        """Stop the last child that is still alive; when none is, end."""
        if self._ending is None:
            return
        while self._to_stop:
            child = self._children.get(self._to_stop[-1])
            if child is not None and child.live:
                if child.state is not ChildState.STOPPING:
                    self._stop(child, SHUTTING_DOWN)
                return
            self._to_stop.pop()  # nothing starts while ending, so it is looked at once
        self._effects.append(End(self._ending))

    def _call_off(self, child: Child, reason: ExitReason) -> None:
        """Let a child without an incarnation have none."""
        assert not child.live
        if child.retry_at is not None:
            self._cancel(RetryDue(child.id, child.generation))
        self._to_boot.pop(child.id, None)
        self._rest(child, ChildState.STOPPED)
        self._answer_start(child, Refused(StartFailed(self._path_of(child), reason)))

    def _rest(self, child: Child, state: ChildState) -> None:
        """Leave `child` without an incarnation; a temporary one is forgotten."""
        if child.spec.restart is Restart.TEMPORARY:
            self._children.forget(child)
        else:
            self._children.put(replace(child, state=state, ready=False, retry_at=None))

    # Calls

    def _request(self, request: Request, now: float) -> None:
        call = request.call
        if isinstance(call, StartChild):
            self._start_child(request, call.spec, now)
            return
        child = self._children.get(call.child)
        if child is None:
            known = tuple(self._children.rows)
            self._effects.append(Answer(request.id, Refused(NotFound(child_path(self._path, call.child), known))))
            return
        match call:
            case TerminateChild():
                self._terminate_child(request.id, child)
            case RestartChild():
                self._restart_child(request, child, now)
            case DeleteChild():
                refused = self._not_at_rest(child)
                if refused is None:
                    self._children.forget(child)
                self._effects.append(Answer(request.id, refused))
            case _:
                assert_never(call)

    def _start_child(self, request: Request, spec: ChildSpec, now: float) -> None:
        refused = self._not_to_be_added(spec)
        if refused is not None:
            self._effects.append(Answer(request.id, refused))
            return
        self._starting_calls[spec.id] = request
        self._begin_attempt(self._children.add(spec), now)

    def _not_to_be_added(self, spec: ChildSpec) -> Refused | RunsAlready | None:
        known = self._children.get(spec.id)
        if self._ending is not None:
            return Refused(StartFailed(child_path(self._path, spec.id), self._ending))
        if known is not None and known.state is ChildState.RUNNING:
            return RunsAlready(spec.id)
        if known is not None:
            return Refused(AlreadyPresent(self._path_of(known), known.state.value))
        field = f"children.{spec.id}.needs"
        unknown = [need for need in spec.needs if need not in self._children.rows]
        if unknown:
            expected = f"siblings that exist: {', '.join(self._children.rows) or 'there are none'}"
            return Refused(InvalidSupervisor(field, unknown, expected))
        if self._children.would_close_a_cycle(spec):
            return Refused(
                InvalidSupervisor(field, list(spec.needs), f"siblings that do not need {spec.id} themselves")
            )
        return None

    def _terminate_child(self, call: CallId, child: Child) -> None:
        if not child.live:
            self._call_off(child, TERMINATED)
            self._effects.append(Answer(call, None))
            return
        self._stopping_calls.setdefault(child.id, []).append(call)
        if child.state is not ChildState.STOPPING:
            self._stop(child, TERMINATED)

    def _restart_child(self, request: Request, child: Child, now: float) -> None:
        refused = self._not_at_rest(child)
        if self._ending is not None:
            refused = Refused(StartFailed(self._path_of(child), self._ending))
        if refused is not None:
            self._effects.append(Answer(request.id, refused))
            return
        self._starting_calls[child.id] = request
        window = None if child.window is None else RestartWindow(child.window.limit)
        self._begin_attempt(self._children.put(replace(child, window=window, failures=0)), now)

    def _not_at_rest(self, child: Child) -> Refused | None:
        if child.id in self._to_boot:
            return Refused(StillRestarting(self._path_of(child), "next to start"))
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

    def _path_of(self, child: Child) -> ActorPath:
        return child_path(self._path, child.id)

    def _emit(self, event: Event) -> None:
        self._effects.append(Emit(event))

    def _set_timer(self, due: TimerDue, delay: float) -> None:
        if delay < INFINITY:
            self._effects.append(SetTimer(due, delay))

    def _cancel(self, due: TimerDue) -> None:
        self._effects.append(CancelTimer(due))

    def _answer_start(self, child: Child, outcome: Outcome) -> None:
        request = self._starting_calls.pop(child.id, None)
        if request is not None:
            self._effects.append(Answer(request.id, outcome))

    def _answer_stops(self, child: Child) -> None:
        for call in self._stopping_calls.pop(child.id, ()):
            self._effects.append(Answer(call, None))


def _stop_patience(spec: ChildSpec) -> float:
    """Seconds from the request to stop until the child is given up on; a brutal kill needs none."""
    return 0.0 if isinstance(spec.shutdown, BrutalKill) else spec.shutdown + spec.actor_class.stop_allowance
