"""The `treewarden` program: from its first instruction to its exit code.

Exit codes: 0 done; 1 refused or failed, with the reason on stderr; 2 the command line makes no
sense; 130 ended by Ctrl-C; 141 whoever read the output went away (128 + SIGPIPE, as for any Unix
filter). Little is imported here, and the rest inside `main`: a Ctrl-C while the program still
loads is a Ctrl-C, not a traceback.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import Final

__all__ = ["main"]

_INTERRUPTED: Final = 130
_NOBODY_READS: Final = 141
_STANDARD: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line (by default the program's own) and return its exit code. Main thread only."""
    try:
        _open_missing_streams()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a log holds any bytes; printing them must not fail
        from treewarden.supervision_trees.cli._app import carry_out, complete  # noqa: PLC0415 - inside the `try`

        if "_TREEWARDEN_COMPLETE" in os.environ:
            complete()
        code = carry_out(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at its exit; let that go nowhere instead of failing aloud.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NOBODY_READS
    return code


def _open_missing_streams() -> None:
    """Give a program that was started without 0, 1 or 2 (`>&-`) the null device there.

    Otherwise the next file that is opened gets the number: what is printed would end in the store.
    """
    for number, (name, mode) in enumerate(_STANDARD):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            assert opened == number, "the lower numbers are open, so open(2) gives the lowest free one"
            os.set_inheritable(number, True)  # noqa: FBT003 - its only parameter; standard streams are inherited
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
