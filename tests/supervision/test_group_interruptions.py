"""Group restarts that something interrupts: ends, crashes, delays, needs, boots, slow stops (supervision.md A.5 to A.8)."""

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
    Normal,
    Restart,
)
from treewarden.supervision_trees import ChildState, StartFailed, StillRestarting, Strategy
from treewarden.supervision_trees._effects import Refused, RestartChild, StartChild, TerminateChild

if TYPE_CHECKING:
    from .conftest import Bench

    MakeBench = Callable[..., Bench]

ALL, REST = Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE
GROUPS = pytest.mark.parametrize("strategy", [ALL, REST], ids=["one_for_all", "rest_for_one"])
A, B = ChildId("a"), ChildId("b")


def a(name: str, restart: Restart = Restart.PERMANENT, **options: object) -> ChildSpec:
    return ChildSpec.of(Actor, id=name, restart=restart, **options)  # type: ignore[arg-type]  # any option of `of`


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
        world.start_in_turn("a")
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
        world.start_in_turn("b")
    mark = len(world.starts)
    world.crashes("a")
    world.stop_all()
    world.advance(9.0)  # the delay of b, if it was not over, is kept
    world.start_in_turn("a", "b", "c")

    assert ["a", "b", "c"] == world.started_since(mark)
    assert ["b", "a"] == [event.path[-1] for event in world.of(ChildRestarting)]
    assert 2 == len(world.of(GroupRestarting))


def test_a_crash_in_the_middle_of_the_start_begins_one_for_all_anew(bench: "MakeBench") -> None:
    """A.8: a sibling that is up already crashes while another is in its start."""
    world = bench(a("a"), a("b"), a("c"), strategy=ALL).boot_all()
    world.crashes("c")
    world.stop_all()
    world.start_in_turn("a")
    mark = len(world.starts)
    world.crashes("a")
    assert "b" == world.stops[-1]  # which was in its start
    world.ends("b")
    world.start_in_turn("a", "b", "c")

    assert ["a", "b", "c"] == world.started_since(mark)


def test_a_child_added_meanwhile_that_crashes_joins_the_group(bench: "MakeBench") -> None:
    """A.5: it stands behind the one that failed, so it starts with the rest when the delay is over."""
    world = bench(a("a", backoff=Backoff(initial=9.0, jitter=0.0)), a("b"), strategy=REST).boot_all()
    world.crashes("a")
    world.ends("b")
    world.call(StartChild(a("new")))
    world.start_in_turn("new")
    world.crashes("new")
    assert ChildState.RESTARTING is world.state("new")
    assert 109.0 == world.child("new").retry_at
    world.advance(9.0)
    world.start_in_turn("a", "b", "new")

    assert [("a", 2), ("b", 2), ("new", 2)] == world.starts[-3:]


def test_a_child_that_concerns_nobody_else_has_its_turn_in_a_group_that_is_starting(bench: "MakeBench") -> None:
    """A.6, A.8: under rest_for_one the last child is started behind the rest, and the one in its start goes on."""
    world = bench(a("a"), a("b"), strategy=REST).boot_all()
    world.crashes("a")
    world.ends("b")
    world.call(StartChild(a("new")))
    world.started("new")
    world.crashes("new")
    world.start_in_turn("a", "b", "new")

    assert [("a", 2), ("new", 1), ("b", 2), ("new", 2)] == world.starts[-4:]
    assert 1 == len(world.of(GroupRestarting))


@pytest.mark.parametrize("terminated", [False, True])
def test_later_siblings_that_were_added_meanwhile_join_the_group(bench: "MakeBench", terminated: bool) -> None:
    """A.5, A.8: nobody is lost; whoever began the group is still who calls it off."""
    world = bench(a("a", backoff=Backoff(initial=9.0, jitter=0.0)), a("b"), strategy=REST).boot_all()
    world.crashes("a")
    world.ends("b")
    for name in ("c", "d"):
        world.call(StartChild(a(name)))
        world.start_in_turn(name)
    world.crashes("c")
    assert "d" == world.stops[-1]
    world.ends("d")
    if terminated:
        assert world.ask(TerminateChild(ChildId("c"))) is None
    mark = len(world.starts)
    world.advance(9.0)
    expected = ["a", "b", "d"] if terminated else ["a", "b", "c", "d"]
    world.start_in_turn(*expected)

    assert expected == world.started_since(mark)


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
    world.start_in_turn("a", "b")


def test_a_group_that_stops_for_longer_than_its_delay_starts_at_once(bench: "MakeBench") -> None:
    """A.5: the delay runs from the crash."""
    world = bench(a("a", backoff=Backoff(initial=2.0, jitter=0.0)), a("b"), strategy=ALL).boot_all()
    world.crashes("a")
    world.advance(3.0)
    world.ends("b")
    world.start_in_turn("a", "b")


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
    world.start_in_turn("a", "b", "c")

    assert ["a", "b", "c"] == world.started_since(mark)


def test_a_shorter_delay_that_merges_does_not_cut_a_longer_one(bench: "MakeBench") -> None:
    """A.5."""
    world = bench(a("a"), a("b", backoff=Backoff(initial=9.0, jitter=0.0)), strategy=REST).boot_all()
    world.crashes("b")
    mark = len(world.starts)
    world.crashes("a")
    world.advance(8.75)
    assert mark == len(world.starts)
    world.advance(0.25)
    world.start_in_turn("a", "b")


# Needs, boot, ways to stop


