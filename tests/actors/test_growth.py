"""How many workers there are: stuck ones are made up for soon, those that compute are not multiplied."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.actors import Reply, ThreadDispatcher
from treewarden.actors import _workers as module
from treewarden.actors._growth import COMPUTING, LONGEST_PAUSE, MOST_AT_ONCE, Growth, Look, Step, grow

Wait = Callable[[Callable[[], bool], str], None]
PATIENCE: Final = 10.0


def stuck(*, queued: int = 1_000_000) -> Look:
    return Look(queued, idle=0, moved=False, used=0.0)


def computing(*, queued: int = 1_000_000) -> Look:
    return Look(queued, idle=0, moved=False, used=1.0)


looks = st.builds(
    Look, queued=st.integers(0, 2000), idle=st.integers(0, 600), moved=st.booleans(), used=st.floats(-1.0, 4.0)
)
growths = st.builds(
    Growth,
    burst=st.integers(0, 10).map(lambda power: 2**power),
    pause=st.integers(0, 10).map(lambda power: 2**power),
    paused=st.integers(0, LONGEST_PAUSE),
)


def added_in(looks: list[Look], growth: Growth | None = None) -> list[int]:
    """How many workers each look adds, one after the other."""
    growth, added = Growth() if growth is None else growth, list[int]()
    for look in looks:
        step = grow(growth, look)
        growth = step.growth
        added.append(step.add)
    return added


# The decision


@pytest.mark.parametrize(
    ("growth", "look", "step"),
    [
        pytest.param(Growth(), Look(0, 2, False, 0.0), Step(Growth()), id="nothing to do"),
        pytest.param(Growth(8, 4, 2), Look(0, 0, False, 0.0), Step(Growth()), id="nothing queued forgets all"),
        pytest.param(Growth(), Look(5, 2, False, 0.0), Step(Growth(), wake=2), id="idle ones are woken"),
        pytest.param(Growth(), Look(1, 2, True, 1.0), Step(Growth(), wake=1), id="no more than there is to do"),
        pytest.param(Growth(8), Look(9, 0, True, 0.0), Step(Growth(8)), id="it goes on: nothing is added"),
        pytest.param(Growth(), Look(9, 0, False, 0.0), Step(Growth(2), add=1), id="stuck: one at first"),
        pytest.param(Growth(8), Look(9, 0, False, 0.1), Step(Growth(16), add=8), id="stuck: twice as many"),
        pytest.param(Growth(8), Look(3, 0, False, 0.1), Step(Growth(16), add=3), id="stuck: as many as are queued"),
        pytest.param(Growth(), Look(9, 0, False, 0.9), Step(Growth(1, 2), add=1), id="at work: one at first"),
        pytest.param(Growth(1, 4), Look(9, 0, False, 0.9), Step(Growth(1, 4, 1)), id="at work: then a pause"),
        pytest.param(Growth(1, 4, 3), Look(9, 0, False, 0.9), Step(Growth(1, 8), add=1), id="at work: a longer one"),
        pytest.param(Growth(), Look(9, 0, False, COMPUTING), Step(Growth(1, 2), add=1), id="the edge is at work"),
    ],
)
def test_what_is_done_about_what_was_seen(growth: Growth, look: Look, step: Step) -> None:
    assert step == grow(growth, look)


@given(growth=growths, look=looks)
def test_no_step_does_more_than_there_is_to_do(growth: Growth, look: Look) -> None:
    step = grow(growth, look)

    assert 0 <= step.add <= look.queued
    assert 0 <= step.wake <= min(look.queued, look.idle)
    assert not (step.add and step.wake)
    assert not (step.add and (look.idle or look.moved))


@given(growth=growths, idle=st.integers(0, 600), moved=st.booleans(), used=st.floats(-1.0, 4.0))
def test_an_empty_queue_forgets_what_was(growth: Growth, idle: int, moved: bool, used: float) -> None:
    assert Step(Growth()) == grow(growth, Look(0, idle, moved, used))


@given(looks=st.lists(looks, max_size=60))
def test_the_memory_stays_within_its_bounds(looks: list[Look]) -> None:
    growth = Growth()
    for look in looks:
        growth = grow(growth, look).growth
        assert 1 <= growth.burst <= MOST_AT_ONCE
        assert 1 <= growth.pause <= LONGEST_PAUSE
        assert 0 <= growth.paused < growth.pause


def test_stuck_handlers_are_made_up_for_within_a_few_looks() -> None:
    added = added_in([stuck()] * 7)

    assert [1, 2, 4, 8, 16, 32, 64] == added


def test_a_day_at_the_limit_costs_no_more_than_a_minute() -> None:
    """A number that doubles at every look would soon fill the memory."""
    growth = Growth()
    for _ in range(20_000):
        growth = grow(growth, stuck()).growth

    assert MOST_AT_ONCE == growth.burst


def test_workers_that_compute_are_added_ever_more_rarely() -> None:
    added = added_in([computing()] * (2 * LONGEST_PAUSE + 3 * LONGEST_PAUSE))
    at = [number for number, count in enumerate(added) if count]
    pauses = [later - earlier for earlier, later in itertools.pairwise(at)]

    assert {0, 1} == set(added)
    assert pauses[:10] == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert {LONGEST_PAUSE} == set(pauses[10:])


def test_a_handler_that_computes_between_others_that_hang_does_not_make_it_forget_them() -> None:
    """One look of computing is in the middle of it; the next burst goes on where it was."""
    added = added_in([stuck(), stuck(), computing(), stuck(), stuck()])

    assert [1, 2, 1, 4, 8] == added


# The real thing


class Job:
    """A runnable that calls `act`."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def run(self) -> None:
        self._act()


