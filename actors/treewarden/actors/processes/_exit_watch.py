"""Learning that a process ended, and how, without waiting for it.

One daemon thread watches any number of processes, ours and adopted ones. A pidfd becomes readable
when the last thread of its process has ended, also for processes that are not our children
(pidfd_open(2)); a stopped process is not an ended one. Our own children are reaped by this thread
only after their pidfd fired, so nothing here ever blocks on a process.

Guarantees: every accepted watch is answered exactly once, from the watch's thread, unless `close`
came first. A callback that raises is reported and harms no other. Not promised: an order between
exits. Callbacks should hand the news on and return, as they hold up the others.

When no pidfd is left to be had (EMFILE) a process is looked at every 50 ms instead. So is a child
whose pidfd fired while a debugger still holds its exit back (ptrace(2)).
"""

import errno
from collections.abc import Callable
from functools import partial
from typing import Protocol, final

from treewarden.actors.processes._gated_process import GatedProcess, unreaped_child
from treewarden.actors.processes._identity import ProcessGone, ProcessIdentity, is_alive, open_verified, pidfds_work
from treewarden.actors.processes._process_exit import UNKNOWN_EXIT, ProcessExit
from treewarden.actors.processes._watch_thread import OnError, OnExit, Watched, WatchThread

__all__ = ["ExitWatch", "PidfdExitWatch", "PollingExitWatch", "ProcessExit", "exit_watch"]


class ExitWatch(Protocol):
    """Tells when processes end. All methods are safe from any thread."""

    def watch(self, process: GatedProcess, on_exit: OnExit) -> None:
        """Call `on_exit` once when our child has ended, with its exact exit; at once if it has already.

        Raises:
            RuntimeError: if the watch is closed.
        """
        ...

    def adopt(self, identity: ProcessIdentity, on_exit: OnExit) -> None:
        """Call `on_exit` once when a process started by an earlier runtime has ended; at once if it has already.

        How it ended is unknown, unless it turns out to be a child of this very process.

        Raises:
            RuntimeError: if the watch is closed.
        """
        ...

    def close(self) -> None:
        """Stop watching and wait for the thread; the processes live on, their watches stay unanswered.

        Again is harmless. Not to be called from `on_exit`.
        """
        ...


def exit_watch(*, on_error: OnError) -> ExitWatch:
    """The best watch this system has. `on_error` gets what a callback raised, in the watch's thread."""
    return PidfdExitWatch(on_error=on_error) if pidfds_work() else PollingExitWatch(on_error=on_error)


@final
class PidfdExitWatch:
    """Woken by the kernel for each exit: no delay, no work while nothing ends. Linux."""

    def __init__(self, *, on_error: OnError) -> None:
        self._thread = WatchThread(on_error)

    def watch(self, process: GatedProcess, on_exit: OnExit) -> None:
        """See `ExitWatch.watch`."""
        self._thread.take(Watched(process.reap_nowait, on_exit, _pidfd_or_none(process.open_pidfd)))

    def adopt(self, identity: ProcessIdentity, on_exit: OnExit) -> None:
        """See `ExitWatch.adopt`."""
        child = unreaped_child(identity)
        if child is not None:
            self.watch(child, on_exit)
            return
        pidfd = _pidfd_or_none(partial(open_verified, identity))
        self._thread.take(Watched(partial(_look_at_adopted, identity), on_exit, pidfd))

    def close(self) -> None:
        """See `ExitWatch.close`."""
        self._thread.close()


@final
class PollingExitWatch:
    """Looks at every process each 50 ms. For systems without pidfd."""

    def __init__(self, *, on_error: OnError) -> None:
        self._thread = WatchThread(on_error)

    def watch(self, process: GatedProcess, on_exit: OnExit) -> None:
        """See `ExitWatch.watch`."""
        self._thread.take(Watched(process.reap_nowait, on_exit, None))

    def adopt(self, identity: ProcessIdentity, on_exit: OnExit) -> None:
        """See `ExitWatch.adopt`."""
        child = unreaped_child(identity)
        look = partial(_look_at_adopted, identity) if child is None else child.reap_nowait
        self._thread.take(Watched(look, on_exit, None))

    def close(self) -> None:
        """See `ExitWatch.close`."""
        self._thread.close()


def _look_at_adopted(identity: ProcessIdentity) -> ProcessExit | None:
    return None if is_alive(identity) else UNKNOWN_EXIT


def _pidfd_or_none(opener: Callable[[], int]) -> int | None:
    try:
        return opener()
    except ProcessGone:
        return None  # the thread's first look finds that out, and answers from there
    except OSError as error:
        if error.errno in {errno.EMFILE, errno.ENFILE}:
            return None
        raise
