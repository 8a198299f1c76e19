"""Children that come and go: DynamicSupervisor (supervision.md A.1, B 4)."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.actors import (
    BRUTAL_KILL,
    Actor,
    ActorRef,
    Backoff,
    ChildAbandoned,
    ChildFailed,
    ChildId,
    ChildRestarting,
    ChildSpec,
    ChildStopped,
    Crashed,
    ExitReason,
    Generation,
    Intensity,
    InvalidChildSpec,
    Killed,
    Normal,
    Restart,
    Shutdown,
    is_child_id,
)
from treewarden.supervision_trees import (
    AlreadyStarted,
    AutoShutdown,
    ChildState,
    DynamicSupervisor,
    InvalidSupervisor,
    NotApplicable,
    NotFound,
    RestartActor,
    Runtime,
    StartFailed,
    StillRestarting,
    StillRunning,
    StopActor,
    Strategy,
    SupervisionError,
    Supervisor,
    TooManyChildren,
)
from treewarden.supervision_trees._dynamic import _Numbering  # pyright: ignore[reportPrivateUsage]
from treewarden.supervision_trees._effects import (
    Change,
    DeleteChild,
    Outcome,
    Refused,
    RestartChild,
    RunsAlready,
    StartChild,
    TerminateChild,
)
from treewarden.supervision_trees._roster import Membership

if TYPE_CHECKING:
    from .conftest import Bench, Tree

    MakeBench = Callable[..., Bench]
    Wait = Callable[[Callable[[], bool], str], None]

X, Y = ChildId("x"), ChildId("y")
SLOWLY = Backoff(initial=2.0, jitter=0.0)
OFTEN = Intensity(100, within=5.0)


def a(name: str, **options: Any) -> ChildSpec:
    return ChildSpec.of(Actor, id=name, **options)


@pytest.fixture
def empty(bench: "MakeBench") -> "Callable[..., Bench]":
    """Make a dynamic supervisor's machine that has started."""

    def make(**settings: Any) -> "Bench":
        return bench(membership=Membership.DYNAMIC, **settings).boot()

    return make


def add(world: "Bench", spec: ChildSpec) -> None:
    call = world.call(StartChild(spec))
    world.started(spec.id)
    assert world.answers[call] == spec.id


def refusal(outcome: Outcome) -> Exception:
    assert isinstance(outcome, Refused), outcome
    return outcome.error


# What is kept and what is forgotten


def test_it_starts_without_children(empty: "MakeBench") -> None:
    """A.1."""
    world = empty()

    assert world.has_started()
    assert {} == world.machine.children


@pytest.mark.parametrize(
    ("restart", "reason", "expected"),
    [
        (Restart.PERMANENT, Normal(), ChildState.RESTARTING),
        (Restart.PERMANENT, Shutdown("it"), ChildState.RESTARTING),
        (Restart.TRANSIENT, Killed(), ChildState.RESTARTING),
        (Restart.TRANSIENT, Normal(), None),
        (Restart.TRANSIENT, Shutdown("it"), None),
        (Restart.TEMPORARY, Normal(), None),
        (Restart.TEMPORARY, Crashed(RuntimeError("it")), None),
    ],
)
def test_a_child_is_restarted_or_forgotten_and_nothing_between(
    empty: "MakeBench", restart: Restart, reason: ExitReason, expected: ChildState | None
) -> None:
    """A.1 and B 1.3: what is not restarted is dropped."""
    world = empty()
    add(world, a("x", restart=restart))
    world.ends("x", reason)

    assert world.state("x") is expected


def test_a_child_whose_start_fails_is_forgotten_and_costs_nothing(empty: "MakeBench") -> None:
    """B 4: the caller hears the reason."""
    world = empty(intensity=Intensity(0, within=5.0))
    call = world.call(StartChild(a("x")))
    world.crashes("x")

    assert isinstance(refusal(world.answers[call]), StartFailed)
    assert world.state("x") is None
    assert [] == world.of(ChildRestarting)
    assert world.ended is None


