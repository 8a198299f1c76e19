"""Messages: order per sender, none lost without a word, never two threads in one actor, asks that always end."""

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pykka
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.actors import (
    Actor,
    ActorDead,
    ActorPath,
    ActorRef,
    Address,
    DeadLetter,
    Reply,
    Unresponsive,
)
from treewarden.actors._lanes import BATCH

from .conftest import in_threads

if TYPE_CHECKING:
    from .conftest import Scripted, Steps, Threads, World

SENDERS = 8
MESSAGES = 25_000  # from each sender

ENDS: list[Callable[[ActorRef[Any]], None]] = [
    lambda ref: ref.kill(),
    lambda ref: ref.request_stop(),
    lambda ref: ref.incarnation().abandon(Unresponsive(1.0)),
]


def doing(act: "Callable[[Scripted], object]") -> "Callable[[Scripted], object]":
    """A message for a scripted actor, which calls it; what `act` returns is the answer."""
    return act


@dataclass(frozen=True, slots=True)
class Numbered:
    sender: int
    number: int


class Recorder(Actor):
    """Notes what it got from each sender, and whether two threads were ever inside."""

    def __init__(self, got: dict[int, list[int]], overlaps: list[str]) -> None:
        super().__init__()
        self.got, self.overlaps = got, overlaps
        self.inside = False

    def on_receive(self, message: Numbered) -> None:
        if self.inside:
            self.overlaps.append(str(message))
        self.inside = True
        self.got[message.sender].append(message.number)
        self.inside = False


def test_order_holds_and_every_message_is_accounted_for_while_actors_are_stopped_and_killed(
    threads: "Threads",
) -> None:
    """200,000 messages of eight senders to four places, whose actors are ended at random and replaced."""
    lives: list[dict[int, list[int]]] = []
    overlaps: list[str] = []
    refused = Counter[int]()
    done = threading.Event()

    def live(place: int) -> ActorRef[Any]:
        got: dict[int, list[int]] = defaultdict(list)
        lives.append(got)
        return threads.spawn(Recorder, got, overlaps, path=f"/a{place}")

    places = [live(place) for place in range(4)]

    def send(sender: int) -> None:
        for number in range(MESSAGES):
            try:
                places[number % 4].tell(Numbered(sender, number))
            except ActorDead:
                refused[sender] += 1

    def reap() -> None:
        dice = random.Random(7)
        while not done.is_set():
            place = dice.randrange(4)
            ref = places[place]
            dice.choice(ENDS)(ref)
            ref.wait_stopped(timeout=10)
            places[place] = live(place)

    reaper = threading.Thread(target=reap)
    reaper.start()
    try:
        in_threads(*(lambda sender=sender: send(sender) for sender in range(SENDERS)))
    finally:
        done.set()
        reaper.join()
    threads.settle()

    assert len(lives) > 4, "nobody was replaced"
    assert [] == overlaps
    assert all(numbers == sorted(numbers) for got in lives for numbers in got.values())
    handled = sum(len(numbers) for got in lives for numbers in got.values())
    dead = len(threads.events.of(DeadLetter))
    assert SENDERS * MESSAGES == handled + dead + sum(refused.values())


def test_what_an_actor_handles_is_the_beginning_of_what_each_sender_sent_it(threads: "Threads") -> None:
    """No gap: a message is lost only together with all that the same sender sent after it."""
    for round_ in range(20):
        got: dict[int, list[int]] = defaultdict(list)
        ref = threads.spawn(Recorder, got, [], path=f"/a{round_}")

        def send(sender: int, ref: ActorRef[Any] = ref) -> None:
            for number in range(500):
                try:
                    ref.tell(Numbered(sender, number))
                except ActorDead:
                    return

        in_threads(*(lambda sender=sender: send(sender) for sender in range(3)), ref.request_stop)
        ref.wait_stopped(timeout=10)

        assert all(numbers == list(range(len(numbers))) for numbers in got.values())


def test_every_ask_that_races_an_end_is_answered(threads: "Threads") -> None:
    """By stop, kill, abandonment, a crash: an answer, the crash, or `ActorDead`; never silence."""
    futures: list[Any] = []
    lock = threading.Lock()

    def ask_and_end(seed: int) -> None:
        dice = random.Random(seed)
        for number in range(120):
            with lock:
                ref, _ = threads.script(f"/a{seed}-{number}")

            def asks(ref: ActorRef[Any] = ref) -> None:
                mine = [ref.ask(doing(lambda actor: actor.context.take_reply()), block=False) for _ in range(2)]
                mine += [ref.ask(index, block=False) for index in range(10)]
                futures.extend(mine)

            def crash(ref: ActorRef[Any] = ref) -> None:
                futures.append(ref.ask(doing(lambda actor: 1 / 0), block=False))

            ends: list[Callable[[], None]] = [*(partial(end, ref) for end in ENDS), crash]
            in_threads(asks, dice.choice(ends))

    in_threads(*(lambda seed=seed: ask_and_end(seed) for seed in range(2)))
    for future in futures:
        try:
            future.get(timeout=5)
        except (ActorDead, ZeroDivisionError):
            continue
    threads.settle()

    assert all(future.is_set() for future in futures)


def test_an_actor_gives_way_after_a_batch(steps: "Steps") -> None:
    """A full mailbox must not keep a worker to itself."""
    order: list[str] = []
    busy, _ = steps.script("/busy")
    for _ in range(BATCH + 10):
        busy.tell(doing(lambda actor: order.append("busy")))
    other, _ = steps.script("/other")
    other.tell(doing(lambda actor: order.append("other")))
    steps.settle()

    assert BATCH + 11 == len(order)
    assert order.index("other") < BATCH


