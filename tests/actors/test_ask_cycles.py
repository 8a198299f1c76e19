"""A cycle of asks is refused by name instead of hanging; what only looks like one is not (supervision.md B 3.1)."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from treewarden.actors import (
    ActorRef,
    Address,
    AskCycle,
    AskInFlight,
    Crashed,
    Killed,
    Rejected,
    Reply,
    Unresponsive,
)

if TYPE_CHECKING:
    from .conftest import Scripted, Steps, Threads, World

    Act = Callable[[Scripted], object]
    Wait = Callable[[Callable[[], bool], str], None]

PATIENCE = 10.0
LOST = Unresponsive(3.0)


def doing(act: "Act") -> "Act":
    """A message for a scripted actor, which calls it; what `act` returns is the answer."""
    return act


def asking(*refs: "ActorRef[Any] | Address", timeout: float | None = None) -> "Act":
    """Ask the first to ask the second to ask ... the last; an `AskCycle` is answered, not crashed of."""

    def act(actor: "Scripted") -> object:
        if not refs:
            return "the end"
        try:
            return refs[0].ask(asking(*refs[1:], timeout=timeout), timeout=timeout)
        except AskCycle as cycle:
            raise Rejected(str(cycle.paths)) from None

    return act


@pytest.mark.parametrize("timeout", [None, PATIENCE], ids=["no deadline", "deadline"])
def test_an_actor_that_asks_itself_is_refused_at_once(world: "World", timeout: float | None) -> None:
    """B 3.1: gen_server's `calling_self`; unhandled it is a crash like any other."""
    ref, _ = world.script()
    future = ref.ask(doing(lambda actor: actor.actor_ref.ask("me", timeout=timeout)), block=False)
    world.settle()

    with pytest.raises(AskCycle, match="/a -> /a") as caught:
        future.get(timeout=0)
    assert ("/a", "/a") == caught.value.paths
    assert isinstance(caught.value, RuntimeError)
    assert [Crashed] == [type(exited.reason) for exited in world.exits()]
    assert () == world.system.asks.in_flight()


def test_what_was_refused_was_not_sent(world: "World") -> None:
    """Its asker was told that it failed, so nobody may act on it."""
    ref, journal = world.script()

    def ask_itself(actor: "Scripted") -> None:
        with pytest.raises(AskCycle):
            actor.actor_ref.ask(doing(lambda _: journal.append("handled")))

    ref.tell(ask_itself)
    world.settle()

    assert ref.is_alive()
    assert ["init", "start", "receive"] == journal


@pytest.mark.parametrize("timeout", [None, PATIENCE], ids=["no deadline", "deadline"])
@pytest.mark.parametrize("length", [2, 3, 7])
def test_the_ask_that_would_close_a_cycle_is_refused_and_names_all_of_it(
    threads: "Threads", length: int, timeout: float | None
) -> None:
    """A asks B asks ... asks A: the last one hears it, by refs."""
    refs = [threads.script(f"/a{number}")[0] for number in range(length)]
    threads.settle()
    paths = tuple(ref.path for ref in refs)

    with pytest.raises(Rejected) as caught:
        refs[0].ask(asking(*refs[1:], refs[0], timeout=timeout), timeout=PATIENCE)
    assert str((paths[-1], *paths)) == str(caught.value)
    assert () == threads.system.asks.in_flight()
    assert all(ref.is_alive() for ref in refs)


def test_a_cycle_across_addresses_is_refused(threads: "Threads") -> None:
    refs = [threads.script(f"/a{number}")[0] for number in range(2)]
    for ref in refs:
        threads.directory.register(ref.path, ref)
    one, other = (Address(ref.path, threads.system) for ref in refs)

    with pytest.raises(Rejected, match=r"'/a1', '/a0', '/a1'"):
        refs[0].ask(asking(other, one), timeout=PATIENCE)


def test_a_cycle_further_along_the_chain_is_refused_where_it_closes(threads: "Threads") -> None:
    """The one at the beginning is no part of it."""
    first, one, other = (threads.script(path)[0] for path in ("/first", "/one", "/other"))

    with pytest.raises(Rejected, match=r"\('/other', '/one', '/other'\)"):
        first.ask(asking(one, other, one), timeout=PATIENCE)


