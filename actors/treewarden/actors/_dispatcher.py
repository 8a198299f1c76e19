"""What runs actors: the port, and how a thread says that it is about to wait.

A mailbox that becomes non-empty is scheduled; a dispatcher calls its `run` on one of its threads
(`_workers` has the real one, `testing` two that a test steps). A thread of a dispatcher that is about
to block on the framework announces it (`worker_waits`), so that another takes its place; a thread
that runs its dispatcher itself (`run_while_waiting`) runs it instead of blocking.
"""

import contextlib
import enum
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Final, Protocol, final

from treewarden.actors._errors import NotAnswered
from treewarden.actors._patience import Patience

__all__ = [
    "DEDICATED",
    "SHARED",
    "Dispatcher",
    "DispatcherKind",
    "OwnThread",
    "Runnable",
    "Stepper",
    "enter_worker",
    "own_patience",
    "report_unhandled",
    "run_steppers",
    "run_while_waiting",
    "worker_waits",
]


@final
class DispatcherKind(enum.Enum):
    """Which threads run an actor."""

    SHARED = "shared"  # the workers that all actors of the runtime share
    DEDICATED = "dedicated"  # one thread of its own, from its start to its end


SHARED: Final = DispatcherKind.SHARED
DEDICATED: Final = DispatcherKind.DEDICATED


class Runnable(Protocol):
    """Something with work to do; `run` does a bounded amount of it and never raises."""

    def run(self) -> None:
        """Do some of the work on the calling thread."""
        ...


class OwnThread(Protocol):
    """A thread that serves one actor. Safe from any thread."""

    def schedule(self, runnable: Runnable) -> None:
        """Have `runnable.run()` called soon on this thread; once it has ended, where all others are run."""
        ...

    def end(self) -> None:
        """End once nothing is scheduled, and return at once; idempotent."""
        ...


class Dispatcher(Protocol):
    """Where runnables go to be run, each by one thread at a time if it schedules itself so."""

    def schedule(self, runnable: Runnable) -> None:
        """Have `runnable.run()` called soon, on another thread."""
        ...

    def own_thread(self, name: str) -> OwnThread | None:
        """A thread that runs what is scheduled on it and nothing else; None where there are no threads."""
        ...


class Stepper(Protocol):
    """A dispatcher without threads of its own: it runs when its thread has it run."""

    def run_until(self, is_done: Callable[[], bool]) -> None:
        """Run what is scheduled until `is_done()`, or until nothing is scheduled."""
        ...


@final
class _Here(threading.local):
    """What the dispatchers know of the calling thread."""

    worker: AbstractContextManager[None] | None = None  # entered while it blocks: another takes its place
    steppers: tuple[Stepper, ...] = ()

    def __init__(self) -> None:
        self.patience = Patience()  # of its waits for answers


_here: Final = _Here()
_NOBODY: Final = contextlib.nullcontext()


def own_patience() -> Patience:
    """What the calling thread has learnt of its waits."""
    return _here.patience


def enter_worker(worker: AbstractContextManager[None]) -> None:
    """The calling thread is a worker, from now on and for good; `worker` is entered whenever it blocks."""
    _here.worker = worker


def worker_waits() -> AbstractContextManager[None]:
    """Say that the calling thread is about to block; if it is a worker it is replaced meanwhile."""
    return _here.worker or _NOBODY


@contextlib.contextmanager
def run_while_waiting(stepper: Stepper) -> Generator[None]:
    """Meanwhile the calling thread, whenever it would wait on a framework future, runs `stepper` instead."""
    _here.steppers = (*_here.steppers, stepper)
    try:
        yield
    finally:
        _here.steppers = tuple(other for other in _here.steppers if other is not stepper)


def run_steppers(is_done: Callable[[], bool]) -> bool:
    """Have the steppers of the calling thread make `is_done()` true; False if it has none, and may wait.

    Raises:
        NotAnswered: nothing is left to run. No other thread would bring it about, so waiting were for ever.
    """
    steppers = _here.steppers
    if not steppers:
        return False
    for stepper in reversed(steppers):
        stepper.run_until(is_done)
        if is_done():
            return True
    raise NotAnswered


def report_unhandled(error: BaseException) -> None:
    """Show an exception that has no caller to go to, as a thread that died of it would."""
    details = (type(error), error, error.__traceback__, threading.current_thread())
    threading.excepthook(threading.ExceptHookArgs(details))
