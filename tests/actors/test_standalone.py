"""`YourActor.start()`: an actor that nobody supervises, from its start to the end of the threads it runs on."""

import logging
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from treewarden.actors import (
    Actor,
    ActorCrashed,
    ActorRef,
    Crashed,
    ExitReason,
    Ignore,
    Killed,
    Normal,
    ServiceMissing,
    Shutdown,
)

if TYPE_CHECKING:
    from .conftest import Threads

PATIENCE = 10.0  # seconds; reached only by a test that fails


@pytest.fixture(autouse=True)
def all_stopped(nothing_left: None) -> Iterator[None]:
    yield
    pykka.ActorRegistry.stop_all(timeout=PATIENCE)


class Counter(Actor):
    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.count = start
        self.thread = threading.get_ident()

    def add(self, number: int) -> int:
        self.count += number
        return self.count

    def on_receive(self, message: Any) -> Any:
        return message(self) if callable(message) else message


class Noting(Counter):
    """Notes what runs, in a list of its test's."""

    def __init__(self, notes: list[Any], **acts: Callable[[], object]) -> None:
        super().__init__()
        self.notes, self.acts = notes, acts

    def on_start(self) -> None:
        self._do("start")

    def on_stop(self, reason: ExitReason | None = None) -> None:
        self.notes.append(reason)
        self._do("stop")

    def note(self, number: int) -> None:
        self.notes.append(number)

    def _do(self, where: str) -> None:
        self.notes.append(where)
        self.acts.get(where, lambda: None)()


