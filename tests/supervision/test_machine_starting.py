"""How children start: boot, declining, overdue starts, needs (supervision.md A.6)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from treewarden.actors import (
    INFINITY,
    Actor,
    Backoff,
    ChildAbandoned,
    ChildDeclined,
    ChildExited,
    ChildId,
    ChildReady,
    ChildRestarting,
    ChildSpec,
    ChildStarted,
    ChildStartFailed,
    ChildStopped,
    ChildWaiting,
    Crashed,
    Generation,
    Intensity,
    MessageFenced,
    Normal,
    Restart,
    Shutdown,
    Started,
    Unresponsive,
)
from treewarden.supervision_trees import ChildState, InvalidSupervisor, StartFailed, SupervisorSettings
from treewarden.supervision_trees._checks import checked_children
from treewarden.supervision_trees._effects import DeleteChild, Refused, RestartChild, StartChild, TerminateChild

if TYPE_CHECKING:
    from .conftest import Bench

    MakeBench = Callable[..., Bench]


X = ChildId("x")


def a(name: str, *needs: str, restart: Restart = Restart.PERMANENT, start_timeout: float = 30.0) -> ChildSpec:
    return ChildSpec.of(Actor, id=name, needs=needs, restart=restart, start_timeout=start_timeout)


def test_children_start_from_left_to_right_each_after_the_one_before(bench: "MakeBench") -> None:
    """A.6."""
    world = bench(a("x"), a("y"), a("z")).boot()

    assert [("x", 1)] == world.starts
    world.started("x")
    assert [("x", 1), ("y", 1)] == world.starts
    world.started("y")
    assert not world.has_started()
    world.started("z")
    assert [("x", 1), ("y", 1), ("z", 1)] == world.starts
    assert world.has_started()
    assert [ChildState.RUNNING] * 3 == [world.state(name) for name in "xyz"]


def test_a_supervisor_without_children_has_started_at_once(bench: "MakeBench") -> None:
    """A.6."""
    assert bench().boot().has_started()


def test_a_first_start_that_fails_ends_the_supervisor_and_is_not_retried(bench: "MakeBench") -> None:
    """A.3, B 1.6: those before it stop in reverse order, those after it are never started."""
    world = bench(a("w"), a("x"), a("y"), a("z")).boot()
    world.started("w")
    world.started("x")

    world.crashes("y")
    world.stop_all()

    assert ["w", "x", "y"] == [name for name, _ in world.starts]
    assert ["x", "w"] == world.stops
    assert not world.has_started()
    assert isinstance(world.ended, Crashed)
    assert isinstance(world.ended.error, StartFailed)
    assert "/top/y" == world.ended.error.path
    assert [] == world.of(ChildRestarting)
    assert ["/top/y"] == [event.path for event in world.of(ChildStartFailed)]


def test_a_child_that_declines_is_kept_at_rest_and_the_boot_goes_on(bench: "MakeBench") -> None:
    """A.6, B 1.6: `ignore`."""
    world = bench(a("x"), a("y")).boot()
    world.declines("x")
    world.started("y")

    assert world.has_started()
    assert world.state("x") is ChildState.STOPPED
    assert ["/top/x"] == [event.path for event in world.of(ChildDeclined)]


def test_a_temporary_child_that_declines_is_forgotten(bench: "MakeBench") -> None:
    """A.6, B 1.6."""
    world = bench(a("x", restart=Restart.TEMPORARY), a("y")).boot()
    world.declines("x")

    assert world.state("x") is None
    assert [("x", 1), ("y", 1)] == world.starts


def test_a_restart_that_declines_leaves_the_child_at_rest_and_was_charged(bench: "MakeBench") -> None:
    """B 1.7: not retried, but counted."""
    world = bench(a("x"), intensity=Intensity(1, within=5.0)).boot_all()
    world.crashes("x")
    world.declines("x")

    assert world.state("x") is ChildState.STOPPED
    assert 1 == world.machine.window.used(world.now)
    assert world.ended is None


def test_a_start_that_takes_too_long_has_failed_as_unresponsive(bench: "MakeBench") -> None:
    """A.6 `start_timeout`; an initial start, so the supervisor ends."""
    world = bench(a("x", start_timeout=30.0)).boot()
    world.advance(29.9)
    assert {X} == set(world.live)
    world.advance(0.2)

    assert isinstance(world.ended, Crashed)
    assert isinstance(world.ended.error, StartFailed)
    assert Unresponsive(30.0) == world.ended.error.reason
    assert ["/top/x"] == [event.path for event in world.of(ChildAbandoned)]


def test_a_start_that_hangs_is_bounded_also_when_it_is_told_to_stop_and_may_take_for_ever(bench: "MakeBench") -> None:
    """A.6, A.7: `start_timeout` holds; once it has started, only `shutdown` counts."""
    patient = ChildSpec.of(Actor, id="x", start_timeout=3.0, shutdown=INFINITY)
    world = bench(a("w"), patient).boot()
    world.started("w")
    call = world.call(TerminateChild(X))
    world.advance(3.0)
    assert world.answers[call] is None
    assert Unresponsive(3.0) == world.child("x").last_exit

    world.call(RestartChild(X))
    world.call(TerminateChild(X))
    world.started("x")
    world.advance(3.0)
    assert {"w", "x"} == set(world.live)


def test_an_abandoned_start_is_reported_for_ever(bench: "MakeBench") -> None:
    """A.7: a thread may still be in there, whatever the child did later."""
    world = bench(a("x", start_timeout=1.0)).boot_all()
    world.crashes("x")
    world.advance(1.0)
    world.started("x")
    world.shut_down()
    world.stop_all()

    assert ("/top/x",) == world.machine.report.abandoned
    assert ("/top/x",) == world.machine.report.stopped


def test_what_an_abandoned_start_says_later_is_ignored_and_counted(bench: "MakeBench") -> None:
    """A.15: the latecomer is fenced, its successor undisturbed."""
    world = bench(a("x", start_timeout=1.0)).boot_all()
    world.crashes("x")
    world.advance(1.0)
    assert Generation(3) == world.live[ChildId("x")]

    world.feed(Started(ChildId("x"), Generation(2), ready=True))

    assert world.state("x") is ChildState.RESTARTING
    assert [MessageFenced(world.of(ChildAbandoned)[0].path, Generation(2), "Started")] == world.of(MessageFenced)


def test_a_start_that_ended_in_order_has_still_failed_and_is_tried_again(bench: "MakeBench") -> None:
    """B 1.7: OTP retries every failed restart, also when a transient child's start ends with `shutdown`."""
    world = bench(a("x", restart=Restart.TRANSIENT)).boot_all()
    world.crashes("x")
    world.ends("x", Shutdown("intensity"))

    assert world.state("x") is ChildState.RESTARTING
    assert Generation(3) == world.live[ChildId("x")]
    assert 2 == world.machine.window.used(world.now)


