"""Durable actors: what is written when, what a new incarnation takes in, and who may still write (A.15, A.18)."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from treewarden.actors import (
    Actor,
    ActorPath,
    ActorRef,
    Address,
    Crashed,
    Down,
    Durability,
    ExitReason,
    ExitSignal,
    Fenced,
    Ignore,
    MessageFenced,
    Normal,
    Rejected,
    ServiceMissing,
    Shutdown,
    SnapshotFellBack,
    SnapshotQuarantined,
    Snapshots,
    StateInUse,
    StateUnusable,
    Unresponsive,
)
from treewarden.actors._restoring import migrated
from treewarden.storage import (
    CommitFailed,
    OperationRefused,
    Put,
    SnapshotCorrupt,
    SnapshotMissing,
    SnapshotStore,
)
from treewarden.storage._codec import _crc32c as crc32c

World = Any  # tests/actors/conftest.py

A = ActorPath("/a")
PATIENCE = 10.0  # seconds; reached only by a test that fails


class Keeper(Actor):
    """Keeps a number; persists it when told `"persist"`, and does what it is handed."""

    durability = Durability.NONE

    def __init__(self, journal: list[str], acts: dict[str, Callable[["Keeper"], object]] | None = None) -> None:
        super().__init__()
        self.journal, self.acts = journal, acts or {}
        self.number = 0
        self._do("init")

    def on_start(self) -> None:
        self._do("start")

    def on_receive(self, message: Any) -> Any:
        match message:
            case int():
                self.number = message
            case "persist":
                self.context.persist()
            case "number":
                self.journal.append("receive")
            case _:
                return message(self)
        return self.number

    def on_stop(self, reason: ExitReason | None = None) -> None:
        self._do("stop")

    def snapshot(self) -> object:
        return {"number": self.number}

    def restore(self, state: dict[str, int]) -> None:
        self._do("restore")
        self.number = state["number"]

    def _do(self, where: str) -> None:
        self.journal.append(where)
        if where in self.acts:
            self.acts[where](self)


KEEPER = f"actor:{Keeper.__module__}:Keeper"


HeldStore = Any  # tests/actors/conftest.py


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


def with_store(world: World, store: SnapshotStore) -> World:
    world.system = replace(world.system, services={Snapshots: Snapshots(store)})
    return world


def put(store: HeldStore, state: object, *, schema: str = KEEPER, version: int = 1) -> int:
    return store.store.commit([Put(A, schema, version, 1, state)]).result()


def damage(store: HeldStore, sequence: int) -> None:
    shelf = store.store._shelves[A]
    shelf[sequence] = shelf[sequence][:-1] + bytes([shelf[sequence][-1] ^ 1])


def start(world: World, actor_class: type[Actor] = Keeper, **acts: Callable[[Any], object]) -> tuple[Any, list[str]]:
    journal: list[str] = []
    ref = world.spawn(actor_class, journal, acts)
    world.settle()
    return ref, journal


def ask(world: World, ref: Any, message: int | str | Callable[[Any], object]) -> Any:
    answer = ref.ask(message, block=False)
    world.settle()
    return answer.get(timeout=PATIENCE)


def end(world: World, ref: Any, reason: ExitReason) -> None:
    ref.request_stop(reason)
    world.settle()


def start_failure(world: World) -> BaseException:
    """What the newest start failed with."""
    reason = world.exits()[-1].reason
    assert isinstance(reason, Crashed)
    return reason.error


def fail(error: BaseException) -> Callable[[object], object]:
    def act(_: object) -> object:
        raise error

    return act


# What is written, and when


def test_an_actor_is_durable_if_and_only_if_its_class_overrides_snapshot() -> None:
    class Heir(Keeper):
        pass

    assert (False, True, True) == (Actor.is_durable(), Keeper.is_durable(), Heir.is_durable())


def test_what_was_persisted_survives_a_crash_and_what_was_not_does_not(durable: World) -> None:
    """A crash persists nothing: the state in memory may be what caused it."""
    first, _ = start(durable)
    first.tell(1)
    first.tell("persist")
    first.tell(2)
    first.tell(fail(ValueError("bad")))
    durable.settle()
    second, _ = start(durable)

    assert 1 == ask(durable, second, "number")


@pytest.mark.parametrize("reason", [Normal(), Shutdown("down")], ids=["normal", "shutdown"])
def test_an_orderly_end_persists_what_on_stop_left(durable: World, store: HeldStore, reason: ExitReason) -> None:
    ref, _ = start(durable, stop=lambda actor: setattr(actor, "number", actor.number + 1))
    ask(durable, ref, 41)
    end(durable, ref, reason)

    assert {"number": 42} == store.latest(A).state


def test_neither_a_kill_nor_a_failing_on_stop_persists_anything(durable: World, store: HeldStore) -> None:
    killed, _ = start(durable)
    killed.tell(1)
    durable.settle()
    killed.kill()
    durable.settle()
    failing, _ = start(durable, stop=fail(ValueError("bad")))
    end(durable, failing, Normal())

    with pytest.raises(SnapshotMissing):
        store.latest(A)


def test_a_state_is_stored_with_its_class_version_and_generation(durable: World, store: HeldStore) -> None:
    """A.15: the generation is on record; the store's sequence orders across runtimes."""
    ref, _ = start(durable)
    ask(durable, ref, "persist")
    found = store.latest(A)

    assert (KEEPER, 1, 1) == (found.schema, found.version, found.generation)


