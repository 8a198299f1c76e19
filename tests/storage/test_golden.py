"""Bytes of every release are read by this one: golden files of each layout, format, schema and version.

`golden/README.md` says what lies there. What is written today is compared too, so that no format
changes without a new number and a new file.
"""

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path

import lmdb
import pytest

from treewarden.actors.processes import PROCESS_SCHEMA
from treewarden.actors.processes._record import PROCESS_VERSION, Phase, ProcessRecord
from treewarden.storage import (
    ActorEntry,
    Checkpoint,
    CheckpointStatus,
    Content,
    HolderIdentity,
    KeptTimer,
    LmdbStore,
    Put,
    Snapshot,
    SnapshotCorrupt,
    Trigger,
    pack,
)
from treewarden.storage._canonical import Digest
from treewarden.storage._checkpoint_content import in_canonical_order
from treewarden.storage._checkpoint_pages import decode, encode
from treewarden.storage._checkpoint_row import key_of, row_from, value_of
from treewarden.storage._codec import FORMAT, PreparedPut, prepare
from treewarden.storage._codec import decode as decode_record
from treewarden.storage._codec import encode as encode_record
from treewarden.storage._lmdb_files import LAYOUT
from treewarden.storage._migrations import CHECKPOINT_ROW_SCHEMA, CHECKPOINT_SCHEMA, MIGRATIONS
from treewarden.supervision_trees import _records

GOLDEN = Path(__file__).parent / "golden"
WALL = 1_700_000_000.25

STATES: Mapping[str, object] = {
    "/golden/counter": {"count": 42},
    "/golden/bytes": {"data": b"\x00\xff", "none": None, "list": [1, 2.5, "x", True]},
    "/golden#window": [1_699_999_990.0],
    "/golden/api": {
        "incarnation": 2,
        "phase": "ended",
        "identity": [4711, 123456, "00000000"],
        "fingerprint": "f" * 32,
        "runtime": "r" * 32,
        "spawned_at": 1_699_999_999.5,
    },
}

RECORDS: Mapping[str, Snapshot] = {
    "actor-golden.Counter-1": Snapshot(
        "/golden/counter",
        "actor:golden.Counter",
        1,
        4,
        9,
        WALL,
        {"count": 42, "seen": [1, 2.5, "x", True, None], "raw": b"\x00\xff"},
    ),
    "treewarden.process-1": Snapshot(
        "/golden/api",
        "treewarden.process",
        1,
        2,
        10,
        WALL,
        {
            "incarnation": 2,
            "phase": "spawned",
            "identity": [4711, 123456, "00000000"],
            "fingerprint": "f" * 32,
            "runtime": "r" * 32,
            "spawned_at": 1_699_999_999.5,
        },
    ),
    "restart-window-1": Snapshot(
        "/golden#window", "restart-window", 1, 0, 11, WALL, [1_699_999_990.0, 1_699_999_995.5]
    ),
    "restarts-1": Snapshot(
        "/golden/counter#restarts",
        "restarts",
        1,
        5,
        12,
        WALL,
        {
            "failures": 2,
            "own": [1_699_999_995.5],
            "crashes": [
                {
                    "at": 1_699_999_995.5,
                    "generation": 4,
                    "reason": "ValueError: no",
                    "traceback": "Traceback ...",
                    "last_message": None,
                    "mailbox": 3,
                    "state": "{'count': 42}",
                }
            ],
        },
    ),
    "mailbox-1": Snapshot(
        "/golden/counter#mailbox",
        "mailbox",
        1,
        0,
        13,
        WALL,
        {"scope": "/golden", "queue": [b"\xa4job1"], "timers": [[2.5, None, b"\xa4tick"], [1.0, 5.0, b"\xa4tock"]]},
    ),
}


