"""An actor that was given up on can do nothing more, and nobody waits for it (supervision.md A.7, A.15)."""

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import (
    Actor,
    ActorDead,
    ActorPath,
    ActorRef,
    Address,
    ChildSpec,
    DeadLetter,
    Exited,
    Fenced,
    Generation,
    MessageFenced,
    Unresponsive,
    spawn,
)

if TYPE_CHECKING:
    from .conftest import Scripted, Steps, Threads

LOST = Unresponsive(1.0)

GIVE_UP: list[Callable[[ActorRef[Any]], None]] = [
    lambda ref: ref.kill(),
    lambda ref: ref.incarnation().abandon(LOST),
]

ACTS: list[tuple[str, str, Callable[["Scripted", ActorRef[Any]], object]]] = [
    ("tell", "str", lambda zombie, other: other.tell("from the grave")),
    ("ask", "bytes", lambda zombie, other: other.ask(b"from the grave")),
    ("tell by address", "int", lambda zombie, other: Address(ActorPath("/b"), zombie.context.system).tell(1)),
    ("request_stop", "Stop", lambda zombie, other: other.request_stop()),
    ("kill", "Kill", lambda zombie, other: other.kill()),
    ("send_after", "Context", lambda zombie, other: zombie.context.send_after(0.0, "later")),
    ("send_every", "Context", lambda zombie, other: zombie.context.send_every(1.0, "again")),
    ("publish", "Context", lambda zombie, other: zombie.context.publish("I am fine")),
    ("ensure_current", "Context", lambda zombie, other: zombie.context.ensure_current()),
    ("take_reply", "Reply", lambda zombie, other: zombie.context.take_reply()),
    ("ask itself", "str", lambda zombie, other: zombie.actor_ref.ask("from the grave")),
    ("ask for later", "bytes", lambda zombie, other: other.ask(b"from the grave", block=False)),
    ("dispatch", "float", lambda zombie, other: zombie.context.names.dispatch("others", 1.0)),
    ("monitor", "Context", lambda zombie, other: zombie.context.monitor(other)),
    ("link", "Context", lambda zombie, other: zombie.context.link(other)),
    ("trap_exits", "Context", lambda zombie, other: zombie.context.trap_exits()),
    ("register", "Context", lambda zombie, other: zombie.context.register("name")),
    ("join", "Context", lambda zombie, other: zombie.context.join("topic")),
    ("spawn", "ChildSpec", lambda zombie, other: spawn_child(zombie)),
]


def doing(act: "Callable[[Scripted], object]") -> "Callable[[Scripted], object]":
    """A message for a scripted actor, which calls it; what `act` returns is the answer."""
    return act


def spawn_child(zombie: "Scripted") -> None:
    context = zombie.context
    path, generation = ActorPath("/a/actor"), Generation(1)
    spawn(context.system, ChildSpec.of(Actor), path=path, parent=context.path, generation=generation, notify=None)


@pytest.mark.parametrize(("refused", "act"), [row[1:] for row in ACTS], ids=[row[0] for row in ACTS])
def test_each_act_of_a_zombie_is_refused_and_counted(
    steps: "Steps", refused: str, act: Callable[["Scripted", ActorRef[Any]], object]
) -> None:
    other, seen = steps.script("/b")
    steps.directory.register(other.path, other)
    steps.system.names.join(other.incarnation(), "others", None)
    ref, _ = steps.script()
    caught: list[BaseException] = []

    def handler(zombie: "Scripted") -> None:
        zombie.context.incarnation().abandon(LOST)
        try:
            act(zombie, other)
        except Fenced as error:
            caught.append(error)

    future = ref.ask(handler, block=False)
    steps.settle()
    steps.clock.advance(5.0)
    steps.settle()

    assert 1 == len(caught), "not refused"
    assert refused == steps.events.of(MessageFenced)[0].message
    assert other.is_alive()
    assert ["init", "start"] == seen
    assert ref.status is None
    with pytest.raises(ActorDead):
        future.get(timeout=0)


def test_a_zombie_may_still_end_its_own_children(steps: "Steps") -> None:
    """Whoever gave up on a supervisor counts on its children being gone before their successors start."""
    child = steps.spawn(Actor, path="/a/b", parent="/a")
    ref, _ = steps.script(stop=lambda zombie: child.kill())
    steps.settle()
    ref.incarnation().abandon(LOST)
    steps.settle()

    assert not child.is_alive()
    assert [] == steps.events.of(MessageFenced)