def test_persist_returns_only_once_the_state_is_durable(
    threaded: World, store: HeldStore, wait_for: Callable[[Callable[[], bool], str], None]
) -> None:
    ref, _ = start(threaded)
    store.held = True
    answer = ref.ask("persist", block=False)
    wait_for(lambda: bool(store.waiting), "the commit was handed in")
    before = answer.is_set()
    store.begin()()

    assert not before
    assert 0 == answer.get(timeout=PATIENCE)


def test_a_failed_commit_is_the_actors_to_handle_and_what_was_stored_stays(durable: World, store: HeldStore) -> None:
    """A full disk: the actor learns that nothing was written, and may live on."""
    ref, _ = start(durable)
    ask(durable, ref, 1)
    ask(durable, ref, "persist")
    store.failure = CommitFailed(Path("/s"), "no space left on device", "make room")

    def try_to_persist(actor: Keeper) -> str:
        actor.number = 2
        try:
            actor.context.persist()
        except CommitFailed as error:
            return error.found
        return "stored"

    assert "no space left on device" == ask(durable, ref, try_to_persist)
    assert {"number": 1} == store.latest(A).state

    store.failure = None
    ask(durable, ref, "persist")

    assert {"number": 2} == store.latest(A).state


def test_a_state_that_cannot_be_stored_crashes_its_actor_alone_and_says_what_was_wrong(durable: World) -> None:
    bystander = durable.spawn(Keeper, [], path="/b")
    ref, _ = start(durable)
    ask(durable, ref, lambda actor: setattr(actor, "number", {1, 2}))

    with pytest.raises(OperationRefused, match=r"'/a': msgpack cannot take the state: .*set.*; expected None, bool"):
        ask(durable, ref, "persist")
    assert [A] == [path for notice in durable.exits() for path in notice.report.stopped]
    assert 0 == ask(durable, bystander, "persist")


def test_a_state_that_cannot_be_written_at_an_orderly_end_is_the_reason_of_the_end(
    durable: World, store: HeldStore
) -> None:
    ref, _ = start(durable)
    store.failure = CommitFailed(Path("/s"), "no space left on device", "make room")
    end(durable, ref, Shutdown("down"))

    assert isinstance(start_failure(durable), CommitFailed)


def test_persist_is_refused_where_it_makes_no_sense(durable: World, store: HeldStore) -> None:
    """In `__init__` and `restore` it would overwrite what nobody has taken in yet; that is no fault of the state."""
    for number in (6, 7):
        put(store, {"number": number})
    ref, _ = start(durable)
    with pytest.raises(RuntimeError, match="from outside"):
        ask(durable, ref, lambda actor: actor.context).persist()

    start(durable, init=lambda actor: actor.context.persist())
    assert "before its stored state was restored" in str(start_failure(durable))
    start(durable, restore=lambda actor: actor.context.persist())
    assert "before its stored state was restored" in str(start_failure(durable))
    assert [{"number": 7}, {"number": 6}] == [store.latest(A).state, (store.older(A) or store.latest(A)).state]

    plain, _ = durable.script("/plain")
    with pytest.raises(TypeError, match="overrides no snapshot"):
        ask(durable, plain, lambda actor: actor.context.persist())


