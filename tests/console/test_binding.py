"""The socket file: closed to others, taken over from the dead, left to the living."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from treewarden.supervision_trees.console import ConsoleUnavailable
from treewarden.supervision_trees.console._binding import bind_console


def leave_a_stale_socket(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(os.fspath(path))


def test_the_socket_is_0600_in_a_0700_directory_and_the_umask_is_untouched(socket_path: Path) -> None:
    before = os.umask(0o000)
    try:
        bound = bind_console(socket_path)
        assert os.umask(0o000) == 0o000
    finally:
        os.umask(before)

    with bound.listener:
        assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600
        assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700
        assert [socket_path] == list(socket_path.parent.iterdir()), "the temporary name is gone"
        bound.unlink()
    assert not socket_path.exists()


def test_the_socket_of_a_dead_console_is_taken_over(socket_path: Path) -> None:
    leave_a_stale_socket(socket_path)
    stale = socket_path.stat().st_ino

    bound = bind_console(socket_path)

    with bound.listener, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(os.fspath(socket_path))
        assert stale != socket_path.stat().st_ino
        bound.unlink()


def test_the_socket_of_a_living_console_is_refused_and_left_alone(socket_path: Path) -> None:
    living = bind_console(socket_path)
    with living.listener:
        with pytest.raises(ConsoleUnavailable, match="a console that is alive"):
            bind_console(socket_path)

        assert [socket_path] == list(socket_path.parent.iterdir())
        living.unlink()


def link_elsewhere(path: Path) -> None:
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, link_elsewhere])
def test_what_is_no_socket_is_refused_and_left_alone(socket_path: Path, make: Callable[[Path], None]) -> None:
    socket_path.parent.mkdir()
    make(socket_path)

    with pytest.raises(ConsoleUnavailable, match="something that is not a socket"):
        bind_console(socket_path)

    assert os.path.lexists(socket_path)


def test_a_socket_that_somebody_else_put_there_meanwhile_is_not_unlinked(socket_path: Path) -> None:
    ours = bind_console(socket_path)
    with ours.listener:
        socket_path.unlink()
        leave_a_stale_socket(socket_path)

        ours.unlink()

        assert socket_path.is_socket()


def test_a_socket_that_somebody_removed_meanwhile_is_no_error(socket_path: Path) -> None:
    ours = bind_console(socket_path)
    with ours.listener:
        socket_path.unlink()

        ours.unlink()


def test_a_path_too_long_for_an_address_is_refused_before_anything_is_bound(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 120)

    with pytest.raises(ConsoleUnavailable, match="use socket_path_for"):
        bind_console(path)

    assert list(tmp_path.iterdir()) == []


def test_a_failed_binding_leaves_no_descriptor_and_no_file(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch, descriptors: Callable[[], int]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no rename today")

    before = descriptors()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", refuse)
        with pytest.raises(OSError, match="no rename today"):
            bind_console(socket_path)

    assert before == descriptors()
    assert list(socket_path.parent.iterdir()) == []
