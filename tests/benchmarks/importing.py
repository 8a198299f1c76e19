"""What `import treewarden.actors` costs in a fresh interpreter, and that it loads neither lmdb nor anything of the web."""

import json
import subprocess
import sys

from measure import Effort, Row, Target
from progress import say

UNWANTED = frozenset({"lmdb", "aiohttp", "yarl", "multidict", "frozenlist", "aiosignal", "http.server", "http.client"})
# Nothing but what the clock needs is imported before.
IMPORT = """\
import time
begin = time.perf_counter()
import treewarden.actors
taken = time.perf_counter() - begin
import json, sys
print(json.dumps([taken, sorted(sys.modules)]))
"""


def measure(effort: Effort) -> list[Row]:
    """An interpreter for each eight samples; milliseconds of the import alone."""
    taken: list[float] = []
    unwanted: set[str] = set()
    for _ in range(effort.rounds * max(1, effort.samples // 8)):
        done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
        seconds, loaded = json.loads(done.stdout)
        taken.append(seconds * 1000)
        unwanted |= UNWANTED.intersection(loaded)
    if unwanted:
        say(f"import: loaded {', '.join(sorted(unwanted))}")
    return [
        Row("import: treewarden.actors", "ms", taken, must=Target("p50", at_most=150.0)),
        Row("import: lmdb and web modules loaded by it", "", [len(unwanted)], must=Target("max", at_most=0.0)),
    ]
