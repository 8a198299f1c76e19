"""Signals and waits that can only ever reach the process that was meant.

Each call opens a pidfd, verifies the identity through it, and closes it again, so no file
descriptor outlives a call and no state is kept between two. Where there is no pidfd (macOS, or
Linux before 5.3) the identity is verified immediately before kill(2): a gap of microseconds
remains there, and it is the only place in the project that has one.
"""

import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from math import ceil
from typing import Final

from treewarden.actors.processes._identity import ProcessGone, ProcessIdentity, is_alive, open_verified, pidfds_work

__all__ = ["signal_verified", "wait_gone"]

_HELD_AT_ONCE: Final = 64  # pidfds open during one wait; a bigger crowd is waited for in turns
_LONGEST_POLL: Final = 60.0  # seconds; poll(2) takes milliseconds in an int, a deadline may be infinite
_LOOK_EVERY: Final = 0.02  # seconds; only where there is no pidfd


def signal_verified(identity: ProcessIdentity, *signals: signal.Signals) -> None:
    """Send `signals`, in this order, to exactly this process. Safe from any thread.

    Raises:
        ProcessGone: if it has ended; nothing was sent to whoever has its pid now.
        PermissionError: if it runs as another user.
    """
    if not pidfds_work():
        for number in signals:
            _signal_by_number(identity, number)
        return
    pidfd = open_verified(identity)
    try:
        for number in signals:
            signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        raise ProcessGone(identity.pid, "it ended before the signal reached it") from None
    finally:
        os.close(pidfd)


def wait_gone(identities: Sequence[ProcessIdentity], *, until: float, monotonic: Callable[[], float]) -> None:
    """Block until the processes are gone (a zombie is), or `monotonic()` reaches `until` seconds.

    Of more than 64 processes the first 64 are waited for: look again, then call again. Says
    nothing about which of the two happened: look again.
    """
    identities = identities[:_HELD_AT_ONCE]
    if not pidfds_work():
        while monotonic() < until and any(map(is_alive, identities)):
            time.sleep(_LOOK_EVERY)
        return
    with ExitStack() as open_pidfds:
        poller = select.poll()
        waiting: set[int] = set()
        for identity in identities:
            try:
                pidfd = open_verified(identity)
            except ProcessGone:
                continue
            open_pidfds.callback(os.close, pidfd)
            poller.register(pidfd, select.POLLIN)  # readable once every thread of it has ended (pidfd_open(2))
            waiting.add(pidfd)
        while waiting and (left := until - monotonic()) > 0:
            for pidfd, _ in poller.poll(ceil(min(left, _LONGEST_POLL) * 1000)):
                poller.unregister(pidfd)
                waiting.discard(pidfd)


def _signal_by_number(identity: ProcessIdentity, number: signal.Signals) -> None:
    if not is_alive(identity):
        raise ProcessGone(identity.pid, "it ended before the signal reached it")
    try:
        os.kill(identity.pid, number)
    except ProcessLookupError:
        raise ProcessGone(identity.pid, "it ended before the signal reached it") from None
