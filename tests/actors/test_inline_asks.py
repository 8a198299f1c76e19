"""An ask that is answered on the asker's own thread: when that is done, and that nothing else is different then."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pykka
import pytest

from treewarden.actors import (
    DEDICATED,
    Actor,
    ActorCrashed,
    ActorDead,
    ActorRef,
    AskCycle,
    AskInFlight,
    ChildNotice,
    ChildSpec,
    Crashed,
    Exited,
    Fenced,
    Killed,
    MessageFenced,
    Normal,
    Rejected,
    Reply,
    Shutdown,
    SystemClock,
    TraceOptions,
    Unresponsive,
)
from treewarden.actors import _incarnation as module
from treewarden.actors._incarnation import INLINE_DEPTH
from treewarden.actors._life import Life, running_incarnation, watched
from treewarden.actors._ref import INLINE_WITHIN
from treewarden.supervision_trees import Supervisor
from treewarden.supervision_trees.testing import TreeUnderTest

if TYPE_CHECKING:
    from .conftest import Threads

Wait = Callable[[Callable[[], bool], str], None]
Handler = Callable[["Quick"], object]

PATIENCE: Final = 10.0
FOR_EVER: Final = 3600.0  # a test that waits so long has failed
LOST: Final = Unresponsive(1.0)


class Quick(Actor):
    """Calls what it gets and answers with the result; what cannot be called it notes in `got`."""

    inline_asks = True

    def __init__(self, got: list[Any] | None = None) -> None:
        super().__init__()
        self.got = [] if got is None else got
        self.reasons: list[object] = []

    def on_receive(self, message: Any) -> object:
        if callable(message):
            return message(self)
        self.got.append(message)
        return message

    def where(self) -> int:
        """For proxies."""
        return threading.get_ident()


def doing(act: Handler) -> Handler:
    """A message for a quick actor, which calls it; what `act` returns is the answer."""
    return act


def here(_: object = None) -> int:
    return threading.get_ident()


class Call:
    """A call on a thread of its own, which is not the main one."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self._outcome: object = None
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._outcome = self._act()
        except BaseException as error:  # noqa: BLE001 - thread boundary: `result` raises it
            self._error = error

    def result(self) -> Any:
        """What it returned; raises what it raised."""
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the call hangs"
        if self._error is not None:
            raise self._error
        return self._outcome


def outside(act: Callable[[], object]) -> Any:
    """Do `act` on a thread that is neither the main one nor a worker."""
    return Call(act).result()


def is_inline(ref: ActorRef[Any], **options: Any) -> bool:
    """Whether an ask from the calling thread is answered on it."""
    return here() == ref.ask(here, **options)


@pytest.fixture
def quick(threads: "Threads") -> ActorRef[Any]:
    """A quick actor at rest."""
    ref = threads.spawn(Quick)
    threads.settle()
    return ref


@pytest.fixture
def gate(threads: "Threads") -> Iterator[threading.Event]:
    """What handlers that must not end yet wait for; open when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def rest(threads: "Threads", *paths: str, kind: type[Quick] = Quick) -> list[ActorRef[Any]]:
    """Actors at these paths, all at rest."""
    refs = [threads.spawn(kind, path=path) for path in paths]
    threads.settle()
    return refs


class JumpingClock(SystemClock):  # type: ignore[misc]  # it is final for others; here only time is added
    """The machine's clock, and what a test adds to it."""

    added = 0.0
    stands_at: float | None = None

    def monotonic(self) -> float:
        return (super().monotonic() if self.stands_at is None else self.stands_at) + self.added

    def stand_still(self) -> None:
        self.stands_at = super().monotonic()

    def jump(self, seconds: float) -> None:
        self.added += seconds


@pytest.fixture
def clock(threads: "Threads") -> JumpingClock:
    made = JumpingClock()
    object.__setattr__(threads.system, "clock", made)
    return made


# When it is done


@pytest.mark.parametrize("timeout", [INLINE_WITHIN, 5.0, None])
def test_an_actor_at_rest_answers_on_the_thread_of_the_asker(
    clock: JumpingClock, quick: ActorRef[Any], timeout: float | None
) -> None:
    clock.stand_still()  # on a busy machine even a quick answer may come late
    assert outside(lambda: is_inline(quick, timeout=timeout))


