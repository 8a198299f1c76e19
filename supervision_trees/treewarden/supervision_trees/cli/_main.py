"""The `treewarden` command: its subcommands, and the one place where their failures become words and exit codes.

Exit codes: 0 done; 1 refused or failed, with the reason on stderr; 2 the command line makes no
sense; 130 ended by Ctrl-C; 141 whoever read the output went away (128 + SIGPIPE, as for any Unix
filter). Commands import what they need when they run, so that `--help` and completion stay quick.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from treewarden.supervision_trees.cli._changes import restart, start, stop
from treewarden.supervision_trees.cli._definitions import check, init, schema
from treewarden.supervision_trees.cli._down import down
from treewarden.supervision_trees.cli._failure import Failed
from treewarden.supervision_trees.cli._output import notice
from treewarden.supervision_trees.cli._streams import events, logs
from treewarden.supervision_trees.cli._up import up
from treewarden.supervision_trees.cli._views import ps, show, tree

__all__ = ["main"]

_PROGRAM: Final = "treewarden"
_INTERRUPTED: Final = 130
_NOBODY_READS: Final = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line (by default the program's own) and return its exit code. Main thread only."""
    if f"_{_PROGRAM.upper()}_COMPLETE" in os.environ:
        _APP(prog_name=_PROGRAM)  # answers the shell, and exits
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a log holds any bytes; printing them must not fail
    try:
        code = _carry_out(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at its exit; let that go nowhere instead of failing aloud.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NOBODY_READS
    return code


def _carry_out(arguments: list[str]) -> int:
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
    for command in (init, check, schema, up, down, ps, tree, show, logs, events, start, stop, restart):
        app.command()(command)
    return app


_APP: Final = _make_app()
