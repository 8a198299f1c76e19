"""The thread that waits for many processes at once, by pidfd where there is one and by looking where not.

What it is given it answers exactly once, unless closed first: `look` says how the process ended,
`on_exit` hears it. A process without a pidfd is looked at every 50 ms; while every process has
one, the thread sleeps in the kernel. It takes ownership of the pidfds.
"""

import os
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from treewarden.actors.processes._process_exit import ProcessExit

__all__ = ["OnError", "OnExit", "WatchThread", "Watched"]

OnExit: TypeAlias = Callable[[ProcessExit], None]
OnError: TypeAlias = Callable[[BaseException], None]

_LOOK_EVERY: Final = 0.05  # seconds; for processes without a pidfd


@final
@dataclass(eq=False, slots=True)
class Watched:
    """One process: how to look at it, whom to tell, and the pidfd that says when (None: look now and then)."""

    look: Callable[[], ProcessExit | None]
    on_exit: OnExit
    pidfd: int | None
    complained: bool = False


@final
class WatchThread:
    """The one thread behind a watch. It alone touches the selector, the polled list and the pidfds it took."""

    def __init__(self, on_error: OnError) -> None:
        self._on_error = on_error
        self._lock = threading.Lock()  # guards _inbox and _closing; never held while calling out
        self._inbox: deque[Watched] = deque()
        self._closing = False
        self._polled: list[Watched] = []
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)  # noqa: FBT003 - the socket's own interface
        self._wake_writer.setblocking(False)  # noqa: FBT003 - the socket's own interface
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="treewarden-exits", daemon=True)
        self._thread.start()

    def take(self, watched: Watched) -> None:
        """Own `watched` and its pidfd from now on, and answer it once; RuntimeError after `close`. Any thread."""
        with self._lock:
            if not self._closing:
                self._inbox.append(watched)
                self._wake()
                return
        if watched.pidfd is not None:
            os.close(watched.pidfd)
        raise RuntimeError("this exit watch is closed; expected an open one")

    def close(self) -> None:
        """End the thread, and close every pidfd it has. Any thread but its own."""
        with self._lock:
            if not self._closing:
                self._closing = True
                self._wake()
        self._thread.join()

    def _wake(self) -> None:
        # Called under the lock, and the thread closes the socket under it: there is always one to write to.
        with suppress(BlockingIOError):  # full of wake-ups, so one is pending
            self._wake_writer.send(b"\0")

    def _run(self) -> None:
        try:
            while True:
                fired = self._wait_fired()
                with self._lock:
                    if self._closing:
                        return
                    arrived = list(self._inbox)
                    self._inbox.clear()
                for watched in fired:
                    self._release_pidfd(watched)
                self._polled += fired
                for watched in arrived:
                    self._admit(watched)
                self._polled = [watched for watched in self._polled if not self._answer(watched)]
        finally:
            self._close_all()

    def _wait_fired(self) -> list[Watched]:
        fired: list[Watched] = []
        for key, _ in self._selector.select(_LOOK_EVERY if self._polled else None):
            if isinstance(key.data, Watched):
                fired.append(key.data)
            else:
                self._wake_reader.recv(4096)
        return fired

    def _admit(self, watched: Watched) -> None:
        if watched.pidfd is not None:
            try:
                self._selector.register(watched.pidfd, selectors.EVENT_READ, watched)
            except OSError as error:  # the user's quota of epoll watches is spent (epoll_ctl(2), ENOSPC)
                self._complain(error)
                os.close(watched.pidfd)
                watched.pidfd = None
        if watched.pidfd is None:
            self._polled.append(watched)

    def _release_pidfd(self, watched: Watched) -> None:
        if watched.pidfd is not None:
            self._selector.unregister(watched.pidfd)
            os.close(watched.pidfd)
            watched.pidfd = None

    def _answer(self, watched: Watched) -> bool:
        """Look at the process; if it has ended, tell and return True."""
        try:
            ended = watched.look()
        except OSError as error:
            # It may not be seen just now. That is not an exit: say so once and go on looking.
            if not watched.complained:
                watched.complained = True
                self._complain(error)
            return False
        if ended is None:
            return False
        try:
            watched.on_exit(ended)
        except BaseException as error:  # noqa: BLE001 - boundary: a callback must not end the watch of all others
            self._complain(error)
        return True

    def _complain(self, error: BaseException) -> None:
        try:
            self._on_error(error)
        except BaseException as worse:  # noqa: BLE001 - boundary: only the interpreter's own hook is left to tell
            threading.excepthook(
                threading.ExceptHookArgs((type(worse), worse, worse.__traceback__, threading.current_thread()))
            )

    def _close_all(self) -> None:
        with self._lock:
            self._closing = True  # also if an error ended this thread: `take` must not accept what nobody watches
            left = list(self._inbox)
            self._inbox.clear()
            self._wake_writer.close()
        watched_pidfds = [key.fd for key in self._selector.get_map().values() if isinstance(key.data, Watched)]
        self._selector.close()
        self._wake_reader.close()
        for pidfd in [*watched_pidfds, *(watched.pidfd for watched in left if watched.pidfd is not None)]:
            os.close(pidfd)
