"""Where the threads of a contender run: left to the kernel, or on one core, or the asker on one and all others on another.

Python's lock makes this matter more than anything else. Threads that hand work to each other take
several times as long on two cores as on one, since each wakes on its own core only to wait for the
lock; which of the two a kernel picks changes from run to run. So what is compared is pinned.
"""

import os
import threading
from typing import Literal

__all__ = ["VARIABLE", "Cores", "free", "is_possible", "place"]

Cores = Literal["one", "two"]
VARIABLE = "TREEWARDEN_BENCHMARK_CORES"
ALLOWED = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def is_possible() -> bool:
    """Whether threads can be placed on this machine."""
    return len(ALLOWED) > 1


def place() -> None:
    """Place the calling thread, and all others there are, as the environment says; not at all without a word in it.

    A thread that is made later begins where its maker runs.
    """
    cores = os.environ.get(VARIABLE)
    if cores is None:
        return
    first, second, *_ = ALLOWED
    own = threading.get_native_id()
    for thread in threading.enumerate():
        if thread.native_id is not None:
            os.sched_setaffinity(thread.native_id, {first if thread.native_id == own or cores == "one" else second})


def free() -> None:
    """Let the calling thread run anywhere again."""
    if VARIABLE in os.environ:
        os.sched_setaffinity(0, ALLOWED)
