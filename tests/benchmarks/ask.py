"""Asks a second, one after the other, by a thread that is no actor's, of an actor that does not answer inline.

With pykka each costs two wake-ups of threads, which take several times as long when the two do not share a
core: see the rows with one core and with two, between which the kernel chooses in the first rows. Ours look
again for a moment before they sleep, which saves the wake-ups on two cores. In the rows with one core the threads
were put there after the program had seen two, so that a look holds up the one who answers. With the peers of
one event loop it is a task that asks, and wakes no thread.
"""

from contest import OURS, contest
from measure import Effort, Row, Target


def measure(effort: Effort) -> list[Row]:
    """Ours against stock pykka and all peers."""
    everybody = (OURS, "pykka", "triotp", "otpylib", "thespian", "xoscar")
    with_threads = (OURS, "pykka")
    must, aim = Target("ratio", at_least=1.8), Target("p50", at_least=35_000)
    return [
        *contest("ask", effort, contenders=everybody, aim=aim),
        *contest("ask", effort, contenders=with_threads, cores="two", must=must),
        *contest("ask", effort, contenders=with_threads, cores="one"),
    ]
