"""One owner per state directory, across processes and kill -9."""

import fcntl
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.storage import Holder, OwnerLock, StoreLocked, StoreUnusable, _owner

Acquire = Callable[[Path, Holder], OwnerLock]
Start = Callable[..., "subprocess.Popen[str]"]
ME = Holder(os.getpid(), 99, "b0075", "dev", "console.sock", 1_700_000_000.0)


def started(start_program: Start, state_dir: Path) -> "subprocess.Popen[str]":
    owner = start_program("owner.py", str(state_dir))
    assert owner.stdout is not None
    assert owner.stdout.readline() == "owned\n"
    return owner


def test_an_owner_is_named_until_it_releases(tmp_path: Path, acquire: Acquire) -> None:
    state_dir = tmp_path / "deep" / ".treewarden"

    assert OwnerLock.holder(state_dir) is None
    lock = acquire(state_dir, ME)
    assert OwnerLock.holder(state_dir) == ME
    lock.release()
    lock.release()
    assert OwnerLock.holder(state_dir) is None
    assert (state_dir / "owner").read_bytes() == b""


def test_an_announcement_replaces_the_line_also_by_a_shorter_one(tmp_path: Path, acquire: Acquire) -> None:
    lock = acquire(tmp_path, replace(ME, console="x" * 500))
    lock.announce(ME)

    assert OwnerLock.holder(tmp_path) == ME
    assert (tmp_path / "owner").read_text().count("\n") == 1
    lock.release()


def test_nothing_is_announced_after_the_release(tmp_path: Path, acquire: Acquire) -> None:
    lock = acquire(tmp_path, ME)
    lock.release()

    with pytest.raises(StoreUnusable, match="does not own it"):
        lock.announce(ME)


def test_a_second_owner_in_another_process_is_refused_and_told_the_first(tmp_path: Path, start_program: Start) -> None:
    owner = started(start_program, tmp_path)
    with pytest.raises(StoreLocked) as caught:
        OwnerLock.acquire(tmp_path, ME)

    assert caught.value.holder is not None
    assert owner.pid == caught.value.holder.pid
    assert f"pid {owner.pid} (tree 'dev', since 2023-11-14T22:13:20+00:00)" in str(caught.value)
    assert f"`treewarden down --state {tmp_path}` ends it" in str(caught.value)


def test_kill_9_of_the_owner_frees_the_directory_though_its_line_stays(
    tmp_path: Path, acquire: Acquire, start_program: Start
) -> None:
    owner = started(start_program, tmp_path)
    owner.kill()
    owner.wait()

    assert str(owner.pid) in (tmp_path / "owner").read_text()
    assert OwnerLock.holder(tmp_path) is None
    lock = acquire(tmp_path, ME)
    assert OwnerLock.holder(tmp_path) == ME
    lock.release()


def test_deleting_the_owner_file_does_not_free_the_directory(
    tmp_path: Path, acquire: Acquire, start_program: Start
) -> None:
    """A tidy-up under a living runtime must not let a second one in beside it."""
    started(start_program, tmp_path)
    (tmp_path / "owner").unlink()

    with pytest.raises(StoreLocked) as refused:
        acquire(tmp_path, ME)
    with pytest.raises(StoreLocked) as looked:
        OwnerLock.holder(tmp_path)

    assert refused.value.holder is None
    assert looked.value.holder is None


def test_a_program_started_by_the_owner_does_not_inherit_the_lock(
    tmp_path: Path, acquire: Acquire, programs: Path
) -> None:
    lock = acquire(tmp_path, ME)
    done = subprocess.run(
        [sys.executable, programs / "list_descriptors.py"], capture_output=True, text=True, close_fds=False, check=True
    )
    lock.release()

    assert str(tmp_path) not in done.stdout


def test_people_who_look_never_keep_an_owner_out(tmp_path: Path) -> None:
    OwnerLock.acquire(tmp_path, ME).release()
    ended = threading.Event()
    looks = [0]

    def look() -> None:
        while not ended.is_set():
            with suppress(StoreLocked):  # the owner's line was not written yet
                OwnerLock.holder(tmp_path)
            looks[0] += 1

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(200):
            OwnerLock.acquire(tmp_path, ME).release()
    finally:
        ended.set()
        watcher.join()

    assert looks[0] > 0