@pytest.fixture
def dispatcher(nothing_left: None) -> Iterator[ThreadDispatcher]:
    made = ThreadDispatcher()
    yield made
    assert 0 == made.close(within=PATIENCE)


@pytest.fixture
def gate(dispatcher: ThreadDispatcher) -> Iterator[threading.Event]:
    """What stuck handlers wait for; open when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def test_sixty_four_that_block_without_a_word_are_made_up_for(
    dispatcher: ThreadDispatcher, gate: threading.Event
) -> None:
    inside, others = threading.Semaphore(0), threading.Semaphore(0)

    def hang() -> None:
        inside.release()
        gate.wait()

    for _ in range(64):
        dispatcher.schedule(Job(hang))
        dispatcher.schedule(Job(others.release))
    for semaphore in (inside, others):
        for _ in range(64):
            assert semaphore.acquire(timeout=PATIENCE)

    assert 64 < dispatcher.threads() <= 64 + 64


def test_what_a_worker_computes_is_measured(dispatcher: ThreadDispatcher) -> None:
    finished, before = threading.Event(), dispatcher._measured()

    def compute() -> None:
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            sum(range(100))
        finished.set()

    dispatcher.schedule(Job(compute))
    assert finished.wait(PATIENCE)
    after = dispatcher._measured()

    assert 0.05 <= after.cpu - before.cpu
    assert after.cpu - before.cpu <= module.BASE_WORKERS * (after.at - before.at) + 0.05


def test_workers_that_compute_do_not_multiply(dispatcher: ThreadDispatcher, gate: threading.Event) -> None:
    """Under one interpreter lock they would only take turns."""
    measured = dispatcher._measured
    # What they use is made up: on a busy machine it would be little, as if they were stuck.
    dispatcher._measured = lambda: (now := measured())._replace(cpu=now.at)  # type: ignore[method-assign]
    until, done = time.monotonic() + 0.5, threading.Semaphore(0)

    def compute() -> None:
        while time.monotonic() < until:
            sum(range(1000))
        done.release()

    for _ in range(100):
        dispatcher.schedule(Job(compute))
    most = 0
    while not done.acquire(timeout=0.01):
        most = max(most, dispatcher.threads())
    for _ in range(99):
        assert done.acquire(timeout=PATIENCE)

    # At most 100 looks: one worker is added at the first, then after 2, 4, 8, 16 and 32 more.
    assert most <= module.BASE_WORKERS + 6


def test_a_worker_that_schedules_and_computes_on_gets_help(dispatcher: ThreadDispatcher) -> None:
    """It wakes nobody for a single runnable, since it would come to it next; here it does not."""
    ran, helped = threading.Event(), list[bool]()

    def compute() -> None:
        dispatcher.schedule(Job(ran.set))
        until = time.monotonic() + PATIENCE
        while not ran.is_set() and time.monotonic() < until:
            sum(range(100))
        helped.append(ran.is_set())

    finished = threading.Event()
    dispatcher.schedule(Job(lambda: (compute(), finished.set())))
    assert finished.wait(PATIENCE * 2)
    assert [True] == helped


def test_a_worker_that_schedules_and_blocks_without_a_word_gets_help(dispatcher: ThreadDispatcher) -> None:
    ran, helped = threading.Event(), list[bool]()
    finished = threading.Event()

    def hang() -> None:
        dispatcher.schedule(Job(ran.set))
        helped.append(ran.wait(PATIENCE))

    dispatcher.schedule(Job(lambda: (hang(), finished.set())))
    assert finished.wait(PATIENCE * 2)
    assert [True] == helped


def test_a_worker_that_schedules_and_waits_for_a_reply_wakes_another_itself(nothing_left: None) -> None:
    """Without the watcher's help: it is put to sleep for good."""
    for base in (1, 2):
        dispatcher, answers = ThreadDispatcher(base=base), list[str]()
        dispatcher._watcher_asleep = False

        def ask(dispatcher: ThreadDispatcher = dispatcher, answers: list[str] = answers) -> None:
            reply: Reply[str] = Reply()
            dispatcher.schedule(Job(partial(reply.set, "here")))
            answers.append(reply.get(timeout=PATIENCE))

        for _ in range(20):
            dispatcher.schedule(Job(ask))
        assert 0 == dispatcher.close(within=PATIENCE)
        assert ["here"] * 20 == answers


