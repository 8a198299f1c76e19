"""What the end of a child's incarnation means for the child, its siblings and the supervisor.

An end that its supervisor asked for leaves the child at rest; any other one is told, and decided
by the table of restart types and exit reasons (`_decision`). The first start is never retried and
its failure ends the supervisor; a start by hand is not retried either, and its caller is told.
"""

from typing import assert_never, final

from treewarden.actors import (
    BrutalKill,
    ChildAbandoned,
    ChildDeclined,
    ChildExited,
    ChildFailed,
    ChildStartFailed,
    ChildStopped,
    Crashed,
    Exited,
    Killed,
    Restart,
    Shutdown,
    Unresponsive,
    is_abnormal,
)
from treewarden.supervision_trees._boot import Boot
from treewarden.supervision_trees._children import ChildState
from treewarden.supervision_trees._decision import AfterExit, after_exit, is_unrecoverable
from treewarden.supervision_trees._effects import Refused, StartChild
from treewarden.supervision_trees._ending import Ending
from treewarden.supervision_trees._errors import StartFailed
from treewarden.supervision_trees._restarts import Restarted, Restarts
from treewarden.supervision_trees._roster import Membership, Roster
from treewarden.supervision_trees._strategy import Strategy
from treewarden.supervision_trees._table import Slot

__all__ = ["Exits"]


@final
class Exits:
    """Takes the ends of one supervisor's children. Not thread-safe: one state machine owns it."""

    def __init__(self, roster: Roster, restarts: Restarts, boot: Boot, ending: Ending) -> None:
        self._roster, self._restarts, self._boot, self._ending = roster, restarts, boot, ending

    def declined(self, child: Slot, now: float) -> None:
        """The incarnation of `child` has ended before it started, as it wanted to: no failure."""
        roster = self._roster
        self._cancel_timers(child)
        roster.emit(ChildDeclined(roster.path_of(child), child.generation))
        child.live = False
        roster.answer_start(child, None)
        if roster.ending is None and self._restarts.collects(child):
            # Its group starts it again: at rest meanwhile, it could be started by hand as well, and would run twice.
            self._restarts.collect(child, now)
        else:
            roster.rest(child, ChildState.STOPPED)
        roster.answer_stops(child)
        self._settled(child)

    def exited(self, child: Slot, notice: Exited, now: float) -> None:
        """The incarnation of `child` has ended."""
        roster, was = self._roster, child.state
        self._cancel_timers(child)
        child.live, child.ready, child.last_exit = False, False, notice.reason
        self._ending.enter(notice.report)
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

    def boot_is_over(self, now: float) -> None:
        """Follow the ends that had to wait for the boot."""
        for notice, uptime in self._boot.take_ends():
            child = self._roster.table.get(notice.child)
            # Terminated meanwhile, or restarted with the group of the one before?
            if child is None or child.generation != notice.generation or child.state is not ChildState.RESTARTING:
                continue
            if not self._restarts.collects(child):
                self._follow(child, self._restarts.restart_reported(child, now, uptime=uptime), now)

    def _cancel_timers(self, child: Slot) -> None:
        self._roster.start_is_over(child)
        self._roster.stop_is_over(child)

    def _settled(self, child: Slot) -> None:
        """The attempt to start `child` is over: boot and group may go on to the next."""
        self._boot.settled(child)
        self._restarts.settled(child)

    def _emit_end(self, child: Slot, was: ChildState, notice: Exited) -> None:
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

    def _stopped(self, child: Slot, notice: Exited) -> None:
        roster = self._roster
        roster.answer_start(child, Refused(StartFailed(roster.path_of(child), notice.reason)))
        roster.answer_stops(child)
        self._settled(child)

    def _start_failed(self, child: Slot, notice: Exited, now: float) -> None:
        roster, reason = self._roster, notice.reason
        failed = StartFailed(roster.path_of(child), reason)
        was_booting = self._boot.current == child.id
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
            self._ending.begin(Crashed(failed), now)
        elif child.spec.restart is Restart.TEMPORARY:
            roster.forget(child)
            self._report(child, notice, now, then="it is temporary and forgotten")
        else:
            # Whatever the reason: OTP tries a failed restart again even when a transient child's start
            # failed with `shutdown` (B 1.7), as a supervisor's does that gives up while it starts.
            self._restart(child, notice, now, uptime=0.0)

    # Ends that nobody asked for

    def _ended_by_itself(self, child: Slot, notice: Exited, now: float, *, uptime: float) -> None:
        step = after_exit(child.spec.restart, notice.reason)
        match step:
            case AfterExit.RESTART:
                self._restart(child, notice, now, uptime=uptime)
            case AfterExit.KEEP:
                self._roster.rest(child, ChildState.STOPPED)
                self._ending.ended_for_good(child, now)
            case AfterExit.FORGET:
                self._roster.forget(child)
                self._report(child, notice, now, then="it is temporary and forgotten")
                self._ending.ended_for_good(child, now)
            case _:
                assert_never(step)

    def _restart(self, child: Slot, notice: Exited, now: float, *, uptime: float) -> None:
        if self._boot.over or self._restarts.settings.strategy is Strategy.ONE_FOR_ONE:
            self._follow(child, self._restarts.restart(child, notice, now, uptime=uptime), now)
            return
        # As in OTP a group is restarted only when the boot is over: stopping children that are still to
        # be started for the first time would turn first starts, which are never retried, into restarts.
        self._roster.table.enter(child, ChildState.RESTARTING)
        self._report(child, notice, now, then="it is restarted when its supervisor has started")
        self._boot.postpone(notice, uptime)

    def _follow(self, child: Slot, outcome: Restarted, now: float) -> None:
        match outcome:
            case Restarted.GOES_ON:
                pass
            case Restarted.PARKED:
                self._ending.ended_for_good(child, now)
            case Restarted.GIVES_UP:
                self._ending.begin(Shutdown("intensity"), now)
            case _:
                assert_never(outcome)

    def _park(self, child: Slot, notice: Exited, now: float) -> None:
        """Its stored state cannot be restored: starting again would not help, starting empty would lose it (A.18)."""
        roster = self._roster
        roster.park(child)
        self._report(child, notice, now, then="it is parked as failed; its siblings go on")
        error = notice.reason.error if isinstance(notice.reason, Crashed) else None
        roster.emit(ChildFailed(roster.path_of(child), 0, 0.0, str(error)))
        self._ending.ended_for_good(child, now)

    def _report(self, child: Slot, notice: Exited, now: float, *, then: str) -> None:
        window = self._restarts.window if child.window is None else child.window
        used, allowed = window.used(self._restarts.window_time(now)), window.limit.restarts
        self._roster.report_crash(child, notice, now, used=used, allowed=allowed, then=then)


def _is_clean(child: Slot, notice: Exited) -> bool:
    """Whether a child that was told to stop did so as asked (B 1.6, "Outcome is clean if")."""
    if isinstance(child.spec.shutdown, BrutalKill) and isinstance(notice.reason, Killed):
        return not notice.abandoned
    return not is_abnormal(notice.reason)
