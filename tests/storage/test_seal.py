"""A store that was closed in good order is examined again only if its file has changed since, or after a week."""

from collections.abc import Callable
from pathlib import Path

import pytest

from treewarden.storage import LmdbStore, Put, StoreUnusable, _lmdb_store
from treewarden.storage._seal import EXAMINED_EVERY, SEAL_FILE

OpenStore = Callable[..., LmdbStore]


@pytest.fixture
def examinations(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The stores that were examined."""
    examined: list[Path] = []
    examine = _lmdb_store.examine

    def noting(directory: Path, environment: object) -> object:
        examined.append(directory)
        return examine(directory, environment)  # type: ignore[arg-type]  # passed on as it is

    monkeypatch.setattr(_lmdb_store, "examine", noting)
    return examined


@pytest.fixture
def closed(tmp_path: Path, examinations: list[Path]) -> Path:
    """A store that was closed in good order at time 0."""
    store = LmdbStore.open(tmp_path / "store", wall=lambda: 0.0)
    store.commit([Put(f"/{n}", "s", 1, 1, n) for n in range(100)]).result()
    store.close()
    examinations.clear()
    return tmp_path / "store"


def open_at(directory: Path, now: float = 1.0) -> None:
    store = LmdbStore.open(directory, wall=lambda: now)
    assert store.latest("/7").state == 7
    store.close()


def test_a_store_that_is_as_it_was_closed_is_not_examined_again(closed: Path, examinations: list[Path]) -> None:
    open_at(closed)
    open_at(closed)

    assert examinations == []


@pytest.mark.parametrize(
    "seal", [None, b"", b"{", b"[]", b'{"size": 1}', b"\xff\xfe", b'{"size": "1", "checksum": 2, "examined_at": 0}']
)
def test_without_a_seal_that_can_be_read_it_is_examined(
    closed: Path, examinations: list[Path], seal: bytes | None
) -> None:
    if seal is None:
        (closed / SEAL_FILE).unlink()
    else:
        (closed / SEAL_FILE).write_bytes(seal)

    open_at(closed)

    assert examinations == [closed]


@pytest.mark.parametrize("now", [EXAMINED_EVERY, -1.0], ids=["a week later", "before it was examined"])
def test_what_was_not_examined_for_a_week_is_examined(closed: Path, examinations: list[Path], now: float) -> None:
    open_at(closed, now)
    open_at(closed, now)

    assert examinations == [closed]


def test_a_changed_byte_breaks_the_seal_whatever_it_is(closed: Path, examinations: list[Path]) -> None:
    data = closed / "data.mdb"
    found = bytearray(data.read_bytes())
    unused = found.rindex(bytes(64))  # in a part that nothing is kept in
    found[unused] ^= 1
    data.write_bytes(found)

    open_at(closed)

    assert examinations == [closed]


def test_a_damaged_store_is_refused_though_it_has_a_seal(closed: Path) -> None:
    data = closed / "data.mdb"
    found = bytearray(data.read_bytes())
    page = 4096 * 3
    found[page + 10 : page + 16] = b"\xff" * 6
    data.write_bytes(found)

    with pytest.raises(StoreUnusable, match="damaged"):
        open_at(closed)


def test_a_killed_owner_leaves_no_seal_that_holds(
    closed: Path, examinations: list[Path], start_program: Callable[..., object], open_store: OpenStore
) -> None:
    writer = start_program("endless_writer.py", str(closed), "0")
    for _ in range(50):
        assert writer.stdout.readline()  # type: ignore[attr-defined]  # a Popen
    writer.kill()  # type: ignore[attr-defined]  # a Popen
    writer.wait()  # type: ignore[attr-defined]  # a Popen

    open_store(closed)

    assert examinations == [closed]
