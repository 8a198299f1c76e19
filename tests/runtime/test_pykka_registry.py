"""pykka's `ActorRegistry` over trees, standalone actors and pykka's own, each beside the others."""

import gc
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import pykka
import pytest

from treewarden.actors import (
    Actor,
    ActorRef,
    ChildExited,
    ChildRestarting,
    ChildSpec,
    ListedTree,
    Normal,
    RuntimeStopping,
    Shutdown,
    join_pykka_registry,
)
from treewarden.supervision_trees import DynamicSupervisor, Runtime, Supervisor

if TYPE_CHECKING:
    from .conftest import Events

PATIENCE = 20.0  # seconds; reached only by a test that fails

Start: TypeAlias = Callable[..., Runtime]
WaitUntil: TypeAlias = Callable[[Callable[[], bool]], None]
registry = pykka.ActorRegistry


class Ways:
    """Heard and stopped, into lists of the test's."""

    def __init__(self, name: str, ended: list[str], heard: list[Any]) -> None:
        super().__init__()
        self.name, self.ended, self.heard = name, ended, heard

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.heard.append((self.name, message))
        return self.name

    def on_stop(self) -> None:
        self.ended.append(self.name)


class Stock(Ways, pykka.ThreadingActor):
    """pykka's."""


class Ours(Ways, Actor):  # type: ignore[misc]  # spelt as pykka spells it  # pyright: ignore[reportIncompatibleMethodOverride]
    """Ours."""


class Other(Ours):
    """A subclass."""


@pytest.fixture(autouse=True)
def all_stopped() -> Iterator[None]:
    yield
    registry.stop_all(timeout=PATIENCE)


class Notes:
    """What the actors of a test share."""

    def __init__(self) -> None:
        self.ended, self.heard = list[str](), list[Any]()

    def spec(self, name: str, actor_class: type[Actor] = Ours, **more: Any) -> ChildSpec:
        return ChildSpec.of(actor_class, name, self.ended, self.heard, id=name, **more)

    def start(self, actor_class: type[pykka.Actor], name: str) -> pykka.ActorRef[Any]:
        return actor_class.start(name, self.ended, self.heard)


@pytest.fixture
def notes() -> Notes:
    return Notes()


