"""Two worlds to run actors in: one stepped by hand, one on threads; and an actor that does as it is told."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from treewarden.actors import (
    Actor,
    ActorPath,
    ActorRef,
    ActorSystem,
    ChildNotice,
    ChildSpec,
    Dispatcher,
    Event,
    Exited,
    ExitReason,
    Generation,
    SystemClock,
    ThreadDispatcher,
    Timers,
    TimerThread,
    spawn,
)
from treewarden.actors._status import Status
from treewarden.actors.testing import ManualClock, StepDispatcher
from treewarden.storage import (
    Journal,
    MemoryStore,
    Operation,
    RowCorrupt,
    Snapshot,
    StoreFull,
    StoreState,
    Table,
    TableRow,
)

PATIENCE = 10.0  # seconds; reached only by a test that fails
QUIET = 0.05  # seconds; ten times what a watchful dispatcher sleeps


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll `condition` until it holds; fail with `what` after `PATIENCE` seconds."""
    until = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < until, f"not within {PATIENCE} s: {what}"
        pause.wait(0.001)


def wait_quiet(look: Callable[[], object]) -> None:
    """Wait until two looks, `QUIET` seconds apart, see the same; what wakes up in between never is quiet."""
    until = time.monotonic() + PATIENCE
    pause, before = threading.Event(), look()
    while True:
        pause.wait(QUIET)
        now = look()
        if now == before:
            return
        assert time.monotonic() < until, f"still busy after {PATIENCE} s: {before} became {now}"
        before = now


def in_threads(*works: Callable[[], object]) -> None:
    """Run all `works` at once, each on a thread of its own, to their end; raise what one of them raised.

    A barrier that another's failure has broken is shown only if there is nothing better to show.
    """
    failures: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - thread boundary: raised below
            failures.append(error)

    made = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in made:
        thread.start()
    for thread in made:
        thread.join()
    for failure in sorted(failures, key=lambda failure: isinstance(failure, threading.BrokenBarrierError)):
        raise failure


@dataclass(frozen=True, slots=True)
class Line:
    """A log line, at warning or above."""

    event: str
    values: Mapping[str, object]


class ListLog:
    def __init__(self, lines: list[Line]) -> None:
        self._lines = lines

    def info(self, event: str, **values: object) -> None:
        """Information is of no interest to these tests."""

    def warning(self, event: str, **values: object) -> None:
        self._lines.append(Line(event, values))

    error = warning


class Sink(list[Event]):
    def emit(self, event: Event) -> None:
        self.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.copy() if isinstance(event, kind)]


class MapDirectory(dict[ActorPath, ActorRef[Any]]):
    def lookup(self, path: ActorPath) -> ActorRef[Any] | None:
        return self.get(path)

    def register(self, path: ActorPath, ref: ActorRef[Any]) -> None:
        self[path] = ref

    def unregister(self, path: ActorPath, ref: ActorRef[Any]) -> None:
        if self.get(path) is ref:
            del self[path]


