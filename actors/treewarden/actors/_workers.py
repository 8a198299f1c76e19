"""The shared dispatcher: a run queue and the few threads that serve it.

pykka gives each actor a thread; ten thousand workspaces must not be ten thousand threads. A mailbox
that becomes non-empty puts itself on the run queue and a worker drains a batch of it.

- *Rest.* A worker without work waits on a lock of its own, without a time-out, so an idle dispatcher
  uses no CPU. The one that has rested for the shortest time is woken first: its caches are warm, and
  those that are not needed stay at rest and retire.
- *Wake.* A runnable that a worker schedules wakes nobody if it is the only one: the worker itself comes
  to it next, sooner than another thread would. If it does not, because it goes on with something long,
  the watcher wakes another; if it waits on a framework future, it does so itself.
- *Looking again.* Where sleeps turn out short, one worker at a time looks at the queue for a moment longer
  before it rests (`_patience`), and need not be woken then.
- *Growth.* A worker that announces its wait is replaced at once. One that holds its thread without a
  word is noticed by the watcher, which looks every few milliseconds while work is queued (as Go's
  sysmon does); `_growth` says how many are added.

A runnable that raises is reported through `threading.excepthook` and costs nobody a worker.
Not promised: fairness beyond the batch size, or killing a thread (Python cannot).
"""

import threading
import time
from collections import deque
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, NamedTuple, final

from treewarden.actors._dispatcher import OwnThread, Runnable, enter_worker, report_unhandled
from treewarden.actors._growth import Growth, Look, grow
from treewarden.actors._patience import Patience

__all__ = ["ThreadDispatcher"]

BASE_WORKERS: Final = 2  # more gain nothing under the GIL
WORKER_LIMIT: Final = 512
WATCH_EVERY: Final = 0.005  # seconds
WATCH_CALM: Final = 20  # looks at an empty queue before the watcher sleeps
RETIRE_AFTER: Final = 2.0  # seconds an extra worker waits for work


