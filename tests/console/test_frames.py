"""Frames: what goes in comes out, and what is no frame is refused before it costs anything."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.supervision_trees.console._frames import (
    HEADER_SIZE,
    MAX_FRAME,
    FrameError,
    FrameTooLarge,
    body_length,
    decode_body,
    encode_frame,
)

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), plain, max_size=6))
def test_a_message_survives_its_frame(message: dict[str, object]) -> None:
    frame = encode_frame(message)

    assert len(frame) - HEADER_SIZE == body_length(frame[:HEADER_SIZE], most=MAX_FRAME)
    assert message == decode_body(frame[HEADER_SIZE:])


def test_text_with_an_undecodable_byte_survives_its_frame() -> None:
    message = {"text": b"caf\xe9".decode(errors="surrogateescape")}

    assert message == decode_body(encode_frame(message)[HEADER_SIZE:])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_map_or_a_frame_error(body: bytes) -> None:
    try:
        message = decode_body(body)
    except FrameError:
        return
    assert all(isinstance(key, str) for key in message)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not msgpack"),
        (b"\xc1", "not msgpack"),
        (b"\x92\x01\x02", "a msgpack list, expected a map"),
        (b"\x81\xc4\x03key\x01", "text keys only"),
        (b"\x81\x01\x01", "not msgpack"),
        (b"\x81\xa1a\x01\x00", "not msgpack"),
        (b"\x91" * 100_000, "not msgpack"),
        (b"\xdf\xff\xff\xff\xff", "not msgpack"),
    ],
)
def test_a_body_that_is_no_map_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(FrameError, match=said):
        decode_body(body)


def test_a_length_over_the_limit_is_refused_by_the_header_alone() -> None:
    assert body_length(struct.pack(">I", MAX_FRAME), most=MAX_FRAME) == MAX_FRAME
    with pytest.raises(FrameTooLarge) as caught:
        body_length(struct.pack(">I", MAX_FRAME + 1), most=MAX_FRAME)
    assert caught.value.length == MAX_FRAME + 1


def test_a_message_over_the_limit_is_refused_when_it_is_written() -> None:
    with pytest.raises(FrameTooLarge):
        encode_frame({"text": "x" * MAX_FRAME})


@pytest.mark.parametrize("value", [object(), 2**64, {1, 2}])
def test_a_value_that_is_not_plain_is_refused_when_it_is_written(value: object) -> None:
    with pytest.raises(FrameError, match="cannot be written"):
        encode_frame({"value": value})


def test_a_message_nested_too_deeply_is_refused_when_it_is_written() -> None:
    levels: list[list[object]] = [[]]
    for _ in range(10_000):
        levels.append([levels[-1]])

    try:
        with pytest.raises(FrameError, match="cannot be written"):
            encode_frame({"value": levels[-1]})
    finally:
        for level in levels:  # from the inside out: dropped whole, it would recurse
            level.clear()
