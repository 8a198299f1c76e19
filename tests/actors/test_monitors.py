"""A monitor brings exactly one `Down`, with the true reason, after all that came before it (supervision.md A.12, B 3.2)."""

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import (
    Actor,
    ActorPath,
    ActorRef,
    Address,
    Crashed,
    DeadLetter,
    Down,
    Exited,
    ExitReason,
    Gone,
    Ignore,
    Killed,
    Monitor,
    Normal,
    Shutdown,
    Unresponsive,
)

if TYPE_CHECKING:
    from .conftest import Scripted, Steps, Threads, World

    Act = Callable[[Scripted], object]

LOST = Unresponsive(3.0)
ERROR = ValueError("no such port")


class Watcher(Actor):
    """Keeps what comes; a callable is called with the actor."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.seen.append(message)
        return None


def doing(act: "Act") -> "Act":
    """A message for a scripted actor, which calls it; what `act` returns is the answer."""
    return act


def raising(actor: "Scripted") -> None:
    raise ERROR


def declining(actor: "Scripted") -> None:
    raise Ignore


def do(world: "World", ref: ActorRef[Any], act: Callable[[Watcher], Any]) -> Any:
    """Run `act` on the actor's turn; what it returned."""
    future = ref.ask(act, block=False)
    world.settle()
    return future.get(timeout=0)


def monitoring(target: ActorRef[Any] | Address) -> Callable[[Any], Monitor]:
    """A message: monitor `target`."""

    def act(actor: Any) -> Monitor:
        made: Monitor = actor.context.monitor(target)
        return made

    return act


def watch(world: "World", watcher: ActorRef[Any], target: ActorRef[Any] | Address) -> Monitor:
    made: Monitor = do(world, watcher, monitoring(target))
    return made


def seen(world: "World", ref: ActorRef[Any]) -> list[Any]:
    found: list[Any] = do(world, ref, lambda actor: actor.seen.copy())
    return found


ENDS: list[tuple[str, Callable[[ActorRef[Any]], None], ExitReason]] = [
    ("normal", lambda ref: ref.request_stop(), Normal()),
    ("shutdown", lambda ref: ref.request_stop(Shutdown("done")), Shutdown("done")),
    ("killed", lambda ref: ref.kill(), Killed()),
    ("given up on", lambda ref: ref.incarnation().abandon(LOST), LOST),
]


