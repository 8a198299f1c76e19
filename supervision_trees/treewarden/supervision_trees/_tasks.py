"""A supervisor of tasks: functions that run once, each in a child of its own (Elixir's Task.Supervisor).

A task is a temporary child unless said otherwise: it is never restarted, and its crash is a crash
report that costs its supervisor nothing. It runs on the dispatcher as any handler does, so it may
block; it has started when its actor has, and the function runs after that.

Who waits hears of the end, whatever it was, exactly once and after the supervisor has: a place
that the task had under `max_children` is free by then.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, assert_never, final

from treewarden.actors import (
    INFINITY,
    Actor,
    ActorPath,
    ChildId,
    ChildSpec,
    Crashed,
    Exited,
    ExitReason,
    Generation,
    Gone,
    Intensity,
    InvalidChildSpec,
    Killed,
    Normal,
    Rejected,
    Reply,
    Restart,
    Shutdown,
    Started,
    Timer,
    Unresponsive,
    child_path,
    parse_path,
)
from treewarden.storage import Trigger
from treewarden.supervision_trees._checks import is_duration
from treewarden.supervision_trees._dynamic import DynamicSupervisor
from treewarden.supervision_trees._errors import TaskExit
from treewarden.supervision_trees._strategy import DEFAULT_INTENSITY

__all__ = ["Outcome", "TaskSupervisor", "task_spec"]

TASK_NAME: Final = "task"


@final
class Outcome:
    """What becomes of one task. The task's actor says what its function did, its supervisor that it ended."""

    def __init__(self) -> None:
        self.reply: Final[Reply[Any]] = Reply()
        self.over: Final[Reply[None]] = Reply()  # set after `reply`
        self._returned: Any = None
        self._rejected: Rejected | None = None

    def returned(self, value: object) -> None:
        """The function returned; whoever waits hears of it when the task has ended."""
        self._returned = value

    def rejected(self, error: Rejected) -> None:
        """The function raised an answer that is no crash."""
        self._rejected = error

    def ended(self, path: ActorPath, reason: ExitReason) -> None:
        """The task has ended and its supervisor knows. Only the first call counts."""
        match reason:
            case Normal() if self._rejected is not None:
                self.reply.try_fail(self._rejected)
            case Normal():
                self.reply.try_set(self._returned)
            case Crashed(Exception() as error, traceback):
                # A crash keeps no frames, so who waits reads where it was raised in a note (PEP 678), as an asker does.
                error.add_note(f"Raised in the task {path}:\n{traceback}")
                self.reply.try_fail(error)
            case Crashed() | Shutdown() | Killed() | Unresponsive() | Gone():
                self.reply.try_fail(TaskExit(path, reason))
            case _:
                assert_never(reason)
        self.over.try_set(None)


@final
@dataclass(frozen=True, slots=True)
class _TimeIsOver:
    """To the supervisor itself: a task has had all the time it may have."""

    child: ChildId
    generation: Generation
    after: float


@final
@dataclass(frozen=True, slots=True)
class _RunTask:
    """To the task itself: its function's turn has come."""


@final
class TaskActor(Actor):
    """Runs one function, once."""

    def __init__(
        self,
        outcome: Outcome,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        within: float,  # noqa: ARG002 - its supervisor sees to that
    ) -> None:
        super().__init__()
        self._outcome, self._function, self._arguments = outcome, function, arguments

    def on_start(self) -> None:
        """Start at once; the function is the first message."""
        self.context.tell_self(_RunTask())

    def on_receive(self, message: object) -> None:
        """Run the function and end; what it raises is a crash."""
        if not isinstance(message, _RunTask):
            super().on_receive(message)
            return
        try:
            self._outcome.returned(self._function(*self._arguments))
        except Rejected as error:  # elsewhere an actor lives on after it, and a task would for ever
            self._outcome.rejected(error)
        self.context.exit()


class TaskSupervisor(DynamicSupervisor):
    """Runs functions as children of their own; see `TaskHandle`. Other children may be started too.

    Example:
        ChildSpec.of(TaskSupervisor, id="tasks", max_children=50)
    """

    def __init__(
        self,
        *,
        max_children: int | None = None,
        intensity: Intensity = DEFAULT_INTENSITY,
        checkpoint: str | None = None,
    ) -> None:
        """As a `DynamicSupervisor`. A checkpoint of the subtree at `checkpoint` is asked for when a task has returned."""
        super().__init__(max_children=max_children, intensity=intensity)
        self._checkpoint = None if checkpoint is None else parse_path(checkpoint)
        self._limits: dict[ChildId, Timer] = {}

    def on_system(self, message: object) -> None:
        """Take a notice; a task's start begins its time, and its end is told to who waits."""
        match message:
            case Started():
                self._begin_limit(message)
                super().on_system(message)
            case Exited():
                before = self._machine.running_spec(message.child, message.generation)
                super().on_system(message)  # first: who is told may start the next task at once
                if before is not None:
                    self._task_exited(before, message.reason)
            case _TimeIsOver(child, generation, after):
                if self._machine.running_spec(child, generation) is not None:
                    self._refs[child].incarnation().abandon(Unresponsive(after))
            case _:
                super().on_system(message)

    def on_kill(self) -> None:
        """Tell who waits for the tasks that are taken along."""
        super().on_kill()
        for timer in self._limits.values():
            timer.cancel()
        for child in self._machine.children.values():
            self._tell(child.spec, Killed())

    def _begin_limit(self, started: Started) -> None:
        spec = self._machine.running_spec(started.child, started.generation)
        if spec is None or spec.actor_class is not TaskActor:
            return
        within = _within(spec)
        if within < INFINITY:
            over = _TimeIsOver(started.child, started.generation, within)
            self._limits[started.child] = self._system.timers.after(within, partial(self._tell_me, over))

    def _task_exited(self, spec: ChildSpec, reason: ExitReason) -> None:
        timer = self._limits.pop(spec.id, None)
        if timer is not None:
            timer.cancel()
        if spec.id not in self._machine.children:  # otherwise it is restarted, and not over
            self._tell(spec, reason)
            if self._checkpoint is not None and isinstance(reason, Normal):
                self.context.request_checkpoint(Trigger.TASK, path=self._checkpoint)

    def _tell(self, spec: ChildSpec, reason: ExitReason) -> None:
        if spec.actor_class is TaskActor:
            outcome: Outcome = spec.args[0]
            outcome.ended(child_path(self.context.path, spec.id), reason)


def _within(spec: ChildSpec) -> float:
    within: float = spec.args[-1]
    return within


def task_spec(
    outcome: Outcome,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    *,
    name: str | None,
    restart: Restart,
    shutdown: float,
    within: float,
) -> ChildSpec:
    """A child that runs `function(*arguments)` for at most `within` seconds; without `name` it is numbered.

    Raises:
        InvalidChildSpec: a field cannot be right.
    """
    if not is_duration(within):
        raise InvalidChildSpec("within", within, "seconds above 0, or INFINITY")
    if restart is Restart.PERMANENT:
        raise InvalidChildSpec("restart", restart, "TEMPORARY or TRANSIENT; a permanent task would never be over")
    return ChildSpec(
        id=ChildId(TASK_NAME if name is None else name),
        id_is_given=name is not None,
        actor_class=TaskActor,
        args=(outcome, function, arguments, within),
        restart=restart,
        shutdown=shutdown,
    )