@pytest.mark.parametrize("restart", Restart)
def test_a_child_that_declines_is_answered_none_and_not_kept(empty: "MakeBench", restart: Restart) -> None:
    """A.6 and B 4: `:ignore`; a static supervisor would keep the spec."""
    world = empty()
    call = world.call(StartChild(a("x", restart=restart)))
    world.declines("x")

    assert world.answers[call] is None
    assert world.state("x") is None


def test_a_child_that_declines_its_restart_is_dropped(empty: "MakeBench") -> None:
    """B 1.7."""
    world = empty()
    add(world, a("x"))
    world.crashes("x")
    world.declines("x")

    assert world.state("x") is None
    assert {} == world.timers


def test_a_terminated_child_is_forgotten_and_then_not_found(empty: "MakeBench") -> None:
    """A.1: a dead child is `NotFound`; in OTP's simple_one_for_one that would be fine."""
    world = empty()
    add(world, a("x"))
    call = world.call(TerminateChild(X))
    world.ends("x")

    assert world.answers[call] is None
    assert {} == world.machine.children
    for about in (TerminateChild(X), RestartChild(X), DeleteChild(X), TerminateChild(ChildId("nobody"))):
        assert isinstance(refusal(world.ask(about)), NotFound)


def test_terminating_a_restarting_child_cancels_its_retry(empty: "MakeBench") -> None:
    """A.1."""
    world = empty()
    add(world, a("x", backoff=SLOWLY))
    world.crashes("x")
    assert world.state("x") is ChildState.RESTARTING

    assert world.ask(TerminateChild(X)) is None
    assert world.state("x") is None
    world.advance(60.0)
    assert [(X, Generation(1))] == world.starts


def test_terminating_a_child_in_its_restart_attempt_stops_it(empty: "MakeBench") -> None:
    """A.6: the supervisor is not blocked by the attempt."""
    world = empty()
    add(world, a("x"))
    world.crashes("x")
    call = world.call(TerminateChild(X))
    assert call in world.unanswered
    world.ends("x")

    assert world.answers[call] is None
    assert world.state("x") is None


def test_an_id_is_free_again_once_its_child_is_forgotten(empty: "MakeBench") -> None:
    """A.15: the new child's generations go on, so nothing late fits it."""
    world = empty()
    add(world, a("x", restart=Restart.TEMPORARY))
    assert RunsAlready(X) == world.ask(StartChild(a("x")))
    world.crashes("x")
    add(world, a("x"))

    assert Generation(2) == world.live[X]


# max_children


def test_max_children_counts_those_that_run_and_those_that_restart(empty: "MakeBench") -> None:
    """A.1: a child in its backoff keeps its place."""
    world = empty(max_children=2, intensity=OFTEN)
    add(world, a("x"))
    add(world, a("y", backoff=SLOWLY))
    world.crashes("y")
    refused = refusal(world.ask(StartChild(a("z"))))

    assert isinstance(refused, TooManyChildren)
    assert 2 == refused.limit
    world.ask(TerminateChild(Y))
    add(world, a("z"))


def test_restarting_on_init_children_counted_in_max_children(empty: "MakeBench") -> None:
    """B 4, Elixir's test of that name: also between attempts that fail."""
    world = empty(max_children=1, intensity=OFTEN)
    add(world, a("x", backoff=SLOWLY))
    world.crashes("x")
    world.advance(2.0)
    assert X in world.live
    assert isinstance(refusal(world.ask(StartChild(a("y")))), TooManyChildren)
    world.crashes("x")

    assert X not in world.live
    assert isinstance(refusal(world.ask(StartChild(a("y")))), TooManyChildren)


def test_max_children_counts_a_child_in_its_first_start(empty: "MakeBench") -> None:
    """Unlike Elixir's it answers meanwhile, so the place is taken from the call on."""
    world = empty(max_children=1)
    world.call(StartChild(a("x")))

    assert isinstance(refusal(world.ask(StartChild(a("y")))), TooManyChildren)
    world.declines("x")
    add(world, a("y"))


