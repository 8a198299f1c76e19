"""`down`: end a runtime and wait until it has let go of its state directory."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from treewarden.supervision_trees.cli._options import StateDir, Within
from treewarden.supervision_trees.cli._output import Failed, notice, print_text

if TYPE_CHECKING:
    from treewarden.supervision_trees._inspect import ActorView

__all__ = ["down"]

_STATE: Final = Path(".treewarden")
_BETWEEN_LOOKS: Final = 0.1  # seconds
_LOOK_WITHIN: Final = 2.0  # seconds for one answer


def down(*, state: StateDir = _STATE, within: Within = 60.0) -> None:
    """Stop the whole tree and end its runtime; where none runs, end what a killed one left behind."""
    from treewarden.actors import SystemClock  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees._control import StopTree  # noqa: PLC0415
    from treewarden.supervision_trees.cli._connection import open_console, state_holder  # noqa: PLC0415
    from treewarden.supervision_trees.console import ConsoleProtocolError, RuntimeNotRunning  # noqa: PLC0415

    clock = SystemClock()
    deadline = clock.monotonic() + within
    holder = state_holder(state)
    try:
        with open_console(state) as console:
            console.execute(StopTree(), timeout=within)
    except RuntimeNotRunning:
        _sweep(state)
        return
    except ConsoleProtocolError as error:
        notice(f"asked it to stop, but heard no answer ({error}); waiting for its end")
    told: tuple[str, ...] = ()
    while holder is not None and state_holder(state) == holder:
        left = _still_stopping(state)
        if left and left != told:
            notice(f"still stopping: {', '.join(left)}")
            told = left
        if clock.monotonic() >= deadline:
            raise Failed(
                f"the runtime (pid {holder.pid}) has not ended after {within:g} s and goes on stopping"
                f"{': ' if told else ''}{', '.join(told)}; see: treewarden tree --state {state}"
            )
        time.sleep(_BETWEEN_LOOKS)
    print_text("down")


def _sweep(state_dir: Path) -> None:
    from treewarden.supervision_trees._runtime import Runtime  # noqa: PLC0415 - not for --help

    report = Runtime.sweep(state_dir)
    if report.survivors:
        pids = " ".join(map(str, report.survivors))
        raise Failed(
            f"no runtime in {state_dir}; these processes it left behind could not be ended: {pids}; look at: ps -p {pids}"
        )
    if report.ended:
        count = len(report.ended)
        print_text(
            f"no runtime in {state_dir}; ended {'1 process' if count == 1 else f'{count} processes'} it left behind"
        )
    else:
        print_text(f"no runtime in {state_dir}; nothing to do")


def _still_stopping(state_dir: Path) -> tuple[str, ...]:
    """The workers that are on their way down; nothing once the console has closed."""
    from treewarden.actors import TreewardenError  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees._control import Inspect  # noqa: PLC0415
    from treewarden.supervision_trees.cli._connection import open_console  # noqa: PLC0415

    try:
        with open_console(state_dir) as console:
            view = console.execute(Inspect(), timeout=_LOOK_WITHIN)
    except (TreewardenError, Failed):  # it closes its console before it lets go of its directory
        return ()
    return tuple(_stopping(view.root))


def _stopping(actor: "ActorView") -> Iterator[str]:
    if actor.state == "stopping" and not actor.children:
        yield actor.path
    for child in actor.children:
        yield from _stopping(child)
