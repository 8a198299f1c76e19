"""Real servers on loopback, a probe loop, and the proof that a test left nothing behind."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeAlias

import psutil
import pytest

from treewarden.actors.probes import Health, Probe, ProbeLoop, ProbeRunner

Handler: TypeAlias = Callable[[socket.socket], None]

PATIENCE = 10.0  # seconds; reached only by a test that fails


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll `condition` until it holds; fail with `what` after `PATIENCE` seconds."""
    until = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < until, f"not within {PATIENCE} s: {what}"
        pause.wait(0.005)


def open_files() -> set[str]:
    """Each descriptor of this process and what it refers to, except the one that reads the list."""
    found: set[str] = set()
    for descriptor in tuple(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):
            found.add(f"{descriptor.name} {descriptor.readlink()}")
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves a thread, a child process or a descriptor."""
    threads, files = set(threading.enumerate()), open_files()
    yield
    wait_until(lambda: set(threading.enumerate()) <= threads, "the test's threads ended")
    assert psutil.Process().children(recursive=True) == []
    assert open_files() <= files


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool], str], None]:
    return wait_until


@pytest.fixture
def wait_gone() -> Callable[[int], None]:
    """Wait until no living process has that pid; a zombie counts as dead."""

    def gone(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return lambda pid: wait_until(lambda: gone(pid), f"process {pid} ended")


@pytest.fixture
def errors() -> list[BaseException]:
    """What the loop reported; a test that expects errors takes them out."""
    return []


@pytest.fixture
def probes(nothing_left: None, errors: list[BaseException]) -> Iterator[ProbeLoop]:
    loop = ProbeLoop(on_error=errors.append)
    yield loop
    loop.close(within=PATIENCE)
    assert errors == []


@pytest.fixture
def ask(probes: ProbeLoop) -> Callable[..., Health]:
    """Carry out one check and return its only answer."""
    runner: ProbeRunner = probes

    def check(probe: Probe, timeout: float = PATIENCE) -> Health:
        answers: SimpleQueue[Health] = SimpleQueue()
        started = time.monotonic()
        runner.check(probe, timeout=timeout, on_result=answers.put)
        answer = answers.get(timeout=timeout + PATIENCE)
        assert time.monotonic() - started < timeout + 2.0
        with pytest.raises(Empty):
            answers.get_nowait()
        return answer

    return check


class Servers:
    """Listeners on loopback, each with a thread that accepts and one for each connection."""

    def __init__(self) -> None:
        self._listeners: list[socket.socket] = []
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def start(self, handler: Handler, host: str = "127.0.0.1") -> int:
        """Run `handler` in a thread for each connection to a new port; return the port."""
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._listeners.append(listener)
        listener.bind((host, 0))
        listener.listen(512)
        self._run(self._accept, listener, handler)
        port = listener.getsockname()[1]
        assert isinstance(port, int)
        return port

    def stop(self) -> None:
        """Hang up on everybody and wait for every thread."""
        for open_socket in (*self._listeners, *self._connections):
            with suppress(OSError):  # closed or never bound
                open_socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:  # an accepting thread stands before those it starts
            thread.join(PATIENCE)
        for listener in self._listeners:
            listener.close()

    def _run(self, target: Callable[[socket.socket, Handler], None], end: socket.socket, handler: Handler) -> None:
        thread = threading.Thread(target=target, args=(end, handler))
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket, handler: Handler) -> None:
        with suppress(OSError):  # shut down by `stop`
            while True:
                connection, _ = listener.accept()
                self._connections.append(connection)
                self._run(self._handle, connection, handler)

    def _handle(self, connection: socket.socket, handler: Handler) -> None:
        with connection, suppress(OSError):  # the client hung up, or `stop` did
            handler(connection)


@pytest.fixture
def serve(nothing_left: None) -> Iterator[Callable[..., int]]:
    """Start a server on loopback that runs a handler in a thread for each connection; gives its port."""
    servers = Servers()
    yield servers.start
    servers.stop()


@pytest.fixture
def dead_port() -> int:
    """A port on loopback where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert isinstance(port, int)
    return port


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port whose queue is full: the kernel drops the next SYN, so a connect gets no answer (listen(2))."""
    callers: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        while True:
            caller = socket.socket()
            caller.settimeout(0.2)
            callers.append(caller)
            try:
                caller.connect(address)
            except TimeoutError:
                break
        port = address[1]
        assert isinstance(port, int)
        yield port
        for caller in callers:
            caller.close()
