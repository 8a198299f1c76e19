"""What a benchmark gives back, and how it is judged and shown."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Row", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """What must be reached: the named quantile is `at_most` so much."""

    quantile: Literal["p50", "p99", "max"]
    at_most: float


@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured, with all its samples in `unit`."""

    name: str
    unit: str
    samples: Sequence[float]
    target: Target | None = None

    def figures(self) -> dict[str, float]:
        """Median, tail and extremes."""
        ordered = sorted(self.samples)
        return {
            "p50": statistics.median(ordered),
            "p99": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
            "min": ordered[0],
            "max": ordered[-1],
        }

    def is_met(self) -> bool:
        """Whether the target, if there is one, is reached."""
        return self.target is None or self.figures()[self.target.quantile] <= self.target.at_most
