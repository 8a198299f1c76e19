"""`TreeUnderTest` as its users meet it: what a test can make happen, see and rely on."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pykka
import pytest

from treewarden.actors import (
    INFINITY,
    Actor,
    ActorDead,
    ActorPath,
    ActorRef,
    AskCycle,
    Backoff,
    ChildAbandoned,
    ChildDeclined,
    ChildExited,
    ChildId,
    ChildReady,
    ChildRestarting,
    ChildSpec,
    ChildStarted,
    ChildStartFailed,
    ChildStopped,
    Crashed,
    Event,
    Intensity,
    Killed,
    ManagedProcess,
    Normal,
    ProcessSpec,
    Reply,
    Restart,
    Shutdown,
    StopReport,
    SupervisorGaveUp,
    Unresponsive,
)
from treewarden.supervision_trees import (
    AlreadyPresent,
    ChildState,
    NotFound,
    StartFailed,
    Strategy,
    Supervisor,
    parse_definition,
)
from treewarden.supervision_trees.definitions import Format
from treewarden.supervision_trees.testing import (
    CrashesAtStop,
    Declines,
    EndlessLoop,
    FailsAtStart,
    HangsAtStart,
    IgnoresStop,
    LeftAlive,
    Life,
    NotAnswered,
    NotReady,
    Runs,
    Scripted,
    ScriptedCrash,
    SlowStop,
    TreeUnderTest,
    UnknownChild,
    WrongState,
    scripted,
)


@pytest.fixture(autouse=True)
def no_thread_is_ever_made(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Not one, not even for a moment."""
    before = set(threading.enumerate())

    def refuse(thread: threading.Thread) -> None:
        raise AssertionError(f"a thread was started: {thread}")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    yield
    assert set(threading.enumerate()) <= before


def group(name: str, *children: ChildSpec, **options: Any) -> ChildSpec:
    return ChildSpec.of(Supervisor, children=children, id=name, **options)


def paths(*texts: str) -> tuple[ActorPath, ...]:
    return tuple(ActorPath(text) for text in texts)


class Counter(Actor):
    """A user's own actor."""

    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.count = start

    def on_receive(self, message: str) -> int:
        self.count += int(message)
        return self.count


class Ticker(Actor):
    """Counts the seconds by a timer of its own."""

    def on_start(self) -> None:
        self.ticks = 0
        self.context.send_every(1.0, "tick")

    def on_receive(self, message: object) -> int:
        if message == "tick":
            self.ticks += 1
        return self.ticks


class Asker(Actor):
    """Asks another actor and answers with what that answers."""

    def __init__(self, other: str) -> None:
        super().__init__()
        self.other = other

    def on_receive(self, message: object) -> object:
        return self.context.address(self.other).ask(message)


class Babbler(Actor):
    """Never comes to rest once it was told anything."""

    def on_receive(self, message: object) -> None:
        self.context.tell_self(message)


