"""Timers, 100,000 of them pending: what it costs to set one, to cancel one, to have one called, and how late it is."""

import threading
import time

from measure import Effort, Row

from treewarden.actors import SystemClock, TimerThread

PENDING = 100_000
FAR = 3600.0
SPACING = 0.005  # seconds between two whose lateness is measured
PATIENCE = 120.0


def measure(effort: Effort) -> list[Row]:
    """Costs in microseconds for each timer, a sample a round; lateness in milliseconds, five timers for each sample."""
    pending = PENDING * effort.samples // 40
    set_: list[float] = []
    cancelled: list[float] = []
    fired: list[float] = []
    late: list[float] = []
    for _ in range(effort.rounds):
        errors: list[BaseException] = []
        timers = TimerThread(SystemClock(), on_error=errors.append)
        try:
            set_.append(_set_and_cancel(timers, pending, cancelled))
            fired.append(_fire(timers, pending))
            late += _lateness(timers, pending, 5 * effort.samples)
        finally:
            timers.close()
        assert not errors, errors
    return [
        Row(f"timers: set one, {pending:,} pending at the end", "us", set_),
        Row(f"timers: cancel one of {pending:,}", "us", cancelled),
        Row(f"timers: have one of {pending:,} called that are due at once", "us", fired),
        Row(f"timers: lateness beside {pending:,} pending", "ms", late),
    ]


def _set_and_cancel(timers: TimerThread, count: int, cancelled: list[float]) -> float:
    begin = time.perf_counter()
    pending = [timers.after(FAR + number % 1000, _nothing) for number in range(count)]
    middle = time.perf_counter()
    for timer in pending:
        timer.cancel()
    cancelled.append((time.perf_counter() - middle) * 1e6 / count)
    return (middle - begin) * 1e6 / count


def _fire(timers: TimerThread, count: int) -> float:
    """Hold the timer thread up until all are set and due; what is measured is from its release to the last call."""
    may_go, done = threading.Event(), threading.Event()
    left = [count]

    def call() -> None:
        left[0] -= 1
        if not left[0]:
            done.set()

    timers.after(0.0, lambda: _wait(may_go))
    for _ in range(count):
        timers.after(0.0, call)
    begin = time.perf_counter()
    may_go.set()
    _wait(done)
    return (time.perf_counter() - begin) * 1e6 / count


def _lateness(timers: TimerThread, pending: int, count: int) -> list[float]:
    for number in range(pending):
        timers.after(FAR + number % 1000, _nothing)
    late: list[float] = []
    done = threading.Semaphore(0)
    first = time.monotonic() + 0.05
    for number in range(count):
        due = first + number * SPACING

        def call(due: float = due) -> None:
            late.append((time.monotonic() - due) * 1000)
            done.release()

        timers.after(due - time.monotonic(), call)
    for _ in range(count):
        if not done.acquire(timeout=PATIENCE):
            raise TimeoutError(f"not called within {PATIENCE:g} s")
    return late


def _wait(event: threading.Event) -> None:
    if not event.wait(PATIENCE):
        raise TimeoutError(f"not within {PATIENCE:g} s")


def _nothing() -> None:
    """Never called."""