def doing(act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A message that has the actor do `act`."""
    return act


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("treewarden")]


# The start


def test_start_returns_a_ref_to_a_running_actor() -> None:
    ref = Counter.start(3)

    assert isinstance(ref, ActorRef)
    assert ref.actor_class is Counter
    assert 5 == ref.proxy().add(2).get(timeout=PATIENCE)


def test_arguments_go_to_the_constructor_whatever_their_names() -> None:
    class Named(Actor):
        def __init__(self, path: str, *, id: str, restart: bool) -> None:  # noqa: A002 - the subject
            super().__init__()
            self.got = (path, id, restart)

    assert ("/x", "y", False) == Named.start("/x", id="y", restart=False).proxy().got.get(timeout=PATIENCE)


def test_a_path_names_the_class_and_is_given_once() -> None:
    refs = [Counter.start(), Counter.start()]

    assert all(ref.path.startswith("/standalone/Counter-") for ref in refs)
    assert refs[0].path != refs[1].path


def test_a_class_whose_name_is_no_child_id_is_started_all_the_same() -> None:
    odd = type("Zähler", (Counter,), {})

    assert odd.start().path.startswith("/standalone/actor-")


def test_the_constructor_has_run_when_start_returns() -> None:
    """So a proxy knows the attributes at once."""
    assert 3 == Counter.start(3).proxy().count.get(timeout=PATIENCE)


def test_on_start_runs_while_the_starter_goes_on_and_messages_wait_for_it() -> None:
    gate, notes = threading.Event(), list[Any]()
    ref = Noting.start(notes, start=lambda: gate.wait(PATIENCE))
    ref.tell(doing(lambda actor: actor.notes.append("told")))
    gate.set()
    ref.ask(None, timeout=PATIENCE)

    assert ["start", "told"] == notes


def test_what_the_constructor_raises_is_raised_by_start_and_nothing_was_started(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(TypeError, match="colour") as raised:
        Counter.start(colour="red")

    assert "Raised in the __init__ of /standalone/Counter-" in raised.value.__notes__[0]
    assert [] == pykka.ActorRegistry.get_by_class(Counter)
    assert [] == [record for record in caplog.records if record.levelno > logging.DEBUG]


def test_an_abstract_class_is_refused_by_start() -> None:
    import abc

    class Abstract(Actor, abc.ABC):
        @abc.abstractmethod
        def work(self) -> None: ...

    with pytest.raises(TypeError, match="abstract"):
        Abstract.start()


def test_system_exit_in_the_constructor_ends_no_thread_of_the_starter() -> None:
    class Leaving(Actor):
        def __init__(self) -> None:
            super().__init__()
            raise SystemExit(3)

    with pytest.raises(ActorCrashed):
        Leaving.start()


def test_a_failing_on_start_ends_the_actor_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """pykka's ref looks alive then."""

    def fail() -> None:
        raise LookupError("no table")

    notes: list[Any] = []
    ref = Noting.start(notes, start=fail)

    assert isinstance(ref.wait_stopped(timeout=PATIENCE), Crashed)
    assert not ref.is_alive()
    pykka.ActorRegistry.stop_all()  # the line is written by then
    assert ["start"] == notes
    assert [f"Unhandled exception in {ref}:"] == [record.message for record in caplog.records]
    assert "LookupError: no table" in caplog.text


def test_a_declined_start_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    def decline() -> None:
        raise Ignore

    ref = Noting.start([], start=decline)

    assert Normal() == ref.wait_stopped(timeout=PATIENCE)
    pykka.ActorRegistry.stop_all()
    assert [] == caplog.records


def test_it_is_found_in_its_own_on_start() -> None:
    found: list[Any] = []

    class Looking(Actor):
        def on_start(self) -> None:
            found.extend(pykka.ActorRegistry.get_by_class(Looking))

    ref = Looking.start()
    ref.ask(None, timeout=PATIENCE)

    assert [ref] == found


def test_an_actor_may_start_another_and_reaches_it_by_its_address() -> None:
    def start_other(actor: Counter) -> int:
        other = Counter.start(7)
        ask: int = actor.context.address(other.path).ask(doing(lambda found: found.count), timeout=PATIENCE)
        return ask

    assert 7 == Counter.start().ask(start_other, timeout=PATIENCE)


def test_a_supervised_actor_may_start_one_that_nobody_supervises(threads: "Threads") -> None:
    ref = threads.spawn(Counter)
    other: Any = ref.ask(doing(lambda _: Counter.start(4)), timeout=PATIENCE)

    assert other.path.startswith("/standalone/")
    assert 4 == other.proxy().count.get(timeout=PATIENCE)


# The end


def test_nobody_restarts_it_and_its_crash_is_logged_with_the_traceback(caplog: pytest.LogCaptureFixture) -> None:
    ref = Counter.start()
    ref.proxy().add.defer("one")

    assert isinstance(ref.wait_stopped(timeout=PATIENCE), Crashed)
    assert [] == pykka.ActorRegistry.get_by_class(Counter)
    pykka.ActorRegistry.stop_all()
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("pykka", logging.ERROR)
    assert f"Unhandled exception in {ref}:" == record.message
    assert record.exc_info is not None
    assert record.exc_info[0] is TypeError
    assert "self.count += number" in caplog.text


def test_a_crash_is_shown_where_nobody_listens_to_pykkas_log() -> None:
    """pykka drops the line then."""
    program = """
import pykka
from treewarden.actors import Actor
class Failing(Actor):
    def on_receive(self, message): raise LookupError(message)
ref = Failing.start()
ref.tell('no such thing')
ref.wait_stopped(timeout=10)
pykka.ActorRegistry.stop_all()
"""
    done = run(program)

    assert 0 == done.returncode
    assert "Unhandled exception in Failing /standalone/Failing-1" in done.stderr
    assert "LookupError: no such thing" in done.stderr


def test_messages_that_were_told_before_stop_are_handled_before_it() -> None:
    notes: list[Any] = []
    ref = Noting.start(notes)
    for number in range(3):
        ref.proxy().note.defer(number)

    assert ref.stop(timeout=PATIENCE) is True
    assert ["start", 0, 1, 2, Normal(), "stop"] == notes


def test_an_actor_that_was_killed_is_dead_and_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    ref = Counter.start()
    ref.kill()

    assert Killed() == ref.wait_stopped(timeout=PATIENCE)
    pykka.ActorRegistry.stop_all()
    assert [] == caplog.records


def test_what_needs_a_runtime_says_so_and_does_not_start(caplog: pytest.LogCaptureFixture) -> None:
    class Durable(Counter):
        def snapshot(self) -> object:
            return self.count

        def restore(self, state: Any) -> None:
            self.count = state

    reason = Durable.start().wait_stopped(timeout=PATIENCE)
    pykka.ActorRegistry.stop_all()

    assert isinstance(reason, Crashed)
    assert isinstance(reason.error, ServiceMissing)
    assert "under treewarden.supervision_trees.Runtime" in caplog.text


# The hooks as pykka spells them


class Spelt(Counter):
    """As written for pykka, but for the base class."""

    def __init__(self, notes: list[Any], failing: BaseException | None = None) -> None:
        super().__init__()
        self.notes, self.failing = notes, failing

    def on_stop(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride] - the subject
        self.notes.append("stop")

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self.notes.append((exception_type, exception_value, traceback))
        if self.failing is not None:
            raise self.failing


def test_on_stop_may_leave_the_reason_out() -> None:
    notes: list[Any] = []
    ref = Spelt.start(notes)
    ref.stop(timeout=PATIENCE)

    assert Normal() == ref.wait_stopped(timeout=0)
    assert ["stop"] == notes


def test_on_stop_without_the_reason_may_come_from_anywhere_in_the_class() -> None:
    class Cleaning:
        def __init__(self) -> None:
            self.cleaned = 0

        def on_stop(self) -> None:
            self.cleaned += 1

    class Mixed(Cleaning, Actor):  # type: ignore[misc]  # the subject  # pyright: ignore[reportIncompatibleMethodOverride]
        def __init__(self) -> None:
            Actor.__init__(self)
            Cleaning.__init__(self)

    class Below(Mixed):
        def on_stop(self, reason: ExitReason | None = None) -> None:
            super().on_stop(reason)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
            super().on_stop()

    for actor_class, times in ((Mixed, 1), (Below, 2)):
        ref = actor_class.start()
        actor = ref.incarnation().actor
        assert isinstance(actor, Cleaning)
        ref.stop(timeout=PATIENCE)
        assert Normal() == ref.wait_stopped(timeout=0)
        assert times == actor.cleaned


@pytest.mark.parametrize("asked", [False, True])
def test_on_failure_hears_of_a_crash_with_its_frames_and_on_stop_follows(asked: bool) -> None:
    notes: list[Any] = []
    ref = Spelt.start(notes)
    if asked:
        with pytest.raises(TypeError):
            ref.proxy().add("one").get(timeout=PATIENCE)
    else:
        ref.proxy().add.defer("one")
    ref.wait_stopped(timeout=PATIENCE)

    (kind, error, frames), last = notes
    assert (kind, type(error), last) == (TypeError, TypeError, "stop")
    assert "self.count += number" in "".join(traceback.format_tb(frames))


def test_a_supervised_actor_hears_of_its_failure_too(threads: "Threads") -> None:
    notes: list[Any] = []
    ref = threads.spawn(Spelt, notes)
    ref.proxy().add.defer("one")

    assert isinstance(ref.wait_stopped(timeout=PATIENCE), Crashed)
    assert 2 == len(notes)


@pytest.mark.parametrize("failure", [LookupError("again"), SystemExit(1)])
def test_an_on_failure_that_raises_is_reported_and_the_crash_stays_the_end(
    threads: "Threads", failure: BaseException
) -> None:
    notes: list[Any] = []
    ref = threads.spawn(Spelt, notes, failing=failure)
    ref.proxy().add.defer("one")
    reason = ref.wait_stopped(timeout=PATIENCE)

    assert isinstance(reason, Crashed)
    assert isinstance(reason.error, TypeError)
    assert "stop" == notes[-1]
    assert ["on_failure failed"] == [line.event for line in threads.lines]


def test_a_class_without_on_failure_is_not_asked(threads: "Threads") -> None:
    ref = threads.spawn(Counter)
    ref.proxy().add.defer("one")
    ref.wait_stopped(timeout=PATIENCE)

    assert [] == threads.lines


# The threads


def test_an_import_makes_no_thread() -> None:
    done = run("import threading, treewarden.actors; print(threading.active_count())")

    assert "1\n" == done.stdout


def test_stop_all_ends_the_threads_and_a_start_after_it_makes_new_ones() -> None:
    for _ in range(2):
        refs = [Counter.start(), Counter.start()]

        assert ours()
        assert [True, True] == pykka.ActorRegistry.stop_all(timeout=PATIENCE)
        assert [] == [ref for ref in refs if ref.is_alive()]
        assert [] == ours()


def test_the_threads_end_by_themselves_some_time_after_the_last_actor(
    wait_for: Callable[[Callable[[], bool], str], None],
) -> None:
    Counter.start().stop(timeout=PATIENCE)

    wait_for(lambda: not ours(), "the threads ended")


def test_stop_all_leaves_the_threads_to_an_actor_that_was_started_meanwhile() -> None:
    later: list[ActorRef[Any]] = []
    Noting.start([], stop=lambda: later.append(Counter.start(1)))
    pykka.ActorRegistry.stop_all(timeout=PATIENCE)

    assert 1 == later[0].proxy().count.get(timeout=PATIENCE)


def test_many_threads_start_and_stop_actors_at_once() -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for number in range(20):
                ref = Counter.start(number)
                assert number + 1 == ref.proxy().add(1).get(timeout=PATIENCE)
                assert ref.stop(timeout=PATIENCE) is True
                pykka.ActorRegistry.get_all()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)

    assert [] == failures
    assert [] == pykka.ActorRegistry.get_by_class(Counter)


