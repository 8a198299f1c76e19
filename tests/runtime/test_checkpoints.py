"""Checkpoints of a living tree, and the way back to one."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from treewarden.actors import (
    Actor,
    ActorDead,
    CheckpointFailed,
    CheckpointRestored,
    CheckpointsPruned,
    CheckpointTaken,
    ChildExited,
    ChildSpec,
    CutFailed,
    Durability,
    GivingBack,
    MailboxWithheld,
    Reply,
    Restart,
)
from treewarden.actors._incarnation import Incarnation
from treewarden.actors.processes import own_identity
from treewarden.storage import CheckpointStatus, HolderIdentity, LmdbStore, Table, Trigger
from treewarden.supervision_trees import Runtime, Supervisor, TaskSupervisor
from treewarden.supervision_trees._control import (
    CommandRefused,
    CreateCheckpoint,
    DiffCheckpoints,
    ListCheckpoints,
    PruneCheckpoints,
    RestoreCheckpoint,
    ShowCheckpoint,
)

Start = Callable[..., Runtime]


@dataclass(frozen=True, slots=True)
class Add:
    amount: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait in the handler; `then` tells that it has begun."""

    begun: threading.Event
    go: threading.Event


class Counter(Actor):
    durable_messages = (Add,)

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def snapshot(self) -> Any:
        return {"count": self.count}

    def restore(self, state: Any) -> None:
        self.count = state["count"]

    def on_receive(self, message: object) -> Any:
        match message:
            case Add(amount):
                self.count += amount
            case Hold(begun, go):
                begun.set()
                assert go.wait(20)
            case ("later", float(seconds), int(amount)):
                self.context.send_after(seconds, Add(amount))
            case _:
                pass
        return self.count


class Recorder(Counter):
    durability = Durability.JOURNAL

    def replay(self, entry: Any) -> None:
        self.count += entry

    def on_receive(self, message: object) -> Any:
        if message == "crash":
            raise ValueError("boom")
        if isinstance(message, Add):
            self.context.record(message.amount)
        return super().on_receive(message)


def count(runtime: Runtime, name: str = "a") -> int:
    found: int = runtime.address(f"/dev/{name}").ask("count")
    return found


def tree(*names: str) -> list[ChildSpec]:
    return [ChildSpec.of(Counter, id=name) for name in names]


def restored(runtime: Runtime, **fields: Any) -> dict[str, Any]:
    return Restored(runtime, **fields).fields


def Restored(runtime: Runtime, **fields: Any) -> Any:  # noqa: N802 - reads as a command
    return runtime.execute(RestoreCheckpoint(**fields))