def test_children_that_fail_while_later_ones_start_are_restarted_meanwhile(bench: "MakeBench") -> None:
    """A.6: the supervisor stays responsive while a child starts."""
    world = bench(a("x"), a("y")).boot()
    world.started("x")
    world.crashes("x")
    world.started("x")
    assert not world.has_started()
    world.started("y")

    assert [("x", 1), ("y", 1), ("x", 2)] == world.starts
    assert world.has_started()


def test_giving_up_during_the_boot_stops_it(bench: "MakeBench") -> None:
    """A.4: the child in its start is stopped, later ones are never started."""
    world = bench(a("x"), a("y"), a("z"), intensity=Intensity(0, within=5.0)).boot()
    world.started("x")
    world.crashes("x")
    world.started("y")
    world.stop_all()

    assert Shutdown("intensity") == world.ended
    assert ["y"] == world.stops
    assert not world.has_started()
    assert [("x", 1), ("y", 1)] == world.starts


def test_a_child_stopped_before_its_turn_is_not_started_by_the_boot(bench: "MakeBench") -> None:
    """A.10: terminate_child of a child that is next to start calls that off; the rest goes on."""
    world = bench(a("x"), a("y"), a("z")).boot()
    assert world.ask(TerminateChild(ChildId("y"))) is None
    world.started("x")
    world.started("z")

    assert world.has_started()
    assert world.state("y") is ChildState.STOPPED
    assert [("x", 1), ("z", 1)] == world.starts