def test_max_children_zero_allows_none(empty: "MakeBench") -> None:
    """Elixir takes any whole number from 0 on."""
    assert isinstance(refusal(empty(max_children=0).ask(StartChild(a("x")))), TooManyChildren)


# Giving up


def test_child_triggers_maximum_intensity_when_trying_again(empty: "MakeBench") -> None:
    """B 4, Elixir's test of that name: each failed attempt is charged."""
    world = empty(intensity=Intensity(2, within=5.0))
    add(world, a("x"))
    add(world, a("y"))
    world.crashes("x")
    world.crashes("x")
    assert world.ended is None
    world.crashes("x")

    assert {Y: Shutdown("its supervisor stops")} == world.asked_to_stop
    world.ends("y")
    assert Shutdown("intensity") == world.ended


def test_one_childs_restart_concerns_no_other(empty: "MakeBench") -> None:
    """A.1: one_for_one, always."""
    world = empty()
    add(world, a("x"))
    add(world, a("y"))
    world.crashes("x")

    assert [] == world.stops
    assert Generation(1) == world.live[Y]


def test_a_child_with_a_limit_of_its_own_is_parked_and_found_until_somebody_decides(empty: "MakeBench") -> None:
    """A.5: it does not count, and its siblings go on."""
    world = empty(max_children=1)
    add(world, a("x", intensity=Intensity(0, within=5.0)))
    world.crashes("x")
    assert world.state("x") is ChildState.FAILED
    assert 1 == len(world.of(ChildFailed))

    add(world, a("y"))
    assert isinstance(refusal(world.ask(RestartChild(X))), TooManyChildren)
    world.call(TerminateChild(Y))
    world.ends("y")
    revived = world.call(RestartChild(X))
    world.started("x")
    assert X == world.answers[revived]
    world.crashes("x")
    assert world.ask(TerminateChild(X)) is None
    assert world.state("x") is None


def test_a_parked_child_that_does_not_start_by_hand_stays_parked(empty: "MakeBench") -> None:
    """A.5: a failed attempt to revive it must not lose it."""
    world = empty()
    add(world, a("x", intensity=Intensity(0, within=5.0)))
    world.crashes("x")
    call = world.call(RestartChild(X))
    world.crashes("x")

    assert isinstance(refusal(world.answers[call]), StartFailed)
    assert world.state("x") is ChildState.FAILED


# Stopping


def test_all_children_are_told_to_stop_at_once(empty: "MakeBench") -> None:
    """B 1.6: in parallel."""
    world = empty()
    for name in ("x", "y", "z"):
        add(world, a(name))
    world.shut_down()

    assert {"x", "y", "z"} == set(world.asked_to_stop)
    for name in ("y", "x"):
        world.ends(name)
        assert world.ended is None
    world.ends("z")
    assert Normal() == world.ended
    assert {"/top/x", "/top/y", "/top/z"} == set(world.machine.report.stopped)


def test_each_child_has_its_own_time_to_stop(empty: "MakeBench") -> None:
    """B 4: the times run side by side, not one after the other."""
    world = empty()
    add(world, a("x", shutdown=1.0))
    add(world, a("y", shutdown=3.0))
    add(world, a("z", shutdown=2.0))
    world.shut_down()
    world.advance(1.0)
    assert ["/top/x"] == [event.path for event in world.of(ChildAbandoned)]
    world.advance(1.0)
    assert ["/top/x", "/top/z"] == [event.path for event in world.of(ChildAbandoned)]
    world.advance(0.75)
    assert world.ended is None
    world.advance(0.25)

    assert Normal() == world.ended
    assert {"/top/x", "/top/y", "/top/z"} == set(world.machine.report.abandoned)


