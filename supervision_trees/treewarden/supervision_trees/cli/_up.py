"""`up`: run a tree here, or detached in a session of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from treewarden.supervision_trees.cli._options import FileArgument, StateDir, Within, duration
from treewarden.supervision_trees.cli._output import Failed

if TYPE_CHECKING:
    from treewarden.supervision_trees._runtime import Runtime
    from treewarden.supervision_trees.definitions import TreeDefinition

__all__ = ["up"]

_STATE: Final = Path(".treewarden")


def up(
    file: FileArgument,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Run it in the background; return once it is up.")] = False,
    discard_state: Annotated[
        list[str] | None,
        typer.Option("--discard-state", metavar="PATH", help="Forget what is stored at this path first. Repeatable."),
    ] = None,
    checkpoint_every: Annotated[
        float,
        typer.Option(
            "--checkpoint-every", metavar="DURATION", parser=duration, help="How often the tree is kept; 0s for never."
        ),
    ] = cast("float", "5m"),
    keep_checkpoints: Annotated[
        float,
        typer.Option("--keep-checkpoints", metavar="DURATION", parser=duration, help="How long; the newest stays."),
    ] = cast("float", "7d"),
    within: Within = 60.0,
    state: StateDir = _STATE,
) -> None:
    """Run a tree until it is stopped (Ctrl-C, `treewarden down`) or gives up.

    `--within` is how long `--detach` waits for the tree to be up.
    """
    from treewarden.supervision_trees.cli._definitions import load  # noqa: PLC0415 - not for --help

    definition = load(file)  # complaints are told here, whoever runs the tree
    discard = tuple(discard_state or ())
    if detach:
        from treewarden.supervision_trees.cli._detach import start_detached  # noqa: PLC0415 - not for --help
        from treewarden.supervision_trees.definitions._durations import format_duration  # noqa: PLC0415

        options = [argument for path in discard for argument in ("--discard-state", path)]
        options += ["--checkpoint-every", format_duration(checkpoint_every)]
        options += ["--keep-checkpoints", format_duration(keep_checkpoints)]
        start_detached(file, state_dir=state, options=options, within=within)
    else:
        _run(definition, state, discard, checkpoint_every or None, keep_checkpoints)


def _run(
    definition: "TreeDefinition",
    state_dir: Path,
    discard: tuple[str, ...],
    checkpoint_every: float | None,
    keep_checkpoints: float,
) -> None:
    from treewarden.supervision_trees._runtime import Runtime  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees.cli._stop_signals import StopSignals  # noqa: PLC0415
    from treewarden.supervision_trees.telemetry import LogLines  # noqa: PLC0415

    with StopSignals() as signals:
        events = LogLines().subscriber()
        runtime = Runtime.start(
            definition,
            state_dir=state_dir,
            events=events,
            discard_state=discard,
            stop_requests=signals.watch,
            checkpoint_every=checkpoint_every,
            keep_checkpoints=keep_checkpoints,
        )
        _see_to_its_end(runtime)


def _see_to_its_end(runtime: "Runtime") -> None:
    try:
        end = runtime.wait(None)
    finally:
        report = runtime.stop()
    assert end is not None, "a wait without a timeout ended without an end"
    if not end.ok:
        raise Failed(end.message)
    if report.orphaned_pids:
        pids = " ".join(map(str, report.orphaned_pids))
        raise Failed(f"the tree has ended, but these processes could not be ended: {pids}; look at: ps -p {pids}")
