"""The calls to a real supervisor: each call in each state, and what is refused before anything starts.

supervision.md A.10, B 1.1, B 1.2, B 1.7 and B 1.10.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from treewarden.actors import (
    INFINITY,
    Actor,
    ActorDead,
    ActorPath,
    ActorRef,
    Address,
    Backoff,
    ChildId,
    ChildSpec,
    Crashed,
    Intensity,
    InvalidChildSpec,
    Restart,
)
from treewarden.supervision_trees import (
    AlreadyPresent,
    AlreadyStarted,
    AutoShutdown,
    ChildCounts,
    InvalidSupervisor,
    NotFound,
    StartFailed,
    StillRestarting,
    StillRunning,
    Strategy,
    Supervisor,
    SupervisorHandle,
    SupervisorSettings,
)
from treewarden.supervision_trees._effects import Change, DeleteChild, RestartChild, StartChild, TerminateChild

if TYPE_CHECKING:
    from .conftest import Threads, Tree

X = ChildId("x")
STATES = (
    "running",
    "stopped",
    "declined",
    "starting",
    "restarting, delayed",
    "restarting, in its start",
    "restarting with its group",
    "waiting",
    "stopping",
    "failed",
    "unknown",
)
DELAY = Backoff(initial=60.0, max=60.0, jitter=0.0)


@pytest.fixture
def child(scripted: type[Actor]) -> Callable[..., ChildSpec]:
    """Describe a scripted child."""

    def describe(name: str, *words: str, **options: Any) -> ChildSpec:
        return ChildSpec.of(scripted, list(words), id=name, **options)

    return describe


def children_for(state: str, child: Callable[..., ChildSpec]) -> tuple[list[ChildSpec], Strategy]:
    """What a supervisor is started with, so that its child `x` can be brought to `state`."""
    words = {"declined": ["decline"], "restarting, in its start": ["run", "hang"], "stopping": ["stubborn"]}
    options: dict[str, Any] = {
        "restarting, delayed": {"backoff": DELAY},
        "restarting with its group": {"backoff": DELAY},
        "waiting": {"needs": ("n",)},
        "failed": {"intensity": Intensity(0, within=5.0)},
    }
    needed = child("n", *(["unready"] if state == "waiting" else []))
    children = [needed, child("x", *words.get(state, []), **options.get(state, {}))]
    strategy = Strategy.ONE_FOR_ALL if state == "restarting with its group" else Strategy.ONE_FOR_ONE
    return [needed] if state in ("unknown", "starting") else children, strategy


def shown(state: str) -> str | None:
    """How `state` shows in the table."""
    return {"declined": "stopped", "unknown": None}.get(
        state, state.split(",", maxsplit=1)[0].split(" ", maxsplit=1)[0]
    )


def push(state: str, world: "Tree | Threads", child: Callable[..., ChildSpec]) -> None:
    """Begin what brings `x` from its start to `state`."""
    match state:
        case "stopped" | "stopping":
            world.refs[-1].tell(TerminateChild(X))
        case "starting":
            world.refs[-1].tell(StartChild(child("x", "hang")))
        case "restarting, delayed" | "restarting, in its start" | "failed" | "restarting with its group":
            world.ref("x").tell("crash")
        case _:
            pass


def bring_to(state: str, tree: "Tree", child: Callable[..., ChildSpec]) -> None:
    """Start a supervisor whose child `x` is in `state`; sibling `n` runs."""
    children, strategy = children_for(state, child)
    tree.start(*children, strategy=strategy)
    push(state, tree, child)
    tree.settle()
    assert shown(state) == tree.states().get("x")


def answer_of(future: Any) -> str:
    """`ok` (nothing runs), `ref`, `later`, or the error's name."""
    if not future.is_set():
        return "later"
    try:
        answer = future.get(timeout=0)
    except (ActorDead, AlreadyPresent, AlreadyStarted, NotFound, StillRestarting, StillRunning, StartFailed) as error:
        return type(error).__name__
    return "ok" if answer is None else "ref"


