"""Children that are restarted together: one_for_all and rest_for_one (supervision.md A.8, B 1.3, B 1.4, B 1.7)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from treewarden.actors import (
    BRUTAL_KILL,
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
from treewarden.supervision_trees import ChildState, StartFailed, Strategy
from treewarden.supervision_trees._effects import Refused, RestartChild, StartChild, TerminateChild

if TYPE_CHECKING:
    from .conftest import Bench

    MakeBench = Callable[..., Bench]

ALL, REST, ONE = Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE, Strategy.ONE_FOR_ONE
GROUPS = pytest.mark.parametrize("strategy", [ALL, REST], ids=["one_for_all", "rest_for_one"])
A, B, C, D = (ChildId(name) for name in "abcd")


def a(name: str, restart: Restart = Restart.PERMANENT, **options: object) -> ChildSpec:
    return ChildSpec.of(Actor, id=name, restart=restart, **options)  # type: ignore[arg-type]  # any option of `of`


def run(world: "Bench", *names: str) -> None:
    """Have these starts succeed, in this order; each must be the only one under way, or the machine overtook."""
    for name in names:
        in_start = [each for each in world.live if not world.child(each).started]
        assert [name] == in_start
        world.started(name)


def started_since(world: "Bench", mark: int) -> list[str]:
    return [name for name, _ in world.starts[mark:]]


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
    run(world, "a", "b", "c")

    assert ["a", "b", "c"] == started_since(world, mark)
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
    run(world, "b", "c", "d")

    assert ["b", "c", "d"] == started_since(world, mark)
    assert [1, 2, 2, 2] == [world.child(name).generation for name in "abcd"]


def test_the_last_child_under_rest_for_one_is_restarted_alone(bench: "MakeBench") -> None:
    """B 1.4."""
    world = bench(a("a"), a("b"), strategy=REST).boot_all()
    world.crashes("b")
    run(world, "b")

    assert ([], [1, 2]) == (world.stops, [world.child(name).generation for name in "ab"])


@GROUPS
def test_members_show_stopping_then_restarting_and_run_again(bench: "MakeBench", strategy: Strategy) -> None:
    """A.6, A.8: what `which_children` shows of a group on its way."""
    world = bench(a("a"), a("b"), strategy=strategy).boot_all()
    world.crashes("a")
    assert (ChildState.RESTARTING, ChildState.STOPPING) == (world.state("a"), world.state("b"))
    world.ends("b")
    assert (ChildState.RESTARTING, ChildState.RESTARTING) == (world.state("a"), world.state("b"))
    run(world, "a", "b")

    assert (ChildState.RUNNING, ChildState.RUNNING) == (world.state("a"), world.state("b"))


@GROUPS
@pytest.mark.parametrize("rest", ["terminated", "ended", "declined"])
def test_siblings_at_rest_come_back_with_their_group(bench: "MakeBench", strategy: Strategy, rest: str) -> None:
    """A.8, B 1.4: one stopped by a call, a transient that ended normally, one that declined."""
    world = bench(a("a"), a("b", Restart.TRANSIENT), a("c"), strategy=strategy).boot()
    run(world, "a")
    if rest == "declined":
        world.declines("b")
    else:
        run(world, "b")
    run(world, "c")
    if rest == "terminated":
        world.call(TerminateChild(B))
        world.ends("b")
    elif rest == "ended":
        world.ends("b", Normal())
    assert world.state("b") is ChildState.STOPPED
    world.crashes("a")
    world.stop_all()
    run(world, "a", "b", "c")

    assert world.state("b") is ChildState.RUNNING


def test_a_sibling_at_rest_before_the_dead_one_stays_there_under_rest_for_one(bench: "MakeBench") -> None:
    """B 1.4: only if in the affected range."""
    world = bench(a("a"), a("b"), strategy=REST).boot_all()
    world.call(TerminateChild(A))
    world.ends("a")
    world.crashes("b")
    run(world, "b")

    assert world.state("a") is ChildState.STOPPED


@GROUPS
def test_temporary_siblings_are_stopped_and_their_spec_dropped(bench: "MakeBench", strategy: Strategy) -> None:
    """A.8, B 1.4: also one that crashes while the group stops; never restarted."""
    world = bench(a("a"), a("b", Restart.TEMPORARY), a("c", Restart.TEMPORARY), a("d"), strategy=strategy).boot_all()
    world.crashes("a")
    world.ends("d")
    world.crashes("b")
    world.ends("c")
    run(world, "a", "d")

    assert ["a", "d"] == list(world.machine.children)
    told = {report.path: report.then for report in world.of(CrashReport)}
    assert "it is temporary and forgotten" == told[ActorPath("/top/b")]


def test_a_parked_sibling_does_not_come_back_with_its_group(bench: "MakeBench") -> None:
    """A.5, A.18: only a person revives it, or nothing would stop the loop."""
    world = bench(a("a"), a("b"), strategy=ALL).boot()
    run(world, "a")
    world.ends("b", Crashed(StateUnusable(ActorPath("/top/b"), "torn")))
    assert world.state("b") is ChildState.FAILED
    world.crashes("a")
    run(world, "a")

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
    run(world, "a", "b", "c")

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
    run(world, "a", "b", "c")

    assert 2 == world.machine.window.used(world.now)
    assert ["a", "b", "c"] == started_since(world, mark)  # b was not started in between


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
    run(world, *names)

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
    run(world, "a")
    world.crashes("b")
    assert ["a"] == world.stops[stops:]
    world.ends("a")
    run(world, "a", "b", "c")

    assert ["a", "b", "a", "b", "c"] == started_since(world, mark)
    assert 2 == world.machine.window.used(world.now)


def test_rest_for_one_keeps_those_before_the_one_that_failed(bench: "MakeBench") -> None:
    """A.8, B 1.7: only k and later are tried again; b is started once, c twice."""
    world = bench(a("a"), a("b"), a("c"), a("d"), strategy=REST).boot_all()
    mark = len(world.starts)
    world.crashes("b")
    world.stop_all()
    stops = len(world.stops)
    run(world, "b")
    world.crashes("c")
    run(world, "c", "d")

    assert ["b", "c", "c", "d"] == started_since(world, mark)
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
    run(world, "a")
    world.declines("b")
    run(world, "c")

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
    run(world, "a")
    world.ends("b", Crashed(StateUnusable(ActorPath("/top/b"), "torn")))
    run(world, "c")

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
    run(world, "b")
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
        run(world, "a", "b")

        assert world.answers[call] is None, phase
        assert world.state("c") is ChildState.STOPPED, phase


# What comes in between


@GROUPS
@pytest.mark.parametrize("phase", ["stopping", "waiting", "starting", "one up"])
def test_a_supervisor_that_stops_in_the_middle_of_a_group_restart_starts_nothing_more(
    bench: "MakeBench", strategy: Strategy, phase: str
) -> None:
    """A.7, OTP-9549: in each phase; nothing is left running, no timer is left."""
    world = bench(a("a", backoff=Backoff(initial=9.0, jitter=0.0)), a("b"), a("c"), strategy=strategy).boot_all()
    world.crashes("a")
    if phase != "stopping":
        world.stop_all()
    if phase in ("starting", "one up"):
        world.advance(9.0)
    if phase == "one up":
        run(world, "a")
    mark = len(world.starts)
    world.shut_down()
    world.stop_all()

    assert (Normal(), mark) == (world.ended, len(world.starts))


@pytest.mark.parametrize("phase", ["stopping", "waiting", "starting", "one up"])
def test_a_crash_of_an_earlier_sibling_widens_the_group(bench: "MakeBench", phase: str) -> None:
    """A.5, A.8: under rest_for_one, in each phase: one start for each, charged once more."""
    world = bench(a("a"), a("b", backoff=Backoff(initial=9.0, jitter=0.0)), a("c"), strategy=REST).boot_all()
    world.crashes("b")
    if phase != "stopping":
        world.stop_all()
    if phase in ("starting", "one up"):
        world.advance(9.0)
    if phase == "one up":
        run(world, "b")
    mark = len(world.starts)
    world.crashes("a")
    world.stop_all()
    world.advance(9.0)  # the delay of b, if it was not over, is kept
    run(world, "a", "b", "c")

    assert ["a", "b", "c"] == started_since(world, mark)
    assert ["b", "a"] == [event.path[-1] for event in world.of(ChildRestarting)]
    assert 2 == len(world.of(GroupRestarting))


def test_a_crash_in_the_middle_of_the_start_begins_one_for_all_anew(bench: "MakeBench") -> None:
    """A.8: a sibling that is up already crashes while another is in its start."""
    world = bench(a("a"), a("b"), a("c"), strategy=ALL).boot_all()
    world.crashes("c")
    world.stop_all()
    run(world, "a")
    mark = len(world.starts)
    world.crashes("a")
    assert "b" == world.stops[-1]  # which was in its start
    world.ends("b")
    run(world, "a", "b", "c")

    assert ["a", "b", "c"] == started_since(world, mark)


# Backoff (A.5)


@GROUPS
def test_siblings_stop_at_the_crash_and_all_start_when_the_delay_is_over(
    bench: "MakeBench", strategy: Strategy
) -> None:
    """A.5: each of them shows when."""
    world = bench(a("a", backoff=Backoff(initial=4.0, jitter=0.0)), a("b"), strategy=strategy).boot_all()
    crashed = world.now
    world.crashes("a")
    assert ["b"] == world.stops
    world.advance(1.0)
    world.ends("b")
    assert [crashed + 4.0] * 2 == [world.child(name).retry_at for name in "ab"]
    mark = len(world.starts)
    world.advance(2.5)
    assert mark == len(world.starts)
    world.advance(0.5)
    assert [None, None] == [world.child(name).retry_at for name in "ab"]
    run(world, "a", "b")


def test_a_group_that_stops_for_longer_than_its_delay_starts_at_once(bench: "MakeBench") -> None:
    """A.5: the delay runs from the crash."""
    world = bench(a("a", backoff=Backoff(initial=2.0, jitter=0.0)), a("b"), strategy=ALL).boot_all()
    world.crashes("a")
    world.advance(3.0)
    world.ends("b")
    run(world, "a", "b")


def test_crashes_during_the_delay_merge_and_the_longest_delay_counts(bench: "MakeBench") -> None:
    """A.5: "crashes meanwhile merge into it"; one start for all."""
    world = bench(
        a("a", backoff=Backoff(initial=8.0, jitter=0.0)),
        a("b"),
        a("c", backoff=Backoff(initial=3.0, jitter=0.0)),
        strategy=REST,
    ).boot_all()
    world.crashes("c")
    mark = len(world.starts)
    world.advance(1.0)
    world.crashes("a")
    world.stop_all()
    world.advance(7.75)
    assert mark == len(world.starts)
    world.advance(0.25)
    run(world, "a", "b", "c")

    assert ["a", "b", "c"] == started_since(world, mark)


def test_a_shorter_delay_that_merges_does_not_cut_a_longer_one(bench: "MakeBench") -> None:
    """A.5."""
    world = bench(a("a"), a("b", backoff=Backoff(initial=9.0, jitter=0.0)), strategy=REST).boot_all()
    world.crashes("b")
    mark = len(world.starts)
    world.crashes("a")
    world.advance(8.75)
    assert mark == len(world.starts)
    world.advance(0.25)
    run(world, "a", "b")


# Needs, boot, ways to stop


@GROUPS
def test_a_member_that_waits_for_a_sibling_holds_up_nobody(bench: "MakeBench", strategy: Strategy) -> None:
    """A.6, A.8: it starts when what it needs is ready."""
    world = bench(a("a"), a("b", needs=("a",)), a("c"), strategy=strategy).boot_all()
    world.crashes("a")
    world.stop_all()
    world.started("a", ready=False)
    assert world.state("b") is ChildState.WAITING
    run(world, "c")
    world.ready("a")
    run(world, "b")

    assert 1 == world.machine.window.used(world.now)


@GROUPS
def test_a_child_that_waits_joins_the_group_and_is_started_once(bench: "MakeBench", strategy: Strategy) -> None:
    """A.6, A.8: what it needs becoming ready in the group's own start does not start it a second time."""
    world = bench(a("a"), a("b", needs=("a",)), strategy=strategy).boot()
    world.started("a", ready=False)
    mark = len(world.starts)
    world.crashes("a")
    run(world, "a", "b")

    assert ["a", "b"] == started_since(world, mark)