# The program


def run(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        # Newer Pythons warn of each fork beside threads, which one of these is about.
        [sys.executable, "-W", "error", "-W", "ignore:.*fork:DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


STOPPING = """
import sys, os, threading, time
from treewarden.actors import Actor
class Saying(Actor):
    def __init__(self, name):
        super().__init__()
        self.name = name
    def on_stop(self, reason=None):
        print(self.name, reason, flush=True)
"""


def test_what_runs_at_the_exit_of_the_program_is_stopped_the_last_started_first() -> None:
    done = run(STOPPING + "Saying.start('first'); Saying.start('second')")

    assert (0, "") == (done.returncode, done.stderr)
    assert [f"second {Shutdown('exit')}", f"first {Shutdown('exit')}"] == done.stdout.splitlines()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_actors_of_its_own_and_leaves_the_parents_alone() -> None:
    program = """
import pykka
parents = Saying.start('parent')
child = os.fork()
if child == 0:
    assert pykka.ActorRegistry.get_all() == []
    own = Saying.start('child')
    assert own.proxy().name.get(timeout=10) == 'child'
    assert pykka.ActorRegistry.stop_all(timeout=10) == [True]
    sys.stdout.flush()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert parents.is_alive()
assert pykka.ActorRegistry.get_all() == [parents]
"""
    done = run(STOPPING + program)

    assert (0, "") == (done.returncode, done.stderr)
    assert [f"child {Normal()}", f"parent {Shutdown('exit')}"] == done.stdout.splitlines()
