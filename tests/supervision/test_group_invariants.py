"""Random lives of supervisors of every strategy: what must hold whatever happens.

`Bench` itself fails at a second incarnation, a lost or doubled answer, a timer for nobody, an effect
after the end. Here Hypothesis plays children, clock, callers and operators over it.
"""

from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from treewarden.actors import (
    BRUTAL_KILL,
    Actor,
    ActorPath,
    Backoff,
    ChildId,
    ChildSpec,
    Crashed,
    CrashReport,
    Exited,
    ExitReason,
    Generation,
    Intensity,
    Normal,
    Restart,
    StateUnusable,
    is_abnormal,
)
from treewarden.supervision_trees import AutoShutdown, ChildState, Strategy
from treewarden.supervision_trees._effects import (
    Call,
    Change,
    DeleteChild,
    RestartChild,
    StartChild,
    TerminateChild,
)

if TYPE_CHECKING:
    from .conftest import Bench

NAMES = "abcde"
BACKOFF = Backoff(initial=1.0, max=4.0, jitter=0.0)
LIMITS = [Intensity(0, within=5.0), Intensity(2, within=5.0), Intensity(50, within=5.0)]
AT_REST = (ChildState.STOPPED, ChildState.FAILED, ChildState.WAITING)

names = st.sampled_from(NAMES)


@st.composite
def specs(draw: st.DrawFn, auto: AutoShutdown, name: str | None = None, needs: bool = True) -> ChildSpec:
    name = draw(names) if name is None else name
    restart = draw(st.sampled_from([Restart.PERMANENT] * 3 + [Restart.TRANSIENT, Restart.TEMPORARY]))
    may_mean = auto is not AutoShutdown.NEVER and restart is not Restart.PERMANENT
    earlier = NAMES[: NAMES.index(name)]
    return ChildSpec.of(
        Actor,
        id=name,
        restart=restart,
        backoff=draw(st.sampled_from([None, None, BACKOFF])),
        shutdown=draw(st.sampled_from([2.0, 2.0, BRUTAL_KILL])),
        needs=(draw(st.sampled_from(earlier)),) if needs and earlier and draw(st.integers(0, 3)) == 0 else (),
        significant=may_mean and draw(st.booleans()),
    )


def all_of(auto: AutoShutdown, some: list[str]) -> "st.SearchStrategy[tuple[ChildSpec, ...]]":
    return st.tuples(*(specs(auto, name) for name in some))


def play(draw: st.DrawFn, world: "Bench", auto: AutoShutdown) -> None:
    """One random thing that can happen now."""
    live = sorted(world.live)
    late = [*world.old_timers, *world.old_notices]
    moves = ["advance", "call", "change"] + ["child"] * 6 * bool(live) + ["late"] * 2 * bool(late)
    match draw(st.sampled_from(moves)):
        case "advance":
            world.advance(draw(st.sampled_from([0.25, 1.0, 3.0, 31.0])))
        case "late":
            # A timer that fell due as it was cancelled, or a notice that came twice: mostly a recent one.
            world.feed(draw(st.sampled_from(late[-6:]) | st.sampled_from(late)))
        case "call":
            child = ChildId(draw(names))
            call: Call = draw(
                st.sampled_from([TerminateChild(child), RestartChild(child), DeleteChild(child)])
                | specs(auto, str(child), needs=False).map(StartChild)
            )
            world.call(call)
        case "change":
            world.call(
                Change(
                    strategy=draw(st.sampled_from([None, *Strategy])),
                    intensity=draw(st.sampled_from(LIMITS)),
                    children=draw(st.none() | st.lists(names, unique=True).flatmap(lambda some: all_of(auto, some))),
                )
            )
        case _:
            act(draw, world, draw(st.sampled_from(live)))


def act(draw: st.DrawFn, world: "Bench", name: ChildId) -> None:
    """The incarnation of `name` does something that it can do now."""
    child = world.child(name)
    if not child.started:
        what = draw(st.sampled_from(["start", "start", "start", "start unready", "decline", "crash", "torn"]))
    elif child.state is ChildState.RUNNING and not child.ready:
        what = draw(st.sampled_from(["ready", "crash"]))
    else:
        what = draw(st.sampled_from(["crash", "end", "stop"]))
    match what:
        case "start" | "start unready":
            world.started(name, ready=what == "start")
        case "ready":
            world.ready(name)
        case "decline":
            world.declines(name)
        case "end":
            world.ends(name, Normal())
        case "stop":
            world.ends(name)
        case "torn":
            world.ends(name, Crashed(StateUnusable(ActorPath("/top/x"), "torn")))
        case _:
            world.crashes(name)


def come_to_rest(world: "Bench") -> None:
    """Let every start and every stop under way succeed, and every delay pass."""
    for _ in range(200):
        in_start = [name for name in world.live if not world.child(name).started]
        if world.asked_to_stop:
            world.ends(next(iter(world.asked_to_stop)))
        elif in_start:
            world.started(in_start[0])
        elif any(child.retry_at is not None for child in world.machine.children.values()):
            world.advance(1.0)
        else:
            return
    raise AssertionError("it does not come to rest")


@settings(max_examples=250, deadline=None)
@given(data=st.data(), strategy=st.sampled_from(Strategy), auto=st.sampled_from(AutoShutdown))
def test_whatever_happens_a_supervisor_keeps_its_promises(
    data: st.DataObject, strategy: Strategy, auto: AutoShutdown, bench_class: "type[Bench]"
) -> None:
    """A.1, A.6, A.8, A.10, A.14, A.15: nobody is lost, nothing hangs, every abnormal end is reported once."""

    @st.composite
    def a_life(draw: Any) -> "Bench":
        children = [draw(specs(auto, name)) for name in NAMES[: draw(st.integers(1, 5))]]
        world = bench_class(*children, strategy=strategy, auto_shutdown=auto, intensity=draw(st.sampled_from(LIMITS)))
        world.boot()
        for _ in range(draw(st.integers(0, 30))):
            if world.ended is None:
                play(draw, world, auto)
                world.check_table()
        return world

    world = data.draw(a_life())
    if world.ended is None:
        come_to_rest(world)
        world.check_table()
    if world.ended is None:
        # Nobody is left in between: all run, rest, are parked, or wait for a sibling that is not ready.
        for child in world.machine.children.values():
            assert child.state in (*AT_REST, ChildState.RUNNING), child
            assert child.state is not ChildState.WAITING or world.machine._roster.table.lacking(child.spec), child
        assert not {name for name in world.unanswered if not _waits(world)}
        world.shut_down()
        world.stop_all()
    assert world.ended is not None
    _reports_fit(world)


def _waits(world: "Bench") -> bool:
    return any(child.state is ChildState.WAITING for child in world.machine.children.values())


def _reports_fit(world: "Bench") -> None:
    reported = [(report.path, report.generation) for report in world.of(CrashReport)]
    assert len(set(reported)) == len(reported), "an end was reported twice"
    ends: list[tuple[str, Generation, ExitReason]] = [
        (f"/top/{notice.child}", notice.generation, notice.reason)
        for notice in world.old_notices
        if isinstance(notice, Exited)
    ]
    unasked = {(path, generation) for path, generation, reason in ends if is_abnormal(reason)}
    assert set(reported) <= unasked
    # Killed by order is the one abnormal end that is as it should be.
    assert all(
        (path, generation) in reported
        for path, generation, reason in ends
        if is_abnormal(reason) and isinstance(reason, Crashed)
    )
