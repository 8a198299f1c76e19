"""Values of the wrong type: one clear error at who gave them, and nothing is lost for it (supervision.md A.10, B 1.1, 1.2).

What gets past the door is met at the next crash, by the supervisor itself, and costs all its children.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import Actor, Backoff, ChildId, ChildSpec, InvalidChildSpec, TreewardenError
from treewarden.supervision_trees import (
    DynamicSupervisor,
    InvalidSupervisor,
    PartitionSupervisor,
    Runtime,
    Supervisor,
    TaskSupervisor,
)
from treewarden.supervision_trees._effects import Change, StartChild

if TYPE_CHECKING:
    from .conftest import Tree

WRONG: Any = "a word"


class Own(Supervisor):
    """A supervisor whose argument is a number of children."""

    def __init__(self, count: int) -> None:
        super().__init__([ChildSpec.of(Actor, id=f"x{number}") for number in range(count)])


def five(arguments: tuple[Any, ...], number: int) -> int:
    return number


@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor, TaskSupervisor])
def test_a_child_that_is_no_spec_is_refused_and_the_supervisor_lives_on(tree: "Tree", kind: type[Supervisor]) -> None:
    """B 1.1 (invalid_child_spec), A.10."""
    top = tree.start(kind=kind)
    tree.ask(StartChild(ChildSpec.of(Actor, id="x")))
    wrongs: list[Any] = [WRONG, None, ChildId("x")]
    for wrong in wrongs:
        with pytest.raises(InvalidChildSpec, match=r"found .* expected a ChildSpec"):
            tree.ask(StartChild(wrong))

    assert (True, {"x": "running"}) == (top.is_alive(), tree.states())


@pytest.mark.parametrize("setting", ["strategy", "intensity", "auto_shutdown"])
def test_a_change_to_what_is_no_such_setting_is_refused_and_changes_nothing(tree: "Tree", setting: str) -> None:
    """A.10, B 1.2, B 1.10: all or nothing."""
    tree.start(ChildSpec.of(Actor, id="x"))
    before = tree.describe().settings
    with pytest.raises(InvalidSupervisor, match=f"{setting}: found 'a word'"):
        tree.ask(Change(**{setting: WRONG}))

    assert before == tree.describe().settings


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: ChildSpec.of(WRONG, id="x"), "actor_class"),
        (lambda: ChildSpec.of(int, id="x"), "actor_class"),  # type: ignore[arg-type]  # the mistake under test
        (lambda: ChildSpec.of(Actor, id=5), "id"),  # type: ignore[arg-type]  # the mistake under test
        (lambda: ChildSpec.of(Actor, needs="db"), "needs"),  # type: ignore[arg-type]  # the mistake under test
        (lambda: ChildSpec.of(Actor, needs=5), "needs"),  # type: ignore[arg-type]  # the mistake under test
        (lambda: ChildSpec.of(Actor, needs=(5,)), "needs"),  # type: ignore[arg-type]  # the mistake under test
        (lambda: ChildSpec.of(Actor, backoff=WRONG), "backoff"),
        (lambda: ChildSpec.of(Actor, intensity=WRONG), "intensity"),
        (lambda: ChildSpec(ChildId("x"), Actor, args=WRONG), "args"),
        (lambda: ChildSpec(ChildId("x"), Actor, kwargs=WRONG), "kwargs"),
        (lambda: Backoff(initial=WRONG), "backoff.initial"),
        (lambda: Backoff(reset_after=WRONG), "backoff.reset_after"),
    ],
)
def test_a_spec_with_a_field_of_the_wrong_type_is_never_made(make: Callable[[], object], field: str) -> None:
    """B 1.1: checked before any child starts, so no supervisor meets it."""
    with pytest.raises(InvalidChildSpec) as refused:
        make()
    assert field == refused.value.field


@pytest.mark.parametrize(
    "root",
    [
        ChildSpec.of(Supervisor, children=5, id="t"),
        ChildSpec.of(Supervisor, children=WRONG, id="t"),
        ChildSpec.of(Supervisor, children=[WRONG], id="t"),
        ChildSpec.of(PartitionSupervisor, WRONG, id="t"),
        ChildSpec.of(PartitionSupervisor, ChildSpec.of(Actor), with_arguments=5, id="t"),
        ChildSpec.of(PartitionSupervisor, ChildSpec.of(Actor), with_arguments=five, id="t"),
        WRONG,
    ],
)
def test_a_tree_of_the_wrong_types_is_refused_by_name(root: ChildSpec) -> None:
    """B 1.1, B 1.2."""
    with pytest.raises((InvalidSupervisor, InvalidChildSpec), match=r"found .* expected "):
        Runtime.start(root)


def test_children_that_can_be_read_once_only_are_refused(tree: "Tree") -> None:
    """B 1.8: or a supervisor that is restarted would begin without children, in silence."""
    once = (ChildSpec.of(Actor, id=name) for name in "ab")
    with pytest.raises(InvalidSupervisor, match="children"):
        Runtime.start(ChildSpec.of(Supervisor, children=once, id="t"))
    tree.start(children=iter([ChildSpec.of(Actor, id="a")]))

    assert tree.exit is not None


def test_a_supervisor_of_ones_own_may_take_other_arguments() -> None:
    """A.1: what its arguments mean is its own affair."""
    with Runtime.start(ChildSpec.of(Own, 2, id="t")) as runtime:
        assert ["x0", "x1"] == [child.id for child in runtime.supervisor("/t").which_children()]


@pytest.mark.parametrize("call", ["terminate_child", "restart_child", "delete_child", "get_child_spec"])
def test_what_names_no_child_is_refused_at_the_caller(call: str) -> None:
    """A.10."""
    with Runtime.start(ChildSpec.of(Supervisor, children=[ChildSpec.of(Actor, id="x")], id="t")) as runtime:
        for wrong in (5, None, ["x"]):
            with pytest.raises(TypeError, match="for a child of /t, expected its id"):
                getattr(runtime.supervisor("/t"), call)(wrong)


def test_a_task_within_no_number_of_seconds_is_refused() -> None:
    """A.1, B 4."""
    with Runtime.start(ChildSpec.of(TaskSupervisor, id="t")) as runtime, pytest.raises(TreewardenError, match="within"):
        runtime.tasks("/t").run_task(print, within=WRONG)
