"""Other settings and specs for a living supervisor (supervision.md A.10, B 1.10 `code_change`)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import (
    Actor,
    Backoff,
    ChildId,
    ChildSpec,
    Intensity,
    InvalidChildSpec,
    Normal,
    Restart,
    Shutdown,
)
from treewarden.supervision_trees import AutoShutdown, ChildState, InvalidSupervisor, NotApplicable, Strategy
from treewarden.supervision_trees._effects import Change, Refused, RestartChild, TerminateChild
from treewarden.supervision_trees._roster import Membership

if TYPE_CHECKING:
    from .conftest import Bench, Tree

    MakeBench = Callable[..., Bench]

X, Y, Z = ChildId("x"), ChildId("y"), ChildId("z")
ALL, REST, ONE = Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE, Strategy.ONE_FOR_ONE


def a(name: str, **options: Any) -> ChildSpec:
    return ChildSpec.of(Actor, id=name, **options)


def states(world: "Bench") -> dict[str, str]:
    return {name: child.state.value for name, child in world.machine.children.items()}


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"strategy": "one_for_all"}, InvalidSupervisor),
        ({"intensity": 5}, InvalidSupervisor),
        ({"auto_shutdown": "never"}, InvalidSupervisor),
        ({"children": (a("x"), a("x"))}, InvalidSupervisor),
        ({"children": (a("x"), "y")}, InvalidChildSpec),
        ({"children": (a("x", needs=("nobody",)),)}, InvalidSupervisor),
        ({"children": (a("x", needs=("y",)), a("y", needs=("x",)))}, InvalidSupervisor),
        ({"children": (a("x", restart=Restart.TRANSIENT, significant=True),)}, InvalidChildSpec),
        ({"strategy": ONE, "children": (a("x", needs=("y",)), a("y", needs=("x",)))}, InvalidSupervisor),
        ({"strategy": ALL, "children": (a("x", intensity=Intensity(1)),)}, InvalidChildSpec),
    ],
    ids=repr,
)
def test_one_mistake_changes_nothing_settings_included(
    bench: "MakeBench", bad: dict[str, Any], error: type[Exception]
) -> None:
    """A.10, B 1.10: all or nothing, for each kind of bad input."""
    good: dict[str, Any] = {
        "strategy": REST,
        "intensity": Intensity(9, within=1.0),
        "children": (a("y"), a("x"), a("new")),
    }
    world = bench(a("x"), a("y")).boot_all()
    before = dict(world.machine.children), world.machine.settings
    answer = world.ask(Change(**{**good, **bad}))

    assert isinstance(answer, Refused)
    assert isinstance(answer.error, error)
    assert before == (dict(world.machine.children), world.machine.settings)
    assert ["x", "y"] == list(world.machine.children)
    world.crashes("x")
    assert [] == world.stops  # still one_for_one


@pytest.mark.parametrize(
    ("start", "change", "error"),
    [
        # A setting alone may be what the children that are there cannot go with.
        ({"children": (a("x", intensity=Intensity(1)),)}, {"strategy": ALL}, InvalidChildSpec),
        (
            {
                "children": (a("x", restart=Restart.TRANSIENT, significant=True),),
                "auto_shutdown": AutoShutdown.ANY_SIGNIFICANT,
            },
            {"auto_shutdown": AutoShutdown.NEVER},
            InvalidChildSpec,
        ),
        # One that is missing runs on: so it must go with the new whole, and what it needs must stay.
        (
            {"children": (a("x", intensity=Intensity(1)), a("y"))},
            {"strategy": ALL, "children": (a("y"),)},
            InvalidChildSpec,
        ),
        (
            {"children": (a("y"), a("x", needs=("y",)))},
            {"children": (a("y", needs=("x",)),)},
            InvalidSupervisor,
        ),
    ],
)
def test_what_stays_is_checked_with_what_is_new(
    bench: "MakeBench", start: dict[str, Any], change: dict[str, Any], error: type[Exception]
) -> None:
    """B 1.10: nothing changes, flags included."""
    children = start.pop("children")
    world = bench(*children, **start).boot_all()
    before = world.machine.settings
    answer = world.ask(Change(**change))
    start["children"] = children

    assert isinstance(answer, Refused)
    assert isinstance(answer.error, error)
    assert (before, list(children)) == (
        world.machine.settings,
        [child.spec for child in world.machine.children.values()],
    )


def test_known_ids_get_their_new_spec_without_a_restart(bench: "MakeBench") -> None:
    """B 1.10: it counts from their next end on."""
    world = bench(a("x"), a("y")).boot_all()
    assert world.ask(Change(children=(a("x", restart=Restart.TRANSIENT, shutdown=1.0), a("y")))) is None
    assert ([("x", 1), ("y", 1)], []) == (world.starts, world.stops)
    assert 1.0 == world.child("x").spec.shutdown
    world.ends("x", Normal())

    assert world.state("x") is ChildState.STOPPED


def test_new_ids_are_added_stopped_and_missing_ones_run_on_behind_the_others(bench: "MakeBench") -> None:
    """B 1.10: the order is that of the new specs, then what is kept."""
    world = bench(a("x"), a("y"), a("z")).boot_all()
    assert world.ask(Change(children=(a("new"), a("z")))) is None

    assert {"new": "stopped", "z": "running", "x": "running", "y": "running"} == states(world)
    assert ["new", "z", "x", "y"] == list(world.machine.children)
    assert [] == world.stops
    world.call(RestartChild(ChildId("new")))
    world.start_in_turn("new")
    world.shut_down()
    world.stop_all()
    assert ["y", "x", "z", "new"] == world.stops


def test_no_children_named_is_not_the_same_as_an_empty_list(bench: "MakeBench") -> None:
    """A.10: what is left out stays as it is; with an empty list everybody is kept too, as missing."""
    world = bench(a("x"), a("y")).boot_all()
    for change in (Change(intensity=Intensity(7, within=1.0)), Change(children=())):
        assert world.ask(change) is None
        assert {"x": "running", "y": "running"} == states(world)
    assert Intensity(7, within=1.0) == world.machine.settings.intensity


@pytest.mark.parametrize(("strategy", "stopped"), [(ALL, ["z", "x"]), (REST, ["z"]), (ONE, [])])
def test_a_new_strategy_counts_from_the_next_crash_on(
    bench: "MakeBench", strategy: Strategy, stopped: list[str]
) -> None:
    """A.10: on a live supervisor, from any strategy to any."""
    for before in Strategy:
        world = bench(a("x"), a("y"), a("z"), strategy=before).boot_all()
        assert world.ask(Change(strategy=strategy)) is None
        world.crashes("y")
        world.stop_all()
        assert stopped == world.stops


def test_a_new_order_counts_for_rest_for_one(bench: "MakeBench") -> None:
    """B 1.10: start order is the order of the table."""
    world = bench(a("x"), a("y"), a("z"), strategy=REST).boot_all()
    world.call(Change(children=(a("z"), a("y"), a("x"))))
    world.crashes("y")
    assert ["x"] == world.stops
    world.ends("x")
    world.start_in_turn("y", "x")


def test_a_new_limit_counts_at_once_and_what_was_spent_stays_spent(bench: "MakeBench") -> None:
    """A.10: neither a fresh allowance nor a lost one."""
    world = bench(a("x"), intensity=Intensity(5, within=5.0)).boot_all()
    for _ in range(2):
        world.crashes("x")
        world.started("x")
    assert world.ask(Change(intensity=Intensity(2, within=5.0))) is None
    assert 2 == world.machine.window.used(world.now)
    world.crashes("x")

    assert Shutdown("intensity") == world.ended


def test_a_limit_of_its_own_that_stays_keeps_what_was_spent_of_it(bench: "MakeBench") -> None:
    """A.5, A.10: own window kept; one that is new begins empty, one that goes is charged above."""
    world = bench(a("x", intensity=Intensity(1)), a("y", intensity=Intensity(1))).boot_all()
    world.crashes("x")
    world.started("x")
    world.crashes("y")
    world.started("y")
    world.call(Change(children=(a("x", intensity=Intensity(2)), a("y"))))
    window = world.child("x").window
    assert window is not None
    assert (1, 2) == (window.used(world.now), window.limit.restarts)
    assert world.child("y").window is None
    world.crashes("y")
    world.started("y")
    assert 1 == world.machine.window.used(world.now)
    world.crashes("x")
    world.started("x")
    world.crashes("x")

    assert world.state("x") is ChildState.FAILED


def test_automatic_shutdown_can_be_switched_on_with_its_children(bench: "MakeBench") -> None:
    """A.9, A.10: counts from the next end on."""
    world = bench(a("x", restart=Restart.TRANSIENT), a("y")).boot_all()
    change = Change(
        auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
        children=(a("x", restart=Restart.TRANSIENT, significant=True), a("y")),
    )
    assert world.ask(change) is None
    assert world.ended is None
    world.ends("x", Normal())
    world.stop_all()

    assert Shutdown("auto_shutdown") == world.ended


def test_a_child_that_lost_the_need_it_waited_for_starts(bench: "MakeBench") -> None:
    """A.6, A.10: nothing else would wake it."""
    world = bench(a("x"), a("y", needs=("x",))).boot()
    world.started("x", ready=False)
    assert world.state("y") is ChildState.WAITING
    world.call(Change(children=(a("x"), a("y"))))

    assert world.state("y") is ChildState.STARTING


@pytest.mark.parametrize("phase", ["stopping", "waiting", "starting"])
def test_a_group_under_way_is_finished_as_it_began(bench: "MakeBench", phase: str) -> None:
    """A.8, A.10: new strategy, order and children do not confuse it; a new one stays stopped."""
    world = bench(a("x", backoff=Backoff(initial=9.0, jitter=0.0)), a("y"), a("z"), strategy=ALL).boot_all()
    world.crashes("x")
    if phase != "stopping":
        world.stop_all()
    if phase == "starting":
        world.advance(9.0)
    change = Change(strategy=ONE, children=(a("z"), a("new"), a("y"), a("x")))
    assert world.ask(change) is None
    world.stop_all()
    world.advance(9.0)
    # In the order of the table as it stands when the start begins.
    world.start_in_turn(*(["x", "y", "z"] if phase == "starting" else ["z", "y", "x"]))

    assert {"z": "running", "new": "stopped", "y": "running", "x": "running"} == states(world)
    assert not world.timers
    world.crashes("y")
    assert 2 == len(world.stops)


@pytest.mark.parametrize("strategy", [ALL, REST])
def test_a_delay_under_one_for_one_joins_a_group_that_a_change_made_possible(
    bench: "MakeBench", strategy: Strategy
) -> None:
    """A.5, A.10: the retry that was set is not carried out beside the group's, but the longest delay counts."""
    world = bench(a("x"), a("y", backoff=Backoff(initial=3.0, jitter=0.0)), strategy=ONE).boot_all()
    world.crashes("y")
    world.call(Change(strategy=strategy))
    world.crashes("x")
    world.advance(2.75)
    assert {} == world.live
    world.advance(0.25)
    world.start_in_turn("x", "y")
    world.advance(9.0)

    assert [("x", 1), ("y", 1), ("x", 2), ("y", 2)] == world.starts


