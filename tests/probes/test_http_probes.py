"""HTTP checks against servers that behave, and against servers that do not."""

import gzip
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from treewarden.actors.probes import Health, Healthy, HttpProbe, Unhealthy

Ask: TypeAlias = Callable[..., Health]
Serve: TypeAlias = Callable[..., int]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def request_of(connection: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request and (chunk := connection.recv(4096)):
        request += chunk
    return request


def answering(answer: bytes, requests: list[bytes] | None = None) -> Callable[[socket.socket], None]:
    """A handler that answers every request of a connection, as a server with keep-alive does."""

    def handler(connection: socket.socket) -> None:
        while request := request_of(connection):
            if requests is not None:
                requests.append(request)
            connection.sendall(answer)

    return handler


def hang_up_awaited(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def url(port: int, path: str = "/") -> str:
    return f"http://127.0.0.1:{port}{path}"


def why(health: Health) -> str:
    assert isinstance(health, Unhealthy)
    return health.why


def test_the_expected_status_passes(ask: Ask, serve: Serve) -> None:
    assert Healthy() == ask(HttpProbe(url(serve(answering(OK)))))


def test_another_status_fails_and_both_are_named(ask: Ask, serve: Serve) -> None:
    port = serve(answering(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"))

    assert Unhealthy(f"GET http://127.0.0.1:{port}/: expected status 200, found 503") == ask(HttpProbe(url(port)))


def test_a_probe_may_expect_a_status_other_than_200(ask: Ask, serve: Serve) -> None:
    port = serve(answering(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"))

    assert Healthy() == ask(HttpProbe(url(port), status=401))


def test_a_port_where_nobody_listens_is_refused(ask: Ask, dead_port: int) -> None:
    assert Unhealthy(f"GET http://127.0.0.1:{dead_port}/: connection refused") == ask(HttpProbe(url(dead_port)))


def test_a_server_that_accepts_and_says_nothing_costs_one_timeout(ask: Ask, serve: Serve) -> None:
    """MS30: the deadline is on the wall clock, not on idleness."""
    port = serve(hang_up_awaited)

    assert Unhealthy(f"GET http://127.0.0.1:{port}/: no answer within 0.3 s") == ask(HttpProbe(url(port)), 0.3)


def test_a_server_that_does_not_even_accept_costs_one_timeout(ask: Ask, silent_port: int) -> None:
    assert "no answer within 0.3 s" in why(ask(HttpProbe(url(silent_port)), 0.3))


def test_headers_that_drip_for_ever_cost_one_timeout(ask: Ask, serve: Serve) -> None:
    """MS30: bytes that keep coming do not move the deadline."""
    hung_up = threading.Event()

    def drip(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
        connection.settimeout(0.02)
        try:
            while True:
                connection.sendall(b".")
                try:
                    if not connection.recv(1):
                        return
                except TimeoutError:
                    continue  # still connected: the next drop
        finally:
            hung_up.set()

    port = serve(drip)

    assert "no answer within 0.4 s" in why(ask(HttpProbe(url(port)), 0.4))
    assert hung_up.wait(5.0)


def test_a_body_without_end_is_not_read(ask: Ask, serve: Serve) -> None:
    """MS30: an SSE endpoint passes by its status, at once, and is hung up on."""
    hung_up = threading.Event()

    def pour(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        try:
            while True:
                connection.sendall(b"data: x\n\n" * 1000)
        finally:
            hung_up.set()

    assert Healthy() == ask(HttpProbe(url(serve(pour))))
    assert hung_up.wait(5.0)


def test_a_wrong_status_with_a_body_without_end_fails_at_once(ask: Ask, serve: Serve) -> None:
    def start_and_stall(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        hang_up_awaited(connection)

    assert "expected status 200, found 500" in why(ask(HttpProbe(url(serve(start_and_stall)))))


def test_a_compressed_bomb_is_not_unpacked(ask: Ask, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    requests: list[bytes] = []
    port = serve(answering(head + bomb, requests))

    unpacked: list[object] = []

    def unpack(*data: object, **_: object) -> bytes:
        unpacked.append(data)
        return b""

    monkeypatch.setattr("aiohttp.compression_utils.ZLibDecompressor.decompress_sync", unpack)

    assert Healthy() == ask(HttpProbe(url(port)))
    assert unpacked == []
    assert b"accept-encoding: identity" in requests[0].lower()


@pytest.mark.parametrize("header", [b"X-Long: " + b"a" * 20_000, b"a" * 20_000 + b": x"], ids=["value", "name"])
def test_a_huge_header_is_a_failed_check(ask: Ask, serve: Serve, header: bytes) -> None:
    port = serve(answering(b"HTTP/1.1 200 OK\r\n" + header + b"\r\nContent-Length: 0\r\n\r\n"))

    assert "expected an HTTP answer with headers up to 8190 bytes each" in why(ask(HttpProbe(url(port))))


def test_headers_without_end_are_a_failed_check(ask: Ask, serve: Serve) -> None:
    def flood(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-More: " + b"a" * 1000 + b"\r\n")

    assert isinstance(ask(HttpProbe(url(serve(flood))), 1.0), Unhealthy)


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x00\x01\x02\x03" * 10], ids=["ssh", "binary"])
def test_something_else_than_http_is_a_failed_check(ask: Ask, serve: Serve, answer: bytes) -> None:
    assert "expected an HTTP answer" in why(ask(HttpProbe(url(serve(answering(answer))))))


def test_a_connection_closed_without_an_answer_is_a_failed_check(ask: Ask, serve: Serve) -> None:
    def close(connection: socket.socket) -> None:
        request_of(connection)

    assert "closed the connection without an answer" in why(ask(HttpProbe(url(serve(close)))))


def test_a_redirect_is_not_followed(ask: Ask, serve: Serve) -> None:
    """MS6: a permitted server cannot send the check on to another one."""
    reached: list[bytes] = []
    target = serve(answering(OK, reached))
    redirect = f"HTTP/1.1 302 Found\r\nLocation: {url(target)}\r\nContent-Length: 0\r\n\r\n"
    port = serve(answering(redirect.encode()))

    assert "expected status 200, found 302" in why(ask(HttpProbe(url(port))))
    assert Healthy() == ask(HttpProbe(url(port), status=302))
    assert reached == []


def test_every_check_uses_a_fresh_connection(ask: Ask, serve: Serve) -> None:
    """A kept connection would make a server alive whose listener is dead."""
    connections: list[int] = []
    answer = answering(OK)

    def count(connection: socket.socket) -> None:
        connections.append(1)
        answer(connection)

    port = serve(count)

    assert [Healthy()] * 3 == [ask(HttpProbe(url(port))) for _ in range(3)]
    assert connections == [1, 1, 1]


def test_a_cookie_is_not_sent_back(ask: Ask, serve: Serve) -> None:
    requests: list[bytes] = []
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=1; Path=/\r\nContent-Length: 0\r\n\r\n"
    port = serve(answering(cookie, requests), host="127.0.0.1")
    for _ in range(2):
        assert Healthy() == ask(HttpProbe(f"http://localhost:{port}/"))

    assert len(requests) == 2
    assert all(b"cookie:" not in request.lower() for request in requests)


def test_a_proxy_in_the_environment_is_ignored(
    ask: Ask, serve: Serve, dead_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{dead_port}")

    assert Healthy() == ask(HttpProbe(url(serve(answering(OK)))))


def test_credentials_in_the_url_are_sent_but_never_shown(ask: Ask, serve: Serve, dead_port: int) -> None:
    requests: list[bytes] = []
    refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    port = serve(answering(refusal, requests))

    found = why(ask(HttpProbe(f"http://anna:hunter2@127.0.0.1:{port}/health?token=t0ken")))

    assert f"GET http://127.0.0.1:{port}/health?...: expected status 200, found 401" == found
    assert b"authorization: basic" in requests[0].lower()
    for broken in (f"http://anna:hunter2@127.0.0.1:{dead_port}/", "http://anna:hunter2@/", "anna:hunter2@host"):
        assert "hunter2" not in why(ask(HttpProbe(broken)))


@pytest.mark.parametrize("text", ["", "nonsense", "ftp://127.0.0.1/", "http://", "http://[::1", "http://h:notaport/"])
def test_a_url_that_cannot_be_asked_says_what_would_be_right(ask: Ask, text: str) -> None:
    """MS32: a bad URL is an answer, not an unhandled error."""
    assert "expected a URL such as http://127.0.0.1:8000/" in why(ask(HttpProbe(text)))


def test_a_name_that_does_not_exist_says_so(ask: Ask) -> None:
    """`.invalid` exists nowhere (RFC 2606)."""
    assert "host name not found" in why(ask(HttpProbe("http://treewarden.invalid/"), 30.0))


def test_a_host_name_works(ask: Ask, serve: Serve) -> None:
    port = serve(answering(OK))

    assert Healthy() == ask(HttpProbe(f"http://localhost:{port}/"))


def test_an_ipv6_address_works(ask: Ask, serve: Serve) -> None:
    try:
        port = serve(answering(OK), host="::1")
    except OSError:
        pytest.skip("no IPv6 on loopback here")

    assert Healthy() == ask(HttpProbe(f"http://[::1]:{port}/"))
    assert f"GET http://[::1]:{port}/: expected status 201" in why(ask(HttpProbe(f"http://[::1]:{port}/", status=201)))


def test_tls_to_a_server_without_tls_is_a_failed_check(ask: Ask, serve: Serve) -> None:
    def answer_in_plain(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(OK)
        hang_up_awaited(connection)

    assert "no TLS connection" in why(ask(HttpProbe(f"https://127.0.0.1:{serve(answer_in_plain)}/")))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_certificate_that_nobody_vouches_for_is_a_failed_check(ask: Ask, serve: Serve, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    subprocess.run([*request.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def encrypted(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            answering(OK)(tls)

    port = serve(encrypted)

    assert f"GET https://localhost:{port}/: its certificate was not accepted: self-signed certificate" == why(
        ask(HttpProbe(f"https://localhost:{port}/"))
    )