def test_a_worker_of_another_dispatcher_that_schedules_here_wakes_ours(
    dispatcher: ThreadDispatcher, wait_for: Wait
) -> None:
    """Without the watchers' help: it will not come to it, for it serves another queue."""
    other = ThreadDispatcher()
    dispatcher._watcher_asleep = other._watcher_asleep = False
    wait_for(lambda: len(dispatcher.idle) == module.BASE_WORKERS, "all of ours rest")
    ran, names = threading.Event(), list[str]()

    def note() -> None:
        names.append(threading.current_thread().name)
        ran.set()

    def hang() -> None:
        dispatcher.schedule(Job(note))
        names.append(str(ran.wait(PATIENCE)))

    other.schedule(Job(hang))
    assert ran.wait(PATIENCE)
    assert 0 == other.close(within=PATIENCE)
    assert "True" == names[1]


def test_two_runtimes_whose_workers_call_each_other_both_go_on(
    dispatcher: ThreadDispatcher, gate: threading.Event
) -> None:
    other, done = ThreadDispatcher(name="treewarden-other"), threading.Event()

    def bounce(left: int, here: ThreadDispatcher, there: ThreadDispatcher) -> None:
        if left:
            there.schedule(Job(partial(bounce, left - 1, there, here)))
        else:
            done.set()

    dispatcher.schedule(Job(partial(bounce, 1000, dispatcher, other)))
    assert done.wait(PATIENCE)
    assert 0 == other.close(within=PATIENCE)
    assert module.BASE_WORKERS == dispatcher.threads()


def test_a_burst_ends_at_the_limit(nothing_left: None) -> None:
    """However many wait: those there are go on when they can."""
    dispatcher, gate, inside = ThreadDispatcher(limit=10), threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        inside.release()
        gate.wait()

    for _ in range(40):
        dispatcher.schedule(Job(hang))
    for _ in range(10):
        assert inside.acquire(timeout=PATIENCE)
    assert 10 == dispatcher.threads()
    gate.set()
    for _ in range(30):
        assert inside.acquire(timeout=PATIENCE)
    assert 10 >= dispatcher.threads()
    assert 0 == dispatcher.close(within=PATIENCE)
