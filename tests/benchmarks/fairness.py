"""That one busy actor, or many that block, do not hold the others up.

Flood: a thread tells one actor 1,000,000 messages as fast as it can; another thread tells a second
actor one message now and then. Measured is how long each of these waits until it is handled.
Blocked: 64 actors block for a second each, all at the same time; meanwhile 1,000 others are asked, one each
millisecond, whether the one before has answered or not. Measured is how long it takes until each answers.
"""

import threading
import time
from typing import Any

import pykka
from measure import Effort, Row, Target
from progress import say

from treewarden.actors import Actor, ActorRef, ChildSpec
from treewarden.supervision_trees import Runtime, Supervisor

FLOOD = 1_000_000
SPACING = 0.005  # seconds between the messages that are timed
BLOCKERS, BLOCKED_FOR = 64, 1.0
OTHERS = 1_000
EVERY = 0.001  # seconds between two asks
PATIENCE = 300.0


def measure(effort: Effort) -> list[Row]:
    """25,000 messages of the flood for each sample, 25 others; one flood a round."""
    waits: list[float] = []
    answers: list[float] = []
    for _ in range(effort.rounds):
        say("fairness: flood")
        waits += _flood(FLOOD * effort.samples // 40)
        say("fairness: blocked")
        answers += _blocked(OTHERS * effort.samples // 40)
    return [
        Row(
            f"fairness: a message's wait beside {FLOOD * effort.samples // 40:,} to another",
            "ms",
            waits,
            must=Target("p99", at_most=50.0),
        ),
        Row(f"fairness: an ask while {BLOCKERS} actors block", "ms", answers, must=Target("p99", at_most=250.0)),
    ]


def _flood(count: int) -> list[float]:
    waits: list[float] = []
    done = threading.Event()
    tree = ChildSpec.of(
        Supervisor,
        children=[ChildSpec.of(Sink, count, done, id="sink"), ChildSpec.of(Timed, waits, id="timed")],
        id="bench",
    )
    with Runtime.start(tree) as runtime:
        sink, timed = runtime.address("/bench/sink").require(), runtime.address("/bench/timed").require()
        teller = threading.Thread(target=_tell, args=(sink, count), name="flood")
        teller.start()
        until = time.monotonic() + PATIENCE
        timed.tell(time.perf_counter())
        while not done.wait(SPACING):
            timed.tell(time.perf_counter())
            if time.monotonic() > until:
                raise TimeoutError(f"the flood was not handled within {PATIENCE:g} s")
        teller.join()
        timed.ask(None)  # all before it were handled
    return waits


def _tell(ref: ActorRef[Any], count: int) -> None:
    for _ in range(count):
        ref.tell(None)


def _blocked(others: int) -> list[float]:
    children = [ChildSpec.of(Blocker, id=f"b{number}") for number in range(BLOCKERS)]
    children += [ChildSpec.of(Clock, id=f"e{number}") for number in range(others)]
    with Runtime.start(ChildSpec.of(Supervisor, children=children, id="bench")) as runtime:
        echoes = [runtime.address(f"/bench/e{number}").require() for number in range(others)]
        for number in range(BLOCKERS):
            runtime.address(f"/bench/b{number}").tell(None)
        begin = time.perf_counter()
        asked: list[tuple[float, pykka.Future[float]]] = []
        for number, echo in enumerate(echoes):
            time.sleep(max(0.0, begin + number * EVERY - time.perf_counter()))
            asked.append((time.perf_counter(), echo.ask(None, block=False)))
        return [(future.get(timeout=PATIENCE) - sent) * 1000 for sent, future in asked]


class Sink(Actor):
    """Counts down."""

    def __init__(self, count: int, done: threading.Event) -> None:
        super().__init__()
        self.left, self.done = count, done

    def on_receive(self, message: object) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()


class Timed(Actor):
    """Notes how long ago a message was sent, in milliseconds."""

    def __init__(self, waits: list[float]) -> None:
        super().__init__()
        self.waits = waits

    def on_receive(self, message: float | None) -> None:
        if message is not None:
            self.waits.append((time.perf_counter() - message) * 1000)


class Blocker(Actor):
    """Blocks its thread for a second."""

    def on_receive(self, message: object) -> None:
        time.sleep(BLOCKED_FOR)


class Clock(Actor):
    """Answers what time it is."""

    def on_receive(self, message: object) -> float:
        return time.perf_counter()
