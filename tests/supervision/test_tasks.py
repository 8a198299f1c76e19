"""Functions that run as supervised children: TaskSupervisor and TaskHandle (supervision.md B 4, Task.Supervisor)."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pykka
import pytest

from treewarden.actors import (
    INFINITY,
    Actor,
    ActorDead,
    ChildId,
    ChildRestarting,
    ChildSpec,
    Crashed,
    CrashReport,
    Event,
    Generation,
    Intensity,
    InvalidChildSpec,
    Killed,
    Rejected,
    Restart,
    Shutdown,
    Unresponsive,
)
from treewarden.supervision_trees import (
    AlreadyStarted,
    NotApplicable,
    Runtime,
    Supervisor,
    TaskExit,
    TaskFailed,
    TaskHandle,
    TaskReturned,
    TaskSupervisor,
    TooManyChildren,
)
from treewarden.supervision_trees._effects import StartChild, TerminateChild
from treewarden.supervision_trees._tasks import Outcome, task_spec

if TYPE_CHECKING:
    from .conftest import Tree

    Wait = Callable[[Callable[[], bool], str], None]

PATIENCE = 10.0  # seconds; reached only by a test that fails


class Gate:
    """Where functions wait until the test lets them go on; it opens at the end of the test, whatever happens."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self._open = threading.Event()

    def open(self) -> None:
        self._open.set()

    def wait_entered(self) -> None:
        """Until one more function has come."""
        assert self.entered.acquire(timeout=PATIENCE)

    def pass_through(self, value: int = 1) -> int:
        self.entered.release()
        assert self._open.wait(3 * PATIENCE)  # longer than any test waits for something else
        return value


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open()


class World:
    """A runtime with a task supervisor, and what it tells."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        pool = ChildSpec.of(TaskSupervisor, id="tasks", max_children=4, intensity=Intensity(2, within=60.0))
        tree = ChildSpec.of(Supervisor, children=[pool], id="dev")
        self.runtime = Runtime.start(tree, events=lambda recorded: self.events.append(recorded.event))
        self.tasks = self.runtime.tasks("/dev/tasks")

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in tuple(self.events) if isinstance(event, kind)]


@pytest.fixture
def world(gate: Gate) -> Iterator[World]:
    made = World()
    yield made
    gate.open()
    made.runtime.stop()


def double(value: int) -> int:
    return 2 * value


def divide(by: int) -> float:
    return 1 / by


# Results


def test_a_task_returns_what_its_function_returns(world: World) -> None:
    """B 4 `async_nolink`; the result may be asked for again."""
    task = world.tasks.run_task(double, 4)

    assert 8 == task.result()
    assert 8 == task.result()
    assert task.is_over()


def test_a_task_raises_what_its_function_raised(world: World) -> None:
    """With a note that leads into the function; frames are not kept (they would keep the actor)."""
    task = world.tasks.run_task(divide, 0)
    with pytest.raises(ZeroDivisionError) as raised:
        task.result()

    (note,) = raised.value.__notes__
    assert note.startswith("Raised in the task /dev/tasks/task-1:")
    assert "in divide" in note


def test_a_crash_is_reported_and_costs_the_supervisor_nothing(world: World, wait_for: "Wait") -> None:
    """A.14; temporary children are never restarted, so many may crash."""
    before = world.runtime.whereis("/dev/tasks")
    tasks = [world.tasks.run_task(divide, 0) for _ in range(4)]
    assert all(task.wait() for task in tasks)
    wait_for(lambda: len(world.of(CrashReport)) == 4, "four crash reports")

    assert world.runtime.whereis("/dev/tasks") is before
    assert [] == world.of(ChildRestarting)
    assert () == world.runtime.supervisor("/dev/tasks").which_children()


def test_an_exit_raised_by_the_function_does_not_travel(world: World) -> None:
    """A.11: whoever waits must not leave because a task wanted to."""
    task = world.tasks.run_task(_leave)
    with pytest.raises(TaskExit) as raised:
        task.result()

    assert isinstance(raised.value.reason, Crashed)
    assert isinstance(raised.value.reason.error, SystemExit)


def _leave() -> None:
    raise SystemExit(3)


def test_a_rejection_is_the_result_and_no_crash(world: World) -> None:
    """A.11: an actor lives on after it; a task is over."""

    def refuse() -> None:
        raise Rejected("not today")

    task = world.tasks.run_task(refuse)
    with pytest.raises(Rejected, match="not today"):
        task.result()

    assert not task.ref.is_alive()
    assert [] == world.of(CrashReport)


def test_waiting_may_end_before_the_task_does(world: World, gate: Gate) -> None:
    """The task goes on, unlike Elixir's, whose owner exits with it."""
    task = world.tasks.run_task(gate.pass_through, 7)
    with pytest.raises(pykka.Timeout):
        task.result(timeout=0)
    assert not task.wait(timeout=0)
    assert not task.is_over()
    gate.open()

    assert task.wait()
    assert 7 == task.result()


