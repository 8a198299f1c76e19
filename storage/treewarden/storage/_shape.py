"""The shape of what was stored: each look at a part gives it typed, or says what was found instead.

For values below a sound checksum. Their shape was right when they were written, so a wrong one is
damage, or a record that was never ours; it is never guessed at.
"""

from collections.abc import Mapping
from typing import TypeVar, cast

from treewarden.storage._codec import unpack
from treewarden.storage._contract import Packed
from treewarden.storage._errors import ContentDamaged

__all__ = ["listed", "mapped", "optional", "read", "several", "typed"]

T = TypeVar("T")


def read(body: bytes, what: str) -> object:
    """The value packed in `body`; like each of these, `ContentDamaged` about `what` if it is not there."""
    try:
        return unpack(Packed(body))
    except ValueError as error:
        raise ContentDamaged(what, f"it cannot be read: {type(error).__name__} {error}".rstrip()) from error


def typed(found: object, kind: type[T], what: str) -> T:
    """`found`, if it is a `kind`."""
    if not isinstance(found, kind):
        raise ContentDamaged(what, f"found {found!r}, expected {kind.__name__}")
    return found


def optional(found: object, kind: type[T], what: str) -> T | None:
    """`found`, if it is None or a `kind`."""
    return None if found is None else typed(found, kind, what)


def listed(found: object, what: str) -> list[object]:
    """`found`, if it is a list."""
    return cast("list[object]", typed(found, list, what))


def several(found: object, count: int, what: str) -> list[object]:
    """`found`, if it is a list of `count` parts."""
    parts = listed(found, what)
    if len(parts) != count:
        raise ContentDamaged(what, f"it has {len(parts)} parts, expected {count}")
    return parts


def mapped(found: object, what: str) -> Mapping[object, object]:
    """`found`, if it is a map."""
    return cast("Mapping[object, object]", typed(found, dict, what))
