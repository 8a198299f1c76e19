"""Registered names resolve to living, reported actors, and are free before anybody hears of an end (supervision.md A.16, B 4)."""

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import (
    ActorDead,
    ActorRef,
    AlreadyRegistered,
    Declined,
    Exited,
    Ignore,
    Member,
    Names,
    Normal,
    Unresponsive,
)

if TYPE_CHECKING:
    from .conftest import Scripted, Steps, Threads, World

    Act = Callable[[Scripted], object]
    Wait = Callable[[Callable[[], bool], str], None]

LOST = Unresponsive(3.0)


def doing(act: "Act") -> "Act":
    """A message for a scripted actor, which calls it; what `act` returns is the answer."""
    return act


def do(world: "World", ref: ActorRef[Any], act: "Act") -> Any:
    """Run `act` on the actor's turn; what it returned."""
    future = ref.ask(act, block=False)
    world.settle()
    return future.get(timeout=0)


def up(world: "World", path: str, **acts: "Act") -> ActorRef[Any]:
    """A running actor that its supervisor has reported."""
    ref, _ = world.script(path, acts=acts)
    world.settle()
    world.directory.register(ref.path, ref)
    return ref


def registering(name: str, value: object = None) -> "Act":
    return lambda actor: actor.context.register(name, value)


def joining(topic: str, value: object = None) -> "Act":
    return lambda actor: actor.context.join(topic, value)


def raising(actor: "Scripted") -> None:
    raise ValueError("no")


def declining(actor: "Scripted") -> None:
    raise Ignore


def is_empty(names: Names) -> bool:
    return not (names._names or names._topics or names._held)


ENDS: list[tuple[str, Callable[[ActorRef[Any]], None]]] = [
    ("stop", lambda ref: ref.request_stop()),
    ("crash", lambda ref: ref.tell(raising)),
    ("kill", lambda ref: ref.kill()),
    ("given up on", lambda ref: ref.incarnation().abandon(LOST)),
]


def test_a_name_resolves_to_the_actor_that_holds_it(world: "World") -> None:
    ref = up(world, "/a")
    do(world, ref, registering("printer", "3rd floor"))

    assert ref is world.system.names.whereis("printer")
    assert Member(ref, "3rd floor") == world.system.names.lookup("printer")
    assert ref is do(world, ref, lambda actor: actor.context.names.whereis("printer"))
    assert world.system.names.whereis("scanner") is None
    assert world.system.names.lookup("scanner") is None


@pytest.mark.parametrize("where", ["init", "start"])
def test_a_name_taken_at_the_start_resolves_once_the_supervisor_reported_the_actor(world: "World", where: str) -> None:
    """A.16: not before, for others could talk to what is not ready to be talked to."""
    ref, _ = world.script("/a", acts={where: lambda actor: both(actor, "printer", "paper")})
    world.settle()
    names = world.system.names
    assert names.whereis("printer") is None
    assert () == names.members("paper")

    world.directory.register(ref.path, ref)
    assert ref is names.whereis("printer")
    assert (Member(ref, 1),) == names.members("paper")


def both(actor: "Scripted", name: str, topic: str) -> None:
    actor.context.register(name)
    actor.context.join(topic, 1)


@pytest.mark.parametrize("end", [row[1] for row in ENDS], ids=[row[0] for row in ENDS])
def test_a_name_is_free_before_anybody_hears_of_the_end(steps: "Steps", end: Callable[[ActorRef[Any]], None]) -> None:
    """A.16: neither the supervisor, nor who waits for the end, nor a monitor finds it taken or dead."""
    heard: list[object] = []
    names = steps.system.names

    def look(where: str) -> None:
        heard.append((where, names.whereis("printer"), names.members("paper"), is_empty(names)))

    ref, _ = steps.script("/a", start=lambda actor: both(actor, "printer", "paper"))
    steps.directory.register(ref.path, ref)

    def notify(notice: object) -> None:
        if isinstance(notice, Exited):
            look("supervisor")

    ref.incarnation()._notify = notify
    ref.incarnation().stopped.when_done(lambda: look("waiter"))
    steps.settle()
    assert ref is names.whereis("printer")
    end(ref)
    steps.settle()

    assert [("waiter", None, (), True), ("supervisor", None, (), True)] == heard


