"""supervisord: one program `sleep`, restarted at once whenever it ends."""

import importlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .daemon import respawns

importlib.import_module("supervisor.supervisord")  # only so that it is missed where it is not installed

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
    """Seconds from the kill of its program to the pid of the replacement, summed over `count` kills."""
    with tempfile.TemporaryDirectory(prefix="treewarden-bench-") as name:
        folder = Path(name)
        settings = folder / "settings"
        settings.write_text(SETTINGS.format(folder=folder))
        command = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(settings)]
        return respawns(command, count, folder=folder)


FEATS: dict[str, Callable[[int], float]] = {"respawn": respawn}