def test_a_task_can_be_awaited_and_the_event_loop_goes_on(world: World, gate: Gate) -> None:
    """It opens the gate that the task waits at, so it cannot have been blocked."""

    async def main() -> int:
        task = world.tasks.run_task(gate.pass_through, 7)
        asyncio.get_running_loop().call_soon(gate.open)
        return await task

    assert 7 == asyncio.run(main())


def test_an_awaited_task_raises_what_its_function_raised(world: World) -> None:
    async def main() -> float:
        return await world.tasks.run_task(divide, 0)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())


# Tasks that have no result


def test_a_task_that_is_cancelled_in_its_function_is_given_up_on(world: World, gate: Gate) -> None:
    """A.7: a thread cannot be interrupted; it is abandoned after `shutdown` and fenced."""
    task = world.tasks.run_task(gate.pass_through, shutdown=0.05)
    gate.wait_entered()
    task.cancel()
    with pytest.raises(TaskExit, match="/dev/tasks/task-1 ended without a result: unresponsive") as raised:
        task.result(timeout=0)

    assert Unresponsive(0.05) == raised.value.reason


def test_a_function_that_returns_in_its_shutdown_time_has_its_result(world: World, gate: Gate) -> None:
    """A.7: the message in hand finishes."""
    task = world.tasks.run_task(gate.pass_through, 7, shutdown=INFINITY)
    gate.wait_entered()
    canceller = threading.Thread(target=task.cancel)
    canceller.start()
    gate.open()
    canceller.join()

    assert 7 == task.result(timeout=0)


def test_cancelling_what_is_over_is_fine(world: World) -> None:
    task = world.tasks.run_task(double, 1)
    task.wait()
    task.cancel()

    assert 2 == task.result(timeout=0)


def test_a_killed_task_says_so(world: World, gate: Gate) -> None:
    """A.2 `Killed()`."""
    task = world.tasks.run_task(gate.pass_through)
    gate.wait_entered()
    task.kill()
    with pytest.raises(TaskExit) as raised:
        task.result()

    assert Killed() == raised.value.reason


def test_a_task_whose_time_is_over_is_given_up_on(world: World, gate: Gate, wait_for: "Wait") -> None:
    """A.2 `Unresponsive(after)`; what its thread still does is refused."""
    task = world.tasks.run_task(gate.pass_through, within=0.05)
    with pytest.raises(TaskExit) as raised:
        task.result()

    assert Unresponsive(0.05) == raised.value.reason
    assert not task.ref.is_alive()


def test_a_task_that_is_stopped_before_it_began_never_runs(tree: "Tree") -> None:
    """Whoever waits is told, not left waiting."""
    ran: list[str] = []
    outcome = _start(tree, lambda: ran.append("it"))
    tree.request(TerminateChild(ChildId("t")))
    tree.settle()

    assert [] == ran
    with pytest.raises(TaskExit) as raised:
        outcome.reply.get(timeout=0)
    assert Shutdown("terminated by a call") == raised.value.reason


def test_who_waits_is_told_when_the_supervisor_is_killed(world: World, gate: Gate) -> None:
    """A killed supervisor takes its tasks with it."""
    task = world.tasks.run_task(gate.pass_through)
    gate.wait_entered()
    supervisor = world.runtime.whereis("/dev/tasks")
    assert supervisor is not None
    supervisor.kill()
    with pytest.raises(TaskExit) as raised:
        task.result()

    assert Killed() == raised.value.reason
    task.cancel()  # it is over, and so is the supervisor that would be asked


def test_who_waits_is_told_when_the_tree_stops(world: World, gate: Gate) -> None:
    """The task gets its `shutdown` like any child."""
    task = world.tasks.run_task(gate.pass_through, shutdown=0.05)
    gate.wait_entered()
    world.runtime.request_stop("the test")
    end = world.runtime.wait(PATIENCE)
    assert end is not None
    with pytest.raises(TaskExit) as raised:
        task.result(timeout=0)

    assert Unresponsive(0.05) == raised.value.reason
    assert ("/dev/tasks/task-1",) == end.report.abandoned


