"""The loop itself: exactly one answer to each check, whatever becomes of the thread."""

import doctest
import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import TypeAlias

import psutil
import pytest

from treewarden.actors.probes import (
    CommandProbe,
    Health,
    Healthy,
    HttpProbe,
    Probe,
    ProbeLoop,
    TcpProbe,
    Unhealthy,
    _loop,  # pyright: ignore[reportPrivateUsage] - its docstring is run here
)
from treewarden.actors.probes._life import THREAD_NAME

Ask: TypeAlias = Callable[..., Health]
Serve: TypeAlias = Callable[..., int]
WaitFor: TypeAlias = Callable[[Callable[[], bool], str], None]

PATIENCE = 10.0
CLOSING = Unhealthy("the probe loop is closing")


def hang_up_awaited(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def probe_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]


class Answers:
    """Counts who was answered, and how."""

    def __init__(self) -> None:
        self.given: SimpleQueue[tuple[int, Health]] = SimpleQueue()

    def of(self, number: int) -> Callable[[Health], None]:
        return lambda health: self.given.put((number, health))

    def collect(self) -> list[tuple[int, Health]]:
        found: list[tuple[int, Health]] = []
        while not self.given.empty():
            found.append(self.given.get())
        return found


@pytest.fixture
def answers() -> Answers:
    return Answers()


def test_the_thread_starts_with_the_first_check_or_before(probes: ProbeLoop) -> None:
    assert probe_threads() == []

    probes.start()
    probes.start()

    (thread,) = probe_threads()
    assert thread.daemon


def test_an_answer_comes_from_the_probe_thread(probes: ProbeLoop, dead_port: int) -> None:
    threads: SimpleQueue[str] = SimpleQueue()
    probes.check(
        TcpProbe("127.0.0.1", dead_port),
        timeout=PATIENCE,
        on_result=lambda _: threads.put(threading.current_thread().name),
    )

    assert threads.get(timeout=PATIENCE) == THREAD_NAME


def test_two_hundred_checks_are_under_way_at_once(probes: ProbeLoop, serve: Serve, answers: Answers) -> None:
    """MS33: nothing is serial. The server answers nobody before all two hundred are there."""
    everybody = threading.Barrier(200)

    def handler(connection: socket.socket) -> None:
        connection.recv(4096)
        everybody.wait(PATIENCE)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    port = serve(handler)
    for number in range(200):
        probes.check(HttpProbe(f"http://127.0.0.1:{port}/"), timeout=PATIENCE, on_result=answers.of(number))
    found = dict(answers.given.get(timeout=PATIENCE) for _ in range(200))

    assert {number: Healthy() for number in range(200)} == found


