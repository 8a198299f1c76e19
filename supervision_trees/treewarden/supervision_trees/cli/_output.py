"""Where output goes: results to stdout, plain unless it is a terminal; everything else to stderr."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from treewarden.supervision_trees._drawing import Line

__all__ = ["notice", "print_document", "print_json_line", "print_lines", "print_table", "print_text"]

_STYLES: Final[Mapping[str, str]] = {
    "name": "bold",
    "quiet": "dim",
    "good": "green",
    "busy": "yellow",
    "bad": "bold red",
}


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
            text.append("  " if number else "").append(part.text, _STYLES[part.tone.value])
        console.print(text, soft_wrap=True)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: columns as wide as they need; on a terminal as wide as it is."""
    if not sys.stdout.isatty():
        widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
        for row in (header, *rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    from rich.console import Console  # noqa: PLC0415 - only on a terminal
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*header, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    Console(highlight=False).print(table)
