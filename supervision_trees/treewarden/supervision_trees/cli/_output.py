"""Where output goes: results to stdout, plain unless it is a terminal; everything else to stderr.

Imported for `--help`, so it loads neither rich nor the runtime.
"""

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from treewarden.supervision_trees._drawing import Line

__all__ = ["Failed", "notice", "print_document", "print_json_line", "print_lines", "print_table", "print_text"]

_STYLES: Final[Mapping[str, str]] = {
    "name": "bold",
    "quiet": "dim",
    "good": "green",
    "busy": "yellow",
    "bad": "bold red",
}
_GAP: Final = "  "
_NARROWEST: Final = 16  # characters; less is no room for a last column


class Failed(Exception):
    """The command ends with exit code 1; the text says what was found, what was expected, and what to try next."""


def notice(text: str) -> None:
    """Tell the person at the terminal something that is no result."""
    print(f"treewarden: {text}", file=sys.stderr, flush=True)


def print_text(text: str) -> None:
    """Print `text` and a newline as they are, at once: a follower's reader waits for it."""
    print(text, flush=True)


def print_document(document: object) -> None:
    """Print one JSON document for people and programs."""
    print(json.dumps(document, indent=2))


def print_json_line(document: object) -> None:
    """Print one JSON document on one line, at once."""
    print(json.dumps(document), flush=True)


def print_lines(lines: "Iterable[Line]") -> None:
    """Print a drawing; on a terminal each part in the colour of its tone (NO_COLOR is honoured by rich)."""
    if not sys.stdout.isatty():
        for line in lines:
            print(line)
        return
    from rich.console import Console  # noqa: PLC0415 - only on a terminal
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    for line in lines:
        text = Text(line.stem)
        for number, part in enumerate(line.parts):
            text.append(_GAP if number else "").append(part.text, _STYLES[part.tone.value])
        console.print(text, soft_wrap=True)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; on a terminal its last column is folded to the width.

    No other column is ever cut or folded: a path or a pid in two halves is of no use. Where they
    leave no room, lines are as long as they are, and the terminal breaks them.
    """
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    taken = sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
    if not sys.stdout.isatty() or shutil.get_terminal_size().columns - taken < _NARROWEST:
        for row in (header, *rows):
            print(_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    from rich.console import Console  # noqa: PLC0415 - only on a terminal
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0), header_style="bold")
    for title, width in zip(header[:-1], widths, strict=False):
        table.add_column(title, no_wrap=True, min_width=width)
    table.add_column(header[-1])
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    Console(highlight=False).print(table)
