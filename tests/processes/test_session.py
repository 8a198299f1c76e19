"""A session is ended as a whole, and nobody else is touched."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

import psutil
import pytest

from treewarden.actors.processes import _session, _verified
from treewarden.actors.processes._exit_watch import ProcessExit
from treewarden.actors.processes._gated_process import GatedProcess
from treewarden.actors.processes._identity import ProcessGone, ProcessIdentity, identify, is_alive
from treewarden.actors.processes._session import EndReport, end_session, kill_now, session_members
from treewarden.actors.processes._verified import signal_verified

Spawn = Callable[..., GatedProcess]
WaitTrue = Callable[[Callable[[], object]], None]
WaitLine = Callable[[str], None]

ENDED = EndReport(ended=True, survivors=(), killed=False)
KILLED = EndReport(ended=True, survivors=(), killed=True)


@pytest.fixture(params=["pidfd", "number"])
def handle(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With pidfds, and as on a system that has none."""
    if request.param == "number":
        monkeypatch.setattr(_verified, "pidfds_work", lambda: False)
    return str(request.param)


def test_a_process_that_heeds_term_is_ended_without_a_kill(handle: str, run: Spawn) -> None:
    process = run("exec sleep 1000")

    assert end_session(process.identity, grace=10.0) == ENDED
    assert not is_alive(process.identity)
    assert process.reap_nowait() == ProcessExit(None, signal.SIGTERM)


def test_a_whole_family_is_ended(handle: str, run: Spawn, wait_line: WaitLine) -> None:
    process = run("sh -c 'sleep 1000 & sleep 1000 & echo ready; wait' & sleep 1000 & wait")
    wait_line("ready")
    family = session_members(process.identity)

    assert len(family) >= 4
    assert end_session(process.identity, grace=10.0) == ENDED
    assert [member for member in family if is_alive(member)] == []


def test_a_grandchild_that_ignores_term_is_killed(handle: str, run: Spawn, wait_line: WaitLine) -> None:
    process = run("sh -c 'trap \"\" TERM; sleep 1000 & echo ready; wait' & wait")
    wait_line("ready")
    family = session_members(process.identity)

    assert end_session(process.identity, grace=0.1) == KILLED
    assert [member for member in family if is_alive(member)] == []


def test_without_grace_the_kill_follows_at_once(run: Spawn, wait_line: WaitLine) -> None:
    process = run("trap '' TERM; echo ready; while :; do read -r _ </dev/null || sleep 1000; done")
    wait_line("ready")

    assert end_session(process.identity, grace=0.0) == KILLED


def test_kill_now_gives_no_chance_to_clean_up(run: Spawn, wait_line: WaitLine) -> None:
    process = run("trap 'echo cleaned; exit' TERM; echo ready; sleep 1000 & wait")
    wait_line("ready")

    assert kill_now(process.identity) == KILLED
    assert process.reap_nowait() == ProcessExit(None, signal.SIGKILL)


def test_a_clean_up_within_the_grace_is_waited_for(run: Spawn, wait_line: WaitLine, wait_true: WaitTrue) -> None:
    process = run("trap 'echo cleaned; exit 3' TERM; sleep 1000 & echo ready; wait")
    wait_line("ready")
    # Before its exec the child still has the shell's trap, which would swallow its TERM.
    wait_true(lambda: [child.name() for child in psutil.Process(process.identity.pid).children()] == ["sleep"])

    assert end_session(process.identity, grace=10.0) == ENDED
    wait_line("cleaned")
    assert process.reap_nowait() == ProcessExit(3, None)


def test_a_stopped_child_ends_on_term(
    handle: str, run: Spawn, stopped: Callable[[ProcessIdentity], ProcessIdentity]
) -> None:
    process = run("exec sleep 1000")
    stopped(process.identity)

    assert end_session(process.identity, grace=10.0) == ENDED


