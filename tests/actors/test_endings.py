"""Every way an actor can end is exactly one notice of its end, with the true reason (supervision.md A.2, A.7)."""

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from pykka import messages

from treewarden.actors import (
    Actor,
    ActorCrashed,
    ActorDead,
    ActorRef,
    Crashed,
    Declined,
    Exited,
    ExitReason,
    Ignore,
    Killed,
    Normal,
    Rejected,
    Reply,
    Shutdown,
    Started,
    StopReport,
    Unresponsive,
)
from treewarden.actors._messages import Kill

if TYPE_CHECKING:
    from .conftest import Scripted, Steps, World

    Act = Callable[[Scripted], object]

LOST = Unresponsive(3.0)


def doing(act: "Callable[[Scripted], object]") -> "Callable[[Scripted], object]":
    """A message for a scripted actor, which calls it; what `act` returns is the answer."""
    return act


def raising(error: BaseException) -> "Act":
    def act(actor: "Scripted") -> None:
        raise error

    return act


def killing(actor: "Scripted") -> None:
    actor.context.incarnation().kill()


def abandoning(actor: "Scripted") -> None:
    actor.context.incarnation().abandon(LOST)


def exiting(actor: "Scripted") -> None:
    actor.context.exit(Shutdown("done"))


def stopping(actor: "Scripted") -> None:
    actor.actor_ref.request_stop(Shutdown("asked"))


def both(*acts: "Act") -> "Act":
    def act(actor: "Scripted") -> None:
        for each in acts:
            each(actor)

    return act


def nothing(ref: ActorRef[Any]) -> None:
    """The actor ends by what it does itself."""


def told(act: "Act") -> Callable[[ActorRef[Any]], None]:
    return lambda ref: ref.tell(act)


@dataclass(frozen=True, slots=True)
class Way:
    """How an actor ends, and what must be seen of it."""

    name: str
    reason: ExitReason | type[BaseException]  # an exception type: a crash of it
    hooks: str
    acts: Mapping[str, "Act"] = field(default_factory=dict[str, "Act"])
    early: Callable[[ActorRef[Any]], None] = nothing  # before the actor has begun
    late: Callable[[ActorRef[Any]], None] = nothing  # once it is at rest
    abandoned: bool = False
    started: bool = True


