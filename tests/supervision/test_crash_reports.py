"""One report for each abnormal end, and the last ones kept with the child (supervision.md A.14, B 3.5)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import (
    BRUTAL_KILL,
    Actor,
    ActorPath,
    Backoff,
    ChildExited,
    ChildId,
    ChildSpec,
    Crashed,
    CrashReport,
    Exited,
    ExitReason,
    Generation,
    Intensity,
    Killed,
    Normal,
    PostMortem,
    Restart,
    Shutdown,
    StateUnusable,
    StopReport,
    Unresponsive,
)
from treewarden.supervision_trees import ChildState, Strategy
from treewarden.supervision_trees._effects import RestartChild, StartChild, TerminateChild
from treewarden.supervision_trees._roster import CRASHES_KEPT

if TYPE_CHECKING:
    from .conftest import Bench, Tree

    MakeBench = Callable[..., Bench]

X = ChildId("x")
CRASH = Crashed(RuntimeError("torn"), "Traceback (most recent call last):\n  in the middle\nRuntimeError: torn")
NOTHING = PostMortem()
KNOWN = PostMortem(last_message="Import('a')", mailbox=3, state="rows=7", log=("got Import", "got Commit"))


def a(name: str, **options: Any) -> ChildSpec:
    return ChildSpec.of(Actor, id=name, **options)


def end(world: "Bench", name: str, reason: ExitReason, mortem: PostMortem = NOTHING) -> None:
    """The child ends, leaving what it knew."""
    child = ChildId(name)
    world.asked_to_stop.pop(child, None)
    world.feed(Exited(child, world.live.pop(child), reason, abandoned=False, report=StopReport(), post_mortem=mortem))


def reports(world: "Bench") -> list[tuple[str, int, str]]:
    return [(report.path, report.generation, report.then) for report in world.of(CrashReport)]


def test_a_report_tells_who_why_what_it_did_and_what_follows(bench: "MakeBench") -> None:
    """A.14: every field."""
    world = bench(a("x", backoff=Backoff(initial=2.0, jitter=0.0)), intensity=Intensity(4, within=5.0)).boot_all()
    world.crashes("x")
    world.advance(2.0)
    world.started("x")
    end(world, "x", CRASH, KNOWN)

    assert (
        CrashReport(
            supervisor=ActorPath("/top"),
            path=ActorPath("/top/x"),
            generation=Generation(2),
            reason=CRASH,
            traceback=CRASH.traceback,
            last_message="Import('a')",
            mailbox=3,
            state="rows=7",
            log=("got Import", "got Commit"),
            used=2,
            allowed=4,
            then="it is restarted in 4 s",
        )
        == world.of(CrashReport)[-1]
    )


@pytest.mark.parametrize("reason", [CRASH, Killed(), Unresponsive(3.0)], ids=repr)
@pytest.mark.parametrize(
    ("restart", "then"),
    [
        (Restart.PERMANENT, "it is restarted at once"),
        (Restart.TRANSIENT, "it is restarted at once"),
        (Restart.TEMPORARY, "it is temporary and forgotten"),
    ],
)
def test_each_abnormal_end_is_reported_once(
    bench: "MakeBench", restart: Restart, then: str, reason: ExitReason
) -> None:
    """A.14, B 3.5: whatever its restart type; a traceback is that of a crash only."""
    world = bench(a("x", restart=restart)).boot_all()
    end(world, "x", reason)

    assert [("/top/x", 1, then)] == reports(world)
    assert world.of(CrashReport)[0].traceback == (CRASH.traceback if reason is CRASH else "")


@pytest.mark.parametrize("reason", [Normal(), Shutdown("done")], ids=repr)
@pytest.mark.parametrize("restart", list(Restart))
def test_an_orderly_end_is_not_reported(bench: "MakeBench", restart: Restart, reason: ExitReason) -> None:
    """B 3.5: neither when it ended by itself nor when it was told to, nor kept in the ring."""
    world = bench(a("x", restart=restart)).boot_all()
    end(world, "x", reason)
    if world.state("x") is ChildState.RESTARTING:
        world.started("x")
        assert () == world.child("x").crashes
        world.call(TerminateChild(X))
        world.ends("x", reason)

    assert [] == reports(world)


@pytest.mark.parametrize("reason", [Normal(), Shutdown("done"), CRASH, Killed()], ids=repr)
@pytest.mark.parametrize("restart", list(Restart))
def test_every_end_by_itself_is_an_event_also_an_orderly_one(
    bench: "MakeBench", restart: Restart, reason: ExitReason
) -> None:
    """B 1.3: OTP logs a permanent child's `normal` too; here the event tells of every end, and once."""
    world = bench(a("x", restart=restart)).boot_all()
    end(world, "x", reason)

    assert [ChildExited(ActorPath("/top/x"), Generation(1), reason)] == world.of(ChildExited)


