"""Children that are restarted together: one_for_all and rest_for_one (supervision.md A.8, B 1.3, B 1.4, B 1.7)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from treewarden.actors import (
    Actor,
    ActorPath,
    Backoff,
    ChildId,
    ChildRestarting,
    ChildSpec,
    Crashed,
    CrashReport,
    GroupRestarting,
    Intensity,
    Normal,
    Restart,
    Shutdown,
    StateUnusable,
    SupervisorGaveUp,
)
from treewarden.supervision_trees import ChildState, Strategy
from treewarden.supervision_trees._effects import RestartChild, StartChild, TerminateChild

if TYPE_CHECKING:
    from .conftest import Bench

    MakeBench = Callable[..., Bench]

ALL, REST, ONE = Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE, Strategy.ONE_FOR_ONE
GROUPS = pytest.mark.parametrize("strategy", [ALL, REST], ids=["one_for_all", "rest_for_one"])
A, B, C = (ChildId(name) for name in "abc")


def a(name: str, restart: Restart = Restart.PERMANENT, **options: object) -> ChildSpec:
    return ChildSpec.of(Actor, id=name, restart=restart, **options)  # type: ignore[arg-type]  # any option of `of`


# B 1.4: whom an end concerns, and in which order


def test_under_one_for_all_the_others_stop_from_right_to_left_then_all_start_from_left_to_right(
    bench: "MakeBench",
) -> None:
    """A.8, B 1.4: crash of b in [a,b,c]: stop c, stop a, start a,b,c; one after another."""
    world = bench(a("a"), a("b"), a("c"), strategy=ALL).boot_all()
    mark = len(world.starts)
    world.crashes("b")
    assert (["c"], mark) == (world.stops, len(world.starts))
    world.ends("c")
    assert (["c", "a"], mark) == (world.stops, len(world.starts))
    world.ends("a")
    world.start_in_turn("a", "b", "c")

    assert ["a", "b", "c"] == world.started_since(mark)
    assert [2, 2, 2] == [world.child(name).generation for name in "abc"]
    assert [GroupRestarting(ActorPath("/top"), B, (A, C))] == world.of(GroupRestarting)


def test_under_rest_for_one_those_after_it_stop_from_right_to_left_and_start_with_it(bench: "MakeBench") -> None:
    """A.8, B 1.4: b of [a,b,c,d]: stop d, c; start b,c,d; a is not touched."""
    world = bench(a("a"), a("b"), a("c"), a("d"), strategy=REST).boot_all()
    mark = len(world.starts)
    world.crashes("b")
    assert ["d"] == world.stops
    world.ends("d")
    assert ["d", "c"] == world.stops
    world.ends("c")
    world.start_in_turn("b", "c", "d")

    assert ["b", "c", "d"] == world.started_since(mark)
    assert [1, 2, 2, 2] == [world.child(name).generation for name in "abcd"]


def test_the_last_child_under_rest_for_one_is_restarted_alone(bench: "MakeBench") -> None:
    """B 1.4."""
    world = bench(a("a"), a("b"), strategy=REST).boot_all()
    world.crashes("b")
    world.start_in_turn("b")

    assert ([], [1, 2]) == (world.stops, [world.child(name).generation for name in "ab"])


@GROUPS
def test_members_show_stopping_then_restarting_and_run_again(bench: "MakeBench", strategy: Strategy) -> None:
    """A.6, A.8: what `which_children` shows of a group on its way."""
    world = bench(a("a"), a("b"), strategy=strategy).boot_all()
    world.crashes("a")
    assert (ChildState.RESTARTING, ChildState.STOPPING) == (world.state("a"), world.state("b"))
    world.ends("b")
    assert (ChildState.RESTARTING, ChildState.RESTARTING) == (world.state("a"), world.state("b"))
    world.start_in_turn("a", "b")

    assert (ChildState.RUNNING, ChildState.RUNNING) == (world.state("a"), world.state("b"))


@GROUPS
@pytest.mark.parametrize("rest", ["terminated", "ended", "declined"])
def test_siblings_at_rest_come_back_with_their_group(bench: "MakeBench", strategy: Strategy, rest: str) -> None:
    """A.8, B 1.4: one stopped by a call, a transient that ended normally, one that declined."""
    world = bench(a("a"), a("b", Restart.TRANSIENT), a("c"), strategy=strategy).boot()
    world.start_in_turn("a")
    if rest == "declined":
        world.declines("b")
    else:
        world.start_in_turn("b")
    world.start_in_turn("c")
    if rest == "terminated":
        world.call(TerminateChild(B))
        world.ends("b")
    elif rest == "ended":
        world.ends("b", Normal())
    assert world.state("b") is ChildState.STOPPED
    world.crashes("a")
    world.stop_all()
    world.start_in_turn("a", "b", "c")

    assert world.state("b") is ChildState.RUNNING


def test_a_sibling_at_rest_before_the_dead_one_stays_there_under_rest_for_one(bench: "MakeBench") -> None:
    """B 1.4: only if in the affected range."""
    world = bench(a("a"), a("b"), strategy=REST).boot_all()
    world.call(TerminateChild(A))
    world.ends("a")
    world.crashes("b")
    world.start_in_turn("b")

    assert world.state("a") is ChildState.STOPPED


@GROUPS
def test_temporary_siblings_are_stopped_and_their_spec_dropped(bench: "MakeBench", strategy: Strategy) -> None:
    """A.8, B 1.4: also one that crashes while the group stops; never restarted."""
    world = bench(a("a"), a("b", Restart.TEMPORARY), a("c", Restart.TEMPORARY), a("d"), strategy=strategy).boot_all()
    world.crashes("a")
    world.ends("d")
    world.crashes("b")
    world.ends("c")
    world.start_in_turn("a", "d")

    assert ["a", "d"] == list(world.machine.children)
    told = {report.path: report.then for report in world.of(CrashReport)}
    assert "it is temporary and forgotten" == told[ActorPath("/top/b")]


def test_a_parked_sibling_does_not_come_back_with_its_group(bench: "MakeBench") -> None:
    """A.5, A.18: only a person revives it, or nothing would stop the loop."""
    world = bench(a("a"), a("b"), strategy=ALL).boot()
    world.start_in_turn("a")
    world.ends("b", Crashed(StateUnusable(ActorPath("/top/b"), "torn")))
    assert world.state("b") is ChildState.FAILED
    world.crashes("a")
    world.start_in_turn("a")

    assert world.state("b") is ChildState.FAILED
    assert [("a", 1), ("b", 1), ("a", 2)] == world.starts


# B 1.3: which deaths do


@GROUPS
@pytest.mark.parametrize(
    ("restart", "crash"), [(Restart.TEMPORARY, True), (Restart.TEMPORARY, False), (Restart.TRANSIENT, False)]
)
def test_a_death_that_is_not_answered_by_a_restart_touches_nobody(
    bench: "MakeBench", strategy: Strategy, restart: Restart, crash: bool
) -> None:
    """B 1.3: a temporary child that crashes, or a transient that ends normally."""
    world = bench(a("a", restart), a("b"), strategy=strategy, intensity=Intensity(0, within=5.0)).boot_all()
    world.ends("a", Crashed(RuntimeError()) if crash else Normal())

    assert [] == world.stops
    assert ([("a", 1), ("b", 1)], None) == (world.starts, world.ended)


@GROUPS
def test_siblings_that_die_together_older_first_are_one_event(bench: "MakeBench", strategy: Strategy) -> None:
    """B 1.3, B 1.4: under the limit of 1; the second end is one that its group waited for."""
    world = bench(a("a"), a("b"), a("c"), strategy=strategy, intensity=Intensity(1, within=5.0)).boot_all()
    world.crashes("a")
    world.crashes("b")
    world.ends("c")
    world.start_in_turn("a", "b", "c")

    assert (1, None) == (world.machine.window.used(world.now), world.ended)
    assert 1 == len(world.of(ChildRestarting))
    assert ["/top/a", "/top/b"] == [report.path for report in world.of(CrashReport)]


def test_siblings_that_die_together_younger_first_are_two_events_under_rest_for_one(bench: "MakeBench") -> None:
    """B 1.3: the end of the older one concerns one more, so it is an event of its own."""
    world = bench(a("a"), a("b"), a("c"), strategy=REST).boot_all()
    mark = len(world.starts)
    world.crashes("b")
    world.crashes("a")
    world.ends("c")
    world.start_in_turn("a", "b", "c")

    assert 2 == world.machine.window.used(world.now)
    assert ["a", "b", "c"] == world.started_since(mark)  # b was not started in between


def test_siblings_that_die_together_are_two_events_under_one_for_one(bench: "MakeBench") -> None:
    """B 1.3."""
    world = bench(a("a"), a("b"), strategy=ONE).boot_all()
    world.crashes("a")
    world.crashes("b")

    assert 2 == world.machine.window.used(world.now)


@GROUPS
def test_a_group_costs_one_however_many_it_has(bench: "MakeBench", strategy: Strategy) -> None:
    """A.3, B 1.4."""
    names = [f"x{number}" for number in range(20)]
    world = bench(*map(a, names), strategy=strategy, intensity=Intensity(1, within=5.0)).boot_all()
    world.crashes("x0")
    world.stop_all()
    world.start_in_turn(*names)

    assert (1, None) == (world.machine.window.used(world.now), world.ended)


@GROUPS
def test_a_start_by_hand_touches_only_that_child(bench: "MakeBench", strategy: Strategy) -> None:
    """B 1.4: neither restart_child nor start_child, nor their failing, concerns a group."""
    world = bench(a("a"), a("b"), strategy=strategy, intensity=Intensity(0, within=5.0)).boot_all()
    world.call(TerminateChild(A))
    world.ends("a")
    world.call(RestartChild(A))
    world.crashes("a")
    world.call(StartChild(a("c")))
    world.crashes("c")

    assert ["a"] == world.stops
    assert ({"a": ChildState.STOPPED, "b": ChildState.RUNNING}, None) == (
        {name: child.state for name, child in world.machine.children.items()},
        world.ended,
    )


# B 1.7: failing restarts


def test_one_for_all_stops_those_already_restarted_when_one_fails_and_tries_all_again(bench: "MakeBench") -> None:
    """A.8, B 1.7: and each failed attempt costs one more."""
    world = bench(a("a"), a("b"), a("c"), strategy=ALL).boot_all()
    mark = len(world.starts)
    world.crashes("a")
    world.stop_all()
    stops = len(world.stops)
    world.start_in_turn("a")
    world.crashes("b")
    assert ["a"] == world.stops[stops:]
    world.ends("a")
    world.start_in_turn("a", "b", "c")

    assert ["a", "b", "a", "b", "c"] == world.started_since(mark)
    assert 2 == world.machine.window.used(world.now)


def test_rest_for_one_keeps_those_before_the_one_that_failed(bench: "MakeBench") -> None:
    """A.8, B 1.7: only k and later are tried again; b is started once, c twice."""
    world = bench(a("a"), a("b"), a("c"), a("d"), strategy=REST).boot_all()
    mark = len(world.starts)
    world.crashes("b")
    world.stop_all()
    stops = len(world.stops)
    world.start_in_turn("b")
    world.crashes("c")
    world.start_in_turn("c", "d")

    assert ["b", "c", "c", "d"] == world.started_since(mark)
    assert [] == world.stops[stops:]
    assert [1, 2, 3, 2] == [world.child(name).generation for name in "abcd"]


@GROUPS
def test_a_group_whose_start_always_fails_is_tried_as_often_as_the_limit_says(
    bench: "MakeBench", strategy: Strategy
) -> None:
    """B 1.5: limit 3, one crash: exactly 3 attempts, then it gives up."""
    world = bench(a("a"), a("b"), strategy=strategy).boot_all()
    world.crashes("a")
    world.ends("b")
    for _ in range(3):
        world.crashes("a")

    assert [("a", 1), ("b", 1), ("a", 2), ("a", 3), ("a", 4)] == world.starts
    assert Shutdown("intensity") == world.ended
    assert A == world.of(SupervisorGaveUp)[0].child


@GROUPS
def test_a_member_that_declines_rests_and_the_group_goes_on(bench: "MakeBench", strategy: Strategy) -> None:
    """B 1.7 `ignore`: not retried, no further charge."""
    world = bench(a("a"), a("b"), a("c"), strategy=strategy).boot_all()
    world.crashes("a")
    world.stop_all()
    world.start_in_turn("a")
    world.declines("b")
    world.start_in_turn("c")

    assert world.state("b") is ChildState.STOPPED
    assert 1 == world.machine.window.used(world.now)


@GROUPS
def test_a_member_whose_state_cannot_be_restored_is_parked_and_the_group_goes_on(
    bench: "MakeBench", strategy: Strategy
) -> None:
    """A.18: parked whatever the strategy, its siblings start, nothing loops."""
    world = bench(a("a"), a("b"), a("c"), strategy=strategy).boot_all()
    world.crashes("a")
    world.stop_all()
    world.start_in_turn("a")
    world.ends("b", Crashed(StateUnusable(ActorPath("/top/b"), "torn")))
    world.start_in_turn("c")

    assert world.state("b") is ChildState.FAILED
    assert 1 == world.machine.window.used(world.now)


def test_terminating_the_child_that_fails_leaves_later_ones_stopped(bench: "MakeBench") -> None:
    """B 1.7: under rest_for_one; restart_child then brings back only that child."""
    world = bench(a("a"), a("b", backoff=Backoff(initial=9.0, jitter=0.0)), a("c"), a("d"), strategy=REST).boot_all()
    world.crashes("b")
    world.stop_all()
    assert world.ask(TerminateChild(B)) is None

    assert [ChildState.RUNNING, *[ChildState.STOPPED] * 3] == [world.state(name) for name in "abcd"]
    assert {} == world.timers
    world.call(RestartChild(B))
    world.start_in_turn("b")
    assert [ChildState.RUNNING, ChildState.RUNNING, *[ChildState.STOPPED] * 2] == [world.state(n) for n in "abcd"]


def test_terminating_the_child_that_fails_while_it_starts_leaves_later_ones_stopped(bench: "MakeBench") -> None:
    """B 1.7: the retry under way is called off too."""
    world = bench(a("a"), a("b"), a("c"), strategy=REST).boot_all()
    world.crashes("b")
    world.stop_all()
    world.call(TerminateChild(B))
    world.ends("b")

    assert [ChildState.RUNNING, ChildState.STOPPED, ChildState.STOPPED] == [world.state(name) for name in "abc"]
    assert not world.unanswered


@GROUPS
def test_terminating_another_member_takes_only_that_one_out(bench: "MakeBench", strategy: Strategy) -> None:
    """A.10, B 1.7: while the group stops, waits, and starts."""
    for phase in ("stopping", "waiting", "starting"):
        delayed = Backoff(initial=9.0, jitter=0.0)
        world = bench(a("a", backoff=delayed), a("b"), a("c"), strategy=strategy).boot_all()
        world.crashes("a")
        if phase != "stopping":
            world.stop_all()
        if phase == "starting":
            world.advance(9.0)
        call = world.call(TerminateChild(C))
        world.stop_all()
        world.advance(9.0)
        world.start_in_turn("a", "b")

        assert world.answers[call] is None, phase
        assert world.state("c") is ChildState.STOPPED, phase
