"""What outlives a runtime of restarts and crashes (supervision.md A.17).

A "new runtime" here is a new supervisor, clock and reading of the records over the same store, after
the one before it was killed. tests/runtime/test_crash_loops.py does it with real processes.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import (
    Actor,
    ActorPath,
    Backoff,
    ChildId,
    ChildRestarting,
    ChildSpec,
    Crashed,
    Intensity,
    Restart,
    Shutdown,
    SnapshotQuarantined,
    SupervisorGaveUp,
)
from treewarden.storage import (
    LmdbStore,
    MemoryStore,
    Put,
    SnapshotStore,
)
from treewarden.supervision_trees import DynamicSupervisor, StartFailed, Strategy, Supervisor
from treewarden.supervision_trees._effects import DeleteChild, RestartChild, StartChild, TerminateChild
from treewarden.supervision_trees._records import is_restart_record

if TYPE_CHECKING:
    from .conftest import Tree

    Runtimes = Callable[..., Tree]

X = ChildId("x")
NOW = 1_700_000_000.0
TWO = Intensity(2, within=60.0)


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SnapshotStore]:
    """A store of either kind."""
    made: SnapshotStore = MemoryStore() if request.param == "memory" else LmdbStore.open(tmp_path / "store")
    yield made
    made.close()


@pytest.fixture
def child(scripted: type[Actor]) -> Callable[..., ChildSpec]:
    def describe(name: str, *words: str, **options: Any) -> ChildSpec:
        return ChildSpec.of(scripted, list(words), id=name, **options)

    return describe


def durable(tree: "Tree", store: SnapshotStore) -> None:
    """Let everything become durable that was handed in, and what waited for it happen."""
    turns = 1
    while turns:
        tree.settle()
        store.commit([Put("/barrier", "barrier", 1, 0, None)]).result(timeout=10)
        turns = tree.dispatcher.run_until_idle()


def crash(tree: "Tree", store: SnapshotStore, child: str) -> None:
    tree.tell(child, "crash")
    durable(tree, store)


def left(store: SnapshotStore) -> set[str]:
    """The paths of the records in `store`."""
    return {found.path for found in store.scan() if is_restart_record(found.path)}


# What is taken over


def test_the_window_of_a_supervisor_goes_on_in_the_next_runtime(
    runtimes: "Runtimes", store: SnapshotStore, child: Callable[..., ChildSpec]
) -> None:
    """A.17: a crash loop that takes the runtime down gets no fresh allowance."""
    for crashes in range(2):
        tree = runtimes(store, wall=NOW + crashes)
        tree.start(child("x"), child("y"), intensity=TWO)
        assert crashes == tree.describe().window.used(tree.describe().window_time)
        crash(tree, store, "x" if crashes else "y")
        assert tree.exit is None
    last = runtimes(store, wall=NOW + 2)
    last.start(child("x"), child("y"), intensity=TWO)
    crash(last, store, "x")

    assert last.exit is not None
    assert Shutdown("intensity") == last.exit.reason
    assert 3 == last.sink.of(SupervisorGaveUp)[0].restarts


def test_the_window_of_a_child_goes_on_too(
    runtimes: "Runtimes", store: SnapshotStore, child: Callable[..., ChildSpec]
) -> None:
    """A.5, A.17: its own window is its own again."""
    spec = child("x", intensity=Intensity(1, within=60.0))
    tree = runtimes(store)
    tree.start(spec, child("y"), intensity=TWO)
    crash(tree, store, "x")
    again = runtimes(store, wall=NOW + 1)
    again.start(child("x", intensity=Intensity(1, within=60.0)), child("y"), intensity=TWO)
    crash(again, store, "x")

    assert {"x": "failed", "y": "running"} == again.states()
    assert 0 == again.describe().window.used(again.describe().window_time)


def test_failures_in_a_row_go_on_so_delays_go_on_growing(
    runtimes: "Runtimes", store: SnapshotStore, child: Callable[..., ChildSpec]
) -> None:
    """A.5, A.17."""
    backoff = Backoff(initial=1.0, max=60.0, factor=3.0, jitter=0.0)
    delays = list[float]()
    for crashes in range(3):
        tree = runtimes(store, wall=NOW + crashes)
        tree.start(child("x", backoff=backoff), intensity=Intensity(9))
        crash(tree, store, "x")
        delays += [event.delay for event in tree.sink.of(ChildRestarting)]

    assert [1.0, 3.0, 9.0] == delays


def test_the_last_crashes_stay_known_with_their_age(
    runtimes: "Runtimes", store: SnapshotStore, child: Callable[..., ChildSpec]
) -> None:
    """A.14, A.17: with what was said of them; text that no store takes is escaped, not lost."""
    tree = runtimes(store)
    tree.start(child("x", "run", "crash"))
    crash(tree, store, "x")
    [before] = [row.child.crashes for row in tree.describe().rows]
    again = runtimes(store, wall=NOW + 30)
    again.start(child("x"))
    [after] = [row.child.crashes for row in again.describe().rows]

    assert 2 == len(before)
    assert [again.clock.monotonic() - 30.0] * 2 == [crash.at for crash in after]
    assert [(c.generation, c.reason, c.traceback, c.mailbox) for c in before] == [
        (c.generation, c.reason, c.traceback, c.mailbox) for c in after
    ]


@pytest.mark.parametrize(("passed", "spent"), [(59.0, 1), (61.0, 0), (-3600.0, 1), (0.0, 1)])
def test_a_clock_that_went_forward_ages_an_event_and_one_set_back_makes_it_young(
    runtimes: "Runtimes", store: SnapshotStore, child: Callable[..., ChildSpec], passed: float, spent: int
) -> None:
    """A.17: "a clock that went backwards makes an event young, never old"."""
    tree = runtimes(store)
    tree.start(child("x"), intensity=TWO)
    crash(tree, store, "x")
    again = runtimes(store, wall=NOW + passed)
    again.start(child("x"), intensity=TWO)
    description = again.describe()

    assert spent == description.window.used(description.window_time)
    assert all(at <= description.window_time for at in description.window.spent)
    again.advance(60.25)  # and young does not mean for ever
    assert 0 == description.window.used(again.describe().window_time)


def test_a_restart_is_as_old_as_its_window_says_not_as_the_wall(
    runtimes: "Runtimes", store: SnapshotStore, child: Callable[..., ChildSpec]
) -> None:
    """A.3, A.17: time spent on stopping siblings is not counted on record either."""
    tree = runtimes(store)
    slow = child("slow", "stubborn", "run", shutdown=50.0)
    tree.start(child("x"), slow, strategy=Strategy.ONE_FOR_ALL, intensity=TWO)
    crash(tree, store, "x")
    tree.advance(50.0)
    durable(tree, store)
    assert {"x": "running", "slow": "running"} == tree.states()
    tree.tell("slow", "crash")  # puts the window on record again
    durable(tree, store)
    again = runtimes(store, wall=tree.clock.wall())
    again.start(child("x"), child("slow"), strategy=Strategy.ONE_FOR_ALL, intensity=TWO)

    assert 2 == again.describe().window.used(again.describe().window_time)
    assert [0.0, 0.0] == [again.describe().window_time - at for at in again.describe().window.spent]


def test_only_the_first_incarnation_of_a_supervisor_takes_over(
    runtimes: "Runtimes", store: SnapshotStore, child: Callable[..., ChildSpec]
) -> None:
    """A.17, B 1.8: one that its parent restarts begins afresh, as in OTP."""

    def sub() -> ChildSpec:
        return ChildSpec.of(Supervisor, children=[child("x")], id="sub", intensity=TWO)

    tree = runtimes(store)
    tree.start(sub())
    crash(tree, store, "sub/x")
    again = runtimes(store, wall=NOW + 1)
    again.start(sub())
    assert 1 == len(again.describe(again.ref("sub")).window.spent)
    again.ref("sub").kill()
    durable(again, store)

    assert 0 == len(again.describe(again.ref("sub")).window.spent)
    assert () == again.describe(again.ref("sub")).rows[0].child.crashes


# What is forgotten


def test_an_orderly_end_calms_but_what_happened_stays_known(
    runtimes: "Runtimes", store: SnapshotStore, child: Callable[..., ChildSpec]
) -> None:
    """A.17: windows and counts begin afresh, for nested supervisors too; the crashes are still shown."""
    backoff = Backoff(initial=1.0, max=60.0, factor=3.0, jitter=0.0)

    def children() -> list[ChildSpec]:
        return [
            child("x", intensity=TWO, backoff=backoff),
            ChildSpec.of(Supervisor, children=[child("y")], id="sub", intensity=TWO),
        ]

    tree = runtimes(store)
    top = tree.start(*children(), intensity=TWO)
    crash(tree, store, "x")
    crash(tree, store, "sub/y")
    tree.advance(1.0)
    durable(tree, store)
    top.request_stop(Shutdown("as asked"))
    durable(tree, store)
    again = runtimes(store, wall=NOW + 1)
    again.start(*children(), intensity=TWO)
    x, sub = again.describe().rows[0].child, again.describe(again.ref("sub"))

    assert (0, ()) == (x.failures, x.window.spent if x.window is not None else None)
    assert () == sub.window.spent
    assert [1, 1] == [len(x.crashes), len(sub.rows[0].child.crashes)]


def test_giving_up_does_not_calm(runtimes: "Runtimes", store: SnapshotStore, child: Callable[..., ChildSpec]) -> None:
    """A.17: it is the very thing the allowance is for."""
    one = Intensity(1, within=60.0)
    tree = runtimes(store)
    tree.start(child("x"), intensity=one)
    crash(tree, store, "x")
    crash(tree, store, "x")
    assert tree.exit is not None
    again = runtimes(store, wall=NOW + 1)
    again.start(child("x"), intensity=one)
    crash(again, store, "x")

    assert again.exit is not None


@pytest.mark.parametrize("end", ["deleted", "temporary", "ended in order"])
def test_a_forgotten_child_takes_its_record_along(
    runtimes: "Runtimes", store: SnapshotStore, child: Callable[..., ChildSpec], end: str
) -> None:
    """A.17: a new child of its id inherits nothing."""
    tree = runtimes(store)
    restart = Restart.TEMPORARY if end == "temporary" else Restart.PERMANENT
    tree.start(child("x", restart=restart), child("y"))
    tree.tell("x", "exit" if end == "ended in order" else "crash")
    durable(tree, store)
    if end != "temporary":
        assert {"/top#window", "/top/x#restarts"} == left(store)
        tree.ask(TerminateChild(X))
        tree.ask(DeleteChild(X))
    durable(tree, store)

    assert "/top/x#restarts" not in left(store)


def test_a_child_that_is_not_there_any_more_leaves_no_record(
    runtimes: "Runtimes", store: SnapshotStore, child: Callable[..., ChildSpec]
) -> None:
    """A.17: it left the definition, or was added by a call: else records would grow with every child that ever was."""
    tree = runtimes(store)
    tree.start(child("x"), child("y"), ChildSpec.of(Supervisor, children=[child("x")], id="sub"), intensity=TWO)
    for name in ("x", "y", "sub/x"):
        crash(tree, store, name)
    again = runtimes(store, wall=NOW + 1)
    again.start(child("y"), ChildSpec.of(Supervisor, children=[child("x")], id="sub"), intensity=TWO)
    durable(again, store)

    assert {"/top#window", "/top/y#restarts", "/top/sub#window", "/top/sub/x#restarts"} == left(store)
    assert 2 == len(again.describe().window.spent)


def test_a_start_by_hand_clears_the_count_on_record_too(
    runtimes: "Runtimes", store: SnapshotStore, child: Callable[..., ChildSpec]
) -> None:
    """A.5, A.17: `restart_child` clears its window; a kill of the runtime does not bring it back."""
    limit = Intensity(0, within=60.0)
    tree = runtimes(store)
    tree.start(child("x", intensity=Intensity(1, within=60.0)))
    crash(tree, store, "x")
    tree.ask(TerminateChild(X))
    future = tree.request(RestartChild(X))
    durable(tree, store)
    assert future.get(timeout=0) is tree.ref("x")
    again = runtimes(store, wall=NOW + 1)
    again.start(child("x", intensity=limit))
    [row] = again.describe().rows

    assert row.child.window is not None
    assert (0, ()) == (row.child.failures, row.child.window.spent)


# Records that cannot be believed


def damage(store: MemoryStore, path: str) -> None:
    """Flip a byte in the newest record of `path`."""
    shelf = store._shelves[path]
    newest = max(shelf)
    shelf[newest] = shelf[newest][:-1] + bytes([shelf[newest][-1] ^ 1])


def test_a_damaged_window_falls_back_to_the_one_before_with_an_event(
    runtimes: "Runtimes", child: Callable[..., ChildSpec]
) -> None:
    """A.17: set aside once; the tree starts."""
    store = MemoryStore()
    tree = runtimes(store)
    tree.start(child("x"), intensity=Intensity(5, within=60.0))
    for _ in range(2):
        crash(tree, store, "x")
    damage(store, "/top#window")
    again = runtimes(store, wall=NOW + 1)
    again.start(child("x"), intensity=Intensity(5, within=60.0))

    assert ["/top#window"] == [event.path for event in again.sink.of(SnapshotQuarantined)]
    assert 1 == len(again.describe().window.spent)
    third = runtimes(store, wall=NOW + 2)
    third.start(child("x"), intensity=Intensity(5, within=60.0))
    assert [] == third.sink.of(SnapshotQuarantined)
    assert 1 == len(third.describe().window.spent)


@pytest.mark.parametrize("path", ["/top#window", "/top/x#restarts"])
def test_a_damaged_record_without_one_before_begins_empty_with_an_event(
    runtimes: "Runtimes", child: Callable[..., ChildSpec], path: str
) -> None:
    """A.17: a brake that cannot be read must not keep the tree from running; the bytes are kept."""
    store = MemoryStore()
    tree = runtimes(store)
    tree.start(child("x"), intensity=TWO)
    crash(tree, store, "x")
    damage(store, path)
    again = runtimes(store, wall=NOW + 1)
    again.start(child("x"), intensity=TWO)

    assert [path] == [event.path for event in again.sink.of(SnapshotQuarantined)]
    assert {"x": "running"} == again.states()
    assert 1 == len(store._aside)
    lost = () if path == "/top#window" else again.describe().rows[0].child.crashes
    assert () == lost


@pytest.mark.parametrize(
    ("path", "schema", "state"),
    [
        ("/top#window", "restart-window", {"spent": 1}),
        ("/top#window", "restart-window", ["yesterday"]),
        ("/top#window", "something", [1.0]),
        ("/top/x#restarts", "restarts", [1.0]),
        ("/top/x#restarts", "restarts", {"failures": 1, "own": []}),
        ("/top/x#restarts", "restarts", {"failures": 1, "own": [], "crashes": [{"at": 1.0}]}),
        ("/top/x#restarts", "restarts", {"failures": 1, "own": [], "crashes": ["a crash"]}),
    ],
)
def test_a_whole_record_of_another_shape_is_set_aside_too(
    runtimes: "Runtimes", child: Callable[..., ChildSpec], path: str, schema: str, state: object
) -> None:
    """A.17: neither an exception in the boot nor nonsense in a window."""
    store = MemoryStore()
    store.commit([Put(path, schema, 1, 0, state)])
    tree = runtimes(store)
    tree.start(child("x"))

    assert [path] == [event.path for event in tree.sink.of(SnapshotQuarantined)]
    assert {"x": "running"} == tree.states()


def test_a_record_of_another_version_is_left_alone(runtimes: "Runtimes", child: Callable[..., ChildSpec]) -> None:
    """A.17: it is not damaged, and says nothing to this release."""
    store = MemoryStore()
    store.commit([Put("/top#window", "restart-window", 99, 0, "what it will be")])
    tree = runtimes(store)
    tree.start(child("x"))

    assert [] == tree.sink.of(SnapshotQuarantined)
    assert () == tree.describe().window.spent


def test_a_record_about_an_actor_that_is_none_of_restarts_is_left_alone(
    runtimes: "Runtimes", child: Callable[..., ChildSpec]
) -> None:
    """Such as the messages that a restored actor finds in its mailbox."""
    store = MemoryStore()
    mailbox = Put("/top/x#mailbox", "mailbox", 1, 0, {"queue": [], "timers": []})
    store.commit([mailbox])
    tree = runtimes(store)
    tree.start(child("x"))

    assert [] == tree.sink.of(SnapshotQuarantined)
    assert store.latest(mailbox.path).state == mailbox.state


def test_a_boot_that_fails_keeps_what_it_took_over(
    runtimes: "Runtimes", store: SnapshotStore, child: Callable[..., ChildSpec]
) -> None:
    """A.17: not every end of a runtime is one after which all is calm."""
    tree = runtimes(store)
    tree.start(child("x"), intensity=TWO)
    crash(tree, store, "x")
    again = runtimes(store, wall=NOW + 1)
    again.start(child("x", "crash"), intensity=TWO)
    durable(again, store)
    assert again.exit is not None
    assert isinstance(again.exit.reason, Crashed)
    assert isinstance(again.exit.reason.error, StartFailed)
    third = runtimes(store, wall=NOW + 2)
    third.start(child("x"), intensity=TWO)

    assert 1 == len(third.describe().window.spent)
    assert [ActorPath("/top/x")] == [ActorPath(f"/top/{row.child.id}") for row in third.describe().rows]


# Below a supervisor that is no more


def test_with_a_supervisor_that_is_deleted_everything_below_it_is_forgotten(
    runtimes: "Runtimes", store: SnapshotStore, child: Callable[..., ChildSpec]
) -> None:
    """A.17: or the store would grow with each supervisor that ever was, and others inherit its crashes."""
    tree = runtimes(store)
    inner = ChildSpec.of(Supervisor, [child("y"), ChildSpec.of(Supervisor, [child("z")], id="deep")], id="inner")
    tree.start(inner, child("inner2"))
    for each in ("inner/y", "inner/deep/z", "inner2"):
        crash(tree, store, each)
    tree.ask(TerminateChild(ChildId("inner")))
    tree.ask(DeleteChild(ChildId("inner")))
    durable(tree, store)

    assert {"/top#window", "/top/inner2#restarts"} == left(store)


def test_what_comes_to_live_where_a_dynamic_supervisors_child_was_is_somebody_else(
    runtimes: "Runtimes", store: SnapshotStore, child: Callable[..., ChildSpec]
) -> None:
    """A.17: its children are lost with the runtime, so nothing is known of those below them either."""
    inner = ChildSpec.of(Supervisor, [child("y")], id="inner")
    first = runtimes(store)
    first.ask(StartChild(inner), of=first.start(kind=DynamicSupervisor))
    crash(first, store, "inner/y")
    assert "/top/inner/y#restarts" in left(store)
    second = runtimes(store)
    top = second.start(kind=DynamicSupervisor)
    durable(second, store)
    assert not {path for path in left(store) if path.startswith("/top/")}
    described = second.describe(second.ask(StartChild(inner), of=top))

    assert (0, ()) == (described.window.used(described.window_time), described.rows[0].child.crashes)
