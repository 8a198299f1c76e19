"""The shared dispatcher: nobody starves, nothing queued is lost, and idle means idle."""

import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import pykka
import pytest

from treewarden.actors import Dispatcher, Reply, ThreadDispatcher
from treewarden.actors import _workers as module
from treewarden.actors.testing import EndlessLoop, NotAnswered, SeededDispatcher, StepDispatcher

if TYPE_CHECKING:
    from .conftest import Threads

Wait = Callable[[Callable[[], bool], str], None]
PATIENCE = 10.0


class Job:
    """A runnable that calls `act`."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def run(self) -> None:
        self._act()


def stuck_job(inside: threading.Semaphore, gate: threading.Event) -> Job:
    """Says that it runs, and hangs until `gate` opens."""

    def hang() -> None:
        inside.release()
        gate.wait()

    return Job(hang)


@pytest.fixture
def dispatcher(nothing_left: None) -> Iterator[ThreadDispatcher]:
    made = ThreadDispatcher()
    yield made
    assert 0 == made.close(within=PATIENCE)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What stuck handlers wait for; open when the test is over."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(params=["steps", "seeded", "threads"])
def either(request: pytest.FixtureRequest) -> tuple[Dispatcher, Callable[[], object]]:
    """A dispatcher and what lets it finish."""
    if request.param != "threads":
        steps = StepDispatcher() if request.param == "steps" else SeededDispatcher(random.Random(1), max_turns=1000)
        return steps, steps.run_until_idle
    real: ThreadDispatcher = request.getfixturevalue("dispatcher")
    return real, lambda: real.close(within=PATIENCE)


def test_what_is_scheduled_is_run_once_each_and_begun_in_order(
    either: tuple[Dispatcher, Callable[[], object]],
) -> None:
    dispatcher, finish = either
    ran: list[int] = []
    lock = threading.Lock()
    for number in range(500):
        dispatcher.schedule(Job(partial(ran.append, number)))
    finish()

    with lock:
        assert list(range(500)) == sorted(ran)


def test_scheduling_from_inside_a_run_does_not_run_inside_it(
    either: tuple[Dispatcher, Callable[[], object]],
) -> None:
    dispatcher, finish = either
    depth: list[int] = []
    local = threading.local()

    def nested(left: int) -> None:
        local.depth = getattr(local, "depth", 0) + 1
        depth.append(local.depth)
        if left:
            dispatcher.schedule(Job(lambda: nested(left - 1)))
        local.depth -= 1

    dispatcher.schedule(Job(lambda: nested(50)))
    finish()

    assert [1] * 51 == depth


def test_work_queued_behind_workers_that_are_stuck_without_a_word_is_run(
    dispatcher: ThreadDispatcher, gate: threading.Event
) -> None:
    """The watcher notices: the stuck say nothing, they wait on a bare event."""
    inside = threading.Semaphore(0)
    for _ in range(5):
        dispatcher.schedule(stuck_job(inside, gate))
    for _ in range(5):
        assert inside.acquire(timeout=PATIENCE)
    ran = threading.Event()
    dispatcher.schedule(Job(ran.set))

    assert ran.wait(timeout=PATIENCE)
    assert dispatcher.threads() > 5


def test_work_queued_just_when_the_watcher_goes_to_sleep_is_seen(gate: threading.Event) -> None:
    """Whoever queued it saw the watcher awake; the watcher had looked for the last time."""
    dispatcher, inside, ran = ThreadDispatcher(), threading.Semaphore(0), threading.Event()
    for _ in range(module.BASE_WORKERS):
        dispatcher.schedule(stuck_job(inside, gate))
    for _ in range(module.BASE_WORKERS):
        assert inside.acquire(timeout=PATIENCE)
    watch, looks = dispatcher._watch_until_calm, list[int]()

    def last_look() -> None:
        looks.append(1)
        if len(looks) == 1:
            dispatcher.queue.append(Job(ran.set))
        else:
            watch()

    dispatcher._watch_until_calm = last_look  # type: ignore[method-assign]  # the interleaving is the test
    dispatcher._wake_watcher.set()

    assert ran.wait(timeout=PATIENCE)
    gate.set()
    assert 0 == dispatcher.close(within=PATIENCE)


def test_a_worker_that_announces_its_wait_is_replaced_at_once() -> None:
    """Without the watcher's help: it is put to sleep for good."""
    dispatcher = ThreadDispatcher(base=1)
    dispatcher._watcher_asleep = False
    reply: Reply[str] = Reply()
    answers: list[str] = []
    dispatcher.schedule(Job(lambda: answers.append(reply.get())))
    dispatcher.schedule(Job(lambda: reply.set("here")))

    assert 0 == dispatcher.close(within=PATIENCE)
    assert ["here"] == answers