def doing(act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A message that has the actor do `act`."""
    return act


def at(runtime: Runtime, path: str) -> ActorRef[Any]:
    ref = runtime.whereis(path)
    assert ref is not None
    return ref


# Looking up


def test_every_running_actor_is_found_in_the_order_of_the_starts(start: Start, notes: Notes) -> None:
    before = notes.start(Stock, "before")
    runtime = start(notes.spec("a"), notes.spec("b"))
    alone, after = notes.start(Ours, "alone"), notes.start(Stock, "after")

    tree = [at(runtime, path) for path in ("/dev", "/dev/a", "/dev/b")]
    assert [before, *tree, alone, after] == registry.get_all()


def test_actors_are_found_by_class_name_and_urn(start: Start, notes: Notes) -> None:
    runtime = start(notes.spec("a"), notes.spec("b", Other))
    stock = notes.start(Stock, "stock")
    a, b, root = at(runtime, "/dev/a"), at(runtime, "/dev/b"), at(runtime, "/dev")

    assert [a, b] == registry.get_by_class(Ours)
    assert [b] == registry.get_by_class(Other)
    assert [a, b, stock] == registry.get_by_class(Ways)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    assert [root] == registry.get_by_class(Supervisor)
    assert [b] == registry.get_by_class_name("Other")
    assert [] == registry.get_by_class_name("Nobody")
    assert [a, stock, None] == [registry.get_by_urn(urn) for urn in (a.actor_urn, stock.actor_urn, "urn:nobody")]


def test_a_message_is_broadcast_to_all_or_to_a_class(start: Start, notes: Notes) -> None:
    runtime = start(notes.spec("a"), notes.spec("b", Other))
    stock, alone = notes.start(Stock, "stock"), notes.start(Ours, "alone")
    registry.broadcast("all")
    registry.broadcast("ours", Ours)
    registry.broadcast("stock", "Stock")
    for ref in (at(runtime, "/dev/a"), at(runtime, "/dev/b"), stock, alone):
        ref.ask("last", timeout=PATIENCE)

    heard = {name: [message for who, message in notes.heard if who == name] for name in ("a", "b", "stock", "alone")}
    assert {
        "a": ["all", "ours", "last"],
        "b": ["all", "ours", "last"],
        "stock": ["all", "stock", "last"],
        "alone": ["all", "ours", "last"],
    } == heard
    assert at(runtime, "/dev").is_alive()  # a supervisor that does not know it goes on


def test_one_that_ended_is_found_no_longer_and_its_successor_is(
    start: Start, notes: Notes, wait_until: WaitUntil
) -> None:
    runtime = start(notes.spec("a"))
    first = at(runtime, "/dev/a")
    first.tell(doing(lambda _: 1 // 0))
    first.wait_stopped(timeout=PATIENCE)

    assert first not in registry.get_all()
    wait_until(lambda: bool(registry.get_by_class(Ours)))
    (found,) = registry.get_by_class(Ours)
    assert isinstance(found, ActorRef)
    assert found is not first
    assert found.path == "/dev/a"


def test_the_runtimes_own_parts_are_not_listed(start: Start, notes: Notes, tmp_path: Any) -> None:
    """A stop of them would end nothing but the console."""
    runtime = start(notes.spec("a"), state_dir=tmp_path)

    assert [at(runtime, "/dev"), at(runtime, "/dev/a")] == registry.get_all()


def test_children_that_were_started_later_are_found_without_being_registered(start: Start, notes: Notes) -> None:
    """Their supervisor's directory is asked; pykka's own register is never called."""
    runtime = start(ChildSpec.of(DynamicSupervisor, id="pool"))
    pool = runtime.supervisor("/dev/pool")
    refs: list[Any] = [pool.start_child(notes.spec(f"w{number}")) for number in range(20)]

    assert refs == registry.get_by_class(Ours)
    pool.terminate_child("w3")
    assert [ref for ref in refs if ref.path != "/dev/pool/w3"] == registry.get_by_class(Ours)


def test_a_runtime_that_has_stopped_is_not_asked_any_more(start: Start, notes: Notes) -> None:
    runtime = start(notes.spec("a"))
    runtime.stop()

    assert [] == registry.get_all()


def test_a_system_that_was_let_go_of_is_forgotten() -> None:
    class Population:
        def trees(self) -> list[ListedTree]:
            raise AssertionError("it is asked no more")

    population = Population()
    gone = weakref.ref(population)
    withdraw = join_pykka_registry(population.trees)
    del population, withdraw
    gc.collect()

    assert [] == registry.get_all()
    assert gone() is None


def test_withdrawing_twice_is_fine() -> None:
    withdraw = join_pykka_registry(lambda: pytest.fail("it is asked no more"))
    withdraw()
    withdraw()

    assert [] == registry.get_all()


def test_pykkas_own_actors_register_as_ever(notes: Notes, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "pykka")
    start(notes.spec("a"))
    stock = notes.start(Stock, "stock")
    registry.unregister(stock)
    registry.unregister(stock)
    registry.register(stock)
    assert stock in registry.get_all()
    stock.stop(timeout=PATIENCE)

    assert stock not in registry.get_all()
    lines = [record.message for record in caplog.records if "egistered" in record.message]
    gone, missing, back = (
        f"Unregistered {stock}",
        f"Unregistered {stock} (not found in registry)",
        f"Registered {stock}",
    )
    assert [back, gone, missing, back, gone] == lines


def test_look_ups_and_starts_may_go_on_at_the_same_time(start: Start, notes: Notes) -> None:
    runtime = start(ChildSpec.of(DynamicSupervisor, id="pool"))
    pool = runtime.supervisor("/dev/pool")
    over, failures = threading.Event(), list[BaseException]()

    def look() -> None:
        try:
            while not over.is_set():
                registry.get_all()
                registry.get_by_class(Ours)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            failures.append(error)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    for number in range(30):
        pool.start_child(notes.spec(f"w{number}"))
        notes.start(Stock, "stock").stop(timeout=PATIENCE)
        notes.start(Ours, "alone").stop(timeout=PATIENCE)
    over.set()
    for looker in lookers:
        looker.join(PATIENCE)

    assert [] == failures
    assert 30 == len(registry.get_by_class(Ours))


# Stopping all


def test_all_are_stopped_the_last_started_first_and_a_tree_as_one(start: Start, notes: Notes, events: "Events") -> None:
    """A tree's turn is its root's, and within it its supervisors keep the order."""
    notes.start(Stock, "first")
    runtime = start(notes.spec("a"), notes.spec("b"))
    notes.start(Ours, "alone")
    notes.start(Stock, "last")

    assert [True] * 6 == registry.stop_all(timeout=PATIENCE)
    assert ["last", "alone", "b", "a", "first"] == notes.ended
    assert [] == registry.get_all()
    end = runtime.wait(0)
    assert end is not None
    assert (end.ok, end.reason) == (True, Shutdown("ActorRegistry.stop_all()"))
    assert [] == events.of(ChildRestarting, ChildExited)
    assert 1 == len(events.of(RuntimeStopping))


def test_two_runtimes_are_stopped_one_after_the_other(start: Start, notes: Notes) -> None:
    start(notes.spec("a"))
    start(notes.spec("b"))

    assert [True] * 4 == registry.stop_all(timeout=PATIENCE)
    assert ["b", "a"] == notes.ended


def test_stop_all_without_waiting_gives_a_future_for_each(start: Start, notes: Notes) -> None:
    runtime = start(notes.spec("a"))
    notes.start(Stock, "stock")
    notes.start(Ours, "alone")
    futures = registry.stop_all(block=False)

    assert 4 == len(futures)
    assert [True] * 4 == list(pykka.get_all(futures, timeout=PATIENCE))
    assert runtime.wait(PATIENCE) is not None
    assert ["a", "alone", "stock"] == sorted(notes.ended)


def test_stop_all_raises_after_its_time_and_the_stop_goes_on(start: Start, notes: Notes) -> None:
    gate = threading.Event()
    runtime = start(notes.spec("a"))
    at(runtime, "/dev/a").tell(doing(lambda _: gate.wait(PATIENCE)))

    with pytest.raises(pykka.Timeout):
        registry.stop_all(timeout=0.01)
    gate.set()
    assert runtime.wait(PATIENCE) is not None


def test_an_actor_that_would_wait_for_its_own_end_is_refused_and_nothing_is_stopped(start: Start, notes: Notes) -> None:
    runtime = start(notes.spec("a"))
    outcome: list[object] = []

    def stop_all(_: Any) -> None:
        try:
            registry.stop_all()
        except RuntimeError as error:
            outcome.append(str(error))

    at(runtime, "/dev/a").ask(stop_all, timeout=PATIENCE)
    assert ["stop_all() in /dev/a would wait for its own end; use stop_all(block=False)"] == outcome
    assert 2 == len(registry.get_all())
    at(runtime, "/dev/a").ask(doing(lambda _: registry.stop_all(block=False)), timeout=PATIENCE)
    assert runtime.wait(PATIENCE) is not None


def test_a_standalone_supervisor_is_stopped_with_its_children_as_one(notes: Notes, wait_until: WaitUntil) -> None:
    top = Supervisor.start([notes.spec("a"), notes.spec("b")])
    wait_until(lambda: len(registry.get_all()) == 3)
    paths = [ref.path for ref in registry.get_all() if isinstance(ref, ActorRef)]

    assert [top.path, f"{top.path}/a", f"{top.path}/b"] == paths
    assert [True] * 3 == registry.stop_all(timeout=PATIENCE)
    assert ["b", "a"] == notes.ended
    assert Normal() == top.wait_stopped(timeout=0)


def test_a_stock_actor_that_meets_system_exit_stops_all_as_pykka_does(start: Start, notes: Notes) -> None:
    """An actor of ours ends alone then."""
    runtime = start(notes.spec("a"))

    def leave(_: Any) -> None:
        raise SystemExit

    notes.start(Stock, "stock").tell(leave)
    end = runtime.wait(PATIENCE)

    assert end is not None
    assert end.ok


def test_without_any_of_ours_stop_all_is_pykkas() -> None:
    class Slow(pykka.ThreadingActor):
        gate = threading.Event()

        def on_receive(self, message: object) -> None:
            self.gate.wait(PATIENCE)

    notes = Notes()
    refs = [notes.start(Stock, name) for name in ("first", "second", "third")]

    assert [True] * 3 == registry.stop_all()
    assert ["third", "second", "first"] == notes.ended
    assert [] == [ref for ref in refs if ref.is_alive()]
    assert [] == registry.stop_all()
    assert [] == registry.stop_all(block=False)
    slow = Slow.start()
    slow.tell("wait")
    with pytest.raises(pykka.Timeout):
        registry.stop_all(timeout=0.01)
    Slow.gate.set()
    assert [True] == registry.stop_all()
