"""Which siblings a child's end concerns (OTP's restart strategies)."""

import enum
from typing import final

__all__ = ["Strategy"]


@final
class Strategy(enum.Enum):
    """How a supervisor answers the end of a child."""

    ONE_FOR_ONE = "one_for_one"  # only that child is restarted
