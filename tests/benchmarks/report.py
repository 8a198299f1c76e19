"""A run and how it is shown: as lines, as JSON, as a page of the documentation."""

import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from measure import Figure, Row, Target

__all__ = ["Report", "Section"]

COMMAND: Final = "python tests/benchmarks/run.py"
FIGURES: Final[tuple[Figure, ...]] = ("p50", "p99", "min", "max")
INTRODUCTION: Final = """\
# Performance

<!-- Written by `tests/benchmarks/run.py --write`; what is changed here by hand is lost with the next run. -->

What the message path, supervision, managed processes and the store cost, measured beside other actor
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
class Section:
    """The rows of one benchmark, and what it says of itself."""

    name: str
    explained: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Report:
    """All rows of one run, with what there is to know about the run."""

    sections: Sequence[Section]
    about: Mapping[str, str]

    @classmethod
    def of(cls, sections: Sequence[Section], *, seconds: float, load: float) -> Self:
        """What was measured just now in this process on this machine, in so many `seconds`.

        `load` is what the system's load average was before: of what else ran.
        """
        about = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{os.cpu_count()} cores, {_processor()}",
            "system": f"{platform.system()} {platform.release()}",
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "command": " ".join((COMMAND, *sys.argv[1:])),
            "took": f"{seconds:.0f} s",
            "load before": f"{load:.1f}",
        }
        return cls(sections, about)

    @property
    def rows(self) -> list[Row]:
        """Those of all sections."""
        return [row for section in self.sections for row in section.rows]

    def is_met(self) -> bool:
        """Whether all that must be reached is."""
        return all(row.is_met() for row in self.rows)

    def plain(self) -> dict[str, object]:
        """As JSON has it."""
        rows = [{"benchmark": section.name, **_plain(row)} for section in self.sections for row in section.rows]
        return {"run": dict(self.about), "met": self.is_met(), "rows": rows}

    def table(self) -> str:
        """As lines for a terminal."""
        lines = [", ".join(f"{name}: {value}" for name, value in self.about.items())]
        width = max(len(row.name) for row in self.rows)
        lines.append(f"{'':{width}}  {' '.join(f'{figure:>10}' for figure in FIGURES)} {'ratio':>8}")
        lines += [_line(row, width) for row in self.rows]
        return "\n".join(lines)

    def page(self) -> str:
        """As a page of Markdown."""
        lines = [INTRODUCTION, "## The run", "", "| | |", "|---|---|"]
        for name, value in self.about.items():
            lines.append(f"| {name} | {f'`{value}`' if name == 'command' else value} |")
        judged = [row for row in self.rows if row.must is not None]
        missed = [f"- {row.name}" for row in judged if not row.is_met()]
        verdict = f"{len(judged) - len(missed)} of {len(judged)} targets that must be reached are."
        lines += ["", f"{verdict}{' Missed:' if missed else ''}", *([""] if missed else []), *missed]
        for section in self.sections:
            lines += ["", f"## {section.name}", "", section.explained, ""]
            lines += ["| what | unit | median | min | max | ratio | must | aim |", "|---|---|--:|--:|--:|--:|---|---|"]
            lines += [_cells(row) for row in section.rows if row.skipped is None]
            skipped = [f"- {row.name}: skipped, {row.skipped}" for row in section.rows if row.skipped is not None]
            lines += ["", *skipped] if skipped else []
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


def _line(row: Row, width: int) -> str:
    if row.skipped is not None:
        return f"{row.name:{width}}  skipped: {row.skipped}"
    figures = row.figures()
    shown = " ".join(f"{_number(figures[figure]):>10}" for figure in FIGURES)
    ratio = _number(figures["ratio"]) if "ratio" in figures else ""
    verdicts: list[str] = []
    if row.must is not None:
        verdicts.append(f"must {_bounds(row.must)}: {'met' if row.reaches(row.must) else 'MISSED'}")
    if row.aim is not None:
        verdicts.append(f"aim {_bounds(row.aim)}: {'met' if row.reaches(row.aim) else 'not yet'}")
    return f"{row.name:{width}}  {shown} {ratio:>8} {row.unit:3} {'; '.join(verdicts)}".rstrip()


def _cells(row: Row) -> str:
    figures = row.figures()
    numbers = (_number(figures[name]) if name in figures else "" for name in ("p50", "min", "max", "ratio"))
    targets: list[str] = []
    for target, missed in ((row.must, "**missed**"), (row.aim, "not yet")):
        if target is None:
            targets.append("")
            continue
        found = "" if target.figure in ("p50", "ratio") else f" (is {_number(figures[target.figure])})"
        targets.append(f"{_bounds(target)}{found}: {'met' if row.reaches(target) else missed}")
    return f"| {' | '.join((row.name, row.unit, *numbers, *targets))} |"


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


def _processor() -> str:
    """What Linux calls it; elsewhere the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
