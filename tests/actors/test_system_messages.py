"""Every actor answers system messages, a suspended one too, and one that hangs can be looked at (A.13, B 3.4)."""

import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from treewarden.actors import (
    Actor,
    ActorDead,
    ActorRef,
    ActorStatus,
    DeadLetter,
    ExitReason,
    Fenced,
    Killed,
    MessageFenced,
    Rejected,
    Reply,
    Shutdown,
    StateCallbackFailed,
    StateNotReplaceable,
    StateRequest,
    TraceOptions,
    Unresponsive,
)
from treewarden.actors._messages import Stop
from treewarden.actors._requests import GetState, ReplaceState, Resume, Suspend

if TYPE_CHECKING:
    from .conftest import Scripted, Steps, Threads

LOST = Unresponsive(1.0)

CALLS: list[Callable[[ActorRef[Any]], object]] = [
    lambda ref: ref.sys.get_state(),
    lambda ref: ref.sys.replace_state(lambda state: state),
    lambda ref: ref.sys.suspend(),
    lambda ref: ref.sys.resume(),
    lambda ref: ref.sys.trace(TraceOptions()),
    lambda ref: ref.sys.start_statistics(),
    lambda ref: ref.sys.stop_statistics(),
    lambda ref: ref.sys.keep_events(3),
]


class Counter(Actor):
    """Counts numbers up and notes the order in which they came."""

    def __init__(self, count: int = 0) -> None:
        super().__init__()
        self.count = count
        self.seen: list[object] = []

    def on_receive(self, message: object) -> object:
        self.seen.append(message)
        if isinstance(message, int):
            self.count += message
        return self.count


def doing(act: "Callable[[Scripted], object]") -> "Callable[[Scripted], object]":
    """A message for a scripted actor, which calls it; what `act` returns is the answer."""
    return act


def send(steps: "Steps", ref: ActorRef[Any], make: Callable[[Reply[Any]], StateRequest]) -> Reply[Any]:
    """What a call of `ref.sys` does, without waiting: on these steps nobody runs meanwhile."""
    reply: Reply[Any] = Reply()
    ref.incarnation().tell_system(make(reply))
    steps.settle()
    return reply


# State


def test_the_state_is_the_actors_attributes_and_nothing_of_the_machinery(threads: "Threads") -> None:
    ref = threads.spawn(Counter, 3)
    ref.ask(4)

    assert {"count": 7, "seen": [4]} == ref.sys.get_state()


def test_a_state_request_overtakes_the_mailbox(steps: "Steps") -> None:
    ref = steps.spawn(Counter)
    steps.settle()
    ref.tell(1)

    reply = send(steps, ref, GetState)

    assert 0 == reply.get(timeout=0)["count"]
    assert 1 == send(steps, ref, GetState).get(timeout=0)["count"]


def test_replace_state_sets_what_the_function_makes_and_answers_it(threads: "Threads") -> None:
    ref = threads.spawn(Counter, 3)

    def doubled(state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "count": state["count"] * 2, "extra": True}

    answer = ref.sys.replace_state(doubled)

    assert {"count": 6, "seen": [], "extra": True} == answer == ref.sys.get_state()
    assert 7 == ref.ask(1)
    assert {"count", "seen"} == set(ref.sys.replace_state(lambda state: {"count": 0, "seen": []}))
    assert "extra" not in ref.sys.get_state()


def broken(state: object) -> object:
    raise ValueError("no such state")


def leaving(state: object) -> object:
    raise SystemExit


class Wordless(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def wordless(state: object) -> object:
    raise Wordless


def shapeless(state: object) -> object:
    return 7


def reaching_out(state: dict[str, object]) -> object:
    return {**state, "context": None}


def nameless(state: dict[object, object]) -> object:
    return {**state, 4: None}


def failing_start(actor: "Scripted") -> None:
    raise LookupError("missing")


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (broken, "ValueError: no such state"),
        (leaving, "SystemExit"),
        (wordless, "unchanged: Wordless$"),
        (shapeless, "found a state of type int, expected a mapping"),
        (reaching_out, r"found \['context'\] in the new state"),
        (nameless, r"found \[4\] in the new state"),
    ],
    ids=["raises", "exits", "no words", "no mapping", "machinery", "no name"],
)
def test_a_replace_state_that_fails_changes_nothing_and_the_actor_lives(
    threads: "Threads", function: Callable[[Any], object], why: str
) -> None:
    """B 3.4: `{error, {callback_failed, ..}}`, state unchanged."""
    ref = threads.spawn(Counter, 3)

    with pytest.raises(StateCallbackFailed, match=why) as caught:
        ref.sys.replace_state(function)

    assert "replace_state" == caught.value.call
    assert "Traceback" in caught.value.crash.traceback
    assert {"count": 3, "seen": []} == ref.sys.get_state()
    assert 4 == ref.ask(1)


