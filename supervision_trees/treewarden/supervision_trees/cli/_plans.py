"""`plan` and `apply`: what it takes to make a running tree what a file says, and doing it."""

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from treewarden.supervision_trees.cli._options import AsJson, FileArgument, StateDir, Within
from treewarden.supervision_trees.cli._output import Failed, notice, print_document, print_text

if TYPE_CHECKING:
    from treewarden.supervision_trees._control import ApplyReport, PlannedStep, TreePlan

__all__ = ["apply", "plan"]

_STATE: Final = Path(".treewarden")
_PLAN_WITHIN: Final = 60.0  # seconds; the runtime may have to import modules
_WAIT_FOR_EVENT: Final = 0.2  # seconds that one look for progress waits, and so the delay at the end
_MARKS: Final = {"stop": "-", "forget": "-", "change": "~", "start": "+", "restart": "!", "leave": "="}
_PROGRESS: Final = ("ApplyStep", "ApplyFailed")


def plan(file: FileArgument, *, state: StateDir = _STATE, as_json: AsJson = False) -> None:
    """Show what `apply` would do to the running tree; changes nothing."""
    found = _plan(file, _text(file), state)
    if as_json:
        print_document(found.to_json())
    else:
        _print_plan(found)


def apply(
    file: FileArgument,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan, as `treewarden plan` does.")] = False,
    within: Within = 600.0,
    state: StateDir = _STATE,
    as_json: AsJson = False,
) -> None:
    """Make the running tree what a definition says: show the plan, then carry it out."""
    text = _text(file)
    found = _plan(file, text, state)
    if not as_json:
        _print_plan(found)
    if dry_run or not found.steps:
        if as_json:
            print_document({"plan": found.to_json(), "report": None})
        return
    report = _apply(file, text, found, state, within)
    if as_json:
        print_document({"plan": found.to_json(), "report": report.to_json()})
    if report.failed is not None:
        raise Failed(_story(report, file))
    if not as_json:
        print_text(f"{report.root} is what {file} says; steps done: {len(report.done)}")


def _text(file: Path) -> str:
    """The text of `file`, short enough to be sent.

    Raises:
        Failed: if it cannot be read, or is too long.
    """
    from treewarden.supervision_trees._control import LONGEST_DEFINITION  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees.definitions import DefinitionErrors, definition_text  # noqa: PLC0415

    try:
        text = definition_text(file)
    except DefinitionErrors as error:
        raise Failed(str(error)) from error
    length = len(text.encode())
    if length > LONGEST_DEFINITION:
        raise Failed(
            f"found a definition of {length} bytes in {file}, expected at most {LONGEST_DEFINITION}, which is what a"
            f" running tree takes; for a larger one: treewarden down, then treewarden up {file}"
        )
    return text


def _plan(file: Path, text: str, state_dir: Path) -> "TreePlan":
    from treewarden.supervision_trees._control import PlanTree  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees.cli._connection import open_console  # noqa: PLC0415

    with open_console(state_dir) as console:
        return console.execute(PlanTree(text, str(file.absolute())), timeout=_PLAN_WITHIN)


def _apply(file: Path, text: str, found: "TreePlan", state_dir: Path, within: float) -> "ApplyReport":
    from treewarden.supervision_trees._control import ApplyTree  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees.cli._connection import open_console  # noqa: PLC0415
    from treewarden.supervision_trees.console import ConsoleProtocolError  # noqa: PLC0415

    with open_console(state_dir) as console, _told_of_progress(state_dir):
        try:
            return console.execute(ApplyTree(text, str(file.absolute()), found.digest), timeout=within)
        except ConsoleProtocolError as error:
            raise Failed(
                f"heard nothing of the end of the apply ({error}); if the runtime lives it goes on;"
                f" see: treewarden events -f --state {state_dir}; applying {file} again is safe"
            ) from error
        except KeyboardInterrupt:
            notice(f"the runtime goes on with the apply; see: treewarden events -f --state {state_dir}")
            raise


@contextmanager
def _told_of_progress(state_dir: Path) -> Generator[None]:
    """Meanwhile tell each step as the runtime takes it."""
    done = threading.Event()
    last = _last_event(state_dir)
    teller = threading.Thread(
        target=_tell_progress, args=(state_dir, last, done), name="treewarden-progress", daemon=True
    )
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _last_event(state_dir: Path) -> int:
    from treewarden.supervision_trees._control import ReadEvents  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees.cli._connection import ANSWER_WITHIN, open_console  # noqa: PLC0415

    with open_console(state_dir) as console:
        return console.execute(ReadEvents(limit=1), timeout=ANSWER_WITHIN).last


def _tell_progress(state_dir: Path, last: int, done: threading.Event) -> None:
    from treewarden.actors import TreewardenError  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees._control import ReadEvents  # noqa: PLC0415
    from treewarden.supervision_trees.cli._connection import ANSWER_WITHIN, open_console  # noqa: PLC0415

    try:
        with open_console(state_dir) as console:
            while True:
                is_last_look = done.is_set()
                wait = 0.0 if is_last_look else _WAIT_FOR_EVENT
                read = console.execute(ReadEvents(since=last, wait=wait), timeout=ANSWER_WITHIN)
                last = read.last
                for event in read.events:
                    if event["event"] in _PROGRESS:
                        notice(str(event["text"]))
                if is_last_look:
                    return
    except (TreewardenError, Failed):
        return  # the runtime ends, or is busy: the report says what was done


def _print_plan(found: "TreePlan") -> None:
    for step in (*found.steps, *found.left):
        for line in _lines(step):
            print_text(line)
    count = len(found.steps)
    if not count:
        print_text(f"nothing to do: {found.root} is what {found.source} says")
    else:
        print_text(f"{'1 step' if count == 1 else f'{count} steps'} to make {found.root} what {found.source} says")


def _lines(step: "PlannedStep") -> Iterator[str]:
    from treewarden.supervision_trees._drawing import printable  # noqa: PLC0415 - not for --help

    head = f"{_MARKS[step.action]} {step.action:<7}  {step.path}"
    if step.action == "change":  # a line for each difference, since there may be many
        yield head
        yield from (f"             {printable(line)}" for line in step.why)
    else:
        yield f"{head}  {printable(', '.join(step.why))}".rstrip()


def _story(report: "ApplyReport", file: Path) -> str:
    done = "nothing" if not report.done else _listed(report.done)
    left = "nothing" if not report.not_done else _listed(report.not_done)
    return (
        f"{report.failed} failed: {report.error}\n"
        f"done before it: {done}\n"
        f"not done: {left}\n"
        f"nothing was rolled back; to go on from here: treewarden apply {file}"
    )


def _listed(steps: Iterable["PlannedStep"]) -> str:
    return ", ".join(f"{step.action} {step.path}" for step in steps)
