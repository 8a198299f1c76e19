"""The rows of the event journal as bytes: one event each, read back or told to be damaged. Pure.

A row says how many bytes were written before it (`start`) and how many of the numbers up to it belong to no
event (`void`), so that sizes and counts over a range are differences of two rows. An event that cannot be
packed, or is very long, is kept with its texts mended and cut: an event must not keep the others from being written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast, final

from treewarden.storage._codec import pack, unpack
from treewarden.storage._contract import Packed, TableRow
from treewarden.storage._errors import OperationRefused, RowCorrupt

__all__ = [
    "LARGEST",
    "MARK",
    "OVERHEAD",
    "DamagedEvent",
    "KeptEvent",
    "StoredEvent",
    "key_of",
    "mark_value",
    "number_of",
    "read_mark",
    "read_row",
    "row_value",
    "void_of",
]

LARGEST: Final = 2**64 - 1

MARK: Final = b"\x00"  # the key before every number: up to which number numbers are reserved
OVERHEAD: Final = 40  # bytes of a row beside its value, about: key, checksum, node of the tree
_LONGEST: Final = 256 * 1024  # bytes of one event's row; longer ones are cut
_LONGEST_TEXT: Final = 4_000  # characters of a text in an event that is cut
_MOST_ITEMS: Final = 50  # of a list in one
_WHAT: Final = "an event"  # in the words of an error


@final
@dataclass(frozen=True, slots=True)
class KeptEvent:
    """An event with its number and wall time, or a gap: a row that stands for the numbers from `first` to `sequence`.

    `lost` of them were given to events that nobody kept (None: it is no gap); what became of the others is not known.
    `runtime` is the run that told it, `fields` what it told, as plain values.
    """

    sequence: int
    at: float
    runtime: str
    fields: Mapping[str, object]
    first: int
    lost: int | None

    @classmethod
    def of(cls, sequence: int, at: float, runtime: str, fields: Mapping[str, object]) -> "KeptEvent":
        """An ordinary event, which stands for itself."""
        return cls(sequence, at, runtime, fields, sequence, None)


@final
@dataclass(frozen=True, slots=True)
class DamagedEvent:
    """A row that cannot be believed, and why."""

    sequence: int
    why: str


@final
@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row that was read: `start` bytes were written before it, `void` numbers up to it belong to no event."""

    event: KeptEvent
    start: int
    void: int
    size: int

    @property
    def void_before(self) -> int:
        return self.void - void_of(self.event)


def void_of(event: KeptEvent) -> int:
    """How many of the numbers that `event` stands for belong to no event that is known of."""
    return 0 if event.lost is None else event.sequence - event.first + 1 - event.lost


def key_of(sequence: int) -> bytes:
    """The key of the row `sequence`: their order is that of the numbers."""
    return sequence.to_bytes(8, "big")


def number_of(key: bytes) -> int:
    """The number whose key is `key`."""
    return int.from_bytes(key, "big")


def mark_value(reserved: int) -> bytes:
    """The value of the row `MARK`."""
    return pack(_WHAT, {"reserved": reserved}).body


def read_mark(value: bytes) -> int | None:
    """Up to which number numbers are reserved; None if `value` does not say."""
    try:
        found = unpack(Packed(value))
    except ValueError:
        return None
    match found:
        case {"reserved": int(reserved)} if 0 <= reserved < LARGEST:
            return reserved
        case _:
            return None


def row_value(event: KeptEvent, start: int, void: int) -> bytes:
    """The value of the row of `event`."""
    plain: dict[str, object] = {
        "sequence": event.sequence,
        "at": event.at,
        "runtime": event.runtime,
        "start": start,
        "void": void,
        "fields": event.fields,
    }
    if event.lost is not None:
        plain |= {"first": event.first, "lost": event.lost}
    try:
        packed = pack(_WHAT, plain).body
    except OperationRefused:
        packed = b""
    if not 0 < len(packed) <= _LONGEST:
        packed = pack(_WHAT, {**plain, "fields": _mended(event.fields)}).body
    return packed


def _mended(value: object) -> object:
    """`value` as what can be kept: short texts of valid Unicode, plain numbers, short lists and maps of them."""
    match value:
        case None | bool() | float():
            return value
        case int():
            return value if abs(value) < 2**63 else str(value)
        case str():
            text = value.encode(errors="backslashreplace").decode()
            return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}... ({len(text)} characters)"
        case list() | tuple():
            items = cast("Sequence[object]", value)
            return [_mended(item) for item in items[:_MOST_ITEMS]]
        case Mapping():
            fields = cast("Mapping[object, object]", value)
            return {str(_mended(str(name))): _mended(found) for name, found in fields.items()}
        case _:
            return _mended(str(value))


def read_row(row: TableRow | RowCorrupt) -> StoredEvent | DamagedEvent:
    """What a row of the store says."""
    number = number_of(row.key)
    if isinstance(row, RowCorrupt):
        return DamagedEvent(number, row.why)
    try:
        plain = unpack(Packed(row.value))
    except ValueError as error:
        return DamagedEvent(number, f"its contents cannot be read: {error}")
    if not isinstance(plain, dict):
        return DamagedEvent(number, "it is no event of a known form")
    stored = cast("dict[str, object]", plain)
    at, runtime, start, void = (stored.get(name) for name in ("at", "runtime", "start", "void"))
    first, lost, fields = stored.get("first", number), stored.get("lost"), stored.get("fields")
    if (
        stored.get("sequence") == number
        and isinstance(at, int | float)
        and isinstance(runtime, str)
        and isinstance(start, int)
        and isinstance(void, int)
        and isinstance(first, int)
        and isinstance(lost, int | None)
        and isinstance(fields, dict)
    ):
        told = cast("dict[str, object]", fields)
        event = KeptEvent(number, float(at), runtime, told, first, lost)
        return StoredEvent(event, start, void, len(row.value) + OVERHEAD)
    return DamagedEvent(number, "it is no event of a known form")
