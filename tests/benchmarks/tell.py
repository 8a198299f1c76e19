"""Messages a second from one thread to one actor, from the first `tell` until the last was handled.

The teller is no actor's thread, and is never held up: what the actor has yet to handle waits in its
mailbox. How fast two threads of Python can hand each other anything depends on whether they share a
core: see the rows with one core and with two, between which the kernel chooses in the first rows.
"""

from contest import OURS, contest
from measure import Effort, Row, Target


def measure(effort: Effort) -> list[Row]:
    """Ours against stock pykka and all peers."""
    everybody = (OURS, "pykka", "triotp", "otpylib", "thespian", "xoscar")
    with_threads = (OURS, "pykka")
    must, aim = Target("ratio", at_least=10.0), Target("p50", at_least=1_500_000)
    return [
        *contest("tell", effort, contenders=everybody, aim=aim),
        *contest("tell", effort, contenders=with_threads, cores="two", must=must),
        *contest("tell", effort, contenders=with_threads, cores="one"),
    ]
