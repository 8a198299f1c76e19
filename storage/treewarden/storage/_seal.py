"""The seal of a store that was closed in good order: the file is, byte for byte, what was closed then.

Examining a store (`_examination`) costs some 25 microseconds for each path, a checksum over the file
hardly anything. So the owner seals the file when it closes it, and who opens it next examines it only if
it is not what was sealed: after kill -9, or when a byte has changed since. What was damaged while the
store was open would be sealed with the rest; so it is examined all the same once it was not for a week.

The seal needs no care: a torn one, or one of an older file, is none, for the checksum is over every byte.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, cast, final

import google_crc32c

from treewarden.storage._places import DATA_FILE

__all__ = ["EXAMINED_EVERY", "Seal", "seal", "unbroken_seal"]

EXAMINED_EVERY: Final = 7 * 24 * 3600.0  # seconds
SEAL_FILE: Final = "sealed"
_CHUNK: Final = 2**20  # bytes read at a time
_LONGEST: Final = 4096


@final
@dataclass(frozen=True, slots=True)
class Seal:
    """What a file was when it was sealed. `examined_at` is when all of it was looked at last, in wall seconds."""

    size: int
    checksum: int
    examined_at: float


def seal(directory: Path, *, examined_at: float) -> None:
    """Seal the store in `directory`, which nobody has open for writing.

    Raises:
        OSError: it cannot be; then it is examined when it is opened.
    """
    size, checksum = _measure(directory / DATA_FILE)
    line = json.dumps(asdict(Seal(size, checksum, examined_at))).encode()
    descriptor = os.open(directory / SEAL_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def unbroken_seal(directory: Path, *, now: float) -> Seal | None:
    """The seal of the store in `directory`, if the file is what was sealed and was examined in the last week.

    Raises:
        OSError: the store's file cannot be read.
    """
    found = _read(directory / SEAL_FILE)
    # A clock that was set back makes it seem examined in the future: then it is examined again.
    if found is None or not 0 <= now - found.examined_at < EXAMINED_EVERY:
        return None
    return found if (found.size, found.checksum) == _measure(directory / DATA_FILE) else None


def _measure(data: Path) -> tuple[int, int]:
    size = checksum = 0
    with data.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            checksum = cast("int", google_crc32c.extend(checksum, chunk))  # pyright: ignore[reportUnknownMemberType]  # untyped
    return size, checksum


def _read(path: Path) -> Seal | None:
    try:
        with path.open("rb") as file:
            found: object = json.loads(file.read(_LONGEST))
    except (OSError, ValueError, RecursionError):
        return None
    match found:
        case {"size": int(size), "checksum": int(checksum), "examined_at": int() | float() as examined_at}:
            return Seal(size, checksum, float(cast("float", examined_at)))
        case _:
            return None
