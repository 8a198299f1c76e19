"""Children started a second by calls of `start_child` on a dynamic supervisor, one after the other.

A call returns when its child has started, and the child is supervised from then on. Compared with
the bare start of stock pykka, which returns while the new thread is still beginning, and supervises nothing.
In the rows `start-child-inline` the children's class says `inline_asks = True`: they start on the caller's thread.
"""

from contest import OURS, contest
from measure import Effort, Row, Target


def measure(effort: Effort) -> list[Row]:
    """Ours against stock pykka's bare start, and each peer's own way to start an actor."""
    must, aim = Target("ratio", at_least=8.0), Target("p50", at_least=50_000)
    everybody = (OURS, "pykka", "triotp", "otpylib", "thespian", "xoscar")
    return [
        *contest("start-child", effort, contenders=everybody, must=must, aim=aim),
        *contest("start-child-inline", effort, contenders=(OURS, "pykka"), aim=aim),
    ]
