"""Copies of one child, routed to by key: PartitionSupervisor (supervision.md A.1, B 4)."""

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.actors import (
    Actor,
    ActorDead,
    ActorPath,
    ActorRef,
    Address,
    Backoff,
    ChildId,
    ChildSpec,
    ChildStopped,
    Crashed,
    Generation,
    Intensity,
    InvalidChildSpec,
    ManagedProcess,
    Restart,
)
from treewarden.supervision_trees import (
    AutoShutdown,
    InvalidSupervisor,
    NoPartitions,
    NotApplicable,
    PartitionHandle,
    PartitionStatus,
    PartitionSupervisor,
    Runtime,
    StartFailed,
    Strategy,
    Supervisor,
)
from treewarden.supervision_trees._effects import Change, DeleteChild, RestartChild, StartChild, TerminateChild
from treewarden.supervision_trees._partition import Key, Resize, partition_of
from treewarden.supervision_trees._recovery import process_paths

if TYPE_CHECKING:
    from .conftest import Tree

OFTEN = Intensity(100, within=5.0)
ROOT = ActorPath("/top")


class Shard(Actor):
    """Answers with its arguments; any text that begins with `crash` crashes it."""

    def __init__(self, *args: object) -> None:
        super().__init__()
        self.args = args

    def on_receive(self, message: object) -> object:
        if message == "crash":
            raise RuntimeError("crashed as told")
        return self.args


def start(tree: "Tree", child: ChildSpec, partitions: int, **options: Any) -> ActorRef[Any]:
    return tree.start(kind=PartitionSupervisor, args=(child,), partitions=partitions, intensity=OFTEN, **options)


def routed(top: ActorRef[Any]) -> int:
    assert isinstance(top.status, PartitionStatus)
    return top.status.partitions


def _numbered(arguments: tuple[Any, ...], number: int) -> tuple[Any, ...]:
    return (*arguments, number)


def _script_of(scripted: int, script: list[str]) -> Callable[[tuple[Any, ...], int], tuple[Any, ...]]:
    """The partition `scripted` follows `script` over all its incarnations."""

    def arguments(_: tuple[Any, ...], number: int) -> tuple[Any, ...]:
        return (script,) if number == scripted else ()

    return arguments


SHARD = ChildSpec.of(Shard)


# Where a key belongs


@pytest.mark.parametrize(
    ("key", "partitions", "expected"),
    [
        (7, 4, 3),
        (-7, 4, 3),  # abs
        (0, 3, 0),
        ("123456789", 10, 0xCBF43926 % 10),  # the check value of CRC-32
        (b"123456789", 10, 0xCBF43926 % 10),
        ("anything", 1, 0),
        ("\udcff", 1, 0),  # a file name of other bytes
    ],
)
def test_a_key_belongs_to_the_same_partition_in_every_process(key: Key, partitions: int, expected: int) -> None:
    """A durable partition must get its keys again, so `hash`, which is salted, will not do."""
    assert expected == partition_of(key, partitions)


