"""What users of pykka know goes on working, with a supervisor and without, and what must not is refused.

The table has stock pykka beside ours: the same class body, the same acts, the same that is observed.
"""

import asyncio
import inspect
import logging
import operator
import queue
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import pykka
import pytest
from pykka import messages

from treewarden.actors import Actor, ActorDead, ActorRef, ExitReason, Normal, Reply

if TYPE_CHECKING:
    from .conftest import Steps, Threads


class Counter(Actor):
    """A pykka actor as in its manual."""

    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.count = start
        self.stopped_with: ExitReason | None = None

    def add(self, number: int) -> int:
        self.count += number
        return self.count

    def fail(self) -> None:
        raise LookupError("nothing here")

    def on_stop(self, reason: ExitReason | None = None) -> None:
        self.stopped_with = reason


def test_an_actor_is_not_made_by_calling_its_class() -> None:
    with pytest.raises(TypeError, match=r"ChildSpec\.of\(Counter, \.\.\.\).* Counter\.start\(\.\.\.\)"):
        Counter(3)


def test_a_proxy_calls_reads_and_writes(threads: "Threads") -> None:
    ref = threads.spawn(Counter, 3)
    proxy = ref.proxy()

    assert 5 == proxy.add(2).get(timeout=5)
    assert 5 == proxy.count.get(timeout=5)
    proxy.count = 40
    proxy.add.defer(1)
    assert 42 == proxy.add(1).get(timeout=5)
    assert [43, 44] == list(pykka.get_all([proxy.add(1), proxy.add(1)], timeout=5))
    assert [45, 46] == proxy.add(1).join(proxy.add(1)).get(timeout=5)
    assert "47" == proxy.add(1).map(str).get(timeout=5)


def test_a_proxied_call_that_raises_crashes_the_actor_and_reaches_the_caller(threads: "Threads") -> None:
    """A.11: pykka would leave the actor alive."""
    ref = threads.spawn(Counter)

    with pytest.raises(LookupError):
        ref.proxy().fail().get(timeout=5)
    assert not ref.is_alive()
    with pytest.raises(pykka.ActorDeadError):
        ref.proxy()


def test_an_attribute_that_is_not_there_is_the_callers_error(threads: "Threads") -> None:
    ref = threads.spawn(Counter)
    ref.ask("started")

    with pytest.raises(AttributeError):
        ref.proxy().colour  # noqa: B018 - reading it is the test
    assert ref.is_alive()


def test_stop_returns_when_the_actor_has_stopped(threads: "Threads") -> None:
    """As pykka's: afterwards it is dead and `on_stop` has run."""
    ref = threads.spawn(Counter)
    actor = ref.incarnation().actor
    assert isinstance(actor, Counter)
    before = ref.proxy().add(1)

    assert ref.stop(timeout=5) is True
    assert not ref.is_alive()
    assert 1 == before.get(timeout=0)
    assert Normal() == ref.wait_stopped(timeout=0)
    assert Normal() == actor.stopped_with
    assert ref.stop(timeout=5) is False
    future = ref.stop(block=False)
    assert isinstance(future, pykka.Future)
    assert future.get(timeout=5) is False


def test_stop_is_not_answered_before_on_stop_has_run(steps: "Steps") -> None:
    """pykka's ref.stop() sends this message and waits for its answer."""
    seen: list[bool] = []
    replies: list[Reply[Any]] = []
    ref, _ = steps.script(stop=lambda actor: seen.append(replies[0].is_set()))
    future = ref.ask(messages._ActorStop(), block=False)
    assert isinstance(future, Reply)
    replies.append(future)
    steps.settle()

    assert [False] == seen
    assert future.get(timeout=0) is None


def test_an_actor_may_stop_itself(threads: "Threads") -> None:
    ref = threads.spawn(Counter)
    ref.proxy().stop().get(timeout=5)

    assert Normal() == ref.wait_stopped(timeout=5)


