"""A spawned process waits until it is released, and never runs if it is not."""

import gc
import os
import queue
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from treewarden.actors.processes._exit_watch import PidfdExitWatch, ProcessExit
from treewarden.actors.processes._gated_process import GatedProcess, GateUsed, is_gate
from treewarden.actors.processes._identity import (
    ProcessGone,
    ProcessIdentity,
    boot_id,
    identify,
    is_alive,
    own_identity,
)
from treewarden.actors.processes._launcher import (
    EnvironmentNameUnusable,
    ExecutableMissing,
    ExecutableNotRunnable,
    Launch,
    Launcher,
    LogUnusable,
    WorkingDirectoryMissing,
    base_environment,
)
from treewarden.actors.processes._log_tail import tail
from treewarden.actors.processes._session import kill_now

Spawn = Callable[..., GatedProcess]
WaitTrue = Callable[[Callable[[], object]], None]
WaitLine = Callable[[str], None]

SPAWNER = """
import os, sys
from pathlib import Path
from treewarden.actors.processes._launcher import Launch, Launcher
process = Launcher().spawn_gated(Launch(tuple(sys.argv[4:]), sys.argv[2], dict(os.environ), Path(sys.argv[3])))
if sys.argv[1] == "release":
    process.release()
print(process.identity.pid, process.identity.start_ticks, flush=True)
sys.stdin.read()
"""