# In the supervisor, on a clock that stands still


def _start(tree: "Tree", function: Callable[[], object], *, within: float = INFINITY) -> Outcome:
    """Have a task supervisor told to start a task `t`; nothing has run yet."""
    tree.start(kind=TaskSupervisor)
    outcome = Outcome()
    spec = task_spec(outcome, function, (), name="t", restart=Restart.TEMPORARY, shutdown=5.0, within=within)
    tree.request(StartChild(spec))
    return outcome


def test_the_time_of_a_task_that_is_over_does_not_run_on(tree: "Tree") -> None:
    """No timer is left behind for each task that ever had a limit."""
    _start(tree, lambda: 1, within=10.0)
    tree.settle()

    assert 0 == tree.clock.pending()


def test_the_time_of_tasks_dies_with_their_supervisor(tree: "Tree") -> None:
    tree.start(kind=TaskSupervisor)
    killing = tree.refs[0].kill
    spec = task_spec(Outcome(), killing, (), name="t", restart=Restart.TEMPORARY, shutdown=5.0, within=10.0)
    tree.request(StartChild(spec))
    tree.settle()

    assert not tree.refs[0].is_alive()
    assert 0 == tree.clock.pending()


# Fire and forget


def test_a_transient_task_runs_until_it_succeeds(world: World, wait_for: "Wait") -> None:
    """B 4 `start_child` with `restart`: each further run is a restart, charged as any."""
    runs: list[int] = []
    done = threading.Event()

    def succeed_at_last() -> None:
        runs.append(len(runs) + 1)
        if len(runs) < 3:
            raise ConnectionError("not yet")
        done.set()

    ref = world.tasks.start_task(succeed_at_last, restart=Restart.TRANSIENT)
    assert done.wait(PATIENCE)
    wait_for(lambda: world.runtime.supervisor("/dev/tasks").which_children() == (), "it is forgotten")

    assert [1, 2, 3] == runs
    assert Generation(1) == ref.generation
    wait_for(lambda: len(world.of(ChildRestarting)) >= 2, "the events are told")  # on a thread of their own
    assert 2 == len(world.of(ChildRestarting))


def test_a_task_that_is_restarted_too_often_ends_its_supervisor(world: World, wait_for: "Wait") -> None:
    """A.3."""
    before = world.runtime.whereis("/dev/tasks")
    assert before is not None
    world.tasks.start_task(divide, 0, restart=Restart.TRANSIENT)

    assert Shutdown("intensity") == before.wait_stopped(timeout=PATIENCE)


def test_a_permanent_task_is_refused(world: World) -> None:
    with pytest.raises(InvalidChildSpec, match="restart"):
        world.tasks.start_task(double, 1, restart=Restart.PERMANENT)


@pytest.mark.parametrize("within", [0.0, -1.0, float("nan")])
def test_a_task_without_time_is_refused(world: World, within: float) -> None:
    with pytest.raises(InvalidChildSpec, match="within"):
        world.tasks.run_task(double, 1, within=within)


# Names and places


def test_tasks_are_numbered_or_named(world: World, gate: Gate) -> None:
    """A.1."""
    refs = [world.tasks.run_task(gate.pass_through).ref for _ in range(2)]
    refs.append(world.tasks.start_task(gate.pass_through, name="nightly"))

    assert ["/dev/tasks/task-1", "/dev/tasks/task-2", "/dev/tasks/nightly"] == [ref.path for ref in refs]
    with pytest.raises(AlreadyStarted):
        world.tasks.run_task(double, 1, name="nightly")


def test_too_many_tasks_are_refused_and_a_result_means_a_free_place(world: World, gate: Gate) -> None:
    """A.10 `TooManyChildren`."""
    for _ in range(3):
        world.tasks.run_task(gate.pass_through)
    for number in range(50):
        assert 2 * number == world.tasks.run_task(double, number).result()
    world.tasks.run_task(gate.pass_through)

    with pytest.raises(TooManyChildren):
        world.tasks.run_task(double, 1)


def test_a_supervisor_of_another_kind_runs_no_tasks(world: World) -> None:
    with pytest.raises(NotApplicable, match="no TaskSupervisor"):
        world.runtime.tasks("/dev").run_task(double, 1)
    with pytest.raises(ActorDead):
        world.runtime.tasks("/dev/nobody").run_task(double, 1)


