"""Timers: at most once, never early, never after a cancel that took; by hand and on a thread alike."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import pytest

from treewarden.actors import Normal, SystemClock, Timer, Timers, TimerThread
from treewarden.actors._timers import COMPACT_ABOVE
from treewarden.actors.testing import ManualClock

if TYPE_CHECKING:
    from .conftest import Scripted, Steps, Threads, World

Wait = Callable[[Callable[[], bool], str], None]
Pass = Callable[[float], None]
PATIENCE = 10.0
FAR = 3600.0


def doing(act: "Callable[[Scripted], object]") -> "Callable[[Scripted], object]":
    """A message for a scripted actor, which calls it; what `act` returns is the answer."""
    return act


@pytest.fixture
def errors() -> list[BaseException]:
    return []


@pytest.fixture
def real(nothing_left: None, errors: list[BaseException]) -> Iterator[TimerThread]:
    made = TimerThread(SystemClock(), on_error=errors.append)
    yield made
    made.close()


@pytest.fixture(params=["manual", "real"])
def either(request: pytest.FixtureRequest) -> tuple[Timers, Pass]:
    """Timers, and what lets a time pass on their clock."""
    if request.param == "manual":
        manual = ManualClock()
        return manual, manual.advance
    thread: TimerThread = request.getfixturevalue("real")

    def let_pass(seconds: float) -> None:
        passed = threading.Event()
        thread.after(seconds, passed.set)
        assert passed.wait(timeout=PATIENCE)

    return thread, let_pass


def test_timers_run_in_the_order_of_their_times(either: tuple[Timers, Pass]) -> None:
    timers, let_pass = either
    ran: list[str] = []
    for delay, name in [(0.03, "last"), (0.01, "first"), (0.02, "second")]:
        timers.after(delay, partial(ran.append, name))
    let_pass(0.04)

    assert ["first", "second", "last"] == ran


def test_what_is_due_already_runs_in_the_order_it_was_set(either: tuple[Timers, Pass]) -> None:
    timers, let_pass = either
    ran: list[int] = []
    for number in range(100):
        timers.after(0.0 if number % 2 else -5.0, partial(ran.append, number))
    let_pass(0.0)

    assert list(range(100)) == ran


def test_equal_times_run_in_the_order_they_were_set(errors: list[BaseException], wait_for: Wait) -> None:
    """On the thread too: its clock stands still, so the times are equal indeed."""
    ran: list[int] = []
    clock = ManualClock()
    thread = TimerThread(clock, on_error=errors.append)
    with thread._lock:  # nothing is served until all are set; the lock is reentrant
        for number in range(100):
            thread.after(0.0, partial(ran.append, number))
            clock.after(1.0, partial(ran.append, number))
    wait_for(lambda: len(ran) == 100, "the thread ran all")
    assert list(range(100)) == ran
    thread.close()
    clock.advance(1.0)

    assert [*range(100), *range(100)] == ran


def test_a_timer_never_runs_early(either: tuple[Timers, Pass]) -> None:
    timers, let_pass = either
    assert isinstance(timers, ManualClock | TimerThread)
    clock = timers if isinstance(timers, ManualClock) else SystemClock()
    early: list[float] = []

    def note(due: float) -> None:
        early.append(due - clock.monotonic())

    for delay in (0.0, 0.005, 0.01, 0.02):
        due = clock.monotonic() + delay
        timers.after(delay, partial(note, due))
    let_pass(0.03)

    assert 4 == len(early)
    assert max(early) <= 0


def test_a_cancel_that_took_means_it_never_runs_and_a_second_one_takes_nothing(either: tuple[Timers, Pass]) -> None:
    timers, let_pass = either
    ran: list[str] = []
    timer = timers.after(0.01, lambda: ran.append("cancelled"))
    assert timer.cancel()
    assert not timer.cancel()
    let_pass(0.02)

    assert [] == ran


def test_a_timer_that_has_run_or_is_running_cannot_be_cancelled(either: tuple[Timers, Pass]) -> None:
    timers, let_pass = either
    timer: list[Timer] = []
    taken: list[bool] = []
    timer.append(timers.after(0.01, lambda: taken.append(timer[0].cancel())))
    let_pass(0.02)

    assert [False] == taken
    assert not timer[0].cancel()


def test_a_callback_may_set_the_next_one(either: tuple[Timers, Pass]) -> None:
    timers, let_pass = either
    ran: list[int] = []

    def tick(left: int) -> None:
        ran.append(left)
        if left:
            timers.after(0.001, lambda: tick(left - 1))

    tick(10)
    let_pass(0.1)

    assert list(range(10, -1, -1)) == ran


def test_a_delay_that_is_no_number_is_refused_and_stops_nobody(either: tuple[Timers, Pass]) -> None:
    """NaN is neither earlier nor later than anything: in a heap it hides what lies below it."""
    timers, let_pass = either
    with pytest.raises(ValueError, match="NaN; expected seconds"):
        timers.after(float("nan"), lambda: None)
    ran: list[str] = []
    timers.after(0.0, lambda: ran.append("still"))
    let_pass(0.0)

    assert ["still"] == ran


def test_an_endless_delay_is_never_due_and_disturbs_nobody(either: tuple[Timers, Pass]) -> None:
    timers, let_pass = either
    ran: list[str] = []
    never = timers.after(float("inf"), lambda: ran.append("never"))
    timers.after(1e300, lambda: ran.append("hardly"))
    let_pass(0.001)
    let_pass(0.001)

    assert [] == ran
    assert never.cancel()


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_a_callback_that_raises_is_reported_and_stops_nobody(
    real: TimerThread, errors: list[BaseException], error: BaseException
) -> None:
    def fail() -> None:
        raise error

    ran = threading.Event()
    real.after(0.0, fail)
    real.after(0.0, ran.set)

    assert ran.wait(timeout=PATIENCE)
    assert [error] == errors


def test_setting_and_cancelling_leaves_nothing_behind(real: TimerThread) -> None:
    """100,000 deadlines that were all met: the heap must not keep them, nor be rebuilt for each."""
    real.after(FAR, lambda: None)
    most = 0
    for _ in range(100_000):
        real.after(FAR, lambda: None).cancel()
        most = max(most, len(real._heap))

    assert most <= 2 * COMPACT_ABOVE + 2


def test_many_cancelled_at_once_are_swept_in_few_rebuilds(real: TimerThread) -> None:
    """Linear: the heap is rebuilt when most of it is waste, so each rebuild halves it at least."""
    timers = [real.after(FAR, lambda: None) for _ in range(20_000)]
    heaps: dict[int, int] = {id(real._heap): len(real._heap)}
    kept = [real._heap]  # so that no id is used twice
    for timer in timers:
        assert timer.cancel()
        if real._heap is not kept[-1]:
            kept.append(real._heap)
            heaps[id(real._heap)] = len(real._heap)

    assert len(real._heap) <= COMPACT_ABOVE + 1
    assert len(heaps) < 20


def test_of_many_who_cancel_and_the_thread_that_runs_exactly_one_gets_the_callback(
    real: TimerThread, wait_for: Wait
) -> None:
    ran, won = list[int](), list[int]()
    for number in range(300):
        timer = real.after(0.0, partial(ran.append, number))
        if timer.cancel():
            won.append(number)
    last = threading.Event()
    real.after(0.0, last.set)
    assert last.wait(timeout=PATIENCE)

    assert list(range(300)) == sorted(ran + won)


def test_a_closed_timer_thread_runs_nothing_and_takes_no_more(errors: list[BaseException]) -> None:
    ran: list[str] = []
    thread = TimerThread(SystemClock(), on_error=errors.append)
    thread.after(FAR, lambda: ran.append("pending"))
    thread.close()
    thread.close()
    assert thread.after(0.0, lambda: ran.append("late")).cancel()

    assert [] == ran
    assert [] == thread._heap


def test_a_timer_thread_may_be_closed_from_a_callback(errors: list[BaseException], wait_for: Wait) -> None:
    thread = TimerThread(SystemClock(), on_error=errors.append)
    thread.after(0.0, thread.close)

    wait_for(lambda: not thread._thread.is_alive(), "the timer thread ended")
    assert [] == errors


def test_a_manual_clock_calls_each_at_its_own_time_and_never_goes_back() -> None:
    clock, seen = ManualClock(monotonic=10.0, wall=100.0), list[tuple[float, float]]()
    for delay in (2.0, 1.0):
        clock.after(delay, lambda: seen.append((clock.monotonic(), clock.wall())))
    clock.step_wall(-50.0)
    clock.advance(5.0)

    assert [(11.0, 51.0), (12.0, 52.0)] == seen
    assert (15.0, 55.0) == (clock.monotonic(), clock.wall())
    assert 0 == clock.pending()
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="expected seconds, 0 or more"):
            clock.advance(wrong)


# An actor's own timers


def test_an_actor_is_sent_what_it_asked_for_when_it_is_time(steps: "Steps") -> None:
    got: list[float] = []
    ref, _ = steps.script(
        start=lambda actor: actor.context.send_after(2.0, doing(lambda a: got.append(a.context.clock.monotonic())))
    )
    steps.settle()
    begun = steps.clock.monotonic()
    steps.clock.advance(1.9)
    steps.settle()
    assert [] == got
    steps.clock.advance(0.2)
    steps.settle()

    assert 1 == len(got)
    assert begun + 2.0 <= got[0]
    assert not ref.incarnation()._timers


def test_a_series_goes_on_until_it_is_cancelled(steps: "Steps") -> None:
    got: list[str] = []
    made: list[Timer] = []
    steps.script(start=lambda actor: made.append(actor.context.send_every(1.0, doing(lambda _: got.append("tick")))))
    steps.settle()
    steps.clock.advance(3.5)
    steps.settle()
    assert ["tick"] * 3 == got

    assert made[0].cancel()
    assert not made[0].cancel()
    steps.clock.advance(5.0)
    steps.settle()
    assert ["tick"] * 3 == got
    assert 0 == steps.clock.pending()


@pytest.mark.parametrize("end", ["stop", "kill", "crash"])
def test_the_timers_of_an_actor_end_with_it_even_those_set_in_on_stop(steps: "Steps", end: str) -> None:
    def set_both(actor: "Scripted") -> None:
        actor.context.send_after(1.0, doing(lambda _: None))
        actor.context.send_every(1.0, doing(lambda _: None))

    ref, _ = steps.script(start=set_both, stop=set_both)
    steps.settle()
    assert 2 == steps.clock.pending()
    match end:
        case "stop":
            ref.request_stop()
        case "kill":
            ref.kill()
        case _:
            ref.tell(doing(lambda actor: 1 / 0))
    steps.settle()

    assert 0 == steps.clock.pending()
    assert not ref.incarnation()._timers


def test_an_end_that_races_its_own_timers_is_still_an_end(threads: "Threads") -> None:
    """The timer thread takes away what the ending actor is about to cancel."""
    refs = [
        threads.script(f"/a{number}", start=lambda actor: [actor.context.send_after(0.0, "x") for _ in range(20)])[0]
        for number in range(100)
    ]
    for ref in refs:
        ref.request_stop()
    for ref in refs:
        ref.wait_stopped(timeout=PATIENCE)
    threads.settle()

    assert [] == threads.lines
    assert 100 == len(threads.exits())


def test_a_timer_that_runs_just_when_its_actor_cancels_it_does_not_spoil_the_end(steps: "Steps") -> None:
    """There was one to cancel, and then the timer thread had taken it away."""

    class Vanishing(set[Timer]):
        def pop(self) -> Timer:
            self.clear()
            return super().pop()

    ref, journal = steps.script(start=lambda actor: actor.context.send_after(1.0, "x"))
    steps.settle()
    inner = ref.incarnation()
    assert inner._timers
    inner._timers = Vanishing(inner._timers)
    ref.request_stop()
    steps.settle()

    assert "init start stop" == " ".join(journal)
    assert [Normal()] == [exited.reason for exited in steps.exits()]


@pytest.mark.parametrize("period", [0.0, -1.0, float("nan")])
def test_a_series_without_a_period_is_refused(steps: "Steps", period: float) -> None:
    """It would fill the mailbox without end."""
    ref, _ = steps.script()
    future = ref.ask(doing(lambda actor: actor.context.send_every(period, "again")), block=False)
    steps.settle()

    with pytest.raises(ValueError, match="expected a period in seconds, above 0"):
        future.get(timeout=0)


def test_a_delay_that_is_no_number_crashes_the_actor_that_asked_for_it_and_nothing_else(world: "World") -> None:
    ref, journal = world.script()
    future = ref.ask(doing(lambda actor: actor.context.send_after(float("nan"), "?")), block=False)
    world.settle()

    with pytest.raises(ValueError, match="NaN"):
        future.get(timeout=0)
    assert "init start receive stop" == " ".join(journal)


def test_a_timer_that_is_cancelled_at_its_own_end_tells_the_truth(steps: "Steps") -> None:
    made: list[Timer] = []
    ref, _ = steps.script(start=lambda actor: made.append(actor.context.send_after(1.0, "x")))
    steps.settle()
    ref.kill()
    steps.settle()

    assert not made[0].cancel()


def test_a_manual_clock_says_when_its_next_timer_is_due() -> None:
    clock, ran = ManualClock(monotonic=100.0), list[str]()
    assert clock.next_due() is None
    first = clock.after(1.0, partial(ran.append, "first"))
    clock.after(2.0, partial(ran.append, "second"))
    assert clock.next_due() == 101.0
    first.cancel()
    assert clock.next_due() == 102.0
    clock.advance_to(102.0)
    assert (ran, clock.next_due(), clock.monotonic()) == (["second"], None, 102.0)


def test_a_manual_clock_never_goes_back() -> None:
    clock = ManualClock(monotonic=100.0)
    clock.advance_to(99.0)
    assert clock.monotonic() == 100.0