class TestStartingAndEnding:
    def test_entering_starts_every_child_in_order(self) -> None:
        with TreeUnderTest.of(scripted("a"), scripted("b")) as tree:
            assert [event.path for event in tree.events.of(ChildStarted)] == ["/top/a", "/top/b"]
            assert tree.children() == ("/top", "/top/a", "/top/b")
            assert tree.ended is None

    def test_a_tree_is_a_spec_of_its_root_too(self) -> None:
        with TreeUnderTest(group("dev", group("inner", scripted("deep")))) as tree:
            assert tree.child("deep").path == "/dev/inner/deep"
            assert tree.child("/dev").state is ChildState.RUNNING

    def test_the_root_may_be_any_actor(self) -> None:
        with TreeUnderTest(ChildSpec.of(Counter, 3, id="counter")) as tree:
            assert tree.address("/counter").ask("4") == 7
            tree.child("counter").crashes()
            tree.wait_idle()

            assert isinstance(tree.ended, Crashed)

    def test_a_definition_is_run_with_stand_ins_for_its_processes(self) -> None:
        text = """
            {"version": 1, "name": "dev", "children": [
                {"id": "db", "kind": "process", "command": ["sh"]},
                {"id": "api", "kind": "process", "command": ["sh"], "needs": ["db"], "restart": "transient"}]}
        """
        definition = parse_definition(text, source=None, format=Format.JSON)

        with TreeUnderTest(definition, plans={"/dev/db": [NotReady()]}) as tree:
            assert tree.child("api").state is ChildState.WAITING
            tree.child("db").becomes_ready()
            tree.wait_idle()
            assert tree.child("api").state is ChildState.RUNNING
            tree.child("api").exits(Normal())
            tree.wait_idle()
            assert tree.child("api").state is ChildState.STOPPED

    def test_processes_in_a_spec_have_stand_ins_wherever_they_are(self) -> None:
        process = ChildSpec.of(
            ManagedProcess, ProcessSpec(command=("no-such-program",)), id="p", restart=Restart.TEMPORARY
        )
        nested = ChildSpec.of(Supervisor, [process], id="inner")

        with TreeUnderTest(group("dev", nested, replace(process, id=ChildId("q")))) as tree:
            for name in ("p", "q"):
                child = tree.child(name)
                assert child.ref is not None
                assert child.ref.actor_class is Scripted
                child.crashes()
                tree.wait_idle()
                assert child.is_alive is False

    def test_a_root_that_does_not_start_is_seen_by_its_end(self) -> None:
        with TreeUnderTest.of(scripted("a"), scripted("b", FailsAtStart(ZeroDivisionError("b")))) as tree:
            assert isinstance(tree.ended, Crashed)
            assert isinstance(tree.ended.error, StartFailed)
            assert tree.report.stopped[-1] == "/top"
            assert tree.children() == ("/top",)
            with pytest.raises(ActorDead):
                tree.supervisor().which_children()

    def test_leaving_kills_everything_that_is_left(self) -> None:
        with TreeUnderTest.of(scripted("a", IgnoresStop()), group("inner", scripted("b", HangsAtStart()))) as tree:
            refs = [tree.child(name).ref for name in ("a", "b", "inner", "/top")]

        assert [ref is not None and ref.is_alive() for ref in refs] == [False] * 4
        assert tree.ended == Killed()

    def test_what_outlives_its_root_is_reported(self) -> None:
        class Leaky(Supervisor):
            def on_kill(self) -> None:
                """Forgets its children."""

        with pytest.raises(LeftAlive, match="/top/a") as caught:
            with TreeUnderTest(ChildSpec.of(Leaky, [scripted("a")], id="top")):
                pass

        assert caught.value.paths == ("/top/a",)

    def test_a_failure_of_the_test_itself_is_not_hidden_by_what_outlives_the_root(self) -> None:
        class Leaky(Supervisor):
            def on_kill(self) -> None:
                """Forgets its children."""

        with pytest.raises(ZeroDivisionError):
            with TreeUnderTest(ChildSpec.of(Leaky, [scripted("a")], id="top")):
                raise ZeroDivisionError

    def test_a_tree_that_was_not_entered_says_so_and_none_is_entered_twice(self) -> None:
        tree = TreeUnderTest.of(scripted("a"))
        with pytest.raises(WrongState, match="was not entered"):
            tree.child("a")
        with tree:
            pass
        with pytest.raises(WrongState, match="entered before"), tree:
            pass

    def test_services_are_found_by_the_actors(self) -> None:
        class Asking(Actor):
            def on_start(self) -> None:
                self.context.publish(self.context.service(str))

        with TreeUnderTest.of(ChildSpec.of(Asking, id="a"), services={str: "at your service"}) as tree:
            ref = tree.child("a").ref
            assert ref is not None
            assert ref.status == "at your service"


