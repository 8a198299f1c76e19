"""Messages that outlive their actor in a checkpoint: which do, and how they are written.

An actor's class names them in `durable_messages`: dataclasses, or plain types like `dict` and `str`. A
message of another type is not kept, so nothing comes back that nobody meant to: a timer that
`on_start` sets anyhow would go off twice. Written is the name of the class, as `durable_messages` has
it, and its fields; reading looks the name up there and nowhere else, so what is stored can name no
other code. Values are exact: None, bool, int, float, str, bytes, list, dict with str or bytes keys, and
dataclasses that are named as well; a tuple would come back as a list, so it is not kept.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from treewarden.actors._errors import TreewardenError
from treewarden.storage import OperationRefused, Packed, pack, unpack

if TYPE_CHECKING:
    from treewarden.actors._durable import Durable

__all__ = ["MessageUnreadable", "pack_message", "unpack_message"]

_SCALARS: Final = (type(None), bool, int, float, str, bytes)
_PLAIN: Final = ""  # no class has this name
_CLASS: Final = "#"  # no dataclass has such a field


class MessageUnreadable(TreewardenError):
    """A message that was kept is none that the actor's class names now."""


class _NotKept(Exception):
    """The message, or something in it, is not of a kind that is kept."""


def pack_message(actor_class: "type[Durable]", message: object) -> Packed | None:
    """`message` in bytes; None if it is none that `actor_class` keeps."""
    kinds = actor_class.durable_messages
    if type(message) not in kinds:
        return None
    try:
        return pack(actor_class.__name__, _plain(message, kinds))
    except (_NotKept, OperationRefused):  # the latter: an int beyond 64 bits, text with surrogates, too large
        return None


def unpack_message(actor_class: "type[Durable]", packed: Packed) -> object:
    """The message that was packed.

    Raises:
        MessageUnreadable: its class is not named by `actor_class` any more, or has other fields.
    """
    named = {kind.__qualname__: kind for kind in actor_class.durable_messages if dataclasses.is_dataclass(kind)}
    try:
        return _message(unpack(packed), named)
    except (TypeError, ValueError) as error:
        raise MessageUnreadable(
            f"a message that was kept cannot be read: {error}; {actor_class.__qualname__} keeps"
            f" {', '.join(kind.__qualname__ for kind in actor_class.durable_messages) or 'none'}"
        ) from error


def _plain(value: object, kinds: tuple[type, ...]) -> object:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is list:
        return [_plain(each, kinds) for each in cast("list[object]", value)]
    if kind is dict:
        # As pairs under a mark of its own: a dict with the mark in it must not be read as a dataclass.
        items = cast("dict[object, object]", value).items()
        return {_CLASS: _PLAIN, "items": [[_plain(key, kinds), _plain(each, kinds)] for key, each in items]}
    if kind in kinds and dataclasses.is_dataclass(value):
        fields = {field.name: _plain(getattr(value, field.name), kinds) for field in dataclasses.fields(value)}
        return {_CLASS: kind.__qualname__, "fields": fields}
    raise _NotKept


def _message(value: object, named: Mapping[str, type]) -> object:
    if isinstance(value, list):
        return [_message(each, named) for each in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    found = cast("dict[str, Any]", value)
    if found.get(_CLASS) == _PLAIN:
        return {_message(key, named): _message(each, named) for key, each in found["items"]}
    kind = named.get(found.get(_CLASS, ""))
    if kind is None:
        raise ValueError(f"it is a {found.get(_CLASS)!r}")
    return kind(**{name: _message(each, named) for name, each in found["fields"].items()})
