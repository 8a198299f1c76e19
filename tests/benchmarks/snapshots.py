"""Durable snapshots a second: each a commit of its own, heard of once its batch is on disk.

The paths were written twice before, so that with each snapshot the oldest of its path goes. Whoever
hands commits in waits for none of them until all are handed in: how many share a transaction is up
to the store. *Ratio* is that to LMDB alone, driven from Python in the same round: so many records
of the same size, in transactions of as many puts as the largest batch of the store, each with an
fsync. Beside the rates stands what one snapshot costs the process in time of the processor, the
kernel's part included, which other work on the machine does not disturb so much. One commit at a
time is what somebody gets who waits for each. *In commits of 100* is what somebody gets who hands in
many snapshots together, as a checkpoint and a supervisor do: then the future of each is no cost.

The rows of actors are of asks, by 64 threads, of 1,000 durable actors in a runtime: each changes its
state, and answers once that is on disk.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import lmdb
from measure import Effort, Row, Target

from treewarden.actors import Actor, ChildSpec, Durability
from treewarden.storage import LmdbStore, Put
from treewarden.supervision_trees import Runtime, Supervisor

PATHS = 20_000
IN_A_TRANSACTION = 2_048
TOGETHER = 100
ACTORS = 1_000
CALLERS = 64
PATIENCE = 120.0


def measure(effort: Effort) -> list[Row]:
    """20,000 paths, all of them once in each round by each contender; actors for as long as the effort says."""
    return [*_store_rows(effort), *_actor_rows(effort)]


# The store alone


@dataclass(frozen=True, slots=True)
class _Taken:
    """The samples of one way to hand commits in."""

    rates: list[float] = field(default_factory=list[float])
    processor: list[float] = field(default_factory=list[float])  # microseconds for one


def _store_rows(effort: Effort) -> list[Row]:
    count = PATHS * effort.samples // 40
    paths = [f"/bench/pool/w{number:06}" for number in range(count)]
    by: dict[int, _Taken] = {1: _Taken(), 8: _Taken()}
    together: list[float] = []
    floor: list[float] = []
    alone: list[float] = []
    with tempfile.TemporaryDirectory(prefix="treewarden-bench-") as place:
        store = LmdbStore.open(Path(place, "store"))
        try:
            for round_ in range(2):
                _write(store, paths, round_, threads=1)
            with _Lmdb(Path(place, "lmdb"), paths, record_bytes=_record_bytes(paths[0])) as plain:
                plain.write()
                for round_ in range(2, 2 + effort.rounds):
                    floor.append(count / _timed(plain.write)[0])
                    for threads, taken in by.items():
                        seconds, processor = _timed(lambda n=threads, r=round_: _write(store, paths, r, threads=n))
                        taken.rates.append(count / seconds)
                        taken.processor.append(processor * 1e6 / count)
                    together.append(count / _timed(lambda r=round_: _write_together(store, paths, r))[0])
                    few = paths[: 5 * effort.samples]
                    alone.append(len(few) / _timed(lambda r=round_, few=few: _write_each(store, few, r))[0])
        finally:
            store.close()
    must, aim = Target("p50", at_least=40_000), Target("p50", at_least=100_000)
    rows = [Row("snapshots: one commit at a time", "/s", alone), Row("snapshots: LMDB alone", "/s", floor)]
    for threads, taken in by.items():
        name = f"snapshots: {count:,} by {threads} thread{'s' if threads > 1 else ''}"
        rows.append(Row(name, "/s", taken.rates, must=must, aim=aim, base=floor))
        rows.append(Row(f"{name}, processor", "us", taken.processor, aim=Target("p50", at_most=20.0)))
    name = f"snapshots: {count:,} in commits of {TOGETHER}"
    return [*rows, Row(name, "/s", together, must=must, aim=aim, base=floor)]


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor in all threads."""
    begin, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begin, time.process_time() - processor


def _put(path: str, round_: int) -> Put:
    return Put(path, "bench.Worker", 1, round_ + 1, {"round": round_, "done": 17, "job": "a title of a job", "at": 1.5})


def _record_bytes(path: str) -> int:
    """What the store keeps for one path: as much is put into LMDB alone."""
    with tempfile.TemporaryDirectory(prefix="treewarden-bench-") as place:
        store = LmdbStore.open(Path(place))
        store.commit([_put(path, 1)]).result(timeout=PATIENCE)
        store.close()
        with lmdb.open(place, max_dbs=16, lib_version=0) as environment, environment.begin() as txn:
            (record,) = (value for _, value in txn.cursor(db=environment.open_db(b"snap", txn=txn, create=False)))
    return len(record)


