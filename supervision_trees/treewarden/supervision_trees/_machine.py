"""The supervisor's decisions: a state machine without pykka, clock, threads or chance of its own.

`handle(input, now)` takes one input and returns the effects to carry out, in order. Everything a
supervisor does follows from the table of frozen `Child` values, so that it is tested by feeding
inputs, and the actor around it stays a dozen lines. Here are the boot, what each notice of a child
means, and the end; `_restarts` decides restarts, `_calls` takes calls, `_roster` has the steps.

The table is one that the machine owns and changes, not a frozen mapping that it returns: copying
it for each exit would make a supervisor of n children cost n per event (docs/decisions/0002). For
the same reason no input is answered by a look at every child, except the order to shut down, a
change, a group restart and the end of a significant child.

Rules (supervision.md): children start from left to right, the first start is never retried and its
failure ends the supervisor; later failures are charged to an intensity window; children stop from
right to left, one at a time, each within its own time; what ended late is taken for an
`Unresponsive` and fenced; notices of earlier generations are ignored, and counted by an event.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, assert_never, final

from treewarden.actors import (
    ActorPath,
    BrutalKill,
    ChildAbandoned,
    ChildDeclined,
    ChildExited,
    ChildFailed,
    ChildId,
    ChildReady,
    ChildSpec,
    ChildStarted,
    ChildStartFailed,
    ChildStopped,
    Crashed,
    Declined,
    Exited,
    ExitReason,
    Killed,
    MessageFenced,
    Ready,
    Restart,
    Shutdown,
    Started,
    StopReport,
    Unresponsive,
    child_path,
    is_abnormal,
)
from treewarden.supervision_trees._calls import Calls
from treewarden.supervision_trees._children import Child, ChildState
from treewarden.supervision_trees._decision import AfterExit, after_exit, is_unrecoverable
from treewarden.supervision_trees._effects import (
    Abandon,
    AnnounceStarted,
    Effect,
    End,
    GroupDue,
    Refused,
    Request,
    RetryDue,
    ShutDown,
    StartChild,
    StartOverdue,
    StopOverdue,
    SupervisorInput,
    Up,
)
from treewarden.supervision_trees._errors import StartFailed
from treewarden.supervision_trees._intensity import RestartWindow
from treewarden.supervision_trees._restarts import Recalled, Restarted, Restarts
from treewarden.supervision_trees._roster import Membership, Roster, stop_patience
from treewarden.supervision_trees._strategy import AutoShutdown, Strategy, SupervisorSettings

__all__ = ["SupervisorMachine"]

SHUTTING_DOWN: Final = Shutdown("its supervisor stops")
ALIVE: Final = frozenset(ChildState) - {ChildState.STOPPED, ChildState.FAILED}


@final
class SupervisorMachine:
    """One supervisor's table and what follows from each input. Not thread-safe: its actor owns it."""

    def __init__(
        self,
        path: ActorPath,
        children: Iterable[ChildSpec],
        *,
        settings: SupervisorSettings,
        chance: Callable[[], float],
        consequence: str,
        membership: Membership = Membership.STATIC,
        max_children: int | None = None,
    ) -> None:
        """Take the children (checked, see `checked_children`) in start order.

        `chance` gives numbers from 0 to 1 for the jitter; `consequence` says, for the event, what
        follows when this supervisor gives up.
        """
        self._roster = Roster(path, children, membership)
        self._restarts = Restarts(self._roster, settings, chance=chance, consequence=consequence)
        self._calls = Calls(self._roster, self._restarts, max_children=max_children)
        self._booting: ChildId | None = None
        self._announced = False
        self._ended = False
        self._auto_shutdown_due = False
        self._after_boot: list[tuple[Exited, float]] = []  # ends that wait for the boot, with the uptime before them
        self._to_stop: list[ChildId] = []  # while ending: none to the right of its last one is alive
        self._stopped_paths: list[ActorPath] = []
        self._abandoned_paths: dict[ActorPath, None] = {}
        self._orphaned_pids: dict[int, None] = {}

    # What the actor reads

    @property
    def children(self) -> Mapping[ChildId, Child]:
        """The table, in start order."""
        return self._roster.table.rows

    @property
    def settings(self) -> SupervisorSettings:
        """What it goes by now."""
        return self._restarts.settings

    @property
    def window(self) -> RestartWindow:
        """What is left of the supervisor's own restart budget, by `window_time`."""
        return self._restarts.window

    def window_time(self, now: float) -> float:
        """The time by which `window` counts."""
        return self._restarts.window_time(now)

    @property
    def report(self) -> StopReport:
        """Who stopped in the supervisor's own end, and what was left behind at any time (each named once)."""
        return StopReport(tuple(self._stopped_paths), tuple(self._abandoned_paths), tuple(self._orphaned_pids))

    # What the actor feeds

    def recall(self, ages: tuple[float, ...], children: dict[ChildId, Recalled], now: float) -> None:
        """Before `boot`: take over what an earlier runtime remembered (A.17)."""
        self._restarts.recall(ages, children, now)

    def boot(self, now: float) -> tuple[Effect, ...]:
        """Begin to start the children."""
        self._go_on(now)
        return self._roster.take_effects()

    def handle(self, event: SupervisorInput, now: float) -> tuple[Effect, ...]:
        """Take one input; the effects it leads to, in the order they must happen."""
        match event:
            case Started() | Ready() | Declined() | Exited():
                self._notice(event, now)
            case RetryDue() | StartOverdue() | StopOverdue() | GroupDue():
                self._due(event, now)
            case Request():
                self._calls.take(event, now)
            case ShutDown(reason):
                self._begin_ending(reason, now)
            case _:
                assert_never(event)
        self._go_on(now)
        return self._roster.take_effects()

    def _go_on(self, now: float) -> None:
        """Do the next step of what is under way: the end, or the boot and a group restart."""
        if self._roster.ending is None:
            self._boot_next(now)
            self._restarts.go_on(now)
        self._go_on_ending()

    # The boot

    def _boot_next(self, now: float) -> None:
        to_boot = self._roster.to_boot
        while self._booting is None and to_boot:
            child, _ = to_boot.popitem(last=False)
            if self._roster.begin_attempt(self._roster.table.rows[child], now).live:
                self._booting = child
        if self._booting is None and not self._announced:
            self._announced = True
            self._roster.note(AnnounceStarted())
            self._catch_up(now)

    def _catch_up(self, now: float) -> None:
        """Do what had to wait for the boot."""
        ends, self._after_boot = self._after_boot, []
        for notice, uptime in ends:
            child = self._roster.table.get(notice.child)
            # Terminated meanwhile, or restarted with the group of the one before?
            if child is None or child.generation != notice.generation or child.state is not ChildState.RESTARTING:
                continue
            if not self._restarts.collects(child):
                self._follow(child, self._restarts.restart_reported(child, now, uptime=uptime), now)
        if self._auto_shutdown_due and self._calls_for_shutdown():
            self._begin_ending(Shutdown("auto_shutdown"), now)

    # Notices

    def _notice(self, notice: Started | Ready | Declined | Exited, now: float) -> None:
        child = self._roster.table.get(notice.child)
        if child is None or not child.live or child.generation != notice.generation:
            if not self._ended:
                # From an earlier life of the slot, or of a child forgotten since: too late to matter (A.15).
                path, late = child_path(self._roster.path, notice.child), type(notice).__name__
                self._roster.emit(MessageFenced(path, notice.generation, late))
            return
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
        roster = self._roster
        roster.cancel(StartOverdue(child.id, child.generation))
        child = roster.table.put(replace(child, started=True, started_at=now, ran=child.generation))
        if child.state is ChildState.STOPPING:
            return  # told to stop while it started; its end is on the way
        child = roster.table.put(replace(child, state=ChildState.RUNNING))
        roster.note(Up(child.id, child.generation))
        roster.emit(ChildStarted(roster.path_of(child), child.generation))
        roster.answer_start(child, child.id)
        if ready:
            self._became_ready(child, now)
        self._settled(child)

    def _became_ready(self, child: Child, now: float) -> None:
        roster = self._roster
        if child.state is ChildState.RUNNING:
            roster.table.put(replace(child, ready=True))
            roster.emit(ChildReady(roster.path_of(child), child.generation))
            for dependent in roster.table.dependents(child.id):
                if dependent.state is ChildState.WAITING and not roster.table.lacking(dependent.spec):
                    roster.begin_attempt(dependent, now)

    def _declined(self, child: Child, now: float) -> None:
        roster = self._roster
        roster.cancel(StartOverdue(child.id, child.generation))
        roster.cancel(StopOverdue(child.id, child.generation))
        roster.emit(ChildDeclined(roster.path_of(child), child.generation))
        child = roster.table.put(replace(child, live=False))
        roster.answer_start(child, None)
        if roster.ending is None and self._restarts.collects(child):
            # Its group starts it again: at rest meanwhile, it could be started by hand as well, and would run twice.
            self._restarts.collect(child, now)
        else:
            roster.rest(child, ChildState.STOPPED)
        roster.answer_stops(child)
        self._settled(child)

    def _settled(self, child: Child) -> None:
        """The attempt to start `child` is over: boot and group may go on to the next."""
        if self._booting == child.id:
            self._booting = None
        self._restarts.settled(child)

    def _exited(self, child: Child, notice: Exited, now: float) -> None:
        roster, was = self._roster, child.state
        roster.cancel(StartOverdue(child.id, child.generation))
        roster.cancel(StopOverdue(child.id, child.generation))
        child = roster.table.put(replace(child, live=False, ready=False, last_exit=notice.reason))
        self._enter_in_report(notice.report)
        self._emit_end(child, was, notice)
        if roster.ending is None and self._restarts.collects(child):
            self._restarts.collect(child, now)
            if was is not ChildState.STOPPING or not _is_clean(child, notice):
                dropped = child.id not in roster.table.rows
                then = "it is temporary and forgotten" if dropped else "it is restarted with its group"
                self._report(child, notice, now, then=then)
            # Whoever started it by hand waits on: it is started again, or was refused as it was dropped.
            roster.answer_stops(child)
            self._settled(child)
        elif was is ChildState.STOPPING or roster.ending is not None:
            roster.rest(child, ChildState.STOPPED)
            if not _is_clean(child, notice):
                self._report(child, notice, now, then="it was being stopped, and stays stopped")
            self._stopped(child, notice)
        elif was is ChildState.RUNNING:
            uptime = 0.0 if child.started_at is None else now - child.started_at
            self._ended_by_itself(child, notice, now, uptime=uptime)
        else:
            self._start_failed(child, notice, now)

    def _enter_in_report(self, report: StopReport) -> None:
        # What was left behind counts for ever; who stopped, only for the supervisor's own end.
        self._abandoned_paths.update(dict.fromkeys(report.abandoned))
        self._orphaned_pids.update(dict.fromkeys(report.orphaned_pids))
        if self._roster.ending is not None:
            self._stopped_paths.extend(report.stopped)

    def _emit_end(self, child: Child, was: ChildState, notice: Exited) -> None:
        roster, path, reason = self._roster, self._roster.path_of(child), notice.reason
        if notice.abandoned:
            # Killed in the middle of a handler: nobody waited for it.
            after = reason.after if isinstance(reason, Unresponsive) else 0.0
            roster.emit(ChildAbandoned(path, child.generation, after))
        if was is ChildState.RUNNING:
            roster.emit(ChildExited(path, child.generation, reason))
        elif was is not ChildState.STOPPING:
            roster.emit(ChildStartFailed(path, child.generation, reason))
        elif not notice.abandoned:  # an abandoned child has not stopped
            roster.emit(ChildStopped(path, child.generation, reason))

    def _stopped(self, child: Child, notice: Exited) -> None:
        roster = self._roster
        roster.answer_start(child, Refused(StartFailed(roster.path_of(child), notice.reason)))
        roster.answer_stops(child)
        self._settled(child)

    def _start_failed(self, child: Child, notice: Exited, now: float) -> None:
        roster, reason = self._roster, notice.reason
        failed = StartFailed(roster.path_of(child), reason)
        was_booting = self._booting == child.id
        self._settled(child)
        if roster.is_started_by_hand(child):
            # A start by hand is not retried. A new child is forgotten, a known one stays at rest.
            request = roster.answer_start(child, Refused(failed))
            if request is not None and isinstance(request.call, StartChild):
                roster.forget(child)
            elif is_unrecoverable(reason) or roster.membership is Membership.DYNAMIC:
                roster.park(child)
            else:
                roster.rest(child, ChildState.STOPPED)
            self._report(child, notice, now, then="it is not retried: it was started by a call")
        elif is_unrecoverable(reason):
            self._park(child, notice, now)
        elif was_booting:
            roster.rest(child, ChildState.STOPPED)
            self._report(child, notice, now, then=f"{roster.path} does not start")
            self._begin_ending(Crashed(failed), now)
        elif child.spec.restart is Restart.TEMPORARY:
            roster.forget(child)
            self._report(child, notice, now, then="it is temporary and forgotten")
        else:
            # Whatever the reason: OTP tries a failed restart again even when a transient child's start
            # failed with `shutdown` (B 1.7), as a supervisor's does that gives up while it starts.
            self._restart(child, notice, now, uptime=0.0)

    # Ends that nobody asked for

    def _ended_by_itself(self, child: Child, notice: Exited, now: float, *, uptime: float) -> None:
        step = after_exit(child.spec.restart, notice.reason)
        match step:
            case AfterExit.RESTART:
                self._restart(child, notice, now, uptime=uptime)
            case AfterExit.KEEP:
                self._roster.rest(child, ChildState.STOPPED)
                self._ended_for_good(child, now)
            case AfterExit.FORGET:
                self._roster.forget(child)
                self._report(child, notice, now, then="it is temporary and forgotten")
                self._ended_for_good(child, now)
            case _:
                assert_never(step)

    def _restart(self, child: Child, notice: Exited, now: float, *, uptime: float) -> None:
        if self._announced or self.settings.strategy is Strategy.ONE_FOR_ONE:
            self._follow(child, self._restarts.restart(child, notice, now, uptime=uptime), now)
            return
        # As in OTP a group is restarted only when the boot is over: stopping children that are still to
        # be started for the first time would turn first starts, which are never retried, into restarts.
        self._roster.table.put(replace(child, state=ChildState.RESTARTING))
        self._report(child, notice, now, then="it is restarted when its supervisor has started")
        self._after_boot.append((notice, uptime))

    def _follow(self, child: Child, outcome: Restarted, now: float) -> None:
        match outcome:
            case Restarted.GOES_ON:
                pass
            case Restarted.PARKED:
                self._ended_for_good(child, now)
            case Restarted.GIVES_UP:
                self._begin_ending(Shutdown("intensity"), now)
            case _:
                assert_never(outcome)

    def _park(self, child: Child, notice: Exited, now: float) -> None:
        """Its stored state cannot be restored: starting again would not help, starting empty would lose it (A.18)."""
        roster = self._roster
        roster.park(child)
        self._report(child, notice, now, then="it is parked as failed; its siblings go on")
        error = notice.reason.error if isinstance(notice.reason, Crashed) else None
        roster.emit(ChildFailed(roster.path_of(child), 0, 0.0, str(error)))
        self._ended_for_good(child, now)

    def _ended_for_good(self, child: Child, now: float) -> None:
        """Automatic shutdown (B 1.9): a child ended by itself and is not restarted."""
        if not child.spec.significant or self._roster.ending is not None:
            return
        if not self._announced:
            self._auto_shutdown_due = True  # as in OTP it is looked at when the boot is over
        elif self._calls_for_shutdown():
            self._begin_ending(Shutdown("auto_shutdown"), now)

    def _calls_for_shutdown(self) -> bool:
        auto = self.settings.auto_shutdown
        match auto:
            case AutoShutdown.NEVER:
                return False
            case AutoShutdown.ANY_SIGNIFICANT:
                return True
            case AutoShutdown.ALL_SIGNIFICANT:
                return not any(self._is_significant_and_alive(child) for child in self.children.values())
            case _:
                assert_never(auto)

    def _is_significant_and_alive(self, child: Child) -> bool:
        if not child.spec.significant or child.state not in ALIVE:
            return False
        # One that a call is stopping counts as gone, as if that call had been answered already: its end, which
        # says nothing, will not be the occasion to look again. Unless its group brings it back.
        leaving = child.state is ChildState.STOPPING and self._roster.is_stopped_by_hand(child)
        return not leaving or self._restarts.collects(child)

    def _report(self, child: Child, notice: Exited, now: float, *, then: str) -> None:
        window = self.window if child.window is None else child.window
        used, allowed = window.used(self.window_time(now)), window.limit.restarts
        self._roster.report_crash(child, notice, now, used=used, allowed=allowed, then=then)

    # Timers

    def _due(self, due: RetryDue | StartOverdue | StopOverdue | GroupDue, now: float) -> None:
        if isinstance(due, GroupDue):
            self._restarts.delay_over(due)
            return
        child = self._roster.table.get(due.child)
        if child is None or child.generation != due.generation:
            return  # it fell due while it was cancelled
        match due:
            case RetryDue():
                waits = child.state is ChildState.RESTARTING and not child.live and self._roster.ending is None
                # A group may have taken it in as this fell due: it would be started twice.
                if waits and not self._restarts.holds(child):
                    self._roster.begin_attempt(child, now)
            case StartOverdue():
                # Also when it was told to stop meanwhile: a start that hangs hears of that no sooner.
                if child.live and not child.started:
                    self._roster.note(Abandon(child.id, child.generation, child.spec.start_timeout))
            case StopOverdue():
                if child.live and child.state is ChildState.STOPPING:
                    self._roster.note(Abandon(child.id, child.generation, stop_patience(child.spec)))
            case _:
                assert_never(due)

    # The end

    def _begin_ending(self, reason: ExitReason, now: float) -> None:
        roster = self._roster
        if roster.ending is not None:
            return
        roster.ending = reason
        roster.to_boot.clear()
        self._after_boot.clear()
        self._restarts.call_off(SHUTTING_DOWN, now)
        self._to_stop = list(roster.table.rows)
        for child in tuple(roster.table.rows.values()):
            if not child.live and child.state in (ChildState.WAITING, ChildState.RESTARTING):
                roster.call_off(child, reason)
            elif child.live and roster.membership is Membership.DYNAMIC and child.state is not ChildState.STOPPING:
                roster.stop(child, SHUTTING_DOWN)  # all at once, as Elixir's

    def _go_on_ending(self) -> None:
        """Stop the last child that is still alive; when none is, end."""
        roster = self._roster
        if roster.ending is None or self._ended:
            return
        while self._to_stop:
            child = roster.table.get(self._to_stop[-1])
            if child is not None and child.live:
                if child.state is not ChildState.STOPPING:
                    roster.stop(child, SHUTTING_DOWN)
                return
            self._to_stop.pop()  # nothing starts while ending, so it is looked at once
        self._ended = True
        roster.note(End(roster.ending))


def _is_clean(child: Child, notice: Exited) -> bool:
    """Whether a child that was told to stop did so as asked (B 1.6, "Outcome is clean if")."""
    if isinstance(child.spec.shutdown, BrutalKill) and isinstance(notice.reason, Killed):
        return not notice.abandoned
    return not is_abnormal(notice.reason)
