"""The runtime as a library: start, look, command, stop."""

import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from treewarden.actors import (
    Actor,
    ActorDead,
    ActorPath,
    ChildAbandoned,
    ChildSpec,
    DeadLetter,
    ExitReason,
    Ignore,
    Intensity,
    Restart,
    RuntimeStarted,
    RuntimeStopped,
    Shutdown,
    StopReport,
)
from treewarden.actors.probes import ProbeLoop
from treewarden.storage import StoreLocked
from treewarden.supervision_trees import (
    CommandRefused,
    ReadEvents,
    ReadLog,
    RestartActor,
    Runtime,
    StartActor,
    StartFailed,
    StopActor,
    StopTree,
    Supervisor,
)


class Echo(Actor):
    def on_receive(self, message: object) -> object:
        if message == "crash":
            raise ValueError("asked to")
        return message


class Broken(Actor):
    def on_start(self) -> None:
        raise RuntimeError("cannot begin")


class Stubborn(Actor):
    """Does not stop while its gate is shut."""

    gate = threading.Event()

    def on_stop(self, reason: ExitReason | None = None) -> None:
        self.gate.wait(timeout=30)


class Declining(Actor):
    def on_start(self) -> None:
        raise Ignore


class Dawdler(Actor):
    """Does not start while its gate is shut."""

    gate = threading.Event()

    def on_start(self) -> None:
        self.gate.wait(timeout=30)


def test_a_tree_in_memory_runs_answers_and_stops_without_leaving_anything(start: Any, events: Any) -> None:
    runtime = start(ChildSpec.of(Echo, id="a"), ChildSpec.of(Echo, id="b"))

    assert "hello" == runtime.address("/dev/a").ask("hello")
    report = runtime.stop()

    assert ("/dev/b", "/dev/a", "/dev") == report.stopped
    assert report is runtime.stop()
    assert [RuntimeStopped(3, (), ())] == events.of(RuntimeStopped)


def test_a_crashed_actor_is_replaced_behind_its_address(start: Any, wait_until: Any) -> None:
    runtime = start(ChildSpec.of(Echo, id="a"))
    address = runtime.address("dev/a")
    old = address.resolve()

    with pytest.raises(ValueError, match="asked to"):
        address.ask("crash")
    wait_until(lambda: address.resolve() is not None)

    assert (1, 2) == (old.generation, address.resolve().generation)
    assert "again" == address.ask("again")
    with pytest.raises(ActorDead):
        old.ask("to the dead")


def test_a_message_to_nobody_is_a_dead_letter_and_an_ask_an_error(start: Any, events: Any) -> None:
    runtime = start()

    runtime.address("/dev/nobody").tell("hello")
    with pytest.raises(ActorDead, match="/dev/nobody"):
        runtime.address("/dev/nobody").ask("hello")

    assert [DeadLetter(ActorPath("/dev/nobody"), "str")] == events.wait(DeadLetter)


def test_a_child_that_does_not_start_fails_the_start_and_stops_its_elders(start: Any, events: Any) -> None:
    with pytest.raises(
        StartFailed, match="/dev/group/bad did not start: crashed: RuntimeError: cannot begin"
    ) as failed:
        start(
            ChildSpec.of(Echo, id="a"),
            ChildSpec.of(Supervisor, children=[ChildSpec.of(Echo, id="c"), ChildSpec.of(Broken, id="bad")], id="group"),
        )

    assert "/dev/group/bad" == failed.value.path
    assert 1 == len(events.of(RuntimeStarted))


def test_a_tree_that_gives_up_by_itself_ends_not_ok_and_says_why(start: Any) -> None:
    runtime = start(ChildSpec.of(Echo, id="a"), intensity=Intensity(0, within=5.0))

    with pytest.raises(ValueError, match="asked to"):
        runtime.address("/dev/a").ask("crash")
    end = runtime.wait(timeout=10)

    assert end is not None
    assert not end.ok
    assert "/dev gave up: /dev/a needed 1 restarts within 5 s, 0 are allowed" in end.message
    assert "ValueError: asked to" in end.message


def test_a_child_that_does_not_stop_in_time_is_reported_as_abandoned(start: Any) -> None:
    Stubborn.gate.clear()
    runtime = start(ChildSpec.of(Stubborn, id="mule", shutdown=0.05), ChildSpec.of(Echo, id="a"))
    try:
        runtime.request_stop("test")
        end = runtime.wait(timeout=10)
        assert end is not None
        assert end.ok
        assert ("/dev/mule",) == end.report.abandoned
        assert ("/dev/a", "/dev") == end.report.stopped
    finally:
        Stubborn.gate.set()


class Held(Actor):
    """Once it is told to stop, or asked to `hold`, it goes on while its gate is shut."""

    def __init__(self, inside: threading.Event, gate: threading.Event) -> None:
        super().__init__()
        self.inside, self.gate = inside, gate

    def on_receive(self, message: object) -> object:
        return self.on_stop() if message == "hold" else message

    def on_stop(self, reason: ExitReason | None = None) -> None:
        self.inside.set()
        self.gate.wait(timeout=30)