def test_an_unhandled_cycle_ends_those_in_it_with_its_name(threads: "Threads") -> None:
    """Each asker gets the exception of the one it asked (A.11)."""
    one, other = (threads.script(path)[0] for path in ("/one", "/other"))

    def close(actor: "Scripted") -> object:
        return one.ask("echo", timeout=None)

    with pytest.raises(AskCycle, match="/other -> /one -> /other"):
        one.ask(doing(lambda actor: other.ask(close, timeout=None)), timeout=PATIENCE)
    threads.settle()
    assert [False, False] == [one.is_alive(), other.is_alive()]


def test_a_system_call_is_a_wait_too_and_closes_a_cycle(threads: "Threads") -> None:
    """The one that is called is in a handler until it is answered, so nobody attends to the call."""
    (asker, _), (asked, _) = threads.script("/asker"), threads.script("/asked")
    found: list[object] = []

    def look(_: "Scripted") -> None:
        try:
            asker.sys.replace_state(found.append, timeout=PATIENCE)
        except AskCycle as cycle:
            found.append(cycle.paths)
        found.append(asker.sys.status(timeout=PATIENCE).state)  # it has promised to raise nothing

    asker.ask(doing(lambda _: asked.ask(doing(look), timeout=PATIENCE)), timeout=PATIENCE)
    threads.settle()

    assert [("/asked", "/asker", "/asked"), None] == found, "and what was refused was not sent"
    assert () == threads.system.asks.in_flight()


@pytest.mark.parametrize("how", ["get", "map", "join", "proxy"])
def test_waiting_later_for_the_future_of_an_ask_is_waiting_too(threads: "Threads", how: str) -> None:
    """`block=False` and then `get` inside a handler; pykka's futures and proxies come to the same."""
    one, other = (threads.script(path)[0] for path in ("/one", "/other"))

    def close(actor: "Scripted") -> object:
        future: Any = one.proxy().child_type if how == "proxy" else one.ask("echo", block=False)
        if how == "map":
            future = future.map(str)
        if how == "join":
            future = other.ask("later", block=False).join(future)
        return future.get(timeout=None)

    with pytest.raises(AskCycle):
        one.ask(doing(lambda actor: other.ask(close, timeout=None)), timeout=PATIENCE)


def test_looking_at_the_future_of_an_ask_is_no_wait(world: "World") -> None:
    """An actor may ask itself and come back for the answer."""
    ref, journal = world.script()

    def look(actor: "Scripted") -> Any:
        future = actor.actor_ref.ask("echo", block=False)
        with pytest.raises(pykka.Timeout):
            future.get(timeout=0)
        actor.actor_ref.tell(doing(lambda _: journal.append(future.get(timeout=None))))

    ref.tell(look)
    world.settle()

    assert "echo" == journal[-1]


def test_one_that_took_its_reply_for_later_and_waits_for_nobody_may_be_asked(
    threads: "Threads", wait_for: "Wait"
) -> None:
    """A asks B, B keeps the reply and goes on; then B asks A: A is held up by B's reply alone."""
    one, other = (threads.script(path)[0] for path in ("/one", "/other"))
    kept: list[Reply[Any]] = []

    def keep(actor: "Scripted") -> None:
        kept.append(actor.context.take_reply())

    answer = one.ask(doing(lambda actor: other.ask(keep, timeout=PATIENCE)), block=False)
    wait_for(lambda: bool(kept), "the reply was taken")
    # The reply may be set by anybody, here by this thread: so it is no cycle, and the ask is answered.
    asked = other.ask(doing(lambda actor: one.ask("echo", timeout=PATIENCE)), block=False)
    wait_for(lambda: 2 == len(threads.system.asks.in_flight()), "both wait")
    kept[0].set("late, not never")

    assert "late, not never" == answer.get(timeout=PATIENCE)
    assert "echo" == asked.get(timeout=PATIENCE)