@GROUPS
def test_a_death_while_a_later_sibling_boots_is_handled_after_the_boot(bench: "MakeBench", strategy: Strategy) -> None:
    """B 1.4: the start succeeds, then the group is restarted and charged; its report does not wait (A.14)."""
    world = bench(a("a"), a("b"), strategy=strategy).boot()
    run(world, "a")
    world.crashes("a")
    assert world.state("a") is ChildState.RESTARTING
    assert (0, []) == (world.machine.window.used(world.now), world.stops)
    assert [ActorPath("/top/a")] == [report.path for report in world.of(CrashReport)]
    world.started("b")
    assert world.has_started()
    assert ["b"] == world.stops
    world.ends("b")
    run(world, "a", "b")

    assert 1 == world.machine.window.used(world.now)
    assert 1 == len(world.of(CrashReport))


@GROUPS
def test_two_deaths_during_the_boot_older_first_are_one_event_and_two_reports(
    bench: "MakeBench", strategy: Strategy
) -> None:
    """B 1.3, A.14: as if they had waited in OTP's mailbox."""
    world = bench(a("a"), a("b"), a("c"), strategy=strategy).boot()
    run(world, "a", "b")
    world.crashes("a")
    world.crashes("b")
    world.started("c")
    world.ends("c")
    run(world, "a", "b", "c")

    assert 1 == world.machine.window.used(world.now)
    assert ["/top/a", "/top/b"] == [report.path for report in world.of(CrashReport)]


