"""Managed processes under a real runtime: real children, real signals, a real store."""

import os
import signal
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psutil
import pytest

from treewarden.actors import (
    BRUTAL_KILL,
    ActorDead,
    ChildExited,
    ChildReady,
    ChildRestarting,
    ChildSpec,
    CommandProbe,
    Crashed,
    DeadLetter,
    Intensity,
    Killed,
    Liveness,
    ManagedProcess,
    Normal,
    ProbeFailed,
    ProcessExited,
    ProcessSpawned,
    ProcessSpec,
    ProcessStuck,
    Readiness,
    Restart,
    Unresponsive,
)
from treewarden.actors.processes import FromEnv, Launcher, ProcessRecords, _managed
from treewarden.supervision_trees import NotFound, StartFailed, StillRunning, Supervisor


def process(*command: str, id: str = "p", **settings: Any) -> ChildSpec:  # noqa: A002
    spec = {name: settings.pop(name) for name in ("env", "ready", "live", "success_codes", "cwd") if name in settings}
    settings.setdefault("shutdown", 2.0)
    return ChildSpec.of(ManagedProcess, ProcessSpec(command, **spec), id=id, **settings)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_process_gets_a_session_of_its_own_and_a_small_environment(
    start: Any, tmp_path: Path, wait_until: Any
) -> None:
    os.environ["TREEWARDEN_TEST_SECRET"] = "hidden"
    try:
        runtime = start(process("sleep", "3600", env={"COLOUR": "red"}), state_dir=tmp_path / "state")
    finally:
        del os.environ["TREEWARDEN_TEST_SECRET"]
    pid = runtime.inspect().root.children[0].pid

    # execve(2) takes the old environment away a moment before the new one can be read in /proc.
    wait_until(lambda: "COLOUR" in psutil.Process(pid).environ())
    env = psutil.Process(pid).environ()

    assert pid == os.getsid(pid)
    assert "red" == env["COLOUR"]
    assert env["TREEWARDEN_COOKIE"].endswith(":1:/dev/p")
    assert "TREEWARDEN_TEST_SECRET" not in env
    assert "PATH" in env


def test_a_value_from_the_environment_reaches_the_process_and_never_the_store(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Any
) -> None:
    monkeypatch.setenv("API_TOKEN", "s3cr3t-value-of-the-test")
    out = tmp_path / "out"
    start(
        process("sh", "-c", f'printf %s "$TOKEN" > {out}; exec sleep 3600', env={"TOKEN": FromEnv("API_TOKEN")}),
        state_dir=tmp_path / "state",
    )

    wait_until(lambda: out.exists() and out.read_text() != "")

    assert "s3cr3t-value-of-the-test" == out.read_text()
    for file in (tmp_path / "state").rglob("*"):
        if file.is_file():
            assert b"s3cr3t-value-of-the-test" not in file.read_bytes()


def test_a_value_that_is_not_in_the_environment_is_a_failed_start_that_names_it(start: Any) -> None:
    with pytest.raises(StartFailed, match="NO_SUCH_VARIABLE_HERE"):
        start(process("true", env={"TOKEN": FromEnv("NO_SUCH_VARIABLE_HERE")}))


def test_a_missing_program_is_a_failed_start_that_stops_the_siblings_again(start: Any, events: Any) -> None:
    with pytest.raises(StartFailed, match="no-such-program-anywhere") as failed:
        start(process("sleep", "3600", id="a"), process("no-such-program-anywhere", id="b"))

    assert "/dev/b" == failed.value.path
    [spawned] = events.of(ProcessSpawned)
    assert not is_running(spawned.pid)


def test_the_end_of_a_process_is_the_end_of_its_actor_with_the_code(start: Any, events: Any) -> None:
    start(
        process("sh", "-c", "exit 3", id="bad", restart=Restart.TEMPORARY),
        process("sh", "-c", "exit 3", id="good", restart=Restart.TRANSIENT, success_codes=frozenset({3})),
    )

    ends = {event.path: event.reason for event in events.wait(ChildExited, count=2)}

    assert Normal() == ends["/dev/good"]
    assert isinstance(ends["/dev/bad"], Crashed)
    assert [3, 3] == [event.code for event in events.of(ProcessExited)]
    assert [] == events.of(ChildRestarting)


def test_every_end_of_a_process_is_reported_once_also_when_it_was_stopped(start: Any, events: Any) -> None:
    runtime = start(process("sleep", "3600"))
    supervisor = runtime.supervisor("/dev")

    supervisor.terminate_child("p")
    supervisor.restart_child("p")
    runtime.stop()

    ended = [(event.incarnation, event.signal) for event in events.of(ProcessExited)]
    assert [(1, signal.SIGTERM), (2, signal.SIGTERM)] == ended