def test_terminates_with_mixed_children(empty: "MakeBench") -> None:
    """B 4, Elixir's test of that name: whatever each is doing, nothing is left."""
    world = empty(intensity=OFTEN)
    for spec in (
        a("runs"),
        a("brutal", shutdown=BRUTAL_KILL),
        a("delayed", backoff=SLOWLY),
        a("restarts"),
        a("stops"),
        a("parked", intensity=Intensity(0, within=5.0)),
    ):
        add(world, spec)
    starts = world.call(StartChild(a("starts")))
    world.call(StartChild(a("waits", needs=("starts",))))
    for name in ("delayed", "restarts", "parked"):
        world.crashes(name)
    terminated = world.call(TerminateChild(ChildId("stops")))
    world.shut_down()

    assert {"runs", "restarts", "stops", "starts"} == set(world.live)
    assert world.live.keys() == world.asked_to_stop.keys()
    world.stop_all()
    assert Normal() == world.ended
    assert world.answers[terminated] is None
    assert isinstance(refusal(world.answers[starts]), StartFailed)
    assert Killed() in [event.reason for event in world.of(ChildStopped)]


def test_nothing_is_started_once_it_ends(empty: "MakeBench") -> None:
    """B 1.6."""
    world = empty()
    add(world, a("x"))
    world.shut_down()

    assert isinstance(refusal(world.ask(StartChild(a("y")))), StartFailed)
    world.stop_all()


# Calls that make no sense


def test_a_significant_child_is_refused(empty: "MakeBench") -> None:
    """A.1 and B 4: there is no automatic shutdown for it to matter to."""
    refused = refusal(empty().ask(StartChild(a("x", restart=Restart.TEMPORARY, significant=True))))

    assert isinstance(refused, InvalidChildSpec)
    assert "children.x.significant" == refused.field


@pytest.mark.parametrize("state", ["running", "restarting", "failed"])
def test_delete_child_is_for_nobody_here(empty: "MakeBench", state: str) -> None:
    """Nothing is kept that could be deleted; `terminate_child` forgets."""
    world = empty()
    add(world, a("x", backoff=SLOWLY, intensity=Intensity(0 if state == "failed" else 5, within=5.0)))
    if state != "running":
        world.crashes("x")
    assert state == world.child("x").state.value

    assert isinstance(refusal(world.ask(DeleteChild(X))), NotApplicable)


def test_restart_child_is_for_parked_children_only(empty: "MakeBench") -> None:
    """Everybody else runs, or will."""
    world = empty()
    add(world, a("x", backoff=SLOWLY))
    assert isinstance(refusal(world.ask(RestartChild(X))), StillRunning)
    world.crashes("x")

    assert isinstance(refusal(world.ask(RestartChild(X))), StillRestarting)


def test_only_its_intensity_can_be_changed(empty: "MakeBench") -> None:
    """A.10."""
    world = empty()
    add(world, a("x"))
    for change in (
        Change(strategy=Strategy.ONE_FOR_ALL),
        Change(auto_shutdown=AutoShutdown.ANY_SIGNIFICANT),
        Change(children=(a("x"),)),
    ):
        assert isinstance(refusal(world.ask(change)), NotApplicable)

    assert world.ask(Change(intensity=Intensity(0, within=5.0))) is None
    world.crashes("x")
    assert Shutdown("intensity") == world.ended


def test_a_change_of_intensity_minds_no_need_that_was_forgotten_since(empty: "MakeBench") -> None:
    """A.10: what the change does not touch cannot refuse it."""
    world = empty()
    add(world, a("x", restart=Restart.TEMPORARY))
    add(world, a("y", needs=("x",)))
    world.ends("x")

    assert world.ask(Change(intensity=OFTEN)) is None


# Old refs, by generation


