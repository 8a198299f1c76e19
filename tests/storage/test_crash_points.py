"""The process dies at every crash point, and what is found afterwards is whole: the old or the new, never half."""

import ast
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

import treewarden.storage._crash_points as crash_points
from treewarden.storage import LmdbStore, Put, Snapshot, verify_store
from treewarden.storage._crash_points import CrashPoint, arm, reach

OpenStore = Callable[..., LmdbStore]
Die = Callable[..., list[str]]
Run = Callable[..., list[str]]

COMMITTING: Final = (CrashPoint.COMMIT_BEFORE, CrashPoint.COMMIT_AFTER)
SWEEPING: Final = (CrashPoint.STORE_SWEEP_BEFORE_RMTREE, CrashPoint.STORE_SWEEP_AFTER_RMTREE)
CREATING: Final = (
    CrashPoint.STORE_CREATE_BEFORE_RENAME,
    CrashPoint.STORE_CREATE_AFTER_RENAME,
    CrashPoint.STORE_CREATE_BEFORE_RMTREE,
    CrashPoint.STORE_CREATE_AFTER_RMTREE,
)
COPY_SWEEPING: Final = (CrashPoint.COPY_SWEEP_BEFORE_RMTREE, CrashPoint.COPY_SWEEP_AFTER_RMTREE)
COPY_CLEARING: Final = (CrashPoint.COPY_CLEAR_BEFORE_RMTREE, CrashPoint.COPY_CLEAR_AFTER_RMTREE)
BACKING_UP: Final = (CrashPoint.BACKUP_BEFORE_RENAME, CrashPoint.BACKUP_AFTER_RENAME)
COMPACTING: Final = (
    CrashPoint.COMPACT_BEFORE_UNLINK,
    CrashPoint.COMPACT_AFTER_UNLINK,
    CrashPoint.COMPACT_BEFORE_RENAME,
    CrashPoint.COMPACT_AFTER_RENAME,
)
STILL_OLD: Final = (
    CrashPoint.RESTORE_READY_BEFORE_RENAME,
    CrashPoint.RESTORE_READY_AFTER_RENAME,
    CrashPoint.RESTORE_ASIDE_BEFORE_RENAME,
)
RESTORED: Final = (
    CrashPoint.RESTORE_ASIDE_AFTER_RENAME,
    CrashPoint.RESTORE_BEFORE_RENAME,
    CrashPoint.RESTORE_AFTER_RENAME,
)

SOURCES: Final = sorted(Path(crash_points.__file__).parent.glob("*.py"))
CHANGES: Final = {"rename", "unlink", "rmtree", "rmdir", "link", "symlink", "hardlink_to", "symlink_to", "renames"}
# These names belong to other types too (str.replace, list.remove): only the module's own count,
# and Path.replace, which takes one argument where str.replace takes two.
CHANGES_OF_MODULES: Final = {"os.replace", "os.remove", "os.removedirs", "shutil.move"}


@pytest.fixture
def die(programs: Path) -> Die:
    """Run a program that must die by SIGKILL at `point`; the lines it printed before."""

    def run(program: str, directory: Path, point: CrashPoint, *more: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, programs / program, directory, point.name, *more],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
        return done.stdout.splitlines()

    return run


def names_in(directory: Path) -> set[str]:
    return {each.name for each in directory.iterdir()}


def test_every_crash_point_is_died_at_by_one_of_the_tests_below() -> None:
    groups = (
        *(COMMITTING, SWEEPING, CREATING, COPY_SWEEPING, COPY_CLEARING),
        *(BACKING_UP, COMPACTING, STILL_OLD, RESTORED),
    )

    assert sorted(point.name for group in groups for point in group) == sorted(point.name for point in CrashPoint)


@pytest.mark.parametrize("point", COMMITTING)
def test_a_commit_that_died_happened_whole_or_not_at_all(
    point: CrashPoint, tmp_path: Path, die: Die, open_store: OpenStore
) -> None:
    acknowledged = die("crash_in_commit.py", tmp_path, point)
    store = open_store(tmp_path)
    found = {each.path: each.state for each in store.scan() if isinstance(each, Snapshot)}
    store.close()

    assert acknowledged == ["first"]
    if point is CrashPoint.COMMIT_BEFORE:
        assert found == {"/kept": "first"}
    else:
        assert found == {"/kept": "second", "/other": "second"}


