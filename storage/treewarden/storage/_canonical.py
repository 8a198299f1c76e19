"""One byte form for each value, and the digest of bytes: what content is recognised by.

The form is what `pack` makes of the value once the entries of every map, at every depth, are in the
order of their keys (CK2: an order or a choice of keys that reaches only the outermost map makes
different states look alike). A float stays a float, and str and bytes stay apart, as do True, 1 and
1.0. A tuple is packed as a list, a subclass as its base type. Sets are refused, as is whatever else
`pack` refuses. The digest is BLAKE2b with 32 bytes, over exactly the bytes that are stored.
"""

import hashlib
from typing import Final, NewType, cast

from treewarden.storage._codec import pack, unpack
from treewarden.storage._contract import Packed
from treewarden.storage._errors import OperationRefused

__all__ = ["DIGEST_BYTES", "Digest", "canonical", "digest_of_bytes", "in_canonical_form"]

Digest = NewType("Digest", bytes)
"""The digest of stored bytes, made by `digest_of_bytes`."""

DIGEST_BYTES: Final = 32


def canonical(value: object, *, path: str) -> bytes:
    """The one byte form of `value`, which belongs to `path`.

    Raises:
        OperationRefused: if it cannot be stored; names `path` and the offending part.
    """
    try:
        ordered = _in_order(value)
    except RecursionError:
        ordered = value  # too deep for `pack` as well, which says so
    return pack(path, ordered).body


def in_canonical_form(state: Packed, *, path: str) -> bytes:
    """The one byte form of what is in `state`, however that was put together.

    Raises:
        OperationRefused: if `state` holds no value.
    """
    try:
        value = unpack(state)
    except ValueError as error:
        raise OperationRefused(path, f"what is packed cannot be read: {type(error).__name__} {error}") from error
    return canonical(value, path=path)


def digest_of_bytes(body: bytes) -> Digest:
    """What `body` is recognised by."""
    return Digest(hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest())


def _in_order(value: object) -> object:
    if isinstance(value, dict):
        entries = cast("dict[object, object]", value).items()
        return {key: _in_order(item) for key, item in sorted(entries, key=lambda entry: _place(entry[0]))}
    if isinstance(value, list | tuple):
        return [_in_order(item) for item in cast("list[object]", value)]
    return value


def _place(key: object) -> tuple[int, bytes]:
    match key:
        case str():
            return 0, key.encode(errors="surrogatepass")
        case bytes():
            return 1, key
        case _:
            return 2, b""  # `pack` refuses it