def test_the_ref_of_a_restarting_child_addresses_it_until_the_next_one_runs(empty: "MakeBench") -> None:
    """A.1 and B 4: the old pid addresses a restarting child."""
    world = empty(intensity=OFTEN)
    add(world, a("x", backoff=SLOWLY))
    first = Generation(1)
    world.crashes("x")
    world.advance(2.0)
    world.crashes("x")  # the attempt: generation 2 never ran
    assert world.state("x") is ChildState.RESTARTING
    assert isinstance(refusal(world.ask(RestartChild(X, first))), StillRestarting)
    world.advance(4.0)
    world.started("x")

    refused = refusal(world.ask(TerminateChild(X, first)))
    assert isinstance(refused, NotFound)
    assert first == refused.generation
    assert "of generation 1" in str(refused)
    world.crashes("x")
    assert isinstance(refusal(world.ask(TerminateChild(X, first))), NotFound)
    assert world.ask(TerminateChild(X, Generation(3))) is None
    assert world.state("x") is None


def test_a_ref_never_addresses_a_later_child_of_the_same_id(empty: "MakeBench") -> None:
    """A.15: not even while that one starts."""
    world = empty()
    add(world, a("x", restart=Restart.TEMPORARY))
    world.crashes("x")
    world.call(StartChild(a("x")))

    assert isinstance(refusal(world.ask(TerminateChild(X, Generation(1)))), NotFound)
    world.started("x")
    assert isinstance(refusal(world.ask(TerminateChild(X, Generation(1)))), NotFound)


# The actor


class Worker(Actor):
    """Runs."""


class Elsewhere(Actor):
    """Another class, another name."""


def ids(tree: "Tree") -> list[str]:
    return list(tree.states())


@pytest.mark.parametrize("found", [-1, 1.5, True, "ten"])
def test_max_children_must_be_a_count(tree: "Tree", found: object) -> None:
    """The error names the field, what was found and what would be right."""
    tree.start(kind=DynamicSupervisor, max_children=found)

    assert tree.exit is not None
    assert isinstance(tree.exit.reason, Crashed)
    error = tree.exit.reason.error
    assert isinstance(error, InvalidSupervisor)
    assert ("max_children", found) == (error.field, error.found)


def test_a_static_supervisor_has_no_max_children(tree: "Tree") -> None:
    """It belongs to the dynamic one alone."""
    tree.start(max_children=3)

    assert tree.exit is not None
    assert isinstance(tree.exit.reason, Crashed)
    assert isinstance(tree.exit.reason.error, TypeError)


@given(
    given_ids=st.lists(
        st.from_regex(r"[a-c][a-c-]{0,2}(-[0-9]{1,20})?", fullmatch=True).filter(is_child_id), max_size=6
    )
)
def test_a_number_is_above_every_one_that_was_given_by_hand(given_ids: list[str]) -> None:
    """The rule as a pattern: a word, a dash, a number without leading zeros, at most 18 digits of it."""
    numbering = _Numbering()
    for name in given_ids:
        spec = ChildSpec.of(Worker, id=name)
        assert numbering.named(spec, {}) is spec

    found = [re.fullmatch(r"(.+)-([1-9][0-9]{0,17})", name) for name in given_ids]
    for word in ("a", "b", "a-b"):
        above = max((int(each[2]) for each in found if each is not None and each[1] == word), default=0)
        unnamed = replace(ChildSpec.of(Worker, id=word), id_is_given=False)
        assert f"{word}-{above + 1}" == numbering.named(unnamed, {}).id


def test_a_numbered_child_is_the_one_that_was_described_under_another_name() -> None:
    backoff, intensity = Backoff(initial=0.5), Intensity(1)
    spec = ChildSpec.of(
        Worker, restart=Restart.TRANSIENT, shutdown=1.0, start_timeout=2.0, backoff=backoff, intensity=intensity, x=1
    )

    named = spec.named(ChildId("worker-7"))

    assert replace(spec, id=ChildId("worker-7"), id_is_given=True) == named
    assert (True, "worker", False) == (named.id_is_given, spec.id, spec.id_is_given)


