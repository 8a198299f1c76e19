"""`Reply` is a pykka future: set once, seen by all, also by coroutines; and it leaves nothing behind."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from treewarden.actors import ActorDead, Reply

if TYPE_CHECKING:
    from .conftest import Scripted, Threads

Wait = Callable[[Callable[[], bool], str], None]
PATIENCE = 10.0


def doing(act: "Callable[[Scripted], object]") -> "Callable[[Scripted], object]":
    """A message for a scripted actor, which calls it; what `act` returns is the answer."""
    return act


def run_together(count: int, work: Callable[[int], None]) -> None:
    """Let `count` threads go at one signal."""
    barrier = threading.Barrier(count)

    def go(number: int) -> None:
        barrier.wait()
        work(number)

    made = [threading.Thread(target=go, args=(number,)) for number in range(count)]
    for thread in made:
        thread.start()
    for thread in made:
        thread.join()


def test_a_result_is_set_once() -> None:
    reply: Reply[int] = Reply()
    reply.set(1)

    assert not reply.try_set(2)
    assert not reply.try_fail(ValueError())
    with pytest.raises(queue.Full):
        reply.set(3)
    with pytest.raises(queue.Full):
        reply.set_exception((ValueError, ValueError(), None))
    with pytest.raises(queue.Full):
        reply.set_get_hook(lambda timeout: 4)
    assert 1 == reply.get(timeout=0)


def test_of_many_who_set_at_once_one_wins_and_every_waiter_sees_its_result() -> None:
    for _ in range(100):
        reply: Reply[int] = Reply()
        won: list[int] = []
        seen: list[int] = []

        def act(number: int, reply: Reply[int] = reply, won: list[int] = won, seen: list[int] = seen) -> None:
            if number % 2:
                if reply.try_set(number):
                    won.append(number)
            else:
                seen.append(reply.get(timeout=PATIENCE))

        run_together(6, act)

        assert 1 == len(won)
        assert won * 3 == seen


def test_a_callback_runs_once_however_it_races_the_result() -> None:
    for _ in range(200):
        reply: Reply[int] = Reply()
        called: list[int] = []

        def act(number: int, reply: Reply[int] = reply, called: list[int] = called) -> None:
            if number:
                reply.when_done(lambda: called.append(number))
            else:
                reply.set(0)

        run_together(3, act)

        assert [1, 2] == sorted(called)


def test_a_callback_that_raises_disturbs_neither_the_setter_nor_the_others(
    unhandled: list[BaseException | None],
) -> None:
    reply: Reply[str] = Reply()
    called: list[str] = []
    error = SystemExit("from a callback")

    def fail() -> None:
        raise error

    reply.when_done(fail)
    reply.when_done(lambda: called.append("second"))
    reply.set("value")

    assert ["second"] == called
    assert [error] == unhandled


@pytest.mark.parametrize("timeout", [0, 0.001, -1.0])
def test_a_waiter_that_gives_up_leaves_nothing_behind(timeout: float) -> None:
    """`wait_stopped` of a living actor may be polled for hours."""
    reply: Reply[str] = Reply()
    for _ in range(20):
        with pytest.raises(pykka.Timeout):
            reply.get(timeout=timeout)

    assert not reply._listeners
    reply.set("after all")
    assert "after all" == reply.get(timeout=timeout)


def test_an_endless_timeout_is_a_timeout_like_any_other(wait_for: Wait) -> None:
    reply: Reply[str] = Reply()

    def set_late() -> None:
        wait_for(lambda: bool(reply._listeners), "somebody waits")
        reply.set("in the end")

    setter = threading.Thread(target=set_late)
    setter.start()

    assert "in the end" == reply.get(timeout=float("inf"))
    setter.join()


def test_an_exception_that_is_raised_often_does_not_grow() -> None:
    """Each raise would add its frames, and all that they hold."""
    reply: Reply[str] = Reply()
    reply.try_fail(ValueError("again"))
    depths: set[int] = set()
    for _ in range(5):
        with pytest.raises(ValueError, match="again") as caught:
            reply.get(timeout=0)
        depths.add(len(caught.traceback))

    assert 1 == len(depths)


def test_pykkas_ways_to_set_and_combine_futures_work() -> None:
    first, second, failed = Reply[Any](), Reply[Any](), Reply[Any]()
    joined: pykka.Future[Any] = first.join(second).map(sum)
    first.set(1)
    second.set(2)
    try:
        int("pykka sets what is being handled")
    except ValueError:
        failed.set_exception()

    assert 3 == joined.get(timeout=0)
    assert [1, 2] == list(pykka.get_all([first, second], timeout=0))
    assert [2] == list(first.join(second).filter(lambda value: value > 1).get(timeout=0))
    assert 3 == first.join(second).reduce(lambda a, b: a + b).get(timeout=0)
    with pytest.raises(queue.Full):
        joined.set("its result comes from its parts")
    with pytest.raises(ValueError, match="what is being handled"):
        failed.get(timeout=0)
    with pytest.raises(pykka.Timeout):
        Reply[int]().map(abs).get(timeout=0)


# asyncio


def test_a_coroutine_that_awaits_leaves_the_event_loop_free(threads: "Threads") -> None:
    """pykka's own `__await__` blocks the loop until the answer is there; here the loop must give it."""
    go = threading.Event()
    ref, _ = threads.script()

    async def ask() -> list[Any]:
        asking = asyncio.ensure_future(ref.ask_async(doing(lambda actor: go.wait(PATIENCE))))
        awaiting = asyncio.ensure_future(_awaited(ref.ask("plain", block=False)))
        mapped = asyncio.ensure_future(_awaited(ref.ask("mapped", block=False).map(str.upper)))
        await asyncio.sleep(0)
        go.set()
        return [await asking, await awaiting, await mapped]

    assert [True, "plain", "MAPPED"] == asyncio.run(ask())


