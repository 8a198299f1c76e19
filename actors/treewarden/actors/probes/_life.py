"""One life of the probe thread: one event loop on one thread, from start to end, never restarted.

Guarantees: each check that was accepted is answered exactly once, from this thread, at its
deadline at the latest; however the thread ends, checks under way are answered first and what
they started is ended after. A callback that raises is reported and ends nothing.

The right to answer a check is its place in `_pending`: whoever takes it out answers.

Not promised: a callback that blocks holds up every check, and so does `end`.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, assert_never, final

import aiohttp

from treewarden.actors._probe import CommandProbe, Health, HttpProbe, Probe, TcpProbe, Unhealthy
from treewarden.actors.probes._check import CLOSING, Check, deliver, report
from treewarden.actors.probes._command import check_command
from treewarden.actors.probes._http import check_http, open_session
from treewarden.actors.probes._sweeper import Sweeper
from treewarden.actors.probes._tcp import check_tcp
from treewarden.actors.probes._wording import describe_probe

__all__ = ["Life"]

THREAD_NAME: Final = "treewarden-probes"
_RESOLVERS: Final = 16  # threads for getaddrinfo(3), which cannot be interrupted


@final
class Life:
    """A running probe thread."""

    def __init__(self, *, environment: Mapping[str, str], on_error: Callable[[BaseException], None]) -> None:
        """Start the thread.

        Raises:
            RuntimeError: if the system gives no more threads.
            OSError: if it gives no more file descriptors.
        """
        self._environment = environment
        self._on_error = on_error
        # Guards _pending and _ended. Never held while calling out, so it cannot deadlock.
        self._lock = threading.Lock()
        self._pending: set[Check] = set()
        self._ended = False  # set before the loop is closed: while it is False the loop takes callbacks
        self._why_ended = Unhealthy("the probe thread ended unexpectedly")
        self._tasks: set[asyncio.Task[None]] = set()  # this and what follows: the loop's thread only
        self._http: aiohttp.ClientSession | None = None
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._on_loop_error)
        self._resolvers = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix=f"{THREAD_NAME}-resolve")
        self._loop.set_default_executor(self._resolvers)
        self._sweeper = Sweeper(self._loop, on_error=self._report)
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._loop.close()
            raise

    def submit(self, check: Check) -> bool:
        """Take `check`, or return False: this life is over and `check` is untouched. From any thread."""
        deadline = self._loop.time() + check.timeout  # from now, not from when the loop gets to it
        with self._lock:
            if self._ended:
                return False
            self._pending.add(check)
            self._loop.call_soon_threadsafe(self._begin, check, deadline)
            return True

    def has_ended(self) -> bool:
        """Whether this life takes no more checks; its thread may still be cleaning up. From any thread."""
        with self._lock:
            return self._ended

    def request_end(self) -> None:
        """Ask the thread to answer what is pending and to end; return at once. From any thread, any number of times."""
        with self._lock:
            if not self._ended:
                self._loop.call_soon_threadsafe(self._end)

    def wait_ended(self, *, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the thread to be gone; whether it is."""
        self._thread.join(timeout)
        return self.is_gone()

    def is_gone(self) -> bool:
        """Whether the thread is gone, its clean-up included."""
        return not self._thread.is_alive()

    def is_own_thread(self) -> bool:
        """Whether the caller runs on this life's thread."""
        return threading.current_thread() is self._thread

    def answer_all(self, health: Health) -> None:
        """Answer everything pending with `health`, from the caller's thread."""
        with self._lock:
            unanswered = tuple(self._pending)
            self._pending.clear()
        for check in unanswered:
            deliver(check, health, self._on_error)

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            self._loop.run_forever()
        except BaseException as error:  # noqa: BLE001 - the thread's boundary: reported below
            failure = error
            self._why_ended = Unhealthy(f"the probe thread died ({type(error).__name__}); a new check starts another")
        try:
            self._wind_down()
        finally:
            if failure is not None:
                self._report(failure)

    def _wind_down(self) -> None:
        # Refuse new checks, then answer, then clean up: nobody waits for an answer behind a slow
        # kill or look-up, and no check can slip in after the last answer.
        with self._lock:
            self._ended = True
        self.answer_all(self._why_ended)
        try:
            self._loop.run_until_complete(self._release())
        finally:
            self._sweeper.close()
            self._resolvers.shutdown(wait=True, cancel_futures=True)
            self._loop.close()

    async def _release(self) -> None:
        """Cancel the checks, wait for their clean-up, close the HTTP session."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # errors: see _settle
        await self._sweeper.wait_idle()
        if self._http is not None:
            await self._http.close()

    def _end(self) -> None:
        self._why_ended = CLOSING
        self._loop.stop()

    def _begin(self, check: Check, deadline: float) -> None:
        with self._lock:
            if check not in self._pending:
                return  # answered already, by a wind-down that came first
        task = self._loop.create_task(self._carry_out(check, deadline))
        self._tasks.add(task)
        task.add_done_callback(self._settle)

    def _settle(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(error)

    async def _carry_out(self, check: Check, deadline: float) -> None:
        health: Health
        try:
            async with asyncio.timeout_at(deadline):
                health = await self._ask(check.probe, deadline)
        except TimeoutError:
            health = Unhealthy(f"{describe_probe(check.probe)}: no answer within {check.timeout:g} s")
        except Exception as error:  # noqa: BLE001 - boundary of one check: an answer, and a report, for whatever it was
            # Only the kind: the text may quote a URL with its password.
            health = Unhealthy(f"{type(check.probe).__name__}: the check itself failed ({type(error).__name__})")
            self._report(error)
        self._answer(check, health)

    async def _ask(self, probe: Probe, deadline: float) -> Health:
        match probe:
            case HttpProbe():
                if self._http is None:
                    self._http = open_session()
                return await check_http(self._http, probe)
            case TcpProbe():
                return await check_tcp(probe, deadline=deadline)
            case CommandProbe():
                return await check_command(probe, environment=self._environment, sweeper=self._sweeper)
            case _:
                assert_never(probe)

    def _answer(self, check: Check, health: Health) -> None:
        with self._lock:
            if check not in self._pending:
                return
            self._pending.remove(check)
        deliver(check, health, self._on_error)

    def _on_loop_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        self._report(error if isinstance(error, BaseException) else RuntimeError(str(context.get("message"))))

    def _report(self, error: BaseException) -> None:
        report(error, self._on_error)
