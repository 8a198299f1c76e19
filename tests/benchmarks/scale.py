"""Ten times the children of a supervisor: start, stop and restart of the whole may take no more than twelve times as long.

A restart is that of a one_for_all group: from the crash of its first child until the last has started again.
Without Python's cycle collector the cost of a child hardly depends on how many there are. The collector looks at all
that is alive each time it has grown by a quarter, and memory that no cache holds makes each look dearer. The rows
`collector tuned` have it look more rarely, as a program with so many actors may: `gc.set_threshold(10_000, 20, 50)`.
"""

import gc
import threading
import time
from dataclasses import dataclass, fields

from measure import Effort, Row, Target
from progress import say
from restart_group import Last, Member, acquire

from treewarden.actors import ChildSpec, Intensity
from treewarden.supervision_trees import Runtime, Strategy, Supervisor

FEW = 1_000
PATIENCE = 300.0
RARELY = (10_000, 20, 50)
LARGEST = 100_000  # only in a full run, and once: it tells enough


def measure(effort: Effort) -> list[Row]:
    """1,000 and 10,000 children in turns, each round, and 100,000 in the first round of a full run."""
    few = FEW * effort.samples // 40
    times: dict[int, list[_Times]] = {few: [], 10 * few: []}
    for _ in range(effort.rounds):
        for size, taken in times.items():
            taken.append(_times(size))
    if 100 * few == LARGEST:
        times[LARGEST] = [_times(LARGEST)]
    rows = _rows("scale", times, Target("ratio", at_most=12.0))
    if LARGEST in times:
        default = gc.get_threshold()
        gc.set_threshold(*RARELY)
        try:
            rows += _rows("scale, collector tuned", {size: [_times(size)] for size in (10 * few, LARGEST)}, None)
        finally:
            gc.set_threshold(*default)
    return rows


def _rows(name: str, times: "dict[int, list[_Times]]", must: Target | None) -> list[Row]:
    rows: list[Row] = []
    for field in fields(_Times):
        for size, taken in times.items():
            samples = [getattr(each, field.name) for each in taken]
            if size // 10 not in times:
                rows.append(Row(f"{name}: {field.name} {size:,} actors", "ms", samples))
                continue
            # As many of the smaller ones as there are of these, from the end: the last is of the same round.
            base = [getattr(each, field.name) for each in times[size // 10]][-len(samples) :]
            rows.append(Row(f"{name}: {field.name} {size:,} : {size // 10:,}", "ms", samples, must=must, base=base))
    return rows


@dataclass(frozen=True, slots=True)
class _Times:
    """Milliseconds of one tree."""

    start: float
    restart: float
    stop: float


def _times(count: int) -> _Times:
    say(f"scale: {count:,} actors")
    gc.collect()  # what is left of the tree before is not this one's cost
    crashed: list[float] = []
    last_started: list[float] = []
    done = threading.Semaphore(0)
    children = [ChildSpec.of(Member, crashed, id="first")]
    children += [ChildSpec.of(Member, crashed, id=f"c{number}") for number in range(count - 2)]
    children += [ChildSpec.of(Last, last_started, done, id="last")]
    tree = ChildSpec.of(
        Supervisor, children=children, strategy=Strategy.ONE_FOR_ALL, intensity=Intensity(10, within=60.0), id="bench"
    )
    begin = time.perf_counter()
    with Runtime.start(tree) as runtime:
        acquire(done, within=PATIENCE)
        start = last_started[-1] - begin
        runtime.address("/bench/first").tell("crash")
        acquire(done, within=PATIENCE)
        restart = last_started[-1] - crashed[0]
        runtime.supervisor("/bench").count_children(timeout=PATIENCE)  # it has done all that belongs to the restart
        begin = time.perf_counter()
        runtime.stop(within=PATIENCE)
        stop = time.perf_counter() - begin
    return _Times(start * 1000, restart * 1000, stop * 1000)
