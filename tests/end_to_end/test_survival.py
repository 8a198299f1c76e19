"""The main job: what is killed comes back, what lives is adopted, nothing runs twice."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import psutil
import pytest

Processes: TypeAlias = dict[str, dict[str, Any]]

TREE = """\
version: 1
name: dev
intensity: {restarts: 50, within: 10s}
children:
  - {id: a, kind: process, command: [sleep, "3601"]}
  - {id: b, kind: process, command: [sleep, "3602"], needs: [a], ready: {command: ["true"], every: 20ms}}
  - id: group
    kind: supervisor
    children:
      - {id: c, kind: process, shell: true, command: "exec sleep 3603"}
      - {id: d, kind: process, command: [sleep, "3604"], ready: {command: [sleep, "0.02"], every: 20ms}}
  - {id: e, kind: process, command: [sleep, "3605"], needs: [b]}
"""
PATHS = {"/dev/a", "/dev/b", "/dev/group/c", "/dev/group/d", "/dev/e"}


def test_a_killed_process_is_replaced_and_becomes_ready_again(cli: Any) -> None:
    cli.up(cli.write(TREE))
    before = cli.wait_all_ready()

    os.kill(before["/dev/b"]["pid"], signal.SIGKILL)

    def is_replaced(found: Processes) -> bool:
        return bool(found["/dev/b"]["ready"]) and found["/dev/b"]["pid"] != before["/dev/b"]["pid"]

    after = cli.wait_processes(is_replaced)

    assert 1 == after["/dev/b"]["restarts"]
    assert "killed by SIGKILL" in after["/dev/b"]["last_exit"]
    assert {path: p["pid"] for path, p in before.items() if path != "/dev/b"} == {
        path: p["pid"] for path, p in after.items() if path != "/dev/b"
    }


def test_a_killed_runtime_comes_back_and_adopts_every_process(cli: Any) -> None:
    definition = cli.write(TREE)
    first = cli.up(definition)
    before = cli.wait_all_ready()

    first.kill()
    first.wait()
    assert all(psutil.pid_exists(p["pid"]) for p in before.values())
    cli.up(definition)
    after = cli.wait_all_ready()

    assert {path: p["pid"] for path, p in before.items()} == {path: p["pid"] for path, p in after.items()}
    assert all(p["adopted"] for p in after.values())
    assert {path: [p["pid"]] for path, p in after.items()} == cli.bearers()


def test_an_adopted_process_that_dies_is_replaced(cli: Any) -> None:
    definition = cli.write(TREE)
    first = cli.up(definition)
    cli.wait_all_ready()
    first.kill()
    first.wait()
    cli.up(definition)
    adopted = cli.wait_all_ready()

    os.kill(adopted["/dev/a"]["pid"], signal.SIGKILL)

    def is_replaced(found: Processes) -> bool:
        return found["/dev/a"]["pid"] not in (None, adopted["/dev/a"]["pid"])

    after = cli.wait_processes(is_replaced)

    assert not after["/dev/a"]["adopted"]
    assert "exit code is not known" in after["/dev/a"]["last_exit"]


def test_down_leaves_no_process_alive_also_those_it_adopted(cli: Any, wait_gone: Callable[[int], None]) -> None:
    definition = cli.write(TREE)
    first = cli.up(definition)
    cli.wait_all_ready()
    first.kill()
    first.wait()
    second = cli.up(definition)
    processes = cli.wait_all_ready()

    done = cli.run("down")

    assert 0 == done.returncode, done.stderr
    assert 0 == second.wait(timeout=20)
    for process in processes.values():
        wait_gone(process["pid"])


def test_down_without_a_runtime_ends_what_a_killed_one_left(cli: Any, wait_gone: Callable[[int], None]) -> None:
    first = cli.up(cli.write(TREE))
    left = cli.wait_all_ready()
    first.kill()
    first.wait()

    done = cli.run("down")

    assert 0 == done.returncode, done.stderr
    assert "5 processes" in done.stdout + done.stderr
    for process in left.values():
        wait_gone(process["pid"])


def test_a_process_whose_definition_changed_is_replaced_not_adopted(cli: Any, wait_gone: Callable[[int], None]) -> None:
    first = cli.up(cli.write(TREE))
    before = cli.wait_all_ready()
    first.kill()
    first.wait()

    cli.up(cli.write(TREE.replace("3601", "4601")))
    after = cli.wait_all_ready()

    wait_gone(before["/dev/a"]["pid"])
    assert ["sleep", "4601"] == after["/dev/a"]["command"]
    assert not after["/dev/a"]["adopted"]
    assert after["/dev/group/c"]["adopted"]


def test_a_process_that_left_the_definition_is_ended_at_the_next_start(
    cli: Any, wait_gone: Callable[[int], None]
) -> None:
    first = cli.up(cli.write(TREE))
    before = cli.wait_all_ready()
    first.kill()
    first.wait()

    cli.up(cli.write("\n".join(line for line in TREE.splitlines() if "3605" not in line)))
    after = cli.wait_all_ready()

    assert "/dev/e" not in after
    wait_gone(before["/dev/e"]["pid"])


@pytest.mark.timeout(400)  # half a minute, unless the machine has much else to do
def test_twenty_kills_of_the_runtime_at_random_moments_leave_one_of_each_process(cli: Any) -> None:
    """Half of the kills hit the bring-up (after a random number of events), half the steady state."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    definition = cli.write(TREE)
    log = cli.folder / "up.log"
    for _ in range(10):
        bringing_up = cli.up(definition)
        wait_lines(log, count_lines(log) + chance.randrange(1, 16), runtime=bringing_up)
        spin(chance.uniform(0, 0.005))
        bringing_up.kill()
        bringing_up.wait()

        steady = cli.up(definition)
        found = cli.wait_all_ready()
        only_these = {path: [p["pid"]] for path, p in found.items()}
        assert PATHS == set(found), f"seed {seed}"
        assert only_these == cli.bearers(), f"seed {seed}"
        spin(chance.uniform(0, 0.05))
        steady.kill()
        steady.wait()


def count_lines(log: Any) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def wait_lines(log: Any, wanted: int, *, runtime: Any) -> None:
    deadline, pause = time.monotonic() + 20, threading.Event()
    while count_lines(log) < wanted and runtime.poll() is None:
        pause.wait(0.001)  # the runtime needs the processor more
        assert time.monotonic() < deadline, f"{wanted} lines did not come; the log says:\n{log.read_text()[-3000:]}"


def spin(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        os.sched_yield()
