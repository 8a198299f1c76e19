"""One owner per state directory: an flock(2) on the directory, whose file `owner` names the holder.

The directory itself is locked, not the file: a file that is deleted under its owner would be made
anew by the next one, and both would own. The lock belongs to the open file description, so the kernel drops it when the last process that
has it ends, however it ends: no stale lock, no guess by pid. The descriptor is close-on-exec;
a child made by a bare fork(2) shares the description and would keep the lock alive, so children
are started by exec. The holder's line is for people and tools; the lock alone decides.

Not promised: locking on a network file system, or the right name in the instant between a takeover
after kill -9 and the new holder's line.
"""

import fcntl
import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, cast, final

from treewarden.storage._errors import StoreLocked, StoreUnusable

__all__ = ["Holder", "OwnerLock"]

_FILE: Final = "owner"
_OURS: Final = frozenset({_FILE, "store"})  # of a directory that has one of these a runtime was the owner once
_LONGEST_LINE: Final = 65536
_YEAR_10000: Final = 253402300800  # wall seconds; later times cannot be shown
# How often a look and an acquisition step aside for each other. What they wait for lasts
# microseconds, unless the other thread lost its processor; hence the yields.
_PATIENCE: Final = 2000


@final
@dataclass(frozen=True, slots=True)
class Holder:
    """Who owns a state directory.

    `pid`, `start_ticks` (proc(5), stat field 22) and `boot_id` name one process for ever; `tree`
    is the tree it runs, `console` the address of its console, `since` wall seconds.
    """

    pid: int
    start_ticks: int
    boot_id: str
    tree: str
    console: str
    since: float


@final
class OwnerLock:
    """The ownership of one state directory, from `acquire` to `release`. Not thread-safe."""

    def __init__(self, state_dir: Path, directory: int, line: int) -> None:
        self._state_dir = state_dir
        self._descriptors: tuple[int, int] | None = (directory, line)
        self._pid = os.getpid()

    @classmethod
    def acquire(cls, state_dir: Path, holder: Holder) -> "OwnerLock":
        """Own `state_dir` in the name of `holder`; make it, mode 0700, if it is not there.

        A directory of this user that others may enter is tightened to 0700, if it is empty or a runtime's.

        Raises:
            StoreLocked: another runtime owns it; the error names that holder.
            StoreUnusable: it is not a directory, belongs to another user, or cannot be written.
        """
        try:
            directory, line = _open_private(state_dir)
        except OSError as error:
            raise _unusable(state_dir, error) from error
        try:
            _lock(state_dir, directory)
            lock = cls(state_dir, directory, line)
            lock.announce(holder)
        except BaseException:
            os.close(line)
            os.close(directory)
            raise
        return lock

    @staticmethod
    def holder(state_dir: Path) -> Holder | None:
        """Who owns `state_dir` now; None if nobody does. Owning is tested by the lock, never by pid.

        Raises:
            StoreLocked: somebody owns it, but the line that names the holder cannot be read.
            StoreUnusable: this user may not look.
        """
        directory = _open_to_look(state_dir)
        if directory is None:
            return None
        try:
            for _ in range(_PATIENCE):
                if _flock(directory, fcntl.LOCK_SH):
                    return None
                if (found := _read_holder(directory)) is not None:
                    return found
                os.sched_yield()  # an owner that has not written yet, or that is about to let go
        except OSError as error:
            raise _unusable(state_dir, error) from error
        finally:
            os.close(directory)  # this drops a shared lock as well
        raise StoreLocked(state_dir, None)

    @staticmethod
    def last_holder(state_dir: Path) -> Holder | None:
        """Whom the line in `state_dir` names: who owns it, or ended without giving it up. None if nobody, or if it is torn.

        Raises:
            StoreUnusable: this user may not look.
        """
        directory = _open_to_look(state_dir)
        if directory is None:
            return None
        try:
            return _read_holder(directory)
        except OSError as error:
            raise _unusable(state_dir, error) from error
        finally:
            os.close(directory)

    def owns(self, state_dir: Path) -> bool:
        """Whether this process owns `state_dir` by this lock, now."""
        if self._descriptors is None or os.getpid() != self._pid:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptors[0]), state_dir.stat())
        except OSError:
            return False  # it is not there, so nobody owns it

    def announce(self, holder: Holder) -> None:
        """Rewrite the line that names the holder, durably.

        Raises:
            StoreUnusable: if the lock was released, in a forked child, or if writing fails.
        """
        if self._descriptors is None or os.getpid() != self._pid:
            raise StoreUnusable(
                self._state_dir,
                f"process {os.getpid()} does not own it through this lock",
                "acquire it first",
            )
        _, descriptor = self._descriptors
        line = json.dumps(asdict(holder)).encode() + b"\n"
        try:
            # Write, then cut: a reader takes the first line, so it sees the old one or the new
            # one. Cutting first would show it an empty file in between.
            os.pwrite(descriptor, line, 0)
            os.ftruncate(descriptor, len(line))
            os.fsync(descriptor)
        except OSError as error:
            raise _unusable(self._state_dir, error) from error

    def release(self) -> None:
        """Give the directory up; the file stays, emptied. Releasing twice does nothing.

        In a forked child it lets go of the child's descriptor only: the lock is the parent's.
        """
        descriptors, self._descriptors = self._descriptors, None
        if descriptors is None:
            return
        directory, line = descriptors
        try:
            if os.getpid() == self._pid:
                os.ftruncate(line, 0)
                # Closing alone would leave the lock with a forked child that shares the description.
                fcntl.flock(directory, fcntl.LOCK_UN)
        finally:
            os.close(line)
            os.close(directory)


