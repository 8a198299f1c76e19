"""Looking again for a moment before a sleep: only as long as it pays."""

import threading

import pytest

from treewarden.actors import _patience as module
from treewarden.actors._patience import FEWEST, LOOKS_FOR, MOST, SHORT_SLEEP, Patience

SHORT, LONG = SHORT_SLEEP / 2, SHORT_SLEEP * 2


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The machine's clock, set by hand; each pause takes a quarter of the time for which one looks."""
    now = [100.0]

    def pause() -> None:
        now[0] += LOOKS_FOR / 4

    class Time:
        @staticmethod
        def perf_counter() -> float:
            return now[0]

    monkeypatch.setattr(module, "time", Time)
    monkeypatch.setattr(module, "_pause", pause)
    return now


def sleep(patience: Patience, clock: list[float], seconds: float) -> None:
    """Sleep so long, and say so."""
    since = patience.now()
    clock[0] += seconds
    patience.slept(since)


def test_a_thread_sleeps_at_once_until_its_sleeps_turn_out_short(clock: list[float]) -> None:
    patience = Patience()
    tried = [patience.pays()]
    for _ in range(FEWEST):
        sleep(patience, clock, SHORT)
        tried.append(patience.pays())

    assert [*[False] * FEWEST, True] == tried


def test_one_long_sleep_forgets_the_short_ones(clock: list[float]) -> None:
    patience = Patience()
    for seconds in (SHORT, LONG, SHORT):
        sleep(patience, clock, seconds)

    assert not patience.pays()


def test_what_comes_while_one_looks_is_found(clock: list[float]) -> None:
    patience, looks = Patience(), list[int]()

    assert patience.look(lambda: looks.append(1) or len(looks) == 3)
    assert 3 == len(looks)


def test_nobody_looks_for_longer_than_a_moment(clock: list[float]) -> None:
    patience = Patience()
    begun = clock[0]

    assert not patience.look(lambda: False)
    assert clock[0] - begun <= LOOKS_FOR * 1.5


def test_each_look_in_vain_takes_twice_as_many_short_sleeps_to_try_again(clock: list[float]) -> None:
    patience, needed = Patience(), list[int]()
    for _ in range(20):
        sleeps = 0
        while not patience.pays():
            sleep(patience, clock, SHORT)
            sleeps += 1
        needed.append(sleeps)
        patience.look(lambda: False)

    assert [min(FEWEST * 2**turn, MOST) for turn in range(20)] == needed


def test_a_look_that_found_something_makes_up_for_those_in_vain(clock: list[float]) -> None:
    patience = Patience()
    for _ in range(5):
        patience.look(lambda: False)
    patience.look(lambda: True)
    for _ in range(FEWEST):
        sleep(patience, clock, SHORT)

    assert patience.pays()


def test_where_nothing_lets_others_go_on_nobody_looks_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_pause", None)

    assert not Patience().look(lambda: False)


@pytest.mark.parametrize(("cores", "way"), [(1, "sched_yield"), (2, "_compute")])
def test_a_pause_leaves_a_single_core_to_others(monkeypatch: pytest.MonkeyPatch, cores: int, way: str) -> None:
    monkeypatch.setattr(module, "_cores", lambda: cores)
    found = module._way_to_pause()

    assert found is not None
    assert way == found.__name__


def test_a_pause_lets_another_thread_run() -> None:
    """It has the interpreter's lock only between two pauses."""
    arrived = threading.Event()
    other = threading.Thread(target=arrived.set)
    patience = Patience()
    other.start()
    while not patience.look(arrived.is_set):
        pass
    other.join()

    assert arrived.is_set()