class Pair(Actor):
    """A state of its own shape, which it takes in two halves."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = 1, 2

    def get_state(self) -> object:
        return (self.left, self.right)

    def set_state(self, state: Any) -> None:
        if state == "never":
            raise Rejected("this state is refused")
        self.left = state[0]
        self.right = state[1]


def test_an_actor_says_what_its_state_is(threads: "Threads") -> None:
    ref = threads.spawn(Pair)

    assert (2, 1) == ref.sys.replace_state(lambda pair: (pair[1], pair[0]))
    assert (2, 1) == ref.sys.get_state()


def test_a_set_state_that_fails_half_way_changes_nothing(threads: "Threads") -> None:
    ref = threads.spawn(Pair)

    with pytest.raises(StateCallbackFailed, match="IndexError"):
        ref.sys.replace_state(lambda pair: (9,))
    with pytest.raises(Rejected, match="refused"):
        ref.sys.replace_state(lambda pair: "never")

    assert (1, 2) == ref.sys.get_state()


class Secretive(Actor):
    def get_state(self) -> object:
        raise LookupError("nobody knows")


def test_a_get_state_that_raises_is_its_askers_affair(threads: "Threads") -> None:
    ref = threads.spawn(Secretive)

    with pytest.raises(StateCallbackFailed, match=r"get_state failed.*nobody knows"):
        ref.sys.get_state()

    assert ref.is_alive()
    assert [] == threads.lines


# Suspension


def test_a_suspended_actor_leaves_its_mailbox_alone_and_answers_state_requests(threads: "Threads") -> None:
    ref = threads.spawn(Counter)
    ref.sys.suspend()
    ref.tell(1)

    with pytest.raises(pykka.Timeout):
        ref.ask(2, timeout=0.02)

    assert {"count": 0, "seen": []} == ref.sys.get_state()
    assert 5 == ref.sys.replace_state(lambda state: {**state, "count": 5})["count"]
    seen = ref.sys.status()
    assert (True, "running", 2) == (seen.suspended, seen.status, seen.mailbox)


def test_a_resumed_actor_goes_on_in_order(steps: "Steps") -> None:
    ref = steps.spawn(Counter)
    steps.settle()
    ref.tell(1)
    send(steps, ref, Suspend)
    for number in (2, 3):
        ref.tell(number)
    asked = ref.ask(4, block=False)
    steps.settle()
    assert [] == send(steps, ref, GetState).get(timeout=0)["seen"]

    send(steps, ref, Resume)

    assert 10 == asked.get(timeout=0)
    assert [1, 2, 3, 4] == send(steps, ref, GetState).get(timeout=0)["seen"]


def test_suspending_twice_is_undone_by_resuming_once_and_resuming_a_running_actor_is_nothing(
    threads: "Threads",
) -> None:
    ref = threads.spawn(Counter)
    ref.sys.suspend()
    ref.sys.suspend()
    ref.sys.resume()
    assert 1 == ref.ask(1)
    ref.sys.resume()
    assert 2 == ref.ask(1)


def test_a_suspended_actor_stops_when_told_to(steps: "Steps") -> None:
    """Its parent's exit is obeyed (B 3.4), `on_stop` runs, and what waits is turned away."""
    ref, journal = steps.script()
    steps.settle()
    send(steps, ref, Suspend)
    ref.tell("waits")
    ref.request_stop(Shutdown("enough"))
    steps.settle()

    assert [Shutdown("enough")] == [exited.reason for exited in steps.exits()]
    assert ["init", "start", "stop"] == journal
    assert [DeadLetter(ref.path, "str")] == steps.events


