"""A link ends both, or tells the one that traps exits (supervision.md A.12, B 3.2)."""

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from treewarden.actors import (
    Actor,
    ActorDead,
    ActorPath,
    ActorRef,
    Address,
    ChildType,
    Crashed,
    Exited,
    ExitReason,
    ExitSignal,
    Gone,
    Killed,
    Normal,
    Shutdown,
    Unresponsive,
)

if TYPE_CHECKING:
    from .conftest import Scripted, Steps, Threads, World

LOST = Unresponsive(3.0)
ERROR = ValueError("no such port")


class Partner(Actor):
    """Keeps what comes and how it ended; a callable is called with the actor."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.reasons: list[ExitReason | None] = []

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.seen.append(message)
        return None

    def on_stop(self, reason: ExitReason | None = None) -> None:
        self.reasons.append(reason)


class Overseer(Partner):
    """To others it is a supervisor."""

    child_type: ClassVar[ChildType] = ChildType.SUPERVISOR


def do(world: "World", ref: ActorRef[Any], act: Callable[[Any], Any]) -> Any:
    """Run `act` on the actor's turn; what it returned."""
    future = ref.ask(act, block=False)
    world.settle()
    return future.get(timeout=0)


def linked(world: "World", *, traps: bool = False, kind: type[Actor] = Partner) -> tuple[ActorRef[Any], ActorRef[Any]]:
    """`/a`, which may trap exits, linked to `/b`."""
    one, other = world.spawn(kind), world.spawn(Partner, path="/b")
    world.settle()
    if traps:
        do(world, one, lambda actor: actor.context.trap_exits())
    do(world, one, linking(other))
    return one, other


def ended(world: "World", ref: ActorRef[Any]) -> list[ExitReason]:
    """What the supervisor of every `ref` at this path heard."""
    reason = ref.incarnation().exit_reason()
    assert (reason is None) == ref.is_alive()
    return [] if reason is None else [reason]


def linking(target: ActorRef[Any] | Address) -> Callable[[Any], None]:
    """A message: link to `target`."""

    def act(actor: Any) -> None:
        actor.context.link(target)

    return act


def raising(actor: Any) -> None:
    raise ERROR


def crash(ref: ActorRef[Any]) -> None:
    ref.tell(raising)


ABNORMAL: list[tuple[str, Callable[[ActorRef[Any]], None], type[ExitReason]]] = [
    ("crashed", crash, Crashed),
    ("killed", lambda ref: ref.kill(), Killed),
    ("given up on", lambda ref: ref.incarnation().abandon(LOST), Unresponsive),
]
ORDERLY: list[tuple[str, Callable[[ActorRef[Any]], None], ExitReason]] = [
    ("normal", lambda ref: ref.request_stop(), Normal()),
    ("shutdown", lambda ref: ref.request_stop(Shutdown("done")), Shutdown("done")),
]


@pytest.mark.parametrize("side", [0, 1], ids=["who linked", "who was linked"])
@pytest.mark.parametrize(("end", "kind"), [row[1:] for row in ABNORMAL], ids=[row[0] for row in ABNORMAL])
def test_an_abnormal_end_of_one_ends_the_other_with_the_same_reason(
    world: "World", end: Callable[[ActorRef[Any]], None], kind: type[ExitReason], side: int
) -> None:
    """A.12: whichever of the two it is. `on_stop` runs, for only a kill of its own skips it."""
    pair = linked(world)
    first, other = pair[side], pair[1 - side]
    partner = other.incarnation().actor
    assert isinstance(partner, Partner)
    end(first)
    world.settle()

    (reason,) = ended(world, first)
    assert isinstance(reason, kind)
    assert [reason] == ended(world, other)
    assert [reason] == partner.reasons
    assert 2 == len([notice for notice in world.notices if isinstance(notice, Exited)])


@pytest.mark.parametrize(("end", "reason"), [row[1:] for row in ORDERLY], ids=[row[0] for row in ORDERLY])
def test_an_orderly_end_of_one_does_not_end_the_other(
    world: "World", end: Callable[[ActorRef[Any]], None], reason: ExitReason
) -> None:
    """A.12: only abnormal exits propagate. (In OTP `shutdown` does too.)"""
    one, other = linked(world)
    end(other)
    world.settle()

    assert [reason] == ended(world, other)
    assert one.is_alive()
    assert [] == do(world, one, lambda actor: actor.seen)


@pytest.mark.parametrize(
    ("end", "reason"),
    [(row[1], row[2]) for row in ORDERLY] + [(ABNORMAL[1][1], Killed()), (ABNORMAL[2][1], LOST)],
    ids=["normal", "shutdown", "killed", "given up on"],
)
def test_one_that_traps_exits_is_told_whatever_the_reason_and_lives(
    world: "World", end: Callable[[ActorRef[Any]], None], reason: ExitReason
) -> None:
    """A.12, B 3.2: as an ordinary message; a kill is trapped too, for what propagates is its reason."""
    one, other = linked(world, traps=True)
    end(other)
    world.settle()

    assert [ExitSignal(other, reason)] == do(world, one, lambda actor: actor.seen)
    assert one.is_alive()