def test_children_without_an_id_of_their_own_are_numbered(tree: "Tree") -> None:
    """A.1: given or generated; the same spec may be started any number of times."""
    tree.start(kind=DynamicSupervisor)
    worker = ChildSpec.of(Worker)
    refs: list[ActorRef[Any]] = [tree.ask(StartChild(spec)) for spec in (worker, worker, ChildSpec.of(Elsewhere))]

    assert ["/top/worker-1", "/top/worker-2", "/top/elsewhere-1"] == [ref.path for ref in refs]
    assert ["worker-1", "worker-2", "elsewhere-1"] == ids(tree)
    assert tree.ref("worker-2") is refs[1]
    assert all(row.child.spec.id_is_given for row in tree.describe().rows)


def test_a_generated_id_is_never_one_that_was_used_before(tree: "Tree") -> None:
    """A.1: whoever still holds the path of an ended child never meets another one there."""
    tree.start(kind=DynamicSupervisor)
    worker = ChildSpec.of(Worker, restart=Restart.TEMPORARY)
    tree.ask(StartChild(worker))
    tree.ask(TerminateChild(ChildId("worker-1")))
    tree.ask(StartChild(ChildSpec.of(Worker, id="worker-3", restart=Restart.TEMPORARY)))
    tree.ask(TerminateChild(ChildId("worker-3")))
    tree.ask(StartChild(worker))

    assert ["worker-4"] == ids(tree)


def test_a_generated_id_stays_an_id_however_long_the_name(tree: "Tree") -> None:
    """CHILD_ID_RULE: 64 characters; cut names that look alike still get ids of their own."""
    tree.start(kind=DynamicSupervisor)
    for length in (62, 64):
        for _ in range(10):
            spec = ChildSpec.of(type("W" * length, (Worker,), {}))
            assert isinstance(tree.ask(StartChild(spec)), ActorRef)

    assert 20 == len(set(ids(tree)))
    assert max(len(name) for name in ids(tree)) == 64


def test_a_given_id_is_used_as_it_is(tree: "Tree") -> None:
    """The second child of that id is refused as anywhere."""
    tree.start(kind=DynamicSupervisor)
    tree.ask(StartChild(ChildSpec.of(Worker, id="worker")))

    with pytest.raises(AlreadyStarted):
        tree.ask(StartChild(ChildSpec.of(Worker, id="worker")))
    assert ["worker"] == ids(tree)


def test_a_child_that_ignores_its_stop_delays_nobody_else(tree: "Tree", scripted: type[Actor]) -> None:
    """A.7 and B 4: on a clock that stands still the others have stopped at once."""
    top = tree.start(kind=DynamicSupervisor)
    tree.ask(StartChild(ChildSpec.of(Worker, id="before")))
    tree.ask(StartChild(ChildSpec.of(scripted, ["stubborn"], id="stubborn", shutdown=2.0)))
    tree.ask(StartChild(ChildSpec.of(Worker, id="after")))
    others = [tree.ref("before"), tree.ref("after")]
    top.request_stop()
    tree.settle()

    assert [False, False] == [ref.is_alive() for ref in others]
    assert tree.exit is None
    tree.advance(1.875)
    assert tree.exit is None
    tree.advance(0.125)
    assert tree.exit is not None
    assert ("/top/stubborn",) == tree.exit.report.abandoned
    assert {"/top/before", "/top/after", "/top"} == set(tree.exit.report.stopped)


def test_children_are_lost_when_the_supervisor_itself_is_restarted(tree: "Tree") -> None:
    """B 1.8: it begins with none; theirs were stopped with it."""
    tree.start(ChildSpec.of(DynamicSupervisor, id="pool"))
    pool = tree.ref("pool")
    child = tree.ask(StartChild(ChildSpec.of(Worker)), of=pool)
    pool.kill()
    tree.settle()

    assert not child.is_alive()
    assert {} == tree.states(tree.ref("pool"))


# Through a runtime: the handle


POOL = ChildSpec.of(DynamicSupervisor, id="pool", max_children=3, intensity=OFTEN)


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    with Runtime.start(ChildSpec.of(Supervisor, children=[POOL], id="dev")) as made:
        yield made


