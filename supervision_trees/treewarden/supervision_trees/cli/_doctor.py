"""`doctor`: what is wrong with a state directory, and seeing to it.

Exit codes: 0 nothing but notes; 1 something is wrong, or could not be seen to; 2 the command line makes no sense.
"""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from treewarden.supervision_trees.cli._options import AsJson, StateDir
from treewarden.supervision_trees.cli._output import print_document, print_table, print_text
from treewarden.supervision_trees.cli._progress import progress_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from treewarden.supervision_trees._doctor_visit import Visit
    from treewarden.supervision_trees._findings import Finding, Result
    from treewarden.supervision_trees.cli._progress import ProgressLine

__all__ = ["doctor"]

_STATE: Final = Path(".treewarden")
_COPIED: Final = "copied"


def doctor(
    *,
    state: StateDir = _STATE,
    fix: Annotated[bool, typer.Option("--fix", help="See to what can be seen to; no runtime may run.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --fix: only show what it would do.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look for damage and leftovers: in the store, processes and files. Exits with 1 if there are any."""
    from treewarden.actors import SystemClock  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees._doctor import is_well  # noqa: PLC0415
    from treewarden.supervision_trees._doctor_visit import examine, rehearse, treat  # noqa: PLC0415
    from treewarden.supervision_trees._findings import Outcome  # noqa: PLC0415

    if dry_run and not fix:
        raise typer.BadParameter("it shows what --fix would do: give both", param_hint="--dry-run")
    with progress_line() as line:
        progress = None if line is None else _teller(line)
        if not fix:
            visit = examine(state, progress=progress)
        elif dry_run:
            visit = rehearse(state, progress=progress)
        else:
            visit = treat(state, clock=SystemClock(), progress=progress)
    if as_json:
        print_document(_document(visit, state))
    else:
        _tell(visit, state)
    if not is_well(visit.findings) or any(result.outcome is Outcome.FAILED for result in visit.results):
        raise typer.Exit(1)


def _teller(line: "ProgressLine") -> "Callable[[str, int, int], None]":
    def tell(what: str, done: int, expected: int) -> None:
        if what == _COPIED:
            line.copied(done, expected)
        else:
            line.counted(what, done, expected)

    return tell


def _tell(visit: "Visit", state: Path) -> None:
    from treewarden.supervision_trees._doctor import advice  # noqa: PLC0415 - not for --help

    if visit.results:
        print_table(("OUTCOME", "DO", "WHERE", "WHY"), [_result_row(result) for result in visit.results])
        print_text("")
    if visit.findings:
        print_table(("SEVERITY", "FINDING", "WHERE", "FIX", "FOUND"), [_row(finding) for finding in visit.findings])
        print_text("")
    counts = Counter(result.outcome.value for result in visit.results)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    print_text(f"{f'{told}; ' if told else ''}{advice(visit.findings, state=str(state))}")


def _row(finding: "Finding") -> tuple[str, ...]:
    from treewarden.supervision_trees._findings import verb  # noqa: PLC0415 - not for --help

    by_hand = "" if finding.command is None else f"; by hand: {finding.command}"
    return (
        finding.severity.value,
        finding.kind.value,
        finding.where,
        "-" if finding.remedy is None else verb(finding.remedy),
        f"{finding.found}; expected {finding.expected}{by_hand}",
    )


def _result_row(result: "Result") -> tuple[str, ...]:
    from treewarden.supervision_trees._findings import verb, why  # noqa: PLC0415 - not for --help

    remedy = result.finding.remedy
    assert remedy is not None
    return result.outcome.value, verb(remedy), result.finding.where, result.why or why(remedy)


def _document(visit: "Visit", state: Path) -> dict[str, object]:
    from treewarden.supervision_trees._doctor import is_well  # noqa: PLC0415 - not for --help

    return {
        "findings": [_finding(finding) for finding in visit.findings],
        "done": [
            {**_finding(result.finding), "outcome": result.outcome.value, "why": result.why or None}
            for result in visit.results
        ],
        "state": {
            "directory": str(state),
            "store": visit.store,
            "looked": visit.looked,
            "runs": visit.runs,
            "runtime": visit.runtime,
            "is_well": is_well(visit.findings),
        },
    }


def _finding(finding: "Finding") -> dict[str, object]:
    from treewarden.supervision_trees._findings import verb, why  # noqa: PLC0415 - not for --help

    remedy = finding.remedy
    return {
        "kind": finding.kind.value,
        "severity": finding.severity.value,
        "where": finding.where,
        "found": finding.found,
        "expected": finding.expected,
        "remedy": None if remedy is None else {"verb": verb(remedy), "why": why(remedy)},
        "command": finding.command,
    }