@pytest.mark.parametrize("where", ["init", "start"])
@pytest.mark.parametrize("how", [raising, declining])
def test_a_failed_start_frees_its_name_before_the_starter_hears_of_it(world: "World", where: str, how: "Act") -> None:
    """A.16: so that an immediate retry does not meet it (B 3.1, gen_server's init)."""
    found: list[bool] = []

    def fail(actor: "Scripted") -> None:
        both(actor, "printer", "paper")
        how(actor)

    def notify(notice: object) -> None:
        assert isinstance(notice, Exited | Declined)
        found.append(is_empty(world.system.names))

    world.spawn(world.scripted, [], {where: fail}, notify=notify)
    world.settle()

    assert [True] == found


def test_a_name_of_a_living_actor_is_refused_to_others(world: "World") -> None:
    """B 3.2: `already_started`, with who holds it."""
    ref, other = up(world, "/a"), up(world, "/b")
    do(world, ref, registering("printer"))
    future = other.ask(registering("printer"), block=False)
    world.settle()

    with pytest.raises(AlreadyRegistered, match="the name 'printer' is held by Scripted /a") as caught:
        future.get(timeout=0)
    assert ("printer", ref) == (caught.value.name, caught.value.ref)
    assert ref is world.system.names.whereis("printer")


def test_a_name_that_one_holds_already_is_refused_too(world: "World") -> None:
    """As Elixir's Registry does: a second registration is a mistake, seldom a wish."""
    ref = up(world, "/a")
    do(world, ref, registering("printer"))
    future = ref.ask(registering("printer"), block=False)
    world.settle()

    with pytest.raises(AlreadyRegistered):
        future.get(timeout=0)


def test_a_name_held_by_an_actor_that_is_still_starting_is_refused(steps: "Steps") -> None:
    """It does not resolve yet, but it is taken."""
    ref = up(steps, "/a")
    starting, _ = steps.script("/b", init=registering("printer"))
    steps.settle()
    future = ref.ask(registering("printer"), block=False)
    steps.settle()

    with pytest.raises(AlreadyRegistered) as caught:
        future.get(timeout=0)
    assert starting is caught.value.ref


def test_a_name_that_was_given_up_is_free_and_that_of_another_stays(world: "World") -> None:
    ref, other = up(world, "/a"), up(world, "/b")
    names = world.system.names
    do(world, ref, registering("printer"))
    do(world, other, lambda actor: actor.context.unregister("printer"))
    assert ref is names.whereis("printer")
    do(world, ref, lambda actor: actor.context.unregister("printer"))
    do(world, ref, lambda actor: actor.context.unregister("printer"))
    assert is_empty(names)
    do(world, other, registering("printer"))
    assert other is names.whereis("printer")


def test_a_successor_takes_the_name_on_the_notice_of_the_end(threads: "Threads", wait_for: "Wait") -> None:
    """A.16: it never collides with its predecessor, however often it is restarted."""
    generations = itertools.count(1)
    done: list[int] = []

    def notify(notice: object) -> None:
        if isinstance(notice, Exited):
            assert Normal() == notice.reason  # and no crash of `AlreadyRegistered`
            number = next(generations)
            done.append(number)
            if number < 100:
                start()

    def stop(actor: "Scripted") -> None:
        actor.context.register("printer")
        actor.context.exit()

    def start() -> None:
        threads.spawn(threads.scripted, [], {"start": stop}, notify=notify)

    start()
    wait_for(lambda: 100 == len(done), "it was restarted a hundred times")
    threads.settle()

    assert is_empty(threads.system.names)


def test_one_that_was_given_up_on_keeps_no_name_from_its_successor(steps: "Steps") -> None:
    """A.15, A.16: and its end, once the thread is back, does not take the successor's."""
    names = steps.system.names
    ref = up(steps, "/a", start=registering("printer"))
    zombie = ref.incarnation()
    assert zombie.actor is not None
    zombie._token.pop()  # a worker is inside
    zombie.abandon(LOST)
    successor, _ = steps.script("/a", start=registering("printer"))
    steps.dispatcher.run_until_idle()
    steps.directory.register(successor.path, successor)
    zombie.actor.context.unregister("printer")
    zombie.actor.context.leave("paper")
    zombie._token.append(True)  # and is back
    zombie._wake()
    steps.settle()

    assert successor is names.whereis("printer")


def test_a_name_whose_holder_has_just_ended_may_be_taken_before_it_is_let_go(steps: "Steps") -> None:
    """The end is declared first, the name let go a moment later: in between it belongs to nobody living."""
    names = steps.system.names
    ref, other = up(steps, "/a"), up(steps, "/b")
    do(steps, ref, registering("printer"))
    held = dict(names._names), dict(names._held)
    ref.kill()
    steps.settle()
    names._names, names._held = held  # as another thread would see it in that moment
    assert names.whereis("printer") is None
    do(steps, other, registering("printer"))
    names.release(ref.incarnation())

    assert other is names.whereis("printer")
    assert {other.incarnation()} == set(names._held)


