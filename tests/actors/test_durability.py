"""What a durable actor changed is written by itself, and what it said is heard only then (decision 0022)."""

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import pytest

from treewarden.actors import (
    DEDICATED,
    Actor,
    ActorCrashed,
    ActorDead,
    ActorPath,
    Address,
    Crashed,
    DeadLetter,
    Durability,
    ExitReason,
    Fenced,
    Killed,
    MailboxBound,
    MailboxFull,
    Normal,
    Overflow,
    Rejected,
    Reply,
    Shutdown,
    Snapshots,
    Started,
    Unresponsive,
)
from treewarden.storage import CommitFailed, LmdbStore, OperationRefused, SnapshotMissing, StoreFull

from .conftest import in_threads

World = Any  # tests/actors/conftest.py
HeldStore = Any  # the same

A = ActorPath("/a")
Message: TypeAlias = int | Callable[[Any], Any]
PATIENCE = 10.0  # seconds; reached only by a test that fails
FAILED = CommitFailed(Path("/s"), "input/output error", "look at the disk")


class Tally(Actor):
    """Adds the numbers it is told and answers with the sum; a callable is called with the actor."""

    snapshot_schema: ClassVar[str | None] = "tally"

    def __init__(self, acts: dict[str, Callable[["Tally"], object]] | None = None) -> None:
        super().__init__()
        self.sum = 0
        self.acts = acts or {}

    def on_start(self) -> None:
        self._do("start")

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.sum += message
        return self.sum

    def on_stop(self, reason: ExitReason | None = None) -> None:
        self._do("stop")

    def snapshot(self) -> object:
        return {"sum": self.sum}

    def restore(self, state: dict[str, int]) -> None:
        self.sum = state["sum"]

    def _do(self, where: str) -> None:
        if where in self.acts:
            self.acts[where](self)


class Listener(Actor):
    """Notes what it hears."""

    def __init__(self, heard: list[Any]) -> None:
        super().__init__()
        self.heard = heard

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.heard.append(message)
        return message


class Narrow(Listener):
    """Has place for one message, and refuses the next."""

    mailbox = MailboxBound(1)


class Slowly(Listener):
    """Has place for one message, and has the sender of the next wait."""

    mailbox = MailboxBound(1, Overflow.BLOCK, within=PATIENCE)


@pytest.fixture
def store(held_store: HeldStore) -> HeldStore:
    return held_store


@pytest.fixture
def durable(steps: World, store: HeldStore) -> World:
    """The stepped world, with a store."""
    return with_store(steps, store)


@pytest.fixture
def threaded(threads: World, store: HeldStore) -> World:
    """The world on threads, with a store."""
    return with_store(threads, store)


def with_store(world: World, store: HeldStore) -> World:
    world.system = replace(world.system, services={Snapshots: Snapshots(store)})
    return world


def start(world: World, actor_class: type[Actor] = Tally, *, path: str = "/a", **acts: Callable[[Any], object]) -> Any:
    """A running actor, what its start changed being written."""
    ref = world.spawn(actor_class, acts, path=path)
    world.settle()
    return ref


def listen(world: World, path: str = "/b", actor_class: type[Listener] = Listener) -> tuple[Any, list[Any]]:
    heard: list[Any] = []
    return world.spawn(actor_class, heard, path=path), heard


def run(world: World) -> None:
    """Run what can be run, though a commit may be under way."""
    world.dispatcher.run_until_idle()


def ask(world: World, ref: Any, *messages: Message) -> list[Any]:
    """The futures of `messages`, which wait together before the first is handled."""
    return [ref.ask(message, block=False) for message in messages]


def stored(store: HeldStore) -> int:
    found: int = store.latest(A).state["sum"]
    return found


def add_and_tell(number: int, target: Any, message: object) -> Callable[[Tally], int]:
    def act(actor: Tally) -> int:
        actor.sum += number
        target.tell(message)
        return actor.sum

    return act


def fail(error: BaseException) -> Callable[[object], object]:
    def act(_: object) -> object:
        raise error

    return act


# What leaves when


