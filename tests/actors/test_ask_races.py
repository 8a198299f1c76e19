"""Asks that race an end: each is answered, or told why not, long before its deadline.

Whoever asks (a thread, an actor, a coroutine, one that looks at its future later) and whatever ends the
actor: the outcome is an answer, `ActorDead`, what the handler raised, or `AskCycle`. A `pykka.Timeout`
is raised by none of these tests' asks, whose deadline nobody but a failing test would see.
"""

import asyncio
import queue
import random
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final

import pytest

from treewarden.actors import (
    DEDICATED,
    Actor,
    ActorDead,
    ActorPath,
    ActorRef,
    Address,
    AskCycle,
    ChildSpec,
    DeadLetter,
    Intensity,
    Killed,
    Reply,
    Shutdown,
    Unresponsive,
)
from treewarden.supervision_trees import Supervisor, SupervisorHandle

from .conftest import in_threads

if TYPE_CHECKING:
    from .conftest import Threads

Wait = Callable[[Callable[[], bool], str], None]

DEADLINE: Final = 30.0  # seconds; reached only by a test that fails
ROUNDS: Final = 20
WARM: Final = 40  # answers before the end


class DeliberateError(Exception):
    """A crash that a test asked for."""


@final
@dataclass(frozen=True, slots=True)
class Number:
    """Answered with its `value`; every fifth by another thread, later."""

    value: int


@final
@dataclass(frozen=True, slots=True)
class Exit:
    """End with `Normal()` after this message."""


@final
@dataclass(frozen=True, slots=True)
class Crash:
    """Raise."""


@final
@dataclass(frozen=True, slots=True)
class Hang:
    """Say that it began, and stay in the handler until `gate` opens."""

    began: threading.Event
    gate: threading.Event


@final
@dataclass(frozen=True, slots=True)
class Meet:
    """Wait until `its` actor is at this point, too, and then ask it: a cycle, of which one of them hears."""

    both: threading.Barrier
    its: ActorRef[Any]


@final
@dataclass(frozen=True, slots=True)
class AskOther:
    """Ask the next of `others` to ask those after it; the answer is how the last one answered."""

    others: tuple[ActorRef[Any], ...]