def test_workers_are_never_more_than_the_limit(gate: threading.Event, wait_for: Wait) -> None:
    dispatcher = ThreadDispatcher(base=1, limit=3)
    inside = threading.Semaphore(0)
    for _ in range(6):
        dispatcher.schedule(stuck_job(inside, gate))
    for _ in range(3):
        assert inside.acquire(timeout=PATIENCE)
    with dispatcher._lock:
        for _ in range(10):
            dispatcher._add_worker(extra=True)

    assert 3 == dispatcher.threads()
    gate.set()
    assert 0 == dispatcher.close(within=PATIENCE)


def test_workers_that_were_added_retire(monkeypatch: pytest.MonkeyPatch, gate: threading.Event, wait_for: Wait) -> None:
    monkeypatch.setattr(module, "RETIRE_AFTER", 0.02)
    dispatcher = ThreadDispatcher()
    inside = threading.Semaphore(0)
    for _ in range(6):
        dispatcher.schedule(stuck_job(inside, gate))
    for _ in range(6):
        assert inside.acquire(timeout=PATIENCE)
    gate.set()

    wait_for(lambda: dispatcher.threads() == module.BASE_WORKERS, "the extra workers retired")
    assert 0 == dispatcher.close(within=PATIENCE)


def test_workers_that_were_added_retire_while_others_go_on_working(
    monkeypatch: pytest.MonkeyPatch, gate: threading.Event, wait_for: Wait
) -> None:
    """Each of them is given some of the work that a few could do, so none is ever idle for long."""
    monkeypatch.setattr(module, "RETIRE_AFTER", 0.2)
    dispatcher = ThreadDispatcher()
    inside, done = threading.Semaphore(0), threading.Semaphore(0)
    for _ in range(12):
        dispatcher.schedule(stuck_job(inside, gate))
    for _ in range(12):
        assert inside.acquire(timeout=PATIENCE)
    assert 12 <= dispatcher.threads()

    gate.set()

    def are_few_after_some_work() -> bool:
        for _ in range(200):  # each goes to the worker that has waited longest
            dispatcher.schedule(Job(done.release))
            assert done.acquire(timeout=PATIENCE)
        return dispatcher.threads() <= module.BASE_WORKERS + 2

    wait_for(are_few_after_some_work, "those that are not needed retire")
    assert 0 == dispatcher.close(within=PATIENCE)


def test_an_idle_runtime_wakes_up_for_nothing(threads: "Threads", wait_threads_quiet: Callable[[], None]) -> None:
    """No thread of an idle system is scheduled by the kernel any more, timers and watcher included."""
    ref, _ = threads.script()
    assert "warm" == ref.ask("warm")
    threads.timers.after(3600.0, lambda: None)

    wait_threads_quiet()


def test_a_runnable_that_raises_is_reported_and_costs_no_worker(
    nothing_left: None, unhandled: list[BaseException | None]
) -> None:
    dispatcher = ThreadDispatcher()
    errors = [SystemExit(1), ValueError("no"), KeyboardInterrupt(), *(OSError(n) for n in range(20))]
    for error in errors:
        dispatcher.schedule(Job(partial(_raise, error)))
    ran = threading.Event()
    dispatcher.schedule(Job(ran.set))

    assert ran.wait(timeout=PATIENCE)
    assert 0 == dispatcher.close(within=PATIENCE)
    assert {id(error) for error in errors} == {id(error) for error in unhandled}


@pytest.mark.parametrize("base", [1, 2, 5])
def test_a_close_runs_what_queued_work_schedules_in_its_turn(base: int) -> None:
    """Also when the end mark is met before it."""
    dispatcher, ran, held = ThreadDispatcher(base=base), list[int](), threading.Event()

    def chain(left: int) -> None:
        held.wait()
        ran.append(left)
        if left:
            dispatcher.schedule(Job(lambda: chain(left - 1)))

    dispatcher.schedule(Job(lambda: chain(300)))
    closer = threading.Thread(target=lambda: dispatcher.close(within=PATIENCE))
    closer.start()
    held.set()
    closer.join()

    assert list(range(300, -1, -1)) == ran


def test_a_close_replaces_workers_that_wait_for_others() -> None:
    """An actor that asks another while the dispatcher closes is still answered."""
    dispatcher = ThreadDispatcher(base=1)
    closing, answers = threading.Event(), list[int]()

    def ask(depth: int) -> int:
        if depth == 0:
            return 0
        reply: Reply[int] = Reply()
        dispatcher.schedule(Job(lambda: reply.set(ask(depth - 1))))
        return 1 + int(reply.get(timeout=PATIENCE))

    def begin() -> None:
        closing.wait()
        answers.append(ask(10))

    dispatcher.schedule(Job(begin))
    closer = threading.Thread(target=lambda: dispatcher.close(within=PATIENCE))
    closer.start()
    closing.set()
    closer.join()

    assert [10] == answers


def test_a_close_runs_what_a_timer_schedules_while_a_worker_still_waits_for_it(wait_for: Wait) -> None:
    """The other workers have gone by then, so the watcher must see that somebody is needed."""
    dispatcher = ThreadDispatcher()
    reply: Reply[str] = Reply()
    answers: list[str] = []
    dispatcher.schedule(Job(lambda: answers.append(reply.get(timeout=PATIENCE))))
    closer = threading.Thread(target=lambda: dispatcher.close(within=PATIENCE))
    closer.start()
    wait_for(lambda: dispatcher.threads() == 1, "the workers without work have left")
    dispatcher.schedule(Job(lambda: reply.set("in time")))
    closer.join()

    assert ["in time"] == answers