def test_an_actor_that_asks_is_answered_on_its_own_thread_too(threads: "Threads") -> None:
    one, other = rest(threads, "/one", "/other")
    asked = one.ask(doing(lambda _: is_inline(other)), block=False)

    assert asked.get(timeout=PATIENCE)


def test_an_actor_is_asked_inline_only_if_its_class_says_so(threads: "Threads") -> None:
    class Plain(Quick):
        inline_asks = False

    (ref,) = rest(threads, "/plain", kind=Plain)

    assert not Actor.inline_asks
    assert not outside(lambda: is_inline(ref))


def test_the_main_thread_is_not_answered_inline(quick: ActorRef[Any]) -> None:
    """Signals interrupt it, and what they raise would be the actor's crash."""
    assert threading.current_thread() is threading.main_thread()
    assert not is_inline(quick)


@pytest.mark.parametrize("timeout", [INLINE_WITHIN * 0.99, 0.05])
def test_an_ask_with_a_short_deadline_is_not_answered_inline(quick: ActorRef[Any], timeout: float) -> None:
    """It could not be kept."""

    def ask() -> int | None:
        try:
            answer: int = quick.ask(here, block=True, timeout=timeout)
        except pykka.Timeout:  # on a busy machine
            return None
        return answer

    asked = Call(ask)
    assert asked.result() != asked.thread.ident


def test_a_dedicated_actor_answers_on_its_own_thread(threads: "Threads") -> None:
    class Dedicated(Quick):
        dispatcher = DEDICATED

    (ref,) = rest(threads, "/dedicated", kind=Dedicated)

    assert "/dedicated" in outside(lambda: ref.ask(doing(lambda _: threading.current_thread().name)))
    assert not outside(lambda: is_inline(ref))


def test_an_actor_that_is_busy_answers_afterwards_and_on_a_worker(
    quick: ActorRef[Any], gate: threading.Event, wait_for: Wait
) -> None:
    quick.tell(doing(lambda _: gate.wait()))
    asked = Call(lambda: is_inline(quick))
    wait_for(lambda: 1 == quick.incarnation().mailbox(), "the ask waits in the mailbox")
    gate.set()

    assert not asked.result()


def test_an_actor_whose_mailbox_is_not_empty_answers_in_turn(threads: "Threads", quick: ActorRef[Any]) -> None:
    """Its last sender is about to wake it; nobody is inside yet."""
    inner, order = quick.incarnation(), list[str]()
    inner._user_lane.append(doing(lambda _: order.append("first")))

    assert not outside(lambda: quick.ask(doing(lambda _: order.append("second") or here())) == here())  # type: ignore[func-returns-value]
    assert ["first", "second"] == order


def test_an_actor_that_is_suspended_does_not_answer_before_it_goes_on(quick: ActorRef[Any], wait_for: Wait) -> None:
    quick.sys.suspend()
    asked = Call(lambda: is_inline(quick))
    wait_for(lambda: 1 == quick.incarnation().mailbox(), "the ask waits in the mailbox")
    quick.sys.resume()

    assert not asked.result()
    assert outside(lambda: is_inline(quick)), "and then it is as it was"


def test_an_actor_that_suspends_itself_inside_an_inline_answer_is_suspended(
    quick: ActorRef[Any], wait_for: Wait
) -> None:
    outside(lambda: quick.ask(doing(lambda actor: actor.actor_ref.sys.suspend())))
    asked = Call(lambda: quick.ask("later"))
    wait_for(lambda: 1 == quick.incarnation().mailbox(), "the ask waits in the mailbox")
    quick.sys.resume()

    assert "later" == asked.result()


def test_an_actor_that_starts_answers_when_it_has_started(
    threads: "Threads", gate: threading.Event, wait_for: Wait
) -> None:
    class SlowStart(Quick):
        def on_start(self) -> None:
            gate.wait()

    ref = threads.spawn(SlowStart)
    asked = Call(lambda: is_inline(ref))
    wait_for(lambda: 1 == ref.incarnation().mailbox(), "the ask waits in the mailbox")
    gate.set()

    assert not asked.result()


