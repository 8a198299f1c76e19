"""200 writers are killed one after another; nothing acknowledged is lost, nothing comes back, nothing is torn.

The writer (programs/mixed_writer.py) says what it hands in before it does, and what was acknowledged. As each
of its threads has paths of its own, the store must be, for each thread, exactly what a beginning of its commits
makes of it, and that beginning holds every acknowledged one. The oracle has its own idea of what an operation
does, and the last tests show that it sees each kind of wrong.
"""

import copy
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from treewarden.storage import (
    Append,
    Discard,
    DropRow,
    LmdbStore,
    MemoryStore,
    Operation,
    Put,
    PutRow,
    Snapshot,
    SnapshotCorrupt,
    SnapshotMissing,
    SnapshotStore,
    Table,
    TableRow,
)

CYCLES = 200
LIVES = 14  # kills in the life of one store, on average
PATIENCE = 20.0
Said = list[Any]
StartWriter = Callable[[Path], "Writer"]


def filling(number: int, size: int) -> bytes:
    return (number.to_bytes(8, "big") * (size // 8 + 1))[:size]


@dataclass
class Kept:
    """A snapshot or a journal entry as the oracle expects it."""

    number: int
    size: int
    order: int  # among all of its thread: what is later has the higher sequence
    sequence: int | None  # once it was acknowledged
    is_aside: bool = False

    def told(self) -> object:
        return f"{self.number} of {self.size} bytes"


@dataclass
class Shelf:
    snapshots: list[Kept] = field(default_factory=list[Kept])
    journal: list[Kept] = field(default_factory=list[Kept])


@dataclass
class Model:
    """What the commits of one thread, up to some point, make of its paths and rows."""

    shelves: dict[str, Shelf] = field(default_factory=dict[str, Shelf])
    rows: dict[tuple[str, str], bytes] = field(default_factory=dict[tuple[str, str], bytes])
    order: int = 0

    def apply(self, group: list[Said], acknowledged: int | None) -> None:
        numbered = sum(said[0] in {"put", "append"} for said in group)
        for said in group:
            numbered -= said[0] in {"put", "append"}
            self._carry_out(said, None if acknowledged is None else acknowledged - numbered)

    def _carry_out(self, said: Said, sequence: int | None) -> None:
        self.order += 1
        match said:
            case ["put", path, number, size]:
                shelf = self.shelves.setdefault(path, Shelf())
                fallback = [kept for kept in shelf.snapshots if not kept.is_aside][-1:]
                if fallback:
                    shelf.journal = [entry for entry in shelf.journal if entry.order > fallback[0].order]
                shelf.snapshots = [*fallback, Kept(number, size, self.order, sequence)]
            case ["append", path, number, size]:
                self.shelves.setdefault(path, Shelf()).journal.append(Kept(number, size, self.order, sequence))
            case ["discard", path]:
                self.shelves.pop(path, None)
            case ["quarantine", path, bad]:
                for kept in self.shelves.get(path, Shelf()).snapshots:
                    kept.is_aside |= kept.sequence == bad
            case ["cut", path, bad]:
                shelf = self.shelves.get(path, Shelf())
                if bad in [entry.sequence for entry in shelf.journal]:
                    shelf.journal = shelf.journal[: [entry.sequence for entry in shelf.journal].index(bad)]
            case ["put row", table, key, number, size]:
                self.rows[table, key] = filling(number, size)
            case ["drop row", table, key]:
                self.rows.pop((table, key), None)
            case _:
                raise AssertionError(said)


@dataclass(frozen=True)
class Seen:
    """What a store gives back of one path: each thing with its sequence."""

    newest: object
    older: object
    journal: tuple[object, ...]
    sequences: tuple[int | None, ...]


def seen(store: SnapshotStore, path: str) -> Seen:
    try:
        newest: object = (found := store.latest(path)) and told(found)
        sequences: list[int | None] = [found.sequence]
    except SnapshotMissing:
        newest, sequences = "missing", []
    except SnapshotCorrupt as corrupt:
        newest = f"aside {corrupt.is_quarantined}, before it {corrupt.fallback and told(corrupt.fallback)}"
        sequences = [corrupt.sequence]
    older = store.older(path)
    journal = store.journal(path, after=0)
    assert journal.damage is None, f"{path}: {journal.damage}"
    entries = [described(entry.generation, entry.entry) for entry in journal.entries]
    sequences += [older and older.sequence, *(entry.sequence for entry in journal.entries)]
    return Seen(newest, older and told(older), tuple(entries), tuple(sequences))


def told(snapshot: Snapshot) -> object:
    return described(snapshot.generation, snapshot.state)


def described(generation: int, state: object) -> str:
    match state:
        case [int(number), bytes(rest)] if number == generation and rest == filling(number, len(rest)):
            return f"{number} of {len(rest)} bytes"
        case _:
            return f"neither whole nor known: {generation} {state!r:.100}"


def expected(shelf: Shelf) -> Seen:
    older = next((kept for kept in reversed(shelf.snapshots[:-1]) if not kept.is_aside), None)
    newest: object = "missing"
    sequences: list[int | None] = []
    if shelf.snapshots:
        last = shelf.snapshots[-1]
        newest = f"aside True, before it {older and older.told()}" if last.is_aside else last.told()
        sequences = [last.sequence]
    sequences += [older and older.sequence, *(entry.sequence for entry in shelf.journal)]
    return Seen(newest, older and older.told(), tuple(entry.told() for entry in shelf.journal), tuple(sequences))


def is_as(found: Seen, wanted: Seen, *, above: int) -> bool:
    """Whether they are alike; what was not acknowledged may have any sequence above what was."""
    if (found.newest, found.older, found.journal) != (wanted.newest, wanted.older, wanted.journal):
        return False
    pairs = zip(found.sequences, wanted.sequences, strict=True)
    return all(have == want or (have is not None and want is None and have > above) for have, want in pairs)


class Oracle:
    """Follows the threads of the writers of one store; `check` looks whether the store may be as it is."""

    def __init__(self, threads: int = 3) -> None:
        self.models = [Model() for _ in range(threads)]
        self.handed: list[list[list[Said]]] = [[] for _ in range(threads)]
        self.acknowledged: list[list[int]] = [[] for _ in range(threads)]
        self.highest = 0
        self.paths: set[str] = set()

    def hear(self, line: str) -> None:
        kind, thread, commit, rest = line.split(" ", 3)
        known = self.handed[int(thread)] if kind == "H" else self.acknowledged[int(thread)]
        assert len(known) == int(commit), f"out of turn: {line}"
        if kind == "H":
            self.handed[int(thread)].append(json.loads(rest))
        else:
            assert int(rest) >= self.highest, f"the sequence fell from {self.highest}: {line}"
            self.highest = int(rest)
            self.acknowledged[int(thread)].append(self.highest)

    def check(self, store: SnapshotStore) -> None:
        """Raise unless the store is what it must be; then begin anew from that."""
        highest = store.commit([]).result(PATIENCE)
        assert highest >= self.highest, f"the store is at sequence {highest}, it acknowledged {self.highest}"
        for thread, groups in enumerate(self.handed):
            self.paths |= {said[1] for group in groups for said in group if not said[0].endswith("row")}
            self.models[thread] = self._survived(thread, store)
        snapshots = {path for model in self.models for path, shelf in model.shelves.items() if shelf.snapshots}
        assert sorted(snapshots) == sorted(each.path for each in store.scan())
        for table in Table:
            rows = [row for model in self.models for row in model.rows.items() if row[0][0] == table.value]
            assert sorted((key, value) for (_, key), value in rows) == rows_of(store, table)
        self.highest = highest
        self._settle(store)

    def _survived(self, thread: int, store: SnapshotStore) -> Model:
        handed, acknowledged = self.handed[thread], self.acknowledged[thread]
        model = self.models[thread]
        for group, sequence in zip(handed, acknowledged, strict=False):
            model.apply(group, sequence)
        found = {path: seen(store, path) for path in self.paths if path.startswith(f"/writer{thread}/")}
        rows = {
            (table.value, key): value
            for table in Table
            for key, value in rows_of(store, table)
            if key.startswith(f"{thread}-")
        }
        tried: list[str] = []
        for beginning in range(len(acknowledged), len(handed) + 1):
            if beginning > len(acknowledged):
                model = copy.deepcopy(model)
                model.apply(handed[beginning - 1], None)
            wanted = {path: expected(model.shelves.get(path, Shelf())) for path in found}
            wrong = [path for path in found if not is_as(found[path], wanted[path], above=self.highest)]
            wrong_rows = [key for key in {*rows, *model.rows} if rows.get(key) != model.rows.get(key)]
            if not wrong and not wrong_rows:
                return model
            tried.append(f"after {beginning}: {[(found[p], wanted[p]) for p in wrong][:1]} {wrong_rows[:2]}"[:600])
        raise AssertionError(
            f"thread {thread} handed in {len(handed)} commits, {len(acknowledged)} were acknowledged;"
            f" no beginning explains the store:\n" + "\n".join(tried[:8])
        )

    def _settle(self, store: SnapshotStore) -> None:
        """What survived is a fact from now on, with its sequence."""
        for thread, model in enumerate(self.models):
            self.handed[thread], self.acknowledged[thread] = [], []
            for path, shelf in model.shelves.items():
                sequences = iter(seen(store, path).sequences)
                if shelf.snapshots:
                    shelf.snapshots[-1].sequence = next(sequences)
                older = next(sequences)
                for kept in shelf.snapshots[:-1]:
                    kept.sequence = older
                for entry in shelf.journal:
                    entry.sequence = next(sequences)


def rows_of(store: SnapshotStore, table: Table) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for row in store.rows(table, limit=10_000):
        assert isinstance(row, TableRow), row
        found.append((row.key.decode(), row.value))
    return found


class Writer:
    """A writer process, started in time so that it only has to begin."""

    def __init__(self, program: Path, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, program, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._said: deque[str] = deque()  # whole lines that nobody has taken yet
        self._rest = b""

    def begin(self, seed: int, first: int) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        os.set_blocking(self._process.stdout.fileno(), False)
        self._process.stdin.write(f"{seed} {first}\n".encode())
        self._process.stdin.flush()

    def lines(self, *, until: float) -> Iterator[str]:
        """What it says until that time on the monotonic clock."""
        assert self._process.stdout is not None
        while (left := until - time.monotonic()) > 0:
            if self._said:
                yield self._said.popleft()
            elif select.select([self._process.stdout], [], [], left)[0]:
                said = os.read(self._process.stdout.fileno(), 2**16)
                assert said, f"the writer ended by itself: {self._process.wait()}"
                self._take(said)

    def kill(self) -> list[str]:
        """Kill it; what it had still said. A line that was cut off was not said."""
        assert self._process.stdout is not None
        self._process.kill()
        assert self._process.wait() == -signal.SIGKILL
        os.set_blocking(self._process.stdout.fileno(), True)
        self._take(self._process.stdout.read())
        return list(self._said)

    def _take(self, said: bytes) -> None:
        *whole, self._rest = (self._rest + said).split(b"\n")
        self._said.extend(line.decode() for line in whole)

    def close(self) -> None:
        with self._process:
            self._process.kill()


@pytest.fixture
def start_writer(programs: Path) -> Iterator[StartWriter]:
    started: list[Writer] = []

    def start(directory: Path) -> Writer:
        started.append(Writer(programs / "mixed_writer.py", directory))
        return started[-1]

    yield start
    for writer in started:
        writer.close()


def run_until_random_moment(writer: Writer, oracle: Oracle, chance: random.Random, *, is_new: bool) -> str:
    """Let it write, and kill it; the kind of moment."""
    kind = chance.choices(("opening", "acknowledged", "growing"), (5 if is_new else 1, 4, 2))[0]
    wanted = round(10 ** chance.uniform(0, 1.8))
    spread = chance.uniform(0, 0.02 if kind == "opening" else 0.004)
    until = time.monotonic() + (spread if kind == "opening" else PATIENCE)
    for line in writer.lines(until=until):
        oracle.hear(line)
        is_due = (kind == "acknowledged" and line[0] == "A") or (kind == "growing" and "300000" in line)
        wanted -= is_due if kind == "acknowledged" else is_due * PATIENCE
        if wanted <= 0:
            break
    for line in writer.lines(until=time.monotonic() + (spread if kind != "opening" else 0)):
        oracle.hear(line)
    for line in writer.kill():
        oracle.hear(line)
    return kind


@pytest.mark.timeout(400)
def test_200_writers_killed_at_random_leave_nothing_lost_nothing_torn_nothing_back(
    tmp_path: Path, start_writer: StartWriter
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # for whoever reads a failure
    chance = random.Random(seed)
    life, oracle, is_new = 0, Oracle(), True
    writer = start_writer(tmp_path / "0")
    for cycle in range(CYCLES):
        directory = tmp_path / str(life)
        writer.begin(seed + cycle, first=1 + cycle * 1_000_000)
        kind = run_until_random_moment(writer, oracle, chance, is_new=is_new)
        checked = oracle
        is_new = chance.random() < 1 / LIVES
        if is_new:
            life, oracle = life + 1, Oracle()
        writer = start_writer(tmp_path / str(life))  # it gets ready while the store is looked at
        try:
            store = LmdbStore.open(directory)
            try:
                checked.check(store)
            finally:
                store.close()
        except Exception as error:
            raise AssertionError(f"seed {seed}, cycle {cycle}, killed while {kind}: {error}") from error


# The oracle itself


def a_history(oracle: Oracle) -> list[list[list[Said]]]:
    """Commits of threads 0 and 1, all of one but the last two acknowledged."""
    commits: list[list[list[Said]]] = [
        [
            [["put", "/writer0/a", 1, 10], ["append", "/writer0/a", 2, 10]],
            [["put", "/writer0/b", 3, 10], ["put row", "values", "0-k", 4, 10]],
            [["discard", "/writer0/b"], ["put", "/writer0/a", 5, 10]],
            [["put", "/writer0/a", 6, 10], ["put", "/writer0/c", 7, 10]],
            [["put", "/writer0/a", 8, 10], ["append", "/writer0/c", 9, 10]],
        ],
        [[["put", "/writer1/a", 10, 10]]],
    ]
    sequences = iter((2, 3, 4))
    for thread, groups in enumerate(commits):
        for number, group in enumerate(groups):
            oracle.hear(f"H {thread} {number} {json.dumps(group)}")
            if number < 3 and thread == 0:
                oracle.hear(f"A {thread} {number} {next(sequences)}")
    return commits


def write(store: MemoryStore, groups: list[list[Said]]) -> None:
    for group in groups:
        store.commit([operation_of(said) for said in group]).result(PATIENCE)


def operation_of(said: Said) -> Operation:
    match said:
        case ["put", path, number, size]:
            return Put(path, "writer", 3, number, [number, filling(number, size)])
        case ["append", path, number, size]:
            return Append(path, "writer", 3, number, [number, filling(number, size)])
        case ["discard", path]:
            return Discard(path)
        case ["put row", table, key, number, size]:
            return PutRow(Table(table), key.encode(), filling(number, size))
        case ["drop row", table, key]:
            return DropRow(Table(table), key.encode())
        case _:
            raise AssertionError(said)


@pytest.mark.parametrize("beginning", [3, 4, 5])
@pytest.mark.parametrize("other_thread", [0, 1])
def test_the_oracle_accepts_every_beginning_that_holds_what_was_acknowledged(beginning: int, other_thread: int) -> None:
    oracle, store = Oracle(2), MemoryStore()
    commits = a_history(oracle)
    write(store, commits[0][:beginning] + commits[1][:other_thread])
    oracle.check(store)
    oracle.check(store)
    store.close()


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param([["put", "/writer0/a", 3, 10]], id="a state that was never handed in"),
        pytest.param([["put", "/writer0/b", 3, 10]], id="a discarded path is back"),
        pytest.param([["put", "/writer0/a", 6, 10]], id="half a commit"),
        pytest.param(
            [["put", "/writer0/a", 8, 10], ["append", "/writer0/c", 9, 10]], id="a later one without the earlier"
        ),
        pytest.param([["discard", "/writer0/a"]], id="an acknowledged path is gone"),
        pytest.param([["drop row", "values", "0-k"]], id="an acknowledged row is gone"),
        pytest.param([["put row", "values", "0-k", 5, 10]], id="another row"),
        pytest.param([["put row", "events", "0-k", 4, 10]], id="a row that nobody put"),
        pytest.param([["append", "/writer0/a", 9, 10]], id="another journal entry"),
        pytest.param([["put", "/nobody", 9, 10]], id="a path of nobody"),
        pytest.param([["put", "/writer1/a", 10, 11]], id="another thread's state is wrong"),
    ],
)
def test_the_oracle_refuses_what_no_history_explains(extra: list[Said]) -> None:
    oracle, store = Oracle(2), MemoryStore()
    write(store, [*a_history(oracle)[0][:3], extra])
    with pytest.raises(AssertionError):
        oracle.check(store)
    store.close()


def test_the_oracle_refuses_a_store_that_lost_its_last_acknowledged_commit() -> None:
    oracle, store = Oracle(2), MemoryStore()
    write(store, a_history(oracle)[0][:2])
    with pytest.raises(AssertionError, match="it acknowledged 4"):
        oracle.check(store)
    write(store, [[["put", "/writer1/a", 10, 10]]])  # the sequence alone does not save it
    with pytest.raises(AssertionError, match="no beginning explains"):
        oracle.check(store)
    store.close()


def test_the_oracle_refuses_a_corrupt_record(flip_last_byte: Callable[[bytes], bytes]) -> None:
    oracle, store = Oracle(2), MemoryStore()
    write(store, a_history(oracle)[0][:3])
    shelf = store._shelves["/writer0/a"]
    shelf[max(shelf)] = flip_last_byte(shelf[max(shelf)])
    with pytest.raises(AssertionError, match="no beginning explains"):
        oracle.check(store)
    store.close()


@pytest.mark.parametrize(
    "line", ["A 0 3 3", "A 0 4 9", 'H 0 7 [["discard", "/writer0/a"]]'], ids=["falls", "skips", "skips one handed in"]
)
def test_the_oracle_refuses_acknowledgements_out_of_turn(line: str) -> None:
    oracle = Oracle(2)
    a_history(oracle)
    with pytest.raises(AssertionError, match=r"fell|out of turn"):
        oracle.hear(line)