@GROUPS
def test_a_death_during_a_boot_that_fails_is_reported_too(bench: "MakeBench", strategy: Strategy) -> None:
    """A.14: exactly one report for each abnormal end."""
    world = bench(a("a"), a("b"), strategy=strategy).boot()
    run(world, "a")
    world.crashes("a")
    world.crashes("b")

    assert ["/top/a", "/top/b"] == [report.path for report in world.of(CrashReport)]
    assert isinstance(world.ended, Crashed)


@GROUPS
def test_a_child_that_waited_and_fails_during_the_boot_does_not_stop_those_that_boot(
    bench: "MakeBench", strategy: Strategy
) -> None:
    """B 1.4, decision 0002: its first start is a restart attempt, and a group is restarted after the boot only."""
    world = bench(a("a", needs=("b",)), a("b"), a("c"), a("d"), strategy=strategy).boot()
    world.started("b")  # now a starts beside c
    assert {"a", "b", "c"} == set(world.live)
    world.crashes("a")
    assert [] == world.stops
    world.started("c")
    world.started("d")
    assert world.has_started()
    assert ["d"] == world.stops
    world.stop_all()
    world.advance(0.0)

    assert 1 == world.machine.window.used(world.now)
    assert world.state("a") is ChildState.WAITING  # for b, which starts with the group