@GROUPS
def test_a_member_that_waits_for_a_sibling_holds_up_nobody(bench: "MakeBench", strategy: Strategy) -> None:
    """A.6, A.8: it starts when what it needs is ready."""
    world = bench(a("a"), a("b", needs=("a",)), a("c"), strategy=strategy).boot_all()
    world.crashes("a")
    world.stop_all()
    world.started("a", ready=False)
    assert world.state("b") is ChildState.WAITING
    world.start_in_turn("c")
    world.ready("a")
    world.start_in_turn("b")

    assert 1 == world.machine.window.used(world.now)


@GROUPS
def test_a_child_that_waits_joins_the_group_and_is_started_once(bench: "MakeBench", strategy: Strategy) -> None:
    """A.6, A.8: what it needs becoming ready in the group's own start does not start it a second time."""
    world = bench(a("a"), a("b", needs=("a",)), strategy=strategy).boot()
    world.started("a", ready=False)
    mark = len(world.starts)
    world.crashes("a")
    world.start_in_turn("a", "b")

    assert ["a", "b"] == world.started_since(mark)


@GROUPS
def test_a_death_while_a_later_sibling_boots_is_handled_after_the_boot(bench: "MakeBench", strategy: Strategy) -> None:
    """B 1.4: the start succeeds, then the group is restarted and charged; its report does not wait (A.14)."""
    world = bench(a("a"), a("b"), strategy=strategy).boot()
    world.start_in_turn("a")
    world.crashes("a")
    assert world.state("a") is ChildState.RESTARTING
    assert (0, []) == (world.machine.window.used(world.now), world.stops)
    assert [ActorPath("/top/a")] == [report.path for report in world.of(CrashReport)]
    world.started("b")
    assert world.has_started()
    assert ["b"] == world.stops
    world.ends("b")
    world.start_in_turn("a", "b")

    assert 1 == world.machine.window.used(world.now)
    assert 1 == len(world.of(CrashReport))


@GROUPS
def test_two_deaths_during_the_boot_older_first_are_one_event_and_two_reports(
    bench: "MakeBench", strategy: Strategy
) -> None:
    """B 1.3, A.14: as if they had waited in OTP's mailbox."""
    world = bench(a("a"), a("b"), a("c"), strategy=strategy).boot()
    world.start_in_turn("a", "b")
    world.crashes("a")
    world.crashes("b")
    world.started("c")
    world.ends("c")
    world.start_in_turn("a", "b", "c")

    assert 1 == world.machine.window.used(world.now)
    assert ["/top/a", "/top/b"] == [report.path for report in world.of(CrashReport)]


@GROUPS
def test_a_death_during_a_boot_that_fails_is_reported_too(bench: "MakeBench", strategy: Strategy) -> None:
    """A.14: exactly one report for each abnormal end."""
    world = bench(a("a"), a("b"), strategy=strategy).boot()
    world.start_in_turn("a")
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
    world.start_in_turn("a")
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
    world.start_in_turn("a", "b", "c")

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
    world.start_in_turn("a", "b")

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
    world.start_in_turn("a", "b")

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
    world.start_in_turn("a", "b")

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
    world.start_in_turn("a")
    assert ["a"] == list(world.machine.children)


@pytest.mark.parametrize("alone", [True, False], ids=["its own", "its group's"])
def test_notices_and_timers_of_before_a_group_was_widened_say_nothing(bench: "MakeBench", alone: bool) -> None:
    """A.15: what fell due, or was on its way, at that moment: nobody is started twice, or too early."""
    children = [a("a"), a("b", backoff=Backoff(initial=9.0, jitter=0.0)), a("c")]
    names = ["a", "b"] if alone else ["a", "b", "c"]
    world = bench(*children[: len(names)], strategy=REST).boot_all()
    world.crashes("b")
    world.stop_all()
    [first] = world.timers
    world.crashes("a")
    mark = len(world.starts)
    world.feed(first)
    assert mark == len(world.starts)
    world.advance(9.0)
    world.start_in_turn(*names)
    for late in tuple(world.old_notices[:4]):
        world.feed(late)

    assert [ChildState.RUNNING] * len(names) == [world.state(name) for name in names]
    assert (2, None) == (len(world.machine.window.spent), world.ended)


@GROUPS
def test_a_member_that_declines_while_its_group_is_stopped_is_started_by_the_group_alone(
    bench: "MakeBench", strategy: Strategy
) -> None:
    """A.7, A.8: not by hand as well while the group waits, or two incarnations of it would run."""
    world = bench(a("a", backoff=Backoff(initial=2.0, jitter=0.0)), a("b"), strategy=strategy).boot_all()
    world.call(TerminateChild(B))
    world.ends("b")
    start = world.call(RestartChild(B))
    world.crashes("a")  # its group stops b, which is in its start
    world.declines("b")

    assert (None, ChildState.RESTARTING) == (world.answers[start], world.state("b"))
    by_hand = world.ask(RestartChild(B))
    assert isinstance(by_hand, Refused)
    assert isinstance(by_hand.error, StillRestarting)
    world.advance(2.0)
    world.start_in_turn("a", "b")


@GROUPS
def test_a_temporary_member_that_declines_while_its_group_is_stopped_is_forgotten(
    bench: "MakeBench", strategy: Strategy
) -> None:
    """A.6, B 1.4: a new child of its id is none of the group, which does not start it again."""
    world = bench(a("a", backoff=Backoff(initial=2.0, jitter=0.0)), strategy=strategy).boot_all()
    world.call(StartChild(a("b", Restart.TEMPORARY)))
    world.crashes("a")
    world.declines("b")
    assert world.state("b") is None
    world.call(StartChild(a("b", Restart.TEMPORARY)))
    world.started("b")
    world.advance(2.0)

    world.start_in_turn("a")
    assert world.state("b") is ChildState.RUNNING
