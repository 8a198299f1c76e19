"""A runtime in the background: a new session, no terminal, its output in `runtime.log`.

The tree is up when the console answers for the new process itself with a root that runs; an older
runtime that still answers in the same state directory is not mistaken for it.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from treewarden.actors import SystemClock, TreewardenError
from treewarden.supervision_trees._control import Inspect
from treewarden.supervision_trees.cli._connection import open_console
from treewarden.supervision_trees.cli._output import Failed, print_text
from treewarden.supervision_trees.console import socket_path_for

__all__ = ["start_detached"]

_LOG: Final = "runtime.log"
_BETWEEN_LOOKS: Final = 0.1  # seconds
_LOOK_WITHIN: Final = 2.0  # seconds for one answer
_LAST_LINES: Final = 20
_LONGEST_TAIL: Final = 64 * 1024  # bytes


def start_detached(file: Path, *, state_dir: Path, options: Sequence[str], within: float) -> None:
    """Start `treewarden up FILE`, with `options`, in the background and return once its tree is up.

    Raises:
        Failed: if it ended before that, with its last lines; or was not up `within` seconds (it goes on).
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    socket_path_for(state_dir)  # complain here, not in a log, if there is no safe place for a console
    log = state_dir / _LOG
    command = [sys.executable, "-m", "treewarden.supervision_trees.cli", "up", "--state", str(state_dir)]
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        written_before = os.fstat(descriptor).st_size
        child = subprocess.Popen(
            [*command, *options, "--", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    _wait_up(child, state_dir, log, written_before, within)
    print_text(
        f"up: pid {child.pid}, output in {log};"
        f" see: treewarden tree --state {state_dir}, stop it with: treewarden down --state {state_dir}"
    )


def _wait_up(child: "subprocess.Popen[bytes]", state_dir: Path, log: Path, written_before: int, within: float) -> None:
    clock = SystemClock()
    deadline = clock.monotonic() + within
    while not _is_up(state_dir, child.pid):
        try:
            code = child.wait(_BETWEEN_LOOKS)
        except subprocess.TimeoutExpired:
            if clock.monotonic() < deadline:
                continue
            raise Failed(
                f"the runtime (pid {child.pid}) is not up after {within:g} s and goes on trying;"
                f" see: treewarden tree --state {state_dir}, or {log}"
            ) from None
        how = f"by {-code} (a signal)" if code < 0 else f"with exit code {code}"
        raise Failed(f"the runtime ended {how} before its tree was up; the end of {log}:\n{_tail(log, written_before)}")


def _is_up(state_dir: Path, pid: int) -> bool:
    try:
        with open_console(state_dir) as console:
            view = console.execute(Inspect(), timeout=_LOOK_WITHIN)
    except (TreewardenError, Failed):  # not yet, or an older runtime on its way out: the caller looks again
        return False
    return view.runtime_pid == pid and view.root.state == "running"


def _tail(log: Path, written_before: int) -> str:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(written_before, size - _LONGEST_TAIL))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-_LAST_LINES:]) or "  (it wrote nothing)"
