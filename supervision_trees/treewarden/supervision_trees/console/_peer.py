"""Who is at the other end of a Unix socket, as the kernel says: it cannot be forged by the peer.

Linux: SO_PEERCRED (unix(7)), the credentials at connect(2) or listen(2). macOS: LOCAL_PEERCRED
(unix(4)).
"""

import socket
import struct
import sys
from typing import Final, Protocol

__all__ = ["PeerSocket", "peer_uid"]

_UCRED: Final = struct.Struct("iII")  # pid, uid, gid
_XUCRED: Final = struct.Struct("II")  # the head of Darwin's struct xucred: version, uid
_DARWIN_LOCAL_PEERCRED: Final = 1  # sys/un.h; Python has no name for it
_DARWIN_SOL_LOCAL: Final = 0
_DARWIN_XUCRED_SIZE: Final = 76  # sizeof(struct xucred)


class PeerSocket(Protocol):
    """A connected Unix socket, as far as asking about its peer needs one."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """The raw bytes of a socket option (getsockopt(2))."""
        ...


def peer_uid(connection: PeerSocket) -> int:
    """The effective uid of the process at the other end.

    Raises:
        OSError: if the kernel does not tell.
    """
    if sys.platform == "darwin":
        raw = connection.getsockopt(_DARWIN_SOL_LOCAL, _DARWIN_LOCAL_PEERCRED, _DARWIN_XUCRED_SIZE)
        _, uid = _XUCRED.unpack_from(raw)
        return int(uid)
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, _ = _UCRED.unpack(raw)
    return int(uid)
