"""Plans: what makes a living tree what a definition says, and nothing else.

The properties run every plan against a model of supervisors on paper, whole, and interrupted at any
step and made again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treewarden.actors import (
    BRUTAL_KILL,
    INFINITY,
    Actor,
    ActorPath,
    Backoff,
    ChildId,
    ChildSpec,
    Crashed,
    FromEnv,
    Generation,
    Intensity,
    ManagedProcess,
    ProcessSpec,
    Restart,
    Shutdown,
    child_path,
)
from treewarden.supervision_trees import Child, ChildState, Supervisor
from treewarden.supervision_trees._difference import Group, group_of, kind_of, same_group, same_spec, start_changes
from treewarden.supervision_trees._plan import (
    Change,
    Forget,
    Left,
    LiveChild,
    LiveSupervisor,
    Plan,
    RestartChanged,
    Start,
    Step,
    Stop,
    live_child,
    plan_changes,
)
from treewarden.supervision_trees._strategy import AutoShutdown, Strategy, SupervisorSettings

ONE = Generation(1)
USUAL = SupervisorSettings()
AT_REST = (ChildState.STOPPED, ChildState.FAILED)


class Echo(Actor):
    pass


class Other(Actor):
    pass


def leaf(name: str, *args: object, **fields: Any) -> ChildSpec:
    return ChildSpec.of(Echo, *args, id=name, **fields)


def process(name: str, *command: str, env: dict[str, str | FromEnv] | None = None, **fields: Any) -> ChildSpec:
    return ChildSpec.of(ManagedProcess, ProcessSpec(command, env=env or {}), id=name, **fields)


def group(name: str, *children: ChildSpec, **fields: Any) -> ChildSpec:
    return ChildSpec.of(Supervisor, children=children, id=name, **fields)


def contents(spec: ChildSpec) -> Group:
    found = group_of(spec)
    assert found is not None
    return found


# A model of living supervisors


@dataclass
class Node:
    """A child in a table on paper; `starts` counts its incarnations, those under it have tables of their own."""

    spec: ChildSpec
    state: ChildState = ChildState.STOPPED
    running: ChildSpec | None = None
    is_new: bool = True
    starts: int = 0
    settings: SupervisorSettings = USUAL
    children: "list[Node] | None" = None

    def start(self) -> "Node":
        found = group_of(self.spec)
        self.state, self.running, self.is_new = ChildState.RUNNING, self.spec, False
        self.starts += 1
        if found is not None:
            self.settings = found.settings
            self.children = [Node(spec).start() for spec in found.children]
        return self

    def rest(self, state: ChildState = ChildState.STOPPED) -> None:
        self.state, self.running, self.children = state, None, None

    def live(self, path: ActorPath) -> LiveSupervisor:
        assert self.children is not None
        return LiveSupervisor(
            path,
            self.settings,
            tuple(
                LiveChild(
                    child.spec,
                    child.state,
                    ONE,
                    child.running,
                    child.is_new and child.state is ChildState.STOPPED,
                    None if child.children is None else child.live(child_path(path, child.spec.id)),
                )
                for child in self.children
            ),
            contents(self.spec).children,
        )

    def find(self, name: str) -> "Node | None":
        return next((child for child in self.children or () if child.spec.id == name), None)

    def walk(self, path: str = "") -> "Iterator[tuple[str, Node]]":
        """Everything below, in start order."""
        for child in self.children or ():
            yield f"{path}/{child.spec.id}", child
            yield from child.walk(f"{path}/{child.spec.id}")


class Model:
    """Carries steps out on paper, and refuses what a supervisor would refuse."""

    def __init__(self, root: ChildSpec) -> None:
        self.root = Node(root).start()
        self.path = child_path(ActorPath(""), root.id)

    def plan(self, wanted: ChildSpec) -> Plan:
        return plan_changes(self.root.live(self.path), wanted)

    def carry_out(self, steps: tuple[Step, ...], wanted: ChildSpec) -> None:
        for step in steps:
            self._take(step, wanted)

    def node(self, path: str) -> Node | None:
        found: Node | None = self.root
        for name in path.split("/")[2:]:
            found = None if found is None else found.find(name)
        return found

    def _take(self, step: Step, wanted: ChildSpec) -> None:
        parent = self.node(step.path.rpartition("/")[0])
        node = self.node(step.path)
        match step:
            case Stop():
                assert parent is not None
                assert node is not None
                assert node.state not in AT_REST, f"{step} stops what is at rest"
                node.rest()
                if node.spec.restart is Restart.TEMPORARY:
                    _list(parent).remove(node)
            case Forget():
                assert parent is not None
                if node is not None:
                    assert node.state in AT_REST, f"{step} forgets what lives"
                    _list(parent).remove(node)
            case Change():
                assert node is not None
                self._change(node, step)
                if node is self.root:
                    node.spec = wanted
            case Start():
                assert node is not None
                assert node.state in AT_REST, f"{step} starts what lives"
                node.start()
            case RestartChanged():
                assert node is not None
                assert node.running is not None
                assert node.spec.restart is not Restart.TEMPORARY, "its stop would have it forgotten"
                node.start()

    def _change(self, node: Node, step: Change) -> None:
        old = node.settings
        node.settings = SupervisorSettings(
            step.strategy or old.strategy, step.intensity or old.intensity, step.auto_shutdown or old.auto_shutdown
        )
        if step.children is not None:
            known = {child.spec.id: child for child in _list(node)}
            needed = {need for spec in step.children for need in spec.needs}
            assert needed <= {spec.id for spec in step.children}, "the supervisor refuses needs that name nobody"
            node.children = [known.pop(spec.id, Node(spec)) for spec in step.children]
            for child, spec in zip(node.children, step.children, strict=True):
                child.spec = spec
            node.children += known.values()


def _list(node: Node) -> list[Node]:
    assert node.children is not None, f"{node.spec.id} does not live"
    return node.children


def assert_conforms(node: Node, wanted: Group, left: set[str], path: str) -> None:
    """The living supervisor `node` is what the file says, but for what the plan said it leaves."""
    assert node.settings == wanted.settings
    there = {spec.id for spec in wanted.children if node.find(spec.id) is not None or f"{path}/{spec.id}" not in left}
    assert [child.spec.id for child in _list(node)] == [spec.id for spec in wanted.children if spec.id in there]
    for spec in wanted.children:
        child, where = node.find(spec.id), f"{path}/{spec.id}"
        if child is None:
            assert spec.restart is Restart.TEMPORARY
            continue
        assert same_spec(child.spec, spec), f"{where} has another spec than the file"
        if child.state in AT_REST:
            assert where in left, f"{where} does not run"
        elif (below := group_of(spec)) is not None:
            assert where not in left
            if child.children is not None:
                assert_conforms(child, below, left, where)
        else:
            assert where not in left
            assert child.running is None or start_changes(child.running, spec) == (), f"{where} runs an old spec"


# Trees at random

ids = st.sampled_from("abcd")
restarts = st.sampled_from(Restart)
limits = st.none() | st.builds(Intensity, st.integers(0, 3))


@st.composite
def leaves(draw: st.DrawFn, name: str) -> ChildSpec:
    fields: dict[str, Any] = {
        "restart": draw(restarts),
        "shutdown": draw(st.sampled_from([1.0, 5.0, INFINITY, BRUTAL_KILL])),
        "backoff": draw(st.sampled_from([None, Backoff(), Backoff(initial=1.0)])),
        "intensity": draw(limits),
    }
    match draw(st.sampled_from(["echo", "other", "process"])):
        case "process":
            value: str | FromEnv = draw(st.sampled_from(["1", "2", FromEnv("V")]))
            return process(name, draw(st.sampled_from(["x", "y"])), env={"V": value}, **fields)
        case "echo":
            return leaf(name, **fields, start=draw(st.sampled_from([1, True, 1.0, float("nan"), (1, 2)])))
        case _:
            return ChildSpec.of(Other, id=name, **fields)


@st.composite
def groups(draw: st.DrawFn, name: str, depth: int) -> ChildSpec:
    names = draw(st.lists(ids, unique=True, max_size=4))
    children: list[ChildSpec] = []
    for child in names:
        below = groups(child, depth - 1) if depth and draw(st.integers(0, 3)) == 0 else leaves(child)
        spec: ChildSpec = draw(below)
        if children and draw(st.integers(0, 3)) == 0:
            spec = replace(spec, needs=(draw(st.sampled_from([other.id for other in children])),))
        children.append(spec)
    return group(
        name,
        *children,
        strategy=draw(st.sampled_from(Strategy)),
        intensity=draw(st.builds(Intensity, st.integers(0, 2))),
        auto_shutdown=draw(st.sampled_from(AutoShutdown)),
        **({"restart": draw(restarts)} if name != "dev" else {}),
    )


trees = groups("dev", 2)


@st.composite
def lived_in(draw: st.DrawFn) -> Model:
    """A tree that was started and then used: some stopped, some failed, some ended, some added by hand."""
    model = Model(draw(trees))
    for path, node in list(model.root.walk("/dev")):
        parent = model.node(path.rpartition("/")[0])
        if parent is None or parent.children is None or node not in parent.children:
            continue
        match draw(st.sampled_from(["lives"] * 5 + ["stopped", "failed", "ended", "restarting", "company"])):
            case "stopped" | "failed" as how if node.spec.restart is not Restart.TEMPORARY:
                node.rest(ChildState.STOPPED if how == "stopped" else ChildState.FAILED)
            case "ended" if node.spec.restart is Restart.TEMPORARY:
                parent.children.remove(node)
            case "restarting":
                node.rest(ChildState.RESTARTING)
            case "company" if (name := draw(ids)) not in [child.spec.id for child in parent.children]:
                parent.children.append(Node(draw(leaves(name))).start())
            case _:
                pass
    return model


@given(lived_in(), trees)
def test_a_plan_makes_the_tree_what_the_file_says_and_then_there_is_nothing_to_do(
    model: Model, wanted: ChildSpec
) -> None:
    plan = model.plan(wanted)
    model.carry_out(plan.steps, wanted)

    assert_conforms(model.root, contents(wanted), {left.path for left in plan.left}, "/dev")
    assert model.plan(wanted).steps == ()


@settings(max_examples=200)
@given(lived_in(), trees, st.integers(0, 12))
def test_a_plan_that_was_interrupted_is_finished_by_the_next_one(model: Model, wanted: ChildSpec, taken: int) -> None:
    """A step failed: nothing is rolled back, and applying again goes on."""
    first = model.plan(wanted)
    model.carry_out(first.steps[:taken], wanted)

    second = model.plan(wanted)
    model.carry_out(second.steps, wanted)

    assert_conforms(model.root, contents(wanted), {left.path for left in second.left}, "/dev")
    assert model.plan(wanted).steps == ()
    not_left = {left.path for left in second.left} - {left.path for left in first.left}
    once = {path for path in not_left if (node := model.node(path)) is None or node.spec.restart is Restart.TEMPORARY}
    assert not_left == once, "only what runs once may be left for being late"


@given(trees)
def test_a_tree_compared_with_itself_needs_nothing(tree: ChildSpec) -> None:
    assert Plan(ActorPath("/dev"), ()) == Model(tree).plan(tree)


@given(lived_in(), trees)
def test_what_did_not_change_is_not_touched(model: Model, wanted: ChildSpec) -> None:
    """No step names it, and the incarnation that lives is the one that lived."""
    before = {path: (node, node.starts, node.running) for path, node in model.root.walk("/dev")}
    plan = model.plan(wanted)
    model.carry_out(plan.steps, wanted)
    wanted_at = dict(Node(wanted).start().walk("/dev"))
    kept = set(before)
    for path in before:  # only below supervisors that live on
        parents = [path[:at] for at, letter in enumerate(path) if letter == "/" and path[:at] in before]
        if any(kind_of(before[up][0].spec) != "supervisor" for up in parents):
            kept.discard(path)

    for path, (node, starts, running) in before.items():
        spec = wanted_at[path].spec if path in wanted_at else None
        if spec is None or running is None or path not in kept or kind_of(spec) != kind_of(running):
            continue
        if kind_of(spec) == "supervisor" or start_changes(running, spec) == ():
            assert model.node(path) is node
            assert starts == node.starts
            if same_spec(running, spec) and kind_of(spec) != "supervisor":
                assert path not in [step.path for step in plan.steps]


@given(lived_in(), trees)
def test_stops_come_first_and_from_the_end_then_changes_from_the_inside_then_starts_from_the_front(
    model: Model, wanted: ChildSpec
) -> None:
    order = [path for path, _ in model.root.walk("/dev")]
    wanted_order = [path for path, _ in Node(wanted).start().walk("/dev")]

    steps = model.plan(wanted).steps

    phases = [1 if isinstance(step, Stop | Forget) else 2 if isinstance(step, Change) else 3 for step in steps]
    assert phases == sorted(phases)
    stops = [order.index(step.path) for step in steps if isinstance(step, Stop | Forget)]
    assert stops == sorted(stops, reverse=True)
    starts = [wanted_order.index(step.path) for step in steps if isinstance(step, Start | RestartChanged)]
    assert starts == sorted(set(starts)), "each once, in start order"
    changes = [step.path for step in steps if isinstance(step, Change)]
    for at, path in enumerate(changes):
        assert not any(later.startswith(path + "/") for later in changes[at:]), "an outer one before an inner one"


# Examples


def planned(live: ChildSpec, wanted: ChildSpec, **resting: ChildState) -> Plan:
    model = Model(live)
    for name, state in resting.items():
        node = model.root.find(name)
        assert node is not None
        node.rest(state)
    return model.plan(wanted)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"restart": Restart.TRANSIENT}, "restart permanent -> transient"),
        ({"shutdown": BRUTAL_KILL}, "shutdown 5s -> brutal_kill"),
        ({"shutdown": INFINITY}, "shutdown 5s -> infinity"),
        ({"start_timeout": 0.25}, "start_timeout 30s -> 0.25s"),
        ({"needs": ("z",)}, "needs none -> z"),
        ({"backoff": Backoff(1.0, 2.0, 3.0, 0.0, 4.0)}, "backoff none -> 1s to 2s, factor 3, jitter 0, reset_after 4s"),
        ({"intensity": Intensity(1, 2.0)}, "intensity none -> 1 in 2s"),
        (
            {"restart": Restart.TRANSIENT, "significant": True},
            "restart permanent -> transient, significant false -> true",
        ),
    ],
)
def test_a_changed_policy_changes_in_place(fields: dict[str, Any], said: str) -> None:
    z = leaf("z")
    wanted = group("dev", z, leaf("a", **fields))

    (step,) = planned(group("dev", z, leaf("a")), wanted).steps

    assert step == Change(ActorPath("/dev"), None, None, None, contents(wanted).children, (f"a: {said}",))


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        (leaf("a", start=1), leaf("a", start=2), ("args.start",)),
        (leaf("a", start=1), leaf("a"), ("args.start",)),
        (leaf("a", start=1), leaf("a", start=True), ("args.start",)),
        (leaf("a", 1), leaf("a", 2), ("args",)),
        (leaf("a"), ChildSpec.of(Other, id="a"), ("class",)),
        (process("a", "x"), process("a", "y"), ("command",)),
        (process("a", "x", env={"S": "one", "K": "k"}), process("a", "x", env={"S": "two", "K": "k"}), ("env.S",)),
        (process("a", "x", env={"S": "one"}), process("a", "x", env={"S": FromEnv("one")}), ("env.S",)),
        (process("a", "x", env={"S": FromEnv("A")}), process("a", "x"), ("env.S",)),
    ],
)
def test_what_matters_at_a_start_restarts_the_child_and_is_named_without_its_value(
    old: ChildSpec, new: ChildSpec, names: tuple[str, ...]
) -> None:
    change, restart = planned(group("dev", old), group("dev", new)).steps

    assert isinstance(change, Change)
    assert (f"a: {', '.join(names)}",) == change.what
    assert RestartChanged(ActorPath("/dev/a"), names) == restart


def test_settings_of_a_supervisor_change_in_place_and_in_the_table_above_it() -> None:
    old = group("dev", group("g", leaf("a")), leaf("b"))
    new = group("dev", group("g", leaf("a"), strategy=Strategy.ONE_FOR_ALL, intensity=Intensity(1)), leaf("b"))

    inner, outer = planned(old, new).steps

    what = ("strategy one_for_one -> one_for_all", "intensity 3 in 5s -> 1 in 5s")
    assert inner == Change(ActorPath("/dev/g"), Strategy.ONE_FOR_ALL, Intensity(1), None, None, what)
    assert isinstance(outer, Change)
    assert (contents(new).children, ("g: what it begins with when it is started again",)) == (
        outer.children,
        outer.what,
    )


def test_a_reordering_changes_the_order_and_nothing_else() -> None:
    wanted = group("dev", leaf("b"), leaf("a"))

    (step,) = planned(group("dev", leaf("a"), leaf("b")), wanted).steps

    assert step == Change(ActorPath("/dev"), None, None, None, contents(wanted).children, ("start order: b, a",))


def test_another_kind_at_the_same_id_is_stopped_forgotten_and_started_anew() -> None:
    stop, forget, change, start = planned(group("dev", leaf("a")), group("dev", process("a", "x"))).steps

    assert Stop(ActorPath("/dev/a"), "another one takes its place: kind actor -> process") == stop
    assert Forget(ActorPath("/dev/a")) == forget
    assert isinstance(change, Change)
    assert Start(ActorPath("/dev/a"), "in place of the old one: kind actor -> process") == start


def test_a_running_temporary_child_that_changed_keeps_its_place_in_the_order() -> None:
    """Stopping it makes its supervisor forget it, so it is added again, not restarted."""
    old = group("dev", leaf("a", 1, restart=Restart.TEMPORARY), leaf("b"))
    new = group("dev", leaf("a", 2, restart=Restart.TEMPORARY), leaf("b"))
    model = Model(old)

    model.carry_out(model.plan(new).steps, new)

    assert ["a", "b"] == [child.spec.id for child in model.root.children or ()]
    assert [Stop, Forget, Change, Start] == [type(step) for step in planned(old, new).steps]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (ChildState.STOPPED, "it is stopped and stays so"),
        (ChildState.FAILED, "it has failed and stays so"),
        (ChildState.STOPPING, "it is being stopped and stays so"),
    ],
)
def test_what_is_at_rest_is_left_so_and_the_plan_says_it(state: ChildState, said: str) -> None:
    left = (Left(ActorPath("/dev/a"), said),)

    unchanged = planned(group("dev", leaf("a")), group("dev", leaf("a")), a=state)
    changed = planned(group("dev", leaf("a")), group("dev", leaf("a", 1)), a=state)

    assert Plan(ActorPath("/dev"), (), left) == unchanged
    assert ([Change], left) == ([type(step) for step in changed.steps], changed.left)


def test_a_temporary_child_that_has_ended_is_not_run_again() -> None:
    once = leaf("once", restart=Restart.TEMPORARY)
    model = Model(group("dev", once, leaf("a")))
    model.root.children = [node for node in model.root.children or () if node.spec.id == "a"]

    same = model.plan(group("dev", once, leaf("a")))
    needed = model.plan(group("dev", once, leaf("a", needs=("once",))))
    changed = model.plan(group("dev", replace(once, args=(1,)), leaf("a")))

    left = (Left(ActorPath("/dev/once"), "it is temporary, has ended and is not started again"),)
    assert Plan(ActorPath("/dev"), (), left) == same
    for plan in (needed, changed):  # known again, so that it can be needed, or started by hand
        (step,) = plan.steps
        assert isinstance(step, Change)
        assert step.children is not None
        assert "once" in [spec.id for spec in step.children]
        assert left == plan.left


def test_a_child_added_by_hand_that_the_file_does_not_name_goes() -> None:
    model = Model(group("dev", leaf("a")))
    model.root.children = [*(model.root.children or ()), Node(leaf("extra")).start()]

    assert (Stop(ActorPath("/dev/extra"), "not in the file"), Forget(ActorPath("/dev/extra"))) == model.plan(
        group("dev", leaf("a"))
    ).steps


def test_a_supervisor_that_goes_is_stopped_as_a_whole() -> None:
    plan = planned(group("dev", group("g", leaf("a"), leaf("b"))), group("dev"))

    assert ["/dev/g", "/dev/g"] == [step.path for step in plan.steps if isinstance(step, Stop | Forget)]


def test_a_child_that_moves_has_stopped_before_it_is_started_again() -> None:
    port = process("web", "serve", "8000")
    steps = planned(group("dev", group("x"), group("y", port)), group("dev", group("x", port), group("y"))).steps

    touched = [step for step in steps if isinstance(step, Stop | Start)]

    assert [Stop(ActorPath("/dev/y/web"), "not in the file"), Start(ActorPath("/dev/x/web"), "new")] == touched


def test_a_child_that_needs_a_restarted_one_is_not_restarted() -> None:
    old = group("dev", leaf("a", 1), leaf("b", needs=("a",)), strategy=Strategy.REST_FOR_ONE)
    new = group("dev", leaf("a", 2), leaf("b", needs=("a",)), strategy=Strategy.REST_FOR_ONE)

    assert ["/dev/a"] == [step.path for step in planned(old, new).steps if not isinstance(step, Change)]


@pytest.mark.parametrize(
    ("child", "expected"),
    [
        (Child(leaf("a")), True),
        (Child(leaf("a"), attempts=1, last_exit=Crashed(ValueError())), True),
        (Child(leaf("a"), attempts=1, started=True, last_exit=Crashed(ValueError())), False),
        (Child(leaf("a"), attempts=1, started=True, last_exit=Shutdown("terminated by a call")), False),
        (Child(leaf("a"), attempts=1), False),
        (Child(leaf("a"), state=ChildState.FAILED, attempts=1, last_exit=Crashed(ValueError())), False),
        (Child(leaf("a"), state=ChildState.RESTARTING), False),
    ],
    ids=["added", "start failed", "crashed later", "stopped by hand", "declined", "failed", "restarting"],
)
def test_only_what_nobody_left_at_rest_on_purpose_is_to_be_started(child: Child, expected: bool) -> None:
    assert expected == live_child(child, None, None).never_started


def test_a_default_that_is_written_out_is_no_difference() -> None:
    implicit = ChildSpec.of(Supervisor, [leaf("a")], id="g")
    explicit = group("g", leaf("a"), strategy=Strategy.ONE_FOR_ONE, auto_shutdown=AutoShutdown.NEVER)

    assert same_spec(implicit, explicit)
    assert same_group(contents(implicit), contents(explicit))
    assert Plan(ActorPath("/dev"), ()) == planned(group("dev", implicit), group("dev", explicit))
    assert None is group_of(leaf(ChildId("a")))