@final
class ThreadDispatcher:
    """Worker threads over one run queue. Safe from any thread."""

    def __init__(self, *, base: int = BASE_WORKERS, limit: int = WORKER_LIMIT, name: str = "treewarden") -> None:
        # Methods of lists and deques are atomic under the GIL, so neither takes a lock.
        self.queue: deque[Runnable] = deque()
        self.idle: list[_Worker] = []  # who rests; whoever pops one wakes it
        self.looking: list[_Worker] = []  # who is about to rest and looks again for a moment; one at most, or nearly so
        self.closing = False  # whoever finds nothing to do leaves
        self.ended = False  # nobody is added and nothing more is taken
        self._base, self._limit, self._name = base, limit, name
        # Guards what follows, and the setting of `closing` and `ended`. Never held while calling out.
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        self._own: set[_OwnThread] = set()
        self._idents: set[int] = set()
        self._blocked = 0
        self._made = 0
        self._moves = 0  # the turns of workers that have left
        self._watcher_asleep = True
        self._wake_watcher = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name=f"{name}-watcher", daemon=True)
        with self._lock:
            for _ in range(base):
                self._add_worker(extra=False)
        self._watcher.start()

    def schedule(self, runnable: Runnable) -> None:
        """Put `runnable` on the run queue and return; after `close` it is not run."""
        queue = self.queue
        queue.append(runnable)
        # Queued first: a worker that comes to rest is in `idle`, and in `looking` no more, before it looks
        # at the queue for the last time, so one side sees the other.
        if self.idle and (len(queue) > 1 or not (self.looking or threading.get_ident() in self._idents)):
            self.wake_one()
        if self._watcher_asleep:
            self._wake_watcher.set()

    def own_thread(self, name: str) -> OwnThread:
        """A thread that runs what is scheduled on it and nothing else, from the first time on."""
        return _OwnThread(self, f"{self._name}{name}")

    def threads(self) -> int:
        """How many workers there are now, those of single actors not counted."""
        return len(self._workers)

    def close(self, *, within: float) -> int:
        """End the workers once the queue is empty; how many still run after `within` seconds.

        What queued work schedules in its turn is run too, and a worker that blocks meanwhile is
        replaced as ever. Those that remain are stuck in somebody's handler. They are daemon
        threads: they cannot keep the interpreter alive. Idempotent.
        """
        deadline = time.monotonic() + within
        with self._lock:
            self.closing = True
            own = tuple(self._own)
        for each in own:
            each.end()
        self.wake_one()  # whoever leaves wakes the next
        self._wake_watcher.set()
        while (thread := self._any_other_thread()) is not None and time.monotonic() < deadline:
            thread.join(max(deadline - time.monotonic(), 0.0))
        with self._lock:
            self.ended = True
        self._wake_watcher.set()
        self._watcher.join()
        me = threading.current_thread()
        with self._lock:
            return sum(thread is not me for thread in self._threads())

    # For its threads

    def has_news(self) -> bool:
        """Whether a worker has a reason not to rest."""
        return bool(self.queue) or self.closing

    def wake_one(self) -> None:
        """Wake the worker that has rested for the shortest time, if one rests."""
        try:
            worker = self.idle.pop()
        except IndexError:
            return
        worker.gate.release()

    def begin_wait(self) -> None:
        """Count the calling worker as blocked and keep `base` workers free to run."""
        with self._lock:
            self._blocked += 1
            if len(self._workers) - self._blocked < self._base:
                self._add_worker(extra=True)
        if self.queue:
            self.wake_one()

    def end_wait(self) -> None:
        """Count the calling worker as running again; surplus workers retire by themselves."""
        with self._lock:
            self._blocked -= 1

    def join(self, thread: "_OwnThread") -> bool:
        """Count `thread` from before it runs; False if it is too late to begin."""
        with self._lock:
            if not self.closing:
                self._own.add(thread)
            return not self.closing

    def entered(self) -> None:
        """The calling thread is a worker."""
        with self._lock:
            self._idents.add(threading.get_ident())

    def left(self, leaving: "_Worker | _OwnThread") -> None:
        """`leaving` takes nothing more."""
        with self._lock:
            if isinstance(leaving, _Worker):
                self._workers.discard(leaving)
                self._idents.discard(threading.get_ident())
                self._moves += leaving.turns
            else:
                self._own.discard(leaving)
        # It may have been woken for what is queued now; while closing, each lets the next one go.
        if self.queue or self.closing:
            self.wake_one()

    def _any_other_thread(self) -> threading.Thread | None:
        me = threading.current_thread()
        with self._lock:
            return next((thread for thread in self._threads() if thread is not me), None)

    def _threads(self) -> list[threading.Thread]:
        shared = [worker.thread for worker in self._workers]
        return shared + [each.thread for each in self._own if each.thread is not None]

    def _add_worker(self, *, extra: bool) -> None:
        if self.ended or len(self._workers) >= self._limit:
            return
        worker = _Worker(self, f"{self._name}-worker-{self._made + 1}", extra=extra)
        self._workers.add(worker)  # before it runs: `threads` counts every one that does
        try:
            worker.thread.start()
        except RuntimeError:  # the system gives no more threads: as at the limit, those there are go on
            self._workers.discard(worker)
            return
        self._made += 1

    # The watcher

    def _watch(self) -> None:
        while not self.ended:
            self._wake_watcher.wait()
            self._wake_watcher.clear()
            self._watcher_asleep = False
            self._watch_until_calm()
            self._watcher_asleep = True
            # Work queued between the last look and the line above would find nobody to wake.
            if self.queue and not self.ended:
                self._wake_watcher.set()

    def _watch_until_calm(self) -> None:
        calm, growth, before = 0, Growth(), self._measured()
        # Not paced by _wake_watcher: a `schedule` that sets it late would let this spin and add workers.
        while calm < WATCH_CALM and not self.ended:
            time.sleep(WATCH_EVERY)
            now = self._measured()
            used = (now.cpu - before.cpu) / (now.at - before.at)
            look = Look(len(self.queue), len(self.idle), moved=now.turns != before.turns, used=used)
            step = grow(growth, look)
            calm, growth, before = 0 if look.queued else calm + 1, step.growth, now
            for _ in range(step.wake):
                self.wake_one()
            with self._lock:
                for _ in range(step.add):
                    self._add_worker(extra=True)

    def _measured(self) -> "_Measured":
        with self._lock:
            turns = self._moves + sum(worker.turns for worker in self._workers)
            cpu = sum(worker.cpu_seconds() for worker in self._workers) if _CPU_CLOCKS else time.process_time()
        return _Measured(turns, cpu, time.monotonic())


_CPU_CLOCKS: Final = hasattr(time, "pthread_getcpuclockid")  # not on macOS


@final
class _Measured(NamedTuple):
    """What the workers had done at one moment: turns they ended, seconds on a core; monotonic seconds."""

    turns: int
    cpu: float
    at: float