@pytest.mark.parametrize("how", ["statistics", "trace", "kept events"])
def test_an_actor_that_is_watched_is_not_asked_inline_and_loses_no_count(
    threads: "Threads", quick: ActorRef[Any], how: str
) -> None:
    match how:
        case "statistics":
            quick.sys.start_statistics()
        case "trace":
            quick.sys.trace(TraceOptions(limit=100))
        case _:
            quick.sys.keep_events()

    def ask_and_tell() -> list[bool]:
        quick.tell("told")
        return [is_inline(quick) for _ in range(3)]

    assert [False] * 3 == outside(ask_and_tell)
    if how == "statistics":
        counted = quick.sys.statistics()
        assert counted is not None
        assert (4, 3) == (counted.messages_in, counted.asks_answered)
    quick.sys.stop_statistics()
    quick.sys.trace(None)
    quick.sys.keep_events(0)
    threads.settle()
    assert outside(lambda: is_inline(quick)), "and then it is as it was"


def test_an_actor_that_has_ended_answers_nobody(threads: "Threads", quick: ActorRef[Any]) -> None:
    quick.request_stop()
    threads.settle()

    with pytest.raises(ActorDead, match="has ended"):
        outside(lambda: quick.ask("?"))


def test_an_actor_that_is_ending_answers_nobody(threads: "Threads", gate: threading.Event, wait_for: Wait) -> None:
    inside = threading.Event()

    class SlowStop(Quick):
        def on_stop(self, reason: object = None) -> None:
            inside.set()
            gate.wait()

    (ref,) = rest(threads, "/a", kind=SlowStop)
    ref.request_stop()
    assert inside.wait(PATIENCE)
    asked = Call(lambda: ref.ask("?"))
    wait_for(lambda: 1 == ref.incarnation().mailbox(), "the ask waits in the mailbox")
    gate.set()

    with pytest.raises(ActorDead):
        asked.result()


def test_answers_within_each_other_go_only_so_deep(threads: "Threads") -> None:
    """One stack carries them all."""
    refs = rest(threads, *(f"/a{number}" for number in range(INLINE_DEPTH + 4)))
    idents: list[int] = []

    def ask_from(number: int) -> int:
        if number == len(refs):
            return 0

        def go_on(_: Quick) -> int:
            idents.append(here())
            return ask_from(number + 1)

        return 1 + int(refs[number].ask(go_on, block=True))

    asked = Call(lambda: ask_from(0))
    assert len(refs) == asked.result()
    assert [asked.thread.ident] * INLINE_DEPTH == idents[:INLINE_DEPTH]
    assert asked.thread.ident not in idents[INLINE_DEPTH:]


def test_an_actor_that_takes_long_to_answer_is_not_asked_inline_again(
    threads: "Threads", clock: JumpingClock, quick: ActorRef[Any]
) -> None:
    outside(lambda: quick.ask(doing(lambda _: clock.jump(INLINE_WITHIN * 2)), timeout=None))

    assert not outside(lambda: is_inline(quick))
    assert ["slow on another's thread; workers run it from now on"] == [line.event for line in threads.lines]
    (again,) = rest(threads, "/a")
    assert outside(lambda: is_inline(again)), "another incarnation may be quicker"


def test_an_inline_answer_that_comes_after_the_deadline_is_a_timeout(clock: JumpingClock, quick: ActorRef[Any]) -> None:
    def be_late(_: Quick) -> str:
        clock.jump(6.0)
        return "too late"

    with pytest.raises(pykka.Timeout, match=r"5\.0 seconds"):
        outside(lambda: quick.ask(be_late, timeout=5.0))
    assert quick.is_alive()
    assert 6.0 < clock.monotonic()


def test_what_the_inline_part_took_is_not_waited_for_again(clock: JumpingClock, quick: ActorRef[Any]) -> None:
    """The answer was taken for later: the deadline holds for both together."""

    def take(actor: Quick) -> None:
        clock.jump(FOR_EVER - 0.001)
        actor.context.take_reply()

    with pytest.raises(pykka.Timeout):
        outside(lambda: quick.ask(take, timeout=FOR_EVER))


# What comes out of a handler


