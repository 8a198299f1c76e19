"""Gated spawn: a process exists, and has a name that can be stored, before its command runs.

`spawn_gated` starts /bin/sh, which waits for one line on its stdin and then becomes the command
by exec: same pid, same start time. Between the two the caller stores the identity (R2). If the
runtime dies first, the gate reads end-of-file and exits 125, and the command never ran (MS13).

All that can be known beforehand is checked beforehand, so a missing program is an answer and not
a shell's complaint in a log (MS12). No preexec_fn: it costs the vfork and can deadlock beside
threads (processes.md 10). The process leads its own session; its output goes to a file that
outlives the runtime, never to a pipe (processes.md 11).

The shell sets PWD, OLDPWD, IFS and PPID as it likes; every other variable arrives as given. The
signal mask and ignored signals are those of the calling thread (execve(2)); umask is untouched.
"""

import errno
import os
import re
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from treewarden.actors._errors import TreewardenError
from treewarden.actors.processes._executable import ExecutableMissing, ExecutableNotRunnable, resolve_executable
from treewarden.actors.processes._gated_process import GATE_COMMAND, GatedProcess, GateUsed, is_gate, read_command_line
from treewarden.actors.processes._identity import ProcessGone, identify

__all__ = [
    "EnvironmentNameUnusable",
    "ExecutableMissing",
    "ExecutableNotRunnable",
    "GateUsed",
    "GatedProcess",
    "Launch",
    "Launcher",
    "LogUnusable",
    "WorkingDirectoryMissing",
    "base_environment",
    "is_gate",
    "resolve_executable",
]

DEFAULT_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_KEPT: Final = ("HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOG_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE_FOLDER: Final = 0o700
_PRIVATE_FILE: Final = 0o600


class WorkingDirectoryMissing(TreewardenError):
    """The launch's `cwd` is not a directory that can be entered; nothing was started."""

    def __init__(self, cwd: str, found: str) -> None:
        super().__init__(f"cwd {cwd!r}: found {found}, expected a directory that can be entered")
        self.cwd, self.found = cwd, found


class EnvironmentNameUnusable(TreewardenError):
    """A variable's name would not survive the gate's shell, which drops it silently; nothing was started."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"environment variable {name!r}: expected letters, digits and '_', not beginning with a digit;"
            f" other names do not pass through /bin/sh"
        )
        self.name = name


class LogUnusable(TreewardenError):
    """The log is something else than a regular file; nothing was started."""

    def __init__(self, log: Path, found: str) -> None:
        super().__init__(f"log {str(log)!r}: found {found}, expected a regular file or nothing")
        self.log, self.found = log, found


@final
@dataclass(frozen=True, slots=True)
class Launch:
    """What to start. `env` is the whole environment; a relative `cwd` is relative to ours."""

    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    log: Path


@final
class Launcher:
    """Starts processes behind a gate. Has no state; safe from any thread."""

    __slots__ = ()

    def spawn_gated(self, launch: Launch) -> GatedProcess:
        """Start the gate of `launch` and return it; the command runs after `release()`.

        The program is looked for in the PATH of `launch.env` and runs under its full path, which is
        also its argv[0]. The log is appended to, made 0600 if new, its missing folders 0700.

        Raises:
            ExecutableMissing, ExecutableNotRunnable: the program cannot be run.
            WorkingDirectoryMissing, EnvironmentNameUnusable, LogUnusable: see there.
            ValueError: `argv` is empty, or a text holds a NUL character.
            OSError: the system refused (no memory, no file descriptor, E2BIG).
        """
        if not launch.argv:
            raise ValueError("found an empty command; expected at least the name of a program")
        cwd = _directory(launch.cwd)
        for name in launch.env:
            if _NAME.fullmatch(name) is None:
                raise EnvironmentNameUnusable(name)
        program = resolve_executable(launch.argv[0], path=launch.env.get("PATH", DEFAULT_PATH), cwd=cwd)
        log_fd = _open_log(launch.log)
        try:
            return _spawn((*GATE_COMMAND, program, *launch.argv[1:]), cwd=cwd, env=launch.env, log_fd=log_fd)
        finally:
            os.close(log_fd)


def base_environment(source: Mapping[str, str]) -> dict[str, str]:
    """The part of `source` that every process gets: PATH, HOME, USER, LOGNAME, SHELL, LANG, LC_*, TZ, TMPDIR.

    Nothing else, so that no secret of the runtime leaks to a child (MS18). A missing PATH is
    replaced by /usr/local/bin:/usr/bin:/bin.
    """
    kept = {name: value for name, value in source.items() if name in _KEPT or name.startswith("LC_")}
    return {"PATH": source.get("PATH", DEFAULT_PATH), **kept}


def _spawn(command: tuple[str, ...], *, cwd: str, env: Mapping[str, str], log_fd: int) -> GatedProcess:
    read_end, write_end = os.pipe()
    try:
        popen = subprocess.Popen(
            command,
            stdin=read_end,
            stdout=log_fd,
            stderr=log_fd,
            cwd=cwd,
            env=env,
            start_new_session=True,
            close_fds=True,
        )
    except BaseException:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)
    try:
        # Nobody but us can reap it, so the pid cannot mean another process yet.
        identity = identify(popen.pid)
        # Popen returns in the middle of the shell's exec. From here on a sweep sees its cookie and its command line.
        read_command_line(popen.pid)
    except BaseException as error:
        os.close(write_end)  # end-of-file: the command never runs
        code = popen.wait()
        if isinstance(error, ProcessGone):
            raise ProcessGone(popen.pid, f"the gate ended by itself ({code}) before its command was released") from None
        raise
    return GatedProcess(popen, identity, write_end)


def _directory(cwd: str) -> str:
    folder = Path(cwd).absolute()
    try:
        mode = folder.stat().st_mode
    except OSError as error:
        raise WorkingDirectoryMissing(str(folder), str(error.strerror)) from error
    if not stat.S_ISDIR(mode):
        raise WorkingDirectoryMissing(str(folder), "something that is not a directory")
    if not os.access(folder, os.X_OK):
        raise WorkingDirectoryMissing(str(folder), "a directory without permission to enter it")
    return str(folder)


def _open_log(log: Path) -> int:
    try:
        for folder in reversed([folder for folder in log.parents if not folder.exists()]):
            folder.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
        # O_NONBLOCK: opening a FIFO that nobody reads would wait for ever (fifo(7)).
        log_fd = os.open(log, _LOG_FLAGS | os.O_NONBLOCK, _PRIVATE_FILE)
    except OSError as error:
        found = "a symbolic link" if error.errno == errno.ELOOP else str(error.strerror)
        raise LogUnusable(log, found) from error
    regular = False
    try:
        regular = stat.S_ISREG(os.fstat(log_fd).st_mode)
        os.set_blocking(log_fd, regular)
    finally:
        if not regular:
            os.close(log_fd)
    if not regular:
        raise LogUnusable(log, "something that is not a regular file")
    return log_fd
