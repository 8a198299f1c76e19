"""A runtime whose state directory is on a disk that gets full: it says so, still answers, and goes on by itself."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 30.0
MIB = 2**20

ACTORS = '''
from pathlib import Path

from treewarden.actors import Actor


class Ledger(Actor):
    """Durable: what it answered is on disk. Its state grows, so that it needs room."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = []

    def on_receive(self, number: int) -> int:
        self.entries.append([number, bytes(8_000)])
        return number

    def snapshot(self) -> list:
        return self.entries

    def restore(self, state: list) -> None:
        self.entries = state


class Clerk(Actor):
    """Asks over and over, and writes down what was answered; a question that was not is not asked again."""

    def __init__(self, answered: str, going: str) -> None:
        super().__init__()
        self.answered, self.going, self.number = Path(answered), Path(going), 0

    def on_start(self) -> None:
        self.actor_ref.tell("next")

    def on_receive(self, message: str) -> None:
        self.number += 1
        try:
            answer = self.context.address("/dev/ledger").ask(self.number, timeout=0.5)
        except Exception as error:
            line = f"none {type(error).__name__}"
        else:
            line = f"{answer} kept"
        with self.answered.open("a") as file:
            file.write(line + "\\n")
        if self.going.exists():
            self.actor_ref.tell("next")
'''
READ_LEDGER = """
import sys
from pathlib import Path
from treewarden.storage import LmdbStore
store = LmdbStore.open(Path(sys.argv[1]) / "store")
print(*(number for number, _ in store.latest("/dev/ledger").state))
store.close()
"""


class SmallDisk:
    """A command line whose state directory is on a file system of 6 MiB, in a mount namespace of its own."""

    def __init__(self, cli: Any, holder: "subprocess.Popen[str]") -> None:
        self.cli, self._holder = cli, holder
        self._outside: Callable[..., list[str]] = cli._command
        self.place: Path = cli.folder / "small"
        cli.state = self.place / "state"
        cli._command = self._command
        self._ballast = Path(f"/proc/{holder.pid}/root{self.place}/ballast")

    def _command(self, *words: str) -> list[str]:
        return self.inside(*self._outside(*words))

    def inside(self, *words: str) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", f"--wd={self.cli.folder}", "--", *words]

    def fill(self, leave: int) -> None:
        found = os.statvfs(self._ballast.parent)
        self._ballast.write_bytes(bytes(found.f_bavail * found.f_frsize - leave))

    def free(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def small_disk(cli: Any) -> Iterator[SmallDisk]:
    """Ended before `cli` is, which ends the runtime; the mount lasts as long as one of the two is in it."""
    if os.geteuid() != 0:
        pytest.skip("only root may enter the mount namespace of another process")
    (cli.folder / "small").mkdir()
    program = Path(__file__).parent / "programs" / "hold_small_disk.py"
    holder = subprocess.Popen(
        [sys.executable, program, cli.folder / "small"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        said = holder.stdout.readline().strip()
        if said != "ready":
            holder.kill()
            pytest.skip(f"no tmpfs can be mounted here: {said}")
        try:
            yield SmallDisk(cli, holder)
        finally:
            cli.close()
            cli.runtimes.clear()
            holder.kill()


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def wait(is_so: Callable[[], bool], log: Path) -> None:
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while not is_so():
        assert time.monotonic() < deadline, f"not so after {PATIENCE} s; the log says:\n{log.read_text()[-4000:]}"
        pause.wait(0.02)


def test_a_runtime_on_a_full_disk_says_so_answers_and_goes_on_when_there_is_room(small_disk: SmallDisk) -> None:
    cli = small_disk.cli
    log, answered, going = cli.folder / "up.log", cli.folder / "answered", cli.folder / "going"
    going.touch()
    (cli.folder / "books.py").write_text(ACTORS)
    runtime = cli.up(
        cli.write(
            "version: 1\nname: dev\nchildren:\n"
            '  - {id: ledger, kind: actor, class: "books:Ledger"}\n'
            '  - {id: clerk, kind: actor, class: "books:Clerk", '
            f'args: {{answered: "{answered}", going: "{going}"}}}}\n'
            '  - {id: other, kind: process, command: [sleep, "3611"]}\n'
        )
    )
    wait(lambda: len(lines(answered)) > 3, log)
    small_disk.fill(leave=MIB)
    wait(lambda: "is full: nothing is stored" in log.read_text(), log)
    wait(lambda: "none" in lines(answered)[-1], log)  # no answer is given that the disk has not
    before = [line for line in lines(answered) if "kept" in line]

    tree, processes, plan = cli.run("tree"), cli.run("ps"), cli.run("show", "/dev/ledger")

    assert (0, 0, 0) == (tree.returncode, processes.returncode, plan.returncode), tree.stderr + processes.stderr
    assert "/dev/other" in processes.stdout
    assert runtime.poll() is None
    assert before == [line for line in lines(answered) if "kept" in line]

    small_disk.free()
    wait(lambda: "there is room in" in log.read_text(), log)
    wait(lambda: len([line for line in lines(answered) if "kept" in line]) > len(before) + 3, log)
    going.unlink()
    assert 0 == cli.run("down").returncode
    assert 0 == runtime.wait(timeout=PATIENCE)

    read = subprocess.run(
        small_disk.inside(sys.executable, "-c", READ_LEDGER, str(cli.state)), capture_output=True, text=True, check=True
    )
    kept = [int(number) for number in read.stdout.split()]
    assert len(kept) == len(set(kept))
    assert {int(line.split()[0]) for line in lines(answered) if "kept" in line} <= set(kept)
