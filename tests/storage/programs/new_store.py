"""Creates a store and prints which LMDB engine holds it."""

import sys
from pathlib import Path

from treewarden.storage import LmdbStore

store = LmdbStore.open(Path(sys.argv[1]))
print(*store._environment.lib_version()[:2])
store.close()
