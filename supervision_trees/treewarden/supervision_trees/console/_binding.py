"""The listening socket: bound so that no other user can ever reach it, and given up only while it is ours.

Mode 0600 in a directory of mode 0700, without touching the process-wide umask, which other threads
use: the socket is bound under a temporary name in the closed directory, narrowed, then renamed into
place. A socket file that is already there is replaced only after connecting to it was *refused*
(unix(7): ECONNREFUSED, nobody listens any more).

Not promised: order between two that bind the same path at the same moment. The owner lock of the
state directory decides that before any console is opened.
"""

import os
import secrets
import socket
import stat
from pathlib import Path
from typing import Final, final

from treewarden.supervision_trees.console._errors import ConsoleUnavailable
from treewarden.supervision_trees.console._socket_path import LONGEST_ADDRESS, make_private_directory

__all__ = ["BACKLOG", "BoundSocket", "bind_console"]

_PROBE_WITHIN: Final = 1.0  # seconds for a connect to a socket that is already there
BACKLOG: Final = 128  # connections that wait to be accepted


@final
class BoundSocket:
    """A listening socket and the file that leads to it. Not thread-safe."""

    def __init__(self, listener: socket.socket, path: Path) -> None:
        self.listener = listener
        self._path = path
        self._file = _identity(path)

    def unlink(self) -> None:
        """Remove the socket file unless somebody else's stands there by now.

        Call it while `listener` is open: an open listener keeps its inode, so no other file can
        have got the same number, and equality proves that the file is ours.
        """
        assert self.listener.fileno() >= 0, "the listener was closed before its file was unlinked"
        try:
            if _identity(self._path) == self._file:
                self._path.unlink()
        except FileNotFoundError:
            return  # somebody removed it: what was wanted


def bind_console(path: Path) -> BoundSocket:
    """Listen at `path`, taking over what a dead listener left there.

    Raises:
        ConsoleUnavailable: if somebody listens there, if what stands there is no socket, or if the
            directory cannot be trusted or the path is too long for a socket address.
        OSError: if the file system refuses.
    """
    make_private_directory(path.parent)
    temporary = path.with_name(f".{secrets.token_hex(4)}")
    longest = max(len(os.fsencode(path)), len(os.fsencode(temporary)))
    if longest > LONGEST_ADDRESS:
        raise ConsoleUnavailable(path, f"a path of {longest} bytes", f"at most {LONGEST_ADDRESS}; use socket_path_for")
    _require_free(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(temporary))
        try:
            temporary.chmod(0o600)
            listener.listen(BACKLOG)  # before the rename: whoever finds the file can connect
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return BoundSocket(listener, path)
    except BaseException:
        listener.close()
        raise


def _require_free(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConsoleUnavailable(path, "something that is not a socket", "a socket or nothing; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_WITHIN)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return  # its listener is gone, or the file itself by now
        except (TimeoutError, BlockingIOError):
            pass  # a full backlog is a listener too
    raise ConsoleUnavailable(path, "a console that is alive", "none; end its runtime with: treewarden down")


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino
