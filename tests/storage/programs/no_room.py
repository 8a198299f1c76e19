"""A file size limit (RLIMIT_FSIZE) refuses one transaction; prints what each commit came to."""

import resource
import sys
from pathlib import Path

from treewarden.storage import CommitFailed, LmdbStore, Put

store = LmdbStore.open(Path(sys.argv[1]))
store.commit([Put("/kept", "s", 1, 1, "before")]).result()
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, ((Path(sys.argv[1]) / "data.mdb").stat().st_size, hard))
refused = [store.commit([Put(f"/large/{n}", "s", 1, 1, bytes(500_000)), Put("/kept", "s", 1, 1, "lost")]) for n in "ab"]
for future in refused:
    error = future.exception()
    print(type(error).__name__, error.__cause__.__class__.__module__ if isinstance(error, CommitFailed) else error)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(store.latest("/kept").state)
store.commit([Put("/large", "s", 1, 1, bytes(500_000))]).result()
print(sorted(each.path for each in store.scan()))
store.close()