def test_a_crash_is_trapped_with_its_exception(world: "World") -> None:
    one, other = linked(world, traps=True)
    crash(other)
    world.settle()

    (signal,) = do(world, one, lambda actor: actor.seen)
    assert signal.ref is other
    assert signal.reason.error is ERROR


def test_a_kill_of_one_that_traps_exits_still_ends_it(world: "World") -> None:
    """B 3.2: `kill` itself cannot be trapped."""
    one, other = linked(world, traps=True)
    one.kill()
    world.settle()

    assert [Killed()] == ended(world, one)
    assert [Killed()] == ended(world, other)


def test_what_an_actor_told_before_it_died_is_handled_before_its_exit_signal(world: "World") -> None:
    """A.12: trapped exits are ordinary messages in arrival order."""
    one, other = linked(world, traps=True)

    def speak_and_die(actor: Partner) -> None:
        one.tell("first")
        raise ERROR

    other.tell(speak_and_die)
    world.settle()
    one.tell("last")
    world.settle()

    found = do(world, one, lambda actor: actor.seen)
    assert ["first", "last"] == [found[0], found[2]]
    assert isinstance(found[1], ExitSignal)


def test_an_end_passes_along_a_chain_of_links_and_stops_at_one_that_traps(world: "World") -> None:
    refs = [world.spawn(Partner, path=f"/a{number}") for number in range(5)]
    world.settle()
    do(world, refs[3], lambda actor: actor.context.trap_exits())
    for one, other in itertools.pairwise(refs):
        do(world, one, linking(other))
    crash(refs[0])
    world.settle()

    assert [False, False, False, True, True] == [ref.is_alive() for ref in refs]
    assert [refs[2]] == [signal.ref for signal in do(world, refs[3], lambda actor: actor.seen)]


def test_an_undone_link_passes_nothing_on_in_either_direction(world: "World") -> None:
    one, other = linked(world)
    do(world, other, lambda actor: actor.context.unlink(one))
    do(world, other, lambda actor: actor.context.unlink(one))  # again changes nothing
    crash(one)
    world.settle()
    assert other.is_alive()

    one, other = linked(world)
    do(world, one, lambda actor: actor.context.unlink(other))
    crash(other)
    world.settle()
    assert one.is_alive()


def test_linking_twice_is_linking_once(world: "World") -> None:
    """B 3.2: links are not stackable."""
    one, other = linked(world, traps=True)
    do(world, one, linking(other))
    do(world, other, linking(one))
    crash(other)
    world.settle()

    assert 1 == len(do(world, one, lambda actor: actor.seen))


def test_linking_oneself_ties_nothing(world: "World") -> None:
    """B 3.2."""
    one = world.spawn(Partner)
    do(world, one, linking(one))

    assert one.incarnation().ties is None


def test_linking_a_dead_actor_sends_its_exit_signal_with_the_true_reason(world: "World") -> None:
    """A.12: abnormal, it ends the one that links; normal, it does not."""
    one, other, third = (world.spawn(Partner, path=path) for path in ("/a", "/b", "/c"))
    world.settle()
    other.kill()
    third.request_stop()
    world.settle()
    do(world, one, linking(third))
    assert one.is_alive()
    do(world, one, linking(other))

    assert [Killed()] == ended(world, one)


def test_linking_an_address_that_reaches_nobody_is_an_exit_signal_of_gone(world: "World") -> None:
    """A.12 (OTP: `noproc`)."""
    one, trapping = world.spawn(Partner), world.spawn(Partner, path="/c")
    address = Address(ActorPath("/b"), world.system)
    do(world, trapping, lambda actor: actor.context.trap_exits())
    do(world, trapping, linking(address))
    do(world, trapping, lambda actor: actor.context.unlink(address))
    do(world, one, linking(address))

    assert [ExitSignal(address, Gone())] == do(world, trapping, lambda actor: actor.seen)
    assert [Gone()] == ended(world, one)


def test_linking_an_address_links_whoever_lives_there(world: "World") -> None:
    one, trapping, other = (world.spawn(Partner, path=path) for path in ("/a", "/c", "/b"))
    world.settle()
    world.directory.register(other.path, other)
    address = Address(other.path, world.system)
    do(world, trapping, lambda actor: actor.context.trap_exits())
    for each in (one, trapping):
        do(world, each, linking(address))
    other.kill()
    world.settle()

    assert [Killed()] == ended(world, one)
    assert [ExitSignal(other, Killed())] == do(world, trapping, lambda actor: actor.seen)


