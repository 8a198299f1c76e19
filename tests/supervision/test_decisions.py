"""The pure parts: who is restarted, how often, after which delay."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.actors import (
    Backoff,
    Crashed,
    ExitReason,
    Gone,
    Intensity,
    Killed,
    Normal,
    Restart,
    Shutdown,
    Unresponsive,
)
from treewarden.supervision_trees._backoff import restart_delay, starts_afresh
from treewarden.supervision_trees._decision import AfterExit, after_exit
from treewarden.supervision_trees._intensity import Exhausted, RestartWindow

ORDERLY: list[ExitReason] = [Normal(), Shutdown(), Shutdown("operator")]
ABNORMAL: list[ExitReason] = [Crashed(ValueError("no")), Killed(), Unresponsive(5.0), Gone()]


@pytest.mark.parametrize("reason", [*ORDERLY, *ABNORMAL], ids=repr)
def test_a_permanent_child_is_restarted_after_every_exit(reason: ExitReason) -> None:
    """B 1.3, first column."""
    assert after_exit(Restart.PERMANENT, reason) is AfterExit.RESTART


@pytest.mark.parametrize("reason", ORDERLY, ids=repr)
def test_a_transient_child_that_ends_in_order_is_kept_but_not_restarted(reason: ExitReason) -> None:
    """B 1.3, second column."""
    assert after_exit(Restart.TRANSIENT, reason) is AfterExit.KEEP


@pytest.mark.parametrize("reason", ABNORMAL, ids=repr)
def test_a_transient_child_is_restarted_after_an_abnormal_exit(reason: ExitReason) -> None:
    """B 1.3 and A.2: killed, unresponsive and gone are abnormal."""
    assert after_exit(Restart.TRANSIENT, reason) is AfterExit.RESTART


@pytest.mark.parametrize("reason", [*ORDERLY, *ABNORMAL], ids=repr)
def test_a_temporary_child_is_forgotten_after_every_exit(reason: ExitReason) -> None:
    """B 1.3, third column."""
    assert after_exit(Restart.TEMPORARY, reason) is AfterExit.FORGET


def spend(window: RestartWindow, *times: float) -> RestartWindow | Exhausted:
    """Spend at each of `times`; all but the last must be allowed."""
    result: RestartWindow | Exhausted = window
    for at in times:
        assert isinstance(result, RestartWindow)
        result = result.spend(at)
    return result


def test_as_many_restarts_as_the_limit_are_allowed_and_one_more_is_not() -> None:
    """A.3: MORE than `restarts` within `within` seconds."""
    window = RestartWindow(Intensity(2, within=5.0))

    assert isinstance(spend(window, 0.0, 0.0), RestartWindow)
    assert spend(window, 0.0, 0.0, 0.0) == Exhausted((0.0, 0.0, 0.0))


def test_an_event_exactly_as_old_as_the_window_still_counts() -> None:
    """A.3: both ends are included."""
    window = RestartWindow(Intensity(1, within=5.0))

    assert isinstance(spend(window, 10.0, 15.0), Exhausted)
    assert spend(window, 10.0, 15.0 + 2**-20) == RestartWindow(window.limit, (15.0 + 2**-20,))


def test_a_limit_of_nothing_allows_nothing() -> None:
    """A.3 with `restarts` 0: the first failure is one too many."""
    assert spend(RestartWindow(Intensity(0, within=5.0)), 1.0) == Exhausted((1.0,))


def test_what_was_spent_is_counted_as_of_now() -> None:
    """`used` looks at a moment and changes nothing."""
    window = spend(RestartWindow(Intensity(3, within=5.0)), 1.0, 2.0, 4.0)
    assert isinstance(window, RestartWindow)

    assert [3, 3, 2, 1, 0] == [window.used(at) for at in (4.0, 6.0, 6.5, 9.0, 9.5)]


@given(
    gaps=st.lists(st.integers(0, 60), max_size=40),
    limit=st.integers(0, 5),
    within=st.integers(1, 30),
)
def test_there_are_never_more_restarts_than_the_limit_in_any_window(gaps: list[int], limit: int, within: int) -> None:
    """A.3, against a definition that knows nothing of windows: count the granted ones before each."""
    window, granted, at = RestartWindow(Intensity(limit, within=float(within))), list[float](), 0.0
    for gap in gaps:
        at += gap / 4  # quarters of a second are exact in binary
        recent = [earlier for earlier in granted if earlier >= at - within]
        spent = window.spend(at)
        assert isinstance(spent, Exhausted) == (len(recent) >= limit)
        if isinstance(spent, RestartWindow):
            window = spent
            granted.append(at)
    assert all(sum(end - within <= at <= end for at in granted) <= limit for end in granted)


def test_without_a_backoff_a_restart_does_not_wait() -> None:
    """A.5: OTP's way is the default."""
    assert restart_delay(None, 7, 0.9) == 0.0