WAYS = [
    Way("init raises", ValueError, "init", {"init": raising(ValueError("no"))}, started=False),
    Way("init exits the interpreter", SystemExit, "init", {"init": raising(SystemExit(1))}, started=False),
    Way("on_start raises", ValueError, "init start", {"start": raising(ValueError("no"))}, started=False),
    Way("on_start rejects", Rejected, "init start", {"start": raising(Rejected("no"))}, started=False),
    Way("on_start exits the interpreter", SystemExit, "init start", {"start": raising(SystemExit())}, started=False),
    Way(
        "on_start is interrupted",
        KeyboardInterrupt,
        "init start",
        {"start": raising(KeyboardInterrupt())},
        started=False,
    ),
    Way("exit in init", Shutdown("done"), "init start stop", {"init": exiting}),
    Way("exit in on_start", Shutdown("done"), "init start stop", {"start": exiting}),
    Way("exit in a handler", Shutdown("done"), "init start receive stop", late=told(exiting)),
    Way("stop before it began", Shutdown("x"), "", early=lambda ref: ref.request_stop(Shutdown("x")), started=False),
    Way("stop during on_start", Shutdown("asked"), "init start stop", {"start": stopping}),
    Way("stop while idle", Normal(), "init start stop", late=lambda ref: ref.request_stop()),
    Way("stop in a handler", Shutdown("asked"), "init start receive stop", late=told(stopping)),
    Way("pykka's stop", Normal(), "init start stop", late=lambda ref: ref.tell(messages._ActorStop())),
    Way("a handler raises", ValueError, "init start receive stop", late=told(raising(ValueError("no")))),
    Way("a handler ignores", Ignore, "init start receive stop", late=told(raising(Ignore()))),
    Way("a handler exits the interpreter", SystemExit, "init start receive stop", late=told(raising(SystemExit(2)))),
    Way(
        "a handler is interrupted",
        KeyboardInterrupt,
        "init start receive stop",
        late=told(raising(KeyboardInterrupt())),
    ),
    Way(
        "a system handler raises",
        ValueError,
        "init start system stop",
        {"system": raising(ValueError())},
        late=lambda ref: ref.incarnation().tell_system("?"),
    ),
    Way(
        "on_stop raises",
        OSError,
        "init start stop",
        {"stop": raising(OSError("no"))},
        late=lambda ref: ref.request_stop(),
    ),
    Way(
        "on_stop exits the interpreter",
        SystemExit,
        "init start stop",
        {"stop": raising(SystemExit())},
        late=lambda ref: ref.request_stop(),
    ),
    Way(
        "on_stop raises after a crash",
        OSError,
        "init start receive stop",
        {"stop": raising(OSError("no"))},
        late=told(raising(ValueError())),
    ),
    Way(
        "on_stop stops and exits",
        Normal(),
        "init start stop",
        {"stop": both(stopping, exiting)},
        late=lambda ref: ref.request_stop(),
    ),
    Way("kill before it began", Killed(), "", early=lambda ref: ref.kill(), started=False),
    Way("kill in init", Killed(), "init kill", {"init": killing}, abandoned=True, started=False),
    Way("kill in on_start", Killed(), "init start kill", {"start": killing}, abandoned=True, started=False),
    Way(
        "kill in on_start, which then raises",
        Killed(),
        "init start",
        {"start": both(killing, raising(ValueError()))},
        abandoned=True,
        started=False,
    ),
    Way(
        "kill in on_start, which then declines",
        Killed(),
        "init start",
        {"start": both(killing, raising(Ignore()))},
        abandoned=True,
        started=False,
    ),
    Way("kill while idle", Killed(), "init start kill", late=lambda ref: ref.kill()),
    Way("kill in a handler", Killed(), "init start receive kill", late=told(killing), abandoned=True),
    Way(
        "kill in a handler, which then raises",
        Killed(),
        "init start receive kill",
        late=told(both(killing, raising(ValueError()))),
        abandoned=True,
    ),
    Way(
        "kill in on_stop",
        Killed(),
        "init start stop",
        {"stop": killing},
        late=lambda ref: ref.request_stop(),
        abandoned=True,
    ),
    Way(
        "kill, and on_kill raises",
        Killed(),
        "init start kill",
        {"kill": raising(SystemExit())},
        late=lambda ref: ref.kill(),
    ),
    Way(
        "given up on before it began",
        LOST,
        "",
        early=lambda ref: ref.incarnation().abandon(LOST),
        abandoned=True,
        started=False,
    ),
    Way("given up on in init", LOST, "init", {"init": abandoning}, abandoned=True, started=False),
    Way("given up on in on_start", LOST, "init start stop", {"start": abandoning}, abandoned=True, started=False),
    Way(
        "given up on while idle",
        LOST,
        "init start stop",
        late=lambda ref: ref.incarnation().abandon(LOST),
        abandoned=True,
    ),
    Way("given up on in a handler", LOST, "init start receive stop", late=told(abandoning), abandoned=True),
    Way(
        "given up on in a handler, which then raises",
        LOST,
        "init start receive stop",
        late=told(both(abandoning, raising(ValueError()))),
        abandoned=True,
    ),
    Way(
        "given up on in on_stop",
        LOST,
        "init start stop",
        {"stop": abandoning},
        late=lambda ref: ref.request_stop(),
        abandoned=True,
    ),
    Way(
        "given up on in a handler, and on_stop raises",
        LOST,
        "init start receive stop",
        {"stop": raising(OSError())},
        late=told(abandoning),
        abandoned=True,
    ),
]


def end(world: "World", way: Way) -> tuple[ActorRef[Any], list[str]]:
    ref, journal = world.script(acts=way.acts)
    way.early(ref)
    world.settle()
    way.late(ref)
    world.settle()
    return ref, journal


def as_expected(reason: ExitReason, way: Way) -> bool:
    if isinstance(way.reason, type):
        return isinstance(reason, Crashed) and isinstance(reason.error, way.reason)
    return reason == way.reason


# A stop or a kill that comes before the actor began is only sure to come first where the test holds the steps.
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_each_way_to_end_is_one_notice_with_its_reason(steps: "Steps", way: Way) -> None:
    ref, journal = end(steps, way)

    exited = steps.exits()
    assert 1 == len(exited)
    assert as_expected(exited[0].reason, way), exited
    assert way.abandoned is exited[0].abandoned
    assert way.hooks.split() == journal
    assert exited[0].reason == ref.wait_stopped(timeout=0)
    assert not ref.is_alive()
    report = StopReport(abandoned=(ref.path,)) if way.abandoned else StopReport(stopped=(ref.path,))
    assert report == exited[0].report
    before = [type(notice) for notice in steps.notices[: steps.notices.index(exited[0])]]
    assert before == ([Started] if way.started else [])


