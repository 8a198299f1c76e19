"""How children come back: intensity, backoff, per-child limits, giving up (supervision.md A.3 to A.5)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from treewarden.actors import (
    BRUTAL_KILL,
    Actor,
    Backoff,
    ChildAbandoned,
    ChildExited,
    ChildFailed,
    ChildId,
    ChildRestarting,
    ChildSpec,
    ChildStartFailed,
    ChildStopped,
    Crashed,
    Exited,
    Generation,
    Intensity,
    Killed,
    MessageFenced,
    Normal,
    Restart,
    Shutdown,
    StopReport,
    SupervisorGaveUp,
    Unresponsive,
)
from treewarden.supervision_trees import ChildState
from treewarden.supervision_trees._effects import (
    DeleteChild,
    Emit,
    Kill,
    RequestStop,
    RestartChild,
    RetryDue,
    StartChild,
    StartOverdue,
    StopOverdue,
    TerminateChild,
)

if TYPE_CHECKING:
    from .conftest import Bench

    MakeBench = Callable[..., Bench]

X, Y = ChildId("x"), ChildId("y")


def a(
    name: str,
    *,
    restart: Restart = Restart.PERMANENT,
    backoff: Backoff | None = None,
    intensity: Intensity | None = None,
) -> ChildSpec:
    return ChildSpec.of(Actor, id=name, restart=restart, backoff=backoff, intensity=intensity)


def test_a_crashed_child_is_restarted_in_its_slot_and_nobody_else_is_touched(bench: "MakeBench") -> None:
    """A.1 one_for_one, B 1.4."""
    world = bench(a("x"), a("y"), a("z")).boot_all()
    world.crashes("y")
    world.started("y")

    assert [("x", 1), ("y", 1), ("z", 1), ("y", 2)] == world.starts
    assert [] == world.stops
    assert ["x", "y", "z"] == list(world.machine.children)
    assert 1 == world.child("y").restarts


@pytest.mark.parametrize("restart", [Restart.TRANSIENT, Restart.TEMPORARY])
def test_a_death_that_is_not_answered_by_a_restart_costs_nothing(bench: "MakeBench", restart: Restart) -> None:
    """B 1.3, B 1.5: the limit of 0 is not reached."""
    world = bench(a("x", restart=restart), intensity=Intensity(0, within=5.0)).boot_all()
    world.ends("x", Normal())

    assert world.ended is None
    assert world.state("x") is (ChildState.STOPPED if restart is Restart.TRANSIENT else None)


def test_a_supervisor_survives_as_many_crashes_as_its_limit_and_gives_up_at_the_next(bench: "MakeBench") -> None:
    """A.3: limit 2 dies on crash 3."""
    world = bench(a("x"), intensity=Intensity(2, within=5.0)).boot_all()
    for _ in range(2):
        world.crashes("x")
        world.started("x")
    assert {X} == set(world.live)
    world.crashes("x")

    assert Shutdown("intensity") == world.ended
    assert [(1, 2), (2, 2)] == [(event.used, event.allowed) for event in world.of(ChildRestarting)]


def test_crashes_further_apart_than_the_window_never_end_a_supervisor(bench: "MakeBench") -> None:
    """A.3: and exactly as far apart as the window is long is not further."""
    world = bench(a("x"), intensity=Intensity(1, within=5.0)).boot_all()
    for _ in range(5):
        world.crashes("x")
        world.started("x")
        world.advance(5.25)
    assert world.ended is None
    world.crashes("x")
    world.started("x")
    world.advance(5.0)
    world.crashes("x")

    assert Shutdown("intensity") == world.ended


def test_each_failed_restart_attempt_costs_one(bench: "MakeBench") -> None:
    """A.3, B 1.5: limit 3, one crash, a start that always fails: exactly 3 attempts."""
    world = bench(a("x"), intensity=Intensity(3, within=5.0)).boot_all()
    world.crashes("x")
    for _ in range(3):
        world.crashes("x")

    assert [("x", 1), ("x", 2), ("x", 3), ("x", 4)] == world.starts
    assert Shutdown("intensity") == world.ended
    assert 3 == len(world.of(ChildStartFailed))


def test_the_window_is_shared_by_all_children(bench: "MakeBench") -> None:
    """B 1.5: one counter for each supervisor."""
    world = bench(a("x"), a("y"), intensity=Intensity(1, within=5.0)).boot_all()
    world.crashes("x")
    world.crashes("y")

    assert world.of(SupervisorGaveUp)


def test_starts_and_stops_by_hand_cost_nothing(bench: "MakeBench") -> None:
    """A.3, B 1.5: five cycles at limit 0."""
    world = bench(a("x"), intensity=Intensity(0, within=5.0)).boot_all()
    for _ in range(5):
        world.call(TerminateChild(X))
        world.stop_all()
        world.call(RestartChild(X))
        world.started("x")
    call = world.call(StartChild(a("y")))
    world.crashes("y")

    assert world.ended is None
    assert call in world.answers
    assert 0 == world.machine.window.used(world.now)
    assert 0 == world.child("x").restarts


def test_two_siblings_that_die_together_are_two_restarts(bench: "MakeBench") -> None:
    """B 1.3: under one_for_one."""
    world = bench(a("x"), a("y")).boot_all()
    world.crashes("x")
    world.crashes("y")

    assert 2 == world.machine.window.used(world.now)
    assert [("x", 1), ("y", 1), ("x", 2), ("y", 2)] == world.starts


def test_giving_up_is_announced_first_then_children_stop_in_reverse_then_it_ends(bench: "MakeBench") -> None:
    """A.4, B 1.5: the order of giving up, and what the event tells."""
    world = bench(a("w"), a("x"), a("y"), a("z"), intensity=Intensity(1, within=5.0)).boot_all()
    world.crashes("x")
    world.started("x")
    reason = Crashed(RuntimeError("the last straw"))
    effects = len(world.effects)
    world.ends("x", reason)

    gave_up = SupervisorGaveUp(
        path=world.of(SupervisorGaveUp)[0].path,
        child=X,
        reason=reason,
        restarts=2,
        allowed=1,
        within=5.0,
        consequence="the test goes on",
    )
    assert [gave_up] == world.of(SupervisorGaveUp)
    assert "/top" == gave_up.path
    after = [effect for effect in world.effects[effects:] if isinstance(effect, Emit | RequestStop)]
    assert after.index(Emit(gave_up)) < next(at for at, effect in enumerate(after) if isinstance(effect, RequestStop))
    assert ["z"] == world.stops
    world.stop_all()
    assert ["z", "y", "w"] == world.stops
    assert Shutdown("intensity") == world.ended
    assert 1 == len(world.of(ChildRestarting))


def test_a_child_with_its_own_limit_is_parked_and_its_supervisor_goes_on(bench: "MakeBench") -> None:
    """A.5: its crashes charge its own window only; it stays visible as failed."""
    world = bench(a("x", intensity=Intensity(2, within=60.0)), a("y"), intensity=Intensity(0, within=5.0)).boot_all()
    for _ in range(2):
        world.crashes("x")
        world.started("x")
    world.crashes("x")

    assert world.state("x") is ChildState.FAILED
    assert world.state("y") is ChildState.RUNNING
    assert world.ended is None
    assert [
        ChildFailed(world.of(ChildFailed)[0].path, restarts=3, within=60.0, why="more than 2 restarts within 60 s")
    ] == world.of(ChildFailed)
    assert 0 == world.machine.window.used(world.now)


def test_a_limit_of_a_single_restart_is_told_in_the_singular(bench: "MakeBench") -> None:
    world = bench(a("x", intensity=Intensity(1, within=60.0))).boot_all()
    world.crashes("x")
    world.started("x")
    world.crashes("x")

    assert ["more than 1 restart within 60 s"] == [event.why for event in world.of(ChildFailed)]


def test_failed_restarts_of_a_child_with_its_own_limit_charge_that(bench: "MakeBench") -> None:
    """A.5, A.3."""
    world = bench(a("x", intensity=Intensity(2, within=60.0))).boot_all()
    for _ in range(3):
        world.crashes("x")

    assert world.state("x") is ChildState.FAILED
    assert [("x", 1), ("x", 2), ("x", 3)] == world.starts


def test_restart_child_revives_a_failed_child_with_a_fresh_window(bench: "MakeBench") -> None:
    """A.5."""
    world = bench(a("x", intensity=Intensity(1, within=60.0))).boot_all()
    world.crashes("x")
    world.crashes("x")
    assert world.state("x") is ChildState.FAILED

    call = world.call(RestartChild(X))
    world.started("x")
    assert X == world.answers[call]
    world.crashes("x")

    assert world.state("x") is ChildState.RESTARTING


def test_a_failed_child_that_is_stopped_by_hand_is_stopped_and_can_be_deleted(bench: "MakeBench") -> None:
    """A.10."""
    world = bench(a("x", intensity=Intensity(0, within=60.0)), a("y", intensity=Intensity(0, within=60.0))).boot_all()
    world.crashes("x")
    world.crashes("y")
    assert world.ask(TerminateChild(X)) is None
    assert world.state("x") is ChildState.STOPPED
    assert world.ask(DeleteChild(Y)) is None
    assert world.state("y") is None


def test_a_restart_waits_out_its_delay_visibly(bench: "MakeBench") -> None:
    """A.5: the first one too; the child shows when it is tried again."""
    world = bench(a("x", backoff=Backoff(initial=2.0, jitter=0.0))).boot_all()
    world.crashes("x")

    assert world.state("x") is ChildState.RESTARTING
    assert world.now + 2.0 == world.child("x").retry_at
    assert [2.0] == [event.delay for event in world.of(ChildRestarting)]
    world.advance(1.75)
    assert {} == world.live
    world.advance(0.25)
    assert Generation(2) == world.live[X]
    assert world.child("x").retry_at is None


def test_delays_grow_while_a_child_fails_and_start_anew_once_it_stayed_up(bench: "MakeBench") -> None:
    """A.5 `factor`, `max`, `reset_after`; the chance is the machine's, not the test's."""
    backoff = Backoff(initial=1.0, max=3.0, factor=2.0, jitter=0.0, reset_after=10.0)
    world = bench(a("x", backoff=backoff), intensity=Intensity(100, within=1.0)).boot_all()
    for uptime in (0.0, 9.75, 0.0, 10.0, 0.0):
        world.advance(uptime)
        world.crashes("x")
        world.advance(3.0)
        world.started("x")

    assert [1.0, 2.0, 3.0, 1.0, 2.0] == [event.delay for event in world.of(ChildRestarting)]


def test_time_spent_in_a_failing_start_is_not_uptime(bench: "MakeBench") -> None:
    """A.5: a start that takes long and fails is one more failure in a row."""
    backoff = Backoff(initial=1.0, max=8.0, jitter=0.0, reset_after=5.0)
    world = bench(a("x", backoff=backoff), intensity=Intensity(100, within=1.0)).boot_all()
    world.crashes("x")
    world.advance(1.0)
    world.advance(20.0)
    world.crashes("x")

    assert [1.0, 2.0] == [event.delay for event in world.of(ChildRestarting)]


def test_a_restart_by_hand_begins_the_delays_anew(bench: "MakeBench") -> None:
    """A.5, A.10: what an operator started counts as mended."""
    backoff = Backoff(initial=1.0, max=8.0, factor=2.0, jitter=0.0)
    world = bench(a("x", backoff=backoff), intensity=Intensity(100, within=1.0)).boot_all()
    for _ in range(3):
        world.crashes("x")
        world.advance(8.0)
    world.call(TerminateChild(X))
    world.stop_all()
    world.call(RestartChild(X))
    world.started("x")
    world.crashes("x")

    assert [1.0, 2.0, 4.0, 1.0] == [event.delay for event in world.of(ChildRestarting)]


def test_chance_spreads_the_delays(bench: "MakeBench") -> None:
    """A.5 `jitter`: asked for at each restart."""
    chances = iter([0.0, 1.0])
    world = bench(a("x", backoff=Backoff(initial=1.0, factor=1.0, jitter=0.5)), chance=lambda: next(chances)).boot_all()
    world.crashes("x")
    world.advance(1.0)
    world.crashes("x")

    assert [0.5, 1.5] == [event.delay for event in world.of(ChildRestarting)]


def test_a_supervisor_that_stops_during_a_delay_of_a_minute_ends_at_once(bench: "MakeBench") -> None:
    """A.5."""
    world = bench(a("x", backoff=Backoff(initial=60.0, max=60.0, jitter=0.0))).boot_all()
    world.crashes("x")
    world.shut_down()

    assert Normal() == world.ended
    assert {} == world.timers


def test_a_stop_by_hand_cancels_the_delay(bench: "MakeBench") -> None:
    """A.5, B 1.7: terminate_child of a restarting child; its retry never comes, not even late."""
    world = bench(a("x", backoff=Backoff(initial=1.0, jitter=0.0))).boot_all()
    world.crashes("x")
    assert world.ask(TerminateChild(X)) is None
    assert {} == world.timers

    world.feed(RetryDue(X, Generation(1)))

    assert world.state("x") is ChildState.STOPPED
    assert {} == world.live


def test_a_retry_that_fell_due_while_it_was_cancelled_does_not_double_a_start_by_hand(bench: "MakeBench") -> None:
    """A.15: the timer of generation 1 says nothing to generation 2."""
    world = bench(a("x", backoff=Backoff(initial=1.0, jitter=0.0))).boot_all()
    world.crashes("x")
    world.call(TerminateChild(X))
    world.call(RestartChild(X))

    assert () == world.feed(RetryDue(X, Generation(1)))
    assert [("x", 1), ("x", 2)] == world.starts


@pytest.mark.parametrize("restart", list(Restart))
def test_a_new_child_is_not_hit_by_the_timers_and_notices_of_a_forgotten_one_of_its_id(
    bench: "MakeBench", restart: Restart
) -> None:
    """A.15: generations go on across forgetting, whichever way the old child was forgotten."""
    world = bench(a("y")).boot_all()
    world.call(StartChild(a("x", restart=restart)))
    world.started("x")
    world.call(TerminateChild(X))
    world.stop_all()
    if restart is not Restart.TEMPORARY:
        world.ask(DeleteChild(X))
    assert world.state("x") is None
    world.call(StartChild(a("x")))
    assert world.state("x") is ChildState.STARTING

    for late in (*world.old_timers, *world.old_notices):
        if late.child == X:
            world.feed(late)
    assert world.state("x") is ChildState.STARTING
    world.started("x")
    world.call(TerminateChild(X))
    for late in world.old_timers:
        if isinstance(late, StopOverdue) and late.generation == 1:
            world.feed(late)

    assert world.state("x") is ChildState.STOPPING
    assert [] == world.of(ChildAbandoned)
    assert {"Started", "Exited"} == {event.message for event in world.of(MessageFenced)}


def test_generations_go_on_from_the_highest_forgotten_one_not_from_the_last(bench: "MakeBench") -> None:
    """A.15: whoever is forgotten in between."""
    world = bench(a("x"), a("y")).boot_all()
    for _ in range(2):
        world.crashes("x")
    for name in (X, Y):
        world.call(TerminateChild(name))
        world.stop_all()
        world.ask(DeleteChild(name))
    world.call(StartChild(a("x")))

    assert Generation(4) == world.live[X]


def test_timers_of_a_forgotten_child_say_nothing(bench: "MakeBench") -> None:
    """A.15: nobody of that id is there."""
    world = bench(a("x", restart=Restart.TEMPORARY)).boot_all()
    world.ends("x")

    for due in (StartOverdue(X, Generation(1)), StopOverdue(X, Generation(1)), RetryDue(X, Generation(1))):
        assert () == world.feed(due)


def test_a_temporary_child_is_forgotten_on_every_path(bench: "MakeBench") -> None:
    """A.10, B 1.3: its own end, a crash, a failed start, declining, terminate_child, and the supervisor's end."""
    temporary = a("x", restart=Restart.TEMPORARY)
    world = bench(a("y")).boot_all()
    for reason in (Normal(), Crashed(RuntimeError()), Killed(), Unresponsive(5.0)):
        world.call(StartChild(temporary))
        world.started("x")
        world.ends("x", reason)
        assert world.state("x") is None
    world.call(StartChild(temporary))
    world.started("x")
    world.call(TerminateChild(X))
    world.stop_all()
    assert world.state("x") is None
    for at_start in (world.crashes, world.declines):
        world.call(StartChild(temporary))
        at_start("x")
        assert world.state("x") is None
    world.call(StartChild(temporary))
    world.shut_down()
    world.stop_all()

    assert world.state("x") is None
    assert Normal() == world.ended
    assert 0 == world.machine.window.used(world.now)


