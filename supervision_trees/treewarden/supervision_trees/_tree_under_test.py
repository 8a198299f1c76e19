"""A whole tree under a test's control: one thread, a clock that stands still, an order drawn by a seed.

Everything is as in a `Runtime` except what a test cannot use: threads, the machine's clock, a store,
and OS processes, for which scripted children stand in. The same seed and the same acts of the test
give the same history. For the thread that entered the tree only.

Not controlled: code of an actor that blocks by itself (`time.sleep`, sockets, locks) blocks the test,
and `ask_async` is not answered, since its event loop does not run the tree.
"""

import contextlib
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self, TypeVar, assert_never, final

import pykka

from treewarden.actors import (
    ActorPath,
    ActorRef,
    ActorSystem,
    Address,
    ChildNotice,
    ChildSpec,
    Declined,
    Exited,
    ExitReason,
    Generation,
    Intensity,
    Normal,
    Ready,
    Shutdown,
    Started,
    StopReport,
    TreewardenError,
    child_path,
    parse_path,
    spawn,
)
from treewarden.actors.testing import ManualClock, NotAnswered, SeededDispatcher
from treewarden.supervision_trees._begun_call import begun
from treewarden.supervision_trees._child_under_test import ChildUnderTest, UnknownChild, WrongState
from treewarden.supervision_trees._children import Child, ChildState
from treewarden.supervision_trees._event_log import LogLine, RecordedEvents, RecordedLog
from treewarden.supervision_trees._handle import SupervisorHandle
from treewarden.supervision_trees._inspect import TreeView
from treewarden.supervision_trees._look import look, spots
from treewarden.supervision_trees._registry import Registry
from treewarden.supervision_trees._scripted import Life, Scripts, with_stand_ins
from treewarden.supervision_trees._strategy import DEFAULT_INTENSITY, AutoShutdown, Strategy
from treewarden.supervision_trees._supervisor import ChildRow, Supervisor
from treewarden.supervision_trees._views import TreeViewer
from treewarden.supervision_trees.definitions import TreeDefinition, child_spec

__all__ = ["LeftAlive", "TreeUnderTest"]

MAX_TURNS: Final = 20_000  # a few seconds even if all are restarts; some thousand children start within it
PATIENCE: Final = 3600.0  # seconds of the manual clock, so they cost nothing
ROOT: Final = "top"
ROOT_PARENT: Final = ActorPath("")

T = TypeVar("T")


