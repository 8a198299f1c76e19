"""Command checks with real processes: their exits, their output, and that nobody is left."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest

from treewarden.actors.probes import CommandProbe, Health, Healthy, ProbeLoop, Unhealthy
from treewarden.actors.probes._sweeper import CommandSurvived
from treewarden.actors.processes._session import EndReport

Ask: TypeAlias = Callable[..., Health]
WaitGone: TypeAlias = Callable[[int], None]


def no_pidfd(_pid: int) -> None:
    """What a kernel before 5.3, or a sandbox, has to offer."""


@pytest.fixture(params=["pidfd", "polling"])
def both_ways_of_waiting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "polling":
        monkeypatch.setattr("treewarden.actors.probes._child_exit._open_pidfd", no_pidfd)


def sh(script: str, **env: str) -> CommandProbe:
    return CommandProbe(("sh", "-c", script), env=env)


def forking_into_a_group(pids: Path, then: str) -> CommandProbe:
    """A command that starts a sleeper in the same session but in a group of its own, and then does `then`."""
    script = f"""
import pathlib, subprocess, time
sleeper = subprocess.Popen(["sleep", "1000"], process_group=0)
pathlib.Path({str(pids)!r}).write_text(str(sleeper.pid))
{then}
"""
    return CommandProbe((sys.executable, "-c", script))


def pids_in(file: Path) -> list[int]:
    return [int(line) for line in file.read_text(encoding="ascii").split()]


def why(health: Health) -> str:
    assert isinstance(health, Unhealthy)
    return health.why


@pytest.mark.usefixtures("both_ways_of_waiting")
class TestExits:
    def test_exit_code_0_passes(self, ask: Ask) -> None:
        assert Healthy() == ask(CommandProbe(("true",)))

    def test_another_exit_code_fails_with_the_last_line_of_output(self, ask: Ask) -> None:
        probe = sh("echo starting; echo database is down >&2; echo; exit 3")

        assert Unhealthy("command sh: expected exit code 0, found 3: database is down") == ask(probe)

    def test_a_silent_failure_names_the_code_only(self, ask: Ask) -> None:
        assert Unhealthy("command false: expected exit code 0, found 1") == ask(CommandProbe(("false",)))

    def test_a_signal_fails_by_its_name(self, ask: Ask) -> None:
        assert Unhealthy("command sh: expected exit code 0, ended by SIGTERM") == ask(sh("kill -TERM $$"))

    def test_a_hanging_command_costs_one_timeout_and_is_ended(
        self, ask: Ask, wait_gone: WaitGone, tmp_path: Path
    ) -> None:
        pids = tmp_path / "pids"

        assert Unhealthy("command sh: no answer within 0.4 s") == ask(sh(f"echo $$ > {pids}; exec sleep 1000"), 0.4)
        (pid,) = pids_in(pids)
        wait_gone(pid)


def test_a_real_time_signal_fails_by_its_number(ask: Ask) -> None:
    number = int(signal.SIGRTMIN) + 3

    assert f"ended by signal {number}" in why(ask(sh(f"kill -{number} $$")))


def test_a_missing_program_says_what_was_looked_for_and_where(ask: Ask) -> None:
    expected = "command no-such-program: cannot start: no such file or directory: no-such-program (in the directory /)"

    assert Unhealthy(expected) == ask(CommandProbe(("no-such-program",)))


def test_a_missing_directory_is_told_apart_from_a_missing_program(ask: Ask) -> None:
    assert "no such file or directory: /no/such (in the directory /no/such)" in why(
        ask(CommandProbe(("true",), cwd="/no/such"))
    )


def test_a_file_that_may_not_run_says_so(ask: Ask, tmp_path: Path) -> None:
    script = tmp_path / "check"
    script.write_text("#!/bin/sh\n", encoding="ascii")

    assert f"cannot start: permission denied: {script}" in why(ask(CommandProbe((str(script),))))


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (CommandProbe(()), "expected an argument list that names a program, found none"),
        (CommandProbe(("tr\0ue",)), "null byte"),
        (CommandProbe(("true",), env={"A=B": "1"}), "illegal environment variable name"),
    ],
    ids=["empty", "null byte", "variable"],
)
def test_what_the_system_cannot_be_given_is_an_answer(ask: Ask, probe: CommandProbe, reason: str) -> None:
    assert reason in why(ask(probe))


def test_no_shell_reads_the_arguments(ask: Ask, tmp_path: Path) -> None:
    """MS3, MS4: `;`, `|` and `$()` are letters like any other."""
    trap = tmp_path / "trap"

    assert isinstance(ask(CommandProbe((f"true; touch {trap}",))), Unhealthy)
    assert Healthy() == ask(CommandProbe(("test", f"$(touch {trap})", "=", f"$(touch {trap})")))
    assert not trap.exists()


def test_a_command_gets_neither_the_environment_nor_the_directory_of_the_runtime(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MS31: no secret of the runtime reaches a check."""
    monkeypatch.setenv("API_TOKEN", "secret")

    assert Healthy() == ask(sh('test -z "$API_TOKEN" && test "$GIVEN" = 1 && test -n "$PATH"', GIVEN="1"))
    assert Healthy() == ask(sh('test "$(pwd)" = /'))


