"""An address space limit (RLIMIT_AS) refuses to double the map; prints what each commit came to."""

import resource
import sys
from pathlib import Path

from treewarden.storage import LmdbStore, Put

MIB = 2**20
store = LmdbStore.open(Path(sys.argv[1]), map_size=64 * MIB)
for number in range(57):
    # One at a time: a group would leave freed memory behind, and the limit would not bite.
    store.commit([Put(f"/filling/{number}", "s", 1, 1, bytes(MIB))]).result()
store.commit([Put("/kept", "s", 1, 1, "before")]).result()
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + 40 * MIB, hard))  # room for the data, not for a map of 128 MiB
too_much = [Put("/kept", "s", 1, 1, "lost"), *(Put(f"/more/{number}", "s", 1, 1, bytes(MIB)) for number in range(8))]
error = store.commit(too_much).exception()
print(type(error).__name__, "memory" in str(error))
print(store.latest("/kept").state)
store.commit([Put("/kept", "s", 1, 1, "after")]).result()
print(store.latest("/kept").state)
resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
store.commit(too_much).result()
print(len(list(store.scan())))
store.close()