def test_a_late_exit_of_an_earlier_generation_is_ignored_and_counted(bench: "MakeBench") -> None:
    """A.15, "two messages per crash": the second costs nothing."""
    world = bench(a("x"), intensity=Intensity(1, within=5.0)).boot_all()
    exited = Exited(X, Generation(1), Crashed(RuntimeError()), abandoned=False, report=StopReport())
    world.crashes("x")
    world.started("x")
    world.feed(exited)

    assert world.state("x") is ChildState.RUNNING
    assert 1 == world.machine.window.used(world.now)
    assert [("Exited", 1)] == [(event.message, event.generation) for event in world.of(MessageFenced)]


def test_what_a_crashed_sub_supervisor_left_behind_is_reported(bench: "MakeBench") -> None:
    """A.7: nested supervisors included, whatever ended them."""
    world = bench(a("x")).boot_all()
    left = StopReport(stopped=("/top/x/b", "/top/x"), abandoned=("/top/x/c",), orphaned_pids=(4711,))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - paths as people write them
    world.ends("x", Shutdown("intensity"), report=left)

    assert StopReport(abandoned=left.abandoned, orphaned_pids=(4711,)) == world.machine.report


def test_a_running_child_killed_in_the_middle_of_a_handler_is_restarted_and_reported_abandoned(
    bench: "MakeBench",
) -> None:
    """A.2 `ref.kill()`, A.7: the kill was not its supervisor's, so it ended by itself."""
    world = bench(a("x")).boot_all()
    path = world.of(ChildRestarting)
    assert [] == path
    generation = world.live.pop(X)
    world.feed(Exited(X, generation, Killed(), abandoned=True, report=StopReport(abandoned=("/top/x",))))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - a path as people write it

    assert Generation(2) == world.live[X]
    assert 1 == len(world.of(ChildAbandoned))
    assert 1 == len(world.of(ChildExited))
    assert [] == world.of(ChildStopped)
    assert ("/top/x",) == world.machine.report.abandoned


def test_unresponsive_is_abnormal_for_a_transient_child(bench: "MakeBench") -> None:
    """A.2."""
    world = bench(a("x", restart=Restart.TRANSIENT)).boot_all()
    world.ends("x", Unresponsive(5.0))

    assert world.state("x") is ChildState.RESTARTING


def test_a_brutal_kill_asks_nothing_and_waits_for_no_time(bench: "MakeBench") -> None:
    """A.7 `BRUTAL_KILL`."""
    world = bench(ChildSpec.of(Actor, id="x", shutdown=BRUTAL_KILL)).boot_all()
    call = world.call(TerminateChild(X))

    assert world.answers[call] is None
    assert [Kill(X, Generation(1))] == [effect for effect in world.effects if isinstance(effect, Kill)]
    assert {} == world.timers
    assert [Killed()] == [event.reason for event in world.of(ChildStopped)]
