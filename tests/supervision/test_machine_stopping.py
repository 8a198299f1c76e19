"""How children stop, and the calls (supervision.md A.7 and A.10)."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from treewarden.actors import (
    INFINITY,
    Actor,
    ActorPath,
    Backoff,
    ChildAbandoned,
    ChildExited,
    ChildId,
    ChildSpec,
    ChildStopped,
    Crashed,
    Exited,
    ExitReason,
    Generation,
    Intensity,
    Normal,
    Restart,
    Shutdown,
    Started,
    StopReport,
    Unresponsive,
)
from treewarden.supervision_trees import AutoShutdown, ChildState, StartFailed, Strategy, SupervisorSettings
from treewarden.supervision_trees._effects import (
    AnnounceStarted,
    Answer,
    Call,
    CallId,
    CancelTimer,
    DeleteChild,
    Effect,
    End,
    Refused,
    Request,
    RequestStop,
    RestartChild,
    RunsAlready,
    ShutDown,
    Start,
    StartChild,
    StopOverdue,
    TerminateChild,
)
from treewarden.supervision_trees._machine import SupervisorMachine
from treewarden.supervision_trees._roster import Membership

if TYPE_CHECKING:
    from .conftest import Bench

    MakeBench = Callable[..., Bench]

X = ChildId("x")


class Graceful(Actor):
    """Uses its shutdown time itself; its supervisor allows it two seconds more."""

    stop_allowance: ClassVar[float] = 2.0


def a(name: str, *needs: str, restart: Restart = Restart.PERMANENT, shutdown: float = 5.0) -> ChildSpec:
    return ChildSpec.of(Actor, id=name, needs=needs, restart=restart, shutdown=shutdown)


def test_children_stop_from_right_to_left_one_at_a_time(bench: "MakeBench") -> None:
    """A.7."""
    world = bench(a("x"), a("y"), a("z")).boot_all()
    world.shut_down()

    for name in ("z", "y", "x"):
        assert [name] == list(world.asked_to_stop)
        assert world.ended is None
        world.ends(name)
    assert Normal() == world.ended
    assert ("/top/z", "/top/y", "/top/x") == world.machine.report.stopped
    assert ["/top/z", "/top/y", "/top/x"] == [event.path for event in world.of(ChildStopped)]


def test_a_dynamic_child_stops_before_those_that_were_there(bench: "MakeBench") -> None:
    """B 1.10: it stands at the end; a restart does not change the order."""
    world = bench(a("x"), a("y")).boot_all()
    world.call(StartChild(a("z")))
    world.started("z")
    world.crashes("x")
    world.started("x")
    world.shut_down()
    world.stop_all()

    assert ["z", "y", "x"] == world.stops


def test_a_child_that_does_not_stop_in_its_time_is_abandoned_and_the_stop_goes_on(bench: "MakeBench") -> None:
    """A.7: reported as abandoned, never as stopped; the others still get their own time."""
    world = bench(a("x"), a("y", shutdown=3.0)).boot_all()
    world.shut_down()
    world.advance(2.75)
    assert {"x", "y"} == set(world.live)
    world.advance(0.25)

    assert [3.0] == [event.after for event in world.of(ChildAbandoned)]
    assert [] == world.of(ChildStopped)
    assert Unresponsive(3.0) == world.child("y").last_exit
    world.stop_all()
    assert StopReport(world.machine.report.stopped, world.machine.report.abandoned) == world.machine.report
    assert ("/top/x",) == world.machine.report.stopped
    assert ("/top/y",) == world.machine.report.abandoned


def test_a_child_that_uses_its_shutdown_time_itself_is_allowed_more(bench: "MakeBench") -> None:
    """`stop_allowance`; what is told is the time that really passed."""
    world = bench(ChildSpec.of(Graceful, id="x", shutdown=3.0)).boot_all()
    world.shut_down()
    world.advance(4.75)
    assert world.ended is None
    world.advance(0.25)

    assert [5.0] == [event.after for event in world.of(ChildAbandoned)]
    assert Normal() == world.ended


def test_a_child_with_endless_time_to_stop_is_never_abandoned(bench: "MakeBench") -> None:
    """A.7 `INFINITY`, the default of supervisors."""
    world = bench(a("x", shutdown=INFINITY)).boot_all()
    world.shut_down()
    world.advance(1e6)

    assert {X} == set(world.live)
    assert {} == world.timers


def test_a_stop_by_hand_that_takes_too_long_is_answered_and_the_child_can_be_started_again(bench: "MakeBench") -> None:
    """A.7: the older incarnation is fenced, so the next may start."""
    world = bench(a("x", shutdown=1.0)).boot_all()
    call = world.call(TerminateChild(X))
    world.advance(1.0)

    assert world.answers[call] is None
    world.call(RestartChild(X))
    assert Generation(2) == world.live[X]
    world.started("x")
    world.shut_down()
    world.stop_all()
    assert ("/top/x",) == world.machine.report.abandoned


def test_a_child_that_crashes_by_itself_as_it_is_told_to_stop_is_stopped_with_its_true_reason(
    bench: "MakeBench",
) -> None:
    """B 1.6: its own exit is taken for the answer; no restart, no charge."""
    world = bench(a("x")).boot_all()
    call = world.call(TerminateChild(X))
    world.crashes("x")

    assert world.answers[call] is None
    assert world.state("x") is ChildState.STOPPED
    assert 0 == world.machine.window.used(world.now)
    assert [Crashed] == [type(event.reason) for event in world.of(ChildStopped)]


def test_a_child_that_ends_by_itself_while_others_are_stopped_is_not_restarted_and_not_called_stopped(
    bench: "MakeBench",
) -> None:
    """A.7: nobody told it to."""
    world = bench(a("x"), a("y"), a("z")).boot_all()
    world.shut_down()
    world.crashes("x")
    world.ends("z")
    world.ends("y")

    assert ["z", "y"] == world.stops
    assert ["/top/x"] == [event.path for event in world.of(ChildExited)]
    assert ["/top/z", "/top/y"] == [event.path for event in world.of(ChildStopped)]
    assert Normal() == world.ended


def test_a_shutdown_during_the_boot_stops_what_runs_and_starts_nothing_more(bench: "MakeBench") -> None:
    """A.6, OTP-9549."""
    world = bench(a("x"), a("y"), a("z")).boot()
    world.started("x")
    world.shut_down()
    world.started("y")
    assert ["y"] == world.stops
    world.stop_all()

    assert ["y", "x"] == world.stops
    assert [("x", 1), ("y", 1)] == world.starts
    assert not world.has_started()
    assert Normal() == world.ended


def test_a_child_whose_turn_never_came_can_be_deleted_while_the_supervisor_ends(bench: "MakeBench") -> None:
    """A.10: nothing is next to start any more."""
    world = bench(a("x"), a("y")).boot()
    world.shut_down()
    assert world.ask(DeleteChild(ChildId("y"))) is None
    world.stop_all()

    assert Normal() == world.ended


def test_a_start_that_succeeds_while_later_siblings_stop_is_stopped_in_its_turn(bench: "MakeBench") -> None:
    """A.7: nothing is left running."""
    world = bench(a("x"), a("y")).boot_all()
    world.crashes("x")
    world.shut_down()
    world.started("x")
    assert world.state("x") is ChildState.RUNNING
    world.stop_all()

    assert ["y", "x"] == world.stops
    assert Normal() == world.ended


def test_a_start_that_fails_or_declines_while_later_siblings_stop_is_the_end_of_it(bench: "MakeBench") -> None:
    """A.7."""
    for end in ("crashes", "declines"):
        world = bench(a("x"), a("y")).boot_all()
        world.crashes("x")
        world.shut_down()
        getattr(world, end)("x")
        world.stop_all()

        assert ["y"] == world.stops
        assert Normal() == world.ended
        assert 1 == world.machine.window.used(world.now)


def test_the_first_order_to_end_counts(bench: "MakeBench") -> None:
    """A.4: a shutdown that comes while the supervisor gives up changes nothing, nor does the other way round."""
    world = bench(a("x"), a("y"), intensity=Intensity(0, within=5.0)).boot_all()
    world.crashes("x")
    world.shut_down()
    world.stop_all()
    assert Shutdown("intensity") == world.ended

    other = bench(a("x"), a("y"), intensity=Intensity(0, within=5.0)).boot_all()
    other.feed(ShutDown(Shutdown("operator")))
    other.crashes("x")
    other.stop_all()
    assert Shutdown("operator") == other.ended


def test_a_stop_by_hand_in_progress_is_not_asked_for_again_when_the_supervisor_ends(bench: "MakeBench") -> None:
    """The bench fails at a second request; the caller is answered when the child has ended."""
    world = bench(a("x"), a("y")).boot_all()
    call = world.call(TerminateChild(X))
    world.shut_down()
    assert {"x", "y"} == set(world.asked_to_stop)
    world.ends("y")
    assert world.ended is None
    world.ends("x")

    assert world.answers[call] is None
    assert Normal() == world.ended


def test_every_caller_of_a_stop_is_answered_by_the_one_end(bench: "MakeBench") -> None:
    """A.10."""
    world = bench(a("x")).boot_all()
    calls = [world.call(TerminateChild(X)) for _ in range(3)]
    assert set(calls) == world.unanswered
    world.stop_all()

    assert dict.fromkeys(calls) == world.answers


def test_callers_whose_child_never_started_are_told_so_when_the_supervisor_ends(bench: "MakeBench") -> None:
    """A.10: one waits for a sibling, one is in its start."""
    world = bench(a("x"), a("y")).boot()
    world.started("x", ready=False)
    world.started("y")
    waits, starts = world.call(StartChild(a("waits", "x"))), world.call(StartChild(a("starts")))
    world.shut_down()
    world.stop_all()

    for call in (waits, starts):
        refused = world.answers[call]
        assert isinstance(refused, Refused)
        assert isinstance(refused.error, StartFailed)


def test_calls_while_the_supervisor_ends_start_nothing(bench: "MakeBench") -> None:
    """A.10: a call that conflicts is refused with its error."""
    world = bench(a("x"), a("y")).boot_all()
    world.call(TerminateChild(X))
    world.ends("x")
    world.shut_down()
    for call in (StartChild(a("z")), StartChild(a("x")), RestartChild(X), RestartChild(ChildId("y"))):
        refused = world.ask(call)
        assert isinstance(refused, Refused)
        assert isinstance(refused.error, StartFailed)
    assert world.ask(DeleteChild(X)) is None
    world.stop_all()

    assert [("x", 1), ("y", 1)] == world.starts
    assert Normal() == world.ended


# Calls (A.10, B 1.7, B 1.10): the state of a child, the call, and its answer

STATES = ("stopped", "starting", "running", "restarting", "retrying", "waiting", "stopping", "failed")


def brought_to(state: str, bench: "MakeBench") -> "Bench":
    """A bench whose child `x` is in `state`."""
    spec = ChildSpec.of(
        Actor,
        id="x",
        needs=("n",) if state == "waiting" else (),
        backoff=Backoff(initial=9.0) if state == "restarting" else None,
        intensity=Intensity(0, within=5.0) if state == "failed" else None,
    )
    world = bench(a("n"), spec).boot()
    world.started("n", ready=state != "waiting")
    if state not in ("starting", "waiting"):
        world.started("x")
    match state:
        case "stopped":
            world.call(TerminateChild(X))
            world.stop_all()
        case "stopping":
            world.call(TerminateChild(X))
        case "restarting" | "retrying" | "failed":
            world.crashes("x")
        case _:
            pass
    assert world.child("x").state.value == {"retrying": "restarting"}.get(state, state)
    return world


def outcome(call: Call, world: "Bench") -> str:
    """The answer in one word, `later` if there is none yet."""
    name = world.call(call)
    if name in world.unanswered:
        return "later"
    match world.answers[name]:
        case Refused(error):
            return type(error).__name__
        case RunsAlready():
            return "AlreadyStarted"
        case None:
            return "ok"
        case answer:
            return str(answer)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("verb", ["start", "restart", "terminate", "delete"])
def test_each_call_in_each_state_has_its_answer(verb: str, state: str, bench: "MakeBench") -> None:
    """A.10: the whole table."""
    world = brought_to(state, bench)
    calls: dict[str, Call] = {
        "start": StartChild(a("x")),
        "restart": RestartChild(X),
        "terminate": TerminateChild(X),
        "delete": DeleteChild(X),
    }
    at_rest, up = state in ("stopped", "failed"), state in ("running", "stopping")
    expected = {
        "start": "AlreadyStarted" if state == "running" else "AlreadyPresent",
        "restart": "later" if at_rest else "StillRunning" if up else "StillRestarting",
        "terminate": "ok" if at_rest or state in ("waiting", "restarting") else "later",
        "delete": "ok" if at_rest else "StillRunning" if up else "StillRestarting",
    }

    assert expected[verb] == outcome(calls[verb], world)
    if verb == "terminate":
        world.stop_all()
        assert world.state("x") is ChildState.STOPPED
        assert not world.unanswered
        assert not [due for due in world.timers if due.child == X]
    world.check_table()


@pytest.mark.parametrize("verb", [TerminateChild, RestartChild, DeleteChild])
def test_a_call_for_nobody_is_not_found(verb: Callable[[ChildId], Call], bench: "MakeBench") -> None:
    """A.10."""
    assert "NotFound" == outcome(verb(ChildId("nobody")), bench(a("x")).boot_all())


def test_a_start_by_hand_is_answered_when_the_child_has_started_declined_or_failed(bench: "MakeBench") -> None:
    """A.10, B 1.10: its id, None, its error; after a failure or a temporary's declining it is not known."""
    world = bench().boot_all()
    call = world.call(StartChild(a("x")))
    world.started("x")
    assert X == world.answers[call]
    declined = world.call(StartChild(a("y")))
    world.declines("y")
    assert world.answers[declined] is None
    assert world.state("y") is ChildState.STOPPED
    failed = world.call(StartChild(a("z")))
    world.crashes("z")
    refused = world.answers[failed]
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, StartFailed)
    assert isinstance(refused.error.reason, Crashed)
    assert world.state("z") is None
    again = world.call(StartChild(a("z")))
    world.started("z")
    assert "z" == world.answers[again]


