"""Changed bytes of the data file: each is harmless, or told; never a crash, a wrong state, or less than there was.

A worker (programs/damaged_store.py) reads damaged copies of one store, writes to them, and opens them again.
It is a process of its own since damage to a page may end it; that is counted, and must not happen.
"""

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from treewarden.storage import LmdbStore, PutRow, Table
from treewarden.storage._lmdb_files import find_problems

Answer: TypeAlias = dict[str, Any]
Finding: TypeAlias = tuple[str, str]  # how bad ("told" or "forbidden"), and what
STEPS = ("read", "read after writing", "read by the next opening")
# Half of the bytes are anywhere, where most are bodies of records; the others where they steer the engine.
FLIPS = {"anywhere": 530, "meta pages": 90, "headers": 90, "pointers": 90, "keys": 90, "own meta": 70, "roots": 70}


class Worker:
    """The process that reads damaged copies; begun anew when one ends it."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program, self._folder = program, folder
        self._process = self._start()

    def offsets(self, place: str) -> "list[int] | range":
        return range(self._places["size"]) if place == "anywhere" else self._places[place]

    def ask(self, offset: int, mask: int) -> tuple[list[Answer], str | None]:
        """Its answers, and what ended it before it had given all."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{offset} {mask}\n")
        self._process.stdin.flush()
        answers: list[Answer] = []
        for _ in STEPS:
            line = self._process.stdout.readline()
            if not line:
                ended = self._process.wait()
                self.close()
                self._process = self._start()
                return answers, signal.Signals(-ended).name if ended < 0 else f"exit {ended}"
            answers.append(json.loads(line))
        return answers, None

    def close(self) -> None:
        with self._process:
            self._process.kill()

    def _start(self) -> "subprocess.Popen[str]":
        self._folder.mkdir(exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, self._program, self._folder, self._folder / "whole.mdb"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the engine says there what it dies of
            text=True,
        )
        assert process.stdout is not None
        self._places = json.loads(process.stdout.readline())
        return process


@pytest.fixture
def worker(tmp_path: Path, programs: Path) -> Iterator[Worker]:
    started = Worker(programs / "damaged_store.py", tmp_path / "worker")
    yield started
    started.close()


def findings(answers: list[Answer], whole: list[Answer]) -> Iterator[Finding]:
    """What the answers about a damaged copy come to, beside those about the whole store."""
    hurt: set[str] = set()  # paths whose damage was told: what they have later may be of before
    for step, answer, sound in zip(STEPS, answers, whole, strict=False):
        if answer["open"][0] != "found":
            yield graded(answer["open"], f"{step}: open")
            continue
        if answer["close"] != ["found", None]:
            yield "forbidden", f"{step}: close {answer['close']}"
        if answer["write"] != ["found", None]:
            yield graded(answer["write"], f"{step}: write")
            return  # what comes after is not what was written
        for name, look in answer["looks"].items():
            if look != sound["looks"][name]:
                kind, _, what = name.partition(" ")
                grade, why = judged(kind, what, look, sound["looks"], was_hurt=what in hurt)
                yield grade, f"{step}: {name}: {why}"
        if step == STEPS[0]:
            hurt = {name.partition(" ")[2] for name in sound["looks"] if answer["looks"][name] != sound["looks"][name]}


def graded(outcome: list[Any], what: str) -> Finding:
    return "told" if outcome[0] == "refused" else "forbidden", f"{what} {outcome[:3]}"


def judged(kind: str, what: str, look: list[Any], sound: dict[str, Any], *, was_hurt: bool) -> Finding:
    """One look that is not as in the whole store."""
    match kind, look:
        case _, ["refused", *_]:
            return "told", str(look[1])
        case "latest", ["corrupt", fallback, _]:
            is_right = fallback is None or fallback == sound[f"older {what}"][1] or was_hurt
            return "told" if is_right else "forbidden", f"corrupt, and before it {fallback}"
        case "older", ["found", found]:
            return "told" if found is None or was_hurt else "forbidden", f"{found}"
        case "journal", ["found", {"entries": entries, "is_damaged": is_damaged}]:
            wanted = sound[f"journal {what}"][1]["entries"]
            # What damage kept from being trimmed is longer at its old end.
            is_right = (
                entries == wanted[: len(entries)] if is_damaged else was_hurt and entries[-len(wanted) :] == wanted
            )
            return "told" if is_right or (is_damaged and was_hurt) else "forbidden", f"{len(entries)} entries"
        case "rows", ["found", listed]:
            is_right = "corrupt" in listed and len(listed) >= len(sound[f"rows {what}"][1])
            return "told" if is_right else "forbidden", f"{len(listed)} rows"
        case "scan", ["found", scanned]:
            return judged_scan(scanned, sound["scan"][1])
        case _:
            return "forbidden", str(look)[:200]


