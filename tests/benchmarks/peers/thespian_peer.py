"""Thespian on its `multiprocTCPBase`: a process for each actor, messages over TCP."""

import importlib
import socket
import time
from collections.abc import Callable
from typing import Any

# Untyped, and not there unless the extra `bench` is.
thespian = importlib.import_module("thespian.actors")

PATIENCE = 60.0
FEW = 30  # actors that are started in one round at most: each is a process

Base: Any = thespian.Actor


class Sink(Base):
    """Counts, and answers with the count when asked for it."""

    def __init__(self) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType] - the base is untyped
        self.count = 0

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802 - Thespian's name
        """Count a number, answer anything else."""
        if isinstance(message, int):
            self.count += 1
        elif isinstance(message, str):
            self.send(sender, self.count)


def tell(count: int) -> float:
    """Seconds of `count` tells and the question whether all arrived."""
    with _System() as system:
        sink = system.createActor(Sink)
        system.ask(sink, "how many", PATIENCE)
        begin = time.perf_counter()
        for _ in range(count):
            system.tell(sink, 1)
        arrived = system.ask(sink, "how many", PATIENCE)
        taken = time.perf_counter() - begin
        assert arrived == count, (arrived, count)
        return taken


def ask(count: int) -> float:
    """Seconds of `count` asks from outside."""
    with _System() as system:
        sink = system.createActor(Sink)
        system.ask(sink, "how many", PATIENCE)
        begin = time.perf_counter()
        for _ in range(count):
            system.ask(sink, "how many", PATIENCE)
        return time.perf_counter() - begin


def start_child(count: int) -> float:
    """Seconds of the starts of `count` actors, each of which has answered."""
    few = min(count, FEW)
    with _System() as system:
        begin = time.perf_counter()
        for _ in range(few):
            system.ask(system.createActor(Sink), "how many", PATIENCE)
        return (time.perf_counter() - begin) * count / few


class _System:
    """An actor system with all its processes, which end with the block."""

    def __enter__(self) -> Any:
        self._system = thespian.ActorSystem("multiprocTCPBase", {"Admin Port": _free_port()})
        return self._system

    def __exit__(self, *error: object) -> None:
        self._system.shutdown()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


FEATS: dict[str, Callable[[int], float]] = {"tell": tell, "ask": ask, "start-child": start_child}