def test_a_dead_actor_is_pykkas_dead_actor(threads: "Threads") -> None:
    ref = threads.spawn(Counter)
    ref.stop(timeout=5)

    with pytest.raises(pykka.ActorDeadError):
        ref.tell("?")
    with pytest.raises(ActorDead):
        ref.ask("?", timeout=5)
    with pytest.raises(ActorDead):
        ref.ask("?", block=False).get(timeout=0)


def test_an_actor_knows_its_own_ref_and_pykka_knows_it_for_an_actor(threads: "Threads") -> None:
    ref = threads.spawn(Counter)
    actor = ref.incarnation().actor

    assert isinstance(ref, ActorRef)
    assert isinstance(ref, pykka.ActorRef)
    assert isinstance(actor, pykka.Actor)
    assert ref is actor.actor_ref
    assert "Counter /a (generation 1)" == str(ref)
    assert "<ActorRef for Counter /a (generation 1)>" == repr(ref)


def test_an_unexpected_message_is_logged_and_answered_with_nothing(threads: "Threads") -> None:
    ref = threads.spawn(Counter)

    assert ref.ask(object()) is None
    assert ["unexpected message"] == [line.event for line in threads.lines]


def test_each_ask_has_a_deadline_of_its_own_accord(threads: "Threads") -> None:
    """gen_server's five seconds, where pykka waits for ever."""
    ref = threads.spawn(Counter)

    assert 5.0 == inspect.signature(ref.ask).parameters["timeout"].default
    assert ref.ask("?") is None


# Side by side with stock pykka


class Engine:
    """An attribute that may be walked through."""

    pykka_traversable = True

    def __init__(self) -> None:
        self.speed = 3

    def times(self, number: int) -> int:
        return self.speed * number


class Ways:
    """The body of an actor as in pykka's manual; its base class comes with it."""

    colour = "red"

    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.count = start
        self.engine = Engine()
        self.failures: list[type[BaseException] | None] = []
        self._secret = 1

    def add(self, number: int, *, twice: bool = False) -> int:
        self.count += number * (2 if twice else 1)
        return self.count

    def numbers(self, below: int) -> range:
        return range(below)

    def wait(self, gate: threading.Event) -> bool:
        return gate.wait(PATIENCE)

    def later(self) -> "pykka.Future[int]":
        """Work for itself, done after what is in the mailbox now."""
        own: Any = self
        future: pykka.Future[int] = own.actor_ref.proxy().add(5)
        return future

    def stop_twice(self) -> bool:
        self.stop()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue] - of the base class
        self.stop()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        return True

    def on_receive(self, message: Any) -> Any:
        match message:
            case [*numbers]:
                self.count = self.count * 10 + sum(numbers)
            case "count":
                return self.count
            case threading.Event():
                return message.wait(PATIENCE)
            case _:
                return ("heard", message)
        return None

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        failed.append((exception_type, str(exception_value), traceback is not None))
        failure.set()


class Stock(Ways, pykka.ThreadingActor):
    """pykka's."""


class Ours(Ways, Actor):
    """Ours."""


PATIENCE = 10.0  # seconds; reached only by a test that fails
failed: list[Any] = []
failure = threading.Event()


class Start(Protocol):
    def __call__(self, start: int = 0) -> Any: ...


@pytest.fixture(autouse=True)
def all_stopped(nothing_left: None) -> Iterator[None]:
    failed.clear()
    failure.clear()
    yield
    pykka.ActorRegistry.stop_all(timeout=PATIENCE)


def kind_of(raising: Callable[[], object]) -> type[Exception] | None:
    """Which of the errors that users handle it is."""
    try:
        raising()
    except Exception as error:  # noqa: BLE001 - it is what the test compares
        known = (pykka.ActorDeadError, pykka.Timeout, AttributeError, queue.Full, TypeError, ZeroDivisionError)
        return next(kind for kind in known if isinstance(error, kind))
    return None


def is_odd(number: int) -> bool:
    return number % 2 == 1


def one_over(count: int) -> int:
    return 1 // count


def tell_then_ask(start: Start) -> object:
    ref = start(1)
    return ref.tell([2, 3]), ref.tell([4]), ref.ask("count"), ref.ask(None)


def ask_for_a_future(start: Start) -> object:
    future = start().ask("hello", block=False)
    return isinstance(future, pykka.Future), future.get(), future.get(timeout=0), repr(future)


