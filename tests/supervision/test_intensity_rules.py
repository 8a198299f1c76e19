"""How many restarts are too many, and what giving up leads to (supervision.md A.3, A.4, B 1.5, B 1.8)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import (
    Actor,
    ActorPath,
    ChildExited,
    ChildId,
    ChildSpec,
    Crashed,
    Exited,
    Intensity,
    Restart,
    Shutdown,
    StateUnusable,
    SupervisorGaveUp,
)
from treewarden.supervision_trees import AutoShutdown, ChildState, Strategy, Supervisor
from treewarden.supervision_trees._effects import DeleteChild, RestartChild, StartChild, TerminateChild

if TYPE_CHECKING:
    from .conftest import Bench, Tree

    MakeBench = Callable[..., Bench]

GROUPS = pytest.mark.parametrize(
    "strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE], ids=lambda strategy: strategy.value
)
EVERY = pytest.mark.parametrize("strategy", list(Strategy), ids=lambda strategy: strategy.value)
X, SUB = ChildId("x"), ChildId("sub")


def a(name: str, **options: Any) -> ChildSpec:
    return ChildSpec.of(Actor, id=name, **options)


def crash_and_come_back(world: "Bench", name: str) -> None:
    """`name` crashes, and everybody who is restarted for it starts without delay."""
    world.crashes(name)
    world.stop_all()
    while world.ended is None and (late := [each for each in world.live if not world.child(each).started]):
        world.started(late[0])


# B 1.5


@EVERY
@pytest.mark.parametrize("limit", [0, 1, 2, 5])
def test_more_than_the_limit_gives_up_under_every_strategy(bench: "MakeBench", strategy: Strategy, limit: int) -> None:
    """A.3, B 1.5: limit 2 survives crashes 1 and 2 and dies on 3; limit 0 dies on the first."""
    world = bench(a("x"), a("y"), strategy=strategy, intensity=Intensity(limit, within=5.0)).boot_all()
    for crash in range(limit):
        crash_and_come_back(world, "x")
        assert (None, crash + 1) == (world.ended, world.machine.window.used(world.now))
    crash_and_come_back(world, "x")

    assert Shutdown("intensity") == world.ended


@EVERY
def test_the_window_slides_and_its_edge_counts(bench: "MakeBench", strategy: Strategy) -> None:
    """A.3, B 1.5: a gap of exactly `within` counts, one that is a little longer never does."""
    world = bench(a("x"), a("y"), strategy=strategy, intensity=Intensity(1, within=2.0)).boot_all()
    for _ in range(3):
        crash_and_come_back(world, "x")
        world.advance(2.125)
        assert world.ended is None
    crash_and_come_back(world, "x")
    world.advance(2.0)
    crash_and_come_back(world, "x")

    assert Shutdown("intensity") == world.ended


@EVERY
def test_one_counter_is_shared_by_all_children(bench: "MakeBench", strategy: Strategy) -> None:
    """B 1.5."""
    world = bench(a("x"), a("y"), a("z"), strategy=strategy, intensity=Intensity(2, within=5.0)).boot_all()
    for name in ("x", "y", "z"):
        assert world.ended is None
        crash_and_come_back(world, name)

    assert Shutdown("intensity") == world.ended


@EVERY
def test_what_nobody_is_restarted_for_costs_nothing(bench: "MakeBench", strategy: Strategy) -> None:
    """A.3, B 1.5: first starts, starts and stops by hand, non-restarting deaths, under the limit of 0."""
    world = bench(
        a("x"),
        a("y", restart=Restart.TRANSIENT),
        a("z", restart=Restart.TEMPORARY),
        strategy=strategy,
        intensity=Intensity(0, within=5.0),
    ).boot_all()
    for _ in range(5):
        world.call(TerminateChild(X))
        world.ends("x")
        world.call(RestartChild(X))
        world.started("x")
    world.call(StartChild(a("new")))
    world.started("new")
    world.ends("y")
    world.crashes("z")

    assert (None, 0) == (world.ended, world.machine.window.used(world.now))


def test_a_child_whose_state_cannot_be_restored_costs_nothing(bench: "MakeBench") -> None:
    """A.18: parked, not restarted."""
    world = bench(a("x"), intensity=Intensity(1, within=5.0)).boot_all()
    world.crashes("x")
    world.ends("x", Crashed(StateUnusable(ActorPath("/top/x"), "torn")))

    assert (ChildState.FAILED, 1) == (world.state("x"), world.machine.window.used(world.now))


@EVERY
def test_giving_up_stops_the_others_from_right_to_left_and_ends_with_the_reason_shutdown(
    bench: "MakeBench", strategy: Strategy
) -> None:
    """A.4, B 1.5: b dies in [a,b,c]: c, then a are stopped; a and c stop in no group restart first."""
    world = bench(a("a"), a("b"), a("c"), strategy=strategy, intensity=Intensity(0, within=5.0)).boot_all()
    world.crashes("b")
    [event] = world.of(SupervisorGaveUp)
    assert (ActorPath("/top"), "b", 1, 0) == (event.path, event.child, event.restarts, event.allowed)
    assert ["c"] == world.stops
    world.ends("c")
    assert ["c", "a"] == world.stops
    world.ends("a")

    assert Shutdown("intensity") == world.ended
    assert [1, 1, 1] == [generation for _, generation in world.starts]


@GROUPS
def test_a_loop_that_is_slow_to_stop_does_not_go_on_for_ever(bench: "MakeBench", strategy: Strategy) -> None:
    """A.3: limit 1 in 1 s, a crash 50 ms after every start, a sibling that needs 2.2 s to stop (otp#1287)."""
    world = bench(a("x"), a("slow"), strategy=strategy, intensity=Intensity(1, within=1.0)).boot_all()
    cycles = 0
    while world.ended is None and cycles < 50:
        cycles += 1
        world.advance(0.05)
        world.crashes("x")
        if world.asked_to_stop:
            world.advance(2.2)
            world.stop_all()
        while late := [each for each in world.live if not world.child(each).started]:
            world.started(late[0])

    assert Shutdown("intensity") == world.ended
    assert cycles <= 5


@GROUPS
def test_the_window_stands_still_only_while_a_group_is_being_stopped(bench: "MakeBench", strategy: Strategy) -> None:
    """A.3: time in which members start, or run, lets the window slide as ever."""
    world = bench(a("x"), a("slow"), strategy=strategy, intensity=Intensity(1, within=1.0)).boot_all()
    world.crashes("x")
    world.advance(4.5)
    world.ends("slow")
    assert 1 == world.machine.window.used(world.machine.window_time(world.now))
    world.advance(1.125)  # x is in its start

    assert 0 == world.machine.window.used(world.machine.window_time(world.now))


@GROUPS
def test_the_window_slides_on_when_a_group_restart_is_called_off(bench: "MakeBench", strategy: Strategy) -> None:
    """A.3: also when the culprit was terminated while its siblings stopped."""
    world = bench(a("x"), a("slow"), strategy=strategy, intensity=Intensity(1, within=1.0)).boot_all()
    world.crashes("x")
    world.call(TerminateChild(X))
    world.advance(1.125)

    assert 0 == world.machine.window.used(world.machine.window_time(world.now))


# B 1.8, on real supervisors


def counted(scripted: type[Actor], name: str, words: list[str] | None = None) -> ChildSpec:
    return ChildSpec.of(scripted, words or [], id=name)


@pytest.mark.parametrize(
    ("restart", "state"), [(Restart.PERMANENT, "running"), (Restart.TRANSIENT, "stopped"), (Restart.TEMPORARY, None)]
)
@pytest.mark.parametrize("end", ["intensity", "auto_shutdown"])
def test_what_a_parent_does_follows_from_the_restart_type(
    tree: "Tree", scripted: type[Actor], end: str, restart: Restart, state: str | None
) -> None:
    """A.4, B 1.8, B 1.9: giving up and automatic shutdown end with `Shutdown`, so a transient one stays down."""
    significant = end == "auto_shutdown"
    child = ChildSpec.of(
        scripted,
        [],
        id="x",
        restart=Restart.TRANSIENT if significant else Restart.PERMANENT,
        significant=significant,
    )
    tree.start(
        ChildSpec.of(
            Supervisor,
            children=[child],
            id="sub",
            restart=restart,
            intensity=Intensity(0, within=5.0),
            auto_shutdown=AutoShutdown.ANY_SIGNIFICANT if significant else AutoShutdown.NEVER,
        ),
        counted(scripted, "y"),
    )
    other = tree.ref("y")
    tree.tell("sub/x", "exit" if significant else "crash")

    assert state == tree.states().get("sub")
    assert Shutdown(end) in [event.reason for event in tree.sink.of(ChildExited)]
    assert (state == "running") == tree.describe().window.used(tree.clock.monotonic())
    assert other is tree.ref("y")


@GROUPS
def test_a_sub_supervisor_that_gave_up_is_restarted_with_its_group(
    tree: "Tree", scripted: type[Actor], strategy: Strategy
) -> None:
    """A.8, B 1.8: its end is one like any other to its parent's strategy."""
    tree.start(
        ChildSpec.of(Supervisor, children=[counted(scripted, "x")], id="sub", intensity=Intensity(0, within=5.0)),
        counted(scripted, "y"),
        strategy=strategy,
    )
    old = tree.ref("y")
    tree.tell("sub/x", "crash")

    assert {"sub": "running", "y": "running"} == tree.states()
    assert old is not tree.ref("y")
    assert {"x": "running"} == tree.states(tree.ref("sub"))


def test_a_restarted_sub_supervisor_has_its_static_children_only_and_all_of_them(
    tree: "Tree", scripted: type[Actor]
) -> None:
    """B 1.8: children added by a call are lost, specs deleted by one come back; its window is new."""
    tree.start(
        ChildSpec.of(
            Supervisor,
            children=[counted(scripted, "x"), counted(scripted, "gone")],
            id="sub",
            intensity=Intensity(1, within=5.0),
        )
    )
    sub = tree.ref("sub")
    tree.ask(StartChild(counted(scripted, "added")), of=sub)
    tree.ask(TerminateChild(ChildId("gone")), of=sub)
    tree.ask(DeleteChild(ChildId("gone")), of=sub)
    tree.tell("sub/x", "crash")
    tree.tell("sub/x", "crash")

    new = tree.ref("sub")
    assert new is not sub
    assert {"x": "running", "gone": "running"} == tree.states(new)
    assert tree.whereis("sub/added") is None
    assert () == tree.describe(new).window.spent


def test_when_the_root_gives_up_nothing_is_left_running(tree: "Tree", scripted: type[Actor]) -> None:
    """A.4: nested supervisors and their children included, whatever the strategy above them."""
    tree.start(
        ChildSpec.of(Supervisor, children=[counted(scripted, "deep")], id="sub"),
        counted(scripted, "x"),
        strategy=Strategy.ONE_FOR_ALL,
        intensity=Intensity(0, within=5.0),
    )
    refs = [tree.ref(name) for name in ("sub", "sub/deep", "x")]
    tree.tell("x", "crash")

    assert isinstance(tree.exit, Exited)
    assert Shutdown("intensity") == tree.exit.reason
    assert not any(ref.is_alive() for ref in refs)
    [gave_up] = tree.sink.of(SupervisorGaveUp)
    assert (5.0, "nothing above it restarts it") == (gave_up.within, gave_up.consequence)