@GROUPS
def test_a_death_during_the_boot_that_is_terminated_meanwhile_is_not_restarted(
    bench: "MakeBench", strategy: Strategy
) -> None:
    """A.10: what was to follow the boot is called off."""
    world = bench(a("a"), a("b"), strategy=strategy).boot()
    run(world, "a")
    world.crashes("a")
    assert world.ask(TerminateChild(A)) is None
    world.started("b")

    assert [ChildState.STOPPED, ChildState.RUNNING] == [world.state(name) for name in "ab"]
    assert 0 == world.machine.window.used(world.now)


@GROUPS
def test_a_brutally_killed_member_is_not_asked_and_comes_back(bench: "MakeBench", strategy: Strategy) -> None:
    """A.7 `BRUTAL_KILL` in a group; a kill its supervisor ordered is not reported."""
    world = bench(a("a"), a("b", shutdown=BRUTAL_KILL), a("c"), strategy=strategy).boot_all()
    world.crashes("a")
    world.ends("c")
    run(world, "a", "b", "c")

    assert ["c", "b"] == world.stops
    assert ["/top/a"] == [report.path for report in world.of(CrashReport)]


@GROUPS
def test_a_member_that_does_not_stop_is_abandoned_and_the_group_goes_on(bench: "MakeBench", strategy: Strategy) -> None:
    """A.7: after its own `shutdown` time, reported for ever."""
    world = bench(a("a"), a("b", shutdown=2.0), strategy=strategy).boot_all()
    world.crashes("a")
    world.advance(1.75)
    assert world.state("b") is ChildState.STOPPING
    world.advance(0.25)
    run(world, "a", "b")

    assert (ActorPath("/top/b"),) == world.machine.report.abandoned


