"""Values from a file as values that cannot be changed: what leaves this package is read-only."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias, TypeVar, cast

from treewarden.supervision_trees.definitions._document import WrittenFloat, WrittenInt
from treewarden.supervision_trees.definitions._templates import literal

__all__ = ["Argument", "frozen_argument", "frozen_mapping"]

Argument: TypeAlias = object
"""A value of `args`: text, number, bool, None, a TOML date, a tuple of such, or a read-only mapping of such."""

_T = TypeVar("_T")


def frozen_mapping(mapping: Mapping[str, _T]) -> Mapping[str, _T]:
    """A read-only copy, in the same order."""
    return MappingProxyType(dict(mapping))


def frozen_argument(value: object) -> Argument:
    """Checked plain data, with tuples for lists and read-only mappings for mappings, however deep."""
    match value:
        case str():
            text = literal(value)
            assert text is not None, f"unchecked text: {value!r}"
            return text
        case list():
            return tuple(frozen_argument(item) for item in cast("list[object]", value))
        case dict():
            mapping = cast("dict[str, object]", value)
            return frozen_mapping({key: frozen_argument(item) for key, item in mapping.items()})
        case WrittenInt():
            return int(value)
        case WrittenFloat():
            return float(value)
        case _:
            return value