def test_a_close_counts_what_is_stuck_and_adds_nobody_after_it(gate: threading.Event, wait_for: Wait) -> None:
    dispatcher = ThreadDispatcher()
    inside, later = threading.Semaphore(0), list[int]()
    for _ in range(3):
        dispatcher.schedule(stuck_job(inside, gate))
    for _ in range(3):
        assert inside.acquire(timeout=PATIENCE)

    assert 3 == dispatcher.close(within=0.0)
    dispatcher.schedule(Job(lambda: later.append(1)))
    assert 3 == dispatcher.close(within=0.0)
    gate.set()
    wait_for(lambda: dispatcher.threads() == 0, "the stuck workers left once they could")
    assert [] == later
    assert 0 == dispatcher.close(within=0.0)


def test_a_dispatcher_may_be_closed_from_one_of_its_own_workers(wait_for: Wait) -> None:
    dispatcher, stuck = ThreadDispatcher(), list[int]()
    dispatcher.schedule(Job(lambda: stuck.append(dispatcher.close(within=PATIENCE))))

    wait_for(lambda: dispatcher.threads() == 0, "all workers left")
    assert [0] == stuck


def test_a_system_that_gives_no_more_threads_is_like_the_limit(
    monkeypatch: pytest.MonkeyPatch, dispatcher: ThreadDispatcher
) -> None:
    """pthread_create(3), EAGAIN: waiting must not become a crash of the actor that waits."""
    reply: Reply[str] = Reply()
    answers: list[str] = []

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        dispatcher.schedule(Job(lambda: answers.append(reply.get())))
        dispatcher.schedule(Job(lambda: reply.set("from the other worker")))
        assert "from the other worker" == reply.get(timeout=PATIENCE)


def _raise(error: BaseException) -> None:
    raise error


# The seeded dispatcher of tests


def drawn(seed: int) -> list[int]:
    """The order in which ten jobs run."""
    dispatcher, ran = SeededDispatcher(random.Random(seed), max_turns=1000), list[int]()
    for number in range(10):
        dispatcher.schedule(Job(partial(ran.append, number)))
    assert 10 == dispatcher.run_until_idle()
    return ran


def test_a_seed_draws_the_same_order_each_time_and_others_draw_others() -> None:
    assert drawn(3) == drawn(3)
    assert len({tuple(drawn(seed)) for seed in range(10)}) > 1


def test_more_turns_in_one_moment_than_allowed_are_an_endless_loop_that_names_its_runnables() -> None:
    dispatcher = SeededDispatcher(random.Random(1), max_turns=20)
    again = Job(lambda: dispatcher.schedule(again))
    dispatcher.schedule(again)
    with pytest.raises(EndlessLoop, match=r"20 turns.*Job \(20\)"):
        dispatcher.run_until_idle()


def test_turns_are_counted_by_the_moment() -> None:
    dispatcher = SeededDispatcher(random.Random(1), max_turns=20)
    for _ in range(5):
        dispatcher.begin_moment()
        for _ in range(20):
            dispatcher.schedule(Job(int))
        assert 20 == dispatcher.run_until_idle()


def test_a_wait_runs_what_is_scheduled_instead() -> None:
    dispatcher, answer = SeededDispatcher(random.Random(1), max_turns=1000), Reply[str]()
    dispatcher.schedule(Job(lambda: answer.set("done")))
    with dispatcher.while_waiting():
        assert "done" == answer.get(timeout=None)


def test_a_wait_that_nothing_scheduled_would_end_is_not_answered_at_once() -> None:
    dispatcher = SeededDispatcher(random.Random(1), max_turns=1000)
    with dispatcher.while_waiting(), pytest.raises(NotAnswered):
        Reply[str]().get(timeout=None)


def test_a_wait_inside_a_turn_runs_whoever_was_scheduled_last_and_no_more_than_it_must() -> None:
    dispatcher, answer, ran = SeededDispatcher(random.Random(1), max_turns=1000), Reply[str](), list[str]()

    def ask() -> None:
        dispatcher.schedule(Job(lambda: ran.append("bystander")))
        dispatcher.schedule(Job(lambda: answer.set("done")))
        ran.append(answer.get())

    dispatcher.schedule(Job(ask))
    with dispatcher.while_waiting():
        dispatcher.run_until_idle()

    assert ["done", "bystander"] == ran


def test_afterwards_a_wait_is_what_it_was() -> None:
    dispatcher, answer = SeededDispatcher(random.Random(1), max_turns=1000), Reply[str]()
    with dispatcher.while_waiting():
        pass
    dispatcher.schedule(Job(lambda: answer.set("done")))
    with pytest.raises(pykka.Timeout) as caught:
        answer.get(timeout=0)
    assert not isinstance(caught.value, NotAnswered)
