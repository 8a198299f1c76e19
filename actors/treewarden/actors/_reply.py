"""A pykka future that is cheap until somebody waits, and tells its dispatcher when a worker does.

Guarantees: set once (a second set raises `queue.Full`, as pykka's does); every waiter wakes;
callbacks run exactly once, on the setting thread, or at once if the result is already there; one
that raises is reported through `threading.excepthook` and disturbs neither the others nor the
setter. `await` leaves the event loop free, which pykka's does not. A waiter that gives up leaves
nothing behind, so a reply may be polled for hours.

No lock is made until somebody must wait: the methods of lists used here are atomic under the GIL.
"""

import contextlib
import queue
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, TypeAlias, TypeVar, final

import pykka

from treewarden.actors._dispatcher import own_patience, report_unhandled, run_steppers, worker_waits

__all__ = ["Reply"]

T = TypeVar("T")
Outcome: TypeAlias = tuple[Any, BaseException | None, TracebackType | None]
ExcInfo: TypeAlias = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class Asked(Protocol):
    """Who was asked, and is told of each wait for the answer."""

    def waited_on(self, reply: "Reply[Any]") -> AbstractContextManager[None]:
        """Entered while the calling thread waits for `reply`; may refuse by raising."""
        ...


@final
class Reply(pykka.Future[T]):
    """The answer to one ask. Safe from any thread."""

    __slots__ = ("_asked", "_listeners", "_outcomes")

    # Of the class until `set_get_hook` sets its own: an answer pays nothing for what is hardly used.
    _get_hook: Callable[[float | None], T] | None = None

    def __init__(self, asked: Asked | None = None) -> None:
        """Make an answer to be set. `asked` hears of each wait for it, up to then."""
        self._asked = asked
        self._outcomes: list[Outcome] = []  # the first one counts: list.append is atomic
        self._listeners: list[Callable[[], object]] = []  # waiters and callbacks, each taken by one thread only

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
        if not self._outcomes:
            asked = self._asked
            if asked is None or (timeout is not None and timeout <= 0):  # a look is no wait
                self._await(timeout)
            else:
                with asked.waited_on(self):
                    self._await(timeout)
        if not self._outcomes:
            raise pykka.Timeout(f"{timeout} seconds")
        value, error, trace = self._outcomes[0]
        if error is not None:
            # As it was set: each raise would add its own frames to those of the one before.
            raise error.with_traceback(trace)
        return value

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the result in a coroutine of asyncio; the event loop goes on meanwhile."""
        return self._arrival().__await__()

    async def _arrival(self) -> T:
        import asyncio  # noqa: PLC0415 - a tenth of the time that importing this package takes, for those who await

        if self._get_hook is not None:
            # What `map`, `join` and the like do in there may block: not on the event loop.
            mapped: T = await asyncio.to_thread(self.get)
            return mapped
        if not self._outcomes:
            await self._announced()
        result: T = self.get(timeout=0)
        return result

    async def _announced(self) -> None:
        import asyncio  # noqa: PLC0415 - a tenth of the time that importing this package takes, for those who await

        loop, arrived = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody awaits any more
                loop.call_soon_threadsafe(arrived.set)

        self.when_done(wake)
        try:
            await arrived.wait()
        finally:
            with contextlib.suppress(ValueError):  # it has run
                self._listeners.remove(wake)

    def _await(self, timeout: float | None) -> None:
        """Run the tree, if this thread is the one that runs it; block otherwise."""
        if not run_steppers(self.is_set):
            self._wait(timeout)

    def _wait(self, timeout: float | None) -> None:
        patience = own_patience()
        with worker_waits():
            if not (patience.pays() and patience.look(self.is_set)):
                since = patience.now()
                self._sleep(timeout)
                patience.slept(since)

    def _sleep(self, timeout: float | None) -> None:
        gate = threading.Lock()
        gate.acquire()
        self._listeners.append(gate.release)
        # The waiter is announced before the outcome is looked at again: `_settle` does the two in the
        # other order, so one of them sees the other.
        try:
            if not self._outcomes:
                # A lock takes -1 for "for ever" and refuses more than TIMEOUT_MAX, infinity included.
                gate.acquire(timeout=-1 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX))
        finally:
            with contextlib.suppress(ValueError):  # it was woken
                self._listeners.remove(gate.release)

    def set(self, value: T | None = None) -> None:
        """Set the result; `queue.Full` if there is one already."""
        if not self.try_set(value):
            raise queue.Full

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Have `get` call `func(timeout)` instead; `queue.Full` if there is a result already."""
        if self._outcomes:
            raise queue.Full
        super().__init__()  # makes where the hook's result is kept
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

    def _settle(self, outcome: Outcome) -> bool:
        if self._get_hook is not None:  # its result comes from the hook
            return False
        outcomes = self._outcomes
        outcomes.append(outcome)
        if outcomes[0] is not outcome:
            del outcomes[1:]
            return False
        self._asked = None  # a reply that is kept must not keep an actor
        if self._listeners:
            self._tell_listeners()
        return True

    def is_set(self) -> bool:
        """Whether the result is there."""
        return bool(self._outcomes)

    def when_done(self, callback: Callable[[], object]) -> None:
        """Call `callback` once the result is there; it should be quick, and is reported if it raises.

        It may run on the thread that writes the state of durable actors: it must not wait for one of them.
        """
        self._listeners.append(callback)
        if self._outcomes:
            self._tell_listeners()

    def _tell_listeners(self) -> None:
        while True:
            try:
                listener = self._listeners.pop(0)  # atomic: each is taken by one thread only
            except IndexError:
                return
            try:
                listener()
            except BaseException as error:  # noqa: BLE001 - boundary: the setter has no part in what a listener does
                report_unhandled(error)
