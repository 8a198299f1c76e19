"""A supervisor that ends with its significant children (supervision.md A.9, B 1.9)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import (
    Actor,
    ActorPath,
    Backoff,
    ChildId,
    ChildSpec,
    Crashed,
    ExitReason,
    Intensity,
    Killed,
    Normal,
    Restart,
    Shutdown,
    StateUnusable,
)
from treewarden.supervision_trees import AutoShutdown, ChildState, Strategy, Supervisor
from treewarden.supervision_trees._effects import Change, RestartChild, TerminateChild

if TYPE_CHECKING:
    from .conftest import Bench, Tree

    MakeBench = Callable[..., Bench]

ANY, ALL, NEVER = AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT, AutoShutdown.NEVER
EITHER = pytest.mark.parametrize("auto", [ANY, ALL], ids=lambda auto: auto.value)
DONE = Shutdown("auto_shutdown")
X, Y = ChildId("x"), ChildId("y")


def sig(name: str, restart: Restart = Restart.TRANSIENT, **options: Any) -> ChildSpec:
    return ChildSpec.of(Actor, id=name, restart=restart, significant=True, **options)


def a(name: str, **options: Any) -> ChildSpec:
    return ChildSpec.of(Actor, id=name, **options)


# Which ends count


@EITHER
@pytest.mark.parametrize(
    ("restart", "reason", "counts"),
    [
        (Restart.TRANSIENT, Normal(), True),
        (Restart.TRANSIENT, Shutdown("done"), True),
        (Restart.TRANSIENT, Crashed(RuntimeError()), False),
        (Restart.TRANSIENT, Killed(), False),
        (Restart.TEMPORARY, Normal(), True),
        (Restart.TEMPORARY, Crashed(RuntimeError()), True),
        (Restart.TEMPORARY, Killed(), True),
    ],
    ids=repr,
)
def test_only_an_end_that_is_not_answered_by_a_restart_counts(
    bench: "MakeBench", auto: AutoShutdown, restart: Restart, reason: ExitReason, counts: bool
) -> None:
    """B 1.9: transient and a normal reason, or temporary and any; one killed or crashed is restarted."""
    world = bench(sig("x", restart), a("y"), auto_shutdown=auto).boot_all()
    world.ends("x", reason)
    world.stop_all()

    assert (DONE if counts else None) == world.ended
    assert counts or world.state("x") is ChildState.RESTARTING


@EITHER
def test_the_remaining_children_stop_from_right_to_left_and_nobody_is_charged(
    bench: "MakeBench", auto: AutoShutdown
) -> None:
    """A.4, B 1.9."""
    world = bench(a("a"), sig("x"), a("b"), auto_shutdown=auto).boot_all()
    world.ends("x", Normal())
    assert ["b"] == world.stops
    world.stop_all()

    assert (["b", "a"], DONE) == (world.stops, world.ended)
    assert 0 == world.machine.window.used(world.now)


def test_a_child_that_is_not_significant_ends_alone(bench: "MakeBench") -> None:
    """B 1.9."""
    world = bench(a("x", restart=Restart.TRANSIENT), sig("y"), auto_shutdown=ANY).boot_all()
    world.ends("x", Normal())

    assert (None, []) == (world.ended, world.stops)


def test_any_significant_ends_with_the_first_all_significant_with_the_last(bench: "MakeBench") -> None:
    """B 1.9."""
    first = bench(sig("x"), sig("y"), auto_shutdown=ANY).boot_all()
    first.ends("x", Normal())
    assert ["y"] == first.stops
    last = bench(sig("x"), sig("y"), auto_shutdown=ALL).boot_all()
    last.ends("x", Normal())
    assert ([], None) == (last.stops, last.ended)
    last.ends("y", Normal())
    assert DONE == last.ended
    first.stop_all()
    assert DONE == first.ended


# Who is alive under all_significant


@pytest.mark.parametrize("how", ["delayed", "in its start", "waiting", "up"])
def test_a_significant_child_on_its_way_counts_as_alive(bench: "MakeBench", how: str) -> None:
    """A.5, B 1.9: restarting or waiting."""
    backoff = Backoff(initial=9.0) if how == "delayed" else None
    world = bench(
        a("n"), sig("x"), sig("y", backoff=backoff, needs=("n",) if how == "waiting" else ()), auto_shutdown=ALL
    ).boot()
    world.started("n", ready=how != "waiting")
    world.started("x")
    match how:
        case "waiting":
            assert world.state("y") is ChildState.WAITING
        case "up":
            world.started("y")
        case _:
            world.started("y")
            world.crashes("y")
            assert world.state("y") is ChildState.RESTARTING
    world.ends("x", Normal())

    assert (None, []) == (world.ended, world.stops)


def test_a_parked_significant_child_has_ended_by_itself(bench: "MakeBench") -> None:
    """A.5: over its own limit, or because its state cannot be restored; under both settings."""
    limit = Intensity(0, within=5.0)
    for auto in (ANY, ALL):
        over = bench(sig("x", intensity=limit), a("y"), auto_shutdown=auto).boot_all()
        over.crashes("x")
        assert ["y"] == over.stops, auto
        over.stop_all()
        assert DONE == over.ended
        torn = bench(sig("x"), a("y"), auto_shutdown=auto).boot_all()
        torn.crashes("x")
        torn.ends("x", Crashed(StateUnusable(ActorPath("/top/x"), "torn")))
        torn.stop_all()
        assert DONE == torn.ended


def test_a_parked_significant_child_is_not_alive(bench: "MakeBench") -> None:
    """A.5: so the end of the other is that of the last."""
    world = bench(sig("x", intensity=Intensity(0, within=5.0)), sig("y"), auto_shutdown=ALL).boot_all()
    world.crashes("x")
    assert world.ended is None
    world.ends("y", Normal())

    assert DONE == world.ended


# What never triggers it


@EITHER
def test_a_stop_by_a_call_never_ends_the_supervisor_but_counts_as_gone(bench: "MakeBench", auto: AutoShutdown) -> None:
    """B 1.9: not even of the last one; restarted by hand and ending by itself, it does."""
    world = bench(sig("x"), a("y"), auto_shutdown=auto).boot_all()
    world.call(TerminateChild(X))
    world.ends("x")
    assert (None, ChildState.STOPPED) == (world.ended, world.state("x"))
    world.call(RestartChild(X))
    world.started("x")
    world.ends("x", Normal())
    world.stop_all()

    assert DONE == world.ended


@pytest.mark.parametrize("moment", ["stopped", "stopping"])
def test_one_that_a_call_stopped_or_is_stopping_is_gone(bench: "MakeBench", moment: str) -> None:
    """B 1.9: in OTP the call is over before the other's end is looked at; here it need not be."""
    world = bench(sig("x"), sig("y"), auto_shutdown=ALL).boot_all()
    world.call(TerminateChild(X))
    if moment == "stopped":
        world.ends("x")
    world.ends("y", Normal())
    world.stop_all()

    assert DONE == world.ended


