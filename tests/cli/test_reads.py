"""`ps`, `tree`, `show`, `logs` and following `events` against a console with scripted answers."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

import pytest

from treewarden.supervision_trees._control import (
    Command,
    CrashesRead,
    EventsRead,
    LogRead,
    ReadCrashes,
    ReadEvents,
    ReadLog,
)
from treewarden.supervision_trees._inspect import ActorView, CrashView, TreeView
from treewarden.supervision_trees.console import ConsoleServer

Answers: TypeAlias = dict[type[Command], Callable[[Command], object]]
Run: TypeAlias = Callable[..., tuple[int, str, str]]
Serve: TypeAlias = Callable[[], object]
Popen: TypeAlias = Callable[..., "subprocess.Popen[str]"]

WITHIN = 20.0  # seconds; reached only if something is broken


def plain(view: TreeView | ActorView) -> object:
    return json.loads(json.dumps(asdict(view)))


def test_ps_lists_processes_and_actors_in_columns(serve: Serve, run: Run) -> None:
    serve()

    assert (
        0,
        """\
PATH                KIND     STATE                          PID   RESTARTS  UPTIME  LAST EXIT
/dev/api            process  running, ready                 4712  0         12.3 s  -
/dev/tools/counter  actor    running, ready                 -     2         12.3 s  crashed: ValueError: no such port
/dev/tools/flaky    actor    restarting, next try in 3.2 s  -     0         -       -
/dev/web            process  waiting for api, db            -     0         -       -
""",
        "",
    ) == run("ps")


def test_ps_as_json_is_one_document_with_the_same_actors(serve: Serve, run: Run, actor: ActorView) -> None:
    serve()

    code, out, err = run("ps", "--json")

    assert (0, "") == (code, err)
    document = json.loads(out)
    assert ["/dev/api", "/dev/tools/counter", "/dev/tools/flaky", "/dev/web"] == [row["path"] for row in document]
    assert plain(actor) == document[0]


def test_tree_prints_the_drawing_or_the_view_as_json(serve: Serve, run: Run, tree: TreeView) -> None:
    serve()

    assert (0, f"{tree}\n", "") == run("tree")
    assert plain(tree) == json.loads(run("tree", "--json")[1])


@pytest.mark.parametrize("spelling", ["/dev/api", "dev/api", "/dev/api/"])
def test_show_tells_everything_of_one_actor_however_its_path_is_typed(serve: Serve, run: Run, spelling: str) -> None:
    serve()

    code, out, err = run("show", spelling)

    assert (0, "") == (code, err)
    facts = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert ("/dev/api", "4712", "python -m http.server") == (facts["path"], facts["pid"], facts["command"])


def test_show_as_json_is_the_actor_with_its_children(serve: Serve, run: Run, tree: TreeView) -> None:
    serve()

    expected = json.loads(json.dumps({**asdict(tree.root.children[1]), "crashes": []}))
    assert expected == json.loads(run("show", "/dev/tools", "--json")[1])


def test_show_tells_the_last_crashes_and_where_the_last_one_happened(serve: Serve, run: Run, answers: Answers) -> None:
    """A.14: the ring of a child's crashes can be looked at."""
    old = CrashView(125.0, 1, "killed", "", None, 0, None)
    new = CrashView(3.21, 2, "crashed: ValueError: no such port", "Traceback: here", "Connect", 7, None)
    answers[ReadCrashes] = lambda _: CrashesRead((old, new))
    serve()

    out = run("show", "/dev/api")[1]

    crashes = [line.split(maxsplit=1)[1] for line in out.splitlines() if line.startswith("crash ")]
    assert [
        "3.2 s ago, generation 2: crashed: ValueError: no such port; last message: Connect; 7 messages waited",
        "2 min 5 s ago, generation 1: killed",
    ] == crashes
    assert out.endswith("\nTraceback of the last crash:\nTraceback: here\n")
    assert [old.to_json(), new.to_json()] == json.loads(run("show", "/dev/api", "--json")[1])["crashes"]


def test_show_of_an_unknown_path_names_the_closest_ones(serve: Serve, run: Run) -> None:
    serve()

    code, out, err = run("show", "/dev/tools/countr")
    assert (1, "") == (code, out)
    assert err.startswith("treewarden: there is no /dev/tools/countr in the tree /dev; did you mean /dev/tools/counter")
    for meant_api in ("/prod/api", "/api", "/dev/apu"):
        assert "did you mean /dev/api?" in run("show", meant_api)[2]
    assert "see what there is with: treewarden tree" in run("show", "/zzz")[2]
    assert "see what there is with: treewarden tree" in run("show", "/dev/zzz")[2], "the tree's name is no likeness"


def test_logs_prints_the_text_as_it_was_written(serve: Serve, run: Run, answers: Answers) -> None:
    asked: list[Command] = []

    def read(command: Command) -> LogRead:
        asked.append(command)
        return LogRead("\x1b[31mred\x1b[0m\nno newline at the end", 30)

    answers[ReadLog] = read
    serve()

    assert (0, "\x1b[31mred\x1b[0m\nno newline at the end", "") == run("logs", "dev/api", "-n", "7")
    assert {"path": "/dev/api", "text": "\x1b[31mred\x1b[0m\nno newline at the end", "next_offset": 30} == json.loads(
        run("logs", "/dev/api", "--json")[1]
    )
    assert [ReadLog("/dev/api", lines=7), ReadLog("/dev/api", lines=50)] == asked


