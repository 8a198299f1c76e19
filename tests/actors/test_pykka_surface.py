"""What users of pykka know goes on working on supervised actors, and what must not is refused."""

import inspect
from typing import TYPE_CHECKING, Any

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


def test_an_actor_is_not_started_without_a_supervisor() -> None:
    with pytest.raises(TypeError, match=r"Runtime\.start\(ChildSpec\.of\(Counter, \.\.\.\)\)"):
        Counter.start(3)
    with pytest.raises(TypeError, match=r"ChildSpec\.of\(Counter, \.\.\.\)"):
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
    before = ref.proxy().add(1)

    assert ref.stop(timeout=5) is True
    assert not ref.is_alive()
    assert 1 == before.get(timeout=0)
    assert Normal() == ref.wait_stopped(timeout=0)
    actor = ref.incarnation().actor
    assert isinstance(actor, Counter)
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


def test_pykkas_global_registry_is_not_used(threads: "Threads") -> None:
    """It is a list: `remove` is linear, and `stop_all` would cut through every tree of the process."""
    ref = threads.spawn(Counter)
    ref.ask("started")

    assert [] == pykka.ActorRegistry.get_all()


def test_an_unexpected_message_is_logged_and_answered_with_nothing(threads: "Threads") -> None:
    ref = threads.spawn(Counter)

    assert ref.ask(object()) is None
    assert ["unexpected message"] == [line.event for line in threads.lines]


def test_each_ask_has_a_deadline_of_its_own_accord(threads: "Threads") -> None:
    """gen_server's five seconds, where pykka waits for ever."""
    ref = threads.spawn(Counter)

    assert 5.0 == inspect.signature(ref.ask).parameters["timeout"].default
    assert ref.ask("?") is None