@final
class Later:
    """Answers, on a thread of its own, what was taken to be answered later: each when the next one is taken."""

    def __init__(self) -> None:
        self.taken: queue.SimpleQueue[tuple[Reply[Any], int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def close(self) -> None:
        self.taken.put(None)
        self._thread.join()

    def _answer(self) -> None:
        held: tuple[Reply[Any], int] | None = None  # the last one of an actor is answered by its end alone
        while (taken := self.taken.get()) is not None:
            if held is not None:
                reply, value = held
                reply.try_set(value)  # False if the actor has ended: it has failed the reply itself
            held = taken


@final
@dataclass(frozen=True, slots=True)
class AnswerAndAskOn:
    """Have another thread give the answer at once, and go on to ask the first of `others`, which asks the next; put into `heard` what came."""

    others: tuple[ActorRef[Any], ...]
    heard: "queue.SimpleQueue[object]"


@final
@dataclass(frozen=True, slots=True)
class AskOn:
    """Ask `its` actor `question`, and answer what it answered."""

    its: ActorRef[Any]
    question: object


@final
@dataclass(frozen=True, slots=True)
class Kept:
    """Keeps what was taken to be answered later for the test."""

    taken: "queue.SimpleQueue[tuple[Reply[Any], int] | None]"


class Target(Actor):
    """Who is asked."""

    def __init__(self, later: Later | Kept, answered: threading.Semaphore) -> None:
        super().__init__()
        self.later, self.answered = later, answered

    def on_receive(self, message: object) -> object:
        self.answered.release()
        match message:
            case Number(value):
                if value % 5 == 0:
                    self.later.taken.put((self.context.take_reply(), value))
                return value
            case AskOther((following, *others)):
                return ask_unless_cycle(following, tuple(others))
            case Meet(both, its):
                both.wait(DEADLINE)
                return ask_unless_cycle(its, ())
            case AskOther():
                return "asked"
            case AskOn(its, question):
                return its.ask(question, timeout=DEADLINE)
            case AnswerAndAskOn(others, heard):
                reply = self.context.take_reply()
                in_threads(partial(reply.set, "early"))
                heard.put(ask_unless_cycle(others[0], others[1:]))
            case Exit():
                self.context.exit()
            case Hang(began, gate):
                began.set()
                gate.wait(DEADLINE)
            case _:
                raise DeliberateError
        return None


class InlineTarget(Target):
    """Who may be run by an asker's own thread."""

    inline_asks = True


class DedicatedTarget(Target):
    """A thread of its own runs it."""

    dispatcher = DEDICATED


KINDS: Final[dict[str, type[Target]]] = {"plain": Target, "inline": InlineTarget, "dedicated": DedicatedTarget}


def ask_unless_cycle(following: ActorRef[Any], others: tuple[ActorRef[Any], ...]) -> object:
    try:
        return following.ask(AskOther(others), timeout=DEADLINE)
    except AskCycle:
        return "cycle"


def ask_until_dead(ask: Callable[[Number], object]) -> int:
    """Ask one question after the other until nobody is there to answer; how many were answered."""
    value = 0
    while True:
        value += 1
        try:
            assert value == ask(Number(value))
        except ActorDead:
            return value - 1


def ask_ahead_until_dead(target: ActorRef[Any]) -> int:
    """As `ask_until_dead`, with ten questions on their way at a time."""
    value = 0
    while True:
        futures = [target.ask(Number(value + more), block=False) for more in range(10)]
        for future in futures:
            try:
                assert value == future.get(timeout=DEADLINE)
                value += 1
            except ActorDead:
                assert [True] * len(futures) == [outcome(each, DEADLINE) is not None for each in futures]
                return value


async def ask_together_until_dead(target: ActorRef[Any]) -> int:
    """Five coroutines that ask one question after the other, until nobody is there."""

    async def ask() -> int:
        value = 0
        while True:
            value += 1
            try:
                assert value == await target.ask_async(Number(value), timeout=DEADLINE)
            except ActorDead:
                return value - 1

    return sum(await asyncio.gather(*(ask() for _ in range(5))))


def outcome(future: Any, timeout: float) -> object:
    """What a future holds: the answer, or the error."""
    try:
        return future.get(timeout=timeout)
    except (ActorDead, DeliberateError) as error:
        return error


class Asker(Actor):
    """Asks from inside an actor, on a worker that must be replaced meanwhile."""

    def on_receive(self, message: Callable[[], int]) -> int:
        return message()


class InlineAsker(Asker):
    """One that is run by the test's own thread."""

    inline_asks = True


@final
@dataclass(frozen=True, slots=True)
class TellAndAsk:
    """Tell `its` actor something, and ask it then."""

    its: ActorRef[Any]


class Boss(Supervisor):
    """A supervisor with a message of its own, for which it asks one of the others."""

    def on_receive(self, message: Any) -> Any:
        match message:
            case TellAndAsk(its):
                its.tell(AskOther(()))
                return its.ask(AskOther(()), timeout=DEADLINE)
            case _:
                return super().on_receive(message)


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> type[Target]:
    return KINDS[request.param]


@pytest.fixture
def later(nothing_left: None) -> Iterator[Later]:
    made = Later()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def restless() -> Iterator[None]:
    """Let threads take turns far more often than they would."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


ENDS: Final[dict[str, Callable[[ActorRef[Any]], object]]] = {
    "stop": lambda ref: ref.request_stop(Shutdown("raced")),
    "kill": lambda ref: ref.kill(),
    "abandon": lambda ref: ref.incarnation().abandon(Unresponsive(1.0)),
    "exit": lambda ref: ref.tell(Exit()),
    "crash": lambda ref: ref.tell(Crash()),
    "crash of an ask": lambda ref: outcome(ref.ask(Crash(), block=False), DEADLINE),
    "stop and kill at once": lambda ref: in_threads(ref.request_stop, ref.kill),
}


@pytest.mark.parametrize("end", ENDS)
def test_asks_of_threads_actors_and_coroutines_that_race_an_end_are_all_answered(
    threads: "Threads", kind: type[Target], later: Later, end: str
) -> None:
    """No timeout, no answer to another's question, and nobody is noted as waiting afterwards."""
    for round_ in range(ROUNDS):
        answered = threading.Semaphore(0)
        target = threads.spawn(kind, later, answered, path=f"/target{round_}")
        asker = threads.spawn(Asker, path=f"/asker{round_}")
        inline = threads.spawn(InlineAsker, path=f"/inline{round_}")
        plain = partial(target.ask, timeout=DEADLINE)
        from_actor = partial(ask_until_dead, plain)

        def finish(answered: threading.Semaphore = answered, target: ActorRef[Any] = target) -> None:
            for _ in range(WARM):
                assert answered.acquire(timeout=DEADLINE)
            ENDS[end](target)
            target.wait_stopped(timeout=DEADLINE)

        in_threads(
            from_actor,
            partial(
                ask_until_dead, lambda number, target=target: target.ask(number, block=False).get(timeout=DEADLINE)
            ),
            partial(ask_ahead_until_dead, target),
            partial(asker.ask, from_actor, timeout=DEADLINE),
            partial(inline.ask, from_actor, timeout=DEADLINE),
            lambda target=target: asyncio.run(ask_together_until_dead(target)),
            finish,
        )
    threads.settle()

    assert () == threads.system.asks.in_flight()


@pytest.mark.parametrize("end", ["kill", "abandon"])
def test_asks_of_one_that_hangs_are_answered_as_soon_as_it_is_given_up_on(
    threads: "Threads", kind: type[Target], later: Later, end: str
) -> None:
    """While its thread is still inside: those that wait, and those that come as it ends."""
    for round_ in range(ROUNDS):
        began, gate = threading.Event(), threading.Event()
        target = threads.spawn(kind, later, threading.Semaphore(0), path=f"/target{round_}")
        waiting = [target.ask(Number(1), block=False), target.ask(Number(5), block=False)]
        waiting.append(target.ask(Hang(began, gate), block=False))
        assert began.wait(DEADLINE)
        waiting += [target.ask(Number(value), block=False) for value in range(20)]
        try:
            in_threads(
                partial(ENDS[end], target),
                partial(ask_until_dead, partial(target.ask, timeout=DEADLINE)),
                lambda target=target: asyncio.run(ask_together_until_dead(target)),
            )
            outcomes = [outcome(future, DEADLINE) for future in waiting]
        finally:
            gate.set()

        assert 1 == outcomes[0]
        assert outcomes[1] == 5 or isinstance(outcomes[1], ActorDead)
        assert [ActorDead] * 21 == [type(each) for each in outcomes[2:]]


@pytest.mark.parametrize("end", ["kill", "abandon"])
def test_what_is_told_to_one_that_hangs_as_it_is_given_up_on_is_refused_or_a_dead_letter(
    threads: "Threads", kind: type[Target], later: Later, wait_for: Wait, end: str
) -> None:
    """While its thread is still inside, so nobody but the senders and whoever gave up on it can see to that."""
    for round_ in range(ROUNDS):
        began, gate, told = threading.Event(), threading.Event(), list[int]()
        target = threads.spawn(kind, later, threading.Semaphore(0), path=f"/target{round_}")
        target.tell(Hang(began, gate))
        assert began.wait(DEADLINE)

        def tell(target: ActorRef[Any] = target, told: list[int] = told) -> None:
            try:
                while True:
                    target.tell(Number(1))
                    told.append(1)
            except ActorDead:
                return

        try:
            in_threads(tell, tell, tell, partial(ENDS[end], target))
            dead = [letter for letter in threads.events.of(DeadLetter) if letter.path == target.path]
        finally:
            gate.set()

        assert len(told) == len(dead)


@pytest.mark.parametrize("end", ["stop", "kill", "abandon"])
def test_an_answer_that_is_given_later_as_the_actor_ends_is_the_answer_or_was_refused(
    threads: "Threads", kind: type[Target], end: str
) -> None:
    """Of those who settle a reply one is told that it did, and its outcome is the one that stays."""
    for round_ in range(60):
        taken: queue.SimpleQueue[tuple[Reply[Any], int] | None] = queue.SimpleQueue()
        target = threads.spawn(kind, Kept(taken), threading.Semaphore(0), path=f"/target{round_}")
        futures = [target.ask(Number(5 * value), block=False) for value in range(1, 9)]
        kept = [taken.get(timeout=DEADLINE) for _ in futures]
        won: list[bool] = []
        at_once = threading.Barrier(2)

        def answer(kept: list[Any] = kept, won: list[bool] = won, at_once: threading.Barrier = at_once) -> None:
            at_once.wait()
            won += [reply.try_set(value) for reply, value in kept]

        def finish(target: ActorRef[Any] = target, at_once: threading.Barrier = at_once) -> None:
            at_once.wait()
            ENDS[end](target)
            target.wait_stopped(timeout=DEADLINE)

        in_threads(answer, finish)

        first = [outcome(future, DEADLINE) for future in futures]
        assert won == [not isinstance(each, ActorDead) for each in first]
        assert [5 * value if is_won else first[value - 1] for value, is_won in enumerate(won, 1)] == first
        assert first == [outcome(future, 0) for future in futures]


def test_a_kill_that_meets_the_beginning_of_a_handler_does_not_wait_for_its_end(
    threads: "Threads", kind: type[Target], later: Later
) -> None:
    """It comes before the handler, which then does not run, or it gives up on it."""
    for round_ in range(300):
        began, gate = threading.Event(), threading.Event()
        target = threads.spawn(kind, later, threading.Semaphore(0), path=f"/target{round_}")
        assert 1 == target.ask(Number(1), timeout=DEADLINE)
        future = target.ask(Hang(began, gate), block=False)
        try:
            target.kill()
            assert Killed() == target.wait_stopped(timeout=DEADLINE)
            assert isinstance(outcome(future, DEADLINE), ActorDead)
        finally:
            gate.set()


def test_asks_of_a_place_whose_actor_is_restarted_are_all_answered(
    threads: "Threads", kind: type[Target], later: Later, wait_for: Wait
) -> None:
    """By whoever lives there, or by the news that nobody does just now."""
    top, answered = ActorPath("/top"), threading.Semaphore(0)
    child = ChildSpec.of(kind, later, answered, id="target")
    supervisor = threads.spawn(
        Supervisor, children=[child], intensity=Intensity(1_000_000, within=0.05), path=top, notify=lambda _: None
    )
    threads.directory.register(top, supervisor)
    handle, place = SupervisorHandle(Address(top, threads.system)), Address(ActorPath("/top/target"), threads.system)
    wait_for(lambda: place.resolve() is not None, "the target runs")
    asking = [threads.spawn(Asker, path=f"/asker{number}") for number in range(2)]
    finished = threading.Event()

    def ask_all_along() -> int:
        count = 0
        for value in range(100_000):
            if finished.is_set():
                break
            try:
                assert value == place.ask(Number(value), timeout=DEADLINE)
                count += 1
            except ActorDead:
                wait_for(lambda: place.resolve() is not None or finished.is_set(), "somebody lives there again")
        return count

    def strike() -> None:
        dice = random.Random(3)
        try:
            for _ in range(60):
                for _ in range(WARM):
                    assert answered.acquire(timeout=DEADLINE)
                wait_for(lambda: place.resolve() is not None, "somebody lives there")
                ref = place.require()
                if dice.random() < 0.3:
                    handle.terminate_child("target", timeout=DEADLINE)
                    handle.restart_child("target", timeout=DEADLINE)
                else:
                    try:
                        ENDS[dice.choice([*ENDS])](ref)
                    except ActorDead:
                        assert ref.incarnation().has_ended()
                ref.wait_stopped(timeout=DEADLINE)
        finally:
            finished.set()
            handle.terminate_child("target", timeout=DEADLINE)  # nobody asks on, so this alone answers what was held

    works = [partial(asker.ask, ask_all_along, timeout=DEADLINE) for asker in asking]
    in_threads(ask_all_along, ask_all_along, *works, strike)
    threads.settle()

    assert () == threads.system.asks.in_flight()


@pytest.mark.parametrize("size", [2, 3])
def test_actors_that_ask_each_other_at_once_are_answered_or_hear_of_the_cycle(
    threads: "Threads", kind: type[Target], later: Later, size: int
) -> None:
    """Of those that would wait for each other one hears of it, and so the others are answered."""
    ring = [threads.spawn(kind, later, threading.Semaphore(0), path=f"/ring{place}") for place in range(size)]
    heard: list[object] = []

    def ask(place: int) -> None:
        others = tuple(ring[(place + step) % size] for step in range(1, size + 1))
        heard.extend(ring[place].ask(AskOther(others), timeout=DEADLINE) for _ in range(100))

    in_threads(*(partial(ask, place) for place in range(size)))

    assert ["cycle"] * size * 100 == heard
    assert () == threads.system.asks.in_flight()


def test_of_two_actors_that_begin_to_wait_for_each_other_at_one_moment_one_hears_of_the_cycle(
    threads: "Threads", kind: type[Target], later: Later
) -> None:
    """And the other is answered then. Both are inside before either asks."""
    one, other = (threads.spawn(kind, later, threading.Semaphore(0), path=f"/meets{place}") for place in (0, 1))
    both = threading.Barrier(2)
    for _ in range(400):
        futures = [one.ask(Meet(both, other), block=False), other.ask(Meet(both, one), block=False)]
        assert ["asked", "cycle"] == sorted(str(outcome(future, DEADLINE)) for future in futures)


def test_one_that_was_answered_early_is_no_dead_end_for_those_who_ask_it_then(
    threads: "Threads", kind: type[Target], later: Later
) -> None:
    """It has its answer; whether it can take the next question, or hears of a cycle, nobody waits for a deadline."""
    asking, asked, third = (threads.spawn(kind, later, threading.Semaphore(0), path=f"/early{n}") for n in range(3))
    for _ in range(20):
        heard: queue.SimpleQueue[object] = queue.SimpleQueue()
        in_threads(partial(asking.ask, AskOn(asked, AnswerAndAskOn((third, asking), heard)), timeout=DEADLINE))

        assert heard.get(timeout=DEADLINE) in ("asked", "cycle")


def test_a_supervisor_that_tells_another_something_and_asks_it_then_is_answered(
    threads: "Threads", kind: type[Target], later: Later
) -> None:
    """Whoever runs the supervisor meanwhile, a worker or its asker: the other one is run, too."""
    boss, other = threads.spawn(Boss, children=[], path="/boss"), threads.spawn(kind, later, threading.Semaphore(0))
    threads.settle()
    heard: list[object] = []

    in_threads(lambda: heard.append(boss.ask(TellAndAsk(other), timeout=DEADLINE)))

    assert ["asked"] == heard


def test_actors_that_ask_each_other_while_one_of_them_ends_are_all_answered(
    threads: "Threads", kind: type[Target], later: Later
) -> None:
    """By the other, by the news of its end, or by that of the cycle."""
    for round_ in range(40):
        pair = [threads.spawn(kind, later, threading.Semaphore(0), path=f"/pair{round_}-{place}") for place in (0, 1)]
        one, other = pair
        end = [*ENDS.values()][round_ % len(ENDS)]

        def ask(mine: ActorRef[Any], its: ActorRef[Any]) -> None:
            for _ in range(20):
                found = outcome(mine.ask(AskOther((its,)), block=False), DEADLINE)
                assert found in ("asked", "cycle") or isinstance(found, ActorDead)

        def strike(end: Callable[[ActorRef[Any]], object] = end, one: ActorRef[Any] = one) -> None:
            end(one)
            one.wait_stopped(timeout=DEADLINE)

        in_threads(partial(ask, one, other), partial(ask, other, one), strike)
    threads.settle()

    assert () == threads.system.asks.in_flight()