def test_a_class_without_restore_fails_at_its_first_start_not_at_its_second(durable: World) -> None:
    class Half(Actor):
        def __init__(self, *_: object) -> None:
            super().__init__()

        def snapshot(self) -> object:
            return 1

    start(durable, Half)

    assert "Half overrides snapshot() but not restore(state)" in str(start_failure(durable))


def test_without_a_store_a_durable_actor_does_not_start(steps: World) -> None:
    start(steps)

    assert isinstance(start_failure(steps), ServiceMissing)


# What a new incarnation takes in


def test_a_state_is_restored_after_init_and_before_on_start_and_the_first_message(
    durable: World, store: HeldStore
) -> None:
    put(store, {"number": 7})
    journal: list[str] = []
    ref = durable.spawn(Keeper, journal)
    answer = ref.ask("number", block=False)  # it waits in the mailbox before anything has run
    durable.settle()

    assert 7 == answer.get(timeout=0)
    assert ["init", "restore", "start", "receive"] == journal


def test_an_actor_of_which_nothing_is_stored_starts_without_restore(durable: World) -> None:
    _, journal = start(durable)

    assert ["init", "start"] == journal


GOLDEN: dict[int, object] = {
    1: 7,
    2: {"number": 7},
    3: {"number": 7, "unit": "apples"},
}
"""The state of one and the same `Grown`, as each version of it wrote it. Never edited, only added to."""


class Grown(Keeper):
    """Version 1 stored a bare number, version 2 a map, version 3 a map with a unit."""

    snapshot_version: ClassVar[int] = 3
    snapshot_schema: ClassVar[str | None] = "grown"

    unit = ""

    def snapshot(self) -> object:
        return {"number": self.number, "unit": self.unit}

    def restore(self, state: dict[str, Any]) -> None:
        self.number, self.unit = state["number"], state["unit"]

    def migrate(self, state: Any, from_version: int) -> Any:
        self.journal.append(f"migrate {from_version}")
        if from_version == 1:
            return {"number": state}
        return {**state, "unit": "apples"}


@pytest.mark.parametrize("version", GOLDEN)
def test_a_state_of_every_earlier_version_is_brought_up_to_date_step_by_step(
    durable: World, store: HeldStore, version: int
) -> None:
    put(store, GOLDEN[version], schema="actor:grown", version=version)
    ref, journal = start(durable, Grown)
    steps = [line for line in journal if line.startswith("migrate")]
    stored_before = store.latest(A).version
    ask(durable, ref, "persist")

    assert [f"migrate {step}" for step in range(version, 3)] == steps
    assert (version, 3) == (stored_before, store.latest(A).version)
    assert GOLDEN[3] == store.latest(A).state


def test_migration_takes_one_step_for_each_version_in_between() -> None:
    assert [1, 2, 3] == migrated([], lambda state, version: [*state, version], found=1, known=4)
    assert "as it was" == migrated("as it was", lambda _, version: version, found=4, known=4)


@pytest.mark.parametrize(
    ("schema", "version", "said"),
    [
        (KEEPER, 2, f"found version 2, {Keeper.__module__}:Keeper knows up to 1"),
        (KEEPER, 0, "found version 0, expected 1 or a migrate()"),
        ("actor:elsewhere:Other", 1, f"found 'actor:elsewhere:Other', expected '{KEEPER}'"),
        ("treewarden.process", 1, f"found 'treewarden.process', expected '{KEEPER}'"),
    ],
    ids=["newer", "no migrate", "another class", "a process"],
)
def test_a_state_of_another_class_or_an_unknown_version_is_refused_and_left_alone(
    durable: World, store: HeldStore, schema: str, version: int, said: str
) -> None:
    """Nothing is damaged, so nothing is quarantined; an older one is not used either."""
    put(store, {"number": 1})
    put(store, {"number": 2}, schema=schema, version=version)
    _, journal = start(durable)
    error = start_failure(durable)

    assert isinstance(error, StateUnusable)
    assert said in error.why
    assert "treewarden restart /a --discard-state" in str(error)
    assert ["init"] == journal
    assert {"number": 2} == store.latest(A).state
    assert [] == durable.events.of(SnapshotQuarantined)


