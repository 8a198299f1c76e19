"""The end of a supervisor: what calls for it, in which order its children stop, and its report.

Children stop from right to left, one at a time, each within its own time; those of a dynamic
supervisor all at once, as Elixir's. Automatic shutdown (B 1.9) is looked at here, when a child has
ended by itself and is not restarted.
"""

from typing import Final, assert_never, final

from treewarden.actors import ActorPath, ChildId, ExitReason, Shutdown, StopReport
from treewarden.supervision_trees._boot import Boot
from treewarden.supervision_trees._children import ChildState
from treewarden.supervision_trees._effects import End
from treewarden.supervision_trees._restarts import Restarts
from treewarden.supervision_trees._roster import Membership, Roster
from treewarden.supervision_trees._strategy import AutoShutdown
from treewarden.supervision_trees._table import Slot

__all__ = ["Ending"]

SHUTTING_DOWN: Final = Shutdown("its supervisor stops")
ALIVE: Final = frozenset(ChildState) - {ChildState.STOPPED, ChildState.FAILED}


@final
class Ending:
    """Ends the supervisor of one roster. Not thread-safe: one state machine owns it."""

    def __init__(self, roster: Roster, restarts: Restarts, boot: Boot) -> None:
        self._roster, self._restarts, self._boot = roster, restarts, boot
        self._over = False
        self._auto_shutdown_due = False
        self._to_stop: list[ChildId] = []  # while ending: none to the right of its last one is alive
        self._stopped_paths: list[ActorPath] = []
        self._abandoned_paths: dict[ActorPath, None] = {}
        self._orphaned_pids: dict[int, None] = {}

    @property
    def over(self) -> bool:
        """Whether no child is left: nothing follows any more."""
        return self._over

    @property
    def report(self) -> StopReport:
        """Who stopped in the supervisor's own end, and what was left behind at any time (each named once)."""
        return StopReport(tuple(self._stopped_paths), tuple(self._abandoned_paths), tuple(self._orphaned_pids))

    def enter(self, report: StopReport) -> None:
        """Take into the report what became of a child and of everything below it."""
        # What was left behind counts for ever; who stopped, only for the supervisor's own end.
        if report.abandoned or report.orphaned_pids:
            self._abandoned_paths.update(dict.fromkeys(report.abandoned))
            self._orphaned_pids.update(dict.fromkeys(report.orphaned_pids))
        if self._roster.ending is not None:
            self._stopped_paths.extend(report.stopped)

    # The order of stops

    def begin(self, reason: ExitReason, now: float) -> None:
        """End, because of `reason`, unless an end is under way."""
        roster = self._roster
        if roster.ending is not None:
            return
        roster.ending = reason
        self._boot.call_off()
        self._restarts.call_off(SHUTTING_DOWN, now)
        self._to_stop = list(roster.table.rows)
        for child in tuple(roster.table.rows.values()):
            if not child.live and child.state in (ChildState.WAITING, ChildState.RESTARTING):
                roster.call_off(child, reason)
            elif child.live and roster.membership is Membership.DYNAMIC and child.state is not ChildState.STOPPING:
                roster.stop(child, SHUTTING_DOWN)  # all at once, as Elixir's

    def go_on(self) -> None:
        """Stop the last child that is still alive; when none is, end."""
        roster = self._roster
        assert roster.ending is not None
        if self._over:
            return
        while self._to_stop:
            child = roster.table.get(self._to_stop[-1])
            if child is not None and child.live:
                if child.state is not ChildState.STOPPING:
                    roster.stop(child, SHUTTING_DOWN)
                return
            self._to_stop.pop()  # nothing starts while ending, so it is looked at once
        self._over = True
        roster.note(End(roster.ending))

    # Automatic shutdown

    def ended_for_good(self, child: Slot, now: float) -> None:
        """A child ended by itself and is not restarted."""
        if not child.spec.significant or self._roster.ending is not None:
            return
        if not self._boot.over:
            self._auto_shutdown_due = True  # as in OTP it is looked at when the boot is over
        elif self._calls_for_shutdown():
            self.begin(Shutdown("auto_shutdown"), now)

    def boot_is_over(self, now: float) -> None:
        """Look at what ended for good meanwhile."""
        if self._auto_shutdown_due and self._calls_for_shutdown():
            self.begin(Shutdown("auto_shutdown"), now)

    def _calls_for_shutdown(self) -> bool:
        auto = self._restarts.settings.auto_shutdown
        match auto:
            case AutoShutdown.NEVER:
                return False
            case AutoShutdown.ANY_SIGNIFICANT:
                return True
            case AutoShutdown.ALL_SIGNIFICANT:
                return not any(self._is_significant_and_alive(child) for child in self._roster.table.rows.values())
            case _:
                assert_never(auto)

    def _is_significant_and_alive(self, child: Slot) -> bool:
        if not child.spec.significant or child.state not in ALIVE:
            return False
        # One that a call is stopping counts as gone, as if that call had been answered already: its end, which
        # says nothing, will not be the occasion to look again. Unless its group brings it back.
        leaving = child.state is ChildState.STOPPING and self._roster.is_stopped_by_hand(child)
        return not leaving or self._restarts.collects(child)
