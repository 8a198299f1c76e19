"""The client against listeners that are no console of ours."""

import os
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from treewarden.supervision_trees._control import Inspect, ReadLog
from treewarden.supervision_trees.console import (
    ConsoleClient,
    ConsoleProtocolError,
    ConsoleServer,
    ConsoleUnavailable,
    RuntimeNotRunning,
)
from treewarden.supervision_trees.console._frames import encode_frame

WITHIN = 10.0  # seconds; reached only if something is broken


@pytest.fixture
def listener(socket_path: Path) -> Iterator[socket.socket]:
    """A listener without a server behind it."""
    socket_path.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.settimeout(WITHIN)
        listening.bind(os.fspath(socket_path))
        listening.listen(1)
        yield listening


@contextmanager
def answering(listener: socket.socket, answer: bytes) -> Generator[None]:
    """Accept one client, answer its first bytes with `answer`, and hang up."""

    def run() -> None:
        client, _ = listener.accept()
        with client:
            client.settimeout(WITHIN)
            client.recv(65536)
            client.sendall(answer)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(WITHIN)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "hung up after 0 of 4 bytes; the runtime may just have ended"),
        (b"\x00\x00", "hung up after 2 of 4 bytes"),
        (b"\x00\x00\x00\x09abc", "hung up after 3 of 9 bytes"),
        (b"HTTP/1.1 400 Bad Request\r\n", "a frame of 1213486160 bytes"),
        (b"\x00\x00\x00\x01\xc1", "not msgpack"),
        (encode_frame({"result": "fortune", "value": 1}), "unknown kind 'fortune'"),
        (encode_frame({"result": "none", "value": None}), "found a NoneType for Inspect, expected TreeView"),
    ],
)
def test_an_answer_that_is_none_is_a_protocol_error_and_ends_the_connection(
    listener: socket.socket, socket_path: Path, answer: bytes, said: str
) -> None:
    with answering(listener, answer), ConsoleClient.connect(socket_path, timeout=WITHIN) as client:
        with pytest.raises(ConsoleProtocolError, match=said):
            client.execute(Inspect(), timeout=WITHIN)
        with pytest.raises(ConsoleProtocolError, match="the connection broke"):
            client.execute(Inspect(), timeout=WITHIN)


def test_a_listener_that_never_answers_is_given_up_after_the_timeout(
    listener: socket.socket, socket_path: Path
) -> None:
    with ConsoleClient.connect(socket_path, timeout=WITHIN) as client:
        with pytest.raises(ConsoleProtocolError, match=r"no answer within 0.05 s"):
            client.execute(Inspect(), timeout=0.05)


def test_a_listener_that_never_accepts_is_given_up_after_the_timeout(
    listener: socket.socket, socket_path: Path
) -> None:
    listener.listen(0)
    waiting = [ConsoleClient.connect(socket_path, timeout=WITHIN)]
    try:
        with pytest.raises(ConsoleUnavailable, match=r"found no connection within 0.05 s"):
            waiting.extend(ConsoleClient.connect(socket_path, timeout=0.05) for _ in range(1000))
    finally:
        for client in waiting:
            client.close()


def test_a_listener_of_another_user_is_not_spoken_to(
    listener: socket.socket, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)

    with pytest.raises(ConsoleUnavailable, match=f"found a listener of uid {uid}, expected one of uid {uid + 1}"):
        ConsoleClient.connect(socket_path, timeout=WITHIN)


@pytest.mark.parametrize("left_behind", ["nothing", "no directory", "a stale socket"])
def test_where_nobody_listens_no_runtime_is_running(socket_path: Path, left_behind: str) -> None:
    if left_behind != "no directory":
        socket_path.parent.mkdir()
    if left_behind == "a stale socket":
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
            dead.bind(os.fspath(socket_path))

    with pytest.raises(RuntimeNotRunning) as caught:
        ConsoleClient.connect(socket_path, timeout=WITHIN)

    assert socket_path.parent == caught.value.state_dir


def test_a_path_that_is_no_socket_address_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConsoleUnavailable, match="too long"):
        ConsoleClient.connect(tmp_path / ("n" * 200), timeout=WITHIN)


def test_a_failed_connection_leaves_no_descriptor(socket_path: Path, descriptors: Callable[[], int]) -> None:
    before = descriptors()

    with pytest.raises(RuntimeNotRunning):
        ConsoleClient.connect(socket_path, timeout=WITHIN)

    assert before == descriptors()


def test_a_command_too_large_for_a_frame_is_not_sent(serve: Callable[..., ConsoleServer], socket_path: Path) -> None:
    serve()
    with ConsoleClient.connect(socket_path, timeout=WITHIN) as client:
        with pytest.raises(ConsoleProtocolError, match="expected at most 4194304"):
            client.execute(ReadLog("x" * 5_000_000), timeout=WITHIN)
