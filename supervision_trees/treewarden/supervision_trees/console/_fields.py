"""Typed reading of one plain map that came from outside: each field is there and of its kind, or an error says so.

Pure. Used only by `_wire`: inside there are frozen values and no maps.
"""

import math
from typing import Final, Never, cast, final

from treewarden.actors import TreewardenError

__all__ = ["Fields", "WireError"]

_SHOWN: Final = 80  # characters of a wrong value that an error repeats


class WireError(TreewardenError):
    """A well-formed frame that says nothing this side understands."""


@final
class Fields:
    """The fields of `plain`, which is called `what` in errors."""

    def __init__(self, what: str, plain: object) -> None:
        self._what = what
        if not isinstance(plain, dict):
            raise WireError(f"{what}: found {_shown(plain)}, expected a map")
        self._plain = cast("dict[str, object]", plain)

    def only(self, *names: str) -> None:
        """Refuse fields that are none of `names`: an option nobody reads must not pass for one that is obeyed."""
        unknown = sorted(set(self._plain) - set(names))
        if unknown:
            raise WireError(f"{self._what}: found the unknown field {unknown[0]!r}, expected {_listed(names)}")

    def text(self, name: str) -> str:
        """A text."""
        value = self.value(name)
        return value if isinstance(value, str) else self._refuse(name, value, "a text")

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self.value(name)
        return value if isinstance(value, bool) else self._refuse(name, value, "true or false")

    def integer(self, name: str, *, least: int | None = None, most: int | None = None) -> int:
        """An integer, from `least` to `most` where they are given."""
        value = self.value(name)
        if not isinstance(value, int) or isinstance(value, bool):
            return self._refuse(name, value, "an integer")
        if (least is not None and value < least) or (most is not None and value > most):
            return self._refuse(
                name, value, f"{'any' if least is None else least} to {'any' if most is None else most}"
            )
        return value

    def number(self, name: str, *, least: float = -math.inf, most: float = math.inf) -> float:
        """A number from `least` to `most`; never NaN."""
        value = self.value(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return self._refuse(name, value, "a number")
        if not least <= value <= most:  # NaN fails every comparison
            return self._refuse(name, value, f"{least:g} to {most:g}")
        return float(value)

    def text_or_none(self, name: str) -> str | None:
        """A text, or nothing."""
        return None if self.value(name) is None else self.text(name)

    def integer_or_none(self, name: str, *, least: int | None = None) -> int | None:
        """An integer, or nothing."""
        return None if self.value(name) is None else self.integer(name, least=least)

    def number_or_none(self, name: str) -> float | None:
        """A number, or nothing."""
        return None if self.value(name) is None else self.number(name)

    def items(self, name: str) -> tuple[object, ...]:
        """A list of anything."""
        value = self.value(name)
        if not isinstance(value, list | tuple):
            return self._refuse(name, value, "a list")
        return tuple(cast("list[object]", value))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        items = self.items(name)
        return tuple(item if isinstance(item, str) else self._refuse(name, item, "a list of texts") for item in items)

    def map(self, name: str) -> dict[str, object]:
        """A map with text keys."""
        return self._map(name, self.value(name))

    def maps(self, name: str) -> tuple[dict[str, object], ...]:
        """A list of maps with text keys."""
        return tuple(self._map(name, item) for item in self.items(name))

    def value(self, name: str) -> object:
        """Whatever stands there; it must be there."""
        try:
            return self._plain[name]
        except KeyError:
            raise WireError(
                f"{self._what}: the field {name!r} is missing; are both sides of the same version?"
            ) from None

    def _map(self, name: str, item: object) -> dict[str, object]:
        if not isinstance(item, dict):
            return self._refuse(name, item, "a list of maps")
        plain = cast("dict[object, object]", item)
        if not all(isinstance(key, str) for key in plain):
            return self._refuse(name, plain, "maps with text keys")
        return cast("dict[str, object]", plain)

    def _refuse(self, name: str, value: object, expected: str) -> Never:
        raise WireError(f"{self._what}.{name}: found {_shown(value)}, expected {expected}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) if names else "no fields"