class HeldStore:
    """A store whose commits wait, once it is held, as they wait for a storage thread; any may be made to fail.

    A full one refuses every commit until `make_room`.
    """

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.held = False
        self.full = False
        self.failure: Exception | None = None
        self.waiting: list[tuple[Future[int], Sequence[Operation]]] = []
        self.commits: list[Sequence[Operation]] = []  # those that were carried out
        self.parked: list[Callable[[], object]] = []

    @property
    def store_id(self) -> str:
        return self.store.store_id

    @property
    def state(self) -> StoreState:
        return StoreState.FULL if self.full else self.store.state

    def on_state(self, listener: Callable[[StoreState], object]) -> None:
        raise NotImplementedError

    def when_writable(self, callback: Callable[[], object]) -> None:
        if self.full:
            self.parked.append(callback)
        else:
            callback()

    def make_room(self) -> None:
        """The disk has space again."""
        self.full = False
        parked, self.parked = self.parked, []
        for callback in parked:
            callback()

    def commit(self, operations: Sequence[Operation]) -> "Future[int]":
        failure = StoreFull(Path("/s"), "no space left on device", "make room") if self.full else self.failure
        future = Future[int]()
        if failure is not None:
            future.set_exception(failure)
        elif self.held:
            self.waiting.append((future, operations))
        else:
            future.set_result(self._carry_out(operations))
        return future

    def begin(self) -> Callable[[], None]:
        """Take the first that waits in hand, as a batch is; what is returned carries it out."""
        future, operations = self.waiting.pop(0)
        assert future.set_running_or_notify_cancel()
        return lambda: future.set_result(self._carry_out(operations))

    def refuse(self, failure: Exception) -> None:
        """Have the medium refuse the first that waits."""
        future, _ = self.waiting.pop(0)
        assert future.set_running_or_notify_cancel()
        future.set_exception(failure)

    def _carry_out(self, operations: Sequence[Operation]) -> int:
        sequence = self.store.commit(operations).result()
        self.commits.append(operations)
        return sequence

    def latest(self, path: str) -> Snapshot:
        return self.store.latest(path)

    def older(self, path: str) -> Snapshot | None:
        return self.store.older(path)

    def scan(self) -> Any:
        return self.store.scan()

    def journal(self, path: str, *, after: int) -> Journal:
        return self.store.journal(path, after=after)

    def row(self, table: Table, key: bytes) -> bytes | None:
        return self.store.row(table, key)

    def rows(self, table: Table, *, after: bytes = b"", limit: int) -> Sequence[TableRow | RowCorrupt]:
        return self.store.rows(table, after=after, limit=limit)

    def last_row(self, table: Table) -> TableRow | RowCorrupt | None:
        return self.store.last_row(table)

    def close(self) -> None:
        self.store.close()


Act: TypeAlias = Callable[["Scripted"], object]
Acts: TypeAlias = Mapping[str, Act]


class Scripted(Actor):
    """Notes what runs in `journal`, and does `acts[where]` there; a callable message is called with the actor."""

    def __init__(self, journal: list[str], acts: Acts) -> None:
        super().__init__()
        self.journal, self.acts = journal, acts
        self.reasons: list[ExitReason | None] = []
        self._do("init")

    def on_start(self) -> None:
        self._do("start")

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            self.journal.append("receive")
            return message(self)
        return message

    def on_stop(self, reason: ExitReason | None = None) -> None:
        self.reasons.append(reason)
        self._do("stop")

    def on_kill(self) -> None:
        self._do("kill")

    def on_system(self, message: object) -> None:
        self._do("system")

    def _do(self, where: str) -> None:
        self.journal.append(where)
        act = self.acts.get(where)
        if act is not None:
            act(self)


class World:
    """A system of its own and what it saw."""

    scripted = Scripted

    def __init__(self, clock: SystemClock | ManualClock, dispatcher: Dispatcher, timers: Timers) -> None:
        self.events, self.lines, self.directory = Sink(), list[Line](), MapDirectory()
        self.notices: list[ChildNotice] = []
        self.refs: list[ActorRef[Any]] = []
        self.system = ActorSystem(
            clock=clock,
            dispatcher=dispatcher,
            timers=timers,
            events=self.events,
            directory=self.directory,
            log=lambda path: ListLog(self.lines),
            random=random.Random(1),
        )

    def spawn(
        self,
        actor_class: type[Actor],
        *args: Any,
        path: str = "/a",
        parent: str | None = None,
        notify: Callable[[ChildNotice], None] | None = None,
        **kwargs: Any,
    ) -> ActorRef[Any]:
        """Begin an incarnation; its notices go to `notices` unless `notify` takes them."""
        ref = spawn(
            self.system,
            ChildSpec.of(actor_class, *args, id="a", **kwargs),
            path=ActorPath(path),
            parent=None if parent is None else ActorPath(parent),
            generation=Generation(1),
            notify=self.notices.append if notify is None else notify,
        )
        self.refs.append(ref)
        return ref

    def script(self, path: str = "/a", *, acts: Acts | None = None, **more: Act) -> tuple[ActorRef[Any], list[str]]:
        """A `Scripted` actor and its journal."""
        journal: list[str] = []
        return self.spawn(Scripted, journal, {**(acts or {}), **more}, path=path), journal

    def exits(self) -> list[Exited]:
        return [notice for notice in self.notices if isinstance(notice, Exited)]

    def settle(self) -> None:
        """Wait until every actor is at rest: it holds its token and has nothing to do."""
        raise NotImplementedError

    def at_rest(self) -> bool:
        incarnations = [ref.incarnation() for ref in self.refs]
        return all(it._token and not it._has_work() for it in incarnations)

    def end_all(self) -> None:
        for ref in self.refs:
            ref.kill()
        self.settle()
        assert all(ref.incarnation().status is Status.STOPPED for ref in self.refs)