class TestWhatAChildDoes:
    def test_a_crash_restarts_it(self) -> None:
        with TreeUnderTest.of(scripted("worker")) as tree:
            worker = tree.child("worker")
            first = worker.ref
            worker.crashes(ValueError("no such port"))
            assert worker.ref is first  # an order takes effect when the tree is run
            tree.wait_idle()

            (exited,) = tree.events.of(ChildExited)
            assert isinstance(exited.reason, Crashed)
            assert isinstance(exited.reason.error, ValueError)
            assert "no such port" in exited.reason.traceback
            assert (worker.state, worker.generation, worker.restarts) == (ChildState.RUNNING, 2, 1)
            assert worker.last_exit == exited.reason
            assert worker.ref is not first

    def test_without_an_error_a_crash_is_one_of_the_script(self) -> None:
        with TreeUnderTest.of(scripted("worker")) as tree:
            tree.child("worker").crashes()
            tree.wait_idle()

            (exited,) = tree.events.of(ChildExited)
            assert isinstance(exited.reason, Crashed)
            assert isinstance(exited.reason.error, ScriptedCrash)

    @pytest.mark.parametrize("reason", [Normal(), Shutdown("done")])
    def test_a_transient_child_that_exits_normally_is_not_restarted(self, reason: Normal | Shutdown) -> None:
        """`transient` restarts failures only."""
        with TreeUnderTest.of(scripted("worker", restart=Restart.TRANSIENT)) as tree:
            tree.child("worker").exits(reason)
            tree.wait_idle()

            assert tree.events.of(ChildRestarting) == []
            assert [event.reason for event in tree.events.of(ChildExited)] == [reason]
            assert tree.child("worker").state is ChildState.STOPPED

    def test_it_can_be_killed(self) -> None:
        with TreeUnderTest.of(scripted("worker")) as tree:
            tree.child("worker").kill()
            tree.wait_idle()

            assert [event.reason for event in tree.events.of(ChildExited)] == [Killed()]

    def test_its_next_starts_can_fail(self) -> None:
        with TreeUnderTest.of(scripted("worker")) as tree:
            tree.child("worker").next_start(FailsAtStart(), FailsAtStart())
            tree.child("worker").crashes()
            tree.wait_idle()

            assert [event.generation for event in tree.events.of(ChildStartFailed)] == [2, 3]
            assert (tree.child("worker").generation, tree.child("worker").restarts) == (4, 3)

    def test_lives_chosen_last_come_first_and_before_the_script(self) -> None:
        with TreeUnderTest.of(scripted("worker", Runs(), NotReady())) as tree:
            worker = tree.child("worker")
            worker.next_start(HangsAtStart(), Declines())
            worker.next_start(FailsAtStart())
            worker.crashes()
            tree.wait_idle()
            assert [event.generation for event in tree.events.of(ChildStartFailed)] == [2]
            worker.crashes()  # while it hangs
            tree.wait_idle()
            assert (worker.generation, worker.state) == (4, ChildState.STOPPED)
            tree.supervisor().restart_child("worker")
            assert not worker.is_ready

    def test_a_start_may_decline(self) -> None:
        with TreeUnderTest.of(scripted("a", Declines()), scripted("b")) as tree:
            assert [event.path for event in tree.events.of(ChildDeclined)] == ["/top/a"]
            assert tree.child("a").state is ChildState.STOPPED
            assert tree.child("a").ref is None
            assert tree.child("b").is_alive

    def test_a_start_that_hangs_holds_the_next_one_up_until_it_completes(self) -> None:
        with TreeUnderTest.of(scripted("a", HangsAtStart()), scripted("b")) as tree:
            assert tree.child("a").state is ChildState.STARTING
            assert tree.child("b").ref is None
            tree.child("a").starts()
            tree.wait_idle()
            assert tree.child("b").state is ChildState.RUNNING

    def test_a_start_that_hangs_too_long_has_failed(self) -> None:
        with TreeUnderTest.of(scripted("a", start_timeout=2.0)) as tree:
            tree.child("a").next_start(HangsAtStart())
            tree.child("a").crashes()
            tree.advance(1.9)
            assert tree.child("a").state is ChildState.RESTARTING
            tree.advance(0.1)
            assert [event.reason for event in tree.events.of(ChildStartFailed)] == [Unresponsive(2.0)]
            assert tree.child("a").generation == 3

    def test_a_start_that_hangs_can_crash(self) -> None:
        with TreeUnderTest.of(scripted("a", HangsAtStart())) as tree:
            tree.child("a").crashes()
            tree.wait_idle()
            assert isinstance(tree.ended, Crashed)

    def test_a_start_that_hangs_does_not_hear_of_a_stop(self) -> None:
        with TreeUnderTest.of(scripted("a", HangsAtStart())) as tree:
            tree.request_stop()
            tree.wait_idle()
            assert tree.child("a").state is ChildState.STOPPING
            tree.child("a").starts()
            tree.wait_idle()
            assert tree.report == StopReport(stopped=paths("/top/a", "/top"))

    def test_who_needs_a_child_that_is_not_ready_waits_until_it_is(self) -> None:
        with TreeUnderTest.of(scripted("db", NotReady()), scripted("api", needs=("db",))) as tree:
            assert not tree.child("db").is_ready
            assert tree.child("api").state is ChildState.WAITING
            tree.child("db").becomes_ready()
            tree.wait_idle()
            assert [event.path for event in tree.events.of(ChildReady)] == ["/top/db", "/top/api"]
            assert tree.child("api").state is ChildState.RUNNING

    def test_a_child_that_ignores_stop_is_abandoned_after_its_shutdown(self) -> None:
        with TreeUnderTest.of(scripted("a"), scripted("stubborn", IgnoresStop(), shutdown=5.0)) as tree:
            since = tree.clock.monotonic()
            report = tree.stop()

            assert report == StopReport(stopped=paths("/top/a", "/top"), abandoned=paths("/top/stubborn"))
            assert [event.after for event in tree.events.of(ChildAbandoned)] == [5.0]
            assert tree.clock.monotonic() - since == 5.0

    def test_a_child_that_ignores_stop_may_give_in(self) -> None:
        with TreeUnderTest.of(scripted("a", IgnoresStop(), shutdown=5.0)) as tree:
            tree.request_stop("maintenance")
            tree.advance(4.0)
            tree.child("a").stops()
            tree.wait_idle()
            assert tree.report.abandoned == ()
            assert tree.ended == Shutdown("maintenance")

    def test_it_may_give_in_before_it_is_told(self) -> None:
        with TreeUnderTest.of(scripted("a", IgnoresStop())) as tree:
            tree.child("a").stops()
            tree.wait_idle()
            assert tree.child("a").is_alive
            tree.request_stop()
            tree.wait_idle()
            assert tree.report.abandoned == ()

    def test_a_slow_stop_takes_its_time(self) -> None:
        with TreeUnderTest.of(scripted("a", SlowStop(3.0))) as tree:
            tree.request_stop()
            tree.advance(2.9)
            assert tree.child("a").state is ChildState.STOPPING
            tree.advance(0.1)
            assert tree.ended == Shutdown("stop")

    def test_a_stop_may_crash(self) -> None:
        error = OSError("disk full")
        with TreeUnderTest.of(scripted("a", CrashesAtStop(error))) as tree:
            tree.stop()
            (stopped,) = tree.events.of(ChildStopped)
            assert isinstance(stopped.reason, Crashed)
            assert stopped.reason.error is error

    def test_each_incarnation_leads_its_own_life_and_the_last_is_followed_by_then(self) -> None:
        spec = scripted("a", Runs(), FailsAtStart(), then=NotReady(), intensity=Intensity(9, within=60.0))
        with TreeUnderTest.of(spec) as tree:
            assert tree.child("a").is_ready
            tree.child("a").crashes()
            tree.wait_idle()
            assert (tree.child("a").generation, tree.child("a").is_ready) == (3, False)
            tree.child("a").crashes()
            tree.wait_idle()
            assert (tree.child("a").generation, tree.child("a").is_ready) == (4, False)

    def test_a_child_added_anew_begins_its_own_script(self) -> None:
        with TreeUnderTest.of() as tree:
            top = tree.supervisor()
            for life in (Runs(), Declines()):
                top.start_child(scripted("a", life))
                assert tree.child("a").is_alive is isinstance(life, Runs)
                top.terminate_child("a")
                top.delete_child("a")

    def test_it_answers_any_other_message_with_itself(self) -> None:
        with TreeUnderTest.of(scripted("a")) as tree:
            assert tree.address("/top/a").ask("hello") == "hello"

    def test_orders_come_after_what_was_sent_before(self) -> None:
        with TreeUnderTest.of(scripted("a")) as tree:
            ref = tree.child("a").ref
            assert ref is not None
            answer = ref.ask("before", block=False)
            tree.child("a").crashes()
            after = ref.ask("after", block=False)
            tree.wait_idle()

            assert answer.get() == "before"
            with pytest.raises(ActorDead):
                after.get()


