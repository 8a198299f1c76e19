"""Actors seen from an event loop: nothing blocks it, and what gives up there leaves nothing behind."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Final

import pykka
import pytest

from treewarden.actors import (
    DEDICATED,
    Actor,
    ActorCrashed,
    ActorDead,
    ActorRef,
    Address,
    DeadLetter,
    Fenced,
    MailboxBound,
    MailboxFull,
    Overflow,
    Rejected,
    Reply,
    Unresponsive,
)
from treewarden.actors._life import running_incarnation

if TYPE_CHECKING:
    from .conftest import Threads

Wait = Callable[[Callable[[], bool], str], None]
Ask = Callable[[ActorRef[Any], object], Awaitable[Any]]

PATIENCE: Final = 10.0
FOR_EVER: Final = 3600.0  # a test that waits so long has failed
SOON: Final = 0.01


class Echo(Actor):
    """Calls what it gets and answers with the result; answers anything else with itself, and notes it."""

    def __init__(self, got: list[Any] | None = None) -> None:
        super().__init__()
        self.got = [] if got is None else got

    def on_receive(self, message: Any) -> object:
        if callable(message):
            return message(self)
        self.got.append(message)
        return message


class Quick(Echo):
    inline_asks = True


class Own(Echo):
    dispatcher = DEDICATED


class Narrow(Echo):
    mailbox = MailboxBound(1, Overflow.BLOCK, within=FOR_EVER)


def doing(act: Callable[[Echo], object]) -> Callable[[Echo], object]:
    """A message for these actors, which call it; what `act` returns is the answer."""
    return act


def here(_: object = None) -> int:
    return threading.get_ident()


async def awaited(future: "pykka.Future[Any]") -> Any:
    return await future


ASKS: Final[dict[str, Ask]] = {
    "ask_async": lambda ref, message: ref.ask_async(message, timeout=FOR_EVER),
    "ask_async by address": lambda ref, message: Address(ref.path, ref.incarnation().system).ask_async(
        message, timeout=FOR_EVER
    ),
    "a future awaited": lambda ref, message: awaited(ref.ask(message, block=False)),
    "a mapped one": lambda ref, message: awaited(ref.ask(message, block=False).map(_same)),
}


def _same(value: Any) -> Any:
    return value


each_way: Final = pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)


@pytest.fixture
def echo(threads: "Threads") -> ActorRef[Any]:
    return living(threads, Echo)


def living(threads: "Threads", kind: type[Actor], path: str = "/a", *arguments: Any) -> ActorRef[Any]:
    """An actor at rest that an address reaches."""
    ref = threads.spawn(kind, *arguments, path=path)
    threads.directory.register(ref.path, ref)
    threads.settle()
    return ref


@pytest.fixture
def gate(threads: "Threads") -> Iterator[threading.Event]:
    """What a slow actor waits for; open when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def hold(ref: ActorRef[Any], gate: threading.Event) -> None:
    """Have the actor be in a handler until `gate` opens."""
    inside = threading.Event()
    ref.tell(doing(lambda _: (inside.set(), gate.wait())))
    assert inside.wait(PATIENCE)


def waiters(ref: ActorRef[Any]) -> int:
    """How many wait for a place in the mailbox."""
    room = ref.incarnation().room
    assert room is not None
    return len(room._waiting)