def test_a_tree_that_is_killed_since_it_takes_too_long_to_stop_says_what_it_left_behind(
    start: Any, events: Any
) -> None:
    """A.7: also far below, where a killed supervisor takes the next one along."""
    inside, gate, reports = threading.Event(), threading.Event(), list[StopReport]()
    deep = ChildSpec.of(
        Supervisor, [ChildSpec.of(Held, inside, gate, id="held", shutdown=30.0), ChildSpec.of(Echo, id="b")], id="deep"
    )
    runtime = start(ChildSpec.of(Supervisor, [ChildSpec.of(Echo, id="c"), deep], id="sub"), ChildSpec.of(Echo, id="a"))
    runtime.whereis("/dev/sub/deep/held").tell("hold")
    assert inside.wait(timeout=10)
    stopping = threading.Thread(target=lambda: reports.append(runtime.stop(within=0.05)))
    stopping.start()
    try:
        [abandoned] = events.wait(ChildAbandoned)
        assert "/dev/sub/deep/held" == abandoned.path
    finally:
        gate.set()
        stopping.join(timeout=20)

    [report] = reports
    assert ("/dev/sub/deep/held",) == report.abandoned
    assert ["/dev", "/dev/a", "/dev/sub", "/dev/sub/c", "/dev/sub/deep", "/dev/sub/deep/b"] == sorted(report.stopped)


def test_what_a_killed_supervisor_left_behind_counts_for_ever(start: Any, events: Any) -> None:
    """A.7, A.15: its busy child is fenced, told of once, and in the report of the tree's end."""
    inside, gate = threading.Event(), threading.Event()
    runtime = start(ChildSpec.of(Supervisor, [ChildSpec.of(Held, inside, gate, id="held")], id="sub"))
    try:
        runtime.whereis("/dev/sub/held").tell("hold")
        assert inside.wait(timeout=10)
        runtime.whereis("/dev/sub").kill()
        [abandoned] = events.wait(ChildAbandoned)
    finally:
        gate.set()

    assert ("/dev/sub/held", 1) == (abandoned.path, abandoned.generation)
    assert ("/dev/sub/held",) == runtime.stop().abandoned


def test_whoever_asks_a_root_to_stop_that_gives_up_has_not_stopped_it(start: Any) -> None:
    """A.4: it ends with a non-zero status and says why, though a request to stop came in between."""
    inside, gate = threading.Event(), threading.Event()
    runtime = start(
        ChildSpec.of(Held, inside, gate, id="held", shutdown=30.0),
        ChildSpec.of(Echo, id="a"),
        intensity=Intensity(0, within=5.0),
    )
    try:
        runtime.whereis("/dev/a").tell("crash")
        assert inside.wait(timeout=10)
        runtime.request_stop("too late")
    finally:
        gate.set()
    end = runtime.wait(timeout=10)

    assert end is not None
    assert (False, Shutdown("intensity")) == (end.ok, end.reason)
    assert "/dev gave up: /dev/a needed 1 restarts" in end.message


def test_two_runtimes_never_share_a_state_directory(start: Any, tmp_path: Path) -> None:
    start(state_dir=tmp_path / "state")

    with pytest.raises(StoreLocked, match="/dev"):
        start(state_dir=tmp_path / "state")


def test_a_directory_is_free_again_after_a_stop(start: Any, tmp_path: Path) -> None:
    for _ in range(3):
        start(ChildSpec.of(Echo, id="a"), state_dir=tmp_path / "state").stop()


def test_operators_commands_stop_start_and_restart_a_child(start: Any) -> None:
    runtime = start(ChildSpec.of(Echo, id="a"))

    stopped: Any = runtime.execute(StopActor("dev/a"))
    assert "stopped" == stopped.state
    started: Any = runtime.execute(StartActor("/dev/a"))
    assert ("running", 2) == (started.state, started.generation)
    restarted: Any = runtime.execute(RestartActor("/dev/a/"))

    assert ("running", 3) == (restarted.state, restarted.generation)
    assert 0 == restarted.restarts  # by hand costs nothing


@pytest.mark.parametrize("path", ["/dev", "/other/a", "/dev/a/b", "/dev/no such/x", ""])
def test_a_command_for_a_place_that_is_not_there_is_refused(start: Any, path: str) -> None:
    runtime = start(ChildSpec.of(Echo, id="a"))

    with pytest.raises(CommandRefused):
        runtime.execute(RestartActor(path))


def test_callers_that_restart_one_child_at_the_same_time_leave_one_running(start: Any) -> None:
    runtime = start(ChildSpec.of(Echo, id="a"))
    callers = [threading.Thread(target=runtime.execute, args=(RestartActor("/dev/a"),)) for _ in range(8)]

    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    [view] = runtime.inspect().root.children
    assert "running" == view.state
    assert 2 <= view.generation <= 9
    assert "alive" == runtime.address("/dev/a").ask("alive")


