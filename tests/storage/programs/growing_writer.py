"""Puts a mebibyte more for each line on stdin, from a map of a quarter of that on; prints the number of each.

Argument: the store's directory.
"""

import sys
from pathlib import Path

from treewarden.storage import LmdbStore, Put

store = LmdbStore.open(Path(sys.argv[1]), map_size=2**18)
print("open", flush=True)
for number, _ in enumerate(sys.stdin):
    store.commit([Put(f"/grown/{number}", "s", 1, 1, bytes(2**20))]).result()
    print(number, flush=True)
store.close()