async def tick(count: int = 10) -> None:
    """Let everything else in the loop go on for a while."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop go on until `condition` holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for happens on other threads
            await asyncio.sleep(0.001)


def spawn_task(act: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    return asyncio.get_running_loop().create_task(act)


async def coroutine(act: Awaitable[Any]) -> Any:
    return await act


# The loop goes on


@each_way
def test_the_loop_goes_on_while_an_actor_is_slow(echo: ActorRef[Any], gate: threading.Event, ask: Ask) -> None:
    """It is the loop that ends the wait of the actor: if it did not go on, neither would."""

    async def main() -> object:
        asking = spawn_task(coroutine(ask(echo, doing(lambda _: gate.wait(PATIENCE)))))
        await tick()
        assert not asking.done()
        gate.set()
        return await asking

    assert asyncio.run(main()) is True


@pytest.mark.parametrize("kind", [Echo, Quick, Own])
def test_a_thousand_at_once_are_answered_each_with_its_own(
    threads: "Threads", gate: threading.Event, kind: type[Echo]
) -> None:
    ref = living(threads, kind)

    async def main() -> list[object]:
        hold(ref, gate)
        asking = asyncio.gather(*(ref.ask_async(number, timeout=FOR_EVER) for number in range(1000)))
        await until(lambda: 1000 == ref.incarnation().mailbox())
        gate.set()
        return await asking

    assert list(range(1000)) == asyncio.run(main())


def test_a_thousand_at_once_to_as_many_actors_are_answered(threads: "Threads") -> None:
    refs = [threads.spawn(Echo, path=f"/a{number}") for number in range(1000)]

    async def main() -> list[object]:
        return await asyncio.gather(*(ref.ask_async(number) for number, ref in enumerate(refs)))

    assert list(range(1000)) == asyncio.run(main())


def test_a_thousand_at_once_wait_for_a_place_without_blocking_the_loop(
    threads: "Threads", gate: threading.Event
) -> None:
    got: list[Any] = []
    ref = living(threads, Narrow, "/a", got)

    async def main() -> list[object]:
        hold(ref, gate)
        telling = asyncio.gather(*(ref.tell_async(number) for number in range(500)))
        asking = asyncio.gather(*(ref.ask_async(number, timeout=FOR_EVER) for number in range(500, 1000)))
        await until(lambda: 999 == waiters(ref))
        gate.set()
        await telling
        return await asking

    assert list(range(500, 1000)) == asyncio.run(main())
    threads.settle()
    assert list(range(1000)) == sorted(got)


def test_an_actor_that_is_asked_inline_by_others_answers_a_loop_on_a_worker(threads: "Threads") -> None:
    """Else the loop would wait for as long as the handler takes."""
    ref, idents = living(threads, Quick), list[int]()

    def run_loop() -> None:
        idents.extend([here(), asyncio.run(_ask(ref, here))])

    thread = threading.Thread(target=run_loop)
    thread.start()
    thread.join()

    assert idents[0] != idents[1]


async def _ask(ref: ActorRef[Any], message: object) -> Any:
    return await ref.ask_async(message)


def test_messages_of_one_task_arrive_in_order(threads: "Threads") -> None:
    got: list[Any] = []
    ref = living(threads, Narrow, "/a", got)

    async def send(sender: int) -> None:
        for number in range(100):
            if number % 5:
                await ref.tell_async((sender, number))
            else:
                assert (sender, number) == await ref.ask_async((sender, number))

    async def main() -> None:
        await asyncio.gather(*(send(sender) for sender in range(10)))

    asyncio.run(main())
    threads.settle()

    for sender in range(10):
        assert list(range(100)) == [number for by, number in got if by == sender]


def test_loops_on_several_threads_are_served_at_once(echo: ActorRef[Any]) -> None:
    answers = list[list[object]]()

    def run_loop(number: int) -> None:
        async def main() -> list[object]:
            return await asyncio.gather(*(echo.ask_async((number, count)) for count in range(100)))

        answers.append(asyncio.run(main()))

    made = [threading.Thread(target=run_loop, args=(number,)) for number in range(5)]
    for thread in made:
        thread.start()
    for thread in made:
        thread.join()

    assert [[(number, count) for count in range(100)] for number in range(5)] == sorted(answers)  # type: ignore[type-var]  # the answers are lists of ints


# What comes back


@each_way
def test_what_a_handler_returns_or_raises_comes_out_of_the_await(
    threads: "Threads", echo: ActorRef[Any], ask: Ask
) -> None:
    async def main() -> list[object]:
        found = [await ask(echo, "plain")]
        for error in (Rejected("not now"), SystemExit(3), ValueError("never asked of a dead one")):
            try:
                await ask(echo, doing(lambda _, error=error: _raise(error)))  # type: ignore[misc]  # a default binds it now
            except Exception as caught:  # noqa: BLE001 - it is what the test looks at
                found.append(type(caught))
        return found

    assert ["plain", Rejected, ActorCrashed, ActorDead] == asyncio.run(main())


@each_way
def test_a_crash_comes_out_as_what_was_raised(echo: ActorRef[Any], ask: Ask) -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(coroutine(ask(echo, doing(lambda _: 1 / 0))))
    assert not echo.is_alive()


def test_a_tell_to_one_that_has_ended_is_what_it_is_without_a_loop(threads: "Threads", echo: ActorRef[Any]) -> None:
    echo.request_stop()
    threads.settle()

    with pytest.raises(ActorDead):
        asyncio.run(echo.tell_async("too late"))
    asyncio.run(Address(echo.path, threads.system).tell_async("too late"))
    assert [DeadLetter(echo.path, "str")] == threads.events


@each_way
def test_the_end_of_an_actor_ends_all_that_wait_for_it(echo: ActorRef[Any], gate: threading.Event, ask: Ask) -> None:
    async def main() -> list[Any]:
        hold(echo, gate)
        asking = asyncio.gather(*(ask(echo, number) for number in range(20)), return_exceptions=True)
        await until(lambda: 20 == echo.incarnation().mailbox())
        echo.kill()
        return await asking

    assert [ActorDead] * 20 == [type(outcome) for outcome in asyncio.run(main())]


def test_one_future_may_be_awaited_by_many_and_in_more_than_one_loop(
    echo: ActorRef[Any], gate: threading.Event
) -> None:
    future = echo.ask(doing(lambda _: gate.wait(PATIENCE)), block=False)

    async def main() -> list[object]:
        awaiting = asyncio.gather(*(awaited(future) for _ in range(10)))
        await tick()
        gate.set()
        return await awaiting

    assert [True] * 10 == asyncio.run(main())
    assert [True] * 10 == asyncio.run(main())


# What gives up


def held_reply(ref: ActorRef[Any], kept: list[Reply[Any]]) -> Callable[[Echo], object]:
    """A message whose reply the test sets, or never does."""
    return doing(lambda actor: kept.append(actor.context.take_reply()))


@pytest.mark.parametrize("how", ["deadline", "cancelled", "wait_for"])
def test_whoever_gives_up_leaves_no_listener_behind(echo: ActorRef[Any], how: str) -> None:
    kept: list[Reply[Any]] = []

    async def main() -> None:
        for _ in range(20):
            kept.clear()
            match how:
                case "deadline":
                    with pytest.raises(TimeoutError):
                        await echo.ask_async(held_reply(echo, kept), timeout=SOON)
                case "cancelled":
                    task = spawn_task(echo.ask_async(held_reply(echo, kept), timeout=FOR_EVER))
                    await until(lambda: bool(kept))
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                case _:
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(echo.ask_async(held_reply(echo, kept), timeout=FOR_EVER), SOON)
            await until(lambda: bool(kept))
            (reply,) = kept
            # What is left is the actor's own, which forgets the reply when it is set.
            assert 1 == len(reply._listeners)
            assert reply.try_set("too late")
            assert not reply._listeners

    asyncio.run(main())
    assert "well" == echo.ask("well")


def test_whoever_gives_up_on_a_place_is_not_let_in_later(threads: "Threads", gate: threading.Event) -> None:
    got: list[Any] = []
    ref = living(threads, Narrow, "/a", got)

    async def main() -> None:
        hold(ref, gate)
        ref.tell("full")
        tasks = [spawn_task(ref.tell_async("cancelled")), spawn_task(ref.ask_async("cancelled", timeout=FOR_EVER))]
        patient = spawn_task(ref.tell_async("patient"))
        await until(lambda: 3 == waiters(ref))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert 1 == waiters(ref)
        gate.set()
        await patient

    asyncio.run(main())
    threads.settle()
    assert ["full", "patient"] == got


def test_an_ask_that_finds_no_place_before_its_deadline_says_that_nothing_was_sent(
    threads: "Threads", gate: threading.Event
) -> None:
    """As a blocking one does: a time-out would mean that the actor may still act on it."""
    got: list[Any] = []
    ref = living(threads, Narrow, "/a", got)
    hold(ref, gate)
    ref.tell("full")

    for timeout in (SOON, 0.0):
        with pytest.raises(MailboxFull):
            asyncio.run(ref.ask_async("too many", timeout=timeout))
    assert 0 == waiters(ref)
    gate.set()
    threads.settle()
    assert ["full"] == got


def test_the_wait_for_a_place_counts_to_the_deadline_of_the_answer(threads: "Threads", gate: threading.Event) -> None:
    ref = living(threads, Narrow)

    class Loop(asyncio.SelectorEventLoop):
        """Its time is what the test says on top."""

        added = 0.0

        def time(self) -> float:
            return super().time() + self.added

    async def main() -> None:
        loop, kept = asyncio.get_running_loop(), list[Reply[Any]]()
        assert isinstance(loop, Loop)
        hold(ref, gate)
        ref.tell("full")
        asking = spawn_task(ref.ask_async(held_reply(ref, kept), timeout=FOR_EVER - 1))
        await until(lambda: 1 == waiters(ref))
        loop.added = FOR_EVER - 1 - PATIENCE  # most of it is over
        gate.set()
        await until(lambda: bool(kept))
        loop.added += PATIENCE
        with pytest.raises(TimeoutError):
            await asking
        kept[0].set("late")

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


def test_an_answer_that_comes_when_the_loop_is_closed_harms_nobody(echo: ActorRef[Any], gate: threading.Event) -> None:
    """Its tasks were left as they were."""
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(echo.ask_async(doing(lambda _: gate.wait()), timeout=FOR_EVER)) for _ in range(3)]
    loop.run_until_complete(tick())
    loop.close()
    gate.set()

    assert "well" == echo.ask("well")
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # the test means it
        abandoned: Any = task.get_coro()
        abandoned.close()


# Actors with a loop of their own


@pytest.mark.parametrize("kind", [Echo, Quick, Own])
def test_an_actor_may_ask_many_at_once_in_a_loop_of_its_own(threads: "Threads", kind: type[Echo]) -> None:
    asker = living(threads, kind, "/asker")
    others = [living(threads, kind, f"/other-{number}") for number in range(20)]

    def ask_all(actor: Echo) -> list[object]:
        async def main() -> list[object]:
            running = running_incarnation()
            answers = await asyncio.gather(*(other.ask_async(number) for number, other in enumerate(others)))
            return [*answers, running is actor.context.incarnation()]

        return asyncio.run(main())

    assert [*range(20), True] == asker.ask(ask_all, timeout=PATIENCE)


def test_an_actor_that_was_given_up_on_is_refused_in_its_loop_too(threads: "Threads") -> None:
    asker, other = living(threads, Echo, "/asker"), living(threads, Echo, "/other")
    caught: list[str] = []

    async def act() -> None:
        for send in (other.tell_async, other.ask_async):
            try:
                await send("from the grave")
            except Fenced:
                caught.append("refused")

    def outlive(actor: Echo) -> None:
        actor.context.incarnation().abandon(Unresponsive(1.0))
        asyncio.run(act())

    asker.tell(outlive)
    threads.settle()

    assert ["refused"] * 2 == caught
    assert "alive" == other.ask("alive")


def test_an_actor_that_waits_in_its_loop_answers_when_its_deadline_is_over(threads: "Threads") -> None:
    """It asks itself: no cycle is seen there, and the deadline ends it."""
    ref = living(threads, Echo)

    async def main() -> str:
        with pytest.raises(TimeoutError):
            await ref.ask_async("me", timeout=SOON)
        return "over"

    assert "over" == ref.ask(doing(lambda _: asyncio.run(main())), timeout=PATIENCE)
    threads.settle()
    assert ["me"] == ref.sys.get_state()["got"], "it was sent, and is handled afterwards"


def _raise(error: BaseException) -> None:
    raise error
