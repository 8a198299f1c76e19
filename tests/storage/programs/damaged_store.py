"""Reads one damaged copy of a store after another, and writes to it; tells what each look came to.

Arguments: an empty folder to work in, and the data file of the whole store; if there is no such file it
makes one. It prints the size and the offsets in it that steer the engine: of keys, page headers and
pointers. Then a line on stdin is "offset mask": in a fresh copy the byte there is changed by exclusive or (mask 0 leaves it).
The answer is three lines of JSON: what is read, what is read after more was written, what is read by
the next opening. A damaged page may end this process: what was answered until then stands.
"""

import json
import random
import re
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

from treewarden.storage import (
    Append,
    LmdbStore,
    Operation,
    Put,
    PutRow,
    RowCorrupt,
    Snapshot,
    SnapshotCorrupt,
    SnapshotMissing,
    StoreError,
    Table,
    pack,
)
from treewarden.storage._lmdb_tables import digest_of

PAGE = 4096
PATHS = [f"/dev/group{number % 7}/worker{number}" for number in range(50)]
JOURNALLED = PATHS[::3]
ROWS = {table: [f"{table.value}-{number:04}".encode() for number in range(40)] for table in Table}
SIZES = (5, 40, 200, 900, 3000, 9000)


def make(directory: Path) -> bytes:
    """Two generations of 50 paths, journals, rows, and the pages that earlier ones left free."""
    chance = random.Random(5)

    def state_of(path: str, generation: int) -> object:
        return {"path": path, "generation": generation, "load": chance.randbytes(chance.choice(SIZES))}

    store = LmdbStore.open(directory, map_size=2**26)
    for generation in range(1, 6):
        order = chance.sample(PATHS, len(PATHS))
        for first in range(0, len(order), 5):
            group = order[first : first + 5]
            store.commit([Put(path, "worker", 2, generation, state_of(path, generation)) for path in group]).result(10)
        for path in JOURNALLED:
            entries = [Append(path, "step", 1, generation, f"{generation}.{number}") for number in range(3)]
            store.commit(entries).result(10)
    for table, keys in ROWS.items():
        store.commit([PutRow(table, key, key * (1 + chance.choice(SIZES) // 20)) for key in keys]).result(10)
    store.close()
    return (directory / "data.mdb").read_bytes()


def told(snapshot: Snapshot | None) -> str | None:
    if snapshot is None:
        return None
    fields = pack(snapshot.path, [snapshot.schema, snapshot.version, snapshot.sequence, snapshot.state])
    return f"{snapshot.path} {snapshot.generation} {zlib.crc32(fields.body):08x}"


def outcome(look: Callable[[], object]) -> list[object]:
    try:
        return ["found", look()]
    except SnapshotMissing:
        return ["missing"]
    except SnapshotCorrupt as error:
        return ["corrupt", told(error.fallback), str(error)]
    except StoreError as error:
        return ["refused", type(error).__name__, str(error)]
    except Exception as error:  # noqa: BLE001  # what must not be: said, so that it is counted
        return ["traceback", type(error).__name__, str(error)]


def scanned(store: LmdbStore) -> list[tuple[str, str | None]]:
    return [
        (each.path, told(each) if isinstance(each, Snapshot) else f"corrupt, before it {told(each.fallback)}")
        for each in store.scan()
    ]


def journal(store: LmdbStore, path: str) -> dict[str, object]:
    found = store.journal(path, after=0)
    entries = [(each.path, each.sequence, each.generation, each.entry) for each in found.entries]
    return {"entries": entries, "is_damaged": found.damage is not None}


def row(store: LmdbStore, table: Table, key: bytes) -> str | None:
    value = store.row(table, key)
    return None if value is None else f"{zlib.crc32(value):08x}"


def listed(store: LmdbStore, table: Table) -> list[str]:
    return [
        "corrupt" if isinstance(each, RowCorrupt) else f"{each.key.decode()} {zlib.crc32(each.value):08x}"
        for each in store.rows(table, limit=1000)
    ]


def looked(store: LmdbStore) -> dict[str, object]:
    """Every look there is, as name -> outcome."""
    looks: dict[str, Callable[[], object]] = {"scan": lambda: scanned(store), "id": lambda: store.store_id}
    for path in PATHS:
        looks[f"latest {path}"] = lambda path=path: told(store.latest(path))
        looks[f"older {path}"] = lambda path=path: told(store.older(path))
    for path in JOURNALLED:
        looks[f"journal {path}"] = lambda path=path: journal(store, path)
    for table, keys in ROWS.items():
        looks[f"rows {table.value}"] = lambda table=table: listed(store, table)
        for key in keys:
            looks[f"row {table.value} {key.decode()}"] = lambda table=table, key=key: row(store, table, key)
    return {name: outcome(look) for name, look in looks.items()}


def write(store: LmdbStore) -> None:
    """Small and large, known paths and new ones: what takes pages that lie free, and frees others."""
    for first in range(0, 10, 2):
        operations: list[Operation] = []
        for number in range(first, 50, 10):
            operations += (
                Put(PATHS[number], "written", 1, 9, bytes([number]) * (900 * (number % 17))),
                Put(f"/new/{number}", "written", 1, 9, number),
                Append(PATHS[number], "written", 1, 9, number),
                PutRow(Table.VALUES, f"written-{number}".encode(), bytes(1000)),
            )
        store.commit(operations).result(10)


def steering(whole: bytes) -> dict[str, list[int]]:
    """Where single bytes do most harm."""
    pages = range(len(whole) // PAGE)
    names = [digest_of(path) for path in PATHS] + [key for keys in ROWS.values() for key in keys]
    meta = [page for page in pages if b"lib_version" in whole[page * PAGE : (page + 1) * PAGE]]
    roots = [page for page in pages if b"\0quarantine" in whole[page * PAGE : (page + 1) * PAGE]]
    return {
        # Without the lowest byte of the transaction numbers, at 144: the newer one lowered by exactly two is what
        # a kill before the last commit leaves, and nothing tells the two apart.
        "meta pages": [page * PAGE + at for page in (0, 1) for at in range(170) if at != 144],
        "headers": [page * PAGE + at for page in pages for at in range(16)],
        "pointers": [page * PAGE + at for page in pages for at in range(16, 48)],
        "keys": [
            found.start() + at
            for name in names
            for found in re.finditer(re.escape(name), whole)
            for at in range(-8, 24)
        ],
        "own meta": [page * PAGE + at for page in meta for at in (*range(32), *range(PAGE - 200, PAGE))],
        "roots": [page * PAGE + at for page in roots for at in (*range(32), *range(PAGE - 700, PAGE))],
    }


def answer(line: str, whole: bytes, folder: Path) -> None:
    offset, mask = (int(word) for word in line.split())
    damaged = bytearray(whole)
    damaged[offset] ^= mask
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "data.mdb").write_bytes(damaged)
    for writes in (False, True, False):
        opened = outcome(lambda: LmdbStore.open(folder, map_size=2**26))
        if opened[0] != "found":
            tell({"open": opened})
            continue
        store = opened[1]
        assert isinstance(store, LmdbStore)
        wrote = outcome(lambda store=store: write(store)) if writes else ["found", None]
        tell({"open": ["found"], "write": wrote, "looks": looked(store), "close": outcome(store.close)})


def tell(what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    folder = Path(sys.argv[1])
    data = Path(sys.argv[2])
    if not data.exists():
        data.write_bytes(make(folder / "made"))
    whole = data.read_bytes()
    tell({"size": len(whole)} | steering(whole))
    for request in sys.stdin:
        answer(request, whole, folder / "damaged")


main()
