"""A mailbox with a bound: what finds it full is refused, waits or is dropped, and nobody hangs on it for ever."""

import asyncio
import random
import signal
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pykka
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.actors import (
    Actor,
    ActorDead,
    ActorRef,
    Address,
    ChildSpec,
    DeadLetter,
    Down,
    ExitSignal,
    Fenced,
    Killed,
    MailboxBound,
    MailboxFull,
    MessageFenced,
    Overflow,
    Unresponsive,
)
from treewarden.actors._mailbox import Room
from treewarden.supervision_trees import Supervisor
from treewarden.supervision_trees.testing import TreeUnderTest

if TYPE_CHECKING:
    from .conftest import Steps, Threads, World

Wait = Callable[[Callable[[], bool], str], None]
Way = Callable[[ActorRef[Any], Address], object]

PATIENCE: Final = 10.0
FOR_EVER: Final = 3600.0  # a test that waits so long has failed
AT_ONCE: Final = 0.01
LOST: Final = Unresponsive(1.0)


class Taker(Actor):
    """Notes what it takes; one that can be called is called with it instead, and gives the answer."""

    def __init__(self, got: list[Any]) -> None:
        super().__init__()
        self.got = got

    def on_receive(self, message: Any) -> object:
        if callable(message):
            return message(self)
        self.got.append(message)
        return message


def bounded(limit: int, overflow: Overflow = Overflow.REFUSE, *, within: float = FOR_EVER) -> type[Taker]:
    """A class of takers whose mailbox has a bound."""

    class Bounded(Taker):
        mailbox = MailboxBound(limit, overflow, within=within)

    return Bounded


def doing(act: Callable[[Taker], object]) -> Callable[[Taker], object]:
    """A message for a taker, which calls it; what `act` returns is the answer."""
    return act


def address_of(world: "World", ref: ActorRef[Any]) -> Address:
    world.directory.register(ref.path, ref)
    return Address(ref.path, world.system)


class Call:
    """A call on a thread of its own."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self._outcome: object = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome = self._act()
        except Exception as error:  # noqa: BLE001 - thread boundary: it is what the test asks for
            self._outcome = error

    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def outcome(self) -> object:
        """What it returned or raised."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the call hangs"
        return self._outcome


def waiters(ref: ActorRef[Any]) -> int:
    """How many wait for a place."""
    room = ref.incarnation().room
    assert room is not None
    return len(room._waiting)


class Held:
    """A taker on a worker that is in a handler until `release`, its mailbox full."""

    def __init__(self, threads: "Threads", kind: type[Taker], path: str) -> None:
        self.got: list[Any] = []
        self.ref = threads.spawn(kind, self.got, path=path)
        self._gate, inside = threading.Event(), threading.Event()
        self.then: Callable[[], object] = lambda: None

        def hold(_: Taker) -> None:
            inside.set()
            self._gate.wait()
            self.then()

        assert kind.mailbox is not None
        self.ref.tell(hold)
        assert inside.wait(PATIENCE)
        self.first = list(range(kind.mailbox.limit))
        for number in self.first:
            self.ref.tell(number)

    def release(self, then: Callable[[], object] = lambda: None) -> None:
        """Have the handler call `then` and return."""
        self.then = then
        self._gate.set()


Hold = Callable[..., Held]


@pytest.fixture
def hold(threads: "Threads") -> Iterator[Hold]:
    """Makes held takers; all are let go when the test is over."""
    made: list[Held] = []

    def make(kind: type[Taker], path: str = "/a") -> Held:
        made.append(Held(threads, kind, path))
        return made[-1]

    yield make
    for each in made:
        each.release()


TELLS: Final[dict[str, Way]] = {
    "tell": lambda ref, _: ref.tell("more"),
    "tell_async": lambda ref, _: asyncio.run(ref.tell_async("more")),
    "tell by address": lambda _, address: address.tell("more"),
    "tell_async by address": lambda _, address: asyncio.run(address.tell_async("more")),
}
ASKS: Final[dict[str, Way]] = {
    "ask": lambda ref, _: ref.ask("more", timeout=FOR_EVER),
    "ask without a deadline": lambda ref, _: ref.ask("more", timeout=None),
    "ask for later": lambda ref, _: ref.ask("more", block=False).get(timeout=FOR_EVER),
    "ask_async": lambda ref, _: asyncio.run(ref.ask_async("more", timeout=FOR_EVER)),
    "ask by address": lambda _, address: address.ask("more", timeout=FOR_EVER),
    "ask_async by address": lambda _, address: asyncio.run(address.ask_async("more", timeout=FOR_EVER)),
}
ALL: Final = {**TELLS, **ASKS}


