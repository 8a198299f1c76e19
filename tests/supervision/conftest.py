"""Two worlds for the supervision core, and the proof that a test left nothing behind.

`Bench` runs the state machine alone: it carries effects out on paper and checks, at each of them,
what must hold whatever happens. `Tree` runs the real `Supervisor` on a clock and threads that move
only when told to; `Threads` runs it on real ones.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, assert_never

import psutil
import pytest

from treewarden.actors import (
    Actor,
    ActorPath,
    ActorRef,
    ActorSystem,
    ChildId,
    ChildNotice,
    ChildSpec,
    Crashed,
    Declined,
    Event,
    Exited,
    ExitReason,
    Generation,
    Ignore,
    Intensity,
    Killed,
    Normal,
    Ready,
    Reply,
    Started,
    StopReport,
    SystemClock,
    ThreadDispatcher,
    TimerThread,
    Unresponsive,
    child_path,
    spawn,
)
from treewarden.actors.testing import ManualClock, StepDispatcher
from treewarden.storage import SnapshotStore
from treewarden.supervision_trees import AutoShutdown, Child, ChildState, Strategy, Supervisor, SupervisorSettings
from treewarden.supervision_trees._checks import checked_children
from treewarden.supervision_trees._effects import (
    Abandon,
    AnnounceStarted,
    Answer,
    Call,
    CallId,
    CancelTimer,
    Change,
    Effect,
    Emit,
    End,
    Forget,
    GroupDue,
    Kill,
    Outcome,
    Remember,
    Request,
    RequestStop,
    SetTimer,
    ShutDown,
    Start,
    StartChild,
    SupervisorInput,
    TimerDue,
    Up,
)
from treewarden.supervision_trees._machine import SupervisorMachine
from treewarden.supervision_trees._records import RestartRecords
from treewarden.supervision_trees._registry import Registry
from treewarden.supervision_trees._roster import Membership
from treewarden.supervision_trees._supervisor import Describe, Description

PATIENCE = 10.0  # seconds; reached only by a test that fails
ROOT = ActorPath("/top")

E = TypeVar("E", bound=Event)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll `condition` until it holds; fail with `what` after `PATIENCE` seconds."""
    until = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < until, f"not within {PATIENCE} s: {what}"
        pause.wait(0.002)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves a thread or a child process."""
    threads = set(threading.enumerate())
    yield
    wait_until(lambda: set(threading.enumerate()) <= threads, "the test's threads ended")
    assert psutil.Process().children(recursive=True) == []


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool], str], None]:
    return wait_until


class Bench:
    """A state machine and its world on paper: incarnations, timers and callers are entries in dicts.

    Every effect is checked against what must always hold: one incarnation per id at most, the next
    generation each time, nothing said about what does not exist, each call answered once, children
    stopped from the right, nothing after the end.
    """

    def __init__(
        self,
        *children: ChildSpec,
        intensity: Intensity | None = None,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
        chance: Callable[[], float] = lambda: 0.5,
        membership: Membership = Membership.STATIC,
        max_children: int | None = None,
    ) -> None:
        settings = SupervisorSettings(
            strategy, Intensity(3, within=5.0) if intensity is None else intensity, auto_shutdown
        )
        self.remembered: list[ChildId] = []
        self.forgotten: list[ChildId] = []
        self.now = 100.0
        self.events: list[Event] = []
        self.live: dict[ChildId, Generation] = {}
        self.asked_to_stop: dict[ChildId, ExitReason] = {}
        self.starts: list[tuple[ChildId, Generation]] = []
        self.stops: list[ChildId] = []
        self.timers: dict[TimerDue, float] = {}
        self.old_timers: list[TimerDue] = []  # fired or cancelled: what may still come late
        self.old_notices: list[ChildNotice] = []
        self.unanswered: set[CallId] = set()
        self.answers: dict[CallId, Outcome] = {}
        self._announced = False
        self.ended: ExitReason | None = None
        self.effects: list[Effect] = []
        self._generations: dict[ChildId, Generation] = {}
        self._known: set[ChildId] = set()  # those that started since they were last forgotten
        self._notices: deque[Exited] = deque()
        self.machine = SupervisorMachine(
            ROOT,
            checked_children(children, settings),
            settings=settings,
            chance=chance,
            consequence="the test goes on",
            membership=membership,
            max_children=max_children,
        )

    # What the test does to the machine

    def boot(self) -> "Bench":
        self._perform(self.machine.boot(self.now))
        return self

    def boot_all(self) -> "Bench":
        """Boot, with every start succeeding, in order."""
        self.boot()
        while not self.has_started():
            self.started(next(reversed(self.live)))
        return self

    def start_in_turn(self, *names: str) -> None:
        """Have these starts succeed, in this order; each must be the only one under way, or the machine overtook."""
        for name in names:
            assert [name] == [each for each in self.live if not self.child(each).started]
            self.started(name)

    def started_since(self, mark: int) -> list[str]:
        """Who was started since the list of starts was `mark` long."""
        return [name for name, _ in self.starts[mark:]]

    def feed(self, event: SupervisorInput) -> tuple[Effect, ...]:
        """Give the machine one input and carry out what it says; the effects of this input alone."""
        if isinstance(event, Started | Ready | Declined | Exited):
            self.old_notices.append(event)
        self._known &= self.machine.children.keys()  # an end of one may have had others forgotten
        effects = self.machine.handle(event, self.now)
        self._perform(effects)
        concerned = _child_of(event)
        if concerned is not None and concerned not in self.machine.children:
            self._known.discard(concerned)
        while self._notices:
            self.feed(self._notices.popleft())
        return effects

    def call(self, call: Call) -> CallId:
        name = CallId(len(self.answers) + len(self.unanswered) + 1)
        self.unanswered.add(name)
        self.feed(Request(name, call))
        return name

    def ask(self, call: Call) -> Outcome:
        """Call, and expect the answer at once."""
        return self.answers[self.call(call)]

    def shut_down(self) -> None:
        self.feed(ShutDown(Normal()))

    def advance(self, seconds: float) -> None:
        """Move time on; timers fall due in order, each at its own time."""
        end = self.now + seconds
        while self.timers:
            due, at = min(self.timers.items(), key=lambda item: item[1])
            if at > end:
                break
            self.now = max(self.now, at)
            del self.timers[due]
            self.old_timers.append(due)
            self.feed(due)
        self.now = end

    # What children do

    def started(self, child: str, *, ready: bool = True) -> None:
        name = ChildId(child)
        self.feed(Started(name, self.live[name], ready))

    def ready(self, child: str) -> None:
        name = ChildId(child)
        self.feed(Ready(name, self.live[name]))

    def declines(self, child: str) -> None:
        name = ChildId(child)
        generation = self.live.pop(name)
        self.asked_to_stop.pop(name, None)
        self.feed(Declined(name, generation))

    def ends(self, child: str, reason: ExitReason | None = None, *, report: StopReport | None = None) -> None:
        """The child's incarnation ends: by itself, at its start, or as it was told to."""
        name = ChildId(child)
        told = self.asked_to_stop.pop(name, None)
        path = child_path(ROOT, name)
        self.feed(
            Exited(
                name,
                self.live.pop(name),
                (told if told is not None else Normal()) if reason is None else reason,
                abandoned=False,
                report=StopReport(stopped=(path,)) if report is None else report,
            )
        )

    def crashes(self, child: str) -> None:
        self.ends(child, Crashed(RuntimeError(f"{child} crashed")))

    def stop_all(self) -> None:
        """Have every child that is told to stop do so, until none is left to tell."""
        while self.asked_to_stop:
            self.ends(next(iter(self.asked_to_stop)))

    # What the test looks at

    def has_started(self) -> bool:
        return self._announced

    def child(self, child: str) -> Child:
        return self.machine.children[ChildId(child)]

    def state(self, child: str) -> ChildState | None:
        """None if the child is not in the table."""
        found = self.machine.children.get(ChildId(child))
        return None if found is None else found.state

    def of(self, kind: type[E]) -> list[E]:
        """The events of one class."""
        return [event for event in self.events if isinstance(event, kind)]

    def _perform(self, effects: tuple[Effect, ...]) -> None:
        assert not (effects and self.ended is not None) or all(isinstance(effect, Answer) for effect in effects), (
            f"after the end: {effects}"
        )
        self.effects.extend(effects)
        for effect in effects:
            self._carry_out(effect)

    def check_table(self) -> None:
        """Compare the table with the world."""
        for child in self.machine.children.values():
            assert child.live == (child.id in self.live), child
            assert not child.ready or child.state is ChildState.RUNNING, child
            assert (child.retry_at is None) or (child.state is ChildState.RESTARTING and not child.live), child
            assert child.live or child.state not in (ChildState.STARTING, ChildState.RUNNING, ChildState.STOPPING), (
                child
            )
        assert set(self.live) <= set(self.machine.children)
        for due in self.timers:
            if not isinstance(due, GroupDue):
                assert self.machine.children[due.child].generation == due.generation, f"{due} is for nobody"

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Start(spec, generation):
                self._start(spec, generation)
            case Up(child, generation):
                assert self.live.get(child) == generation, effect
            case RequestStop(child, generation, reason):
                assert self.live.get(child) == generation, effect
                assert child not in self.asked_to_stop, f"{child} was told to stop twice"
                self.asked_to_stop[child] = reason
                self.stops.append(child)
            case Kill(child, generation):
                self.stops.append(child)
                self._end_soon(child, generation, Killed(), abandoned=False)
            case Abandon(child, generation, after):
                self._end_soon(child, generation, Unresponsive(after), abandoned=True)
            case SetTimer(due, delay):
                assert due not in self.timers, f"{due} is set twice"
                assert due not in self.old_timers, f"{due} was used before: a late one could be taken for it"
                assert 0 < delay < float("inf"), effect
                self.timers[due] = self.now + delay
            case CancelTimer(due):
                if self.timers.pop(due, None) is not None:
                    self.old_timers.append(due)
            case Remember(child):
                self.remembered.append(child)
            case Forget(child):
                self.forgotten.append(child)
            case Emit(event):
                self.events.append(event)
            case Answer(call, outcome):
                assert call in self.unanswered, f"{call} was answered twice"
                self.unanswered.remove(call)
                self.answers[call] = outcome
            case AnnounceStarted():
                assert not self._announced
                self._announced = True
            case End(reason):
                assert self.ended is None
                assert not self.live, f"ended over {self.live}"
                assert not self.timers, f"ended over {self.timers}"
                assert not self.unanswered, f"ended over {self.unanswered}"
                self.ended = reason
            case _:
                assert_never(effect)

    def _start(self, spec: ChildSpec, generation: Generation) -> None:
        assert spec.id in self.machine.children
        assert spec.id not in self.live, f"two incarnations of {spec.id}"
        before = self._generations.get(spec.id, Generation(0))
        assert generation > before, f"{spec.id}: generation {generation} after {before}"
        assert spec.id not in self._known or generation == before + 1, f"{spec.id}: {generation} after {before}"
        self._known.add(spec.id)
        self._generations[spec.id] = generation
        self.live[spec.id] = generation
        self.starts.append((spec.id, generation))

    def _end_soon(self, child: ChildId, generation: Generation, reason: ExitReason, *, abandoned: bool) -> None:
        assert self.live.get(child) == generation, child
        del self.live[child]
        self.asked_to_stop.pop(child, None)
        path = child_path(ROOT, child)
        report = StopReport(abandoned=(path,)) if abandoned else StopReport(stopped=(path,))
        self._notices.append(Exited(child, generation, reason, abandoned, report))


