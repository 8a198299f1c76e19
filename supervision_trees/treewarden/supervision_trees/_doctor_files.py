"""A look at the files of a state directory for the doctor: whose they are, what was left, what is kept, what room there is.

Follows no symbolic link below the state directory but that of the store, opens no file of the store (closing
one would take the locks of this process on it away, fcntl(2)), and changes nothing. A look that fails is a
fact of its own; what vanishes meanwhile is not there.
"""

import errno
import fcntl
import os
import re
import socket
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, final

from treewarden.storage import leftovers
from treewarden.supervision_trees._doctor_facts import (
    Area,
    AsideFact,
    FileFact,
    LogFact,
    ScratchFact,
    SocketFact,
    SocketState,
    Unseen,
)
from treewarden.supervision_trees._doctor_store import COPY_PREFIX
from treewarden.supervision_trees.console import ConsoleUnavailable, socket_path_for

__all__ = ["FileLook", "file_at", "is_worked_in", "look_at_socket"]

_STORE: Final = "store"
_PRIVATE: Final = ("owner", "runtime.log", "logs")
_ASIDE: Final = {"workspaces": "workspaces", "trash": "what was thrown away"}
_REPLACED: Final = re.compile(r"store\.replaced-\d+")
_UNFINISHED: Final = re.compile(r"\..+\.unfinished")  # a backup's scratch directory
_BOUND: Final = re.compile(r"\.[0-9a-f]{8}")  # a console's socket, before it has its name
_OF_A_COPY: Final = frozenset({"data.mdb", "lock.mdb", "sealed"})
_CONNECT_WITHIN: Final = 1.0  # seconds

T = TypeVar("T")


def look_at_socket(path: Path) -> SocketFact | None:
    """What stands at `path`, if anything does; somebody who listens there is connected to, for a moment."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISSOCK(found.st_mode):
        return SocketFact(path, found.st_uid, SocketState.NO_SOCKET)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_WITHIN)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return SocketFact(path, found.st_uid, SocketState.DEAD)
        except FileNotFoundError:
            return None
        except (TimeoutError, BlockingIOError):
            pass  # a full backlog is a listener too
    return SocketFact(path, found.st_uid, SocketState.LISTENS)


def is_worked_in(directory: Path) -> bool:
    """Whether somebody holds the lock of a scratch directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@final
class FileLook:
    """Looks at `state_dir`; `unseen` is what could not be looked at so far."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._store = state_dir / _STORE
        self.unseen: list[Unseen] = []

    def private(self) -> tuple[FileFact, ...]:
        """What must be this user's alone, as it is."""
        store = self._store.resolve()
        places = [self._state_dir, *(self._state_dir / name for name in _PRIVATE), store]
        places += [self._state_dir / name for name in self._names(self._state_dir) if _REPLACED.fullmatch(name)]
        places += [store / name for name in self._names(store) if name in _OF_A_COPY]
        return self._each(places, file_at)

    def scratch(self, *, runs: bool) -> tuple[ScratchFact, ...]:
        """The scratch directories of creations, copies and restores; those around the store are the owner's, if one `runs`.

        Those of doctors are in the directory for temporary files.
        """
        places = [] if runs else [*(self._seen(self._store, partial(leftovers, self._store)) or ())]
        places += [self._state_dir / name for name in self._names(self._state_dir) if _UNFINISHED.fullmatch(name)]
        temporary = Path(tempfile.gettempdir())
        places += [temporary / name for name in self._names(temporary) if name.startswith(COPY_PREFIX)]
        return self._each(places, self._scratch)

    def sockets(self, announced: str | None) -> tuple[SocketFact, ...]:
        """What stands where a console of this directory listens; `announced` is where the last one did."""
        places = [Path(announced)] if announced else []
        try:
            places.append(socket_path_for(self._state_dir))
        except (ConsoleUnavailable, OSError) as error:
            self.unseen.append(Unseen(Area.CONSOLE, "the console's socket", str(error)))
        places += [self._state_dir / name for name in self._names(self._state_dir) if _BOUND.fullmatch(name)]
        return self._each(dict.fromkeys(places), look_at_socket, Area.CONSOLE)

    def logs(self) -> tuple[LogFact, ...]:
        """The logs of processes."""
        root = self._state_dir / "logs"
        return tuple(
            LogFact("/" + file.relative_to(root).with_suffix("").as_posix(), size)
            for file, size in self._sizes(root)
            if file.suffix == ".log"
        )

    def aside(self) -> tuple[AsideFact, ...]:
        """What is kept for a person."""
        found: list[AsideFact] = []
        for name in self._names(self._state_dir):
            what = "a store that a restore moved aside" if _REPLACED.fullmatch(name) else _ASIDE.get(name)
            place = self._state_dir / name
            if what is not None:
                found.append(AsideFact(place, what, sum(size for _, size in self._sizes(place))))
        return tuple(found)

    def free_bytes(self) -> int | None:
        """What this user may still write there."""

        def ask() -> int:
            found = os.statvfs(self._state_dir)
            return found.f_bavail * found.f_frsize

        return self._seen(self._state_dir, ask)

    def _scratch(self, place: Path) -> ScratchFact | None:
        found = place.lstat()
        names = {file.name for file, _ in self._sizes(place)}
        if not names and place.name.startswith(COPY_PREFIX):
            return None  # just made by a doctor that is about to lock it
        # Only what a copy of a store consists of: anything else with such a name is somebody's.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or not names <= _OF_A_COPY:
            return None
        return ScratchFact(place, sum(size for _, size in self._sizes(place)), is_worked_in(place))

    def _names(self, directory: Path) -> list[str]:
        return self._seen(directory, lambda: sorted(os.listdir(directory))) or []  # noqa: PTH208 - names only

    def _sizes(self, root: Path) -> Iterator[tuple[Path, int]]:
        """Every file below `root`, and its size."""

        def fail(error: OSError) -> None:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
                self.unseen.append(Unseen(Area.FILES, str(error.filename), str(error)))

        for folder, _, names in os.walk(root, onerror=fail):
            for name in names:
                file = Path(folder) / name
                found = self._seen(file, file.lstat)
                if found is not None:
                    yield file, found.st_size

    def _each(self, places: Iterable[Path], look: Callable[[Path], T | None], area: Area = Area.FILES) -> tuple[T, ...]:
        """What `look` gives for each of `places`, where it gives something."""
        facts = [self._seen(place, partial(look, place), area) for place in places]
        return tuple(fact for fact in facts if fact is not None)

    def _seen(self, place: Path, look: Callable[[], T], area: Area = Area.FILES) -> T | None:
        """What `look` gives; None if `place` is not there, or cannot be looked at, which is noted."""
        try:
            return look()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.unseen.append(Unseen(area, str(place), str(error)))
            return None


def file_at(place: Path) -> FileFact:
    """What stands at `place`."""
    found = place.stat()
    return FileFact(place, found.st_uid, found.st_mode)
