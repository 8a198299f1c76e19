"""Checkpoints from the command line: of a tree that runs, and of one that was killed."""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

COUNTER = """\
from typing import Any

from treewarden.actors import Actor


class Counter(Actor):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def on_start(self) -> None:
        self.count += 1  # so each start is a change

    def snapshot(self) -> Any:
        return {"count": self.count}

    def restore(self, state: Any) -> None:
        self.count = state["count"]
"""
TREE = """\
version: 1
name: dev
children:
  - {id: a, kind: actor, class: "counting:Counter"}
  - {id: b, kind: actor, class: "counting:Counter"}
  - {id: served, kind: process, command: [sleep, "3621"]}
"""


@pytest.fixture
def up(cli: Any) -> Iterator[Callable[[], int]]:
    """Run the tree in the background; the pid of its runtime."""
    (cli.folder / "up.log").touch()  # what `cli` quotes when a wait fails
    (cli.folder / "counting.py").write_text(COUNTER)
    definition = cli.write(TREE)

    def start() -> int:
        done = cli.run("up", str(definition), "--detach")
        assert 0 == done.returncode, done.stderr
        tree = cli.tree()
        assert tree is not None
        pid: int = tree["runtime_pid"]
        return pid

    yield start
    cli.run("down")


def document(cli: Any, *words: str) -> Any:
    done = cli.run(*words, "--json")
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


def states(cli: Any, number: int) -> dict[str, int]:
    shown = document(cli, "checkpoint", "show", str(number))
    return {entry["path"]: entry["bytes"] for entry in shown["contents"]}


def kill(pid: int, cli: Any) -> None:
    os.kill(pid, signal.SIGKILL)
    while cli.tree() is not None:
        pass


def test_a_killed_tree_goes_back_to_a_checkpoint_and_adopts_what_lives(cli: Any, up: Callable[[], int]) -> None:
    up_once = up()
    made = document(cli, "checkpoint", "create", "/dev", "--value", "commit=f00")
    served = cli.processes()["/dev/served"]["pid"]
    kill(up_once, cli)
    up_twice = up()
    assert 0 == cli.run("restart", "/dev/a").returncode
    later = document(cli, "checkpoint", "create", "/dev")
    changed = document(cli, "checkpoint", "diff", str(made["number"]), str(later["number"]))
    assert changed["changed"] == {"/dev/a": ["state"], "/dev/b": ["state"]}
    assert changed["durable"] == {"commit": "removed"}
    refused = cli.run("checkpoint", "restore", "/dev")
    assert (refused.returncode, "stop it first" in refused.stderr) == (1, True)
    kill(up_twice, cli)

    done = document(cli, "checkpoint", "restore", "/dev", "--number", str(made["number"]))

    assert done["states"] == ["/dev/a", "/dev/b"]
    assert "record of a managed process" in done["not_restored"]["/dev/served"]
    up()
    again = document(cli, "checkpoint", "create", "/dev", "--value", "commit=f00")
    # Each start counts one up, so it is as one start after the checkpoint, and not two.
    assert document(cli, "checkpoint", "diff", str(made["number"]), str(again["number"]))["changed"].keys() == {
        "/dev/a",
        "/dev/b",
    }
    assert cli.processes()["/dev/served"]["pid"] == served
    listed = document(cli, "checkpoint", "list", "/dev")
    assert [row["status"] for row in listed] == ["completed"] * 3
    assert len(listed[0]["recoveries"]) == 1


def test_every_look_works_on_a_tree_at_rest_and_in_words(cli: Any, up: Callable[[], int]) -> None:
    up()
    assert "checkpoint 1 of /dev: 4 actors" in cli.run("checkpoint", "create", "/dev").stdout
    assert 0 == cli.run("down").returncode

    listed = cli.run("checkpoint", "list").stdout
    shown = cli.run("checkpoint", "show", "1").stdout
    same = cli.run("checkpoint", "diff", "1", "1").stdout
    pruned = cli.run("checkpoint", "prune", "--older-than", "0s").stdout

    assert ("completed" in listed, "manual" in listed) == (True, True)
    assert ("/dev/a" in shown, "counting:Counter" in shown) == (True, True)
    assert re.search(r"created_at +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n", shown)
    assert re.search(r"paused +0\.\d{6} s\n", shown)
    assert same == "4 actors unchanged\n"
    assert pruned == "0 checkpoints removed, 0 bytes freed, 1 kept\n"
    refused = cli.run("checkpoint", "create", "/dev")
    assert (refused.returncode, "no runtime is running" in refused.stderr) == (1, True)


BAD = (
    (("show", "7"), 1, "there is no checkpoint 7"),
    (("show", "x"), 2, "valid integer"),
    (("diff", "1"), 2, "Missing argument"),
    (("restore", "/dev/a", "--number", "0"), 2, "greater than or equal to 1"),
    (("restore", "/elsewhere"), 1, "there is no completed checkpoint with /elsewhere in it"),
    (("prune", "--older-than", "soon"), 2, "'soon'"),
    (("list", "not a path"), 2, "not a path"),
    (("show", "18446744073709551616"), 2, "less than or equal to"),
    (("restore", "/dev/a", "--number", "18446744073709551616"), 2, "less than or equal to"),
)


def test_bad_input_gets_one_message_and_changes_nothing(cli: Any, up: Callable[[], int]) -> None:
    up()
    cli.run("checkpoint", "create", "/dev")
    cli.run("down")
    before = cli.run("checkpoint", "list", "--json").stdout

    for words, code, said in BAD:
        done = cli.run("checkpoint", *words)

        assert (words, done.returncode, done.stdout) == (words, code, "")
        assert said in done.stderr
        assert done.stderr.startswith("treewarden: ")
        assert "Traceback" not in done.stderr
    assert cli.run("checkpoint", "list", "--json").stdout == before


def test_without_a_store_a_look_says_what_is_missing(cli: Any, tmp_path: Path) -> None:
    done = cli.run("checkpoint", "list")

    assert (done.returncode, "there is no store in" in done.stderr) == (1, True)


def test_where_the_file_of_the_store_was_deleted_a_look_makes_no_empty_one(cli: Any) -> None:
    store = cli.state / "store"
    store.mkdir(parents=True)

    for words in (("checkpoint", "list"), ("checkpoint", "prune"), ("events",)):
        done = cli.run(*words)

        assert (words, done.returncode, done.stdout) == (words, 1, "")
    assert list(store.iterdir()) == []