def test_a_child_that_is_next_to_start_can_neither_be_restarted_nor_deleted(bench: "MakeBench") -> None:
    """A.6: a call that conflicts with the boot is refused; after terminate_child both are allowed."""
    world = bench(a("x"), a("y"), a("z")).boot()
    for call in (RestartChild(ChildId("y")), DeleteChild(ChildId("y"))):
        refused = world.ask(call)
        assert isinstance(refused, Refused)
        assert "StillRestarting" == type(refused.error).__name__
        assert "next to start" in str(refused.error)

    world.ask(TerminateChild(ChildId("y")))
    assert world.ask(DeleteChild(ChildId("y"))) is None
    world.started("x")
    world.started("z")
    assert world.has_started()


def test_a_deleted_child_added_anew_during_the_boot_is_started_once(bench: "MakeBench") -> None:
    """A.10: its old turn does not count for the new child, which stands at the end."""
    world = bench(a("x"), a("y"), a("z")).boot()
    world.ask(TerminateChild(ChildId("y")))
    world.ask(DeleteChild(ChildId("y")))
    call = world.call(StartChild(a("y", "z")))
    assert world.state("y") is ChildState.WAITING
    world.started("x")
    world.started("z")
    assert world.has_started()
    world.crashes("y")

    assert [("x", 1), ("z", 1), ("y", 1)] == world.starts
    assert isinstance(world.answers[call], Refused)
    assert world.ended is None
    assert world.state("y") is None


def test_a_child_stopped_while_it_starts_lets_the_boot_go_on(bench: "MakeBench") -> None:
    """A.6, A.10: its late `Started` changes nothing, its end is awaited."""
    world = bench(a("x"), a("y")).boot()
    call = world.call(TerminateChild(ChildId("x")))
    world.started("x")
    assert world.state("x") is ChildState.STOPPING
    assert [] == world.of(ChildStarted)
    assert call in world.unanswered
    world.stop_all()

    assert world.answers[call] is None
    assert [("x", 1), ("y", 1)] == world.starts
    world.started("y")
    assert world.has_started()


def test_a_child_that_declines_while_it_is_told_to_stop_counts_as_stopped(bench: "MakeBench") -> None:
    """The request to stop and `Ignore` crossed."""
    world = bench(a("x"), a("y")).boot()
    call = world.call(TerminateChild(ChildId("x")))
    world.declines("x")

    assert world.answers[call] is None
    assert world.state("x") is ChildState.STOPPED
    assert [("x", 1), ("y", 1)] == world.starts
    assert {ChildId("y")} == {due.child for due in world.timers}


def test_a_child_waits_for_what_it_needs_and_does_not_hold_back_its_supervisor(bench: "MakeBench") -> None:
    """A.6 `needs`: visible as waiting, named by the event."""
    world = bench(a("x"), a("y", "x", "z"), a("z")).boot()
    world.started("x", ready=False)
    world.started("z")
    assert world.has_started()
    assert world.state("y") is ChildState.WAITING
    assert [(ChildId("x"), ChildId("z"))] == [event.needs for event in world.of(ChildWaiting)]

    world.ready("x")

    assert world.state("y") is ChildState.STARTING
    assert [("x", 1), ("z", 1), ("y", 1)] == world.starts
    world.started("y")
    assert ["/top/z", "/top/x", "/top/y"] == [event.path for event in world.of(ChildReady)]


