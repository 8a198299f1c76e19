"""Forks with an open store and an owned directory; prints what each use in the child came to."""

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from treewarden.storage import Holder, LmdbStore, OwnerLock, Put, StoreLocked, StoreUnusable

directory = Path(sys.argv[1])
holder = Holder(os.getpid(), 1, "boot", "dev", "", 0.0)
lock = OwnerLock.acquire(directory, holder)
store = LmdbStore.open(directory / "store")
store.commit([Put("/a", "s", 1, 1, "parent")]).result()
uses: list[Callable[[], object]] = [
    lambda: store.commit([Put("/a", "s", 1, 1, "child")]),
    lambda: store.latest("/a"),
    store.scan,
    store.close,
    lambda: lock.announce(holder),
]
warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is what is tested
child = os.fork()
if child == 0:
    for use in uses:
        try:
            use()
            os.write(1, b"allowed\n")
        except StoreUnusable as error:
            os.write(1, f"StoreUnusable {'forked child' in str(error)}\n".encode())
    lock.release()
    os._exit(0)
os.waitpid(child, 0)
try:
    OwnerLock.acquire(directory, holder)
except StoreLocked:
    print("still owned by the parent", flush=True)
store.commit([Put("/a", "s", 1, 1, "parent again")]).result()
print(store.latest("/a").state)
store.close()
lock.release()
