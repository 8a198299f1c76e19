"""The supervisor's decisions: a state machine without pykka, clock, threads or chance of its own.

`handle(input, now)` takes one input and returns the effects to carry out, in order. Everything a
supervisor does follows from the table of its children, so that it is tested by feeding inputs.
Here is where each input goes, and what the start of a child and a timer mean. `_boot` has the
first starts, `_exits` says what the end of a child means, `_restarts` decides restarts, `_calls`
takes calls, `_ending` ends the supervisor, `_roster` has the steps they share.

The table is one that the machine owns and changes, not a frozen mapping that it returns: copying
it for each exit would make a supervisor of n children cost n per event (docs/decisions/0002). What
others see of it are frozen `Child` values, made when they look (docs/decisions/0017). For the same
reason no input is answered by a look at every child, except the order to shut down, a change, a
group restart and the end of a significant child.

Rules (supervision.md): children start from left to right, the first start is never retried and its
failure ends the supervisor; later failures are charged to an intensity window; children stop from
right to left, one at a time, each within its own time; what ended late is taken for an
`Unresponsive` and fenced; notices of earlier generations are ignored, and counted by an event.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import assert_never, final

from treewarden.actors import (
    ActorPath,
    ChildId,
    ChildReady,
    ChildSpec,
    ChildStarted,
    Declined,
    Exited,
    Generation,
    MessageFenced,
    Ready,
    Started,
    StopReport,
    child_path,
)
from treewarden.supervision_trees._boot import Boot
from treewarden.supervision_trees._calls import Calls
from treewarden.supervision_trees._children import Child, ChildState
from treewarden.supervision_trees._effects import (
    Abandon,
    Effect,
    GroupDue,
    Request,
    RetryDue,
    ShutDown,
    StartOverdue,
    StopOverdue,
    SupervisorInput,
    Up,
)
from treewarden.supervision_trees._ending import Ending
from treewarden.supervision_trees._exits import Exits
from treewarden.supervision_trees._intensity import RestartWindow
from treewarden.supervision_trees._restarts import Recalled, Restarts
from treewarden.supervision_trees._roster import Membership, Roster, stop_patience
from treewarden.supervision_trees._strategy import SupervisorSettings
from treewarden.supervision_trees._table import SeenChildren, Slot

__all__ = ["SupervisorMachine"]


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
        self._seen = SeenChildren(self._roster.table)
        self._restarts = Restarts(self._roster, settings, chance=chance, consequence=consequence)
        self._calls = Calls(self._roster, self._restarts, max_children=max_children)
        self._boot = Boot(self._roster)
        self._ending = Ending(self._roster, self._restarts, self._boot)
        self._exits = Exits(self._roster, self._restarts, self._boot, self._ending)

    # What the actor reads

    @property
    def children(self) -> Mapping[ChildId, Child]:
        """The table, in start order; each child as it is when it is looked up."""
        return self._seen

    def running_spec(self, child: ChildId, generation: Generation) -> ChildSpec | None:
        """The spec of `child`, if its living incarnation is of that generation."""
        slot = self._roster.table.get(child)
        return slot.spec if slot is not None and slot.live and slot.generation == generation else None

    def failing(self) -> tuple[Child, ...]:
        """The children whose failures in a row are counted, in start order."""
        return tuple(slot.seen() for slot in self._roster.table.rows.values() if slot.failures)

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
        return self._ending.report

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
                self._ending.begin(reason, now)
            case _:
                assert_never(event)
        self._go_on(now)
        return self._roster.take_effects()

    def _go_on(self, now: float) -> None:
        """Do the next step of what is under way: the end, or the boot and a group restart."""
        if self._roster.ending is None:
            if not self._boot.over and self._boot.go_on(now):
                self._exits.boot_is_over(now)
                self._ending.boot_is_over(now)
            self._restarts.go_on(now)
        if self._roster.ending is not None:
            self._ending.go_on()

    # Notices

    def _notice(self, notice: Started | Ready | Declined | Exited, now: float) -> None:
        child = self._roster.table.get(notice.child)
        if child is None or not child.live or child.generation != notice.generation:
            if not self._ending.over:
                # From an earlier life of the slot, or of a child forgotten since: too late to matter (A.15).
                path, late = child_path(self._roster.path, notice.child), type(notice).__name__
                self._roster.emit(MessageFenced(path, notice.generation, late))
            return
        match notice:
            case Started(ready=ready):
                self._started(child, ready=ready, now=now)
            case Ready():
                self._became_ready(child, self._roster.path_of(child), now)
            case Declined():
                self._exits.declined(child, now)
            case Exited():
                self._exits.exited(child, notice, now)
            case _:
                assert_never(notice)

    def _started(self, child: Slot, *, ready: bool, now: float) -> None:
        roster = self._roster
        roster.start_is_over(child)
        child.started, child.started_at, child.ran = True, now, child.generation
        if child.state is ChildState.STOPPING:
            return  # told to stop while it started; its end is on the way
        roster.table.enter(child, ChildState.RUNNING)
        roster.note(Up(child.id, child.generation))
        path = roster.path_of(child)
        roster.emit(ChildStarted(path, child.generation))
        roster.answer_start(child, child.id)
        if ready:
            self._became_ready(child, path, now)
        self._boot.settled(child)
        self._restarts.settled(child)

    def _became_ready(self, child: Slot, path: ActorPath, now: float) -> None:
        roster = self._roster
        if child.state is ChildState.RUNNING:
            child.ready = True
            roster.emit(ChildReady(path, child.generation))
            for dependent in roster.table.dependents(child.id):
                if dependent.state is ChildState.WAITING and not roster.table.lacking(dependent.spec):
                    roster.begin_attempt(dependent, now)

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
                child.start_overdue = None
                if child.live and not child.started:
                    self._roster.note(Abandon(child.id, child.generation, child.spec.start_timeout))
            case StopOverdue():
                child.stop_overdue = None
                if child.live and child.state is ChildState.STOPPING:
                    self._roster.note(Abandon(child.id, child.generation, stop_patience(child.spec)))
            case _:
                assert_never(due)