def test_a_child_is_ready_as_soon_as_it_started_unless_it_says_otherwise(bench: "MakeBench") -> None:
    """A.6: a child in front of those that need it lets them start in their order."""
    world = bench(a("x"), a("y", "x"), a("z", "x", "y")).boot_all()

    assert ["x", "y", "z"] == [name for name, _ in world.starts]
    assert [] == world.of(ChildWaiting)


def test_children_that_wait_for_the_same_sibling_start_in_their_order(bench: "MakeBench") -> None:
    """A.6: the order of the table, not that in which they came to wait."""
    world = bench(a("x", "last"), a("y", "last"), a("last")).boot()
    assert [ChildState.WAITING] * 2 == [world.state("x"), world.state("y")]
    world.started("last")

    assert ["last", "x", "y"] == [name for name, _ in world.starts]


def test_the_first_start_of_a_child_that_waited_is_charged_and_retried(bench: "MakeBench") -> None:
    """Decision 0002: its supervisor has started by then, so it counts as a restart attempt."""
    world = bench(a("x"), a("y", "x")).boot()
    world.started("x", ready=False)
    world.ready("x")
    world.crashes("y")

    assert world.ended is None
    assert Generation(2) == world.live[ChildId("y")]
    assert 1 == world.machine.window.used(world.now)


def test_a_temporary_child_that_waited_and_fails_is_forgotten_without_charge(bench: "MakeBench") -> None:
    """B 1.3: never restarted."""
    world = bench(a("x"), a("y", "x", restart=Restart.TEMPORARY)).boot()
    world.started("x", ready=False)
    world.ready("x")
    world.crashes("y")

    assert world.state("y") is None
    assert 0 == world.machine.window.used(world.now)


def test_a_child_runs_on_when_what_it_needs_fails_but_its_own_restart_waits(bench: "MakeBench") -> None:
    """A.6: needs are asked for at each start, not watched in between."""
    world = bench(a("x"), a("y", "x")).boot_all()
    world.crashes("x")
    assert world.state("y") is ChildState.RUNNING
    world.crashes("y")
    assert world.state("y") is ChildState.WAITING
    world.started("x")
    world.started("y")

    assert [("x", 1), ("y", 1), ("x", 2), ("y", 2)] == world.starts


def test_readiness_lost_before_the_delay_ends_makes_the_retry_wait(bench: "MakeBench") -> None:
    """A.5 and A.6 together: ready, lost, regained."""
    delayed = ChildSpec.of(Actor, id="y", needs=("x",), backoff=Backoff(initial=1.0, jitter=0.0))
    world = bench(a("x"), delayed).boot_all()
    world.crashes("y")
    world.crashes("x")
    world.advance(1.0)
    assert world.state("y") is ChildState.WAITING
    world.started("x", ready=False)
    assert world.state("y") is ChildState.WAITING
    world.ready("x")

    assert world.state("y") is ChildState.RESTARTING
    assert Generation(2) == world.live[ChildId("y")]


def test_a_child_waits_on_when_what_it_needs_is_stopped_or_has_failed_for_good(bench: "MakeBench") -> None:
    """A.6: visibly; it starts when an operator starts the other."""
    parked = ChildSpec.of(Actor, id="x", intensity=Intensity(0, within=5.0))
    world = bench(parked, a("y", "x")).boot()
    world.started("x", ready=False)
    world.crashes("x")
    assert world.state("x") is ChildState.FAILED
    assert world.state("y") is ChildState.WAITING

    world.call(RestartChild(ChildId("x")))
    world.started("x")

    assert world.state("y") is ChildState.STARTING


def test_a_child_that_waits_can_be_stopped(bench: "MakeBench") -> None:
    """A.10: it then does not start when what it needed is ready."""
    world = bench(a("x"), a("y", "x")).boot()
    world.started("x", ready=False)
    assert world.ask(TerminateChild(ChildId("y"))) is None
    world.ready("x")

    assert world.state("y") is ChildState.STOPPED
    assert [("x", 1)] == world.starts