def test_a_start_by_hand_that_is_stopped_by_another_caller_has_failed_and_its_child_is_kept(bench: "MakeBench") -> None:
    """A.10: terminate_child came last, and keeps the spec."""
    world = bench().boot_all()
    start = world.call(StartChild(a("x")))
    stop = world.call(TerminateChild(X))
    world.started("x")
    world.stop_all()

    assert isinstance(world.answers[start], Refused)
    assert world.answers[stop] is None
    assert world.state("x") is ChildState.STOPPED


def test_a_start_by_hand_waits_for_what_the_child_needs(bench: "MakeBench") -> None:
    """A.6, A.10: answered when it has started; an unknown sibling is refused."""
    world = bench(a("n")).boot()
    world.started("n", ready=False)
    call = world.call(StartChild(a("x", "n")))
    assert call in world.unanswered
    world.ready("n")
    world.started("x")

    assert X == world.answers[call]
    assert "InvalidSupervisor" == outcome(StartChild(a("y", "nobody")), world)
    assert world.state("y") is None


def test_a_restart_by_hand_that_fails_leaves_the_child_stopped_and_is_not_retried(bench: "MakeBench") -> None:
    """B 1.10."""
    world = bench(a("x")).boot_all()
    world.call(TerminateChild(X))
    world.stop_all()
    call = world.call(RestartChild(X))
    world.crashes("x")

    assert isinstance(world.answers[call], Refused)
    assert world.state("x") is ChildState.STOPPED
    assert {} == world.live


