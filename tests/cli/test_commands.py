"""Exit codes, words and effects of the other commands; usage errors; no runtime."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from treewarden.storage import Holder, OwnerLock
from treewarden.supervision_trees._control import (
    Command,
    CommandRefused,
    Inspect,
    RestartActor,
    StartActor,
    StopActor,
    StopTree,
)
from treewarden.supervision_trees._inspect import TreeView
from treewarden.supervision_trees.cli import main
from treewarden.supervision_trees.cli._stop_signals import StopSignals

Answers: TypeAlias = dict[type[Command], Callable[[Command], object]]
Run: TypeAlias = Callable[..., tuple[int, str, str]]
Serve: TypeAlias = Callable[[], object]
Popen: TypeAlias = Callable[..., "subprocess.Popen[str]"]

WITHIN = 20.0  # seconds; reached only if something is broken
GOOD = "version: 1\nname: dev\nchildren:\n  - {id: a, kind: process, command: [sleep, '9']}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["ps"],
        ["tree"],
        ["show", "/dev"],
        ["logs", "/dev"],
        ["logs", "/dev", "-f"],
        ["events"],
        ["start", "/dev"],
        ["stop", "/dev"],
        ["restart", "/dev"],
    ],
)
def test_without_a_runtime_a_command_says_so_and_how_to_start_one(
    run: Run, state_dir: Path, arguments: list[str]
) -> None:
    said = f"no runtime is running with the state directory {state_dir}; start one with: treewarden up FILE"

    assert (1, "", f"treewarden: {said} --state {state_dir}\n") == run(*arguments)
    assert not state_dir.exists(), "looking makes nothing"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing command"),
        (["dance"], "No such command 'dance'"),
        (["ps", "--loud"], "No such option: --loud\ntry: treewarden ps --help"),
        (["show"], "Missing argument 'PATH'"),
        (["show", "a//b"], "'a//b' is not an actor path: found ''"),
        (["stop", "-x"], "No such option"),
        (["logs", "/dev", "-n", "many"], "Invalid value for '--lines' / '-n'"),
        (["logs", "/dev", "-n", "-1"], "Invalid value for '--lines' / '-n'"),
        (["events", "--since", "-1"], "Invalid value for '--since'"),
        (["down", "--within", "0"], "Invalid value for '--within'"),
        (["up"], "Missing argument 'FILE'"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2_with_what_was_found(run: Run, arguments: list[str], said: str) -> None:
    code, out, err = run(*arguments)

    assert (2, "") == (code, out)
    assert err.startswith("treewarden: ")
    assert said in err


def test_help_and_version_go_to_stdout(run: Run) -> None:
    code, out, err = run("--help")
    assert (0, "") == (code, err)
    assert all(command in out for command in ("init", "check", "up", "down", "ps", "tree", "logs", "events"))

    code, out, err = run("--version")
    assert (0, "", "treewarden") == (code, err, out.split()[0])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (StartActor("/dev/api"), "/dev/api: running, ready, pid 4712\n"),
        (RestartActor("/dev/api"), "/dev/api: running, ready, pid 4712\n"),
        (StopActor("/dev/api"), "/dev/api: stopped\n"),
    ],
)
def test_a_change_is_asked_for_once_and_its_result_told(
    serve: Serve, run: Run, answers: Answers, asked: Command, said: str
) -> None:
    received: list[Command] = []
    usual = answers[type(asked)]

    def note(command: Command) -> object:
        received.append(command)
        return usual(command)

    answers[type(asked)] = note
    serve()

    assert (0, said, "") == run(type(asked).__name__.removesuffix("Actor").lower(), "dev/api")
    assert [asked] == received


def test_a_refused_command_is_exit_code_1_with_the_reason(serve: Serve, run: Run, answers: Answers) -> None:
    def refuse(_: Command) -> object:
        raise CommandRefused("there is no /dev/nobody; see `treewarden tree`")

    answers[StopActor] = refuse
    serve()

    assert (1, "", "treewarden: there is no /dev/nobody; see `treewarden tree`\n") == run("stop", "/dev/nobody")


def test_a_change_that_takes_too_long_is_exit_code_1(serve: Serve, run: Run, answers: Answers) -> None:
    answered = threading.Event()

    def hang(_: Command) -> object:
        assert answered.wait(WITHIN)
        raise CommandRefused("too late")

    answers[StopActor] = hang
    serve()
    try:
        code, _, err = run("stop", "/dev/api", "--within", "0.2")
    finally:
        answered.set()

    assert 1 == code
    assert "no answer within 0.2 s" in err


def test_init_writes_a_definition_that_check_accepts_and_never_overwrites(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "treewarden.yaml"

    code, out, err = run("init", str(file))
    assert (0, "") == (code, err)
    assert f"next: treewarden check {file}" in out
    assert (0, f"{file}: ok, the tree /dev with 1 process\n", "") == run("check", str(file))

    file.write_text("mine")
    code, out, err = run("init", str(file))
    assert (1, "", "mine") == (code, out, file.read_text())
    assert f"found {file}, expected no such file" in err


def test_init_into_a_directory_that_is_not_there_says_so(run: Run, tmp_path: Path) -> None:
    code, _, err = run("init", str(tmp_path / "no" / "treewarden.yaml"))

    assert 1 == code
    assert "No such file or directory" in err


def test_check_prints_every_complaint_and_is_exit_code_1(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "tree.yaml"
    file.write_text("version: 1\nname: dev\nchildren:\n  - {id: a, kind: proces}\n  - {id: a b, kind: actor}\n")

    code, out, err = run("check", str(file))

    assert (1, "") == (code, out)
    heading, *complaints = err.splitlines()
    assert f"treewarden: {file} cannot be run: {len(complaints)} complaints" == heading
    assert len(complaints) >= 2
    assert all(complaint.startswith(f"{file}:") for complaint in complaints)

    code, out, _ = run("check", str(file), "--json")
    document = json.loads(out)
    assert (1, False, len(complaints)) == (code, document["ok"], len(document["complaints"]))
    assert {"file", "line", "place", "found", "expected"} == set(document["complaints"][0])


def test_schema_prints_a_json_schema(run: Run) -> None:
    code, out, _ = run("schema")

    assert (0, "https://json-schema.org/draft/2020-12/schema") == (code, json.loads(out)["$schema"])


@pytest.mark.parametrize("options", [[], ["--detach"]])
def test_up_of_a_wrong_definition_tells_the_complaints_and_starts_nothing(
    run: Run, tmp_path: Path, state_dir: Path, options: list[str]
) -> None:
    file = tmp_path / "tree.yaml"
    file.write_text("version: 7\n")

    code, out, err = run("up", *options, str(file))

    assert (1, "") == (code, out)
    assert f"{file} cannot be run" in err
    assert not state_dir.exists()


@contextmanager
def owned(state_dir: Path) -> Generator[OwnerLock]:
    """Own the state directory as a runtime would."""
    lock = OwnerLock.acquire(state_dir, Holder(os.getpid(), 1, "boot", "/dev", "", time.time()))
    try:
        yield lock
    finally:
        lock.release()


def test_a_detached_runtime_that_ends_at_once_has_its_last_lines_shown(
    run: Run, tmp_path: Path, state_dir: Path
) -> None:
    file = tmp_path / "tree.yaml"
    file.write_text(GOOD)
    with owned(state_dir):
        (state_dir / "runtime.log").write_text("from an earlier life\n")

        code, out, err = run("up", "--detach", str(file))

    assert (1, "") == (code, out)
    assert f"the runtime ended with exit code 1 before its tree was up; the end of {state_dir}/runtime.log:" in err
    assert f"in use by pid {os.getpid()}" in err
    assert "from an earlier life" not in err


def test_down_asks_and_waits_until_the_state_directory_is_free(
    serve: Serve, run: Run, answers: Answers, state_dir: Path
) -> None:
    with owned(state_dir) as lock:
        looked = threading.Event()
        usual = answers[Inspect]

        def look(command: Command) -> object:
            looked.set()
            return usual(command)

        def end_after_a_look() -> None:
            assert looked.wait(WITHIN)
            lock.release()

        ending = threading.Thread(target=end_after_a_look)
        answers[Inspect] = look
        answers[StopTree] = lambda _: ending.start()
        serve()

        assert (0, "down\n", "") == run("down")
        ending.join(WITHIN)
        assert looked.is_set(), "it came back before the directory was free"


def test_down_says_what_is_still_stopping_and_gives_up_after_a_while(
    serve: Serve, run: Run, answers: Answers, state_dir: Path
) -> None:
    serve_stopping(answers)
    with owned(state_dir):
        serve()

        code, out, err = run("down", "--within", "0.3")

    assert (1, "") == (code, out)
    told, failed = err.splitlines()
    assert "treewarden: still stopping: /dev/api" == told
    assert (
        f"(pid {os.getpid()}) has not ended after 0.3 s and goes on stopping: /dev/api; see: treewarden tree" in failed
    )


def serve_stopping(answers: Answers) -> None:
    view = answers[Inspect](Inspect())
    assert isinstance(view, TreeView)
    api = replace(view.root.children[0], state="stopping")
    answers[Inspect] = lambda _: replace(view, root=replace(view.root, state="stopping", children=(api,)))


def test_down_without_a_runtime_or_anything_left_behind_has_nothing_to_do(run: Run, state_dir: Path) -> None:
    assert (0, f"no runtime in {state_dir}; nothing to do\n", "") == run("down")
    assert not state_dir.exists()


def test_a_runtime_without_a_console_is_told_from_none(run: Run, state_dir: Path) -> None:
    with owned(state_dir):
        code, _, err = run("ps")

    assert 1 == code
    assert f"a runtime (pid {os.getpid()}) owns the state directory {state_dir}, but nobody listens" in err


def test_a_console_elsewhere_is_found_through_the_owner_file(
    serve: Serve, run: Run, tmp_path: Path, state_dir: Path
) -> None:
    serve()
    console = state_dir / "console.sock"
    moved = tmp_path / "moved.sock"
    with owned(state_dir) as lock:
        console.rename(moved)
        lock.announce(Holder(os.getpid(), 1, "boot", "/dev", str(moved), time.time()))

        assert 0 == run("ps")[0]

        moved.rename(console)


def test_a_defect_in_the_command_line_itself_is_not_hidden(
    serve: Serve, answers: Answers, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise ZeroDivisionError

    serve()
    monkeypatch.setattr("treewarden.supervision_trees.cli._views.print_lines", break_down)

    with pytest.raises(ZeroDivisionError):
        main(["tree", "--state", str(state_dir)])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_asks_for_the_stop_and_the_next_ones_change_nothing(number: signal.Signals) -> None:
    asked: list[str] = []
    heard = threading.Event()

    def request_stop(why: str) -> None:
        asked.append(why)
        heard.set()

    before = signal.getsignal(number)
    with StopSignals() as signals:
        os.kill(os.getpid(), number)  # before anybody watches: kept
        signals.watch(request_stop)
        assert heard.wait(WITHIN)
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGINT)

    assert [number.name] == asked
    assert before is signal.getsignal(number)


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals():
            assert signal.SIG_IGN is signal.getsignal(signal.SIGHUP)
        assert signal.SIG_IGN is signal.getsignal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_program_started_without_its_standard_streams_gives_their_numbers_to_nothing_else(
    serve: Serve, state_dir: Path, tmp_path: Path
) -> None:
    serve()
    errors = tmp_path / "errors"
    command = f'exec {sys.executable} -m treewarden.supervision_trees.cli tree --state {state_dir} <&- >&- 2>"$0"'

    done = subprocess.run(["/bin/sh", "-c", command, str(errors)], timeout=WITHIN, check=False)

    assert (0, "") == (done.returncode, errors.read_text())


def test_ctrl_c_while_the_program_still_loads_is_no_traceback(tmp_path: Path) -> None:
    """The interrupt comes from within the import of the commands, where a Ctrl-C at once mostly lands."""
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")

    done = subprocess.run(
        [sys.executable, "-m", "treewarden.supervision_trees.cli", "ps"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )

    assert (130, "", "") == (done.returncode, done.stdout, done.stderr)