TABLE = {
    #                             start             terminate   restart            delete
    "running": ("AlreadyStarted", "ok", "StillRunning", "StillRunning"),
    "stopped": ("AlreadyPresent", "ok", "ref", "ok"),
    "declined": ("AlreadyPresent", "ok", "ref", "ok"),
    "starting": ("AlreadyPresent", "ok", "StillRestarting", "StillRestarting"),
    "restarting, delayed": ("AlreadyPresent", "ok", "StillRestarting", "StillRestarting"),
    "restarting, in its start": ("AlreadyPresent", "ok", "StillRestarting", "StillRestarting"),
    "restarting with its group": ("AlreadyPresent", "ok", "StillRestarting", "StillRestarting"),
    "waiting": ("AlreadyPresent", "ok", "StillRestarting", "StillRestarting"),
    "stopping": ("AlreadyPresent", "later", "StillRunning", "StillRunning"),
    "failed": ("AlreadyPresent", "ok", "ref", "ok"),
    "unknown": ("ref", "NotFound", "NotFound", "NotFound"),
}
AFTER = {("terminate", "later"): "stopping", ("terminate", "ok"): "stopped", ("delete", "ok"): None}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("verb", ["start", "terminate", "restart", "delete"])
def test_each_call_in_each_state_has_its_typed_answer(
    tree: "Tree", child: Callable[..., ChildSpec], verb: str, state: str
) -> None:
    """A.10, B 1.7, B 1.10: and what it leaves behind; a refused call changes nothing."""
    bring_to(state, tree, child)
    before = tree.states()
    calls = {"start": StartChild(child("x")), "restart": RestartChild(X), "delete": DeleteChild(X)}
    future = tree.request(calls.get(verb, TerminateChild(X)))
    tree.settle()
    expected = TABLE[state][("start", "terminate", "restart", "delete").index(verb)]

    assert expected == answer_of(future)
    if expected == "ref":
        assert future.get(timeout=0) is tree.ref("x")
        assert "running" == tree.states()["x"]
    elif expected in ("ok", "later"):
        assert AFTER[verb, expected] == tree.states().get("x")
        assert {"n": "running"}.items() <= tree.states().items() or state == "restarting with its group"
    else:
        assert before == tree.states()


@pytest.fixture
def handle(threads: "Threads") -> SupervisorHandle:
    """What `Runtime.supervisor` returns, for the supervisor at `/top`."""
    return SupervisorHandle(Address(ActorPath("/top"), threads.system))


def start_threads(threads: "Threads", *children: ChildSpec, **options: Any) -> ActorRef[Any]:
    top = threads.start(*children, **options)
    threads.system.directory.register(ActorPath("/top"), top)
    return top


@pytest.mark.parametrize("state", [state for state in STATES if state != "unknown"])
def test_looking_is_answered_in_every_state(
    threads: "Threads",
    handle: SupervisorHandle,
    child: Callable[..., ChildSpec],
    state: str,
    wait_for: Callable[[Callable[[], bool], str], None],
) -> None:
    """A.6, A.10, B 1.7: which_children in start order, counts, specs; one that is restarting is not active."""
    children, strategy = children_for(state, child)
    start_threads(threads, *children, strategy=strategy)
    push(state, threads, child)
    group = state == "restarting with its group"
    both = [("n", "restarting" if group else "running"), ("x", shown(state))]
    wait_for(lambda: both == [(row.id, row.state.value) for row in handle.which_children()], f"x is {state}")

    active = 0 if group else 2 if state in ("running", "stopping") else 1
    assert ChildCounts(specs=2, active=active, supervisors=0, workers=2) == handle.count_children()
    assert "x" == handle.get_child_spec("x").id


def test_the_typed_calls_do_what_the_messages_do(
    threads: "Threads", handle: SupervisorHandle, child: Callable[..., ChildSpec]
) -> None:
    """A.10: by id or by ref; refs of the incarnation that runs, None for one that declined."""
    start_threads(threads, child("x"))
    y = handle.start_child(child("y"))
    assert y is not None
    assert y is threads.ref("y")
    assert handle.start_child(child("z", "decline")) is None
    handle.start_child(ChildSpec.of(Supervisor, id="sub"))
    assert ["x", "y", "z", "sub"] == [row.id for row in handle.which_children()]
    assert ChildCounts(specs=4, active=3, supervisors=1, workers=3) == handle.count_children()
    assert [threads.ref("x"), y, None, threads.ref("sub")] == [row.ref for row in handle.rows()]
    assert handle.which_children()[1] == handle.which_child(y) == handle.which_child("y")
    with pytest.raises(AlreadyStarted) as running:
        handle.start_child(child("y"))
    assert running.value.ref is y
    handle.terminate_child(y)
    again = handle.restart_child("y")
    assert again is threads.ref("y")
    handle.terminate_child("y")
    handle.terminate_child("y")  # fine if it is stopped already
    assert handle.restart_child("z") is threads.ref("z")  # its script is over: it runs
    handle.delete_child("y")
    assert SupervisorSettings() == handle.settings()
    handle.change(strategy=Strategy.REST_FOR_ONE)
    assert Strategy.REST_FOR_ONE is handle.settings().strategy
    for refused in (
        handle.terminate_child,
        handle.restart_child,
        handle.delete_child,
        handle.get_child_spec,
        handle.which_child,
    ):
        with pytest.raises(NotFound, match="y"):
            refused("y")


