"""`start`, `stop` and `restart`: commands to one actor, answered when they are done."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from treewarden.supervision_trees.cli._options import ActorArgument, StateDir, Within
from treewarden.supervision_trees.cli._output import print_text

if TYPE_CHECKING:
    from treewarden.supervision_trees._control import DiscardState, RestartActor, StartActor, StopActor
    from treewarden.supervision_trees._inspect import ActorView
    from treewarden.supervision_trees.console import ConsoleClient

__all__ = ["restart", "start", "stop"]

_STATE: Final = Path(".treewarden")

_DiscardState: TypeAlias = Annotated[
    bool, typer.Option("--discard-state", help="Forget what is stored of this actor, so that it starts fresh.")
]


def start(
    path: ActorArgument, *, discard_state: _DiscardState = False, state: StateDir = _STATE, within: Within = 60.0
) -> None:
    """Start a stopped or failed actor again."""
    from treewarden.supervision_trees._control import DiscardState, StartActor  # noqa: PLC0415 - not for --help

    if discard_state:
        _change(state, within, DiscardState(path), StartActor(path))
    else:
        _change(state, within, StartActor(path))


def stop(path: ActorArgument, *, state: StateDir = _STATE, within: Within = 60.0) -> None:
    """Stop an actor; it stays stopped until somebody starts it."""
    from treewarden.supervision_trees._control import StopActor  # noqa: PLC0415 - not for --help

    _change(state, within, StopActor(path))


def restart(
    path: ActorArgument, *, discard_state: _DiscardState = False, state: StateDir = _STATE, within: Within = 60.0
) -> None:
    """Stop an actor, then start it."""
    from treewarden.supervision_trees._control import RestartActor  # noqa: PLC0415 - not for --help

    if discard_state:
        _restart_fresh(state, path, within)
    else:
        _change(state, within, RestartActor(path))


def _change(state_dir: Path, within: float, *commands: "DiscardState | StartActor | StopActor | RestartActor") -> None:
    """Carry out `commands`, as long as each is done, and show the actor after the last."""
    from treewarden.supervision_trees.cli._connection import open_console  # noqa: PLC0415 - not for --help

    with open_console(state_dir) as console:
        *_, actor = [console.execute(command, timeout=within) for command in commands]
    _show(actor)


def _restart_fresh(state_dir: Path, path: str, within: float) -> None:
    from treewarden.supervision_trees._control import (  # noqa: PLC0415 - not for --help
        CommandRefused,
        DiscardState,
        StartActor,
        StopActor,
    )
    from treewarden.supervision_trees.cli._connection import open_console  # noqa: PLC0415

    with open_console(state_dir) as console:
        stops = _runs_as_actor(console, path)
        if stops:
            console.execute(StopActor(path), timeout=within)
        try:
            console.execute(DiscardState(path), timeout=within)
        except CommandRefused:
            if stops:  # for nothing: it keeps no state
                with suppress(CommandRefused):  # the first refusal is the one to tell
                    console.execute(StartActor(path), timeout=within)
            raise
        _show(console.execute(StartActor(path), timeout=within))


def _runs_as_actor(console: "ConsoleClient", path: str) -> bool:
    """Whether it must be stopped first; of a process or supervisor nothing is discarded, so it is not stopped for it."""
    from treewarden.supervision_trees._control import Inspect  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees.cli._connection import ANSWER_WITHIN  # noqa: PLC0415
    from treewarden.supervision_trees.cli._tables import find_actor  # noqa: PLC0415

    found = find_actor(console.execute(Inspect(), timeout=ANSWER_WITHIN), path)
    return found is not None and found.kind == "actor" and found.state not in {"stopped", "failed"}


def _show(actor: "ActorView") -> None:
    from treewarden.supervision_trees._drawing import describe_state  # noqa: PLC0415 - not for --help

    pid = "" if actor.pid is None else f", pid {actor.pid}"
    print_text(f"{actor.path}: {describe_state(actor)}{pid}")