def test_an_actor_may_wait_for_a_reply_it_gave_to_somebody_to_set(threads: "Threads") -> None:
    """Even its own: another thread answers."""
    ref, _ = threads.script()
    kept: list[Any] = []

    def wait_for_it(actor: "Scripted") -> Any:
        return kept[1].get(timeout=PATIENCE)

    kept.append(None)
    ref.tell(doing(lambda actor: kept.append(actor.actor_ref.ask(doing(take), block=False))))

    def take(actor: "Scripted") -> None:
        kept[0] = actor.context.take_reply()

    threads.settle()
    future = ref.ask(wait_for_it, block=False)
    kept[0].set("answered")

    assert "answered" == future.get(timeout=PATIENCE)


def test_an_answer_that_is_there_already_holds_nobody_up(steps: "Steps") -> None:
    """The waiter has not woken yet; its wait is over all the same."""
    one, other = (steps.script(path)[0] for path in ("/one", "/other"))
    asks = steps.system.asks
    reply: Reply[Any] = Reply()
    with asks.waiting(one.incarnation(), other.incarnation(), reply):
        with pytest.raises(AskCycle), asks.waiting(other.incarnation(), one.incarnation(), Reply()):
            raise AssertionError("entered")
        reply.set("answered")
        with asks.waiting(other.incarnation(), one.incarnation(), Reply()):
            assert {AskInFlight(one.path, other.path), AskInFlight(other.path, one.path)} == set(asks.in_flight())
    assert () == asks.in_flight()


def test_one_that_has_ended_answers_at_once_and_holds_nobody_up(steps: "Steps") -> None:
    """Its thread may still be inside its own ask."""
    one, zombie = (steps.script(path)[0] for path in ("/one", "/zombie"))
    asks = steps.system.asks
    with asks.waiting(zombie.incarnation(), one.incarnation(), Reply()):
        zombie.incarnation().abandon(LOST)
        with asks.waiting(one.incarnation(), zombie.incarnation(), Reply()):
            assert 2 == len(asks.in_flight())


def test_those_who_wait_for_the_same_one_are_no_cycle(threads: "Threads") -> None:
    """A diamond, many times over, on threads."""
    bottom, _ = threads.script("/bottom")
    middle = [threads.script(f"/m{number}")[0] for number in range(4)]
    top = [threads.script(f"/t{number}")[0] for number in range(4)]
    futures = [
        high.ask(asking(low, bottom, timeout=PATIENCE), block=False)
        for _ in range(25)
        for high in top
        for low in middle
    ]

    assert {"the end"} == {future.get(timeout=PATIENCE) for future in futures}
    assert () == threads.system.asks.in_flight()


def test_of_two_that_ask_each_other_at_the_same_moment_one_is_refused(threads: "Threads") -> None:
    """Exact under a race: neither none, or both would hang, nor two."""
    one, other = (threads.script(path)[0] for path in ("/one", "/other"))

    for _ in range(100):
        barrier = threading.Barrier(2)
        refusals: list[AskCycle] = []

        def cross(
            actor: "Scripted",
            whom: ActorRef[Any],
            barrier: threading.Barrier = barrier,
            refusals: list[AskCycle] = refusals,
        ) -> object:
            barrier.wait(PATIENCE)
            try:
                return whom.ask("echo", timeout=None)
            except AskCycle as cycle:
                refusals.append(cycle)
                return "refused"

        futures = [
            one.ask(doing(lambda actor, cross=cross: cross(actor, other)), block=False),  # type: ignore[misc]  # bound now
            other.ask(doing(lambda actor, cross=cross: cross(actor, one)), block=False),  # type: ignore[misc]  # bound now
        ]
        answers = sorted(future.get(timeout=PATIENCE) for future in futures)
        assert 1 == len(refusals)
        assert ["echo", "refused"] == answers


def test_an_ask_from_outside_the_actors_is_no_part_of_a_cycle(threads: "Threads") -> None:
    ref, _ = threads.script()

    assert "echo" == ref.ask("echo")
    assert () == threads.system.asks.in_flight()


