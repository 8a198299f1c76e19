"""HTTP checks with aiohttp: the status alone decides, and it must come from a fresh connection.

No redirect is followed, no cookie kept, no proxy or netrc taken from the environment, no
connection reused (an old one would make a dead listener look alive), no name cached. The body is
neither read nor decompressed, so an endless or a compressed one costs nothing. A header or status
line above `HEADER_LIMIT` bytes is a failed check. The total deadline is the caller's: nothing in
here waits longer than the task it runs in. Certificates are verified.

Not promised: that the answering server belongs to the process in question (MS29), or that the
URL is one an agent may name (MS6); the process actor and the spawn policy decide those.
"""

from typing import Final

import aiohttp

from treewarden.actors._probe import Health, Healthy, HttpProbe, Unhealthy
from treewarden.actors.probes._wording import describe_os_error, describe_url, one_line

__all__ = ["HEADER_LIMIT", "check_http", "open_session"]

HEADER_LIMIT: Final = 8190  # bytes of one header or of the status line


def open_session() -> aiohttp.ClientSession:
    """Make the session for all HTTP checks of one event loop; call it on that loop and close it there."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True, use_dns_cache=False),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "treewarden-probe", "Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
        auto_decompress=False,
        trust_env=False,
        max_line_size=HEADER_LIMIT,
        max_field_size=HEADER_LIMIT,
    )


async def check_http(session: aiohttp.ClientSession, probe: HttpProbe) -> Health:
    """Ask `probe.url` once; Healthy when the answer has `probe.status`."""
    try:
        response = await session.get(probe.url, allow_redirects=False)
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise
        return Unhealthy(f"GET {describe_url(probe.url)}: {_reason(error)}")
    # Closed, not released: the body is left unread and the connection ends here.
    response.close()
    if response.status == probe.status:
        return Healthy()
    return Unhealthy(f"GET {describe_url(probe.url)}: expected status {probe.status}, found {response.status}")


def _reason(error: aiohttp.ClientError | OSError) -> str:
    """Word `error` without `str(error)`: aiohttp puts the whole URL into most of its messages."""
    match error:
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return "expected a URL such as http://127.0.0.1:8000/, with a scheme of http or https and a host"
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate was not accepted: {_certificate_complaint(error)}"
        case aiohttp.ClientConnectorSSLError():
            return "no TLS connection: the handshake failed"
        case aiohttp.ClientConnectorDNSError():
            return f"host name not found: {describe_os_error(error.os_error)}"
        case aiohttp.ClientConnectorError():
            return describe_os_error(error.os_error)
        case aiohttp.ServerDisconnectedError():
            return "the server closed the connection without an answer"
        case aiohttp.ClientResponseError():
            return f"expected an HTTP answer with headers up to {HEADER_LIMIT} bytes each, found something else"
        case OSError():
            return describe_os_error(error)
        case _:
            return f"no usable answer ({type(error).__name__})"


def _certificate_complaint(error: aiohttp.ClientConnectorCertificateError) -> str:
    return one_line(str(getattr(error.certificate_error, "verify_message", "") or "it does not fit the host"))