def test_forty_commands_are_under_way_at_once(
    probes: ProbeLoop, answers: Answers, tmp_path: Path, wait_for: WaitFor
) -> None:
    """None of them may end before all have begun."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script = f"touch {tmp_path}/began-$$; read -r line < {gate}"
    for number in range(40):
        probes.check(CommandProbe(("sh", "-c", script)), timeout=30.0, on_result=answers.of(number))
    wait_for(lambda: len(list(tmp_path.glob("began-*"))) == 40, "all commands began")
    opened = os.open(gate, os.O_RDWR)  # held open: a command that comes late still finds its line
    try:
        os.write(opened, b"\n" * 40)
        found = dict(answers.given.get(timeout=PATIENCE) for _ in range(40))
    finally:
        os.close(opened)

    assert dict.fromkeys(range(40), Healthy()) == found


def test_hanging_checks_do_not_delay_others(probes: ProbeLoop, ask: Ask, serve: Serve, answers: Answers) -> None:
    """MS33: one slow probe delays nobody."""
    port = serve(hang_up_awaited)
    for number in range(20):
        probes.check(HttpProbe(f"http://127.0.0.1:{port}/"), timeout=60.0, on_result=answers.of(number))
        probes.check(CommandProbe(("sleep", "1000")), timeout=60.0, on_result=answers.of(100 + number))

    assert Healthy() == ask(TcpProbe("127.0.0.1", port))  # within `PATIENCE`, far below the minute of the others
    assert answers.given.empty()


def test_close_answers_each_pending_check_once_and_leaves_nobody(
    probes: ProbeLoop, serve: Serve, answers: Answers, wait_for: WaitFor
) -> None:
    """MS32: a check can be cancelled, and none answers after the end."""
    arrived: list[int] = []

    def arrive(connection: socket.socket) -> None:
        arrived.append(1)
        hang_up_awaited(connection)

    port = serve(arrive)
    hanging: list[Probe] = [HttpProbe(f"http://127.0.0.1:{port}/")] * 50
    hanging += [CommandProbe(("sh", "-c", "sleep 1000 & sleep 1000"))] * 10
    for number, probe in enumerate(hanging):
        probes.check(probe, timeout=60.0, on_result=answers.of(number))
    wait_for(lambda: len(arrived) == 50, "all requests arrived")
    wait_for(lambda: len(psutil.Process().children(recursive=True)) == 30, "all commands run")
    probes.close(within=PATIENCE)

    assert psutil.Process().children(recursive=True) == []
    assert probe_threads() == []
    assert dict.fromkeys(range(60), CLOSING) == dict(found := answers.collect())
    assert len(found) == 60


def test_a_check_after_close_is_refused_once_and_from_another_thread(probes: ProbeLoop, ask: Ask) -> None:
    probes.start()
    probes.close(within=PATIENCE)
    probes.close(within=PATIENCE)
    threads: SimpleQueue[threading.Thread] = SimpleQueue()
    probes.check(
        TcpProbe("127.0.0.1", 1), timeout=PATIENCE, on_result=lambda _: threads.put(threading.current_thread())
    )

    assert ask(TcpProbe("127.0.0.1", 1)) == CLOSING
    assert threading.current_thread() is not threads.get(timeout=PATIENCE)
    with pytest.raises(RuntimeError, match="make a new ProbeLoop"):
        probes.start()


def test_checks_that_race_with_close_are_answered_once_each(
    probes: ProbeLoop, answers: Answers, dead_port: int, wait_for: WaitFor
) -> None:
    """Four threads ask all the time while another one closes."""
    asked = Counter[int]()
    enough = threading.Event()

    def keep_asking(first: int) -> None:
        for number in range(first, first + 200):
            asked[number] += 1
            probes.check(TcpProbe("127.0.0.1", dead_port), timeout=PATIENCE, on_result=answers.of(number))
            if number % 1000 == 50:
                enough.set()

    askers = [threading.Thread(target=keep_asking, args=(start,)) for start in range(0, 4000, 1000)]
    for asker in askers:
        asker.start()
    assert enough.wait(PATIENCE)
    probes.close(within=PATIENCE)
    for asker in askers:
        asker.join(PATIENCE)
    wait_for(lambda: answers.given.qsize() >= 800, "all were answered")

    assert asked == Counter(number for number, _ in answers.collect())


def test_closing_from_a_callback_is_refused(
    probes: ProbeLoop, ask: Ask, dead_port: int, errors: list[BaseException], wait_for: WaitFor
) -> None:
    """It would wait for itself."""
    probes.check(TcpProbe("127.0.0.1", dead_port), timeout=PATIENCE, on_result=lambda _: probes.close(within=PATIENCE))
    wait_for(lambda: bool(errors), "the error was reported")

    assert "called from a probe's callback" in str(errors.pop())
    assert isinstance(ask(TcpProbe("127.0.0.1", dead_port)), Unhealthy)


def test_a_callback_may_start_the_next_check(probes: ProbeLoop, dead_port: int) -> None:
    done: SimpleQueue[Health] = SimpleQueue()
    probe = TcpProbe("127.0.0.1", dead_port)
    probes.check(probe, timeout=PATIENCE, on_result=lambda _: probes.check(probe, timeout=PATIENCE, on_result=done.put))

    assert isinstance(done.get(timeout=PATIENCE), Unhealthy)


@pytest.mark.parametrize("error", [ValueError("boom"), SystemExit(1), KeyboardInterrupt()], ids=repr)
def test_a_callback_that_raises_is_reported_and_ends_nothing(
    probes: ProbeLoop, ask: Ask, errors: list[BaseException], error: BaseException, wait_for: WaitFor
) -> None:
    def fail(_: Health) -> None:
        raise error

    probes.start()
    (thread,) = probe_threads()
    probes.check(TcpProbe("127.0.0.1", 0), timeout=PATIENCE, on_result=fail)
    wait_for(lambda: bool(errors), "the error was reported")

    assert error is errors.pop()
    assert isinstance(ask(TcpProbe("127.0.0.1", 0)), Unhealthy)
    assert [thread] == probe_threads()


def test_a_report_that_fails_too_ends_up_where_threads_report(dead_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    last_resort: SimpleQueue[threading.ExceptHookArgs] = SimpleQueue()
    monkeypatch.setattr(threading, "excepthook", last_resort.put)

    def fail(_: object) -> None:
        raise ValueError("boom")

    probes = ProbeLoop(on_error=fail)
    try:
        probes.check(TcpProbe("127.0.0.1", dead_port), timeout=PATIENCE, on_result=fail)

        assert ValueError is last_resort.get(timeout=PATIENCE).exc_type
        assert len(probe_threads()) == 1
    finally:
        probes.close(within=PATIENCE)


def test_a_probe_that_breaks_the_check_is_an_answer_and_a_report(
    ask: Ask, errors: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MS32: no unhandled error. The text stays out of the answer: it may quote a password."""

    def fail(*_: object, **__: object) -> None:
        raise LookupError("hunter2")

    monkeypatch.setattr("treewarden.actors.probes._life.check_tcp", fail)

    assert Unhealthy("TcpProbe: the check itself failed (LookupError)") == ask(TcpProbe("127.0.0.1", 1))
    assert "hunter2" in str(errors.pop())


