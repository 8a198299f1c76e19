"""The doctor on stores that were really damaged: what it says, what --fix changes, and what it must not."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from treewarden.actors.processes import PROCESS_SCHEMA, Phase, ProcessRecord
from treewarden.storage import (
    Append,
    Checkpoint,
    CheckpointMissing,
    Checkpoints,
    CopyFailed,
    OnNetwork,
    Put,
    PutRow,
    RowCorrupt,
    SnapshotCorrupt,
    StoreUnusable,
    Table,
    Trigger,
)
from treewarden.storage._lmdb_tables import digest_of
from treewarden.supervision_trees import _doctor_store
from treewarden.supervision_trees._findings import FindingKind, Outcome

Unchanged = Callable[[Path], dict[str, tuple[int, bytes]]]
Done = Callable[[Any], dict[str, str]]


def test_a_sound_store_has_nothing(patient: Any) -> None:
    visit = patient.examine()

    assert visit.findings == ()
    assert (visit.store, visit.looked, visit.runs) == ("sound", "in a copy", False)


def test_a_damaged_record_before_which_is_a_good_one_goes_aside_and_the_next_start_falls_back(
    patient: Any, done: Done
) -> None:
    patient.flip_record("/dev/a", 2)
    assert patient.findings() == [("record-damaged", "damage", "quarantine")]

    visit = patient.treat()

    assert done(visit) == {"quarantine /dev/a": "done"}
    assert [(each.kind, each.severity.value) for each in visit.findings] == [
        (FindingKind.RECORD_SET_ASIDE, "note"),
        (FindingKind.QUARANTINE, "note"),
    ]
    with patient.opened() as store, pytest.raises(SnapshotCorrupt) as corrupt:
        store.latest("/dev/a")
    assert corrupt.value.is_quarantined
    assert corrupt.value.fallback is not None
    assert corrupt.value.fallback.state == "old"
    assert patient.treat().results == ()


def test_a_damaged_record_without_another_is_left_to_a_person(patient: Any, unchanged: Unchanged) -> None:
    patient.put("/dev/b", "only")
    patient.flip_record("/dev/b", 3)
    before = unchanged(patient.store)

    visit = patient.treat()

    (finding,) = visit.findings
    assert (finding.kind, finding.where, finding.remedy) == (FindingKind.RECORD_DAMAGED, "/dev/b", None)
    assert finding.command == f"treewarden up FILE --discard-state /dev/b --state {patient.state}"
    assert "what was kept of it is lost" in finding.expected
    assert visit.results == ()
    assert unchanged(patient.store) == before


def test_a_damaged_process_record_is_left_although_there_is_one_before_it(patient: Any) -> None:
    """The one before names a process that was replaced; the next start must not take it for the newest."""
    sequence = patient.put("/dev/p", *({"phase": phase} for phase in (1, 2)), schema=PROCESS_SCHEMA)
    patient.flip_record("/dev/p", sequence)

    assert patient.one(FindingKind.RECORD_DAMAGED).remedy is None
    assert patient.treat().results == ()


def test_a_damaged_kept_mailbox_is_left_since_nobody_takes_in_an_older_one(patient: Any) -> None:
    sequence = patient.put("/dev/a#mailbox", 1, 2)
    patient.flip_record("/dev/a#mailbox", sequence)

    finding = patient.one(FindingKind.RECORD_DAMAGED)
    assert finding.remedy is None
    assert finding.command == f"treewarden checkpoint restore /dev/a --state {patient.state}"


def test_damaged_restart_memory_goes_aside(patient: Any, done: Done) -> None:
    sequence = patient.put("/dev/a#restarts", {"failures": 1}, schema="restarts")
    patient.flip_record("/dev/a#restarts", sequence)

    visit = patient.treat()

    assert done(visit) == {"quarantine /dev/a#restarts": "done"}
    assert {each.severity.value for each in visit.findings} == {"note"}


def test_an_older_record_that_is_damaged_goes_aside_and_the_newest_stays(patient: Any, done: Done) -> None:
    patient.flip_record("/dev/a", 1)
    assert patient.findings() == [("record-damaged", "damage", "quarantine")]

    assert done(patient.treat()) == {"quarantine /dev/a": "done"}
    with patient.opened() as store:
        assert store.latest("/dev/a").state == "new"


def test_a_damaged_journal_entry_is_cut_with_those_after_it(patient: Any, done: Done) -> None:
    for entry in ("one", "two", "three"):
        patient.commit(Append("/dev/a", "actor:counter", 1, 1, entry))
    patient.flip_record("/dev/a", 4, "journal")
    assert patient.findings() == [("journal-damaged", "damage", "cut")]

    visit = patient.treat()

    assert done(visit) == {"cut /dev/a": "done"}
    with patient.opened() as store:
        journal = store.journal("/dev/a", after=0)
    assert ([each.entry for each in journal.entries], journal.damage) == (["one"], None)
    assert patient.one(FindingKind.QUARANTINE).found.startswith("2 records of ")
    assert patient.treat().results == ()


def test_a_damaged_entry_that_the_newest_record_covers_is_no_reason_to_cut_what_came_after(patient: Any) -> None:
    patient.commit(Append("/dev/a", "actor:counter", 1, 1, "covered"))
    patient.put("/dev/a", "newest")
    patient.commit(Append("/dev/a", "actor:counter", 1, 1, "good"))
    patient.flip_record("/dev/a", 3, "journal")

    assert patient.findings() == [("journal-damaged", "note", None)]
    assert patient.treat().results == ()
    with patient.opened() as store:
        assert [each.entry for each in store.journal("/dev/a", after=4).entries] == ["good"]


def test_nothing_of_a_store_that_a_newer_release_wrote_to_is_changed(patient: Any, unchanged: Unchanged) -> None:
    patient.put("/dev/b", "old", "new")
    patient.flip_record("/dev/a", 2)
    patient.raise_format("/dev/b", 4)
    before = unchanged(patient.store)

    visit = patient.treat()

    assert {each.kind for each in visit.findings} == {FindingKind.RECORD_DAMAGED, FindingKind.RECORD_TOO_NEW}
    assert all(each.remedy is None and "newer release" in (each.command or "") for each in visit.findings)
    assert visit.results == ()
    assert unchanged(patient.store) == before


def test_a_record_whose_name_and_bytes_are_damaged_is_told_and_left(patient: Any) -> None:
    def rename(_: bytes) -> bytes:
        return b"/dev/x"

    patient.rewrite("names", digest_of("/dev/a"), rename)
    patient.flip_record("/dev/a", 2)

    kinds = {each.kind: each for each in patient.examine().findings}
    assert FindingKind.NAME_DAMAGED in kinds
    assert FindingKind.RECORD_DAMAGED in kinds
    patient.treat()
    with patient.opened() as store:
        assert store.older("/dev/a").state == "old"


# Rows and checkpoints


def test_a_damaged_event_is_dropped(patient: Any, done: Done) -> None:
    patient.commit(PutRow(Table.EVENTS, b"e1", b"one"), PutRow(Table.EVENTS, b"e2", b"two"))
    patient.flip("events", b"e1")
    assert patient.findings() == [("row-damaged", "damage", "drop-row")]

    assert done(patient.treat()) == {f"drop-row events row {b'e1'.hex()}": "done"}
    with patient.opened() as store:
        assert [row.key for row in store.rows(Table.EVENTS, limit=10)] == [b"e2"]
    assert patient.examine().findings == ()


def test_a_damaged_checkpoint_is_dropped_with_its_values_if_another_of_its_subtree_is_good(
    patient: Any, done: Done
) -> None:
    kept = patient.checkpoint("/dev", "one")
    before = set(patient.values())
    damaged = patient.checkpoint("/dev", "two")
    for value in set(patient.values()) - before:
        patient.flip("values", value)
    assert patient.findings() == [
        ("checkpoint-damaged", "damage", "drop-checkpoint"),
        ("values-unneeded", "note", None),
    ]

    visit = patient.treat()

    assert done(visit) == {f"drop-checkpoint checkpoint {damaged} of /dev": "done"}
    assert visit.findings == ()
    assert set(patient.values()) == before
    with patient.opened() as store:
        checkpoints = Checkpoints(store, wall=lambda: 0.0)
        assert [each.number for each in checkpoints.all() if isinstance(each, Checkpoint)] == [kept]
        checkpoints.load(kept)


def test_the_only_checkpoint_of_a_subtree_is_kept_although_it_is_damaged(patient: Any, unchanged: Unchanged) -> None:
    patient.checkpoint("/dev", "one")
    for value in patient.values():
        patient.flip("values", value)
    patient.checkpoint("/other", "one")
    before = unchanged(patient.store)

    assert patient.findings() == [("checkpoint-damaged", "damage", None), ("values-unneeded", "note", None)]
    assert patient.treat().results == ()
    assert unchanged(patient.store) == before


@pytest.mark.parametrize("is_outlived", [True, False])
def test_a_checkpoint_whose_row_is_damaged_is_dropped_only_if_a_newer_one_is_good(
    patient: Any, is_outlived: bool
) -> None:
    """Of which subtree it was cannot be told, so an older one proves nothing."""
    numbers = [patient.checkpoint("/dev", "one"), patient.checkpoint("/dev", "two")]
    damaged = numbers[0] if is_outlived else numbers[1]
    patient.flip("checkpoints", damaged.to_bytes(8, "big"))

    finding = patient.one(FindingKind.CHECKPOINT_DAMAGED)
    assert (finding.where, finding.remedy is not None) == (f"checkpoint {damaged}", is_outlived)
    patient.treat()
    with patient.opened() as store:
        rows = Checkpoints(store, wall=lambda: 0.0).all()
    assert any(isinstance(row, RowCorrupt) for row in rows) is not is_outlived


def test_a_checkpoint_that_was_never_finished_is_written_down_as_failed(patient: Any, done: Done) -> None:
    with patient.opened() as store:
        Checkpoints(store, wall=lambda: 0.0).begin("/dev", Trigger.MANUAL)
    assert patient.findings() == [("checkpoint-unfinished", "leftover", "sweep")]

    visit = patient.treat()

    assert done(visit) == {"sweep checkpoint 1 of /dev": "done"}
    assert visit.findings == ()
    with patient.opened() as store, pytest.raises(CheckpointMissing):
        Checkpoints(store, wall=lambda: 0.0).latest("/dev")


@pytest.mark.parametrize("is_damaged", [False, True])
def test_values_that_nobody_needs_are_collected(patient: Any, done: Done, is_damaged: bool) -> None:
    patient.checkpoint("/dev", "one")
    needed = set(patient.values())
    patient.commit(PutRow(Table.VALUES, b"x" * 32, b"left"))
    if is_damaged:
        patient.flip("values", b"x" * 32)
    expected = ("row-damaged", "damage") if is_damaged else ("values-unneeded", "leftover")
    assert patient.findings() == [(*expected, "collect")]

    assert list(done(patient.treat()).values()) == ["done"]
    assert set(patient.values()) == needed
    assert patient.examine().findings == ()


# Files


def test_a_file_whose_structure_is_damaged_is_not_touched(patient: Any, unchanged: Unchanged) -> None:
    os.truncate(patient.store / "data.mdb", 3 * 4096)
    (patient.store / "creating").mkdir()
    before = unchanged(patient.store)

    visit = patient.treat()

    kinds = [each.kind for each in visit.findings]
    assert kinds[0] is FindingKind.STORE_DAMAGED
    assert visit.findings[0].command == f"treewarden store restore BACKUP --state {patient.state}"
    assert FindingKind.NOT_EXAMINED in kinds
    assert visit.store == "damaged"
    shutil.rmtree(patient.store / "creating", ignore_errors=True)
    before.pop("creating")
    assert unchanged(patient.store) == before


@pytest.mark.parametrize("name", [b"eventt", b"event\xe8"])
def test_a_database_whose_name_is_damaged_is_told_and_not_made_anew(
    patient: Any, name: bytes, unchanged: Unchanged
) -> None:
    data = patient.store / "data.mdb"
    data.write_bytes(data.read_bytes().replace(b"events", name))
    before = unchanged(patient.store)

    visit = patient.treat()

    finding = visit.findings[0]
    assert finding.kind is FindingKind.STORE_DAMAGED
    assert "it has no database events, only checkpoints, event" in finding.found
    assert unchanged(patient.store) == before


def test_where_no_store_is_none_is_made(tmp_path: Path, patient: Any) -> None:
    shutil.rmtree(patient.store)
    assert patient.findings() == [("store-missing", "damage", None)]
    patient.treat()
    assert not patient.store.exists()

    shutil.rmtree(patient.state)
    assert [each.kind for each in patient.treat().findings] == [FindingKind.STORE_MISSING]
    assert not patient.state.exists()


def test_a_directory_that_was_never_a_state_directory_is_left_as_it_is(tmp_path: Path, patient: Any) -> None:
    """A slip in `--state` must not close somebody's home, or /etc, to all others."""
    patient.state = patient.state.with_name("home")
    patient.state.mkdir()
    patient.state.chmod(0o755)
    (patient.state / "notes.txt").write_text("mine")

    assert patient.findings() == [("store-missing", "damage", None)]
    assert patient.rehearse().results == ()
    assert patient.treat().results == ()

    assert patient.state.stat().st_mode & 0o777 == 0o755
    assert [each.name for each in patient.state.iterdir()] == ["notes.txt"]