def test_a_change_during_the_boot_starts_nobody_twice_and_nobody_new(bench: "MakeBench") -> None:
    """A.6, A.10: those whose turn has not come boot in their new order; new ones are stopped."""
    world = bench(a("x"), a("y"), a("z")).boot()
    assert world.ask(Change(children=(a("z"), a("new"), a("y"), a("x")))) is None
    world.start_in_turn("x", "z", "y")

    assert world.has_started()
    assert {"z": "running", "new": "stopped", "y": "running", "x": "running"} == states(world)


def test_a_new_strategy_during_the_boot_waits_for_its_end_as_any_group_does(bench: "MakeBench") -> None:
    """B 1.4, B 1.10."""
    world = bench(a("x"), a("y")).boot()
    world.started("x")
    world.call(Change(strategy=ALL))
    world.crashes("x")
    assert [] == world.stops
    world.started("y")
    assert ["y"] == world.stops
    world.ends("y")
    world.start_in_turn("x", "y")


def test_a_terminated_child_stays_stopped_under_its_new_spec(bench: "MakeBench") -> None:
    """B 1.10: nothing is started."""
    world = bench(a("x")).boot_all()
    world.call(TerminateChild(X))
    world.ends("x")
    world.call(Change(children=(a("x", shutdown=1.0),)))

    assert {"x": "stopped"} == states(world)