def test_a_suspended_actor_can_be_killed(steps: "Steps") -> None:
    ref, journal = steps.script()
    steps.settle()
    send(steps, ref, Suspend)
    asked = ref.ask("waits", block=False)
    ref.kill()
    steps.settle()

    assert [Killed()] == [exited.reason for exited in steps.exits()]
    assert "stop" not in journal
    with pytest.raises(ActorDead):
        asked.get(timeout=0)


def test_a_suspended_actor_can_be_given_up_on(steps: "Steps") -> None:
    ref, journal = steps.script()
    steps.settle()
    send(steps, ref, Suspend)
    ref.incarnation().abandon(LOST)
    steps.settle()

    assert [LOST] == [exited.reason for exited in steps.exits()]
    assert ["init", "start", "stop"] == journal


class Framework(Actor):
    """Notes its system messages; told to stop, it waits for `last` first."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[object] = []
        self.reason: ExitReason | None = None

    def on_receive(self, message: object) -> None:
        self.seen.append(message)

    def on_system(self, message: object) -> None:
        self.seen.append(message)
        if message == "last" and self.reason is not None:
            self.context.exit(self.reason)

    def on_stop_request(self, reason: ExitReason) -> None:
        self.reason = reason


def test_system_messages_of_a_suspended_actor_wait_in_order_and_come_before_its_mailbox(steps: "Steps") -> None:
    """As a suspended OTP supervisor hears of its children's ends when it goes on."""
    ref = steps.spawn(Framework)
    steps.settle()
    send(steps, ref, Suspend)
    ref.tell("user")
    for word in ("first", "second"):
        ref.incarnation().tell_system(word)
    steps.settle()
    assert [] == send(steps, ref, GetState).get(timeout=0)["seen"]

    ref.incarnation().tell_system(Resume(Reply()))
    ref.incarnation().tell_system("third")
    steps.settle()

    assert ["first", "second", "third", "user"] == send(steps, ref, GetState).get(timeout=0)["seen"]


def test_a_stop_lets_in_the_system_messages_that_waited(steps: "Steps") -> None:
    """Else a suspended supervisor would wait for ever for the children it stops."""
    ref = steps.spawn(Framework)
    steps.settle()
    send(steps, ref, Suspend)
    ref.incarnation().tell_system("last")
    steps.settle()
    ref.incarnation().tell_system(Stop(Shutdown("done")))
    steps.settle()

    assert [Shutdown("done")] == [exited.reason for exited in steps.exits()]


def test_an_actor_that_is_stopping_cannot_be_suspended(steps: "Steps") -> None:
    """Else a supervisor that was suspended a moment after it was told to stop would never hear of its children's ends."""
    ref = steps.spawn(Framework)
    steps.settle()
    ref.incarnation().tell_system(Stop(Shutdown("done")))
    steps.settle()
    assert send(steps, ref, Suspend).get(timeout=0) is None
    ref.incarnation().tell_system("last")
    steps.settle()

    assert [Shutdown("done")] == [exited.reason for exited in steps.exits()]


def test_a_new_incarnation_is_not_suspended(steps: "Steps") -> None:
    ref, _ = steps.script()
    steps.settle()
    send(steps, ref, Suspend)
    ref.kill()
    steps.settle()
    again, _ = steps.script()
    steps.settle()

    assert ref.incarnation().is_suspended()
    assert not again.incarnation().is_suspended()


# Who is not there to answer


@pytest.mark.parametrize("call", CALLS)
def test_a_call_to_a_dead_actor_is_refused_at_once(threads: "Threads", call: Callable[[ActorRef[Any]], object]) -> None:
    ref = threads.spawn(Counter)
    ref.request_stop()
    ref.wait_stopped(timeout=5)

    with pytest.raises(ActorDead):
        call(ref)
    assert frozenset() == threads.system.instruments.paths()


def test_a_dead_actor_can_still_be_looked_at(threads: "Threads") -> None:
    ref = threads.spawn(Counter)
    ref.kill()
    ref.wait_stopped(timeout=5)
    threads.settle()

    seen = ref.sys.status()

    assert ("stopped", None, None) == (seen.status, seen.state, seen.in_hand)
    assert ref.sys.statistics() is None
    assert () == ref.sys.last_events() == ref.sys.stack()


