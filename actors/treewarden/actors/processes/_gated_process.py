"""A child of ours, from the closed gate until it is reaped.

Every child stays known here until its exit was read, whatever becomes of the object's users:
`subprocess` would otherwise reap a forgotten one on some later, unrelated spawn and its exit code
would be lost. Being a child is a fact about the whole OS process, so the table is one per process.
"""

import errno
import os
import signal
import subprocess
import time
from contextlib import suppress
from threading import Lock
from typing import Final, final

import psutil

from treewarden.actors._errors import TreewardenError
from treewarden.actors.processes._identity import ProcessGone, ProcessIdentity, is_alive
from treewarden.actors.processes._process_exit import UNKNOWN_EXIT, ProcessExit
from treewarden.actors.processes._verified import signal_verified

__all__ = ["GATE_COMMAND", "GateUsed", "GatedProcess", "is_gate", "read_command_line", "unreaped_child"]

# The gate is stdin: dash knows only one-digit file descriptors in a redirection.
_SCRIPT: Final = 'read -r _ || exit 125; exec "$@" </dev/null'
_EXEC_PATIENCE: Final = 0.05  # seconds
_EXEC_LOOK_EVERY: Final = 0.0001  # seconds
GATE_COMMAND: Final = ("/bin/sh", "-c", _SCRIPT, "treewarden-gate")


class GateUsed(TreewardenError):
    """The gate is open already, and a command that runs cannot be called back."""


@final
class GatedProcess:
    """A spawned process whose command waits for `release()`. All methods are safe from any thread.

    Made by `Launcher.spawn_gated`. Exactly one of `release` and `cancel` is to be called.
    """

    def __init__(self, popen: "subprocess.Popen[bytes]", identity: ProcessIdentity, gate_fd: int) -> None:
        self.identity: Final = identity
        self._popen = popen
        # Guards the three below. Reaping happens under it, so while it is held and _exit is None the pid is ours.
        self._lock = Lock()
        self._gate_fd: int | None = gate_fd
        self._released = False
        self._exit: ProcessExit | None = None
        with _unreaped_lock:
            _unreaped[identity] = self

    def release(self) -> None:
        """Open the gate: the command runs from now on.

        Raises:
            GateUsed: if it was released before.
            ProcessGone: if it was cancelled or killed meanwhile; the command never ran.
        """
        with self._lock:
            if self._released:
                raise GateUsed(f"the gate of process {self.identity.pid} was released before, expected once")
            if self._gate_fd is None:
                raise ProcessGone(self.identity.pid, "its gate has ended, so its command never ran")
            try:
                os.write(self._gate_fd, b"\n")  # one byte into an empty pipe never blocks
            except BrokenPipeError:
                raise ProcessGone(self.identity.pid, "its gate was killed, so its command never ran") from None
            finally:
                self._close_gate()
            self._released = True

    def cancel(self) -> None:
        """Close the gate, so that the command never runs; wait for the shell and reap it.

        Again is harmless. A watch that was set on the process still reports its exit.

        Raises:
            GateUsed: if it was released before: the command runs, end its session instead.
        """
        with self._lock:
            if self._released:
                raise GateUsed(f"process {self.identity.pid} was released and runs, expected its session to be ended")
            self._close_gate()
            # End-of-file is enough for a running shell; KILL also ends one that is stopped.
            with suppress(ProcessGone):  # it may be quicker; dead is what was wanted
                signal_verified(self.identity, signal.SIGKILL)
            self._reap(os.WEXITED)

    def open_pidfd(self) -> int:
        """A new pidfd of this child, also of its zombie; the caller closes it (pidfd_open(2)).

        Raises:
            ProcessGone: if it was reaped.
            OSError: if no pidfd can be had (EMFILE, ENOSYS).
        """
        with self._lock:
            if self._exit is not None:
                raise ProcessGone(self.identity.pid, "it was reaped")
            try:
                return os.pidfd_open(self.identity.pid)
            except ProcessLookupError:
                raise ProcessGone(self.identity.pid, "somebody else reaped it") from None

    def reap_nowait(self) -> ProcessExit | None:
        """How it ended, reaping it if that was not done yet; None while it lives.

        `UNKNOWN_EXIT` if the embedding program reaped it, or ignores SIGCHLD (waitpid(2)).
        """
        with self._lock:
            return self._reap(os.WEXITED | os.WNOHANG)

    def _close_gate(self) -> None:
        if self._gate_fd is not None:
            os.close(self._gate_fd)
            self._gate_fd = None

    def _reap(self, options: int) -> ProcessExit | None:
        if self._exit is None:
            self._exit = self._peek(options | os.WNOWAIT)
            if self._exit is not None:
                # Read first, reap second: Popen takes a child that somebody else reaped for a success.
                self._popen.poll()
                self._close_gate()
                with _unreaped_lock:
                    _unreaped.pop(self.identity, None)
        return self._exit

    def _peek(self, options: int) -> ProcessExit | None:
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            returncode = self._popen.poll() if options & os.WNOHANG else self._popen.wait()
            return None if returncode is None else ProcessExit.from_returncode(returncode)
        try:
            ended = os.waitid(os.P_PID, self.identity.pid, options)
        except ChildProcessError:
            return UNKNOWN_EXIT
        if ended is None:
            return None
        return (
            ProcessExit(ended.si_status, None) if ended.si_code == os.CLD_EXITED else ProcessExit(None, ended.si_status)
        )


_unreaped_lock = Lock()  # guards _unreaped only; never held while calling out
_unreaped: Final[dict[ProcessIdentity, GatedProcess]] = {}


def unreaped_child(identity: ProcessIdentity) -> GatedProcess | None:
    """Our own child of that identity, if its exit was not read yet: also after its runtime stopped and left it running."""
    with _unreaped_lock:
        return _unreaped.get(identity)


def is_gate(identity: ProcessIdentity) -> bool:
    """Whether that process is still a gate, going by its command line; False if it is gone.

    A gate whose release was written but which has not got round to exec yet still counts as one.

    Raises:
        PermissionError: if it may not be looked at.
    """
    try:
        command = read_command_line(identity.pid)
    except ProcessGone:
        return False
    # Asked after the read: if the identity holds now, it held while its command line was read.
    return command[: len(GATE_COMMAND)] == GATE_COMMAND and is_alive(identity)


def read_command_line(pid: int) -> tuple[str, ...]:
    """The arguments of the process that has `pid` now. Safe from any thread.

    In the middle of an exec they are empty for some microseconds (execve(2) has dropped the old
    image, the new one is not in place): that is waited out, up to 50 ms. Some programs empty theirs for good.

    Raises:
        ProcessGone: if there is no such process, or only its zombie.
        PermissionError: if it may not be looked at.
    """
    until = time.monotonic() + _EXEC_PATIENCE
    try:
        while not (command := tuple(psutil.Process(pid).cmdline())) and time.monotonic() < until:
            time.sleep(_EXEC_LOOK_EVERY)
    except psutil.NoSuchProcess:
        raise ProcessGone(pid, "no process has this pid") from None
    except psutil.AccessDenied as error:
        raise PermissionError(errno.EACCES, "the process exists but may not be looked at", str(pid)) from error
    return command
