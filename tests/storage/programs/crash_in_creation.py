"""Creates a store and dies at a crash point on the way. Arguments: the store's directory, the point's name."""

import sys
from pathlib import Path

from treewarden.storage import LmdbStore
from treewarden.storage._crash_points import CrashPoint, arm

arm(CrashPoint[sys.argv[2]])
LmdbStore.open(Path(sys.argv[1])).close()
print("survived")
