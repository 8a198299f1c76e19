"""What a runtime costs that has nothing to do: 1,000 actors and 200 managed processes without probes, over 20 s.

CPU time is that of all threads of the runtime's process (not of the `sleep`s it manages), from the
clock of the process, which counts nanoseconds: 0.0 % is anything below half of a thousandth. Beside
it stands how often a thread was switched away from because it waited: a runtime that polls shows here.
"""

import resource
import threading
import time

from alone import alone
from measure import Effort, Row, Target

from treewarden.actors import Actor, ChildSpec, ManagedProcess, ProcessSpawned, ProcessSpec
from treewarden.supervision_trees import RecordedEvent, Runtime, Supervisor

ACTORS, PROCESSES = 1_000, 200
COMMAND = ("sleep", "3600")
PATIENCE = 120.0
SETTLED_AFTER = 6.0  # seconds, until workers that the start needed have retired


def measure(effort: Effort) -> list[Row]:
    """Half a second for each sample: 20 s in a full run, of as many actors and processes as the title says."""
    actors, processes = ACTORS * effort.samples // 40, max(1, PROCESSES * effort.samples // 40)
    settle = SETTLED_AFTER if effort.samples > 1 else 0.5
    percent, switches = alone(watch, actors, processes, settle, effort.samples / 2)
    tree = f"{actors:,} actors and {processes} processes"
    return [
        Row(f"idle: CPU of {tree}", "%", [percent], must=Target("p50", at_most=0.05)),
        Row("idle: context switches", "/s", [switches]),
    ]


def watch(actors: int, processes: int, settle: float, seconds: float) -> tuple[float, float]:
    """CPU in percent of one core, and voluntary context switches a second, over so many `seconds`."""
    spawned = threading.Semaphore(0)

    def take(recorded: RecordedEvent) -> None:
        if isinstance(recorded.event, ProcessSpawned):
            spawned.release()

    children = [ChildSpec.of(Idle, id=f"a{number}") for number in range(actors)]
    children += [
        ChildSpec.of(ManagedProcess, ProcessSpec(COMMAND), id=f"p{number}", shutdown=5.0) for number in range(processes)
    ]
    with Runtime.start(ChildSpec.of(Supervisor, children=children, id="bench"), events=take):
        for _ in range(processes):
            if not spawned.acquire(timeout=PATIENCE):
                raise TimeoutError(f"not all spawned within {PATIENCE:g} s")
        time.sleep(settle)
        before, switched = time.process_time(), _switches()
        time.sleep(seconds)
        return (time.process_time() - before) / seconds * 100, (_switches() - switched) / seconds


def _switches() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


class Idle(Actor):
    """Does nothing."""