def ask_and_time_out(start: Start) -> object:
    ref, gate = start(), threading.Event()
    found = kind_of(lambda: ref.ask(gate, timeout=0.01)), ref.is_alive()
    gate.set()
    return found, ref.ask("hello")


def poll_a_future(start: Start) -> object:
    ref, gate = start(), threading.Event()
    future = ref.ask(gate, block=False)
    found = kind_of(lambda: future.get(timeout=0))
    gate.set()
    return found, future.get(timeout=PATIENCE)


def call_methods(start: Start) -> object:
    proxy = start(3).proxy()
    callee = proxy.add
    return isinstance(callee, pykka.CallableProxy), callee(2).get(), proxy.add(2, twice=True).get(), proxy.add is callee


def read_attributes(start: Start) -> object:
    proxy = start(3).proxy()
    found = proxy.count
    return isinstance(found, pykka.Future), found.get(), proxy.colour.get()


def write_attributes(start: Start) -> object:
    ref = start(3)
    ref.proxy().count = 40
    ref.proxy().fresh = "new"
    return ref.proxy().count.get(), ref.proxy().fresh.get()


def miss_attributes(start: Start) -> object:
    ref = start()
    return kind_of(lambda: ref.proxy().nothing), kind_of(lambda: ref.proxy()._secret), ref.is_alive()


def walk_through_attributes(start: Start) -> object:
    ref = start()
    before = ref.proxy().engine.times(2).get()
    ref.proxy().engine.speed = 7
    proxy = ref.proxy()
    return before, isinstance(proxy.engine, pykka.ActorProxy), proxy.engine.speed.get(), proxy.engine.times(2).get()


def defer_calls(start: Start) -> object:
    proxy = start(1).proxy()
    return proxy.add.defer(1), proxy.add.defer(2, twice=True), proxy.count.get()


def compare_proxies(start: Start) -> object:
    one, other = start(), start()
    proxies = {one.proxy(), one.proxy(), other.proxy()}
    return one.proxy() == one.proxy(), one.proxy() == other.proxy(), len(proxies), "count" in dir(one.proxy())


def make_a_proxy_by_hand(start: Start) -> object:
    ref = start(2)
    proxy = pykka.ActorProxy(actor_ref=ref)
    return proxy == ref.proxy(), proxy.actor_ref is ref, proxy.count.get()


def work_for_itself(start: Start) -> object:
    proxy = start(1).proxy()
    return proxy.later().get().get(timeout=PATIENCE), proxy.count.get()


def compose_futures(start: Start) -> object:
    proxy = start(1).proxy()
    numbers = proxy.numbers(5)
    return (
        numbers.map(list).get(),
        numbers.filter(is_odd).get(),
        numbers.reduce(operator.add).get(),
        numbers.reduce(operator.add, 100).get(timeout=PATIENCE),
        proxy.add(1).join(proxy.add(1), proxy.add(1)).map(sum).get(timeout=PATIENCE),
        list(pykka.get_all([proxy.add(1), proxy.add(1)], timeout=PATIENCE)),
    )


def compose_what_fails(start: Start) -> object:
    proxy = start().proxy()
    return kind_of(proxy.count.map(one_over).get), kind_of(proxy.count.filter(bool).get)


def set_twice(start: Start) -> object:
    future = start().ask("hello", block=False)
    future.get()
    return kind_of(lambda: future.set(1)), kind_of(lambda: future.set_get_hook(print)), future.get()


def await_futures(start: Start) -> object:
    proxy = start(1).proxy()

    async def main() -> object:
        return await proxy.add(1), await proxy.count, await proxy.add(1).map(str)

    return asyncio.run(main())


def stop_and_stop_again(start: Start) -> object:
    ref = start()
    return ref.is_alive(), ref.stop(), ref.is_alive(), ref.stop(), ref.stop(block=True, timeout=PATIENCE)


def stop_without_waiting(start: Start) -> object:
    ref = start()
    future = ref.stop(block=False)
    again = isinstance(future, pykka.Future), future.get(timeout=PATIENCE), ref.is_alive()
    return again, ref.stop(block=False).get(timeout=PATIENCE)