def each_of(ways: dict[str, Way]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("way", ways.values(), ids=ways)


# What a bound is


@pytest.mark.parametrize(
    ("make", "error", "found", "right"),
    [
        (lambda: MailboxBound(0), ValueError, "0", "1 or more"),
        (lambda: MailboxBound(-3), ValueError, "-3", "1 or more"),
        (lambda: MailboxBound(1.5), TypeError, "1.5", "1 or more"),  # type: ignore[arg-type]  # refused at run time, too
        (lambda: MailboxBound("9"), TypeError, "'9'", "1 or more"),  # type: ignore[arg-type]  # refused at run time, too
        (lambda: MailboxBound(True), TypeError, "True", "1 or more"),
        (lambda: MailboxBound(1, "block"), TypeError, "'block'", "Overflow"),  # type: ignore[arg-type]  # refused at run time, too
        (lambda: MailboxBound(1, Overflow.BLOCK, within=0), ValueError, "0", "above 0"),
        (lambda: MailboxBound(1, Overflow.BLOCK, within=-1.0), ValueError, "-1.0", "above 0"),
        (lambda: MailboxBound(1, Overflow.BLOCK, within=float("inf")), ValueError, "inf", "finite"),
        (lambda: MailboxBound(1, Overflow.BLOCK, within=float("nan")), ValueError, "nan", "above 0"),
    ],
)
def test_a_bound_that_cannot_be_right_says_what_was_found_and_what_is_right(
    make: Callable[[], object], error: type[Exception], found: str, right: str
) -> None:
    with pytest.raises(error) as caught:
        make()
    assert found in str(caught.value)
    assert right in str(caught.value)


def test_without_a_word_a_mailbox_has_no_bound_and_a_bound_refuses() -> None:
    assert Actor.mailbox is None
    assert Overflow.REFUSE is MailboxBound(7).overflow


@pytest.mark.parametrize(
    ("attribute", "value", "right"),
    [("mailbox", 100, "a MailboxBound or None"), ("dispatcher", "dedicated", "SHARED or DEDICATED")],
)
def test_a_class_whose_attributes_cannot_be_right_is_refused_when_it_is_made(
    attribute: str, value: object, right: str
) -> None:
    """Not when somebody sends to it: that one could do nothing about it."""
    with pytest.raises(TypeError, match=f"Wrong.{attribute}: found {value!r}, expected {right}"):
        type("Wrong", (Actor,), {attribute: value})


# Refused


@each_of(ALL)
def test_a_full_mailbox_refuses_and_what_was_refused_is_not_put_in(steps: "Steps", way: Way) -> None:
    got: list[Any] = []
    ref = steps.spawn(bounded(2), got)
    ref.tell("one")
    ref.tell("two")

    with pytest.raises(MailboxFull, match="the mailbox of /a is full: its bound is 2") as caught:
        way(ref, address_of(steps, ref))
    assert (ref.path, 2) == (caught.value.path, caught.value.limit)
    steps.settle()
    assert ["one", "two"] == got
    assert [] == steps.events
    assert ref.is_alive()


def test_an_ask_for_later_that_is_refused_says_so_at_get_and_not_before(steps: "Steps") -> None:
    ref = steps.spawn(bounded(1), [])
    ref.tell("one")
    future = ref.ask("two", block=False)

    with pytest.raises(MailboxFull):
        future.get(timeout=0)


def test_a_proxy_of_an_actor_whose_mailbox_is_full_is_refused_like_an_ask(steps: "Steps") -> None:
    ref = steps.spawn(bounded(1), [])
    ref.tell("one")

    with pytest.raises(MailboxFull):
        ref.proxy().describe().get(timeout=0)


def test_a_place_that_came_free_may_be_taken_again(steps: "Steps") -> None:
    got: list[Any] = []
    ref = steps.spawn(bounded(1), got)
    for number in range(5):
        ref.tell(number)
        with pytest.raises(MailboxFull):
            ref.tell("too many")
        steps.settle()

    assert list(range(5)) == got


def test_the_message_in_hand_has_left_the_mailbox(hold: Hold) -> None:
    """A bound of 1 lets one wait behind the one that is handled."""
    held = hold(bounded(1))

    assert 1 == held.ref.incarnation().mailbox()
    with pytest.raises(MailboxFull):
        held.ref.tell("third")


def test_one_that_was_refused_in_a_handler_crashes_its_sender_and_not_the_actor_that_is_full(steps: "Steps") -> None:
    full = steps.spawn(bounded(1), [], path="/full")
    steps.settle()
    full.incarnation()._token.pop()  # a worker is inside
    full.tell("one")
    sender = steps.spawn(Taker, [], path="/sender")
    sender.tell(doing(lambda _: full.tell("two")))
    steps.dispatcher.run_until_idle()

    assert [False, True] == [sender.is_alive(), full.is_alive()]
    full.incarnation()._token.append(True)
    full.incarnation()._wake()


def test_a_topic_is_told_to_all_its_members_though_one_of_them_is_full(steps: "Steps") -> None:
    """One that is slow must not cost the others the news."""
    got: list[Any] = []
    for path in ("/a", "/full", "/z"):
        member = steps.spawn(bounded(1), got, path=path)
        steps.directory.register(member.path, member)
        steps.system.names.join(member.incarnation(), "topic", None)
        if path == "/full":
            member.tell("before")

    assert 2 == steps.system.names.dispatch("topic", "news")
    steps.settle()
    assert Counter({"news": 2, "before": 1}) == Counter(got)


# Dropped


@each_of(TELLS)
def test_a_message_that_is_dropped_becomes_a_dead_letter(steps: "Steps", way: Way) -> None:
    got: list[Any] = []
    ref = steps.spawn(bounded(1, Overflow.DROP), got)
    ref.tell("one")
    way(ref, address_of(steps, ref))
    steps.settle()

    assert ["one"] == got
    assert [DeadLetter(ref.path, "str")] == steps.events


@each_of(ASKS)
def test_who_asks_is_refused_where_who_tells_is_dropped(steps: "Steps", way: Way) -> None:
    """Somebody waits for the answer, so it must not vanish."""
    ref = steps.spawn(bounded(1, Overflow.DROP), [])
    ref.tell("one")

    with pytest.raises(MailboxFull):
        way(ref, address_of(steps, ref))
    assert [] == steps.events


# Blocked


@each_of(ALL)
def test_who_finds_it_full_waits_and_is_let_in_when_a_place_comes_free(
    threads: "Threads", hold: Hold, wait_for: Wait, way: Way
) -> None:
    held = hold(bounded(2, Overflow.BLOCK))
    call = Call(partial(way, held.ref, address_of(threads, held.ref)))
    wait_for(lambda: 1 == waiters(held.ref), "the sender waits")

    assert not call.is_over()
    held.release()
    assert call.outcome() in (None, "more")
    threads.settle()
    assert [*held.first, "more"] == held.got
    assert 0 == waiters(held.ref)


@each_of(ALL)
def test_who_waited_for_as_long_as_the_bound_says_is_refused(threads: "Threads", hold: Hold, way: Way) -> None:
    held = hold(bounded(1, Overflow.BLOCK, within=AT_ONCE))

    with pytest.raises(MailboxFull):
        way(held.ref, address_of(threads, held.ref))
    assert 0 == waiters(held.ref)
    held.release()
    threads.settle()
    assert held.first == held.got


def test_who_asks_waits_for_a_place_no_longer_than_for_the_answer(threads: "Threads", hold: Hold) -> None:
    """And is told that nothing was sent, which a `Timeout` would not say."""
    held = hold(bounded(1, Overflow.BLOCK))

    for timeout in (AT_ONCE, 0, -1.0):
        with pytest.raises(MailboxFull):
            held.ref.ask("more", timeout=timeout)
    assert 0 == waiters(held.ref)
    held.release()
    threads.settle()
    assert held.first == held.got


ENDS: Final[dict[str, Callable[[Held], object]]] = {
    "stop": lambda held: (held.ref.request_stop(), held.release()),
    "kill": lambda held: held.ref.kill(),  # it is still inside
    "abandon": lambda held: held.ref.incarnation().abandon(LOST),
    "crash": lambda held: held.release(lambda: 1 / 0),
    "exit": lambda held: held.release(held.ref.request_stop),
}


@each_of(ALL)
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_who_waits_for_an_actor_that_ends_is_told_at_once(
    threads: "Threads", hold: Hold, wait_for: Wait, way: Way, end: Callable[[Held], object]
) -> None:
    held = hold(bounded(1, Overflow.BLOCK))
    address = address_of(threads, held.ref)
    calls = [Call(partial(way, held.ref, address)) for _ in range(3)]
    wait_for(lambda: 3 == waiters(held.ref), "all wait")
    end(held)
    outcomes = [call.outcome() for call in calls]

    if way in (TELLS["tell by address"], TELLS["tell_async by address"]):
        assert [None] * 3 == outcomes, "to an address that is a dead letter"
        assert Counter({"int": 1, "str": 3}) == Counter(letter.message for letter in threads.events.of(DeadLetter))
    else:
        assert [ActorDead] * 3 == [type(outcome) for outcome in outcomes]
    assert 0 == waiters(held.ref)
    assert [] == held.got


def test_a_worker_that_waits_for_a_place_is_replaced_at_once(threads: "Threads", hold: Hold, wait_for: Wait) -> None:
    """Without the watcher's help: it is put to sleep for good."""
    threads.dispatcher._watcher_asleep = False
    held = hold(bounded(1, Overflow.BLOCK))
    senders = [threads.spawn(Taker, [], path=f"/sender-{number}") for number in range(8)]
    for sender in senders:
        sender.tell(doing(lambda _: held.ref.tell("more")))
        wait_for(lambda: sender.incarnation().inside() is not None, "it is inside")  # noqa: B023 - called at once
    wait_for(lambda: 8 == waiters(held.ref), "all of them wait")
    other = threads.spawn(Taker, [], path="/other")

    assert "echo" == other.ask("echo")
    held.release()
    threads.settle()
    assert 9 == len(held.got)


def test_senders_that_wait_are_all_let_in_and_each_in_its_order(threads: "Threads") -> None:
    """Many at a few places: no wake-up may be lost, for it would be missed for an hour."""
    for limit in (1, 3):
        got: list[Any] = []
        ref = threads.spawn(bounded(limit, Overflow.BLOCK), got, path=f"/a{limit}")

        def send(sender: int, ref: ActorRef[Any] = ref) -> None:
            for number in range(100):
                if number % 10:
                    ref.tell((sender, number))
                else:
                    ref.ask((sender, number), timeout=None)

        def send_in_loop(sender: int, ref: ActorRef[Any] = ref) -> None:
            async def one(part: int) -> None:
                for number in range(10):
                    await ref.tell_async((sender + part, number))

            async def together() -> None:
                await asyncio.gather(*(one(part) for part in range(10)))

            asyncio.run(together())

        calls = [Call(partial(send, sender)) for sender in range(16)]
        calls += [Call(partial(send_in_loop, 100 * loop)) for loop in range(1, 4)]
        assert [None] * len(calls) == [call.outcome() for call in calls]
        threads.settle()

        assert 16 * 100 + 3 * 100 == len(got)
        assert in_order(got)
        assert 0 == waiters(ref)


def in_order(got: list[tuple[int, int]]) -> bool:
    """Whether the numbers of each sender grow."""
    numbers: dict[int, list[int]] = defaultdict(list)
    for sender, number in got:
        numbers[sender].append(number)
    return all(each == sorted(set(each)) for each in numbers.values())


def test_senders_that_give_up_take_nobodys_place_along(threads: "Threads") -> None:
    """Half of them lose patience all the time; those that do not are all let in."""
    got: list[Any] = []
    ref = threads.spawn(bounded(1, Overflow.BLOCK), got)
    refused = Counter[int]()

    def be_patient(sender: int) -> None:
        for number in range(60):
            ref.tell((sender, number))

    def be_impatient(sender: int) -> None:
        dice = random.Random(sender)
        for number in range(60):
            try:
                ref.ask((sender, number), timeout=dice.choice([0, 1e-5, 1e-4, 1e-3]))
            except MailboxFull:
                refused[sender] += 1
            except pykka.Timeout:
                pass  # it was put in

    async def be_cancelled(sender: int) -> None:
        for number in range(60):
            try:
                await asyncio.wait_for(ref.tell_async((sender, number)), timeout=1e-4)
            except TimeoutError:
                refused[sender] += 1

    calls = [Call(partial(be_patient, sender)) for sender in range(6)]
    calls += [Call(partial(be_impatient, sender)) for sender in range(10, 16)]
    calls += [Call(lambda sender=sender: asyncio.run(be_cancelled(sender))) for sender in range(20, 23)]
    assert [None] * len(calls) == [call.outcome() for call in calls]
    threads.settle()

    assert in_order(got)
    assert len(calls) * 60 == len(got) + sum(refused.values())
    assert 6 * 60 == sum(sender < 6 for sender, _ in got)
    assert 0 == waiters(ref)


@pytest.mark.parametrize("overflow", Overflow)
def test_never_more_than_the_limit_wait_however_many_send(threads: "Threads", overflow: Overflow) -> None:
    limit, got, most = 3, list[Any](), list[int]()
    refused = Counter[int]()

    class Watching(bounded(limit, overflow)):  # type: ignore[misc]  # a base made by a call
        def on_receive(self, message: object) -> None:
            most.append(self.context.incarnation().mailbox())
            got.append(message)

    ref = threads.spawn(Watching, got)

    def send(sender: int) -> None:
        for number in range(500):
            try:
                ref.tell((sender, number))
            except MailboxFull:
                refused[sender] += 1

    calls = [Call(partial(send, sender)) for sender in range(8)]
    assert [None] * len(calls) == [call.outcome() for call in calls]
    threads.settle()

    assert max(most) <= limit
    assert in_order(got)
    assert 8 * 500 == len(got) + sum(refused.values()) + len(threads.events.of(DeadLetter))


@given(
    limit=st.integers(1, 4),
    overflow=st.sampled_from([Overflow.REFUSE, Overflow.DROP]),
    acts=st.lists(st.sampled_from(["tell", "ask", "own", "run", "suspend", "resume"]), max_size=30),
)
def test_a_send_is_let_in_exactly_if_there_is_a_place(
    new_steps: "Callable[[], Steps]", limit: int, overflow: Overflow, acts: list[str]
) -> None:
    """By what waits at that moment, whoever sent it."""
    world, got, expected, waiting = new_steps(), list[Any](), list[int](), 0
    ref = world.spawn(bounded(limit, overflow), got)
    world.settle()
    is_suspended, letters = False, 0
    for number, act in enumerate(acts):
        match act:
            case "tell":
                try:
                    ref.tell(number)
                    was_put, letters = waiting < limit, letters + (waiting >= limit)
                    assert was_put or overflow is Overflow.DROP
                except MailboxFull:
                    was_put = False
                    assert waiting >= limit
                    assert overflow is Overflow.REFUSE
            case "ask":
                was_put = not ref.ask(number, block=False).is_set()  # type: ignore[attr-defined]  # a Reply
                assert was_put == (waiting < limit)
            case "own":
                ref.incarnation().tell_if_alive(number)
                was_put = True
            case _:
                was_put = False
                is_suspended = {"suspend": True, "resume": False}.get(act, is_suspended)
                if act != "run":
                    inner = ref.incarnation()
                    (inner.suspend if is_suspended else inner.resume)()
                    inner._wake()
                world.settle()
                waiting = waiting if is_suspended else 0
        if was_put:
            waiting += 1
            expected.append(number)
        assert waiting == ref.incarnation().mailbox()
    ref.incarnation().resume()
    ref.incarnation()._wake()
    world.settle()

    assert expected == got
    assert letters == len(world.events.of(DeadLetter))
    world.end_all()


# A place in passing


def full_room() -> Room:
    return Room(MailboxBound(1, Overflow.BLOCK), deque(["one"]))


def test_one_that_gives_up_when_it_was_just_called_passes_the_place_on() -> None:
    room, called = full_room(), list[str]()
    first, second = partial(called.append, "first"), partial(called.append, "second")
    room.when_made(first)
    room.when_made(second)
    room._lane.popleft()
    room.made()
    room.forget(first)

    assert ["first", "second"] == called
    assert not room._waiting


def test_one_that_gives_up_before_it_was_called_costs_nobody_anything() -> None:
    room, called = full_room(), list[str]()
    first, second = partial(called.append, "first"), partial(called.append, "second")
    room.when_made(first)
    room.when_made(second)
    room.forget(first)
    assert [] == called
    room._lane.popleft()
    room.made()

    assert ["second"] == called


def test_one_that_comes_when_a_place_is_free_is_called_at_once() -> None:
    """It looked, the place came free and nobody was told, it announced itself."""
    room, called = full_room(), list[str]()
    room._lane.popleft()
    room.made()
    room.when_made(partial(called.append, "late"))

    assert ["late"] == called


class Interrupted(BaseException):
    pass


def test_a_wait_that_a_signal_ends_leaves_nobody_behind(wait_for: Wait) -> None:
    """Ctrl-C on the main thread: what is left of it would swallow the place of another sender."""
    room, main = full_room(), threading.main_thread()

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise Interrupted

    def send_signal() -> None:
        wait_for(lambda: bool(room._waiting), "the main thread waits")
        assert main.ident is not None
        signal.pthread_kill(main.ident, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    call = Call(send_signal)
    try:
        with pytest.raises(Interrupted):
            room.wait(PATIENCE)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert call.outcome() is None
    assert not room._waiting


def test_a_place_that_a_closed_loop_is_told_of_goes_to_the_next(threads: "Threads", hold: Hold, wait_for: Wait) -> None:
    held = hold(bounded(1, Overflow.BLOCK))
    loop = asyncio.new_event_loop()
    task = loop.create_task(held.ref.tell_async("from a loop that is closed"))
    loop.run_until_complete(asyncio.sleep(0))
    wait_for(lambda: 1 == waiters(held.ref), "the task waits")
    call = Call(lambda: held.ref.tell("from a thread"))
    wait_for(lambda: 2 == waiters(held.ref), "the thread waits behind it")
    loop.close()
    held.release()

    assert call.outcome() is None
    threads.settle()
    assert [0, "from a thread"] == held.got
    forget_pending(task)


def forget_pending(task: "asyncio.Task[None]") -> None:
    """Have asyncio say nothing of a task whose loop was closed; the test means it."""
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # the test means it
    coroutine: Coroutine[Any, Any, None] = task.get_coro()  # type: ignore[assignment]  # it is one
    coroutine.close()


# Actors that send


def test_an_actor_never_waits_for_a_place_in_its_own_mailbox(threads: "Threads") -> None:
    """Nobody but itself would empty it."""
    got: list[Any] = []
    ref = threads.spawn(bounded(2, Overflow.BLOCK), got)

    def fill(_: Taker) -> int:
        for number in range(5):
            try:
                ref.tell(number)
            except MailboxFull:
                return number
        return -1

    assert 2 == ref.ask(fill)
    threads.settle()
    assert [0, 1] == got


def test_an_actor_never_waits_for_a_place_in_that_of_one_that_its_thread_is_inside_of(threads: "Threads") -> None:
    """It answers inline: the asker cannot take anything before the answer is there."""

    class Inline(Taker):
        inline_asks = True

    got: list[Any] = []
    asker = threads.spawn(bounded(1, Overflow.BLOCK), got, path="/asker")
    between, inner = (threads.spawn(Inline, [], path=path) for path in ("/between", "/inner"))
    threads.settle()

    def fill(_: Taker) -> int:
        asker.tell("fits")
        try:
            asker.tell("does not")
        except MailboxFull:
            return threading.get_ident()
        return -1

    def ask(_: Taker) -> tuple[int, int]:
        return threading.get_ident(), between.ask(
            doing(lambda _: inner.ask(fill, timeout=None)), block=True, timeout=None
        )

    here, there = asker.ask(ask)
    assert here == there, "it was asked inline"
    threads.settle()
    assert ["fits"] == got


def test_two_actors_that_fill_each_others_mailbox_come_to_an_end(threads: "Threads") -> None:
    ends: list[str] = []
    one = threads.spawn(bounded(1, Overflow.BLOCK, within=0.05), [], path="/one")
    other = threads.spawn(bounded(1, Overflow.BLOCK, within=0.05), [], path="/other")
    both_inside = threading.Barrier(2)

    def fill(target: ActorRef[Any]) -> None:
        both_inside.wait(PATIENCE)
        try:
            target.tell("fits")
            target.tell("waits")
        except MailboxFull as full:
            ends.append(str(full.path))

    one.tell(doing(lambda _: fill(other)))
    other.tell(doing(lambda _: fill(one)))
    threads.settle()

    assert ends, "at least the one that began first was refused"
    assert [True, True] == [one.is_alive(), other.is_alive()]


def test_an_actor_that_was_given_up_on_while_it_waited_is_not_let_in(
    threads: "Threads", hold: Hold, wait_for: Wait
) -> None:
    """Its successor may have spoken already; and the place goes to the next."""
    held = hold(bounded(1, Overflow.BLOCK))
    caught: list[type[BaseException]] = []

    def send(_: Taker) -> None:
        try:
            held.ref.tell("from the grave")
        except Fenced as error:
            caught.append(type(error))

    zombie = threads.spawn(Taker, [], path="/zombie")
    zombie.tell(send)
    wait_for(lambda: 1 == waiters(held.ref), "it waits")
    call = Call(lambda: held.ref.tell("from the living"))
    wait_for(lambda: 2 == waiters(held.ref), "another waits behind it")
    zombie.kill()
    held.release()

    assert call.outcome() is None
    threads.settle()
    assert [0, "from the living"] == held.got
    assert [Fenced] == caught
    assert ["str"] == [event.message for event in threads.events.of(MessageFenced)]


def test_what_an_actor_sends_is_counted_once_though_it_waited_for_its_place(
    threads: "Threads", hold: Hold, wait_for: Wait
) -> None:
    held = hold(bounded(1, Overflow.BLOCK))
    sender = threads.spawn(Taker, [], path="/sender")
    sender.sys.start_statistics()
    sender.tell(doing(lambda _: asyncio.run(held.ref.tell_async("async"))))
    wait_for(lambda: 1 == waiters(held.ref), "it waits")
    held.release()
    threads.settle()
    sender.ask(doing(lambda _: held.ref.tell("plain")))
    threads.settle()
    counted = sender.sys.statistics()

    assert [0, "async", "plain"] == held.got
    assert counted is not None
    assert 2 == counted.messages_out


# What comes in regardless


@pytest.mark.parametrize("overflow", Overflow)
def test_what_an_actor_sends_itself_comes_in_whatever_the_bound(steps: "Steps", overflow: Overflow) -> None:
    got: list[Any] = []
    ref = steps.spawn(bounded(1, overflow), got)

    def set_timers(actor: Taker) -> None:
        actor.context.send_after(1.0, "after")
        actor.context.send_every(1.0, "every")
        actor.context.tell_self("self")
        actor.context.tell_self("self")

    ref.tell(set_timers)
    steps.settle()
    ref.tell("full")
    steps.clock.advance(2.0)
    steps.settle()

    assert ["self", "self", "full", "after", "every", "every"] == got
    assert [] == steps.events


@pytest.mark.parametrize("overflow", Overflow)
def test_news_of_an_end_come_in_whatever_the_bound(steps: "Steps", overflow: Overflow) -> None:
    got: list[Any] = []
    ref, other = steps.spawn(bounded(1, overflow), got), steps.spawn(Taker, [], path="/other")

    def watch(actor: Taker) -> None:
        actor.context.trap_exits()
        actor.context.link(other)
        actor.context.monitor(other)

    ref.tell(watch)
    steps.settle()
    ref.tell("full")
    other.kill()
    steps.settle()

    assert "full" == got[0]
    assert {Down, ExitSignal} == {type(news) for news in got[1:]}
    assert [Killed()] * 2 == [news.reason for news in got[1:]]


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("how", ["request_stop", "kill", "pykka"])
def test_no_bound_keeps_an_actor_from_being_stopped(steps: "Steps", overflow: Overflow, how: str) -> None:
    ref = steps.spawn(bounded(1, overflow), [])
    steps.settle()
    ref.tell("full")
    match how:
        case "request_stop":
            ref.request_stop()
        case "kill":
            ref.kill()
        case _:
            ref.stop(block=False)
    steps.settle()

    assert not ref.is_alive()


def test_a_suspended_actor_with_a_full_mailbox_is_looked_at_and_goes_on(threads: "Threads", wait_for: Wait) -> None:
    got: list[Any] = []
    ref = threads.spawn(bounded(2, Overflow.BLOCK), got)
    ref.sys.suspend()
    ref.tell("one")
    ref.tell("two")
    call = Call(lambda: ref.tell("three"))
    wait_for(lambda: 1 == waiters(ref), "the third waits")

    status = ref.sys.status()
    assert (True, 2) == (status.suspended, status.mailbox)
    ref.sys.resume()
    assert call.outcome() is None
    threads.settle()
    assert ["one", "two", "three"] == got


def test_a_suspended_actor_with_a_full_mailbox_can_be_stopped_and_who_waits_is_told(
    threads: "Threads", wait_for: Wait
) -> None:
    ref = threads.spawn(bounded(1, Overflow.BLOCK), [])
    ref.sys.suspend()
    ref.tell("one")
    call = Call(lambda: ref.tell("two"))
    wait_for(lambda: 1 == waiters(ref), "the second waits")
    ref.request_stop()

    assert ActorDead is type(call.outcome())
    threads.settle()
    assert [DeadLetter(ref.path, "str")] == threads.events


# A tree without threads


@dataclass(frozen=True, slots=True)
class Fill:
    """Tell those at `path` so many numbers; how many were put in."""

    path: str
    count: int


class Filler(Actor):
    """Fills the mailbox of another when it is told to."""

    mailbox = MailboxBound(2, Overflow.BLOCK)

    def __init__(self) -> None:
        super().__init__()
        self.got: list[int] = []

    def on_receive(self, message: "int | Fill | str") -> object:
        if message == "crash":
            raise ValueError("as it was told")
        if not isinstance(message, Fill):
            self.got.append(int(message))
            return self.got
        for number in range(message.count):
            try:
                self.context.address(message.path).tell(number)
            except MailboxFull:
                return number
        return message.count


def fillers(*names: str) -> TreeUnderTest:
    return TreeUnderTest(ChildSpec.of(Supervisor, children=[ChildSpec.of(Filler, id=name) for name in names], id="dev"))


@pytest.mark.parametrize("ask", [False, True], ids=["told", "asked"])
def test_a_test_that_fills_a_mailbox_has_the_actor_empty_it(ask: bool) -> None:
    """Nobody blocks: the thread that would wait runs the tree."""
    with fillers("a") as tree:
        address = tree.address("/dev/a")
        for number in range(20):
            if ask:
                address.ask(number)
            else:
                address.tell(number)
        tree.wait_idle()

        assert [*range(20), 99] == address.ask(99)


def test_an_actor_of_a_test_that_fills_a_mailbox_has_the_other_empty_it() -> None:
    with fillers("a", "b") as tree:
        assert 20 == tree.address("/dev/a").ask(Fill("/dev/b", 20))
        tree.wait_idle()

        assert [*range(20), 99] == tree.address("/dev/b").ask(99)


def test_actors_of_a_test_that_fill_each_other_are_refused_instead_of_hanging() -> None:
    with fillers("a", "b") as tree:
        tree.address("/dev/a").tell(Fill("/dev/b", 20))
        tree.address("/dev/b").tell(Fill("/dev/a", 20))
        tree.wait_idle()

        assert [Filler] * 2 == [type(ref._actor_weakref()) for name in "ab" if (ref := tree.whereis(f"/dev/{name}"))]


def test_an_actor_that_is_suspended_in_a_test_refuses_instead_of_hanging() -> None:
    with fillers("a") as tree:
        ref = tree.whereis("/dev/a")
        assert ref is not None
        ref.sys.suspend()
        ref.tell(1)
        ref.tell(2)

        with pytest.raises(MailboxFull):
            ref.tell(3)


def test_a_restart_begins_with_an_empty_mailbox() -> None:
    with fillers("a") as tree:
        ref = tree.whereis("/dev/a")
        assert ref is not None
        ref.tell("crash")
        ref.tell(1)
        tree.wait_idle()
        again = tree.whereis("/dev/a")

        assert again is not None
        assert again is not ref
        again.tell(2)
        again.tell(3)
        assert [2, 3, 4] == again.ask(4)
