"""The subcommands of `treewarden`, and the one place where their failures become words and exit codes.

Commands import what they need when they run, so that `--help` and completion stay quick.
"""

from typing import Annotated, Final

import typer

from treewarden.supervision_trees.cli._changes import restart, start, stop
from treewarden.supervision_trees.cli._checkpoint import CHECKPOINT
from treewarden.supervision_trees.cli._definitions import check, init, schema
from treewarden.supervision_trees.cli._doctor import doctor
from treewarden.supervision_trees.cli._down import down
from treewarden.supervision_trees.cli._events import events
from treewarden.supervision_trees.cli._output import Failed, notice
from treewarden.supervision_trees.cli._plans import apply, plan
from treewarden.supervision_trees.cli._store import STORE
from treewarden.supervision_trees.cli._streams import logs
from treewarden.supervision_trees.cli._up import up
from treewarden.supervision_trees.cli._views import ps, show, tree

__all__ = ["carry_out", "complete"]

_PROGRAM: Final = "treewarden"


def complete() -> None:
    """Answer the shell that asks for completions, and exit."""
    _APP(prog_name=_PROGRAM)


def carry_out(arguments: list[str]) -> int:
    """Carry out one command line and return its exit code; Ctrl-C and a broken pipe are the caller's."""
    # Not `_APP()`: Typer's own runner would turn a broken pipe and Ctrl-C into exits of its own.
    command = typer.main.get_command(_APP)
    try:
        with command.make_context(_PROGRAM, arguments) as context:
            command.invoke(context)
    except typer.Exit as error:
        return error.exit_code
    except typer.TyperException as error:
        asked = getattr(error, "ctx", None)  # a usage error has it; its class is not public
        notice(f"{error.format_message()}\ntry: {_PROGRAM if asked is None else asked.command_path} --help")
        return error.exit_code
    except Failed as error:
        notice(str(error))
        return 1
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception as error:  # noqa: BLE001 - program boundary: errors become words, defects are raised again
        return _fail(error)
    return 0


def _fail(error: Exception) -> int:
    """Tell an error that the project raises on purpose, or the system's; what else comes is a defect and goes on."""
    from treewarden.actors import TreewardenError  # noqa: PLC0415 - not for --help
    from treewarden.storage import StoreError  # noqa: PLC0415

    if not isinstance(error, TreewardenError | StoreError | OSError):
        raise error
    notice(str(error) or type(error).__name__)
    return 1


def _print_version(asked: bool) -> None:  # noqa: FBT001 - Typer calls it so
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - only for --version

        print(f"{_PROGRAM} {version('treewarden')}")
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Supervise processes and actors as a tree: start, watch, restart, and take over after a crash."""


def _make_app() -> typer.Typer:
    app = typer.Typer(
        name=_PROGRAM, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
    )
    app.callback()(_options)
    running = (plan, apply, up, down, ps, tree, show, logs, events, start, stop, restart)
    for command in (init, check, schema, *running, doctor):
        app.command()(command)
    app.add_typer(CHECKPOINT, name="checkpoint")
    app.add_typer(STORE, name="store")
    return app


_APP: Final = _make_app()