@pytest.fixture
def restore_at_rest(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Carry a command out on the store of a tree that does not run, as the CLI does."""
    from treewarden.actors import SystemClock
    from treewarden.supervision_trees._checkpointing import Checkpointing
    from treewarden.supervision_trees.telemetry import EventHub

    def restore(path: str = "/dev", number: int | None = None) -> dict[str, Any]:
        store, hub = LmdbStore.open(tmp_path / "state" / "store"), EventHub(SystemClock())
        try:
            return Checkpointing(store, clock=SystemClock(), events=hub).execute(RestoreCheckpoint(path, number)).fields
        finally:
            store.close()
            hub.close()

    return restore


def test_a_checkpoint_has_the_states_of_a_running_tree_and_the_tree_goes_on(start: Start, tmp_path: Path) -> None:
    runtime = start(*tree("a", "b"), state_dir=tmp_path / "state")
    runtime.address("/dev/a").ask(Add(3))

    made = runtime.checkpoint(durable={"commit": "f00", "digest": [b"\x00\xff"]})

    assert (made.number, made.scope, made.status, made.trigger, made.actors) == (
        1,
        "/dev",
        CheckpointStatus.COMPLETED,
        Trigger.MANUAL,
        3,
    )
    shown: Any = runtime.execute(ShowCheckpoint(1))
    assert shown.fields["durable"] == {"commit": "f00", "digest": ["0x00ff"]}
    assert [entry["path"] for entry in shown.fields["contents"]] == ["/dev", "/dev/a", "/dev/b"]
    assert runtime.address("/dev/a").ask(Add(1)) == 4


def test_an_unchanged_tree_adds_nothing_and_confirms_the_checkpoint_that_is_there(
    start: Start, tmp_path: Path, events: Any
) -> None:
    runtime = start(*tree("a"), state_dir=tmp_path / "state")

    first, second = runtime.checkpoint(), runtime.checkpoint()

    assert first.number == second.number
    assert [event.added for event in events.wait(CheckpointTaken, count=2)][1] == 0
    listed: Any = runtime.execute(ListCheckpoints())
    assert [row["number"] for row in listed.fields["checkpoints"]] == [1]


def test_a_change_and_the_way_back_are_two_more_checkpoints_and_the_latest_is_the_last(
    start: Start, tmp_path: Path
) -> None:
    runtime = start(*tree("a"), state_dir=tmp_path / "state")
    numbers = [runtime.checkpoint().number]
    runtime.address("/dev/a").ask(Add(1))
    numbers.append(runtime.checkpoint().number)
    runtime.address("/dev/a").ask(Add(-1))
    numbers.append(runtime.checkpoint().number)

    assert numbers == sorted(set(numbers))
    found: Any = runtime.execute(DiffCheckpoints(numbers[0], numbers[1]))
    assert found.fields["changed"] == {"/dev/a": ["state"]}
    same: Any = runtime.execute(DiffCheckpoints(numbers[0], numbers[2]))
    assert (same.fields["changed"], same.fields["unchanged"]) == ({}, 2)


def test_recovering_twice_from_one_checkpoint_gives_the_same_state_twice(
    start: Start, tmp_path: Path, restore_at_rest: Callable[..., dict[str, Any]]
) -> None:
    runtime = start(*tree("a", "b"), state_dir=tmp_path / "state")
    runtime.address("/dev/a").ask(Add(3))
    runtime.address("/dev/b").ask(Add(4))
    runtime.checkpoint()
    found: list[tuple[int, int]] = []
    for _ in range(2):
        runtime.address("/dev/a").ask(Add(100))
        runtime.stop()
        assert restore_at_rest()["states"] == ["/dev/a", "/dev/b"]
        runtime = start(*tree("a", "b"), state_dir=tmp_path / "state")
        found.append((count(runtime, "a"), count(runtime, "b")))

    assert found == [(3, 4), (3, 4)]
    listed: Any = runtime.execute(ListCheckpoints("/dev"))
    assert [(row["status"], len(row["recoveries"])) for row in listed.fields["checkpoints"]] == [("completed", 2)]


def test_a_restored_tree_is_what_it_was_and_not_a_union_with_what_came_since(
    start: Start, tmp_path: Path, restore_at_rest: Callable[..., dict[str, Any]]
) -> None:
    runtime = start(*tree("a"), state_dir=tmp_path / "state")
    runtime.address("/dev/a").ask(Add(3))
    runtime.checkpoint()
    runtime.supervisor("/dev").start_child(ChildSpec.of(Counter, id="new"))
    runtime.address("/dev/new").ask(Add(9))
    runtime.stop()

    assert restore_at_rest()["dropped"] == ["/dev/new"]

    runtime = start(*tree("a", "new"), state_dir=tmp_path / "state")
    assert (count(runtime, "a"), count(runtime, "new")) == (3, 0)


def test_an_actor_that_does_not_run_when_a_checkpoint_is_taken_comes_back_as_it_was_stored(
    start: Start, tmp_path: Path, restore_at_rest: Callable[..., dict[str, Any]]
) -> None:
    """Between a crash and its restart, while it backs off, or stopped: restoring would discard its state."""
    runtime = start(*tree("a", "b"), state_dir=tmp_path / "state")
    runtime.address("/dev/a").ask(Add(3))
    runtime.supervisor("/dev").terminate_child("a")

    assert runtime.checkpoint().actors == 3

    runtime.supervisor("/dev").restart_child("a")
    assert runtime.address("/dev/a").ask(Add(4)) == 7
    runtime.stop()
    assert restore_at_rest()["dropped"] == []
    runtime = start(*tree("a", "b"), state_dir=tmp_path / "state")
    assert count(runtime) == 3


def test_what_a_restore_kept_and_nobody_took_yet_is_in_the_next_checkpoint_too(
    start: Start, tmp_path: Path, restore_at_rest: Callable[..., dict[str, Any]]
) -> None:
    runtime = start(*tree("a", "b"), state_dir=tmp_path / "state")
    ref = runtime.whereis("/dev/a")
    assert ref is not None
    ref.sys.suspend()
    ref.tell(Add(5))
    runtime.checkpoint("/dev/a")
    runtime.supervisor("/dev").terminate_child("a")
    runtime.execute(RestoreCheckpoint("/dev/a"))

    made = runtime.checkpoint()
    runtime.stop()

    assert restore_at_rest(number=made.number)["mailboxes"] == ["/dev/a"]
    runtime = start(*tree("a", "b"), state_dir=tmp_path / "state")
    assert count(runtime) == 5


def test_a_journal_of_an_actor_that_does_not_run_fails_the_checkpoint_by_name(
    start: Start, tmp_path: Path, events: Any
) -> None:
    down = ChildSpec.of(Recorder, id="a", restart=Restart.TEMPORARY)
    runtime = start(down, *tree("b"), state_dir=tmp_path / "state")
    assert runtime.address("/dev/a").ask(Add(3)) == 3
    runtime.checkpoint()
    with pytest.raises(ValueError, match="boom"):
        runtime.address("/dev/a").ask("crash")
    events.wait(ChildExited)

    with pytest.raises(CutFailed, match="/dev/a does not run, and only it can tell what it recorded"):
        runtime.checkpoint()


def test_one_subtree_of_a_stopped_child_is_restored_while_the_rest_runs(start: Start, tmp_path: Path) -> None:
    runtime = start(*tree("a", "b"), state_dir=tmp_path / "state")
    runtime.address("/dev/a").ask(Add(3))
    runtime.checkpoint()
    for name in ("a", "b"):
        runtime.address(f"/dev/{name}").ask(Add(10))
    with pytest.raises(CommandRefused, match="/dev/a runs, expected nothing at or below /dev/a to run: stop it first"):
        runtime.execute(RestoreCheckpoint("/dev/a"))

    runtime.supervisor("/dev").terminate_child("a")
    done: Any = runtime.execute(RestoreCheckpoint("/dev/a"))
    runtime.supervisor("/dev").restart_child("a")

    assert done.fields["states"] == ["/dev/a"]
    assert (count(runtime, "a"), count(runtime, "b")) == (3, 10)


def test_messages_that_waited_and_timers_that_had_not_gone_off_are_back_once(
    start: Start, tmp_path: Path, restore_at_rest: Callable[..., dict[str, Any]], wait_until: Callable[..., None]
) -> None:
    runtime = start(*tree("a"), state_dir=tmp_path / "state")
    ref = runtime.whereis("/dev/a")
    assert ref is not None
    ref.ask(("later", 3600.0, 100))
    ref.sys.suspend()
    for amount in (1, 2):
        ref.tell(Add(amount))
    ref.tell(("later", 1.0, 1))  # of a type that is not kept
    made = runtime.checkpoint()
    ref.sys.resume()
    assert count(runtime) == 3
    runtime.stop()

    assert restore_at_rest()["mailboxes"] == ["/dev/a"]
    runtime = start(*tree("a"), state_dir=tmp_path / "state")

    assert count(runtime) == 3
    again = runtime.whereis("/dev/a")
    assert again is not None
    (timer,) = again.incarnation().timers()
    due = timer.message_once()
    assert due is not None
    assert due[1] == Add(100)
    shown: Any = runtime.execute(ShowCheckpoint(made.number))
    entry = next(each for each in shown.fields["contents"] if each["path"] == "/dev/a")
    assert (entry["queue"], entry["queue_left"], entry["timers"]) == (2, 1, 1)
    runtime.stop()
    runtime = start(*tree("a"), state_dir=tmp_path / "state")
    assert count(runtime) == 3  # the messages are not handled again


def test_a_timer_that_is_just_going_off_is_kept_once(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look comes when its thread has let go of it, and has not put its message into the mailbox yet."""
    runtime = start(*tree("a"), state_dir=tmp_path / "state")
    goes_off, looked = threading.Event(), threading.Event()
    tell, waiting = Incarnation.tell_if_alive, Incarnation.waiting

    def tell_late(incarnation: Incarnation, message: object) -> None:
        if message == Add(5):
            goes_off.set()
            assert looked.wait(20)
        tell(incarnation, message)

    def look(incarnation: Incarnation) -> tuple[object, ...]:
        found = waiting(incarnation)
        if incarnation.path == "/dev/a":
            looked.set()
        return found

    monkeypatch.setattr(Incarnation, "tell_if_alive", tell_late)
    monkeypatch.setattr(Incarnation, "waiting", look)
    runtime.address("/dev/a").ask(("later", 0.001, 5))
    assert goes_off.wait(20)

    made = runtime.checkpoint()

    shown: Any = runtime.execute(ShowCheckpoint(made.number))
    (entry,) = (entry for entry in shown.fields["contents"] if entry["path"] == "/dev/a")
    assert (entry["queue"], entry["timers"]) == (1, 0)


def test_a_kept_message_that_its_class_names_no_more_is_withheld_and_not_dropped(
    start: Start, tmp_path: Path, restore_at_rest: Callable[..., dict[str, Any]], events: Any
) -> None:
    runtime = start(*tree("a"), state_dir=tmp_path / "state")
    ref = runtime.whereis("/dev/a")
    assert ref is not None
    ref.sys.suspend()
    ref.tell(Add(1))
    runtime.checkpoint()
    ref.sys.resume()
    runtime.stop()
    restore_at_rest()

    class Forgetful(Counter):
        snapshot_schema = f"{Counter.__module__}:{Counter.__qualname__}"
        durable_messages = ()

    start(ChildSpec.of(Forgetful, id="a"), state_dir=tmp_path / "state").stop()

    withheld = events.wait(MailboxWithheld)[0]
    assert (withheld.path, "a message that was kept cannot be read: it is a 'Add'" in withheld.why) == ("/dev/a", True)

    runtime = start(*tree("a"), state_dir=tmp_path / "state")
    assert count(runtime) == 1


def test_a_handler_that_takes_too_long_fails_the_checkpoint_by_name_and_that_is_on_record(
    start: Start, tmp_path: Path, events: Any
) -> None:
    runtime = start(*tree("a", "b"), state_dir=tmp_path / "state")
    begun, go = threading.Event(), threading.Event()
    runtime.address("/dev/a").tell(Hold(begun, go))
    assert begun.wait(20)

    with pytest.raises(CutFailed, match=r"/dev/a \(Hold in hand\)"):
        runtime.checkpoint(within=0.05)

    assert "/dev/a" in events.wait(CheckpointFailed)[0].why
    assert runtime.address("/dev/b").ask(Add(1)) == 1
    go.set()
    made = runtime.checkpoint()
    listed: Any = runtime.execute(ListCheckpoints())
    assert [(row["number"], row["status"]) for row in listed.fields["checkpoints"]] == [
        (1, "failed"),
        (made.number, "completed"),
    ]


def test_an_actor_whose_snapshot_raises_fails_the_checkpoint_and_not_itself(start: Start, tmp_path: Path) -> None:
    class Unwilling(Counter):
        def snapshot(self) -> Any:
            if self.count > 0:
                raise ValueError("not now")
            return super().snapshot()

        from treewarden.actors import Durability

        durability = Durability.NONE

    runtime = start(ChildSpec.of(Unwilling, id="a"), state_dir=tmp_path / "state")
    runtime.address("/dev/a").ask(Add(1))

    with pytest.raises(CutFailed, match=r"/dev/a: .*not now"):
        runtime.checkpoint()

    assert runtime.address("/dev/a").ask(Add(-1)) == 0


class Lease(Counter):
    """Stands for something that a process holds."""

    def __init__(self, holder: HolderIdentity) -> None:
        super().__init__()
        self.holder = holder

    def lease_holder(self) -> HolderIdentity:
        return self.holder


def test_a_checkpoint_made_before_a_lease_holder_died_does_not_bring_the_lease_back(
    start: Start, tmp_path: Path, restore_at_rest: Callable[..., dict[str, Any]]
) -> None:
    me = own_identity()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as holder:
        from treewarden.actors.processes._identity import identify

        found = identify(holder.pid)
        assert found is not None
        dying, living = (HolderIdentity(each.pid, each.start_ticks, each.boot_id) for each in (found, me))
        leases = [ChildSpec.of(Lease, dying, id="gone"), ChildSpec.of(Lease, living, id="held")]
        runtime = start(*leases, state_dir=tmp_path / "state")
        for name in ("gone", "held"):
            runtime.address(f"/dev/{name}").ask(Add(1))
        runtime.checkpoint()
        for name in ("gone", "held"):
            runtime.address(f"/dev/{name}").ask(Add(10))
        runtime.stop()
        holder.send_signal(signal.SIGKILL)

    done = restore_at_rest()

    assert done["states"] == ["/dev/held"]
    assert "its holder, process" in done["not_restored"]["/dev/gone"]
    runtime = start(*leases, state_dir=tmp_path / "state")
    assert (count(runtime, "held"), count(runtime, "gone")) == (1, 11)


def test_a_damaged_newest_checkpoint_is_passed_over_by_name(
    start: Start, tmp_path: Path, restore_at_rest: Callable[..., dict[str, Any]]
) -> None:
    runtime = start(*tree("a"), state_dir=tmp_path / "state")
    runtime.address("/dev/a").ask(Add(1))
    older = runtime.checkpoint()
    runtime.address("/dev/a").ask(Add(1))
    newer = runtime.checkpoint()
    runtime.stop()
    damage(tmp_path / "state" / "store", bytes.fromhex(newer.root or ""))

    done = restore_at_rest()

    assert done["number"] == older.number
    assert list(done["skipped"]) == [str(newer.number)]


def damage(store: Path, key: bytes) -> None:
    import lmdb

    with lmdb.open(str(store), max_dbs=16, lib_version=0) as raw:
        values = raw.open_db(Table.VALUES.value.encode(), create=False)
        with raw.begin(write=True) as txn:
            kept = txn.get(key, db=values)
            assert kept is not None
            txn.put(key, kept[:-1] + bytes([kept[-1] ^ 1]), db=values)


def test_pruning_keeps_the_newest_good_one_and_tells_what_went(start: Start, tmp_path: Path, events: Any) -> None:
    runtime = start(*tree("a"), state_dir=tmp_path / "state")
    runtime.checkpoint()
    runtime.address("/dev/a").ask(Add(1))
    newest = runtime.checkpoint()

    done: Any = runtime.execute(PruneCheckpoints(0.0))

    assert (done.fields["removed"], done.fields["kept"]) == ([1], 1)
    assert events.wait(CheckpointsPruned)[0].numbers == (1,)
    listed: Any = runtime.execute(ListCheckpoints())
    assert [row["number"] for row in listed.fields["checkpoints"]] == [newest.number]


def test_periodic_checkpoints_are_taken_by_an_actor_of_the_system(tmp_path: Path, events: Any) -> None:
    root = ChildSpec.of(Supervisor, children=tree("a"), id="dev")
    with Runtime.start(root, state_dir=tmp_path / "state", events=events, checkpoint_every=0.02) as runtime:
        taken = events.wait(CheckpointTaken, count=3)
        assert runtime.whereis("/system/checkpoints") is not None

    assert {(event.path, event.trigger) for event in taken} == {("/dev", "periodic")}


def test_an_actor_that_asks_for_a_checkpoint_in_its_own_handler_gets_one_soon(
    start: Start, tmp_path: Path, events: Any
) -> None:
    class Worker(Counter):
        def on_receive(self, message: object) -> Any:
            answer = super().on_receive(message)
            if isinstance(message, Add):
                self.context.request_checkpoint(Trigger.ITERATION)
            return answer

    runtime = start(ChildSpec.of(Worker, id="a"), state_dir=tmp_path / "state")
    runtime.address("/dev/a").ask(Add(1))

    (taken,) = events.wait(CheckpointTaken)
    assert (taken.path, taken.trigger) == ("/dev/a", "iteration")


def test_what_does_not_run_cannot_be_checkpointed(start: Start, tmp_path: Path) -> None:
    runtime = start(*tree("a"), state_dir=tmp_path / "state")

    with pytest.raises(CommandRefused, match="nothing runs at /dev/b"):
        runtime.execute(CreateCheckpoint("/dev/b"))


def test_a_checkpoint_that_a_killed_runtime_had_begun_is_told_as_failed_by_the_next(
    start: Start, tmp_path: Path, events: Any
) -> None:
    from treewarden.storage import Checkpoints

    start(*tree("a"), state_dir=tmp_path / "state").stop()
    store = LmdbStore.open(tmp_path / "state" / "store")
    number = Checkpoints(store, wall=lambda: 0.0).begin("/dev", Trigger.MANUAL)
    store.close()

    start(*tree("a"), state_dir=tmp_path / "state")

    assert [(event.number, event.why) for event in events.wait(CheckpointFailed)] == [
        (number, "the runtime ended during it")
    ]


def test_restoring_is_told_as_an_event(start: Start, tmp_path: Path, events: Any) -> None:
    runtime = start(*tree("a"), state_dir=tmp_path / "state")
    runtime.checkpoint()
    runtime.supervisor("/dev").terminate_child("a")
    runtime.execute(RestoreCheckpoint("/dev/a", 1))

    (told,) = events.wait(CheckpointRestored)
    assert (told.path, told.number, told.states) == ("/dev/a", 1, 1)
    with pytest.raises(CommandRefused, match="has nothing at /dev/zzz"):
        runtime.execute(RestoreCheckpoint("/dev/zzz", 1))
    with pytest.raises(CommandRefused, match="checkpoint 99"):
        runtime.execute(RestoreCheckpoint("/dev/a", 99))


@dataclass(frozen=True, slots=True)
class Pay:
    """Send `amount` on to another account."""

    amount: int
    to: str


class Account(Counter):
    durable_messages = (Add, Pay)

    def __init__(self) -> None:
        super().__init__()
        self.count = 100

    def on_receive(self, message: object) -> Any:
        if isinstance(message, Pay):
            self.count -= message.amount
            self.context.address(message.to).tell(Add(message.amount))
            return self.count
        return super().on_receive(message)


def test_nothing_is_restored_below_an_actor_that_is_just_starting(start: Start, tmp_path: Path) -> None:
    """It has read what is stored, and would write that over what is restored."""
    inside, go = threading.Event(), threading.Event()
    go.set()

    class SlowToStart(Counter):
        def on_start(self) -> None:
            inside.set()
            assert go.wait(20)

    runtime = start(ChildSpec.of(SlowToStart, id="a"), state_dir=tmp_path / "state")
    runtime.checkpoint()
    runtime.supervisor("/dev").terminate_child("a")
    inside.clear()
    go.clear()
    starting = threading.Thread(target=runtime.supervisor("/dev").restart_child, args=("a",))
    starting.start()
    try:
        assert inside.wait(20)
        with pytest.raises(CommandRefused, match=r"nothing was restored: .*/dev/a"):
            runtime.execute(RestoreCheckpoint("/dev/a"))
    finally:
        go.set()
        starting.join()


def test_what_waited_is_given_back_once_all_that_was_restored_runs_so_none_of_it_is_lost(
    start: Start, tmp_path: Path, restore_at_rest: Callable[..., dict[str, Any]]
) -> None:
    """The first accounts to start pay those that start last: before they run, such money would be a dead letter."""
    names = [f"a{number}" for number in range(8)]
    accounts = [ChildSpec.of(Account, id=name) for name in names]
    runtime = start(*accounts, state_dir=tmp_path / "state")
    refs = [runtime.whereis(f"/dev/{name}") for name in names]
    for ref in refs:
        assert ref is not None
        ref.sys.suspend()
        for number in range(8):
            ref.tell(Pay(number, f"/dev/a{7 - number}"))
    runtime.checkpoint()
    runtime.stop()

    assert len(restore_at_rest()["mailboxes"]) == 8

    runtime = start(*accounts, state_dir=tmp_path / "state")
    balances = list[int]()
    for _ in range(2):  # once for the payments, once for what they sent
        balances = [count(runtime, name) for name in names]
    assert sum(balances) == 800
    assert balances != [100] * 8


def test_a_mailbox_of_an_actor_that_does_not_run_waits_for_it(
    start: Start, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    runtime = start(*tree("a", "b"), state_dir=tmp_path / "state")
    ref = runtime.whereis("/dev/a")
    assert ref is not None
    ref.sys.suspend()
    ref.tell(Add(5))
    runtime.checkpoint("/dev/a")
    runtime.supervisor("/dev").terminate_child("a")
    runtime.execute(RestoreCheckpoint("/dev/a"))
    assert count(runtime, "b") == 0

    runtime.supervisor("/dev").restart_child("a")

    wait_until(lambda: count(runtime) == 5)
    runtime.supervisor("/dev").terminate_child("a")
    runtime.supervisor("/dev").restart_child("a")
    assert count(runtime) == 5


def test_a_task_that_has_returned_asks_for_a_checkpoint_of_what_its_supervisor_names(
    start: Start, tmp_path: Path, events: Any
) -> None:
    pool = ChildSpec.of(TaskSupervisor, id="tasks", checkpoint="/dev/a")
    runtime = start(*tree("a"), pool, state_dir=tmp_path / "state")

    with pytest.raises(ZeroDivisionError):
        runtime.tasks("/dev/tasks").run_task(lambda: 1 // 0).result(timeout=20)
    assert runtime.tasks("/dev/tasks").run_task(lambda: 6 * 7).result(timeout=20) == 42

    (taken,) = events.wait(CheckpointTaken)
    assert (taken.path, taken.trigger, taken.number) == ("/dev/a", "task", 1)


def test_what_an_actor_did_not_take_before_it_ended_is_given_to_the_one_that_runs_by_then(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> None:
    runtime = start(*tree("a", "b"), state_dir=tmp_path / "state")
    ref = runtime.whereis("/dev/a")
    assert ref is not None
    ref.sys.suspend()
    ref.tell(Add(5))
    runtime.checkpoint("/dev/a")
    runtime.supervisor("/dev").terminate_child("a")
    runtime.execute(RestoreCheckpoint("/dev/a"))
    give, given = GivingBack.give, list[Reply[None]]()

    def give_to_one_that_ends(giving: GivingBack) -> Reply[None]:
        if given:
            return give(giving)
        given.append(Reply())
        runtime.supervisor("/dev").terminate_child("a")
        runtime.supervisor("/dev").restart_child("a")
        given[0].try_fail(ActorDead("it ended before"))
        return given[0]

    monkeypatch.setattr(GivingBack, "give", give_to_one_that_ends)

    runtime.supervisor("/dev").restart_child("a")

    wait_until(lambda: bool(given) and given[0].is_set())
    wait_until(lambda: count(runtime) == 5)
