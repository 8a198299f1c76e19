"""Restores a store and dies at a crash point on the way.

Arguments: the store's directory, the point's name or "none", the backup's directory.
"""

import sys
from pathlib import Path

from treewarden.storage import Holder, OwnerLock, restore
from treewarden.storage._crash_points import CrashPoint, arm

store, point, backup = sys.argv[1:]
owner = OwnerLock.acquire(Path(store).parent, Holder(1, 1, "boot", "dev", "", 0.0))
if point != "none":
    arm(CrashPoint[point])
restore(Path(backup), Path(store), owner=owner)
owner.release()
print("survived")
