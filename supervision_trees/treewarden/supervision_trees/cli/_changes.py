"""`start`, `stop` and `restart`: one command to one actor, answered when it is done."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from treewarden.supervision_trees.cli._options import ActorArgument, StateDir, Within
from treewarden.supervision_trees.cli._output import print_text

if TYPE_CHECKING:
    from treewarden.supervision_trees._control import RestartActor, StartActor, StopActor

__all__ = ["restart", "start", "stop"]

_STATE: Final = Path(".treewarden")


def start(path: ActorArgument, *, state: StateDir = _STATE, within: Within = 60.0) -> None:
    """Start a stopped or failed actor again."""
    from treewarden.supervision_trees._control import StartActor  # noqa: PLC0415 - not for --help

    _change(state, StartActor(path), within)


def stop(path: ActorArgument, *, state: StateDir = _STATE, within: Within = 60.0) -> None:
    """Stop an actor; it stays stopped until somebody starts it."""
    from treewarden.supervision_trees._control import StopActor  # noqa: PLC0415 - not for --help

    _change(state, StopActor(path), within)


def restart(path: ActorArgument, *, state: StateDir = _STATE, within: Within = 60.0) -> None:
    """Stop an actor, then start it."""
    from treewarden.supervision_trees._control import RestartActor  # noqa: PLC0415 - not for --help

    _change(state, RestartActor(path), within)


def _change(state_dir: Path, command: "StartActor | StopActor | RestartActor", within: float) -> None:
    from treewarden.supervision_trees._drawing import describe_state  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees.cli._connection import open_console  # noqa: PLC0415

    with open_console(state_dir) as console:
        actor = console.execute(command, timeout=within)
    pid = "" if actor.pid is None else f", pid {actor.pid}"
    print_text(f"{actor.path}: {describe_state(actor)}{pid}")
