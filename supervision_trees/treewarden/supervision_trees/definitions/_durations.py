"""Durations as people write them: `250ms`, `5s`, `10m`, `2h`, `1d`.

Reading and writing are exact inverses: `parse_duration(format_duration(x)) == x` for every
duration a definition may hold. A number without a unit is refused, since half of the world's
configuration files mean milliseconds by it.
"""

import re
from decimal import Decimal
from typing import Final

__all__ = ["DURATION_PATTERN", "DURATION_RULE", "LONGEST", "format_duration", "parse_duration"]

DURATION_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"
DURATION_RULE: Final = "a duration such as 250ms, 5s, 10m, 2h or 1d"
LONGEST: Final = 36_500 * 86_400.0
"""A hundred years, in seconds: below what a wait on a lock can take (threading.TIMEOUT_MAX)."""

_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SECONDS: Final = {
    "d": Decimal(86_400),
    "h": Decimal(3_600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}


def parse_duration(text: str) -> float:
    """The seconds that `text` stands for.

    Raises:
        ValueError: saying what would be right; not what was found, which the caller knows.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(DURATION_RULE)
    # Decimal rounds once, at the end: 0.1 * 3 in floats would not be 300 ms.
    seconds = float(Decimal(match[1]) * _SECONDS[match[2]])
    if seconds > LONGEST:
        raise ValueError(f"a duration of at most {format_duration(LONGEST)}")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest exact spelling of a finite number of seconds, 0 or more."""
    exact = Decimal(repr(seconds))
    for unit, factor in _SECONDS.items():
        if exact >= factor and exact % factor == 0:
            return f"{int(exact / factor)}{unit}"
    return f"{exact:f}s" if exact else "0s"
