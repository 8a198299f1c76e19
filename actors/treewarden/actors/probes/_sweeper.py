"""Ending what a check command started, away from the event loop.

Two measures. The group is killed at once, by number: its leader is a child of ours that is not
reaped yet, so the number cannot belong to anybody else (kill(2), wait(2)). The session is swept
in a thread by `kill_now`, which looks through the process table and so finds members that made
groups of their own. The leader is reaped last.

A sweep that leaves somebody alive is reported, never dropped; it holds up no answer.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, final

from treewarden.actors._errors import TreewardenError
from treewarden.actors.processes._identity import ProcessIdentity
from treewarden.actors.processes._session import kill_now

__all__ = ["CheckCommand", "CommandSurvived", "Sweeper"]

_SWEEPERS: Final = 2  # threads; more would only fight for the process table
_REAP_PATIENCE: Final = 5.0  # seconds for a killed leader to become a zombie


@final
@dataclass(frozen=True, slots=True)
class CheckCommand:
    """A running check command: its process, not reaped before it is swept, and who that is."""

    process: "subprocess.Popen[bytes]"
    leader: ProcessIdentity


class CommandSurvived(TreewardenError):
    """A check command was killed but is still there (uninterruptible, or of another user by now)."""

    def __init__(self, pids: tuple[int, ...]) -> None:
        super().__init__(f"a check command was killed, but these of its processes are still alive: {pids}")
        self.pids = pids


@final
class Sweeper:
    """Ends check commands for one event loop; used on that loop's thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, on_error: Callable[[BaseException], None]) -> None:
        self._loop = loop
        self._on_error = on_error
        self._threads = ThreadPoolExecutor(_SWEEPERS, thread_name_prefix="treewarden-probes-sweep")
        self._sweeps: set[asyncio.Future[None]] = set()

    def end_group(self, command: CheckCommand) -> None:
        """Kill what is left of the group of a command that has exited, and reap the command."""
        _kill_group(command)
        command.process.poll()

    def end_session(self, command: CheckCommand) -> None:
        """Kill the command's group now and everything else in its session soon; return at once."""
        _kill_group(command)
        sweep = self._loop.run_in_executor(self._threads, _sweep, command)
        self._sweeps.add(sweep)
        sweep.add_done_callback(self._settle)

    async def wait_idle(self) -> None:
        """Wait until every sweep is done, at worst twice `_REAP_PATIENCE` for each that will not die."""
        while self._sweeps:
            await asyncio.wait(self._sweeps)

    def close(self) -> None:
        """End the threads; blocks until a sweep under way is done."""
        self._threads.shutdown(wait=True)

    def _settle(self, sweep: asyncio.Future[None]) -> None:
        self._sweeps.discard(sweep)
        if not sweep.cancelled() and (error := sweep.exception()) is not None:
            self._on_error(error)


def _kill_group(command: CheckCommand) -> None:
    if command.process.returncode is not None:
        return  # reaped: the number may be somebody else's by now
    # No such group: everybody is gone. Not permitted: somebody changed its user; the sweep names it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(command.process.pid, signal.SIGKILL)


def _sweep(command: CheckCommand) -> None:
    report = kill_now(command.leader)
    try:
        command.process.wait(timeout=_REAP_PATIENCE)
    except subprocess.TimeoutExpired:
        raise CommandSurvived(report.survivors or (command.process.pid,)) from None
    if not report.ended:
        raise CommandSurvived(report.survivors)