def test_a_stop_overtakes_the_mailbox_and_what_was_in_it_becomes_dead_letters(world: "World") -> None:
    """A.7: the message in hand finishes, the rest is reported."""
    ref, journal = world.script()

    def first(actor: "Scripted") -> None:
        actor.actor_ref.tell("behind")
        actor.actor_ref.request_stop()

    ref.tell(first)
    world.settle()

    assert "init start receive stop" == " ".join(journal)
    assert [DeadLetter(ref.path, "str")] == world.events


def test_a_message_sent_before_the_start_is_handled_after_it(steps: "Steps") -> None:
    ref, journal = steps.script()
    ref.tell(doing(lambda actor: None))
    steps.settle()

    assert "init start receive" == " ".join(journal)


def test_the_error_of_a_dead_actor_names_it_and_says_how_it_ended(world: "World") -> None:
    ref, _ = world.script()
    ref.tell(doing(lambda actor: dict[str, int]()["missing"]))
    world.settle()

    with pytest.raises(ActorDead, match=r"^/a \(generation 1\) has ended: crashed: KeyError: 'missing'$"):
        ref.tell("?")


def test_an_address_without_an_actor_makes_a_dead_letter_of_a_tell_and_an_error_of_an_ask(world: "World") -> None:
    nobody = Address(ActorPath("/dev/api"), world.system)
    ended, _ = world.script("/dev/old")
    world.settle()
    world.directory.register(ended.path, ended)
    ended.kill()
    world.settle()

    nobody.tell("hello")
    Address(ended.path, world.system).tell(b"hello")

    assert [DeadLetter(nobody.path, "str"), DeadLetter(ended.path, "bytes")] == world.events
    with pytest.raises(ActorDead, match="nobody runs at /dev/api"):
        nobody.ask("hello")


def test_a_deferred_reply_answers_later_and_what_the_handler_returned_is_not_used(world: "World") -> None:
    kept: list[Reply[Any]] = []

    def handler(actor: "Scripted") -> str:
        kept.append(actor.context.take_reply())
        return "not this"

    ref, _ = world.script()
    future = ref.ask(handler, block=False)
    world.settle()
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0)
    kept[0].set("this")

    assert "this" == future.get(timeout=0)
    assert not ref.incarnation()._deferred


def test_a_deferred_reply_fails_when_the_actor_ends_first(world: "World") -> None:
    ref, _ = world.script()
    future = ref.ask(doing(lambda actor: actor.context.take_reply()), block=False)
    world.settle()
    ref.request_stop()
    world.settle()

    with pytest.raises(ActorDead):
        future.get(timeout=0)


def test_a_handler_that_crashes_after_it_took_the_reply_answers_with_the_crash(world: "World") -> None:
    def handler(actor: "Scripted") -> None:
        actor.context.take_reply()
        raise ValueError("after taking it")

    ref, _ = world.script()
    future = ref.ask(handler, block=False)
    world.settle()

    with pytest.raises(ValueError, match="after taking it"):
        future.get(timeout=0)


def test_a_reply_taken_from_a_tell_is_one_nobody_waits_for(world: "World") -> None:
    ref, _ = world.script()
    ref.tell(doing(lambda actor: actor.context.take_reply().set("to nobody")))
    world.settle()

    assert ref.is_alive()


def test_a_chain_of_actors_that_wait_for_each_other_is_longer_than_there_are_workers(threads: "Threads") -> None:
    refs = [threads.script(f"/a{number}")[0] for number in range(60)]

    def ask_from(number: int) -> int:
        if number == len(refs):
            return 0
        below: int = refs[number].ask(doing(lambda actor: ask_from(number + 1)), block=True)
        return 1 + below

    assert len(refs) == ask_from(0)


def test_what_happened_in_the_actor_is_told_to_the_asker_in_a_note(world: "World") -> None:
    """The frames stay behind, since they would keep the dead actor alive; their text does not."""

    def culprit(actor: "Scripted") -> None:
        raise ValueError("no such port")

    ref, _ = world.script()
    future = ref.ask(culprit, block=False)
    world.settle()

    with pytest.raises(ValueError, match="no such port") as caught:
        future.get(timeout=0)
    assert 1 == len(caught.value.__notes__)
    assert "Raised in /a (generation 1):" in caught.value.__notes__[0]
    assert "in culprit" in caught.value.__notes__[0]


@given(acts=st.lists(st.sampled_from(["tell", "ask", "stop", "kill", "abandon", "crash", "run"]), max_size=30))
def test_whatever_is_done_in_whatever_order_there_is_one_end_and_no_silence(
    new_steps: "Callable[[], Steps]", acts: list[str]
) -> None:
    world = new_steps()
    ref, _ = world.script()
    futures: list[Any] = []
    told = 0
    for act in acts:
        match act:
            case "tell":
                try:
                    ref.tell("a message")
                    told += 1
                except ActorDead:
                    assert not ref.is_alive()
            case "ask":
                futures.append(ref.ask("an ask", block=False))
            case "crash":
                futures.append(ref.ask(doing(lambda actor: 1 / 0), block=False))
            case "stop":
                ref.request_stop()
            case "kill":
                ref.kill()
            case "abandon":
                ref.incarnation().abandon(Unresponsive(1))
            case _:
                world.settle()
    world.end_all()

    assert 1 == len(world.exits())
    assert world.exits() == world.notices[-1:]
    assert all(future.is_set() for future in futures)
    assert len(world.events.of(DeadLetter)) <= told
