"""Whatever a client does, it ends its own connection and nothing else: each test then asks for the tree."""

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeAlias

import pytest

from treewarden.supervision_trees._control import (
    Command,
    CommandRefused,
    EventsRead,
    Inspect,
    LogRead,
    ReadEvents,
    ReadLog,
)
from treewarden.supervision_trees._inspect import TreeView
from treewarden.supervision_trees.console import ConsoleClient, ConsoleServer, ServerLimits
from treewarden.supervision_trees.console._frames import (
    HEADER_SIZE,
    MAX_FRAME,
    MAX_REQUEST,
    body_length,
    decode_body,
    encode_frame,
)
from treewarden.supervision_trees.console._peer import PeerSocket
from treewarden.supervision_trees.console._wire import command_to_plain

ReadPeerUid: TypeAlias = Callable[[PeerSocket], int]
Serve: TypeAlias = Callable[..., ConsoleServer]
Connect: TypeAlias = Callable[[], ConsoleClient]
ConnectRaw: TypeAlias = Callable[[], socket.socket]

WITHIN = 10.0  # seconds; reached only if something is broken
INSPECT = encode_frame(command_to_plain(Inspect()))


@pytest.fixture(autouse=True)
def others_are_served_and_nothing_leaks(
    serve: Serve, connect: Connect, tree: TreeView, errors: list[BaseException]
) -> Iterator[None]:
    yield
    assert tree == connect().execute(Inspect(), timeout=WITHIN)
    assert errors == []


def receive(client: socket.socket) -> dict[str, object]:
    header = receive_exactly(client, HEADER_SIZE)
    return decode_body(receive_exactly(client, body_length(header, most=MAX_FRAME)))


