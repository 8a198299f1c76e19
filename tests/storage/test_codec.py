"""The envelope: round trips, and every kind of damage found."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.storage import OperationRefused, Put, Snapshot
from treewarden.storage._codec import Damaged, PreparedPut, TooNew, crc32c, decode, encode, prepare

U64 = 2**64 - 1
paths = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), U64)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"))
    | st.binary()
)
states = st.recursive(
    leaves,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")) | st.binary(), inner),
    max_leaves=20,
)
puts = st.builds(
    Put,
    path=paths,
    schema=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    version=st.integers(0, 2**32 - 1),
    generation=st.integers(0, U64),
    state=states,
)


def record_of(put: Put, *, sequence: int = 1, written_at: float = 0.0) -> bytes:
    prepared = prepare(put, written_at=written_at)
    assert isinstance(prepared, PreparedPut)
    return encode(prepared, sequence=sequence)


@given(put=puts, sequence=st.integers(0, U64), written_at=st.floats(allow_nan=False))
def test_a_put_is_read_back_as_it_was(put: Put, sequence: int, written_at: float) -> None:
    assert Snapshot(put.path, put.schema, put.version, put.generation, sequence, written_at, put.state) == decode(
        record_of(put, sequence=sequence, written_at=written_at)
    )


@given(put=puts, mask=st.integers(1, 255))
def test_every_changed_byte_of_a_record_is_found(put: Put, mask: int) -> None:
    record = record_of(put)
    believed = [
        position
        for position in range(len(record))
        if not isinstance(
            decode(record[:position] + bytes([record[position] ^ mask]) + record[position + 1 :]), Damaged
        )
    ]

    assert believed == []


@given(put=puts)
def test_every_truncation_of_a_record_is_found(put: Put) -> None:
    record = record_of(put)

    assert [length for length in range(len(record)) if not isinstance(decode(record[:length]), Damaged)] == []


@given(put=puts, tail=st.binary(min_size=1, max_size=8))
def test_bytes_after_a_record_are_found(put: Put, tail: bytes) -> None:
    assert isinstance(decode(record_of(put) + tail), Damaged)


@given(junk=st.binary(max_size=200))
def test_no_bytes_make_reading_raise(junk: bytes) -> None:
    assert isinstance(decode(b"TWSN" + junk), Damaged)


def with_checksum(covered: bytes) -> bytes:
    return covered + crc32c(covered).to_bytes(4, "big")


@given(junk=st.binary(min_size=38, max_size=200))
def test_no_bytes_with_a_right_checksum_make_reading_raise(junk: bytes) -> None:
    assert isinstance(decode(with_checksum(b"TWSN\x00\x01" + junk)), Damaged | Snapshot)


def test_a_whole_record_of_a_later_format_is_too_new_whatever_follows() -> None:
    assert TooNew(2) == decode(with_checksum(b"TWSN\x00\x02" + b"unknown layout" * 9))


def test_a_format_below_the_first_is_damage() -> None:
    assert Damaged("it has format 0, which was never written") == decode(with_checksum(b"TWSN\x00\x00" + bytes(60)))


def test_a_checksum_made_for_other_lengths_is_damage() -> None:
    record = record_of(Put("/a", "s", 1, 1, "state"))
    found = decode(with_checksum(record[:-4] + b"more"))

    assert isinstance(found, Damaged)
    assert "by its header" in found.why


@pytest.mark.parametrize(
    "body", [b"\xc1", b"\x92\x01", b"\x01\x01", b"", b"\x81\x01\x02", b"\xd4\x05x", b"\xa2\xff\xff"]
)
def test_a_body_that_is_not_one_plain_msgpack_value_is_damage(body: bytes) -> None:
    found = decode(encode(PreparedPut("/a", "s", 1, 1, 0.0, body), sequence=1))

    assert isinstance(found, Damaged)
    assert "its contents cannot be read" in found.why


def test_a_body_that_nests_without_end_is_damage_not_a_crash() -> None:
    body = b"\x91" * 1_000_000 + b"\xc0"

    assert isinstance(decode(encode(PreparedPut("/a", "s", 1, 1, 0.0, body), sequence=1)), Damaged)


def test_the_checksum_is_crc_32c_and_not_another_crc() -> None:
    """The check value of CRC-32/ISCSI, RFC 3720 appendix B.4: 32 bytes of zeroes."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"123456789") == 0xE3069283


def test_a_record_of_format_1_has_these_bytes() -> None:
    """Golden: a store written by the first release is read by every later one."""
    golden = (
        bytes.fromhex("5457534e0001070008000000030000000000000007000000000000002a41d954fc4010000000000006")
        + b"process"
        + b"/dev/api"
        + bytes.fromhex("81a370696405")
    )
    expected = Snapshot("/dev/api", "process", 3, 7, 42, 1_700_000_000.25, {"pid": 5})

    assert with_checksum(golden) == record_of(
        Put("/dev/api", "process", 3, 7, {"pid": 5}), sequence=42, written_at=1_700_000_000.25
    )
    assert expected == decode(with_checksum(golden))


def test_nan_is_kept() -> None:
    found = decode(record_of(Put("/a", "s", 1, 1, math.nan)))

    assert isinstance(found, Snapshot)
    assert isinstance(found.state, float)
    assert math.isnan(found.state)


def test_a_tuple_comes_back_as_a_list() -> None:
    found = decode(record_of(Put("/a", "s", 1, 1, (1, (2,)))))

    assert isinstance(found, Snapshot)
    assert found.state == [1, [2]]


def test_a_refusal_names_the_way_out() -> None:
    with pytest.raises(OperationRefused, match=r"cannot store '/a': .*expected maps with str or bytes keys"):
        prepare(Put("/a", "s", 1, 1, {1: 2}), written_at=0.0)
