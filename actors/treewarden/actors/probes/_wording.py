"""What a failed check says to a person: one line, without secrets.

Pure. A URL is shown without its user, password and query, a command without its arguments:
each may carry a credential, and a `why` ends in logs, events and consoles. Text that came from
the probed thing is cut to `LINE_LIMIT` and stripped of control characters, so that it cannot
drive a terminal or forge a second line.
"""

import os
import socket
from typing import Final, assert_never
from urllib.parse import urlsplit

from treewarden.actors._probe import CommandProbe, HttpProbe, Probe, TcpProbe

__all__ = ["LINE_LIMIT", "describe_os_error", "describe_probe", "describe_url", "last_line", "one_line"]

LINE_LIMIT: Final = 200  # characters of foreign text in one `why`


def describe_probe(probe: Probe) -> str:
    """Name `probe` as the head of a line: `GET http://127.0.0.1:8000/`, `connect [::1]:80`, `command pg_isready`."""
    match probe:
        case HttpProbe(url):
            return f"GET {describe_url(url)}"
        case TcpProbe(host, port):
            return f"connect [{one_line(host)}]:{port}" if ":" in host else f"connect {one_line(host)}:{port}"
        case CommandProbe(argv):
            return f"command {one_line(argv[0])}" if argv else "command (empty)"
        case _:
            assert_never(probe)


def describe_url(url: str) -> str:
    """Show `url` without user, password, query and fragment; `?...` stands for a query."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # The reason may quote the part that holds the password, so it is not repeated.
        return "a URL that cannot be read"
    if not parts.netloc:
        return "a URL without a host"  # without one, what looks like a path may be `user:password@host`
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    place = host if port is None else f"{host}:{port}"
    return one_line(f"{parts.scheme}://{place}{parts.path}") + ("?..." if parts.query else "")


def describe_os_error(error: OSError) -> str:
    """Say what went wrong in the system's words, without addresses: `connection refused`."""
    # getaddrinfo(3) has numbers of its own: strerror(3) would give them a wrong name.
    number = None if isinstance(error, socket.gaierror) else error.errno
    text = one_line(os.strerror(number) if number else error.strerror or type(error).__name__)
    return text[:1].lower() + text[1:]


def last_line(output: bytes) -> str:
    """Return the last line of `output` that shows anything, or an empty string."""
    lines = (one_line(line) for line in reversed(output.decode(errors="replace").splitlines()))
    return next((line for line in lines if line), "")


def one_line(text: str) -> str:
    """Return `text` as one printable line of at most `LINE_LIMIT` characters."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    return printable if len(printable) <= LINE_LIMIT else printable[: LINE_LIMIT - 3] + "..."
