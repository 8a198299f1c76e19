"""What contests ask of Treewarden: supervised actors of a runtime with all its features on."""

import contextlib
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cores import place

from treewarden.actors import Actor, ActorRef, ChildSpec, Intensity
from treewarden.supervision_trees import DynamicSupervisor, Runtime, Supervisor

PATIENCE = 60.0
MEMBERS = 1_000  # of the ring


def tell(count: int) -> float:
    """Seconds from the first of `count` tells by one thread until the last was handled."""
    done = threading.Event()
    with _running(ChildSpec.of(Sink, count, done, id="sink")) as runtime:
        send = _ref(runtime, "sink").tell
        place()
        begin = time.perf_counter()
        for _ in range(count):
            send(None)
        _wait(done)
        return time.perf_counter() - begin


def ask(count: int) -> float:
    """Seconds of `count` asks, one after the other, by a thread that is no actor's."""
    with _running(ChildSpec.of(Echo, id="echo")) as runtime:
        echo = _ref(runtime, "echo")
        place()
        return _asks(echo, count)


def ask_inline(count: int) -> float:
    """The same of an actor that may answer on the asker's thread when it is idle."""
    with _running(ChildSpec.of(InlineEcho, id="echo")) as runtime:
        echo = _ref(runtime, "echo")
        place()
        return _on_a_thread(lambda: _asks(echo, count))


def actor_ask(count: int) -> float:
    """Seconds of `count` asks, one after the other, in one turn of an actor."""
    with _running(ChildSpec.of(InlineEcho, id="echo"), ChildSpec.of(Asker, id="asker")) as runtime:
        asker = runtime.address("/bench/asker")
        return float(asker.ask((_ref(runtime, "echo"), count), timeout=PATIENCE))


def ring(hops: int) -> float:
    """Seconds of `hops` by one message that goes round in a ring of 1,000."""
    done = threading.Event()
    members = [ChildSpec.of(Member, done, id=f"m{number}") for number in range(MEMBERS)]
    with _running(*members) as runtime:
        refs = [_ref(runtime, f"m{number}") for number in range(MEMBERS)]
        for ref, following in zip(refs, (*refs[1:], refs[0]), strict=True):
            ref.ask(following)
        begin = time.perf_counter()
        refs[0].tell(hops)
        _wait(done)
        return time.perf_counter() - begin


def start_child(count: int) -> float:
    """Seconds of `count` calls of `start_child`, one after the other: each child has started when its call returns."""
    return _starts(Echo, count)


def start_child_inline(count: int) -> float:
    """The same of children whose class allows inline asks, and so starts on the caller's thread."""
    return _starts(InlineEcho, count)


def crash_cycle(count: int) -> float:
    """Seconds of `count` crashes, one after the other: each restarted child crashes as soon as it has started."""
    done = threading.Event()
    crashes = [count]
    with _running(ChildSpec.of(Crasher, crashes, done, id="crasher")) as runtime:
        begin = time.perf_counter()
        _ref(runtime, "crasher").tell("crash")
        _wait(done)
        return time.perf_counter() - begin


FEATS: dict[str, Callable[[int], float]] = {
    "tell": tell,
    "ask": ask,
    "ask-inline": ask_inline,
    "actor-ask": actor_ask,
    "ring": ring,
    "start-child": start_child,
    "start-child-inline": start_child_inline,
    "crash-cycle": crash_cycle,
}


@contextlib.contextmanager
def _running(*children: ChildSpec) -> Generator[Runtime]:
    tree = ChildSpec.of(Supervisor, children=children, intensity=Intensity(1_000_000, within=0.05), id="bench")
    with Runtime.start(tree) as runtime:
        yield runtime


def _ref(runtime: Runtime, name: str) -> ActorRef[Any]:
    return runtime.address(f"/bench/{name}").require()


def _wait(done: threading.Event) -> None:
    if not done.wait(PATIENCE):
        raise TimeoutError(f"not done within {PATIENCE:g} s")


def _starts(kind: type[Actor], count: int) -> float:
    with _running(ChildSpec.of(DynamicSupervisor, id="pool")) as runtime:
        pool = runtime.supervisor("/bench/pool")

        def start_all() -> float:
            begin = time.perf_counter()
            for _ in range(count):
                pool.start_child(ChildSpec.of(kind))
            return time.perf_counter() - begin

        return _on_a_thread(start_all)


def _on_a_thread(measured: Callable[[], float]) -> float:
    """`measured()` on a thread of its own: nothing is answered inline on the main one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(measured).result()


def _asks(ref: ActorRef[Any], count: int) -> float:
    ask = ref.ask
    begin = time.perf_counter()
    for _ in range(count):
        ask(None)
    return time.perf_counter() - begin


class Sink(Actor):
    """Counts down."""

    def __init__(self, count: int, done: threading.Event) -> None:
        super().__init__()
        self.left, self.done = count, done

    def on_receive(self, message: object) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()


class Echo(Actor):
    """Answers with what it was asked."""

    def on_receive(self, message: object) -> object:
        return message


class InlineEcho(Echo):
    inline_asks = True


class Asker(Actor):
    """Asks as told, and answers how long that took."""

    def on_receive(self, message: tuple[ActorRef[Any], int]) -> float:
        return _asks(*message)


class Member(Actor):
    """Passes a number on, one less each time."""

    def __init__(self, done: threading.Event) -> None:
        super().__init__()
        self.done = done
        self.following: ActorRef[Any] | None = None

    def on_receive(self, message: int | ActorRef[Any]) -> None:
        if not isinstance(message, int):
            self.following = message
        elif not message:
            self.done.set()
        else:
            assert self.following is not None
            self.following.tell(message - 1)


class Crasher(Actor):
    """Crashes when told, and at once after each start as often as it shall."""

    def __init__(self, crashes: list[int], done: threading.Event) -> None:
        super().__init__()
        self.crashes, self.done = crashes, done

    def on_start(self) -> None:
        if self.context.generation > 1:
            self._go_on()

    def _go_on(self) -> None:
        if self.crashes[0]:
            self.context.tell_self("crash")
        else:
            self.done.set()

    def on_receive(self, message: object) -> None:
        self.crashes[0] -= 1
        raise RuntimeError("crashed as told")