def test_a_child_is_addressed_by_its_ref(runtime: Runtime) -> None:
    """A.1."""
    pool = runtime.supervisor("/dev/pool")
    ref = pool.start_child(ChildSpec.of(Worker))
    assert ref is not None
    assert "worker-1" == pool.get_child_spec(ref).id
    with pytest.raises(StillRunning):
        pool.restart_child(ref)
    pool.terminate_child(ref)

    assert () == pool.which_children()
    for call in (pool.terminate_child, pool.restart_child, pool.get_child_spec):
        with pytest.raises(NotFound):
            call(ref)


def test_a_ref_of_an_ended_incarnation_means_nobody_once_the_next_one_runs(runtime: Runtime, wait_for: "Wait") -> None:
    """B 4."""
    pool = runtime.supervisor("/dev/pool")
    old = pool.start_child(ChildSpec.of(Worker, id="w"))
    assert old is not None
    old.kill()
    wait_for(lambda: runtime.whereis("/dev/pool/w") not in (None, old), "the next one runs")

    with pytest.raises(NotFound, match="of generation 1"):
        pool.terminate_child(old)
    with pytest.raises(NotFound):
        pool.get_child_spec(old)
    new = runtime.whereis("/dev/pool/w")
    assert new is not None
    pool.terminate_child(new)


def test_a_ref_means_nobody_after_its_supervisor_was_restarted(runtime: Runtime, wait_for: "Wait") -> None:
    """A.15: generations begin anew there, and the ref's could fit a child that it never was."""
    pool = runtime.supervisor("/dev/pool")
    old = pool.start_child(ChildSpec.of(Worker, id="w"))
    before = runtime.whereis("/dev/pool")
    assert old is not None
    assert before is not None
    before.kill()
    wait_for(lambda: runtime.whereis("/dev/pool") not in (None, before), "the next supervisor runs")
    new = pool.start_child(ChildSpec.of(Worker, id="w"))
    assert new is not None
    assert old.generation == new.generation

    with pytest.raises(NotFound):
        pool.terminate_child(old)
    assert new.is_alive()


def test_a_ref_of_another_supervisors_child_is_not_found(runtime: Runtime) -> None:
    """B 4."""
    pool = runtime.whereis("/dev/pool")
    assert pool is not None

    with pytest.raises(NotFound):
        runtime.supervisor("/dev/pool").terminate_child(pool)


def test_it_is_seen_and_counted_as_a_supervisor(runtime: Runtime) -> None:
    """A.1: specs counts the children."""
    pool = runtime.supervisor("/dev/pool")
    pool.start_child(ChildSpec.of(Worker))
    pool.start_child(ChildSpec.of(DynamicSupervisor))
    counts = pool.count_children()
    view = runtime.inspect().root.children[0]

    assert (2, 2, 1, 1) == (counts.specs, counts.active, counts.supervisors, counts.workers)
    assert "supervisor" == view.kind
    assert ["/dev/pool/worker-1", "/dev/pool/dynamicsupervisor-1"] == [child.path for child in view.children]
    assert ["actor", "supervisor"] == [child.kind for child in view.children]


def test_an_operator_can_restart_and_stop_its_children(runtime: Runtime) -> None:
    """Stopping one makes its supervisor forget it, so a restart starts it from its spec again."""
    first = runtime.supervisor("/dev/pool").start_child(ChildSpec.of(Worker, id="w"))
    runtime.execute(RestartActor("/dev/pool/w"))
    second = runtime.whereis("/dev/pool/w")

    assert second is not None
    assert second is not first
    runtime.execute(StopActor("/dev/pool/w"))
    assert runtime.whereis("/dev/pool/w") is None
    with pytest.raises(SupervisionError):
        runtime.execute(StopActor("/dev/pool/w"))


def test_too_many_are_refused_at_the_caller(runtime: Runtime) -> None:
    """A.10."""
    pool = runtime.supervisor("/dev/pool")
    for _ in range(3):
        pool.start_child(ChildSpec.of(Worker))

    with pytest.raises(TooManyChildren, match="has 3 children and may have no more"):
        pool.start_child(ChildSpec.of(Worker))
