"""Backs a store up and dies at a crash point on the way.

Arguments: the store's directory, the point's name or "none", the backup's directory, "give up" to be
interrupted by hand once something was written.
"""

import sys
from pathlib import Path

from treewarden.storage import back_up
from treewarden.storage._crash_points import CrashPoint, arm

store, point, target, *give_up = sys.argv[1:]
if point != "none":
    arm(CrashPoint[point])


def interrupt(written: int, expected: int) -> None:
    if give_up:
        raise KeyboardInterrupt


back_up(Path(store), Path(target), progress=interrupt)
print("survived")
