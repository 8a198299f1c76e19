"""`plan` and `apply`: what they ask of the runtime, what they print, and how they exit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from treewarden.supervision_trees._control import (
    LONGEST_DEFINITION,
    ApplyReport,
    ApplyTree,
    Command,
    CommandRefused,
    EventsRead,
    PlannedStep,
    PlanTree,
    ReadEvents,
    TreePlan,
)

Answers: TypeAlias = dict[type[Command], Callable[[Command], object]]
Run: TypeAlias = Callable[..., tuple[int, str, str]]
Serve: TypeAlias = Callable[[], object]

TEXT = "version: 1\nname: dev\n"
STOP = PlannedStep("stop", "/dev/old", ("not in the file",))
FORGET = PlannedStep("forget", "/dev/old", ())
CHANGE = PlannedStep("change", "/dev", ("strategy one_for_one -> one_for_all", "api: env.TOKEN"))
RESTART = PlannedStep("restart", "/dev/api", ("command", "env.TOKEN"))
LEAVE = PlannedStep("leave", "/dev/job", ("it is stopped and stays so",))
STEPS = (STOP, FORGET, CHANGE, RESTART)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tree.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def plan(file: Path) -> TreePlan:
    return TreePlan("/dev", str(file), STEPS, (LEAVE,), "d1")


@pytest.fixture
def asked(answers: Answers, plan: TreePlan, file: Path) -> list[Command]:
    """What came to the runtime, whose plan is `plan` and whose apply does all of it."""
    commands: list[Command] = []

    def take(command: Command) -> object:
        commands.append(command)
        return (
            plan if isinstance(command, PlanTree) else ApplyReport("/dev", str(file), STEPS, None, None, (), (LEAVE,))
        )

    answers[PlanTree] = answers[ApplyTree] = take
    return commands


DRAWN = """\
- stop     /dev/old  not in the file
- forget   /dev/old
~ change   /dev
             strategy one_for_one -> one_for_all
             api: env.TOKEN
! restart  /dev/api  command, env.TOKEN
= leave    /dev/job  it is stopped and stays so
4 steps to make /dev what {file} says
"""


def test_plan_sends_the_text_and_where_it_is_from_and_draws_the_steps(
    run: Run, serve: Serve, asked: list[Command], file: Path
) -> None:
    serve()

    assert (0, DRAWN.format(file=file), "") == run("plan", str(file))
    assert [PlanTree(TEXT, str(file))] == asked


def test_plan_as_json_is_the_plan(run: Run, serve: Serve, asked: list[Command], file: Path, plan: TreePlan) -> None:
    serve()

    code, out, err = run("plan", str(file), "--json")

    assert (0, "") == (code, err)
    assert json.loads(json.dumps(plan.to_json())) == json.loads(out)
    assert 1 == len(asked)


def test_nothing_to_do_is_said_and_nothing_is_applied(
    run: Run, serve: Serve, answers: Answers, asked: list[Command], file: Path
) -> None:
    answers[PlanTree] = lambda _: TreePlan("/dev", str(file), (), (), "d0")
    serve()
    said = f"nothing to do: /dev is what {file} says\n"

    assert (0, said, "") == run("plan", str(file))
    assert (0, said, "") == run("apply", str(file))
    assert [] == asked


def test_apply_shows_the_plan_and_carries_out_that_very_one(
    run: Run, serve: Serve, asked: list[Command], file: Path
) -> None:
    serve()

    code, out, err = run("apply", str(file))

    assert (0, DRAWN.format(file=file) + f"/dev is what {file} says; steps done: 4\n", "") == (code, out, err)
    assert [PlanTree(TEXT, str(file)), ApplyTree(TEXT, str(file), "d1")] == asked


def test_a_dry_run_is_a_plan(run: Run, serve: Serve, asked: list[Command], file: Path, plan: TreePlan) -> None:
    serve()

    assert (0, DRAWN.format(file=file), "") == run("apply", str(file), "--dry-run")
    code, out, _ = run("apply", str(file), "--dry-run", "--json")
    assert (0, {"plan": json.loads(json.dumps(plan.to_json())), "report": None}) == (code, json.loads(out))
    assert [PlanTree, PlanTree] == [type(command) for command in asked]


def test_each_step_is_told_on_stderr_while_it_is_taken(
    run: Run, serve: Serve, answers: Answers, asked: list[Command], file: Path
) -> None:
    """What else happens in the tree meanwhile is `treewarden events`' to tell, and so is what was before."""
    step: dict[str, object] = {"event": "ApplyStep", "text": "apply, step 1 of 4: stop /dev/old (not in the file)"}
    other: dict[str, object] = {"event": "ChildStopped", "text": "/dev/old stopped"}

    def read(command: Command) -> EventsRead:
        assert isinstance(command, ReadEvents)
        before = EventsRead((), 7, 0)
        return (
            EventsRead((step, other), 9, 0)
            if command.since == 7
            else before
            if not command.since
            else EventsRead((), 9, 0)
        )

    answers[ReadEvents] = read
    serve()

    code, _, err = run("apply", str(file))

    assert (0, f"treewarden: {step['text']}\n") == (code, err)