def test_who_waits_on_whom_can_be_seen_while_it_lasts(threads: "Threads") -> None:
    one, other = (threads.script(path)[0] for path in ("/one", "/other"))
    inside, release = threading.Event(), threading.Event()

    def hold(actor: "Scripted") -> str:
        inside.set()
        release.wait(PATIENCE)
        return "done"

    future = one.ask(doing(lambda actor: other.ask(hold, timeout=PATIENCE)), block=False)
    assert inside.wait(PATIENCE)
    try:
        assert (AskInFlight(one.path, other.path),) == threads.system.asks.in_flight()
    finally:
        release.set()
    assert "done" == future.get(timeout=PATIENCE)
    assert () == threads.system.asks.in_flight()


def test_a_wait_that_came_to_its_deadline_is_forgotten(threads: "Threads") -> None:
    one, other = (threads.script(path)[0] for path in ("/one", "/other"))
    release = threading.Event()
    other.tell(doing(lambda actor: release.wait(PATIENCE)))

    def give_up(actor: "Scripted") -> tuple[object, ...]:
        with pytest.raises(pykka.Timeout):
            other.ask("echo", timeout=0.01)
        return actor.context.system.asks.in_flight()

    try:
        assert () == one.ask(give_up)
    finally:
        release.set()
    assert "echo" == other.ask(doing(lambda actor: one.ask("echo")))


def test_a_late_reply_is_dropped_and_its_message_was_handled(threads: "Threads") -> None:
    """B 3.1: the server goes on working; what it answers then disturbs nobody."""
    ref, _ = threads.script()
    release = threading.Event()
    handled: list[str] = []

    def answer_late(actor: "Scripted") -> str:
        release.wait(PATIENCE)
        handled.append("late")
        return "late"

    with pytest.raises(pykka.Timeout):
        ref.ask(answer_late, timeout=0.01)
    with pytest.raises(pykka.Timeout):
        ref.ask(doing(lambda actor: handled.append("queued")), timeout=0.01)
    release.set()
    threads.settle()

    assert ["late", "queued"] == handled
    assert "next" == ref.ask("next")
    assert [] == threads.events
    assert ref.is_alive()


def test_a_reply_that_was_taken_and_set_too_late_is_dropped(threads: "Threads") -> None:
    """B 3.1: `reply/2` to one that has given up."""
    ref, _ = threads.script()
    kept: list[Reply[Any]] = []

    with pytest.raises(pykka.Timeout):
        ref.ask(doing(lambda actor: kept.append(actor.context.take_reply())), timeout=0.05)
    threads.settle()
    kept[0].set("too late")

    assert "next" == ref.ask("next")
    assert not ref.incarnation()._deferred


def test_a_future_that_was_answered_keeps_no_actor(steps: "Steps") -> None:
    ref, _ = steps.script()
    future = ref.ask("echo", block=False)
    assert isinstance(future, Reply)
    assert future._asked is ref.incarnation()
    steps.settle()

    assert future._asked is None
    assert "echo" == future.get(timeout=0)


def test_a_cycle_that_is_broken_by_a_kill_lets_its_members_go(threads: "Threads", wait_for: "Wait") -> None:
    """One that hides from detection (a reply taken for later) ends as any wait does."""
    one, other = (threads.script(path)[0] for path in ("/one", "/other"))
    kept: list[Reply[Any]] = []
    answer = one.ask(
        doing(lambda actor: other.ask(doing(lambda it: kept.append(it.context.take_reply())), timeout=None)),
        block=False,
    )
    wait_for(lambda: bool(kept), "the reply was taken")
    other.tell(doing(lambda actor: one.ask("echo", timeout=None)))
    wait_for(lambda: 2 == len(threads.system.asks.in_flight()), "both wait")
    other.kill()

    with pytest.raises(pykka.ActorDeadError):
        answer.get(timeout=PATIENCE)
    threads.settle()
    assert () == threads.system.asks.in_flight()
    assert [Killed()] == [it.reason for it in threads.exits() if it.reason == Killed()]