def test_a_refusal_reaches_the_asker_and_the_actor_goes_on(quick: ActorRef[Any]) -> None:
    def refuse(_: Quick) -> None:
        raise Rejected(str(here()))

    asked = Call(lambda: quick.ask(refuse))
    with pytest.raises(Rejected, match=str(asked.thread.ident)):
        asked.result()
    assert "echo" == outside(lambda: quick.ask("echo"))


def test_a_crash_reaches_the_asker_when_the_end_was_declared(threads: "Threads", quick: ActorRef[Any]) -> None:
    def ask() -> bool:
        with pytest.raises(ValueError, match="no such port"):
            quick.ask(doing(lambda _: _raise(ValueError("no such port"))))
        assert running_incarnation() is None
        return quick.is_alive()

    assert not outside(ask)
    assert [Crashed] == [type(exited.reason) for exited in threads.exits()]
    assert [] == threads.lines


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=lambda error: type(error).__name__
)
def test_an_exit_inside_ends_the_actor_and_not_the_thread_of_its_asker(
    threads: "Threads", quick: ActorRef[Any], error: BaseException
) -> None:
    def ask() -> str:
        with pytest.raises(ActorCrashed):
            quick.ask(doing(lambda _: _raise(error)))
        return "lives on"

    assert "lives on" == outside(ask)
    assert [Crashed] == [type(exited.reason) for exited in threads.exits()]


def test_an_asker_that_crashes_of_an_inline_crash_ends_too_and_each_once(threads: "Threads") -> None:
    one, other = rest(threads, "/one", "/other")
    asked = one.ask(doing(lambda _: other.ask(doing(lambda _: 1 / 0))), block=False)

    with pytest.raises(ZeroDivisionError):
        asked.get(timeout=PATIENCE)
    threads.settle()
    assert [False, False] == [one.is_alive(), other.is_alive()]
    assert 2 == len(threads.exits())


def test_an_actor_whose_end_cannot_be_reported_still_answers_its_asker(
    threads: "Threads", unhandled: list[BaseException | None]
) -> None:
    """Its supervisor's port fails on the news of the crash; who asked must not wait for ever."""

    def fail(notice: ChildNotice) -> None:
        if isinstance(notice, Exited):
            raise OSError("no port")

    ref = threads.spawn(Quick, notify=fail)
    threads.settle()

    with pytest.raises(ZeroDivisionError):
        outside(lambda: ref.ask(doing(lambda _: 1 / 0), timeout=FOR_EVER))
    assert ["no port"] == [str(error) for error in unhandled]


def test_an_answer_that_was_taken_for_later_is_waited_for(
    quick: ActorRef[Any], threads: "Threads", wait_for: Wait
) -> None:
    kept: list[Reply[Any]] = []
    (asker,) = rest(threads, "/asker")
    answer = asker.ask(
        doing(lambda _: quick.ask(doing(lambda actor: kept.append(actor.context.take_reply())))), block=False
    )
    wait_for(lambda: bool(kept), "the reply was taken")
    waits = (AskInFlight(asker.path, quick.path),)
    wait_for(lambda: waits == threads.system.asks.in_flight(), "and is seen to be waited for")
    kept[0].set("later")

    assert "later" == answer.get(timeout=PATIENCE)
    assert () == threads.system.asks.in_flight()


def test_an_answer_that_was_taken_for_later_fails_when_the_actor_ends(quick: ActorRef[Any], wait_for: Wait) -> None:
    taken = threading.Event()

    def take(actor: Quick) -> None:
        actor.context.take_reply()
        taken.set()

    asked = Call(lambda: quick.ask(take, timeout=None))
    assert taken.wait(PATIENCE)
    quick.request_stop()

    with pytest.raises(ActorDead):
        asked.result()


def test_an_actor_that_exits_inside_answers_and_ends(threads: "Threads", quick: ActorRef[Any]) -> None:
    def leave(actor: Quick) -> str:
        actor.context.exit(Shutdown("enough"))
        return "the last word"

    assert "the last word" == outside(lambda: quick.ask(leave))
    assert Shutdown("enough") == quick.wait_stopped(timeout=PATIENCE)