def test_the_first_restart_waits_the_initial_delay_too() -> None:
    """A.5."""
    assert restart_delay(Backoff(initial=0.5, max=8.0, factor=2.0, jitter=0.0), 1, 0.0) == 0.5


def test_delays_grow_by_the_factor_up_to_the_greatest() -> None:
    """A.5."""
    backoff = Backoff(initial=0.5, max=3.0, factor=2.0, jitter=0.0)

    assert [0.5, 1.0, 2.0, 3.0, 3.0] == [restart_delay(backoff, failures, 0.5) for failures in range(1, 6)]


def test_jitter_spreads_a_delay_either_way_and_never_above_the_greatest() -> None:
    """A.5: unlike Pekko's, which is applied after the cap."""
    backoff = Backoff(initial=1.0, max=1.5, factor=2.0, jitter=0.2)

    assert restart_delay(backoff, 1, 0.0) == pytest.approx(0.8)
    assert restart_delay(backoff, 1, 1.0) == pytest.approx(1.2)
    assert restart_delay(backoff, 2, 0.0) == pytest.approx(1.2)
    assert restart_delay(backoff, 2, 1.0) == 1.5


@given(
    initial=st.floats(0, 100),
    greatest=st.floats(100, 1e6),
    factor=st.floats(1, 1e6),
    jitter=st.floats(0, 1),
    failures=st.integers(1, 10_000),
    chance=st.floats(0, 1),
)
def test_a_delay_is_never_negative_nor_above_the_greatest(  # noqa: PLR0917 - hypothesis passes them by name
    initial: float, greatest: float, factor: float, jitter: float, failures: int, chance: float
) -> None:
    """A.5, however long the failures go on."""
    backoff = Backoff(initial=initial, max=greatest, factor=factor, jitter=jitter)

    assert 0.0 <= restart_delay(backoff, failures, chance) <= greatest


def test_an_initial_delay_of_nothing_stays_nothing_however_often_the_child_fails() -> None:
    """Zero times an overflowing factor is zero, not the greatest delay."""
    assert restart_delay(Backoff(initial=0.0, max=30.0, factor=2.0, jitter=0.0), 5_000, 0.5) == 0.0


def test_delays_never_shrink_while_failures_go_on() -> None:
    """A.5, without jitter."""
    backoff = Backoff(initial=0.1, max=60.0, factor=1.7, jitter=0.0)
    delays = [restart_delay(backoff, failures, 0.5) for failures in range(1, 2_000)]

    assert all(earlier <= later for earlier, later in pairwise(delays))
    assert delays[-1] == 60.0


def test_a_child_that_was_up_long_enough_counts_its_failures_from_one() -> None:
    """A.5 `reset_after`; by default the greatest delay, but at least 10 s."""
    assert starts_afresh(Backoff(reset_after=3.0), 3.0)
    assert not starts_afresh(Backoff(reset_after=3.0), 2.9)
    assert starts_afresh(Backoff(max=30.0), 30.0)
    assert not starts_afresh(Backoff(max=30.0), 29.9)
    assert not starts_afresh(Backoff(initial=0.1, max=1.0), 9.9)
    assert starts_afresh(Backoff(initial=0.1, max=1.0), 10.0)
