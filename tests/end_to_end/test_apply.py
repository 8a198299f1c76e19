"""A running tree is made what a file says: real processes under a runtime in the background, by the command line."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

Processes: TypeAlias = dict[str, dict[str, Any]]

HEAD = "version: 1\nname: dev\nchildren:\n"
KEPT = '  - {id: kept, kind: process, command: [sleep, "3611"]}\n'
CHANGED = '  - {id: changed, kind: process, command: [sleep, "3612"], env: {TOKEN: "s3cr3t-before"}}\n'
GONE = '  - {id: gone, kind: process, command: [sleep, "3613"]}\n'
GROUP = (
    "  - id: group\n    kind: supervisor\n    children:\n"
    '      - {id: inner, kind: process, command: [sleep, "3614"]}\n'
    '      - {id: left, kind: process, command: [sleep, "3615"]}\n'
)
BEFORE = HEAD + KEPT + CHANGED + GONE + GROUP
AFTER = (
    HEAD
    + '  - {id: added, kind: process, command: [sleep, "3616"]}\n'
    + KEPT
    + CHANGED.replace("3612", "3617").replace("before", "after")
    + GROUP.replace("left", "more").replace("    children", "    strategy: rest_for_one\n    children")
)

PICKY = """\
from pathlib import Path

from treewarden.actors import Actor


class Picky(Actor):
    def __init__(self, unless: str) -> None:
        super().__init__()
        self.unless = unless

    def on_start(self) -> None:
        if Path(self.unless).exists():
            raise RuntimeError("it is forbidden")
