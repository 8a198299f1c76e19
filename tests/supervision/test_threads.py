"""The real supervisor on real threads: what only happens when things happen at once."""

import contextlib
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import (
    Actor,
    ActorDead,
    ActorRef,
    ChildExited,
    ChildId,
    ChildRestarting,
    ChildSpec,
    ChildStarted,
    Generation,
    GroupRestarting,
    Intensity,
    Normal,
    Restart,
    Shutdown,
    Started,
)
from treewarden.supervision_trees import AlreadyPresent, AlreadyStarted, Strategy
from treewarden.supervision_trees._effects import StartChild, TerminateChild

if TYPE_CHECKING:
    from .conftest import Threads

    WaitFor = Callable[[Callable[[], bool], str], None]

PATIENCE = 10.0
ANY = Intensity(1_000_000, within=1.0)


class Roll:
    """Every incarnation that ever started, and those that started beside a living predecessor."""

    def __init__(self) -> None:
        self.refs: list[ActorRef[Any]] = []
        self.doubled: list[str] = []
        # Guards the two lists and _last.
        self._lock = threading.Lock()
        self._last: dict[str, ActorRef[Any]] = {}

    def enter(self, ref: ActorRef[Any]) -> None:
        with self._lock:
            before = self._last.get(ref.path)
            if before is not None and before.is_alive():
                self.doubled.append(str(ref))
            self._last[ref.path] = ref
            self.refs.append(ref)


class Enrolled(Actor):
    """Enters itself when it starts; does as it is told."""

    def __init__(self, roll: Roll) -> None:
        super().__init__()
        self.roll = roll

    def on_start(self) -> None:
        self.roll.enter(self.actor_ref)

    def on_receive(self, message: object) -> object:
        match message:
            case "crash":
                raise RuntimeError("crashed as told")
            case "exit":
                self.context.exit()
            case _:
                pass
        return message


class Gated(Actor):
    """Starts when the gate opens."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self.gate = gate

    def on_start(self) -> None:
        assert self.gate.wait(PATIENCE)


def at_once(*acts: Callable[[], object]) -> None:
    """Do all of them at the same moment, each on its own thread."""
    line, failed = threading.Barrier(len(acts)), list[BaseException]()

    def run(act: Callable[[], object]) -> None:
        try:
            line.wait(PATIENCE)
            act()
        except BaseException as error:  # noqa: BLE001 - thread boundary: the test's own thread raises it
            failed.append(error)

    workers = [threading.Thread(target=run, args=(act,)) for act in acts]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
        assert not worker.is_alive()
    for error in failed:
        raise error


def leave(child: ActorRef[Any]) -> None:
    """Tell `child` to end by itself, unless its supervisor was quicker."""
    with contextlib.suppress(ActorDead):
        child.tell("exit")


@pytest.fixture
def roll() -> Roll:
    return Roll()


def test_two_siblings_killed_at_the_same_instant_are_two_restarts(
    threads: "Threads", wait_for: "WaitFor", roll: Roll
) -> None:
    """B 1.3 under one_for_one."""
    top = threads.start(*(ChildSpec.of(Enrolled, roll, id=name) for name in ("x", "y", "z")))
    x, y, z = (threads.ref(name) for name in ("x", "y", "z"))
    at_once(x.kill, y.kill)
    wait_for(lambda: 5 == len(threads.sink.of(ChildStarted)), "both run again")

    assert [1, 2] == sorted(event.used for event in threads.sink.of(ChildRestarting))
    assert z.is_alive()
    assert z is threads.ref("z")
    assert [] == roll.doubled
    top.request_stop()
    assert Normal() == top.wait_stopped(timeout=PATIENCE)


def test_a_child_that_dies_while_a_later_sibling_starts_is_restarted_meanwhile(
    threads: "Threads", wait_for: "WaitFor", roll: Roll
) -> None:
    """A.6: and the supervisor's start still succeeds."""
    gate = threading.Event()
    top = threads.spawn(ChildSpec.of(Enrolled, roll, id="x"), ChildSpec.of(Gated, gate, id="slow"))
    wait_for(lambda: threads.whereis("x") is not None, "the first child runs")
    threads.ref("x").kill()
    wait_for(lambda: Generation(2) == getattr(threads.whereis("x"), "generation", None), "it runs again")
    assert [] == threads.notices
    gate.set()
    wait_for(lambda: bool(threads.notices), "the supervisor started")

    assert isinstance(threads.notices[0], Started)
    top.request_stop()
    assert Normal() == top.wait_stopped(timeout=PATIENCE)


