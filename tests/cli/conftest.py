"""The command line in this process and in one of its own, against a real console with scripted answers."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, final

import pytest

from treewarden.supervision_trees._control import (
    ApplyReport,
    ApplyTree,
    Command,
    CrashesRead,
    DiscardState,
    EventsRead,
    Inspect,
    LogRead,
    PlanTree,
    ReadCrashes,
    ReadEvents,
    ReadLog,
    RestartActor,
    StartActor,
    StopActor,
    StopTree,
    TreePlan,
)
from treewarden.supervision_trees._inspect import ActorView, TreeView
from treewarden.supervision_trees.cli import main
from treewarden.supervision_trees.console import ConsoleServer

_WITHIN: Final = 10.0  # seconds; reached only if something is broken


class Outcome(NamedTuple):
    """How a command line ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def actor() -> ActorView:
    """A process that runs; tests replace what they look at."""
    return ActorView(
        path="/dev/api",
        kind="process",
        state="running",
        ready=True,
        generation=1,
        restarts=0,
        uptime=12.34,
        last_exit=None,
        waiting_for=(),
        retry_in=None,
        pid=4712,
        adopted=False,
        command=("python", "-m", "http.server"),
        log="/s/logs/dev/api.log",
        health="ready",
        intensity=None,
        children=(),
    )


@pytest.fixture
def tree(actor: ActorView) -> TreeView:
    """`/dev` with a process, a group with two actors, and a process that waits."""
    plain = replace(actor, kind="actor", pid=None, command=(), log=None, health=None)
    counter = replace(plain, path="/dev/tools/counter", restarts=2, last_exit="crashed: ValueError: no such port")
    flaky = replace(plain, path="/dev/tools/flaky", state="restarting", ready=False, uptime=None, retry_in=3.21)
    tools = replace(plain, path="/dev/tools", kind="supervisor", children=(counter, flaky), uptime=125.0)
    waiting = replace(
        actor, path="/dev/web", state="waiting", ready=False, uptime=None, pid=None, waiting_for=("api", "db")
    )
    root = replace(
        tools, path="/dev", intensity="1 of 3 restarts used in the last 5 s", children=(actor, tools, waiting)
    )
    return TreeView(name="dev", runtime_pid=4711, state_dir="/s", started_at=1000.0, taken_at=1125.0, root=root)


@pytest.fixture
def answers(tree: TreeView, actor: ActorView) -> dict[type[Command], Callable[[Command], object]]:
    """How the runtime answers each type of command; a test puts in what it needs."""
    return {
        Inspect: lambda _: tree,
        StartActor: lambda _: actor,
        StopActor: lambda _: replace(actor, state="stopped", ready=False, pid=None),
        RestartActor: lambda _: actor,
        DiscardState: lambda _: replace(actor, state="stopped", ready=False, pid=None),
        ReadEvents: lambda _: EventsRead((), 0, 0),
        ReadCrashes: lambda _: CrashesRead(()),
        ReadLog: lambda _: LogRead("", 0),
        StopTree: lambda _: None,
        PlanTree: lambda _: TreePlan("/dev", "/t.yaml", (), (), "digest"),
        ApplyTree: lambda _: ApplyReport("/dev", "/t.yaml", (), None, None, (), ()),
    }


@final
class _ScriptedExecutor:
    def __init__(self, answers: dict[type[Command], Callable[[Command], object]]) -> None:
        self._answers = answers

    def execute(self, command: Command) -> object:
        return self._answers[type(command)](command)


@pytest.fixture
def serve(
    state_dir: Path, answers: dict[type[Command], Callable[[Command], object]]
) -> Iterator[Callable[[], ConsoleServer]]:
    """Start a console that answers with `answers`; closed at the end, and no defect was met."""
    defects: list[BaseException] = []
    with ExitStack() as serving:

        def start() -> ConsoleServer:
            server = ConsoleServer(
                state_dir / "console.sock",
                _ScriptedExecutor(answers),
                on_error=defects.append,
                on_defect=defects.append,
            )
            server.start()
            serving.callback(server.close, _WITHIN)
            return server

        yield start
    assert not defects


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], state_dir: Path) -> Callable[..., Outcome]:
    """Run a command line in this process; `--state` is added unless the first word takes none."""

    def in_process(*arguments: str) -> Outcome:
        stateless = {"init", "check", "schema"}
        state = (
            [] if not arguments or arguments[0] in stateless or arguments[0][0] == "-" else ["--state", str(state_dir)]
        )
        code = main([*arguments[:1], *state, *arguments[1:]])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return in_process


@pytest.fixture
def popen(state_dir: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start a command line as a process of its own; killed at the end if it still runs."""
    with ExitStack() as running:

        def start(
            *arguments: str, stdout: int = subprocess.PIPE, env: Mapping[str, str] | None = None
        ) -> "subprocess.Popen[str]":
            command = [sys.executable, "-m", "treewarden.supervision_trees.cli"]
            process = running.enter_context(
                subprocess.Popen(
                    [*command, *arguments[:1], "--state", str(state_dir), *arguments[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=subprocess.PIPE,
                    text=True,
                    env={**os.environ, **(env or {})},
                )
            )
            running.callback(process.kill)
            return process

        yield start