def test_an_actor_that_is_stopped_while_it_answers_answers_and_ends(
    quick: ActorRef[Any], gate: threading.Event
) -> None:
    inside = threading.Event()
    asked = Call(lambda: quick.ask(doing(lambda _: inside.set() or gate.wait())))  # type: ignore[func-returns-value]
    assert inside.wait(PATIENCE)
    quick.request_stop()
    assert quick.is_alive()
    gate.set()

    assert asked.result() is True
    assert Normal() == quick.wait_stopped(timeout=PATIENCE)


GIVE_UP: Final[dict[str, Callable[[ActorRef[Any]], None]]] = {
    "kill": lambda ref: ref.kill(),
    "abandon": lambda ref: ref.incarnation().abandon(LOST),
}


@pytest.mark.parametrize("give_up", GIVE_UP.values(), ids=GIVE_UP)
@pytest.mark.parametrize("from_inside", [False, True], ids=["from outside", "from inside"])
def test_an_actor_that_is_given_up_on_while_it_answers_is_fenced_on_the_askers_thread(
    threads: "Threads", gate: threading.Event, give_up: Callable[[ActorRef[Any]], None], from_inside: bool
) -> None:
    """Its end is declared at once, what it still does is refused; the asker can hear it when it has the thread back."""
    quick, other = rest(threads, "/a", "/other")
    inside, caught = threading.Event(), list[str]()

    def outlive(actor: Quick) -> str:
        inside.set()
        if from_inside:
            give_up(actor.actor_ref)
        gate.wait()
        for act in (lambda: other.tell("from the grave"), lambda: other.ask("from the grave")):
            try:
                act()
            except Fenced:
                caught.append("refused")
        return "an answer"

    asked = Call(lambda: quick.ask(outlive, timeout=None))
    assert inside.wait(PATIENCE)
    if from_inside:
        quick.wait_stopped(timeout=PATIENCE)
    else:
        give_up(quick)
    assert not quick.is_alive()
    assert [True] == [exited.abandoned for exited in threads.exits()]
    gate.set()

    with pytest.raises(ActorDead, match="given up on"):
        asked.result()
    assert ["refused"] * 2 == caught
    assert ["str", "str", "Reply"] == [event.message for event in threads.events.of(MessageFenced)]
    threads.settle()
    assert [] == watched
    assert "alive" == other.ask("alive")


def test_an_asker_that_is_given_up_on_while_it_is_answered_goes_on_fenced_and_the_other_is_not(
    threads: "Threads", gate: threading.Event
) -> None:
    got: list[Any] = []
    asker, quick = rest(threads, "/asker", "/quick")
    third = threads.spawn(Quick, got, path="/third")
    inside, caught = threading.Event(), list[str]()

    def answer(_: Quick) -> str:
        inside.set()
        gate.wait()
        third.tell("from one that lives")
        return "an answer"

    def ask(_: Quick) -> None:
        caught.append(quick.ask(answer, block=True))
        try:
            third.tell("from the grave")
        except Fenced:
            caught.append("refused")

    asker.tell(ask)
    assert inside.wait(PATIENCE)
    asker.kill()
    gate.set()
    threads.settle()

    assert ["an answer", "refused"] == caught
    assert ["from one that lives"] == got
    assert Killed() == asker.wait_stopped(timeout=0)
    assert quick.is_alive()


def test_a_fenced_actor_is_refused_when_it_asks(threads: "Threads") -> None:
    asker, quick = rest(threads, "/asker", "/quick")
    caught: list[str] = []

    def ask(actor: Quick) -> None:
        actor.context.incarnation().abandon(LOST)
        try:
            quick.ask("from the grave")
        except Fenced:
            caught.append("refused")

    asker.tell(ask)
    threads.settle()

    assert ["refused"] == caught


