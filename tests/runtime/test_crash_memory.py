"""Memory stays bounded however often children crash (the full hundred thousand is the benchmark `crash-memory`)."""

import gc
import threading
from collections.abc import Callable

import psutil
import pytest

from treewarden.actors import Actor, ChildSpec, Intensity
from treewarden.supervision_trees import Runtime, Supervisor

PATIENCE = 100.0
WINDOW = Intensity(1_000_000, within=0.05)  # of which few are remembered at any time


class Crashing(Actor):
    """Crashes as often as its plan says, once after each start."""

    def __init__(self, left: list[int], calm: threading.Event) -> None:
        super().__init__()
        self.left, self.calm = left, calm

    def on_start(self) -> None:
        if self.left[0]:
            self.left[0] -= 1
            self.context.tell_self("crash")
        else:
            self.calm.set()

    def on_receive(self, message: object) -> None:
        if message == "crash":
            raise RuntimeError("crashed as planned")
        self.on_start()


@pytest.mark.timeout(240)
def test_twenty_thousand_crashes_take_no_more_memory_than_the_first_ones(
    wait_until: Callable[[Callable[[], bool]], None],
) -> None:
    """A.14: rings, windows and the hub's memory are bounded, and no dead actor is kept.

    The hub fills up with the first two thousand crashes, by design; after those an object that
    stays for each crash would be 17,000 of them, and there is room for 500.
    """
    left, calm = [0], threading.Event()
    tree = ChildSpec.of(Supervisor, children=[ChildSpec.of(Crashing, left, calm, id="c")], intensity=WINDOW, id="dev")

    def crash(runtime: Runtime, times: int) -> None:
        assert calm.wait(PATIENCE)
        calm.clear()
        left[0] = times
        wait_until(lambda: runtime.whereis("/dev/c") is not None)
        runtime.address("/dev/c").tell("begin")
        assert calm.wait(PATIENCE), left

    def rss_and_objects() -> tuple[int, int]:
        wait_until(lambda: threading.active_count() <= threads)  # extra workers retire, and take their objects along
        gc.collect()
        return psutil.Process().memory_info().rss, len(gc.get_objects())

    with Runtime.start(tree) as runtime:
        threads = threading.active_count()
        crash(runtime, 1_000)
        baseline_rss, _ = rss_and_objects()
        crash(runtime, 2_000)
        _, full = rss_and_objects()
        crash(runtime, 17_000)
        rss, objects = rss_and_objects()

    assert rss <= 2 * baseline_rss
    assert objects - full < 500
