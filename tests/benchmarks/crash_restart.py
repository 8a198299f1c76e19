"""From the crash of an in-process actor to its successor's `on_start`, in a running tree with all features on.

A cycle is the whole way round, as the peers with supervisors can be measured too: crash, restart, and
the message that crashes the successor as soon as it has started.
"""

import threading
import time

from contest import OURS, contest
from measure import Effort, Row, Target

from treewarden.actors import Actor, ChildSpec, Intensity
from treewarden.supervision_trees import Runtime, Supervisor

PATIENCE = 30.0
CRASHES_A_SAMPLE = 25


def measure(effort: Effort) -> list[Row]:
    """A runtime for each round, in each 25 crashes for each sample; microseconds."""
    times: list[float] = []
    for _ in range(effort.rounds):
        times += _times(CRASHES_A_SAMPLE * effort.samples)
    must, aim = Target("p50", at_most=200.0), Target("p50", at_most=100.0)
    alone = Row("crash-restart: crash to successor's on_start", "us", times, must=must, aim=aim)
    return [alone, *contest("crash-cycle", effort, contenders=(OURS, "triotp", "otpylib"), unit="us")]


def _times(crashes: int) -> list[float]:
    crashed: list[float] = []
    times: list[float] = []
    started = threading.Semaphore(0)
    child = ChildSpec.of(_Timed, crashed, times, started, id="timed")
    tree = ChildSpec.of(Supervisor, children=[child], intensity=Intensity(1_000_000, within=0.05), id="bench")
    with Runtime.start(tree) as runtime:
        for _ in range(crashes):
            _acquire(started)
            while (ref := runtime.whereis("/bench/timed")) is None:  # it has started; its supervisor has yet to hear
                time.sleep(0.0002)
            ref.tell("crash")
        _acquire(started)
    assert crashes == len(times)
    return times


def _acquire(started: threading.Semaphore) -> None:
    if not started.acquire(timeout=PATIENCE):
        raise TimeoutError(f"not restarted within {PATIENCE:g} s")


class _Timed(Actor):
    """Notes when it crashes, and how long ago that was when it starts."""

    def __init__(self, crashed: list[float], times: list[float], started: threading.Semaphore) -> None:
        super().__init__()
        self.crashed, self.times, self.started = crashed, times, started

    def on_start(self) -> None:
        if self.crashed:
            self.times.append((time.perf_counter() - self.crashed.pop()) * 1e6)
        self.started.release()

    def on_receive(self, message: object) -> None:
        self.crashed.append(time.perf_counter())
        raise RuntimeError("crashed as told")
