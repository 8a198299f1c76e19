"""A restart waits until it is on record (supervision.md A.17): whatever the store does meanwhile."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import (
    Actor,
    ChildId,
    ChildRestarting,
    ChildSpec,
    Event,
    Intensity,
    MessageFenced,
    Shutdown,
    SupervisorGaveUp,
    Unresponsive,
)
from treewarden.storage import (
    MemoryStore,
    Operation,
    Snapshot,
    SnapshotCorrupt,
    StoreClosed,
)
from treewarden.supervision_trees import Strategy
from treewarden.supervision_trees._effects import RestartChild, TerminateChild

if TYPE_CHECKING:
    from .conftest import Tree

    Runtimes = Callable[..., Tree]

X = ChildId("x")


@pytest.fixture
def child(scripted: type[Actor]) -> Callable[..., ChildSpec]:
    def describe(name: str, *words: str, **options: Any) -> ChildSpec:
        return ChildSpec.of(scripted, list(words), id=name, **options)

    return describe


# Nothing starts before it is on record


class SlowStore:
    """A store whose commits become durable, or fail, when the test says so."""

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.waiting: list[tuple[Future[int], Sequence[Operation]]] = []
        self.refuses = False

    @property
    def store_id(self) -> str:
        return self.inner.store_id

    def commit(self, operations: Sequence[Operation]) -> "Future[int]":
        if self.refuses:
            raise StoreClosed("the slow store")
        future = Future[int]()
        self.waiting.append((future, operations))
        return future

    def resolve(self) -> None:
        future, operations = self.waiting.pop(0)
        future.set_result(self.inner.commit(operations).result())

    def fail(self) -> None:
        future, _ = self.waiting.pop(0)
        future.set_exception(StoreClosed("the slow store"))

    def latest(self, path: str) -> Snapshot:
        return self.inner.latest(path)

    def scan(self) -> Iterator[Snapshot | SnapshotCorrupt]:
        return self.inner.scan()

    def close(self) -> None:
        self.inner.close()


def test_a_restart_waits_until_it_is_on_record(runtimes: "Runtimes", child: Callable[..., ChildSpec]) -> None:
    """A.17: else a loop that kills the runtime in its start would never be counted; calls are answered."""
    store = SlowStore()
    tree = runtimes(store)
    tree.start(child("x"), child("y"))
    tree.tell("x", "crash")
    assert ({"x": "restarting", "y": "running"}, None) == (tree.states(), tree.whereis("x"))
    assert 1 == len(store.waiting)
    assert "hello" == tree.ask("hello", of=tree.ref("y"))
    store.resolve()
    tree.settle()

    assert {"x": "running", "y": "running"} == tree.states()
    assert 1 == len(store.inner.latest("/top#window").state)  # type: ignore[arg-type]  # a list


def test_several_restarts_wait_for_the_newest_record(runtimes: "Runtimes", child: Callable[..., ChildSpec]) -> None:
    """A.17: commits become durable in their order, so the last one speaks for all."""
    store = SlowStore()
    tree = runtimes(store)
    tree.start(child("x"), child("y"), child("z"), intensity=Intensity(9))
    tree.tell("x", "crash")
    tree.tell("y", "crash")
    store.resolve()
    tree.settle()
    assert {"x": "restarting", "y": "restarting", "z": "running"} == tree.states()
    store.resolve()
    tree.settle()

    assert {"x": "running", "y": "running", "z": "running"} == tree.states()


def test_a_group_stops_meanwhile_and_starts_once_it_is_on_record(
    runtimes: "Runtimes", child: Callable[..., ChildSpec]
) -> None:
    """A.8, A.17."""
    store = SlowStore()
    tree = runtimes(store)
    tree.start(child("x"), child("y"), strategy=Strategy.ONE_FOR_ALL)
    y = tree.ref("y")
    tree.tell("x", "crash")
    assert not y.is_alive()
    assert {"x": "restarting", "y": "restarting"} == tree.states()
    store.resolve()
    tree.settle()

    assert {"x": "running", "y": "running"} == tree.states()


@pytest.mark.parametrize("how", ["terminated", "supervisor stops", "supervisor killed"])
def test_a_start_that_is_held_can_be_stopped(runtimes: "Runtimes", child: Callable[..., ChildSpec], how: str) -> None:
    """A.5, A.17: nothing waits for the store, and what comes of the commit later starts nobody."""
    store = SlowStore()
    tree = runtimes(store)
    top = tree.start(child("x"), child("y"))
    tree.tell("x", "crash")
    if how == "terminated":
        assert tree.ask(TerminateChild(X)) is None
        assert {"x": "stopped", "y": "running"} == tree.states()
    elif how == "supervisor stops":
        top.request_stop(Shutdown("as asked"))
        tree.settle()
        assert tree.exit is not None
        assert Shutdown("as asked") == tree.exit.reason
        assert {"/top", "/top/x", "/top/y"} == set(tree.exit.report.stopped)
    else:
        top.kill()
        tree.settle()
    store.resolve()
    tree.settle()

    assert tree.whereis("x") is None
    if how == "terminated":
        future = tree.request(RestartChild(X))
        tree.settle()
        while store.waiting:
            store.resolve()
            tree.settle()
        assert future.get(timeout=0) is tree.ref("x")


def test_a_start_that_is_held_for_too_long_has_failed_as_any_other(
    runtimes: "Runtimes", child: Callable[..., ChildSpec]
) -> None:
    """A.6, A.17: `start_timeout` bounds it: a store that never answers is no silent standstill."""
    store = SlowStore()
    tree = runtimes(store)
    tree.start(child("x", start_timeout=2.0), intensity=Intensity(1, within=60.0))
    tree.tell("x", "crash")
    tree.advance(2.0)

    assert tree.exit is not None
    [gave_up] = tree.sink.of(SupervisorGaveUp)
    assert Unresponsive(2.0) == gave_up.reason


@pytest.mark.parametrize("how", ["refuses", "fails later"])
def test_a_store_that_fails_does_not_stop_restarts(
    runtimes: "Runtimes", child: Callable[..., ChildSpec], how: str
) -> None:
    """A.17: a full disk must not keep a service down; the log says so."""
    store = SlowStore()
    tree = runtimes(store)
    tree.start(child("x"))
    store.refuses = how == "refuses"
    tree.tell("x", "crash")
    if how == "fails later":
        assert {"x": "restarting"} == tree.states()
        store.fail()
        tree.settle()

    assert {"x": "running"} == tree.states()
    assert any("restarts are not on record" in line for line in tree.warned)


def test_without_records_nothing_is_held(tree: "Tree", child: Callable[..., ChildSpec]) -> None:
    """A.17: a runtime without a state directory restarts at once."""
    tree.start(child("x"))
    tree.tell("x", "crash")
    assert {"x": "running"} == tree.states()


# Nobody writes over his successor


def test_a_supervisor_that_was_given_up_on_puts_nothing_on_record(
    runtimes: "Runtimes", child: Callable[..., ChildSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A.15: a zombie's store writes are refused, and counted."""
    store = MemoryStore()
    tree = runtimes(store)
    top = tree.start(child("x"), intensity=Intensity(5, within=60.0))
    told = tree.sink.emit

    def give_up_on_it(event: Event) -> None:
        told(event)
        if isinstance(event, ChildRestarting):  # in the middle of its handler, just before it has that remembered
            top.incarnation().abandon(Unresponsive(1.0))

    monkeypatch.setattr(tree.sink, "emit", give_up_on_it)
    tree.ref("x").tell("crash")
    tree.settle()

    assert [] == [found.path for found in store.scan()]
    assert "/top" in [event.path for event in tree.sink.of(MessageFenced)]