@pytest.fixture
def hung(probes: ProbeLoop, serve: Serve, wait_for: WaitFor) -> Answers:
    """Answers of two checks that hang: number 1 asks a silent server, number 2 runs a command."""
    answers, arrived = Answers(), threading.Event()

    def arrive(connection: socket.socket) -> None:
        arrived.set()
        hang_up_awaited(connection)

    probes.check(HttpProbe(f"http://127.0.0.1:{serve(arrive)}/"), timeout=60.0, on_result=answers.of(1))
    probes.check(CommandProbe(("sleep", "1000")), timeout=60.0, on_result=answers.of(2))
    assert arrived.wait(PATIENCE)
    wait_for(lambda: len(psutil.Process().children()) == 1, "the command runs")
    return answers


@pytest.mark.parametrize("how", ["dies", "stops"])
def test_when_the_thread_ends_checks_are_answered_and_the_next_one_starts_another(
    probes: ProbeLoop, hung: Answers, ask: Ask, errors: list[BaseException], how: str
) -> None:
    (thread,) = probe_threads()
    loop = probes._lives[-1]._loop
    loop.call_soon_threadsafe(sys.exit if how == "dies" else loop.stop)
    thread.join(PATIENCE)

    expected = "died (SystemExit); a new check starts another" if how == "dies" else "ended unexpectedly"
    why = Unhealthy(f"the probe thread {expected}")
    assert [(1, why), (2, why)] == sorted(hung.collect(), key=lambda answer: answer[0])
    assert psutil.Process().children(recursive=True) == []
    assert (how == "dies") == bool(errors)
    errors.clear()
    assert Healthy() == ask(CommandProbe(("true",)))
    (another,) = probe_threads()
    assert thread is not another


def test_a_callback_may_ask_again_when_the_thread_dies(
    probes: ProbeLoop, hung: Answers, errors: list[BaseException], wait_for: WaitFor
) -> None:
    """The question goes to a new thread, although the old one is still in the callback."""
    again: SimpleQueue[Health] = SimpleQueue()
    probes.check(
        CommandProbe(("sleep", "1000")),
        timeout=60.0,
        on_result=lambda _: probes.check(CommandProbe(("true",)), timeout=PATIENCE, on_result=again.put),
    )
    probes._lives[-1]._loop.call_soon_threadsafe(sys.exit)

    assert Healthy() == again.get(timeout=PATIENCE)
    wait_for(lambda: bool(errors) and len(probe_threads()) == 1, "the old thread ended and reported why")
    errors.clear()
    assert len(hung.collect()) == 2


