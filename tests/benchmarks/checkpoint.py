"""A checkpoint of 10,000 running actors with a state each, in a runtime with a state directory.

*Pause* is how long the actors stood still for it. An unchanged tree makes a second checkpoint that
confirms the first, and a change of every hundredth actor one that adds the changed parts alone: what
each adds is given in bytes of values, as the checkpoint says, and in pages of the store's file, as a
process that looks into it from outside counts them. Each must be two transactions, one that says
it is begun and one with all of it: whoever ends the runtime between finds it whole or not at all. A
third one is the event journal's, which tells of it.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import Effort, Row, Target
from progress import say

from treewarden.actors import Actor, ChildSpec
from treewarden.storage import Checkpoint
from treewarden.supervision_trees import Runtime, Supervisor

ACTORS = 10_000
PATIENCE = 300.0
# In another process: LMDB has a file open once in each.
LOOK = """\
import json, sys
from pathlib import Path
import lmdb
from treewarden.storage import StoreReader
place = Path(sys.argv[1])
with StoreReader.open(place) as reader:
    found = reader.statistics()
with lmdb.open(str(place), readonly=True, max_dbs=16, lib_version=0) as environment:
    transactions = environment.info()["last_txnid"]
print(json.dumps({"used_bytes": found.used_pages * found.page_size, "file_bytes": found.file_bytes,
                  "transactions": transactions}))
"""


def measure(effort: Effort) -> list[Row]:
    """A tree and its three checkpoints for each round."""
    count = max(100, ACTORS * effort.samples // 40)
    takes: list[list[_Take]] = []
    for round_ in range(effort.rounds):
        say(f"checkpoint: round {round_ + 1} of {effort.rounds}")
        takes.append(_take_three(count))
    firsts, seconds, thirds = zip(*takes, strict=True)
    name = f"checkpoint: {count:,} actors, {{}}".format
    transactions = [float(take.transactions) for take in (*firsts, *seconds, *thirds)]
    rows = [
        Row(name("first"), "ms", [take.seconds * 1000 for take in firsts]),
        Row(name("first, pause"), "ms", [take.made.paused * 1000 for take in firsts]),
        Row(name("first, values"), "B", [float(take.made.bytes_added) for take in firsts]),
        Row(name("first, pages"), "B", [float(take.used) for take in firsts]),
    ]
    for what, later in (("unchanged", seconds), ("1 % changed", thirds)):
        added = [_added(take) for take in later]
        must = Target("max", at_most=0.01) if later is seconds else None
        rows += [
            Row(
                name(what), "ms", [take.seconds * 1000 for take in later], base=[take.seconds * 1000 for take in firsts]
            ),
            Row(name(f"{what}, pause"), "ms", [take.made.paused * 1000 for take in later]),
            Row(name(f"{what}, values added"), "B", [float(each) for each in added]),
            Row(
                name(f"{what}, values added : first"),
                "x",
                [each / first.made.bytes_added for each, first in zip(added, firsts, strict=True)],
                must=must,
            ),
            Row(
                name(f"{what}, pages added : first"),
                "x",
                [take.used / first.used for take, first in zip(later, firsts, strict=True)],
                must=must,
            ),
            Row(
                name(f"{what}, growth of the file : first"),
                "x",
                [take.file / max(1, first.file) for take, first in zip(later, firsts, strict=True)],
            ),
        ]
    return [*rows, Row(name("transactions"), "", transactions, must=Target("max", at_most=3.0))]


@dataclass(frozen=True, slots=True)
class _Take:
    """One checkpoint: how long it took, and what it has added to the store."""

    number: int
    made: Checkpoint
    seconds: float
    used: int  # bytes of pages
    file: int
    transactions: int


def _added(take: _Take) -> int:
    """Bytes of values; a checkpoint that only confirms an earlier one gives what that one had added, and adds none."""
    return take.made.bytes_added if take.made.number == take.number else 0


def _take_three(count: int) -> list[_Take]:
    children = [ChildSpec.of(Member, number, id=f"c{number}") for number in range(count)]
    tree = ChildSpec.of(Supervisor, children=children, id="bench")
    with tempfile.TemporaryDirectory(prefix="treewarden-bench-") as state:
        with Runtime.start(tree, state_dir=state, checkpoint_every=None) as runtime:
            takes = [_take(runtime, Path(state, "store"), number=1), _take(runtime, Path(state, "store"), number=2)]
            for number in range(0, count, 100):
                runtime.address(f"/bench/c{number}").ask("change", timeout=PATIENCE)
            return [*takes, _take(runtime, Path(state, "store"), number=3)]


def _take(runtime: Runtime, store: Path, *, number: int) -> _Take:
    before = _look(store)
    begin = time.perf_counter()
    made = runtime.checkpoint(within=PATIENCE)
    seconds = time.perf_counter() - begin
    after = _look(store)
    added = {figure: after[figure] - before[figure] for figure in before}
    return _Take(number, made, seconds, added["used_bytes"], added["file_bytes"], added["transactions"])


def _look(store: Path) -> dict[str, int]:
    done = subprocess.run([sys.executable, "-c", LOOK, str(store)], capture_output=True, text=True, check=True)
    return {str(figure): int(value) for figure, value in json.loads(done.stdout).items()}


class Member(Actor):
    """Has some state, which changes as told."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.changes = number, 0

    def on_receive(self, message: object) -> None:
        self.changes += 1

    def snapshot(self) -> dict[str, object]:
        return {"number": self.number, "changes": self.changes, "done": 17, "job": "a title of a job", "at": 1.5}

    def restore(self, state: dict[str, Any]) -> None:
        self.number, self.changes = state["number"], state["changes"]