@pytest.mark.parametrize("way", [way for way in WAYS if way.early is nothing], ids=lambda way: way.name)
def test_each_way_to_end_is_the_same_on_threads(threads: "World", way: Way) -> None:
    _, journal = end(threads, way)

    assert [way.abandoned] == [exited.abandoned for exited in threads.exits()]
    assert as_expected(threads.exits()[0].reason, way)
    assert way.hooks.split() == journal


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_an_ended_actor_cannot_be_ended_again(steps: "Steps", way: Way) -> None:
    ref, journal = end(steps, way)
    seen, ran = steps.notices.copy(), journal.copy()

    ref.request_stop()
    ref.kill()
    ref.incarnation().abandon(LOST)
    ref.incarnation().request_exit(Normal())
    steps.settle()

    assert seen == steps.notices
    assert ran == journal
    with pytest.raises(ActorDead):
        ref.tell("too late")
    with pytest.raises(ActorDead):
        ref.ask("too late")


@pytest.mark.parametrize("way", [way for way in WAYS if way.late is not nothing], ids=lambda way: way.name)
def test_an_ask_behind_what_ends_the_actor_is_answered_that_it_is_dead(steps: "Steps", way: Way) -> None:
    ref, _ = steps.script(acts=way.acts)
    steps.settle()
    way.late(ref)
    future = ref.ask("echo", block=False)
    steps.settle()

    with pytest.raises(ActorDead):
        future.get(timeout=0)


@pytest.mark.parametrize("place", ["init", "start"])
def test_an_actor_that_declines_sends_that_and_nothing_else(world: "World", place: str) -> None:
    """A.6: not a failure, and no exit."""
    ref, journal = world.script(acts={place: raising(Ignore("not here"))})
    world.settle()
    ref.request_stop()
    ref.kill()
    ref.incarnation().abandon(LOST)
    world.settle()

    assert [Declined] == [type(notice) for notice in world.notices]
    assert Normal() == ref.wait_stopped(timeout=0)
    assert journal[-1] == place
    with pytest.raises(ActorDead):
        ref.ask("anybody there?")


@pytest.mark.parametrize("error", [ValueError("no"), ExceptionGroup("two", [ValueError(), OSError()])], ids=repr)
def test_an_unexpected_exception_reaches_the_asker_and_ends_the_actor(world: "World", error: Exception) -> None:
    """A.11."""
    ref, _ = world.script()
    future = ref.ask(raising(error), block=False)
    world.settle()

    with pytest.raises(type(error)) as caught:
        future.get(timeout=0)
    assert caught.value is error
    assert [error] == [exited.reason.error for exited in world.exits() if isinstance(exited.reason, Crashed)]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_an_exit_raised_in_one_actor_is_a_crash_of_that_actor_alone(world: "World", error: BaseException) -> None:
    """A.11; under pykka's own loop it stops every actor of the process."""
    bystander, _ = world.script("/b")
    ref, _ = world.script()
    future = ref.ask(raising(error), block=False)
    world.settle()

    with pytest.raises(ActorCrashed) as caught:
        future.get(timeout=0)
    assert caught.value.reason == world.exits()[0].reason
    answer = bystander.ask("still here", block=False)
    world.settle()
    assert "still here" == answer.get(timeout=0)
    assert 1 == len(world.exits())


def test_whoever_acts_on_a_crash_finds_the_actor_gone(world: "World") -> None:
    """The asker hears of it after the end was declared."""
    ref, _ = world.script()
    seen: list[bool] = []
    future = ref.ask(raising(ValueError("no")), block=False)
    assert isinstance(future, Reply)
    future.when_done(lambda: seen.append(ref.is_alive()))
    world.settle()

    assert [False] == seen


def test_a_rejection_is_an_answer_and_no_crash(world: "World") -> None:
    """A.11; by `tell` nobody waits for it, so it is logged."""
    ref, _ = world.script()
    future = ref.ask(raising(Rejected("not today")), block=False)
    ref.tell(raising(Rejected("nor now")))
    again = ref.ask("alive", block=False)
    world.settle()

    with pytest.raises(Rejected, match="not today"):
        future.get(timeout=0)
    assert "alive" == again.get(timeout=0)
    assert ["message rejected"] == [line.event for line in world.lines]
    assert "nor now" == world.lines[0].values["why"]


def test_a_kill_ordered_just_before_a_handler_begins_does_not_wait_for_it(steps: "Steps") -> None:
    """The order and the look at `_busy` stand crosswise: the killer saw an idle actor, so the handler must not begin."""
    ref, journal = steps.script()
    steps.settle()
    inner = ref.incarnation()
    ask = ref.ask(doing(lambda actor: "handled"), block=False)
    inner._user_lane = _Tripwire(inner._user_lane, inner.kill)
    steps.settle()

    assert "init start kill" == " ".join(journal)
    assert [False] == [exited.abandoned for exited in steps.exits()]
    with pytest.raises(ActorDead):
        ask.get(timeout=0)