@pytest.mark.parametrize(("end", "reason"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
def test_the_end_of_a_monitored_actor_brings_one_down_with_its_reason(
    world: "World", end: Callable[[ActorRef[Any]], None], reason: ExitReason
) -> None:
    """A.12: normal ends too."""
    watcher, (target, _) = world.spawn(Watcher), world.script("/b")
    made = watch(world, watcher, target)
    end(target)
    world.settle()

    assert [Down(target, reason, made)] == seen(world, watcher)
    assert watcher.is_alive()


@pytest.mark.parametrize("where", ["init", "start", "receive", "stop"])
def test_a_crash_brings_down_with_the_exception(world: "World", where: str) -> None:
    """B 3.2."""
    watcher = world.spawn(Watcher)
    target, _ = world.script("/b", acts={where: raising})
    made = do(world, watcher, monitoring(target))
    if where == "receive":
        target.tell(raising)
    else:
        target.request_stop()
    world.settle()

    (down,) = seen(world, watcher)
    assert (down.ref, down.monitor) == (target, made)
    assert isinstance(down.reason, Crashed)
    assert down.reason.error is ERROR


def test_a_start_that_declines_is_a_normal_end(steps: "Steps") -> None:
    """`Ignore` ends an incarnation too, and brings the one `Down` of its monitor."""
    watcher = steps.spawn(Watcher)
    steps.settle()
    target, _ = steps.script("/b", start=declining)
    watcher.tell(monitoring(target))
    watcher.incarnation().run()  # before the other has begun
    steps.settle()

    assert [(target, Normal())] == [(down.ref, down.reason) for down in seen(steps, watcher)]


@pytest.mark.parametrize(("end", "reason"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
def test_a_dead_actor_brings_down_at_once_with_its_true_reason(
    world: "World", end: Callable[[ActorRef[Any]], None], reason: ExitReason
) -> None:
    """A.12: while it is remembered, and a ref remembers it. (OTP says `noproc` here.)"""
    watcher, (target, _) = world.spawn(Watcher), world.script("/b")
    end(target)
    world.settle()
    made = watch(world, watcher, target)

    assert [Down(target, reason, made)] == seen(world, watcher)


def test_an_address_that_reaches_nobody_brings_down_with_gone_and_the_address(world: "World") -> None:
    """A.12: an end that nobody remembers is `Gone()`."""
    watcher, address = world.spawn(Watcher), Address(ActorPath("/b"), world.system)
    made = watch(world, watcher, address)

    (down,) = seen(world, watcher)
    assert down == Down(address, Gone(), made)
    assert "/b" == down.ref.path


def test_a_monitor_of_an_address_is_one_of_the_incarnation_that_lives_there(world: "World") -> None:
    """A successor at the same path is not monitored."""
    watcher, (target, _) = world.spawn(Watcher), world.script("/b")
    world.settle()
    world.directory.register(target.path, target)
    address = Address(target.path, world.system)
    made = watch(world, watcher, address)
    target.kill()
    world.settle()
    successor, _ = world.script("/b")
    world.directory.register(target.path, successor)
    successor.kill()
    world.settle()

    assert [Down(target, Killed(), made)] == seen(world, watcher)


def test_monitors_are_stackable(world: "World") -> None:
    """B 3.2: two monitors of one actor bring two `Down`s, each its own."""
    watcher, (target, _) = world.spawn(Watcher), world.script("/b")
    made = [watch(world, watcher, target) for _ in range(2)]
    target.kill()
    world.settle()

    assert made == [down.monitor for down in seen(world, watcher)]
    assert made[0] is not made[1]


def test_what_an_actor_told_before_it_died_is_handled_before_its_down(threads: "Threads") -> None:
    """A.12: `Down` is an ordinary message in arrival order, here while the watcher is busy."""
    watcher, (target, _) = threads.spawn(Watcher), threads.script("/b")
    watch(threads, watcher, target)
    inside, release = threading.Event(), threading.Event()

    def hold(actor: Watcher) -> None:
        inside.set()
        release.wait(5)

    def speak_and_die(actor: "Scripted") -> None:
        for number in range(100):
            watcher.tell(number)
        raise ERROR

    watcher.tell(hold)
    assert inside.wait(5)
    target.tell(speak_and_die)
    target.wait_stopped(timeout=5)
    watcher.tell("later")
    release.set()

    found = seen(threads, watcher)
    assert [*range(100)] == found[:100]
    assert isinstance(found[100], Down)
    assert ["later"] == found[101:]


def test_a_down_comes_before_the_supervisor_hears_of_the_end(steps: "Steps") -> None:
    """So what a successor tells comes after the news of its predecessor's end."""
    watcher = steps.spawn(Watcher)
    target = steps.spawn(
        Actor, path="/b", notify=lambda notice: watcher.incarnation().tell_if_alive(type(notice).__name__)
    )
    watch(steps, watcher, target)
    target.kill()
    steps.settle()

    _, down, last = seen(steps, watcher)
    assert isinstance(down, Down)
    assert Exited.__name__ == last


def test_who_handles_a_down_finds_the_actor_dead(threads: "Threads") -> None:
    watcher, (target, _) = threads.spawn(Watcher), threads.script("/b")
    alive: list[bool] = []

    class Looking(deque[object]):
        def append(self, item: object) -> None:
            alive.append(target.is_alive())
            super().append(item)

    watch(threads, watcher, target)
    watcher.incarnation()._user_lane = Looking()
    target.kill()
    threads.settle()

    assert [False] == alive


def test_a_dropped_monitor_brings_nothing(world: "World") -> None:
    """B 3.2: and only that one."""
    watcher, (target, _) = world.spawn(Watcher), world.script("/b")
    dropped, kept = (watch(world, watcher, target) for _ in range(2))
    do(world, watcher, lambda actor: actor.context.demonitor(dropped))
    target.kill()
    world.settle()

    assert [kept] == [down.monitor for down in seen(world, watcher)]


def test_dropping_a_monitor_takes_its_down_out_of_the_mailbox(world: "World") -> None:
    """B 3.2: demonitor flushes; here the `Down` came a moment before, in the same turn."""
    watcher, (target, _) = world.spawn(Watcher), world.script("/b")
    target.kill()
    world.settle()

    def watch_and_drop(actor: Watcher) -> int:
        monitor = actor.context.monitor(target)
        queued = len(actor.context.incarnation()._user_lane)
        actor.context.demonitor(monitor)
        actor.context.demonitor(monitor)  # again changes nothing
        return queued

    assert 1 == do(world, watcher, watch_and_drop)
    watcher.tell("next")
    assert ["next"] == seen(world, watcher)


def test_a_monitor_of_another_actor_cannot_be_dropped(world: "World") -> None:
    watcher, other, (target, _) = world.spawn(Watcher), world.spawn(Watcher, path="/c"), world.script("/b")
    made = watch(world, watcher, target)

    def drop(actor: Watcher) -> None:
        actor.context.demonitor(made)

    future = other.ask(drop, block=False)
    world.settle()

    with pytest.raises(ValueError, match="/c cannot drop <Monitor of /b>, which /a set"):
        future.get(timeout=0)


def test_an_actor_may_monitor_itself_and_hears_nothing(world: "World") -> None:
    watcher = world.spawn(Watcher)
    watch(world, watcher, watcher)
    watcher.kill()
    world.settle()

    assert [] == world.events
    assert watcher.incarnation().ties is None


def test_a_down_in_the_mailbox_of_a_dead_actor_is_no_dead_letter(steps: "Steps") -> None:
    """Nobody sent it, and at the end of a tree there would be one for each monitor."""
    watcher, (target, _) = steps.spawn(Watcher), steps.script("/b")
    watch(steps, watcher, target)
    target.incarnation().abandon(LOST)
    watcher.tell("a letter")
    watcher.kill()
    steps.settle()

    assert [DeadLetter(watcher.path, "str")] == steps.events


def test_an_actor_that_is_given_up_on_in_a_handler_is_down_at_that_moment(threads: "Threads") -> None:
    """A.7, A.12: its thread is still inside."""
    watcher, (target, _) = threads.spawn(Watcher), threads.script("/b")
    made = watch(threads, watcher, target)
    watcher.tell("there")
    inside, release = threading.Event(), threading.Event()

    def hang(actor: "Scripted") -> None:
        inside.set()
        release.wait(5)

    def look(actor: Watcher) -> list[Any]:
        return actor.seen.copy()

    target.tell(hang)
    assert inside.wait(5)
    target.incarnation().abandon(LOST)
    try:
        assert ["there", Down(target, LOST, made)] == watcher.ask(look)
    finally:
        release.set()
    threads.settle()
    assert ["there", Down(target, LOST, made)] == seen(threads, watcher)


def test_nothing_is_kept_for_an_actor_that_monitors_nobody(world: "World") -> None:
    ref = world.spawn(Watcher)
    world.settle()

    assert ref.incarnation().ties is None


def test_monitors_leave_nothing_behind_on_either_side(steps: "Steps") -> None:
    """Neither a dropped one, nor one whose target died, nor one whose owner did."""
    watcher, target = steps.spawn(Watcher), steps.spawn(Watcher, path="/b")
    steps.settle()
    mine, its = watcher.incarnation(), target.incarnation()
    for _ in range(1000):
        context = mine.actor.context if mine.actor is not None else None
        assert context is not None
        context.demonitor(context.monitor(target))
    assert mine.ties is not None
    assert its.ties is not None
    assert ({}, {}, {}) == (mine.ties.monitors, mine.ties.watchers, mine.ties.links)
    assert ({}, {}, {}) == (its.ties.monitors, its.ties.watchers, its.ties.links)

    for number in range(100):
        mortal = steps.spawn(Watcher, path=f"/m{number}")
        watch(steps, watcher, mortal)
        watch(steps, mortal, target)
        mortal.kill()
        steps.settle()
        assert mortal.incarnation().ties is None
    assert {} == mine.ties.monitors
    assert {} == its.ties.watchers
    assert not mine._user_lane
    assert 100 == len(seen(steps, watcher))


def test_a_dead_actor_leaves_no_monitor_and_no_link_on_others(steps: "Steps") -> None:
    """From a thread of its own, which the fence does not cover: nobody would ever take them away."""
    watcher, (target, _) = steps.spawn(Watcher), steps.script("/b")
    actor = watcher.incarnation().actor
    assert actor is not None
    watcher.request_stop()
    steps.settle()
    actor.context.demonitor(actor.context.monitor(target))
    actor.context.link(target)

    assert watcher.incarnation().ties is None
    assert target.incarnation().ties is None


def test_a_monitor_that_races_with_the_end_brings_exactly_one_down(threads: "Threads") -> None:
    """A.12, on threads: each of several watchers, whoever is first."""
    watchers = [threads.spawn(Watcher, path=f"/w{number}") for number in range(4)]
    rounds = 150
    for number in range(rounds):
        target = threads.spawn(Watcher, path=f"/t{number}")
        for watcher in watchers[:2]:
            watcher.tell(monitoring(target))
        target.kill()
        for watcher in watchers[2:]:
            watcher.tell(monitoring(target))
    threads.settle()

    for watcher in watchers:
        found = seen(threads, watcher)
        assert rounds == len(found)
        assert rounds == len({down.ref for down in found})
        assert {Killed()} == {down.reason for down in found}
        ties = watcher.incarnation().ties
        assert ties is None or {} == ties.monitors


def test_dropping_a_monitor_that_races_with_the_end_brings_none_after_it(threads: "Threads") -> None:
    """After `demonitor` has returned no `Down` is handled, however close the end was."""
    watcher = threads.spawn(Watcher)

    def watching_and_dropping(target: ActorRef[Any]) -> Callable[[Watcher], None]:
        def act(actor: Watcher) -> None:
            monitor = actor.context.monitor(target)
            target.kill()
            actor.context.demonitor(monitor)

        return act

    for number in range(200):
        target = threads.spawn(Watcher, path=f"/t{number}")
        watcher.tell(watching_and_dropping(target))
    threads.settle()

    assert [] == seen(threads, watcher)
    ties = watcher.incarnation().ties
    assert ties is None or {} == ties.monitors