def test_a_ref_of_another_supervisors_child_is_nobody_here(
    threads: "Threads", handle: SupervisorHandle, child: Callable[..., ChildSpec]
) -> None:
    """A.10 `NotFound`."""
    start_threads(threads, child("x"), ChildSpec.of(Supervisor, children=[child("x")], id="sub"))
    with pytest.raises(NotFound, match="/top/sub/x"):
        handle.terminate_child(threads.ref("sub/x"))
    assert ["x", "sub"] == [row.id for row in handle.which_children()]


def test_a_start_that_fails_is_told_with_its_reason(
    threads: "Threads", handle: SupervisorHandle, child: Callable[..., ChildSpec]
) -> None:
    """A.6, B 1.10: start_child forgets the spec, restart_child keeps it, stopped."""
    start_threads(threads, child("x", "run", "crash"))
    with pytest.raises(StartFailed) as new:
        handle.start_child(child("y", "crash"))
    assert isinstance(new.value.reason, Crashed)
    assert "crashed at its start" in new.value.reason.traceback
    handle.terminate_child("x")
    with pytest.raises(StartFailed):
        handle.restart_child("x")
    assert [("x", "stopped")] == [(row.id, row.state.value) for row in handle.which_children()]


def test_every_call_to_a_supervisor_that_is_gone_says_so(
    threads: "Threads", handle: SupervisorHandle, child: Callable[..., ChildSpec]
) -> None:
    """A.10 `ActorDead`, a `pykka.ActorDeadError`."""
    top = start_threads(threads, child("x"))
    top.stop()
    calls: list[Callable[[], object]] = [
        lambda: handle.start_child(child("y")),
        lambda: handle.terminate_child("x"),
        lambda: handle.restart_child("x"),
        lambda: handle.delete_child("x"),
        lambda: handle.change(strategy=Strategy.ONE_FOR_ALL),
        handle.which_children,
        handle.rows,
        handle.count_children,
        handle.settings,
        lambda: handle.get_child_spec("x"),
    ]
    for call in calls:
        with pytest.raises(ActorDead):
            call()
    assert issubclass(ActorDead, pykka.ActorDeadError)


def test_a_look_at_a_supervisor_that_ends_meanwhile_says_so_too(
    threads: "Threads", child: Callable[..., ChildSpec]
) -> None:
    """A.10 `ActorDead`: found alive, dead when it was asked; that is not "it did not answer in time"."""
    top = threads.start(child("x"))

    class Dying:
        """Leads to the supervisor for the last time."""

        def lookup(self, path: ActorPath) -> ActorRef[Any]:
            top.stop()
            return top

        register = unregister = threads.system.directory.register

    handle = SupervisorHandle(Address(ActorPath("/top"), replace(threads.system, directory=Dying())))
    with pytest.raises(ActorDead):
        handle.which_children(timeout=0.05)


# B 1.1 and 1.2: what cannot be right


def spec(**fields: Any) -> ChildSpec:
    options: dict[str, Any] = {"id": "x", **fields}
    return ChildSpec.of(Actor, **options)


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("id", lambda: spec(id="no/slash")),
        ("id", lambda: spec(id="")),
        ("actor_class", lambda: ChildSpec(X, "Actor")),  # type: ignore[arg-type]  # a name for a class
        ("restart", lambda: spec(restart="permanent")),
        ("significant", lambda: spec(restart=Restart.TRANSIENT, significant="yes")),
        ("significant", lambda: spec(significant=True)),
        ("shutdown", lambda: spec(shutdown=-1.0)),
        ("shutdown", lambda: spec(shutdown="soon")),
        ("shutdown", lambda: spec(shutdown=float("nan"))),
        ("shutdown", lambda: spec(shutdown=True)),
        ("start_timeout", lambda: spec(start_timeout=0.0)),
        ("start_timeout", lambda: spec(start_timeout="soon")),
        ("needs", lambda: spec(needs=("x",))),
        ("intensity.restarts", lambda: Intensity(-1)),
        ("intensity.restarts", lambda: Intensity(1.5)),  # type: ignore[arg-type]  # not whole
        ("intensity.restarts", lambda: Intensity(INFINITY)),  # type: ignore[arg-type]  # OTP refuses infinity too
        ("intensity.within", lambda: Intensity(within=0.0)),
        ("intensity.within", lambda: Intensity(within=INFINITY)),
        ("intensity.within", lambda: Intensity(within="5 s")),  # type: ignore[arg-type]  # not a number
        ("backoff.initial", lambda: Backoff(initial=-1.0)),
    ],
)
def test_a_spec_that_cannot_be_right_is_refused_when_it_is_made(field: str, make: Callable[[], object]) -> None:
    """B 1.1, B 1.2: naming the field, what was found, and what would be right."""
    with pytest.raises(InvalidChildSpec) as refused:
        make()
    assert field == refused.value.field
    assert refused.value.expected in str(refused.value)


