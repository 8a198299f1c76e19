"""The composition root: boots the tree over its ports, and takes everything down again.

Order of a start: own the state directory, open the store, go on with the numbers of its events, end what nobody will adopt, make the
ports, start the console, start the root. A failure at any point undoes what came before it. Order
of a stop: the root (its children in reverse), the console, a last look for processes that carry
this store's cookie, the ports, the last events, the store, the lock.
"""

import contextlib
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, final

import pykka

from treewarden.actors import (
    ActorDead,
    ActorPath,
    ActorRef,
    Address,
    CheckpointRequests,
    ChildId,
    ChildNotice,
    ChildSpec,
    Exited,
    Intensity,
    ListedTree,
    Names,
    Reply,
    Runnable,
    RuntimeStarted,
    RuntimeStopped,
    Shutdown,
    Snapshots,
    Started,
    StopReport,
    StoreResumed,
    StoreStalled,
    SystemClock,
    child_path,
    join_pykka_registry,
    parse_path,
    spawn,
)
from treewarden.storage import Checkpoint, MemoryStore, SnapshotStore, StoreState, Trigger
from treewarden.supervision_trees._apply import TreeApply
from treewarden.supervision_trees._at_rest import SYSTEM, own_log, store_at_rest
from treewarden.supervision_trees._checkpoint_actor import CheckpointActor, TakeRequested
from treewarden.supervision_trees._checkpointing import Checkpointing
from treewarden.supervision_trees._checks import check_spec
from treewarden.supervision_trees._control import Command
from treewarden.supervision_trees._errors import StartFailed
from treewarden.supervision_trees._event_keeping import EventKeeping, keep_events
from treewarden.supervision_trees._event_reading import EventReading
from treewarden.supervision_trees._execution import CommandExecution
from treewarden.supervision_trees._explanation import GiveUps
from treewarden.supervision_trees._handle import SupervisorHandle
from treewarden.supervision_trees._inspect import TreeView
from treewarden.supervision_trees._kept_mailboxes import KeptMailboxes
from treewarden.supervision_trees._partition_handle import PartitionHandle
from treewarden.supervision_trees._parts import ConsoleActor, EventsActor
from treewarden.supervision_trees._ports import CLOSING, make_processes, make_system, own_store
from treewarden.supervision_trees._records import RestartRecords
from treewarden.supervision_trees._recovery import SweepReport, sweep, sweep_all
from treewarden.supervision_trees._registry import Registry
from treewarden.supervision_trees._root import FIRST, ROOT_PARENT, Root, RuntimeEnd
from treewarden.supervision_trees._supervisor import Supervisor
from treewarden.supervision_trees._task_handle import TaskHandle
from treewarden.supervision_trees._views import TreeViewer
from treewarden.supervision_trees.console import socket_path_for
from treewarden.supervision_trees.definitions import TreeDefinition, child_spec
from treewarden.supervision_trees.telemetry import EventHub, LogLines, Subscriber

__all__ = ["Runtime", "StopReport"]

CHECKPOINTS: Final = ChildId("checkpoints")  # a part of it
MAILBOXES_WITHIN: Final = 5.0  # seconds that a start waits for what a checkpoint kept to be given back
CHECKPOINT_EVERY: Final = 300.0  # seconds
KEEP_CHECKPOINTS: Final = 7 * 24 * 3600.0  # seconds