def test_a_record_of_a_newer_format_is_refused_and_left_alone(durable: World, store: HeldStore) -> None:
    sequence = put(store, {"number": 1})
    record = store.store._shelves[A][sequence]
    covered = record[:4] + (2).to_bytes(2, "big") + record[6:-4]
    store.store._shelves[A][sequence] = forged = covered + crc32c(covered).to_bytes(4, "big")
    start(durable)
    error = start_failure(durable)

    assert isinstance(error, StateUnusable)
    assert "format 2, this release reads up to 1" in error.why
    assert {sequence: forged} == store.store._shelves[A]


# When what is stored is bad (A.18)


def test_a_snapshot_that_cannot_be_decoded_is_quarantined_and_the_older_one_used(
    durable: World, store: HeldStore
) -> None:
    """A.18"""
    old, bad = put(store, {"number": 1}), put(store, {"number": 2})
    damage(store, bad)
    ref, journal = start(durable)

    assert 1 == ask(durable, ref, "number")
    assert ["init", "restore", "start", "receive"] == journal
    quarantined, fell_back = durable.events
    assert isinstance(quarantined, SnapshotQuarantined)
    assert (A, True) == (quarantined.path, "checksum" in quarantined.why)
    assert isinstance(fell_back, SnapshotFellBack)
    assert (A, old) == (fell_back.path, fell_back.record)


class Picky(Keeper):
    """Cannot take in a 2, whatever `raises` is, and has a slot that it fills first."""

    __slots__ = ("slot",)
    raises: ClassVar[BaseException] = ValueError("no twos")

    def restore(self, state: dict[str, int]) -> None:
        self.journal.append(f"restore {state['number']}")
        if state["number"] == 2:
            self.half, self.slot = "filled", "filled"
            self.context.send_after(1.0, fail(AssertionError("a timer of the attempt that failed")))
            raise self.raises
        self.number = state["number"]


class PickyMigrator(Picky):
    """Cannot migrate a 2."""

    snapshot_version: ClassVar[int] = 2

    def migrate(self, state: Any, from_version: int) -> Any:
        if state["number"] == 2:
            raise self.raises
        return state


def picky(raises: BaseException, base: type[Picky] = Picky) -> type[Picky]:
    return type("Picky", (base,), {"raises": raises, "snapshot_schema": "picky", "__module__": __name__})


class Wordless(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


ANYTHING = [ValueError("no twos"), Wordless(), Ignore("decline"), Rejected("no"), SystemExit(3), KeyboardInterrupt()]


@pytest.mark.parametrize("base", [Picky, PickyMigrator])
@pytest.mark.parametrize("raises", ANYTHING, ids=lambda error: type(error).__name__)
def test_a_snapshot_whose_restore_or_migrate_raises_is_quarantined_and_the_older_one_used(
    durable: World, store: HeldStore, raises: BaseException, base: type[Picky]
) -> None:
    """A.18"""
    old, bad = (put(store, {"number": number}, schema="actor:picky") for number in (1, 2))
    ref, _ = start(durable, picky(raises, base))

    assert 1 == ask(durable, ref, "number")
    [quarantined] = durable.events.of(SnapshotQuarantined)
    assert f"record {bad}: " in quarantined.why
    assert f"raised {type(raises).__name__}" in quarantined.why
    assert [old] == [event.record for event in durable.events.of(SnapshotFellBack)]


def test_the_older_snapshot_is_restored_into_an_object_made_anew(durable: World, store: HeldStore) -> None:
    """A restore that failed in the middle leaves nothing: no attribute, no slot, no timer."""
    for number in (1, 2):
        put(store, {"number": number}, schema="actor:picky")
    ref, journal = start(durable, picky(ValueError("no twos")))
    left = ask(durable, ref, lambda actor: (hasattr(actor, "half"), hasattr(actor, "slot"), actor.actor_ref == ref))
    durable.clock.advance(2.0)
    durable.settle()

    assert ["init", "restore 2", "init", "restore 1", "start"] == journal
    assert (False, False, True) == left
    assert ref.is_alive()


class Sociable(Keeper):
    """Makes itself known and looks after others as it is made; cannot take in a 2."""

    neighbour: ClassVar[Any] = None  # somebody who lives
    nobody: ClassVar[Any] = None  # an address that reaches nobody

    def __init__(self, journal: list[str], acts: dict[str, Callable[[Keeper], object]]) -> None:
        super().__init__(journal, acts)
        self.seen: list[object] = []
        self.context.register("sociable")
        self.context.join("makers")
        self.monitors = [self.context.monitor(target) for target in (self.neighbour, self.nobody)]

    def restore(self, state: dict[str, int]) -> None:
        super().restore(state)
        if self.number == 2:
            self.context.register("of the attempt that failed")
            self.context.trap_exits()
            self.context.link(self.neighbour)
            self.context.link(self.nobody)
            raise ValueError("no twos")

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Down | ExitSignal):
            self.seen.append(message)
            return None
        return super().on_receive(message)