def _child_of(event: SupervisorInput) -> ChildId | None:
    match event:
        case Request(call=call):
            match call:
                case StartChild(spec):
                    return spec.id
                case Change():
                    return None
                case _:
                    return call.child
        case ShutDown():
            return None
        case _:
            return event.child


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    """Make a bench with these children; when the test ends, its table must still agree with its world."""
    made: list[Bench] = []

    def make(*children: ChildSpec, **settings: Any) -> Bench:
        made.append(Bench(*children, **settings))
        return made[-1]

    yield make
    for each in made:
        each.check_table()


@pytest.fixture(scope="session")
def bench_class() -> type[Bench]:
    """The class itself, for property tests: Hypothesis wants nothing that lives for one example only."""
    return Bench


class Scripted(Actor):
    """A child whose starts follow a script, one word for each; after the last word it just runs.

    `run`, `crash`, `decline`, `hang` (does not report its start), `unready` (not before told), `stubborn`
    (ignores the request to stop), `crash_on_stop`. A message is a word too: `crash`, `exit`, `started`,
    `ready`, or anything else, which is echoed.
    """

    def __init__(self, script: list[str] | None = None) -> None:
        super().__init__()
        self.word = script.pop(0) if script else "run"

    def on_start(self) -> None:
        match self.word:
            case "crash":
                raise RuntimeError("crashed at its start")
            case "decline":
                raise Ignore
            case "hang":
                self.context.defer_started()
            case "unready":
                self.context.defer_ready()
            case _:
                pass

    def on_receive(self, message: object) -> object:
        match message:
            case "crash":
                raise RuntimeError("crashed as told")
            case "exit":
                self.context.exit()
            case "started":
                self.context.announce_started()
            case "ready":
                self.context.announce_ready()
            case _:
                pass
        return message

    def on_stop_request(self, reason: ExitReason) -> None:
        if self.word != "stubborn":
            super().on_stop_request(reason)

    def on_stop(self, reason: ExitReason | None = None) -> None:
        if self.word == "crash_on_stop":
            raise RuntimeError("crashed while it stopped")