def test_a_look_that_shares_the_lock_does_not_count_as_an_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exclusive try fails once though nobody owns the directory: a look was under way."""
    real = _owner._flock
    tries: list[int] = []

    def flock(descriptor: int, kind: int) -> bool:
        tries.append(kind)
        return False if len(tries) == 1 else real(descriptor, kind)

    monkeypatch.setattr(_owner, "_flock", flock)
    OwnerLock.acquire(tmp_path, ME).release()

    assert tries == [fcntl.LOCK_EX, fcntl.LOCK_SH, fcntl.LOCK_EX]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b'{"pid": 17, "start_ti',
        b"\xff\xfe",
        b"[]\n",
        b"[" * 60_000,
        b'{"pid": 0, "start_ticks": 1, "boot_id": "b", "tree": "t", "console": "c", "since": 1.0}\n',
        b'{"pid": 5, "start_ticks": 1, "boot_id": "b", "tree": "t", "console": "c", "since": 1e999}\n',
        b'{"pid": 5, "start_ticks": 1, "boot_id": "b", "tree": "t", "console": "c", "since": NaN}\n',
        b'{"pid": "5", "start_ticks": 1, "boot_id": "b", "tree": "t", "console": "c", "since": 1.0}\n',
    ],
)
def test_a_line_that_cannot_be_read_is_an_unknown_holder(tmp_path: Path, acquire: Acquire, line: bytes) -> None:
    lock = acquire(tmp_path, ME)
    (tmp_path / "owner").write_bytes(line)
    for refused in (lambda: OwnerLock.acquire(tmp_path, ME), lambda: OwnerLock.holder(tmp_path)):
        with pytest.raises(StoreLocked, match="an unknown holder") as caught:
            refused()
        assert caught.value.holder is None
    lock.release()


@given(line=st.binary(max_size=80))
def test_no_line_makes_a_look_fail_otherwise(tmp_path_factory: pytest.TempPathFactory, line: bytes) -> None:
    state_dir = tmp_path_factory.getbasetemp() / "any-line"
    lock = OwnerLock.acquire(state_dir, ME)
    try:
        (state_dir / "owner").write_bytes(line)
        with pytest.raises(StoreLocked):
            OwnerLock.holder(state_dir)
    finally:
        lock.release()


def test_a_directory_with_other_things_in_it_is_not_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "somebody's work").touch()
    tmp_path.chmod(0o755)

    with pytest.raises(StoreUnusable, match="it has \"somebody's work\" in it and nothing of a runtime's"):
        OwnerLock.acquire(tmp_path, ME)

    assert (stat.S_IMODE(tmp_path.stat().st_mode), [each.name for each in tmp_path.iterdir()]) == (
        0o755,
        ["somebody's work"],
    )


def test_the_directory_is_made_private_and_an_open_one_is_tightened(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    old.mkdir()
    old.chmod(0o755)
    for state_dir in (new, old):
        OwnerLock.acquire(state_dir, ME).release()

    assert [stat.S_IMODE(each.stat().st_mode) for each in (new, old)] == [0o700, 0o700]
    assert stat.S_IMODE((new / "owner").stat().st_mode) == 0o600


def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    state_dir = tmp_path / "theirs"
    if os.geteuid() == 0:
        state_dir.mkdir()
        os.chown(state_dir, 65534, -1)
    else:
        state_dir = Path("/")
    with pytest.raises(StoreUnusable, match=f"belongs to uid {state_dir.stat().st_uid}"):
        OwnerLock.acquire(state_dir, ME)


def test_a_file_where_the_directory_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for state_dir in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreUnusable, match="name a writable directory"):
            OwnerLock.acquire(state_dir, ME)
    assert OwnerLock.holder(tmp_path / "file") is None


def test_an_owner_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "owner").symlink_to(tmp_path / "precious")
    with pytest.raises(StoreUnusable):
        OwnerLock.acquire(tmp_path / "state", ME)

    assert (tmp_path / "precious").read_text() == "kept"