@pytest.mark.parametrize(
    "change",
    [
        Change(children=(a("x"),)),
        Change(strategy=ALL),
        Change(strategy=REST),
        Change(auto_shutdown=AutoShutdown.ANY_SIGNIFICANT),
    ],
    ids=repr,
)
def test_of_a_dynamic_supervisor_only_the_intensity_can_change(bench: "MakeBench", change: Change) -> None:
    """A.1: it is one_for_one, its children come and go by calls."""
    world = bench(membership=Membership.DYNAMIC).boot_all()
    answer = world.ask(change)
    assert isinstance(answer, Refused)
    assert isinstance(answer.error, NotApplicable)
    assert world.ask(Change(intensity=Intensity(1, within=2.0))) is None
    assert Intensity(1, within=2.0) == world.machine.settings.intensity


def test_a_living_supervisor_goes_by_what_it_was_told(tree: "Tree", scripted: type[Actor]) -> None:
    """A.10, on the real one: refs stay, the next crash is answered the new way."""
    x, y = (ChildSpec.of(scripted, [], id=name) for name in "xy")
    tree.start(x, y)
    refs = tree.ref("x"), tree.ref("y")
    assert tree.ask(Change(strategy=ALL, children=(y, x))) is None
    assert (refs, ["y", "x"]) == ((tree.ref("x"), tree.ref("y")), list(tree.states()))
    assert tree.describe().settings.strategy is ALL
    tree.tell("x", "crash")

    assert refs[0] is not tree.ref("x")
    assert refs[1] is not tree.ref("y")
