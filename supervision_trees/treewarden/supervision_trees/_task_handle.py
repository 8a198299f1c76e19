"""Running functions under supervision, as a caller sees it: what `runtime.tasks(path)` returns."""

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar, TypeVarTuple, cast, final

import pykka

from treewarden.actors import INFINITY, ActorDead, ActorPath, ActorRef, Address, ChildId, Restart
from treewarden.supervision_trees._effects import StartChild, TerminateChild
from treewarden.supervision_trees._errors import NotApplicable, NotFound
from treewarden.supervision_trees._tasks import Outcome, TaskSupervisor, task_spec

__all__ = ["Task", "TaskFailed", "TaskHandle", "TaskResult", "TaskReturned"]

DEFAULT_SHUTDOWN: Final = 5.0

T = TypeVar("T")
Item = TypeVar("Item")
Arguments = TypeVarTuple("Arguments")


@final
@dataclass(frozen=True, slots=True)
class TaskReturned(Generic[T]):
    """What the function returned for one item."""

    value: T


@final
@dataclass(frozen=True, slots=True)
class TaskFailed:
    """What it raised, or a `TaskExit` if it had no result: `Unresponsive` if its time was over."""

    error: Exception


TaskResult: TypeAlias = TaskReturned[T] | TaskFailed


@final
class Task(Generic[T]):
    """A function that runs as a supervised child. Safe from any thread, and awaitable in asyncio.

    It belongs to nobody: it goes on when whoever started it ends, or gives up waiting.
    """

    def __init__(self, ref: ActorRef[Any], outcome: Outcome, supervisor: ActorRef[Any]) -> None:
        self._ref, self._outcome, self._supervisor = ref, outcome, supervisor
        self._name = ChildId(ref.path.rpartition("/")[2])

    @property
    def ref(self) -> ActorRef[Any]:
        """The actor that runs it."""
        return self._ref

    def result(self, *, timeout: float | None = 5.0) -> T:
        """Wait at most `timeout` seconds for what the function returns; may be called again.

        In an actor this holds up that actor alone: its thread is replaced meanwhile.

        Raises:
            Exception: what the function raised.
            TaskExit: it ended without a result.
            pykka.Timeout: it is not over yet; it goes on.
        """
        value: T = self._outcome.reply.get(timeout=timeout)
        return value

    def __await__(self) -> Generator[Any, None, T]:
        """`result` for asyncio, without a deadline: the event loop goes on meanwhile."""
        return self._outcome.reply.__await__()

    def wait(self, *, timeout: float | None = 5.0) -> bool:
        """Wait at most `timeout` seconds until it is over, however it ended; whether it is."""
        try:
            self._outcome.over.get(timeout=timeout)
        except pykka.Timeout:
            return False
        return True

    def is_over(self) -> bool:
        """Whether it has ended and its supervisor knows."""
        return self._outcome.over.is_set()

    def cancel(self, *, timeout: float | None = None) -> None:
        """Have its supervisor stop it, and return when it is over.

        A function that runs cannot be interrupted: it gets the task's `shutdown` seconds to return,
        which is then its result; after that it is abandoned and its thread fenced.
        """
        try:
            self._supervisor.ask(TerminateChild(self._name, self._ref.generation), timeout=timeout)
        except (NotFound, ActorDead):
            return  # it is over; so is everything below a supervisor that is gone

    def kill(self) -> None:
        """End it at once; if its function runs, that is abandoned and its thread fenced."""
        self._ref.kill()


@final
class TaskHandle:
    """Runs functions under the `TaskSupervisor` at one address. Safe from any thread.

    All calls raise `ActorDead` if nobody runs there, `NotApplicable` if it is no `TaskSupervisor`,
    and `TooManyChildren` if it runs as many tasks as it may. They wait until the task's actor has
    started, never for the function. In an actor: `TaskHandle(self.context.address("/dev/tasks"))`.
    """

    def __init__(self, address: Address) -> None:
        self._address = address

    @property
    def path(self) -> ActorPath:
        """Where the task supervisor lives."""
        return self._address.path

    def run_task(
        self,
        function: Callable[[*Arguments], T],
        *args: *Arguments,
        within: float = INFINITY,
        name: str | None = None,
        shutdown: float = DEFAULT_SHUTDOWN,
    ) -> Task[T]:
        """Run `function(*args)` once, as a temporary child, for somebody who wants its result.

        After `within` seconds it is given up on as `Unresponsive`. Its path ends in `name`, or in
        `task` and a number. `shutdown` seconds are what it gets when it is told to stop (Elixir's
        `async_nolink`).

        Raises:
            AlreadyStarted: a task of that name runs.
        """
        return self._start(function, args, within=within, name=name, restart=Restart.TEMPORARY, shutdown=shutdown)

    def start_task(
        self,
        function: Callable[[*Arguments], object],
        *args: *Arguments,
        restart: Restart = Restart.TEMPORARY,
        within: float = INFINITY,
        name: str | None = None,
        shutdown: float = DEFAULT_SHUTDOWN,
    ) -> ActorRef[Any]:
        """Run `function(*args)` for its effects alone; a transient one again after each crash, as intensity allows.

        Raises:
            InvalidChildSpec: `restart` is permanent: it would run again and again.
        """
        return self._start(function, args, within=within, name=name, restart=restart, shutdown=shutdown).ref

    def map_tasks(
        self,
        function: Callable[[Item], T],
        items: Iterable[Item],
        *,
        max_concurrency: int,
        within: float = 5.0,
    ) -> Generator[TaskResult[T]]:
        """Run `function` on each item, in tasks, and yield the results in the items' order.

        At most `max_concurrency` are under way, those included whose result waits to be taken; items
        are taken as places become free. A task that is not over `within` seconds after its start is
        given up on, and its result is `TaskFailed`. Closing the iterator kills what runs (Elixir's
        `async_stream_nolink`, ordered, `on_timeout: :kill_task`).

        Raises:
            ValueError: `max_concurrency` is below 1.
        """
        if max_concurrency < 1:
            raise ValueError(f"map_tasks(max_concurrency={max_concurrency}): expected 1 or more")
        return self._map(function, iter(items), max_concurrency, within)

    def _map(
        self, function: Callable[[Item], T], items: Iterator[Item], at_once: int, within: float
    ) -> Generator[TaskResult[T]]:
        running: deque[Task[T]] = deque()
        try:
            while True:
                for item in itertools.islice(items, at_once - len(running)):
                    running.append(self.run_task(function, item, within=within))
                if not running:
                    return
                yield _result_of(running.popleft())
        finally:
            for task in running:
                task.kill()

    def _start(
        self,
        function: Callable[..., T],
        args: tuple[Any, ...],
        *,
        within: float,
        name: str | None,
        restart: Restart,
        shutdown: float,
    ) -> Task[T]:
        supervisor, outcome = self._address.require(), Outcome()
        if not issubclass(supervisor.actor_class, TaskSupervisor):
            raise NotApplicable(self.path, "a task", "it is no TaskSupervisor")
        spec = task_spec(outcome, function, args, within=within, name=name, restart=restart, shutdown=shutdown)
        ref = cast("ActorRef[Any]", supervisor.ask(StartChild(spec), timeout=None))  # a task never declines
        return Task(ref, outcome, supervisor)


def _result_of(task: Task[T]) -> TaskResult[T]:
    try:
        return TaskReturned(task.result(timeout=None))
    except Exception as error:  # noqa: BLE001 - task boundary: whoever maps decides, item by item
        return TaskFailed(error)
