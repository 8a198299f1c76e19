"""The shared dispatcher: a run queue and the few threads that serve it.

pykka gives each actor a thread; ten thousand workspaces must not be ten thousand threads. A
mailbox that becomes non-empty puts itself on the run queue and a worker drains a batch of it.

Workers wait without a time-out, so an idle dispatcher uses no CPU. Blocking is safe: a worker
that waits on a framework future announces it (`worker_waits`) and is replaced at once; one that
holds its thread without a word is noticed by the watcher, which looks every few milliseconds
while work is queued (as Go's sysmon does) and adds a worker when none was taken meanwhile. Such a
worker retires when it has had nothing to do for a while, or when for as long others have had: a
busy machine, where every worker is late now and then, must not make ever more of them.
A runnable that raises is reported through `threading.excepthook` and costs nobody a worker.
Not promised: fairness beyond the batch size, or killing a thread (Python cannot).
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator
from typing import Final, Protocol, final

from treewarden.actors._errors import NotAnswered

__all__ = [
    "Dispatcher",
    "Runnable",
    "Stepper",
    "ThreadDispatcher",
    "report_unhandled",
    "run_steppers",
    "run_while_waiting",
    "worker_waits",
]

BASE_WORKERS: Final = 2  # more gain nothing under the GIL
WORKER_LIMIT: Final = 512
WATCH_EVERY: Final = 0.005  # seconds
WATCH_CALM: Final = 20  # looks at an empty queue before the watcher sleeps
RETIRE_AFTER: Final = 2.0  # seconds an extra worker waits for work

_thread = threading.local()


class Runnable(Protocol):
    """Something with work to do; `run` does a bounded amount of it and never raises."""

    def run(self) -> None:
        """Do some of the work on the calling thread."""
        ...


class Dispatcher(Protocol):
    """Where runnables go to be run, each by one thread at a time if it schedules itself so."""

    def schedule(self, runnable: Runnable) -> None:
        """Have `runnable.run()` called soon, on another thread."""
        ...


@contextlib.contextmanager
def worker_waits() -> Generator[None]:
    """Say that the calling thread is about to block; if it is a worker it is replaced meanwhile."""
    dispatcher: ThreadDispatcher | None = getattr(_thread, "dispatcher", None)
    if dispatcher is None:
        yield
        return
    dispatcher.worker_blocked()
    try:
        yield
    finally:
        dispatcher.worker_unblocked()


class Stepper(Protocol):
    """A dispatcher without threads of its own: it runs when its thread has it run."""

    def run_until(self, is_done: Callable[[], bool]) -> None:
        """Run what is scheduled until `is_done()`, or until nothing is scheduled."""
        ...


@contextlib.contextmanager
def run_while_waiting(stepper: Stepper) -> Generator[None]:
    """Meanwhile the calling thread, whenever it would wait on a framework future, runs `stepper` instead."""
    steppers: list[Stepper] = getattr(_thread, "steppers", [])
    _thread.steppers = [*steppers, stepper]
    try:
        yield
    finally:
        _thread.steppers = [other for other in _thread.steppers if other is not stepper]


def run_steppers(is_done: Callable[[], bool]) -> bool:
    """Have the steppers of the calling thread make `is_done()` true; False if it has none, and may wait.

    Raises:
        NotAnswered: nothing is left to run. No other thread would bring it about, so waiting were for ever.
    """
    steppers: list[Stepper] = getattr(_thread, "steppers", [])
    for stepper in reversed(steppers):
        stepper.run_until(is_done)
        if is_done():
            return True
    if steppers:
        raise NotAnswered
    return False


def report_unhandled(error: BaseException) -> None:
    """Show an exception that has no caller to go to, as a thread that died of it would."""
    details = (type(error), error, error.__traceback__, threading.current_thread())
    threading.excepthook(threading.ExceptHookArgs(details))


@final
class ThreadDispatcher:
    """Worker threads over one run queue. Safe from any thread."""

    def __init__(self, *, base: int = BASE_WORKERS, limit: int = WORKER_LIMIT, name: str = "treewarden") -> None:
        self._queue: queue.SimpleQueue[Runnable | None] = queue.SimpleQueue()  # None: end when nothing else is left
        self._base, self._limit, self._name = base, limit, name
        # Guards _workers, _blocked, _made, _closing and the setting of _ended. Never held while calling out.
        self._lock = threading.Lock()
        self._workers: set[threading.Thread] = set()
        self._blocked = 0
        self._made = 0
        self._closing = False
        self._ended = threading.Event()  # nobody is added and nothing more is taken
        self._waiting: list[None] = []  # one entry for each worker that waits for work; list methods are atomic
        self._taken = 0  # only ever compared for change, so a lost increment does no harm
        self._watcher_asleep = True
        self._wake_watcher = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name=f"{name}-watcher", daemon=True)
        with self._lock:
            for _ in range(base):
                self._add_worker(extra=False)
        self._watcher.start()

    def schedule(self, runnable: Runnable) -> None:
        """Put `runnable` on the run queue and return; after `close` it is not run."""
        self._queue.put(runnable)
        if self._watcher_asleep:
            self._wake_watcher.set()

    def threads(self) -> int:
        """How many workers there are now."""
        return len(self._workers)

    def worker_blocked(self) -> None:
        """Count the calling worker as blocked and keep `base` workers free to run."""
        with self._lock:
            self._blocked += 1
            if len(self._workers) - self._blocked < self._base:
                self._add_worker(extra=True)

    def worker_unblocked(self) -> None:
        """Count the calling worker as running again; surplus workers retire by themselves."""
        with self._lock:
            self._blocked -= 1

    def close(self, *, within: float) -> int:
        """End the workers once the queue is empty; how many still run after `within` seconds.

        What queued work schedules in its turn is run too, and a worker that blocks meanwhile is
        replaced as ever. Those that remain are stuck in somebody's handler. They are daemon
        threads: they cannot keep the interpreter alive. Idempotent.
        """
        deadline = time.monotonic() + within
        with self._lock:
            # One end mark serves all: a worker that takes it puts it back. Two would be found
            # beside each other, each looking like work to the worker that holds the other.
            if not self._closing:
                self._closing = True
                self._queue.put(None)
        self._wake_watcher.set()
        while (worker := self._any_other_worker()) is not None and time.monotonic() < deadline:
            worker.join(max(deadline - time.monotonic(), 0.0))
        with self._lock:
            self._ended.set()
        self._wake_watcher.set()
        self._watcher.join()
        me = threading.current_thread()
        with self._lock:
            return sum(worker is not me for worker in self._workers)

    def _any_other_worker(self) -> threading.Thread | None:
        me = threading.current_thread()
        with self._lock:
            return next((worker for worker in self._workers if worker is not me), None)

    def _add_worker(self, *, extra: bool) -> None:
        if self._ended.is_set() or len(self._workers) >= self._limit:
            return
        thread = threading.Thread(
            target=self._work, args=(extra,), name=f"{self._name}-worker-{self._made + 1}", daemon=True
        )
        self._workers.add(thread)  # before it runs: `threads` counts every one that does
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads: as at the limit, those there are go on
            self._workers.discard(thread)
            return
        self._made += 1

    def _work(self, extra: bool) -> None:  # noqa: FBT001 - a thread's target, called once above
        _thread.dispatcher = self
        patience = RETIRE_AFTER if extra else None
        surplus_since: float | None = None  # since when others waited, too, whenever this one took work
        while not self._ended.is_set():
            self._waiting.append(None)
            try:
                runnable = self._queue.get(timeout=patience)
            except queue.Empty:
                break
            finally:
                self._waiting.pop()
            if runnable is None:
                work_left = not self._queue.empty()
                self._queue.put(None)
                if work_left:
                    continue
                break
            self._taken += 1
            try:
                runnable.run()
            except BaseException as error:  # noqa: BLE001 - thread boundary: a broken promise must not cost a worker
                report_unhandled(error)
            del runnable  # an idle worker must not keep the last actor alive
            if extra:
                if not self._waiting:
                    surplus_since = None
                elif surplus_since is None:
                    surplus_since = time.monotonic()
                elif time.monotonic() - surplus_since > RETIRE_AFTER:
                    break
        with self._lock:
            self._workers.discard(threading.current_thread())

    def _watch(self) -> None:
        while not self._ended.is_set():
            self._wake_watcher.wait()
            self._wake_watcher.clear()
            self._watcher_asleep = False
            self._watch_until_calm()
            self._watcher_asleep = True
            # Work queued between the last look and the line above would find nobody to wake. While
            # closing the end mark keeps the watcher up: who sets timers may still schedule.
            if not self._queue.empty():
                self._wake_watcher.set()

    def _watch_until_calm(self) -> None:
        calm, taken = 0, self._taken
        # Not paced by _wake_watcher: a `schedule` that sets it late would let this spin and add workers.
        while calm < WATCH_CALM and not self._ended.wait(WATCH_EVERY):
            if self._queue.qsize() <= (1 if self._closing else 0):  # nothing, or the end mark only
                calm += 1
            else:
                calm = 0
                if taken == self._taken:
                    with self._lock:
                        self._add_worker(extra=True)
            taken = self._taken
