"""A supervisor is asked on the caller's thread, which also starts a child that allows it (decision 0020)."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from treewarden.actors import Actor, ActorRef, AskCycle, ChildSpec, Crashed, Unresponsive
from treewarden.supervision_trees import (
    DynamicSupervisor,
    Runtime,
    StartFailed,
    Supervisor,
    SupervisorHandle,
)

PATIENCE = 10.0

OnStart = Callable[["Child"], object]


class Child(Actor):
    """Notes where it starts, and does what it was given to do there."""

    def __init__(self, on_start: OnStart | None = None) -> None:
        super().__init__()
        self.act = on_start
        self.thread = 0

    def on_start(self) -> None:
        self.thread = threading.get_ident()
        if self.act is not None:
            self.act(self)

    def on_receive(self, message: Any) -> object:
        return message(self) if callable(message) else self.thread


class Quick(Child):
    inline_asks = True


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    tree = ChildSpec.of(Supervisor, id="top", children=[ChildSpec.of(DynamicSupervisor, id="d")])
    with Runtime.start(tree) as made:
        yield made


@pytest.fixture
def top(runtime: Runtime) -> SupervisorHandle:
    return runtime.supervisor("/top/d")


@pytest.fixture
def outside() -> Iterator[Callable[[Callable[[], object]], "Future[Any]"]]:
    """Begin an act on a thread that is neither the main one nor a worker."""
    with ThreadPoolExecutor() as pool:
        yield pool.submit


Outside = Callable[[Callable[[], object]], "Future[Any]"]


def started_where(
    top: SupervisorHandle, kind: type[Child], act: OnStart | None = None, *, child: str = "c"
) -> tuple[int, ActorRef[Any]]:
    """The thread that called `start_child`, and the ref it got."""
    ref = top.start_child(ChildSpec.of(kind, act, id=child))
    assert ref is not None
    return threading.get_ident(), ref


def test_a_child_that_allows_it_starts_on_the_thread_that_called(top: SupervisorHandle, outside: Outside) -> None:
    caller, ref = outside(lambda: started_where(top, Quick)).result(PATIENCE)

    assert caller == ref.ask("where?")


def test_any_other_child_starts_on_a_worker(top: SupervisorHandle, outside: Outside) -> None:
    caller, ref = outside(lambda: started_where(top, Child)).result(PATIENCE)

    assert caller != ref.ask("where?")


def test_a_call_from_the_main_thread_is_left_to_the_workers(top: SupervisorHandle) -> None:
    """What a signal raises there must not become a crash."""
    caller, ref = started_where(top, Quick)

    assert caller != ref.ask("where?")


def test_a_supervisor_is_free_while_the_caller_starts_its_child(top: SupervisorHandle, outside: Outside) -> None:
    inside, gate = threading.Event(), threading.Event()

    def be_slow(child: Child) -> None:
        inside.set()
        gate.wait(PATIENCE)

    call = outside(lambda: started_where(top, Quick, be_slow))
    assert inside.wait(PATIENCE)
    others = [top.count_children().specs, outside(lambda: top.count_children().specs).result(PATIENCE)]
    outside(lambda: started_where(top, Quick, child="other")).result(PATIENCE)
    gate.set()
    _, ref = call.result(PATIENCE)

    assert [1, 1] == others
    assert ref.is_alive()


def test_what_a_start_sets_going_is_for_the_workers_at_once(top: SupervisorHandle, outside: Outside) -> None:
    """Its own code may wait for it without a word."""
    arrived = threading.Event()
    _, other = started_where(top, Quick, child="other")

    def wait_for_other(child: Child) -> bool:
        def arrive(_: Child) -> None:
            arrived.set()

        other.tell(arrive)
        return arrived.wait(PATIENCE)

    outside(lambda: started_where(top, Quick, wait_for_other)).result(PATIENCE)

    assert arrived.is_set()


def test_a_start_that_fails_is_told_as_ever(runtime: Runtime, top: SupervisorHandle, outside: Outside) -> None:
    def fail(child: Child) -> None:
        raise ValueError("no such device")

    with pytest.raises(StartFailed) as caught:
        outside(lambda: started_where(top, Quick, fail)).result(PATIENCE)

    assert isinstance(caught.value.reason, Crashed)
    assert "no such device" in str(caught.value)
    assert runtime.whereis("/top/d/c") is None
    assert 0 == top.count_children().specs


def test_a_start_that_takes_too_long_is_given_up_on_though_the_caller_is_in_it(
    top: SupervisorHandle, outside: Outside
) -> None:
    inside, gate = threading.Event(), threading.Event()

    def hang(child: Child) -> None:
        inside.set()
        gate.wait(PATIENCE)

    spec = ChildSpec.of(Quick, hang, id="c", start_timeout=0.05)
    call = outside(lambda: top.start_child(spec))
    assert inside.wait(PATIENCE)
    while top.count_children().specs:  # until its supervisor has given up
        pass
    gate.set()
    with pytest.raises(StartFailed) as caught:
        call.result(PATIENCE)

    assert Unresponsive(0.05) == caught.value.reason


def test_a_child_that_asks_the_actor_that_waits_for_its_start_is_refused(
    top: SupervisorHandle, outside: Outside
) -> None:
    _, starter = started_where(top, Child, child="starter")
    cycles: list[object] = []

    def ask_back(child: Child) -> None:
        try:
            starter.ask("where?", timeout=PATIENCE)
        except AskCycle as cycle:
            cycles.append(cycle.paths)

    def start(_: Child) -> object:
        return started_where(top, Quick, ask_back)

    starter.ask(start, timeout=PATIENCE)

    assert [("/top/d/c", "/top/d/starter", "/top/d/c")] == cycles


def test_messages_told_to_a_child_as_it_starts_are_handled_by_workers(top: SupervisorHandle, outside: Outside) -> None:
    handled_by = list[int]()
    done = threading.Event()

    def tell_itself(child: Child) -> None:
        def note(_: Child) -> None:
            handled_by.append(threading.get_ident())
            done.set()

        child.context.tell_self(note)

    caller, _ = outside(lambda: started_where(top, Quick, tell_itself)).result(PATIENCE)

    assert done.wait(PATIENCE)
    assert [caller] != handled_by


def test_many_callers_at_once_start_each_child_once(runtime: Runtime, top: SupervisorHandle, outside: Outside) -> None:
    starts = list[str]()

    def note(child: Child) -> None:
        starts.append(child.context.path)

    def work(caller: int) -> None:
        for number in range(50):
            kind = Quick if number % 2 else Child
            started_where(top, kind, note, child=f"c{caller}-{number}")

    for call in [outside(partial(work, caller)) for caller in range(6)]:
        call.result(60)

    assert sorted(f"/top/d/c{caller}-{number}" for caller in range(6) for number in range(50)) == sorted(starts)
    assert 300 == top.count_children().active
    assert all(runtime.whereis(path) is not None for path in starts)


def test_a_crash_of_a_child_started_like_this_restarts_it(
    runtime: Runtime, top: SupervisorHandle, outside: Outside
) -> None:
    started = threading.Semaphore(0)

    def crash(_: Child) -> None:
        raise RuntimeError("as told")

    def tell(_: Child) -> None:
        started.release()

    outside(lambda: started_where(top, Quick, tell)).result(PATIENCE)
    assert started.acquire(timeout=PATIENCE)
    with pytest.raises(RuntimeError, match="as told"):
        outside(lambda: runtime.address("/top/d/c").ask(crash)).result(PATIENCE)

    assert started.acquire(timeout=PATIENCE)
