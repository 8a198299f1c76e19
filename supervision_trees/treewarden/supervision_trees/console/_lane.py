"""A lane: a few threads that carry out commands of one kind, so that slow kinds never delay fast ones.

Threads start when they are needed and are daemons: a command that never returns must not keep the
whole program from ending, which `concurrent.futures` would do (its threads are joined at exit).
At most as many jobs queue as there are connections, since each has one command in hand.

Not promised: that a running job can be ended. Python cannot kill a thread; `close` says how many remain.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import final

from treewarden.actors import Clock

__all__ = ["Lane"]


@final
class _Job:
    """A piece of work and the future of the event loop that waits for it."""

    def __init__(self, work: Callable[[], bytes], future: "asyncio.Future[bytes]") -> None:
        self._work, self._future, self._loop = work, future, future.get_loop()

    def run(self) -> None:
        if self._future.cancelled():
            return  # whoever waited for it is gone
        try:
            done = self._work()
        except BaseException as error:  # noqa: BLE001 - thread boundary: whoever waits gets the error, the thread lives on
            failure = RuntimeError(f"a job of the console broke: {error!r}")
            failure.__cause__ = error
            self._settle(lambda: self._future.set_exception(failure))
        else:
            self._settle(lambda: self._future.set_result(done))

    def _settle(self, settle: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(lambda: None if self._future.done() else settle())
        except RuntimeError:
            assert self._loop.is_closed()  # the server was closed: nobody waits any more


@final
class Lane:
    """At most `size` threads called `name`-1, -2, ...; `run` on the event loop, `close` from any other thread."""

    def __init__(self, name: str, *, size: int, clock: Clock) -> None:
        self._name, self._size, self._clock = name, size, clock
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._closed = False
        # Guards the three above. Never held while a job runs.
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], bytes]) -> bytes:
        """What `work` returns, once a thread of this lane has carried it out.

        Raises:
            RuntimeError: if `work` raised, which it should not; its text names the error.
        """
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._unfinished += 1
            if self._unfinished > len(self._threads) < self._size:
                thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads) + 1}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._jobs.put(_Job(work, future))
        return await future

    def close(self, *, within: float) -> int:
        """Start no further job and wait up to `within` seconds; how many threads are still at work."""
        deadline = self._clock.monotonic() + within
        with self._lock:
            self._closed = True
            threads = tuple(self._threads)
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join(max(deadline - self._clock.monotonic(), 0.0))
        return sum(thread.is_alive() for thread in threads)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            # A job that is still queued when the lane closes is dropped: its client was hung up on
            # and must not find out later that its command was carried out after all.
            if not self._closed:
                job.run()
            with self._lock:
                self._unfinished -= 1
