"""Compacts a store and dies at a crash point on the way. Arguments: the store's directory, the point's name or "none"."""

import sys
from pathlib import Path

from treewarden.storage import Holder, OwnerLock, compact
from treewarden.storage._crash_points import CrashPoint, arm

store, point = sys.argv[1:]
owner = OwnerLock.acquire(Path(store).parent, Holder(1, 1, "boot", "dev", "", 0.0))
if point != "none":
    arm(CrashPoint[point])
compact(Path(store), owner=owner)
owner.release()
print("survived")