def stop_after_the_messages_before(start: Start) -> object:
    ref, gate = start(), threading.Event()
    ref.tell(gate)
    before, stop, after = ref.ask("hello", block=False), ref.stop(block=False), ref.ask("hello", block=False)
    gate.set()
    return before.get(), stop.get(), kind_of(lambda: after.get(timeout=PATIENCE))


def stop_itself_after_the_messages_before(start: Start) -> object:
    ref, gate = start(), threading.Event()
    proxy = ref.proxy()
    ref.tell(gate)
    stop, before = proxy.stop_twice(), proxy.add(1)
    gate.set()
    found = stop.get(timeout=PATIENCE), before.get(timeout=PATIENCE)
    ref.stop(timeout=PATIENCE)  # returns when it has stopped, whoever was first
    return found, ref.is_alive()


def use_what_has_stopped(start: Start) -> object:
    ref = start()
    proxy = ref.proxy()
    ref.stop()
    return (
        kind_of(lambda: ref.tell("hello")),
        kind_of(lambda: ref.ask("hello")),
        kind_of(ref.ask("hello", block=False).get),
        kind_of(ref.proxy),
        kind_of(proxy.add(1).get),
        kind_of(lambda: proxy.add.defer(1)),
    )


def compare_refs(start: Start) -> object:
    one, other = start(), start()
    own = one.proxy().actor_ref
    return one == one, one == other, len({one, one, other}), own == one, isinstance(one, pykka.ActorRef)  # noqa: PLR0124 - the subject


def look_at_a_ref(start: Start) -> object:
    ref = start()
    name = ref.actor_class.__name__
    return (
        issubclass(ref.actor_class, Ways),
        isinstance(ref.actor_urn, str),
        ref.actor_urn == ref.proxy().actor_urn.get(),
        str(ref).startswith(f"{name} "),
        repr(ref) == f"<ActorRef for {ref}>",
    )


def fail_while_nobody_waits(start: Start) -> object:
    ref = start()
    ref.proxy().add.defer("one")
    failure.wait(PATIENCE)
    return failed.copy()


def ask_for_what_raises(start: Start) -> object:
    return kind_of(start().proxy().add("one").get)


@pytest.mark.parametrize("kind", ["standalone", "supervised"])
@pytest.mark.parametrize(
    "act",
    [
        ask_and_time_out,
        ask_for_a_future,
        ask_for_what_raises,
        await_futures,
        call_methods,
        compare_proxies,
        compare_refs,
        compose_futures,
        compose_what_fails,
        defer_calls,
        fail_while_nobody_waits,
        look_at_a_ref,
        make_a_proxy_by_hand,
        miss_attributes,
        poll_a_future,
        read_attributes,
        set_twice,
        stop_after_the_messages_before,
        stop_and_stop_again,
        stop_itself_after_the_messages_before,
        stop_without_waiting,
        tell_then_ask,
        use_what_has_stopped,
        walk_through_attributes,
        work_for_itself,
        write_attributes,
    ],
    ids=lambda act: act.__name__,
)
def test_what_is_observed_is_what_pykka_shows(act: Callable[[Start], object], kind: str, threads: "Threads") -> None:
    def start_ours(start: int = 0) -> Any:
        if kind == "standalone":
            return Ours.start(start)
        ref = threads.spawn(Ours, start)
        ref.ask("count", timeout=PATIENCE)  # `__init__` runs on the actor's own turn, and a supervisor does not wait
        return ref

    expected = act(Stock.start)
    failed.clear()
    failure.clear()

    assert act(start_ours) == expected


def test_an_unexpected_message_is_a_warning_in_pykkas_log(caplog: pytest.LogCaptureFixture) -> None:
    found: list[tuple[str, int]] = []
    for actor_class in (pykka.ThreadingActor, Actor):
        caplog.clear()
        assert actor_class.start().ask("what?") is None
        found += [(record.name, record.levelno) for record in caplog.records if record.levelno > logging.DEBUG]

    assert [("pykka", logging.WARNING)] * 2 == found
