"""Durable actors under a real runtime with a store on disk: kill -9, damaged bytes, a boot, a discard."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import lmdb
import pytest

from treewarden.actors import (
    Actor,
    ChildAbandoned,
    ChildSpec,
    Crashed,
    Durability,
    ManagedProcess,
    ProcessSpec,
    SnapshotFellBack,
    SnapshotQuarantined,
    StateUnusable,
    TreewardenError,
    Unresponsive,
)
from treewarden.actors.processes import PROCESS_SCHEMA
from treewarden.storage import LmdbStore, Put
from treewarden.storage._lmdb_tables import digest_of
from treewarden.supervision_trees import (
    ActorView,
    ChildState,
    CommandRefused,
    DiscardState,
    RecordedEvent,
    Runtime,
    StartActor,
    StartFailed,
    StateCorrupt,
    StopActor,
    Supervisor,
)
from treewarden.supervision_trees.cli import main

PATIENCE = 20.0


class Keeper(Actor):
    """Keeps what it was told last; persists it when told `"persist"`."""

    durability = Durability.NONE
    snapshot_schema: ClassVar[str | None] = "keeper"

    def __init__(self) -> None:
        super().__init__()
        self.kept: object = "nothing"

    def on_receive(self, message: object) -> object:
        if isinstance(message, Exception):
            raise message
        if message == "persist":
            self.context.persist()
        elif message is not None:
            self.kept = message
        return self.kept

    def snapshot(self) -> object:
        return self.kept

    def restore(self, state: object) -> None:
        if state == "poison":
            raise ValueError("poison")
        self.kept = state


class Hanging(Keeper):
    """Restores for as long as it is let."""

    def __init__(self, let_go: threading.Event) -> None:
        super().__init__()
        self.let_go = let_go

    def restore(self, state: object) -> None:
        assert self.let_go.wait(PATIENCE)


class Plain(Actor):
    """Keeps nothing."""


def keeper() -> ChildSpec:
    return ChildSpec.of(Keeper, id="keeper")


def boot(state_dir: Path, *children: ChildSpec, events: Any = None, discard: tuple[str, ...] = ()) -> Runtime:
    root = ChildSpec.of(Supervisor, children=children or (keeper(),), id="dev")
    return Runtime.start(root, state_dir=state_dir, events=events, discard_state=discard)


def write(state_dir: Path, *puts: Put) -> None:
    """Put records while no runtime runs."""
    state_dir.mkdir(mode=0o700, exist_ok=True)
    store = LmdbStore.open(state_dir / "store")
    try:
        for put in puts:
            store.commit([put]).result(PATIENCE)
    finally:
        store.close()


def state_of(value: object, path: str = "/dev/keeper") -> Put:
    return Put(path, "actor:keeper", 1, 1, value)


def damage(state_dir: Path, path: str = "/dev/keeper", *, newest: int = 1) -> None:
    """Flip a bit in the `newest` newest records of `path`, while no runtime runs."""
    with lmdb.open(str(state_dir / "store"), max_dbs=16, lib_version=0) as raw:
        snap = raw.open_db(b"snap", create=False)
        with raw.begin(write=True) as txn:
            found = [(key, value) for key, value in txn.cursor(db=snap) if key.startswith(digest_of(path))]
            assert len(found) >= newest
            for key, value in found[-newest:]:
                txn.put(key, value[:-1] + bytes([value[-1] ^ 1]), db=snap)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Start a runtime with a durable actor in a process of its own; killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        program = Path(__file__).parent / "programs" / "durable_tree.py"
        command = [sys.executable, str(program), str(tmp_path / "state")]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def tell(process: "subprocess.Popen[str]", number: int) -> str:
    assert process.stdin is not None
    process.stdin.write(f"{number}\n")
    process.stdin.flush()
    return heard(process)


def heard(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_what_persist_acknowledged_survives_kill_9_of_the_runtime(serve: Callable[[], Any]) -> None:
    """The next runtime restores exactly that state, however often this goes on."""
    acknowledged = "[]"
    for life in range(3):
        process = serve()
        assert acknowledged == heard(process)
        for number in range(life * 10, life * 10 + 5):
            acknowledged = tell(process, number)
        process.kill()
        process.wait(PATIENCE)

    assert "[0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 20, 21, 22, 23, 24]" == acknowledged


def test_an_orderly_stop_of_the_tree_loses_nothing(tmp_path: Path) -> None:
    with boot(tmp_path / "state") as runtime:
        runtime.address("/dev/keeper").ask("told, never persisted")
    with boot(tmp_path / "state") as runtime:
        assert "told, never persisted" == runtime.address("/dev/keeper").ask(None)


def test_without_a_state_directory_the_state_lives_as_long_as_the_runtime(
    start: Callable[..., Runtime], wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    """A restart finds what was persisted."""
    runtime = start(keeper())
    address = runtime.address("/dev/keeper")
    address.ask("kept")
    address.ask("persist")
    first = runtime.whereis("/dev/keeper")
    assert first is not None
    first.tell(ValueError("bad"))
    wait_until(lambda: runtime.whereis("/dev/keeper") not in (None, first))

    assert "kept" == address.ask(None)


def test_a_damaged_newest_snapshot_stops_neither_the_boot_nor_the_actor(tmp_path: Path, events: Any) -> None:
    """A.18: set aside, with the older one in its place, and events that say so; the next boot is quiet."""
    state_dir = tmp_path / "state"
    write(state_dir, state_of("older"), state_of("newer"))
    damage(state_dir)

    with boot(state_dir, events=events) as runtime:
        assert "older" == runtime.address("/dev/keeper").ask(None)
    assert ["/dev/keeper"] == [event.path for event in events.of(SnapshotQuarantined)]
    assert ["/dev/keeper"] == [event.path for event in events.of(SnapshotFellBack)]

    with boot(state_dir, events=events) as runtime:
        assert "older" == runtime.address("/dev/keeper").ask(None)
    assert 1 == len(events.of(SnapshotFellBack))


@pytest.mark.parametrize("how", ["bytes", "poison"])
def test_an_actor_without_a_usable_snapshot_is_parked_at_any_boot_until_it_is_discarded(
    tmp_path: Path, how: str
) -> None:
    """A.18: parked `failed`, its siblings start, nothing loops; it never starts empty in silence; on purpose it does."""
    state_dir = tmp_path / "state"
    write(state_dir, state_of("poison"), state_of("poison"))
    if how == "bytes":
        damage(state_dir, newest=2)

    for _ in range(2):
        with boot(state_dir, keeper(), ChildSpec.of(Actor, id="sibling")) as runtime:
            parked, sibling = runtime.supervisor("/dev").which_children()
            assert (ChildState.FAILED, ChildState.RUNNING) == (parked.state, sibling.state)
            assert (1, 0) == (parked.attempts, parked.restarts)
            assert isinstance(parked.last_exit, Crashed)
            assert isinstance(parked.last_exit.error, StateUnusable)
            with pytest.raises(StartFailed) as caught:
                runtime.supervisor("/dev").restart_child("keeper")
            assert isinstance(caught.value.reason, Crashed)
            assert isinstance(caught.value.reason.error, StateUnusable)
            assert ChildState.FAILED is runtime.supervisor("/dev").which_children()[0].state

    with boot(state_dir, discard=("/dev/keeper",)) as runtime:
        assert "nothing" == runtime.address("/dev/keeper").ask(None)


@pytest.mark.parametrize(
    ("path", "records", "damaged"),
    [
        ("/dev/process", [Put("/dev/process", PROCESS_SCHEMA, 1, 1, {})], 1),
        ("/dev/process", [state_of(1, "/dev/process"), state_of(2, "/dev/process")], 1),
        ("/dev/unknown", [state_of(1, "/dev/unknown")], 1),
        ("/dev/unknown", [state_of(1, "/dev/unknown"), state_of(2, "/dev/unknown")], 2),
    ],
    ids=["a process", "a path of a process now", "unknown", "unknown, both damaged"],
)
def test_a_corrupt_record_that_may_name_a_process_still_stops_the_boot(
    tmp_path: Path, path: str, records: list[Put], damaged: int
) -> None:
    state_dir = tmp_path / "state"
    write(state_dir, *records)
    damage(state_dir, path, newest=damaged)

    with pytest.raises(StateCorrupt) as caught:
        boot(state_dir, keeper(), ChildSpec.of(ManagedProcess, ProcessSpec(("sleep", "60")), id="process"))
    assert [path] == list(caught.value.problems)


def test_a_restore_that_hangs_is_ended_by_the_start_timeout(tmp_path: Path) -> None:
    """B 8: restoring is part of the start, outside the supervisor's own turn."""
    state_dir = tmp_path / "state"
    write(state_dir, state_of("slow"))
    let_go = threading.Event()

    def given_up_on(recorded: RecordedEvent) -> None:
        if isinstance(recorded.event, ChildAbandoned):
            let_go.set()  # or the end would have to wait for its thread

    with pytest.raises(StartFailed) as caught:
        boot(state_dir, ChildSpec.of(Hanging, let_go, id="keeper", start_timeout=0.2), events=given_up_on)

    assert Unresponsive(0.2) == caught.value.reason


