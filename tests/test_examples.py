"""The examples do what they say. `make examples` runs all of them; demo.py, the longest, only there."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from treewarden.supervision_trees import load_definition

EXAMPLES: Final = Path(__file__).parents[1] / "examples"
DEFINITIONS: Final = sorted(path.name for path in EXAMPLES.glob("*.yaml"))
SCRIPTS: Final = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "demo.py")


def test_there_are_examples_of_both_kinds_and_the_demo() -> None:
    """Without this the tests below might have nothing to run."""
    assert DEFINITIONS
    assert SCRIPTS
    assert (EXAMPLES / "demo.py").is_file()


def test_no_file_of_an_example_is_kept_out_of_the_repository() -> None:
    """An ignored file works here and is missing in every clone."""
    if not (EXAMPLES.parent / ".git").exists():
        pytest.skip("not in a clone of the repository")
    command = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "--", "."]
    done = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, check=True)

    assert [] == [file for file in done.stdout.splitlines() if "__pycache__" not in file]


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_definition_is_accepted(name: str) -> None:
    definition = load_definition(EXAMPLES / name)

    assert definition.root.children


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_to_its_end_with_warnings_as_errors(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / name)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_counter_says_what_its_comments_promise(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "counter.py")], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert done.stdout.splitlines() == ["3 + 4 = 7", "it ended: Crashed", "fresh, + 4 = 7"]


def test_the_task_pool_says_what_its_page_promises(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "task_pool.py")], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert done.stdout.splitlines() == [
        "an agent: /dev/agents/agent-1 heard 'hello'",
        "an agent: /dev/agents/agent-2 heard 'hello'",
        "refused: /dev/agents has 2 children and may have no more (max_children); stop one first",
        "'be' was seen 2 times by one of 4",
        "root of 9: 3",
        "root of -1: no root of -1",
        "root of 16: 4",
    ]


def test_the_durable_counter_says_what_its_comments_promise(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "durable_counter.py")], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert done.stdout.splitlines() == ["0 + 3 = 3", "after a crash, + 4 = 7", "in the next runtime, + 5 = 12"]


def test_the_bank_goes_back_to_its_checkpoint_with_all_its_money(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "checkpoints.py")], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    said = done.stdout.splitlines()
    assert said[0].startswith("checkpoint 1: 21 actors, paused ")
    assert said[1:] == ["after a mistake the bank has 1000", "restored from checkpoint 1", "the bank has 2000 again"]


def test_the_steps_from_pykka_say_what_their_page_promises(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "from_pykka.py")], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert done.stdout.splitlines() == [
        "Plain: 3 + 4 = 7",
        "Counter: 3 + 4 = 7",
        "pykka's registry knows Counter /standalone/Counter-1 (generation 1), Counter /dev/counter (generation 1)",
        "restarted: 3 + 4 = 7",
        "stopped: [True, True, True, True]",
    ]
