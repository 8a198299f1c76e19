"""Commits everything there is, without end, from three threads; tells what it hands in and what was acknowledged.

Argument: the store's directory. A line on stdin, "seed first", lets it begin: to open the store, which
is small at first and grows, and to write; `first` is the lowest number that no earlier writer of this
store has used. Lines on stdout, each written before the next thing happens:

    H thread commit operations    is handed in now; the operations as JSON
    A thread commit sequence      was acknowledged

Each thread has paths and rows of its own, so what it may have done is a beginning of what it handed in.
"""

import json
import os
import random
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from treewarden.storage import (
    Append,
    CutJournal,
    Discard,
    DropRow,
    LmdbStore,
    Operation,
    Put,
    PutRow,
    Quarantine,
    Table,
)

THREADS = 3
OUTSTANDING = 6
MAP_SIZE = 2**17
SIZES = (0, 0, 10, 10, 300, 300, 3_000, 20_000)
BIG = 300_000


def filling(number: int, size: int) -> bytes:
    return (number.to_bytes(8, "big") * (size // 8 + 1))[:size]


def operation_of(said: list[Any]) -> Operation:
    match said:
        case ["put", path, number, size]:
            return Put(path, "writer", 3, number, [number, filling(number, size)])
        case ["append", path, number, size]:
            return Append(path, "writer", 3, number, [number, filling(number, size)])
        case ["discard", path]:
            return Discard(path)
        case ["quarantine", path, sequence]:
            return Quarantine(path, sequence)
        case ["cut", path, sequence]:
            return CutJournal(path, sequence)
        case ["put row", table, key, number, size]:
            return PutRow(Table(table), key.encode(), filling(number, size))
        case ["drop row", table, key]:
            return DropRow(Table(table), key.encode())
        case _:
            raise AssertionError(said)


class Writer:
    """One thread's commits."""

    def __init__(self, store: LmdbStore, thread: int, *, seed: str, first: int) -> None:
        self.store, self.thread = store, thread
        self.chance = random.Random(f"{seed} {thread}")
        self.numbers = count(first + thread, THREADS)
        self.paths = [f"/writer{thread}/{number}" for number in range(5)]
        self.keys = [f"{thread}-{number}" for number in range(5)]
        self.known: dict[tuple[str, str], int] = {}  # the sequence of the last snapshot and of a journal entry

    def run(self) -> None:
        outstanding: deque[Future[int]] = deque()
        for commit in count():
            group = list(self.group())
            operations = [operation_of(said) for said in group]
            os.write(1, f"H {self.thread} {commit} {json.dumps(group)}\n".encode())
            future = self.store.commit(operations)
            future.add_done_callback(partial(self.acknowledge, commit))
            outstanding.append(future)
            if self.chance.random() < 0.3:
                self.learn(group, future.result())
            while len(outstanding) > OUTSTANDING:
                outstanding.popleft().result()

    def acknowledge(self, commit: int, future: "Future[int]") -> None:
        os.write(1, f"A {self.thread} {commit} {future.result()}\n".encode())

    def learn(self, group: list[list[Any]], sequence: int) -> None:
        """What has a sequence, so that it can be named."""
        for said in reversed(group):
            if said[0] in ("put", "append"):
                self.known[said[0], said[1]] = sequence
                sequence -= 1

    def group(self) -> Iterator[list[Any]]:
        for _ in range(self.chance.choice((1, 1, 1, 2, 5, 12))):
            yield self.said()

    def said(self) -> list[Any]:
        path, key = self.chance.choice(self.paths), self.chance.choice(self.keys)
        size = BIG if self.chance.random() < 0.015 else self.chance.choice(SIZES)
        number, table = next(self.numbers), self.chance.choice(list(Table)).value
        kind = self.chance.choices(
            ("put", "append", "discard", "quarantine", "cut", "put row", "drop row"), (40, 20, 7, 6, 3, 15, 5)
        )[0]
        match kind:
            case "put" | "append":
                return [kind, path, number, size]
            case "quarantine" if sequence := self.known.get(("put", path)):
                return [kind, path, sequence]
            case "cut" if sequence := self.known.get(("append", path)):
                return [kind, path, sequence]
            case "put row":
                return [kind, table, key, number, size]
            case "drop row":
                return [kind, table, key]
            case _:
                return ["discard", path]


def main() -> None:
    directory = Path(sys.argv[1])
    os.write(1, b"ready\n")
    seed, first = sys.stdin.readline().split()
    store = LmdbStore.open(directory, map_size=MAP_SIZE)
    writers = [Writer(store, thread, seed=seed, first=int(first)) for thread in range(THREADS)]
    for writer in writers:
        threading.Thread(target=writer.run, daemon=True).start()
    threading.Event().wait()


main()
