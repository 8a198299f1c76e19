"""The probe loop: every health check of a runtime on one asyncio thread.

A check is handed to the current life of the thread (`_life.py`); the first check starts one, and
so does the next check after a thread that died. Hundreds of checks may be under way at once;
that one probe's checks do not overlap is the caller's business.

`close` before the process ends: commands under way are ended then. At an exit without `close`
they are left alone, because a daemon thread gets no chance to clean up.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import final

from treewarden.actors._probe import Health, Probe, Unhealthy
from treewarden.actors.probes._check import CLOSING, Check, deliver
from treewarden.actors.probes._life import Life
from treewarden.actors.processes._launcher import base_environment

__all__ = ["ProbeLoop"]


@final
class ProbeLoop:
    """Carries out probes on a thread of its own (the `ProbeRunner` port). Safe from any thread.

    Args:
        on_error: told, mostly on the probe thread, what went wrong beside the checks: a callback
            that raised, a process that could not be ended, the error that ended the thread.
        environment: what each command gets, with its probe's own `env` laid over; by default
            PATH, HOME, USER, LOGNAME, SHELL, LANG, LC_*, TZ and TMPDIR of this process.

    Example:
        >>> from queue import SimpleQueue
        >>> from treewarden.actors.probes import CommandProbe, Health, ProbeLoop
        >>> answers: SimpleQueue[Health] = SimpleQueue()
        >>> probes = ProbeLoop(on_error=print)
        >>> probes.check(CommandProbe(("true",)), timeout=5.0, on_result=answers.put)
        >>> answers.get()
        Healthy()
        >>> probes.close(within=5.0)
    """

    def __init__(
        self, *, on_error: Callable[[BaseException], None], environment: Mapping[str, str] | None = None
    ) -> None:
        self._on_error = on_error
        self._environment = dict(base_environment(os.environ) if environment is None else environment)
        # Guards _lives and _closed. Taken before a life's own lock, never while a callback runs.
        self._lock = threading.Lock()
        self._lives: list[Life] = []  # the last one is current; earlier ones died and may still clean up
        self._closed = False

    def start(self) -> None:
        """Start the thread now rather than with the first check; does nothing while it runs.

        Raises:
            RuntimeError: if the loop is closed, or the system gives no more threads.
            OSError: if the system gives no more file descriptors.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("this probe loop is closed and does not start again; make a new ProbeLoop")
            self._living()

    def check(self, probe: Probe, *, timeout: float, on_result: Callable[[Health], None]) -> None:
        """Start one check and return at once.

        `on_result` is called exactly once, from another thread, within about `timeout` seconds
        from now, whatever the probed thing does. It must be quick: all checks share the thread.
        A closed loop answers `Unhealthy` at once.
        """
        check = Check(probe, timeout, on_result)
        refusal = self._hand_over(check)
        if refusal is not None:
            self._refuse(check, refusal)

    def close(self, within: float) -> None:
        """Answer what is under way with `Unhealthy`, end its commands, and wait for the thread to be gone.

        Later checks are refused. May be called again, also to go on waiting.

        Raises:
            TimeoutError: if a thread is still there after `within` seconds: a callback blocks it,
                or a name look-up (getaddrinfo(3) cannot be interrupted). Every check is answered
                all the same, and the thread ends as soon as it can.
            RuntimeError: if called from a probe's callback, which would wait for itself.
        """
        deadline = time.monotonic() + within  # real time: it bounds the joining of real threads
        with self._lock:
            if any(life.is_own_thread() for life in self._lives):
                raise RuntimeError("close() was called from a probe's callback; call it from another thread")
            self._closed = True
            lives = tuple(self._lives)
        for life in lives:
            life.request_end()
        late = [life for life in lives if not life.wait_ended(timeout=max(0.0, deadline - time.monotonic()))]
        for life in late:
            life.answer_all(CLOSING)
        if late:
            raise TimeoutError(
                f"the probe thread did not end within {within:g} s: a callback or a name look-up still holds it"
            )

    def _hand_over(self, check: Check) -> Unhealthy | None:
        """Give `check` to a living thread, or say why there is none."""
        with self._lock:
            if self._closed:
                return CLOSING
            if self._lives and self._lives[-1].submit(check):
                return None
            try:
                life = self._living()
            except (OSError, RuntimeError) as error:
                return Unhealthy(f"the probe thread cannot start: {error}")
            return None if life.submit(check) else Unhealthy("the probe thread died as soon as it started")

    def _living(self) -> Life:
        """The current life, or a new one. The caller holds the lock."""
        if not self._lives or self._lives[-1].has_ended():
            self._lives = [life for life in self._lives if not life.is_gone()]
            self._lives.append(Life(environment=self._environment, on_error=self._on_error))
        return self._lives[-1]

    def _refuse(self, check: Check, why: Unhealthy) -> None:
        def answer() -> None:
            deliver(check, why, self._on_error)

        try:
            # The port promises another thread: the caller may hold a lock that its callback takes.
            threading.Thread(target=answer, name="treewarden-probes-refusal", daemon=True).start()
        except RuntimeError:  # no more threads: an answer on this one is better than none
            answer()