def golden_content() -> Content:
    """What the golden checkpoint of version 1 holds: enough actors for pages below pages."""
    counters = [
        ActorEntry(f"/golden/c{number:02}", "actor:golden.Counter", 1, pack("/", {"count": number}))
        for number in range(40)
    ]
    others = [
        ActorEntry("/golden", None, 0, None),
        ActorEntry(
            "/golden/busy",
            "actor:golden.Busy",
            3,
            pack("/", {"b": b"\x00", "a": [1, 2.5, None, True]}),
            queue=(pack("/", "job1"), pack("/", "job2")),
            queue_left=1,
            timers=(KeptTimer(2.5, None, pack("/", "tick")), KeptTimer(1.0, 5.0, pack("/", "tock"))),
        ),
        ActorEntry(
            "/golden/lease", "actor:golden.Lease", 1, pack("/", {"token": 7}), holder=HolderIdentity(4711, 12, "boot")
        ),
    ]
    return Content("/golden", {each.path: each for each in (*counters, *others)}, {"result": [1, "done"], "none": None})


def golden_row(root: str) -> Checkpoint:
    return Checkpoint(
        7,
        "/golden",
        CheckpointStatus.COMPLETED,
        Trigger.PERIODIC,
        WALL,
        root,
        WALL + 300.0,
        1234,
        43,
        1000,
        2000,
        0.25,
        None,
        (WALL + 400.0,),
    )


@pytest.fixture
def golden_store(tmp_path: Path) -> Callable[[int], Path]:
    """A copy of the golden store of a layout."""

    def copy(layout: int) -> Path:
        directory = tmp_path / "store"
        directory.mkdir()
        kept = (GOLDEN / f"layout-{layout}" / "data.mdb.gz").read_bytes()
        (directory / "data.mdb").write_bytes(gzip.decompress(kept))
        return directory

    return copy


def layout_of(directory: Path) -> bytes | None:
    with lmdb.open(str(directory), max_dbs=16, lib_version=0) as raw:
        meta = raw.open_db(b"meta", create=False)
        with raw.begin() as txn:
            return txn.get(b"layout", db=meta)


def test_every_layout_format_schema_and_version_that_was_released_has_a_golden_file() -> None:
    upper = {
        PROCESS_SCHEMA: PROCESS_VERSION,
        _records.WINDOW_SCHEMA: _records.VERSION,
        _records.CHILD_SCHEMA: _records.VERSION,
    }
    in_envelopes = {
        schema: MIGRATIONS.newest(schema) for schema in MIGRATIONS.schemas - {CHECKPOINT_SCHEMA, CHECKPOINT_ROW_SCHEMA}
    } | upper
    in_values = {schema: MIGRATIONS.newest(schema) for schema in (CHECKPOINT_SCHEMA, CHECKPOINT_ROW_SCHEMA)}
    expected = [
        *(f"layout-{layout}/data.mdb.gz" for layout in range(1, LAYOUT)),
        *(f"format-{number}" for number in range(1, FORMAT + 1)),
        *(
            f"format-{FORMAT}/{schema}-{version}.txt"
            for schema, newest in in_envelopes.items()
            for version in range(1, newest + 1)
        ),
        *(
            f"checkpoints/{schema}-{version}.txt"
            for schema, newest in in_values.items()
            for version in range(1, newest + 1)
        ),
    ]

    assert [name for name in expected if not (GOLDEN / name).exists()] == []
    assert {path.stem for path in (GOLDEN / "format-1").iterdir()} == set(RECORDS)


def test_a_store_of_layout_1_opens_with_every_state_and_is_upgraded(
    golden_store: Callable[[int], Path], open_store: Callable[..., LmdbStore]
) -> None:
    directory = golden_store(1)
    assert layout_of(directory) == b"1"

    store = open_store(directory)

    found = {each.path: each for each in store.scan()}
    aside = found.pop("/golden/aside")
    states = {path: each.state for path, each in found.items() if isinstance(each, Snapshot)}
    assert states == STATES
    assert {each.written_at for each in found.values() if isinstance(each, Snapshot)} == {WALL}
    assert isinstance(aside, SnapshotCorrupt)
    assert (aside.sequence, aside.is_quarantined) == (6, True)
    assert aside.fallback is not None
    assert aside.fallback.state == "old"
    counter, older = store.latest("/golden/counter"), store.older("/golden/counter")
    assert (counter.schema, counter.version, counter.generation, counter.sequence) == ("actor:golden:Counter", 1, 4, 2)
    assert older is not None
    assert (older.state, older.sequence) == ({"count": 41}, 1)
    assert store.latest("/golden/bytes").version == 2
    assert store.commit([Put("/golden/counter", "actor:golden:Counter", 1, 5, {"count": 43})]).result(10) == 8
    store.close()
    assert layout_of(directory) == b"%d" % LAYOUT