@pytest.mark.parametrize("point", CREATING)
def test_a_creation_that_died_is_begun_anew_or_was_finished(
    point: CrashPoint, tmp_path: Path, die: Die, open_store: OpenStore
) -> None:
    directory = tmp_path / "store"
    assert die("crash_in_creation.py", directory, point) == []
    assert ("data.mdb" in names_in(directory)) == (point is not CrashPoint.STORE_CREATE_BEFORE_RENAME)
    store = open_store(directory)

    assert store.commit([Put("/a", "s", 1, 1, None)]).result(10) == 1
    assert names_in(directory) == {"data.mdb", "lock.mdb"}


@pytest.mark.parametrize("died", CREATING)
@pytest.mark.parametrize("point", SWEEPING)
def test_a_sweep_that_died_is_done_by_the_next(
    died: CrashPoint, point: CrashPoint, tmp_path: Path, die: Die, open_store: OpenStore
) -> None:
    directory = tmp_path / "store"
    die("crash_in_creation.py", directory, died)
    (directory / "creating").mkdir(exist_ok=True)  # after the last point nothing is left to sweep
    assert die("crash_in_creation.py", directory, point) == []
    store = open_store(directory)

    assert store.commit([Put("/a", "s", 1, 1, None)]).result(10) == 1
    assert names_in(directory) == {"data.mdb", "lock.mdb"}


@pytest.fixture
def state(tmp_path: Path, open_store: OpenStore) -> Path:
    """A state directory whose store keeps "old" at /a; beside it a backup with "backed up"."""
    for place, kept in (("backup", "backed up"), ("state/store", "old")):
        store = open_store(tmp_path / place)
        store.commit([Put("/a", "s", 1, 1, kept)]).result(10)
        store.close()
    return tmp_path / "state"


def kept_in(directory: Path, open_store: OpenStore) -> object:
    store = open_store(directory)
    kept = store.latest("/a").state
    store.close()
    return kept


def left_of(killed: str, state: Path) -> Path:
    """Leave what an earlier `killed` one would have left."""
    scratch = {
        "backup": state.parent / ".new.unfinished",
        "compaction": state / "store" / "compacting",
        "restore": state / "store.restoring",
    }[killed]
    scratch.mkdir()
    (scratch / "data.mdb").write_bytes(b"half")
    return scratch


@pytest.mark.parametrize("point", BACKING_UP)
def test_a_backup_that_died_is_whole_or_not_there(
    point: CrashPoint, state: Path, die: Die, run_program: Run, open_store: OpenStore
) -> None:
    target = state.parent / "new"
    die("crash_in_backup.py", state / "store", point, str(target))
    was_made = target.exists()
    if was_made:
        assert verify_store(target).problems == ()
    else:
        assert run_program("crash_in_backup.py", str(state / "store"), "none", str(target)) == ["survived"]

    assert was_made == (point is CrashPoint.BACKUP_AFTER_RENAME)
    assert names_in(state.parent) == {"backup", "state", "new"}
    assert kept_in(target, open_store) == kept_in(state / "store", open_store) == "old"


@pytest.mark.parametrize("point", COPY_CLEARING)
def test_a_backup_that_died_while_it_gave_up_left_nothing_under_its_name(
    point: CrashPoint, state: Path, die: Die, run_program: Run
) -> None:
    target = state.parent / "new"
    die("crash_in_backup.py", state / "store", point, str(target), "give up")

    assert not target.exists()
    assert run_program("crash_in_backup.py", str(state / "store"), "none", str(target)) == ["survived"]
    assert names_in(state.parent) == {"backup", "state", "new"}


@pytest.mark.parametrize("point", [*COMPACTING, *COPY_CLEARING])
def test_a_compaction_that_died_left_one_whole_file(
    point: CrashPoint, state: Path, die: Die, open_store: OpenStore
) -> None:
    die("crash_in_compaction.py", state / "store", point)

    assert verify_store(state / "store").problems == ()
    assert kept_in(state / "store", open_store) == "old"
    assert names_in(state / "store") == {"data.mdb", "lock.mdb", "sealed"}
    assert names_in(state) == {"owner", "store"}


@pytest.mark.parametrize("point", STILL_OLD)
def test_a_restore_that_died_before_it_moved_the_store_changed_nothing(
    point: CrashPoint, state: Path, die: Die, open_store: OpenStore
) -> None:
    die("crash_in_restore.py", state / "store", point, str(state.parent / "backup"))

    assert kept_in(state / "store", open_store) == "old"
    assert names_in(state) == {"owner", "store"}


