"""Real processes for tests, and the proof that none of them, no thread and no descriptor is left."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from treewarden.actors.processes._gated_process import GatedProcess
from treewarden.actors.processes._identity import ProcessIdentity, identify, look_at
from treewarden.actors.processes._launcher import Launch, Launcher, base_environment
from treewarden.actors.processes._log_tail import tail
from treewarden.actors.processes._session import kill_now

PATIENCE = 10.0  # seconds until a condition that must come true is given up on


def wait_true(condition: Callable[[], object]) -> None:
    """Poll until `condition()` holds, or fail the test."""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        pause.wait(0.002)


def marked_processes(mark: str) -> list[psutil.Process]:
    """Every living process that carries this test's mark in its environment."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("TREEWARDEN_TEST") == mark:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.fixture
def mark() -> str:
    """What every process of this test carries in its environment."""
    return uuid4().hex


@pytest.fixture(autouse=True)
def nothing_left(mark: str) -> Iterator[None]:
    """Fail the test, after cleaning up, if it left a process, a zombie, a thread or a descriptor."""
    threads = set(threading.enumerate())
    descriptors = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - one look; iterdir would hold the folder open
    children = {child.pid for child in psutil.Process().children()}
    yield
    left = marked_processes(mark)
    named = [str(process) for process in left]
    for process in left:
        process.kill()  # psutil compares the start time first
    psutil.wait_procs(left, timeout=PATIENCE)
    new_children = {child.pid for child in psutil.Process().children()} - children

    assert named == []
    assert set() == new_children
    assert set() == set(threading.enumerate()) - threads
    assert set(os.listdir("/proc/self/fd")) - descriptors == set()  # noqa: PTH208 - as above


@pytest.fixture(name="wait_true")
def wait_true_fixture() -> Callable[[Callable[[], object]], None]:
    return wait_true


@pytest.fixture
def environment(mark: str) -> dict[str, str]:
    return {**base_environment(os.environ), "TREEWARDEN_TEST": mark}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "output.log"


@pytest.fixture
def wait_line(log: Path) -> Callable[[str], None]:
    """Wait until this line is in the log."""
    return lambda line: wait_true(lambda: line in tail(log, lines=1000))


@pytest.fixture
def spawn(tmp_path: Path, environment: dict[str, str], log: Path) -> Iterator[Callable[..., GatedProcess]]:
    """Spawn a command behind its gate, in tmp_path; what still lives at the end of the test is killed."""
    spawned: list[GatedProcess] = []

    def _spawn(*argv: str, **variables: str) -> GatedProcess:
        process = Launcher().spawn_gated(Launch(argv, str(tmp_path), {**environment, **variables}, log))
        spawned.append(process)
        return process

    yield _spawn
    for process in spawned:
        kill_now(process.identity)
    for process in spawned:
        wait_true(process.reap_nowait)


@pytest.fixture
def run(spawn: Callable[..., GatedProcess]) -> Callable[..., GatedProcess]:
    """Spawn a shell line and let it run."""

    def _run(line: str, **variables: str) -> GatedProcess:
        process = spawn("/bin/sh", "-c", line, **variables)
        process.release()
        return process

    return _run


@pytest.fixture
def foreign(tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[[], ProcessIdentity]]:
    """A running process that is not our child: its parent is a shell of ours, which has no part in it."""
    parents: list[subprocess.Popen[bytes]] = []

    def _foreign() -> ProcessIdentity:
        line = "setsid sleep 1000 & echo $!; read -r _; exit 0"
        parent = subprocess.Popen(
            ["/bin/sh", "-c", line], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        parents.append(parent)
        assert parent.stdout is not None
        identity = identify(int(parent.stdout.readline()))
        wait_true(lambda: os.getsid(identity.pid) == identity.pid)
        return identity

    yield _foreign
    for parent in parents:
        for child in psutil.Process(parent.pid).children():
            child.kill()
        parent.communicate(b"\n", timeout=PATIENCE)


@pytest.fixture
def stopped(wait_true: Callable[[Callable[[], object]], None]) -> Callable[[ProcessIdentity], ProcessIdentity]:
    """Stop a process, so that whatever is sent to it stays pending and can be counted."""

    def _stop(identity: ProcessIdentity) -> ProcessIdentity:
        os.kill(identity.pid, signal.SIGSTOP)
        wait_true(lambda: psutil.Process(identity.pid).status() == psutil.STATUS_STOPPED)
        return identity

    return _stop


@pytest.fixture
def untouched() -> Callable[[ProcessIdentity], bool]:
    """Whether nothing was sent to a stopped process: it still is stopped, and no signal is pending.

    SIGCHLD does not count: it comes from the process's own children.
    """
    from_children = 1 << (signal.SIGCHLD - 1)

    def _untouched(identity: ProcessIdentity) -> bool:
        seen = look_at(identity.pid)
        status = Path(f"/proc/{identity.pid}/status").read_text(encoding="utf-8")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        pending = (int(fields["ShdPnd"], 16) | int(fields["SigPnd"], 16)) & ~from_children
        return seen is not None and seen.identity == identity and fields["State"].startswith("T") and pending == 0

    return _untouched


@pytest.fixture
def half_dead(run: Callable[..., GatedProcess], tmp_path: Path, wait_line: Callable[[str], None]) -> GatedProcess:
    """A process whose first thread has ended while another one waits for a line in the FIFO `go`."""
    exit_numbers = {"x86_64": 60, "aarch64": 93}  # _exit(2) of one thread: asm/unistd.h
    machine = os.uname().machine
    if machine not in exit_numbers:
        pytest.skip(f"the number of the exit system call of {machine} is not listed here")
    os.mkfifo(tmp_path / "go")
    program = tmp_path / "half_dead.py"
    program.write_text(
        "import ctypes, threading\n"
        "threading.Thread(target=lambda: open('go').readline()).start()\n"
        "print('ready', flush=True)\n"
        f"ctypes.CDLL(None).syscall({exit_numbers[machine]}, 0)\n"
    )
    process = run(f"exec {sys.executable} -S -E half_dead.py")
    wait_line("ready")
    wait_true(lambda: psutil.Process(process.identity.pid).status() == psutil.STATUS_ZOMBIE)
    return process
