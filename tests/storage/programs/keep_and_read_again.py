"""Keeps a state in a store, opens the store again, and prints the state. Argument: the store's directory."""

import sys
from pathlib import Path

from treewarden.storage import LmdbStore, Put

store = LmdbStore.open(Path(sys.argv[1]))
store.commit([Put("/a", "s", 1, 1, "kept")]).result()
store.close()
store = LmdbStore.open(Path(sys.argv[1]))
print(store.latest("/a").state)
store.close()
