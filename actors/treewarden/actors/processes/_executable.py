"""Finding the program that a command names, as the child will see it, before anything is started.

The rules are those of execvp(3): a name with a slash is a path, relative to the child's working
directory; any other name is looked for in the child's PATH, where an empty entry means the
working directory. Links are not resolved: many programs go by the name they are called by.

Only a check: the file may change before exec. Then the shell says so in the log and the process
exits 126 or 127.
"""

import os
import stat
from pathlib import Path

from treewarden.actors._errors import TreewardenError

__all__ = ["ExecutableMissing", "ExecutableNotRunnable", "resolve_executable"]


class ExecutableMissing(TreewardenError):
    """No file of that name where it was looked for. `ExecutableNotRunnable` means there is one that cannot run."""

    def __init__(self, name: str, searched: tuple[str, ...]) -> None:
        super().__init__(f"found no program {name!r} in {', '.join(searched)}; expected an executable file there")
        self.name, self.searched = name, searched


class ExecutableNotRunnable(TreewardenError):
    """There is such a file, and it cannot be run."""

    def __init__(self, path: str, found: str) -> None:
        super().__init__(f"program {path!r}: found {found}, expected a regular file that you may execute")
        self.path, self.found = path, found


def resolve_executable(name: str, *, path: str, cwd: str) -> str:
    """The absolute path of the program `name` for a process with this PATH and working directory.

    Raises:
        ExecutableMissing: nothing of that name was found.
        ExecutableNotRunnable: the only ones found cannot be run; the first of them is named.
    """
    folder = Path(cwd).absolute()
    given = folder / name
    if "/" in name:
        searched: tuple[str, ...] = (str(given.parent),)
    else:
        searched = tuple(dict.fromkeys(str(folder / entry) for entry in path.split(":")))
    refused: ExecutableNotRunnable | None = None
    for place in searched:
        candidate = Path(place, given.name)
        try:
            found = _why_not_runnable(candidate)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if found is None:
            return str(candidate)
        refused = refused or ExecutableNotRunnable(str(candidate), found)
    raise refused or ExecutableMissing(name, searched)


def _why_not_runnable(candidate: Path) -> str | None:
    try:
        mode = candidate.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        return str(error.strerror)
    if not stat.S_ISREG(mode):
        return "a directory" if stat.S_ISDIR(mode) else "something that is not a regular file"
    return None if os.access(candidate, os.X_OK) else "a file without execute permission"
