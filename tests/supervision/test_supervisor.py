"""The real supervisor on a clock and a dispatcher that move only when told to."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import (
    BRUTAL_KILL,
    Actor,
    ActorDead,
    ActorPath,
    Backoff,
    ChildAbandoned,
    ChildExited,
    ChildId,
    ChildRestarting,
    ChildSpec,
    ChildStartFailed,
    ChildStopped,
    Crashed,
    Generation,
    Intensity,
    Killed,
    MessageFenced,
    Restart,
    Shutdown,
    Started,
    SupervisorGaveUp,
    Unresponsive,
)
from treewarden.supervision_trees import (
    AlreadyPresent,
    AlreadyStarted,
    InvalidSupervisor,
    NotFound,
    StartFailed,
    StillRestarting,
    StillRunning,
    Supervisor,
)
from treewarden.supervision_trees._effects import DeleteChild, RestartChild, StartChild, TerminateChild

if TYPE_CHECKING:
    from .conftest import Tree

X = ChildId("x")


class Abstract(Actor, ABC):
    """A class that nobody can make an object of."""

    @abstractmethod
    def work(self) -> None: ...


@pytest.fixture
def child(scripted: type[Actor]) -> Any:
    """Describe a scripted child: its id, the words of its starts, and any option of `ChildSpec.of`."""

    def describe(name: str, *words: str, **options: Any) -> ChildSpec:
        return ChildSpec.of(scripted, list(words), id=name, **options)

    return describe


def test_children_run_at_their_paths_once_the_supervisor_has_started(tree: "Tree", child: Any) -> None:
    """A.6, A.16."""
    tree.start(child("x"), child("y"))

    assert [Started(ChildId("top"), Generation(1), ready=True)] == tree.notices
    assert ["x", "y"] == [row.child.id for row in tree.describe().rows]
    assert "hello" == tree.ask("hello", of=tree.ref("y"))


def test_a_look_at_one_child_shows_that_one_alone_and_nobody_where_there_is_none(tree: "Tree", child: Any) -> None:
    tree.start(child("x"), child("y"))

    [row] = tree.describe(only="y").rows

    assert ("y", tree.ref("y")) == (row.child.id, row.ref)
    assert () == tree.describe(only="z").rows


def test_a_supervisor_has_not_started_while_a_child_has_not_but_answers(tree: "Tree", child: Any) -> None:
    """A.6: a state machine, not a blocked thread."""
    tree.start(child("x", "hang"), child("y"))
    assert [] == tree.notices
    assert {"x": "starting", "y": "stopped"} == tree.states()
    assert tree.whereis("x") is None

    row = tree.describe().rows[0]
    assert row.ref is not None
    row.ref.tell("started")
    tree.settle()

    assert {"x": "running", "y": "running"} == tree.states()
    assert 1 == len(tree.notices)


def test_a_crashed_child_is_another_incarnation_at_the_same_path(tree: "Tree", child: Any) -> None:
    """A.15, A.16: the asker gets the error, the path the successor, the old ref is dead."""
    tree.start(child("x"), child("y"))
    old, other = tree.ref("x"), tree.ref("y")
    future = old.ask("crash", block=False)
    tree.settle()

    with pytest.raises(RuntimeError, match="crashed as told"):
        future.get(timeout=0)
    assert not old.is_alive()
    assert Generation(2) == tree.ref("x").generation
    assert other is tree.ref("y")
    with pytest.raises(ActorDead):
        old.tell("hello")


def test_a_path_never_leads_to_a_dead_incarnation_nor_to_one_that_has_not_started(tree: "Tree", child: Any) -> None:
    """A.16: not even between the end and its notice."""
    tree.start(child("x", "run", "hang"))
    old = tree.ref("x")
    seen = list[object]()
    old.incarnation().stopped.when_done(lambda: seen.append(tree.whereis("x")))
    tree.tell("x", "crash")

    assert [None] == seen
    assert tree.whereis("x") is None
    row = tree.describe().rows[0]
    assert row.ref is not None
    row.ref.tell("started")
    tree.settle()
    assert row.ref is tree.ref("x")


def test_a_child_that_crashes_at_its_next_starts_too_is_charged_for_each(tree: "Tree", child: Any) -> None:
    """A.3."""
    tree.start(child("x", "run", "crash", "crash", "run"))
    tree.tell("x", "crash")

    assert Generation(4) == tree.ref("x").generation
    assert 2 == len(tree.sink.of(ChildStartFailed))
    assert [1, 2, 3] == [event.used for event in tree.sink.of(ChildRestarting)]


def test_a_first_start_that_fails_undoes_the_others_and_carries_its_traceback(tree: "Tree", child: Any) -> None:
    """A.6, B 1.6."""
    tree.start(child("x"), child("y", "crash"), child("z"))

    assert tree.exit is not None
    assert isinstance(tree.exit.reason, Crashed)
    failed = tree.exit.reason.error
    assert isinstance(failed, StartFailed)
    assert isinstance(failed.reason, Crashed)
    assert "crashed at its start" in failed.reason.traceback
    assert ("/top/x", "/top") == tree.exit.report.stopped
    assert [None, None, None] == [tree.whereis(name) for name in "xyz"]
    assert ["/top/x"] == [event.path for event in tree.sink.of(ChildStopped)]


def test_a_class_that_cannot_be_instantiated_is_a_failed_start(tree: "Tree", child: Any) -> None:
    """A.6, B 1.1: an exception of the start function is an error of the child, not of its supervisor."""
    tree.start(child("x"))
    future = tree.request(StartChild(ChildSpec.of(Abstract, id="y")))
    tree.settle()

    with pytest.raises(StartFailed, match="abstract"):
        future.get(timeout=0)
    assert {"x": "running"} == tree.states()


def test_children_that_cannot_be_right_are_a_failed_start_of_the_supervisor(tree: "Tree", child: Any) -> None:
    """B 1.1: before any child starts."""
    tree.start(child("x"), child("x"))

    assert tree.exit is not None
    assert isinstance(tree.exit.reason, Crashed)
    assert isinstance(tree.exit.reason.error, InvalidSupervisor)
    assert [] == tree.sink.events


def test_a_start_that_hangs_is_abandoned_and_its_latecomer_refused(tree: "Tree", child: Any) -> None:
    """A.6, A.15."""
    tree.start(child("x", "run", "hang", "run", start_timeout=3.0))
    tree.tell("x", "crash")
    hanging = tree.describe().rows[0].ref
    assert hanging is not None
    tree.advance(3.0)

    assert Unresponsive(3.0) == hanging.wait_stopped(timeout=0)
    assert Generation(3) == tree.ref("x").generation
    assert [(Generation(2), 3.0)] == [(event.generation, event.after) for event in tree.sink.of(ChildAbandoned)]
    with pytest.raises(ActorDead):
        hanging.tell("started")
    tree.settle()
    assert Generation(3) == tree.ref("x").generation
    assert [] == tree.sink.of(MessageFenced)


def test_a_child_that_ignores_the_request_to_stop_is_abandoned_and_the_rest_stops(tree: "Tree", child: Any) -> None:
    """A.7: in its own time; the report names it, its path is free."""
    top = tree.start(child("x"), child("y", "stubborn", shutdown=2.0), child("z"))
    stubborn = tree.ref("y")
    top.request_stop(Shutdown("operator"))
    tree.settle()
    assert {"x": "running", "y": "stopping", "z": "stopped"} == tree.states()
    tree.advance(2.0)

    assert tree.exit is not None
    assert Shutdown("operator") == tree.exit.reason
    assert ("/top/z", "/top/x", "/top") == tree.exit.report.stopped
    assert ("/top/y",) == tree.exit.report.abandoned
    assert Unresponsive(2.0) == stubborn.wait_stopped(timeout=0)
    assert tree.whereis("y") is None
    assert 0 == tree.clock.pending()


def test_a_brutal_kill_does_not_ask(tree: "Tree", child: Any) -> None:
    """A.7: an idle child counts as stopped."""
    tree.start(child("x", "stubborn", shutdown=BRUTAL_KILL))
    ref = tree.ref("x")
    tree.ask(TerminateChild(X))

    assert Killed() == ref.wait_stopped(timeout=0)
    assert [Killed()] == [event.reason for event in tree.sink.of(ChildStopped)]


def test_a_child_that_crashes_while_it_stops_has_stopped(tree: "Tree", child: Any) -> None:
    """B 1.6: with its true reason, and without a restart."""
    tree.start(child("x", "crash_on_stop"))
    tree.ask(TerminateChild(X))

    assert {"x": "stopped"} == tree.states()
    assert [Crashed] == [type(event.reason) for event in tree.sink.of(ChildStopped)]


def test_a_stop_during_a_long_delay_returns_at_once(tree: "Tree", child: Any) -> None:
    """A.5: no time passes here."""
    top = tree.start(child("x", backoff=Backoff(initial=60.0, max=60.0)))
    tree.tell("x", "crash")
    assert {"x": "restarting"} == tree.states()
    top.request_stop()
    tree.settle()

    assert tree.exit is not None
    assert 0 == tree.clock.pending()


def test_a_delay_is_waited_out_on_the_clock(tree: "Tree", child: Any) -> None:
    """A.5: between the two extremes the jitter allows."""
    tree.start(child("x", backoff=Backoff(initial=8.0, jitter=0.25)))
    tree.tell("x", "crash")
    retry_at = tree.describe().rows[0].child.retry_at
    assert retry_at is not None
    assert 6.0 <= retry_at - tree.clock.monotonic() <= 10.0
    tree.advance(6.0)
    assert tree.whereis("x") is None
    tree.advance(4.0)
    assert Generation(2) == tree.ref("x").generation


def test_a_child_waits_until_what_it_needs_is_ready(tree: "Tree", child: Any) -> None:
    """A.6."""
    tree.start(child("x", "unready"), child("y", needs=("x",)))
    assert 1 == len(tree.notices)
    assert {"x": "running", "y": "waiting"} == tree.states()
    tree.tell("x", "ready")

    assert {"x": "running", "y": "running"} == tree.states()


# Calls


def test_calls_answer_with_refs_or_nothing(tree: "Tree", child: Any) -> None:
    """A.10: the ref resolves at its path when the caller hears of it."""
    tree.start(child("x"))
    future = tree.request(StartChild(child("y")))
    seen = list[object]()
    future.when_done(lambda: seen.append(tree.whereis("y")))
    tree.settle()

    assert [future.get(timeout=0)] == seen
    assert seen[0] is tree.ref("y")
    assert tree.ask(StartChild(child("z", "decline"))) is None
    assert tree.ask(TerminateChild(X)) is None
    assert tree.ask(TerminateChild(X)) is None
    restarted = tree.ask(RestartChild(X))
    assert restarted is tree.ref("x")
    assert Generation(2) == restarted.generation
    tree.ask(TerminateChild(X))
    assert tree.ask(DeleteChild(X)) is None
    assert {"y": "running", "z": "stopped"} == tree.states()


def test_calls_that_conflict_are_refused_with_their_error_and_change_nothing(tree: "Tree", child: Any) -> None:
    """A.10."""
    tree.start(
        child("up"), child("rest"), child("delayed", backoff=Backoff(initial=60.0, max=60.0)), child("slow", "stubborn")
    )
    tree.ask(TerminateChild(ChildId("rest")))
    tree.tell("delayed", "crash")
    slow = tree.request(TerminateChild(ChildId("slow")))
    tree.settle()
    before = tree.states()

    with pytest.raises(AlreadyStarted) as running:
        tree.ask(StartChild(child("up")))
    assert running.value.ref is tree.ref("up")
    for name in ("rest", "delayed", "slow"):
        with pytest.raises(AlreadyPresent):
            tree.ask(StartChild(child(name)))
    for call in (RestartChild, DeleteChild):
        with pytest.raises(StillRunning, match="/top/up is running, expected it to be stopped: stop it first"):
            tree.ask(call(ChildId("up")))
        with pytest.raises(StillRunning):
            tree.ask(call(ChildId("slow")))
        with pytest.raises(StillRestarting):
            tree.ask(call(ChildId("delayed")))
        with pytest.raises(NotFound):
            tree.ask(call(ChildId("nobody")))
    assert before == tree.states()
    assert not slow.is_set()
    tree.advance(5.0)
    assert slow.get(timeout=0) is None


def test_a_start_by_hand_that_fails_is_told_with_its_reason_and_its_id_is_free(tree: "Tree", child: Any) -> None:
    """A.10, A.16, "failed start left name taken"."""
    tree.start()
    with pytest.raises(StartFailed) as caught:
        tree.ask(StartChild(child("x", "crash")))
    assert isinstance(caught.value.reason, Crashed)
    assert isinstance(caught.value.reason.error, RuntimeError)
    assert {} == tree.states()

    assert tree.ask(StartChild(child("x"))) is tree.ref("x")


def test_callers_of_a_killed_supervisor_hear_that_it_is_dead(tree: "Tree", child: Any) -> None:
    """A.10 `ActorDead`, "restarted actor not re-registered, all asks time out"."""
    top = tree.start(child("x", "stubborn"))
    waiting = tree.request(TerminateChild(X))
    tree.settle()
    top.kill()
    tree.settle()

    with pytest.raises(ActorDead):
        waiting.get(timeout=0)
    with pytest.raises(ActorDead):
        tree.ask(TerminateChild(X))


# Supervisors that end


def test_a_killed_supervisor_takes_its_children_with_it(tree: "Tree", child: Any) -> None:
    """B 1.6: nested ones too; no path leads anywhere afterwards."""
    top = tree.start(child("x"), ChildSpec.of(Supervisor, children=[child("deep")], id="sub"))
    refs = [tree.ref(name) for name in ("x", "sub", "sub/deep")]
    top.kill()
    tree.settle()

    assert [Killed()] * 3 == [ref.wait_stopped(timeout=0) for ref in refs]
    assert [None] * 3 == [tree.whereis(name) for name in ("x", "sub", "sub/deep")]
    assert [] == tree.sink.of(ChildRestarting)


def test_a_defect_in_the_supervisors_own_code_takes_its_children_with_it(
    tree: "Tree", child: Any, broken: type[Supervisor]
) -> None:
    """A.11, B 1.6: nothing runs without somebody to watch it."""
    tree.start(child("x"), child("y"), kind=broken)
    refs = [tree.ref("x"), tree.ref("y")]
    future = tree.request("break")
    tree.settle()

    with pytest.raises(ZeroDivisionError):
        future.get(timeout=0)
    assert [Killed()] * 2 == [ref.wait_stopped(timeout=0) for ref in refs]
    assert tree.exit is not None
    assert isinstance(tree.exit.reason, Crashed)


def test_a_killed_sub_supervisor_is_restarted_with_its_static_children(tree: "Tree", child: Any) -> None:
    """B 1.8: those added by a call are lost."""
    tree.start(ChildSpec.of(Supervisor, children=[child("x")], id="sub"))
    sub = tree.ref("sub")
    tree.ask(StartChild(child("added")), of=sub)
    old = tree.ref("sub/x")
    sub.kill()
    tree.settle()

    assert sub is not tree.ref("sub")
    assert old is not tree.ref("sub/x")
    assert {"x": "running"} == tree.states(tree.ref("sub"))
    assert tree.whereis("sub/added") is None


@pytest.mark.parametrize(
    ("restart", "expected", "consequence"),
    [
        (Restart.PERMANENT, {"sub": "running", "y": "running"}, "/top restarts it"),
        (Restart.TRANSIENT, {"sub": "stopped", "y": "running"}, "/top does not restart it"),
        (Restart.TEMPORARY, {"y": "running"}, "/top does not restart it"),
    ],
    ids=lambda value: value.value if isinstance(value, Restart) else "",
)
def test_giving_up_escalates_by_restart_type(
    tree: "Tree", child: Any, restart: Restart, expected: dict[str, str], consequence: str
) -> None:
    """A.4, B 1.8: the reason is `Shutdown("intensity")`, so the parent's view depends on the restart type."""
    sub = ChildSpec.of(Supervisor, children=[child("x")], id="sub", intensity=Intensity(1, within=5.0), restart=restart)
    tree.start(sub, child("y"))
    tree.tell("sub/x", "crash")
    tree.tell("sub/x", "crash")

    assert expected == tree.states()
    [gave_up] = tree.sink.of(SupervisorGaveUp)
    assert (ActorPath("/top/sub"), X, consequence) == (gave_up.path, gave_up.child, gave_up.consequence)
    assert Shutdown("intensity") in [event.reason for event in tree.sink.of(ChildExited)]
    assert (1 if restart is Restart.PERMANENT else 0) == tree.describe().window.used(tree.clock.monotonic())


