"""How fast a store is opened and everything in it read and checked: what a runtime waits for at its start.

Each path has its newest snapshot and the one before, as the store keeps them, and is read with
`scan()`: checksum, header and state. Ten times the actors may take twelve times as long at most.
Every reading is of a store opened anew, whose file the system may hold in memory. Beside each rate
stands what one snapshot costs in time of the processor.
"""

import gc
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from measure import Effort, Row, Target
from progress import say

from treewarden.storage import LmdbStore, Put, Snapshot

FEW, SOME, MANY = 10_000, 20_000, 100_000
IN_A_COMMIT = 1_000
PATIENCE = 120.0


def measure(effort: Effort) -> list[Row]:
    """Stores of 10,000, 20,000 and 100,000 actors, made once and read in turns, once each round."""
    few, some, many = (size * effort.samples // 40 for size in (FEW, SOME, MANY))
    taken: dict[int, list[_Reading]] = {few: [], some: [], many: []}
    with tempfile.TemporaryDirectory(prefix="treewarden-bench-") as place:
        for size in taken:
            say(f"recovery: a store of {size:,} actors")
            _fill(Path(place, str(size)), size)
        for _ in range(effort.rounds):
            for size, readings in taken.items():
                readings.append(_read(Path(place, str(size)), size))
    must, aim = Target("p50", at_least=50_000), Target("p50", at_least=150_000)
    rows: list[Row] = []
    for size in (some, many):
        rates = [size / reading.scan for reading in taken[size]]
        rows.append(Row(f"recovery: {size:,} actors, read and checked", "/s", rates, must=must, aim=aim))
        processor = [reading.processor * 1e6 / size for reading in taken[size]]
        aim_processor = Target("p50", at_most=15.0)
        rows.append(Row(f"recovery: {size:,} actors, processor for one", "us", processor, aim=aim_processor))
        rows.append(Row(f"recovery: open, {size:,} actors", "ms", [each.open * 1000 for each in taken[size]]))
    rows.append(
        Row(
            f"recovery: read {many:,} : {few:,}",
            "ms",
            [reading.scan * 1000 for reading in taken[many]],
            must=Target("ratio", at_most=12.0),
            base=[reading.scan * 1000 for reading in taken[few]],
        )
    )
    return rows


@dataclass(frozen=True, slots=True)
class _Reading:
    """Seconds: to open the store, to read all of it, and of the processor for the latter."""

    open: float
    scan: float
    processor: float


def _fill(directory: Path, actors: int) -> None:
    paths = [f"/bench/pool/w{number:06}" for number in range(actors)]
    store = LmdbStore.open(directory)
    try:
        for round_ in range(2):
            for first in range(0, actors, IN_A_COMMIT):
                puts = [_put(path, round_) for path in paths[first : first + IN_A_COMMIT]]
                store.commit(puts).result(timeout=PATIENCE)
    finally:
        store.close()


def _put(path: str, round_: int) -> Put:
    return Put(path, "bench.Worker", 1, round_ + 1, {"round": round_, "done": 17, "job": "a title of a job", "at": 1.5})


def _read(directory: Path, actors: int) -> _Reading:
    gc.collect()
    begin = time.perf_counter()
    store = LmdbStore.open(directory)
    try:
        opened, processor = time.perf_counter(), time.process_time()
        found = sum(isinstance(snapshot, Snapshot) for snapshot in store.scan())
        read, spent = time.perf_counter(), time.process_time() - processor
    finally:
        store.close()
    if found != actors:
        raise ValueError(f"{found} snapshots were read, expected {actors}")
    return _Reading(opened - begin, read - opened, spent)
