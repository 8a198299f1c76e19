"""`logs`: what a process wrote, once or as it comes."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from treewarden.supervision_trees.cli._options import ActorArgument, AsJson, Follow, StateDir
from treewarden.supervision_trees.cli._output import Failed, print_document, print_json_line

if TYPE_CHECKING:
    from treewarden.supervision_trees._control import LogRead

__all__ = ["logs", "told_of_its_end"]

_STATE: Final = Path(".treewarden")
_BETWEEN_LOOKS: Final = 0.25  # seconds between two looks at a log that did not grow
_LINES: Final = 50


def logs(
    path: ActorArgument,
    *,
    follow: Follow = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", metavar="LINES", min=0, max=100_000, help="How many of the last lines.")
    ] = _LINES,
    state: StateDir = _STATE,
    as_json: AsJson = False,
) -> None:
    """Print the output of a process."""
    from treewarden.supervision_trees._control import ReadLog  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees.cli._connection import ANSWER_WITHIN, open_console  # noqa: PLC0415

    with open_console(state) as console:
        read = console.execute(ReadLog(path, lines=lines), timeout=ANSWER_WITHIN)
        if as_json and not follow:
            print_document(_log_document(path, read))
            return
        _print_log(path, read, as_json=as_json)
        while follow:
            with told_of_its_end(state):
                read = console.execute(ReadLog(path, offset=read.next_offset), timeout=ANSWER_WITHIN)
            if read.text:
                _print_log(path, read, as_json=as_json)
            else:
                time.sleep(_BETWEEN_LOOKS)


@contextmanager
def told_of_its_end(state_dir: Path) -> Generator[None]:
    """Whoever follows a runtime to its end hears that it ended, not how a socket broke."""
    from treewarden.supervision_trees.cli._connection import is_ending  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees.console import ConsoleProtocolError  # noqa: PLC0415

    try:
        yield
    except ConsoleProtocolError as error:
        if not is_ending(state_dir):
            raise
        raise Failed(
            f"the runtime of {state_dir} has ended; start it again with: treewarden up FILE --state {state_dir}"
        ) from error


def _print_log(path: str, read: "LogRead", *, as_json: bool) -> None:
    if as_json:
        print_json_line(_log_document(path, read))
    else:
        # As it was written: a development server's colours are wanted on a terminal.
        sys.stdout.write(read.text)
        sys.stdout.flush()


def _log_document(path: str, read: "LogRead") -> dict[str, object]:
    return {"path": path, "text": read.text, "next_offset": read.next_offset}