def test_the_end_that_makes_a_supervisor_give_up_says_so(bench: "MakeBench") -> None:
    """A.14: what happens next, and the restart that was not allowed counts as used."""
    world = bench(a("x"), intensity=Intensity(1, within=5.0)).boot_all()
    world.crashes("x")
    world.started("x")
    world.crashes("x")

    assert "/top gives up: the test goes on" == world.of(CrashReport)[-1].then
    assert (2, 1) == (world.of(CrashReport)[-1].used, world.of(CrashReport)[-1].allowed)


def test_a_child_with_its_own_limit_is_reported_with_that(bench: "MakeBench") -> None:
    """A.5, A.14."""
    world = bench(a("x", intensity=Intensity(1, within=5.0))).boot_all()
    world.crashes("x")
    world.started("x")
    world.crashes("x")

    assert [("/top/x", 1, "it is restarted at once"), ("/top/x", 2, "it is parked as failed")] == reports(world)
    assert [(1, 1), (2, 1)] == [(report.used, report.allowed) for report in world.of(CrashReport)]


def test_failed_starts_are_reported_each_with_what_follows(bench: "MakeBench") -> None:
    """A.6, A.14: first starts, starts by hand, restarts, and state that cannot be restored."""
    boot = bench(a("x")).boot()
    boot.crashes("x")
    assert [("/top/x", 1, "/top does not start")] == reports(boot)
    world = bench(a("x")).boot_all()
    world.call(StartChild(a("y")))
    world.crashes("y")
    world.crashes("x")
    world.crashes("x")
    world.ends("x", Crashed(StateUnusable(ActorPath("/top/x"), "torn")))

    assert [
        ("/top/y", 1, "it is not retried: it was started by a call"),
        ("/top/x", 1, "it is restarted at once"),
        ("/top/x", 2, "it is restarted at once"),
        ("/top/x", 3, "it is parked as failed; its siblings go on"),
    ] == reports(world)


@pytest.mark.parametrize(
    ("shutdown", "reason", "reported"),
    [
        (5.0, Normal(), False),
        (5.0, Shutdown("x"), False),
        (5.0, CRASH, True),  # in its on_stop
        (5.0, Killed(), True),  # by somebody else
        (BRUTAL_KILL, Killed(), False),
    ],
    ids=repr,
)
def test_a_stop_that_went_wrong_is_reported(
    bench: "MakeBench", shutdown: Any, reason: ExitReason, reported: bool
) -> None:
    """A.14, B 1.6 "outcome is clean if": terminated, stopped with its group, or at its supervisor's end."""
    for how in ("call", "group", "end"):
        world = bench(a("a"), a("x", shutdown=shutdown), strategy=Strategy.ONE_FOR_ALL).boot_all()
        match how:
            case "call":
                world.call(TerminateChild(X))
            case "group":
                end(world, "a", Normal())
            case _:
                world.shut_down()
        if X in world.live and shutdown != BRUTAL_KILL:
            end(world, "x", reason)
        assert int(reported) == len(reports(world)), how
        world.stop_all()