def test_the_rest_of_the_session_ends_with_its_leader_before_the_restart(
    start: Any, events: Any, tmp_path: Path, wait_until: Any
) -> None:
    """A grandchild that ignores TERM must not live on beside the next incarnation."""
    pids = tmp_path / "pids"
    script = f"(trap '' TERM; exec sleep 3600) & echo $! >> {pids}; wait"
    start(process("sh", "-c", script, shutdown=0.2))
    wait_until(lambda: pids.exists() and pids.read_text() != "")
    grandchild = int(pids.read_text())

    os.kill(events.wait(ProcessSpawned)[0].pid, signal.SIGKILL)
    events.wait(ProcessSpawned, count=2)

    assert not is_running(grandchild)
    assert [] == events.of(ProcessStuck)


def test_a_process_that_ignores_term_is_killed_when_its_grace_is_over(start: Any, events: Any, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    runtime = start(
        process(
            "sh",
            "-c",
            f"trap '' TERM; touch {ready}; while true; do sleep 0.05; done",
            shutdown=0.2,
            ready=Readiness(CommandProbe(("test", "-e", str(ready))), every=0.02),
        ),
    )
    events.wait(ChildReady)

    report = runtime.stop()

    assert ("/dev/p", "/dev") == report.stopped
    assert () == report.abandoned
    assert () == report.orphaned_pids
    assert signal.SIGKILL in [event.signal for event in events.of(ProcessExited)]


def test_brutal_kill_ends_the_whole_session_at_once(start: Any, events: Any, tmp_path: Path, wait_until: Any) -> None:
    pids = tmp_path / "pids"
    runtime = start(process("sh", "-c", f"sleep 3600 & echo $! > {pids}; wait", shutdown=BRUTAL_KILL))
    wait_until(lambda: pids.exists() and pids.read_text() != "")

    runtime.supervisor("/dev").terminate_child("p")

    wait_until(lambda: not is_running(int(pids.read_text())))
    wait_until(lambda: not is_running(events.wait(ProcessSpawned)[0].pid))
    assert Killed() == runtime.supervisor("/dev").which_children()[0].last_exit


def test_a_killed_actor_takes_its_process_with_it_and_is_replaced_once(start: Any, events: Any) -> None:
    runtime = start(process("sleep", "3600"))
    first = events.wait(ProcessSpawned)[0]

    runtime.whereis("/dev/p").kill()
    second = events.wait(ProcessSpawned, count=2)[1]

    assert not is_running(first.pid)
    assert (2, True) == (second.incarnation, is_running(second.pid))


def test_liveness_that_fails_so_often_in_a_row_restarts_the_process(start: Any, events: Any) -> None:
    start(process("sleep", "3600", live=Liveness(CommandProbe(("false",)), every=0.02, failures=3)))

    exited = events.wait(ChildExited)[0]

    assert isinstance(exited.reason, Unresponsive)
    assert "live" == events.of(ProbeFailed)[0].purpose
    events.wait(ProcessSpawned, count=2)


def test_a_child_that_needs_another_starts_when_that_is_ready_not_before(
    start: Any, events: Any, tmp_path: Path
) -> None:
    sign = tmp_path / "sign"
    runtime = start(
        process("sleep", "3600", id="base", ready=Readiness(CommandProbe(("test", "-e", str(sign))), every=0.02)),
        process("sleep", "3600", id="top", needs=("base",)),
    )
    states = [view.state for view in runtime.inspect().root.children]
    assert ["running", "waiting"] == states

    sign.touch()
    spawned = events.wait(ProcessSpawned, count=2)

    assert ["/dev/base", "/dev/top"] == [event.path for event in spawned]


def test_the_calls_of_a_supervisor_work_on_processes(start: Any, events: Any) -> None:
    runtime = start(process("sleep", "3600"))
    supervisor = runtime.supervisor("/dev")

    with pytest.raises(StillRunning):
        supervisor.restart_child("p")
    with pytest.raises(NotFound, match="/dev/nobody"):
        supervisor.terminate_child("nobody")
    supervisor.terminate_child("p")
    assert not is_running(events.wait(ProcessSpawned)[0].pid)
    ref = supervisor.start_child(process("sleep", "3600", id="q"))
    assert "/dev/q" == ref.path
    supervisor.delete_child("p")

    assert ["q"] == [child.id for child in supervisor.which_children()]


def test_a_process_on_record_that_an_earlier_life_of_this_runtime_left_is_replaced(
    start: Any, events: Any, tmp_path: Path, wait_until: Any
) -> None:
    """Whether its abandoned thread or its successor ends the old process, two never go on."""
    state = tmp_path / "state"
    runtime = start(process("sleep", "3600"), state_dir=state)
    first = events.wait(ProcessSpawned)[0]
    runtime.whereis("/dev/p").incarnation().abandon(Unresponsive(0.0))

    second = events.wait(ProcessSpawned, count=2)[1]

    wait_until(lambda: not is_running(first.pid))
    assert 2 == second.incarnation
    assert is_running(second.pid)


def test_an_orderly_stop_leaves_no_dead_letter(start: Any, events: Any) -> None:
    """The end of its process and a check's answer come while it stops, and are no messages to nobody."""
    probe = CommandProbe(("sleep", "30"))
    runtime = start(process("sleep", "3600", ready=Readiness(probe, timeout=30.0)), process("sleep", "3600", id="q"))

    runtime.supervisor("/dev").terminate_child("q")
    runtime.stop()

    assert 2 == len(events.of(ProcessExited))
    assert [] == events.of(DeadLetter)


def test_a_start_that_fails_once_its_process_runs_ends_the_process(
    start: Any, events: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No `on_stop` follows a failed start, and while the runtime runs nobody else would look."""
    runtime = start()

    def fail(self: ManagedProcess, *, adopted: bool) -> None:
        raise RuntimeError("given up on in this very moment")

    monkeypatch.setattr(ManagedProcess, "_publish", fail)
    with pytest.raises(StartFailed, match="in this very moment"):
        runtime.supervisor("/dev").start_child(process("sleep", "3600"))

    [spawned] = events.wait(ProcessSpawned)
    assert not is_running(spawned.pid)


def test_a_log_that_cannot_be_read_does_not_change_how_the_process_ended(
    start: Any, events: Any, tmp_path: Path
) -> None:
    log = tmp_path / "state" / "logs" / "dev" / "p.log"
    start(process("sh", "-c", f"rm {log} && mkdir {log}", restart=Restart.TRANSIENT), state_dir=tmp_path / "state")

    [exited] = events.wait(ChildExited)

    assert Normal() == exited.reason


def test_a_store_that_does_not_answer_is_a_failed_start_and_its_commit_is_taken_back(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = start()
    unanswered: Future[int] = Future()

    def save(*_: object) -> "Future[int]":
        return unanswered

    with monkeypatch.context() as stuck:
        stuck.setattr(_managed, "COMMIT_DEADLINE", 0.05)
        stuck.setattr(ProcessRecords, "save", save)
        with pytest.raises(StartFailed, match=r"found no answer of the store within 0\.05 s, expected the record"):
            runtime.supervisor("/dev").start_child(process("sleep", "3600"))

    assert unanswered.cancelled()


@pytest.mark.parametrize("ends", ["brutal kill", "kill of the actor"])
def test_the_end_of_a_killed_process_is_reported_too(start: Any, events: Any, ends: str) -> None:
    runtime = start(process("sleep", "3600", shutdown=BRUTAL_KILL))

    if ends == "brutal kill":
        runtime.supervisor("/dev").terminate_child("p")
    else:
        runtime.whereis("/dev/p").kill()

    exited = events.wait(ProcessExited)[0]
    assert (1, signal.SIGKILL) == (exited.incarnation, exited.signal)


def test_the_processes_of_a_killed_supervisor_never_overlap_those_of_its_successor(
    start: Any, events: Any, wait_until: Any
) -> None:
    """Whoever of the old actor and the new one is first: the old process is gone when the new one is spawned."""
    group = ChildSpec.of(Supervisor, children=[process("sleep", "3600", shutdown=1.0)], id="g")
    runtime = start(group, intensity=Intensity(10, within=5.0))
    for incarnation in range(1, 6):
        living = events.wait(ProcessSpawned, count=incarnation)[-1]
        wait_until(lambda: runtime.whereis("/dev/g/p") is not None and runtime.whereis("/dev/g") is not None)
        runtime.whereis("/dev/g").kill()
        successor = events.wait(ProcessSpawned, count=incarnation + 1)[-1]

        assert not is_running(living.pid)
        assert (incarnation + 1, True) == (successor.incarnation, is_running(successor.pid))


class Held(Supervisor):
    """Can be held in the middle of a message, like one whose code is slow."""

    holds = threading.Event()
    gate = threading.Event()

    def on_receive(self, message: object) -> None:
        if message != "hold":
            super().on_receive(message)
            return
        self.holds.set()
        self.gate.wait(timeout=30)


def test_a_start_that_a_killed_supervisor_could_not_end_never_runs_beside_its_successor(
    start: Any, events: Any, wait_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at work, it is replaced before it tells its children; the record says who goes on."""
    Held.holds.clear()
    Held.gate.clear()
    spawn_gated = Launcher.spawn_gated
    late: list[Any] = []
    spawned, go_on = threading.Event(), threading.Event()

    def spawn_late(self: Launcher, launch: Any) -> Any:
        gated = spawn_gated(self, launch)
        if not late:
            late.append(gated)
            spawned.set()
            go_on.wait(timeout=30)
        return gated

    runtime = start(ChildSpec.of(Held, children=[process("sleep", "3600")], id="g"))
    supervisor = runtime.supervisor("/dev/g")
    supervisor.terminate_child("p")
    monkeypatch.setattr(Launcher, "spawn_gated", spawn_late)

    def restart() -> None:
        with pytest.raises(ActorDead):
            supervisor.restart_child("p")

    starter = threading.Thread(target=restart)
    starter.start()
    try:
        assert spawned.wait(timeout=20)
        held = runtime.whereis("/dev/g")
        held.tell("hold")
        assert Held.holds.wait(timeout=20)
        held.kill()
        successor = events.wait(ProcessSpawned, count=2)[-1]
        go_on.set()
        wait_until(lambda: not is_running(late[0].identity.pid))
    finally:
        go_on.set()
        Held.gate.set()
        starter.join()

    assert 2 == len(events.of(ProcessSpawned))
    assert is_running(successor.pid)
