"""Actors of class JOURNAL: what they record, and what a new incarnation replays (decision 0022)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import pytest

from treewarden.actors import (
    Actor,
    ActorPath,
    Crashed,
    Durability,
    ExitReason,
    Fenced,
    JournalCut,
    MessageFenced,
    SnapshotFellBack,
    SnapshotQuarantined,
    Snapshots,
    StateUnusable,
    Unresponsive,
)
from treewarden.storage import Append, Discard, Journal, OperationRefused, Put, SnapshotMissing, StoreUnusable

World = Any  # tests/actors/conftest.py
HeldStore = Any  # the same

A = ActorPath("/a")
Message: TypeAlias = int | Callable[[Any], Any]


class Ledger(Actor):
    """Keeps the numbers it was told, each as an entry; a callable is called with the actor."""

    durability = Durability.JOURNAL
    snapshot_every = 5
    snapshot_schema: ClassVar[str | None] = "ledger"

    def __init__(self, acts: dict[str, Callable[["Ledger"], object]] | None = None) -> None:
        super().__init__()
        self.numbers: list[int] = []
        self.acts = acts or {}
        self.did: list[str] = []

    def on_start(self) -> None:
        self._do("start")

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.context.record(message)
        self.numbers.append(message)
        return list(self.numbers)

    def on_stop(self, reason: ExitReason | None = None) -> None:
        self._do("stop")

    def snapshot(self) -> object:
        return list(self.numbers)

    def restore(self, state: list[int]) -> None:
        self._do("restore")
        self.numbers = state

    def replay(self, entry: int) -> None:
        self._do(f"replay {entry}")
        self.numbers.append(entry)

    def _do(self, where: str) -> None:
        self.did.append(where)
        if where in self.acts:
            self.acts[where](self)


@pytest.fixture
def store(held_store: HeldStore) -> HeldStore:
    return held_store


@pytest.fixture
def durable(steps: World, store: HeldStore) -> World:
    """The stepped world, with a store."""
    steps.system = replace(steps.system, services={Snapshots: Snapshots(store)})
    return steps


def start(world: World, actor_class: type[Actor] = Ledger, **acts: Callable[[Any], object]) -> Any:
    ref = world.spawn(actor_class, acts)
    world.settle()
    return ref


def ask(world: World, ref: Any, *messages: Message) -> list[Any]:
    answers = [ref.ask(message, block=False) for message in messages]
    world.settle()
    return [answer.get(timeout=0) for answer in answers]


def crash(world: World, ref: Any) -> None:
    ref.tell(fail(ValueError("bad")))
    world.settle()
    assert not ref.is_alive()


def numbers(world: World, ref: Any) -> list[int]:
    found: list[int] = ask(world, ref, lambda actor: list(actor.numbers))[0]
    return found


def fail(error: BaseException) -> Callable[[object], object]:
    def act(_: object) -> object:
        raise error

    return act


def entries(store: HeldStore) -> list[Any]:
    found: Journal = store.journal(A, after=0)
    return [entry.entry for entry in found.entries]


def snapshots(store: HeldStore) -> list[Any]:
    found: list[Any] = [store.latest(A), store.older(A)]
    return [snapshot.state for snapshot in found if snapshot is not None]


def flip(shelf: dict[int, bytes], sequence: int) -> None:
    shelf[sequence] = shelf[sequence][:-1] + bytes([shelf[sequence][-1] ^ 1])


def start_failure(world: World) -> BaseException:
    reason = world.exits()[-1].reason
    assert isinstance(reason, Crashed)
    return reason.error


# What is recorded


def test_what_was_recorded_is_replayed_after_the_snapshot_and_before_on_start(durable: World) -> None:
    first = start(durable)
    ask(durable, first, 1, 2, 3)
    crash(durable, first)
    second = start(durable)
    [did] = ask(durable, second, lambda actor: actor.did)

    assert ["restore", "replay 1", "replay 2", "replay 3", "start"] == did
    assert [1, 2, 3] == numbers(durable, second)


def test_an_answer_is_heard_only_once_the_entry_is_durable(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    store.held = True
    answer = ref.ask(1, block=False)
    durable.dispatcher.run_until_idle()
    before = (answer.is_set(), entries(store))
    store.begin()()

    assert (False, []) == before
    assert ([1], [1]) == (answer.get(timeout=0), entries(store))


def test_the_entries_of_one_batch_share_a_commit_and_a_turn_that_records_nothing_writes_nothing(
    durable: World, store: HeldStore
) -> None:
    ref = start(durable)
    written = len(store.commits)
    ask(durable, ref, 1, 2, 3, 4)
    ask(durable, ref, lambda actor: actor.numbers.append(99))

    assert [["Append"] * 4] == [[type(op).__name__ for op in commit] for commit in store.commits[written:]]


def test_a_snapshot_is_written_every_so_many_entries_with_them_and_the_journal_is_trimmed(
    durable: World, store: HeldStore
) -> None:
    """What even the older snapshot covers is gone; what only the newest covers stays, in case that one is bad."""
    ref = start(durable)
    for number in range(1, 13):
        ask(durable, ref, number)

    assert [list(range(1, 11)), list(range(1, 6))] == snapshots(store)
    assert [6, 7, 8, 9, 10, 11, 12] == entries(store)


def test_the_count_goes_on_over_a_restart(durable: World, store: HeldStore) -> None:
    """Else a crash loop would make the journal grow for ever."""
    for number in range(1, 8):
        ref = start(durable)
        ask(durable, ref, number)
        crash(durable, ref)

    assert [[1, 2, 3, 4, 5], []] == snapshots(store)


def test_an_orderly_end_writes_a_snapshot_unless_nothing_was_recorded(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    ask(durable, ref, 1)
    ref.request_stop()
    durable.settle()
    written = len(store.commits)
    again = start(durable)
    again.request_stop()
    durable.settle()

    assert [1] == store.latest(A).state
    assert written == len(store.commits)


def test_persist_writes_a_snapshot_that_covers_what_this_turn_has_recorded(durable: World, store: HeldStore) -> None:
    ref = start(durable)

    def record_and_persist(actor: Ledger) -> None:
        actor.context.record(7)
        actor.numbers.append(7)
        actor.context.persist()
        raise ValueError("bad")

    ref.tell(1)
    ref.tell(record_and_persist)
    durable.settle()
    second = start(durable)

    assert [1, 7] == store.latest(A).state
    assert [1, 7] == numbers(durable, second)


def test_a_crash_in_the_middle_of_a_batch_keeps_the_entries_before_it_and_none_of_its_own(
    durable: World, store: HeldStore
) -> None:
    ref = start(durable)

    def record_and_crash(actor: Ledger) -> None:
        actor.context.record(1_000)
        actor.numbers.append(1_000)
        raise ValueError("bad")

    for message in (1, 2, record_and_crash, 3):
        ref.tell(message)
    durable.settle()

    assert [1, 2] == entries(store)
    assert [1, 2] == numbers(durable, start(durable))


def test_a_snapshot_that_is_due_holds_nothing_of_a_message_that_crashed(durable: World, store: HeldStore) -> None:
    """It is taken when the message that made it due returned, not when it is written."""
    ref = start(durable)
    for number in range(1, 6):
        ref.tell(number)

    def change_and_crash(actor: Ledger) -> None:
        actor.numbers.append(1_000)
        raise ValueError("bad")

    ref.tell(change_and_crash)
    durable.settle()

    assert [1, 2, 3, 4, 5] == store.latest(A).state


def test_what_on_start_records_is_kept_before_the_start_is_announced(durable: World, store: HeldStore) -> None:
    def record(actor: Ledger) -> None:
        actor.context.record(1)
        actor.numbers.append(1)

    start(durable, start=record)

    assert ([1], [1]) == (entries(store), store.latest(A).state)


def test_an_entry_that_cannot_be_stored_is_refused_where_it_is_recorded_and_a_later_change_of_it_is_none(
    durable: World, store: HeldStore
) -> None:
    ref = start(durable)

    def try_to_record(actor: Ledger) -> str:
        entry = [1]
        actor.context.record(entry)
        entry.append(2)
        try:
            actor.context.record({1, 2})
        except OperationRefused as refusal:
            return refusal.why
        return "recorded"

    [why] = ask(durable, ref, try_to_record)

    assert "msgpack cannot take the state" in str(why)
    assert [[1]] == entries(store)


def test_record_is_refused_where_it_makes_no_sense(durable: World) -> None:
    ref = start(durable, stop=lambda actor: actor.context.record(1))
    [context] = ask(durable, ref, lambda actor: actor.context)
    with pytest.raises(RuntimeError, match="from outside"):
        context.record(1)
    ref.request_stop()
    durable.settle()
    assert "an orderly end writes the whole state" in str(start_failure(durable))

    start(durable, restore=lambda actor: actor.context.record(1))
    assert "before its stored state was restored" in str(start_failure(durable))

    class Snapshotted(Ledger):
        durability = Durability.SNAPSHOT
        snapshot_schema = "snapshotted"

    durable.system.service(Snapshots).discard(A)
    other = start(durable, Snapshotted)
    other.tell(1)
    durable.settle()
    assert "called record(); that is for durability = Durability.JOURNAL" in str(start_failure(durable))


def test_an_incarnation_that_was_given_up_on_records_nothing_and_the_try_is_counted(
    durable: World, store: HeldStore
) -> None:
    ref = start(durable)
    refused: list[BaseException] = []

    def be_given_up_on(actor: Ledger) -> None:
        actor.context.record(1)
        ref.incarnation().abandon(Unresponsive(1.0))
        try:
            actor.context.record(2)
        except Fenced as error:
            refused.append(error)

    ref.tell(be_given_up_on)
    durable.settle()

    assert 1 == len(refused)
    assert [MessageFenced(A, ref.generation, "Record")] == durable.events.of(MessageFenced)
    assert [] == entries(store)


class Bare(Actor):
    def __init__(self, *_: object) -> None:
        super().__init__()


@pytest.mark.parametrize(
    ("without", "said"),
    [("snapshot", "overrides no snapshot"), ("restore", "not restore"), ("replay", "overrides no replay")],
)
def test_a_class_that_lacks_a_part_fails_at_its_first_start(durable: World, without: str, said: str) -> None:
    members: dict[str, object] = {name: getattr(Ledger, name) for name in ("snapshot", "restore", "replay")}
    del members[without]
    part = type("Part", (Bare,), {"durability": Durability.JOURNAL, **members})
    start(durable, part)

    assert said in str(start_failure(durable))


# When what is stored is bad


def test_a_corrupt_newest_snapshot_loses_nothing_of_the_journal(durable: World, store: HeldStore) -> None:
    """The older one, and all that was recorded after it, is the full state."""
    ref = start(durable)
    for number in range(1, 13):
        ask(durable, ref, number)
    crash(durable, ref)
    flip(store.store._shelves[A], store.latest(A).sequence)
    again = start(durable)

    assert list(range(1, 13)) == numbers(durable, again)
    assert 1 == len(durable.events.of(SnapshotQuarantined)) == len(durable.events.of(SnapshotFellBack))
    crash(durable, again)
    third = start(durable)
    assert list(range(1, 13)) == numbers(durable, third), "and so it is at the next start"
    assert 1 == len(durable.events.of(SnapshotFellBack))


def test_a_newest_snapshot_that_restore_refuses_loses_nothing_either(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    for number in range(1, 13):
        ask(durable, ref, number)
    crash(durable, ref)
    tries: list[object] = []

    def refuse_the_first(_: object) -> None:
        tries.append(_)
        if len(tries) == 1:
            raise ValueError("not this one")

    again = start(durable, restore=refuse_the_first)

    assert list(range(1, 13)) == numbers(durable, again)


@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_a_damaged_entry_is_cut_off_with_what_came_after_it_and_said(
    durable: World, store: HeldStore, damaged: int
) -> None:
    """What came before it is whole; what came after lacks its past."""
    ref = start(durable)
    ask(durable, ref, 1, 2, 3)
    crash(durable, ref)
    sequence = store.journal(A, after=0).entries[damaged].sequence
    flip(store.store._journals[A], sequence)
    again = start(durable)
    [cut] = durable.events.of(JournalCut)

    assert [1, 2, 3][:damaged] == numbers(durable, again)
    assert (A, sequence, 3 - damaged) == (cut.path, cut.record, cut.lost)
    assert "checksum" in cut.why
    ask(durable, again, 9)
    crash(durable, again)
    assert [*[1, 2, 3][:damaged], 9] == numbers(durable, start(durable))
    assert 1 == len(durable.events.of(JournalCut))


def test_a_replay_that_raises_fails_the_start_and_nothing_is_set_aside(durable: World, store: HeldStore) -> None:
    """A.18: never in silence; a class that was mended finds everything."""
    ref = start(durable)
    ask(durable, ref, 1, 2, 3)
    crash(durable, ref)
    for _ in range(2):
        durable.spawn(Ledger, {"replay 2": fail(ValueError("no twos"))})
        durable.settle()
        error = start_failure(durable)

        assert isinstance(error, StateUnusable)
        assert "replay raised ValueError: no twos; it is kept" in error.why
    assert [] == durable.events.of(SnapshotQuarantined) + durable.events.of(JournalCut)
    assert [1, 2, 3] == numbers(durable, start(durable))


@pytest.mark.parametrize(
    ("schema", "version", "said"),
    [("actor:other", 1, "found 'actor:other', expected 'actor:ledger'"), ("actor:ledger", 2, "of version 2")],
)
def test_an_entry_of_another_class_or_a_newer_version_is_refused_and_left_alone(
    durable: World, store: HeldStore, schema: str, version: int, said: str
) -> None:
    store.commit([Put(A, "actor:ledger", 1, 1, []), Append(A, schema, version, 1, 5)])
    start(durable)
    error = start_failure(durable)

    assert isinstance(error, StateUnusable)
    assert said in error.why
    assert [5] == entries(store)


@pytest.mark.parametrize("durability", [Durability.SNAPSHOT, Durability.NONE])
def test_a_class_that_replays_no_journal_does_not_start_without_what_is_in_it(
    durable: World, store: HeldStore, durability: Durability
) -> None:
    """A change of the class must lose nothing in silence; an orderly end makes it safe."""
    ref = start(durable)
    ask(durable, ref, 1)
    crash(durable, ref)
    changed = type("Changed", (Ledger,), {"durability": durability})
    start(durable, changed)
    error = start_failure(durable)
    assert isinstance(error, StateUnusable)
    assert f"is of class {durability.name}, which replays none" in error.why

    start(durable).request_stop()
    durable.settle()
    assert [1] == numbers(durable, start(durable, changed))


def test_a_journal_without_a_snapshot_is_replayed_into_a_new_object(durable: World, store: HeldStore) -> None:
    store.commit([Append(A, "actor:ledger", 1, 1, 4)])
    ref = start(durable)
    [did] = ask(durable, ref, lambda actor: actor.did)

    assert ["replay 4", "start"] == did
    assert [4] == store.latest(A).state


def test_a_journal_that_cannot_be_read_fails_the_start(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    crash(durable, ref)
    unreadable = StoreUnusable(Path("/s"), "input/output error", "look at the disk")

    def journal(path: str, *, after: int) -> None:
        raise unreadable

    store.journal = journal
    start(durable)

    assert start_failure(durable) is unreadable


def test_discarding_forgets_the_journal_too(durable: World, store: HeldStore) -> None:
    ref = start(durable)
    ask(durable, ref, 1, 2)
    crash(durable, ref)
    durable.system.service(Snapshots).discard(A)

    assert [] == entries(store)
    with pytest.raises(SnapshotMissing):
        store.latest(A)
    assert Discard(A) in store.commits[-1]
    assert [] == numbers(durable, start(durable))