@given(key=st.integers() | st.text() | st.binary(), partitions=st.integers(1, 100))
def test_every_key_has_a_partition(key: Key, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions


@pytest.mark.parametrize("key", [1.5, None, ("a", 1), ["a"]])
def test_a_key_of_another_type_is_refused_with_what_is_right(key: Any) -> None:
    """Rule 14 of the style: what was found, and what would be right."""
    with pytest.raises(TypeError, match="an int, a str or bytes, found"):
        partition_of(key, 3)


# Starting


def test_there_are_so_many_copies_named_by_their_numbers(tree: "Tree") -> None:
    """A.1."""
    top = start(tree, ChildSpec.of(Shard, "x", restart=Restart.TRANSIENT), 3)

    assert {"0": "running", "1": "running", "2": "running"} == tree.states()
    assert PartitionStatus(3, 3) == top.status
    assert {Restart.TRANSIENT} == {row.child.spec.restart for row in tree.describe().rows}
    assert [("x",)] * 3 == [tree.ask("args", of=tree.ref(name)) for name in "012"]


def test_without_a_number_there_is_one_for_each_core(tree: "Tree") -> None:
    """B 4: the default. The cores are those this process may use."""
    tree.start(kind=PartitionSupervisor, args=(SHARD,))

    assert len(os.sched_getaffinity(0)) == len(tree.states())


def test_each_partition_can_have_arguments_of_its_own(tree: "Tree") -> None:
    """B 4: `with_arguments`, and the same ones after a restart."""
    start(tree, ChildSpec.of(Shard, "x"), 2, with_arguments=_numbered)
    tree.tell("1", "crash")

    assert [("x", 0), ("x", 1)] == [tree.ask("args", of=tree.ref(name)) for name in "01"]
    assert Generation(2) == tree.ref("1").generation


@pytest.mark.parametrize("found", [0, -1, 2.0, True, "two"])
def test_the_number_must_be_a_count_above_zero(tree: "Tree", found: object) -> None:
    tree.start(kind=PartitionSupervisor, args=(SHARD,), partitions=found)

    assert tree.exit is not None
    assert isinstance(tree.exit.reason, Crashed)
    error = tree.exit.reason.error
    assert isinstance(error, InvalidSupervisor)
    assert ("partitions", found) == (error.field, error.found)


def test_the_end_of_a_partition_never_ends_the_supervisor(tree: "Tree") -> None:
    """B 4: auto_shutdown must be never, so a significant child is refused and there is no such option."""
    start(tree, ChildSpec.of(Shard, restart=Restart.TRANSIENT, significant=True), 2)

    assert tree.exit is not None
    assert isinstance(tree.exit.reason, Crashed)
    assert isinstance(tree.exit.reason.error, InvalidChildSpec)


def test_strategy_and_intensity_are_as_usual(tree: "Tree") -> None:
    """B 4."""
    start(tree, SHARD, 3, strategy=Strategy.REST_FOR_ONE)
    tree.tell("1", "crash")

    assert [1, 2, 2] == [tree.ref(name).generation for name in "012"]


# Calls by hand


def test_partitions_are_terminated_and_restarted_by_id_but_not_added_or_deleted(tree: "Tree") -> None:
    """A.10 `NotApplicable`: how many there are is `resize`'s business."""
    start(tree, SHARD, 2)
    tree.ask(TerminateChild(ChildId("1")))
    assert {"0": "running", "1": "stopped"} == tree.states()
    for call in (StartChild(ChildSpec.of(Shard, id="2")), DeleteChild(ChildId("1"))):
        with pytest.raises(NotApplicable, match="resize"):
            tree.ask(call)
    tree.ask(RestartChild(ChildId("1")))

    assert {"0": "running", "1": "running"} == tree.states()


def test_of_its_settings_strategy_and_intensity_can_be_changed(tree: "Tree") -> None:
    """A.10."""
    start(tree, SHARD, 2)
    for change in (Change(auto_shutdown=AutoShutdown.ANY_SIGNIFICANT), Change(children=(SHARD,))):
        with pytest.raises(NotApplicable):
            tree.ask(change)
    tree.ask(Change(strategy=Strategy.ONE_FOR_ALL))
    tree.tell("1", "crash")

    assert [2, 2] == [tree.ref(name).generation for name in "01"]


# Resizing


def test_shrinking_stops_and_forgets_the_last_ones(tree: "Tree") -> None:
    """B 4."""
    top = start(tree, SHARD, 4)
    tree.ask(Resize(2))

    assert ["0", "1"] == list(tree.states())
    assert PartitionStatus(2, 4) == top.status
    assert ["/top/3", "/top/2"] == [event.path for event in tree.sink.of(ChildStopped)]


def test_shrinking_routes_elsewhere_before_it_stops_anybody(tree: "Tree", scripted: type[Actor]) -> None:
    """B 4: nobody is sent to a partition that is going."""
    top = start(tree, ChildSpec.of(scripted, ["run", "stubborn"], shutdown=2.0), 2)
    answer = tree.request(Resize(1))
    tree.settle()
    assert {"0": "running", "1": "stopping"} == tree.states()
    assert 1 == routed(top)
    tree.advance(2.0)

    assert 1 == answer.get(timeout=0)
    assert ["0"] == list(tree.states())


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
def test_a_group_restart_does_not_bring_back_what_was_shrunk(tree: "Tree", strategy: Strategy) -> None:
    """B 4, the trap: Elixir's are merely stopped, and come back unrouted."""
    start(tree, SHARD, 3, strategy=strategy)
    tree.ask(Resize(2))
    tree.tell("0", "crash")

    assert {"0": "running", "1": "running"} == tree.states()
    assert [2, 2] == [tree.ref(name).generation for name in "01"]


def test_shrinking_away_the_culprit_of_a_group_restart_lets_the_others_come_back(tree: "Tree") -> None:
    """Nobody asked the others to stay down, unlike after `terminate_child` of the culprit (B 1.7)."""
    slowly = Backoff(initial=2.0, jitter=0.0)
    start(tree, ChildSpec.of(Shard, backoff=slowly), 3, strategy=Strategy.ONE_FOR_ALL)
    tree.tell("2", "crash")
    assert {"0": "restarting", "1": "restarting", "2": "restarting"} == tree.states()
    tree.ask(Resize(2))
    tree.advance(2.0)

    assert {"0": "running", "1": "running"} == tree.states()


def test_a_partition_that_waits_to_be_restarted_can_be_shrunk_away(tree: "Tree") -> None:
    """A.5: its retry is cancelled."""
    start(tree, ChildSpec.of(Shard, backoff=Backoff(initial=2.0, jitter=0.0)), 2)
    tree.tell("1", "crash")
    tree.ask(Resize(1))
    tree.advance(5.0)

    assert {"0": "running"} == tree.states()


def test_growing_routes_to_a_partition_once_it_has_started(tree: "Tree", scripted: type[Actor]) -> None:
    """B 4."""
    top = start(tree, ChildSpec.of(scripted), 3, with_arguments=_script_of(1, ["run", "hang"]))
    tree.ask(Resize(1))
    answer = tree.request(Resize(3))
    tree.settle()
    assert {"0": "running", "1": "starting"} == tree.states()
    assert 1 == routed(top)
    row = tree.describe().rows[1]
    assert row.ref is not None
    row.ref.tell("started")
    tree.settle()

    assert 3 == answer.get(timeout=0)
    assert 3 == routed(top)
    assert {"0": "running", "1": "running", "2": "running"} == tree.states()


def test_growing_ends_where_a_partition_does_not_start(tree: "Tree", scripted: type[Actor]) -> None:
    """What started is routed to; the next resize may try again."""
    top = start(tree, ChildSpec.of(scripted), 3, with_arguments=_script_of(2, ["run", "crash"]))
    tree.ask(Resize(0))
    with pytest.raises(StartFailed, match="/top/2"):
        tree.ask(Resize(3))
    assert 2 == routed(top)
    assert {"0": "running", "1": "running"} == tree.states()
    tree.ask(Resize(3))

    assert 3 == routed(top)
    assert {"0": "running", "1": "running", "2": "running"} == tree.states()


def test_resizes_are_done_in_turn(tree: "Tree", scripted: type[Actor]) -> None:
    """Two callers at once do not mix; each is answered when its own is done."""
    top = start(tree, ChildSpec.of(scripted, ["run", "stubborn"], shutdown=2.0), 2)
    answers = [tree.request(Resize(1)), tree.request(Resize(2)), tree.request(Resize(0))]
    tree.settle()
    assert 1 == routed(top)
    tree.advance(2.0)

    assert [1, 2, 0] == [answer.get(timeout=0) for answer in answers]
    assert 0 == routed(top)
    assert {} == tree.states()


def test_a_resize_to_what_it_is_changes_nothing(tree: "Tree") -> None:
    """B 4: 0 to the initial number, both included."""
    start(tree, SHARD, 2)
    before = tree.ref("1")

    assert 2 == tree.ask(Resize(2))
    assert tree.ref("1") is before


@pytest.mark.parametrize("found", [-1, 4, True, 2.0])
def test_a_resize_beyond_what_it_was_started_with_is_refused(tree: "Tree", found: Any) -> None:
    """B 4."""
    top = start(tree, SHARD, 3)
    with pytest.raises(InvalidSupervisor, match="from 0 to 3"):
        tree.ask(Resize(found))

    assert 3 == routed(top)


def test_a_temporary_partition_that_has_ended_is_no_obstacle(tree: "Tree") -> None:
    """It is forgotten already, and comes back when it is grown to again."""
    start(tree, ChildSpec.of(Shard, restart=Restart.TEMPORARY), 3)
    tree.tell("2", "crash")
    tree.ask(Resize(1))
    tree.ask(Resize(3))

    assert ["0", "1", "2"] == list(tree.states())


def test_who_waits_for_a_resize_hears_of_the_supervisors_end(tree: "Tree", scripted: type[Actor]) -> None:
    """A.10 `ActorDead`."""
    top = start(tree, ChildSpec.of(scripted, ["run", "stubborn"], shutdown=2.0), 2)
    answer = tree.request(Resize(1))
    tree.settle()
    top.kill()
    tree.settle()

    with pytest.raises(ActorDead):
        answer.get(timeout=0)


# Through a runtime: the handle


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    shards = ChildSpec.of(PartitionSupervisor, SHARD, partitions=3, with_arguments=_numbered, id="shards")
    with Runtime.start(ChildSpec.of(Supervisor, children=[shards], id="dev")) as made:
        yield made


def test_a_key_leads_to_its_partition(runtime: Runtime) -> None:
    """B 4."""
    shards = runtime.partitions("/dev/shards")

    assert 3 == shards.partitions
    assert ["/dev/shards/1", "/dev/shards/2", "/dev/shards/0"] == [shards.address(key).path for key in (1, -5, 3)]
    assert (partition_of("alice", 3),) == shards.address("alice").ask("args")


def test_after_a_resize_keys_live_elsewhere(runtime: Runtime) -> None:
    """B 4."""
    shards = runtime.partitions("/dev/shards")
    shards.resize(2)

    assert "/dev/shards/1" == shards.address(5).path
    assert ["0", "1"] == [child.id for child in shards.supervisor.which_children()]


def test_without_partitions_a_look_up_raises(runtime: Runtime) -> None:
    """B 4: 0 is allowed, and then no key leads anywhere."""
    shards = runtime.partitions("/dev/shards")
    shards.resize(0)

    with pytest.raises(NoPartitions, match="/dev/shards has no partitions now"):
        shards.address("alice")
    shards.resize(3)
    assert (0,) == shards.address(0).ask("args")


def test_routing_does_not_wait_for_the_supervisor(tree: "Tree") -> None:
    """Its status is read: here it has a resize to do and nothing lets it."""
    top = start(tree, SHARD, 3)
    tree.registry.register(ROOT, top)
    tree.request(Resize(1))
    handle = PartitionHandle(Address(ROOT, tree.system))

    assert "/top/2" == handle.address(2).path
    tree.settle()
    assert "/top/0" == handle.address(2).path
    tree.registry.unregister(ROOT, top)


def test_routing_at_another_supervisor_is_refused(runtime: Runtime) -> None:
    """A.10 `NotApplicable`."""
    dev = runtime.partitions("/dev")
    for act in (lambda: dev.address(1), lambda: dev.resize(1), lambda: dev.partitions):
        with pytest.raises(NotApplicable, match="no PartitionSupervisor"):
            act()


def test_a_restarted_supervisor_begins_with_all_its_partitions(
    runtime: Runtime, wait_for: Callable[[Callable[[], bool], str], None]
) -> None:
    """As children added by hand are lost, those shrunk away come back (B 1.8)."""
    shards = runtime.partitions("/dev/shards")
    shards.resize(1)
    before = runtime.whereis("/dev/shards")
    assert before is not None
    before.kill()
    wait_for(lambda: runtime.whereis("/dev/shards") not in (None, before), "the next one runs")

    assert 3 == shards.partitions
    assert 3 == len(shards.supervisor.which_children())


def test_the_processes_of_partitions_are_known_before_the_tree_starts() -> None:
    """processes.md R3: a process that lives on is adopted only if the tree is known to declare its path."""
    process = ChildSpec.of(ManagedProcess)
    shards = ChildSpec.of(PartitionSupervisor, process, partitions=2, id="shards")
    tree = ChildSpec.of(Supervisor, children=[shards, ChildSpec.of(ManagedProcess, id="p")], id="dev")

    assert ["/dev/shards/0", "/dev/shards/1", "/dev/p"] == list(process_paths(tree))
