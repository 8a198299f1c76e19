"""A real console server around an executor that does what the test says.

Fixtures hand out plain values and callables, since test modules cannot import this one.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, final

import pytest

from treewarden.supervision_trees._control import (
    ApplyReport,
    ApplyTree,
    Command,
    EventsRead,
    Inspect,
    LogRead,
    PlanTree,
    ReadEvents,
    ReadLog,
    RestartActor,
    StartActor,
    StopActor,
    StopTree,
    TreePlan,
)
from treewarden.supervision_trees._inspect import ActorView, TreeView
from treewarden.supervision_trees.console import ConsoleClient, ConsoleServer, ServerLimits
from treewarden.supervision_trees.console._peer import PeerSocket, peer_uid

_WITHIN: Final = 10.0  # seconds; reached only if something is broken
_LIMITS: Final = ServerLimits()


@pytest.fixture
def root() -> ActorView:
    return ActorView(
        path="/dev",
        kind="supervisor",
        state="running",
        ready=True,
        generation=1,
        restarts=0,
        uptime=1.0,
        last_exit=None,
        waiting_for=(),
        retry_in=None,
        pid=None,
        adopted=False,
        command=(),
        log=None,
        health=None,
        intensity="0 of 3 restarts used in the last 5 s",
        children=(),
    )


@pytest.fixture
def tree(root: ActorView) -> TreeView:
    return TreeView(name="dev", runtime_pid=4711, state_dir=None, started_at=1.0, taken_at=2.0, root=root)


@pytest.fixture
def answers(tree: TreeView, root: ActorView) -> dict[type[Command], Callable[[Command], object]]:
    """How the executor answers each type of command; a test puts in what it needs."""
    return {
        Inspect: lambda _: tree,
        StartActor: lambda _: root,
        StopActor: lambda _: root,
        RestartActor: lambda _: root,
        ReadEvents: lambda _: EventsRead((), 0, 0),
        ReadLog: lambda _: LogRead("", 0),
        StopTree: lambda _: None,
        PlanTree: lambda _: TreePlan("/dev", "/t.yaml", (), (), "digest"),
        ApplyTree: lambda _: ApplyReport("/dev", "/t.yaml", (), None, None, (), ()),
    }


@final
class _ScriptedExecutor:
    def __init__(self, answers: dict[type[Command], Callable[[Command], object]]) -> None:
        self._answers = answers

    def execute(self, command: Command) -> object:
        return self._answers[type(command)](command)


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "console.sock"


@pytest.fixture
def errors() -> list[BaseException]:
    """What the server told `on_defect`."""
    return []


@pytest.fixture
def serve(
    socket_path: Path,
    answers: dict[type[Command], Callable[[Command], object]],
    errors: list[BaseException],
) -> Iterator[Callable[..., ConsoleServer]]:
    """Start a console, `serve(limits=..., read_peer_uid=...)`; closed, and checked to be gone, at the end."""
    servers: list[ConsoleServer] = []
    failures: list[BaseException] = []

    def start(
        *, limits: ServerLimits = _LIMITS, read_peer_uid: Callable[[PeerSocket], int] = peer_uid
    ) -> ConsoleServer:
        executor = _ScriptedExecutor(answers)
        server = ConsoleServer(
            socket_path,
            executor,
            on_error=failures.append,
            on_defect=errors.append,
            limits=limits,
            read_peer_uid=read_peer_uid,
        )
        servers.append(server)
        server.start()
        return server

    before = set(threading.enumerate())
    yield start
    assert not failures
    assert [True] * len(servers) == [server.close(_WITHIN) for server in servers]
    assert set() == set(threading.enumerate()) - before, "a console left a thread behind"


@pytest.fixture
def connect(socket_path: Path) -> Iterator[Callable[[], ConsoleClient]]:
    """Connect a client; hung up at the end."""
    with ExitStack() as connected:
        yield lambda: connected.enter_context(ConsoleClient.connect(socket_path, timeout=_WITHIN))


@pytest.fixture
def connect_raw(socket_path: Path) -> Iterator[Callable[[], socket.socket]]:
    """Connect without any protocol, as somebody hostile would; hung up at the end."""
    with ExitStack() as connected:

        def start() -> socket.socket:
            client = connected.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            client.settimeout(_WITHIN)
            client.connect(os.fspath(socket_path))
            return client

        yield start


@pytest.fixture
def descriptors() -> Callable[[], int]:
    """How many descriptors this process has open."""
    return lambda: len(os.listdir("/dev/fd"))  # noqa: PTH208 - a directory of the kernel, only counted
