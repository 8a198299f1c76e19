"""Waiting on the event loop for a child to exit, without reaping it.

The child stays a zombie until its `Popen` reaps it. Until then its pid, which is also the number
of its group and session, belongs to nobody else (wait(2), NOTES), so the session can be ended
safely after the leader is dead. On Linux a pidfd (pidfd_open(2)) tells the event loop; where
there is none, because the kernel is old or a sandbox forbids it, the child is polled.

asyncio's own subprocesses are not used: on Python 3.11 their default watcher makes a thread per
child, and the policies that choose another one are deprecated since 3.12.
Off Linux waiting does reap: waitid(2) is missing from Python on macOS before 3.13.
"""

import asyncio
import os
import subprocess
import sys
from typing import Final

__all__ = ["ExitStatusLost", "wait_exited"]

_POLL_EVERY: Final = 0.02  # seconds; only where there is no pidfd


class ExitStatusLost(Exception):
    """Somebody else in this process reaped the child, so nobody can know how it ended."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"the exit status of process {pid} was taken by another waiter in this process")
        self.pid = pid


async def wait_exited(process: "subprocess.Popen[bytes]") -> int:
    """Wait for `process` to exit; return its code, or minus the signal that ended it (as `Popen` does).

    Raises:
        ExitStatusLost: if its status cannot be known; `Popen` would call that 0.
    """
    pidfd = _open_pidfd(process.pid)
    if pidfd is not None:
        await _wait_readable(pidfd)
    while (code := _peek(process)) is None:  # noqa: ASYNC110 - without a pidfd nothing would set an event
        await asyncio.sleep(_POLL_EVERY)
    return code


def _open_pidfd(pid: int) -> int | None:
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)  # our unreaped child: the number cannot mean anybody else
    except OSError:  # ENOSYS, EPERM in a sandbox, EMFILE: polling answers as truly, only later
        return None


async def _wait_readable(pidfd: int) -> None:
    loop = asyncio.get_running_loop()
    exited = asyncio.Event()
    try:
        loop.add_reader(pidfd, exited.set)
        await exited.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


def _peek(process: "subprocess.Popen[bytes]") -> int | None:
    """The exit code if the process has ended; it stays a zombie where the platform can do that."""
    if sys.platform != "linux":
        return process.poll()
    try:
        status = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError as error:
        raise ExitStatusLost(process.pid) from error
    if status is None:
        return None
    return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status