def judged_scan(scanned: list[list[str]], wanted: list[list[str]]) -> Finding:
    found = dict(scanned)
    if len(found) != len(scanned):
        return "forbidden", "a path is there twice"
    unnamed = [path for path in found if path.startswith("<unknown path")]
    for path, state in wanted:
        if path not in found and not unnamed:
            return "forbidden", f"{path} is not there"
        if found.get(path, state) != state and not found[path].startswith("corrupt"):
            return "forbidden", f"{path} is {found[path]}"
    return "told", "corrupt"


@pytest.mark.timeout(400)  # half a minute, unless the machine has much else to do
@pytest.mark.parametrize("place", FLIPS)
def test_each_of_1000_changed_bytes_is_harmless_or_told(worker: Worker, place: str) -> None:
    """Whatever is forbidden is shown with the seed, the offset and the mask that bring it back."""
    whole, ended = worker.ask(0, 0)
    assert ended is None
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    count: Counter[str] = Counter()
    forbidden: list[str] = []
    for _ in range(FLIPS[place]):
        offset, mask = chance.choice(worker.offsets(place)), chance.randrange(1, 256)
        answers, ended = worker.ask(offset, mask)
        found = list(findings(answers, whole))
        if ended is not None:
            found.append(("forbidden", f"{STEPS[len(answers)]}: {ended}"))
        worst = [what for grade, what in found if grade == "forbidden"]
        count["forbidden" if worst else "told" if found else "harmless"] += 1
        forbidden += [f"offset {offset}, mask {mask}: {worst[0]}"] if worst else []

    assert forbidden == [], f"seed {seed}, {dict(count)}"
    assert count["told"] > 0  # else nothing was damaged
    assert count["harmless"] > 0


def test_the_whole_store_is_read_alike_each_time_and_told_apart_from_another(worker: Worker) -> None:
    whole, _ = worker.ask(0, 0)
    again, _ = worker.ask(0, 0)
    assert list(findings(again, whole)) == []

    looks = whole[0]["looks"]
    spoilt: list[Callable[[dict[str, Any]], None]] = [
        lambda looks: looks["scan"][1].pop(),
        lambda looks: looks["scan"][1].append(looks["scan"][1][0]),
        lambda looks: looks.update({"id": ["found", "0" * 32]}),
        lambda looks: looks.update({"latest /dev/group0/worker0": ["missing"]}),
        lambda looks: looks.update({"latest /dev/group0/worker0": looks["older /dev/group0/worker0"]}),
        lambda looks: looks.update({"older /dev/group0/worker0": looks["latest /dev/group0/worker0"]}),
        lambda looks: looks["journal /dev/group0/worker0"][1]["entries"].pop(),
        lambda looks: looks["journal /dev/group0/worker0"][1]["entries"].pop(0),
        lambda looks: looks["rows values"][1].pop(),
        lambda looks: looks.update({"row values values-0000": ["found", None]}),
        lambda looks: looks.update({"row values values-0000": ["traceback", "IndexError", "tuple index out of range"]}),
    ]
    for spoil in spoilt:
        changed = json.loads(json.dumps(looks))
        spoil(changed)
        graded = {grade for grade, _ in findings([whole[0] | {"looks": changed}], whole)}
        assert graded == {"forbidden"}


def test_a_row_that_shrinks_within_one_commit_leaves_a_file_without_faults(tmp_path: Path) -> None:
    """LMDB would keep all pages of the large one, which its verifier takes for damage."""
    store = LmdbStore.open(tmp_path / "store")
    store.commit([PutRow(Table.VALUES, b"k", bytes(20_000)), PutRow(Table.VALUES, b"k", bytes(3_000))]).result(10)
    store.close()

    assert find_problems(tmp_path / "store" / "data.mdb") == ()