def test_a_creation_that_was_killed_loses_nothing(patient: Any) -> None:
    shutil.rmtree(patient.store)
    (patient.store / "creating").mkdir(parents=True)
    patient.store.chmod(0o700)

    assert patient.findings() == [("store-missing", "note", None)]
    assert patient.treat().results == ()


def test_a_restore_that_was_killed_between_two_renames_is_finished(patient: Any, done: Done) -> None:
    patient.store.rename(patient.state / "store.restored")
    assert patient.findings() == [("restore-unfinished", "leftover", "finish-restore")]

    visit = patient.treat()

    assert done(visit) == {f"finish-restore {patient.store}": "done"}
    assert visit.findings == ()
    with patient.opened() as store:
        assert store.latest("/dev/a").state == "new"


@pytest.mark.parametrize("what", ["data.mdb", "store", "empty"])
def test_what_stands_in_the_place_of_a_store_is_a_finding(patient: Any, what: str) -> None:
    if what == "store":
        shutil.rmtree(patient.store)
        patient.store.write_text("a file")
    else:
        for name in ("data.mdb", "lock.mdb"):
            (patient.store / name).unlink()
        (patient.store / "data.mdb").touch(0o600) if what == "empty" else (patient.store / "data.mdb").mkdir(0o700)

    visit = patient.treat()

    assert visit.findings[0].kind is FindingKind.STORE_UNREADABLE
    assert visit.findings[0].command


