"""What a doctor does: each remedy by itself, on a state directory that the caller owns.

Everything is looked at again where it is done, since findings are older than deeds: a socket is removed
only if still nobody listens, a scratch directory only if still nobody works in it, a process ended only if
it still is the one that was found. Each change of the store is one commit, so a kill leaves some of
them done and the store whole. What fails is told, and the next remedy goes on.
"""

import os
import shutil
import stat
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, assert_never, final

from treewarden.actors import TreewardenError
from treewarden.actors.processes import ProcessIdentity, end_bearers, end_session, find_bearers, look_at
from treewarden.storage import (
    Checkpoints,
    CutJournal,
    DropRow,
    LmdbStore,
    Operation,
    Quarantine,
    StoreError,
)
from treewarden.supervision_trees._doctor_facts import SocketState
from treewarden.supervision_trees._doctor_files import is_worked_in, look_at_socket
from treewarden.supervision_trees._findings import (
    ClearReaders,
    CollectValues,
    CutEntries,
    DropCheckpoint,
    DropRecordedRow,
    EndProcess,
    Finding,
    FinishRestore,
    Outcome,
    QuarantineRecord,
    RemoveScratch,
    RemoveSocket,
    Result,
    SweepCheckpoints,
    TightenModes,
)
from treewarden.supervision_trees._recovery import GRACE, ROUNDS

__all__ = ["Treatment"]

_OTHERS: Final = 0o077


@final
class _Left(Exception):
    """It was not done, and should not be; says why."""


@final
class Treatment:
    """Carries remedies out on the store in `store`; it is opened when the first one needs it, until the end of the `with` block."""

    def __init__(self, store: Path, opened: ExitStack) -> None:
        self._place, self._opened = store, opened
        self._store: LmdbStore | None = None

    @classmethod
    @contextmanager
    def of(cls, store: Path) -> "Generator[Treatment]":
        """Treat `store`, whose state directory the caller owns."""
        with ExitStack() as opened:
            yield cls(store, opened)

    def carry_out(self, finding: Finding) -> Result:
        """Do what `finding` calls for. Raises nothing that the system or the store says: that is the result."""
        try:
            self._do(finding)
        except _Left as left:
            return Result(finding, Outcome.LEFT, str(left))
        except (StoreError, TreewardenError, OSError, ValueError) as error:  # a boundary: each finding for itself
            return Result(finding, Outcome.FAILED, str(error) or type(error).__name__)
        return Result(finding, Outcome.DONE)

    def _do(self, finding: Finding) -> None:
        remedy = finding.remedy
        match remedy:
            case TightenModes(path):
                _tighten(path)
            case EndProcess():
                _end(remedy)
            case RemoveSocket(path):
                _remove_socket(path)
            case RemoveScratch(path):
                _remove_scratch(path)
            case FinishRestore() | ClearReaders():
                self._open()  # opening does it
            case QuarantineRecord(path, sequence):
                self._commit(Quarantine(path, sequence))
            case CutEntries(path, sequence):
                self._commit(CutJournal(path, sequence))
            case DropRecordedRow(table, key):
                self._commit(DropRow(table, key))
            case DropCheckpoint(number):
                checkpoints = self._checkpoints()
                checkpoints.drop(number)
                checkpoints.sweep()
            case SweepCheckpoints() | CollectValues():
                left = self._checkpoints().sweep().not_collected
                if left is not None and isinstance(remedy, CollectValues):
                    raise _Left(left)
            case None:
                raise _Left("there is nothing that could be done by itself")
            case _:
                assert_never(remedy)

    def _open(self) -> LmdbStore:
        if self._store is None:
            self._store = LmdbStore.open(self._place)
            self._opened.callback(self._store.close)
        return self._store

    def _commit(self, operation: Operation) -> None:
        self._open().commit([operation]).result()

    def _checkpoints(self) -> Checkpoints:
        return Checkpoints(self._open(), wall=time.time)


def _tighten(path: Path) -> None:
    # By descriptor, so that what was checked is what is changed. Not blocking: it may be a pipe by now.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise _Left(f"it belongs to uid {found.st_uid} now")
        os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & ~_OTHERS)
    finally:
        os.close(descriptor)


def _end(remedy: EndProcess) -> None:
    if remedy.leader is not None and remedy.leader in tuple(_own_line()):
        raise _Left("this very command was started from it: run it from elsewhere")
    survivors: set[int] = set()
    if remedy.leader is not None:
        survivors.update(end_session(remedy.leader, grace=GRACE).survivors)
    bearers = remedy.bearers
    for _ in range(ROUNDS):  # one may fork while it is being ended
        if not bearers:
            break
        survivors.update(end_bearers(bearers, grace=GRACE))
        cookie = bearers[0].cookie
        bearers = tuple(
            bearer
            for bearer in find_bearers(cookie.store_id)
            if bearer.cookie == cookie and bearer.identity.pid not in survivors
        )
    if survivors:
        raise ProcessLookupError(
            f"not to be ended: {' '.join(map(str, sorted(survivors)))}"
            " (this very command or what it was started from, another user's, or stuck in the kernel)"
        )


def _own_line() -> Iterator[ProcessIdentity]:
    """This process, its parent, and so on up to the first."""
    pid = os.getpid()
    while pid > 0 and (seen := look_at(pid)) is not None:
        yield seen.identity
        pid = seen.parent


def _remove_socket(path: Path) -> None:
    seen = look_at_socket(path)
    if seen is None:
        return
    if seen.state is not SocketState.DEAD or seen.uid != os.geteuid():
        raise _Left(f"{seen.state.value} now, or it is another user's")
    path.unlink(missing_ok=True)


def _remove_scratch(path: Path) -> None:
    try:
        if is_worked_in(path):
            raise _Left("somebody works in it now")
    except FileNotFoundError:
        return
    shutil.rmtree(path)