class TestActorsOfTheUser:
    """A user's own classes run as they are; what any actor can do, they can be made to do."""

    def test_a_counter_that_crashes_starts_again_from_its_spec(self) -> None:
        with TreeUnderTest.of(ChildSpec.of(Counter, 3, id="counter")) as tree:
            counter = tree.address("/top/counter")
            assert counter.ask("4") == 7
            with pytest.raises(ValueError, match="four"):
                counter.ask("four")
            tree.wait_idle()

            assert tree.child("counter").restarts == 1
            assert counter.ask("4") == 7

    def test_it_crashes_exits_and_is_killed_on_order(self) -> None:
        with TreeUnderTest.of(ChildSpec.of(Counter, id="counter")) as tree:
            error = ConnectionError("gone")
            for order in ("crashes", "exits", "kill"):
                match order:
                    case "crashes":
                        tree.child("counter").crashes(error)
                    case "exits":
                        tree.child("counter").exits()
                    case _:
                        tree.child("counter").kill()
                tree.wait_idle()

            assert [event.reason for event in tree.events.of(ChildExited)] == [Crashed(error), Normal(), Killed()]

    def test_its_timers_follow_the_clock(self) -> None:
        with TreeUnderTest.of(ChildSpec.of(Ticker, id="ticker")) as tree:
            tree.advance(3.5)
            assert tree.address("/top/ticker").ask("how many") == 3

    def test_actors_may_ask_each_other(self) -> None:
        chain = [ChildSpec.of(Asker, f"/top/{n + 1}", id=str(n)) for n in range(9)]
        with TreeUnderTest.of(*chain, ChildSpec.of(Counter, id="9")) as tree:
            assert tree.address("/top/0").ask("1") == 1

    def test_actors_that_ask_each_other_in_a_circle_are_refused_as_in_a_runtime(self) -> None:
        with TreeUnderTest.of(ChildSpec.of(Asker, "/top/b", id="a"), ChildSpec.of(Asker, "/top/a", id="b")) as tree:
            with pytest.raises(AskCycle, match="/top/b -> /top/a -> /top/b"):
                tree.address("/top/a").ask("anything")

    def test_proxies_work(self) -> None:
        with TreeUnderTest.of(ChildSpec.of(Counter, 3, id="counter")) as tree:
            ref = tree.whereis("/top/counter")
            assert ref is not None
            assert ref.proxy().count.get() == 3

    def test_what_it_logs_can_be_read(self) -> None:
        class Silent(Actor):
            """Handles nothing."""

        with TreeUnderTest.of(ChildSpec.of(Silent, id="a")) as tree:
            tree.address("/top/a").tell("hello")
            tree.wait_idle()
            (line,) = tree.log
            assert (line.path, line.level, line.event) == ("/top/a", "warning", "unexpected message")
            assert line.values == {"message": "str"}


