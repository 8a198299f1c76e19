"""The envelope around one snapshot: a pure, self-checking byte format.

    magic 4 | format u16 | schema length u8 | path length u16 | version u32 | generation u64
    | sequence u64 | written at f64 | body length u32 | schema | path | body | crc32c u32

Integers are big-endian. The checksum covers every byte before it and stands at the end in every
format, now and later: so a flipped format number is damage, and only a whole record can be "too
new". CRC-32C finds every burst of up to 32 bits, hence every changed byte (decision 0004).

The body is msgpack, read with explicit limits; no extension types, no pickle. `strict_map_key`
stays on: map keys are str or bytes, as nothing of ours needs others, and a rule may be loosened
later but never tightened. What could not be read back is refused when it is packed, by reading
it back: a state must not turn out unreadable at the next boot. Not promised: secrecy.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, assert_never, cast, final

import google_crc32c
import msgpack  # type: ignore[import-untyped]  # msgpack ships no types; the casts below are its boundary

from treewarden.storage._contract import (
    Append,
    CutJournal,
    Discard,
    DropRow,
    Operation,
    Packed,
    Put,
    PutRow,
    Quarantine,
    Snapshot,
    Table,
)
from treewarden.storage._errors import OperationRefused, RowCorrupt

__all__ = [
    "FORMAT",
    "MAX_BODY_BYTES",
    "Damaged",
    "Prepared",
    "PreparedAppend",
    "PreparedPut",
    "TooNew",
    "claimed",
    "crc32c",
    "decode",
    "decode_row",
    "encode",
    "encode_row",
    "pack",
    "prepare",
    "unpack",
]

FORMAT: Final = 1
MAX_BODY_BYTES: Final = 16 * 1024 * 1024  # one actor's state; larger data belongs in files
MAX_PATH_BYTES: Final = 4096
MAX_SCHEMA_BYTES: Final = 255
MAX_KEY_BYTES: Final = 511  # LMDB's

_MAGIC: Final = b"TWSN"
_FIXED: Final = struct.Struct(">4sHBHIQQdI")
_CRC: Final = struct.Struct(">I")
_SMALL: Final = 1024  # bytes; the buffer grows if it must, msgpack's default takes 256 KiB for each state
_U32: Final = 2**32 - 1
_U64: Final = 2**64 - 1

_packer: Final = cast("Callable[..., _Packer]", msgpack.Packer)  # pyright: ignore[reportUnknownMemberType]  # untyped
_unpackb: Final = cast("Callable[..., object]", msgpack.unpackb)  # pyright: ignore[reportUnknownMemberType]  # untyped
crc32c: Final = cast("Callable[[bytes], int]", google_crc32c.value)  # pyright: ignore[reportUnknownMemberType]  # untyped


class PreparedPut(NamedTuple):  # made for each snapshot: a frozen dataclass would cost four times that
    """A `Put` whose state is packed and whose fields fit the envelope; only the sequence is missing."""

    path: str
    schema: str
    version: int
    generation: int
    written_at: float
    body: bytes


@final
@dataclass(frozen=True, slots=True)
class PreparedAppend:
    """An `Append`, likewise."""

    entry: PreparedPut


Prepared = PreparedPut | PreparedAppend | Discard | Quarantine | CutJournal | PutRow | DropRow


class _Packer(Protocol):
    def pack(self, state: object, /) -> bytes: ...


@final
@dataclass(frozen=True, slots=True)
class Damaged:
    """The bytes are not a record; `why` says what gave them away."""

    why: str


@final
@dataclass(frozen=True, slots=True)
class TooNew:
    """The bytes are a whole record of a later format."""

    format: int


def prepare(operation: Operation, *, written_at: float) -> Prepared:
    """Check `operation` and pack its state, at the caller.

    Raises:
        OperationRefused: if it cannot be stored; names the path and the offending part.
    """
    match operation:
        case Put():
            return _prepared(operation, operation.state, written_at)
        case Append():
            return PreparedAppend(_prepared(operation, operation.entry, written_at))
        case Quarantine(path, sequence) | CutJournal(path, sequence):
            _encoded(path, path, "the path", MAX_PATH_BYTES)
            _within(path, sequence, "sequence", _U64)
            return operation
        case Discard(path):
            _encoded(path, path, "the path", MAX_PATH_BYTES)
            return operation
        case PutRow(table, key, value):
            _check_key(table, key)
            if len(value) > MAX_BODY_BYTES:
                raise OperationRefused(
                    _row_name(table, key), f"it has {len(value)} bytes, at most {MAX_BODY_BYTES} are kept"
                )
            return operation
        case DropRow(table, key):
            _check_key(table, key)
            return operation
        case _:
            assert_never(operation)


def pack(path: str, state: object) -> Packed:
    """Pack `state` as `Put` would; equal states that were built alike pack alike.

    Raises:
        OperationRefused: if it cannot be stored; names `path` and the offending part.
    """
    return Packed(_packed(path, state))


def unpack(packed: Packed) -> object:
    """The state that was packed, made anew; `ValueError` if the bytes are none."""
    return _unpacked(packed.body)


def encode(put: PreparedPut, *, sequence: int) -> bytes:
    """The record of `put` under `sequence`."""
    schema, path = put.schema.encode(), put.path.encode()
    fixed = _FIXED.pack(
        _MAGIC,
        FORMAT,
        len(schema),
        len(path),
        put.version,
        put.generation,
        sequence,
        put.written_at,
        len(put.body),
    )
    covered = b"".join((fixed, schema, path, put.body))
    return covered + _CRC.pack(crc32c(covered))


def decode(record: bytes) -> Snapshot | Damaged | TooNew:
    """Read a record; anything but a whole record of a known format is a value that says so."""
    if len(record) < _FIXED.size + _CRC.size:
        return Damaged(f"{len(record)} bytes are fewer than the smallest record has ({_FIXED.size + _CRC.size})")
    if record[:4] != _MAGIC:
        return Damaged(f"it begins with {record[:4]!r}, not {_MAGIC!r}")
    covered, (written,) = record[: -_CRC.size], _CRC.unpack_from(record, len(record) - _CRC.size)
    if (computed := crc32c(covered)) != written:
        return Damaged(f"its checksum is {computed:08x}, the record says {written:08x}")
    # Only now: in bytes that do not add up, the format number means nothing.
    fields = _FIXED.unpack_from(covered)
    if (found := fields[1]) > FORMAT:
        return TooNew(found)
    return _decode_format_1(covered, fields)


def _decode_format_1(covered: bytes, fields: tuple[object, ...]) -> Snapshot | Damaged:
    _, found, schema_length, path_length, version, generation, sequence, written_at, body_length = cast(
        "tuple[bytes, int, int, int, int, int, int, float, int]", fields
    )
    if found != FORMAT:
        return Damaged(f"it has format {found}, which was never written")
    path_at = _FIXED.size + schema_length
    body_at = path_at + path_length
    if len(covered) != body_at + body_length:
        return Damaged(f"its parts are {body_at + body_length} bytes by its header, {len(covered)} in truth")
    try:
        schema, path = covered[_FIXED.size : path_at].decode(), covered[path_at:body_at].decode()
        state = _unpacked(covered[body_at:])
    except ValueError as error:  # msgpack's and Unicode's errors are ValueErrors
        return Damaged(f"its contents cannot be read: {type(error).__name__} {error}".rstrip())
    return Snapshot(path, schema, version, generation, sequence, written_at, state)


def claimed(record: bytes) -> tuple[str, int]:
    """The path and the sequence that `record` seems to have; quick, and worth nothing if they matter: then `decode` it."""
    if len(record) < _FIXED.size:
        return "", 0
    _, _, schema_length, path_length, _, _, sequence, *_ = _FIXED.unpack_from(record)
    path_at = _FIXED.size + schema_length
    return record[path_at : path_at + path_length].decode(errors="replace"), sequence


def encode_row(row: PutRow) -> bytes:
    """The bytes to keep for `row`: its value, and a checksum over table, key and value."""
    return row.value + _CRC.pack(_row_checksum(row.table, row.key, row.value))


def decode_row(table: Table, key: bytes, kept: bytes) -> bytes:
    """The value in `kept`.

    Raises:
        RowCorrupt: if the bytes do not add up.
    """
    if len(kept) < _CRC.size:
        raise RowCorrupt(table.value, key, f"{len(kept)} bytes are fewer than its checksum has ({_CRC.size})")
    value, (written,) = kept[: -_CRC.size], _CRC.unpack_from(kept, len(kept) - _CRC.size)
    if (computed := _row_checksum(table, key, value)) != written:
        raise RowCorrupt(table.value, key, f"its checksum is {computed:08x}, the row says {written:08x}")
    return value


def _row_checksum(table: Table, key: bytes, value: bytes) -> int:
    # The key counts too: a sound value under another key is damage. Table names end at the NUL.
    return crc32c(b"".join((table.value.encode(), b"\0", key, value)))


def _row_name(table: Table, key: bytes) -> str:
    return f"{table.value} {key[:40].hex()}"


def _check_key(table: Table, key: bytes) -> None:
    if not 1 <= len(key) <= MAX_KEY_BYTES:
        raise OperationRefused(_row_name(table, key), f"its key has {len(key)} bytes, expected 1 to {MAX_KEY_BYTES}")


def _prepared(operation: Put | Append, state: object, written_at: float) -> PreparedPut:
    path, schema, version, generation = operation.path, operation.schema, operation.version, operation.generation
    if not (
        path.isascii()
        and schema.isascii()
        and 0 < len(path) <= MAX_PATH_BYTES
        and 0 < len(schema) <= MAX_SCHEMA_BYTES
        and 0 <= version <= _U32
        and 0 <= generation <= _U64
    ):  # rarely: one by one costs as much as packing the state
        _encoded(path, path, "the path", MAX_PATH_BYTES)
        _encoded(path, schema, "the schema name", MAX_SCHEMA_BYTES)
        _within(path, version, "version", _U32)
        _within(path, generation, "generation", _U64)
    body = state.body if isinstance(state, Packed) else _packed(path, state)
    return PreparedPut(path, schema, version, generation, written_at, body)


def _packed(path: str, state: object) -> bytes:
    try:
        # One for each state: it is of one thread, and keeps the memory of the largest it has packed.
        body = _packer(buf_size=_SMALL).pack(state)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise OperationRefused(
            path,
            f"msgpack cannot take the state: {error}; expected None, bool, 64-bit int, float, str, bytes, list, dict",
        ) from error
    if len(body) > MAX_BODY_BYTES:
        raise OperationRefused(path, f"the state packs to {len(body)} bytes, at most {MAX_BODY_BYTES} are kept")
    try:
        _unpacked(body)
    except ValueError as error:
        raise OperationRefused(
            path,
            f"the state could not be read back: {str(error) or type(error).__name__};"
            " expected maps with str or bytes keys, no extension types",
        ) from error
    return body


def _unpacked(body: bytes) -> object:
    size = len(body)  # no part of a body can have more elements than the body has bytes
    return _unpackb(
        body,
        raw=False,
        strict_map_key=True,
        max_str_len=size,
        max_bin_len=size,
        max_array_len=size,
        max_map_len=size // 2,
        max_ext_len=0,
    )


def _encoded(path: str, text: str, what: str, limit: int) -> None:
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise OperationRefused(
            path, f"{what} {text!r} is not valid Unicode; expected text without surrogates"
        ) from error
    if not 1 <= length <= limit:
        raise OperationRefused(path, f"{what} has {length} bytes, expected 1 to {limit}")


def _within(path: str, number: int, what: str, limit: int) -> None:
    if not 0 <= number <= limit:
        raise OperationRefused(path, f"{what} is {number}, expected 0 to {limit}")