def test_it_may_have_other_children_too(world: World) -> None:
    """It is a dynamic supervisor, as Elixir's."""
    ref = world.runtime.supervisor("/dev/tasks").start_child(ChildSpec.of(Actor, id="other"))
    assert ref is not None
    ref.kill()
    assert 2 == world.tasks.run_task(double, 1).result()


def test_a_message_to_a_task_does_not_run_it_again(world: World, gate: Gate) -> None:
    task = world.tasks.run_task(gate.pass_through, 7)
    gate.wait_entered()
    task.ref.tell("hello")
    gate.open()

    assert 7 == task.result()


# From inside actors


class Asker(Actor):
    """Runs a task for each message, and waits for its result in its own handler."""

    def on_receive(self, message: int) -> int:
        tasks = TaskHandle(self.context.address("/dev/tasks"))
        return tasks.run_task(_through_another, tasks, message, 3).result()


def _through_another(tasks: TaskHandle, value: int, depth: int) -> int:
    if depth == 0:
        return value
    return tasks.run_task(_through_another, tasks, value + 1, depth - 1).result()


def test_actors_and_tasks_that_wait_for_tasks_do_not_hold_each_other_up() -> None:
    """Reply.get announces its wait, so a chain may be longer than the pool of threads."""
    pool = ChildSpec.of(TaskSupervisor, id="tasks")
    askers = [ChildSpec.of(Asker, id=f"asker-{number}") for number in range(8)]
    with Runtime.start(ChildSpec.of(Supervisor, children=[pool, *askers], id="dev")) as runtime:
        addresses = [runtime.address(f"/dev/asker-{number}").require() for number in range(8)]
        futures = [ref.ask(number, block=False) for number, ref in enumerate(addresses)]

        assert [number + 3 for number in range(8)] == [future.get(timeout=PATIENCE) for future in futures]


# One for each item


def test_results_come_in_the_order_of_the_items(world: World) -> None:
    """B 4 `async_stream`: the place of the last result is free for the next item."""
    results = world.tasks.map_tasks(double, range(100), max_concurrency=4)

    assert [TaskReturned(2 * number) for number in range(100)] == list(results)


def test_no_more_than_so_many_run_at_once(world: World, gate: Gate) -> None:
    """And no more items are taken than have a place."""
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(5):
            taken.append(number)
            yield number

    results = world.tasks.map_tasks(gate.pass_through, items(), max_concurrency=2)
    assert [] == taken
    opener = threading.Thread(target=lambda: (gate.wait_entered(), gate.wait_entered(), gate.open()))
    opener.start()
    assert TaskReturned(0) == next(results)
    opener.join()
    assert [0, 1] == taken

    assert [TaskReturned(number) for number in range(1, 5)] == list(results)


def test_an_item_that_fails_does_not_disturb_the_others(world: World) -> None:
    first, second, third = world.tasks.map_tasks(divide, [1, 0, 2], max_concurrency=2)

    assert (TaskReturned(1.0), TaskReturned(0.5)) == (first, third)
    assert isinstance(second, TaskFailed)
    assert isinstance(second.error, ZeroDivisionError)


def test_an_item_whose_time_is_over_is_reported_in_its_place(world: World, gate: Gate) -> None:
    """B 4 `on_timeout: :kill_task`."""

    def slow_or_not(number: int) -> int:
        return gate.pass_through(number) if number == 1 else number

    zero, one, two = world.tasks.map_tasks(slow_or_not, range(3), max_concurrency=3, within=0.2)

    assert (TaskReturned(0), TaskReturned(2)) == (zero, two)
    assert isinstance(one, TaskFailed)
    assert isinstance(one.error, TaskExit)
    assert Unresponsive(0.2) == one.error.reason


def test_closing_the_iterator_kills_what_runs(world: World, gate: Gate, wait_for: "Wait") -> None:
    """Nobody will take those results."""

    def wait_but_first(number: int) -> int:
        return gate.pass_through(number) if number else 0

    results = world.tasks.map_tasks(wait_but_first, range(10), max_concurrency=3, within=60.0)
    assert TaskReturned(0) == next(results)
    gate.wait_entered()
    gate.wait_entered()
    results.close()
    wait_for(lambda: world.runtime.supervisor("/dev/tasks").which_children() == (), "they are forgotten")


def test_a_map_that_may_run_nothing_is_refused_at_once(world: World) -> None:
    with pytest.raises(ValueError, match="max_concurrency=0"):
        world.tasks.map_tasks(double, [1], max_concurrency=0)
