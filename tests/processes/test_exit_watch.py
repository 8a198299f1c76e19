"""Both watches keep the same promises; one is woken by the kernel, the other looks."""

import os
import queue
import resource
import selectors
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from treewarden.actors.processes import _exit_watch
from treewarden.actors.processes._exit_watch import (
    ExitWatch,
    PidfdExitWatch,
    PollingExitWatch,
    ProcessExit,
    exit_watch,
)
from treewarden.actors.processes._gated_process import GatedProcess
from treewarden.actors.processes._identity import ProcessIdentity, is_alive
from treewarden.actors.processes._verified import signal_verified

Spawn = Callable[..., GatedProcess]
WaitTrue = Callable[[Callable[[], object]], None]
Exits = queue.SimpleQueue[ProcessExit]

KILLED = ProcessExit(None, signal.SIGKILL)
PATIENCE = 10.0


@pytest.fixture
def errors() -> list[BaseException]:
    return []


@pytest.fixture(params=[PidfdExitWatch, PollingExitWatch])
def watch(request: pytest.FixtureRequest, errors: list[BaseException]) -> Iterator[ExitWatch]:
    made: ExitWatch = request.param(on_error=errors.append)
    yield made
    made.close()


def kill(process: GatedProcess | ProcessIdentity) -> None:
    signal_verified(process if isinstance(process, ProcessIdentity) else process.identity, signal.SIGKILL)


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_the_exit_code_of_a_child_is_exact(watch: ExitWatch, spawn: Spawn, code: int) -> None:
    exits = Exits()
    process = spawn("sh", "-c", f"exit {code}")
    watch.watch(process, exits.put)
    process.release()

    assert exits.get(timeout=PATIENCE) == ProcessExit(code, None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_the_signal_that_ended_a_child_is_exact(watch: ExitWatch, spawn: Spawn, number: signal.Signals) -> None:
    exits = Exits()
    process = spawn("sleep", "1000")
    process.release()
    watch.watch(process, exits.put)
    signal_verified(process.identity, number)

    assert exits.get(timeout=PATIENCE) == ProcessExit(None, number)


def test_how_an_adopted_process_ended_is_unknown(watch: ExitWatch, foreign: Callable[[], ProcessIdentity]) -> None:
    exits = Exits()
    identity = foreign()
    watch.adopt(identity, exits.put)
    kill(identity)

    assert exits.get(timeout=PATIENCE) == ProcessExit(None, None)


def test_an_adopted_process_that_is_gone_is_reported_at_once_by_the_watch(
    watch: ExitWatch, spawn: Spawn, wait_true: WaitTrue
) -> None:
    threads = queue.SimpleQueue[str]()
    process = spawn("true")
    process.cancel()
    watch.adopt(process.identity, lambda _: threads.put(threading.current_thread().name))

    assert threads.get(timeout=PATIENCE) == "treewarden-exits"


def test_a_child_of_ours_that_is_adopted_again_has_an_exact_exit(watch: ExitWatch, spawn: Spawn) -> None:
    exits = Exits()
    process = spawn("sh", "-c", "exit 9")
    process.release()
    watch.adopt(process.identity, exits.put)

    assert exits.get(timeout=PATIENCE) == ProcessExit(9, None)


def test_a_child_that_ended_before_the_watch_is_reported(watch: ExitWatch, spawn: Spawn) -> None:
    exits = Exits()
    process = spawn("sh", "-c", "exit 3")
    process.release()
    os.waitid(os.P_PID, process.identity.pid, os.WEXITED | os.WNOWAIT)
    watch.watch(process, exits.put)

    assert exits.get(timeout=PATIENCE) == ProcessExit(3, None)


def test_a_child_that_somebody_else_reaped_is_unknown_and_no_success(watch: ExitWatch, spawn: Spawn) -> None:
    exits = Exits()
    process = spawn("sh", "-c", "exit 3")
    process.release()
    os.waitpid(process.identity.pid, 0)
    watch.watch(process, exits.put)

    assert exits.get(timeout=PATIENCE) == ProcessExit(None, None)


def test_a_cancelled_child_is_reported(watch: ExitWatch, spawn: Spawn) -> None:
    exits = Exits()
    process = spawn("true")
    watch.watch(process, exits.put)
    process.cancel()

    assert exits.get(timeout=PATIENCE) in {ProcessExit(125, None), KILLED}


def test_one_exit_is_seen_while_200_others_are_watched(watch: ExitWatch, spawn: Spawn) -> None:
    exits = Exits()
    others = Exits()
    crowd = [spawn("true") for _ in range(200)]
    for process in crowd[:100]:
        watch.watch(process, others.put)
    one = spawn("sh", "-c", "exit 5")
    watch.watch(one, exits.put)
    for process in crowd[100:]:
        watch.watch(process, others.put)
    one.release()

    assert exits.get(timeout=PATIENCE) == ProcessExit(5, None)
    assert others.empty()
    for process in crowd:
        kill(process)
    assert [others.get(timeout=PATIENCE) for _ in crowd] == [KILLED] * 200


def test_a_stopped_child_has_not_ended(
    watch: ExitWatch, spawn: Spawn, stopped: Callable[[ProcessIdentity], ProcessIdentity]
) -> None:
    quiet, other = Exits(), Exits()
    process, barrier = spawn("sleep", "1000"), spawn("sleep", "1000")
    watch.watch(process, quiet.put)
    watch.watch(barrier, other.put)
    stopped(process.identity)
    kill(barrier)

    # The watch has looked since: it reports an exit that came after the stop.
    assert other.get(timeout=PATIENCE) == KILLED
    assert quiet.empty()
    kill(process)
    assert quiet.get(timeout=PATIENCE) == KILLED


def test_a_process_whose_first_thread_has_ended_has_not_ended(
    watch: ExitWatch, half_dead: GatedProcess, spawn: Spawn, tmp_path: Path
) -> None:
    quiet, other = Exits(), Exits()
    barrier = spawn("true")
    watch.watch(half_dead, quiet.put)
    watch.watch(barrier, other.put)
    kill(barrier)

    assert other.get(timeout=PATIENCE) == KILLED
    assert quiet.empty()
    (tmp_path / "go").write_text("\n")
    assert quiet.get(timeout=PATIENCE) == ProcessExit(0, None)


def test_a_callback_that_raises_is_reported_and_harms_no_other(
    watch: ExitWatch, spawn: Spawn, errors: list[BaseException], wait_true: WaitTrue
) -> None:
    exits = Exits()

    def failing(_: ProcessExit) -> None:
        raise SystemExit("a callback may raise anything")

    first, second = spawn("true"), spawn("true")
    watch.watch(first, failing)
    watch.watch(second, exits.put)
    kill(first)
    wait_true(lambda: errors)
    kill(second)

    assert exits.get(timeout=PATIENCE) == KILLED
    assert [str(error) for error in errors] == ["a callback may raise anything"]


@pytest.mark.parametrize("kind", [PidfdExitWatch, PollingExitWatch])
def test_if_even_reporting_fails_the_interpreter_is_told_and_the_watch_goes_on(
    kind: type[PidfdExitWatch | PollingExitWatch], spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = queue.SimpleQueue[threading.ExceptHookArgs]()
    monkeypatch.setattr(threading, "excepthook", told.put)
    exits = Exits()

    def failing(_: object) -> None:
        raise RuntimeError("no")

    watch = kind(on_error=failing)
    try:
        first, second = spawn("true"), spawn("true")
        watch.watch(first, failing)
        kill(first)
        assert str(told.get(timeout=PATIENCE).exc_value) == "no"
        watch.watch(second, exits.put)
        kill(second)
        assert exits.get(timeout=PATIENCE) == KILLED
    finally:
        watch.close()


def test_each_exit_is_reported_once(watch: ExitWatch, spawn: Spawn) -> None:
    exits = Exits()
    crowd = [spawn("sh", "-c", f"exit {code}") for code in range(30)]
    for process in crowd:
        watch.watch(process, exits.put)
        process.release()

    assert {exits.get(timeout=PATIENCE) for _ in crowd} == {ProcessExit(code, None) for code in range(30)}
    watch.close()
    assert exits.empty()


def test_a_callback_may_watch_another_process(watch: ExitWatch, spawn: Spawn) -> None:
    exits = Exits()
    first, second = spawn("true"), spawn("true")
    watch.watch(first, lambda _: watch.watch(second, exits.put))
    kill(first)
    kill(second)

    assert exits.get(timeout=PATIENCE) == KILLED


def test_a_closed_watch_leaves_the_processes_alive_and_unanswered(watch: ExitWatch, spawn: Spawn) -> None:
    exits = Exits()
    process = spawn("sleep", "1000")
    watch.watch(process, exits.put)
    watch.close()
    watch.close()

    assert is_alive(process.identity)
    with pytest.raises(RuntimeError, match="closed"):
        watch.watch(process, exits.put)
    with pytest.raises(RuntimeError, match="closed"):
        watch.adopt(process.identity, exits.put)
    kill(process)
    assert exits.empty()


def test_a_process_that_cannot_be_seen_is_complained_about_once_and_not_reported_as_ended(
    watch: ExitWatch,
    foreign: Callable[[], ProcessIdentity],
    errors: list[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked = threading.Semaphore(0)
    exits = Exits()
    identity = foreign()

    def hidden(_: ProcessIdentity) -> bool:
        looked.release()
        raise PermissionError("hidden")

    with monkeypatch.context() as patch:
        patch.setattr(_exit_watch, "is_alive", hidden)
        patch.setattr(_exit_watch, "open_verified", _no_descriptor)  # so that it is looked at now and then
        watch.adopt(identity, exits.put)
        for _ in range(3):
            assert looked.acquire(timeout=PATIENCE)
        assert exits.empty()
        assert [str(error) for error in errors] == ["hidden"]
    kill(identity)
    assert exits.get(timeout=PATIENCE) == ProcessExit(None, None)


def _no_descriptor(_: ProcessIdentity) -> int:
    raise OSError(24, "Too many open files")


def test_with_no_descriptor_left_processes_are_watched_by_looking(spawn: Spawn) -> None:
    exits = Exits()
    watch = exit_watch(on_error=lambda error: exits.put(ProcessExit(-1, -1)))
    process = spawn("sh", "-c", "exit 4")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
        with pytest.raises(OSError, match="Too many open files"):
            os.dup(0)
        watch.watch(process, exits.put)
        process.release()
        assert exits.get(timeout=PATIENCE) == ProcessExit(4, None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        watch.close()


def test_a_pidfd_watch_sleeps_without_a_timeout_while_nothing_ends(
    spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    exits = Exits()
    timeouts: list[float | None] = []
    select = selectors.DefaultSelector.select

    def recording(
        selector: selectors.DefaultSelector, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        timeouts.append(timeout)
        return select(selector, timeout)

    monkeypatch.setattr(selectors.DefaultSelector, "select", recording)
    watch = PidfdExitWatch(on_error=lambda error: None)
    try:
        for _ in range(3):
            process = spawn("true")
            watch.watch(process, exits.put)
            kill(process)
            exits.get(timeout=PATIENCE)
    finally:
        watch.close()

    assert timeouts
    assert {None} == set(timeouts)


def test_the_best_watch_of_this_system_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for works, kind in ((True, PidfdExitWatch), (False, PollingExitWatch)):
        monkeypatch.setattr(_exit_watch, "pidfds_work", lambda works=works: works)
        watch = exit_watch(on_error=lambda error: None)
        watch.close()
        assert type(watch) is kind
