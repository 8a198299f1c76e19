"""Messages a second from one thread to one actor, from the first `tell` until the last was handled.

The teller is no actor's thread, and is never held up: what the actor has yet to handle waits in its mailbox.
"""

from contest import OURS, contest
from measure import Effort, Row, Target


def measure(effort: Effort) -> list[Row]:
    """Ours against stock pykka and all peers."""
    return contest(
        "tell",
        effort,
        contenders=(OURS, "pykka", "triotp", "otpylib", "thespian", "xoscar"),
        must=Target("ratio", at_least=10.0),
        aim=Target("p50", at_least=1_500_000),
    )
