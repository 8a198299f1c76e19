"""What a restart costs, when it happens, and whom it takes along: OTP's strategies over one roster.

Under one_for_one a child is restarted alone. Under one_for_all and rest_for_one its end concerns a
*group* (all children, or those from it on): they are stopped from right to left, one at a time,
then, once the culprit's backoff is over, started from left to right, one at a time. A group
restart costs one unit (supervision.md A.8, B 1.4), each failed attempt one more (B 1.5).

While a group is under way nothing waits for it, and what happens meanwhile joins it (A.5):

- a member that ends by itself while its group is being stopped is one of the group: no charge;
- any other end that calls for a restart is charged, and widens the group to what it concerns;
- a member that somebody terminates leaves the group; if it is the culprit, the whole group
  restart is called off and what was stopped for it stays stopped (B 1.7).

Where this differs from OTP on purpose (docs/decisions/0002): the time in which a group is being
stopped does not count for the window, so a sibling that is slow to stop cannot make a crash loop
look slow (A.3; erlang/otp#1287); and a parked child is not brought back by its group.
"""

import enum
import itertools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, assert_never, final

from treewarden.actors import (
    ChildFailed,
    ChildId,
    ChildRestarting,
    Exited,
    GroupRestarting,
    Restart,
    Shutdown,
    SupervisorGaveUp,
    is_abnormal,
)
from treewarden.supervision_trees._backoff import restart_delay, starts_afresh
from treewarden.supervision_trees._children import ChildState, CrashRecord
from treewarden.supervision_trees._effects import GroupDue, Remember, RetryDue
from treewarden.supervision_trees._intensity import Exhausted, RestartWindow
from treewarden.supervision_trees._roster import Roster
from treewarden.supervision_trees._strategy import Strategy, SupervisorSettings
from treewarden.supervision_trees._table import Slot

__all__ = ["Recalled", "Restarted", "Restarts"]

GROUP_RESTART: Final = Shutdown("a sibling is restarted")


@final
class Restarted(enum.Enum):
    """What came of a child that is to be restarted."""

    GOES_ON = "goes on"  # it was started again, or will be
    PARKED = "parked"  # its own limit is used up
    GIVES_UP = "gives up"  # the supervisor's is


@final
@dataclass(frozen=True, slots=True)
class Recalled:
    """What an earlier runtime knew of a child; ages in seconds (A.17)."""

    failures: int = 0
    own_ages: tuple[float, ...] = ()
    crashes: tuple[CrashRecord, ...] = ()


@final
class _Phase(enum.Enum):
    STOPPING = "stopping"
    DELAYED = "delayed"
    STARTING = "starting"


@final
@dataclass(slots=True)
class _Group:
    """A group restart under way. Its members are not up again yet."""

    culprit: ChildId
    round: int
    due: float
    members: dict[ChildId, None]
    to_stop: list[ChildId]  # none to the right of its last one is alive
    phase: _Phase = _Phase.STOPPING
    to_start: OrderedDict[ChildId, None] = field(default_factory=OrderedDict[ChildId, None])
    current: ChildId | None = None  # the member in its start


