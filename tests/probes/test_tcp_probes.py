"""TCP checks: who accepts, who refuses, who says nothing."""

import socket
from collections.abc import Callable
from typing import TypeAlias

import pytest

from treewarden.actors.probes import Health, Healthy, TcpProbe, Unhealthy
from treewarden.actors.probes._tcp import is_connected_to_itself

Ask: TypeAlias = Callable[..., Health]
Serve: TypeAlias = Callable[..., int]


def hang_up_awaited(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def resolving_to(*addresses: tuple[str, int]) -> Callable[..., list[tuple[object, ...]]]:
    """A getaddrinfo that knows one name, in the given order."""

    def getaddrinfo(host: str, port: int, *_: object, flags: int = 0, **__: object) -> list[tuple[object, ...]]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    return getaddrinfo


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_listener_passes(ask: Ask, serve: Serve, host: str) -> None:
    assert Healthy() == ask(TcpProbe(host, serve(hang_up_awaited)))


def test_an_ipv6_listener_passes(ask: Ask, serve: Serve, dead_port: int) -> None:
    try:
        port = serve(hang_up_awaited, host="::1")
    except OSError:
        pytest.skip("no IPv6 on loopback here")

    assert Healthy() == ask(TcpProbe("::1", port))
    assert Unhealthy(f"connect [::1]:{dead_port}: connection refused") == ask(TcpProbe("::1", dead_port))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_where_nobody_listens_is_refused(ask: Ask, dead_port: int, host: str) -> None:
    assert Unhealthy(f"connect {host}:{dead_port}: connection refused") == ask(TcpProbe(host, dead_port))


def test_a_host_that_says_nothing_costs_one_timeout(ask: Ask, silent_port: int) -> None:
    expected = Unhealthy(f"connect 127.0.0.1:{silent_port}: no answer within 0.3 s")

    assert expected == ask(TcpProbe("127.0.0.1", silent_port), 0.3)


def test_a_name_that_does_not_exist_says_so(ask: Ask) -> None:
    """`.invalid` exists nowhere (RFC 2606)."""
    answer = ask(TcpProbe("treewarden.invalid", 80), 30.0)

    assert isinstance(answer, Unhealthy)
    assert "connect treewarden.invalid:80: host name not found" in answer.why


@pytest.mark.parametrize("port", [-1, 0, 65536, 65616])
def test_a_port_out_of_range_is_not_wrapped_into_another(ask: Ask, port: int) -> None:
    """getaddrinfo(3) takes 65616 for 80."""
    answer = ask(TcpProbe("127.0.0.1", port))

    assert Unhealthy(f"connect 127.0.0.1:{port}: expected a port from 1 to 65535, found {port}") == answer


def test_a_later_address_of_a_name_counts(
    ask: Ask, serve: Serve, dead_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = serve(hang_up_awaited)
    monkeypatch.setattr(socket, "getaddrinfo", resolving_to(("127.0.0.1", dead_port), ("127.0.0.1", port)))

    assert Healthy() == ask(TcpProbe("two.example", port))


def test_a_silent_address_does_not_hide_a_living_one(
    ask: Ask, serve: Serve, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = serve(hang_up_awaited)
    monkeypatch.setattr(socket, "getaddrinfo", resolving_to(("127.0.0.1", silent_port), ("127.0.0.1", port)))

    assert Healthy() == ask(TcpProbe("two.example", port), 0.6)


def test_a_connection_that_reached_itself_is_recognised() -> None:
    """Simultaneous open (RFC 9293 section 3.5): a probe of an ephemeral port may answer itself."""
    with socket.socket() as alone:
        alone.bind(("127.0.0.1", 0))
        alone.connect(alone.getsockname())
        assert is_connected_to_itself(alone)


def test_a_connection_that_reached_itself_is_refused(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel picks the client's port at random, so here the client is bound by the test."""
    with socket.socket() as scout:
        scout.bind(("127.0.0.1", 0))
        port = scout.getsockname()[1]

    class Bound(socket.socket):
        def connect(self, _address: object, /) -> None:
            self.bind(("127.0.0.1", port))
            super().connect(("127.0.0.1", port))

    monkeypatch.setattr("treewarden.actors.probes._tcp.socket.socket", Bound)
    answer = ask(TcpProbe("127.0.0.1", port))

    assert isinstance(answer, Unhealthy)
    assert "it reached itself" in answer.why


def test_two_connections_are_not_taken_for_one(serve: Serve) -> None:
    with socket.create_connection(("127.0.0.1", serve(hang_up_awaited))) as connection:
        assert not is_connected_to_itself(connection)
