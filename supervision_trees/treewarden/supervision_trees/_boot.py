"""The boot of a supervisor: its children's first starts, from left to right, one at a time.

A child that waits for a sibling holds up nobody. What must not happen before the boot is over
waits here: under a group strategy, the restart of a child that ended meanwhile.
"""

from typing import final

from treewarden.actors import ChildId, Exited
from treewarden.supervision_trees._effects import AnnounceStarted
from treewarden.supervision_trees._roster import Roster
from treewarden.supervision_trees._table import Slot

__all__ = ["Boot"]


@final
class Boot:
    """Starts the children of one roster for the first time. Not thread-safe: one state machine owns it."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._current: ChildId | None = None
        self._over = False
        self._ends: list[tuple[Exited, float]] = []  # those that wait, with the uptime before them

    @property
    def over(self) -> bool:
        """Whether every child has started, or waits for a sibling."""
        return self._over

    @property
    def current(self) -> ChildId | None:
        """The child that is in its first start."""
        return self._current

    def go_on(self, now: float) -> bool:
        """Start the next child, if it is time for that; whether this step ended the boot."""
        to_boot = self._roster.to_boot
        while self._current is None and to_boot:
            child, _ = to_boot.popitem(last=False)
            if self._roster.begin_attempt(self._roster.table.rows[child], now).live:
                self._current = child
        if self._current is not None or self._over:
            return False
        self._over = True
        self._roster.note(AnnounceStarted())
        return True

    def settled(self, child: Slot) -> None:
        """The attempt to start `child` is over, whatever came of it."""
        if self._current == child.id:
            self._current = None

    def postpone(self, notice: Exited, uptime: float) -> None:
        """Keep an end that is to be followed when the boot is over."""
        self._ends.append((notice, uptime))

    def take_ends(self) -> list[tuple[Exited, float]]:
        """The ends that were postponed, in their order, each with the uptime before it. Given once."""
        ends, self._ends = self._ends, []
        return ends

    def call_off(self) -> None:
        """Start nobody any more, and follow no end."""
        self._roster.to_boot.clear()
        self._ends.clear()
