"""The text of a crash: what Python shows of an exception, made in a fraction of the time."""

import re
import traceback
from collections.abc import Callable

import pytest

from treewarden.actors._crash import as_crash

MARKERS = re.compile(r"^[\s|]*[~^]+[\s~^]*\n", re.MULTILINE)


def fail(divisor: int) -> float:
    return 1 / divisor


def chained() -> None:
    try:
        fail(0)
    except ZeroDivisionError as error:
        raise RuntimeError("chained\nover two lines") from error


def grouped() -> None:
    raise ExceptionGroup("many", [ValueError(1), KeyError("x")])


@pytest.mark.parametrize("act", [lambda: fail(0), chained, grouped, lambda: int("x"), lambda: exec("1 +")])
def test_a_crash_reads_like_pythons_own_traceback_without_its_markers(act: Callable[[], object]) -> None:
    """A.2: the reason carries the traceback; the exception itself keeps no frame alive."""
    with pytest.raises((ArithmeticError, RuntimeError, ExceptionGroup, ValueError, SyntaxError)) as caught:
        act()
    error = caught.value
    expected = "".join(traceback.format_exception(error))
    crash = as_crash(error, where=None)

    assert MARKERS.sub("", expected) == MARKERS.sub("", crash.traceback)
    links = [error, error.__cause__, error.__context__]
    assert all(link is None or link.__traceback__ is None for link in links)


def test_an_exception_that_was_never_raised_has_a_text_too() -> None:
    error = ValueError("made, not raised")
    assert "".join(traceback.format_exception(error)) == as_crash(error, where=None).traceback