def _open_to_look(state_dir: Path) -> int | None:
    """The directory, open; None if there is none."""
    try:
        return os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unusable(state_dir, error) from error


def _open_private(state_dir: Path) -> tuple[int, int]:
    """The directory and its `owner` file, both open, both this user's alone."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    # By descriptor, so that what was checked is what is used.
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = os.fstat(directory)
        _refuse_foreign(state_dir, found.st_uid)
        if stat.S_IMODE(found.st_mode) & 0o077:
            _refuse_used(state_dir, directory)
            os.fchmod(directory, 0o700)
        line = os.open(_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
    except BaseException:
        os.close(directory)
        raise
    return directory, line


def _refuse_foreign(state_dir: Path, uid: int) -> None:
    if uid != os.geteuid():
        raise StoreUnusable(
            state_dir,
            f"it belongs to uid {uid}, this process runs as uid {os.geteuid()}",
            "name a state directory of your own",
        )


def _refuse_used(state_dir: Path, directory: int) -> None:
    """A directory that others may enter and that is full of other things is not closed to them: it may be a home, or /etc."""
    names = set(os.listdir(directory))
    if names and not names & _OURS:
        raise StoreUnusable(
            state_dir,
            f"others may enter it, and it has {min(names)!r} in it and nothing of a runtime's",
            "name a directory for the state alone, or close this one to others first: chmod 700",
        )


def _lock(state_dir: Path, directory: int) -> None:
    """Take the exclusive lock, unless somebody owns it; looks that share it for a moment do not."""
    for _ in range(_PATIENCE):
        if _flock(directory, fcntl.LOCK_EX):
            return
        if not _flock(directory, fcntl.LOCK_SH):
            break  # not even shared: held exclusively
        fcntl.flock(directory, fcntl.LOCK_UN)  # shared: only looks were in the way
        os.sched_yield()
    raise StoreLocked(state_dir, _read_holder(directory))


def _flock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_holder(directory: int) -> Holder | None:
    """The holder named by the first line of `owner`; None if that is torn, not ours, or not there."""
    try:
        descriptor = os.open(_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return None
    try:
        found: object = json.loads(os.pread(descriptor, _LONGEST_LINE, 0).partition(b"\n")[0])
    except (ValueError, RecursionError):  # a torn line, or one that nests to exhaust the parser
        return None
    finally:
        os.close(descriptor)
    match found:
        case {
            "pid": int(pid),
            "start_ticks": int(start_ticks),
            "boot_id": str(boot_id),
            "tree": str(tree),
            "console": str(console),
            "since": int() | float() as since,
        } if pid > 0 and 0 <= since < _YEAR_10000:  # a pid below 1 would mean a group to kill(2)
            return Holder(pid, start_ticks, boot_id, tree, console, float(cast("float", since)))
        case _:
            return None


def _unusable(state_dir: Path, error: OSError) -> StoreUnusable:
    return StoreUnusable(state_dir, str(error), "name a writable directory of your own on a local disk with room")
