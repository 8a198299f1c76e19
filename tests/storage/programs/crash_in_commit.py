"""Commits twice and dies at a crash point of the second; prints a line for each acknowledgement.

Arguments: the store's directory, the point's name.
"""

import sys
from pathlib import Path

from treewarden.storage import LmdbStore, Put
from treewarden.storage._crash_points import CrashPoint, arm

store = LmdbStore.open(Path(sys.argv[1]))
store.commit([Put("/kept", "s", 1, 1, "first")]).result()
print("first", flush=True)
arm(CrashPoint[sys.argv[2]], after=2)
store.commit([]).result()  # reaches the point once
store.commit([Put("/kept", "s", 1, 2, "second"), Put("/other", "s", 1, 1, "second")]).result()
print("survived", flush=True)
