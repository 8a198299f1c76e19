"""Finding every process that a runtime started, by a mark in its environment.

The runtime puts a cookie into the environment of what it starts; descendants inherit it, also
those that left the session (processes.md 8). So a crash between spawn and record loses nothing,
and a daemonised grandchild is found. The cookie is evidence for a sweep, not an identity: each
find carries the identity of the very process whose environment was read.

Not found: processes that were started with a cleared environment or overwrote it in place
(setproctitle), those of other users and those that are not dumpable (their environ is unreadable,
proc_pid_environ(5)), zombies, and on macOS whatever the system protects.
"""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self, final

import psutil

from treewarden.actors.processes._identity import (
    ON_LINUX,
    ProcessGone,
    ProcessIdentity,
    identify,
    is_alive,
    look_at,
    process_ids,
)
from treewarden.actors.processes._verified import signal_verified, wait_gone

__all__ = ["COOKIE_VARIABLE", "Bearer", "Cookie", "end_bearers", "find_bearers"]

COOKIE_VARIABLE: Final = "TREEWARDEN_COOKIE"
KILL_PATIENCE: Final = 5.0  # seconds between SIGKILL and the report of who survived it
_PREFIX: Final = f"{COOKIE_VARIABLE}=".encode()
_READ_BYTES: Final = 1 << 16


@final
@dataclass(frozen=True, slots=True)
class Cookie:
    """Which store, which actor and which incarnation of it started a process.

    Written `STORE:INCARNATION:PATH`. `path` may hold anything but NUL, `store_id` no colon either.
    """

    store_id: str
    path: str
    incarnation: int

    def __post_init__(self) -> None:
        if not self.store_id or ":" in self.store_id or "\0" in self.store_id + self.path:
            raise ValueError(f"found {self!r}, expected a store id without ':' and no NUL anywhere")

    def render(self) -> str:
        """The value to put into the variable `COOKIE_VARIABLE`."""
        return f"{self.store_id}:{self.incarnation}:{self.path}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `render` wrote.

        Raises:
            ValueError: if it is anything else.
        """
        parts = text.split(":", 2)
        if len(parts) != 3 or not parts[1].isdecimal():  # noqa: PLR2004 - the three parts of a cookie
            raise ValueError(f"found the cookie {text!r}, expected STORE:INCARNATION:PATH")
        return cls(store_id=parts[0], path=parts[2], incarnation=int(parts[1]))


@final
@dataclass(frozen=True, slots=True)
class Bearer:
    """A living process and the cookie it was started with."""

    identity: ProcessIdentity
    cookie: Cookie


def find_bearers(store_id: str) -> tuple[Bearer, ...]:
    """Every process whose cookie names this store, by pid; the caller too if it bears one.

    Processes that vanish meanwhile and those that may not be read are left out. What is started
    during the scan may be missed: look again. Safe from any thread.
    """
    bearers = (_bearer(pid) for pid in sorted(process_ids()))
    return tuple(bearer for bearer in bearers if bearer is not None and bearer.cookie.store_id == store_id)


def end_bearers(bearers: Sequence[Bearer], *, grace: float) -> tuple[int, ...]:
    """End these processes: TERM, up to `grace` seconds of patience, then KILL; returns the pids that survived.

    A process is touched only if it is still the same and still bears its cookie. The caller and
    its ancestors are never touched, and count as survivors. Blocks at most about `grace` + 5
    seconds; ends nobody's children, so find again until there are none. Safe from any thread.
    """
    spared = _own_line()
    targets = [bearer for bearer in bearers if bearer.identity not in spared]
    _signal_bearers(targets, signal.SIGTERM, signal.SIGCONT)
    _wait_gone(targets, time.monotonic() + grace)
    _signal_bearers(targets, signal.SIGKILL)
    _wait_gone(targets, time.monotonic() + KILL_PATIENCE)
    return tuple(bearer.identity.pid for bearer in bearers if is_alive(bearer.identity))


def _bearer(pid: int) -> Bearer | None:
    # First a look for the mark alone: nearly every process has none.
    if _read_cookie(pid) is None:
        return None
    try:
        before = identify(pid)
        cookie = _read_cookie(pid)
        # The same identity before and after: the environment read between them is its own.
        return Bearer(before, cookie) if cookie is not None and identify(pid) == before else None
    except ProcessGone:
        return None


def _read_cookie(pid: int) -> Cookie | None:
    """The cookie of whatever has `pid`; None if it has none, is gone, or is not ours to read."""
    try:
        value = _cookie_in_proc(pid) if ON_LINUX else _cookie_by_psutil(pid)
        return None if value is None else Cookie.parse(value)
    except (FileNotFoundError, ProcessLookupError, PermissionError, psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    except ValueError:
        return None  # anybody may set the variable to anything; only a whole cookie is evidence


def _cookie_in_proc(pid: int) -> str | None:
    environ_fd = os.open(f"/proc/{pid}/environ", os.O_RDONLY | os.O_CLOEXEC)
    try:
        environment = b"".join(iter(lambda: os.read(environ_fd, _READ_BYTES), b""))
    finally:
        os.close(environ_fd)
    if _PREFIX not in environment:
        return None
    # The first one counts, as for getenv(3).
    values = (entry.removeprefix(_PREFIX) for entry in environment.split(b"\0") if entry.startswith(_PREFIX))
    first = next(values, None)
    return None if first is None else os.fsdecode(first)


def _cookie_by_psutil(pid: int) -> str | None:
    return psutil.Process(pid).environ().get(COOKIE_VARIABLE)


def _signal_bearers(bearers: Sequence[Bearer], *signals: signal.Signals) -> None:
    for bearer in bearers:
        if _bearer(bearer.identity.pid) != bearer:
            continue
        try:
            signal_verified(bearer.identity, *signals)
        except (ProcessGone, PermissionError):
            continue  # gone is what was wanted; one that we may not signal is reported as a survivor


def _wait_gone(bearers: Sequence[Bearer], until: float) -> None:
    while (living := [b.identity for b in bearers if is_alive(b.identity)]) and time.monotonic() < until:
        wait_gone(living, until=until, monotonic=time.monotonic)


def _own_line() -> frozenset[ProcessIdentity]:
    """The caller, its parent, and so on up to the first process."""
    line: set[ProcessIdentity] = set()
    pid = os.getpid()
    while pid > 0 and (seen := look_at(pid)) is not None and seen.identity not in line:
        line.add(seen.identity)
        pid = seen.parent
    return frozenset(line)