def test_events_are_read_from_where_the_reader_left_off(start: Any) -> None:
    runtime = start(ChildSpec.of(Echo, id="a"))
    first: Any = runtime.execute(ReadEvents())
    names = [event["event"] for event in first.events]

    runtime.execute(RestartActor("/dev/a"))
    later: Any = runtime.execute(ReadEvents(since=first.last, wait=5.0))

    assert ["RuntimeStarted", "ChildStarted", "ChildReady"] == names
    assert "ChildStopped" == later.events[0]["event"]
    assert later.events[0]["sequence"] == first.last + 1


def test_the_command_down_ends_the_tree_in_order(start: Any) -> None:
    runtime = start(ChildSpec.of(Echo, id="a"))

    runtime.execute(StopTree())
    end = runtime.wait(timeout=10)

    assert end is not None
    assert end.ok
    assert ("/dev/a", "/dev") == end.report.stopped


def test_a_tree_cannot_take_the_name_of_the_runtimes_own_parts() -> None:
    with pytest.raises(ValueError, match="system"):
        Runtime.start(ChildSpec.of(Supervisor, id="system"))


def test_a_start_under_way_is_stopped_when_that_is_asked_for() -> None:
    """A signal or `down` need not wait until the last child has started."""
    Dawdler.gate.clear()
    asks: queue.SimpleQueue[Callable[[str], None]] = queue.SimpleQueue()
    runtimes: queue.SimpleQueue[Runtime] = queue.SimpleQueue()
    root = ChildSpec.of(Supervisor, children=[ChildSpec.of(Dawdler, id="d", shutdown=0.05)], id="dev")
    starter = threading.Thread(target=lambda: runtimes.put(Runtime.start(root, stop_requests=asks.put)))
    starter.start()
    try:
        asks.get(timeout=10)("test")
        runtime = runtimes.get(timeout=10)
        end = runtime.wait(timeout=0)
        assert end is not None
        assert end.ok
        assert "the tree /dev was stopped: test" == end.message
    finally:
        Dawdler.gate.set()
        starter.join()
    runtime.stop()


def test_a_root_that_declines_is_a_failed_start_and_no_endless_wait() -> None:
    with pytest.raises(StartFailed, match="/dev did not start"):
        Runtime.start(ChildSpec.of(Declining, id="dev"))


def test_a_probe_thread_that_does_not_end_does_not_cost_the_report(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = start(ChildSpec.of(Echo, id="a"))
    close = ProbeLoop.close

    def close_late(self: ProbeLoop, within: float) -> None:
        close(self, within)
        raise TimeoutError("a name look-up still holds it")

    monkeypatch.setattr(ProbeLoop, "close", close_late)

    assert ("/dev/a", "/dev") == runtime.stop().stopped


FORKED = """\
import os, psutil, sys
from treewarden.actors import ChildSpec, ManagedProcess, ProcessSpec
from treewarden.supervision_trees import Runtime, Supervisor

child = ChildSpec.of(ManagedProcess, ProcessSpec(("sleep", "3600")), id="p", shutdown=1.0)
with Runtime.start(ChildSpec.of(Supervisor, children=[child], id="dev")) as runtime:
    forked = os.fork()
    if forked:
        os.waitpid(forked, 0)
        view = runtime.inspect().root.children[0]
        print(view.state, view.generation, os.path.isdir(os.path.dirname(view.log)))
    # The child leaves the block as its parent does.
if not forked:
    os._exit(0)
"""


def test_a_forked_child_that_leaves_the_block_stops_nothing_of_its_parents(tmp_path: Path) -> None:
    """In memory its copy of the store would name the parent's processes, and a sweep would end them."""
    script = tmp_path / "forked.py"
    script.write_text(FORKED)

    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ("running 1 True\n", "", 0) == (done.stdout, done.stderr, done.returncode)


def test_stopping_a_temporary_child_shows_it_stopped_though_it_is_forgotten_then(start: Any) -> None:
    runtime = start(ChildSpec.of(Echo, id="a", restart=Restart.TEMPORARY))

    stopped: Any = runtime.execute(StopActor("/dev/a"))

    assert ("/dev/a", "stopped") == (stopped.path, stopped.state)
    assert () == runtime.inspect().root.children


def test_the_log_of_nobody_is_refused_as_nobodys(start: Any) -> None:
    runtime = start(ChildSpec.of(Echo, id="a"))

    with pytest.raises(CommandRefused, match="there is no /dev/b"):
        runtime.execute(ReadLog("/dev/b"))
    with pytest.raises(CommandRefused, match="/dev/a has no log"):
        runtime.execute(ReadLog("/dev/a"))


def test_a_restart_of_a_child_that_then_waits_for_a_sibling_is_answered(start: Any) -> None:
    """A.6: it waits, visibly, and for as long as it takes; whoever restarted it does not."""
    runtime = start(ChildSpec.of(Echo, id="need"), ChildSpec.of(Echo, id="child", needs=("need",)))
    assert "stopped" == runtime.execute(StopActor("/dev/need")).state

    for _ in range(2):
        assert "waiting" == runtime.execute(RestartActor("/dev/child")).state
    runtime.execute(StartActor("/dev/need"))

    assert runtime.execute(StopActor("/dev/child")).state == "stopped"
    assert runtime.execute(StartActor("/dev/child")).state == "running"