def test_a_stop_whose_time_fell_due_while_the_child_ended_says_nothing(bench: "MakeBench") -> None:
    """A.15: the child was started again meanwhile."""
    world = bench(a("x")).boot_all()
    world.call(TerminateChild(X))
    world.stop_all()
    world.call(RestartChild(X))
    world.started("x")
    world.call(TerminateChild(X))

    assert () == world.feed(StopOverdue(X, Generation(1)))
    assert X in world.live


def test_after_the_end_nothing_is_said_any_more(bench: "MakeBench") -> None:
    """A.7: late notices and timers meet silence, a late call is answered."""
    world = bench(a("x"), a("y")).boot_all()
    world.shut_down()
    world.stop_all()

    for late in (*world.old_notices, *world.old_timers, ShutDown(Normal())):
        assert () == world.feed(late)
    assert "StartFailed" == outcome(StartChild(a("z")), world)


# Automatic shutdown


@pytest.mark.parametrize("auto", [AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT])
def test_a_significant_end_in_the_boot_counts_when_the_boot_is_over(bench: "MakeBench", auto: AutoShutdown) -> None:
    """B 1.9: OTP looks at it after init, when a later significant child has declined and none is left."""
    significant = [
        ChildSpec.of(Actor, id=name, restart=Restart.TRANSIENT, significant=True) for name in ("first", "last")
    ]
    world = bench(*significant, auto_shutdown=auto).boot()
    world.started("first")
    world.ends("first")
    assert world.ended is None
    world.declines("last")

    assert world.has_started()
    assert Shutdown("auto_shutdown") == world.ended


