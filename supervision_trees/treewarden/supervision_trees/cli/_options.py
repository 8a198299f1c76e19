"""Options and arguments that several commands share, each with its one meaning."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = ["ActorArgument", "AsJson", "FileArgument", "Follow", "StateDir", "Within", "actor_path", "duration"]


def actor_path(text: str) -> str:
    """The path of an actor, as people write it; a parser for an argument."""
    from treewarden.actors import parse_path  # noqa: PLC0415 - not for --help

    try:
        return parse_path(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def duration(text: str) -> float:
    """Seconds, as people write them; a parser for an option."""
    from treewarden.supervision_trees.definitions._durations import parse_duration  # noqa: PLC0415 - not for --help

    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"found {text!r}, expected {error}") from error


StateDir: TypeAlias = Annotated[
    Path, typer.Option("--state", metavar="DIR", help="The state directory of the runtime.", show_default=True)
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Follow: TypeAlias = Annotated[bool, typer.Option("--follow", "-f", help="Go on as more comes, until Ctrl-C.")]
FileArgument: TypeAlias = Annotated[Path, typer.Argument(metavar="FILE", help="A tree definition.")]
ActorArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="PATH", parser=actor_path, help="An actor, such as /dev/api or dev/api.")
]
Within: TypeAlias = Annotated[
    float, typer.Option("--within", metavar="SECONDS", min=0.1, help="How long to wait for it.", show_default=True)
]