def test_a_kill_ordered_between_a_crash_and_its_on_stop_skips_on_stop(steps: "Steps") -> None:
    def crash(actor: "Scripted") -> None:
        inner = actor.context.incarnation()
        # As from another thread that looks just when the handler has ended.
        inner._open_system_lane().appendleft(Kill())
        inner._kill_ordered = True
        raise ValueError("lost in the race")

    ref, journal = steps.script()
    future = ref.ask(crash, block=False)
    steps.settle()

    assert "init start receive kill" == " ".join(journal)
    assert [Killed()] == [exited.reason for exited in steps.exits()]
    with pytest.raises(ValueError, match="lost in the race"):
        future.get(timeout=0)
    assert "lost in the race" in str(steps.lines[0].values["error"])


def test_an_end_declared_while_the_worker_leaves_is_still_cleaned_up(steps: "Steps") -> None:
    """The worker has found nothing to do and gives the token back: whoever abandons in between found no token."""
    ref, journal = steps.script()
    steps.settle()
    inner = ref.incarnation()
    inner._token = _Interposed([True], lambda: inner.abandon(LOST))
    ref.tell(doing(lambda actor: None))
    steps.settle()

    assert "init start receive stop" == " ".join(journal)


def test_a_report_that_fails_does_not_cost_the_notice(steps: "Steps") -> None:
    class Forgetful(Actor):
        def stop_report(self) -> StopReport:
            raise AttributeError("no table")

    ref = steps.spawn(Forgetful)
    steps.settle()
    ref.request_stop()
    steps.settle()

    assert [StopReport(stopped=(ref.path,))] == [exited.report for exited in steps.exits()]
    assert ["stop_report failed"] == [line.event for line in steps.lines]


def test_no_hook_is_called_on_an_object_that_was_never_made(steps: "Steps") -> None:
    """A stop, a kill or a failure before `__init__` has returned must not meet half an object."""

    class Half(Actor):
        def __init__(self, *, fails: bool) -> None:
            super().__init__()
            if fails:
                raise ValueError("half made")
            self.table = StopReport()

        def stop_report(self) -> StopReport:
            return self.table

        def on_kill(self) -> None:
            assert self.table is not None

    steps.spawn(Half, fails=True)
    steps.settle()
    steps.spawn(Half, fails=False).request_stop()
    steps.settle()
    steps.spawn(Half, fails=False).kill()
    steps.settle()

    assert [Crashed, Normal, Killed] == [type(exited.reason) for exited in steps.exits()]
    assert [] == steps.lines


def test_a_system_message_before_the_start_waits_for_it(steps: "Steps") -> None:
    """`on_system` needs what `__init__` makes; a state request may come at once."""
    ref, journal = steps.script()
    ref.incarnation().tell_system("state, please")
    steps.settle()

    assert "init start system" == " ".join(journal)


def test_a_class_that_cannot_be_instantiated_is_a_failed_start(steps: "Steps") -> None:
    """Its supervisor must hear of it, not crash of it."""

    class Abstract(Actor):
        @abstractmethod
        def work(self) -> None: ...

    ref = steps.spawn(Abstract)
    steps.settle()

    reason = ref.wait_stopped(timeout=0)
    assert isinstance(reason, Crashed)
    assert isinstance(reason.error, TypeError)
    assert "work" in str(reason.error)
    assert [Exited] == [type(notice) for notice in steps.notices]


def test_a_port_that_fails_ends_the_actor_visibly_instead_of_hanging_it(
    threads: "World", unhandled: list[BaseException | None]
) -> None:
    """Ports promise never to raise; if one does, the worker and everyone who waits must survive it."""

    def burst(notice: object) -> None:
        raise OSError("no notice today")

    ref = threads.spawn(Actor, notify=burst)
    reason = ref.wait_stopped(timeout=5)
    threads.settle()

    assert isinstance(reason, Crashed)
    assert isinstance(reason.error, OSError)
    assert any(isinstance(error, OSError) for error in unhandled)


class _Tripwire(deque[object]):
    """A lane that does something once, when it is looked at."""

    def __init__(self, items: Iterable[object], act: Callable[[], None]) -> None:
        super().__init__(items)
        self._act: Callable[[], None] | None = act

    def __len__(self) -> int:
        act, self._act = self._act, None
        if act is not None:
            act()
        return super().__len__()


class _Interposed(list[bool]):
    """A token that does something just before it is put back."""

    def __init__(self, items: Iterable[bool], act: Callable[[], None]) -> None:
        super().__init__(items)
        self._act: Callable[[], None] | None = act

    def append(self, item: bool) -> None:
        act, self._act = self._act, None
        if act is not None:
            act()
        super().append(item)
