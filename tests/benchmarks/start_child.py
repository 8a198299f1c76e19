"""Children started a second by calls of `start_child` on a dynamic supervisor, one after the other.

A call returns when its child has started, and the child is supervised from then on. Compared with
the bare start of stock pykka, which returns while the new thread is still beginning, and supervises nothing.
"""

from contest import OURS, contest
from measure import Effort, Row, Target


def measure(effort: Effort) -> list[Row]:
    """Ours against stock pykka's bare start, and each peer's own way to start an actor."""
    return contest(
        "start-child",
        effort,
        contenders=(OURS, "pykka", "triotp", "otpylib", "thespian", "xoscar"),
        must=Target("ratio", at_least=8.0),
        aim=Target("p50", at_least=50_000),
    )
