"""A crash loop that takes the runtime down, with real processes and a real kill (supervision.md A.17)."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from treewarden.actors import Actor, ChildSpec, Intensity
from treewarden.supervision_trees import Runtime, Supervisor

PATIENCE = 30.0
# The tree of the program below, with a child that does nothing.
HARMLESS = ChildSpec.of(
    Supervisor,
    children=[ChildSpec.of(Actor, id="fragile")],
    id="dev",
    intensity=Intensity(2, within=600.0),
)

# Its only child crashes once, at the first message; when that restart is done the whole program waits to be
# killed. With a limit of two restarts in ten minutes, the third life of the program must give up.
PROGRAM = """
import sys
from treewarden.actors import Actor, ChildSpec, Intensity
from treewarden.supervision_trees import Runtime, Supervisor

class Fragile(Actor):
    def on_start(self):
        if self.context.generation == 1:
            self.context.send_after(0.0, "crash")
        else:
            print("restarted", flush=True)

    def on_receive(self, message):
        raise RuntimeError("as every time")

child = ChildSpec.of(Fragile, id="fragile")
tree = ChildSpec.of(Supervisor, children=[child], id="dev", intensity=Intensity(2, within=600.0))
with Runtime.start(tree, state_dir=sys.argv[1]) as runtime:
    end = runtime.wait()
print("ended:", end.reason, flush=True)
"""


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Begin a life of the program on one state directory."""
    lives: list[subprocess.Popen[str]] = []

    def begin() -> "subprocess.Popen[str]":
        lives.append(
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(tmp_path / "state")],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
                text=True,
            )
        )
        return lives[-1]

    yield begin
    for each in lives:
        if each.poll() is None:
            each.kill()
        each.communicate(timeout=PATIENCE)
    Runtime.sweep(tmp_path / "state")


def first_line(life: "subprocess.Popen[str]") -> str:
    assert life.stdout is not None
    return life.stdout.readline().strip()


def test_a_crash_loop_that_takes_the_runtime_down_gets_no_fresh_allowance(live: Any) -> None:
    """A.17: each life sees one restart and is killed -9 right after it; the third is over the limit."""
    for _ in range(2):
        life = live()
        assert "restarted" == first_line(life)
        os.kill(life.pid, signal.SIGKILL)
        assert -signal.SIGKILL == life.wait(timeout=PATIENCE)
    last = live()

    assert "ended: Shutdown(detail='intensity')" == first_line(last)
    assert 0 == last.wait(timeout=PATIENCE)


def test_an_orderly_stop_in_between_gives_it_a_fresh_allowance(live: Any, tmp_path: Path) -> None:
    """A.17: what an operator stopped in order begins anew."""
    for _ in range(2):
        life = live()
        assert "restarted" == first_line(life)
        os.kill(life.pid, signal.SIGKILL)
        life.wait(timeout=PATIENCE)
    with Runtime.start(HARMLESS, state_dir=tmp_path / "state"):
        pass
    again = live()

    assert "restarted" == first_line(again)