def test_a_dead_actor_gets_no_name(steps: "Steps") -> None:
    """From a thread of its own, which the fence does not cover: it would never be let go of."""
    ref, _ = steps.script()
    steps.settle()
    actor = ref.incarnation().actor
    assert actor is not None
    ref.request_stop()
    steps.settle()

    with pytest.raises(ActorDead, match="/a has ended and cannot be registered as 'printer'"):
        actor.context.register("printer")
    with pytest.raises(ActorDead):
        actor.context.join("paper")
    assert is_empty(steps.system.names)


def test_any_number_meets_under_a_topic_in_the_order_of_joining(world: "World") -> None:
    """B 4: duplicate keys."""
    refs = [up(world, f"/a{number}") for number in range(3)]
    for number, ref in enumerate(refs):
        do(world, ref, joining("paper", number))
    do(world, refs[0], joining("ink"))

    names = world.system.names
    assert tuple(Member(ref, number) for number, ref in enumerate(refs)) == names.members("paper")
    assert (Member(refs[0]),) == names.members("ink")
    assert () == names.members("toner")


def test_joining_again_changes_the_value_and_leaving_ends_it(world: "World") -> None:
    ref, other = up(world, "/a"), up(world, "/b")
    do(world, ref, joining("paper", 1))
    do(world, other, joining("paper", 2))
    do(world, ref, joining("paper", 3))
    names = world.system.names
    assert (Member(ref, 3), Member(other, 2)) == names.members("paper")

    for _ in range(2):
        do(world, ref, lambda actor: actor.context.leave("paper"))
    assert (Member(other, 2),) == names.members("paper")
    do(world, other, lambda actor: actor.context.leave("paper"))
    assert is_empty(names)


def test_a_dispatch_tells_every_member_and_counts_them(world: "World") -> None:
    refs = [up(world, f"/a{number}") for number in range(3)]
    told: list[str] = []
    for ref in refs:
        do(world, ref, joining("paper"))
    names = world.system.names

    assert 3 == names.dispatch("paper", doing(lambda actor: told.append(actor.context.path)))
    world.settle()
    assert {"/a0", "/a1", "/a2"} == set(told)
    assert 0 == names.dispatch("ink", "nobody")


def test_a_dispatch_passes_over_members_that_have_just_ended(steps: "Steps", monkeypatch: pytest.MonkeyPatch) -> None:
    ref, other = up(steps, "/a"), up(steps, "/b")
    for each in (ref, other):
        do(steps, each, joining("paper"))
    members = steps.system.names.members("paper")
    ref.kill()
    steps.settle()

    def found_before_the_kill(names: Names, topic: str) -> tuple[Member, ...]:
        return members

    monkeypatch.setattr(Names, "members", found_before_the_kill)

    assert 1 == steps.system.names.dispatch("paper", "hello")


def test_nothing_is_stored_for_actors_that_register_nothing(world: "World") -> None:
    for number in range(10):
        up(world, f"/a{number}").kill()
    world.settle()

    assert is_empty(world.system.names)


def test_of_many_that_want_one_name_exactly_one_gets_it(threads: "Threads") -> None:
    """On threads, while holders end all the time: never two at once, and never a dead one for good."""
    holders: list[int] = []
    most: list[int] = []

    def struggle(actor: "Scripted") -> None:
        try:
            actor.context.register("printer")
        except AlreadyRegistered:
            return
        holders.append(1)
        most.append(len(holders))
        holders.pop()
        actor.context.unregister("printer")

    refs = [up(threads, f"/a{number}") for number in range(8)]
    for _ in range(100):
        for ref in refs:
            ref.tell(struggle)
    threads.settle()

    assert most
    assert {1} == set(most)
    assert is_empty(threads.system.names)
    assert all(ref.is_alive() for ref in refs)


def test_names_and_ends_that_race_leave_nothing_behind(threads: "Threads") -> None:
    """A name is either refused to the dead or let go of with the end."""

    def grab(actor: "Scripted") -> None:
        for number in range(20):
            actor.context.join(f"topic {number}")
        actor.context.register(actor.context.path)

    for number in range(100):
        ref, _ = threads.script(f"/a{number}")
        ref.tell(grab)
        ref.kill()
    threads.settle()

    assert is_empty(threads.system.names)
