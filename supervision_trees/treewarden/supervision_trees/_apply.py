"""Plans and applies on a running tree: looks at it, compares it with a definition, carries the steps out.

Steps are the ordinary calls of supervisors, one after another. The first that fails ends the
apply: what was done stays done, nothing is rolled back (a rollback may fail too, and then nobody
knows what runs), and applying the same again goes on from there, since each plan is made from the
tree as it is.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, assert_never, final

import pykka

from treewarden.actors import (
    ActorPath,
    ActorRef,
    ApplyFailed,
    ApplyStep,
    ChildId,
    ChildSpec,
    EventSink,
    Intensity,
    TreeApplied,
    TreewardenError,
    child_path,
)
from treewarden.supervision_trees._children import ChildState
from treewarden.supervision_trees._control import (
    ApplyReport,
    ApplyTree,
    CommandRefused,
    PlannedStep,
    PlanTree,
    TreePlan,
)
from treewarden.supervision_trees._difference import group_of
from treewarden.supervision_trees._errors import NotFound, StillRestarting, StillRunning
from treewarden.supervision_trees._plan import (
    Change,
    Forget,
    Left,
    LiveChild,
    LiveSupervisor,
    Plan,
    RestartChanged,
    Start,
    Step,
    Stop,
    live_child,
    plan_changes,
)
from treewarden.supervision_trees._start_watch import start_and_watch
from treewarden.supervision_trees._strategy import AutoShutdown, Strategy
from treewarden.supervision_trees._supervisor import ChildRow
from treewarden.supervision_trees._views import describe_supervisor
from treewarden.supervision_trees.definitions import DefinitionErrors, child_spec, parse_definition

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["SupervisorCalls", "TreeApply"]

ANSWER_WITHIN: Final = 5.0  # seconds for one supervisor to show its table


class SupervisorCalls(Protocol):
    """The calls of one supervisor that an apply makes; `SupervisorHandle` has them."""

    def terminate_child(self, child: str, *, timeout: float | None = None) -> None: ...

    def restart_child(self, child: str, *, timeout: float | None = None) -> ActorRef[Any] | None: ...

    def delete_child(self, child: str, *, timeout: float | None = None) -> None: ...

    def change(
        self,
        *,
        strategy: Strategy | None = None,
        intensity: Intensity | None = None,
        auto_shutdown: AutoShutdown | None = None,
        children: Iterable[ChildSpec] | None = None,
        timeout: float | None = None,
    ) -> None: ...

    def rows(self) -> tuple[ChildRow, ...]: ...


@final
class TreeApply:
    """Makes plans and carries them out, one apply at a time. Safe from any thread."""

    def __init__(
        self,
        *,
        root: ActorPath,
        whereis: Callable[[str], ActorRef[Any] | None],
        supervisor: Callable[[str], SupervisorCalls],
        declared: Callable[[], ChildSpec],
        adopt: Callable[[ChildSpec], None],
        events: EventSink,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`declared` gives the spec that the root was started from, or that was adopted since; `adopt` takes a new one."""
        self._root, self._whereis, self._supervisor = root, whereis, supervisor
        self._declared, self._adopt, self._events, self._pause = declared, adopt, events, pause
        # Held by the apply under way, for its whole length; never waited for.
        self._applying = threading.Lock()
        self._under_way = ""  # what a second one is told; written by the holder

    def plan(self, command: PlanTree) -> TreePlan:
        """The steps that would be taken now.

        Raises:
            CommandRefused: the text is no definition of this tree (with every complaint), or the tree cannot be seen.
        """
        return self._view(command, self._compare(self._wanted(command)))

    def apply(self, command: ApplyTree) -> ApplyReport:
        """Take the steps. Blocks as long as they need; a step that fails is in the report, not raised.

        Raises:
            CommandRefused: nothing was done, for the reasons of `plan`, or since another apply is under
                way, or since the plan is no longer the one that was seen.
        """
        with self._alone(command.source):
            wanted = self._wanted(command)
            plan = self._compare(wanted)
            view = self._view(command, plan)
            if command.plan is not None and command.plan != view.digest:
                raise CommandRefused(
                    f"the tree {self._root} has changed since the plan for {command.source} was made;"
                    f" nothing was done; look at the new plan with: treewarden plan {command.source}"
                )
            return self._carry_out(plan, view, wanted)

    @contextmanager
    def _alone(self, source: str) -> "Generator[None]":
        if not self._applying.acquire(blocking=False):
            raise CommandRefused(f"another apply is under way ({self._under_way}); nothing was done; wait for its end")
        try:
            self._under_way = source
            yield
        finally:
            self._applying.release()

    # Looking

    def _wanted(self, command: PlanTree | ApplyTree) -> ChildSpec:
        source = command.source
        if not Path(source).is_absolute():
            raise CommandRefused(
                f"found the source {source!r}, expected an absolute path: working directories begin there"
            )
        try:
            definition = parse_definition(command.text, source=Path(source))
        except DefinitionErrors as error:
            count = len(error.complaints)
            complaints = "1 complaint" if count == 1 else f"{count} complaints"
            raise CommandRefused(f"{source} cannot be run: {complaints}, nothing was done\n{error}") from error
        if child_path(ActorPath(""), definition.name) != self._root:
            raise CommandRefused(
                f"{source} defines the tree /{definition.name}, expected {self._root}, which runs here: another tree"
                f" needs another --state directory, or `treewarden down` and `treewarden up` to take the place of this one"
            )
        return child_spec(definition)

    def _compare(self, wanted: ChildSpec) -> Plan:
        ref, declared = self._whereis(self._root), group_of(self._declared())
        if ref is None:
            raise CommandRefused(f"{self._root} does not run: it is starting or ending; see `treewarden tree`")
        if declared is None:
            raise CommandRefused(f"the root {self._root} is no plain Supervisor, so no definition can describe it")
        return plan_changes(self._look(ref, self._root, declared.children), wanted)

    def _look(self, ref: ActorRef[Any], path: ActorPath, declared: tuple[ChildSpec, ...]) -> LiveSupervisor:
        try:
            found = describe_supervisor(ref, timeout=ANSWER_WITHIN)
        except pykka.Timeout as error:
            raise CommandRefused(
                f"{path} did not answer within {ANSWER_WITHIN:g} s (or has just ended), so the tree cannot be compared;"
                f" nothing was done; see `treewarden tree`"
            ) from error
        return LiveSupervisor(path, found.settings, tuple(self._look_at(path, row) for row in found.rows), declared)

    def _look_at(self, parent: ActorPath, row: ChildRow) -> LiveChild:
        group = group_of(row.child.spec)
        running = None if row.ref is None else row.ref.incarnation().spec
        below = None
        # One that is on its way down shows no table worth a comparison.
        lives_on = row.ref is not None and row.child.state is not ChildState.STOPPING
        if row.ref is not None and lives_on and group is not None:
            below = self._look(row.ref, child_path(parent, row.child.id), group.children)
        return live_child(row.child, running, below)

    # Doing

    def _carry_out(self, plan: Plan, view: TreePlan, wanted: ChildSpec) -> ApplyReport:
        of = len(view.steps)
        for index, (step, shown) in enumerate(zip(plan.steps, view.steps, strict=True)):
            self._under_way = f"{view.source}, step {index + 1} of {of}: {shown}"
            self._events.emit(ApplyStep(step.path, shown.action, "; ".join(shown.why), index + 1, of))
            try:
                self._take(step, wanted)
            except (TreewardenError, pykka.Timeout) as error:
                why = str(error)
                self._events.emit(ApplyFailed(step.path, shown.action, why, index + 1, of))
                return ApplyReport(
                    self._root, view.source, view.steps[:index], shown, why, view.steps[index + 1 :], view.left
                )
        self._events.emit(TreeApplied(self._root, view.source, of))
        return ApplyReport(self._root, view.source, view.steps, None, None, (), view.left)

    def _take(self, step: Step, wanted: ChildSpec) -> None:
        match step:
            case Stop(path):
                supervisor, child = self._calls(path)
                with suppress(NotFound):  # a temporary child that has ended meanwhile
                    supervisor.terminate_child(child)
            case Forget(path):
                supervisor, child = self._calls(path)
                with suppress(NotFound):  # a temporary child is forgotten with its end
                    supervisor.delete_child(child)
            case Change():
                self._supervisor(step.path).change(
                    strategy=step.strategy,
                    intensity=step.intensity,
                    auto_shutdown=step.auto_shutdown,
                    children=step.children,
                )
                if step.path == self._root:
                    self._adopt(wanted)
            case Start(path):
                self._start(path)
            case RestartChanged(path):
                supervisor, child = self._calls(path)
                supervisor.terminate_child(child)
                self._start(path)
            case _:
                assert_never(step)

    def _start(self, path: ActorPath) -> None:
        """Start the child at `path`, and wait until it has started, or waits for a sibling, which may take for ever."""
        supervisor, child = self._calls(path)

        def start(timeout: float) -> None:
            try:
                supervisor.restart_child(child, timeout=timeout)
            except (StillRestarting, StillRunning) as error:
                if error.state == ChildState.STOPPING.value:
                    raise

        start_and_watch(supervisor, path, start, pause=self._pause)

    def _calls(self, path: ActorPath) -> tuple[SupervisorCalls, ChildId]:
        parent, _, child = path.rpartition("/")
        return self._supervisor(parent), ChildId(child)

    # Showing

    def _view(self, command: PlanTree | ApplyTree, plan: Plan) -> TreePlan:
        steps, left = tuple(map(_shown, plan.steps)), tuple(map(_shown, plan.left))
        shown = [(step.action, step.path, step.why) for step in (*steps, *left)]
        # The text too: two plans may read the same where values are not shown.
        spelt = json.dumps([command.text, command.source, shown])
        return TreePlan(plan.root, command.source, steps, left, hashlib.sha256(spelt.encode()).hexdigest())


def _shown(step: Step | Left) -> PlannedStep:
    match step:
        case Stop(path, why):
            return PlannedStep("stop", path, (why,))
        case Forget(path):
            return PlannedStep("forget", path, ())
        case Change():
            return PlannedStep("change", step.path, step.what)
        case Start(path, why):
            return PlannedStep("start", path, (why,))
        case RestartChanged(path, why):
            return PlannedStep("restart", path, why)
        case Left(path, why):
            return PlannedStep("leave", path, (why,))
        case _:
            assert_never(step)
