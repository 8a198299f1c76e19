"""pykka as it is sold: a thread for each actor, nobody supervises them. The yardstick."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pykka
from cores import place

PATIENCE = 60.0
MEMBERS = 1_000  # of the ring
AT_ONCE = 500  # bare actors that live at the same time


def tell(count: int) -> float:
    """Seconds from the first of `count` tells until the last was handled."""
    done = threading.Event()
    ref = Sink.start(count, done)
    send = ref.tell
    place()
    begin = time.perf_counter()
    for _ in range(count):
        send(None)
    _wait(done)
    taken = time.perf_counter() - begin
    ref.stop()
    return taken


def ask(count: int) -> float:
    """Seconds of `count` asks by a thread that is no actor's."""
    ref = Echo.start()
    place()
    taken = _asks(ref, count)
    ref.stop()
    return taken


def actor_ask(count: int) -> float:
    """Seconds of `count` asks in one turn of an actor."""
    echo, asker = Echo.start(), Asker.start()
    taken = float(asker.ask((echo, count), block=True))
    asker.stop()
    echo.stop()
    return taken


def ring(hops: int) -> float:
    """Seconds of `hops` by one message in a ring of 1,000."""
    done = threading.Event()
    refs = [Member.start(done) for _ in range(MEMBERS)]
    for ref, following in zip(refs, (*refs[1:], refs[0]), strict=True):
        ref.ask(following)
    begin = time.perf_counter()
    refs[0].tell(hops)
    _wait(done)
    taken = time.perf_counter() - begin
    pykka.ActorRegistry.stop_all()
    return taken


def start_child(count: int) -> float:
    """Seconds of `count` bare starts; no more than 500 of them live at once."""
    taken = 0.0
    for first in range(0, count, AT_ONCE):
        refs: list[pykka.ActorRef[Echo]] = []
        begin = time.perf_counter()
        for _ in range(min(AT_ONCE, count - first)):
            refs.append(Echo.start())  # noqa: PERF401 - as ours does it
        taken += time.perf_counter() - begin
        # Each once: pykka never answers a second stop that meets an actor on its way out.
        for stopping in [ref.stop(block=False) for ref in refs]:
            stopping.get(timeout=PATIENCE)
    return taken


FEATS: dict[str, Callable[[int], float]] = {
    "tell": tell,
    "ask": ask,
    "ask-inline": ask,
    "actor-ask": actor_ask,
    "ring": ring,
    "start-child": start_child,
    "start-child-inline": start_child,
}


def _wait(done: threading.Event) -> None:
    if not done.wait(PATIENCE):
        raise TimeoutError(f"not done within {PATIENCE:g} s")


def _asks(ref: "pykka.ActorRef[Echo]", count: int) -> float:
    ask = ref.ask
    begin = time.perf_counter()
    for _ in range(count):
        ask(None)
    return time.perf_counter() - begin


class Sink(pykka.ThreadingActor):
    """Counts down."""

    def __init__(self, count: int, done: threading.Event) -> None:
        super().__init__()
        self.left, self.done = count, done

    def on_receive(self, message: object) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()


class Echo(pykka.ThreadingActor):
    """Answers with what it was asked."""

    def on_receive(self, message: object) -> object:
        return message


class Asker(pykka.ThreadingActor):
    """Asks as told, and answers how long that took."""

    def on_receive(self, message: "tuple[pykka.ActorRef[Echo], int]") -> float:
        return _asks(*message)


class Member(pykka.ThreadingActor):
    """Passes a number on, one less each time."""

    def __init__(self, done: threading.Event) -> None:
        super().__init__()
        self.done = done
        self.following: pykka.ActorRef[Any] | None = None

    def on_receive(self, message: "int | pykka.ActorRef[Any]") -> None:
        if not isinstance(message, int):
            self.following = message
        elif not message:
            self.done.set()
        else:
            assert self.following is not None
            self.following.tell(message - 1)