# Linear cost


def executed_lines(work: Callable[[], None]) -> int:
    """How many lines of Python `work` executes: a measure of time that no other load disturbs."""
    lines = 0

    def count(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        work()
    finally:
        sys.settrace(before)
    return lines


def booted(
    count: int,
    path: ActorPath,
    *,
    dynamic: bool,
    strategy: Strategy = Strategy.ONE_FOR_ONE,
    membership: Membership = Membership.STATIC,
) -> SupervisorMachine:
    """A machine whose children run; the first is needed by every other, and each by the one after it."""
    specs = [a("c0"), *(a(f"c{n}", "c0", f"c{n - 1}") for n in range(1, count))]
    machine = SupervisorMachine(
        path,
        () if dynamic else specs,
        settings=SupervisorSettings(strategy, Intensity(count, within=1.0)),
        chance=lambda: 0.5,
        consequence="",
        membership=membership,
    )
    effects = list(machine.boot(1.0))
    if dynamic:
        for name, spec in enumerate(specs):
            effects += call(machine, name, StartChild(spec), 1.0)
            machine.handle(Started(spec.id, Generation(1), ready=True), 1.0)
    else:
        for spec in specs:
            effects += machine.handle(Started(spec.id, Generation(1), ready=True), 1.0)
    assert count == sum(isinstance(effect, Start) for effect in effects)
    assert AnnounceStarted() in effects
    return machine


def call(machine: SupervisorMachine, name: int, request: Call, now: float) -> tuple[Effect, ...]:
    return machine.handle(Request(CallId(name), request), now)


def restarted_as_one(machine: SupervisorMachine) -> None:
    """The first child crashes; all others stop as they are told, then all start."""
    first = next(iter(machine.children))
    effects, stopped = list(machine.handle(ended(first, Generation(1), Crashed(RuntimeError())), 2.0)), 0
    while stops := [effect for effect in effects if isinstance(effect, RequestStop)]:
        [stop] = stops
        effects = list(machine.handle(ended(stop.child, stop.generation), 2.0))
        stopped += 1
    started = 0
    while starts := [effect for effect in effects if isinstance(effect, Start)]:
        [start] = starts
        effects = list(machine.handle(Started(start.spec.id, start.generation, ready=True), 2.0))
        started += 1
    assert stopped + 1 == started == len(machine.children)


def stopped_at_once(machine: SupervisorMachine) -> None:
    """Stop a dynamic supervisor's machine: all children are told together, and each stops."""
    effects = machine.handle(ShutDown(Normal()), 2.0)
    stops = [effect for effect in effects if isinstance(effect, RequestStop)]
    assert len(machine.children) == len(stops)
    for stop in stops:
        effects = machine.handle(ended(stop.child, stop.generation), 2.0)
    assert isinstance(effects[-1], End)


def wound_down(machine: SupervisorMachine) -> None:
    """Stop the machine; each child stops as it is told."""
    effects, stopped = list(machine.handle(ShutDown(Normal()), 2.0)), 0
    while not isinstance(effects[-1], End):
        [stop] = [effect for effect in effects if isinstance(effect, RequestStop)]
        effects = list(machine.handle(ended(stop.child, stop.generation), 2.0))
        stopped += 1
    assert stopped == len(machine.children)


def ended(child: ChildId, generation: Generation, reason: ExitReason | None = None) -> Exited:
    reason = Normal() if reason is None else reason
    return Exited(child, generation, reason, abandoned=False, report=StopReport(stopped=(f"/top/{child}",)))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - a path as people write it


def churned(machine: SupervisorMachine) -> None:
    """Stop and delete every child by hand, oldest first."""
    for name, child in enumerate(tuple(machine.children)):
        call(machine, 10_000 + name, TerminateChild(child), 2.0)
        effects = machine.handle(ended(child, Generation(1)), 2.0)
        assert any(isinstance(effect, Answer) for effect in effects)
        call(machine, 20_000 + name, DeleteChild(child), 2.0)
    assert {} == machine.children


def called_off(machine: SupervisorMachine) -> None:
    """Stop every child before its turn to boot has come, oldest first."""
    for name, child in enumerate(tuple(machine.children)[1:]):
        effects = call(machine, name, TerminateChild(child), 2.0)
        assert not any(isinstance(effect, CancelTimer) for effect in effects)


@pytest.mark.parametrize("what", ["boot", "dynamic", "stop", "churn", "calling off", "group", "dynamic stop"])
def test_ten_times_the_children_cost_at_most_twelve_times_the_work(what: str) -> None:
    """performance.md: start, stop, restart and calls are linear in the number of children."""

    def work(count: int) -> int:
        path = ActorPath("/top")
        match what:
            case "boot" | "dynamic":
                return executed_lines(lambda: void(booted(count, path, dynamic=what == "dynamic")))
            case "calling off":
                specs = [a(f"c{n}") for n in range(count)]
                machine = SupervisorMachine(
                    path,
                    specs,
                    settings=SupervisorSettings(intensity=Intensity(1, within=1.0)),
                    chance=lambda: 0.5,
                    consequence="",
                )
                machine.boot(1.0)
                return executed_lines(lambda: called_off(machine))
            case "group":
                machine = booted(count, path, dynamic=False, strategy=Strategy.ONE_FOR_ALL)
                return executed_lines(lambda: restarted_as_one(machine))
            case "dynamic stop":
                machine = booted(count, path, dynamic=True, membership=Membership.DYNAMIC)
                return executed_lines(lambda: stopped_at_once(machine))
            case _:
                machine = booted(count, path, dynamic=False)
                return executed_lines(lambda: (wound_down if what == "stop" else churned)(machine))

    few, many = work(60), work(600)
    assert many <= 12 * few


def void(_made: object) -> None:
    """Take a result nobody needs."""


def test_ten_thousand_children_start_and_stop() -> None:
    """performance.md: quadratic work would need minutes here, and the suite's time-out would tell."""
    machine = booted(10_000, ActorPath("/top"), dynamic=False)
    wound_down(machine)
    assert 10_000 == len(machine.report.stopped)