def test_members_that_outlive_their_leader_are_ended(run: Spawn, wait_line: WaitLine, wait_true: WaitTrue) -> None:
    process = run("sleep 1000 & sleep 1000 & echo ready")
    wait_line("ready")
    wait_true(lambda: not is_alive(process.identity))
    as_zombie = session_members(process.identity)
    assert process.reap_nowait() == ProcessExit(0, None)
    members = session_members(process.identity)

    assert len(members) == 2
    assert as_zombie == members
    assert end_session(process.identity, grace=10.0) == ENDED
    assert [member for member in members if is_alive(member)] == []


def test_a_leader_whose_first_thread_has_ended_is_ended(half_dead: GatedProcess) -> None:
    assert (half_dead.identity,) == session_members(half_dead.identity)
    assert end_session(half_dead.identity, grace=10.0).ended
    assert not is_alive(half_dead.identity)


def test_a_gate_is_ended_like_any_process(spawn: Spawn) -> None:
    process = spawn("true")

    assert end_session(process.identity, grace=10.0) == ENDED


def test_a_session_that_is_over_is_reported_as_ended(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    process = spawn("true")
    process.cancel()
    monkeypatch.setattr(_session, "signal_verified", _never)

    assert end_session(process.identity, grace=10.0) == ENDED
    assert kill_now(process.identity) == ENDED


def _never(identity: ProcessIdentity, *signals: signal.Signals) -> None:
    raise AssertionError(f"{signals} sent to {identity}")


def _earlier(now: ProcessIdentity) -> ProcessIdentity:
    return replace(now, start_ticks=now.start_ticks - 1)


def _later(now: ProcessIdentity) -> ProcessIdentity:
    return replace(now, start_ticks=now.start_ticks + 1)


def _before_the_reboot(now: ProcessIdentity) -> ProcessIdentity:
    return replace(now, boot_id="another boot")


@pytest.mark.parametrize("identity_of_the_dead", [_earlier, _later, _before_the_reboot])
def test_a_stranger_that_got_the_pid_is_never_signalled_nor_is_its_family(  # noqa: PLR0917 - pytest fixtures
    handle: str,
    run: Spawn,
    wait_line: WaitLine,
    stopped: Callable[[ProcessIdentity], ProcessIdentity],
    untouched: Callable[[ProcessIdentity], bool],
    identity_of_the_dead: Callable[[ProcessIdentity], ProcessIdentity],
) -> None:
    stranger = run("sleep 1000 & echo ready; wait")
    wait_line("ready")
    family = session_members(stranger.identity)
    assert len(family) == 2
    for member in family:
        stopped(member)
    ours = identity_of_the_dead(stranger.identity)

    assert session_members(ours) == ()
    assert end_session(ours, grace=0.0) == ENDED
    assert kill_now(ours) == ENDED
    with pytest.raises(ProcessGone):
        signal_verified(ours, signal.SIGKILL)
    assert all(untouched(member) for member in family)
    # That nothing pends must be a thing that can fail.
    os.kill(stranger.identity.pid, signal.SIGTERM)
    assert not untouched(stranger.identity)


def test_a_zombie_stranger_that_got_the_pid_protects_its_family(
    run: Spawn, wait_line: WaitLine, wait_true: WaitTrue
) -> None:
    stranger = run("sleep 1000 & echo ready")
    wait_line("ready")
    wait_true(lambda: not is_alive(stranger.identity))
    assert len(session_members(stranger.identity)) == 1
    ours = replace(stranger.identity, start_ticks=stranger.identity.start_ticks - 1)

    assert session_members(ours) == ()


def test_what_started_before_the_leader_is_a_stranger(run: Spawn, wait_line: WaitLine, wait_true: WaitTrue) -> None:
    process = run("sleep 1000 & echo ready")
    wait_line("ready")
    wait_true(process.reap_nowait)
    assert len(session_members(process.identity)) == 1
    ours = replace(process.identity, start_ticks=process.identity.start_ticks + 100_000)

    assert session_members(ours) == ()


def test_a_process_that_left_the_session_is_not_a_member(run: Spawn, wait_line: WaitLine, wait_true: WaitTrue) -> None:
    process = run("setsid sleep 1000 & echo $!; echo ready; wait")
    wait_line("ready")
    daemon = next(child for child in psutil.Process(process.identity.pid).children())
    wait_true(lambda: os.getsid(daemon.pid) == daemon.pid)

    assert (process.identity,) == session_members(process.identity)
    assert end_session(process.identity, grace=10.0) == ENDED
    assert daemon.is_running()
    daemon.kill()
    wait_true(lambda: not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE)


def test_a_leader_that_leads_no_session_is_not_called_ended_while_it_lives() -> None:
    child = subprocess.Popen(["/bin/sleep", "1000"])
    try:
        identity = identify(child.pid)
        assert (identity,) == session_members(identity)
        assert end_session(identity, grace=10.0) == ENDED
    finally:
        child.kill()
        child.wait()


def test_members_born_while_the_session_is_being_ended_are_ended_too(run: Spawn, wait_line: WaitLine) -> None:
    process = run("trap '' TERM; echo ready; i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done; wait")
    wait_line("ready")

    assert end_session(process.identity, grace=0.0) == KILLED
    assert session_members(process.identity) == ()


def test_a_crowd_that_heeds_term_is_ended_without_a_kill(run: Spawn, wait_line: WaitLine) -> None:
    process = run("i=0; while [ $i -lt 100 ]; do sleep 1000 & i=$((i+1)); done; echo ready; wait")
    wait_line("ready")

    assert end_session(process.identity, grace=10.0) == ENDED


def test_who_cannot_be_ended_is_named(run: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    process = run("exec sleep 1000")

    def not_permitted(identity: ProcessIdentity, *signals: signal.Signals) -> None:
        raise PermissionError("it runs as another user")

    with monkeypatch.context() as patch:
        patch.setattr(_session, "signal_verified", not_permitted)
        patch.setattr(_session, "KILL_PATIENCE", 0.1)
        report = end_session(process.identity, grace=0.0)

    assert EndReport(ended=False, survivors=(process.identity.pid,), killed=False) == report


def test_an_unread_process_table_is_an_error_and_not_an_empty_session(
    spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = spawn("true")

    def unreadable(pid: int) -> None:
        raise PermissionError("hidden")

    with monkeypatch.context() as patch:
        patch.setattr(_session, "look_at", unreadable)
        with pytest.raises(PermissionError, match="hidden"):
            end_session(process.identity, grace=10.0)
    assert is_alive(process.identity)


def test_one_slow_stop_delays_no_other(run: Spawn, spawn: Spawn, wait_line: WaitLine) -> None:
    slow = run("trap '' TERM; sleep 1000 & echo ready; wait")
    wait_line("ready")
    reports = queue.SimpleQueue[EndReport]()
    stopping = threading.Thread(target=lambda: reports.put(end_session(slow.identity, grace=60.0)))
    stopping.start()
    try:
        assert end_session(spawn("true").identity, grace=10.0) == ENDED
        assert reports.empty()
    finally:
        kill_now(slow.identity)
        stopping.join()

    assert reports.get(timeout=10.0) == ENDED


def test_an_infinite_grace_is_a_grace(run: Spawn) -> None:
    assert end_session(run("exec sleep 1000").identity, grace=float("inf")) == ENDED


def test_the_callers_own_session_is_refused() -> None:
    program = (
        "from treewarden.actors.processes._identity import own_identity\n"
        "from treewarden.actors.processes._session import end_session, kill_now\n"
        "for end in (lambda: end_session(own_identity(), grace=0.0), lambda: kill_now(own_identity())):\n"
        "    try:\n"
        "        end()\n"
        "    except ValueError as error:\n"
        "        print('refused:', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], start_new_session=True, capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.count("refused: found the caller itself") == 2
