"""`checkpoint`: take, look at, compare, restore and prune checkpoints, of a running tree or of one at rest."""

import contextlib
from collections.abc import Callable, Generator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, cast

import typer

from treewarden.supervision_trees.cli._options import ActorArgument, AsJson, StateDir, actor_path, duration
from treewarden.supervision_trees.cli._output import print_document, print_table, print_text

if TYPE_CHECKING:
    from treewarden.supervision_trees._checkpointing import CheckpointCommand
    from treewarden.supervision_trees._control import CheckpointDocument

__all__ = ["CHECKPOINT"]

_STATE: Final = Path(".treewarden")
_HIGHEST: Final = 2**63 - 1  # that a number may be
_SOON: Final = 30.0  # seconds for an answer besides what the tree may stand still

_Number: TypeAlias = Annotated[
    int, typer.Argument(metavar="NUMBER", min=1, max=_HIGHEST, help="A checkpoint, as `list` shows it.")
]
_Execute: TypeAlias = "Callable[[CheckpointCommand], CheckpointDocument]"

CHECKPOINT: Final = typer.Typer(
    help="Checkpoints: the states of a subtree as of one moment, to go back to.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"found {text!r}, expected NAME=VALUE")
    return name, value


@CHECKPOINT.command()
def create(
    path: ActorArgument,
    *,
    within: Annotated[
        float,
        typer.Option(
            "--within", metavar="SECONDS", min=0.0, max=60.0, help="How long actors may take to come between messages."
        ),
    ] = 5.0,
    value: Annotated[
        list[str] | None,
        typer.Option("--value", metavar="NAME=VALUE", help="A value that belongs to it. Repeatable."),
    ] = None,
    state: StateDir = _STATE,
    as_json: AsJson = False,
) -> None:
    """Take a checkpoint of a running subtree. Unchanged since the last one, that one is confirmed."""
    from treewarden.supervision_trees._control import CreateCheckpoint  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees.cli._connection import open_console  # noqa: PLC0415

    durable = dict(_value(each) for each in value or ())
    with open_console(state) as console:
        made = console.execute(CreateCheckpoint(path, within, durable), timeout=within + _SOON).fields
    if as_json:
        print_document(made)
        return
    added, total, paused = made["bytes_added"], made["bytes_total"], cast("float", made["paused"])
    print_text(
        f"checkpoint {made['number']} of {made['scope']}: {made['actors']} actors,"
        f" {total} bytes ({added} new), paused {paused:.3f} s"
    )


@CHECKPOINT.command("list")
def list_(
    path: Annotated[
        str | None, typer.Argument(metavar="[PATH]", parser=actor_path, help="Only those of this subtree.")
    ] = None,
    *,
    state: StateDir = _STATE,
    as_json: AsJson = False,
) -> None:
    """List checkpoints, oldest first."""
    from treewarden.supervision_trees._control import ListCheckpoints  # noqa: PLC0415 - not for --help

    with _desk(state) as execute:
        rows = cast("list[dict[str, Any]]", execute(ListCheckpoints(path)).fields["checkpoints"])
    if as_json:
        print_document(rows)
        return
    header = ("NUMBER", "OF", "STATUS", "TRIGGER", "MADE", "CONFIRMED", "ACTORS", "BYTES", "NEW", "RESTORED", "WHY")
    print_table(header, [_row(row) for row in rows])


@CHECKPOINT.command()
def show(number: _Number, *, state: StateDir = _STATE, as_json: AsJson = False) -> None:
    """Show a checkpoint and what is in it; all of it is verified."""
    from treewarden.supervision_trees._control import ShowCheckpoint  # noqa: PLC0415 - not for --help

    with _desk(state) as execute:
        found = cast("dict[str, Any]", execute(ShowCheckpoint(number)).fields)
    if as_json:
        print_document(found)
        return
    facts = [(name, _fact(name, value)) for name, value in found.items() if name not in {"contents", "durable"}]
    facts += [(f"durable {name}", _shown(value)) for name, value in found.get("durable", {}).items()]
    print_table(("FACT", "VALUE"), facts)
    contents = found.get("contents", [])
    if contents:
        print_text("")
        rows = [[_shown(value) for value in entry.values()] for entry in contents]
        print_table([name.upper() for name in contents[0]], rows)
        if len(contents) < found["actors"]:
            print_text(f"and {found['actors'] - len(contents)} more")


@CHECKPOINT.command("diff")
def diff_(earlier: _Number, later: _Number, *, state: StateDir = _STATE, as_json: AsJson = False) -> None:
    """Show what differs between two checkpoints."""
    from treewarden.supervision_trees._control import DiffCheckpoints  # noqa: PLC0415 - not for --help

    with _desk(state) as execute:
        found = cast("dict[str, Any]", execute(DiffCheckpoints(earlier, later)).fields)
    if as_json:
        print_document(found)
        return
    rows = [("added", path, "") for path in found["added"]]
    rows += [("removed", path, "") for path in found["removed"]]
    rows += [("changed", path, ", ".join(parts)) for path, parts in found["changed"].items()]
    rows += [(kind, f"durable {name}", "") for name, kind in found["durable"].items()]
    if rows:
        print_table(("HOW", "WHAT", "PARTS"), rows)
    print_text(f"{found['unchanged']} actors unchanged")


@CHECKPOINT.command()
def restore(
    path: ActorArgument,
    *,
    number: Annotated[
        int | None,
        typer.Option(
            "--number", metavar="NUMBER", min=1, max=_HIGHEST, help="Which one; the newest good one if not given."
        ),
    ] = None,
    state: StateDir = _STATE,
    as_json: AsJson = False,
) -> None:
    """Give a subtree that does not run its states of a checkpoint back; it takes them in when it starts.

    What it stored since is replaced. Processes and leases stay with whoever has them now.
    """
    from treewarden.supervision_trees._control import RestoreCheckpoint  # noqa: PLC0415 - not for --help

    with _desk(state) as execute:
        done = cast("dict[str, Any]", execute(RestoreCheckpoint(path, number)).fields)
    if as_json:
        print_document(done)
        return
    for newer, why in done["skipped"].items():
        print_text(f"passed over checkpoint {newer}: {why}")
    made = datetime.fromtimestamp(done["created_at"]).astimezone().isoformat(timespec="seconds")
    print_text(
        f"{path} is as in checkpoint {done['number']} ({made}) when it starts: {len(done['states'])} states,"
        f" {len(done['mailboxes'])} mailboxes, {len(done['dropped'])} dropped"
    )
    for left, why in done["not_restored"].items():
        print_text(f"not restored: {left}: {why}")


@CHECKPOINT.command()
def prune(
    *,
    older_than: Annotated[
        float,
        typer.Option("--older-than", metavar="DURATION", parser=duration, help="Such as 7d or 12h."),
    ] = cast("float", "7d"),
    state: StateDir = _STATE,
    as_json: AsJson = False,
) -> None:
    """Remove old checkpoints and what only they needed; the newest good one of each subtree stays."""
    from treewarden.supervision_trees._control import PruneCheckpoints  # noqa: PLC0415 - not for --help

    with _desk(state) as execute:
        done = cast("dict[str, Any]", execute(PruneCheckpoints(older_than)).fields)
    if as_json:
        print_document(done)
    else:
        print_text(
            f"{len(done['removed'])} checkpoints removed, {done['bytes_removed']} bytes freed, {done['kept']} kept"
        )


@contextlib.contextmanager
def _desk(state_dir: Path) -> "Generator[_Execute]":
    """Where commands about checkpoints are carried out: by the runtime, or here on a store that nobody owns."""
    from treewarden.supervision_trees._at_rest import checkpoints_at_rest  # noqa: PLC0415 - not for --help
    from treewarden.supervision_trees.cli._connection import open_console, state_holder  # noqa: PLC0415

    if state_holder(state_dir) is not None:
        with open_console(state_dir) as console:
            yield lambda command: console.execute(command, timeout=_SOON)
    else:
        with checkpoints_at_rest(state_dir) as checkpoints:
            yield checkpoints.execute


def _row(row: "dict[str, Any]") -> list[str]:
    if row["status"] == "unreadable":
        return [str(row["number"]), "?", "unreadable", *[""] * 7, row["why"]]
    return [
        str(row["number"]),
        row["scope"],
        row["status"],
        row["trigger"],
        _time(row["created_at"]),
        _time(row["confirmed_at"]),
        str(row["actors"]),
        str(row["bytes_total"]),
        str(row["bytes_added"]),
        str(len(row["recoveries"])),
        row["why"] or "",
    ]


def _time(wall: float | None) -> str:
    return "" if wall is None else datetime.fromtimestamp(wall).astimezone().isoformat(sep=" ", timespec="seconds")[:19]


def _fact(name: str, value: Any) -> str:
    match name:
        case "created_at" | "confirmed_at":
            return _time(value)
        case "recoveries":
            return ", ".join(_time(at) for at in value)
        case "paused":
            return f"{value:.6f} s"
        case _:
            return _shown(value)


def _shown(value: object) -> str:
    return "" if value is None else str(value)
