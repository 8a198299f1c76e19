"""What holds for every test: nothing is left behind, and hypothesis has no clock.

Each test must end the threads it made (those named `treewarden...` are told apart by test). The
whole run must leave no thread, child process, cookie bearer, listening socket or temporary file;
otherwise it fails, whatever the tests said. Ends are waited for up to `PATIENCE` seconds, since a
daemon thread needs a moment; what is still there then is a leak. Not seen: other users' processes.
Runs on one machine do not see each other: each has its own mark and its own folder for temporary files.
"""

import os
import shutil
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from socket import AF_UNIX
from typing import Final, final

import psutil
import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ("pytester",)

PATIENCE: Final = 5.0  # seconds; spent only by a run or a test that leaks
COOKIE: Final = "TREEWARDEN_COOKIE"
# Managed processes get a minimal environment, but LC_* passes: so each run can tell the processes
# of another run on the same machine from its own.
RUN_VARIABLE: Final = "LC_TREEWARDEN_TEST_RUN"

# A busy machine is no defect of a test: neither its examples nor their making are timed.
settings.register_profile("local", deadline=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("shared", settings.get_profile("local"), print_blob=True)
settings.load_profile("shared" if "CI" in os.environ else "local")


@final
@dataclass(frozen=True, slots=True)
class Belongings:
    """What this process has outside its own memory, each thing as a line for a person."""

    threads: frozenset[str]
    children: frozenset[str]
    bearers: frozenset[str]
    sockets: frozenset[str]
    temporary: frozenset[str]

    def beyond(self, before: "Belongings") -> tuple[str, ...]:
        """What is here and was not there before."""
        return tuple(
            f"{field.name}: {line}"
            for field in fields(self)
            for line in sorted(getattr(self, field.name) - getattr(before, field.name))
        )


def take_stock() -> Belongings:
    """Look around once."""
    return Belongings(
        threads=frozenset(f"{thread.name} ({thread.ident})" for thread in threading.enumerate()),
        children=frozenset(_described(child) for child in psutil.Process().children(recursive=True)),
        bearers=frozenset(_described(process) for process in psutil.process_iter() if _is_ours(process)),
        sockets=frozenset(_sockets()),
        temporary=frozenset(str(found) for found in Path(tempfile.gettempdir()).iterdir()),
    )


def _described(process: psutil.Process) -> str:
    try:
        # A zombie has no command line, so its name stands for it.
        return f"{process.pid} {' '.join(process.cmdline()) or process.name()} (since {process.create_time()})"
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return f"{process.pid} (gone or not to be read)"


def _is_ours(process: psutil.Process) -> bool:
    try:
        environment = process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    # Without this run's mark it belongs to somebody's own tree, or to another run: not ours to judge.
    return COOKIE in environment and environment.get(RUN_VARIABLE) == os.environ[RUN_VARIABLE]


def _sockets() -> Iterator[str]:
    for socket in psutil.Process().net_connections(kind="all"):
        # A Unix socket has no state to read; one with an address was bound to it.
        is_bound = socket.family == AF_UNIX and bool(socket.laddr)
        if is_bound or socket.status == psutil.CONN_LISTEN:
            yield f"{socket.laddr} (descriptor {socket.fd})"


def wait_settled(leaks: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    """Wait until `leaks()` is empty; what was in every look for `PATIENCE` seconds otherwise."""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    found = leaks()
    while found and time.monotonic() < deadline:
        pause.wait(0.01)
        still = set(leaks())
        found = tuple(leak for leak in found if leak in still)
    return found


_at_start: pytest.StashKey[Belongings] = pytest.StashKey()
_left: pytest.StashKey[tuple[str, ...]] = pytest.StashKey()
_folder: pytest.StashKey[Path] = pytest.StashKey()


def pytest_sessionstart(session: pytest.Session) -> None:
    os.environ[RUN_VARIABLE] = uuid.uuid4().hex
    # pytest keeps its own folders where people look for them: they outlive the run on purpose.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    folder = session.config.stash[_folder] = Path(tempfile.mkdtemp(prefix="tests-of-treewarden-"))
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    # A shell's `&` and nohup(1) start a run with signals ignored, and programs inherit that; the
    # programs under test must hear them as at a terminal.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    session.config.stash[_at_start] = take_stock()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    before = session.config.stash[_at_start]
    left = session.config.stash[_left] = wait_settled(lambda: take_stock().beyond(before))
    if left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    shutil.rmtree(session.config.stash[_folder], ignore_errors=True)  # a process that was left may write there


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left = config.stash.get(_left, ())
    if left:
        terminalreporter.section("LEFT BEHIND: the run fails", red=True)
        for line in left:
            terminalreporter.line(line)


@pytest.fixture(autouse=True)
def no_treewarden_thread_outlives_its_test(request: pytest.FixtureRequest) -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = wait_settled(lambda: _framework_threads(before))
    assert not left, f"{request.node.nodeid} left threads behind: {', '.join(left)}"


def _framework_threads(before: set[threading.Thread]) -> tuple[str, ...]:
    new = (thread for thread in threading.enumerate() if thread not in before)
    return tuple(sorted(thread.name for thread in new if thread.name.startswith("treewarden")))
