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
from treewarden.storage import LmdbStore, Put, Snapshot
from treewarden.storage._crash_points import CrashPoint, arm, reach

OpenStore = Callable[..., LmdbStore]
Die = Callable[..., list[str]]

COMMITTING: Final = (CrashPoint.COMMIT_BEFORE, CrashPoint.COMMIT_AFTER)
SWEEPING: Final = (CrashPoint.STORE_SWEEP_BEFORE_RMTREE, CrashPoint.STORE_SWEEP_AFTER_RMTREE)
CREATING: Final = (
    CrashPoint.STORE_CREATE_BEFORE_RENAME,
    CrashPoint.STORE_CREATE_AFTER_RENAME,
    CrashPoint.STORE_CREATE_BEFORE_RMTREE,
    CrashPoint.STORE_CREATE_AFTER_RMTREE,
)

SOURCES: Final = sorted(Path(crash_points.__file__).parent.glob("*.py"))
CHANGES: Final = {"rename", "unlink", "rmtree", "rmdir", "link", "symlink", "hardlink_to", "symlink_to", "renames"}
# These names belong to other types too (str.replace, list.remove): only the module's own count,
# and Path.replace, which takes one argument where str.replace takes two.
CHANGES_OF_MODULES: Final = {"os.replace", "os.remove", "os.removedirs", "shutil.move"}


@pytest.fixture
def die(programs: Path) -> Die:
    """Run a program that must die by SIGKILL at `point`; the lines it printed before."""

    def run(program: str, directory: Path, point: CrashPoint) -> list[str]:
        done = subprocess.run(
            [sys.executable, programs / program, directory, point.name],
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
    groups = (COMMITTING, SWEEPING, CREATING)

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
