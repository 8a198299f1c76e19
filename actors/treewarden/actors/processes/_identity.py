"""Who a process is: pid, start time and boot, never the pid alone (MS16).

A pid is reused; the triple is not. `identify` reads it, `is_alive` compares it, `open_verified`
turns it into a pidfd that can only ever mean that one process. A zombie is dead: it runs
nothing, it merely waits for its parent (processes.md 20). A leader that ended while its threads
run is alive, although ps shows it as a zombie too.

Errors are errors: a process that may not be looked at is never reported as gone.

Linux reads /proc/PID/stat (proc_pid_stat(5)). Elsewhere (macOS) psutil gives the start time,
kept in 1/100 s, and the boot time stands in for the boot id; there is no pidfd there. That half
is tested on Linux only and has not been measured on macOS.
"""

import errno
import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, final

import psutil

from treewarden.actors._errors import TreewardenError

__all__ = [
    "ON_LINUX",
    "ProcessGone",
    "ProcessIdentity",
    "Sighting",
    "boot_id",
    "identify",
    "is_alive",
    "look_at",
    "open_verified",
    "own_identity",
    "pidfds_work",
    "process_ids",
]

ON_LINUX: Final = platform.system() == "Linux"  # the one place where the platform is chosen
_PROC: Final = "/proc"
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_STAT_BYTES: Final = 4096  # one stat line is a few hundred bytes


@final
@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process among all that ever had its pid.

    `start_ticks` is the kernel's start time in clock ticks since boot (field 22 of stat). exec
    keeps it, so a gate and the command it becomes are one identity. Safe to store.
    """

    pid: int
    start_ticks: int
    boot_id: str


@final
@dataclass(frozen=True, slots=True)
class Sighting:
    """One look at one process; `alive` is False for a zombie."""

    identity: ProcessIdentity
    parent: int
    session: int
    alive: bool


class ProcessGone(TreewardenError):
    """The process has ended, or its pid belongs to another one now. `PermissionError` means it may not be seen."""

    def __init__(self, pid: int, found: str) -> None:
        super().__init__(f"process {pid} is gone: {found}")
        self.pid, self.found = pid, found


@cache
def boot_id() -> str:
    """What tells this boot of the machine from every other one. Safe from any thread."""
    if ON_LINUX:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    return str(round(psutil.boot_time()))


def identify(pid: int) -> ProcessIdentity:
    """The identity of the process that has `pid` now. Safe from any thread.

    Raises:
        ProcessGone: if there is none, or only a zombie.
        PermissionError: if it exists but may not be seen.
    """
    seen = look_at(pid)
    if seen is None:
        raise ProcessGone(pid, "no process has this pid")
    if not seen.alive:
        raise ProcessGone(pid, "only its zombie is left, for its parent to reap")
    return seen.identity


def own_identity() -> ProcessIdentity:
    """The identity of the calling process; read each time, so that it is right after a fork."""
    return identify(os.getpid())


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether exactly that process runs now; a zombie, a reused pid or another boot do not count.

    Raises:
        PermissionError: if the pid is in use but may not be seen. Not seeing is not "dead".
    """
    if identity.boot_id != boot_id():
        return False
    seen = look_at(identity.pid)
    return seen is not None and seen.alive and seen.identity == identity


def open_verified(identity: ProcessIdentity) -> int:
    """Open a pidfd that means exactly this process; the caller closes it. Linux only (pidfd_open(2)).

    The pidfd is opened first and the identity compared after. If the identity still holds then,
    the process lived through the opening, so the pidfd cannot mean another one; the other way
    round the pid could change hands in between.

    Raises:
        ProcessGone: if that process has ended.
        OSError: if no pidfd can be had (EMFILE, ENOSYS).
    """
    try:
        pidfd = os.pidfd_open(identity.pid)
    except OSError as error:
        # ESRCH: nobody has the number. EINVAL or ENOENT: a thread of another process has it.
        if error.errno in {errno.ESRCH, errno.EINVAL, errno.ENOENT} and not is_alive(identity):
            raise ProcessGone(identity.pid, "no process has this pid") from None
        raise
    verified = False
    try:
        verified = is_alive(identity)
    finally:
        if not verified:
            os.close(pidfd)
    if not verified:
        raise ProcessGone(identity.pid, f"what has this pid now is not the one started at tick {identity.start_ticks}")
    return pidfd


@cache
def pidfds_work() -> bool:
    """Whether this system gives out pidfds: Linux 5.3 or newer, and no sandbox in the way."""
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EPERM}:
            return False
        raise
    return True


def process_ids() -> list[int]:
    """Every pid that this process can see listed, in no order; some may be gone by the time you look."""
    if ON_LINUX:
        return [int(name) for name in os.listdir(_PROC) if name.isdecimal()]  # noqa: PTH208 - names only, 3 x faster
    return psutil.pids()


def look_at(pid: int) -> Sighting | None:
    """Look at whatever has `pid` now, a zombie too; None if nothing has. Safe from any thread.

    Raises:
        PermissionError: if something has it that may not be seen.
        ValueError: if `pid` is not positive: 0 and below name groups, not processes (kill(2)).
    """
    if pid <= 0:
        raise ValueError(f"found {pid} where a pid was expected; a pid is a positive number")
    return _read_stat(pid) if ON_LINUX else _read_psutil(pid)


def _read_stat(pid: int) -> Sighting | None:
    path = f"{_PROC}/{pid}/stat"
    # Twice: between a failed read and the question whether the pid is in use, a new process may take it.
    for _ in range(2):
        try:
            stat_fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return _parse_stat(pid, os.read(stat_fd, _STAT_BYTES))
            finally:
                os.close(stat_fd)
        except (FileNotFoundError, ProcessLookupError):
            if not _is_in_use(pid):
                return None
    raise PermissionError(
        errno.EACCES, "the process exists but is not shown; expected a /proc mounted without hidepid", path
    )


def _parse_stat(pid: int, line: bytes) -> Sighting:
    # The name, field 2, may itself hold spaces and parentheses: only what follows the last ')' is regular.
    fields = line[line.rindex(b")") + 1 :].split()
    state, parent, session, threads, start_ticks = fields[0], fields[1], fields[3], fields[17], fields[19]
    dead = state in {b"X", b"x"} or (state == b"Z" and int(threads) <= 1)
    return Sighting(ProcessIdentity(pid, int(start_ticks), boot_id()), int(parent), int(session), alive=not dead)


def _is_in_use(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # signal 0 only asks (kill(2))
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read_psutil(pid: int) -> Sighting | None:
    try:
        process = psutil.Process(pid)
        start_ticks = round(process.create_time() * 100)
        alive = process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
        parent, session = process.ppid(), os.getsid(pid)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return None
    except psutil.AccessDenied as error:
        raise PermissionError(errno.EACCES, "the process exists but may not be looked at", str(pid)) from error
    return Sighting(ProcessIdentity(pid, start_ticks, boot_id()), parent, session, alive=alive)
