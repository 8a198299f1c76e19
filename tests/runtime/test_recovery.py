"""What a sweep does with what an earlier runtime left: real processes, and records that are true or not."""

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from treewarden.actors import ActorPath, ChildSpec, ManagedProcess, ProcessSpec, StrayEnded
from treewarden.actors.processes import (
    PROCESS_SCHEMA,
    Cookie,
    Phase,
    ProcessIdentity,
    ProcessRecord,
    ProcessRecords,
)
from treewarden.actors.processes._cookies import COOKIE_VARIABLE
from treewarden.actors.processes._identity import identify
from treewarden.storage import MemoryStore, Put
from treewarden.supervision_trees import Supervisor
from treewarden.supervision_trees._recovery import AnotherTree, sweep, sweep_all

P = ActorPath("/dev/p")
ROOT = ChildSpec.of(Supervisor, children=[ChildSpec.of(ManagedProcess, ProcessSpec(("sleep", "1")), id="p")], id="dev")


class Sink:
    """The events that were emitted."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def emit(self, event: object) -> None:
        self.all.append(event)


@pytest.fixture
def spawn() -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Start a process in a session of its own; it is killed at the end of the test."""
    spawned: list[subprocess.Popen[bytes]] = []

    def start(**env: str) -> "subprocess.Popen[bytes]":
        spawned.append(subprocess.Popen(["/bin/sleep", "3600"], start_new_session=True, env=env))
        # execve(2) closes the pipe that Popen waits on before the new environment can be read in /proc.
        environment, until = Path(f"/proc/{spawned[-1].pid}/environ"), time.monotonic() + 10.0
        while env and not environment.read_bytes():
            assert time.monotonic() < until, "its environment could not be read within 10 s"
        return spawned[-1]

    yield start
    for process in spawned:
        process.kill()
        process.wait()


def record_of(identity: ProcessIdentity, path: ActorPath = P) -> ProcessRecord:
    return ProcessRecord(path, 3, Phase.SPAWNED, identity, "fingerprint", "an earlier runtime", 1.0)


def a_store(*records: ProcessRecord) -> MemoryStore:
    store = MemoryStore()
    for record in records:
        enter(store, record)
    return store


def enter(store: MemoryStore, record: ProcessRecord) -> None:
    records = ProcessRecords(store)
    records.save(record, records.claim(record.path)).result()


def sweep_before_start(store: MemoryStore, sink: Sink) -> None:
    sweep(store, ROOT, discard=(), state_dir=None, events=sink)


def strangers(identity: ProcessIdentity) -> list[ProcessIdentity]:
    """Who an earlier holder of the same pid was: an older process, or one of another boot."""
    return [
        replace(identity, start_ticks=identity.start_ticks - 1),
        replace(identity, boot_id="00000000-0000-0000-0000-000000000000"),
    ]


@pytest.mark.parametrize("path", [P, ActorPath("/dev/left-the-definition"), ActorPath("/another-tree/p")])
@pytest.mark.parametrize("which", [0, 1], ids=["pid reused", "rebooted"])
def test_a_stranger_with_the_pid_on_record_is_never_signalled(spawn: Any, path: ActorPath, which: int) -> None:
    stranger = spawn()
    store, sink = a_store(record_of(strangers(identify(stranger.pid))[which], path)), Sink()

    sweep_before_start(store, sink)
    report = sweep_all(store, events=sink)

    assert stranger.poll() is None
    assert ((), ()) == (report.ended, report.survivors)
    assert [] == sink.all


def test_before_a_start_what_will_be_adopted_lives_and_what_left_the_definition_ends(spawn: Any) -> None:
    stays, goes = spawn(), spawn()
    gone = ActorPath("/dev/left-the-definition")
    store, sink = a_store(record_of(identify(stays.pid)), record_of(identify(goes.pid), gone)), Sink()

    sweep_before_start(store, sink)

    assert stays.poll() is None
    assert 0 != goes.wait(timeout=10)
    assert [StrayEnded(gone, 3, goes.pid)] == sink.all


def test_of_several_bearers_of_one_path_only_the_incarnation_on_record_lives_on(spawn: Any) -> None:
    """A runtime killed between a spawn and its record leaves such a one."""
    store, sink = MemoryStore(), Sink()
    bearers = [
        spawn(**{COOKIE_VARIABLE: Cookie(store.store_id, P, incarnation).render()}) for incarnation in (2, 3, 3, 4)
    ]
    enter(store, record_of(identify(bearers[1].pid)))

    sweep_before_start(store, sink)

    assert [2, 4] == sorted(event.incarnation for event in sink.all)
    assert [None, None] == [bearers[1].poll(), bearers[2].poll()]
    assert 0 != bearers[0].wait(timeout=10)
    assert 0 != bearers[3].wait(timeout=10)


def test_living_processes_of_another_tree_are_named_and_left_alone(spawn: Any) -> None:
    other = spawn()
    store = a_store(record_of(identify(other.pid), ActorPath("/other/p")))

    with pytest.raises(AnotherTree, match=f"pid {other.pid}"):
        sweep_before_start(store, Sink())

    assert other.poll() is None


def test_neither_an_unreadable_record_nor_a_full_disk_keeps_the_others_alive(
    spawn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [spawn(), spawn()]
    store, sink = a_store(), Sink()
    for number, process in enumerate(left):
        enter(store, record_of(identify(process.pid), ActorPath(f"/dev/p{number}")))
    store.commit([Put("/dev/unreadable", PROCESS_SCHEMA, 1, 1, {"of": "another shape"})]).result()

    def refuse(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(MemoryStore, "commit", refuse)
    report = sweep_all(store, events=sink)

    assert sorted(process.pid for process in left) == sorted(report.ended)
    assert [True, True] == [process.wait(timeout=10) != 0 for process in left]
