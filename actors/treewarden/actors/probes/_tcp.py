"""TCP checks: connect and close.

Every address of the name is tried in the resolver's order; each gets an equal share of the time
that is left, so that one silent address cannot hide a living one. Nothing is sent.

A connection that reached itself counts as refused: a client whose own port was picked from the
ephemeral range to be the one it connects to is answered by itself (simultaneous open, RFC 9293
section 3.5), and a dead listener would look alive.
"""

import asyncio
import socket
from typing import Final, TypeAlias

from treewarden.actors._probe import Health, Healthy, TcpProbe, Unhealthy
from treewarden.actors.probes._wording import describe_os_error, describe_probe

__all__ = ["check_tcp", "is_connected_to_itself"]

_PORTS: Final = 65536
_SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
_Address: TypeAlias = tuple[socket.AddressFamily, _SocketAddress]


async def check_tcp(probe: TcpProbe, *, deadline: float) -> Health:
    """Connect once; Healthy when one address accepts before `deadline` (on the loop's clock).

    Raises:
        TimeoutError: if the last address tried said nothing in its time.
    """
    if not 0 < probe.port < _PORTS:
        # getaddrinfo(3) takes 65616 for 80 and would ask the wrong server.
        return Unhealthy(f"{describe_probe(probe)}: expected a port from 1 to {_PORTS - 1}, found {probe.port}")
    loop = asyncio.get_running_loop()
    try:
        addresses = await _resolve(probe)
    except OSError as error:
        return Unhealthy(f"{describe_probe(probe)}: host name not found: {describe_os_error(error)}")
    failure = OSError("no address")
    for tried, (family, address) in enumerate(addresses):
        share = (deadline - loop.time()) / (len(addresses) - tried)
        try:
            async with asyncio.timeout(share):
                return await _connect(probe, family, address)
        except OSError as error:  # TimeoutError included
            failure = error
    if isinstance(failure, TimeoutError):
        raise failure
    return Unhealthy(f"{describe_probe(probe)}: {describe_os_error(failure)}")


def is_connected_to_itself(connection: socket.socket) -> bool:
    """Whether both ends of `connection` are the same socket."""
    return bool(connection.getsockname() == connection.getpeername())


async def _resolve(probe: TcpProbe) -> list[_Address]:
    try:
        # A literal address must not queue behind slow look-ups in the executor.
        found = socket.getaddrinfo(probe.host, probe.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(probe.host, probe.port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


async def _connect(probe: TcpProbe, family: socket.AddressFamily, address: _SocketAddress) -> Health:
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(0.0)  # non-blocking, as sock_connect wants it
        await asyncio.get_running_loop().sock_connect(connection, address)
        if is_connected_to_itself(connection):
            return Unhealthy(f"{describe_probe(probe)}: connection refused (it reached itself: nobody listens)")
        return Healthy()