@final
class Runtime:
    """One running tree. Start it with `Runtime.start`; every method is safe from any thread.

    Example:
        with Runtime.start(load_definition("tree.yaml"), state_dir=".treewarden") as runtime:
            print(runtime.inspect())
    """

    @classmethod
    def start(
        cls,
        tree: TreeDefinition | ChildSpec,
        *,
        state_dir: str | os.PathLike[str] | None = None,
        events: Subscriber | None = None,
        discard_state: Iterable[str] = (),
        stop_requests: Callable[[Callable[[str], None]], object] | None = None,
        checkpoint_every: float | None = CHECKPOINT_EVERY,
        keep_checkpoints: float = KEEP_CHECKPOINTS,
    ) -> "Runtime":
        """Run `tree`; return when its root has started, or has ended because it was asked to.

        With `state_dir` the store is on disk and a console listens there: processes that an
        earlier runtime left alive are adopted. Without it everything is in memory and nothing is
        left behind. `events` is called with each event; `discard_state` names paths
        whose stored records are forgotten first; `stop_requests` is called before anything starts,
        with the function that asks this runtime to stop, so that a start under way can be stopped too.
        With `state_dir` a checkpoint of the whole tree is taken every `checkpoint_every` seconds (None: only
        those that are asked for), and removed after `keep_checkpoints` seconds, but for the newest.

        Raises:
            InvalidChildSpec, InvalidSupervisor: `tree` is none; nothing was started.
            StoreLocked: another runtime owns the directory.
            StoreUnusable, StateCorrupt, AnotherTree: what is stored there cannot be used; nothing was started.
            StartFailed: a child did not start; nothing of the tree runs on, whatever runtime started it.
        """
        root = child_spec(tree) if isinstance(tree, TreeDefinition) else tree
        check_spec("tree", root)
        runtime = cls(root, state_dir, checkpoint_every, keep_checkpoints)
        try:
            if stop_requests is not None:
                stop_requests(runtime.request_stop)
            runtime._boot(events, tuple(parse_path(path) for path in discard_state))
        except BaseException:
            runtime.stop()
            raise
        return runtime

    def __init__(
        self,
        root: ChildSpec,
        state_dir: str | os.PathLike[str] | None,
        checkpoint_every: float | None,
        keep_checkpoints: float,
    ) -> None:
        if root.id == SYSTEM:
            raise ValueError(f"a tree cannot be named {SYSTEM!r}: the runtime's own parts live there")
        self._state_dir = None if state_dir is None else Path(state_dir).absolute()
        self._clock = SystemClock()
        # The numbers go on from those in the store, once that is open.
        self._run = uuid.uuid4().hex
        self._hub = EventHub(self._clock, first=1 if state_dir is None else None)
        self._logs = LogLines()
        self._registry = Registry()
        self._checkpoint_every, self._keep_checkpoints = checkpoint_every, keep_checkpoints
        self._closers = contextlib.ExitStack()
        self._started_at = self._clock.wall()
        self._store: SnapshotStore | None = None
        self._execution: CommandExecution | None = None
        self._parts: ActorRef[Any] | None = None
        self._give_ups = GiveUps(self._hub)
        self._root = Root(
            root,
            self._give_ups,
            clock=self._clock,
            since=self._started_at,
            events=self._hub,
            below=self._registry.below,
        )
        # Guards _stop_report: the first caller of `stop` does it, others wait for its report.
        self._stopping = threading.Lock()
        self._stop_report: StopReport | None = None
        self._pid = os.getpid()
        self._stalled_at = 0.0  # monotonic seconds; the storage thread alone uses it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Looking and sending

    def address(self, path: str) -> Address:
        """The address of the actor at `path`; `ValueError` if that is no path."""
        return Address(parse_path(path), self._system)

    def whereis(self, path: str) -> ActorRef[Any] | None:
        """The incarnation that runs at `path` now."""
        return self._registry.lookup(parse_path(path))

    @property
    def names(self) -> Names:
        """The registered names of this runtime."""
        return self._system.names

    def supervisor(self, path: str) -> SupervisorHandle:
        """The calls of the supervisor at `path`."""
        return SupervisorHandle(self.address(path))

    def partitions(self, path: str) -> PartitionHandle:
        """Routing by key, and resizing, at the `PartitionSupervisor` at `path`."""
        return PartitionHandle(self.address(path))

    def tasks(self, path: str) -> TaskHandle:
        """Running functions under the `TaskSupervisor` at `path`."""
        return TaskHandle(self.address(path))

    def inspect(self) -> TreeView:
        """The tree as it is now; an unresponsive supervisor is shown as silent, never waited for."""
        viewer = TreeViewer(self._clock.monotonic)
        return TreeView(
            name=self._root.spec.id,
            runtime_pid=os.getpid(),
            state_dir=None if self._state_dir is None else str(self._state_dir),
            started_at=self._started_at,
            taken_at=self._clock.wall(),
            root=viewer.view(ROOT_PARENT, self._root.row()),
        )

    def execute(self, command: Command) -> object:
        """Carry out a command of `control`; see there for results.

        Raises:
            CommandRefused, SupervisionError: it was not carried out, and why.
        """
        assert self._execution is not None
        return self._execution.execute(command)

    def checkpoint(
        self,
        path: str | None = None,
        *,
        trigger: Trigger = Trigger.MANUAL,
        within: float = 5.0,
        durable: Mapping[str, object] | None = None,
    ) -> Checkpoint:
        """Take a checkpoint of the subtree at `path`, or of the whole tree, while it runs; return it once it is durable.

        All of its actors stand still for a moment at a message boundary, so that their states are of one
        moment. `durable` are plain values of the caller's that belong to it: results, metrics, references.

        Raises:
            CommandRefused: nothing runs there.
            CutFailed: an actor came to no message boundary `within` seconds, or its `snapshot()` failed.
            StoreError: it could not be written.
        """
        place = self._root.path if path is None else parse_path(path)
        return self._checkpointing.take(place, trigger, within=within, durable=durable)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call `subscriber` with each event from now on, in order, on the event thread."""
        self._hub.subscribe(subscriber)

    # Ending

    def request_stop(self, why: str) -> None:
        """Begin an orderly stop and return; `wait` tells when it is over. Asking again changes nothing."""
        self._root.request_stop(why)

    def wait(self, timeout: float | None = None) -> RuntimeEnd | None:
        """Wait until the tree has ended, whoever ended it; None if it runs on after `timeout` seconds.

        What the runtime itself holds is let go of by `stop`.
        """
        return self._root.wait(timeout)

    def stop(self, *, within: float = 30.0) -> StopReport:
        """Stop the tree and let go of everything; what is not down `within` seconds is killed.

        Idempotent; a second caller waits for the first. Not for an actor of the same tree. In a
        forked child it does nothing: the tree is the parent's.
        """
        if os.getpid() != self._pid:
            return StopReport()
        with self._stopping:
            if self._stop_report is None:
                try:
                    self._stop_report = self._stop_tree(within)
                finally:
                    self._closers.close()
                    self._hub.close()
            return self._stop_report

    @classmethod
    def sweep(cls, state_dir: str | os.PathLike[str]) -> SweepReport:
        """End the processes that a killed runtime left behind in `state_dir`, where none runs now.

        Raises:
            StoreLocked: a runtime runs there; ask it instead.
        """
        directory = Path(state_dir).absolute()
        if not (directory / "store").is_dir():
            return SweepReport()
        with store_at_rest(directory, purpose="sweep") as (store, hub):
            return sweep_all(store, events=hub)

    # Booting

    def _boot(self, events: Subscriber | None, discard: tuple[ActorPath, ...]) -> None:
        if events is not None:
            self._hub.subscribe(events)
        store = self._store = self._open_store()
        store.on_state(self._tell_of_store)
        keeping = None
        if self._state_dir is not None:  # without one nothing outlives the runtime
            keeping = keep_events(
                self._hub, store, runtime=self._run, clock=self._clock, log=own_log(self._logs), closers=self._closers
            )
        sweep(store, self._root.spec, discard=discard, state_dir=self._state_dir, events=self._hub)
        processes = make_processes(
            store,
            state_dir=self._state_dir,
            registry=self._registry,
            runtime=self._run,
            on_error=self._report,
            closers=self._closers,
        )
        # Without a state directory nothing outlives the runtime, so there is nothing to remember for.
        restarts = None if self._state_dir is None else RestartRecords(store, self._clock.wall, events=self._hub)
        snapshots = Snapshots(store)
        mailboxes = KeptMailboxes(
            store,
            lookup=self._registry.lookup,
            schedule=self._schedule,
            events=self._hub,
        )
        self._registry.on_register(mailboxes.registered)
        self._checkpointing = Checkpointing(
            store,
            clock=self._clock,
            events=self._hub,
            members=self._registry.below,
            last_event=lambda: self._hub.last,
            mailboxes=mailboxes,
            snapshots=snapshots,
        )
        self._checkpointing.sweep()
        self._system = make_system(
            processes,
            snapshots,
            restarts=restarts,
            checkpoints=CheckpointRequests(self._request_checkpoint),
            clock=self._clock,
            events=self._give_ups,
            registry=self._registry,
            log=self._logs.of_actor,
            on_error=self._report,
            closers=self._closers,
        )
        self._execution = CommandExecution(
            root=self._root.path,
            inspect=self.inspect,
            supervisor=self.supervisor,
            request_stop=self.request_stop,
            events=EventReading(self._hub, None if keeping is None else keeping.journal.pages, runtime=self._run),
            processes=processes,
            apply=TreeApply(
                root=self._root.path,
                whereis=self.whereis,
                supervisor=self.supervisor,
                declared=lambda: self._root.spec,
                adopt=self._root.adopt,
                events=self._hub,
            ),
            monotonic=self._clock.monotonic,
            snapshots=snapshots,
            checkpointing=self._checkpointing,
        )
        if self._state_dir is not None and keeping is not None:
            self._start_parts(self._state_dir, keeping)
        self._closers.callback(join_pykka_registry(self._listed))
        self._hub.emit(RuntimeStarted(self._root.path, os.getpid()))
        running = self._root.start(self._system)
        if running is not None:
            self._registry.register(self._root.path, running)
            mailboxes.wait_given(MAILBOXES_WITHIN)

    def _schedule(self, runnable: Runnable) -> None:
        self._system.dispatcher.schedule(runnable)

    def _request_checkpoint(self, path: ActorPath, trigger: Trigger) -> None:
        taker = self._registry.lookup(child_path(child_path(ROOT_PARENT, SYSTEM), CHECKPOINTS))
        if taker is not None and self._checkpointing.note_request(path, trigger):
            with contextlib.suppress(ActorDead):  # it is being restarted, and takes up what was noted then
                taker.tell(TakeRequested())

    def _tell_of_store(self, state: StoreState) -> None:
        # On the storage thread: an event is only noted there.
        where, now = str(self._state_dir), self._clock.monotonic()
        if state is StoreState.FULL:
            self._stalled_at = now
            self._hub.emit(StoreStalled(where))
        else:
            self._hub.emit(StoreResumed(where, round(now - self._stalled_at, 3)))

    def _open_store(self) -> SnapshotStore:
        if self._state_dir is None:
            return MemoryStore()
        return own_store(
            self._state_dir,
            tree=self._root.path,
            console=str(socket_path_for(self._state_dir)),
            since=self._started_at,
            closers=self._closers,
        )

    def _start_parts(self, state_dir: Path, keeping: EventKeeping) -> None:
        """Start the supervisor of the runtime's own parts."""
        # A limit of its own: if it fails again and again it is parked, and the console stays.
        events = ChildSpec.of(EventsActor, keeping, id="events", intensity=Intensity(3, within=60.0))
        console = ChildSpec.of(ConsoleActor, socket_path_for(state_dir), self, id="console")
        checkpoints = ChildSpec.of(
            CheckpointActor,
            self._checkpointing,
            self._root.path,
            self._checkpoint_every,
            self._keep_checkpoints,
            id=CHECKPOINTS,
        )
        spec = ChildSpec.of(
            Supervisor, children=[events, console, checkpoints], intensity=Intensity(10, within=60.0), id=SYSTEM
        )
        started: Reply[None] = Reply()

        def take(notice: ChildNotice) -> None:
            match notice:
                case Started():
                    started.try_set(None)
                case Exited(reason=reason):
                    started.try_fail(StartFailed(child_path(ROOT_PARENT, SYSTEM), reason))
                case _:
                    pass

        path = child_path(ROOT_PARENT, SYSTEM)
        self._parts = spawn(self._system, spec, path=path, parent=None, generation=FIRST, notify=take)
        started.get()

    def _report(self, error: BaseException) -> None:
        own_log(self._logs).error("internal error", error=repr(error))

    def _listed(self) -> tuple[ListedTree]:
        """The tree, as `pykka.ActorRegistry` knows it: without the runtime's own parts."""
        stop = partial(self.request_stop, "ActorRegistry.stop_all()")
        return (ListedTree(self._registry.below(self._root.path), stop),)

    # Stopping

    def _stop_tree(self, within: float) -> StopReport:
        report = StopReport()
        if self._root.was_started:
            report += self._root.end(within).report
        if self._parts is not None:
            self._parts.request_stop(Shutdown("stop"))
            with contextlib.suppress(pykka.Timeout):  # its threads are daemons; nothing depends on them now
                self._parts.wait_stopped(timeout=CLOSING)
        if self._root.was_started and self._store is not None:
            survivors = sweep_all(self._store, events=self._hub).survivors
            report = replace(report, orphaned_pids=tuple(sorted({*report.orphaned_pids, *survivors})))
            self._hub.emit(RuntimeStopped(len(report.stopped), report.abandoned, report.orphaned_pids))
        return report