@EITHER
def test_declining_never_ends_the_supervisor(bench: "MakeBench", auto: AutoShutdown) -> None:
    """B 1.9: at its first start or at a restart, even if none is left running."""
    world = bench(sig("x"), sig("y"), a("z"), auto_shutdown=auto).boot()
    world.declines("x")
    world.started("y")
    world.started("z")
    world.crashes("y")
    world.declines("y")

    assert (None, []) == (world.ended, world.stops)


@EITHER
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE], ids=lambda each: each.value)
@pytest.mark.parametrize("end", ["as told", "by itself"])
def test_being_stopped_in_a_group_restart_never_ends_the_supervisor(
    bench: "MakeBench", auto: AutoShutdown, strategy: Strategy, end: str
) -> None:
    """B 1.9: nor does a temporary significant child that its group drops."""
    world = bench(
        a("a"), sig("t", Restart.TEMPORARY), sig("x"), a("z"), auto_shutdown=auto, strategy=strategy
    ).boot_all()
    world.crashes("a")
    if end == "by itself":
        world.ends("x", Normal())  # while z is being stopped
    world.stop_all()
    assert world.ended is None
    world.started("a")
    world.started("x")
    world.started("z")

    assert ["a", "x", "z"] == list(world.machine.children)
    assert (None, ChildState.RUNNING) == (world.ended, world.state("x"))


def test_never_means_never(bench: "MakeBench") -> None:
    """B 1.2: the default; a significant child came in while `change` allowed it."""
    world = bench(sig("x"), sig("y"), auto_shutdown=ANY).boot_all()
    plain = tuple(a(name, restart=Restart.TRANSIENT) for name in "xy")
    assert world.ask(Change(auto_shutdown=NEVER, children=plain)) is None
    world.ends("x", Normal())

    assert (None, []) == (world.ended, world.stops)


# During the boot


@EITHER
def test_an_end_during_the_boot_is_looked_at_when_the_boot_is_over(bench: "MakeBench", auto: AutoShutdown) -> None:
    """B 1.9, B 1.4: the start succeeds first."""
    world = bench(sig("x"), a("y"), auto_shutdown=auto).boot()
    world.started("x")
    world.ends("x", Normal())
    assert ([], None) == (world.stops, world.ended)
    world.started("y")
    assert world.has_started()
    world.stop_all()

    assert DONE == world.ended


@pytest.mark.parametrize(("rest", "ends"), [("declines", True), ("starts", False)])
def test_who_is_alive_is_asked_when_the_boot_is_over(bench: "MakeBench", rest: str, ends: bool) -> None:
    """B 1.9: under all_significant; what declined by then is not alive."""
    world = bench(sig("x"), sig("y"), a("z"), auto_shutdown=ALL).boot()
    world.started("x")
    world.ends("x", Normal())
    if rest == "declines":
        world.declines("y")
    else:
        world.started("y")
    world.started("z")
    world.stop_all()

    assert (DONE if ends else None) == world.ended


# The real supervisor


def test_significant_sub_supervisors_pass_it_on(tree: "Tree", scripted: type[Actor]) -> None:
    """B 1.9: nesting works; a transient significant sub-supervisor ends its parent too."""
    worker = ChildSpec.of(scripted, [], id="x", restart=Restart.TRANSIENT, significant=True)
    sub = ChildSpec.of(
        Supervisor,
        children=[worker, ChildSpec.of(scripted, [], id="y")],
        id="sub",
        restart=Restart.TRANSIENT,
        significant=True,
        auto_shutdown=ANY,
    )
    tree.start(ChildSpec.of(scripted, [], id="z"), sub, auto_shutdown=ANY)
    refs = [tree.ref(name) for name in ("z", "sub", "sub/x", "sub/y")]
    tree.tell("sub/x", "exit")

    assert tree.exit is not None
    assert DONE == tree.exit.reason
    assert not any(ref.is_alive() for ref in refs)