def test_a_known_child_whose_first_start_is_by_hand_and_fails_is_not_forgotten(bench: "MakeBench") -> None:
    """B 1.10 restart_child: on a start error the spec is kept, stopped."""
    world = bench(a("x"), a("y", "x")).boot()
    world.started("x", ready=False)
    world.ask(TerminateChild(ChildId("y")))
    world.ready("x")
    call = world.call(RestartChild(ChildId("y")))
    world.crashes("y")

    assert isinstance(world.answers[call], Refused)
    assert world.state("y") is ChildState.STOPPED


def test_a_needed_sibling_that_was_forgotten_and_came_back_wakes_those_that_wait(bench: "MakeBench") -> None:
    """A.6: needs name ids, not incarnations."""
    world = bench(a("x", restart=Restart.TEMPORARY), a("y", "x")).boot_all()
    world.ends("x")
    world.crashes("y")
    assert world.state("y") is ChildState.WAITING
    world.call(StartChild(a("x")))
    world.started("x")

    assert world.state("y") is ChildState.RESTARTING
    assert ChildId("y") in world.live


def test_a_forgotten_child_is_not_looked_for_when_what_it_needed_is_ready_again(bench: "MakeBench") -> None:
    """A.6: nor does its successor inherit its needs."""
    world = bench(a("x"), a("y", "x", restart=Restart.TEMPORARY), a("z", "x")).boot_all()
    world.ends("y")
    world.crashes("x")
    world.started("x")
    world.call(StartChild(a("y")))
    world.started("y")
    world.crashes("x")
    world.crashes("y")

    assert world.state("y") is ChildState.RESTARTING
    assert ["x", "z", "y"] == list(world.machine.children)


def test_a_forgotten_sibling_cannot_come_back_needing_those_that_need_it(bench: "MakeBench") -> None:
    """A.6: cycles are refused, also those that only a call could close."""
    world = bench(a("x"), a("y", "x"), a("z", "y")).boot_all()
    for call in (TerminateChild(ChildId("x")), DeleteChild(ChildId("x"))):
        world.call(call)
        world.stop_all()
    refused = world.ask(StartChild(a("x", "z")))

    assert isinstance(refused, Refused)
    assert isinstance(refused.error, InvalidSupervisor)
    assert world.state("x") is None
    world.call(StartChild(a("x")))
    assert ChildId("x") in world.live


@pytest.mark.parametrize(
    ("children", "words"),
    [
        ([a("x"), a("x")], "found 'x', expected an id that no sibling has"),
        ([a("x"), a("y", "nobody")], "children.y.needs: found 'nobody', expected a sibling: one of x, y"),
        ([a("x", "y"), a("y", "x")], "expected needs that form no cycle"),
        ([a("x", "z"), a("y", "x"), a("z", "y")], "expected needs that form no cycle"),
    ],
    ids=["duplicate", "unknown", "cycle of two", "cycle of three"],
)
def test_children_that_cannot_be_right_are_refused_before_any_starts(children: list[ChildSpec], words: str) -> None:
    """A.6, B 1.1."""
    with pytest.raises(InvalidSupervisor) as caught:
        checked_children(children, SupervisorSettings())

    assert words in str(caught.value)


def test_a_child_that_ends_between_its_start_and_the_next_ones_is_restarted_at_once(bench: "MakeBench") -> None:
    """B 5, "child exiting at once during start": its exit follows its `Started` on its heels."""
    world = bench(a("x"), a("y")).boot()
    world.started("x")
    world.ends("x", Normal())

    assert [ChildId("x")] == [ChildId(event.path.removeprefix("/top/")) for event in world.of(ChildExited)]
    assert Generation(2) == world.live[ChildId("x")]
    assert [] == world.of(ChildStopped)
