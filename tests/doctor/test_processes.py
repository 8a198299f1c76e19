"""The doctor on processes that really live: what is ours is ended, whatever else has the number is not touched."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from treewarden.actors import ActorPath
from treewarden.actors.processes import (
    PROCESS_SCHEMA,
    Phase,
    ProcessIdentity,
    ProcessRecord,
    find_bearers,
    is_alive,
    look_at,
    own_identity,
)
from treewarden.storage import Holder, LmdbStore, OwnerLock, Put
from treewarden.supervision_trees import _doctor_processes
from treewarden.supervision_trees._findings import FindingKind

Done = Callable[[Any], dict[str, str]]
Spawn = Callable[..., ProcessIdentity]
Save = Callable[[ProcessRecord], None]
PATH = ActorPath("/dev/p")


@pytest.fixture
def store_id(patient: Any) -> str:
    with closing(LmdbStore.open(patient.store)) as store:
        return store.store_id


@pytest.fixture
def spawn(store_id: str) -> Iterator[Spawn]:
    """Start a program that bears the cookie of an incarnation of /dev/p; it is in a session of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start(incarnation: int, *command: str, of: str = store_id) -> ProcessIdentity:
        environment = {**os.environ, "TREEWARDEN_COOKIE": f"{of}:{incarnation}:{PATH}"}
        started.append(subprocess.Popen(command or ["sleep", "3600"], env=environment, start_new_session=True))
        pid, deadline = started[-1].pid, time.monotonic() + 10
        while not any(bearer.identity.pid == pid for bearer in find_bearers(of)):  # in execve(2) it shows none
            assert time.monotonic() < deadline
            os.sched_yield()
        seen = look_at(pid)
        assert seen is not None
        return seen.identity

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def save(patient: Any) -> Save:
    def commit(record: ProcessRecord) -> None:
        patient.commit(Put(record.path, PROCESS_SCHEMA, 1, record.incarnation, record.to_state()))

    return commit


@pytest.fixture
def record() -> ProcessRecord:
    return ProcessRecord(PATH, 3, Phase.SPAWNED, None, "f", "r", 1.0)


def test_a_process_that_a_killed_runtime_left_is_ended(
    patient: Any, spawn: Spawn, save: Save, record: ProcessRecord, done: Done
) -> None:
    identity = spawn(3)
    save(replace(record, identity=identity))
    finding = patient.one(FindingKind.PROCESS_LEFT)
    assert f"process {identity.pid} lives and no runtime" in finding.found
    assert "adopts it instead" in finding.expected

    visit = patient.treat()

    assert done(visit) == {"end-process /dev/p": "done"}
    assert not is_alive(identity)
    assert [each.kind for each in visit.findings] == [FindingKind.PROCESS_GONE]
    assert patient.treat().results == ()


@pytest.mark.parametrize("phase", [None, Phase.ENDED, Phase.SPAWNED, Phase.INTENDED])
def test_a_stray_that_bears_the_cookie_is_ended_whatever_its_record_says(
    patient: Any, spawn: Spawn, save: Save, record: ProcessRecord, phase: Phase | None
) -> None:
    identity = spawn(3)
    gone = ProcessIdentity(identity.pid, identity.start_ticks - 1, identity.boot_id)
    if phase is not None:
        save(replace(record, phase=phase, identity=None if phase is Phase.INTENDED else gone))
    assert ("process-stray", "leftover", "end-process") in patient.findings()

    assert [each.outcome.value for each in patient.treat().results] == ["done"]
    assert not is_alive(identity)


def test_what_bears_the_cookie_of_another_store_is_not_touched(patient: Any, spawn: Spawn) -> None:
    identity = spawn(3, of="0" * 32)

    assert patient.findings() == []
    assert patient.treat().results == ()
    assert is_alive(identity)


def test_what_has_the_number_of_a_recorded_process_is_not_touched(
    patient: Any, save: Save, record: ProcessRecord
) -> None:
    """The pid is this test's own; the start time is another's."""
    me = own_identity()
    save(replace(record, identity=ProcessIdentity(me.pid, me.start_ticks - 1, me.boot_id)))

    assert patient.findings() == [("process-gone", "note", None)]
    assert patient.treat().results == ()


@pytest.mark.parametrize("which", ["itself", "its parent"])
def test_what_this_command_itself_was_started_from_is_never_ended(
    patient: Any, save: Save, record: ProcessRecord, which: str
) -> None:
    parent = look_at(os.getppid())
    assert parent is not None
    save(replace(record, identity=own_identity() if which == "itself" else parent.identity))

    visit = patient.treat()

    (result,) = visit.results
    assert result.outcome.value == "left"
    assert [each.kind for each in visit.findings] == [FindingKind.PROCESS_LEFT]


def test_what_a_running_runtime_supervises_is_no_stray_and_what_escaped_it_is(
    patient: Any, spawn: Spawn, save: Save, record: ProcessRecord
) -> None:
    supervised, escaped = spawn(3), spawn(2)
    save(replace(record, identity=supervised))
    owner = OwnerLock.acquire(patient.state, Holder(4711, 1, "boot", "/dev", "", 1_700_000_000.0))
    try:
        (finding,) = patient.examine().findings
    finally:
        owner.release()

    assert (finding.kind, finding.remedy) == (FindingKind.PROCESS_STRAY, None)
    assert f"process {escaped.pid}, which incarnation 2 started" in finding.found


@pytest.mark.parametrize("phase", [Phase.INTENDED, Phase.SPAWNED])
def test_a_process_that_was_started_during_the_look_is_no_stray(
    patient: Any, spawn: Spawn, record: ProcessRecord, monkeypatch: pytest.MonkeyPatch, phase: Phase
) -> None:
    """Its record is read after it was seen, so it is there."""
    find = _doctor_processes.find_bearers

    def start_meanwhile(store_id: str) -> Any:
        monkeypatch.setattr(_doctor_processes, "find_bearers", find)
        identity = spawn(3)
        now = replace(record, phase=phase, identity=None if phase is Phase.INTENDED else identity)
        patient.commit(Put(PATH, PROCESS_SCHEMA, 1, now.incarnation, now.to_state()))
        return find(store_id)

    monkeypatch.setattr(_doctor_processes, "find_bearers", start_meanwhile)
    owner = OwnerLock.acquire(patient.state, Holder(4711, 1, "boot", "/dev", "", 1_700_000_000.0))
    try:
        assert patient.findings() == []
    finally:
        owner.release()


def test_processes_that_cannot_be_listed_are_a_finding(patient: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise PermissionError("no /proc for you")

    monkeypatch.setattr(_doctor_processes, "find_bearers", refuse)

    assert patient.findings() == [("not-examined", "leftover", None)]
