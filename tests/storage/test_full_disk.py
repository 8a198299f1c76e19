"""A full disk and a full map, with the file systems and the store as they are.

A program (programs/small_disk.py) mounts a few MiB in a mount namespace of its own and fills them. Not
tested: a quota (EDQUOT), which no file system here can be given; it takes the same way as ENOSPC.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

OnSmallDisk = Callable[[str, str], dict[str, str]]
REMEDY = "free disk space: what was acknowledged is kept"


@pytest.fixture
def on_small_disk(tmp_path: Path, programs: Path) -> OnSmallDisk:
    """Run a part of the program on a file system; what it said, by name. Skips where it cannot be mounted."""

    def run(kind: str, part: str) -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, programs / "small_disk.py", kind, tmp_path, part],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        said = dict(line.split(": ", 1) for line in done.stdout.splitlines())
        if why := said.get("cannot"):
            pytest.skip(f"no {kind} can be mounted here: {why}")
        return said

    return run


pytestmark = pytest.mark.parametrize("kind", ["tmpfs", "ext4"])


def test_a_full_disk_stops_the_intake_and_work_goes_on_by_itself_when_there_is_room(
    on_small_disk: OnSmallDisk, kind: str
) -> None:
    """Groups of commits, and other threads' while it is full: each is whole and acknowledged, or refused and not there."""
    assert on_small_disk(kind, "intake_stops_and_goes_on") == {
        "the error names the directory": "True",
        "what was found": "True",
        "the remedy": REMEDY,
        "the state": "('FULL', ['FULL'])",
        "something was acknowledged": "True",
        "acknowledged and whole, while it is full": "True",
        "refused and there in part, while it is full": "0",
        "writable while it is full": "False",
        "writable once there is room": "True",
        "the state after": "('OPEN', ['FULL', 'OPEN'])",
        "acknowledged and whole, after": "True",
        "refused and there in part, after": "0",
        "faults of the file": "[]",
        "acknowledged and whole, opened again": "True",
        "paths": "True",
    }


def test_a_store_is_not_created_on_a_full_disk_and_is_when_there_is_room(on_small_disk: OnSmallDisk, kind: str) -> None:
    assert on_small_disk(kind, "creation_is_refused_and_made_good") == {
        "creation": "refused, mend the room",
        "creation again": "refused, mend the room",
        "creation after": "after",
        "files": "['data.mdb', 'lock.mdb', 'sealed']",
    }


def test_a_creation_with_any_room_too_small_is_refused_and_leaves_nothing_in_the_way(
    on_small_disk: OnSmallDisk, kind: str
) -> None:
    """Also not a SIGBUS: LMDB writes its lock file through a map."""
    assert on_small_disk(kind, "creation_with_too_little_room") == {
        "with too little room": "refused, mend the room",
        "with enough": "done",
        "anything else": "[]",
    }


def test_a_store_opened_on_a_full_disk_is_read_and_written_when_there_is_room(
    on_small_disk: OnSmallDisk, kind: str
) -> None:
    assert on_small_disk(kind, "opened_full") == {
        "opened while it is full": "True",
        "full again": "('FULL', True)",
        "a commit after": "None",
        "faults of the file": "[]",
    }


def test_a_writer_killed_while_the_disk_is_full_leaves_what_it_acknowledged(
    on_small_disk: OnSmallDisk, kind: str
) -> None:
    assert on_small_disk(kind, "killed_while_full") == {
        "killed by": "9",
        "whole while it is full": "True",
        "a commit after": "None",
        "faults of the file": "[]",
    }


def test_a_store_closes_while_the_disk_is_full_and_calls_who_waits(on_small_disk: OnSmallDisk, kind: str) -> None:
    assert on_small_disk(kind, "closed_while_full") == {"closed while it is full": "('CLOSED', True)"}


def test_a_map_that_grows_into_a_full_disk_refuses_the_whole_batch_and_takes_it_later(
    on_small_disk: OnSmallDisk, kind: str
) -> None:
    assert on_small_disk(kind, "a_map_that_grows_into_a_full_disk") == {
        "grown into a full disk": "('StoreFull', 'before')",
        "the same batch after": "None",
        "what it wrote": "('lost', True)",
        "faults of the file": "[]",
    }