def _write(store: LmdbStore, paths: Sequence[str], round_: int, *, threads: int) -> None:
    """Each of `threads` hands its part in, then waits for all of it."""

    def write(part: Sequence[str]) -> None:
        commit = store.commit
        for future in [commit((_put(path, round_),)) for path in part]:
            future.result(timeout=PATIENCE)

    if threads == 1:
        write(paths)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(write, paths[first::threads]) for first in range(threads)]:
            done.result(timeout=PATIENCE)


def _write_together(store: LmdbStore, paths: Sequence[str], round_: int) -> None:
    parts = (paths[first : first + TOGETHER] for first in range(0, len(paths), TOGETHER))
    for future in [store.commit([_put(path, round_) for path in part]) for part in parts]:
        future.result(timeout=PATIENCE)


def _write_each(store: LmdbStore, paths: Sequence[str], round_: int) -> None:
    for path in paths:
        store.commit((_put(path, round_),)).result(timeout=PATIENCE)


class _Lmdb:
    """LMDB with one database, opened as the store opens it."""

    def __init__(self, place: Path, paths: Sequence[str], *, record_bytes: int) -> None:
        self.environment = lmdb.open(str(place), max_dbs=1, map_size=2**30, lib_version=0)
        self.database = self.environment.open_db(b"snap")
        # As long as the store's keys, and as scattered.
        self.keys = [(number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "big") * 3 for number in range(len(paths))]
        self.record = bytes(record_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.environment.close()

    def write(self) -> None:
        for first in range(0, len(self.keys), IN_A_TRANSACTION):
            with self.environment.begin(write=True) as txn:
                for key in self.keys[first : first + IN_A_TRANSACTION]:
                    txn.put(key, self.record, db=self.database)


# Actors


class Counter(Actor):
    """Counts what it is asked; the sum is on disk when it is heard."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = 0

    def on_receive(self, message: int) -> int:
        self.sum += message
        return self.sum

    def snapshot(self) -> dict[str, object]:
        return {"sum": self.sum, "done": 17, "job": "a title of a job", "at": 1.5}

    def restore(self, state: dict[str, Any]) -> None:
        self.sum = state["sum"]


class Ledger(Counter):
    """The same by a journal."""

    durability: ClassVar[Durability] = Durability.JOURNAL

    def on_receive(self, message: int) -> int:
        self.context.record(message)
        return super().on_receive(message)

    def replay(self, entry: int) -> None:
        self.sum += entry


class Volatile(Counter):
    """The same, and nothing is kept."""

    durability: ClassVar[Durability] = Durability.NONE


def _actor_rows(effort: Effort) -> list[Row]:
    """Rates of the two classes of durability, with those of actors that keep nothing as what they are compared with."""
    count = max(CALLERS, ACTORS * effort.samples // 40)
    rates: dict[type[Actor], list[float]] = {Volatile: [], Counter: [], Ledger: []}
    for kind, taken in rates.items():
        with tempfile.TemporaryDirectory(prefix="treewarden-bench-") as state:
            children = [ChildSpec.of(kind, id=f"c{number}") for number in range(count)]
            tree = ChildSpec.of(Supervisor, children=children, id="bench")
            with Runtime.start(tree, state_dir=state, checkpoint_every=None) as runtime:
                refs = [runtime.address(f"/bench/c{number}").require() for number in range(count)]
                taken += [_asks(refs, effort.seconds) for _ in range(effort.rounds)]
    name = f"snapshots: asks of {count:,} actors by {CALLERS} callers, {{}}".format
    return [
        Row(name("nothing kept"), "/s", rates[Volatile]),
        Row(name("SNAPSHOT"), "/s", rates[Counter], base=rates[Volatile]),
        Row(name("JOURNAL"), "/s", rates[Ledger], base=rates[Volatile]),
    ]


def _asks(refs: Sequence[Any], seconds: float) -> float:
    """Asks a second, by as many callers as there are, each of actors of its own; at least one each."""
    go = threading.Event()

    def call(own: Sequence[Any]) -> tuple[int, float]:
        go.wait(PATIENCE)
        until, asked = time.perf_counter() + seconds, 0
        while not asked or time.perf_counter() < until:
            own[asked % len(own)].ask(1, timeout=PATIENCE)
            asked += 1
        return asked, time.perf_counter()

    with ThreadPoolExecutor(CALLERS) as pool:
        calls: list[Future[tuple[int, float]]] = [pool.submit(call, refs[first::CALLERS]) for first in range(CALLERS)]
        begin = time.perf_counter()
        go.set()
        counted = [each.result(timeout=PATIENCE) for each in calls]
    return sum(asked for asked, _ in counted) / (max(ended for _, ended in counted) - begin)
