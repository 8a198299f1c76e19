"""Reads one damaged copy of a store after another, and writes to it; tells what each look came to.

Arguments: the whole store's data file, an empty folder to work in. A line on stdin is "offset mask":
the byte there is changed by exclusive or (mask 0 leaves it). The answer to it is three lines of JSON,
the last empty if the copy cannot be written to: what is read, what is read after more was written,
what is read by the next opening. A damaged page may end this process: what was answered stands.
"""

import json
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

from treewarden.storage import LmdbStore, Put, Snapshot, SnapshotCorrupt, SnapshotMissing, StoreError

whole, folder = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
PATHS = [f"/dev/group{number % 7}/worker{number}" for number in range(50)]


def told(snapshot: Snapshot | None) -> str | None:
    if snapshot is None:
        return None
    fields = (snapshot.schema, snapshot.version, snapshot.generation, snapshot.sequence, snapshot.state)
    return f"{snapshot.path} {snapshot.sequence} {zlib.crc32(repr(fields).encode()):08x}"


def outcome(look: Callable[[], object]) -> list[object]:
    try:
        return ["found", look()]
    except SnapshotMissing:
        return ["missing"]
    except SnapshotCorrupt as error:
        return ["corrupt", told(error.fallback), str(error)]
    except StoreError as error:
        return ["refused", type(error).__name__, str(error)]
    except Exception as error:  # what must not be: said, so that it is counted
        return ["traceback", type(error).__name__, str(error)]


def walked(store: LmdbStore) -> dict[str, object]:
    found: dict[str, object] = {}
    for each in store.scan():
        assert each.path not in found
        found[each.path] = told(each) if isinstance(each, Snapshot) else f"corrupt {told(each.fallback)}"
    return found


def looked(store: LmdbStore) -> dict[str, object]:
    return {
        "latest": {path: outcome(lambda path=path: told(store.latest(path))) for path in PATHS},
        "older": {path: outcome(lambda path=path: told(store.older(path))) for path in PATHS},
        "scan": outcome(lambda: walked(store)),
    }


def write(store: LmdbStore) -> str:
    """Small and large ones, new paths and known ones: what frees pages and takes them again."""
    for first in range(0, 10, 2):
        store.commit(
            [
                put
                for number in range(first, 50, 10)
                for put in (
                    Put(PATHS[number], "written", 1, 9, bytes([number]) * (900 * (number % 17))),
                    Put(f"/new/{number}", "written", 1, 1, number),
                )
            ]
        ).result(10)
    return "written"


def answer(line: str) -> None:
    offset, mask = (int(word) for word in line.split())
    damaged = bytearray(whole)
    damaged[offset] ^= mask
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "data.mdb").write_bytes(damaged)
    for write_first in (None, write, None):
        opened = outcome(lambda: LmdbStore.open(folder, map_size=2**26))
        if opened[0] != "found":
            tell({"open": opened})
            continue
        store = opened[1]
        assert isinstance(store, LmdbStore)
        wrote = outcome(lambda: write_first(store)) if write_first else None
        tell({"open": ["found"], "write": wrote} | looked(store))
        closed = outcome(store.close)
        assert closed[0] == "found", closed


def tell(what: object) -> None:
    print(json.dumps(what), flush=True)


for request in sys.stdin:
    answer(request)
