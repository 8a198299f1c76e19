"""Where the console listens, and what is not trusted with it."""

import os
from pathlib import Path

import pytest

from treewarden.supervision_trees.console import ConsoleUnavailable, socket_path_for
from treewarden.supervision_trees.console._socket_path import (
    LONGEST_ADDRESS,
    make_private_directory,
    require_private_directory,
)

NO_ENVIRONMENT: dict[str, str] = {}


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A state directory whose own socket path is longer than an address allows."""
    path = tmp_path / ("d" * 100) / ".treewarden"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a short path, in the place of /tmp or of the user's runtime directory."""
    path = tmp_path_factory.mktemp("r")
    path.chmod(0o700)
    return path


def test_a_short_state_directory_has_its_socket_inside(tmp_path: Path) -> None:
    assert tmp_path / "console.sock" == socket_path_for(tmp_path, environment=NO_ENVIRONMENT)


def test_a_relative_state_directory_means_the_same_as_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert tmp_path / "s" / "console.sock" == socket_path_for(Path("s"), environment=NO_ENVIRONMENT)


def test_a_long_state_directory_has_its_socket_in_the_runtime_directory(deep: Path, short: Path) -> None:
    path = socket_path_for(deep, environment={"XDG_RUNTIME_DIR": str(short)})

    assert short / "treewarden" == path.parent
    assert len(os.fsencode(path)) <= LONGEST_ADDRESS


def test_different_long_state_directories_have_different_sockets(deep: Path, short: Path) -> None:
    paths = {socket_path_for(deep / name, environment={"XDG_RUNTIME_DIR": str(short)}) for name in "abc"}

    assert len(paths) == 3


@pytest.mark.parametrize("given", ["", "relative/path", "/does/not/exist/at/all"])
def test_without_a_usable_runtime_directory_a_private_one_stands_in(deep: Path, short: Path, given: str) -> None:
    path = socket_path_for(deep, environment={"XDG_RUNTIME_DIR": given}, temporary=short)

    assert short / f"treewarden-{os.geteuid()}" == path.parent
    assert not path.parent.exists(), "asking makes nothing"


def test_a_private_directory_open_to_others_is_refused(deep: Path, short: Path) -> None:
    folder = short / f"treewarden-{os.geteuid()}"
    folder.mkdir(mode=0o700)
    folder.chmod(0o777)

    with pytest.raises(ConsoleUnavailable, match=r"found mode 0777, expected mode 0700; .*chmod 700"):
        socket_path_for(deep, environment=NO_ENVIRONMENT, temporary=short)


def test_a_symbolic_link_in_the_place_of_the_private_directory_is_refused(deep: Path, short: Path) -> None:
    elsewhere = short / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (short / f"treewarden-{os.geteuid()}").symlink_to(elsewhere)

    with pytest.raises(ConsoleUnavailable, match="not a directory"):
        socket_path_for(deep, environment=NO_ENVIRONMENT, temporary=short)


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    with pytest.raises(ConsoleUnavailable, match=rf"a directory of uid {os.getuid()}, expected one of uid"):
        require_private_directory(tmp_path)
    with pytest.raises(ConsoleUnavailable, match="name another state directory"):
        make_private_directory(tmp_path)


def test_a_directory_is_made_private_and_a_wide_one_is_tightened(tmp_path: Path) -> None:
    wide = tmp_path / "wide"
    wide.mkdir()
    wide.chmod(0o755)

    make_private_directory(tmp_path / "new")
    make_private_directory(wide)

    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("new", "wide")] == [0o700, 0o700]