def test_an_answer_is_heard_only_once_what_the_message_changed_is_durable(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    store.held = True
    [answer] = ask(durable, ref, 3)
    run(durable)
    before = (answer.is_set(), stored(store))
    store.begin()()

    assert (False, 0) == before
    assert 3 == answer.get(timeout=0) == stored(store)


def test_a_message_to_another_leaves_only_once_what_its_handler_changed_is_durable(
    durable: World, store: HeldStore
) -> None:
    ref = start(durable)
    target, heard = listen(durable)
    store.held = True
    ref.tell(add_and_tell(1, target, "added"))
    run(durable)
    before = list(heard)
    store.begin()()
    durable.settle()

    assert [] == before
    assert ["added"] == heard


def test_a_message_to_an_address_is_held_as_one_to_a_ref_is(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    target, heard = listen(durable)
    durable.directory.register(ActorPath("/b"), target)
    store.held = True
    ref.tell(add_and_tell(1, Address.of("/b", durable.system), "added"))
    run(durable)
    before = list(heard)
    store.begin()()
    durable.settle()

    assert ([], ["added"]) == (before, heard)


def test_a_message_that_changed_nothing_writes_nothing_and_is_answered_at_once(
    durable: World, store: HeldStore
) -> None:
    ref = start(durable)
    target, heard = listen(durable)
    store.held, written = True, len(store.commits)
    answers = ask(durable, ref, 0, add_and_tell(0, target, "nothing new"), lambda actor: actor.sum)
    durable.settle()

    assert [0, 0, 0] == [answer.get(timeout=0) for answer in answers]
    assert ["nothing new"] == heard
    assert ([], written) == (store.waiting, len(store.commits))


def test_what_was_read_of_a_state_that_is_not_durable_yet_is_held_as_well(durable: World, store: HeldStore) -> None:
    """Else somebody would act on what a kill -9 takes back."""
    ref = start(durable)
    store.held = True
    answers = ask(durable, ref, 5, lambda actor: actor.sum, fail(Rejected("no")))
    run(durable)
    before = [answer.is_set() for answer in answers]
    store.begin()()

    assert [False, False, False] == before
    assert [5, 5] == [answer.get(timeout=0) for answer in answers[:2]]
    with pytest.raises(Rejected, match="no"):
        answers[2].get(timeout=0)


def test_a_refusal_is_heard_at_once_if_nothing_is_pending_and_what_it_changed_is_kept(
    durable: World, store: HeldStore
) -> None:
    """`Rejected` answers like any other value, and the state may have changed before it."""
    ref = start(durable)

    def change_and_refuse(actor: Tally) -> None:
        actor.sum = 9
        raise Rejected("no")

    store.held = True
    [first] = ask(durable, ref, fail(Rejected("no")))
    durable.settle()
    [second] = ask(durable, ref, change_and_refuse)
    run(durable)
    before = (first.is_set(), second.is_set())
    store.begin()()

    assert (True, False) == before
    assert second.is_set()
    assert 9 == stored(store)


def test_the_turns_of_one_batch_share_a_commit(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    written = len(store.commits)
    answers = ask(durable, ref, *range(1, 51))
    durable.settle()

    assert 1275 == answers[-1].get(timeout=0) == stored(store)
    assert 1 == len(store.commits) - written


def test_what_comes_while_a_commit_is_under_way_waits_for_it(durable: World, store: HeldStore) -> None:
    """So at most one is under way for each actor, and what is written is the state between two messages."""
    ref = start(durable)
    store.held = True
    [first] = ask(durable, ref, 1)
    run(durable)
    [second] = ask(durable, ref, 2)
    run(durable)
    waiting = len(store.waiting)
    store.begin()()
    run(durable)
    between = (first.is_set(), second.is_set(), stored(store))
    store.begin()()

    assert (1, (True, False, 1)) == (waiting, between)
    assert 3 == second.get(timeout=0) == stored(store)


def test_an_actor_of_class_none_writes_only_when_it_asks_for_it(durable: World, store: HeldStore) -> None:
    class OnDemand(Tally):
        durability = Durability.NONE

    ref = start(durable, OnDemand)
    target, heard = listen(durable)
    store.held = True
    [answer] = ask(durable, ref, add_and_tell(4, target, "at once"))
    durable.settle()

    assert (4, ["at once"]) == (answer.get(timeout=0), heard)
    assert [] == store.commits + store.waiting


def test_a_class_says_how_it_is_kept_in_words_that_mean_something() -> None:
    with pytest.raises(TypeError, match=r"Wrong.durability: found 'snapshot', expected a member of Durability"):
        type("Wrong", (Tally,), {"durability": "snapshot"})
    for every in (0, 1.5, True):
        with pytest.raises(TypeError, match=r"Wrong.snapshot_every: found .*, expected a number of entries, 1 or more"):
            type("Wrong", (Tally,), {"snapshot_every": every})


@pytest.mark.parametrize("dispatcher", ["shared", "dedicated"])
def test_answers_arrive_in_the_order_of_the_messages_on_real_threads(threaded: World, dispatcher: str) -> None:
    tally = Tally if dispatcher == "shared" else type("Own", (Tally,), {"dispatcher": DEDICATED})
    ref = start(threaded, tally)
    target, heard = listen(threaded)
    answers = [ref.ask(add_and_tell(1, target, number), block=False) for number in range(500)]

    assert list(range(1, 501)) == [answer.get(timeout=PATIENCE) for answer in answers]
    threaded.settle()
    assert list(range(500)) == heard


# What is held, and what is not


def test_what_an_actor_tells_itself_is_not_held(durable: World, store: HeldStore) -> None:
    """Nobody else hears it, and it handles it after what it rests on."""
    ref = start(durable)
    store.held = True
    ref.tell(add_and_tell(1, ref, 10))
    run(durable)
    store.begin()()
    durable.settle()

    assert 11 == stored(store)


def test_an_ask_is_not_held_and_takes_along_what_the_handler_told_the_same_actor_before(
    durable: World, store: HeldStore
) -> None:
    """Its handler waits for the answer; and the order of what one actor hears from another counts more."""
    ref = start(durable)
    target, heard = listen(durable)
    _, others = other = listen(durable, "/c")
    store.held = True

    def tell_and_ask(actor: Tally) -> object:
        actor.sum += 1
        other[0].tell("to another")
        target.tell("told")
        return target.ask("asked", block=False)

    ref.tell(tell_and_ask)
    run(durable)
    before = (list(heard), list(others))
    store.begin()()
    durable.settle()

    assert (["told", "asked"], []) == before
    assert ["to another"] == others


def test_an_ask_waits_for_what_was_told_the_same_actor_in_an_earlier_turn(durable: World, store: HeldStore) -> None:
    """That has to be durable first."""
    ref = start(durable)
    target, heard = listen(durable)
    written = len(store.commits)
    told, asked = ask(durable, ref, add_and_tell(1, target, "told"), lambda _: target.ask("asked", block=False))
    durable.settle()

    assert ["told", "asked"] == heard
    assert 1 == told.get(timeout=0)
    assert asked.is_set()
    assert 1 == len(store.commits) - written


def test_a_handler_may_wait_for_an_answer_though_it_has_changed_something(threaded: World) -> None:
    ref = start(threaded)
    target, heard = listen(threaded)

    def tell_and_ask(actor: Tally) -> object:
        actor.sum += 1
        target.tell("told")
        return target.ask("asked", timeout=PATIENCE)

    assert "asked" == ref.ask(tell_and_ask, timeout=PATIENCE)
    assert ["told", "asked"] == heard


def test_a_reply_that_was_taken_for_later_is_held_when_a_later_turn_sets_it(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    kept: list[Reply[Any]] = []
    [later] = ask(durable, ref, lambda actor: kept.append(actor.context.take_reply()))
    durable.settle()
    store.held = True

    def settle(actor: Tally) -> None:
        actor.sum = 8
        kept[0].set("settled")

    ref.tell(settle)
    run(durable)
    before = later.is_set()
    store.begin()()

    assert not before
    assert "settled" == later.get(timeout=0)


def test_a_reply_that_somebody_else_sets_is_heard_at_once(durable: World, store: HeldStore) -> None:
    """What other threads and actors do is not a turn of this one."""
    ref = start(durable)
    kept: list[Reply[Any]] = []

    def take(actor: Tally) -> None:
        kept.append(actor.context.take_reply())

    taken, failed = ask(durable, ref, take, take)
    durable.settle()
    store.held = True
    ref.tell(1)
    run(durable)
    kept[0].set("set")
    kept[1].set_exception((ValueError, ValueError("failed"), None))

    assert "set" == taken.get(timeout=0)
    with pytest.raises(ValueError, match="failed"):
        failed.get(timeout=0)
    store.begin()()


def test_a_reply_that_is_never_set_fails_when_the_actor_ends(durable: World) -> None:
    ref = start(durable)
    [never] = ask(durable, ref, lambda actor: setattr(actor, "kept", actor.context.take_reply()))
    durable.settle()
    ref.request_stop()
    durable.settle()

    with pytest.raises(ActorDead):
        never.get(timeout=0)


def test_a_held_message_to_an_actor_that_has_ended_meanwhile_is_a_dead_letter(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    target, _ = listen(durable)
    durable.settle()
    store.held = True
    ref.tell(add_and_tell(1, target, "too late"))
    run(durable)
    target.kill()
    run(durable)
    store.begin()()

    assert [DeadLetter(ActorPath("/b"), "str")] == durable.events.of(DeadLetter)
    assert ref.is_alive()


def test_a_message_to_an_actor_that_has_ended_before_is_refused_in_the_handler_as_ever(durable: World) -> None:
    ref = start(durable)
    target, _ = listen(durable)
    target.kill()
    [answer] = ask(durable, ref, lambda _: target.tell("dead"))
    durable.settle()

    with pytest.raises(ActorDead):
        answer.get(timeout=0)


def test_a_full_mailbox_refuses_in_the_handler(durable: World) -> None:
    ref = start(durable)
    target, heard = listen(durable, actor_class=Narrow)
    durable.settle()
    [refused] = ask(durable, ref, add_and_tell(1, target, "one too many"))
    target.tell("the first")  # which the other actor finds there
    durable.settle()

    with pytest.raises(MailboxFull):
        refused.get(timeout=0)
    assert ["the first"] == heard


def test_what_was_held_and_finds_no_place_later_is_a_dead_letter(durable: World) -> None:
    ref = start(durable)
    target, heard = listen(durable, actor_class=Narrow)
    durable.settle()

    def tell_twice(actor: Tally) -> None:
        target.tell("first")
        target.tell("second")  # nothing waits there yet, so neither is refused

    ref.tell(tell_twice)
    durable.settle()

    assert ["first"] == heard
    assert [DeadLetter(ActorPath("/b"), "str")] == durable.events.of(DeadLetter)


def test_where_a_mailbox_has_senders_wait_what_was_held_waits_too_on_a_worker_and_in_order(
    threaded: World, store: HeldStore, wait_for: Callable[[Callable[[], bool], str], None]
) -> None:
    """Never on the thread of the store."""
    ref = start(threaded)
    target, heard = listen(threaded, actor_class=Slowly)
    entered, go_on = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        entered.set()
        assert go_on.wait(PATIENCE)

    target.tell(hang)
    assert entered.wait(PATIENCE)
    store.held = True

    def tell_three(actor: Tally) -> str:
        actor.sum += 1
        for number in range(3):
            target.tell(number)
        return "done"

    answer = ref.ask(tell_three, block=False)
    wait_for(lambda: bool(store.waiting), "the commit was handed in")
    store.begin()()  # returns, though there is place for one only
    store.held = False
    assert not answer.is_set()
    go_on.set()

    assert "done" == answer.get(timeout=PATIENCE)
    threaded.settle()
    assert [0, 1, 2] == heard


def test_others_are_asked_inline_while_a_durable_actor_runs(threaded: World) -> None:
    class Quick(Listener):
        inline_asks = True

        def on_receive(self, message: Any) -> Any:
            return threading.get_ident()

    quick = threaded.spawn(Quick, [], path="/quick")
    ref = start(threaded)
    entered, go_on, answered = threading.Event(), threading.Event(), list[bool]()

    def hang(_: object) -> None:
        entered.set()
        assert go_on.wait(PATIENCE)

    def ask_inline() -> None:
        answered.append(quick.ask("who", timeout=PATIENCE) == threading.get_ident())

    ref.tell(hang)
    assert entered.wait(PATIENCE)
    asker = threading.Thread(target=ask_inline)
    asker.start()
    asker.join()
    go_on.set()

    assert [True] == answered


# Persisting by hand


def test_persist_writes_now_and_what_follows_unchanged_is_not_written_again(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    written = len(store.commits)
    seen: list[int] = []

    def change_and_persist(actor: Tally) -> str:
        actor.sum = 7
        actor.context.persist()
        seen.append(stored(store))
        return "persisted"

    pending, answer = ask(durable, ref, 1, change_and_persist)
    durable.settle()

    assert [7] == seen
    assert (1, "persisted") == (pending.get(timeout=0), answer.get(timeout=0))
    assert 1 == len(store.commits) - written, "the pending state was overtaken"


def test_what_was_said_before_a_persist_is_heard_though_its_handler_crashes_after_it(
    durable: World, store: HeldStore
) -> None:
    """It rests on a state that is durable now."""
    ref = start(durable)

    def persist_and_crash(actor: Tally) -> None:
        actor.context.persist()
        raise ValueError("bad")

    answer, crashed = ask(durable, ref, 1, persist_and_crash)
    durable.settle()

    assert 1 == answer.get(timeout=0) == stored(store)
    with pytest.raises(ValueError, match="bad"):
        crashed.get(timeout=0)


# A start


def test_a_start_is_announced_once_what_it_changed_is_durable(durable: World, store: HeldStore) -> None:
    target, heard = listen(durable)
    store.held = True
    ref = durable.spawn(Tally, {"start": add_and_tell(3, target, "started")})
    run(durable)
    before = ([notice for notice in durable.notices if notice.generation and isinstance(notice, Started)], list(heard))
    store.begin()()
    durable.settle()
    announced = [notice for notice in durable.notices if isinstance(notice, Started)]

    assert 2 == len(announced), "of the listener, and of the tally"
    assert (1, []) == (len(before[0]), before[1])
    assert ["started"] == heard
    assert 3 == stored(store)
    assert ref.is_alive()


def test_a_start_waits_for_no_message_that_came_meanwhile(durable: World, store: HeldStore) -> None:
    """Its supervisor waits for it; what it changed is a commit of its own."""
    store.held = True

    def change(actor: Tally) -> None:
        actor.sum = 3

    ref = durable.spawn(Tally, {"start": change})
    ref.tell(4)
    run(durable)
    store.begin()()
    alone = (stored(store), [type(notice).__name__ for notice in durable.notices])
    run(durable)
    store.begin()()

    assert (3, ["Started"]) == alone
    assert 7 == stored(store)


def test_the_first_start_writes_and_the_next_one_does_not_if_it_changes_nothing(
    durable: World, store: HeldStore
) -> None:
    """What `__init__` chose may be seen from outside, so it must not be chosen again."""
    first = start(durable)
    written = len(store.commits)
    first.kill()
    durable.settle()
    start(durable)

    assert (1, 1) == (written, len(store.commits))


def test_a_migrated_state_is_written_back_at_the_start(durable: World, store: HeldStore) -> None:
    class Newer(Tally):
        snapshot_version = 2

        def migrate(self, state: Any, from_version: int) -> Any:
            return state

    start(durable).kill()
    durable.settle()
    start(durable, Newer)

    assert 2 == store.latest(A).version


def test_a_start_whose_state_cannot_be_written_is_a_failed_start(durable: World, store: HeldStore) -> None:
    store.failure = FAILED
    start(durable)

    assert [] == [notice for notice in durable.notices if isinstance(notice, Started)]
    [exited] = durable.exits()
    assert isinstance(exited.reason, Crashed)
    assert isinstance(exited.reason.error, CommitFailed)


def test_a_start_that_fails_writes_nothing_and_says_nothing(durable: World, store: HeldStore) -> None:
    target, heard = listen(durable)

    def tell_and_fail(actor: Tally) -> None:
        target.tell("started")
        raise ValueError("bad")

    start(durable, start=tell_and_fail)

    assert ([], []) == (heard, store.commits)


# A crash


def test_a_crash_in_the_middle_of_a_batch_keeps_what_was_before_it_and_nothing_of_its_own(
    durable: World, store: HeldStore
) -> None:
    ref = start(durable)
    target, heard = listen(durable)

    def change_tell_and_crash(actor: Tally) -> None:
        actor.sum = 1_000
        target.tell("of the crash")
        raise ValueError("bad")

    messages = (1, add_and_tell(2, target, "before it"), change_tell_and_crash, 4)
    first, second, crashed, after = ask(durable, ref, *messages)
    durable.settle()

    assert (1, 3) == (first.get(timeout=0), second.get(timeout=0))
    with pytest.raises(ValueError, match="bad"):
        crashed.get(timeout=0)
    with pytest.raises(ActorDead):
        after.get(timeout=0)
    assert ["before it"] == heard
    assert 3 == stored(store)


def test_a_crash_takes_its_way_only_when_what_was_before_it_is_durable(durable: World, store: HeldStore) -> None:
    """Whoever hears of the crash finds the state of before."""
    ref = start(durable)
    store.held = True
    first, crashed = ask(durable, ref, 1, fail(ValueError("bad")))
    run(durable)
    before = (ref.is_alive(), first.is_set(), crashed.is_set(), durable.exits())
    store.begin()()
    heard_at_once = first.is_set()
    durable.settle()
    [exited] = durable.exits()

    assert (True, False, False, []) == before
    assert heard_at_once
    assert crashed.is_set()
    assert isinstance(exited.reason, Crashed)
    assert "ValueError" in exited.reason.traceback
    assert exited.post_mortem is not None
    assert "function" == exited.post_mortem.last_message


def test_a_state_that_cannot_be_stored_is_a_crash_of_the_message_that_made_it(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    first, bad = ask(durable, ref, 1, lambda actor: setattr(actor, "sum", {1, 2}))
    durable.settle()

    assert 1 == first.get(timeout=0) == stored(store)
    with pytest.raises(OperationRefused, match="msgpack cannot take the state"):
        bad.get(timeout=0)
    assert not ref.is_alive()


def test_a_medium_that_refuses_crashes_the_actor_and_nothing_that_rested_on_it_is_heard(
    durable: World, store: HeldStore
) -> None:
    """Its state is ahead of what is kept; the next incarnation goes on from that."""
    ref = start(durable)
    target, heard = listen(durable)
    store.held = True
    answers = ask(durable, ref, 1, add_and_tell(2, target, "added"))
    run(durable)
    store.refuse(FAILED)
    durable.settle()
    store.held = False
    [exited] = durable.exits()

    assert isinstance(exited.reason, Crashed)
    assert exited.reason.error is FAILED
    for answer in answers:
        with pytest.raises(ActorCrashed, match="input/output error"):
            answer.get(timeout=0)
    assert ([], 0) == (heard, stored(store))
    [answer] = ask(durable, start(durable), 0)
    durable.settle()
    assert 0 == answer.get(timeout=0)


def test_a_medium_that_refuses_what_was_before_a_crash_does_not_hide_the_crash(
    durable: World, store: HeldStore
) -> None:
    ref = start(durable)
    store.held = True
    first, crashed = ask(durable, ref, 1, fail(ValueError("bad")))
    run(durable)
    store.refuse(FAILED)
    durable.settle()
    store.held = False

    with pytest.raises(ActorCrashed):
        first.get(timeout=0)
    with pytest.raises(ValueError, match="bad"):
        crashed.get(timeout=0)
    assert ["what came before the crash was not written"] == [line.event for line in durable.lines]


# An end while a commit is under way


@pytest.mark.parametrize("how", ["kill", "abandon"])
@pytest.mark.parametrize("begun", [False, True], ids=["waiting", "begun"])
def test_an_actor_is_ended_at_once_while_its_commit_is_under_way(
    durable: World, store: HeldStore, how: str, begun: bool
) -> None:
    """Declared dead and fenced; what the store has not begun is withdrawn, and nothing it said is heard."""
    ref = start(durable)
    target, heard = listen(durable)
    store.held = True
    [answer] = ask(durable, ref, add_and_tell(1, target, "added"))
    run(durable)
    [(future, _)] = store.waiting
    carry_out = store.begin() if begun else None
    if how == "kill":
        ref.kill()
    else:
        ref.incarnation().abandon(Unresponsive(1.0))
    at_once = ([exited.reason for exited in durable.exits()], answer.is_set())
    if carry_out is not None:
        carry_out()
    store.held = False
    durable.settle()

    assert ([Killed() if how == "kill" else Unresponsive(1.0)], True) == at_once
    with pytest.raises(ActorDead):
        answer.get(timeout=0)
    assert (begun, int(begun)) == (not future.cancelled(), stored(store))
    assert [] == heard
    assert ref.incarnation().actor is None, "it was cleaned up"


def test_a_stop_request_waits_for_the_commit(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    store.held = True
    [answer] = ask(durable, ref, 1)
    run(durable)
    ref.request_stop(Shutdown("down"))
    run(durable)
    before = ref.is_alive()
    store.begin()()
    durable.settle()

    assert before
    assert 1 == answer.get(timeout=0) == stored(store)
    assert [Shutdown("down")] == [exited.reason for exited in durable.exits()]
    assert [] == store.waiting, "nothing has changed since, so its end writes nothing"


def test_a_stop_request_behind_messages_is_obeyed_after_their_commit_only(durable: World, store: HeldStore) -> None:
    """What comes by the system lane overtakes the mailbox, but not what was handled already."""
    ref = start(durable)
    target, heard = listen(durable)
    store.held = True

    def stop_oneself(actor: Tally) -> str:
        actor.sum += 1
        target.tell("added")
        actor.actor_ref.request_stop()
        return "stopping"

    [answer] = ask(durable, ref, stop_oneself)
    run(durable)
    before = (ref.is_alive(), answer.is_set(), list(heard))
    store.begin()()
    durable.settle()

    assert (True, False, []) == before
    assert ("stopping", ["added"]) == (answer.get(timeout=0), heard)
    assert not ref.is_alive()


def test_an_orderly_end_writes_what_on_stop_changed(durable: World, store: HeldStore) -> None:
    ref = start(durable, stop=lambda actor: setattr(actor, "sum", actor.sum + 100))
    ask(durable, ref, 1)
    durable.settle()
    ref.request_stop()
    durable.settle()

    assert 101 == stored(store)


def test_a_kill_ordered_between_two_messages_takes_what_is_pending_along(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    first, second = ask(durable, ref, 1, lambda actor: actor.actor_ref.kill())
    durable.settle()

    for answer in (first, second):
        with pytest.raises(ActorDead):
            answer.get(timeout=0)
    assert 0 == stored(store)


def test_what_a_handler_says_after_it_was_given_up_on_is_refused(threaded: World, store: HeldStore) -> None:
    """A.15: as ever; and what it said before is not heard either."""
    ref = start(threaded)
    target, heard = listen(threaded)
    entered, go_on, refused = threading.Event(), threading.Event(), list[BaseException]()

    def hang(actor: Tally) -> None:
        actor.sum = 1_000
        target.tell("before")
        entered.set()
        assert go_on.wait(PATIENCE)
        try:
            target.tell("after")
        except Fenced as error:
            refused.append(error)

    answer = ref.ask(hang, block=False)
    assert entered.wait(PATIENCE)
    ref.incarnation().abandon(Unresponsive(1.0))
    with pytest.raises(ActorDead):
        answer.get(timeout=PATIENCE)
    go_on.set()
    threaded.settle()

    assert 1 == len(refused)
    assert ([], 0) == (heard, stored(store))


def test_a_successor_waits_for_the_commit_that_was_begun_and_finds_it(threaded: World, store: HeldStore) -> None:
    zombie = start(threaded)
    store.held = True
    zombie.tell(5)
    wait = threading.Event()
    while not store.waiting:
        wait.wait(0.001)
    carry_out = store.begin()
    zombie.incarnation().abandon(Unresponsive(1.0))
    store.held = False
    successor = threaded.spawn(Tally, {})
    carry_out()

    assert 5 == successor.ask(0, timeout=PATIENCE)


# A full disk


def test_a_full_disk_parks_the_actor_and_it_goes_on_when_there_is_room(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    target, heard = listen(durable)
    store.full = True
    [first] = ask(durable, ref, add_and_tell(1, target, "added"))
    run(durable)
    [second] = ask(durable, ref, 2)
    run(durable)
    before = (first.is_set(), second.is_set(), list(heard), ref.is_alive(), ref.sys.status().mailbox)
    store.make_room()
    durable.settle()

    assert (False, False, [], True, 1) == before
    assert (1, 3) == (first.get(timeout=0), second.get(timeout=0))
    assert (["added"], 3) == (heard, stored(store))


def test_a_parked_actor_with_a_bound_refuses_as_it_does(durable: World, store: HeldStore) -> None:
    ref = start(durable, type("Bounded", (Tally,), {"mailbox": MailboxBound(2)}))
    store.full = True
    ref.tell(1)
    run(durable)
    ref.tell(1)
    ref.tell(1)

    with pytest.raises(MailboxFull):
        ref.tell(1)
    store.make_room()
    durable.settle()
    assert 3 == stored(store)


def test_many_parked_actors_hold_no_worker_and_nobody_else_up(
    threaded: World, store: HeldStore, wait_for: Callable[[Callable[[], bool], str], None]
) -> None:
    parked = [start(threaded, path=f"/parked/{number}") for number in range(10)]
    threaded.settle()
    bystander, _ = listen(threaded)
    store.full = True
    answers = [ref.ask(1, block=False) for ref in parked]
    wait_for(lambda: len(store.parked) == 10, "all are parked")
    inside = [ref.incarnation().inside() for ref in parked]
    answered = [bystander.ask(number, timeout=PATIENCE) for number in range(100)]
    still = [answer.is_set() for answer in answers]
    store.make_room()

    assert [None] * 10 == inside
    assert list(range(100)) == answered
    assert [False] * 10 == still
    assert [1] * 10 == [answer.get(timeout=PATIENCE) for answer in answers]


@pytest.mark.parametrize("how", ["kill", "abandon"])
def test_a_parked_actor_is_ended_at_once_and_cleaned_up(durable: World, store: HeldStore, how: str) -> None:
    stopped: list[str] = []
    ref = start(durable, stop=lambda _: stopped.append("stop"))
    store.full = True
    [answer] = ask(durable, ref, 1)
    run(durable)
    if how == "kill":
        ref.kill()
    else:
        ref.incarnation().abandon(Unresponsive(1.0))
    durable.settle()

    with pytest.raises(ActorDead):
        answer.get(timeout=0)
    assert ref.incarnation().actor is None
    assert ([] if how == "kill" else ["stop"]) == stopped
    store.make_room()
    durable.settle()
    assert 0 == stored(store)


def test_an_actor_whose_end_is_declared_before_the_disk_turns_out_full_is_cleaned_up(
    durable: World, store: HeldStore
) -> None:
    """Nobody would take it out of where it waits for room."""
    ref = start(durable)
    store.held = True
    ref.tell(1)
    run(durable)
    [(future, _)] = store.waiting
    assert future.set_running_or_notify_cancel()
    ref.kill()
    store.full = True
    future.set_exception(StoreFull(Path("/s"), "no space left on device", "make room"))
    durable.settle()

    assert ref.incarnation().actor is None
    assert [] == store.parked


def test_an_end_that_has_nothing_new_to_write_needs_no_room(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    store.full = True
    ref.request_stop()
    durable.settle()

    assert [Normal()] == [exited.reason for exited in durable.exits()]


def test_a_crash_on_a_full_disk_waits_for_room_too(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    store.full = True
    first, crashed = ask(durable, ref, 1, fail(ValueError("bad")))
    run(durable)
    before = ref.is_alive()
    store.make_room()
    durable.settle()

    assert before
    assert 1 == first.get(timeout=0) == stored(store)
    with pytest.raises(ValueError, match="bad"):
        crashed.get(timeout=0)


# Races


def test_kills_at_any_moment_lose_nothing_that_was_answered(threaded: World, store: HeldStore) -> None:
    """Whatever a kill meets (a turn, a commit, the thread that resolves it), the next one goes on from there."""
    answered = 0
    for round_ in range(30):
        ref = threaded.spawn(Tally, {})
        answers = [ref.ask(1, block=False) for _ in range(20)]
        answers[round_ % 20].when_done(ref.kill)
        for answer in answers:
            try:
                sum_ = answer.get(timeout=PATIENCE)
            except ActorDead:
                continue
            assert sum_ > answered
            answered = sum_
        ref.wait_stopped(timeout=PATIENCE)
        try:
            assert stored(store) >= answered
        except SnapshotMissing:
            assert 0 == answered
        answered = max(answered, stored(store)) if store.commits else 0


class Ledger(Tally):
    """Does so by a journal."""

    durability = Durability.JOURNAL
    snapshot_every = 7

    def on_receive(self, message: Any) -> Any:
        if not callable(message):
            self.context.record(message)
        return super().on_receive(message)

    def replay(self, entry: int) -> None:
        self.sum += entry


def end_somehow(ref: Any, answers: list[Any], chance: random.Random) -> None:
    """Kill, give up on, stop or crash it: now, or on the thread that lets one of `answers` be heard."""
    acts: list[Callable[[], object]] = [
        ref.kill,
        lambda: ref.incarnation().abandon(Unresponsive(1.0)),
        ref.request_stop,
        lambda: ref.tell(fail(ValueError("bad"))),
    ]
    act = chance.choice(acts)
    if chance.random() < 0.5:
        chance.choice(answers).when_done(act)
    else:
        act()


@pytest.mark.parametrize("actor_class", [Tally, Ledger])
def test_ends_of_every_kind_at_any_moment_lose_and_double_nothing_on_a_real_disk(
    threads: World, tmp_path: Path, actor_class: type[Actor]
) -> None:
    """Each incarnation begins at least where the last answer of the one before it was."""
    store = LmdbStore.open(tmp_path / "store")
    with_store(threads, store)

    def client(number: int) -> None:
        chance, path, highest = random.Random(number), f"/{number}", 0
        for _ in range(10):
            ref = threads.spawn(actor_class, {}, path=path)
            answers = [ref.ask(1, block=False) for _ in range(chance.randint(1, 40))]
            end_somehow(ref, answers, chance)
            for answer in answers:
                try:
                    heard = answer.get(timeout=PATIENCE)
                except ActorDead:
                    continue
                assert heard > highest
                highest = heard
            ref.wait_stopped(timeout=PATIENCE)
        ref = threads.spawn(actor_class, {}, path=path)
        assert highest < ref.ask(1, timeout=PATIENCE)

    in_threads(*(partial(client, number) for number in range(4)))
    threads.end_all()
    store.close()
