"""Where the console of a state directory listens, and which directories may be trusted with a socket.

The socket is `console.sock` in the state directory. A socket address holds only so many bytes
(unix(7): 108 with the closing NUL; Darwin: 104), so for a longer path it lives in a private
directory of this user under a name derived from the state directory: in `$XDG_RUNTIME_DIR/treewarden`
if that variable names a directory of ours, else in `/tmp/treewarden-UID`.

Not promised: that two processes with different `XDG_RUNTIME_DIR` derive the same path. The owner
file of the state directory names the path that was really used.
"""

import hashlib
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from treewarden.supervision_trees.console._errors import ConsoleUnavailable

__all__ = ["LONGEST_ADDRESS", "make_private_directory", "require_private_directory", "socket_path_for"]

LONGEST_ADDRESS: Final = 103 if sys.platform == "darwin" else 107  # bytes, without the closing NUL
_DIGEST_CHARACTERS: Final = 32  # 128 bits: no two state directories of a user meet
_TEMPORARY: Final = Path("/tmp")  # noqa: S108 - only a directory in it is used, and only if it is provably ours


def socket_path_for(
    state_dir: Path, *, environment: Mapping[str, str] = os.environ, temporary: Path = _TEMPORARY
) -> Path:
    """The absolute path at which the console of `state_dir` listens. Makes nothing.

    Raises:
        ConsoleUnavailable: if the path is too long and the private directory that would stand in
            for it belongs to somebody else, is open to others, or is no directory.
    """
    absolute = state_dir.resolve()
    direct = absolute / "console.sock"
    if _fits(direct):
        return direct
    name = hashlib.sha256(os.fsencode(absolute)).hexdigest()[:_DIGEST_CHARACTERS] + ".sock"
    given = environment.get("XDG_RUNTIME_DIR", "")
    # The XDG base directory specification: a relative value is invalid and counts as unset.
    if given.startswith("/") and _fits(Path(given) / "treewarden" / name) and _is_ours(Path(given)):
        folder = Path(given) / "treewarden"
    else:
        folder = temporary / f"treewarden-{os.geteuid()}"
    if os.path.lexists(folder):
        require_private_directory(folder)
    return folder / name


def require_private_directory(folder: Path) -> None:
    """Check that `folder` is a real directory, ours, and closed to everybody else.

    Raises:
        ConsoleUnavailable: if it is not; the message says what it is.
    """
    found = _require_own_directory(folder)
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise ConsoleUnavailable(
            folder,
            f"mode {stat.S_IMODE(found.st_mode):04o}",
            f"mode 0700; if nobody tampered with it: chmod 700 {folder}",
        )


def make_private_directory(folder: Path) -> None:
    """Make `folder`, mode 0700; one of ours that others may enter is tightened, as the state directory is.

    Raises:
        ConsoleUnavailable: if it is somebody else's, or no directory.
        OSError: if it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(_require_own_directory(folder).st_mode) & 0o077:
        folder.chmod(0o700)


def _require_own_directory(folder: Path) -> os.stat_result:
    # lstat: a symbolic link in a shared directory may be turned elsewhere after the check.
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise ConsoleUnavailable(folder, "something that is not a directory", "a directory of this user, mode 0700")
    if found.st_uid != os.geteuid():
        raise ConsoleUnavailable(
            folder, f"a directory of uid {found.st_uid}", f"one of uid {os.geteuid()}; name another state directory"
        )
    return found


def _is_ours(folder: Path) -> bool:
    try:
        found = folder.stat()
    except OSError:  # not there, or not to be looked at: then it is no place for us either
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= LONGEST_ADDRESS
