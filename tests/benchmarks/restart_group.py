"""A one_for_all restart of ten times the children: its time must grow no more than twelvefold.

Timed from the crash of the first child until the last one has started again.
"""

import statistics
import threading
import time

from measure import Effort, Row, Target

from treewarden.actors import Actor, ChildSpec, Intensity
from treewarden.supervision_trees import Runtime, Strategy, Supervisor

PATIENCE = 60.0
FEW = 100


def measure(effort: Effort) -> list[Row]:
    """In each round samples / 8 restarts of 100 and of 1,000 children in turns (of fewer below 10 samples).

    The ratio is that of a round's medians: one restart that the machine's other work held up tells nothing.
    """
    few = min(FEW, 10 * effort.samples)
    small: list[float] = []
    large: list[float] = []
    ratios: list[float] = []
    for _ in range(effort.rounds):
        times = [(_time(few), _time(10 * few)) for _ in range(max(1, effort.samples // 8))]
        small += [one for one, _ in times]
        large += [many for _, many in times]
        ratios.append(statistics.median(many for _, many in times) / statistics.median(one for one, _ in times))
    return [
        Row(f"restart-group: {few} children", "ms", small),
        Row(f"restart-group: {10 * few} children", "ms", large),
        Row(f"restart-group: {10 * few} : {few}", "x", ratios, must=Target("p50", at_most=12.0)),
    ]


def _time(count: int) -> float:
    """Milliseconds of one restart of `count` children."""
    crashed: list[float] = []
    last_started: list[float] = []
    done = threading.Semaphore(0)
    children = [ChildSpec.of(Member, crashed, id="first")]
    children += [ChildSpec.of(Member, crashed, id=f"c{number}") for number in range(count - 2)]
    children += [ChildSpec.of(Last, last_started, done, id="last")]
    tree = ChildSpec.of(
        Supervisor, children=children, strategy=Strategy.ONE_FOR_ALL, intensity=Intensity(10, within=60.0), id="bench"
    )
    with Runtime.start(tree) as runtime:
        acquire(done, within=PATIENCE)
        runtime.address("/bench/first").tell("crash")
        acquire(done, within=PATIENCE)
    return (last_started[-1] - crashed[0]) * 1000


def acquire(done: threading.Semaphore, *, within: float) -> None:
    """Wait until the last of a group has started."""
    if not done.acquire(timeout=within):
        raise TimeoutError(f"the group has not started within {within:g} s")


class Member(Actor):
    """Crashes as told, and notes when."""

    def __init__(self, crashed: list[float]) -> None:
        super().__init__()
        self.crashed = crashed

    def on_receive(self, message: object) -> None:
        self.crashed.append(time.perf_counter())
        raise RuntimeError("crashed as told")


class Last(Actor):
    """Notes when it starts."""

    def __init__(self, started: list[float], done: threading.Semaphore) -> None:
        super().__init__()
        self.started, self.done = started, done

    def on_start(self) -> None:
        self.started.append(time.perf_counter())
        self.done.release()
