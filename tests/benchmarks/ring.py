"""Hops a second of one message that goes round in a ring of 1,000 actors.

Thespian takes no part: its actors are processes.
"""

from contest import OURS, contest
from measure import Effort, Row, Target


def measure(effort: Effort) -> list[Row]:
    """Ours against stock pykka and the peers that can have 1,000 actors."""
    return contest(
        "ring",
        effort,
        contenders=(OURS, "pykka", "triotp", "otpylib", "xoscar"),
        must=Target("ratio", at_least=10.0),
        aim=Target("p50", at_least=500_000),
    )
