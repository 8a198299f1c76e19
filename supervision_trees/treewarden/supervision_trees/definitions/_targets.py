"""What a probe in a definition is aimed at: reading URLs and `host:port`.

Used twice with one meaning: when a definition is checked, and when a target with references has
been filled in.
"""

import re
from typing import Final
from urllib.parse import urlsplit

from treewarden.actors import HttpProbe, TcpProbe

__all__ = ["DEFAULT_STATUS", "http_probe", "tcp_probe"]

DEFAULT_STATUS: Final = 200

_URL_RULE: Final = "a URL such as http://127.0.0.1:8000/health"
_TCP_RULE: Final = '"host:port" with a port from 1 to 65535, such as 127.0.0.1:8000 or [::1]:8000'
_TCP: Final = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:\[\]/]+)):([0-9]{1,5})")


def http_probe(url: str, *, status: int = DEFAULT_STATUS) -> HttpProbe:
    """The probe of `url`.

    Raises:
        ValueError: saying what would be right.
    """
    try:
        parts = urlsplit(url)
        is_fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port out of range, a broken [address]
        is_fine = False
    if not is_fine or any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError(_URL_RULE)
    return HttpProbe(url, status)


def tcp_probe(address: str) -> TcpProbe:
    """The probe of `host:port`; an IPv6 address stands in brackets.

    Raises:
        ValueError: saying what would be right.
    """
    match = _TCP.fullmatch(address)
    port = int(match[3]) if match else 0
    if match is None or not 1 <= port <= 65_535:  # noqa: PLR2004 - the range of TCP ports (RFC 9293, 3.1)
        raise ValueError(_TCP_RULE)
    return TcpProbe(match[1] or match[2], port)
