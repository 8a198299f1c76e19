"""From the kill of a managed child to the pid of its replacement, backoff off.

Ours is the whole way: pidfd, actor crash, supervisor's decision, intent committed, gated spawn,
identity committed, released. The floor is what Python needs at least for the same on this
machine: wait on a pidfd, `Popen` the same command. Both are measured in turns in one run. What
supervisord and circus take is measured after them: they look for ended programs now and then, so
their times are of another order.
"""

import os
import select
import signal
import subprocess
import tempfile
import threading
import time

from contest import contest
from measure import Effort, Row, Target

from treewarden.actors import ChildSpec, Intensity, ManagedProcess, ProcessSpawned, ProcessSpec
from treewarden.supervision_trees import RecordedEvent, Runtime, Supervisor

COMMAND = ("sleep", "3600")
PATIENCE = 30.0


def measure(effort: Effort) -> list[Row]:
    """As many kills a round as samples, ours and the floor in turns; times in milliseconds."""
    ours: list[float] = []
    floor: list[float] = []
    for _ in range(effort.rounds):
        ours += _respawns_by_treewarden(effort.samples)
        floor += _respawns_by_hand(effort.samples)
    return [
        Row("respawn: treewarden, durable store", "ms", ours, must=Target("p50", at_most=10.0)),
        Row("respawn: floor (pidfd + Popen, nothing recorded)", "ms", floor),
        *contest(
            "respawn", effort, contenders=("supervisor", "circus"), unit="ms", operations=max(1, effort.samples // 13)
        ),
    ]


def _respawns_by_treewarden(kills: int) -> list[float]:
    spawned = threading.Semaphore(0)
    pids: list[int] = []

    def take(recorded: RecordedEvent) -> None:
        if isinstance(recorded.event, ProcessSpawned):
            pids.append(recorded.event.pid)
            spawned.release()

    child = ChildSpec.of(ManagedProcess, ProcessSpec(COMMAND), id="sleeper", shutdown=1.0)
    tree = ChildSpec.of(Supervisor, children=[child], intensity=Intensity(kills + 1, within=3600), id="bench")
    times: list[float] = []
    with tempfile.TemporaryDirectory(prefix="treewarden-bench-") as state:
        with Runtime.start(tree, state_dir=state, events=take):
            _acquire(spawned)
            for _ in range(kills):
                begin = time.perf_counter()
                os.kill(pids[-1], signal.SIGKILL)
                _acquire(spawned)
                times.append((time.perf_counter() - begin) * 1000)
    return times


def _acquire(spawned: threading.Semaphore) -> None:
    if not spawned.acquire(timeout=PATIENCE):
        raise TimeoutError(f"no replacement within {PATIENCE:g} s")


def _respawns_by_hand(kills: int) -> list[float]:
    times: list[float] = []
    child = subprocess.Popen(COMMAND, start_new_session=True)
    try:
        for _ in range(kills):
            pidfd = os.pidfd_open(child.pid)
            begin = time.perf_counter()
            os.kill(child.pid, signal.SIGKILL)
            select.select([pidfd], [], [])
            child.wait()
            child = subprocess.Popen(COMMAND, start_new_session=True)
            times.append((time.perf_counter() - begin) * 1000)
            os.close(pidfd)
    finally:
        child.kill()
        child.wait()
    return times