def receive_exactly(client: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        chunk = client.recv(count - len(received))
        assert chunk, f"hung up after {len(received)} of {count} bytes"
        received += chunk
    return received


def wait_hung_up(client: socket.socket) -> None:
    """Block until the server has ended the connection; the socket's own timeout is the deadline."""
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        return


def test_garbage_is_answered_with_an_error_and_the_connection_ends(serve: Serve, connect_raw: ConnectRaw) -> None:
    serve()
    client = connect_raw()

    client.sendall(struct.pack(">I", 5) + b"\xc1\xc1\xc1\xc1\xc1" + INSPECT)

    assert receive(client)["error"] == "protocol"
    wait_hung_up(client)


def test_a_well_formed_frame_that_is_no_command_is_answered_and_the_connection_lives_on(
    serve: Serve, connect_raw: ConnectRaw
) -> None:
    serve()
    client = connect_raw()

    client.sendall(encode_frame({"command": "format-disk"}) + INSPECT)

    assert "unknown kind 'format-disk'" in str(receive(client)["message"])
    assert receive(client)["result"] == "tree"


@pytest.mark.parametrize("length", [MAX_REQUEST + 1, 100_000_000, 0xFFFFFFFF, struct.unpack(">I", b"GET ")[0]])
def test_an_announced_length_over_the_limit_ends_the_connection_without_reading_on(
    serve: Serve, connect_raw: ConnectRaw, length: int
) -> None:
    serve()
    client = connect_raw()

    client.sendall(struct.pack(">I", length))

    answer = receive(client)
    assert answer["error"] == "protocol"
    assert f"a frame of {length} bytes, expected at most {MAX_REQUEST}" == answer["message"]
    wait_hung_up(client)


def test_100_megabytes_are_not_taken(serve: Serve, connect_raw: ConnectRaw) -> None:
    serve()
    client = connect_raw()
    client.sendall(struct.pack(">I", 100_000_000))

    assert bytes_taken(client, 100_000_000) < 10_000_000


def bytes_taken(client: socket.socket, offered: int) -> int:
    taken = 0
    try:
        while taken < offered:
            taken += client.send(b"x" * 65536)
    except (BrokenPipeError, ConnectionResetError):
        return taken
    return taken


@pytest.mark.parametrize("part", [INSPECT[:1], INSPECT[:3], INSPECT[:HEADER_SIZE], INSPECT[:-1]])
def test_half_a_frame_and_then_silence_ends_the_connection(serve: Serve, connect_raw: ConnectRaw, part: bytes) -> None:
    serve(limits=ServerLimits(frame_within=0.1))
    client = connect_raw()

    client.sendall(part)

    wait_hung_up(client)


def test_half_a_frame_and_then_hanging_up_is_no_error(serve: Serve, connect_raw: ConnectRaw) -> None:
    serve()
    client = connect_raw()

    client.sendall(INSPECT[:-1])
    client.close()


def test_silence_from_the_start_or_after_an_answer_ends_the_connection(serve: Serve, connect_raw: ConnectRaw) -> None:
    serve(limits=ServerLimits(idle_for=0.1))
    silent, tired = connect_raw(), connect_raw()
    tired.sendall(INSPECT)

    wait_hung_up(silent)
    assert receive(tired)["result"] == "tree"
    wait_hung_up(tired)


def test_a_client_that_vanishes_before_its_answer_is_forgotten(
    serve: Serve, connect_raw: ConnectRaw, answers: dict[type[Command], Callable[[Command], object]]
) -> None:
    gone, begun = threading.Event(), threading.Event()

    def answer_late(_: Command) -> LogRead:
        begun.set()
        assert gone.wait(WITHIN)
        return LogRead("x" * 1_000_000, 1)

    answers[ReadLog] = answer_late
    serve()
    client = connect_raw()
    client.sendall(encode_frame(command_to_plain(ReadLog("/dev/api"))))
    assert begun.wait(WITHIN)
    client.close()
    gone.set()


def test_a_client_that_never_reads_its_answer_is_cut_off(
    serve: Serve, connect_raw: ConnectRaw, answers: dict[type[Command], Callable[[Command], object]]
) -> None:
    answers[ReadLog] = lambda _: LogRead("x" * 4_000_000, 1)
    serve(limits=ServerLimits(frame_within=0.2))
    client = connect_raw()

    client.sendall(encode_frame(command_to_plain(ReadLog("/dev/api"))))

    wait_cut_off(client)


def wait_cut_off(client: socket.socket) -> None:
    """Write, never read, until the server has ended the connection; the socket's own timeout is the deadline."""
    try:
        while True:
            client.sendall(INSPECT * 1000)
    except (BrokenPipeError, ConnectionResetError):
        return


def test_requests_sent_ahead_are_answered_in_order_one_at_a_time(
    serve: Serve, connect_raw: ConnectRaw, answers: dict[type[Command], Callable[[Command], object]]
) -> None:
    asked: list[str] = []

    def answer(command: Command) -> LogRead:
        assert isinstance(command, ReadLog)
        asked.append(command.path)
        return LogRead(command.path, 0)

    answers[ReadLog] = answer
    serve()
    client = connect_raw()
    paths = [f"/dev/{number}" for number in range(50)]

    client.sendall(b"".join(encode_frame(command_to_plain(ReadLog(path))) for path in paths))

    assert paths == asked_and_answered(client, len(paths))
    assert paths == asked


def asked_and_answered(client: socket.socket, count: int) -> list[object]:
    values = [receive(client)["value"] for _ in range(count)]
    return [value["text"] for value in values if isinstance(value, dict)]


def test_of_100_connections_those_over_the_limit_are_told_so_and_closed(
    serve: Serve, connect_raw: ConnectRaw, connect: Connect
) -> None:
    limits = ServerLimits()
    serve(limits=limits)
    served = [connect_raw() for _ in range(limits.connections)]
    for client in served:
        client.sendall(INSPECT)
        assert receive(client)["result"] == "tree"

    for client in [connect_raw() for _ in range(100 - limits.connections)]:
        answer = receive(client)
        assert (answer["error"], "64 clients are connected" in str(answer["message"])) == ("busy", True)
        wait_hung_up(client)
    with pytest.raises(CommandRefused, match="64 clients are connected, as many as may be; try again later"):
        connect().execute(Inspect(), timeout=WITHIN)

    for client in served:
        client.close()
    wait_served_again(connect)


def wait_served_again(connect: Connect) -> None:
    """Ask until there is room; the server notices hung up clients when it comes to read them."""
    for _ in range(1000):
        try:
            connect().execute(Inspect(), timeout=WITHIN)
        except CommandRefused:
            continue
        return
    pytest.fail("the places of clients that hung up were never given away again")


@pytest.mark.parametrize("sent_first", [b"", INSPECT])
def test_a_client_of_another_user_is_told_so_and_closed(
    serve: Serve, connect_raw: ConnectRaw, connect: Connect, errors: list[BaseException], sent_first: bytes
) -> None:
    stranger = os.geteuid() + 1
    uids = iter([stranger])
    read_peer_uid: ReadPeerUid = lambda _: next(uids, os.geteuid())  # noqa: E731 - typed by its name
    serve(read_peer_uid=read_peer_uid)
    client = connect_raw()
    with suppress(BrokenPipeError):  # turned away sooner than it could speak
        client.sendall(sent_first)

    answer = receive(client)

    assert answer["error"] == "not-allowed"
    assert f"found a client of uid {stranger}, expected uid {os.geteuid()}" in str(answer["message"])
    wait_hung_up(client)
    assert [PermissionError] == [type(error) for error in errors]
    errors.clear()


def test_waiting_clients_that_vanish_take_nobodys_place(
    serve: Serve,
    connect_raw: ConnectRaw,
    connect: Connect,
    answers: dict[type[Command], Callable[[Command], object]],
    tree: TreeView,
) -> None:
    """One reads on in a thread that Python cannot end; those behind it are forgotten with their connection."""
    asked: list[Command] = []
    held, let_go = threading.Event(), threading.Event()

    def wait_long(command: Command) -> EventsRead:
        asked.append(command)
        held.set()
        assert let_go.wait(WITHIN)
        return EventsRead((), 0, 0)

    answers[ReadEvents] = wait_long
    serve(limits=ServerLimits(connections=4, waiters=1))
    crowd = [connect_raw() for _ in range(4)]
    try:
        for client in crowd:
            client.sendall(encode_frame(command_to_plain(ReadEvents(wait=9.0))))
        assert held.wait(WITHIN)
        for client in crowd:
            client.close()

        assert tree == wait_admitted(connect)
    finally:
        let_go.set()
    connect().execute(ReadEvents(wait=1.0), timeout=WITHIN)
    assert 2 == len(asked), "one thread takes them in order: those in between were left out"


def wait_admitted(connect: Connect) -> TreeView:
    """Ask until there is a place; the server hears of a closed socket a moment after it was closed."""
    deadline = time.monotonic() + WITHIN
    while True:
        try:
            return connect().execute(Inspect(), timeout=WITHIN)
        except CommandRefused:
            assert time.monotonic() < deadline, "clients that are gone still take all places"


def test_a_waiting_client_that_only_sends_no_more_gets_its_answer(
    serve: Serve, connect_raw: ConnectRaw, answers: dict[type[Command], Callable[[Command], object]]
) -> None:
    held, let_go = threading.Event(), threading.Event()

    def wait_long(_: Command) -> EventsRead:
        held.set()
        assert let_go.wait(WITHIN)
        return EventsRead((), 7, 0)

    answers[ReadEvents] = wait_long
    serve()
    client = connect_raw()
    client.sendall(encode_frame(command_to_plain(ReadEvents(wait=9.0))))
    assert held.wait(WITHIN)

    client.shutdown(socket.SHUT_WR)
    # A second client's answer comes after the server has seen what the first one did.
    other = connect_raw()
    other.sendall(INSPECT)
    receive(other)
    let_go.set()

    assert {"events": [], "last": 7, "missed": 0} == receive(client)["value"]