class TestCalls:
    """`tree.supervisor()` has the calls of a running tree."""

    def test_a_call_is_answered_when_the_tree_is_idle(self) -> None:
        with TreeUnderTest.of(scripted("a")) as tree:
            top = tree.supervisor()
            started = top.start_child(scripted("b"))
            assert started == tree.child("b").ref
            assert [child.id for child in top.which_children()] == ["a", "b"]
            top.terminate_child("b")
            assert tree.child("b").state is ChildState.STOPPED
            assert top.restart_child("b") == tree.child("b").ref
            top.terminate_child("b")
            top.delete_child("b")
            assert tree.children() == ("/top", "/top/a")

    def test_a_refusal_is_raised(self) -> None:
        with TreeUnderTest.of(group("inner", scripted("a", Declines()))) as tree:
            with pytest.raises(NotFound):
                tree.supervisor("/top/inner").terminate_child("nobody")
            with pytest.raises(AlreadyPresent):
                tree.supervisor("/top/inner").start_child(scripted("a"))

    def test_an_answer_that_needs_time_is_not_waited_for(self) -> None:
        with TreeUnderTest.of(scripted("slow", SlowStop(3.0))) as tree:
            with pytest.raises(NotAnswered, match="time must pass"):
                tree.supervisor().terminate_child("slow", timeout=60.0)
            assert tree.child("slow").state is ChildState.STOPPING  # the call goes on

    def test_a_call_can_be_begun_and_answered_after_some_time(self) -> None:
        with TreeUnderTest.of(scripted("slow", SlowStop(3.0))) as tree:
            answer = tree.begin(lambda top: top.terminate_child("slow"))
            assert tree.child("slow").state is ChildState.RUNNING
            with pytest.raises(pykka.Timeout):
                answer.get()
            tree.advance(3.0)
            assert answer.get() is None
            assert tree.child("slow").state is ChildState.STOPPED

    def test_a_call_that_was_begun_may_be_refused(self) -> None:
        with TreeUnderTest.of(group("inner")) as tree:
            answer = tree.begin(lambda inner: inner.start_child(scripted("a", FailsAtStart())), path="/top/inner")
            with pytest.raises(StartFailed):
                answer.get()

    def test_a_call_that_needs_no_time_may_be_begun_too(self) -> None:
        with TreeUnderTest.of(scripted("a")) as tree:
            (child,) = tree.begin(lambda top: top.which_children()).get()
            assert child.id == "a"


class TestStopping:
    def test_stopping_again_reports_the_same(self) -> None:
        with TreeUnderTest.of(scripted("a")) as tree:
            assert tree.stop() == tree.stop() == tree.report

    def test_children_stop_in_reverse_order_and_each_waits_for_the_one_before(self) -> None:
        with TreeUnderTest.of(*(scripted(name, SlowStop(1.0)) for name in "abc")) as tree:
            tree.request_stop()
            tree.wait_idle()
            for name in "cba":
                stopping = [path for path in tree.children() if tree.child(path).state is ChildState.STOPPING]
                assert stopping == ["/top", f"/top/{name}"]
                tree.advance(1.0)
            assert [event.path for event in tree.events.of(ChildStopped)] == ["/top/c", "/top/b", "/top/a"]
            assert tree.ended == Shutdown("stop")