def test_an_asynchronous_ask_raises_what_a_blocking_one_does(threads: "Threads") -> None:
    ref, _ = threads.script()
    threads.settle()

    with pytest.raises(ZeroDivisionError):
        asyncio.run(ref.ask_async(doing(lambda actor: 1 / 0)))
    with pytest.raises(ActorDead):
        asyncio.run(ref.ask_async("?"))


def test_an_asynchronous_ask_past_its_deadline_is_a_timeout_and_its_late_answer_harms_nobody(
    threads: "Threads",
) -> None:
    """By the time of the answer its event loop is closed, and the actor must not notice."""
    go = threading.Event()
    ref, _ = threads.script()
    threads.settle()

    try:
        with pytest.raises(TimeoutError) as caught:
            asyncio.run(ref.ask_async(doing(lambda actor: go.wait(PATIENCE)), timeout=0.01))
        assert caught.type is asyncio.TimeoutError
    finally:
        go.set()

    assert "well" == ref.ask("well")
    assert [] == threads.exits()


def test_a_result_that_comes_when_the_loop_is_closed_is_dropped() -> None:
    """The coroutine was never resumed: its loop is gone with the callback still in place."""
    reply: Reply[str] = Reply()
    loop = asyncio.new_event_loop()
    task = loop.create_task(_awaited(reply))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert 1 == len(reply._listeners)
    callbacks = reply._listeners.copy()
    task.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    reply._listeners.extend(callbacks)

    assert reply.try_set("too late")


def test_a_cancelled_coroutine_leaves_no_callback_behind() -> None:
    reply: Reply[str] = Reply()

    async def poll() -> None:
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(_awaited(reply), timeout=0.001)

    asyncio.run(poll())

    assert not reply._listeners


async def _awaited(future: "pykka.Future[Any]") -> Any:
    return await future


def test_a_worker_that_waits_for_a_reply_is_counted_and_released(threads: "Threads") -> None:
    reply: Reply[str] = Reply()
    inside = threading.Event()

    def wait(actor: "Scripted") -> Any:
        inside.set()
        return reply.get(timeout=PATIENCE)

    ref, _ = threads.script()
    future = ref.ask(wait, block=False)
    assert inside.wait(PATIENCE)
    reply.set("released")

    assert "released" == future.get(timeout=PATIENCE)
    threads.settle()
    assert 0 == threads.dispatcher._blocked
