"""Who a process is: pid, start time and boot."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.actors.processes import _identity
from treewarden.actors.processes._gated_process import GatedProcess
from treewarden.actors.processes._identity import (
    ProcessGone,
    boot_id,
    identify,
    is_alive,
    look_at,
    open_verified,
    own_identity,
    process_ids,
)

Spawn = Callable[..., GatedProcess]


@pytest.fixture
def zombie() -> Iterator[int]:
    """The pid of a child of ours that has ended and is not reaped."""
    child = subprocess.Popen(["/bin/true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    yield child.pid
    child.wait()


@pytest.fixture
def without_proc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The half for systems without /proc."""
    monkeypatch.setattr(_identity, "ON_LINUX", False)
    boot_id.cache_clear()
    yield
    monkeypatch.undo()
    boot_id.cache_clear()


def test_a_process_knows_itself() -> None:
    me = own_identity()

    assert me.pid == os.getpid()
    assert me == identify(os.getpid())
    assert is_alive(me)
    assert me.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_start_ticks_are_field_22_of_stat() -> None:
    ticks_per_second = os.sysconf("SC_CLK_TCK")
    since_boot = psutil.Process().create_time() - psutil.boot_time()

    assert abs(own_identity().start_ticks / ticks_per_second - since_boot) < 1.5


def test_a_zombie_is_gone(zombie: int) -> None:
    seen = look_at(zombie)

    assert seen is not None
    assert not seen.alive
    assert not is_alive(seen.identity)
    with pytest.raises(ProcessGone, match="zombie"):
        identify(zombie)
    with pytest.raises(ProcessGone):
        open_verified(seen.identity)


def test_a_free_pid_is_gone() -> None:
    child = subprocess.Popen(["/bin/sleep", "1000"])
    identity = identify(child.pid)
    child.kill()
    child.wait()

    assert not is_alive(identity)
    with pytest.raises(ProcessGone) as caught:
        identify(child.pid)
    assert caught.value.pid == child.pid
    with pytest.raises(ProcessGone):
        open_verified(identity)


def test_a_process_whose_first_thread_has_ended_is_alive(half_dead: GatedProcess) -> None:
    assert is_alive(half_dead.identity)
    os.close(open_verified(half_dead.identity))


@pytest.mark.parametrize("change", [{"start_ticks": -1}, {"start_ticks": +1}])
def test_another_start_time_is_another_process(change: dict[str, int]) -> None:
    me = own_identity()
    stranger = replace(me, start_ticks=me.start_ticks + change["start_ticks"])

    assert not is_alive(stranger)
    with pytest.raises(ProcessGone, match=f"started at tick {stranger.start_ticks}"):
        open_verified(stranger)


def test_a_process_of_another_boot_is_gone() -> None:
    before_the_reboot = replace(own_identity(), boot_id="00000000-0000-0000-0000-000000000000")

    assert not is_alive(before_the_reboot)
    with pytest.raises(ProcessGone):
        open_verified(before_the_reboot)


def test_a_process_that_may_not_be_seen_is_an_error_and_not_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    me = own_identity()
    monkeypatch.setattr(_identity, "_PROC", str(tmp_path))  # as with hidepid, or with no /proc mounted

    with pytest.raises(PermissionError, match="hidepid"):
        is_alive(me)
    with pytest.raises(PermissionError, match="hidepid"):
        identify(os.getpid())
    with pytest.raises(PermissionError, match="hidepid"):
        open_verified(me)


@pytest.mark.parametrize("number", [0, -1])
def test_what_names_a_group_is_not_a_pid(number: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        identify(number)


def test_a_thread_of_another_process_is_not_the_process_that_had_its_number() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        with pytest.raises(ProcessGone):
            open_verified(replace(own_identity(), pid=thread.native_id, start_ticks=1))
    finally:
        done.set()
        thread.join()


def test_a_pidfd_means_the_process(spawn: Spawn) -> None:
    process = spawn("/bin/true")
    pidfd = open_verified(process.identity)
    try:
        shown = Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    finally:
        os.close(pidfd)

    assert f"Pid:\t{process.identity.pid}\n" in shown


def test_a_name_with_parentheses_does_not_confuse_the_reader(tmp_path: Path) -> None:
    program = tmp_path / "a) Z 1 (b"
    shutil.copy("/bin/sleep", program)
    child = subprocess.Popen([str(program), "1000"])
    try:
        identity = identify(child.pid)
        assert identity.start_ticks >= own_identity().start_ticks
        seen = look_at(child.pid)
        assert seen is not None
        assert (seen.parent, seen.session) == (os.getpid(), os.getsid(0))
    finally:
        child.kill()
        child.wait()


@given(name=st.binary(max_size=64), ticks=st.integers(0, 2**63), state=st.sampled_from(["R", "S", "D", "T", "Z", "X"]))
def test_any_name_leaves_the_numbers_readable(name: bytes, ticks: int, state: str) -> None:
    fields = [state, "11", "12", "13", *["0"] * 13, "1", "0", str(ticks), "99"]

    seen = _identity._parse_stat(5, b"5 (" + name + b") " + " ".join(fields).encode() + b"\n")

    assert (seen.identity.pid, seen.identity.start_ticks, seen.parent, seen.session) == (5, ticks, 11, 13)
    assert seen.alive == (state not in "ZX")


def test_the_list_of_processes_holds_us_and_our_child(spawn: Spawn) -> None:
    process = spawn("/bin/true")

    assert {os.getpid(), process.identity.pid} <= set(process_ids())


def test_without_proc_the_same_promises_hold(without_proc: None, zombie: int) -> None:
    me = own_identity()
    seen = look_at(os.getpid())

    assert is_alive(me)
    assert not is_alive(replace(me, start_ticks=me.start_ticks + 1))
    assert not is_alive(replace(me, boot_id="another"))
    assert seen is not None
    assert (seen.parent, seen.session) == (os.getppid(), os.getsid(0))
    assert os.getpid() in process_ids()
    with pytest.raises(ProcessGone, match="zombie"):
        identify(zombie)


def test_without_proc_a_free_pid_is_gone(without_proc: None) -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()

    with pytest.raises(ProcessGone, match="no process"):
        identify(child.pid)
