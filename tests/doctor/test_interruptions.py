"""The doctor is stopped in the middle, by Ctrl-C or by kill -9: nothing is half, and the next one goes on."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from treewarden.storage import Append, Checkpoints, LmdbStore, PutRow, Table, Trigger, verify_store
from treewarden.supervision_trees._findings import FindingKind, Severity

DYING = """\
import sys
from treewarden.storage._crash_points import CrashPoint, arm
from treewarden.supervision_trees.cli import main
arm(CrashPoint[sys.argv[2]], after=int(sys.argv[3]))
sys.exit(main(["doctor", "--fix", "--state", sys.argv[1]]))
"""
STANDING_STILL = """\
import signal, sys
import treewarden.supervision_trees._doctor_store as looking
from treewarden.supervision_trees.cli import main
def stand_still(*_, **__):
    print("looking", flush=True)
    signal.pause()
looking._look_at_copy = stand_still
sys.exit(main(["doctor", "--state", sys.argv[1], *sys.argv[2:]]))
"""


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the program keeps what is temporary."""
    made = tmp_path / "temporary"
    made.mkdir()
    return made


@pytest.fixture
def ill(patient: Any) -> Any:
    """A state directory with something for each verb that commits."""
    patient.put("/dev/b", "old", "new")
    patient.commit(Append("/dev/a", "actor:counter", 1, 1, "entry"))
    patient.commit(PutRow(Table.EVENTS, b"e", b"event"), PutRow(Table.VALUES, b"x" * 32, b"left"))
    patient.checkpoint("/dev", "one")
    before = set(patient.values())
    damaged = patient.checkpoint("/dev", "two")
    for value in set(patient.values()) - before:
        patient.flip("values", value)
    with patient.opened() as store:
        Checkpoints(store, wall=lambda: 0.0).begin("/dev", Trigger.MANUAL)
    patient.flip_record("/dev/b", 4)
    patient.flip_record("/dev/a", 5, "journal")
    patient.flip("events", b"e")
    assert damaged == 2
    return patient


@pytest.mark.timeout(240)
@pytest.mark.parametrize("point", ["COMMIT_BEFORE", "COMMIT_AFTER"])
def test_a_kill_at_any_commit_leaves_a_store_that_opens_and_the_next_one_finishes(
    ill: Any, point: str, tmp_path: Path, temporary: Path
) -> None:
    shutil.copytree(ill.state, tmp_path / "ill")

    def kill_at(after: int) -> "subprocess.CompletedProcess[str]":
        shutil.rmtree(ill.state)
        shutil.copytree(tmp_path / "ill", ill.state)
        return subprocess.run(
            [sys.executable, "-c", DYING, ill.state, point, str(after)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "TMPDIR": str(temporary)},
        )

    planned = [verb for _, _, verb in ill.findings() if verb is not None]
    assert sorted(planned) == ["cut", "drop-checkpoint", "drop-row", "quarantine", "sweep"]
    killed = 0
    while (done := kill_at(killed + 1)).returncode == -signal.SIGKILL:
        killed += 1
        LmdbStore.open(ill.store).close()
        assert verify_store(ill.store).is_readable
        finished = ill.treat()
        assert {each.severity for each in finished.findings} <= {Severity.NOTE}
        assert ill.treat().results == ()
    assert done.returncode == 0, done.stdout + done.stderr
    assert killed >= 6


def test_ctrl_c_ends_it_at_once_and_takes_the_copy_away(patient: Any, temporary: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STANDING_STILL, patient.state],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "looking\n"
        (copy,) = temporary.iterdir()
        assert (copy / "copy" / "data.mdb").exists()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (130, "", "")
    assert list(temporary.iterdir()) == []


def test_the_copy_of_a_killed_doctor_is_a_leftover_and_that_of_a_living_one_is_not(
    patient: Any, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with subprocess.Popen(
        [sys.executable, "-c", STANDING_STILL, patient.state],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "looking\n"
        while_it_lives = patient.findings()
        process.kill()
        process.wait()

    assert while_it_lives == []
    assert patient.one(FindingKind.SCRATCH_LEFT).where.startswith(f"{temporary}/treewarden-doctor-")
    assert patient.treat().findings == ()
    assert list(temporary.iterdir()) == []


def test_a_reader_that_was_killed_is_let_go(patient: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its slot is cleared by whoever opens the store alone, so somebody else has it open here."""
    program = (
        "import signal, sys; from pathlib import Path\n"
        "from treewarden.storage._read_only import open_read_only\n"
        "with open_read_only(Path(sys.argv[1])) as source, source.transaction():\n"
        "    print('reading', flush=True); signal.pause()\n"
    )
    readers = [
        subprocess.Popen([sys.executable, "-c", program, patient.store], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "reading\n"
        readers[0].kill()
        readers[0].wait()
        before = patient.findings()
        done = patient.treat()
    finally:
        for reader in readers:
            with reader:
                reader.kill()

    assert before == [("reader-stale", "leftover", "clear-readers")]
    assert [each.outcome.value for each in done.results] == ["done"]
    assert done.findings == ()
