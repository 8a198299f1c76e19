"""The console over a real socket: what is asked is answered, lanes do not delay each other, the end is in order."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest

from treewarden.actors import Rejected
from treewarden.supervision_trees._control import (
    Command,
    CommandRefused,
    EventsRead,
    Inspect,
    LogRead,
    ReadEvents,
    ReadLog,
    RestartActor,
    StartActor,
    StopActor,
    StopTree,
)
from treewarden.supervision_trees._inspect import ActorView, TreeView
from treewarden.supervision_trees.console import (
    CommandFailed,
    ConsoleClient,
    ConsoleProtocolError,
    ConsoleServer,
    ConsoleUnavailable,
    RuntimeNotRunning,
    ServerLimits,
)
from treewarden.supervision_trees.console._answering import LaneName

Answers: TypeAlias = dict[type[Command], Callable[[Command], object]]
Serve: TypeAlias = Callable[..., ConsoleServer]
Connect: TypeAlias = Callable[[], ConsoleClient]

WITHIN = 10.0  # seconds; reached only if something is broken


def test_every_command_gets_its_result(
    serve: Serve, connect: Connect, answers: Answers, tree: TreeView, root: ActorView
) -> None:
    asked: list[Command] = []
    read = EventsRead(({"sequence": 1, "text": "child.started"},), 1, 0)

    def note(command: Command) -> object:
        asked.append(command)
        return read if isinstance(command, ReadEvents) else LogRead("hello\n", 6)

    answers[ReadEvents] = answers[ReadLog] = note
    serve()
    client = connect()

    assert tree == client.execute(Inspect(), timeout=WITHIN)
    assert root == client.execute(StartActor("/dev"), timeout=WITHIN)
    assert root == client.execute(StopActor("/dev"), timeout=WITHIN)
    assert root == client.execute(RestartActor("/dev"), timeout=WITHIN)
    assert read == client.execute(ReadEvents(since=3, limit=5, wait=0.5), timeout=WITHIN)
    assert LogRead("hello\n", 6) == client.execute(ReadLog("/dev/api", offset=0), timeout=WITHIN)
    client.execute(StopTree(), timeout=WITHIN)
    assert [ReadEvents(since=3, limit=5, wait=0.5), ReadLog("/dev/api", offset=0)] == asked


@pytest.mark.parametrize("refusal", [CommandRefused, Rejected])
def test_a_refusal_reaches_the_client_as_it_was_said(
    serve: Serve,
    connect: Connect,
    answers: Answers,
    errors: list[BaseException],
    refusal: type[Exception],
) -> None:
    def refuse(_: Command) -> object:
        raise refusal("no such actor: /dev/nobody")

    answers[StopActor] = refuse
    serve()
    client = connect()

    with pytest.raises(CommandRefused, match=r"^no such actor: /dev/nobody$"):
        client.execute(StopActor("/dev/nobody"), timeout=WITHIN)
    assert isinstance(client.execute(Inspect(), timeout=WITHIN), TreeView), "the connection lives on"
    assert errors == []


@pytest.mark.parametrize("defect", [ZeroDivisionError("by zero"), SystemExit(3), StopIteration()])
def test_a_defect_in_a_command_reaches_the_client_and_on_defect_and_harms_nobody(
    serve: Serve, connect: Connect, answers: Answers, errors: list[BaseException], defect: BaseException
) -> None:
    def break_down(_: Command) -> object:
        raise defect

    answers[StopActor] = break_down
    serve()
    client = connect()

    with pytest.raises(CommandFailed, match=type(defect).__name__):
        client.execute(StopActor("/dev/api"), timeout=WITHIN)
    assert isinstance(client.execute(Inspect(), timeout=WITHIN), TreeView)
    assert [defect] == errors
    assert defect.__notes__ == ["treewarden console: while it carried out StopActor"]


@pytest.mark.parametrize("result", ["a text", EventsRead(({"value": object()},), 1, 0)])
def test_a_result_that_cannot_be_sent_is_a_defect(
    serve: Serve, connect: Connect, answers: Answers, errors: list[BaseException], result: object
) -> None:
    answers[ReadEvents] = lambda _: result
    serve()

    with pytest.raises(CommandFailed):
        connect().execute(ReadEvents(), timeout=WITHIN)
    assert len(errors) == 1


def test_an_answer_too_large_for_a_frame_is_told_and_the_connection_lives_on(
    serve: Serve, connect: Connect, answers: Answers, tree: TreeView
) -> None:
    answers[ReadLog] = lambda _: LogRead("x" * 5_000_000, 5_000_000)
    serve()
    client = connect()

    with pytest.raises(ConsoleProtocolError, match=r"a frame of 50000.. bytes, expected at most 4194304; ask for less"):
        client.execute(ReadLog("/dev/api"), timeout=WITHIN)
    assert tree == client.execute(Inspect(), timeout=WITHIN)


def test_an_answer_of_nearly_the_limit_arrives_whole(serve: Serve, connect: Connect, answers: Answers) -> None:
    text = "x" * 4_000_000
    answers[ReadLog] = lambda _: LogRead(text, 1)
    serve()

    assert LogRead(text, 1) == connect().execute(ReadLog("/dev/api"), timeout=WITHIN)


def test_slow_stops_and_a_crowd_of_followers_do_not_delay_a_look_at_the_tree(
    serve: Serve, connect: Connect, answers: Answers, tree: TreeView
) -> None:
    limits = ServerLimits(waiters=2)
    crowd = 2 * (limits.changers + limits.waiters)
    go = threading.Event()
    busy = threading.Semaphore(0)

    def wait_for_go(result: object) -> object:
        busy.release()
        assert go.wait(WITHIN)
        return result

    answers[StopActor] = lambda _: wait_for_go(tree.root)
    answers[ReadEvents] = lambda _: wait_for_go(EventsRead((), 0, 0))
    serve(limits=limits)
    with ThreadPoolExecutor(crowd) as threads:
        slow = [threads.submit(ask, connect(), StopActor("/dev/api")) for _ in range(crowd // 2)]
        slow += [threads.submit(ask, connect(), ReadEvents(wait=9.0)) for _ in range(crowd // 2)]
        try:
            for _ in range(limits.changers + limits.waiters):
                assert busy.acquire(timeout=WITHIN), "both lanes are full"

            assert tree == connect().execute(Inspect(), timeout=WITHIN)
            assert not any(asked.done() for asked in slow)
        finally:
            go.set()
        assert crowd == len([asked.result(WITHIN) for asked in slow]), "those that queued are answered too"


def test_a_closing_console_answers_what_is_in_hand(serve: Serve, connect: Connect, answers: Answers) -> None:
    closing = threading.Event()
    begun = threading.Event()

    def end_the_runtime(_: Command) -> None:
        begun.set()
        assert closing.wait(WITHIN)

    answers[StopTree] = end_the_runtime
    server = serve()
    client, idle = connect(), connect()
    with ThreadPoolExecutor(2) as threads:
        down = threads.submit(client.execute, StopTree(), timeout=WITHIN)
        assert begun.wait(WITHIN)
        closed = threads.submit(server.close, WITHIN)
        with pytest.raises(ConsoleProtocolError, match=r"hung up|broke"):  # the idle one is not waited for
            ask_for_ever(idle)
        closing.set()

        assert down.result(WITHIN) is None
        assert closed.result(WITHIN) is True


def ask(client: ConsoleClient, command: StopActor | ReadEvents) -> object:
    if isinstance(command, StopActor):
        return client.execute(command, timeout=WITHIN)
    return client.execute(command, timeout=WITHIN)


def ask_for_ever(client: ConsoleClient) -> None:
    while True:
        client.execute(Inspect(), timeout=WITHIN)


def test_closing_does_not_wait_longer_than_allowed_and_says_that_a_command_still_runs(
    serve: Serve, connect: Connect, answers: Answers, root: ActorView
) -> None:
    go, begun = threading.Event(), threading.Event()

    def hang(_: Command) -> ActorView:
        begun.set()
        assert go.wait(WITHIN)
        return root

    answers[StopActor] = hang
    server = serve()
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(connect().execute, StopActor("/dev/api"), timeout=WITHIN)
        assert begun.wait(WITHIN)
        try:
            assert server.close(0.3) is False
            with pytest.raises(ConsoleProtocolError):
                asked.result(WITHIN)
        finally:
            go.set()
    assert server.close(WITHIN) is True


def test_a_command_that_was_queued_when_the_console_closed_is_not_carried_out(
    serve: Serve, connect: Connect, answers: Answers, root: ActorView
) -> None:
    go, begun = threading.Event(), threading.Event()
    stopped: list[Command] = []

    def hang(command: Command) -> ActorView:
        stopped.append(command)
        begun.set()
        assert go.wait(WITHIN)
        return root

    answers[StopActor] = hang
    answers[RestartActor] = hang
    server = serve(limits=ServerLimits(changers=1))
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(connect().execute, StopActor("/dev/a"), timeout=WITHIN)
        assert begun.wait(WITHIN)
        second = threads.submit(connect().execute, RestartActor("/dev/b"), timeout=WITHIN)
        try:
            wait_queued(server, 2)
            assert server.close(0.3) is False
            for asked in (first, second):
                with pytest.raises(ConsoleProtocolError):
                    asked.result(WITHIN)
        finally:
            go.set()
    assert server.close(WITHIN) is True
    assert [StopActor("/dev/a")] == stopped


def wait_queued(server: ConsoleServer, jobs: int) -> None:
    """Poll until the lane of changes has that many jobs, in hand or queued."""
    lane = server._lanes[LaneName.CHANGE]
    deadline = time.monotonic() + WITHIN
    while lane._unfinished < jobs:
        assert time.monotonic() < deadline, f"{lane._unfinished} jobs, expected {jobs}"
        time.sleep(0.001)


def test_a_closed_console_is_gone_from_the_file_system_and_from_memory(
    serve: Serve, connect: Connect, socket_path: Path, descriptors: Callable[[], int]
) -> None:
    before = descriptors()
    server = serve()
    connect().close()

    assert server.close(WITHIN) is True

    assert not socket_path.exists()
    assert before == descriptors()
    with pytest.raises(
        RuntimeNotRunning, match=f"no runtime is running .* treewarden up FILE --state {socket_path.parent}"
    ):
        connect()


def test_closing_twice_or_before_starting_does_nothing(serve: Serve, tmp_path: Path) -> None:
    class Nobody:
        def execute(self, command: Command) -> object:
            raise CommandRefused(str(command))

    server = serve()
    never_started = ConsoleServer(tmp_path / "never.sock", Nobody(), on_error=lambda _: None)

    assert [server.close(WITHIN), server.close(WITHIN), never_started.close(WITHIN)] == [True, True, True]


def test_a_server_starts_once(serve: Serve) -> None:
    with pytest.raises(RuntimeError, match="one start per server"):
        serve().start()


def test_a_second_console_is_refused_while_the_first_lives_and_takes_over_after_it(
    serve: Serve, connect: Connect, tree: TreeView
) -> None:
    first = serve()
    with pytest.raises(ConsoleUnavailable, match="end its runtime with: treewarden down"):
        serve()
    assert first.close(WITHIN)

    serve()

    assert tree == connect().execute(Inspect(), timeout=WITHIN)
