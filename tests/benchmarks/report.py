"""A run and how it is shown: as lines, as JSON, as a page of the documentation."""

import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from measure import Figure, Row, Target

__all__ = ["Report"]

COMMAND: Final = "python tests/benchmarks/run.py"
FIGURES: Final[tuple[Figure, ...]] = ("p50", "p99", "min", "max")
INTRODUCTION: Final = """\
# Performance

<!-- Written by `tests/benchmarks/run.py --write`; what is changed here by hand is lost with the next run. -->

What the message path, supervision and managed processes cost, measured beside other actor
libraries in one run. Figures are of one machine at one time: compare those of one table only, and
measure on yours before you rely on any. To do so, from a clone of the repository:

```sh
pip install -e '.[bench]'                                      # the peers; each that is missing is skipped
python tests/benchmarks/run.py                                 # everything; several minutes
python tests/benchmarks/run.py tell ask --json                 # some, as JSON
python tests/benchmarks/run.py --quick                         # a few samples only
python tests/benchmarks/run.py --write docs/performance.md     # this page
```

Ours are supervised actors of a runtime with all its features on. Each contender has a process of
its own, and all take turns, round for round. *Ratio* is the median of the rounds' ratios to stock
pykka, a thread for each actor and no supervision, where that takes part; in rates more is better.
A target that *must* be reached fails the run when it is missed; an *aim* is where we want to be.
"""


@dataclass(frozen=True, slots=True)
class Report:
    """All rows of one run, with what there is to know about the run."""

    rows: Sequence[Row]
    about: dict[str, str]

    @classmethod
    def of(cls, rows: Sequence[Row], *, seconds: float) -> Self:
        """`rows`, measured just now in this process on this machine, in so many `seconds`."""
        about = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{os.cpu_count()} cores, {_processor()}",
            "system": f"{platform.system()} {platform.release()}",
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "command": " ".join((COMMAND, *sys.argv[1:])),
            "took": f"{seconds:.0f} s",
        }
        return cls(rows, about)

    def is_met(self) -> bool:
        """Whether all that must be reached is."""
        return all(row.is_met() for row in self.rows)

    def plain(self) -> dict[str, object]:
        """As JSON has it."""
        return {"run": self.about, "met": self.is_met(), "rows": [_plain(row) for row in self.rows]}

    def table(self) -> str:
        """As lines for a terminal."""
        lines = [", ".join(self.about.values())]
        width = max(len(row.name) for row in self.rows)
        lines.append(f"{'':{width}}  {' '.join(f'{figure:>10}' for figure in FIGURES)} {'ratio':>8}")
        for row in self.rows:
            if row.skipped is not None:
                lines.append(f"{row.name:{width}}  skipped: {row.skipped}")
                continue
            figures = row.figures()
            shown = " ".join(f"{_number(figures[figure]):>10}" for figure in FIGURES)
            ratio = _number(figures["ratio"]) if "ratio" in figures else ""
            verdicts = [
                _verdict(kind, row, target) for kind, target in (("must", row.must), ("aim", row.aim)) if target
            ]
            lines.append(f"{row.name:{width}}  {shown} {ratio:>8} {row.unit:3} {'; '.join(verdicts)}".rstrip())
        return "\n".join(lines)

    def page(self) -> str:
        """As a page of Markdown."""
        about = "\n".join(
            f"| {name} | {_code(value) if name == 'command' else value} |" for name, value in self.about.items()
        )
        lines = [f"{INTRODUCTION}\n## The run\n\n| | |\n|---|---|\n{about}\n\n## Results\n"]
        lines.append("| what | unit | median | min | max | ratio | must | aim |")
        lines.append("|---|---|--:|--:|--:|--:|---|---|")
        for row in self.rows:
            if row.skipped is None:
                figures = row.figures()
                numbers = (_number(figures[name]) if name in figures else "" for name in ("p50", "min", "max", "ratio"))
                targets = (_cell(row, target) for target in (row.must, row.aim))
                lines.append(f"| {' | '.join((row.name, row.unit, *numbers, *targets))} |")
        skipped = [f"- {row.name}: {row.skipped}" for row in self.rows if row.skipped is not None]
        lines.append("\n## Skipped\n\n" + ("\n".join(skipped) if skipped else "Nothing: every peer took part."))
        return "\n".join(lines) + "\n"


def _plain(row: Row) -> dict[str, object]:
    plain: dict[str, object] = {"name": row.name, "unit": row.unit, "samples": len(row.samples), **row.figures()}
    if row.skipped is not None:
        plain["skipped"] = row.skipped
    for kind, target in (("must", row.must), ("aim", row.aim)):
        if target is not None:
            bounds = {"at_most": target.at_most, "at_least": target.at_least}
            kept = {name: bound for name, bound in bounds.items() if bound is not None}
            plain[kind] = {"figure": target.figure, **kept, "met": row.reaches(target)}
    return plain


def _verdict(kind: str, row: Row, target: Target) -> str:
    verdict = "met" if row.reaches(target) else ("MISSED" if kind == "must" else "not yet")
    return f"{kind} {_bounds(target)}: {verdict}"


def _cell(row: Row, target: Target | None) -> str:
    if target is None:
        return ""
    figures = row.figures()
    found = "" if target.figure in ("p50", "ratio") else f" (is {_number(figures[target.figure])})"
    return f"{_bounds(target)}{found}: {'met' if row.reaches(target) else '**missed**'}"


def _bounds(target: Target) -> str:
    name = {"p50": "median"}.get(target.figure, target.figure)
    least = "" if target.at_least is None else f" >= {_number(target.at_least)}"
    most = "" if target.at_most is None else f" <= {_number(target.at_most)}"
    return f"{name}{least}{most}"


def _number(value: float) -> str:
    """Three digits that count, or whole thousands."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _code(text: str) -> str:
    return f"`{text}`"


def _processor() -> str:
    """What Linux calls it; elsewhere the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
