"""Makes two checkpoints, and dies at a crash point in the third or in a prune; prints a line for each step done.

Arguments: the store's directory, the point's name, the step to die in, and its which commit.
"""

import sys
from pathlib import Path

from treewarden.storage import ActorEntry, Checkpoints, Content, LmdbStore, Trigger, pack
from treewarden.storage._crash_points import CrashPoint, arm

directory, point, step, nth = sys.argv[1:]


def wall() -> float:
    return 1_000_000.0


def content(state: int) -> Content:
    return Content("/app", {"/app/a": ActorEntry("/app/a", "s", 1, pack("/app/a", state))}, {})


store = LmdbStore.open(Path(directory))
checkpoints = Checkpoints(store, wall=wall)
for made in (1, 2):
    checkpoints.complete(checkpoints.begin("/app", Trigger.MANUAL), content(made), events_through=None, paused=0)
print("two", flush=True)
arm(CrashPoint[point], after=int(nth))
if step == "make":
    checkpoints.complete(checkpoints.begin("/app", Trigger.MANUAL), content(3), events_through=None, paused=0)
else:
    checkpoints.prune(older_than=0, now=wall() + 1)
print("survived", flush=True)
