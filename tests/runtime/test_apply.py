"""Plans and applies on a runtime in this process: what is kept, replaced and refused."""

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from treewarden.actors import ActorPath, ApplyFailed, ApplyStep, ChildStarted, ChildStopped, ProcessExited, TreeApplied
from treewarden.supervision_trees import (
    ApplyReport,
    ApplyTree,
    CommandRefused,
    PlanTree,
    Runtime,
    StopActor,
    TreePlan,
    load_definition,
)

Write: TypeAlias = Callable[..., Path]

MODULE = '''
import threading
from treewarden.actors import Actor

GATE = threading.Event()


class Echo(Actor):
    """Answers with what it was made with."""

    def __init__(self, say: object = "nothing") -> None:
        super().__init__()
        self.say = say

    def on_receive(self, message: object) -> object:
        return self.say


class Broken(Actor):
    def __init__(self, say: object = "nothing") -> None:
        super().__init__()

    def on_start(self) -> None:
        raise RuntimeError("cannot begin")


class BreaksLate(Actor):
    def on_start(self) -> None:
        GATE.wait(30)
        raise RuntimeError("cannot begin after all")


class Slow(Actor):
    def on_start(self) -> None:
        GATE.wait(30)


class Stubborn(Actor):
    def on_stop(self, reason: object = None) -> None:
        GATE.wait(30)
'''


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What the slow actors of the module `tests_of_apply` wait for; the module is importable meanwhile."""
    folder = tmp_path / "importable"
    folder.mkdir()
    (folder / "tests_of_apply.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    importlib.invalidate_caches()
    found: threading.Event = importlib.import_module("tests_of_apply").GATE
    yield found
    found.set()
    del sys.modules["tests_of_apply"]


@pytest.fixture
def write(tmp_path: Path, gate: threading.Event) -> Write:
    """A definition of the tree `dev` with these children, one line each."""

    def to_file(*children: str, head: str = "", name: str = "dev") -> Path:
        path = tmp_path / "tree.yaml"
        lines = "".join(f"  - {child}\n" for child in children)
        path.write_text(f"version: 1\nname: {name}\n{head}\nchildren:{' []' if not children else ''}\n{lines}")
        return path

    return to_file


@pytest.fixture
def run(events: Any) -> Iterator[Callable[[Path], Runtime]]:
    """Start a runtime over a definition; it is stopped at the end of the test."""
    runtimes: list[Runtime] = []

    def start(definition: Path) -> Runtime:
        runtimes.append(Runtime.start(load_definition(definition), events=events))
        return runtimes[-1]

    yield start
    for runtime in runtimes:
        runtime.stop()


def actor(name: str, kind: str = "Echo", **fields: str) -> str:
    more = "".join(f", {field}: {value}" for field, value in fields.items())
    return f'{{id: {name}, kind: actor, class: "tests_of_apply:{kind}"{more}}}'


def group(name: str, *children: str) -> str:
    return f"{{id: {name}, kind: supervisor, children: [{', '.join(children)}]}}"


def plan_of(runtime: Runtime, file: Path) -> TreePlan:
    found = runtime.execute(PlanTree(file.read_text(), str(file)))
    assert isinstance(found, TreePlan)
    return found


def apply_to(runtime: Runtime, file: Path, plan: str | None = None) -> ApplyReport:
    report = runtime.execute(ApplyTree(file.read_text(), str(file), plan))
    assert isinstance(report, ApplyReport)
    return report


def said(steps: Any) -> list[str]:
    return [f"{step.action} {step.path}" for step in steps]


def test_an_apply_keeps_what_did_not_change_and_makes_the_rest_what_the_file_says(
    run: Any, write: Write, events: Any
) -> None:
    runtime = run(write(actor("same"), actor("other", args="{say: old}"), actor("gone"), group("g", actor("in"))))
    same, inner = runtime.whereis("/dev/same"), runtime.whereis("/dev/g/in")
    file = write(
        actor("new"),
        actor("same", shutdown="1s"),
        actor("other", args="{say: new}"),
        group("g", actor("in"), actor("more")),
        head="strategy: rest_for_one\nintensity: {restarts: 1}",
    )

    report = apply_to(runtime, file)

    assert (None, None, ()) == (report.failed, report.error, report.not_done)
    assert ["stop /dev/gone", "forget /dev/gone", "change /dev/g", "change /dev"] == said(report.done)[:4]
    assert ["start /dev/new", "restart /dev/other", "start /dev/g/more"] == said(report.done)[4:]
    assert same is runtime.whereis("/dev/same")
    assert inner is runtime.whereis("/dev/g/in")
    assert None is runtime.whereis("/dev/gone")
    assert "new" == runtime.address("/dev/other").ask("say")
    view = runtime.inspect().root
    assert ["/dev/new", "/dev/same", "/dev/other", "/dev/g"] == [child.path for child in view.children]
    assert view.intensity is not None
    assert "of 1 restarts" in view.intensity
    assert ("/dev/g/in", "/dev/g/more") == tuple(child.path for child in view.children[3].children)
    assert len(report.done) == len(events.wait(ApplyStep, count=len(report.done)))
    assert [TreeApplied(ActorPath("/dev"), str(file), len(report.done))] == events.wait(TreeApplied)


def test_after_an_apply_there_is_nothing_to_do(run: Any, write: Write) -> None:
    runtime = run(write(actor("a"), group("g", actor("b"))))
    file = write(group("g", actor("b", args="{say: [1, 2.5, {x: .nan}]}"), actor("c")), actor("a", restart="transient"))
    apply_to(runtime, file)

    assert () == plan_of(runtime, file).steps
    assert () == apply_to(runtime, file).done


def test_a_changed_supervisor_that_is_restarted_later_begins_with_what_the_file_says(
    run: Any, write: Write, wait_until: Any
) -> None:
    """B 1.8: a restarted supervisor is built from its spec, so an apply changes that too."""
    runtime = run(write(group("g", actor("b"))))
    apply_to(runtime, write(group("g", actor("c"), actor("b", args="{say: new}"))))
    supervisor = runtime.whereis("/dev/g")

    supervisor.kill()
    wait_until(lambda: runtime.whereis("/dev/g") not in (None, supervisor))
    wait_until(lambda: runtime.whereis("/dev/g/b") is not None)

    assert {"/dev/g/c", "/dev/g/b"} == {view.path for view in runtime.inspect().root.children[0].children}
    assert "new" == runtime.address("/dev/g/b").ask("say")


def test_a_policy_that_changed_is_in_force_without_a_restart(
    run: Any, write: Write, events: Any, wait_until: Any
) -> None:
    runtime = run(write(actor("a")))
    apply_to(runtime, write(actor("a", restart="temporary")))

    runtime.whereis("/dev/a").request_stop()
    wait_until(lambda: not runtime.inspect().root.children)
    runtime.stop()  # what it had to say has been said

    assert 1 == len(events.of(ChildStarted))


def test_a_step_that_fails_ends_the_apply_and_the_next_one_goes_on(run: Any, write: Write, events: Any) -> None:
    runtime = run(write(actor("a"), actor("gone")))

    failed = apply_to(runtime, write(actor("a", "Broken"), actor("b"), actor("c")))

    assert ["stop /dev/gone", "forget /dev/gone", "change /dev"] == said(failed.done)
    assert failed.failed is not None
    assert ("restart", "/dev/a", ("class",)) == (failed.failed.action, failed.failed.path, failed.failed.why)
    assert failed.error is not None
    assert "RuntimeError: cannot begin" in failed.error
    assert ["start /dev/b", "start /dev/c"] == said(failed.not_done)
    assert None is runtime.whereis("/dev/b")
    (event,) = events.wait(ApplyFailed)
    assert ("/dev/a", "restart", 4, 6) == (event.path, event.action, event.number, event.of)

    mended = apply_to(runtime, write(actor("a"), actor("b"), actor("c")))

    assert None is mended.failed
    assert ["change /dev", "start /dev/a", "start /dev/b", "start /dev/c"] == said(mended.done)
    assert all(runtime.whereis(f"/dev/{name}") for name in "abc")


def test_a_child_that_was_stopped_by_hand_stays_stopped_changed_or_not(run: Any, write: Write) -> None:
    runtime = run(write(actor("a"), actor("b")))
    runtime.execute(StopActor("/dev/a"))

    report = apply_to(runtime, write(actor("a", args="{say: new}"), actor("b")))

    assert ["change /dev"] == said(report.done)
    assert ["leave /dev/a"] == said(report.left)
    assert None is runtime.whereis("/dev/a")
    runtime.supervisor("/dev").restart_child("a")
    assert "new" == runtime.address("/dev/a").ask("say")


def test_a_temporary_child_that_an_apply_added_runs_once(run: Any, write: Write, events: Any, wait_until: Any) -> None:
    once = "{id: once, kind: process, command: ['true'], restart: temporary}"
    runtime = run(write(actor("a")))
    file = write(actor("a"), once)
    assert ["change /dev", "start /dev/once"] == said(apply_to(runtime, file).done)
    events.wait(ProcessExited)
    wait_until(lambda: len(runtime.inspect().root.children) == 1)

    again = apply_to(runtime, file)

    assert ((), ["leave /dev/once"]) == (again.done, said(again.left))


def test_a_child_that_waits_for_a_sibling_does_not_hold_the_apply_up(run: Any, write: Write) -> None:
    runtime = run(write())
    never = '{id: db, kind: process, command: [sleep, "3600"], ready: {command: ["false"], within: 1h}, shutdown: 1s}'

    report = apply_to(runtime, write(never, actor("web", needs="[db]")))

    assert ["change /dev", "start /dev/db", "start /dev/web"] == said(report.done)
    assert ["running", "waiting"] == [view.state for view in runtime.inspect().root.children]


@pytest.mark.parametrize("late", [("Slow", None), ("BreaksLate", "RuntimeError: cannot begin after all")])
def test_a_start_that_takes_its_time_is_waited_for_to_its_end(
    run: Any, write: Write, gate: threading.Event, wait_until: Any, late: tuple[str, str | None]
) -> None:
    kind, error = late
    runtime = run(write())
    file = write(actor("late", kind))

    with ThreadPoolExecutor(1) as pool:
        applying = pool.submit(apply_to, runtime, file)
        wait_until(lambda: [view.state for view in runtime.inspect().root.children] == ["starting"])
        assert not applying.done()
        gate.set()
        report = applying.result(timeout=20)

    assert (error is None) == (report.failed is None)
    assert error is None or error in str(report.error)


def test_one_apply_at_a_time_and_the_second_hears_what_the_first_does(
    run: Any, write: Write, gate: threading.Event, events: Any
) -> None:
    runtime = run(write(actor("slow", "Stubborn", shutdown="20s")))
    file = write()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(apply_to, runtime, file)
        events.wait(ApplyStep)
        with pytest.raises(CommandRefused) as refused:
            apply_to(runtime, file)
        plan = plan_of(runtime, file)  # looking is always allowed
        gate.set()
        report = first.result(timeout=20)

    assert f"another apply is under way ({file}, step 1 of 2: stop /dev/slow (not in the file))" in str(refused.value)
    assert ["stop /dev/slow", "forget /dev/slow"] == said(plan.steps) == said(report.done)


def test_a_plan_that_was_overtaken_is_refused_and_nothing_is_done(run: Any, write: Write, events: Any) -> None:
    runtime = run(write(actor("a")))
    file = write(actor("a", args="{say: new}"))
    seen = plan_of(runtime, file)
    assert seen.digest == plan_of(runtime, file).digest
    runtime.execute(StopActor("/dev/a"))

    with pytest.raises(CommandRefused, match="the tree /dev has changed since the plan"):
        apply_to(runtime, file, seen.digest)

    runtime.stop()  # what it had to say has been said
    assert [] == events.of(ApplyStep)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 1\nname: prod\n", "defines the tree /prod, expected /dev, which runs here"),
        ("version: 2\nname: dev\n", "cannot be run: 1 complaint, nothing was done"),
        (
            "version: 1\nname: dev\nchildren:\n  - {id: a, kind: actor, class: 'tests_of_apply:No'}\n  - {id: b}\n",
            "cannot be run: 2 complaints",
        ),
        ("", "found nothing, expected a mapping"),
    ],
)
def test_a_text_that_is_no_definition_of_this_tree_is_refused_with_every_complaint(
    run: Any, write: Write, events: Any, text: str, expected: str
) -> None:
    runtime = run(write(actor("a")))
    before = runtime.whereis("/dev/a")

    for command in (PlanTree(text, "/srv/tree.yaml"), ApplyTree(text, "/srv/tree.yaml")):
        with pytest.raises(CommandRefused) as refused:
            runtime.execute(command)
        assert expected in str(refused.value)
        assert "/srv/tree.yaml" in str(refused.value)

    assert before is runtime.whereis("/dev/a")
    runtime.stop()  # what it had to say has been said
    assert [] == events.of(ApplyStep)
    assert 1 == len(events.of(ChildStopped)), "it was stopped before its runtime was"


@pytest.mark.parametrize(("source", "expected"), [("tree.yaml", "an absolute path"), ("/tree.txt", "a file name that")])
def test_a_source_that_says_neither_folder_nor_notation_is_refused(
    run: Any, write: Write, source: str, expected: str
) -> None:
    runtime = run(write(actor("a")))

    with pytest.raises(CommandRefused, match=expected):
        runtime.execute(PlanTree("version: 1\nname: dev\n", source))
