"""Whole stories of nested supervisors, told on `TreeUnderTest`: what one level decides, the next one hears."""

from typing import Any

import pytest

from treewarden.actors import Backoff, ChildSpec, ChildStarted, Intensity, Restart, Shutdown, SupervisorGaveUp
from treewarden.supervision_trees import AutoShutdown, ChildState, Strategy, Supervisor
from treewarden.supervision_trees.testing import IgnoresStop, TreeUnderTest, scripted


def group(name: str, *children: ChildSpec, **options: Any) -> ChildSpec:
    return ChildSpec.of(Supervisor, children=children, id=name, **options)


SEEDS = range(3)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("restart", "runs"), [(Restart.PERMANENT, True), (Restart.TRANSIENT, False)])
def test_a_group_that_gives_up_is_restarted_only_if_it_is_permanent(restart: Restart, runs: bool, seed: int) -> None:
    """A.4, B 1.8: it ends with `Shutdown("intensity")`, which no transient child is restarted for."""
    inner = group("inner", scripted("x"), scripted("y"), intensity=Intensity(1, within=5.0), restart=restart)
    with TreeUnderTest.of(inner, scripted("outer"), seed=seed) as tree:
        for _ in range(2):
            tree.child("x").crashes()
            tree.wait_idle()

        [gave_up] = tree.events.of(SupervisorGaveUp)
        assert ("/top/inner", "x") == (gave_up.path, gave_up.child)
        assert Shutdown("intensity") == tree.child("inner").last_exit
        assert runs == tree.child("inner").is_alive
        assert runs == (tree.whereis("/top/inner/y") is not None)
        assert tree.child("outer").is_alive


@pytest.mark.parametrize("seed", SEEDS)
def test_groups_in_groups_start_again_each_in_its_own_order(seed: int) -> None:
    """A.8: the rest of the outer group waits until the inner one has started as a whole."""
    inner = group("inner", scripted("b"), scripted("c"), strategy=Strategy.ONE_FOR_ALL)
    with TreeUnderTest.of(scripted("a"), inner, scripted("d"), strategy=Strategy.REST_FOR_ONE, seed=seed) as tree:
        tree.child("c").crashes()
        tree.wait_idle()
        assert [1, 1, 2, 2, 1] == [tree.child(name).generation for name in ("a", "inner", "b", "c", "d")]

        tree.events.clear()
        tree.child("a").crashes()
        tree.wait_idle()
        # The inner supervisor is another one now, so its children begin with their first generation again.
        assert [2, 2, 1, 1, 2] == [tree.child(name).generation for name in ("a", "inner", "b", "c", "d")]
        started = [event.path for event in tree.events.of(ChildStarted)]
        assert ["/top/a", "/top/inner/b", "/top/inner/c", "/top/inner", "/top/d"] == started


@pytest.mark.parametrize("seed", SEEDS)
def test_an_automatic_shutdown_goes_up_as_far_as_it_is_significant(seed: int) -> None:
    """A.9, B 1.9: a transient significant group passes it on; the root ends with it."""
    job = scripted("job", restart=Restart.TRANSIENT, significant=True)
    inner = group(
        "inner",
        job,
        scripted("side"),
        auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
        restart=Restart.TRANSIENT,
        significant=True,
    )
    with TreeUnderTest.of(inner, scripted("other"), auto_shutdown=AutoShutdown.ALL_SIGNIFICANT, seed=seed) as tree:
        tree.child("job").crashes()
        tree.wait_idle()
        assert tree.ended is None

        tree.child("job").exits()
        tree.wait_idle()
        assert Shutdown("auto_shutdown") == tree.ended


@pytest.mark.parametrize("seed", SEEDS)
def test_a_delay_of_a_minute_deep_below_delays_no_stop_and_one_that_ignores_it_is_named(seed: int) -> None:
    """A.5, A.7: the delay is called off; whoever does not stop costs its own shutdown time and no more."""
    waiting = scripted("waiting", backoff=Backoff(initial=60.0, max=60.0, jitter=0.0))
    inner = group("inner", scripted("stuck", IgnoresStop(), shutdown=2.0), waiting)
    with TreeUnderTest.of(scripted("a"), inner, seed=seed) as tree:
        tree.child("waiting").crashes()
        tree.wait_idle()
        assert ChildState.RESTARTING is tree.child("waiting").state
        before = tree.clock.monotonic()
        report = tree.stop()

        assert 2.0 == tree.clock.monotonic() - before
        assert ("/top/inner/stuck",) == report.abandoned
        assert {"/top", "/top/a", "/top/inner"} <= set(report.stopped)
