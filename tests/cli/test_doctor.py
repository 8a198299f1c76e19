"""`treewarden doctor`: what it prints, its exit codes, and what it refuses."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from treewarden.storage import Holder, LmdbStore, OwnerLock, Put
from treewarden.supervision_trees.cli import main

Doctor = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with a sound store."""
    with closing(LmdbStore.open(tmp_path / "state" / "store")) as store:
        for state in ("old", "new"):
            store.commit([Put("/dev/a", "actor:counter", 1, 1, state)]).result(10)
    (tmp_path / "state").chmod(0o700)
    return tmp_path / "state"


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str], state: Path) -> Doctor:
    def run(*arguments: str, on: Path = state) -> tuple[int, str, str]:
        code = main(["doctor", *arguments, "--state", str(on)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def damaged(state: Path) -> Path:
    """The newest record of /dev/a is damaged, and the store is open to others."""
    data = state / "store" / "data.mdb"
    kept = data.read_bytes()
    assert kept.count(b"/dev/a\xa3new") == 1
    data.write_bytes(kept.replace(b"/dev/a\xa3new", b"/dev/a\xa3ne?"))
    (state / "store").chmod(0o755)
    return state


def test_of_a_sound_directory_it_says_that_nothing_is_wrong(doctor: Doctor) -> None:
    assert doctor() == (0, "nothing is wrong\n", "")


def test_findings_are_a_table_with_the_worst_first_and_a_line_that_says_what_next(
    doctor: Doctor, damaged: Path
) -> None:
    (damaged / "trash").mkdir(0o700)
    code, out, err = doctor()
    lines = out.splitlines()

    assert (code, err) == (1, "")
    assert lines[0].split() == ["SEVERITY", "FINDING", "WHERE", "FIX", "FOUND"]
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["damage", "record-damaged"],
        ["damage", "mode-too-open"],
        ["note", "kept-aside"],
    ]
    assert "  quarantine     record 2, the newest, is damaged: its checksum is " in lines[1]
    assert lines[-1] == (
        f"2 damage, 1 note: treewarden doctor --fix --state {damaged} sees to 2 of them, and with --dry-run shows how"
    )


def test_fix_tells_each_deed_and_what_is_left(doctor: Doctor, damaged: Path) -> None:
    code, out, err = doctor("--fix")
    lines = out.splitlines()

    assert (code, err) == (0, "")
    assert lines[0].split() == ["OUTCOME", "DO", "WHERE", "WHY"]
    assert [line.split()[:2] for line in lines[1:3]] == [["done", "tighten-modes"], ["done", "quarantine"]]
    assert lines[-1] == "2 done; nothing is wrong (2 notes)"
    assert doctor("--fix")[:2] == (0, "\n".join(lines[4:-1]) + "\nnothing is wrong (2 notes)\n")


def test_a_dry_run_says_what_would_be_done(doctor: Doctor, damaged: Path) -> None:
    before = (damaged / "store" / "data.mdb").read_bytes()
    code, out, err = doctor("--fix", "--dry-run")

    assert (code, err) == (1, "")
    assert [line.split()[:2] for line in out.splitlines()[1:3]] == [
        ["planned", "tighten-modes"],
        ["planned", "quarantine"],
    ]
    assert out.splitlines()[-1].startswith("2 planned; 2 damage: ")
    assert (damaged / "store" / "data.mdb").read_bytes() == before
    assert (damaged / "store").stat().st_mode & 0o777 == 0o755
    assert not (damaged / "owner").exists()


def test_json_has_findings_what_was_done_and_the_state(doctor: Doctor, damaged: Path) -> None:
    code, out, _ = doctor("--json")
    document = json.loads(out)

    assert code == 1
    assert list(document) == ["findings", "done", "state"]
    assert document["done"] == []
    assert document["state"] == {
        "directory": str(damaged),
        "store": "damaged",
        "looked": "in a copy",
        "runs": False,
        "runtime": None,
        "is_well": False,
    }
    first = document["findings"][0]
    assert (first["kind"], first["severity"], first["where"]) == ("record-damaged", "damage", "/dev/a")
    assert first["remedy"] == {
        "verb": "quarantine",
        "why": "the next start uses the record before it; the bytes are kept",
    }
    assert first["command"] is None

    done = json.loads(doctor("--fix", "--json")[1])
    assert [(each["outcome"], each["remedy"]["verb"]) for each in done["done"]] == [
        ("done", "tighten-modes"),
        ("done", "quarantine"),
    ]
    assert {each["severity"] for each in done["findings"]} == {"note"}


def test_fix_is_refused_while_a_runtime_owns_the_directory(doctor: Doctor, damaged: Path) -> None:
    owner = OwnerLock.acquire(damaged, Holder(4711, 1, "boot", "/dev", "", 1_700_000_000.0))
    try:
        looked, *refused = doctor(), doctor("--fix"), doctor("--fix", "--dry-run")
    finally:
        owner.release()

    assert looked[0] == 1
    assert f"treewarden down --state {damaged}, then treewarden doctor --fix" in looked[1]
    for code, out, err in refused:
        assert (code, out) == (1, "")
        assert f"{damaged} is in use by pid 4711 (tree '/dev'" in err
        assert f"`treewarden down --state {damaged}` ends it" in err


def test_where_nothing_is_nothing_is_made(doctor: Doctor, tmp_path: Path) -> None:
    for words in ([], ["--fix", "--dry-run"], ["--fix"]):
        code, out, err = doctor(*words, on=tmp_path / "nothing")
        assert (code, err) == (1, "")
        assert out.endswith("1 damage: next: name it with --state DIR\n")
    assert {each.name for each in tmp_path.iterdir()} == {"state"}


@pytest.mark.parametrize("words", [["--dry-run"], ["extra"], ["--repair"]], ids=str)
def test_a_command_line_that_makes_no_sense_is_2(words: list[str], doctor: Doctor) -> None:
    code, out, err = doctor(*words)

    assert (code, out) == (2, "")
    assert "try: treewarden doctor --help" in err


def test_the_page_on_the_command_line_knows_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text()
    assert main(["doctor", "--help"]) == 0
    shown = capsys.readouterr().out

    assert "`treewarden doctor`" in page
    for option in ("--fix", "--dry-run"):
        assert option in shown
        assert f"| `{option}` | `doctor` |" in page
    assert "--json" in shown


def test_progress_is_told_on_a_terminal_only(state: Path) -> None:
    controller, terminal = pty.openpty()
    program = (
        "import sys; import treewarden.supervision_trees.cli._progress as progress\n"
        "progress._QUIET_FOR = progress._BETWEEN = 0.0\n"
        "from treewarden.supervision_trees.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", program, "doctor", "--state", str(state)]
    try:
        subprocess.run(command, stderr=terminal, stdout=subprocess.DEVNULL, timeout=60, check=True)
        told = os.read(controller, 10_000).decode()
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    finally:
        os.close(controller)
        os.close(terminal)

    assert told.startswith("\rcopied ")
    assert told.endswith("\r")
    assert (done.stdout, done.stderr) == ("nothing is wrong\n", "")
