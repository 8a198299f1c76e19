"""`treewarden store`: on stores at rest, owned, damaged and missing, in this process and in one of its own."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from treewarden.storage import Holder, LmdbStore, OwnerLock, Put, back_up
from treewarden.supervision_trees.cli import main

Store = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory whose store keeps "kept" at /dev/a and was much larger once."""
    with closing(LmdbStore.open(tmp_path / "state" / "store")) as store:
        store.commit([Put("/dev/large", "s", 1, 1, bytes(2**20))]).result(10)
        for _ in range(2):
            store.commit([Put("/dev/large", "s", 1, 1, None), Put("/dev/a", "s", 1, 1, "kept")]).result(10)
    return tmp_path / "state"


@pytest.fixture
def store(capsys: pytest.CaptureFixture[str], state: Path) -> Store:
    """Run `treewarden store ...` on that directory; its code, stdout and stderr."""

    def run(*arguments: str, on: Path = state) -> tuple[int, str, str]:
        code = main(["store", *arguments, "--state", str(on)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def owned(state: Path) -> Iterator[None]:
    """Some runtime owns the state directory."""
    owner = OwnerLock.acquire(state, Holder(4711, 1, "boot", "dev", "", 1_700_000_000.0))
    yield
    owner.release()


def change(state: Path) -> None:
    with closing(LmdbStore.open(state / "store")) as opened:
        opened.commit([Put("/dev/a", "s", 1, 1, "changed")]).result(10)


def kept_in(directory: Path) -> object:
    with closing(LmdbStore.open(directory)) as opened:
        return opened.latest("/dev/a").state


def flip_record(directory: Path) -> None:
    """Change one byte of each record of /dev/a, in every page that was ever its own."""
    data = (directory / "data.mdb").read_bytes()
    assert b"/dev/a\xa4kept" in data
    (directory / "data.mdb").write_bytes(data.replace(b"/dev/a\xa4kept", b"/dev/a\xa4kep?"))


def test_a_backup_is_made_told_and_restored(store: Store, state: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    code, out, err = store("backup", str(backup))
    assert (code, err) == (0, "")
    assert out == f"{backup}: {(backup / 'data.mdb').stat().st_size / 1024:.1f} KiB, 4 snapshots, verified\n"

    change(state)
    code, out, err = store("restore", str(backup))
    assert (code, err) == (0, "")
    assert out == f"{state}/store: restored 4 snapshots; the store before is {state}/store.replaced-1\n"
    assert kept_in(state / "store") == "kept"
    assert kept_in(state / "store.replaced-1") == "changed"


def test_each_command_prints_one_document_with_json(store: Store, state: Path, tmp_path: Path) -> None:
    backup = str(tmp_path / "backup")
    documents = [
        json.loads(store(*words, "--json")[1])
        for words in (["backup", backup], ["verify"], ["compact"], ["restore", backup], ["stats"])
    ]
    made, verified, compacted, restored, figures = documents

    assert made == {"path": backup, "bytes": made["bytes"], "snapshots": 4, "problems": []}
    assert set(verified) == {
        *("path", "bytes", "snapshots", "entries", "rows", "quarantined", "quarantined_bytes", "problems"),
    }
    assert compacted["bytes_after"] < compacted["bytes_before"] / 2
    assert restored["replaced"] == str(state / "store.replaced-1")
    assert figures["entries"]["snap"] == 4
    assert figures["oldest_reader"] is None


def test_a_compacted_store_is_smaller(store: Store, state: Path) -> None:
    code, out, err = store("compact")

    assert (code, err) == (0, "")
    assert out.startswith(f"{state}/store: 1.1 MiB before, ")
    assert kept_in(state / "store") == "kept"


def test_a_sound_store_is_said_to_be(store: Store, state: Path) -> None:
    code, out, err = store("verify")

    assert (code, err) == (0, "")
    assert out == f"{state}/store: 1.1 MiB, 4 snapshots, 0 journal entries, 0 rows, 0 in quarantine; no damage\n"


def test_the_figures_are_a_table(store: Store) -> None:
    code, out, err = store("stats")
    facts = dict(line.split("  ", 1) for line in out.splitlines())

    assert (code, err) == (0, "")
    assert facts["file"].strip() == "1.1 MiB"
    assert facts["entries in names"].strip() == "2"
    assert facts["readers"].strip() == "0"


def test_damage_is_told_record_by_record_and_fails(store: Store, state: Path, tmp_path: Path) -> None:
    flip_record(state / "store")
    verified, backed_up = store("verify"), store("backup", str(tmp_path / "backup"))
    restored, compacted = store("restore", str(tmp_path / "backup")), store("compact")

    for code, _, err in (verified, backed_up, restored, compacted):
        assert code == 1
        assert err.startswith("treewarden: snap record 3 of /dev/a: its checksum is")
    assert "treewarden: some records are damaged, the others are not" in verified[2]
    assert "treewarden: the backup is made, but the store has damage" in backed_up[2]
    assert (tmp_path / "backup" / "data.mdb").exists()
    assert "treewarden: the store is restored, but the backup has damage" in restored[2]
    assert "treewarden: the store is compacted, and keeps the damage it had" in compacted[2]


def test_a_broken_file_is_refused_by_whatever_would_copy_it(store: Store, state: Path, tmp_path: Path) -> None:
    back_up(state / "store", tmp_path / "backup")
    for place in (state / "store", tmp_path / "backup"):
        os.truncate(place / "data.mdb", 3 * 4096)
    code, _, err = store("verify")

    assert code == 1
    assert (
        f"the file is damaged and cannot be used; restore a backup: treewarden store restore DIR --state {state}" in err
    )
    for words in (["backup", str(tmp_path / "new")], ["compact"], ["restore", str(tmp_path / "backup")]):
        code, out, err = store(*words)
        assert (code, out) == (1, "")
        assert "its file is damaged" in err


@pytest.mark.parametrize("words", [["backup", "new"], ["compact"], ["verify"], ["stats"]], ids=str)
def test_where_no_store_is_nothing_is_made(
    words: list[str], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = store(*words, on=tmp_path / "nothing")

    assert (code, out) == (1, "")
    assert "there is no store" in err
    assert {each.name for each in tmp_path.iterdir()} == {"state"}


def test_a_backup_that_is_none_makes_no_state_directory(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no backup")
    for name in ("nothing", "file"):
        code, out, err = store("restore", str(tmp_path / name), on=tmp_path / "new")

        assert (code, out) == (1, "")
        assert "there is no store" in err
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", ["compact", "restore"])
def test_what_replaces_the_store_is_refused_while_a_runtime_owns_it(
    command: str, store: Store, state: Path, tmp_path: Path, owned: None
) -> None:
    back_up(state / "store", tmp_path / "backup")
    code, out, err = store(command, *([str(tmp_path / "backup")] if command == "restore" else []))

    assert (code, out) == (1, "")
    assert f"{state} is in use by pid 4711 (tree 'dev', since 2023-11-14T22:13:20+00:00)" in err
    assert f"`treewarden down --state {state}` ends it" in err


def test_what_only_looks_does_not_mind_the_owner(store: Store, tmp_path: Path, owned: None) -> None:
    assert [store(*words)[0] for words in (["backup", str(tmp_path / "b")], ["verify"], ["stats"])] == [0, 0, 0]


def test_a_runtime_is_told_what_keeps_it_out(
    store: Store, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def look(*_: object, **__: object) -> None:
        holder = OwnerLock.holder(state)
        assert holder is not None
        seen.append(holder.tree)
        raise OSError("enough")

    monkeypatch.setattr("treewarden.storage.compact", look)

    assert store("compact")[0] == 1
    assert seen == ["treewarden store compact"]
    assert OwnerLock.holder(state) is None


def test_a_backup_that_exists_is_left_alone(store: Store, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    code, out, err = store("backup", str(tmp_path / "backup"))

    assert (code, out) == (1, "")
    assert err == (
        f"treewarden: no copy was made at {tmp_path}/backup: it exists;"
        " name a directory that does not: a backup overwrites nothing\n"
    )


def test_too_little_room_is_told_in_bytes(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def little_room(_: Path) -> int:
        return 1000

    monkeypatch.setattr("treewarden.storage._copying.free_bytes", little_room)
    code, _, err = store("backup", str(tmp_path / "backup"))

    assert code == 1
    assert "bytes, and 1000 are free there; free disk space, or name another" in err


@pytest.mark.parametrize("words", [["backup"], ["restore"], ["lose"], ["stats", "extra"]], ids=str)
def test_a_command_line_that_makes_no_sense_is_2(words: list[str], store: Store) -> None:
    code, out, err = store(*words)

    assert (code, out) == (2, "")
    assert "try: treewarden store" in err


def test_every_command_has_a_help_text(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("backup", "restore", "compact", "verify", "stats"):
        assert main(["store", command, "--help"]) == 0
        assert "--json" in capsys.readouterr().out


def test_ctrl_c_ends_a_backup_at_once_and_leaves_nothing(state: Path, tmp_path: Path) -> None:
    """The copy stands still in the middle, since what it reads its progress with does; as on a slow disk."""
    program = (
        "import sys; from pathlib import Path; import treewarden.storage._copying as copying\n"
        "from treewarden.supervision_trees.cli import main\n"
        "write = copying._write\n"
        "def stand_still(target, chunks, **options):\n"
        "    next(chunks); print('copying', flush=True)\n"
        "    import signal; signal.pause()\n"
        "copying._write = stand_still\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, "store", "backup", str(tmp_path / "backup"), "--state", str(state)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "copying\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (130, "", "")
    assert {each.name for each in tmp_path.iterdir()} == {"state"}


def test_progress_is_told_on_a_terminal_only(state: Path, tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    program = (
        "import sys; import treewarden.supervision_trees.cli._progress as progress\n"
        "progress._QUIET_FOR = progress._BETWEEN = 0.0\n"
        "from treewarden.supervision_trees.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", program, "store", "backup", "--state", str(state)]
    try:
        subprocess.run([*command, tmp_path / "one"], stderr=terminal, stdout=subprocess.DEVNULL, timeout=60, check=True)
        told = os.read(controller, 10_000).decode()
        done = subprocess.run([*command, tmp_path / "two"], capture_output=True, text=True, timeout=60, check=True)
    finally:
        os.close(controller)
        os.close(terminal)

    assert told.startswith("\rcopied ")
    assert told.endswith("\r")
    assert done.stderr == ""