def test_a_shutdown_time_of_nothing_and_of_ever_are_legal() -> None:
    """B 1.1: 0 is legal; a supervisor's default is without limit."""
    assert 0 == spec(shutdown=0).shutdown
    assert INFINITY == ChildSpec.of(Supervisor).shutdown
    assert 5.0 == spec().shutdown


BAD_SUPERVISORS: list[tuple[str, type[Exception], Callable[[], dict[str, Any]]]] = [
    ("strategy", InvalidSupervisor, lambda: {"strategy": "one_for_all"}),
    ("intensity", InvalidSupervisor, lambda: {"intensity": 3}),
    ("auto_shutdown", InvalidSupervisor, lambda: {"auto_shutdown": True}),
    ("children[1]", InvalidChildSpec, lambda: {"children": [spec(), "x"]}),
    ("children", InvalidSupervisor, lambda: {"children": [spec(), spec()]}),
    ("children.x.needs", InvalidSupervisor, lambda: {"children": [spec(needs=("nobody",))]}),
    (
        "children",
        InvalidSupervisor,
        lambda: {"children": [spec(id="a", needs=("b",)), spec(id="b", needs=("a",))]},
    ),
    (
        "children.x.significant",
        InvalidChildSpec,
        lambda: {"children": [spec(restart=Restart.TRANSIENT, significant=True)]},
    ),
    *(
        (
            "children.x.intensity",
            InvalidChildSpec,
            lambda strategy=strategy: {"strategy": strategy, "children": [spec(intensity=Intensity(1))]},
        )
        for strategy in (Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE)
    ),
]


@pytest.mark.parametrize(("field", "error", "options"), BAD_SUPERVISORS)
def test_a_supervisor_that_cannot_be_right_starts_nobody(
    tree: "Tree",
    child: Callable[..., ChildSpec],
    field: str,
    error: type[Exception],
    options: Callable[[], dict[str, Any]],
) -> None:
    """B 1.1, B 1.2: validation comes before any child starts."""
    wanted: dict[str, Any] = {"children": (), **options()}
    place = field.replace("[1]", "[2]")  # behind the one that must not start
    wanted["children"] = [child("first"), *wanted["children"]]
    tree.start()
    future = tree.request(StartChild(ChildSpec(ChildId("sub"), Supervisor, kwargs=wanted)))
    tree.settle()
    with pytest.raises(StartFailed) as refused:
        future.get(timeout=0)

    assert isinstance(refused.value.reason, Crashed)
    reason = refused.value.reason.error
    assert isinstance(reason, error)
    assert isinstance(reason, InvalidSupervisor | InvalidChildSpec)
    assert (place, True) == (reason.field, reason.expected in str(reason))
    assert {} == tree.states()
    assert tree.whereis("sub/first") is None


@pytest.mark.parametrize(
    ("field", "error", "new"),
    [
        ("spec", InvalidChildSpec, lambda: "no spec"),
        ("children.x.needs", InvalidSupervisor, lambda: spec(needs=("nobody",))),
        ("children.x.significant", InvalidChildSpec, lambda: spec(restart=Restart.TEMPORARY, significant=True)),
        ("children.x.intensity", InvalidChildSpec, lambda: spec(intensity=Intensity(1))),
    ],
)
def test_start_child_checks_as_the_start_of_the_supervisor_does(
    tree: "Tree",
    child: Callable[..., ChildSpec],
    field: str,
    error: type[InvalidSupervisor | InvalidChildSpec],
    new: Callable[[], Any],
) -> None:
    """B 1.1: bad combinations at start *and* at start_child; the supervisor and its children live on."""
    tree.start(child("first"), strategy=Strategy.ONE_FOR_ALL)
    before = tree.ref("first")
    with pytest.raises(error) as refused:
        tree.ask(StartChild(new()))

    assert field == refused.value.field  # type: ignore[attr-defined]  # both have it
    assert {"first": "running"} == tree.states()
    assert before is tree.ref("first")


def test_significant_children_may_come_where_something_looks_at_them(
    tree: "Tree", child: Callable[..., ChildSpec]
) -> None:
    """B 1.1: only with auto_shutdown."""
    tree.start(child("first"), auto_shutdown=AutoShutdown.ALL_SIGNIFICANT)
    tree.ask(StartChild(child("x", restart=Restart.TRANSIENT, significant=True)))

    assert {"first": "running", "x": "running"} == tree.states()
    assert tree.ask(Change(intensity=Intensity(9, within=1.0))) is None
