"""Ending everything a process started: its whole session, not only its pid (MS17).

A managed process leads its own session (setsid(2)), and its descendants stay in it unless they
call setsid themselves; `_cookies` finds those. "Ended" means that no living member is left, not
that the leader is dead. Every signal goes through a pidfd verified after it was opened.

A session's number is its leader's pid, and the kernel gives that pid to nobody while a member
lives. So when another process has the leader's pid, the old session is over and the members of
that number are strangers: they are left alone. What cannot be told apart: the session ended, the
pid came round again to a process that made a session of its own, left a member behind and is
already gone itself. That takes a full round of pids on one boot; ask only about sessions that you
have not seen ended.

Blocks the calling thread and holds no lock, so one slow stop delays nobody else.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, final

from treewarden.actors.processes._identity import (
    ProcessGone,
    ProcessIdentity,
    boot_id,
    look_at,
    own_identity,
    process_ids,
)
from treewarden.actors.processes._verified import signal_verified, wait_gone

__all__ = ["KILL_PATIENCE", "EndReport", "end_session", "kill_now", "session_members"]

KILL_PATIENCE: Final = 5.0  # seconds between the first SIGKILL and the report of who survived it
_RESCAN_EVERY: Final = 0.05  # seconds; a member killed while forking may leave a child that no scan saw


@final
@dataclass(frozen=True, slots=True)
class EndReport:
    """What became of a session.

    `survivors` are the pids still living (in the kernel's uninterruptible sleep, or of another
    user); `killed` says whether anything had to be sent SIGKILL.
    """

    ended: bool
    survivors: tuple[int, ...]
    killed: bool


def session_members(leader: ProcessIdentity) -> tuple[ProcessIdentity, ...]:
    """All living processes in the session that `leader` began: itself, then the others by age.

    Empty when the session is over. A process that vanishes during the scan is left out; any
    other error is raised, for an unread table is not an empty one. Safe from any thread.
    """
    if leader.boot_id != boot_id():
        return ()
    found = [member for pid in process_ids() if (member := _member(pid, leader)) is not None]
    # Asked after the scan: whoever takes over the pid during the scan is noticed too.
    holder = look_at(leader.pid)
    if holder is not None and holder.identity != leader:
        return ()
    return tuple(sorted(found, key=lambda member: (member != leader, member.start_ticks, member.pid)))


def end_session(leader: ProcessIdentity, *, grace: float, monotonic: Callable[[], float] = time.monotonic) -> EndReport:
    """End the session of `leader`: TERM, up to `grace` seconds of patience, then KILL.

    TERM goes to every member, the leader first so that it hears of the stop before its children
    end, and CONT after it, as a stopped process would sleep through TERM (processes.md 18). Returns as soon as no member lives, at the latest about `grace` +
    `KILL_PATIENCE` seconds from now. Each member gets TERM once, as many programs take a second
    one for "now!"; one that loses it between fork and exec is killed after the grace. Works when the leader is already dead. Safe from any thread.

    Raises:
        ValueError: if the caller itself is a member.
    """
    _refuse_own_session(leader)
    _ask_to_end(leader, until=monotonic() + grace, monotonic=monotonic)
    return _kill(leader, monotonic=monotonic)


def kill_now(leader: ProcessIdentity, *, monotonic: Callable[[], float] = time.monotonic) -> EndReport:
    """End the session of `leader` by KILL at once; otherwise like `end_session`."""
    _refuse_own_session(leader)
    return _kill(leader, monotonic=monotonic)


def _member(pid: int, leader: ProcessIdentity) -> ProcessIdentity | None:
    try:
        # getsid(2) first: it costs a twentieth of reading the stat file, and most are not members.
        if pid != leader.pid and os.getsid(pid) != leader.pid:
            return None
    except ProcessLookupError:
        return None
    seen = look_at(pid)
    if seen is None or not seen.alive or seen.identity.start_ticks < leader.start_ticks:
        return None
    # The leader counts even if it never led a session: reporting it "ended" while it lives would be a lie.
    belongs = seen.session == leader.pid or seen.identity == leader
    return seen.identity if belongs else None


def _ask_to_end(leader: ProcessIdentity, *, until: float, monotonic: Callable[[], float]) -> None:
    asked: set[ProcessIdentity] = set()
    while living := session_members(leader):
        unasked = [member for member in living if member not in asked]
        _send(unasked, signal.SIGTERM, signal.SIGCONT)
        asked.update(unasked)
        if monotonic() >= until:
            return
        # After a round that found somebody new, scan again at once: it may have forked before TERM came.
        if not unasked:
            wait_gone(living, until=until, monotonic=monotonic)


def _kill(leader: ProcessIdentity, *, monotonic: Callable[[], float]) -> EndReport:
    until = monotonic() + KILL_PATIENCE
    killed = False
    while living := session_members(leader):
        if monotonic() >= until:
            return EndReport(ended=False, survivors=tuple(member.pid for member in living), killed=killed)
        killed = _send(living, signal.SIGKILL) or killed
        wait_gone(living, until=min(until, monotonic() + _RESCAN_EVERY), monotonic=monotonic)
    return EndReport(ended=True, survivors=(), killed=killed)


def _send(members: Sequence[ProcessIdentity], *signals: signal.Signals) -> bool:
    sent = False
    for member in members:
        try:
            signal_verified(member, *signals)
        except (ProcessGone, PermissionError):
            # Gone is what was wanted. Not permitted (it changed its user): it lives on, and the
            # report names it; the others must be ended all the same.
            continue
        sent = True
    return sent


def _refuse_own_session(leader: ProcessIdentity) -> None:
    if os.getsid(0) == leader.pid and own_identity() in session_members(leader):
        raise ValueError(
            f"found the caller itself in the session of process {leader.pid}; expected the session of a managed process"
        )