def test_a_request_that_waits_when_its_actor_ends_is_answered(steps: "Steps") -> None:
    ref, _ = steps.script()
    steps.settle()
    reply: Reply[Any] = Reply()
    ref.incarnation().tell_system(GetState(reply))
    ref.kill()
    steps.settle()

    with pytest.raises(ActorDead, match="ended before it answered GetState"):
        reply.get(timeout=0)


def test_a_request_to_an_actor_that_does_not_start_is_answered(steps: "Steps") -> None:
    ref, _ = steps.script(start=failing_start)
    reply = send(steps, ref, GetState)

    with pytest.raises(ActorDead):
        reply.get(timeout=0)


def test_a_request_that_slips_in_behind_the_end_is_answered(steps: "Steps") -> None:
    """The caller looked, the actor was given up on and its lanes turned away, the caller appended."""
    ref, _ = steps.script()
    steps.settle()
    inner = ref.incarnation()

    class Late(deque[object]):
        def append(self, item: object) -> None:
            inner.abandon(LOST)
            super().append(item)

    inner._system_lane = Late()

    with pytest.raises(ActorDead):
        ref.sys.get_state(timeout=0)
    steps.settle()


def test_a_zombie_sends_no_system_messages(steps: "Steps") -> None:
    """A.15."""
    other = steps.spawn(Counter, path="/b")
    ref, _ = steps.script()
    refused: list[BaseException] = []

    def handler(zombie: "Scripted") -> None:
        zombie.context.incarnation().abandon(LOST)
        try:
            other.sys.suspend(timeout=0)
        except Fenced as error:
            refused.append(error)

    ref.tell(handler)
    steps.settle()

    assert 1 == len(refused)
    assert not other.incarnation().is_suspended()
    assert ["Suspend"] == [event.message for event in steps.events.of(MessageFenced)]


def test_an_actor_may_use_its_own_system_calls(steps: "Steps") -> None:
    """It is on its own turn already, so nobody waits; a suspension begins after the message in hand."""
    found: list[object] = []

    def handler(actor: "Scripted") -> None:
        found.append(actor.actor_ref.sys.get_state()["journal"])
        actor.actor_ref.sys.suspend()
        seen: ActorStatus = actor.actor_ref.sys.status()
        found.append((seen.suspended, seen.state is not None))

    ref, journal = steps.script()
    ref.tell(handler)
    ref.tell(doing(lambda _: found.append("not before it resumes")))
    steps.settle()

    assert [journal, (True, True)] == found
    send(steps, ref, Resume)
    assert "not before it resumes" == found[-1]


class Refusing(Actor):
    def set_state(self, state: object) -> None:
        raise StateNotReplaceable("use another way")


def test_a_refusal_to_have_the_state_replaced_reaches_the_caller_as_it_is(threads: "Threads") -> None:
    ref = threads.spawn(Refusing)

    with pytest.raises(StateNotReplaceable, match="use another way"):
        ref.sys.replace_state(lambda state: state)

    assert ref.is_alive()


# Looking at an actor that does not answer


class Stuck(Actor):
    def __init__(self, inside: threading.Event, release: threading.Event) -> None:
        super().__init__()
        self.inside, self.release = inside, release
        self.thread: int | None = None
        self.described = 0

    def on_receive(self, message: object) -> None:
        self.thread = threading.get_ident()
        self.wait_here()

    def wait_here(self) -> None:
        self.inside.set()
        self.release.wait()

    def describe(self) -> object:
        self.described += 1
        return "described"


@pytest.fixture
def stuck(threads: "Threads") -> Any:
    """An actor that hangs in a handler, with one more message waiting; released when the test is over."""
    inside, release = threading.Event(), threading.Event()
    ref = threads.spawn(Stuck, inside, release)
    ref.tell("hang")
    ref.tell("waits")
    assert inside.wait(timeout=5)
    yield ref
    release.set()


def test_a_stuck_handler_is_seen_with_its_message_its_time_and_its_thread(stuck: ActorRef[Any]) -> None:
    """Without the actor's help: `status` does not hang, and calls nothing of it."""
    first, second = stuck.sys.status(timeout=0.01), stuck.sys.status(timeout=0.01)
    actor = stuck.incarnation().actor
    assert isinstance(actor, Stuck)

    assert ("str", "running", 1, actor.thread) == (first.in_hand, first.status, first.mailbox, first.thread)
    assert first.in_hand_for is not None
    assert second.in_hand_for is not None
    assert 0.0 <= first.in_hand_for < second.in_hand_for
    assert (None, 0) == (first.state, actor.described)


