"""What an actor knew when it ended is in the notice of its end, and no secrets are (A.13, A.14, B 3.5)."""

import enum
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import Actor, ExitReason, Killed, Normal, PostMortem, Reply, Shutdown, Unresponsive
from treewarden.actors._outline import outline
from treewarden.actors._requests import KeepEvents

if TYPE_CHECKING:
    from .conftest import Scripted, Steps, Threads

LOST = Unresponsive(1.0)
SECRET = "hunter2"


class Colour(enum.Enum):
    RED = SECRET


class Sly(str):
    """Text that gives itself away."""

    __slots__ = ()

    def __repr__(self) -> str:
        return SECRET

    def __len__(self) -> int:
        raise AssertionError("nobody may ask")


class Safe(Actor):
    """Holds secrets; crashes on bytes, notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.password = 0, SECRET
        self.asked: list[str] = []

    def on_receive(self, message: object) -> None:
        self.count += 1
        if isinstance(message, bytes):
            raise TypeError("broken")
        if callable(message):
            message(self)

    def on_stop(self, reason: ExitReason | None = None) -> None:
        self.count = -1

    def describe(self) -> object:
        self.asked.append("describe")
        return super().describe()

    def describe_message(self, message: object) -> str:
        self.asked.append("describe_message")
        return super().describe_message(message)


def doing(act: "Callable[[Scripted], object]") -> "Callable[[Scripted], object]":
    """A message for a scripted actor, which calls it."""
    return act


def last(steps: "Steps") -> PostMortem:
    found: PostMortem = steps.exits()[-1].post_mortem
    return found


def test_a_crash_tells_the_message_in_hand_the_mailbox_and_the_state_before_on_stop(steps: "Steps") -> None:
    ref = steps.spawn(Safe)
    for message in ("one", b"two", "three", "four"):
        ref.tell(message)
    steps.settle()

    assert PostMortem(
        last_message="bytes",
        mailbox=2,
        state="{'count': '2', 'password': 'str of 7', 'asked': 'list of 2'}",
        log=(),
    ) == last(steps)


def test_an_ask_that_crashes_is_the_last_message_too(steps: "Steps") -> None:
    ref = steps.spawn(Safe)
    ref.ask(b"", block=False)
    steps.settle()

    assert ("bytes", 0) == (last(steps).last_message, last(steps).mailbox)


def test_the_last_events_are_in_the_crash_report_if_they_are_kept(steps: "Steps") -> None:
    """B 3.4: `log` is also put in the crash report."""
    ref = steps.spawn(Safe)
    steps.settle()
    ref.incarnation().tell_system(KeepEvents(Reply(), 10))
    ref.tell("one")
    ref.tell(b"two")
    steps.settle()

    assert ("told str (generation 1)", "told bytes (generation 1)") == last(steps).log


def test_no_secret_in_a_message_or_in_the_state_appears(steps: "Steps") -> None:
    class Holder(Actor):
        def on_receive(self, message: object) -> None:
            holder: Any = self
            holder.text, holder.raw, holder.mapping = SECRET, SECRET.encode(), {SECRET: SECRET}
            holder.items, holder.queue, holder.sly = [SECRET], deque([SECRET]), Sly(SECRET)
            holder.colour, holder.message, holder.key = Colour.RED, message, 7 * 10**40
            raise ValueError(SECRET)

    ref = steps.spawn(Holder)
    steps.settle()
    ref.incarnation().tell_system(KeepEvents(Reply(), 10))
    ref.ask({"password": SECRET}, block=False)
    steps.settle()

    found = last(steps)
    assert SECRET not in repr(found)
    assert "dict" == found.last_message
    assert "'colour': 'Colour.RED'" in str(found.state)
    assert "'key': 'int'" in str(found.state)


def test_an_outline_shows_small_things_as_they_are_and_of_the_rest_the_kind() -> None:
    assert {
        "n": "None",
        "b": "True",
        "i": "-3",
        "f": "0.5",
        "t": "str of 3",
        "l": "list of 2",
        "o": "Thread",
        "s": "Sly",
    } == outline(
        {"n": None, "b": True, "i": -3, "f": 0.5, "t": "abc", "l": [1, 2], "o": threading.Thread(), "s": Sly("x")}
    )


class Describing(Actor):
    def __init__(self, described: Callable[[], object]) -> None:
        super().__init__()
        self.described = described

    def on_receive(self, message: object) -> None:
        raise ValueError

    def describe(self) -> object:
        return self.described()

    def describe_message(self, message: object) -> str:
        return f"order {message}"


def failing() -> object:
    raise ValueError(SECRET)


def leaving() -> object:
    raise SystemExit(SECRET)


@pytest.mark.parametrize(
    ("described", "shown"),
    [
        (lambda: "as it is", "as it is"),
        (lambda: {"a": 1}, "{'a': 1}"),
        (failing, "describe() failed: ValueError"),
        (leaving, "describe() failed: SystemExit"),
    ],
)
def test_an_actor_says_what_may_be_shown_and_its_failure_costs_no_notice(
    steps: "Steps", described: Callable[[], object], shown: str
) -> None:
    ref = steps.spawn(Describing, described)
    ref.tell(7)
    steps.settle()

    assert (shown, "order 7") == (last(steps).state, last(steps).last_message)
    assert 1 == len(steps.exits())


def test_a_long_description_is_cut(steps: "Steps") -> None:
    ref = steps.spawn(Describing, lambda: "x" * 10_000)
    ref.tell(7)
    steps.settle()

    assert str(last(steps).state).endswith("... (10000 characters)")
    assert len(str(last(steps).state)) < 2_100


def test_a_message_that_is_none_is_a_message(steps: "Steps") -> None:
    ref = steps.spawn(Describing, lambda: "")
    ref.tell(None)
    steps.settle()

    assert "order None" == last(steps).last_message


@pytest.mark.parametrize("reason", [Normal(), Shutdown("enough")])
def test_an_orderly_end_leaves_none(steps: "Steps", reason: ExitReason) -> None:
    ref = steps.spawn(Safe)
    steps.settle()
    ref.request_stop(reason)
    ref.tell("waits")
    steps.settle()

    assert PostMortem() == last(steps)


def test_a_kill_runs_nothing_of_the_actor_and_tells_no_state(steps: "Steps") -> None:
    ref = steps.spawn(Safe)
    steps.settle()
    actor = ref.incarnation().actor
    assert isinstance(actor, Safe)
    ref.tell("waits")
    ref.kill()
    steps.settle()

    assert PostMortem(mailbox=1) == last(steps)
    assert [] == actor.asked


@pytest.mark.parametrize("reason", [LOST, Killed()])
def test_nothing_is_called_of_an_actor_that_another_thread_is_inside(threads: "Threads", reason: ExitReason) -> None:
    """Given up on in a handler: the message by its type, the mailbox as it was, no state."""
    inside, release = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        inside.set()
        release.wait()

    ref = threads.spawn(Safe)
    ref.tell(hang)
    ref.tell("waits")
    assert inside.wait(timeout=5)
    actor = ref.incarnation().actor
    assert isinstance(actor, Safe)
    if reason == LOST:
        ref.incarnation().abandon(reason)
    else:
        ref.kill()
    asked = actor.asked.copy()
    found: PostMortem = threads.exits()[-1].post_mortem
    release.set()

    assert (reason, True) == (threads.exits()[-1].reason, threads.exits()[-1].abandoned)
    assert PostMortem(last_message="function", mailbox=1) == found
    assert [] == asked


def test_a_thread_that_comes_back_to_its_end_is_asked_nothing_more(steps: "Steps") -> None:
    """The notice has gone out: what it would say reaches nobody."""
    ref = steps.spawn(Safe)
    actor = ref.incarnation().actor
    assert isinstance(actor, Safe)
    ref.tell(doing(lambda actor: actor.context.incarnation().abandon(LOST)))
    steps.settle()

    assert -1 == actor.count, "on_stop ran"
    assert [] == actor.asked


def test_a_crash_whose_on_stop_hangs_still_tells_what_it_knew(steps: "Steps") -> None:
    ref, _ = steps.script(stop=lambda actor: actor.context.incarnation().abandon(LOST))
    ref.tell(failing_handler)
    steps.settle()

    assert LOST == steps.exits()[-1].reason
    assert ("function", True) == (last(steps).last_message, "journal" in str(last(steps).state))


def test_an_on_stop_that_fails_after_an_orderly_end_tells_the_state_it_left(steps: "Steps") -> None:
    def stop(actor: "Scripted") -> None:
        vars(actor)["progress"] = 3
        raise ValueError("cannot clean up")

    ref, _ = steps.script(stop=stop)
    steps.settle()
    ref.request_stop()
    steps.settle()

    assert "'progress': '3'" in str(last(steps).state)
    assert last(steps).last_message is None


def failing_handler(actor: "Scripted") -> None:
    raise ValueError("broken")


def failing_start(actor: "Scripted") -> None:
    raise LookupError("missing")


@pytest.mark.parametrize("where", ["init", "start"])
def test_a_failed_start_tells_only_what_waited(steps: "Steps", where: str) -> None:
    ref, _ = steps.script(acts={where: failing_start})
    ref.tell("waits")
    steps.settle()

    assert PostMortem(mailbox=1) == last(steps)


def test_a_start_that_was_given_up_on_tells_only_what_waited(steps: "Steps") -> None:
    ref, _ = steps.script(start=lambda actor: actor.context.incarnation().abandon(LOST))
    ref.tell("waits")
    steps.settle()

    assert PostMortem(mailbox=1) == last(steps)


def test_the_message_in_hand_is_not_kept_once_it_is_handled(steps: "Steps") -> None:
    """A message may be large, or hold what should be forgotten."""
    ref, _ = steps.script()
    ref.tell("done")
    steps.settle()
    assert ref.incarnation().message_in_hand() is None
    ref.tell(doing(lambda actor: actor.context.exit(Killed())))
    steps.settle()

    assert last(steps).last_message is None
    assert last(steps).state is not None