@final
class Restarts:
    """Restarts children of one roster. Not thread-safe: one state machine owns it."""

    def __init__(
        self, roster: Roster, settings: SupervisorSettings, *, chance: Callable[[], float], consequence: str
    ) -> None:
        self._roster, self._chance, self._consequence = roster, chance, consequence
        self._settings = settings
        self._window = RestartWindow(settings.intensity)
        self._group: _Group | None = None
        self._rounds = itertools.count(1)
        self._paused_for = 0.0  # seconds spent on stopping groups so far
        self._paused_since: float | None = None

    @property
    def settings(self) -> SupervisorSettings:
        """What restarts go by now."""
        return self._settings

    @property
    def window(self) -> RestartWindow:
        """The supervisor's own budget; its times are those of `window_time`."""
        return self._window

    def window_time(self, now: float) -> float:
        """The time by which the window counts: it stands still while a group is being stopped."""
        paused = 0.0 if self._paused_since is None else now - self._paused_since
        return now - self._paused_for - paused

    def change(self, settings: SupervisorSettings) -> None:
        """Go by other settings; what was spent stays spent. A group under way is finished as it is."""
        self._settings = settings
        self._window = replace(self._window, limit=settings.intensity)

    def recall(self, ages: tuple[float, ...], children: dict[ChildId, Recalled], now: float) -> None:
        """Take over what an earlier runtime spent and saw. Before the boot only."""
        time = self.window_time(now)
        self._window = replace(self._window, spent=tuple(sorted(time - age for age in ages)))
        for name, known in children.items():
            child = self._roster.table.get(name)
            if child is not None:
                own = tuple(sorted(time - age for age in known.own_ages))
                if child.window is not None:
                    child.window = replace(child.window, spent=own)
                child.failures, child.crashes = known.failures, known.crashes

    # One child

    def restart(self, child: Slot, notice: Exited, now: float, *, uptime: float) -> Restarted:
        """Charge the end of `child`, report it, and have it, or its group, started again if the budget allows."""
        return self._restart(child, notice, now, uptime=uptime)

    def restart_reported(self, child: Slot, now: float, *, uptime: float) -> Restarted:
        """The same for an end that was reported when it happened."""
        return self._restart(child, None, now, uptime=uptime)

    def _restart(self, child: Slot, notice: Exited | None, now: float, *, uptime: float) -> Restarted:
        own = child.window
        window = self._window if own is None else own
        spent = window.spend(self.window_time(now))
        if isinstance(spent, Exhausted):
            return self._exhausted(child, notice, len(spent.spent), now)
        if own is None:
            self._window = spent
        failures = 1 if starts_afresh(child.spec.backoff, uptime) else child.failures + 1
        delay = restart_delay(child.spec.backoff, failures, self._chance())
        self._roster.table.enter(child, ChildState.RESTARTING)
        child.restarts += 1
        child.failures = failures
        child.window = None if own is None else spent
        child.retry_at = now + delay if delay > 0 else None
        used, allowed = len(spent.spent), window.limit.restarts
        self._roster.emit(ChildRestarting(self._roster.path_of(child), child.generation, delay, used, allowed))
        then = "it is restarted at once" if delay == 0 else f"it is restarted in {delay:g} s"
        self._report(child, notice, now, used=used, allowed=allowed, then=then)
        self._start_again(child, delay, now)
        return Restarted.GOES_ON

    def _report(self, child: Slot, notice: Exited | None, now: float, *, used: int, allowed: int, then: str) -> None:
        """Tell of an end that is not told of yet, and have what was spent remembered in any case."""
        if notice is not None and is_abnormal(notice.reason):
            self._roster.report_crash(child, notice, now, used=used, allowed=allowed, then=then)  # remembers too
        else:
            self._roster.note(Remember(child.id))

    def _start_again(self, child: Slot, delay: float, now: float) -> None:
        strategy, order = self._settings.strategy, self._roster.table.rows
        match strategy:
            case Strategy.ONE_FOR_ONE:
                self._start_alone(child, delay, now)
            case Strategy.ONE_FOR_ALL:
                self._start_with_group(child, tuple(order), delay, now)
            case Strategy.REST_FOR_ONE:
                names = tuple(order)
                self._start_with_group(child, names[names.index(child.id) :], delay, now)
            case _:
                assert_never(strategy)

    def _start_alone(self, child: Slot, delay: float, now: float) -> None:
        if delay > 0:
            self._roster.set_timer(RetryDue(child.id, child.generation), delay)
        else:
            self._roster.begin_attempt(child, now)

    def _start_with_group(self, child: Slot, scope: tuple[ChildId, ...], delay: float, now: float) -> None:
        """Start `scope` again, which is `child` and those that its end concerns."""
        group = self._group
        is_starting = group is not None and group.phase is _Phase.STARTING
        # The last child concerns nobody else. It joins a group that waits, and others may join it while
        # it waits itself (A.5). In a group that is being started it has its turn, or its own delay.
        if len(scope) > 1 or (not is_starting and (group is not None or delay > 0)):
            self._widen(child, scope, delay, now)
        elif group is not None and delay == 0:
            group.members[child.id] = group.to_start[child.id] = None
        else:
            self._start_alone(child, delay, now)

    def _exhausted(self, child: Slot, notice: Exited | None, used: int, now: float) -> Restarted:
        assert child.last_exit is not None
        roster, path = self._roster, self._roster.path_of(child)
        if child.window is not None:
            limit = child.window.limit
            roster.park(child)
            self._report(child, notice, now, used=used, allowed=limit.restarts, then="it is parked as failed")
            why = f"more than {limit.restarts} restart{'' if limit.restarts == 1 else 's'} within {limit.within:g} s"
            roster.emit(ChildFailed(path, used, limit.within, why))
            return Restarted.PARKED
        limit = self._window.limit
        then = f"{roster.path} gives up: {self._consequence}"
        roster.rest(child, ChildState.STOPPED)
        self._report(child, notice, now, used=used, allowed=limit.restarts, then=then)
        roster.emit(
            SupervisorGaveUp(
                roster.path, child.id, child.last_exit, used, limit.restarts, limit.within, self._consequence
            )
        )
        return Restarted.GIVES_UP

    # A group

    def _widen(self, culprit: Slot, scope: tuple[ChildId, ...], delay: float, now: float) -> None:
        """Begin a group restart of `scope`, or make the one under way include it."""
        group = self._group
        concerned = dict.fromkeys(scope)
        due, head = now + delay, culprit.id
        if group is not None:
            self._roster.cancel(GroupDue(group.culprit, group.round))
            if group.culprit in group.members and group.culprit not in concerned:
                head = group.culprit  # its group goes on without the new one, should that be terminated
            # The member in its start stays with the group only if this end concerns it too; else it goes on alone.
            concerned |= {name: None for name in group.members if name != group.current}
            due = max(due, group.due)
        rows = self._roster.table.rows
        members = {name: None for name in rows if name in concerned}
        # The longest delay counts, also that of a member that waited for a start of its own.
        due = max(due, *(retry_at for name in members if (retry_at := rows[name].retry_at) is not None), now)
        self._group = group = _Group(head, next(self._rounds), due, members, to_stop=list(members))
        others = tuple(name for name in members if name != culprit.id)
        if others:
            self._roster.emit(GroupRestarting(self._roster.path, culprit.id, others))
        if self._paused_since is None:
            self._paused_since = now
        for name in tuple(members):
            child = self._roster.table.rows[name]
            if child.state is ChildState.FAILED:
                del members[name]  # parked: only a person revives it, or nothing would stop the loop
            elif not child.live:
                self._await_group(group, child, now)

    def _await_group(self, group: _Group, child: Slot, now: float) -> None:
        """Let a member without an incarnation wait for the start of its group. Temporary ones do not come back."""
        if child.retry_at is not None:
            self._roster.cancel(RetryDue(child.id, child.generation))
        if child.spec.restart is Restart.TEMPORARY:
            del group.members[child.id]
            self._roster.call_off(child, GROUP_RESTART)
        else:
            due = group.due if group.due > now else None
            self._roster.table.enter(child, ChildState.RESTARTING)
            child.ready, child.retry_at = False, due

    def collects(self, child: Slot) -> bool:
        """Whether the group waits for `child` to end: its end is no event of its own then."""
        group = self._group
        return group is not None and group.phase is _Phase.STOPPING and child.id in group.members

    def collect(self, child: Slot, now: float) -> None:
        """A member has ended as its group wanted, or by itself meanwhile."""
        assert self._group is not None
        self._await_group(self._group, child, now)

    def holds(self, child: Slot) -> bool:
        """Whether `child` is to be started with its group, so that no timer of its own may start it."""
        return self._group is not None and child.id in self._group.members

    def settled(self, child: Slot) -> None:
        """The attempt to start `child` is over, whatever came of it."""
        group = self._group
        if group is not None and group.current == child.id:
            group.current = None
            group.members.pop(child.id, None)

    def leave(self, child: Slot, reason: Shutdown, now: float) -> None:
        """Take `child`, which somebody terminates, out of the group; with its culprit the group is called off."""
        group = self._group
        if self.drop(child) and group is not None and child.id == group.culprit:
            self.call_off(reason, now)

    def drop(self, child: Slot) -> bool:
        """Take `child` out of the group, which goes on; whether it was in it."""
        group = self._group
        if group is None or child.id not in group.members:
            return False
        del group.members[child.id]
        group.to_start.pop(child.id, None)
        return True

    def call_off(self, reason: Shutdown, now: float) -> None:
        """Start no group again; what was stopped for one stays stopped."""
        group, self._group = self._group, None
        self._resume_time(now)
        if group is None:
            return
        self._roster.cancel(GroupDue(group.culprit, group.round))
        for name in group.members:
            child = self._roster.table.get(name)
            if child is not None and not child.live and child.state is ChildState.RESTARTING:
                self._roster.call_off(child, reason)

    def delay_over(self, due: GroupDue) -> None:
        """The delay before the group's start is over."""
        group = self._group
        if group is not None and group.round == due.round and group.phase is _Phase.DELAYED:
            self._begin_start(group)

    def go_on(self, now: float) -> None:
        """Stop the group's next member, or start its next one, if it is time for that."""
        group = self._group
        if group is None:
            return
        if group.phase is _Phase.STOPPING:
            self._stop_next(group, now)
        if group.phase is _Phase.STARTING:
            self._start_next(group, now)

    def _stop_next(self, group: _Group, now: float) -> None:
        while group.to_stop:
            child = self._roster.table.get(group.to_stop[-1])
            if child is not None and child.live and child.id in group.members:
                if child.state is not ChildState.STOPPING:
                    self._roster.stop(child, GROUP_RESTART)
                return
            group.to_stop.pop()
        self._resume_time(now)
        if group.due > now:
            group.phase = _Phase.DELAYED
            self._roster.set_timer(GroupDue(group.culprit, group.round), group.due - now)
        else:
            self._begin_start(group)

    def _begin_start(self, group: _Group) -> None:
        group.phase = _Phase.STARTING
        # Of those that joined since, in their order now: `change` may have moved them.
        table = self._roster.table
        group.to_start = OrderedDict.fromkeys(name for name in table.rows if name in group.members)
        for name in group.to_start:
            table.rows[name].retry_at = None  # its time has come

    def _start_next(self, group: _Group, now: float) -> None:
        while group.current is None and group.to_start:
            name, _ = group.to_start.popitem(last=False)
            if self._roster.begin_attempt(self._roster.table.rows[name], now).live:
                group.current = name
            else:
                del group.members[name]  # it waits for a sibling, and holds up nobody
        if group.current is None:
            self._group = None

    def _resume_time(self, now: float) -> None:
        if self._paused_since is not None:
            self._paused_for += now - self._paused_since
            self._paused_since = None