def test_the_stack_of_a_stuck_thread_can_be_read(stuck: ActorRef[Any]) -> None:
    lines = stuck.sys.stack()

    assert any("in wait_here" in line for line in lines)


def test_a_call_to_a_stuck_actor_times_out(stuck: ActorRef[Any]) -> None:
    with pytest.raises(pykka.Timeout):
        stuck.sys.get_state(timeout=0.01)
    with pytest.raises(pykka.Timeout):
        stuck.sys.suspend(timeout=0.01)


def test_a_request_to_a_stuck_actor_is_answered_when_it_is_given_up_on(stuck: ActorRef[Any]) -> None:
    reply: Reply[Any] = Reply()
    stuck.incarnation().tell_system(GetState(reply))
    stuck.incarnation().abandon(LOST)

    with pytest.raises(ActorDead):
        reply.get(timeout=0)


def test_a_replace_state_that_hangs_is_answered_when_its_actor_is_given_up_on(threads: "Threads") -> None:
    inside, release = threading.Event(), threading.Event()

    def hang(state: object) -> object:
        inside.set()
        release.wait()
        return state

    ref = threads.spawn(Counter)
    reply: Reply[Any] = Reply()
    ref.incarnation().tell_system(ReplaceState(reply, hang))
    assert inside.wait(timeout=5)
    assert "ReplaceState" == ref.sys.status(timeout=0).in_hand
    ref.kill()

    with pytest.raises(ActorDead):
        reply.get(timeout=0)
    release.set()


def test_a_request_that_is_taken_up_just_when_a_kill_comes_is_answered(steps: "Steps") -> None:
    ref, _ = steps.script()
    steps.settle()
    inner = ref.incarnation()

    class Between(deque[object]):
        def popleft(self) -> object:
            item = super().popleft()
            if isinstance(item, GetState):
                inner.kill()
            return item

    inner._system_lane = Between()
    reply = send(steps, ref, GetState)

    with pytest.raises(ActorDead):
        reply.get(timeout=0)


def test_a_stack_is_not_shown_if_its_thread_has_gone_on_to_another_actor(
    stuck: ActorRef[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, frames = stuck.incarnation(), sys._current_frames()

    def leaving_meanwhile() -> dict[int, FrameType]:
        inner._inside = None
        return frames

    monkeypatch.setattr(sys, "_current_frames", leaving_meanwhile)

    assert () == stuck.sys.stack()


def test_a_start_that_hangs_is_seen(threads: "Threads") -> None:
    inside, release = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        inside.set()
        release.wait()

    ref, _ = threads.script(start=hang)
    assert inside.wait(timeout=5)
    seen = ref.sys.status(timeout=0)
    release.set()

    assert ("starting", None) == (seen.status, seen.in_hand)
    assert seen.in_hand_for is not None
    assert seen.thread is not None


def test_an_idle_actor_is_seen_as_one(threads: "Threads") -> None:
    ref = threads.spawn(Counter, 3, path="/top/c", parent="/top")
    ref.ask(1)
    threads.settle()

    seen = ref.sys.status(timeout=5)

    assert (
        ActorStatus(
            path=ref.path,
            generation=ref.generation,
            actor_class="Counter",
            parent=ref.incarnation().parent,
            status="running",
            suspended=False,
            mailbox=0,
            in_hand=None,
            in_hand_for=None,
            thread=None,
            trace=None,
            statistics=None,
            kept_events=0,
            state="{'count': '4', 'seen': 'list of 1'}",
        )
        == seen
    )


def test_a_status_shows_what_describe_lets_through_and_get_state_the_true_objects(threads: "Threads") -> None:
    ref, _ = threads.script()
    ref.ask(doing(lambda actor: vars(actor).update(password="hunter2")))

    state: Mapping[str, object] = ref.sys.get_state()

    assert "hunter2" == state["password"]
    assert "hunter2" not in str(ref.sys.status(timeout=5))