class Broken(Supervisor):
    """A supervisor whose own code fails at the message `break`."""

    def on_receive(self, message: object) -> None:
        if message == "break":
            raise ZeroDivisionError("a defect in the supervisor")
        super().on_receive(message)


class Sink:
    """Events, in order, each with the time of its coming."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.events: list[Event] = []
        self.times: list[float] = []
        self._now = now

    def emit(self, event: Event) -> None:
        self.times.append(self._now())
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in tuple(self.events) if isinstance(event, kind)]


class Silent:
    """A log that keeps what was warned of."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def info(self, event: str, **values: object) -> None:
        pass

    def warning(self, event: str, **values: object) -> None:
        self._lines.append(f"{event} {values}")

    error = warning


class World:
    """An actor system and one supervisor at `/top` in it."""

    def __init__(self, system: ActorSystem, sink: Sink, warned: list[str]) -> None:
        self.system, self.sink, self.warned = system, sink, warned
        self.notices: list[ChildNotice] = []
        self.refs: list[ActorRef[Any]] = []

    def spawn(
        self, *children: ChildSpec, kind: type[Supervisor] = Supervisor, args: tuple[Any, ...] = (), **options: Any
    ) -> ActorRef[Any]:
        if children:
            options["children"] = children
        spec = ChildSpec.of(kind, *args, id="top", **options)
        top = spawn(self.system, spec, path=ROOT, parent=None, generation=Generation(1), notify=self.notices.append)
        self.refs.append(top)
        return top

    def ref(self, child: str) -> ActorRef[Any]:
        """The incarnation that runs at `/top/<child>`."""
        found = self.whereis(child)
        assert found is not None, f"nobody runs at {child}"
        return found

    def whereis(self, child: str) -> ActorRef[Any] | None:
        """Who runs there, if anybody does."""
        return self.system.directory.lookup(ActorPath(f"{ROOT}/{child}"))

    @property
    def exit(self) -> Exited | None:
        """How the supervisor ended."""
        ends = [notice for notice in self.notices if isinstance(notice, Exited)]
        assert len(ends) <= 1
        return ends[0] if ends else None


