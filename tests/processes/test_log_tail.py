"""The last lines of a log, read from its end."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.actors.processes._log_tail import tail


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs") / "x.log"


@pytest.mark.parametrize(
    ("content", "lines", "expected"),
    [
        (b"", 3, ()),
        (b"\n", 3, ("",)),
        (b"one\n", 1, ("one",)),
        (b"one\ntwo\n", 1, ("two",)),
        (b"one\ntwo", 1, ("two",)),
        (b"one\ntwo\n", 2, ("one", "two")),
        (b"one\ntwo\n", 9, ("one", "two")),
        (b"one\n\n\n", 2, ("", "")),
        (b"one\ntwo\n", 0, ()),
        (b"a\x0bb\xe2\x80\xa8c\rd\n", 5, ("a\x0bb\u2028c\rd",)),
        (b"caf\xc3\xa9 \xff\n", 1, ("café \ufffd",)),
    ],
)
def test_the_last_lines_are_returned(tmp_path: Path, content: bytes, lines: int, expected: tuple[str, ...]) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(content)

    assert expected == tail(log, lines=lines)


@given(
    content=st.lists(st.binary(max_size=5000).map(lambda line: line.replace(b"\n", b"")), max_size=12),
    ended=st.booleans(),
    lines=st.integers(0, 14),
)
def test_it_equals_reading_the_whole_file(scratch: Path, content: list[bytes], ended: bool, lines: int) -> None:
    whole = b"\n".join(content) + (b"\n" if ended and content else b"")
    scratch.write_bytes(whole)
    every_line = [line.decode("utf-8", "replace") for line in whole.removesuffix(b"\n").split(b"\n")] if whole else []

    assert tuple(every_line[len(every_line) - min(lines, len(every_line)) :]) == tail(scratch, lines=lines)


def test_many_blocks_are_joined(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("".join(f"line {number}\n" for number in range(10_000)))

    assert tuple(f"line {number}" for number in range(7_000, 10_000)) == tail(log, lines=3_000)


def test_a_huge_line_is_cut_at_its_front(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"first\n" + b"x" * 1_000_000 + b"end\n")

    (line,) = tail(log, lines=5, max_bytes=10_000)

    assert len(line) == 10_000 - 1
    assert line.endswith("xend")


def test_only_the_end_of_a_huge_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "x.log"
    with log.open("wb") as file:
        file.truncate(1 << 40)  # a sparse terabyte
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast but one\nlast\n")
    read: list[int] = []
    pread = os.pread

    def counting(fd: int, size: int, offset: int) -> bytes:
        read.append(size)
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", counting)

    assert tail(log, lines=2) == ("last but one", "last")
    assert sum(read) <= 8192


def test_a_missing_file_has_no_lines(tmp_path: Path) -> None:
    assert tail(tmp_path / "nothing.log", lines=3) == ()


def test_a_file_that_cannot_be_read_is_an_error_and_not_empty(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        tail(tmp_path, lines=3)


@pytest.mark.parametrize(("lines", "max_bytes"), [(-1, 10), (1, -1)])
def test_negative_numbers_are_refused(tmp_path: Path, lines: int, max_bytes: int) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        tail(tmp_path / "x.log", lines=lines, max_bytes=max_bytes)