def test_a_step_that_fails_is_exit_code_1_with_what_was_done_and_what_was_not(
    run: Run, serve: Serve, answers: Answers, asked: list[Command], file: Path
) -> None:
    report = ApplyReport("/dev", str(file), (STOP, FORGET), CHANGE, "no such strategy", (RESTART,), ())
    answers[ApplyTree] = lambda _: report
    serve()

    code, _, err = run("apply", str(file))
    as_json, out, err_too = run("apply", str(file), "--json")

    assert (1, 1, err) == (code, as_json, err_too)
    assert err == (
        "treewarden: change /dev (strategy one_for_one -> one_for_all; api: env.TOKEN) failed: no such strategy\n"
        "done before it: stop /dev/old, forget /dev/old\n"
        "not done: restart /dev/api\n"
        f"nothing was rolled back; to go on from here: treewarden apply {file}\n"
    )
    assert json.loads(json.dumps(report.to_json())) == json.loads(out)["report"]


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_refusal_is_exit_code_1_in_the_runtimes_words(
    run: Run, serve: Serve, answers: Answers, file: Path, command: str
) -> None:
    def refuse(_: Command) -> object:
        raise CommandRefused("t.yaml cannot be run: 2 complaints\nt.yaml:1 one\nt.yaml:2 two")

    answers[PlanTree] = refuse
    serve()

    assert (1, "", "treewarden: t.yaml cannot be run: 2 complaints\nt.yaml:1 one\nt.yaml:2 two\n") == run(
        command, str(file)
    )


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_without_a_runtime_it_says_so(run: Run, file: Path, state_dir: Path, command: str) -> None:
    code, out, err = run(command, str(file))

    assert (1, "") == (code, out)
    assert err.startswith(f"treewarden: no runtime is running with the state directory {state_dir}; start one with:")


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_file_that_cannot_be_read_is_told_before_anything_is_asked(run: Run, tmp_path: Path, command: str) -> None:
    missing, large = tmp_path / "no.yaml", tmp_path / "large.yaml"
    large.write_text("#" * (LONGEST_DEFINITION + 1))

    assert (1, "", f"treewarden: {missing}  found no such file, expected a definition file\n") == run(
        command, str(missing)
    )
    code, _, err = run(command, str(large))
    assert 1 == code
    assert f"found a definition of {LONGEST_DEFINITION + 1} bytes" in err


def test_a_definition_of_the_longest_kind_reaches_the_runtime(
    run: Run, serve: Serve, asked: list[Command], tmp_path: Path
) -> None:
    text = "#" * LONGEST_DEFINITION
    (tmp_path / "long.yaml").write_text(text)
    serve()

    assert 0 == run("plan", str(tmp_path / "long.yaml"))[0]
    assert [PlanTree(text, str(tmp_path / "long.yaml"))] == asked