def test_without_room_for_a_copy_records_are_looked_at_in_place(patient: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_: Path, target: Path, **__: object) -> None:
        raise CopyFailed(target, "it needs 10 bytes, and 1 are free there", "free disk space")

    monkeypatch.setattr(_doctor_store, "back_up", no_room)
    patient.checkpoint("/dev", "one")
    patient.flip_record("/dev/a", 2)

    visit = patient.examine()

    assert visit.looked == "in place"
    assert [(each.kind, each.severity.value) for each in visit.findings] == [
        (FindingKind.RECORD_DAMAGED, "damage"),
        (FindingKind.NOT_EXAMINED, "note"),
    ]
    assert "10 bytes" in visit.findings[1].found


def test_a_store_on_a_network_is_told_and_looked_at(patient: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from treewarden.storage import _read_only

    def refuse(directory: Path, **_: object) -> None:
        raise StoreUnusable(directory, "it is on nfs4, mounted at /mnt", "put it elsewhere")

    monkeypatch.setattr(_read_only, "refuse_network", refuse)
    assert OnNetwork.REFUSE is not OnNetwork.ALLOW
    patient.flip_record("/dev/a", 2)

    findings = patient.examine().findings

    assert [each.kind for each in findings[:2]] == [FindingKind.STORE_ON_NETWORK, FindingKind.RECORD_DAMAGED]


def test_a_process_record_of_another_shape_is_told_as_the_next_start_would(patient: Any) -> None:
    patient.put("/dev/p", {"phase": "odd"}, schema=PROCESS_SCHEMA)

    assert patient.findings() == [("process-record-unreadable", "damage", None)]


def test_records_of_processes_that_are_gone_are_notes(patient: Any) -> None:
    from treewarden.actors import ActorPath

    record = ProcessRecord(ActorPath("/dev/p"), 1, Phase.INTENDED, None, "f", "r", 1.0)
    patient.commit(Put("/dev/p", PROCESS_SCHEMA, 1, 1, record.to_state()))

    assert patient.findings() == [("process-gone", "note", None)]


def test_records_about_actors_that_keep_nothing_are_notes(patient: Any) -> None:
    patient.put("/dev/gone#mailbox", 1)
    patient.put("/dev/gone#restarts", {"failures": 1}, schema="restarts")
    patient.put("/dev#window", [], schema="restart-window")

    assert patient.findings() == [("record-without-state", "note", None)] * 2


@pytest.mark.timeout(240)
def test_whatever_byte_is_changed_the_doctor_says_something_or_nothing_is_wrong_and_a_second_fix_has_nothing_to_do(
    patient: Any,
) -> None:
    """The seed, the offset and the mask that bring a failure back are in its text."""
    for number in range(8):
        patient.put(f"/dev/a{number}", {"body": bytes(300)}, {"body": bytes(301)})
        patient.commit(*(Append(f"/dev/a{number}", "actor:counter", 1, 1, entry) for entry in range(4)))
    patient.commit(*(PutRow(Table.EVENTS, number.to_bytes(8, "big"), bytes(100)) for number in range(1, 20)))
    for number in range(3):
        patient.checkpoint("/dev", number)
    whole = (patient.store / "data.mdb").read_bytes()
    assert patient.findings() == []
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    told = 0
    for _ in range(40):
        where, mask = [chance.randrange(len(whole)) for _ in range(3)], chance.randrange(1, 256)
        damaged = bytearray(whole)
        for offset in where:
            damaged[offset] ^= mask
        shutil.rmtree(patient.store)
        patient.store.mkdir(0o700)
        (patient.store / "data.mdb").write_bytes(damaged)
        (patient.store / "data.mdb").chmod(0o600)
        told += bool(patient.examine().findings)
        results, again = patient.treat().results, patient.treat()

        undone = [f"{each.finding.where}: {each.why}" for each in results if each.outcome is not Outcome.DONE]
        assert undone == [], f"seed {seed}, offsets {where}, mask {mask}"
        assert again.results == (), f"seed {seed}, offsets {where}, mask {mask}"
    assert told > 0