def test_an_upgraded_store_opens_again_with_the_same_states(
    golden_store: Callable[[int], Path], open_store: Callable[..., LmdbStore]
) -> None:
    directory = golden_store(1)
    first = open_store(directory)
    store_id = first.store_id
    first.close()

    again = open_store(directory)

    assert again.store_id == store_id
    assert {each.path: each.state for each in again.scan() if isinstance(each, Snapshot)} == STATES


def test_the_process_record_of_layout_1_names_its_process(
    golden_store: Callable[[int], Path], open_store: Callable[..., LmdbStore]
) -> None:
    record = ProcessRecord.from_snapshot(open_store(golden_store(1)).latest("/golden/api"))

    assert (record.phase, record.incarnation) == (Phase.ENDED, 2)
    assert record.identity is not None
    assert record.identity.pid == 4711


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_of_envelope_format_1_reads_as_it_was_written(name: str) -> None:
    kept = bytes.fromhex((GOLDEN / "format-1" / f"{name}.txt").read_text())

    assert decode_record(kept) == RECORDS[name]


@pytest.mark.parametrize("name", RECORDS)
def test_what_is_written_today_is_envelope_format_1(name: str) -> None:
    """If this fails, the format has changed: it needs a new number, and golden files of its own."""
    expected = RECORDS[name]
    put = Put(expected.path, expected.schema, expected.version, expected.generation, expected.state)

    prepared = prepare(put, written_at=expected.written_at)

    assert isinstance(prepared, PreparedPut)
    written = encode_record(prepared, sequence=expected.sequence)
    assert written.hex() == (GOLDEN / "format-1" / f"{name}.txt").read_text().strip()


def test_our_own_readers_take_their_golden_records() -> None:
    record = ProcessRecord.from_snapshot(RECORDS["treewarden.process-1"])

    assert record.phase is Phase.SPAWNED
    assert _records._has_its_shape(RECORDS["restart-window-1"])
    assert _records._has_its_shape(RECORDS["restarts-1"])


def golden_checkpoint(version: int) -> tuple[Digest, bytes, dict[Digest, bytes]]:
    """The root, what timers have left, and the values of the golden checkpoint of a version."""
    lines = (GOLDEN / "checkpoints" / f"checkpoint-{version}.txt").read_text().split()
    root, volatile, *values = map(bytes.fromhex, lines)
    return Digest(root), volatile, dict(zip(map(Digest, values[::2]), values[1::2], strict=True))


def test_a_checkpoint_of_version_1_reads_as_it_was_written() -> None:
    root, volatile, values = golden_checkpoint(1)

    found = decode(root, lambda: volatile, values.get)

    expected = golden_content()
    assert found.runtime == {path: in_canonical_order(entry) for path, entry in expected.runtime.items()}
    assert (found.scope, found.durable) == (expected.scope, expected.durable)


def test_what_is_written_today_is_a_checkpoint_of_version_1() -> None:
    """If this fails, unchanged content would get another digest: raise the version, and add a golden file."""
    root, volatile, values = golden_checkpoint(1)

    encoded = encode(golden_content())

    assert (encoded.root, encoded.volatile, encoded.values) == (root, volatile, values)


def test_a_checkpoint_row_of_version_1_reads_as_it_was_written_and_is_written_so_today() -> None:
    kept = bytes.fromhex((GOLDEN / "checkpoints" / "checkpoint-row-1.txt").read_text())
    expected = golden_row(golden_checkpoint(1)[0].hex())

    assert row_from(key_of(7), kept) == expected
    assert value_of(expected) == kept