def spawner(then: str, cwd: Path, log: Path, env: dict[str, str], *argv: str) -> tuple[int, ProcessIdentity]:
    """Let another process spawn `argv` and kill -9 it; its pid, and what it spawned."""
    with subprocess.Popen(
        [sys.executable, "-c", SPAWNER, then, str(cwd), str(log), *argv],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as runtime:
        assert runtime.stdout is not None
        pid, ticks = runtime.stdout.readline().split()
        identity = ProcessIdentity(int(pid), int(ticks), boot_id())
        assert is_alive(identity)
        assert then != "hold" or is_gate(identity)
        runtime.kill()
    return runtime.pid, identity


def test_the_command_never_runs_if_the_spawner_is_killed_before_the_release(
    tmp_path: Path, log: Path, environment: dict[str, str], wait_true: WaitTrue
) -> None:
    _, gate = spawner("hold", tmp_path, log, environment, "touch", "ran")

    wait_true(lambda: not is_alive(gate))
    assert not (tmp_path / "ran").exists()


def test_the_command_and_its_output_survive_a_spawner_killed_after_the_release(
    tmp_path: Path, log: Path, environment: dict[str, str], wait_true: WaitTrue
) -> None:
    os.mkfifo(tmp_path / "go")
    pid, process = spawner("release", tmp_path, log, environment, "sh", "-c", "read -r _ <go; echo still here")

    assert not psutil.pid_exists(pid)
    (tmp_path / "go").write_text("\n")
    wait_true(lambda: tail(log, lines=1) == ("still here",))
    wait_true(lambda: not is_alive(process))


def test_the_command_does_not_run_before_the_release(spawn: Spawn, tmp_path: Path, wait_true: WaitTrue) -> None:
    process = spawn("touch", "ran")

    assert is_gate(process.identity)
    assert not (tmp_path / "ran").exists()
    process.release()
    wait_true((tmp_path / "ran").exists)


def test_the_released_command_is_the_same_process(spawn: Spawn, wait_true: WaitTrue) -> None:
    process = spawn("sleep", "1000")
    process.release()
    wait_true(lambda: psutil.Process(process.identity.pid).cmdline()[1:] == ["1000"])

    assert not is_gate(process.identity)
    assert identify(process.identity.pid) == process.identity


def test_a_process_leads_its_own_session_and_holds_only_three_descriptors(spawn: Spawn, wait_true: WaitTrue) -> None:
    other = spawn("true")
    process = spawn("sleep", "1000")
    process.release()

    # Waited for, because the dynamic loader holds libraries open for a moment after exec.
    for pid in (process.identity.pid, other.identity.pid):
        wait_true(partial(_holds_only_three_descriptors, pid))
        assert os.getsid(pid) == pid
    wait_true(lambda: str(Path(f"/proc/{process.identity.pid}/fd/0").readlink()) == "/dev/null")


def _holds_only_three_descriptors(pid: int) -> bool:
    return {entry.name for entry in Path(f"/proc/{pid}/fd").iterdir()} == {"0", "1", "2"}


def test_arguments_arrive_as_they_are(spawn: Spawn, wait_line: WaitLine) -> None:
    process = spawn("printf", "<%s>\\n", "two words", "$HOME `id` \"'", "*", "-n", "")
    process.release()

    for expected in ("<two words>", "<$HOME `id` \"'>", "<*>", "<-n>", "<>"):
        wait_line(expected)


def test_the_environment_is_what_was_given(
    spawn: Spawn, environment: dict[str, str], wait_true: WaitTrue, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_RUNTIME", "1")
    process = spawn("env", GREETING="two  words=$x")
    process.release()
    wait_true(process.reap_nowait)

    arrived = dict(line.split("=", 1) for line in tail(log, lines=1000))
    shell_made = {"PWD", "OLDPWD", "SHLVL", "_"}
    expected = {**environment, "GREETING": "two  words=$x"}
    assert expected == {name: value for name, value in arrived.items() if name not in shell_made}


def test_umask_is_untouched_and_the_working_directory_is_the_given_one(
    run: Spawn, wait_line: WaitLine, tmp_path: Path
) -> None:
    old = os.umask(0o027)
    try:
        run("umask; pwd")
    finally:
        os.umask(old)

    wait_line("0027")
    wait_line(str(tmp_path))


def test_both_streams_go_to_a_private_log_that_is_appended_to(
    run: Spawn, wait_line: WaitLine, tmp_path: Path, log: Path
) -> None:
    run("echo first; echo second >&2; echo done")
    wait_line("done")
    run("echo third")
    wait_line("third")

    assert tail(log, lines=10) == ("first", "second", "done", "third")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700


def test_every_missing_folder_of_the_log_is_made_private(tmp_path: Path, environment: dict[str, str]) -> None:
    log = tmp_path / "a" / "b" / "c.log"
    Launcher().spawn_gated(Launch(("true",), "/", environment, log)).cancel()

    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (log.parent, log.parent.parent)] == [0o700, 0o700]


def test_a_cancelled_command_never_runs_and_its_shell_is_reaped(spawn: Spawn, tmp_path: Path) -> None:
    process = spawn("touch", "ran")
    process.cancel()

    assert not psutil.pid_exists(process.identity.pid)
    assert not (tmp_path / "ran").exists()
    process.cancel()
    with pytest.raises(ProcessGone, match="never ran"):
        process.release()


def test_a_stopped_gate_is_cancelled_too(spawn: Spawn, stopped: Callable[[ProcessIdentity], ProcessIdentity]) -> None:
    process = spawn("true")
    stopped(process.identity)
    process.cancel()

    assert not psutil.pid_exists(process.identity.pid)


def test_a_released_command_is_neither_released_again_nor_cancelled(spawn: Spawn) -> None:
    process = spawn("sleep", "1000")
    process.release()

    with pytest.raises(GateUsed, match="released before"):
        process.release()
    with pytest.raises(GateUsed, match="session"):
        process.cancel()
    assert is_alive(process.identity)


def test_releasing_a_killed_gate_says_that_the_command_never_ran(
    spawn: Spawn, tmp_path: Path, wait_true: WaitTrue
) -> None:
    process = spawn("touch", "ran")
    os.kill(process.identity.pid, signal.SIGKILL)
    wait_true(lambda: not is_alive(process.identity))

    with pytest.raises(ProcessGone, match="never ran"):
        process.release()
    process.cancel()
    assert process.reap_nowait() == ProcessExit(None, signal.SIGKILL)
    assert not (tmp_path / "ran").exists()


def test_a_forgotten_child_is_not_reaped_behind_our_back(run: Spawn, environment: dict[str, str], log: Path) -> None:
    process = Launcher().spawn_gated(Launch(("sh", "-c", "exit 7"), "/", environment, log))
    process.release()
    identity = process.identity
    del process
    gc.collect()
    os.waitid(os.P_PID, identity.pid, os.WEXITED | os.WNOWAIT)
    subprocess.run(["/bin/true"], check=True)  # this is when subprocess reaps what was forgotten

    exits = queue.SimpleQueue[ProcessExit]()
    watch = PidfdExitWatch(on_error=_fail)
    try:
        watch.adopt(identity, exits.put)
        assert exits.get(timeout=5) == ProcessExit(7, None)
    finally:
        watch.close()


def _fail(error: BaseException) -> None:
    raise AssertionError from error


def test_another_process_or_none_is_not_a_gate(spawn: Spawn) -> None:
    process = spawn("true")

    assert is_gate(process.identity)
    assert not is_gate(replace(process.identity, start_ticks=process.identity.start_ticks + 1))
    assert not is_gate(own_identity())
    process.cancel()
    assert not is_gate(process.identity)


def test_a_missing_program_is_said_before_anything_is_started(spawn: Spawn, log: Path) -> None:
    with pytest.raises(ExecutableMissing, match="no-such-program-here"):
        spawn("no-such-program-here")
    assert not log.parent.exists()


def test_a_program_that_may_not_run_is_said_before_anything_is_started(spawn: Spawn, log: Path, tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")

    with pytest.raises(ExecutableNotRunnable, match="without execute permission"):
        spawn("./tool")
    assert not log.parent.exists()


def test_the_program_is_looked_for_in_the_path_of_the_child(spawn: Spawn, tmp_path: Path, wait_line: WaitLine) -> None:
    tool = tmp_path / "bin" / "only-here"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho found\n")
    tool.chmod(0o755)

    spawn("only-here", PATH=f"bin:{os.environ['PATH']}").release()
    wait_line("found")


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_a_wrong_working_directory_is_said_before_anything_is_started(
    tmp_path: Path, environment: dict[str, str], log: Path, name: str
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(WorkingDirectoryMissing, match=name) as caught:
        Launcher().spawn_gated(Launch(("true",), str(tmp_path / name), environment, log))
    assert caught.value.found in {"No such file or directory", "something that is not a directory"}
    assert not log.parent.exists()


@pytest.mark.parametrize("name", ["with-dash", "with.dot", "1st", "", "a b"])
def test_a_variable_that_the_shell_would_drop_is_refused(spawn: Spawn, name: str) -> None:
    with pytest.raises(EnvironmentNameUnusable) as caught:
        spawn("true", **{name: "x"})
    assert caught.value.name == name


def test_an_empty_command_is_refused(spawn: Spawn) -> None:
    with pytest.raises(ValueError, match="empty command"):
        spawn()


def test_a_text_with_nul_is_refused_and_leaves_nothing(spawn: Spawn) -> None:
    with pytest.raises(ValueError, match="null byte"):
        spawn("true", "a\0b")


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_log_that_is_not_a_regular_file_is_refused(spawn: Spawn, log: Path, tmp_path: Path, kind: str) -> None:
    log.parent.mkdir()
    target = tmp_path / "precious"
    match kind:
        case "link":
            log.symlink_to(target)
        case "fifo":
            os.mkfifo(log)
        case _:
            log.mkdir()

    with pytest.raises(LogUnusable, match="expected a regular file"):
        spawn("true")
    assert not target.exists()


def test_the_base_environment_keeps_no_secret() -> None:
    source = {
        "HOME": "/h", "USER": "u", "LOGNAME": "l", "SHELL": "/s", "LANG": "C", "LC_TIME": "de", "TZ": "UTC",
        "TMPDIR": "/t", "PATH": "/p", "API_TOKEN": "x", "LD_PRELOAD": "y", "PYTHONPATH": "z",
    }  # fmt: skip

    assert {name: source[name] for name in source if name not in {"API_TOKEN", "LD_PRELOAD", "PYTHONPATH"}} == (
        base_environment(source)
    )
    assert base_environment({"API_TOKEN": "x"}) == {"PATH": "/usr/local/bin:/usr/bin:/bin"}


def test_open_gates_and_closed_ones_do_not_hold_each_other(spawn: Spawn, tmp_path: Path, wait_true: WaitTrue) -> None:
    gates = [spawn("true") for _ in range(20)]
    for gate in gates[::2]:
        gate.release()

    wait_true(lambda: all(gate.reap_nowait() == ProcessExit(0, None) for gate in gates[::2]))
    assert all(is_gate(gate.identity) for gate in gates[1::2])
    assert all(kill_now(gate.identity).ended for gate in gates[1::2])