def test_what_a_zombie_answers_is_dropped_and_counted(steps: "Steps") -> None:
    def handler(zombie: "Scripted") -> str:
        zombie.context.incarnation().abandon(LOST)
        return "an answer"

    ref, _ = steps.script()
    future = ref.ask(handler, block=False)
    steps.settle()

    with pytest.raises(ActorDead, match="given up on while it handled"):
        future.get(timeout=0)
    assert ["Reply"] == [event.message for event in steps.events.of(MessageFenced)]


def test_a_timer_of_a_zombie_delivers_nothing_and_ends(steps: "Steps") -> None:
    ref, journal = steps.script(start=lambda actor: actor.context.send_every(1.0, doing(lambda _: None)))
    steps.settle()
    inner = ref.incarnation()
    inner._token.pop()  # a worker is inside and never comes back
    inner.abandon(LOST)
    steps.clock.advance(10.0)

    assert ["init", "start"] == journal
    assert 0 == steps.clock.pending()
    assert not inner._user_lane
    inner._token.append(True)
    inner._wake()


def test_a_failure_of_a_zombie_is_shown_though_it_is_no_exit_reason(steps: "Steps") -> None:
    """No exception is dropped; `Fenced` itself is counted already."""

    def fails(zombie: "Scripted") -> None:
        zombie.context.incarnation().abandon(LOST)
        raise ValueError("too late to matter")

    reasons: list[object] = []
    ref, _ = steps.script(stop=lambda zombie: reasons.extend(zombie.reasons))
    ref.tell(fails)
    steps.settle()

    assert [LOST] == [exited.reason for exited in steps.exits()]
    assert [LOST] == reasons
    assert ["ValueError('too late to matter')"] == [line.values["error"] for line in steps.lines]
    assert "in fails" in str(steps.lines[0].values["traceback"])


class Stuck(Actor):
    """Hangs in a handler until `release`; takes one reply for later before that."""

    def __init__(self, inside: threading.Event, release: threading.Event) -> None:
        super().__init__()
        self.inside, self.release = inside, release

    def on_receive(self, message: object) -> object:
        if message == "defer":
            self.context.take_reply()
        elif message == "hang":
            self.inside.set()
            self.release.wait()
        return message


@pytest.fixture
def stuck(threads: "Threads") -> "Any":
    """A stuck actor with one deferred ask, one in hand and one queued; released when the test is over."""
    inside, release = threading.Event(), threading.Event()
    ref = threads.spawn(Stuck, inside, release)
    futures = [ref.ask(message, block=False) for message in ("defer", "hang", "queued")]
    ref.tell("told")
    assert inside.wait(timeout=5)
    yield ref, futures
    release.set()


@pytest.mark.parametrize("give_up", GIVE_UP)
def test_nobody_waits_for_an_actor_that_is_stuck_and_given_up_on(
    threads: "Threads", stuck: tuple[ActorRef[Any], list[Any]], give_up: Callable[[ActorRef[Any]], None]
) -> None:
    """Asks deferred, in hand and queued are answered at once, though the thread is still inside."""
    ref, futures = stuck
    give_up(ref)

    assert not ref.is_alive()
    for future in futures:
        with pytest.raises(ActorDead):
            future.get(timeout=0)
    assert [DeadLetter(ref.path, "str")] == threads.events
    assert [True] == [notice.abandoned for notice in threads.notices if isinstance(notice, Exited)]


def test_a_message_that_slips_in_behind_the_end_of_a_stuck_actor_is_answered_too(
    threads: "Threads", stuck: tuple[ActorRef[Any], list[Any]]
) -> None:
    """The sender looked, the actor was given up on and its mailbox turned away, the sender appended."""
    ref, _ = stuck
    inner = ref.incarnation()

    class Late(deque[object]):
        def append(self, item: object) -> None:
            inner.abandon(LOST)
            super().append(item)

    inner._user_lane = Late(inner._user_lane)
    future = ref.ask("slips in", block=False)

    with pytest.raises(ActorDead):
        future.get(timeout=0)


def test_an_ask_that_was_just_being_taken_in_hand_is_answered_when_its_actor_is_given_up_on(steps: "Steps") -> None:
    """It was in the mailbox no more and in hand not yet, so whoever gave up on the actor could not see it."""
    ref, journal = steps.script()
    steps.settle()
    inner = ref.incarnation()

    class Between(deque[object]):
        def popleft(self) -> object:
            item = super().popleft()
            inner.abandon(LOST)
            return item

    inner._user_lane = Between()
    future = ref.ask(doing(lambda actor: "handled"), block=False)
    steps.settle()

    with pytest.raises(ActorDead):
        future.get(timeout=0)
    assert "receive" not in journal
