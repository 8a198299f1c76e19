"""Frames: one msgpack map behind a four-byte big-endian length.

Pure: bytes in, values out. An answer has at most `MAX_FRAME` bytes of body, a request `MAX_REQUEST`;
the length is judged before a byte of the body is read, so nobody makes the other side hold more.
Text that is not valid Unicode (a lone surrogate from an undecodable byte) survives the trip.

Not promised: that a map means anything; that is `_wire`.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Final, cast

import msgpack  # type: ignore[import-untyped]  # msgpack ships no types; the casts below are its boundary

from treewarden.actors import TreewardenError

__all__ = [
    "HEADER_SIZE",
    "MAX_FRAME",
    "MAX_REQUEST",
    "FrameError",
    "FrameTooLarge",
    "body_length",
    "decode_body",
    "encode_frame",
]

MAX_FRAME: Final = 4 * 1024 * 1024  # bytes of body
MAX_REQUEST: Final = 1024 * 1024  # bytes of body; the longest command carries a definition (LONGEST_DEFINITION)
_HEADER: Final = struct.Struct(">I")
HEADER_SIZE: Final = _HEADER.size

_packb: Final = cast("Callable[..., bytes]", msgpack.packb)  # pyright: ignore[reportUnknownMemberType]  # untyped
_unpackb: Final = cast("Callable[..., object]", msgpack.unpackb)  # pyright: ignore[reportUnknownMemberType]  # untyped


class FrameError(TreewardenError):
    """These bytes are no frame, or this value fits in none."""


class FrameTooLarge(FrameError):
    """A frame longer than it may be: `length` bytes were announced or needed."""

    def __init__(self, length: int, most: int) -> None:
        super().__init__(f"a frame of {length} bytes, expected at most {most}")
        self.length = length


def encode_frame(message: Mapping[str, object]) -> bytes:
    """The frame that carries `message`.

    Raises:
        FrameTooLarge: if its body would be longer than `MAX_FRAME`.
        FrameError: if a value in it is not plain (text, bytes, numbers, booleans, None, lists, maps).
    """
    try:
        body = _packb(message, unicode_errors="surrogatepass")
    except (TypeError, ValueError, OverflowError) as error:
        raise FrameError(f"a message that cannot be written as msgpack: {error}") from error
    if len(body) > MAX_FRAME:
        raise FrameTooLarge(len(body), MAX_FRAME)
    return _HEADER.pack(len(body)) + body


def body_length(header: bytes, *, most: int) -> int:
    """How many bytes follow this header of `HEADER_SIZE` bytes.

    Raises:
        FrameTooLarge: if they are more than `most`.
    """
    (length,) = cast("tuple[int]", _HEADER.unpack(header))
    if length > most:
        raise FrameTooLarge(length, most)
    return length


def decode_body(body: bytes) -> dict[str, object]:
    """The map that `body` carries.

    Raises:
        FrameError: if it is not exactly one msgpack map with text keys.
    """
    try:
        message = _unpackb(body, unicode_errors="surrogatepass", strict_map_key=True)
    except (ValueError, TypeError, OverflowError) as error:  # msgpack's own errors are ValueErrors
        raise FrameError(f"{len(body)} bytes that are not msgpack ({type(error).__name__}: {error})") from error
    if not isinstance(message, dict):
        raise FrameError(f"a msgpack {type(message).__name__}, expected a map")
    plain = cast("dict[object, object]", message)
    for key in plain:
        if not isinstance(key, str):
            raise FrameError(f"a map with the key {key!r}, expected text keys only")
    return cast("dict[str, object]", plain)
