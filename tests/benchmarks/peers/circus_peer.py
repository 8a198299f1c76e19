"""circus: one watcher of `sleep`, restarted whenever it ends; it looks every 0.1 s (by default every second)."""

import importlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .daemon import respawns

importlib.import_module("circus.circusd")  # only so that it is missed where it is not installed

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
    """Seconds from the kill of its program to the pid of the replacement, summed over `count` kills."""
    with tempfile.TemporaryDirectory(prefix="treewarden-bench-") as name:
        folder = Path(name)
        settings = folder / "settings"
        settings.write_text(SETTINGS.format(folder=folder))
        command = [sys.executable, "-W", "ignore", "-m", "circus.circusd", "--log-level", "critical", str(settings)]
        return respawns(command, count, folder=folder)


FEATS: dict[str, Callable[[int], float]] = {"respawn": respawn}