class Tree(World):
    """The real supervisor; nothing moves unless the test says so."""

    def __init__(self, store: SnapshotStore | None = None, *, wall: float = 1_700_000_000.0) -> None:
        """With a `store`, what is remembered of restarts outlives this world; `wall` is its wall time."""
        self.clock, self.dispatcher, self.registry = ManualClock(wall=wall), StepDispatcher(), Registry()
        sink, warned = Sink(self.clock.monotonic), list[str]()
        records = None if store is None else RestartRecords(store, self.clock.wall, events=sink)
        super().__init__(
            ActorSystem(
                clock=self.clock,
                dispatcher=self.dispatcher,
                timers=self.clock,
                events=sink,
                directory=self.registry,
                log=lambda path: Silent(warned),
                random=random.Random(1),
                services={} if records is None else {RestartRecords: records},
            ),
            sink,
            warned,
        )

    def start(self, *children: ChildSpec, **options: Any) -> ActorRef[Any]:
        top = self.spawn(*children, **options)
        self.settle()
        return top

    def settle(self) -> None:
        """Run everything that can run now."""
        self.dispatcher.run_until_idle()

    def kill(self) -> None:
        """End everything without a word; nothing may be left alive."""
        for ref in self.refs:
            ref.kill()
        self.settle()
        assert not any(ref.is_alive() for ref in self.refs)
        assert self.dispatcher.run_until_idle() == 0
        assert self.registry._refs == {}  # nobody looks there for the dead, but they would pile up

    def advance(self, seconds: float, *, step: float = 0.125) -> None:
        """Move time on in small steps and let everybody act in between."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.clock.advance(min(step, end - self.clock.monotonic()))
            self.settle()

    def tell(self, child: str, message: object) -> None:
        self.ref(child).tell(message)
        self.settle()

    def ask(self, call: object, *, of: ActorRef[Any] | None = None) -> Any:
        """Call the supervisor; the answer must come without time passing."""
        future = self.request(call, of=of)
        self.settle()
        return future.get(timeout=0)

    def request(self, call: object, *, of: ActorRef[Any] | None = None) -> Any:
        """Call the supervisor; the future."""
        return (self.refs[-1] if of is None else of).ask(call, block=False)

    def describe(self, of: ActorRef[Any] | None = None, *, only: str | None = None) -> Description:
        reply: Reply[Description] = Reply()
        asked = Describe(reply, None if only is None else ChildId(only))
        (self.refs[-1] if of is None else of).incarnation().tell_system(asked)
        self.settle()
        description: Description = reply.get(timeout=0)
        return description

    def states(self, of: ActorRef[Any] | None = None) -> dict[str, str]:
        return {row.child.id: row.child.state.value for row in self.describe(of).rows}


@pytest.fixture
def tree() -> Iterator[Tree]:
    """A supervisor under full control; at the end of the test it is killed and nothing is left alive."""
    made = Tree()
    yield made
    made.kill()


@pytest.fixture
def runtimes() -> Iterator[Callable[..., Tree]]:
    """Make trees over one store, one after another: each is killed, as `kill -9` would, before the next is made."""
    made: list[Tree] = []

    def make(store: SnapshotStore, **options: Any) -> Tree:
        for before in made:
            before.kill()
        made.append(Tree(store, **options))
        return made[-1]

    yield make
    for each in made:
        each.kill()


@pytest.fixture(scope="session")
def tree_class() -> type[Tree]:
    """The class itself, for property tests."""
    return Tree


@pytest.fixture
def scripted() -> type[Actor]:
    return Scripted


@pytest.fixture
def broken() -> type[Supervisor]:
    return Broken


class Threads(World):
    """The real supervisor on real threads and a real clock."""

    def __init__(self) -> None:
        clock, warned = SystemClock(), list[str]()
        sink = Sink(clock.monotonic)
        self.failures: list[BaseException] = []
        self.dispatcher = ThreadDispatcher()
        self.timers = TimerThread(clock, on_error=self.failures.append)
        super().__init__(
            ActorSystem(
                clock=clock,
                dispatcher=self.dispatcher,
                timers=self.timers,
                events=sink,
                directory=Registry(),
                log=lambda path: Silent(warned),
                random=random.Random(1),
            ),
            sink,
            warned,
        )

    def start(self, *children: ChildSpec, **options: Any) -> ActorRef[Any]:
        top = self.spawn(*children, **options)
        wait_until(lambda: bool(self.notices), "the supervisor started")
        assert isinstance(self.notices[0], Started)
        return top

    def wait_exit(self) -> Exited:
        """The notice of the supervisor's end, which comes a moment after `wait_stopped` has returned."""
        wait_until(lambda: self.exit is not None, "the supervisor's end was noticed")
        assert self.exit is not None
        return self.exit


@pytest.fixture
def threads(nothing_left: None) -> Iterator[Threads]:
    """A supervisor on threads; at the end of the test no worker is stuck."""
    made = Threads()
    yield made
    for ref in made.refs:
        ref.kill()
        ref.wait_stopped(timeout=PATIENCE)
    stuck = made.dispatcher.close(within=PATIENCE)
    made.timers.close()
    assert stuck == 0
    assert made.failures == []
