"""supervisord: one program `sleep`, restarted at once whenever it ends."""

import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

importlib.import_module("supervisor.supervisord")  # only so that it is missed where it is not installed

PATIENCE = 60.0
LOOK = 0.0005  # seconds between two looks for the new process
SETTINGS = """\
[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
pidfile={folder}/pid
[program:sleeper]
command=sleep 3600
autorestart=true
startsecs=0
"""


def respawn(count: int) -> float:
    """Seconds from the kill of the program to the pid of its replacement, summed over `count` kills."""
    with tempfile.TemporaryDirectory(prefix="treewarden-bench-") as folder:
        settings = Path(folder, "supervisord.conf")
        settings.write_text(SETTINGS.format(folder=folder))
        command = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(settings)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder) as daemon:
            try:
                taken = 0.0
                for _ in range(count):
                    pid = _sleeper(daemon.pid, but=0)
                    begin = time.perf_counter()
                    os.kill(pid, signal.SIGKILL)
                    _sleeper(daemon.pid, but=pid)
                    taken += time.perf_counter() - begin
                return taken
            finally:
                daemon.terminate()


def _sleeper(parent: int, *, but: int) -> int:
    """The pid of the `sleep` that `parent` runs, and that is not `but`."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for child in psutil.Process(parent).children():
            if child.pid != but and child.name() == "sleep":
                return child.pid
        time.sleep(LOOK)
    raise TimeoutError(f"no replacement within {PATIENCE:g} s")


FEATS: dict[str, Callable[[int], float]] = {"respawn": respawn}