def test_without_another_thread_a_check_is_answered_all_the_same(
    probes: ProbeLoop, ask: Ask, dead_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        answer = ask(TcpProbe("127.0.0.1", dead_port))

    assert Unhealthy("the probe thread cannot start: can't start new thread") == answer
    assert isinstance(ask(TcpProbe("127.0.0.1", dead_port)), Unhealthy)


def test_a_name_server_that_hangs_delays_no_literal_address_and_is_reported_by_close(
    probes: ProbeLoop, ask: Ask, serve: Serve, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """getaddrinfo(3) cannot be interrupted: the answers come in time, the thread ends later."""
    port = serve(hang_up_awaited)
    resolve, released = socket.getaddrinfo, threading.Event()

    def hang(host: str, service: int, *options: int, flags: int = 0, **named: int) -> object:
        if host == "slow.example" and not flags & socket.AI_NUMERICHOST:
            released.wait(PATIENCE)
            host = "127.0.0.1"
        return resolve(host, service, *(options or (named.get("family", 0), named.get("type", 0), 0, flags)))

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        for number in range(30):
            probes.check(TcpProbe("slow.example", port), timeout=0.3, on_result=answers.of(number))
        probes.check(HttpProbe("http://slow.example/"), timeout=0.3, on_result=answers.of(30))
        assert Healthy() == ask(TcpProbe("127.0.0.1", port), 1.0)
        found = [answers.given.get(timeout=PATIENCE)[1] for _ in range(31)]
        assert all(isinstance(health, Unhealthy) and "no answer within 0.3 s" in health.why for health in found)

        with pytest.raises(TimeoutError, match="a callback or a name look-up still holds it"):
            probes.close(within=0.1)
    finally:
        released.set()
    probes.close(within=PATIENCE)
    assert probe_threads() == []


def test_a_callback_that_blocks_cannot_keep_close_from_answering(probes: ProbeLoop, answers: Answers) -> None:
    blocked, released = threading.Event(), threading.Event()

    def block(_: Health) -> None:
        blocked.set()
        released.wait(PATIENCE)

    try:
        probes.check(CommandProbe(("true",)), timeout=PATIENCE, on_result=block)
        assert blocked.wait(PATIENCE)
        probes.check(TcpProbe("127.0.0.1", 1), timeout=PATIENCE, on_result=answers.of(1))
        with pytest.raises(TimeoutError):
            probes.close(within=0.1)
        assert answers.collect() == [(1, CLOSING)]
    finally:
        released.set()
    probes.close(within=PATIENCE)
    assert answers.collect() == []


def test_what_an_impatient_close_has_answered_is_not_answered_again(probes: ProbeLoop, answers: Answers) -> None:
    """Two checks end in one turn of the loop: the first one's callback blocks, the second one's answer is due."""
    blocked, released = threading.Event(), threading.Event()
    at_once = TcpProbe("127.0.0.1", 0)

    def block(_: Health) -> None:
        blocked.set()
        released.wait(PATIENCE)

    def ask_both(_: Health) -> None:
        probes.check(at_once, timeout=PATIENCE, on_result=block)
        probes.check(at_once, timeout=PATIENCE, on_result=answers.of(1))

    try:
        probes.check(at_once, timeout=PATIENCE, on_result=ask_both)
        assert blocked.wait(PATIENCE)
        with pytest.raises(TimeoutError):
            probes.close(within=0.1)
    finally:
        released.set()
    probes.close(within=PATIENCE)
    assert answers.collect() == [(1, CLOSING)]


def test_the_example_in_the_docstring_runs() -> None:
    assert doctest.TestResults(failed=0, attempted=7) == doctest.testmod(_loop)