class TestTime:
    def test_time_stands_still_unless_it_is_moved(self) -> None:
        with TreeUnderTest.of(scripted("a", backoff=Backoff(initial=1.0, jitter=0.0))) as tree:
            before = (tree.clock.monotonic(), tree.clock.wall())
            tree.child("a").crashes()
            tree.wait_idle()
            assert tree.child("a").state is ChildState.RESTARTING
            assert (tree.clock.monotonic(), tree.clock.wall()) == before
            tree.advance(0.999)
            assert tree.child("a").state is ChildState.RESTARTING
            tree.advance(0.001)
            assert tree.child("a").state is ChildState.RUNNING

    def test_each_due_time_is_lived_through(self) -> None:
        """What a timer starts may set the next one: three attempts in one advance, each at its own time."""
        spec = scripted("a", backoff=Backoff(initial=1.0, factor=2.0, jitter=0.0))
        with TreeUnderTest.of(spec, intensity=Intensity(9, within=60.0)) as tree:
            tree.child("a").next_start(FailsAtStart(), FailsAtStart())
            tree.child("a").crashes()
            tree.advance(1.0 + 2.0 + 4.0)
            assert [event.delay for event in tree.events.of(ChildRestarting)] == [1.0, 2.0, 4.0]
            assert tree.child("a").state is ChildState.RUNNING
            assert tree.child("a").generation == 4

    def test_time_does_not_go_back(self) -> None:
        with TreeUnderTest.of() as tree:
            for seconds in (-1.0, float("nan")):
                with pytest.raises(ValueError, match="step_wall"):
                    tree.advance(seconds)

    def test_the_wall_clock_may_be_set(self) -> None:
        with TreeUnderTest.of() as tree:
            wall, monotonic = tree.clock.wall(), tree.clock.monotonic()
            tree.step_wall(-3600.0)
            assert (tree.clock.wall(), tree.clock.monotonic()) == (wall - 3600.0, monotonic)

    def test_a_stop_that_would_take_for_ever_is_not_waited_for(self) -> None:
        with TreeUnderTest.of(scripted("a", IgnoresStop(), shutdown=INFINITY)) as tree:
            with pytest.raises(NotAnswered):
                tree.stop(within=60.0)
            assert tree.ended is None
            with pytest.raises(WrongState, match="lives"):
                _ = tree.report


class TestLoops:
    def test_a_loop_of_restarts_is_reported_with_the_actors_that_ran_most(self) -> None:
        loop = scripted("loop", Runs(), then=FailsAtStart(), intensity=Intensity(10**9, within=1.0))
        with TreeUnderTest.of(loop, scripted("calm"), max_turns=500) as tree:
            tree.child("loop").crashes()
            with pytest.raises(EndlessLoop, match="/top/loop") as caught:
                tree.wait_idle()

            assert caught.value.turns == 500
            assert {name for name, _ in caught.value.busiest} == {"/top", "/top/loop"}
        assert tree.ended == Killed()  # and the tree ends all the same

    def test_an_actor_that_tells_itself_for_ever_is_reported(self) -> None:
        with TreeUnderTest.of(ChildSpec.of(Babbler, id="babbler"), max_turns=500) as tree:
            tree.address("/top/babbler").tell("go")
            with pytest.raises(EndlessLoop, match=r"/top/babbler \(500\)"):
                tree.wait_idle()

    def test_a_tree_that_loops_at_its_start_is_reported_and_killed(self) -> None:
        class Restless(Babbler):
            def on_start(self) -> None:
                refs.append(self.actor_ref)
                self.context.tell_self("go")

        refs: list[ActorRef[Any]] = []
        with pytest.raises(EndlessLoop, match="/top/restless"):
            TreeUnderTest.of(ChildSpec.of(Restless, id="restless"), max_turns=500).__enter__()

        assert [ref.is_alive() for ref in refs] == [False]
        with pytest.raises(pykka.Timeout, match="0 seconds"):  # and waits are what they were
            Reply[None]().get(timeout=0)

    def test_timers_that_set_each_other_without_delay_are_reported(self) -> None:
        class Hasty(Actor):
            def on_receive(self, message: object) -> None:
                self.context.send_after(0.0, message)

        with TreeUnderTest.of(ChildSpec.of(Hasty, id="hasty"), max_turns=500) as tree:
            tree.address("/top/hasty").tell("go")
            with pytest.raises(EndlessLoop, match="/top/hasty"):
                tree.advance(1.0)

    def test_a_loop_below_an_actor_that_waits_reaches_the_test(self) -> None:
        children = [ChildSpec.of(Asker, "/top/quiet", id="asker"), scripted("quiet", HangsAtStart())]
        with TreeUnderTest.of(ChildSpec.of(Babbler, id="babbler"), *children, max_turns=500) as tree:
            tree.address("/top/babbler").tell("go")
            with pytest.raises(EndlessLoop, match="/top/babbler"):
                tree.address("/top/asker").ask("hello")

    def test_much_work_at_many_times_is_no_loop(self) -> None:
        with TreeUnderTest.of(ChildSpec.of(Ticker, id="ticker"), max_turns=50) as tree:
            tree.advance(500.0)
            assert tree.address("/top/ticker").ask("how many") == 500