def test_a_child_that_is_abandoned_is_reported(bench: "MakeBench") -> None:
    """A.7, A.14: as unresponsive, at that moment."""
    world = bench(a("x", shutdown=2.0)).boot_all()
    world.call(TerminateChild(X))
    world.advance(2.0)
    [report] = world.of(CrashReport)

    assert Unresponsive(2.0) == report.reason


def test_a_late_exit_of_an_earlier_life_is_no_report(bench: "MakeBench") -> None:
    """A.14, A.15: exactly one for each end."""
    world = bench(a("x")).boot_all()
    world.crashes("x")
    late = world.old_notices[-1]
    world.started("x")
    world.feed(late)

    assert 1 == len(reports(world))


def test_the_last_ten_are_kept_with_the_child_across_its_restarts(bench: "MakeBench") -> None:
    """A.14: oldest first, as text, with their time."""
    world = bench(a("x"), a("y"), intensity=Intensity(99, within=5.0)).boot_all()
    for number in range(13):
        world.advance(1.0)
        end(world, "x", Crashed(RuntimeError(f"number {number}"), "t"), PostMortem(mailbox=number, state="s"))
        world.started("x")
    ring = world.child("x").crashes

    assert CRASHES_KEPT == len(ring) == 10
    assert list(range(3, 13)) == [crash.mailbox for crash in ring]
    assert list(range(4, 14)) == [crash.generation for crash in ring]
    assert [100.0 + number for number in range(4, 14)] == [crash.at for crash in ring]
    assert "number 12" in ring[-1].reason
    assert ("t", "s", None) == (ring[-1].traceback, ring[-1].state, ring[-1].last_message)
    assert () == world.child("y").crashes


def test_the_ring_survives_a_group_restart_a_stop_and_a_start_by_hand(bench: "MakeBench") -> None:
    """A.14: it belongs to the child, not to an incarnation; a forgotten child takes it along."""
    world = bench(a("x"), a("y"), strategy=Strategy.ONE_FOR_ALL).boot_all()
    world.crashes("x")
    world.stop_all()
    world.started("x")
    world.started("y")
    world.crashes("y")
    world.stop_all()
    world.started("x")
    world.started("y")
    world.call(TerminateChild(X))
    world.ends("x")
    world.call(RestartChild(X))
    world.started("x")

    assert [1, 1] == [len(world.child(name).crashes) for name in "xy"]


def test_a_traceback_without_end_is_kept_with_its_end(bench: "MakeBench") -> None:
    """A.14: what is kept for ever is bounded; the event has all of it."""
    world = bench(a("x")).boot_all()
    end(world, "x", Crashed(RecursionError(), "f\n" * 50_000 + "the place"))

    kept = world.child("x").crashes[0].traceback
    assert kept.endswith("the place")
    assert len(kept) <= 4_000
    assert 100_000 < len(world.of(CrashReport)[0].traceback)


def test_real_actors_report_once_with_their_traceback(tree: "Tree", scripted: type[Actor]) -> None:
    """A.14: by tell, by ask, at a start, while stopping, killed; `which_children` shows the ring."""
    tree.start(
        ChildSpec.of(scripted, ["run", "run", "crash", "run"], id="x"),
        ChildSpec.of(scripted, ["crash_on_stop"], id="y"),
        intensity=Intensity(9, within=5.0),
    )
    tree.tell("x", "crash")
    tree.request("crash", of=tree.ref("x"))
    tree.settle()
    tree.ref("x").kill()
    tree.settle()
    tree.ask(TerminateChild(ChildId("y")))

    assert [
        ("/top/x", 1, "crashed as told"),
        ("/top/x", 2, "crashed as told"),
        ("/top/x", 3, "crashed at its start"),
        ("/top/x", 4, ""),
        ("/top/y", 1, "crashed while it stopped"),
    ] == [
        (report.path, report.generation, report.traceback.rstrip().rpartition("RuntimeError: ")[2])
        for report in tree.sink.of(CrashReport)
    ]
    x, y = (row.child for row in tree.describe().rows)
    assert [1, 2, 3, 4] == [crash.generation for crash in x.crashes]
    assert "crashed while it stopped" in y.crashes[0].traceback
