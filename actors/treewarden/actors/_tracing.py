"""How long a trace goes on: a budget of lines, a time, and a rate. Pure.

A trace that somebody forgot must not flood the log for ever (OTP's `sys:trace` has no end; its
users reach for redbug's limits). So each trace ends by itself, at its count or at its time,
whichever comes first, and in between shows at most so many lines a second.
"""

import enum
from dataclasses import dataclass, replace
from typing import final

__all__ = ["TraceBudget", "TraceOptions", "TraceVerdict", "admit", "open_budget"]

SECOND = 1.0


@final
@dataclass(frozen=True, slots=True)
class TraceOptions:
    """When a trace ends by itself, and how fast it may go.

    It ends after `limit` lines or `within` seconds. Of the lines beyond `per_second` in one second
    only the number is told, in the line that says that the trace has ended.

    Raises:
        ValueError: if a bound is not above 0.
    """

    limit: int = 100
    within: float = 60.0
    per_second: int = 50

    def __post_init__(self) -> None:
        for name, found in (("limit", self.limit), ("within", self.within), ("per_second", self.per_second)):
            if not found > 0:
                raise ValueError(f"TraceOptions({name}={found!r}): expected a number above 0")


@final
@dataclass(frozen=True, slots=True)
class TraceBudget:
    """What is left of a trace: `left` lines, until `until` on the monotonic clock."""

    options: TraceOptions
    until: float
    left: int
    second_began: float
    in_second: int = 0
    left_out: int = 0


@final
class TraceVerdict(enum.Enum):
    """What becomes of one line."""

    SHOW = "show"
    SHOW_AND_END = "show and end"  # it is the last
    LEAVE_OUT = "leave out"  # too many in this second
    END = "end"  # its time is over; this line is not shown


def open_budget(options: TraceOptions, now: float) -> TraceBudget:
    """A trace that begins now."""
    return TraceBudget(options, until=now + options.within, left=options.limit, second_began=now)


def admit(budget: TraceBudget, now: float) -> tuple[TraceBudget, TraceVerdict]:
    """Decide on a line at `now`. A second is counted from the first line in it."""
    if now >= budget.until:
        return budget, TraceVerdict.END
    if now - budget.second_began >= SECOND:
        budget = replace(budget, second_began=now, in_second=0)
    if budget.in_second >= budget.options.per_second:
        return replace(budget, left_out=budget.left_out + 1), TraceVerdict.LEAVE_OUT
    budget = replace(budget, left=budget.left - 1, in_second=budget.in_second + 1)
    return budget, TraceVerdict.SHOW if budget.left else TraceVerdict.SHOW_AND_END
