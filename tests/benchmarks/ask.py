"""Asks a second, one after the other, by a thread that is no actor's, of an actor that does not answer inline.

Each costs two wake-ups of threads. With the peers of one event loop it is a task that asks, and costs none.
"""

from contest import OURS, contest
from measure import Effort, Row, Target


def measure(effort: Effort) -> list[Row]:
    """Ours against stock pykka and all peers."""
    return contest(
        "ask",
        effort,
        contenders=(OURS, "pykka", "triotp", "otpylib", "thespian", "xoscar"),
        must=Target("ratio", at_least=1.8),
        aim=Target("p50", at_least=35_000),
    )
