"""The last lines of a log file, read from its end; a log of any size costs the same (MS35).

Not a follower: it looks once. A line is what a newline ends, or the end of the file.
"""

import os
from pathlib import Path
from typing import Final

__all__ = ["tail"]

_BLOCK: Final = 8192  # bytes per read


def tail(path: Path, *, lines: int, max_bytes: int = 65536) -> tuple[str, ...]:
    """The last `lines` lines of `path`, oldest first, without their newlines.

    At most `max_bytes` bytes are looked at, so there may be fewer lines, and the first one may be
    only the end of a longer line. Bytes that are not UTF-8 become U+FFFD. A missing file has no
    lines; any other error is raised. Safe from any thread, also while the file is written to.

    Raises:
        ValueError: if `lines` or `max_bytes` is negative.
        OSError: if the file exists but cannot be read.
    """
    if lines < 0 or max_bytes < 0:
        raise ValueError(f"found lines={lines}, max_bytes={max_bytes}; expected numbers of 0 or more")
    try:
        with path.open("rb", buffering=0) as log:
            end = _read_back(log.fileno(), newlines=lines + 1, max_bytes=max_bytes)
    except FileNotFoundError:
        return ()
    # The newline that ends the last line begins no further one.
    pieces = end.removesuffix(b"\n").split(b"\n") if end else []
    return tuple(piece.decode("utf-8", errors="replace") for piece in pieces[max(0, len(pieces) - lines) :])


def _read_back(log_fd: int, *, newlines: int, max_bytes: int) -> bytes:
    """The end of the file: whole blocks back to where `newlines` newlines are seen, or `max_bytes`."""
    position = size = os.fstat(log_fd).st_size
    blocks: list[bytes] = []
    seen = 0
    while position > 0 and seen < newlines and size - position < max_bytes:
        start = max(0, position - _BLOCK, size - max_bytes)
        block = os.pread(log_fd, position - start, start)
        blocks.append(block)
        seen += block.count(b"\n")
        position = start
    return b"".join(reversed(blocks))
