"""Timers: at most once, never early, never after a cancel that took; by hand and on a thread alike."""

import random
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.actors import SystemClock, Timer, Timers, TimerThread
from treewarden.actors._timers import AWAKE, BATCH, COMPACT_ABOVE, KEEP_AT_LEAST, TimerGroup
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


def test_what_falls_due_at_once_may_be_cancelled_until_it_is_called(either: tuple[Timers, Pass]) -> None:
    """Also what the thread has taken from the heap already, together with its canceller."""
    timers, let_pass = either
    ran, taken = list[int](), list[bool]()
    victims: list[Timer] = []

    def cancel_the_odd_ones() -> None:
        taken.extend(timer.cancel() for timer in victims[1::2])

    def set_all() -> None:
        timers.after(0.01, cancel_the_odd_ones)
        victims.extend(timers.after(0.01, partial(ran.append, number)) for number in range(BATCH))

    if isinstance(timers, TimerThread):
        with timers._lock:  # so that it finds all of them together
            set_all()
    else:
        set_all()
    let_pass(0.02)

    assert [True] * (BATCH // 2) == taken
    assert list(range(0, BATCH, 2)) == ran


def test_one_that_is_set_later_but_due_earlier_is_not_late(real: TimerThread) -> None:
    real.after(FAR, lambda: None)
    for delay in (0.02, 0.01, 0.0):
        ran = threading.Event()
        real.after(delay, ran.set)
        assert ran.wait(timeout=PATIENCE)


def test_one_that_is_due_later_than_the_thread_sleeps_does_not_wake_it(real: TimerThread, wait_for: Wait) -> None:
    """100,000 that are far off cost no wake-up each."""
    real.after(FAR, lambda: None)
    wait_for(lambda: real._wakes_at not in (AWAKE, float("inf")), "the thread sleeps until then")
    asleep = real._wakes_at
    for number in range(1_000):
        real.after(FAR + number, lambda: None).cancel()

    assert real._wakes.empty()
    assert asleep == real._wakes_at


def test_a_timer_may_be_set_by_what_a_cancel_or_a_close_throws_away(errors: list[BaseException]) -> None:
    """Finalizers run wherever the last reference goes, inside these calls too."""

    class Heir:
        def __init__(self, timers: TimerThread, ran: threading.Event) -> None:
            self._timers, self._ran = timers, ran

        def __del__(self) -> None:
            self._timers.after(0.0, self._ran.set)

        def nothing(self) -> None:
            pass

    thread = TimerThread(SystemClock(), on_error=errors.append)
    ran, never = threading.Event(), threading.Event()
    assert thread.after(FAR, Heir(thread, ran).nothing).cancel()
    assert ran.wait(timeout=PATIENCE)
    thread.after(FAR, Heir(thread, never).nothing)
    thread.close()

    assert not never.is_set()
    assert [] == thread._heap


def test_two_thousand_timers_each_run_once_in_order_unless_cancelled(either: tuple[Timers, Pass]) -> None:
    timers, let_pass = either
    assert isinstance(timers, ManualClock | TimerThread)
    clock = timers if isinstance(timers, ManualClock) else SystemClock()
    chance, count = random.Random(4), 2_000  # the same delays in each run
    ran: list[tuple[float, int]] = []
    early: list[int] = []

    def note(due: float, number: int) -> None:
        ran.append((due, number))
        if clock.monotonic() < due:
            early.append(number)

    cancelled = 0
    for number in range(count):
        delay = chance.random() / 10
        due = clock.monotonic() + delay
        timer = timers.after(delay, partial(note, due, number))
        if number % 3 == 0:
            cancelled += timer.cancel()
    let_pass(0.2)

    assert count - cancelled == len(ran) == len({number for _, number in ran})
    assert [] == early
    if timers is clock:  # elsewhere the due times above are a little before the real ones
        assert sorted(ran) == ran


def test_in_a_storm_from_eight_threads_each_timer_is_run_or_cancelled_once(real: TimerThread) -> None:
    ran, won = [list[int]() for _ in range(8)], [list[int]() for _ in range(8)]
    count, begin = 1_000, threading.Barrier(8)

    def set_and_cancel(lane: int) -> None:
        chance, timers = random.Random(lane), list[Timer]()
        begin.wait(timeout=PATIENCE)
        for number in range(count):
            timers.append(real.after(chance.choice([0.0, 0.001, FAR]), partial(ran[lane].append, number)))
            victim = chance.randrange(number + 1)
            if timers[victim].cancel():
                won[lane].append(victim)
        won[lane].extend(number for number, timer in enumerate(timers) if chance.random() < 0.5 and timer.cancel())

    threads = [threading.Thread(target=set_and_cancel, args=(lane,)) for lane in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = threading.Event()
    real.after(0.002, last.set)
    assert last.wait(timeout=PATIENCE)
    pending = sum(hasattr(entry, "callback") for _, _, entry in real._heap)

    over = [number for lane in range(8) for number in ran[lane] + won[lane]]
    assert 8 * count == len(over) + pending
    assert all(len(set(ran[lane] + won[lane])) == len(ran[lane] + won[lane]) for lane in range(8))


@dataclass
class Model:
    """Timers as a list that is sorted when time has passed."""

    now: float = 0.0
    pending: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    ran: list[int] = field(default_factory=list[int])

    def set(self, delay: float, number: int) -> None:
        self.pending.append((self.now + delay, number))

    def cancel(self, number: int) -> bool:
        before = len(self.pending)
        self.pending = [item for item in self.pending if item[1] != number]
        return len(self.pending) < before

    def let_pass(self, seconds: float) -> None:
        self.now += seconds
        self.ran += [number for due, number in sorted(self.pending) if due <= self.now]
        self.pending = [item for item in self.pending if item[0] > self.now]


# Eighths are added up without rounding, so that many fall due in the very moment that time has come to.
EIGHTHS: st.SearchStrategy[float] = st.integers(0, 24).map(lambda number: number / 8)
Acts: TypeAlias = list[tuple[str, float]]
ACTS: st.SearchStrategy[Acts] = st.lists(
    st.tuples(st.sampled_from(["set", "set", "set", "cancel", "pass"]), EIGHTHS), max_size=60
)


def leap(thread: TimerThread, clock: ManualClock, seconds: float) -> None:
    """Let time pass for a thread that lives on a manual clock, and wait until all that is due has run."""
    done = threading.Event()

    def move() -> None:
        clock.advance(seconds)
        thread.after(0.0, done.set)  # after all that are due by now

    thread.after(0.0, move)  # on the thread itself, which sleeps by the machine's clock and has to look anew
    assert done.wait(timeout=PATIENCE)


def follow(acts: Acts, timers: Timers, let_pass: Pass) -> None:
    """Do `acts` here and in the model, and compare."""
    model, ran, made = Model(), list[int](), list[Timer]()
    for act, eighths in acts:
        match act:
            case "set":
                model.set(eighths, len(made))
                made.append(timers.after(eighths, partial(ran.append, len(made))))
                if not eighths:
                    model.let_pass(0.0)
                    let_pass(0.0)
            case "cancel" if made:
                victim = int(eighths * 8) % len(made)
                assert model.cancel(victim) == made[victim].cancel()
            case "pass":
                model.let_pass(eighths)
                let_pass(eighths)
            case _:
                pass
        assert model.ran == ran
    model.let_pass(10.0)
    let_pass(10.0)
    assert model.ran == ran
    assert not any(timer.cancel() for timer in made)


@given(acts=ACTS)
def test_a_manual_clock_does_as_a_sorted_list_would(acts: Acts) -> None:
    clock = ManualClock(monotonic=0.0)
    follow(acts, clock, clock.advance)


@given(acts=ACTS)
def test_a_timer_thread_does_as_a_sorted_list_would(acts: Acts) -> None:
    errors, clock = list[BaseException](), ManualClock(monotonic=0.0)
    thread = TimerThread(clock, on_error=errors.append)
    try:
        follow(acts, thread, partial(leap, thread, clock))
    finally:
        thread.close()
    assert [] == errors


def test_what_is_taken_but_not_called_when_the_thread_is_closed_never_runs(errors: list[BaseException]) -> None:
    ran: list[str] = []
    thread = TimerThread(SystemClock(), on_error=errors.append)
    with thread._lock:  # so that it takes both at once
        thread.after(0.0, thread.close)
        left = thread.after(0.0, lambda: ran.append("too late"))
    thread._thread.join(timeout=PATIENCE)

    assert [] == ran
    assert left.cancel()


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
    steps.script(
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


def test_a_message_that_was_delivered_or_cancelled_is_kept_by_no_timer(steps: "Steps") -> None:
    """The handle may live on, with its actor or in the actor's hands; the message must not."""

    class Message:
        pass

    def set_both(actor: "Scripted") -> None:
        first, second = Message(), Message()
        held.extend([weakref.ref(first), weakref.ref(second)])
        made.append(actor.context.send_after(1.0, first))
        made.append(actor.context.send_after(1.0, second))

    held, made = list[weakref.ref[Message]](), list[Timer]()
    ref, _ = steps.script(start=set_both)
    steps.settle()
    assert made[1].cancel()
    assert held[1]() is None
    steps.clock.advance(1.0)
    steps.settle()
    ref.tell("the next message")
    steps.settle()

    assert held[0]() is None
    assert [False, False] == [timer.cancel() for timer in made]


@pytest.mark.parametrize("end", ["cancelled", "delivered"])
def test_an_actor_does_not_keep_the_timers_that_are_over(steps: "Steps", end: str) -> None:
    """A deadline per request, each met in time: only those that are pending count."""

    def set_some(actor: "Scripted") -> None:
        actor.context.send_after(FAR, "one that is far off")
        for _ in range(1_000):
            timer = actor.context.send_after(1.0, "soon")
            if end == "cancelled":
                timer.cancel()
            else:
                steps.clock.advance(1.0)
            kept = actor.context.incarnation()._timers
            assert not isinstance(kept, TimerGroup) or len(kept._kept) <= KEEP_AT_LEAST

    ref, _ = steps.script()
    future = ref.ask(doing(set_some), block=False)
    steps.settle()
    future.get(timeout=0)
    assert 1 == steps.clock.pending()
    ref.request_stop()
    steps.settle()

    assert 0 == steps.clock.pending()


def test_a_thousand_timers_of_one_actor_end_with_it(steps: "Steps") -> None:
    def set_all(actor: "Scripted") -> None:
        timers = [actor.context.send_after(FAR + number, "x") for number in range(1_000)]
        assert all(timer.cancel() for timer in timers[::2])

    ref, _ = steps.script(start=set_all)
    steps.settle()
    kept = ref.incarnation()._timers
    assert kept is not None
    assert kept.is_pending()
    assert 500 == steps.clock.pending()
    ref.request_stop()
    steps.settle()

    assert 0 == steps.clock.pending()
    assert ref.incarnation()._timers is None
    assert not kept.is_pending()


def test_each_of_two_thousand_actors_is_told_once_and_not_early(threads: "Threads", wait_for: Wait) -> None:
    told, early, count = Counter[int](), list[int](), 2_000
    chance = random.Random(4)  # the same delays in each run

    def hear(actor: "Scripted", number: int, due: float) -> None:
        told[number] += 1  # this actor's own entry
        if actor.context.clock.monotonic() < due:
            early.append(number)

    def begin(actor: "Scripted", number: int, delay: float) -> None:
        due = actor.context.clock.monotonic() + delay
        timer = actor.context.send_after(delay, partial(hear, number=number, due=due))
        if number % 4 == 0 and timer.cancel():
            told[number] += 1

    for number in range(count):
        threads.script(f"/a{number}", start=partial(begin, number=number, delay=chance.random() / 10))
    wait_for(lambda: len(told) == count, "every timer was delivered or cancelled")
    threads.settle()

    assert {1} == set(told.values())
    assert [] == early
    assert 0 == sum(hasattr(entry, "callback") for _, _, entry in threads.timers._heap)


def test_a_series_that_was_late_sends_no_burst(new_steps: "Callable[[], Steps]", errors: list[BaseException]) -> None:
    """Ten periods pass at once: one message, and the next a whole period after it."""
    steps = new_steps()
    thread = TimerThread(steps.clock, on_error=errors.append)
    steps.system = replace(steps.system, timers=thread)
    got: list[str] = []
    steps.script(start=lambda actor: actor.context.send_every(1.0, doing(lambda _: got.append("tick"))))
    steps.settle()
    seen: list[int] = []
    for seconds in (0.5, 10.0, 0.5, 0.5):
        leap(thread, steps.clock, seconds)
        steps.settle()
        seen.append(len(got))
    thread.close()
    steps.end_all()

    assert [0, 1, 1, 2] == seen
    assert [] == errors


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