@GROUPS
def test_a_member_being_terminated_when_the_crash_comes_was_stopped_first_and_comes_back(
    bench: "MakeBench", strategy: Strategy
) -> None:
    """B 1.4: as in OTP, where the call is over before the crash is looked at."""
    world = bench(a("a"), a("b"), strategy=strategy).boot_all()
    call = world.call(TerminateChild(B))
    world.crashes("a")
    world.ends("b")
    assert world.answers[call] is None
    run(world, "a", "b")

    assert ["b"] == world.stops


@GROUPS
def test_a_start_by_hand_that_a_group_interrupts_is_answered_by_the_groups_start(
    bench: "MakeBench", strategy: Strategy
) -> None:
    """A.10: the child is started in the end, so its caller is not told that it was not."""
    world = bench(a("a"), strategy=strategy).boot_all()
    call = world.call(StartChild(a("b")))
    world.crashes("a")
    world.ends("b")
    assert call in world.unanswered
    run(world, "a", "b")

    assert B == world.answers[call]


@GROUPS
def test_a_temporary_start_by_hand_that_a_group_interrupts_is_refused(bench: "MakeBench", strategy: Strategy) -> None:
    """A.8, A.10: it is dropped, and its caller hears so."""
    world = bench(a("a"), strategy=strategy).boot_all()
    call = world.call(StartChild(a("b", Restart.TEMPORARY)))
    world.crashes("a")
    world.ends("b")
    answer = world.answers[call]

    assert isinstance(answer, Refused)
    assert isinstance(answer.error, StartFailed)
    run(world, "a")
    assert ["a"] == list(world.machine.children)


def test_notices_and_timers_of_an_earlier_round_say_nothing(bench: "MakeBench") -> None:
    """A.15: what fell due or was on its way before the group was widened."""
    world = bench(a("a"), a("b", backoff=Backoff(initial=9.0, jitter=0.0)), strategy=REST).boot_all()
    world.crashes("b")
    [first] = world.timers
    world.crashes("a")
    mark = len(world.starts)
    world.feed(first)
    assert mark == len(world.starts)
    world.advance(9.0)
    run(world, "a", "b")
    for late in tuple(world.old_notices[:4]):
        world.feed(late)

    assert [ChildState.RUNNING] * 2 == [world.state(name) for name in "ab"]
    assert (2, None) == (len(world.machine.window.spent), world.ended)