def test_what_an_attempt_that_failed_registered_and_tied_is_undone_before_the_next(
    durable: World, store: HeldStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A.12, A.16, A.18: else its names would be taken, by itself, and each end would be told once for each attempt."""
    for number in (1, 2):
        put(store, {"number": number}, schema=f"actor:{__name__}:Sociable")
    neighbour, _ = durable.script("/neighbour")
    durable.settle()
    monkeypatch.setattr(Sociable, "neighbour", neighbour)
    monkeypatch.setattr(Sociable, "nobody", Address.of("/nobody", durable.system))
    ref, _ = start(durable, Sociable)
    durable.directory.register(A, ref)
    names = durable.system.names
    assert ref == names.whereis("sociable")
    assert names.whereis("of the attempt that failed") is None
    assert [ref] == [member.ref for member in names.members("makers")]
    neighbour.kill()
    durable.settle()

    assert ref.is_alive(), "the link is undone"
    seen, monitors = ask(durable, ref, lambda actor: (actor.seen, actor.monitors))
    assert monitors[::-1] == [down.monitor for down in seen]


class Watched:
    """Looks at its actor when the actor lets go of it."""

    def __init__(self, actor: Actor, whole: list[bool]) -> None:
        self._actor, self._whole = actor, whole

    def __del__(self) -> None:
        self._whole.append(hasattr(self._actor, "context") and hasattr(self._actor, "actor_ref"))


def test_an_object_that_is_made_anew_never_lacks_what_other_threads_use(durable: World, store: HeldStore) -> None:
    """Whoever gives up on it at that very moment finds its ref, to tell those that are tied to it."""
    for number in (1, 2):
        put(store, {"number": number})
    whole: list[bool] = []

    def restore(actor: Any) -> None:
        if "restore" == actor.journal[-1] and actor.journal.count("restore") == 1:
            actor.first = Watched(actor, whole)
            raise ValueError("not this one")

    ref, _ = start(durable, restore=restore)

    assert ref.is_alive()
    assert [True] == whole


def test_after_a_fallback_the_next_start_does_not_fall_back_again(durable: World, store: HeldStore) -> None:
    put(store, {"number": 1})
    damage(store, put(store, {"number": 2}))
    first, _ = start(durable)
    first.kill()
    durable.settle()
    second, _ = start(durable)

    assert 1 == ask(durable, second, "number")
    assert 1 == len(durable.events.of(SnapshotFellBack))
    assert 1 == len(durable.events.of(SnapshotQuarantined))
    assert {"number": 1} == store.latest(A).state


def test_what_is_written_after_a_fallback_is_what_was_stored_not_what_restore_made_of_it(
    durable: World, store: HeldStore
) -> None:
    class Taker(Keeper):
        snapshot_schema: ClassVar[str | None] = "taker"

        def restore(self, state: dict[str, int]) -> None:
            self.number = state.pop("number")

    put(store, {"number": 1}, schema="actor:taker")
    damage(store, put(store, {"number": 2}, schema="actor:taker"))
    start(durable, Taker)

    assert {"number": 1} == store.latest(A).state


@pytest.mark.parametrize("bad", ["bytes", "bytes of the newer one", "states"])
def test_when_the_older_one_fails_too_no_start_succeeds_and_none_is_empty(
    durable: World, store: HeldStore, bad: str
) -> None:
    """A.18: restart_child tries again what is there; it never starts empty in silence."""
    older, newer = (put(store, {"number": 2}, schema="actor:picky") for _ in range(2))
    for sequence in {"bytes": (older, newer), "bytes of the newer one": (newer,), "states": ()}[bad]:
        damage(store, sequence)
    for _ in range(3):
        _, journal = start(durable, picky(ValueError("no twos")))

        assert isinstance(start_failure(durable), StateUnusable)
        assert "start" not in journal
    assert [] == durable.events.of(SnapshotFellBack)
    assert 1 == len(durable.events.of(SnapshotQuarantined))  # each record once, not at each try
    with pytest.raises(SnapshotCorrupt):
        store.latest(A)


def test_the_error_of_a_failed_restore_is_the_cause_and_is_told(durable: World, store: HeldStore) -> None:
    put(store, {"number": 2}, schema="actor:picky")
    start(durable, picky(ValueError("no twos")))
    reason = durable.exits()[-1].reason

    assert "restore raised ValueError: no twos" in str(reason.error)
    assert "in restore" in reason.traceback


def test_the_last_snapshot_that_can_be_read_is_kept_for_a_class_that_was_mended(
    durable: World, store: HeldStore
) -> None:
    """Moved aside, nothing could ever use it again."""
    put(store, {"number": 2}, schema="actor:picky")
    start(durable, picky(ValueError("a bug")))
    assert isinstance(start_failure(durable), StateUnusable)

    class Mended(Keeper):
        snapshot_schema: ClassVar[str | None] = "picky"

    ref, _ = start(durable, Mended)

    assert 2 == ask(durable, ref, "number")
    assert [] == durable.events


# Who may write (A.15)


def test_an_incarnation_that_was_given_up_on_cannot_persist_and_the_try_is_counted(
    threaded: World, store: HeldStore
) -> None:
    """A.15"""
    put(store, {"number": 7})
    entered, go_on, raised = threading.Event(), threading.Event(), list[BaseException]()

    def hang(actor: Keeper) -> None:
        entered.set()
        assert go_on.wait(PATIENCE)
        try:
            actor.context.persist()
        except Fenced as error:
            raised.append(error)
            raise

    zombie, _ = start(threaded)
    zombie.tell(hang)
    assert entered.wait(PATIENCE)
    zombie.incarnation().abandon(Unresponsive(1.0))
    go_on.set()
    threaded.settle()

    assert 1 == len(raised)
    assert [MessageFenced(A, zombie.generation, "Persist")] == threaded.events.of(MessageFenced)
    assert {"number": 7} == store.latest(A).state


def hand_in(store: HeldStore, keeper: ActorRef[Any], wait_for: Callable[[Callable[[], bool], str], None]) -> None:
    """Have `keeper` persist, and the store hold its commit."""
    store.held = True
    keeper.tell("persist")
    wait_for(lambda: bool(store.waiting), "the commit was handed in")


def test_a_commit_that_waits_is_withdrawn_when_its_incarnation_is_given_up_on(
    threaded: World, store: HeldStore, wait_for: Callable[[Callable[[], bool], str], None]
) -> None:
    """A.15, as late as possible: handed in, but not begun."""
    zombie, _ = start(threaded)
    hand_in(store, zombie, wait_for)
    zombie.incarnation().abandon(Unresponsive(1.0))
    threaded.settle()
    [(future, _)] = store.waiting

    assert future.cancelled()
    assert [MessageFenced(A, zombie.generation, "Persist")] == threaded.events.of(MessageFenced)


def test_a_successor_reads_only_when_the_commit_of_the_one_before_is_over(
    threaded: World, store: HeldStore, wait_for: Callable[[Callable[[], bool], str], None]
) -> None:
    """A.15: what the store has begun cannot be withdrawn; the successor waits, and finds it."""
    zombie, _ = start(threaded)
    zombie.tell(5)
    threaded.settle()
    hand_in(store, zombie, wait_for)
    carry_out = store.begin()
    zombie.incarnation().abandon(Unresponsive(1.0))
    journal: list[str] = []
    successor = threaded.spawn(Keeper, journal)
    wait_for(lambda: bool(journal), "the successor began")
    before = list(journal)
    store.held = False
    carry_out()

    assert 5 == successor.ask("number", timeout=PATIENCE)
    assert ["init"] == before


def test_a_successor_given_up_on_while_it_waits_holds_nothing(
    threaded: World, store: HeldStore, wait_for: Callable[[Callable[[], bool], str], None]
) -> None:
    """A.15: nobody could discard or use the state for as long as it did."""
    zombie, _ = start(threaded)
    hand_in(store, zombie, wait_for)
    carry_out = store.begin()
    zombie.incarnation().abandon(Unresponsive(1.0))
    journal: list[str] = []
    successor = threaded.spawn(Keeper, journal)
    wait_for(lambda: bool(journal), "the successor began")
    successor.incarnation().abandon(Unresponsive(1.0))
    store.held = False
    carry_out()
    threaded.settle()
    threaded.system.service(Snapshots).discard(A)

    with pytest.raises(SnapshotMissing):
        store.latest(A)
    assert ["init"] == journal


class Slow(Keeper):
    """Holds its thread where the start looks whether it is durable, its end not being declared yet."""

    looks: ClassVar[list[Callable[[], object]]] = []

    @classmethod
    def is_durable(cls) -> bool:
        if cls.looks:
            cls.looks.pop()()
        return True


def test_one_given_up_on_just_before_it_claims_takes_nothing_from_its_successor(
    threaded: World, store: HeldStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A.15: the successor's state is its own to write, whenever the thread of the older one comes back."""
    entered, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        assert go_on.wait(PATIENCE)

    monkeypatch.setattr(Slow, "looks", [hang, lambda: None])  # the last is for `spawn`
    zombie = threaded.spawn(Slow, [])
    assert entered.wait(PATIENCE)
    zombie.incarnation().abandon(Unresponsive(1.0))
    successor = threaded.spawn(Slow, [])
    successor.tell(5)
    assert 5 == successor.ask("persist", timeout=PATIENCE)
    go_on.set()
    threaded.settle()
    successor.tell(6)

    assert 6 == successor.ask("persist", timeout=PATIENCE)
    assert {"number": 6} == store.latest(A).state


def test_an_actor_given_up_on_while_it_restores_judges_nothing_and_never_starts(
    threaded: World, store: HeldStore
) -> None:
    """Within the start timeout or not at all; and that it was given up on says nothing about the state."""
    for number in (1, 2):
        put(store, {"number": number})
    entered, go_on = threading.Event(), threading.Event()

    def hang(_: Keeper) -> None:
        entered.set()
        assert go_on.wait(PATIENCE)
        raise ValueError("late")

    journal: list[str] = []
    slow = threaded.spawn(Keeper, journal, {"restore": hang})
    assert entered.wait(PATIENCE)
    slow.incarnation().abandon(Unresponsive(1.0))
    go_on.set()
    threaded.settle()

    assert ["init", "restore"] == journal
    assert {"number": 2} == store.latest(A).state
    assert [] == threaded.events.of(SnapshotQuarantined) + threaded.events.of(MessageFenced)


def test_a_state_is_discarded_only_while_nobody_holds_it(durable: World, store: HeldStore) -> None:
    """Running, declined, crashed: only the first holds it."""
    snapshots = durable.system.service(Snapshots)
    ref, _ = start(durable)
    ask(durable, ref, "persist")
    with pytest.raises(StateInUse, match="/a"):
        snapshots.discard(A)
    assert {"number": 0} == store.latest(A).state

    ref.tell(fail(ValueError("bad")))
    durable.settle()
    start(durable, start=fail(Ignore()))
    snapshots.discard(A)

    with pytest.raises(SnapshotMissing):
        store.latest(A)