def event(sequence: int, text: str) -> dict[str, object]:
    return {"sequence": sequence, "at": 1_700_000_000.25, "event": "ChildStarted", "level": "info", "text": text}


def test_following_events_goes_on_until_ctrl_c_with_one_json_document_a_line(
    serve: Serve, popen: Popen, answers: Answers
) -> None:
    def read(command: Command) -> EventsRead:
        assert isinstance(command, ReadEvents)
        return EventsRead((event(command.since + 1, "tick"),), command.since + 1, 0)

    answers[ReadEvents] = read
    serve()
    follower = popen("events", "-f", "--json")
    assert follower.stdout is not None

    lines = [json.loads(follower.stdout.readline()) for _ in range(3)]
    follower.send_signal(signal.SIGINT)
    _, err = follower.communicate(timeout=WITHIN)

    assert [1, 2, 3] == [line["sequence"] for line in lines]
    assert (130, "") == (follower.returncode, err)


@pytest.mark.parametrize("arguments", [["events", "-f"], ["logs", "/dev/api", "-f"]])
def test_a_follower_hears_that_the_runtime_has_ended(
    serve: Callable[[], ConsoleServer], popen: Popen, answers: Answers, state_dir: Path, arguments: list[str]
) -> None:
    answers[ReadEvents] = lambda _: EventsRead((event(1, "tick"),), 1, 0)
    answers[ReadLog] = lambda _: LogRead("tick\n", 5)
    server = serve()
    follower = popen(*arguments)
    assert follower.stdout is not None
    follower.stdout.readline()

    server.close(WITHIN)
    _, err = follower.communicate(timeout=WITHIN)

    start = f"start it again with: treewarden up FILE --state {state_dir}"
    assert (1, f"treewarden: the runtime of {state_dir} has ended; {start}\n") == (follower.returncode, err)


def test_a_long_event_is_told_whole(serve: Serve, run: Run, answers: Answers) -> None:
    answers[ReadEvents] = lambda _: EventsRead((event(1, f"{'long ' * 60}\x1b[2J end"),), 1, 0)
    serve()

    assert f"{'long ' * 60}\\x1b[2J end\n" in run("events")[1]


def test_a_narrow_terminal_never_cuts_a_path_or_a_pid(serve: Serve, popen: Popen) -> None:
    serve()
    for columns in ("40", "90", "200"):
        ours, theirs = pty.openpty()
        try:
            try:
                lister = popen("ps", stdout=theirs, env={"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": columns})
            finally:
                os.close(theirs)
            drawn = read_terminal(ours)
        finally:
            os.close(ours)
        _, err = lister.communicate(timeout=WITHIN)

        assert (0, "") == (lister.returncode, err)
        for whole in ("/dev/tools/counter", "/dev/tools/flaky", "4712", "RESTARTS", "restarting, next try in 3.2 s"):
            assert whole in drawn, f"{whole} is cut at {columns} columns:\n{drawn}"


def test_following_a_log_prints_what_comes_and_is_quiet_when_its_reader_goes_away(
    serve: Serve, popen: Popen, answers: Answers
) -> None:
    def read(command: Command) -> LogRead:
        assert isinstance(command, ReadLog)
        return LogRead("tick\n", 5 if command.offset is None else command.offset + 5)

    answers[ReadLog] = read
    serve()
    follower = popen("logs", "/dev/api", "-f")
    assert follower.stdout is not None
    assert follower.stderr is not None

    lines = [follower.stdout.readline() for _ in range(3)]
    follower.stdout.close()

    assert ["tick\n"] * 3 == lines
    assert (141, "") == (follower.wait(WITHIN), follower.stderr.read())


def test_a_reader_that_took_enough_of_a_short_result_is_no_error(serve: Serve, popen: Popen) -> None:
    serve()
    reading, writing = os.pipe()
    os.close(reading)
    try:
        lister = popen("ps", stdout=writing)
    finally:
        os.close(writing)

    _, err = lister.communicate(timeout=WITHIN)

    assert (141, "") == (lister.returncode, err)


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_colours_unless_no_color_is_set(
    serve: Serve, popen: Popen, environment: dict[str, str], coloured: bool
) -> None:
    serve()
    ours, theirs = pty.openpty()
    try:
        try:
            drawer = popen("tree", stdout=theirs, env={"NO_COLOR": "", "TERM": "xterm-256color", **environment})
        finally:
            os.close(theirs)
        drawn = read_terminal(ours)
    finally:
        os.close(ours)

    _, err = drawer.communicate(timeout=WITHIN)
    assert (0, "") == (drawer.returncode, err)
    assert "├─ " in drawn
    assert coloured is ("\x1b[32mrunning, ready" in drawn)


def read_terminal(descriptor: int) -> str:
    """Everything that is written to a pseudo-terminal; Linux ends it with EIO (pty(7))."""
    received = b""
    try:
        while chunk := os.read(descriptor, 65536):
            received += chunk
    except OSError:
        return received.decode()
    return received.decode()
