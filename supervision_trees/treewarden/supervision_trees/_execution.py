"""How the commands of `control` are carried out on a running tree."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never, final

from treewarden.actors import (
    ActorPath,
    ChildId,
    ChildType,
    CutFailed,
    ManagedProcess,
    Reply,
    Snapshots,
    StateInUse,
    child_path,
)
from treewarden.actors.processes import ProcessSystem, tail
from treewarden.storage import StoreError
from treewarden.supervision_trees._apply import TreeApply
from treewarden.supervision_trees._checkpointing import CheckpointCommand, Checkpointing
from treewarden.supervision_trees._children import ChildState
from treewarden.supervision_trees._control import (
    ApplyTree,
    CheckpointDocument,
    Command,
    CommandRefused,
    CrashesRead,
    CreateCheckpoint,
    DiffCheckpoints,
    DiscardState,
    Inspect,
    ListCheckpoints,
    LogRead,
    PlanTree,
    PruneCheckpoints,
    ReadCrashes,
    ReadEvents,
    ReadLog,
    RestartActor,
    RestoreCheckpoint,
    ShowCheckpoint,
    StartActor,
    StopActor,
    StopTree,
    path_in_command,
)
from treewarden.supervision_trees._errors import NotFound
from treewarden.supervision_trees._event_reading import EventReading
from treewarden.supervision_trees._inspect import ActorView, CrashView, TreeView
from treewarden.supervision_trees._start_watch import start_and_watch

if TYPE_CHECKING:
    from treewarden.supervision_trees._handle import SupervisorHandle

__all__ = ["CommandExecution", "find_actor"]

LONGEST_READ: Final = 1 << 20  # bytes of a log in one answer


def find_actor(view: ActorView, path: str) -> ActorView | None:
    """The actor at `path` in `view`."""
    if view.path == path:
        return view
    for child in view.children:
        if path == child.path or path.startswith(child.path + "/"):
            return find_actor(child, path)
    return None


@final
class CommandExecution:
    """Carries out commands; each may block its caller, none blocks another. Safe from any thread."""

    def __init__(
        self,
        *,
        root: ActorPath,
        inspect: Callable[[], TreeView],
        supervisor: Callable[[str], "SupervisorHandle"],
        request_stop: Callable[[str], None],
        events: EventReading,
        processes: ProcessSystem,
        apply: TreeApply,
        monotonic: Callable[[], float],
        snapshots: Snapshots,
        checkpointing: Checkpointing,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._root, self._inspect, self._supervisor = root, inspect, supervisor
        self._request_stop, self._events, self._processes = request_stop, events, processes
        self._apply, self._snapshots, self._checkpointing = apply, snapshots, checkpointing
        self._monotonic, self._pause = monotonic, pause
        # Guards _restarts: the restarts under way. Never held while waiting.
        self._restarts_lock = threading.Lock()
        self._restarts: dict[ActorPath, Reply[ActorView]] = {}

    def execute(self, command: Command) -> object:
        """The command's result.

        Raises:
            CommandRefused, SupervisionError: it was not carried out, and why.
        """
        match command:
            case Inspect():
                return self._inspect()
            case StartActor(path):
                return self._start(*self._locate(path))
            case StopActor(path):
                return self._stop(*self._locate(path))
            case RestartActor(path):
                return self._restart(*self._locate(path))
            case DiscardState(path):
                return self._discard(*self._locate(path))
            case StopTree():
                self._request_stop("down")
                return None
            case ReadEvents():
                return self._events.read(command)
            case ReadCrashes(path):
                return _read_crashes(*self._locate(path), self._monotonic())
            case ReadLog():
                return self._read_log(command)
            case PlanTree():
                return self._apply.plan(command)
            case ApplyTree():
                return self._apply.apply(command)
            case (
                CreateCheckpoint()
                | ListCheckpoints()
                | ShowCheckpoint()
                | DiffCheckpoints()
                | RestoreCheckpoint()
                | PruneCheckpoints()
            ):
                return self._carry_out_on_checkpoints(command)
            case _:
                assert_never(command)

    def _carry_out_on_checkpoints(self, command: CheckpointCommand) -> CheckpointDocument:
        try:
            return self._checkpointing.execute(command)
        except (CutFailed, StoreError) as error:  # the tree goes on; it is the command that was not carried out
            raise CommandRefused(str(error)) from error

    def _locate(self, text: str) -> tuple["SupervisorHandle", ChildId]:
        path = path_in_command(text)
        parent, _, child = path.rpartition("/")
        if path == self._root:
            raise CommandRefused(f"{path} is the root, expected one of its children; `treewarden down` stops the tree")
        if not path.startswith(self._root + "/"):
            raise CommandRefused(f"there is no {path}; the tree is {self._root}, see `treewarden tree`")
        view = find_actor(self._inspect().root, parent)
        if view is None or view.kind != ChildType.SUPERVISOR.value:
            raise CommandRefused(f"there is no {path}: {parent} is no running supervisor; see `treewarden tree`")
        return self._supervisor(parent), ChildId(child)

    def _start(self, supervisor: "SupervisorHandle", child: ChildId) -> ActorView:
        def start(timeout: float) -> None:
            supervisor.restart_child(child, timeout=timeout)

        start_and_watch(supervisor, child_path(supervisor.path, child), start, pause=self._pause)
        return self._show(supervisor, child)

    def _stop(self, supervisor: "SupervisorHandle", child: ChildId) -> ActorView:
        before = self._find(supervisor, child)
        supervisor.terminate_child(child)
        after = self._find(supervisor, child)
        if after is None and before is not None:  # a temporary child is forgotten with its end
            return replace(before, state=ChildState.STOPPED.value, ready=False, uptime=None, pid=None)
        return self._show(supervisor, child)

    def _restart(self, supervisor: "SupervisorHandle", child: ChildId) -> ActorView:
        """Restart once however many ask: who comes while a restart is under way gets its result."""
        path = child_path(supervisor.path, child)
        mine: Reply[ActorView] = Reply()
        with self._restarts_lock:
            running = self._restarts.setdefault(path, mine)
        if running is mine:
            try:
                mine.try_set(self._stop_and_start(supervisor, child))
            except BaseException as error:
                mine.try_fail(error)
                raise
            finally:
                with self._restarts_lock:
                    del self._restarts[path]
        view: ActorView = running.get()
        return view

    def _stop_and_start(self, supervisor: "SupervisorHandle", child: ChildId) -> ActorView:
        spec = supervisor.get_child_spec(child)
        supervisor.terminate_child(child)

        def start(timeout: float) -> None:
            try:
                supervisor.restart_child(child, timeout=timeout)
            except NotFound:  # stopping it made its supervisor forget it: it is temporary, or its supervisor dynamic
                supervisor.start_child(spec, timeout=timeout)

        start_and_watch(supervisor, child_path(supervisor.path, child), start, pause=self._pause)
        return self._show(supervisor, child)

    def _discard(self, supervisor: "SupervisorHandle", child: ChildId) -> ActorView:
        path = child_path(supervisor.path, child)
        known = supervisor.which_child(child)
        actor_class, state = known.spec.actor_class, known.state
        if not actor_class.is_durable():
            process = "; a process is found by its record" if issubclass(actor_class, ManagedProcess) else ""
            raise CommandRefused(
                f"{path} is a {actor_class.__name__}, expected an actor that keeps state"
                f" (its class overrides snapshot()){process}"
            )
        if state not in {ChildState.STOPPED, ChildState.FAILED}:
            raise CommandRefused(f"{path} is {state.value}, expected it to be stopped or failed: stop it first")
        try:
            self._snapshots.discard(path)  # it looks again: somebody may start the child meanwhile
        except StateInUse as error:
            raise CommandRefused(str(error)) from None
        return self._show(supervisor, child)

    def _show(self, supervisor: "SupervisorHandle", child: ChildId) -> ActorView:
        view = self._find(supervisor, child)
        if view is None:
            raise NotFound(child_path(supervisor.path, child), ())
        return view

    def _find(self, supervisor: "SupervisorHandle", child: ChildId) -> ActorView | None:
        return find_actor(self._inspect().root, child_path(supervisor.path, child))

    def _read_log(self, command: ReadLog) -> LogRead:
        path = path_in_command(command.path)
        log = self._processes.log_path(path)
        if not log.is_file():
            if find_actor(self._inspect().root, path) is None:
                raise CommandRefused(f"there is no {path}; see `treewarden tree`")
            raise CommandRefused(f"{path} has no log at {log}; only processes that were started have one")
        return _read(log, command)


def _read_crashes(supervisor: "SupervisorHandle", child: ChildId, now: float) -> CrashesRead:
    return CrashesRead(
        tuple(
            CrashView(
                now - crash.at,
                crash.generation,
                crash.reason,
                crash.traceback,
                crash.last_message,
                crash.mailbox,
                crash.state,
            )
            for crash in supervisor.which_child(child).crashes
        )
    )


def _read(log: Path, command: ReadLog) -> LogRead:
    size = log.stat().st_size
    if command.offset is None:
        lines = tail(log, lines=command.lines, max_bytes=LONGEST_READ)
        return LogRead("".join(line + "\n" for line in lines), size)
    start = command.offset if command.offset <= size else 0  # it shrank: begin again
    with log.open("rb") as file:
        file.seek(start)
        found = file.read(LONGEST_READ)
    return LogRead(found.decode(errors="replace"), start + len(found))
