"""Process records: what is written can be read, and nothing else passes for one."""

import pytest

from treewarden.actors import ActorPath, HttpProbe, Readiness
from treewarden.actors.processes import (
    FromEnv,
    Phase,
    ProcessIdentity,
    ProcessRecord,
    ProcessRecords,
    ProcessSpec,
    RecordUnreadable,
)
from treewarden.actors.processes._record import RecordClaimed, fingerprint
from treewarden.storage import MemoryStore, Put, Quarantine, SnapshotCorrupt

PATH = ActorPath("/dev/a")


@pytest.mark.parametrize("phase", Phase)
def test_a_record_comes_back_as_it_was_written(phase: Phase) -> None:
    identity = None if phase is Phase.INTENDED else ProcessIdentity(4711, 99, "boot")
    record = ProcessRecord(PATH, 3, phase, identity, "print", "runtime", 12.5)
    records = ProcessRecords(MemoryStore())

    records.save(record, records.claim(PATH)).result()

    assert record == records.load(PATH)


def test_no_record_is_none_and_a_corrupt_one_is_an_error_never_none() -> None:
    store = MemoryStore()
    records = ProcessRecords(store)
    assert records.load(PATH) is None

    intent = ProcessRecord(PATH, 1, Phase.INTENDED, None, "p", "r", 1.0)
    sequence = records.save(intent, records.claim(PATH)).result()
    store.commit([Quarantine(PATH, sequence)]).result()

    with pytest.raises(SnapshotCorrupt):
        records.load(PATH)


@pytest.mark.parametrize(
    ("schema", "version", "state"),
    [
        ("somebody.else", 1, {}),
        ("treewarden.process", 2, {}),
        ("treewarden.process", 1, {}),
        ("treewarden.process", 1, []),
        ("treewarden.process", 1, None),
        (
            "treewarden.process",
            1,
            {
                "incarnation": "1",
                "phase": "spawned",
                "identity": None,
                "fingerprint": "",
                "runtime": "",
                "spawned_at": 1.0,
            },
        ),
        (
            "treewarden.process",
            1,
            {
                "incarnation": 1,
                "phase": "spawned",
                "identity": [1, 2],
                "fingerprint": "",
                "runtime": "",
                "spawned_at": 1.0,
            },
        ),
        (
            "treewarden.process",
            1,
            {
                "incarnation": 1,
                "phase": "spawned",
                "identity": [0, 2, "boot"],  # to kill(2), 0 is the caller's own group
                "fingerprint": "",
                "runtime": "",
                "spawned_at": 1.0,
            },
        ),
    ],
)
def test_a_record_of_another_shape_is_refused_by_name(schema: str, version: int, state: object) -> None:
    store = MemoryStore()
    store.commit([Put(PATH, schema, version, 1, state)]).result()

    with pytest.raises(RecordUnreadable, match="/dev/a"):
        ProcessRecords(store).load(PATH)


def test_only_the_newest_claim_on_a_path_writes_its_record() -> None:
    """An incarnation that was killed at work must not overwrite the record of its successor's process."""
    records = ProcessRecords(MemoryStore())
    old = records.claim(PATH)
    records.save(ProcessRecord(PATH, 1, Phase.INTENDED, None, "p", "r", 1.0), old).result()
    new = records.claim(PATH)
    records.claim(ActorPath("/dev/b"))
    newest = ProcessRecord(PATH, 2, Phase.INTENDED, None, "p", "r", 2.0)
    records.save(newest, new).result()

    with pytest.raises(RecordClaimed, match="/dev/a"):
        records.save(ProcessRecord(PATH, 1, Phase.SPAWNED, ProcessIdentity(4711, 99, "boot"), "p", "r", 1.0), old)
    with pytest.raises(RecordClaimed):
        records.ensure_newest(old)
    records.ensure_newest(new)

    assert newest == records.load(PATH)


def test_the_fingerprint_changes_with_what_runs_and_only_with_that() -> None:
    spec = ProcessSpec(("sleep", "1"), cwd="/", env={"A": "1", "B": "2"})
    same = [
        ProcessSpec(("sleep", "1"), cwd="/", env={"B": "2", "A": "1"}),
        ProcessSpec(("sleep", "1"), cwd="/", env={"A": "1", "B": "2"}, ports=(80,)),
        ProcessSpec(("sleep", "1"), cwd="/", env={"A": "1", "B": "2"}, ready=Readiness(HttpProbe("http://h/"))),
    ]
    other = [
        ProcessSpec(("sleep", "2"), cwd="/", env={"A": "1", "B": "2"}),
        ProcessSpec(("sleep 1",), cwd="/", env={"A": "1", "B": "2"}),
        ProcessSpec(("sleep", "1"), cwd="/tmp", env={"A": "1", "B": "2"}),
        ProcessSpec(("sleep", "1"), cwd="/", env={"A": "1"}),
        ProcessSpec(("sleep", "1"), cwd="/", env={"A": "1", "B": FromEnv("2")}),
    ]

    assert {fingerprint(spec)} == {fingerprint(each) for each in same}
    assert fingerprint(spec) not in {fingerprint(each) for each in other}
    assert len(other) == len({fingerprint(each) for each in other})