def test_giving_up_goes_up_to_the_root_when_nothing_helps(tree: "Tree", child: Any) -> None:
    """A.4, B 1.5: restarts are at most the product of the limits; nothing is left running."""
    sub = ChildSpec.of(
        Supervisor, children=[child("x", *(["run"] + ["crash"] * 30))], id="sub", intensity=Intensity(2, within=5.0)
    )
    tree.start(child("y"), sub, intensity=Intensity(1, within=5.0))
    tree.tell("sub/x", "crash")

    assert tree.exit is not None
    assert Shutdown("intensity") == tree.exit.reason
    assert "/top" == tree.sink.of(SupervisorGaveUp)[-1].path
    assert "nothing above it restarts it" == tree.sink.of(SupervisorGaveUp)[-1].consequence
    assert tree.whereis("y") is None
    assert ("/top/y", "/top") == tree.exit.report.stopped
    assert 0 == tree.clock.pending()


def test_a_sub_supervisor_whose_start_fails_is_a_failed_start(tree: "Tree", child: Any) -> None:
    """A.6: at its restart it is retried and charged like any other."""
    sub = ChildSpec.of(Supervisor, children=[child("x", "run", "crash", "run")], id="sub", restart=Restart.TRANSIENT)
    tree.start(sub)
    tree.ref("sub").kill()
    tree.settle()

    assert {"sub": "running"} == tree.states()
    assert Generation(3) == tree.ref("sub").generation
    assert "/top/sub" in [event.path for event in tree.sink.of(ChildStartFailed)]


