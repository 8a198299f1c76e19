"""What is found when a store is opened, before anything is read: keys that hide records, rows that may be missed."""

from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from treewarden.storage import Append, LmdbStore, Put, PutRow, RowCorrupt, SnapshotCorrupt, StoreUnusable, Table

OpenStore = Callable[..., LmdbStore]


def made(directory: Path, open_store: OpenStore) -> None:
    store = open_store(directory)
    for number in range(3):
        store.commit(
            [
                Put("/a", "s", 1, 1, number),
                Append("/b", "s", 1, 1, number),
                PutRow(Table.CHECKPOINTS, b"row%d" % number, b"value"),
            ]
        ).result(10)
    store.close()


def rekey(directory: Path, database: bytes, change: Callable[[bytes], bytes], *, which: int = -1) -> None:
    """Give the record at place `which` of a database another key, as a changed byte does."""
    with lmdb.open(str(directory), max_dbs=16, lib_version=0) as raw:
        opened = raw.open_db(database, create=False)
        with raw.begin(write=True) as txn:
            key, value = list(txn.cursor(db=opened))[which]
            txn.delete(key, db=opened)
            txn.put(change(key), value, db=opened)


def first_byte(key: bytes) -> bytes:
    return bytes([key[0] ^ 0x10]) + key[1:]


def sequence_lowered(key: bytes) -> bytes:
    return key[:-1] + bytes([0])


def test_a_snapshot_under_another_path_blocks_its_own_and_lies_aside(tmp_path: Path, open_store: OpenStore) -> None:
    """Otherwise the one before it would pass for the newest."""
    made(tmp_path, open_store)
    rekey(tmp_path, b"snap", first_byte)
    store = open_store(tmp_path)
    with pytest.raises(SnapshotCorrupt) as caught:
        store.latest("/a")

    assert caught.value.is_quarantined
    assert caught.value.fallback is not None
    assert caught.value.fallback.state == 1
    assert [type(each) for each in store.scan()] == [SnapshotCorrupt]
    store.commit([Put("/a", "s", 1, 1, "mended")]).result(10)
    assert store.latest("/a").state == "mended"
    store.close()


def test_a_snapshot_under_a_lower_sequence_blocks_its_path(tmp_path: Path, open_store: OpenStore) -> None:
    made(tmp_path, open_store)
    rekey(tmp_path, b"snap", sequence_lowered)
    store = open_store(tmp_path)
    with pytest.raises(SnapshotCorrupt):
        store.latest("/a")
    store.close()


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("change", [first_byte, sequence_lowered])
def test_a_journal_entry_under_another_key_is_damage_at_its_place(
    tmp_path: Path, open_store: OpenStore, which: int, change: Callable[[bytes], bytes]
) -> None:
    made(tmp_path, open_store)
    rekey(tmp_path, b"journal", change, which=which)
    store = open_store(tmp_path)
    found = store.journal("/b", after=0)
    store.close()

    assert found.damage is not None
    assert [entry.entry for entry in found.entries] == list(range(3))[: len(found.entries)]
    assert len(found.entries) <= which


def test_a_row_is_not_said_to_be_missing_while_one_of_its_table_is_damaged(
    tmp_path: Path, open_store: OpenStore
) -> None:
    made(tmp_path, open_store)
    rekey(tmp_path, b"checkpoints", first_byte)
    store = open_store(tmp_path)
    with pytest.raises(RowCorrupt, match="may be this one"):
        store.row(Table.CHECKPOINTS, b"row2")

    assert store.row(Table.CHECKPOINTS, b"row1") == b"value"
    assert store.row(Table.VALUES, b"row2") is None
    store.close()


@pytest.mark.parametrize("name", [b"sequence", b"store_id"])
def test_a_meta_database_that_does_not_add_up_is_refused(tmp_path: Path, open_store: OpenStore, name: bytes) -> None:
    """A lower sequence would put the next snapshot below the newest, and lose it."""
    made(tmp_path, open_store)
    with lmdb.open(str(tmp_path), max_dbs=16, lib_version=0) as raw:
        meta = raw.open_db(b"meta", create=False)
        with raw.begin(write=True) as txn:
            kept = txn.get(name, db=meta)
            assert kept is not None
            txn.put(name, kept[:-1] + bytes([kept[-1] ^ 1]), db=meta)
    with pytest.raises(StoreUnusable, match="does not add up"):
        open_store(tmp_path)


def test_an_older_root_with_a_raised_transaction_number_is_refused(tmp_path: Path, open_store: OpenStore) -> None:
    """The last commits would be gone, and nothing else would tell."""
    made(tmp_path, open_store)
    data = tmp_path / "data.mdb"
    whole = bytearray(data.read_bytes())
    numbers = {page: int.from_bytes(whole[page * 4096 + 144 : page * 4096 + 152], "little") for page in (0, 1)}
    older = min(numbers, key=lambda page: numbers[page])
    whole[older * 4096 + 145] ^= 0x40
    data.write_bytes(whole)
    with pytest.raises(StoreUnusable, match="its meta pages say transaction"):
        open_store(tmp_path)
