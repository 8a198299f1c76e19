"""Finding the program a command names, as its process will see it."""

import os
from pathlib import Path

import pytest

from treewarden.actors.processes._executable import ExecutableMissing, ExecutableNotRunnable, resolve_executable


def program(path: Path, mode: int = 0o755) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return str(path)


def test_a_plain_name_is_looked_for_in_the_given_path_in_order(tmp_path: Path) -> None:
    first = program(tmp_path / "one" / "tool")
    program(tmp_path / "two" / "tool")

    assert first == resolve_executable("tool", path=f"{tmp_path}/none:{tmp_path}/one:{tmp_path}/two", cwd="/")


def test_our_own_path_does_not_matter(tmp_path: Path) -> None:
    with pytest.raises(ExecutableMissing) as caught:
        resolve_executable("sh", path=str(tmp_path), cwd="/")

    assert caught.value.searched == (str(tmp_path),)
    assert str(tmp_path) in str(caught.value)
    assert "'sh'" in str(caught.value)


def test_a_name_with_a_slash_is_relative_to_the_working_directory(tmp_path: Path) -> None:
    tool = program(tmp_path / "bin" / "tool")

    assert tool == resolve_executable("bin/tool", path="/usr/bin", cwd=str(tmp_path))
    assert tool == resolve_executable("./bin/tool", path="/usr/bin", cwd=str(tmp_path))
    assert tool == resolve_executable(tool, path="", cwd="/")


def test_a_missing_path_names_the_folder_it_was_looked_for_in(tmp_path: Path) -> None:
    with pytest.raises(ExecutableMissing, match=str(tmp_path / "bin")):
        resolve_executable("bin/tool", path="/usr/bin", cwd=str(tmp_path))


def test_an_empty_and_a_relative_entry_mean_the_working_directory(tmp_path: Path) -> None:
    here = program(tmp_path / "here")
    below = program(tmp_path / "sub" / "below")

    assert here == resolve_executable("here", path=":/usr/bin", cwd=str(tmp_path))
    assert below == resolve_executable("below", path="/usr/bin:sub", cwd=str(tmp_path))


def test_a_file_that_cannot_run_is_passed_over_for_one_that_can(tmp_path: Path) -> None:
    program(tmp_path / "one" / "tool", 0o644)
    (tmp_path / "two" / "tool").mkdir(parents=True)
    right = program(tmp_path / "three" / "tool")
    path = f"{tmp_path}/one:{tmp_path}/two:{tmp_path}/three"

    assert right == resolve_executable("tool", path=path, cwd="/")


def test_if_only_such_files_are_found_the_first_is_named(tmp_path: Path) -> None:
    first = program(tmp_path / "one" / "tool", 0o644)
    (tmp_path / "two" / "tool").mkdir(parents=True)

    with pytest.raises(ExecutableNotRunnable, match="without execute permission") as caught:
        resolve_executable("tool", path=f"{tmp_path}/one:{tmp_path}/two", cwd="/")
    assert caught.value.path == first


def test_a_directory_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(ExecutableNotRunnable, match="a directory"):
        resolve_executable(str(tmp_path), path="", cwd="/")


def test_a_fifo_is_no_program(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "tool", 0o755)

    with pytest.raises(ExecutableNotRunnable, match="not a regular file"):
        resolve_executable("./tool", path="", cwd=str(tmp_path))


def test_a_link_in_a_circle_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "tool").symlink_to("tool")

    with pytest.raises(ExecutableNotRunnable, match="symbolic links"):
        resolve_executable("./tool", path="", cwd=str(tmp_path))


def test_a_link_keeps_the_name_it_was_called_by(tmp_path: Path) -> None:
    program(tmp_path / "box")
    (tmp_path / "ls").symlink_to("box")

    assert str(tmp_path / "ls") == resolve_executable("ls", path=str(tmp_path), cwd="/")
