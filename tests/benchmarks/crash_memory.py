"""Memory after many crashes and restarts of in-process children, compared with that after the first thousandth.

Each crash leaves a report, a traceback, a place in the child's ring, events in the hub and, with a
state directory, records on disk; all of them are bounded, so memory must stay within twice the
baseline. The hub remembers the newest 10,000 events by design, and what it holds is counted here
as part of the growth, since the baseline is taken before it is full. That nothing else grows is
shown by the objects that are left for each crash once the hub is full.
"""

import contextlib
import gc
import tempfile
import threading
import time
from dataclasses import dataclass

import psutil
from measure import Effort, Row, Target

from treewarden.actors import Actor, ChildSpec, Intensity
from treewarden.supervision_trees import Runtime, Supervisor

CHILDREN = 4
PATIENCE = 900.0
RETIRED_WITHIN = 6.0
HUB_IS_FULL = 2_500  # crashes: five events each, and some more


def measure(effort: Effort) -> list[Row]:
    """2,500 crashes for each sample in memory, 250 with a state directory, in one long run that tells more than several short ones.

    That is 100,000 and 10,000 in a full run: on disk each restart waits for its record.
    """
    samples = effort.samples
    return [
        *_rows("in memory", baseline=25 * samples, crashes=2_500 * samples, durable=False),
        *_rows("with state_dir", baseline=25 * samples, crashes=250 * samples, durable=True),
    ]


def _rows(where: str, *, baseline: int, crashes: int, durable: bool) -> list[Row]:
    with contextlib.ExitStack() as closers:
        state = closers.enter_context(tempfile.TemporaryDirectory(prefix="treewarden-bench-")) if durable else None
        plan = _Plan()
        children = [ChildSpec.of(_Crasher, plan, id=f"c{number}") for number in range(CHILDREN)]
        tree = ChildSpec.of(Supervisor, children=children, intensity=Intensity(1_000_000, within=0.05), id="bench")
        runtime = closers.enter_context(Runtime.start(tree, state_dir=state))
        plan.wait()
        threads = threading.active_count()
        plan.play(runtime, 0, baseline)
        first = _memory(threads)
        between = min(max(HUB_IS_FULL, baseline), crashes)
        plan.play(runtime, baseline, between)
        full = _memory(threads)
        plan.play(runtime, between, crashes)
        last = _memory(threads)
    name = f"crash-memory {where}: {{}}, {crashes:,} crashes : {baseline:,}".format
    rows = [
        Row(name("RSS"), "x", [last.rss / first.rss], must=Target("max", at_most=2.0)),
        Row(name("live objects"), "x", [last.objects / first.objects], must=Target("max", at_most=2.0)),
    ]
    if crashes > HUB_IS_FULL:
        left = (last.objects - full.objects) / (crashes - HUB_IS_FULL)
        rows.append(Row(f"crash-memory {where}: objects left by a crash", "", [left], must=Target("max", at_most=0.05)))
    return rows


@dataclass(frozen=True, slots=True)
class _Memory:
    """Of this process: bytes, and objects that the garbage collector knows."""

    rss: int
    objects: int


def _memory(threads: int) -> _Memory:
    """What there is once the dispatcher's extra workers have retired, of which a busy machine makes a few."""
    until = time.monotonic() + RETIRED_WITHIN
    while threading.active_count() > threads and time.monotonic() < until:
        time.sleep(0.01)
    gc.collect()
    return _Memory(psutil.Process().memory_info().rss, len(gc.get_objects()))


class _Plan:
    """How many crashes each child has still before it."""

    def __init__(self) -> None:
        self.left: dict[str, int] = {}  # each entry is touched by its child's own turns only, once `begin` was told
        self.calm = threading.Semaphore(0)  # released by each child that has started and is not to crash

    def play(self, runtime: Runtime, already: int, crashes: int) -> None:
        """Crash and restart until there were so many `crashes`, where there were so many `already`."""
        for number in range(CHILDREN):
            path = f"/bench/c{number}"
            self.left[path] = (crashes - already) // CHILDREN
            while runtime.whereis(path) is None:  # it has started, but its supervisor may not know yet
                time.sleep(0.001)
            runtime.address(path).tell("begin")
        self.wait()

    def wait(self) -> None:
        """Wait until no child is about to crash."""
        for _ in range(CHILDREN):
            if not self.calm.acquire(timeout=PATIENCE):
                raise TimeoutError(f"not calm within {PATIENCE:g} s; still to come: {self.left}")


class _Crasher(Actor):
    """Crashes, and once more after each restart, as long as its plan says so."""

    def __init__(self, plan: _Plan) -> None:
        super().__init__()
        self.plan = plan

    def on_start(self) -> None:
        left = self.plan.left.get(self.context.path, 0)
        if left:
            self.plan.left[self.context.path] = left - 1
            self.context.tell_self("crash")
        else:
            self.plan.calm.release()

    def on_receive(self, message: object) -> None:
        if message == "crash":
            raise RuntimeError("crashed as planned")
        self.on_start()