def crowd(seed: int, act: Callable[[TreeUnderTest], object]) -> tuple[Event, ...]:
    """What happens when ten children under two supervisors crash at once."""
    children = [scripted(f"c{n}", backoff=Backoff(initial=0.5, jitter=0.5)) for n in range(5)]
    limits = Intensity(50, within=5.0)
    left, right = (group(name, *children, intensity=limits) for name in ("left", "right"))
    with TreeUnderTest(group("top", left, right), seed=seed) as tree:
        act(tree)
        return tree.events.all


def all_crash(tree: TreeUnderTest) -> None:
    for path in tree.children():
        if path.count("/") == 3:
            tree.child(path).crashes(ScriptedCrash(path))
    tree.advance(5.0)
    tree.stop()


class TestSeeds:
    def test_the_same_seed_gives_the_same_history(self) -> None:
        # As text, with reasons and tracebacks: the errors themselves are each run's own.
        once, again = (repr(crowd(7, all_crash)) for _ in range(2))

        assert once == again
        assert len(crowd(7, all_crash)) > 50

    def test_some_seeds_give_other_histories(self) -> None:
        """Of what happens at once, another comes first."""
        orders = {
            tuple(event.path for event in crowd(seed, all_crash) if isinstance(event, ChildExited))
            for seed in range(10)
        }

        assert len(orders) >= 2
        assert len({frozenset(order) for order in orders}) == 1

    def test_whatever_the_seed_messages_of_one_sender_arrive_in_order(self) -> None:
        class Listener(Actor):
            def __init__(self, heard: list[int]) -> None:
                super().__init__()
                self.heard = heard

            def on_receive(self, message: int) -> None:
                self.heard.append(message)

        for seed in range(10):
            heard = (list[int](), list[int]())
            specs = [ChildSpec.of(Listener, log, id=f"l{n}") for n, log in enumerate(heard)]
            with TreeUnderTest.of(*specs, seed=seed) as tree:
                for number in range(200):
                    for n in range(2):
                        tree.address(f"/top/l{n}").tell(number)
                tree.wait_idle()
            assert heard == (list(range(200)), list(range(200)))


class TestLooking:
    def test_looking_runs_nothing(self) -> None:
        with TreeUnderTest.of(scripted("a")) as tree:
            tree.child("a").crashes()
            before = tree.events.all
            drawn, view = str(tree), tree.inspect()
            assert (tree.child("a").state, tree.child("a").is_alive) == (ChildState.RUNNING, True)
            assert repr(tree.child("a")) == "<ChildUnderTest /top/a: running>"
            assert tree.events.all == before
            assert drawn == str(view)

    def test_the_whole_tree_is_inspected_and_drawn(self) -> None:
        with TreeUnderTest.of(group("inner", scripted("a")), scripted("b", Declines())) as tree:
            tree.advance(2.0)
            view = tree.inspect()
            inner, b = view.root.children
            assert (view.root.path, view.root.state, view.root.uptime) == ("/top", "running", 2.0)
            assert [child.path for child in inner.children] == ["/top/inner/a"]
            assert (b.state, view.taken_at - view.started_at) == ("stopped", 2.0)
            assert [line.split()[0] for line in str(tree).splitlines() if "inner" in line] != []

    def test_events_can_be_listed_by_class_and_forgotten(self) -> None:
        with TreeUnderTest.of(scripted("a")) as tree:
            assert tree.events.names() == ["ChildStarted", "ChildReady"]
            tree.events.clear()
            tree.child("a").exits()
            tree.wait_idle()
            assert tree.events.names() == ["ChildExited", "ChildRestarting", "ChildStarted", "ChildReady"]
            assert len(tree.events.all) == 4

    def test_addresses_resolve_to_the_incarnation_that_runs(self) -> None:
        with TreeUnderTest.of(scripted("a")) as tree:
            assert tree.whereis("/top/a") is tree.address("/top/a").resolve() is tree.child("a").ref
            assert tree.whereis("/top/nobody") is None

    def test_when_it_gives_up_the_end_and_the_report_say_so(self) -> None:
        with TreeUnderTest.of(scripted("a"), scripted("b"), intensity=Intensity(0, within=5.0)) as tree:
            tree.child("a").crashes()
            tree.wait_idle()
            assert [event.child for event in tree.events.of(SupervisorGaveUp)] == ["a"]
            assert tree.ended == Shutdown("intensity")
            assert tree.report.stopped == ("/top/b", "/top")
            assert tree.inspect().root.state == "stopped"


