"""A pykka future that is cheap until somebody waits, and tells its dispatcher when a worker does.

Guarantees: set once (a second set raises `queue.Full`, as pykka's does); every waiter wakes;
callbacks run exactly once, on the setting thread, or at once if the result is already there; one
that raises is reported through `threading.excepthook` and disturbs neither the others nor the
setter. `await` leaves the event loop free, which pykka's does not. A waiter that gives up leaves
nothing behind, so a reply may be polled for hours.
"""

import asyncio
import contextlib
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, TypeAlias, TypeVar, final

import pykka

from treewarden.actors._dispatcher import report_unhandled, run_steppers, worker_waits

__all__ = ["Reply"]

T = TypeVar("T")
ExcInfo: TypeAlias = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class Asked(Protocol):
    """Who was asked, and is told of each wait for the answer."""

    def waited_on(self, reply: "Reply[Any]") -> AbstractContextManager[None]:
        """Entered while the calling thread waits for `reply`; may refuse by raising."""
        ...


@final
class Reply(pykka.Future[T]):
    """The answer to one ask. Safe from any thread."""

    __slots__ = ("_asked", "_callbacks", "_free", "_outcome", "_waiters")

    def __init__(self, asked: Asked | None = None) -> None:
        """Make an answer to be set. `asked` hears of each wait for it, up to then."""
        super().__init__()
        self._asked = asked
        self._free = [True]  # whoever pops it may set: list.pop is atomic
        self._outcome: tuple[Any, BaseException | None, TracebackType | None] | None = None
        self._waiters: deque[threading.Lock] = deque()
        self._callbacks: deque[Callable[[], object]] = deque()

    def get(self, *, timeout: float | None = None) -> Any:
        """Wait for the result, at most `timeout` seconds.

        Raises:
            pykka.Timeout: if it did not come in time; it may still come. (In a test without threads:
                `NotAnswered`, and without waiting.)
            AskCycle: in an actor, if the wait could only end by its deadline.
            BaseException: whatever was set as the result.
        """
        if self._get_hook is not None:
            return super().get(timeout=timeout)
        if self._outcome is None:
            asked = self._asked
            if asked is None or (timeout is not None and timeout <= 0):  # a look is no wait
                self._await(timeout)
            else:
                with asked.waited_on(self):
                    self._await(timeout)
        if self._outcome is None:
            raise pykka.Timeout(f"{timeout} seconds")
        value, error, trace = self._outcome
        if error is not None:
            # As it was set: each raise would add its own frames to those of the one before.
            raise error.with_traceback(trace)
        return value

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the result in a coroutine of asyncio; the event loop goes on meanwhile."""
        return self._arrival().__await__()

    async def _arrival(self) -> T:
        if self._get_hook is not None:
            # What `map`, `join` and the like do in there may block: not on the event loop.
            mapped: T = await asyncio.to_thread(self.get)
            return mapped
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody awaits any more
                loop.call_soon_threadsafe(arrived.set)

        self.when_done(wake)
        try:
            await arrived.wait()
        finally:
            with contextlib.suppress(ValueError):  # it has run
                self._callbacks.remove(wake)
        result: T = self.get(timeout=0)
        return result

    def _await(self, timeout: float | None) -> None:
        """Run the tree, if this thread is the one that runs it; block otherwise."""
        if not run_steppers(self.is_set):
            self._wait(timeout)

    def _wait(self, timeout: float | None) -> None:
        gate = threading.Lock()
        gate.acquire()
        self._waiters.append(gate)
        try:
            # The waiter is announced before the outcome is looked at again: `_settle` does the two
            # in the other order, so one of them sees the other.
            if self._outcome is None:
                with worker_waits():
                    # A lock takes -1 for "for ever" and refuses more than TIMEOUT_MAX, infinity included.
                    gate.acquire(timeout=-1 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX))
        finally:
            if self._outcome is None:
                with contextlib.suppress(ValueError):  # it was woken at the last moment
                    self._waiters.remove(gate)

    def set(self, value: T | None = None) -> None:
        """Set the result; `queue.Full` if there is one already."""
        if not self.try_set(value):
            raise queue.Full

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Have `get` call `func(timeout)` instead; `queue.Full` if there is a result already."""
        if self._outcome is not None:
            raise queue.Full
        super().set_get_hook(func)

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Set an exception as the result; without an argument the one being handled."""
        _, error, trace = sys.exc_info() if exc_info is None else exc_info
        assert error is not None
        if not self.try_fail(error.with_traceback(trace)):
            raise queue.Full

    def try_set(self, value: T | None) -> bool:
        """Set the result unless there is one; whether this call did."""
        return self._settle((value, None, None))

    def try_fail(self, error: BaseException) -> bool:
        """Set `error` as the result unless there is one; whether this call did."""
        return self._settle((None, error, error.__traceback__))

    def _settle(self, outcome: tuple[Any, BaseException | None, TracebackType | None]) -> bool:
        if self._get_hook is not None:  # its result comes from the hook
            return False
        try:
            self._free.pop()
        except IndexError:
            return False
        self._outcome = outcome
        self._asked = None  # a reply that is kept must not keep an actor
        while self._waiters:
            try:
                self._waiters.popleft().release()
            except IndexError:  # the last one has just given up
                break
        self._run_callbacks()
        return True

    def is_set(self) -> bool:
        """Whether the result is there."""
        return self._outcome is not None

    def when_done(self, callback: Callable[[], object]) -> None:
        """Call `callback` once the result is there; it should be quick, and is reported if it raises."""
        self._callbacks.append(callback)
        if self._outcome is not None:
            self._run_callbacks()

    def _run_callbacks(self) -> None:
        while True:
            try:
                callback = self._callbacks.popleft()  # atomic: each is taken by one thread only
            except IndexError:
                return
            try:
                callback()
            except BaseException as error:  # noqa: BLE001 - boundary: the setter has no part in what a listener does
                report_unhandled(error)
