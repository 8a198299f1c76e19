"""Resident memory of an idle supervised actor, its spec and its place in the tree included.

What a runtime without children takes is not counted. What it remembers of past events is: up to
10,000 of them, by design, so that an actor is cheaper the more there are. Ours and stock pykka's, in
a process of their own each time. A thread's stack counts only as far as it was touched.
"""

import gc
import threading

import psutil
import pykka
from alone import alone
from measure import Effort, Row, Target

from treewarden.actors import Actor, ChildSpec
from treewarden.supervision_trees import Runtime, Supervisor

MANY = 100_000
THREADS = 300


def measure(effort: Effort) -> list[Row]:
    """One process for each row, since memory varies little: with 10,000 actors and with 100,000 in a full run."""
    many = MANY * effort.samples // 40
    threads = min(THREADS, 10 * effort.samples)
    must, aim = Target("p50", at_most=4.5), Target("p50", at_most=3.0)
    return [
        Row(f"memory: of {many // 10:,} actors, each", "kB", [alone(ours, many // 10)], must=must, aim=aim),
        Row(f"memory: of {many:,} actors, each", "kB", [alone(ours, many)], must=must, aim=aim),
        Row(f"memory: of {threads:,} pykka actors, each", "kB", [alone(pykkas, threads)]),
    ]


def ours(count: int) -> float:
    """Kilobytes for each of `count` children of one supervisor."""
    with Runtime.start(ChildSpec.of(Supervisor, children=(), id="empty")):
        pass
    before = _rss()
    children = [ChildSpec.of(Idle, id=f"c{number}") for number in range(count)]
    with Runtime.start(ChildSpec.of(Supervisor, children=children, id="bench")):
        del children
        return (_rss() - before) / count / 1000


def pykkas(count: int) -> float:
    """Kilobytes for each of `count` actors of stock pykka."""
    IdleThread.start().stop()
    before, threads = _rss(), threading.active_count()
    refs = [IdleThread.start() for _ in range(count)]
    assert threading.active_count() == threads + count
    for ref in refs:
        ref.ask(None)
    taken = _rss() - before
    pykka.ActorRegistry.stop_all()
    return taken / count / 1000


def _rss() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss


class Idle(Actor):
    """Does nothing."""


class IdleThread(pykka.ThreadingActor):
    """Does nothing."""
