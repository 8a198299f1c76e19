"""`init`, `check` and `schema`: definition files, before anything runs."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from treewarden.supervision_trees.cli._options import AsJson, FileArgument
from treewarden.supervision_trees.cli._output import Failed, print_document, print_text

if TYPE_CHECKING:
    from treewarden.supervision_trees.definitions import DefinitionErrors, Node, TreeDefinition

__all__ = ["check", "describe_contents", "init", "load", "schema"]

_STARTER_FILE: Final = Path("treewarden.yaml")
_PLURALS: Final = {"process": "processes", "actor": "actors", "supervisor": "supervisors"}


def init(
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="Where to write it.", show_default=True)
    ] = _STARTER_FILE,
) -> None:
    """Write a small definition to begin with."""
    from treewarden.supervision_trees.definitions import STARTER  # noqa: PLC0415 - not for --help

    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(STARTER)
    except FileExistsError as error:
        raise Failed(f"found {file}, expected no such file: init never overwrites; name another file") from error
    print_text(f"wrote {file}; next: treewarden check {file}, then: treewarden up {file}")


def check(file: FileArgument, *, as_json: AsJson = False) -> None:
    """Read a definition and say everything that is wrong with it."""
    from treewarden.supervision_trees.definitions import DefinitionErrors  # noqa: PLC0415 - not for --help

    try:
        definition = _load(file)
    except DefinitionErrors as error:
        if as_json:
            complaints = [
                {name: getattr(complaint, name) for name in ("file", "line", "place", "found", "expected")}
                for complaint in error.complaints
            ]
            print_document({"ok": False, "complaints": complaints})
            raise typer.Exit(1) from error
        raise _unfit(file, error) from error
    if as_json:
        print_document({"ok": True, "complaints": []})
    else:
        print_text(f"{file}: ok, {describe_contents(definition)}")


def schema() -> None:
    """Print the JSON Schema of definition files, for editors."""
    from treewarden.supervision_trees.definitions import schema as definition_schema  # noqa: PLC0415 - not for --help

    print_document(definition_schema())


def load(file: Path) -> "TreeDefinition":
    """The definition in `file`.

    Raises:
        Failed: with every complaint.
    """
    from treewarden.supervision_trees.definitions import DefinitionErrors  # noqa: PLC0415 - not for --help

    try:
        return _load(file)
    except DefinitionErrors as error:
        raise _unfit(file, error) from error


def _load(file: Path) -> "TreeDefinition":
    from treewarden.supervision_trees.definitions import load_definition  # noqa: PLC0415 - not for --help

    # As with `python -m`: `class: module:Name` is found where the command is run.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return load_definition(file)


def _unfit(file: Path, error: "DefinitionErrors") -> Failed:
    count = len(error.complaints)
    return Failed(f"{file} cannot be run: {'1 complaint' if count == 1 else f'{count} complaints'}\n{error}")


def describe_contents(definition: "TreeDefinition") -> str:
    """What a definition holds: `the tree /dev with 2 processes and 1 supervisor`."""
    counts = Counter(_kinds(definition.root))
    parts = [
        f"1 {kind}" if count == 1 else f"{count} {plural}"
        for kind, plural in _PLURALS.items()
        if (count := counts[kind])
    ]
    if not parts:
        return f"the tree /{definition.name} without children"
    *most, last = parts
    return f"the tree /{definition.name} with {', '.join(most)}{' and ' if most else ''}{last}"


def _kinds(node: "Node") -> Iterator[str]:
    from treewarden.supervision_trees.definitions import ActorNode, ProcessNode, SupervisorNode  # noqa: PLC0415 - not for --help

    match node:
        case SupervisorNode(children=children):
            for child in children:
                if isinstance(child, SupervisorNode):
                    yield "supervisor"
                yield from _kinds(child)
        case ProcessNode():
            yield "process"
        case ActorNode():
            yield "actor"
