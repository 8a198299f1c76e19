"""What may be shown of an actor's state and messages to whoever reads a report (OTP's format_status).

By default nothing that could be a secret: attribute names; numbers, truth values and enum members as
they are; of text and containers only the length; of everything else only the type. An actor may say
more, or less, with `describe` and `describe_message`. Those are the user's code: whatever they raise
costs a few words in the report, never the report.
"""

import enum
from collections import deque
from collections.abc import Mapping, Sized
from typing import Final, Protocol, cast

__all__ = ["Describable", "described_message", "described_state", "outline", "put_attributes"]

STATE_LIMIT: Final = 2_000  # characters of a described state
MESSAGE_LIMIT: Final = 200  # characters of a described message
LARGEST_SHOWN: Final = 10**18  # larger numbers look like keys, and are long

# Exactly these types: `len` and `repr` of a subclass run somebody's code.
_SIZED: Final = frozenset({str, bytes, bytearray, list, tuple, dict, set, frozenset, deque})


class Describable(Protocol):
    """An actor, as far as reports look at it."""

    def describe(self) -> object:
        """What may be shown of the state."""
        ...

    def describe_message(self, message: object) -> str:
        """What may be shown of a message."""
        ...


def outline(attributes: Mapping[str, object]) -> dict[str, str]:
    """Each attribute by name, with no more of its value than is safe."""
    return {name: _safe(value) for name, value in attributes.items()}


def put_attributes(actor: object, attributes: Mapping[str, object]) -> None:
    """Give `actor` exactly `attributes`. In this order, so that what stays is never missing to another thread."""
    vars(actor).update(attributes)
    for name in vars(actor).keys() - attributes.keys():
        del vars(actor)[name]


def described_state(actor: Describable) -> str:
    """What `actor.describe()` lets through, as text. On the actor's own turn only."""
    try:
        described = actor.describe()
        text = described if isinstance(described, str) else repr(described)
    except BaseException as error:  # noqa: BLE001 - actor boundary: no description must cost a report
        return f"describe() failed: {type(error).__name__}"  # not its text, which may hold what must not be shown
    return _cut(text, STATE_LIMIT)


def described_message(actor: Describable, message: object) -> str:
    """What `actor.describe_message()` lets through. On the actor's own turn only."""
    try:
        text = str(actor.describe_message(message))
    except BaseException:  # noqa: BLE001 - actor boundary: no description must cost a report
        text = type(message).__name__
    return _cut(text, MESSAGE_LIMIT)


def _safe(value: object) -> str:
    kind = type(value)
    if value is None or kind is bool or kind is float:
        return repr(value)
    if kind is int:
        return repr(value) if -LARGEST_SHOWN < cast("int", value) < LARGEST_SHOWN else "int"
    if isinstance(value, enum.Enum):
        return f"{kind.__name__}.{value.name}"  # not its value, which may be anything
    if kind in _SIZED:
        return f"{kind.__name__} of {len(cast('Sized', value))}"
    return kind.__name__


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
