"""When a dispatcher needs more workers: what its watcher decides at each look at the run queue.

Pure. A run queue that nobody empties has one of two causes. Either the workers block in somebody's
code without a word: then each look may add twice as many as the one before, so that sixty-four stuck
handlers are made up for within a few looks. Or they compute: under one interpreter lock more threads
would only take turns, so workers are added one at a time and ever more rarely.

Not promised: telling the two apart for sure. Both ways end at the dispatcher's limit.
"""

from dataclasses import dataclass
from typing import Final, final

__all__ = ["Growth", "Look", "Step", "grow"]

COMPUTING: Final = 0.7  # of one core: from here on the workers are at work, not stuck
LONGEST_PAUSE: Final = 1024  # looks
MOST_AT_ONCE: Final = 1024  # workers; at a dispatcher's limit the looks go on for as long as its handlers are stuck


@final
@dataclass(frozen=True, slots=True)
class Look:
    """What was seen: since the look before, and now."""

    queued: int  # runnables that wait for a worker
    idle: int  # workers that wait for a runnable
    moved: bool  # whether any worker came to the end of a turn since
    used: float  # cores that the workers used since


@final
@dataclass(frozen=True, slots=True)
class Growth:
    """What the next look must know: how many to add, and how long to pause before one more."""

    burst: int = 1  # workers to add if they are stuck
    pause: int = 1  # looks between two additions if they compute
    paused: int = 0  # looks since the last


@final
@dataclass(frozen=True, slots=True)
class Step:
    """What to do now."""

    growth: Growth
    wake: int = 0  # idle workers
    add: int = 0  # workers


def grow(growth: Growth, look: Look) -> Step:
    """What to do about what was seen."""
    if not look.queued:
        return Step(Growth())
    if look.idle:
        return Step(growth, wake=min(look.idle, look.queued))
    if look.moved:
        return Step(growth)
    if look.used < COMPUTING:
        return Step(Growth(min(2 * growth.burst, MOST_AT_ONCE), growth.pause), add=min(growth.burst, look.queued))
    if growth.paused + 1 < growth.pause:
        return Step(Growth(growth.burst, growth.pause, growth.paused + 1))
    return Step(Growth(growth.burst, min(2 * growth.pause, LONGEST_PAUSE)), add=1)