def test_one_that_is_taken_out_of_the_watched_twice_at_once_is_run_again(
    threads: "Threads", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever gave up on it found that the thread had just left, and removes it between that thread's look and its own removal."""

    class Removed(list[Life]):
        def remove(self, value: Life) -> None:
            super().remove(value)
            super().remove(value)  # the other was first

    (ref,) = rest(threads, "/a")
    ref.sys.start_statistics()
    threads.settle()
    monkeypatch.setattr(module, "watched", Removed())

    assert "one" == ref.ask("one")
    assert "two" == ref.ask("two")
    threads.settle()


# Who waits on whom


def test_an_actor_that_asks_itself_is_refused_wherever_it_is_run(threads: "Threads", quick: ActorRef[Any]) -> None:
    with pytest.raises(AskCycle, match="/a -> /a"):
        outside(lambda: quick.ask(doing(lambda actor: actor.actor_ref.ask("me", timeout=None))))
    assert () == threads.system.asks.in_flight()


def chain(refs: list[ActorRef[Any]]) -> Handler:
    """Ask the first to ask the second to ask ... the last, for ever if need be; a cycle is a refusal."""

    def act(_: Quick) -> object:
        if not refs:
            return "the end"
        try:
            return refs[0].ask(chain(refs[1:]), timeout=None)
        except AskCycle as cycle:
            raise Rejected(" ".join(cycle.paths)) from None

    return act


@pytest.mark.parametrize("length", [2, 3, 5])
@pytest.mark.parametrize("start", ["outside", "worker"])
def test_a_cycle_of_inline_asks_is_refused_and_names_all_of_it(threads: "Threads", length: int, start: str) -> None:
    refs = rest(threads, *(f"/a{number}" for number in range(length)))
    ask = partial(refs[0].ask, chain([*refs[1:], refs[0]]), timeout=PATIENCE)
    paths = [ref.path for ref in refs]

    with pytest.raises(Rejected) as caught:
        outside(ask) if start == "outside" else ask()
    assert " ".join([paths[-1], *paths]) == str(caught.value)
    assert () == threads.system.asks.in_flight()
    assert ["echo"] * length == outside(lambda: [ref.ask("echo") for ref in refs])


@pytest.mark.parametrize("inline", [(0, 1), (1, 2), (2, 0), (0,), (1,), (2,)])
def test_a_cycle_is_seen_whichever_of_its_asks_are_inline(threads: "Threads", inline: tuple[int, ...]) -> None:
    """The others go to workers, so it runs across threads."""

    class Plain(Quick):
        inline_asks = False

    refs = [threads.spawn(Quick if number in inline else Plain, path=f"/a{number}") for number in range(3)]
    threads.settle()

    with pytest.raises(Rejected, match="/a2 /a0 /a1 /a2"):
        outside(lambda: refs[0].ask(chain([*refs[1:], refs[0]]), timeout=PATIENCE))
    assert () == threads.system.asks.in_flight()


@pytest.mark.parametrize("is_set", [True, False], ids=["answered already", "taken for later"])
def test_an_asker_whose_thread_is_held_by_the_answering_actor_cannot_be_asked_by_it(
    threads: "Threads", is_set: bool
) -> None:
    """On a worker it could: the asker would have its answer, or might get it of somebody else, and go on."""
    asker, quick = rest(threads, "/asker", "/quick")

    def answer_and_go_on(actor: Quick) -> None:
        reply = actor.context.take_reply()
        if is_set:
            reply.set("early")
        try:
            asker.ask("are you there?", timeout=FOR_EVER)
        except AskCycle as cycle:
            reply.try_set("late")
            actor.got.append(" ".join(cycle.paths))

    asked = asker.ask(doing(lambda _: quick.ask(answer_and_go_on)), block=False)

    assert asked.get(timeout=PATIENCE) == ("early" if is_set else "late")
    assert ["/quick /asker /quick"] == quick.sys.get_state()["got"]
    assert () == threads.system.asks.in_flight()


def test_a_system_call_to_the_asker_is_refused_as_well(threads: "Threads") -> None:
    asker, quick = rest(threads, "/asker", "/quick")

    def look(_: Quick) -> object:
        try:
            return asker.sys.get_state(timeout=FOR_EVER)
        except AskCycle as cycle:
            return " ".join(cycle.paths)

    asked = asker.ask(doing(lambda _: quick.ask(look)), block=False)
    assert "/quick /asker /quick" == asked.get(timeout=PATIENCE)


def test_those_that_an_inline_answer_holds_up_are_seen_to_wait(
    threads: "Threads", gate: threading.Event, wait_for: Wait
) -> None:
    one, two, busy = rest(threads, "/one", "/two", "/busy")
    busy.tell(doing(lambda _: gate.wait()))
    asked = one.ask(chain([two, busy]), block=False)
    expected = {AskInFlight(one.path, two.path), AskInFlight(two.path, busy.path)}

    wait_for(lambda: expected == set(threads.system.asks.in_flight()), "both wait")
    gate.set()
    assert "the end" == asked.get(timeout=PATIENCE)
    assert () == threads.system.asks.in_flight()


# Whose code it is


def test_the_code_is_that_of_the_one_who_answers_and_then_of_the_asker_again(threads: "Threads") -> None:
    one, two, three = rest(threads, "/one", "/two", "/three")

    def path(_: object = None) -> str | None:
        running = running_incarnation()
        return None if running is None else running.path

    def nest(*refs: ActorRef[Any]) -> list[str | None]:
        if not refs:
            return [path()]
        return [path(), *refs[0].ask(doing(lambda _: nest(*refs[1:])), block=True), path()]

    def fail(_: Quick) -> list[str | None]:
        with pytest.raises(ZeroDivisionError):
            three.ask(doing(lambda _: 1 / 0))
        return [path()]

    assert [None, "/one", "/two", "/three", "/two", "/one", None] == outside(lambda: nest(one, two, three))
    assert ["/two"] == outside(lambda: two.ask(fail))
    assert path() is None


def test_an_actor_that_answers_inline_is_seen_on_the_thread_of_its_asker(
    quick: ActorRef[Any], gate: threading.Event
) -> None:
    inside = threading.Event()

    def hold(_: Quick) -> None:
        inside.set()
        gate.wait()

    asked = Call(lambda: quick.ask(hold, timeout=None))
    assert inside.wait(PATIENCE)
    status = quick.sys.status(timeout=0)

    assert (asked.thread.ident, "function") == (status.thread, status.in_hand)
    assert any("in hold" in line for line in quick.sys.stack())
    gate.set()
    asked.result()
    assert quick.sys.status().thread is not asked.thread.ident
    assert quick.incarnation().message_in_hand() is None


def test_a_worker_that_an_inline_answer_blocks_is_replaced(
    threads: "Threads", gate: threading.Event, wait_for: Wait
) -> None:
    """The wait is one of the framework's, whoever's code it is in; the watcher is put to sleep for good."""
    threads.dispatcher._watcher_asleep = False
    answer: Reply[str] = Reply()
    askers = rest(threads, *(f"/asker-{number}" for number in range(4)))
    quicks = rest(threads, *(f"/quick-{number}" for number in range(4)))
    for asker, quick in zip(askers, quicks, strict=True):
        asker.tell(doing(lambda _, quick=quick: quick.ask(doing(lambda _: answer.get()), timeout=None)))  # type: ignore[misc]
        wait_for(lambda: quick.incarnation().inside() is not None, "it answers")  # noqa: B023 - called at once
    other = threads.spawn(Quick, path="/other")

    assert "echo" == other.ask("echo")
    answer.set("now")


def test_pykkas_proxies_futures_and_stop_work_on_an_actor_that_is_asked_inline(quick: ActorRef[Any]) -> None:
    def use() -> list[object]:
        proxy = quick.proxy()
        futures = [proxy.where(), proxy.got, quick.ask("echo", block=False).map(str.upper)]
        answers = [future.get(timeout=PATIENCE) for future in futures]
        return [*answers[1:], answers[0] != here(), quick.stop(timeout=PATIENCE), quick.is_alive()]

    assert [["echo"], "ECHO", True, True, False] == outside(use)


# Order and wake-ups


def test_what_a_sender_told_before_is_handled_before_its_ask(quick: ActorRef[Any]) -> None:
    def tell_and_ask() -> None:
        for number in range(500):
            quick.tell(number)
            assert number == quick.ask(doing(lambda actor: actor.got[-1]))
            if number % 3 == 0:
                assert number == quick.ask(number)

    outside(tell_and_ask)


def test_what_is_told_during_an_inline_answer_is_handled_after_it(
    threads: "Threads", quick: ActorRef[Any], wait_for: Wait
) -> None:
    """The asker leaves; somebody must come. Told from inside, from outside, and by the system lane."""
    got: list[Any] = []

    def answer(actor: Quick) -> None:
        actor.actor_ref.tell(doing(lambda _: got.append("from inside")))
        outside(lambda: quick.tell(doing(lambda _: got.append("from outside"))))
        assert [] == got

    for _ in range(50):
        got.clear()
        outside(lambda: quick.ask(answer, timeout=None))
        wait_for(lambda: ["from inside", "from outside"] == got, "both are handled")


def test_many_that_ask_and_tell_at_once_are_all_served_one_at_a_time_and_in_order(threads: "Threads") -> None:
    """Inline by some, on workers for others: never two threads inside."""
    overlaps, got = list[object](), defaultdict[int, list[int]](list)
    busy = threading.Lock()

    class Exclusive(Actor):
        inline_asks = True

        def on_receive(self, message: tuple[int, int]) -> tuple[int, int]:
            if not busy.acquire(blocking=False):
                overlaps.append(message)
            sender, number = message
            got[sender].append(number)
            busy.release()
            return message

    ref = threads.spawn(Exclusive)
    askers = rest(threads, *(f"/asker-{number}" for number in range(4)))

    def send(sender: int) -> None:
        for number in range(0, 400, 4):
            ref.tell((sender, number))
            assert (sender, number + 1) == ref.ask((sender, number + 1), timeout=None)
            assert (sender, number + 2) == ref.ask((sender, number + 2), timeout=PATIENCE)
            assert (sender, number + 3) == ref.ask((sender, number + 3), block=False).get(timeout=PATIENCE)

    calls = [Call(partial(send, sender)) for sender in range(6)]
    futures = [
        asker.ask(doing(lambda _, sender=sender: send(sender)), block=False)  # type: ignore[misc]
        for sender, asker in enumerate(askers, start=100)
    ]
    for call in calls:
        call.result()
    for future in futures:
        future.get(timeout=PATIENCE)
    threads.settle()

    assert [] == overlaps
    assert 10 == len(got)
    assert all(numbers == list(range(400)) for numbers in got.values())


def test_asks_that_race_an_end_are_all_answered(threads: "Threads") -> None:
    """By stop, kill, abandonment or a crash: an answer, the crash, or `ActorDead`; and one end each."""
    ends: list[Callable[[ActorRef[Any]], object]] = [
        lambda ref: ref.kill(),
        lambda ref: ref.request_stop(),
        lambda ref: ref.incarnation().abandon(LOST),
        lambda ref: ref.tell(doing(lambda _: 1 / 0)),
    ]
    for round_ in range(80):
        (ref,) = rest(threads, f"/a{round_}")

        def ask(ref: ActorRef[Any] = ref) -> None:
            while True:
                try:
                    assert "?" == ref.ask("?", timeout=None)
                except (ActorDead, ZeroDivisionError):
                    return

        calls = [Call(ask) for _ in range(3)]
        ends[round_ % len(ends)](ref)
        for call in calls:
            call.result()
    threads.settle()

    assert 80 == len(threads.exits())
    assert [] == watched


# A tree without threads


def on_the_main_thread(act: Callable[[], object]) -> Any:
    return act()


@pytest.mark.parametrize("run", [outside, on_the_main_thread])
def test_a_tree_under_test_is_the_same_with_inline_asks_and_without(run: Callable[[Callable[[], object]], Any]) -> None:
    """There too only a thread that is not the main one is answered inline."""
    children = [ChildSpec.of(Quick, id=name) for name in ("a", "b", "c")]

    def use() -> list[object]:
        with TreeUnderTest(ChildSpec.of(Supervisor, children=children, id="dev")) as tree:
            refs = [ref for name in "abc" if (ref := tree.whereis(f"/dev/{name}")) is not None]
            found = [refs[0].ask("echo"), refs[0].ask(chain(refs[1:]))]
            for act in (chain([refs[1], refs[2], refs[0]]), doing(lambda _: refs[1].ask(doing(lambda _: 1 / 0)))):
                try:
                    refs[0].ask(act)
                except (Rejected, ZeroDivisionError) as error:
                    found.append(str(error))
            tree.wait_idle()
            return [*found, tree.address("/dev/b").ask("again")]

    assert ["echo", "the end", "/dev/c /dev/a /dev/b /dev/c", "division by zero", "again"] == run(use)


def _raise(error: BaseException) -> None:
    raise error
