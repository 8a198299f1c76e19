"""An actor lives as long as somebody may reach it, and then it is gone, whatever its end was."""

import gc
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import Actor, ActorRef, Crashed, Reply, Unresponsive
from treewarden.actors._incarnation import Incarnation

if TYPE_CHECKING:
    from .conftest import Steps, Threads, World

Wait = Callable[[Callable[[], bool], str], None]

ENDS: dict[str, Callable[[ActorRef[Any]], object]] = {
    "stop": lambda ref: ref.request_stop(),
    "kill": lambda ref: ref.kill(),
    "abandon": lambda ref: ref.incarnation().abandon(Unresponsive(1.0)),
    "crash": lambda ref: ref.tell(doing(lambda actor: 1 / 0)),
    "crash while asked": lambda ref: ref.ask(doing(lambda actor: 1 / 0), block=False),
}


class Weighty(Actor):
    """Holds something worth freeing, in itself and in the frames of its handlers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = bytearray(100)

    def on_receive(self, message: Callable[["Weighty"], object]) -> object:
        held = self.weight
        return message(self), held


def doing(act: Callable[[Weighty], object]) -> Callable[[Weighty], object]:
    """A message for a `Weighty`, which calls it."""
    return act


def living(kind: type[object]) -> int:
    gc.collect()
    return sum(issubclass(type(found), kind) for found in gc.get_objects())


def freed(*found: Callable[[], object]) -> bool:
    """Whether every weak reference of `found` is dead."""
    gc.collect()
    return all(reference() is None for reference in found)


def test_an_actor_that_nobody_but_its_ref_holds_lives(steps: "Steps") -> None:
    """pykka's refs hold their actor weakly, since its thread holds it; ours has no thread of its own."""
    ref = steps.spawn(Weighty)
    steps.settle()
    gc.collect()

    assert ref.ask(doing(lambda actor: "alive"), block=False).get is not None
    future = ref.ask(doing(lambda actor: "alive"), block=False)
    steps.settle()
    assert "alive" == future.get(timeout=0)[0]
    ref.proxy()


def test_an_actor_with_messages_lives_without_its_ref(threads: "Threads") -> None:
    """The run queue holds it while it has something to do."""
    done: Reply[str] = Reply()
    gate = threading.Event()
    ref = threads.spawn(Weighty)
    ref.tell(doing(lambda actor: gate.wait(5)))
    ref.tell(doing(lambda actor: done.set("handled")))
    threads.refs.clear()
    del ref
    gc.collect()
    gate.set()

    assert "handled" == done.get(timeout=5)


@pytest.mark.parametrize("end", ENDS)
def test_an_ended_actor_is_freed_though_its_exit_is_remembered(world: "World", end: str, wait_for: Wait) -> None:
    """A supervisor keeps the last reasons, with the exceptions in them; these must not keep the actor."""
    ref = world.spawn(Weighty)
    world.settle()
    actor, incarnation = weakref.ref(_actor(ref)), weakref.ref(ref)
    ENDS[end](ref)
    world.settle()
    world.refs.clear()
    del ref

    wait_for(lambda: freed(actor, incarnation), "the worker left and all was freed")
    assert 1 == len(world.exits())
    if "crash" in end:
        reason = world.exits()[0].reason
        assert isinstance(reason, Crashed)
        assert "ZeroDivisionError" in reason.traceback


@pytest.mark.parametrize("end", ENDS)
def test_an_ended_actor_is_freed_without_the_cycle_collector(steps: "Steps", end: str) -> None:
    """A hundred thousand that are restarted would wait for it, and it for them. Those who hold the ref do not keep it."""
    gc.disable()
    try:
        ref = steps.spawn(Weighty)
        steps.settle()
        actor = weakref.ref(_actor(ref))
        ENDS[end](ref)
        steps.settle()

        assert actor() is None
    finally:
        gc.enable()


def test_a_chained_and_a_grouped_exception_do_not_keep_the_actor_either(steps: "Steps") -> None:
    def part(actor: Weighty) -> None:
        raise KeyError("part")

    def fail(actor: Weighty) -> None:
        parts: list[Exception] = []
        try:
            part(actor)
        except KeyError as error:
            parts.append(error)
        try:
            int("cause")
        except ValueError as cause:
            raise ExceptionGroup("both", parts) from cause

    ref = steps.spawn(Weighty)
    actor = weakref.ref(_actor(ref))
    ref.tell(fail)
    steps.settle()
    steps.refs.clear()
    del ref
    gc.collect()

    assert actor() is None
    reason = steps.exits()[0].reason
    assert isinstance(reason, Crashed)
    assert isinstance(reason.error, ExceptionGroup)
    assert all(text in reason.traceback for text in ("cause", "part", "in fail"))


def test_the_arguments_of_an_actor_are_let_go_of_once_it_has_begun(steps: "Steps") -> None:
    ref = steps.spawn(Weighty)
    steps.settle()

    assert ref.incarnation()._make is None


def test_an_idle_worker_and_an_idle_timer_thread_keep_nobody_alive(threads: "Threads", wait_for: Wait) -> None:
    """Their last job must not stay in a local variable while they wait for the next."""
    ref = threads.spawn(Weighty)
    actor = weakref.ref(_actor(ref))
    ref.tell(doing(lambda actor: actor.context.send_after(0.0, doing(lambda actor: actor.context.exit()))))
    ref.wait_stopped(timeout=5)
    threads.settle()
    threads.refs.clear()
    del ref

    wait_for(lambda: freed(actor), "both threads let go of it")


def test_ten_thousand_lives_leave_nothing(threads: "Threads", wait_for: Wait) -> None:
    def alive() -> tuple[int, ...]:
        return living(Incarnation), living(Weighty), living(Reply)

    before = alive()
    ref = threads.spawn(Weighty)
    for number in range(9_999):
        ref.request_stop()
        ref = threads.spawn(Weighty, path=f"/a{number}")
        threads.refs.clear()
        if number % 500 == 0:
            ref.ask(doing(lambda actor: None))
    ref.request_stop()
    ref.wait_stopped(timeout=5)
    threads.refs.append(ref)
    threads.settle()
    # The last of them may end before one that another worker still has in hand.
    wait_for(lambda: len(threads.exits()) >= 10_000, "all of them have ended")
    assert 10_000 == len(threads.exits())
    threads.refs.clear()
    del ref

    wait_for(
        lambda: all(now <= then for now, then in zip(alive(), before, strict=True)),
        "the last worker let go of the last actor",
    )
    assert 0 == len(threads.timers._heap)


def _actor(ref: ActorRef[Any]) -> Actor:
    actor = ref.incarnation().actor
    assert actor is not None
    return actor