def test_a_corrupt_record_at_an_unknown_path_is_let_be_if_the_one_before_it_is_an_actors(tmp_path: Path) -> None:
    """Of an actor that left the definition, or was started by hand."""
    state_dir = tmp_path / "state"
    write(state_dir, state_of("older", "/dev/later"), state_of("newer", "/dev/later"))
    damage(state_dir, "/dev/later")

    with boot(state_dir) as runtime:
        runtime.supervisor("/dev").start_child(ChildSpec.of(Keeper, id="later"))

        assert "older" == runtime.address("/dev/later").ask(None)


def test_a_state_is_discarded_while_its_actor_is_stopped_and_only_then(tmp_path: Path) -> None:
    with boot(tmp_path / "state") as runtime:
        address = runtime.address("/dev/keeper")
        address.ask("kept")
        with pytest.raises(CommandRefused, match="is running, expected it to be stopped"):
            runtime.execute(DiscardState("/dev/keeper"))
        runtime.execute(StopActor("/dev/keeper"))
        runtime.execute(StartActor("/dev/keeper"))
        assert "kept" == address.ask(None)

        runtime.execute(StopActor("/dev/keeper"))
        view = runtime.execute(DiscardState("/dev/keeper"))
        runtime.execute(StartActor("/dev/keeper"))

        assert isinstance(view, ActorView)
        assert "stopped" == view.state
        assert "nothing" == address.ask(None)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/dev/process", "is a ManagedProcess, expected an actor that keeps state"),
        ("/dev/plain", "is a Plain, expected an actor that keeps state"),
        ("/dev/nobody", "there is no /dev/nobody"),
        ("/dev", "is the root"),
    ],
)
def test_only_a_durable_actors_state_can_be_discarded(start: Callable[..., Runtime], path: str, said: str) -> None:
    """A process's record may be all that is known of it."""
    process = ChildSpec.of(ManagedProcess, ProcessSpec(("sleep", "60")), id="process")
    runtime = start(process, ChildSpec.of(Plain, id="plain"))

    with pytest.raises(TreewardenError, match=said):
        runtime.execute(DiscardState(path))


