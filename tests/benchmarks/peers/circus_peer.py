"""circus: one watcher of `sleep`, restarted whenever it ends; it looks every 0.1 s (by default every second)."""

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

importlib.import_module("circus.circusd")  # only so that it is missed where it is not installed

PATIENCE = 60.0
LOOK = 0.0005  # seconds between two looks for the new process
SETTINGS = """\
[circus]
endpoint = ipc://{folder}/endpoint
pubsub_endpoint = ipc://{folder}/pubsub
check_delay = 0.1
[watcher:sleeper]
cmd = sleep 3600
numprocesses = 1
max_retry = -1
"""


def respawn(count: int) -> float:
    """Seconds from the kill of the program to the pid of its replacement, summed over `count` kills."""
    with tempfile.TemporaryDirectory(prefix="treewarden-bench-") as folder:
        settings = Path(folder, "circus.ini")
        settings.write_text(SETTINGS.format(folder=folder))
        command = [sys.executable, "-W", "ignore", "-m", "circus.circusd", "--log-level", "critical", str(settings)]
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