class Steps(World):
    """Everything on the test's own thread, on a clock that stands still."""

    def __init__(self) -> None:
        self.clock, self.dispatcher = ManualClock(), StepDispatcher()
        super().__init__(self.clock, self.dispatcher, self.clock)

    def settle(self) -> None:
        self.dispatcher.run_until_idle()
        assert self.at_rest()


class Threads(World):
    """Workers, a timer thread and the machine's clock."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.dispatcher = ThreadDispatcher()
        self.timers = TimerThread(SystemClock(), on_error=self.failures.append)
        super().__init__(SystemClock(), self.dispatcher, self.timers)

    def settle(self) -> None:
        wait_until(self.at_rest, "all actors are at rest")

    def close(self) -> None:
        stuck = self.dispatcher.close(within=PATIENCE)
        self.timers.close()
        assert stuck == 0
        assert self.failures == []


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves a thread, or lets one die of an exception."""
    before, died, hook = set(threading.enumerate()), list[threading.ExceptHookArgs](), threading.excepthook
    threading.excepthook = died.append
    yield
    threading.excepthook = hook
    wait_until(lambda: set(threading.enumerate()) <= before, "the test's threads ended")
    assert [(args.thread, args.exc_value) for args in died] == []


@pytest.fixture
def unhandled(nothing_left: None, monkeypatch: pytest.MonkeyPatch) -> list[BaseException | None]:
    """What was reported because it had no caller; for tests that provoke it."""
    found: list[BaseException | None] = []

    def note(args: threading.ExceptHookArgs) -> None:
        found.append(args.exc_value)

    monkeypatch.setattr(threading, "excepthook", note)
    return found


@pytest.fixture
def held_store() -> HeldStore:
    return HeldStore()


@pytest.fixture
def steps() -> Iterator[Steps]:
    made = Steps()
    yield made
    made.end_all()


@pytest.fixture(scope="session")
def new_steps() -> Callable[[], Steps]:
    """For properties: a world for each example."""
    return Steps


@pytest.fixture(scope="session")
def new_world() -> type[World]:
    """For properties that bring their own dispatcher."""
    return World


@pytest.fixture
def threads(nothing_left: None) -> Iterator[Threads]:
    made = Threads()
    yield made
    try:
        made.end_all()
    finally:
        made.close()


@pytest.fixture(params=["steps", "threads"])
def world(request: pytest.FixtureRequest) -> World:
    """The same test in both worlds: what ships for tests keeps the contract of the real thing."""
    made: World = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool], str], None]:
    return wait_until


@pytest.fixture
def wait_threads_quiet() -> Callable[[], None]:
    """Wait until no framework thread of this process wakes up any more (proc(5), voluntary_ctxt_switches)."""

    def wakes() -> dict[str, str]:
        found: dict[str, str] = {}
        for thread in threading.enumerate():
            if thread.name.startswith("treewarden"):
                status = Path(f"/proc/{os.getpid()}/task/{thread.native_id}/status").read_text().splitlines()
                found[thread.name] = next(line for line in status if line.startswith("voluntary"))
        return found

    return lambda: wait_quiet(wakes)