@pytest.mark.parametrize("restart", list(Restart))
def test_a_stop_while_all_children_end_by_themselves_is_an_orderly_stop(
    threads: "Threads", roll: Roll, restart: Restart
) -> None:
    """A.7: each end is taken once, whoever was first."""
    names = [f"c{number}" for number in range(12)]
    top = threads.start(*(ChildSpec.of(Enrolled, roll, id=name, restart=restart) for name in names), intensity=ANY)
    children = [threads.ref(name) for name in names]
    at_once(lambda: top.request_stop(Shutdown("operator")), *(partial(leave, child) for child in children))

    assert Shutdown("operator") == top.wait_stopped(timeout=PATIENCE)
    assert () == threads.wait_exit().report.abandoned
    assert not any(ref.is_alive() for ref in roll.refs)
    assert [] == roll.doubled
    assert [None] * 12 == [threads.whereis(name) for name in names]


def test_callers_racing_for_one_child_agree_on_who_started_it(threads: "Threads", roll: Roll) -> None:
    """A.10: one gets the ref, the others an error that names the state they met."""
    top = threads.start()
    answers = list[object]()

    def start() -> None:
        try:
            answers.append(top.ask(StartChild(ChildSpec.of(Enrolled, roll, id="x")), timeout=PATIENCE))
        except (AlreadyPresent, AlreadyStarted) as refused:
            answers.append(refused)

    at_once(*[start] * 6)

    assert [threads.ref("x")] == [answer for answer in answers if isinstance(answer, ActorRef)]
    assert 6 == len(answers)
    assert 1 == len(roll.refs)
    at_once(*[lambda: top.ask(TerminateChild(ChildId("x")), timeout=PATIENCE)] * 6)
    assert threads.whereis("x") is None


def test_eight_threads_crashing_fifty_children_for_two_seconds_leave_nothing_alive(
    threads: "Threads", roll: Roll
) -> None:
    """A.2 to A.7 under load: never two at a place, and after the stop nobody."""
    names = [f"c{number}" for number in range(50)]
    top = threads.start(*(ChildSpec.of(Enrolled, roll, id=name) for name in names), intensity=ANY)
    until = time.monotonic() + 2.0

    def attack(seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < until:
            child = threads.whereis(chance.choice(names))
            if child is None:
                continue
            try:
                match chance.randrange(3):
                    case 0:
                        child.tell("crash")
                    case 1:
                        child.kill()
                    case _:
                        child.ask("exit", timeout=PATIENCE)
            except ActorDead:
                continue  # another thread was first

    at_once(*(partial(attack, seed) for seed in range(8)))
    restarts = len(threads.sink.of(ChildRestarting))
    top.request_stop(Shutdown("operator"))

    assert Shutdown("operator") == top.wait_stopped(timeout=PATIENCE)
    assert restarts > 50
    assert len(threads.sink.of(ChildExited)) >= restarts
    assert [] == roll.doubled
    assert not any(ref.is_alive() for ref in roll.refs)
    assert [None] * 50 == [threads.whereis(name) for name in names]


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE], ids=lambda each: each.value)
def test_groups_under_attack_come_back_whole_and_stop_in_order(
    threads: "Threads", roll: Roll, strategy: Strategy, wait_for: Callable[[Callable[[], bool], str], None]
) -> None:
    """A.8 under load: crashes in every phase of a group restart; never two at a place, in the end all run."""
    names = [f"c{number}" for number in range(6)]
    top = threads.start(*(ChildSpec.of(Enrolled, roll, id=name) for name in names), intensity=ANY, strategy=strategy)
    give_up_at = time.monotonic() + PATIENCE

    def attack(seed: int) -> None:
        chance = random.Random(seed)
        while len(threads.sink.of(GroupRestarting)) < 20 and time.monotonic() < give_up_at:
            child = threads.whereis(chance.choice(names))
            if child is not None:
                try:
                    child.tell("crash") if chance.random() < 0.5 else child.kill()
                except ActorDead:
                    continue  # another thread was first

    at_once(*(partial(attack, seed) for seed in range(4)))
    assert len(threads.sink.of(GroupRestarting)) >= 20
    wait_for(lambda: all(threads.whereis(name) is not None for name in names), "all run again")
    top.request_stop(Shutdown("operator"))

    assert Shutdown("operator") == top.wait_stopped(timeout=PATIENCE)
    assert [] == roll.doubled
    assert not any(ref.is_alive() for ref in roll.refs)
    assert threads.exit is not None
    assert () == threads.exit.report.abandoned