class LeftAlive(TreewardenError):
    """Actors at `paths` outlived the kill of their root: something started them that does not end them."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        super().__init__(f"still alive after the root was killed: {', '.join(paths)}")
        self.paths = paths


@final
class TreeUnderTest:
    """A tree that moves only when the test says so. Entering the `with` block starts it, leaving it kills it.

    Orders to children and messages take effect when the tree is run: by `wait_idle`, by `advance`, and by
    every call that waits for an answer. Such a wait runs the tree until nothing is left to run; an answer
    that would need time to pass is `NotAnswered`, whatever its deadline. Use `begin` for those.

    Example:
        with TreeUnderTest.of(scripted("worker", restart=Restart.TRANSIENT)) as tree:
            tree.child("worker").exits(Normal())
            tree.wait_idle()

            assert tree.events.of(ChildRestarting) == []
    """

    def __init__(
        self,
        tree: ChildSpec | TreeDefinition,
        *,
        seed: int = 0,
        plans: Mapping[str, Sequence[Life]] | None = None,
        services: Mapping[type[object], object] | None = None,
        max_turns: int = MAX_TURNS,
    ) -> None:
        """Take `tree`, a root's spec or a definition; nothing is started yet.

        `seed` draws the order in which actors run, and the spread of backoffs. `plans` names lives for the
        first starts at these paths: for the stand-ins of managed processes, whose specs have none.
        `services` are what actors look up by `context.service`. More than `max_turns` turns in one moment
        are an `EndlessLoop`.
        """
        self._spec: Final = with_stand_ins(child_spec(tree) if isinstance(tree, TreeDefinition) else tree)
        self.clock: Final = ManualClock()
        self.events: Final = RecordedEvents()
        self._log = RecordedLog()
        self._registry = Registry()
        self._scripts = Scripts()
        for path, lives in (plans or {}).items():
            self._scripts.insert(parse_path(path), lives)
        self._dispatcher = SeededDispatcher(random.Random(seed), max_turns=max_turns)  # noqa: S311 - the point is to repeat it
        self._system: Final = ActorSystem(
            clock=self.clock,
            dispatcher=self._dispatcher,
            timers=self.clock,
            events=self.events,
            directory=self._registry,
            log=self._log,
            random=random.Random(seed),  # noqa: S311 - as above
            services={**(services or {}), Scripts: self._scripts},
        )
        self._path: Final = child_path(ROOT_PARENT, self._spec.id)
        self._started_at = self.clock.wall()
        self._root: ActorRef[Any] | None = None
        self._root_child = Child(self._spec, state=ChildState.STARTING)
        self._report: StopReport | None = None
        self._entered = contextlib.ExitStack()

    @classmethod
    def of(
        cls,
        *children: ChildSpec,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: Intensity = DEFAULT_INTENSITY,
        auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
        seed: int = 0,
        services: Mapping[type[object], object] | None = None,
        max_turns: int = MAX_TURNS,
    ) -> "TreeUnderTest":
        """A tree whose root is a supervisor `/top` of `children`."""
        spec = ChildSpec.of(
            Supervisor,
            children=children,
            strategy=strategy,
            intensity=intensity,
            auto_shutdown=auto_shutdown,
            id=ROOT,
        )
        return cls(spec, seed=seed, services=services, max_turns=max_turns)

    def __enter__(self) -> Self:
        """Start the tree and run it until idle. A root that does not start is seen by `ended`."""
        if self._root is not None:
            raise WrongState(f"the tree {self._path} was entered before; make a new TreeUnderTest")
        self._entered.enter_context(self._dispatcher.while_waiting())
        try:
            self._root_child = replace(self._root_child, generation=Generation(1), live=True)
            self._root = spawn(
                self._system,
                self._spec,
                path=self._path,
                parent=None,
                generation=Generation(1),
                notify=self._take_root_notice,
            )
            self.wait_idle()
        except BaseException:
            with self._entered:
                self._kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill whatever lives.

        Raises:
            LeftAlive: if something survived that.
        """
        with self._entered:
            self._kill()
            left = self._dispatcher.living()
        if left and error is None:  # otherwise the test's own failure is the one to show
            raise LeftAlive(left)

    # Time and turns

    def wait_idle(self) -> None:
        """Run the tree until nothing is left to run; time stands still.

        Raises:
            EndlessLoop: it never came to rest; its message names the actors that ran most.
        """
        self._dispatcher.begin_moment()
        self._dispatcher.run_until_idle()

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, from one due time to the next; at each, and at the end, the tree runs until idle.

        Raises:
            ValueError: if `seconds` is below 0.
            EndlessLoop: as `wait_idle`.
        """
        if not seconds >= 0:
            raise ValueError(f"advance({seconds!r}): expected seconds, 0 or more; step_wall sets the wall clock back")
        self._advance(self.clock.monotonic() + seconds, lambda: False)

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator would; nothing falls due."""
        self.clock.step_wall(seconds)

    def _advance(self, end: float, is_enough: Callable[[], bool]) -> None:
        self.wait_idle()
        while not is_enough() and (due := self.clock.next_due()) is not None and due <= end:
            # Timers that set each other without delay are a loop too: no new moment, the turns add up.
            if due > self.clock.monotonic():
                self._dispatcher.begin_moment()
            self.clock.advance_to(due)
            self._dispatcher.run_until_idle()
        if not is_enough():
            self.clock.advance_to(end)

    # Children and supervisors

    def child(self, name: str) -> ChildUnderTest:
        """The child at a path (`/top/worker`), or of an id that one child of the whole tree has (`worker`).

        Raises:
            UnknownChild: there is none, or several of that id; its message names those there are.
        """
        rows = self._look()
        if "/" in name:
            found = [path for path in rows if path == parse_path(name)]
        else:
            found = [path for path, row in rows.items() if row.child.id == name]
        if not found:
            raise UnknownChild(f"there is no child {name!r}", tuple(rows))
        if len(found) > 1:
            raise UnknownChild(f"{len(found)} children are called {name!r}, say which by a path", tuple(rows))
        return ChildUnderTest(found[0], self._look, self._scripts)

    def children(self) -> tuple[ActorPath, ...]:
        """The paths of the root and of everything below it, in start order."""
        return tuple(self._look())

    def supervisor(self, path: str | None = None) -> SupervisorHandle:
        """The calls of the supervisor at `path`, by default the root: the same as `Runtime.supervisor` gives.

        A call runs the tree until idle and returns the answer, or raises what it was refused with, or
        `NotAnswered` if the answer would need time to pass; the call itself goes on then.
        """
        return SupervisorHandle(self.address(self._path if path is None else path))

    def begin(self, call: Callable[[SupervisorHandle], T], *, path: str | None = None) -> pykka.Future[T]:
        """Send one call to the supervisor at `path` and return the future of its answer; runs nothing.

        `tree.begin(lambda top: top.terminate_child("slow"))`, then `advance`, then `get()`.
        """
        return begun(self.address(self._path if path is None else path), call)

    def address(self, path: str) -> Address:
        """The address of the actor at `path`; `ValueError` if that is no path."""
        return Address(parse_path(path), self._system)

    def whereis(self, path: str) -> ActorRef[Any] | None:
        """The incarnation that runs at `path` now."""
        return self._registry.lookup(parse_path(path))

    # Looking

    def inspect(self) -> TreeView:
        """The tree as it is now; looking runs nothing."""
        self._entered_root()
        viewer = TreeViewer(self.clock.monotonic, ask=look)
        return TreeView(
            name=self._spec.id,
            runtime_pid=os.getpid(),
            state_dir=None,
            started_at=self._started_at,
            taken_at=self.clock.wall(),
            root=viewer.view(ROOT_PARENT, self._root_row()),
        )

    def __str__(self) -> str:
        return str(self.inspect())

    @property
    def log(self) -> tuple[LogLine, ...]:
        """What the actors logged, and what the framework logged for them."""
        return tuple(self._log.lines)

    @property
    def ended(self) -> ExitReason | None:
        """How the root ended; None while it lives."""
        return None if self._report is None else self._root_child.last_exit

    @property
    def report(self) -> StopReport:
        """What the end of the root really ended.

        Raises:
            WrongState: the root lives.
        """
        if self._report is None:
            raise WrongState(f"{self._path} lives, so there is no report of its end; stop() returns it")
        return self._report

    # Stopping

    def request_stop(self, why: str = "stop") -> None:
        """Ask the root to stop, with `Shutdown(why)`; it does so when the tree is run."""
        self._entered_root().request_stop(Shutdown(why))
        if self._report is None:
            self._root_child = replace(self._root_child, state=ChildState.STOPPING)

    def stop(self, *, within: float = PATIENCE) -> StopReport:
        """Ask the root to stop and let time pass until it has, at most `within` seconds; what was ended.

        Raises:
            NotAnswered: it did not stop; `str(tree)` shows who holds it up.
        """
        self.request_stop()
        self._advance(self.clock.monotonic() + within, lambda: self._report is not None)
        if self._report is None:
            raise NotAnswered
        return self._report

    def _kill(self) -> None:
        if self._root is not None:
            self._root.kill()
            self.wait_idle()

    def _entered_root(self) -> ActorRef[Any]:
        if self._root is None:
            raise WrongState(f"the tree {self._path} was not entered: `with TreeUnderTest(...) as tree:` starts it")
        return self._root

    def _look(self) -> Mapping[ActorPath, ChildRow]:
        self._entered_root()
        return {spot.path: spot.row for spot in spots(ROOT_PARENT, self._root_row())}

    def _root_row(self) -> ChildRow:
        return ChildRow(self._root_child, self._root if self._report is None else None)

    def _take_root_notice(self, notice: ChildNotice) -> None:
        root, child = self._entered_root(), self._root_child
        match notice:
            case Started(ready=ready):
                self._registry.register(self._path, root)
                now = self.clock.monotonic()
                self._root_child = replace(
                    child, state=ChildState.RUNNING, started=True, ready=ready, started_at=now, attempts=1
                )
            case Ready():
                self._root_child = replace(child, ready=True)
            case Declined():
                self._take_end(Normal(), StopReport())
            case Exited(reason=reason, report=report):
                self._take_end(reason, report)
            case _:
                assert_never(notice)

    def _take_end(self, reason: ExitReason, report: StopReport) -> None:
        self._registry.unregister(self._path, self._entered_root())
        self._report = report
        self._root_child = replace(
            self._root_child, state=ChildState.STOPPED, live=False, ready=False, last_exit=reason
        )