"""


@pytest.fixture
def detached(cli: Any) -> Iterator[Callable[[str], Path]]:
    """Run a tree in the background; it is down at the end of the test."""
    (cli.folder / "up.log").touch()  # what `cli` quotes when a wait fails

    def up(text: str) -> Path:
        definition: Path = cli.write(text)
        done = cli.run("up", str(definition), "--detach")
        assert 0 == done.returncode, done.stderr
        return definition

    yield up
    assert 0 == cli.run("down").returncode


def applied(cli: Any, text: str) -> "tuple[int, str, str]":
    done = cli.run("apply", str(cli.write(text)))
    return done.returncode, done.stdout, done.stderr


def pids(processes: Processes) -> dict[str, int]:
    return {path.removeprefix("/dev/"): process["pid"] for path, process in processes.items()}


def happened(cli: Any, *kinds: str) -> list[str]:
    """Events of these kinds since the last apply began, as `kind path`."""
    events = json.loads(cli.run("events", "--json").stdout)["events"]
    first = next(at for at in range(len(events) - 1, -1, -1) if events[at].get("number") == 1)
    return [f"{event['event']} {event['path']}" for event in events[first:] if event["event"] in kinds]


def test_only_what_changed_is_replaced(cli: Any, detached: Any, wait_gone: Callable[[int], None]) -> None:
    detached(BEFORE)
    before = pids(cli.wait_all_ready())

    code, out, err = applied(cli, AFTER)

    assert 0 == code, err
    after = pids(cli.wait_all_ready())
    assert {"added", "kept", "changed", "group/inner", "group/more"} == set(after)
    assert (before["kept"], before["group/inner"]) == (after["kept"], after["group/inner"])
    assert before["changed"] != after["changed"]
    for name in ("changed", "gone", "group/left"):
        wait_gone(before[name])
    assert "! restart  /dev/changed  command, env.TOKEN" in out
    assert "strategy one_for_one -> rest_for_one" in out
    assert "s3cr3t" not in out + err, "values of variables are never shown"
    assert "nothing to do" in cli.run("plan", str(cli.folder / "tree.yaml")).stdout


def test_stops_come_first_from_the_end_and_starts_in_the_order_of_the_file(cli: Any, detached: Any) -> None:
    detached(BEFORE)
    cli.wait_all_ready()

    assert 0 == applied(cli, AFTER)[0]

    assert [
        "ChildStopped /dev/group/left",
        "ChildStopped /dev/gone",
        "ChildStarted /dev/added",
        "ChildStopped /dev/changed",
        "ChildStarted /dev/changed",
        "ChildStarted /dev/group/more",
    ] == happened(cli, "ChildStopped", "ChildStarted")


def test_a_policy_alone_keeps_the_process_and_takes_effect(
    cli: Any, detached: Any, wait_gone: Callable[[int], None]
) -> None:
    detached(HEAD + KEPT + GONE)
    before = pids(cli.wait_all_ready())

    code, out, err = applied(cli, HEAD + KEPT + GONE.replace("]}", "], restart: temporary}"))

    assert 0 == code, err
    assert "gone: restart permanent -> temporary" in out
    assert before == pids(cli.wait_all_ready())
    os.kill(before["gone"], signal.SIGKILL)
    wait_gone(before["gone"])

    def is_forgotten(found: Processes) -> bool:
        return "/dev/gone" not in found

    assert ["/dev/kept"] == list(cli.wait_processes(is_forgotten))


def test_a_file_with_mistakes_changes_nothing_and_every_mistake_is_told(cli: Any, detached: Any) -> None:
    detached(BEFORE)
    before = cli.wait_all_ready()
    wrong = AFTER.replace("[sleep", "[no-such-program", 1).replace("rest_for_one", "rest_for_two")

    for command in ("plan", "apply"):
        done = cli.run(command, str(cli.write(wrong)))

        assert (1, "") == (done.returncode, done.stdout)
        assert "2 complaints, nothing was done" in done.stderr
        assert "tree.yaml:4  children[0].command[0]: found the program 'no-such-program'" in done.stderr
        assert "expected one of one_for_one, one_for_all, rest_for_one" in done.stderr
    assert pids(before) == pids(cli.processes())


def test_a_dry_run_changes_nothing(cli: Any, detached: Any) -> None:
    detached(BEFORE)
    before = pids(cli.wait_all_ready())

    dry = cli.run("apply", str(cli.write(AFTER)), "--dry-run")
    plan = cli.run("plan", str(cli.folder / "tree.yaml"))

    assert (0, 0, plan.stdout) == (dry.returncode, plan.returncode, dry.stdout)
    assert "- stop     /dev/gone  not in the file" in plan.stdout
    assert before == pids(cli.processes())


def test_an_apply_that_fails_half_way_is_finished_by_the_next_one(cli: Any, detached: Any) -> None:
    """Nothing is rolled back, and the same command goes on where the first one ended."""
    (cli.folder / "picky.py").write_text(PICKY)
    (cli.folder / "forbidden").touch()
    detached(HEAD + KEPT + GROUP)
    before = pids(cli.wait_all_ready())
    wanted = (
        HEAD
        + KEPT
        + f'  - {{id: picky, kind: actor, class: "picky:Picky", args: {{unless: "{cli.folder}/forbidden"}}}}\n'
        + GROUP
        + '  - {id: after, kind: process, command: [sleep, "3619"]}\n'
    )

    code, _, err = applied(cli, wanted)

    assert 1 == code
    assert "start /dev/picky (new) failed: /dev/picky did not start: crashed: RuntimeError: it is forbidden" in err
    assert "done before it: change /dev\n" in err
    assert "not done: start /dev/after\n" in err
    assert before == {name: pid for name, pid in pids(cli.processes()).items() if pid is not None}

    (cli.folder / "forbidden").unlink()
    code, _, err = applied(cli, wanted)

    assert 0 == code, err
    after = pids(cli.wait_all_ready())
    assert {**before, "after": after["after"]} == after
    assert "running, ready" in cli.run("show", "/dev/picky").stdout


def test_a_file_of_another_tree_is_refused(cli: Any, detached: Any) -> None:
    detached(HEAD + KEPT)
    before = pids(cli.wait_all_ready())

    code, out, err = applied(cli, (HEAD + KEPT).replace("name: dev", "name: prod"))

    assert (1, "") == (code, out)
    assert "defines the tree /prod, expected /dev" in err
    assert before == pids(cli.processes())


def test_what_an_apply_changed_is_adopted_by_the_next_runtime_with_that_file(
    cli: Any, wait_gone: Callable[[int], None]
) -> None:
    """Records name the command that runs, so the file that was applied last is the one to start with again."""
    first = cli.up(cli.write(BEFORE))
    before = pids(cli.wait_all_ready())
    assert 0 == applied(cli, AFTER)[0]
    changed = pids(cli.wait_all_ready())
    first.kill()
    first.wait()

    cli.up(cli.folder / "tree.yaml")
    adopted = cli.wait_all_ready()

    assert changed == pids(adopted)
    assert all(process["adopted"] for process in adopted.values())
    wait_gone(before["gone"])