@pytest.mark.parametrize("again", ["open", "restore", "die"])
@pytest.mark.parametrize("point", RESTORED)
def test_a_restore_that_died_after_it_moved_the_store_is_finished_by_the_next(  # noqa: PLR0917 - fixtures
    point: CrashPoint, again: str, state: Path, die: Die, run_program: Run, open_store: OpenStore
) -> None:
    """Also if that one dies as well; and no empty store is made on the way."""
    backup = str(state.parent / "backup")
    die("crash_in_restore.py", state / "store", point, backup)
    expected = {"owner", "store", "store.replaced-1"}
    if again == "restore":
        assert run_program("crash_in_restore.py", str(state / "store"), "none", backup) == ["survived"]
        expected.add("store.replaced-2")
    elif again == "die" and point is not CrashPoint.RESTORE_AFTER_RENAME:  # there nothing is left to finish
        die("crash_in_creation.py", state / "store", CrashPoint.RESTORE_BEFORE_RENAME)
        die("crash_in_creation.py", state / "store", CrashPoint.RESTORE_AFTER_RENAME)

    assert kept_in(state / "store", open_store) == "backed up"
    assert kept_in(state / "store.replaced-1", open_store) == "old"
    assert names_in(state) == expected


@pytest.mark.parametrize("point", COPY_CLEARING)
def test_a_restore_that_died_in_its_preparations_changed_nothing(
    point: CrashPoint, state: Path, die: Die, open_store: OpenStore
) -> None:
    die("crash_in_restore.py", state / "store", point, str(state.parent / "backup"))

    assert kept_in(state / "store", open_store) == "old"
    assert names_in(state) == {"owner", "store"}


@pytest.mark.parametrize("program", ["backup", "compaction", "restore"])
@pytest.mark.parametrize("point", COPY_SWEEPING)
def test_what_a_killed_copy_left_is_removed_by_the_next_also_if_that_dies(  # noqa: PLR0917 - fixtures
    point: CrashPoint, program: str, state: Path, die: Die, run_program: Run, open_store: OpenStore
) -> None:
    more = {"backup": [str(state.parent / "new")], "compaction": [], "restore": [str(state.parent / "backup")]}[program]
    left = left_of(program, state)
    die(f"crash_in_{program}.py", state / "store", point, *more)
    assert left.exists() == (point is CrashPoint.COPY_SWEEP_BEFORE_RMTREE)
    assert kept_in(state / "store", open_store) == "old"
    if program != "backup":
        assert not left.exists()  # its owner opened the store, and swept

    assert run_program(f"crash_in_{program}.py", str(state / "store"), "none", *more) == ["survived"]
    assert not left.exists()


def test_nothing_is_armed_until_somebody_arms_it() -> None:
    assert crash_points._fuse is None
    for point in CrashPoint:
        reach(point)


def test_a_point_cannot_be_armed_for_a_time_that_is_past() -> None:
    with pytest.raises(ValueError, match="after is 0, expected 1"):
        arm(CrashPoint.COMMIT_BEFORE, after=0)
    assert crash_points._fuse is None


def statements(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """Every block of statements below `node`."""
    for each in ast.walk(node):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(each, field, None)
            if isinstance(block, list):
                yield block


def changes_a_name(call: ast.Call) -> bool:
    if ast.unparse(call.func) in CHANGES_OF_MODULES:
        return True
    match call.func:
        case ast.Attribute(attr="replace"):
            return len(call.args) == 1
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name in CHANGES
        case _:
            return False


def own_calls(statement: ast.stmt) -> Iterator[ast.Call]:
    """The calls of `statement` itself, not of the blocks in it."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            yield node
        waiting += [
            child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt | ast.ExceptHandler)
        ]


def reached(block: list[ast.stmt], at: int) -> str | None:
    """The point that the statement `at` of `block` reaches; None if it is something else."""
    if not 0 <= at < len(block):
        return None
    match block[at]:
        case ast.Expr(ast.Call(ast.Name("reach"), [ast.Attribute(ast.Name("CrashPoint"), point)])):
            return point
        case _:
            return None


def test_a_crash_point_stands_before_and_after_every_change_of_a_name() -> None:
    """In `treewarden.storage`, each rename, unlink, link and removal; each point stands at one place."""
    unguarded: list[str] = []
    used: list[str] = []
    found = 0
    for source in SOURCES:
        for block in statements(ast.parse(source.read_text(), filename=str(source))):
            for at, statement in enumerate(block):
                if (point := reached(block, at)) is not None:
                    used.append(point)
                for call in own_calls(statement):
                    if changes_a_name(call):
                        found += 1
                        before, after = reached(block, at - 1), reached(block, at + 1)
                        if before is None or after is None or before.replace("BEFORE", "AFTER") != after:
                            unguarded.append(f"{source.name}:{call.lineno} {ast.unparse(call)}")

    assert unguarded == []
    assert found >= 3, "the search itself is broken"
    assert sorted(used) == sorted(point.name for point in CrashPoint)