def test_the_report_of_a_stop_names_everybody_below(tree: "Tree", child: Any) -> None:
    """A.7: nested supervisors included, in the order they ended."""
    inner = ChildSpec.of(Supervisor, children=[child("p"), child("q", "stubborn", shutdown=1.0)], id="sub")
    top = tree.start(child("x"), inner)
    top.request_stop()
    tree.settle()
    tree.advance(1.0)

    assert tree.exit is not None
    assert ("/top/sub/p", "/top/sub", "/top/x", "/top") == tree.exit.report.stopped
    assert ("/top/sub/q",) == tree.exit.report.abandoned
    assert () == tree.exit.report.orphaned_pids


def test_a_sub_supervisor_past_its_time_is_abandoned_and_its_children_are_killed(tree: "Tree", child: Any) -> None:
    """A.7: a finite shutdown for a supervisor that is longer in stopping."""
    inner = ChildSpec.of(Supervisor, children=[child("q", "stubborn", shutdown=60.0)], id="sub", shutdown=1.0)
    top = tree.start(inner)
    deep = tree.ref("sub/q")
    top.request_stop()
    tree.settle()
    tree.advance(1.0)

    assert tree.exit is not None
    assert ("/top/sub",) == tree.exit.report.abandoned
    assert Killed() == deep.wait_stopped(timeout=0)
    assert tree.whereis("sub/q") is None


def test_an_unknown_message_to_a_supervisor_is_dropped_with_a_warning(tree: "Tree", child: Any) -> None:
    """B 1.10: logged and dropped."""
    top = tree.start(child("x"))
    top.tell("what?")
    tree.settle()

    assert {"x": "running"} == tree.states()
    assert 1 == len(tree.warned)


def test_a_killed_supervisor_leaves_no_timer_behind(tree: "Tree", child: Any) -> None:
    """A.5: a delay of ten minutes must not outlive who waits for it."""
    top = tree.start(child("x", backoff=Backoff(initial=600.0, max=600.0)))
    tree.tell("x", "crash")
    assert 1 == tree.clock.pending()

    top.kill()
    tree.settle()

    assert 0 == tree.clock.pending()