@final
class _Worker(AbstractContextManager[None]):
    """One thread that serves the run queue."""

    __slots__ = ("_clock", "_dispatcher", "_patience", "_rests_for", "gate", "thread", "turns")

    def __init__(self, dispatcher: ThreadDispatcher, name: str, *, extra: bool) -> None:
        self._dispatcher = dispatcher
        self._rests_for = RETIRE_AFTER if extra else -1
        self._patience = Patience()
        self._clock: int | None = None  # of this thread's seconds on a core
        self.gate: Final = threading.Lock()  # released by whoever takes this worker out of `idle`
        self.gate.acquire()
        self.turns = 0  # that came to an end; written by this thread alone
        self.thread: Final = threading.Thread(target=self._work, name=name, daemon=True)

    def __enter__(self) -> None:
        """What it runs is about to block."""
        self._dispatcher.begin_wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What it runs goes on."""
        self._dispatcher.end_wait()

    def cpu_seconds(self) -> float:
        """How long this thread has been on a core."""
        if self._clock is None:
            return 0.0
        try:
            return time.clock_gettime(self._clock)
        except OSError:  # it has just ended, and its clock with it (clock_getres(2), EINVAL)
            return 0.0

    def _work(self) -> None:
        dispatcher, queue = self._dispatcher, self._dispatcher.queue
        enter_worker(self)
        dispatcher.entered()
        if _CPU_CLOCKS:
            # Asked of a living thread only, so here: for one that has ended the answer is undefined.
            self._clock = time.pthread_getcpuclockid(threading.get_ident())
        while not dispatcher.ended:
            try:
                runnable = queue.popleft()
            except IndexError:
                if self._rest():
                    continue
                break
            try:
                runnable.run()
            except BaseException as error:  # noqa: BLE001 - thread boundary: a broken promise must not cost a worker
                report_unhandled(error)
            del runnable  # a resting worker must not keep the last actor alive
            self.turns += 1
        dispatcher.left(self)

    def _rest(self) -> bool:
        """Wait for work; False if this worker is to leave."""
        dispatcher = self._dispatcher
        if self._patience.pays() and not dispatcher.looking and self._look_again():
            return bool(dispatcher.queue) or not dispatcher.closing
        dispatcher.idle.append(self)
        if dispatcher.queue or dispatcher.closing:
            self._get_up()
        else:
            since = self._patience.now()
            if not self.gate.acquire(timeout=self._rests_for) and self._get_up():
                return bool(dispatcher.queue)  # whoever queued it meanwhile may have found nobody else at rest
            self._patience.slept(since)
        return bool(dispatcher.queue) or not dispatcher.closing

    def _look_again(self) -> bool:
        dispatcher = self._dispatcher
        dispatcher.looking.append(self)
        try:
            return self._patience.look(dispatcher.has_news)
        finally:
            dispatcher.looking.remove(self)

    def _get_up(self) -> bool:
        """Rest no longer; False if another thread had just woken this one."""
        try:
            self._dispatcher.idle.remove(self)
        except ValueError:
            self.gate.acquire()  # it was taken out, so this is about to be released
            return False
        return True


@final
class _OwnThread:
    """The thread of one actor; made when it is first needed."""

    __slots__ = ("_changed", "_dispatcher", "_ended", "_name", "_queue", "thread")

    def __init__(self, dispatcher: ThreadDispatcher, name: str) -> None:
        self._dispatcher, self._name = dispatcher, name
        self._changed = threading.Condition()  # guards the rest; notified of each change
        self._queue: deque[Runnable] = deque()
        self._ended = False
        self.thread: threading.Thread | None = None

    def schedule(self, runnable: Runnable) -> None:
        """Have `runnable` run on this thread; by the shared workers if it has ended, or none can be had."""
        with self._changed:
            mine = not self._ended and (self.thread is not None or self._begin())
            if mine:
                self._queue.append(runnable)
                self._changed.notify()
        if not mine:
            self._dispatcher.schedule(runnable)

    def end(self) -> None:
        """End once nothing is scheduled, and return at once."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _begin(self) -> bool:
        self.thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
        if not self._dispatcher.join(self):
            self.thread = None
            return False
        try:
            self.thread.start()
        except RuntimeError:  # the system gives no more threads: better a shared one than none
            self.thread = None
            self._dispatcher.left(self)
            return False
        return True

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._ended:
                    self._changed.wait()
                if not self._queue:
                    break
                runnable = self._queue.popleft()
            try:
                runnable.run()
            except BaseException as error:  # noqa: BLE001 - thread boundary: as for a worker
                report_unhandled(error)
            del runnable
        self._dispatcher.left(self)