def test_a_command_runs_in_the_directory_it_names(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "here").touch()

    assert Healthy() == ask(CommandProbe(("test", "-f", "here"), cwd=str(tmp_path)))


def test_a_command_does_not_read_the_input_of_the_runtime(ask: Ask) -> None:
    reader, writer = os.pipe()
    before = os.dup(0)
    os.dup2(reader, 0)
    try:
        assert Healthy() == ask(sh('test "$(readlink /proc/$$/fd/0)" = /dev/null'))
    finally:
        os.dup2(before, 0)
        for descriptor in (before, reader, writer):
            os.close(descriptor)


def test_a_command_leads_its_own_session(ask: Ask) -> None:
    assert Healthy() == ask(sh('set -- $(cat /proc/$$/stat); test "$6" = "$$"'))  # proc_pid_stat(5): session


def test_a_command_inherits_no_descriptor(ask: Ask, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("wb") as held:
        os.set_inheritable(held.fileno(), True)

        assert Healthy() == ask(CommandProbe(("test", "!", "-e", f"/proc/self/fd/{held.fileno()}")))


def test_a_flood_of_output_neither_blocks_the_command_nor_stays_in_memory(ask: Ask) -> None:
    before = psutil.Process().memory_info().rss
    answer = ask(sh("head -c 50000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1"))

    assert Unhealthy("command sh: expected exit code 0, found 1: the end") == answer
    assert psutil.Process().memory_info().rss - before < 20_000_000


def test_a_flood_without_end_costs_one_timeout(ask: Ask) -> None:
    assert "no answer within 0.3 s" in why(ask(CommandProbe(("yes",)), 0.3))


def test_output_cannot_forge_a_second_line_or_drive_a_terminal(ask: Ask) -> None:
    found = why(ask(sh("printf '\\033[2Jred\\033]0;title\\007\\r'; printf 'x%.0s' $(seq 3000); exit 1")))

    assert found.isprintable()
    assert len(found) < 300


def test_forked_sleepers_of_a_hanging_command_are_ended_too(ask: Ask, wait_gone: WaitGone, tmp_path: Path) -> None:
    """MS31: the whole session, not the shell only."""
    pids = tmp_path / "pids"
    probe = sh(f"for i in 1 2 3; do sleep 1000 & echo $! >> {pids}; done; echo $$ >> {pids}; wait")

    assert isinstance(ask(probe, 0.5), Unhealthy)
    assert len(pids_in(pids)) == 4
    for pid in pids_in(pids):
        wait_gone(pid)


def test_sleepers_in_groups_of_their_own_are_ended_too(ask: Ask, wait_gone: WaitGone, tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    assert isinstance(ask(forking_into_a_group(pids, "time.sleep(1000)"), 1.0), Unhealthy)
    (pid,) = pids_in(pids)
    wait_gone(pid)


def test_sleepers_that_ignore_term_are_ended_too(ask: Ask, wait_gone: WaitGone, tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    assert isinstance(ask(sh(f"trap '' TERM HUP; (sleep 1000) & echo $! > {pids}; wait"), 0.5), Unhealthy)
    (pid,) = pids_in(pids)
    wait_gone(pid)


@pytest.mark.parametrize(
    "fork", ["sleep 1000 &", "sleep 1000 >/dev/null 2>&1 &"], ids=["holding the output", "output closed"]
)
def test_a_command_that_passes_leaves_nobody_and_waits_for_nobody(
    ask: Ask, wait_gone: WaitGone, tmp_path: Path, fork: str
) -> None:
    """MS31: no probe child leaks; and who holds the pipe open does not hold up the answer."""
    pids = tmp_path / "pids"
    started = time.monotonic()

    assert Healthy() == ask(sh(f"{fork} echo $! > {pids}; exit 0"))
    assert time.monotonic() - started < 5.0
    (pid,) = pids_in(pids)
    wait_gone(pid)


def test_a_command_that_passes_leaves_nobody_in_another_group(ask: Ask, wait_gone: WaitGone, tmp_path: Path) -> None:
    """MS31: seen by the output that it holds open."""
    pids = tmp_path / "pids"

    assert Healthy() == ask(forking_into_a_group(pids, "pass"))
    (pid,) = pids_in(pids)
    wait_gone(pid)


def test_a_lost_exit_status_is_not_taken_for_0(ask: Ask) -> None:
    """With SIGCHLD ignored the kernel reaps (sigaction(2)), and `Popen` would report 0."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        found = why(ask(CommandProbe(("false",))))
    finally:
        signal.signal(signal.SIGCHLD, before)

    assert "was taken by another waiter" in found


def test_who_survives_a_sweep_is_reported_and_holds_up_no_answer(
    ask: Ask,
    errors: list[BaseException],
    wait_for: Callable[[Callable[[], bool], str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sweeping = threading.Event()

    def unkillable(_leader: object) -> EndReport:
        sweeping.wait(5.0)
        return EndReport(ended=False, survivors=(4711,), killed=True)

    monkeypatch.setattr("treewarden.actors.probes._sweeper.kill_now", unkillable)
    assert isinstance(ask(CommandProbe(("sleep", "1000")), 0.2), Unhealthy)
    sweeping.set()
    wait_for(lambda: bool(errors), "the survivor was reported")

    survived = errors.pop()
    assert isinstance(survived, CommandSurvived)
    assert "4711" in str(survived)


def test_who_survives_the_sweep_of_a_closing_loop_is_reported_too(
    probes: ProbeLoop,
    errors: list[BaseException],
    wait_for: Callable[[Callable[[], bool], str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unkillable(_leader: object) -> EndReport:
        threading.Event().wait(0.1)  # it takes its time to find out, as a scan does
        return EndReport(ended=False, survivors=(4711,), killed=True)

    monkeypatch.setattr("treewarden.actors.probes._sweeper.kill_now", unkillable)
    answers: list[Health] = []
    probes.check(CommandProbe(("sleep", "1000")), timeout=60.0, on_result=answers.append)
    wait_for(lambda: len(psutil.Process().children()) == 1, "the command runs")
    probes.close(within=10.0)

    assert [Unhealthy("the probe loop is closing")] == answers
    assert isinstance(errors.pop(), CommandSurvived)


def test_a_command_whose_identity_cannot_be_read_is_not_left_behind(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[int] = []

    def hidden(pid: int) -> None:
        seen.append(pid)
        raise PermissionError(13, "hidden", f"/proc/{pid}/stat")

    monkeypatch.setattr("treewarden.actors.probes._command.look_at", hidden)

    assert "permission denied" in why(ask(CommandProbe(("sleep", "1000"))))
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)
