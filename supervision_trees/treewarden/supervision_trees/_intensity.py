"""Restart budget: how many restarts may be spent in a sliding window.

Pure: no clock, no threads. The rule is OTP's `add_restart` with float seconds: an event exactly
`within` seconds old still counts, and MORE than `restarts` events in the window are too many
(supervision.md A.3, B 1.5). Not fair between children: a supervisor's window is shared by all of
them, unless a child brings its own.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import final

from treewarden.actors import Intensity

__all__ = ["Exhausted", "RestartWindow"]


@final
@dataclass(frozen=True, slots=True)
class Exhausted:
    """The budget does not allow one more; `spent` are the times in the window, this one included."""

    spent: tuple[float, ...]


@final
@dataclass(frozen=True, slots=True)
class RestartWindow:
    """A limit and what was spent of it; times are monotonic seconds, oldest first."""

    limit: Intensity
    spent: tuple[float, ...] = ()

    def spend(self, now: float) -> "RestartWindow | Exhausted":
        """Spend one restart at `now`."""
        recent = (*self._recent(now), now)
        return replace(self, spent=recent) if len(recent) <= self.limit.restarts else Exhausted(recent)

    def used(self, now: float) -> int:
        """How many restarts count at `now`."""
        return len(self._recent(now))

    def _recent(self, now: float) -> tuple[float, ...]:
        within = self.limit.within
        # The oldest are over first, so a look at each would only cost more the more there were.
        return self.spent[bisect_left(self.spent, 1, key=lambda at: now - at <= within) :]
