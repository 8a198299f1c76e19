"""A dedicated actor: one thread runs it, from its start to its end, and that thread runs nothing else."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

from treewarden.actors import (
    DEDICATED,
    Actor,
    ActorDead,
    ActorRef,
    AskCycle,
    ChildSpec,
    Crashed,
    Declined,
    Ignore,
    Killed,
    Restart,
    ThreadDispatcher,
    Unresponsive,
)
from treewarden.actors._status import Status
from treewarden.supervision_trees import Runtime, Supervisor, _ports
from treewarden.supervision_trees.testing import TreeUnderTest

if TYPE_CHECKING:
    from .conftest import Steps, Threads

Wait = Callable[[Callable[[], bool], str], None]
PATIENCE: Final = 10.0
LOST: Final = Unresponsive(1.0)


def here(_: object = None) -> threading.Thread:
    return threading.current_thread()


class Own(Actor):
    """Calls what it gets and answers with the result; notes on which threads it ran."""

    dispatcher = DEDICATED

    def __init__(self, ran: list[threading.Thread] | None = None, acts: dict[str, Callable[[], object]] | None = None):
        super().__init__()
        self.ran = [] if ran is None else ran
        self.acts = {} if acts is None else acts
        self._note("init")

    def on_start(self) -> None:
        self._note("start")

    def on_receive(self, message: Any) -> object:
        self._note("receive")
        return message(self) if callable(message) else message

    def on_stop(self, reason: object = None) -> None:
        self._note("stop")

    def on_kill(self) -> None:
        self._note("kill")

    def _note(self, where: str) -> None:
        self.ran.append(here())
        self.acts.get(where, int)()


class Shared(Own):
    """The same on the shared workers."""

    dispatcher = Actor.dispatcher


def doing(act: Callable[[Own], object]) -> Callable[[Own], object]:
    """A message for these actors, which call it; what `act` returns is the answer."""
    return act


def own_threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("treewarden/"))


@pytest.fixture
def gate(threads: "Threads") -> Iterator[threading.Event]:
    """What handlers that must not end yet wait for; open when the test is over."""
    event = threading.Event()
    yield event
    event.set()


# Where it runs


def test_it_runs_on_one_thread_from_its_start_to_its_end_and_that_is_named_after_it(threads: "Threads") -> None:
    ran: list[threading.Thread] = []
    ref = threads.spawn(Own, ran, path="/dev/own")
    for _ in range(200):
        ref.tell("told")
    assert "asked" == ref.ask("asked")
    ref.sys.replace_state(lambda state: {**state, "ran": [*state["ran"], here()]})
    state = ref.sys.get_state()["ran"]
    ref.request_stop()
    ref.wait_stopped(timeout=PATIENCE)
    threads.settle()

    assert [203, 205] == [len(ran), len(state)], "the state was replaced before the stop"
    assert {"treewarden/dev/own"} == {thread.name for thread in [*ran, *state]}
    assert 1 == len({*ran, *state})


def test_each_has_a_thread_of_its_own(threads: "Threads") -> None:
    refs = [threads.spawn(Own, path=f"/own-{number}") for number in range(10)]

    assert 10 == len({ref.ask(here) for ref in refs})
    assert [f"treewarden/own-{number}" for number in range(10)] == own_threads()
    assert all(here() is not ref.ask(here) for ref in refs)


def test_an_actor_is_shared_unless_its_class_says_otherwise(threads: "Threads") -> None:
    name = threads.spawn(Shared).ask(doing(lambda _: here().name), block=True)

    assert "treewarden-worker" in name
    assert [] == own_threads()


def test_its_timers_and_messages_to_itself_run_on_it_too(threads: "Threads") -> None:
    ran, done = list[threading.Thread](), threading.Event()

    def set_timers(actor: Own) -> None:
        actor.context.send_after(0.0, doing(lambda _: done.set()))
        actor.context.tell_self("self")

    threads.spawn(Own, ran).tell(set_timers)
    assert done.wait(PATIENCE)

    assert 1 == len(set(ran))


def test_six_hundred_that_block_leave_the_shared_workers_alone(threads: "Threads", gate: threading.Event) -> None:
    """More than there may be workers."""
    inside = threading.Semaphore(0)

    def block(_: Own) -> None:
        inside.release()
        gate.wait()

    for number in range(600):
        threads.spawn(Own, path=f"/own-{number}").tell(block)
    for _ in range(600):
        assert inside.acquire(timeout=PATIENCE)

    assert threads.dispatcher.threads() < 100, "none of the six hundred is one of them"
    assert "quick" == threads.spawn(Shared, path="/shared").ask("quick")
    gate.set()
    threads.settle()


def test_on_a_dispatcher_without_threads_it_runs_like_any_other(steps: "Steps") -> None:
    ran: list[threading.Thread] = []
    ref = steps.spawn(Own, ran)
    future = ref.ask("echo", block=False)
    steps.settle()

    assert "echo" == future.get(timeout=0)
    assert {here()} == set(ran)


def test_in_a_tree_under_test_it_runs_like_any_other() -> None:
    children = [ChildSpec.of(Own, id="own"), ChildSpec.of(Shared, id="shared")]
    with TreeUnderTest(ChildSpec.of(Supervisor, children=children, id="dev")) as tree:
        own, shared = tree.address("/dev/own"), tree.address("/dev/shared")

        assert here() is own.ask(here)
        assert here() is shared.ask(doing(lambda _: own.ask(here)))
        assert here() is own.ask(doing(lambda _: shared.ask(here)))


# With others


def test_it_asks_and_is_asked_by_shared_and_dedicated_ones(threads: "Threads") -> None:
    """Back and forth, deeper than there are workers to begin with."""
    refs = [threads.spawn(Own if number % 2 else Shared, path=f"/a{number}") for number in range(12)]

    def ask_from(number: int) -> list[str]:
        if number == len(refs):
            return []
        below: list[str] = refs[number].ask(doing(lambda _: ask_from(number + 1)), block=True)
        return [here().name, *below]

    names = ask_from(0)
    assert [f"treewarden/a{number}" for number in range(1, 11, 2)] == names[2::2]
    assert all("treewarden-worker" in name for name in names[1::2])


def test_a_cycle_through_it_is_refused(threads: "Threads") -> None:
    own, shared = threads.spawn(Own, path="/own"), threads.spawn(Shared, path="/shared")

    with pytest.raises(AskCycle, match="/shared -> /own -> /shared"):
        own.ask(doing(lambda _: shared.ask(doing(lambda _: own.ask("?", timeout=None)), timeout=None)))


def test_messages_of_one_sender_arrive_in_order(threads: "Threads") -> None:
    got: dict[int, list[int]] = {sender: [] for sender in range(8)}
    ref = threads.spawn(Own)

    def send(sender: int) -> None:
        for number in range(500):
            ref.tell(doing(lambda _, number=number: got[sender].append(number)))  # type: ignore[misc]

    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
    for thread in senders:
        thread.start()
    for number in range(4, 8):
        threads.spawn(Own if number % 2 else Shared, path=f"/sender-{number}").tell(
            doing(lambda _, number=number: send(number))  # type: ignore[misc]
        )
    for thread in senders:
        thread.join()
    threads.settle()

    assert all(list(range(500)) == numbers for numbers in got.values())


# When its thread ends


ENDS: Final[dict[str, Callable[[ActorRef[Any]], object]]] = {
    "stop": lambda ref: ref.request_stop(),
    "kill": lambda ref: ref.kill(),
    "abandon": lambda ref: ref.incarnation().abandon(LOST),
    "crash": lambda ref: ref.tell(doing(lambda _: 1 / 0)),
    "exit": lambda ref: ref.tell(doing(lambda actor: actor.context.exit())),
    "pykka's stop": lambda ref: ref.stop(timeout=PATIENCE),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_thread_ends_with_its_actor(
    threads: "Threads", wait_for: Wait, end: Callable[[ActorRef[Any]], object]
) -> None:
    ran: list[threading.Thread] = []
    ref = threads.spawn(Own, ran)
    assert "up" == ref.ask("up")
    (thread,) = set(ran)
    end(ref)

    wait_for(lambda: not thread.is_alive(), "the thread ended")
    assert {thread} == set(ran), "its end ran there too"
    assert [] == own_threads()
    with pytest.raises(ActorDead):
        ref.tell("too late")


@pytest.mark.parametrize("where", ["init", "start"])
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), Ignore()], ids=["failed", "left", "declined"])
def test_the_thread_ends_with_a_start_that_comes_to_nothing(
    threads: "Threads", wait_for: Wait, where: str, error: BaseException
) -> None:
    ran: list[threading.Thread] = []
    ref = threads.spawn(Own, ran, {where: partial(_raise, error)})
    ref.wait_stopped(timeout=PATIENCE)

    wait_for(lambda: not ran[0].is_alive(), "the thread ended")
    assert 1 == len(set(ran))
    assert "/a" in ran[0].name
    wait_for(lambda: bool(threads.notices), "it was told")
    if isinstance(error, Ignore):
        assert [Declined] == [type(notice) for notice in threads.notices]
    else:
        assert [Crashed] == [type(exited.reason) for exited in threads.exits()]


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_one_that_is_ended_before_it_began_leaves_no_thread(threads: "Threads", wait_for: Wait, how: str) -> None:
    for number in range(30):
        ref = threads.spawn(Own, path=f"/a{number}")
        ENDS[how](ref)
        ref.wait_stopped(timeout=PATIENCE)

    wait_for(lambda: [] == own_threads(), "all threads ended")


def test_the_thread_of_one_that_was_given_up_on_ends_when_it_comes_back(
    threads: "Threads", gate: threading.Event, wait_for: Wait
) -> None:
    ran, inside = list[threading.Thread](), threading.Event()
    ref = threads.spawn(Own, ran)
    ref.tell(doing(lambda _: inside.set() or gate.wait()))  # type: ignore[func-returns-value]
    assert inside.wait(PATIENCE)
    ref.kill()

    assert Killed() == ref.wait_stopped(timeout=0)
    assert ran[0].is_alive()
    gate.set()
    wait_for(lambda: not ran[0].is_alive(), "the thread ended")
    assert ref.incarnation().status is Status.STOPPED
    assert 1 == len(set(ran))


def test_what_reaches_it_after_its_end_is_answered_by_the_shared_workers(threads: "Threads", wait_for: Wait) -> None:
    """A message that slipped in between the look and the end."""
    ran: list[threading.Thread] = []
    ref = threads.spawn(Own, ran)
    ref.request_stop()
    ref.wait_stopped(timeout=PATIENCE)
    wait_for(lambda: [] == own_threads(), "the thread ended")
    inner = ref.incarnation()
    future = _ask_past_the_look(ref)

    with pytest.raises(ActorDead):
        future.get(timeout=PATIENCE)
    wait_for(lambda: not inner._user_lane, "nothing is left")
    assert [] == own_threads()


def _ask_past_the_look(ref: ActorRef[Any]) -> Any:
    inner = ref.incarnation()
    reason, inner._exit_reason = inner._exit_reason, None
    future = ref.ask("slips in", block=False)
    inner._exit_reason = reason
    return future


def test_what_is_scheduled_on_a_thread_that_has_ended_is_run_by_a_shared_worker(threads: "Threads") -> None:
    own = threads.dispatcher.own_thread("/own")
    own.end()
    own.end()
    ran, done = list[str](), threading.Event()

    class Job:
        def run(self) -> None:
            ran.append(here().name)
            done.set()

    own.schedule(Job())
    assert done.wait(PATIENCE)
    assert "treewarden-worker" in ran[0]


def test_a_runnable_that_raises_is_reported_and_does_not_cost_it_its_thread(
    nothing_left: None, unhandled: list[BaseException | None]
) -> None:
    dispatcher = ThreadDispatcher()
    own, done = dispatcher.own_thread("/own"), threading.Event()

    class Raises:
        def run(self) -> None:
            raise SystemExit(3)

    class Job:
        def run(self) -> None:
            done.set()

    own.schedule(Raises())
    own.schedule(Job())
    assert done.wait(PATIENCE)
    assert [SystemExit] == [type(error) for error in unhandled]
    assert 0 == dispatcher.close(within=PATIENCE)


def test_a_system_that_gives_no_more_threads_has_the_shared_workers_run_it(
    threads: "Threads", monkeypatch: pytest.MonkeyPatch
) -> None:
    """pthread_create(3), EAGAIN. It runs on, late perhaps; and has a thread once there is one."""
    threads.spawn(Shared, path="/warm").ask("warm")

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        ref = threads.spawn(Own)
        assert "treewarden-worker" in ref.ask(doing(lambda _: here().name), block=True)
    threads.settle()

    assert "treewarden/a" == ref.ask(doing(lambda _: here().name))


# When the dispatcher, or the runtime, ends


def test_a_close_ends_the_threads_of_actors_that_live(nothing_left: None, wait_for: Wait) -> None:
    dispatcher = ThreadDispatcher()
    own, done = dispatcher.own_thread("/own"), threading.Event()

    class Job:
        def run(self) -> None:
            done.set()

    own.schedule(Job())
    assert done.wait(PATIENCE)

    assert 0 == dispatcher.close(within=PATIENCE)
    wait_for(lambda: [] == own_threads(), "it ended")


def test_a_close_runs_what_is_scheduled_on_them_and_counts_those_that_are_stuck(
    nothing_left: None, wait_for: Wait
) -> None:
    dispatcher, gate, ran = ThreadDispatcher(), threading.Event(), list[str]()

    class Stuck:
        def run(self) -> None:
            gate.wait()

    class Job:
        def run(self) -> None:
            ran.append(here().name)

    stuck = [dispatcher.own_thread(f"/stuck-{number}") for number in range(3)]
    for own in stuck:
        own.schedule(Stuck())
        own.schedule(Job())

    try:
        assert 3 <= dispatcher.close(within=0.0)
        wait_for(lambda: not dispatcher.threads(), "the shared workers left")
        assert 3 == dispatcher.close(within=0.0)
    finally:
        gate.set()
    wait_for(lambda: [] == own_threads(), "they ended once they could")
    assert [f"treewarden/stuck-{number}" for number in range(3)] == sorted(ran)
    assert 0 == dispatcher.close(within=PATIENCE)


def test_none_is_begun_once_the_dispatcher_closes(nothing_left: None) -> None:
    dispatcher = ThreadDispatcher()
    own, ran = dispatcher.own_thread("/own"), list[str]()

    class Job:
        def run(self) -> None:
            ran.append(here().name)

    class Begins:
        def run(self) -> None:
            with dispatcher._lock:
                dispatcher.closing = True
            own.schedule(Job())

    dispatcher.schedule(Begins())
    assert 0 == dispatcher.close(within=PATIENCE)
    assert ["treewarden-worker" in name for name in ran] == [True]


def test_a_close_that_meets_a_thread_that_is_just_being_made_waits_for_it(nothing_left: None, wait_for: Wait) -> None:
    """Many at once, from another thread: none is joined before it runs, none is left."""
    for _ in range(20):
        dispatcher = ThreadDispatcher()
        owns = [dispatcher.own_thread(f"/own-{number}") for number in range(10)]
        ran = threading.Semaphore(0)

        class Job:
            def __init__(self, ran: threading.Semaphore) -> None:
                self._ran = ran

            def run(self) -> None:
                self._ran.release()

        def begin(owns: list[Any] = owns, ran: threading.Semaphore = ran) -> None:
            for own in owns:
                own.schedule(Job(ran))

        beginner = threading.Thread(target=begin)
        beginner.start()
        assert 0 == dispatcher.close(within=PATIENCE)
        beginner.join()
        wait_for(lambda: [] == own_threads(), "all ended")


def test_a_runtime_that_stops_leaves_no_thread_of_an_actor(nothing_left: None, wait_for: Wait) -> None:
    children = [ChildSpec.of(Own, id=f"own-{number}") for number in range(5)]
    runtime = Runtime.start(ChildSpec.of(Supervisor, children=children, id="dev"))
    names = own_threads()
    report = runtime.stop()

    assert [f"treewarden/dev/own-{number}" for number in range(5)] == names
    assert () == report.abandoned
    wait_for(lambda: [] == own_threads(), "all ended")


def test_a_runtime_that_stops_says_whose_thread_is_stuck_and_does_not_wait_for_it(
    nothing_left: None, wait_for: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ports, "CLOSING", 0.05)  # seconds for threads to end once the tree has
    gate, inside = threading.Event(), threading.Event()
    children = [ChildSpec.of(Own, id="own", shutdown=0.05)]
    runtime = Runtime.start(ChildSpec.of(Supervisor, children=children, id="dev"))
    try:
        runtime.address("/dev/own").tell(doing(lambda _: (inside.set(), gate.wait())))
        assert inside.wait(PATIENCE)
        report = runtime.stop()

        assert ("/dev/own",) == report.abandoned
        assert ["treewarden/dev/own"] == own_threads()
    finally:
        gate.set()
    wait_for(lambda: [] == own_threads(), "it ended once it could")


def test_a_restart_has_a_thread_of_its_own_and_that_of_the_one_before_ends(nothing_left: None, wait_for: Wait) -> None:
    children = [ChildSpec.of(Own, id="own", restart=Restart.PERMANENT)]
    runtime = Runtime.start(ChildSpec.of(Supervisor, children=children, id="dev"))
    try:
        own = runtime.address("/dev/own")
        first = own.ask(here)
        before = runtime.whereis("/dev/own")
        own.tell(doing(lambda _: 1 / 0))
        wait_for(lambda: runtime.whereis("/dev/own") not in (None, before), "it was restarted")
        second = own.ask(here)

        assert first is not second
        assert first.name == second.name
        wait_for(lambda: not first.is_alive(), "the first thread ended")
    finally:
        runtime.stop()


def _raise(error: BaseException) -> None:
    raise error
