"""What a benchmark gives back, and how it is judged and shown."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self

__all__ = ["FULL", "QUICK", "TINY", "Effort", "Figure", "Row", "Target"]

Figure = Literal["p50", "p99", "min", "max", "ratio"]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: `rounds` in which all that is compared takes its turn, and `samples` in each.

    Where rates are compared a round is one sample, of so many `seconds` for each contender.
    """

    rounds: int
    samples: int
    seconds: float


FULL: Final = Effort(rounds=5, samples=40, seconds=0.5)
QUICK: Final = Effort(rounds=2, samples=4, seconds=0.05)
TINY: Final = Effort(rounds=1, samples=1, seconds=0.0)  # to see that it runs, no more


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached: `figure` is `at_most` so much, `at_least` so much, or both."""

    figure: Figure
    at_most: float | None = None
    at_least: float | None = None

    def is_met(self, figures: Mapping[Figure, float]) -> bool:
        """Whether `figures` reach it."""
        value = figures[self.figure]
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)


@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured, with all its samples in `unit`.

    `base` holds the samples of what it is compared with, one for each of its own and of the same
    round: the figure `ratio` is the median of the rounds' ratios, which a machine that changes its
    speed between rounds does not disturb. A `must` that is missed fails the run, an `aim` is shown.
    A row that was `skipped` says why and has no samples.
    """

    name: str
    unit: str
    samples: Sequence[float] = ()
    must: Target | None = None
    aim: Target | None = None
    base: Sequence[float] = ()
    skipped: str | None = None

    @classmethod
    def failed(cls, name: str, error: Exception) -> Self:
        """The row of a benchmark that could not be run to its end, which counts as a miss."""
        return cls(name, "", must=Target("p50"), skipped=f"failed: {type(error).__name__}: {error}")

    def figures(self) -> dict[Figure, float]:
        """Median, tail, extremes, and the ratio if there is something to compare with."""
        if not self.samples:
            return {}
        ordered = sorted(self.samples)
        figures: dict[Figure, float] = {
            "p50": statistics.median(ordered),
            "p99": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
            "min": ordered[0],
            "max": ordered[-1],
        }
        if self.base:
            pairs = zip(self.samples, self.base, strict=True)
            figures["ratio"] = statistics.median(own / other for own, other in pairs)
        return figures

    def reaches(self, target: Target | None) -> bool:
        """Whether `target` is met; without samples none is."""
        return target is None or (bool(self.samples) and target.is_met(self.figures()))

    def is_met(self) -> bool:
        """Whether what must be reached is."""
        return self.reaches(self.must)
