"""A node that claims another size than it has is found before the engine removes it: it would write over other memory."""

import random
import struct
from pathlib import Path

import lmdb
import lmdb.verify
import pytest

from treewarden.storage import LmdbStore, Put, StoreUnusable, StructureDamaged, back_up, verify_store
from treewarden.storage._pages import unpacked_pages


def change_at_random(environment: lmdb.Environment, chance: random.Random) -> None:
    """Put, change and delete keys and values of many sizes, in trees that grow and shrink."""
    databases = [environment.open_db(name) for name in (b"one", b"two", b"three")]
    for _ in range(60):
        with environment.begin(write=True) as txn:
            for _ in range(chance.randrange(1, 60)):
                database = chance.choice(databases)
                key = b"%d" % chance.randrange(400) + b"k" * chance.choice([0, 1, 7, 300])
                if chance.random() < 0.4:
                    txn.delete(key, db=database)
                else:
                    txn.put(key, bytes(chance.choice([0, 1, 7, 100, 1001, 2000, 5000, 20_000])), db=database)


def test_whatever_the_engine_wrote_lies_side_by_side(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    with lmdb.open(str(tmp_path / "store"), map_size=2**28, max_dbs=16, lib_version=0, sync=False) as environment:
        change_at_random(environment, random.Random(seed))
        assert environment.info()["last_txnid"] > 60
        found = list(unpacked_pages(tmp_path / "store" / "data.mdb"))

    assert found == [], f"seed {seed}"


@pytest.mark.parametrize("change", [-2, 2, 124])
def test_a_node_of_the_wrong_size_is_damage_of_the_structure(tmp_path: Path, change: int) -> None:
    """`lmdb.verify` finds none: the node is inside its page."""
    store = LmdbStore.open(tmp_path / "store")
    for number in range(3):
        store.commit([Put(f"/dev/a{number}", "s", 1, 1, bytes(200))]).result(10)
    store.close()
    data = tmp_path / "store" / "data.mdb"
    kept = bytearray(data.read_bytes())
    record = 0
    while (record := kept.find(b"TWSN", record + 1)) > 0:  # in every page that was ever of these records
        size = record - 8 - 24  # before it: the key, and the head of the node
        (length,) = struct.unpack_from("=H", kept, size)
        if (record % 4096) + length + change <= 4096:
            struct.pack_into("=H", kept, size, length + change)
    data.write_bytes(kept)

    assert lmdb.verify.verify(str(tmp_path / "store")) == []  # pyright: ignore[reportUnknownMemberType]  # untyped
    (problem,) = verify_store(tmp_path / "store").problems
    assert isinstance(problem, StructureDamaged)
    assert "do not lie side by side" in problem.why
    with pytest.raises(StoreUnusable, match="its file is damaged"):
        back_up(tmp_path / "store", tmp_path / "backup")