def test_restart_with_discard_state_starts_afresh_and_spares_what_keeps_no_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A.18: `restart PATH --discard-state`, on a real console."""
    state_dir = tmp_path / "state"
    process = ChildSpec.of(ManagedProcess, ProcessSpec(("sleep", "60")), id="process")
    with boot(state_dir, keeper(), ChildSpec.of(Plain, id="plain"), process) as runtime:
        address = runtime.address("/dev/keeper")
        address.ask("kept")
        before = runtime.whereis("/dev/process")
        codes = [
            main(["restart", path, "--discard-state", "--state", str(state_dir)])
            for path in ("/dev/keeper", "/dev/plain", "/dev/process")
        ]

        assert [0, 1, 1] == codes
        assert "nothing" == address.ask(None)
        assert before is runtime.whereis("/dev/process")
        assert runtime.whereis("/dev/plain") is not None
    told = capsys.readouterr()
    assert "/dev/keeper: running, ready\n" == told.out
    assert "/dev/plain is a Plain" in told.err
    assert "/dev/process is a ManagedProcess" in told.err


def test_start_with_discard_state_starts_a_stopped_actor_afresh_and_refuses_a_running_one(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    with boot(state_dir) as runtime:
        runtime.address("/dev/keeper").ask("kept")
        refused = main(["start", "/dev/keeper", "--discard-state", "--state", str(state_dir)])
        kept = runtime.address("/dev/keeper").ask(None)
        runtime.execute(StopActor("/dev/keeper"))
        started = main(["start", "/dev/keeper", "--discard-state", "--state", str(state_dir)])

        assert (1, "kept", 0) == (refused, kept, started)
        assert "nothing" == runtime.address("/dev/keeper").ask(None)
