"""A supervisor of processes that is a daemon of its own: how long it takes to replace what was killed."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

__all__ = ["respawns"]

PATIENCE = 10.0
SETTLED_AFTER = 1.0  # seconds; a program that ends while its supervisor is starting up tells nothing
LOOK = 0.0005  # seconds between two looks for the new process


def respawns(command: Sequence[str], count: int, *, folder: Path) -> float:
    """Seconds from the kill of the one `sleep` that `command` runs to the pid of its replacement, summed over `count`."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder) as daemon:
        try:
            taken = 0.0
            _sleeper(daemon.pid, but=0)
            time.sleep(SETTLED_AFTER)
            for _ in range(count):
                pid = _sleeper(daemon.pid, but=0)
                begin = time.perf_counter()
                os.kill(pid, signal.SIGKILL)
                _sleeper(daemon.pid, but=pid)
                taken += time.perf_counter() - begin
            return taken
        finally:
            _end(daemon)


def _end(daemon: subprocess.Popen[bytes]) -> None:
    """End it with its program: first asked to, and not while it is just starting that."""
    time.sleep(SETTLED_AFTER)
    daemon.terminate()
    try:
        daemon.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        for process in (*psutil.Process(daemon.pid).children(), psutil.Process(daemon.pid)):
            process.kill()


def _sleeper(parent: int, *, but: int) -> int:
    """The pid of the `sleep` that `parent` runs, and that is not `but`."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for child in psutil.Process(parent).children():
            if child.pid != but and child.name() == "sleep":
                return child.pid
        time.sleep(LOOK)
    raise TimeoutError(f"no replacement within {PATIENCE:g} s")