def test_an_exit_signal_overtakes_the_mailbox_and_lets_the_message_in_hand_finish(steps: "Steps") -> None:
    """As every order to end does (A.7)."""
    one, other = linked(steps)

    def finish(actor: Partner) -> str:
        other.incarnation().abandon(LOST)
        return "finished"

    partner = one.incarnation().actor
    assert isinstance(partner, Partner)
    future = one.ask(finish, block=False)
    one.tell("never handled")
    steps.settle()

    assert "finished" == future.get(timeout=0)
    assert [LOST] == ended(steps, one)
    assert [] == partner.seen


def test_a_supervisor_ends_of_no_link_and_says_so(world: "World") -> None:
    """B 1.6: it traps, and drops exit signals of others than its parent."""
    one, other = linked(world, kind=Overseer)
    other.kill()
    world.settle()

    assert one.is_alive()
    assert [] == do(world, one, lambda actor: actor.seen)
    assert [("linked exit ignored", {"source": "/b", "reason": "killed"})] == [
        (line.event, dict(line.values)) for line in world.lines
    ]


def test_the_end_of_a_supervisor_passes_along_its_links(world: "World") -> None:
    one, other = linked(world, kind=Overseer)
    one.kill()
    world.settle()

    assert [Killed()] == ended(world, other)


class Wordless(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_error_that_cannot_be_told_costs_nobody_the_news_of_the_end(world: "World") -> None:
    """A.7, A.12: a line about it is worded between the end and its notice."""
    overseer, one = world.spawn(Overseer, path="/top"), world.spawn(Partner)
    do(world, one, lambda actor: actor.context.link(overseer))
    reason = Crashed(Wordless())
    one.request_stop(reason)
    world.settle()

    assert [reason] == [exited.reason for exited in world.exits()]
    assert "crashed: Wordless" == world.lines[-1].values["reason"]
    with pytest.raises(ActorDead, match="crashed: Wordless"):
        one.tell("too late")


def test_an_orderly_end_linked_to_a_supervisor_is_not_worth_a_line(world: "World") -> None:
    _, other = linked(world, kind=Overseer)
    other.request_stop()
    world.settle()

    assert [] == world.lines


def test_an_actor_that_has_not_begun_yet_ends_of_its_link_as_a_failed_start(steps: "Steps") -> None:
    one = steps.spawn(Partner)
    steps.settle()
    other, journal = steps.script("/b")
    one.tell(linking(other))
    one.tell(raising)
    one.incarnation().run()
    steps.settle()

    assert [] == journal
    assert ended(steps, one) == ended(steps, other)


def test_links_leave_nothing_behind_on_either_side(steps: "Steps") -> None:
    one = steps.spawn(Partner)
    steps.settle()
    do(steps, one, lambda actor: actor.context.trap_exits())
    for number in range(50):
        other = steps.spawn(Partner, path=f"/b{number}")
        do(steps, one, linking(other))
        if number % 2:
            other.kill()
        else:
            do(steps, other, lambda actor: actor.context.unlink(one))
        steps.settle()
        ties = other.incarnation().ties
        assert ties is None or {} == ties.links
    ties = one.incarnation().ties
    assert ties is not None
    assert {} == ties.links


@pytest.mark.parametrize("who", ["both link", "one links"])
def test_a_link_that_races_with_the_end_is_told_exactly_once(threads: "Threads", who: str) -> None:
    """A.12, on threads."""
    one = threads.spawn(Partner)
    do(threads, one, lambda actor: actor.context.trap_exits())
    rounds = 200
    for number in range(rounds):
        other = threads.spawn(Partner, path=f"/b{number}")
        one.tell(linking(other))
        if who == "both link":
            other.tell(linking(one))
        other.kill()
    threads.settle()

    found = do(threads, one, lambda actor: actor.seen)
    assert rounds == len(found) == len({signal.ref for signal in found})
    assert {Killed()} == {signal.reason for signal in found}
    ties = one.incarnation().ties
    assert ties is not None
    assert {} == ties.links


def test_a_ring_of_links_that_ends_at_many_places_at_once_ends_each_once(threads: "Threads") -> None:
    refs = [threads.spawn(Partner, path=f"/a{number}") for number in range(30)]
    threads.settle()
    for one, other in zip(refs, [*refs[1:], refs[0]], strict=True):
        one.tell(linking(other))
    threads.settle()
    for ref in refs[::10]:
        crash(ref)
    for ref in refs:
        ref.wait_stopped(timeout=10)
    threads.settle()

    assert 30 == len([notice for notice in threads.notices if isinstance(notice, Exited)])
    assert all(ref.incarnation().ties is None for ref in refs)


def test_a_zombie_neither_gets_nor_passes_on_the_end_of_a_link_it_had(steps: "Steps") -> None:
    """A.15: what was tied to it was told when it was given up on."""
    one, other = linked(steps, traps=True)

    def be_given_up_on(actor: "Scripted") -> None:
        actor.context.incarnation().abandon(LOST)
        raise ERROR

    other.tell(be_given_up_on)
    steps.settle()

    assert [ExitSignal(other, LOST)] == do(steps, one, lambda actor: actor.seen)
    one.kill()
    steps.settle()
    assert [LOST] == ended(steps, other)
