"""Durations are read and written without loss."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.supervision_trees.definitions._durations import LONGEST, format_duration, parse_duration


@given(st.floats(min_value=0, max_value=LONGEST))
def test_every_duration_survives_writing_and_reading(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(1, 10_000), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_whole_numbers_of_a_unit_are_read_exactly(number: int, unit: str) -> None:
    factor = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]

    assert parse_duration(f"{number}{unit}") == (number / 1000 if unit == "ms" else number * factor)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0.0), ("250ms", 0.25), ("1.5s", 1.5), ("90m", 5400.0), ("1d", 86400.0)]
)
def test_these_spellings_mean_these_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (0.25, "250ms"), (7.5, "7500ms"), (60.0, "1m"), (90.0, "90s"), (5400.0, "90m"), (86400.0, "1d")],
)
def test_the_largest_unit_that_fits_is_written(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    "text", ["", "5", "s", "5 s", " 5s", "5s\n", "-5s", "+5s", "1e3s", "5S", ".5s", "5.s", "\u0665s", "1h30m"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a duration such as"):
        parse_duration(text)


def test_what_no_wait_can_last_is_refused() -> None:
    assert parse_duration("36500d") == LONGEST
    with pytest.raises(ValueError, match="at most 36500d"):
        parse_duration("36500.1d")
    with pytest.raises(ValueError, match="at most 36500d"):
        parse_duration("9" * 400 + "s")
