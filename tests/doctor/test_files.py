"""The doctor on files: whose they are, who may read them, what was left, what nobody may touch."""

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from treewarden.storage import Holder, OwnerLock, StoreLocked
from treewarden.supervision_trees import _doctor_files
from treewarden.supervision_trees._doctor_files import FileLook
from treewarden.supervision_trees._findings import FindingKind

Unchanged = Callable[[Path], dict[str, tuple[int, bytes]]]
Done = Callable[[Any], dict[str, str]]
NOBODY = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")


@pytest.fixture
def listener(patient: Any) -> Iterator[socket.socket]:
    """A socket that is bound where the console would be; it listens not yet."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bound:
        bound.bind(str(patient.state / "console.sock"))
        yield bound


def test_what_others_may_read_is_taken_from_them(patient: Any, done: Done) -> None:
    places = {patient.state: 0o755, patient.store: 0o750, patient.store / "data.mdb": 0o644}
    for place, mode in places.items():
        place.chmod(mode)
    assert patient.findings() == [("mode-too-open", "damage", "tighten-modes")] * 3

    visit = patient.treat()

    assert done(visit) == {f"tighten-modes {place}": "done" for place in places}
    assert visit.findings == ()
    assert [place.stat().st_mode & 0o777 for place in places] == [0o700, 0o700, 0o600]


@as_root
def test_what_belongs_to_another_user_is_told_and_left(patient: Any) -> None:
    data = patient.store / "data.mdb"
    data.chmod(0o644)
    os.chown(data, NOBODY, -1)

    assert patient.findings() == [("other-owner", "damage", None)]
    assert patient.treat().results == ()
    assert (data.stat().st_uid, data.stat().st_mode & 0o777) == (NOBODY, 0o644)


def test_the_scratch_of_what_was_killed_is_removed(patient: Any, done: Done) -> None:
    places = [
        patient.store / "creating",
        patient.store / "compacting",
        patient.state / "store.restoring",
        patient.state / "store.restored",
        patient.state / ".backup.unfinished",
    ]
    for place in places:
        place.mkdir()
        (place / "data.mdb").write_bytes(b"half")
    assert patient.findings() == [("scratch-left", "leftover", "remove-scratch")] * 5

    visit = patient.treat()

    assert done(visit) == {f"remove-scratch {place}": "done" for place in places}
    assert visit.findings == ()
    assert not any(place.exists() for place in places)


def test_a_scratch_directory_that_is_worked_in_is_no_leftover(patient: Any) -> None:
    scratch = patient.state / ".backup.unfinished"
    scratch.mkdir()
    descriptor = os.open(scratch, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        assert patient.findings() == []
    finally:
        os.close(descriptor)
    assert patient.findings() == [("scratch-left", "leftover", "remove-scratch")]


def test_what_only_has_the_name_of_a_scratch_directory_is_somebodys(patient: Any, tmp_path: Path) -> None:
    (patient.state / ".novel.unfinished").mkdir()
    (patient.state / ".novel.unfinished" / "chapter-1").write_text("It was a dark and stormy night.")
    (tmp_path / "elsewhere").mkdir()
    (patient.state / ".link.unfinished").symlink_to(tmp_path / "elsewhere")
    (patient.state / ".file.unfinished").write_text("")

    assert patient.findings() == []
    assert patient.treat().results == ()


def test_a_socket_where_nobody_listens_is_removed(patient: Any, listener: socket.socket, done: Done) -> None:
    assert patient.findings() == [("socket-left", "leftover", "remove-socket")]

    visit = patient.treat()

    assert done(visit) == {f"remove-socket {patient.state}/console.sock": "done"}
    assert not (patient.state / "console.sock").exists()


def test_a_socket_where_somebody_listens_is_left(patient: Any, listener: socket.socket) -> None:
    listener.listen()

    assert patient.findings() == [("socket-obstructed", "damage", None)]
    assert patient.treat().results == ()
    assert (patient.state / "console.sock").exists()


def test_what_is_no_socket_is_left(patient: Any) -> None:
    (patient.state / "console.sock").write_text("")

    assert patient.findings() == [("socket-obstructed", "damage", None)]


@as_root
def test_a_socket_of_another_user_is_left(patient: Any, listener: socket.socket) -> None:
    os.chown(patient.state / "console.sock", NOBODY, -1)

    assert patient.findings() == [("other-owner", "damage", None)]
    assert patient.treat().results == ()


def test_a_runtime_that_was_killed_is_a_note(patient: Any) -> None:
    owner = OwnerLock.acquire(patient.state, Holder(4711, 1, "an earlier boot", "/dev", "", 1_700_000_000.0))
    line = (patient.state / "owner").read_bytes()
    owner.release()
    (patient.state / "owner").write_bytes(line)

    assert patient.findings() == [("runtime-killed", "note", None)]
    assert "process 4711 (/dev)" in patient.one(FindingKind.RUNTIME_KILLED).found


def test_while_somebody_owns_it_nothing_may_be_treated(patient: Any, unchanged: Unchanged) -> None:
    patient.put("/dev/b", "old", "new")
    patient.flip_record("/dev/b", 4)
    owner = OwnerLock.acquire(patient.state, Holder(4711, 1, "boot", "/dev", "", 1_700_000_000.0))
    before = unchanged(patient.state)
    try:
        visit = patient.examine()
        for refused in (patient.treat, patient.rehearse):
            with pytest.raises(StoreLocked, match="treewarden down"):
                refused()
    finally:
        owner.release()

    assert (visit.runs, visit.runtime) == (True, 4711)
    (finding,) = visit.findings
    assert finding.remedy is None
    assert finding.command == (
        f"treewarden down --state {patient.state}, then treewarden doctor --fix --state {patient.state}"
    )
    assert {**before, "owner": b""} == {**unchanged(patient.state), "owner": b""}


def test_what_is_kept_for_a_person_is_a_note_with_its_size(patient: Any) -> None:
    for name in ("store.replaced-1", "workspaces", "trash"):
        (patient.state / name).mkdir(0o700)
        (patient.state / name / "file").write_bytes(bytes(100))

    assert patient.findings() == [("kept-aside", "note", None)] * 3
    assert all("100 bytes" in each.found for each in patient.examine().findings)


def test_logs_of_processes_on_no_record_are_a_note_with_their_size(patient: Any) -> None:
    (patient.state / "logs" / "dev" / "group").mkdir(parents=True)
    (patient.state / "logs").chmod(0o700)
    (patient.state / "logs" / "dev" / "a.log").write_bytes(bytes(30))
    (patient.state / "logs" / "dev" / "group" / "b.log").write_bytes(bytes(12))

    found = patient.one(FindingKind.LOGS_OF_NOBODY).found
    assert found == "2 logs of 42 bytes are of processes that are on no record, such as /dev/a"


@pytest.mark.parametrize(("free", "severity"), [(2**20 - 1, "damage"), (2**20, "note"), (64 * 2**20 - 1, "note")])
def test_little_room_is_told(patient: Any, monkeypatch: pytest.MonkeyPatch, free: int, severity: str) -> None:
    def free_bytes(_: FileLook) -> int:
        return free

    monkeypatch.setattr(FileLook, "free_bytes", free_bytes)

    assert patient.findings() == [("space-low", severity, None)]


def test_a_look_that_is_refused_is_a_finding_and_not_nothing(patient: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (patient.state / "logs").mkdir(0o700)
    real = os.scandir

    def scandir(path: Any) -> Any:
        if not isinstance(path, int) and Path(path).name == "logs":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)

    (finding,) = patient.examine().findings
    assert (finding.kind, finding.where) == (FindingKind.NOT_EXAMINED, f"{patient.state}/logs")
    assert "Permission denied" in finding.found


@as_root
@pytest.mark.parametrize("closed", [".", "store", "store/data.mdb", "logs"])
def test_what_this_user_may_not_enter_is_a_finding_and_no_traceback(patient: Any, tmp_path: Path, closed: str) -> None:
    """Everything is another user's then, and what is closed cannot even be looked at."""
    (patient.state / "logs").mkdir()
    above = {place: place.stat().st_mode & 0o7777 for place in (tmp_path, *tmp_path.parents[:2])}
    for place, mode in above.items():
        place.chmod(mode | 0o011)
    for place in [patient.state, *patient.state.rglob("*")]:
        place.chmod(0o755 if place.is_dir() else 0o666)
    (patient.state / closed).chmod(0)
    os.seteuid(NOBODY)
    try:
        findings = patient.examine().findings
    finally:
        os.seteuid(0)
        for place, mode in above.items():
            place.chmod(mode)

    blocked = {FindingKind.STORE_UNREADABLE, FindingKind.NOT_EXAMINED}
    assert any(each.kind in blocked and "ermission denied" in each.found for each in findings), findings
    assert not any(each.remedy for each in findings)


def test_what_vanishes_during_a_look_is_not_there(patient: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (patient.state / "logs").mkdir(0o700)

    def gone(path: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file", str(path))

    monkeypatch.setattr(_doctor_files, "file_at", gone)

    assert patient.findings() == []


def test_a_dry_run_changes_nothing_and_says_what_a_real_one_does(patient: Any, unchanged: Unchanged) -> None:
    patient.put("/dev/b", "old", "new")
    patient.flip_record("/dev/b", 4)
    patient.checkpoint("/dev", "one")
    patient.store.chmod(0o755)
    (patient.store / "compacting").mkdir()
    (patient.state / "store.restored").mkdir()
    before = unchanged(patient.state)

    planned = patient.rehearse()

    assert unchanged(patient.state) == before
    assert {each.outcome.value for each in planned.results} == {"planned"}
    done = patient.treat()
    assert [each.finding for each in done.results] == [each.finding for each in planned.results]
    assert {each.outcome.value for each in done.results} == {"done"}
    assert patient.treat().results == ()
