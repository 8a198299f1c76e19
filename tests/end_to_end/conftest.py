"""A runtime as its users run it: the command line in a process of its own, on a state directory of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest

from treewarden.supervision_trees import Inspect, Runtime
from treewarden.supervision_trees.console import (
    ConsoleClient,
    ConsoleProtocolError,
    RuntimeNotRunning,
    socket_path_for,
)

PATIENCE = 30.0
RUN_VARIABLE = "LC_TREEWARDEN_TEST_RUN"  # set by tests/conftest.py; every process of a tree inherits it


class CommandLine:
    """`treewarden` on one state directory; whatever it starts is ended by `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.runtimes: list[subprocess.Popen[str]] = []
        self.seen: set[int] = set()

    def write(self, text: str, name: str = "tree.yaml") -> Path:
        """A definition file."""
        path = self.folder / name
        path.write_text(text)
        return path

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run one command to its end."""
        return subprocess.run(
            self._command(*words), capture_output=True, text=True, check=False, cwd=self.folder, timeout=60
        )

    def up(self, definition: Path, *words: str) -> "subprocess.Popen[str]":
        """Run a tree in the foreground of a process of its own; its events go to `up.log`."""
        with (self.folder / "up.log").open("a") as log:
            runtime = subprocess.Popen(
                self._command("up", str(definition), *words),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                text=True,
                cwd=self.folder,
                start_new_session=True,
            )
        self.runtimes.append(runtime)
        return runtime

    def tree(self) -> dict[str, Any] | None:
        """The running tree as `tree --json` shows it, asked for without a process for each look; None while no runtime answers."""
        try:
            with ConsoleClient.connect(socket_path_for(self.state), timeout=PATIENCE) as console:
                tree: dict[str, Any] = json.loads(json.dumps(asdict(console.execute(Inspect(), timeout=PATIENCE))))
                return tree
        except (RuntimeNotRunning, ConsoleProtocolError):
            return None

    def processes(self) -> dict[str, dict[str, Any]]:
        """The processes of the running tree by path; empty while no runtime answers."""
        tree = self.tree()
        found = {} if tree is None else {v["path"]: v for v in _walk(tree["root"]) if v["kind"] == "process"}
        self.seen |= {view["pid"] for view in found.values() if view["pid"] is not None}
        return found

    def wait_processes(self, is_true: Callable[[dict[str, dict[str, Any]]], bool]) -> dict[str, dict[str, Any]]:
        """The processes, once `is_true` of them."""
        deadline = time.monotonic() + PATIENCE
        pause = threading.Event()  # between looks, so that the runtime gets on meanwhile
        while time.monotonic() < deadline:
            found = self.processes()
            if found and is_true(found):
                return found
            pause.wait(0.01)
        raise AssertionError(
            f"not so after {PATIENCE} s, the log says:\n{(self.folder / 'up.log').read_text()[-4000:]}"
        )

    def wait_all_ready(self) -> dict[str, dict[str, Any]]:
        """The processes, once all of them run and are ready."""
        return self.wait_processes(lambda found: all(p["state"] == "running" and p["ready"] for p in found.values()))

    def bearers(self) -> dict[str, list[int]]:
        """Every living process that carries a cookie and this test run's mark, by path."""
        for pid in self.seen:
            _wait_readable(pid)
        found: dict[str, list[int]] = {}
        for process in psutil.process_iter():
            cookie = _cookie(process.pid)
            if cookie:
                found.setdefault(_path_in(cookie), []).append(process.pid)
        return found

    def close(self) -> None:
        """End the runtimes, then what they left."""
        for runtime in self.runtimes:
            if runtime.poll() is None:
                runtime.send_signal(signal.SIGTERM)
                try:
                    runtime.wait(timeout=15)
                except subprocess.TimeoutExpired:
                    runtime.kill()
            runtime.wait()
        if self.runtimes:
            try:
                Runtime.sweep(self.state)
            finally:  # whatever the test did to the store
                for pid in self.seen:
                    if _cookie(pid):
                        os.kill(pid, signal.SIGKILL)

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "treewarden.supervision_trees.cli", *words, "--state", str(self.state)]


def _walk(view: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield view
    for child in view["children"]:
        yield from _walk(child)


def _cookie(pid: int) -> str:
    """Empty if it has none, is gone, or belongs to somebody else than this test run."""
    environment = _environment(pid)
    is_ours = environment.get(RUN_VARIABLE) == os.environ[RUN_VARIABLE]
    return environment.get("TREEWARDEN_COOKIE", "") if is_ours else ""


def _environment(pid: int) -> dict[str, str]:
    try:
        return psutil.Process(pid).environ() if _is_running(pid) else {}
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return {}


def _wait_readable(pid: int) -> None:
    """In execve(2) a process that is there, and is ready for all that is known, shows no environment for a moment."""
    deadline = time.monotonic() + PATIENCE
    while _is_running(pid) and not _environment(pid):
        assert time.monotonic() < deadline, f"the environment of pid {pid} could not be read within {PATIENCE} s"
        os.sched_yield()


def _path_in(cookie: str) -> str:
    return next(part for part in cookie.split(":") if part.startswith("/"))


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line in an empty folder."""
    line = CommandLine(tmp_path)
    try:
        yield line
    finally:
        line.close()


@pytest.fixture
def wait_gone() -> Callable[[int], None]:
    """Wait until a process is no longer there (a zombie is not)."""

    def wait(pid: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while psutil.pid_exists(pid) and _is_running(pid):
            assert time.monotonic() < deadline, f"pid {pid} is still there"
            os.sched_yield()

    return wait


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