class TestMistakes:
    """An error says what was found and what there is."""

    def test_an_unknown_child_is_answered_with_the_known_ones(self) -> None:
        with TreeUnderTest.of(scripted("a"), scripted("b")) as tree:
            with pytest.raises(UnknownChild, match=r"no child 'c'; the tree has /top, /top/a, /top/b"):
                tree.child("c")
            with pytest.raises(UnknownChild, match="no child '/top/a/b'"):
                tree.child("/top/a/b")

    def test_an_id_that_several_children_have_is_refused(self) -> None:
        with TreeUnderTest.of(group("x", scripted("a")), group("y", scripted("a"))) as tree:
            with pytest.raises(UnknownChild, match=r"2 children are called 'a'.*/top/x/a.*/top/y/a"):
                tree.child("a")

    def test_a_child_that_was_forgotten_is_not_there_any_more(self) -> None:
        with TreeUnderTest.of(scripted("a", restart=Restart.TEMPORARY)) as tree:
            a = tree.child("a")
            a.exits()
            tree.wait_idle()
            assert (a.is_alive, a.ref, repr(a)) == (False, None, "<ChildUnderTest /top/a: not there>")
            with pytest.raises(UnknownChild, match="no /top/a now"):
                _ = a.state

    def test_a_child_that_does_not_run_cannot_crash(self) -> None:
        with TreeUnderTest.of(scripted("a", restart=Restart.TRANSIENT)) as tree:
            tree.child("a").exits(Shutdown("done"))
            tree.wait_idle()
            with pytest.raises(WrongState, match=r"/top/a cannot crash.*stopped.*shutdown \(done\)"):
                tree.child("a").crashes()

    @pytest.mark.parametrize("order", ["starts", "becomes_ready", "stops"])
    def test_an_order_that_does_not_fit_its_life_is_refused(self, order: str) -> None:
        with TreeUnderTest.of(scripted("a")) as tree:
            with pytest.raises(WrongState, match=r"leads the life Runs\(\); expected"):
                getattr(tree.child("a"), order)()

    def test_only_scripted_children_have_lives(self) -> None:
        with TreeUnderTest.of(ChildSpec.of(Counter, id="counter")) as tree:
            with pytest.raises(WrongState, match="is a Counter"):
                tree.child("counter").next_start(Declines())
            with pytest.raises(WrongState, match="is a Counter"):
                tree.child("counter").starts()


@pytest.mark.parametrize(
    "life", [Runs(), Declines(), HangsAtStart(), NotReady(), IgnoresStop(), CrashesAtStop(), SlowStop(1.0)]
)
@pytest.mark.parametrize("seed", range(3))
def test_a_tree_ends_whatever_its_children_do(life: Life, seed: int) -> None:
    children = [
        scripted("a", life, shutdown=2.0),
        group("inner", scripted("b", then=life, shutdown=2.0)),
        scripted("c"),
    ]
    with TreeUnderTest.of(*children, seed=seed) as tree:
        report = tree.stop()

        assert set(report.stopped + report.abandoned) >= {"/top"}
        assert tree.clock.pending() == 0


def test_two_trees_in_one_test_do_not_meet() -> None:
    with TreeUnderTest.of(scripted("a")) as one, TreeUnderTest.of(scripted("a")) as other:
        assert one.address("/top/a").ask("one") == "one"
        assert other.address("/top/a").ask("other") == "other"
        other.child("a").crashes()
        one.wait_idle()
        assert other.events.of(ChildExited) == []
        other.wait_idle()
        assert one.events.of(ChildExited) == []


def test_outside_of_a_tree_waits_are_what_they_were() -> None:
    with TreeUnderTest.of(scripted("a")) as tree:
        answer = tree.begin(lambda top: top.terminate_child("a"))

    with pytest.raises(ActorDead):
        answer.get(timeout=0)


def test_the_settings_of_the_root_are_passed_on() -> None:
    with TreeUnderTest.of(strategy=Strategy.REST_FOR_ONE, intensity=Intensity(7, within=2.0)) as tree:
        assert tree.inspect().root.intensity == "0 of 7 restarts used in the last 2 s"
