"""Random programs of tells, asks and ends under drawn schedules, against what each of them may bring about.

Three places, an actor at each; hypothesis writes what the test does to them and what they do to each
other, a seed draws who runs next, and all is one thread: a failure repeats. At every rest the books
must balance for each incarnation and each sender, to the message.
"""

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treewarden.actors import (
    Actor,
    ActorDead,
    ActorRef,
    AskCycle,
    Crashed,
    DeadLetter,
    Exited,
    ExitReason,
    Fenced,
    Killed,
    Rejected,
    Reply,
    Shutdown,
    Unresponsive,
)
from treewarden.actors.testing import ManualClock, NotAnswered, SeededDispatcher

if TYPE_CHECKING:
    from .conftest import World

PLACES: Final = (0, 1, 2)
MAX_TURNS: Final = 10_000
MANY: Final = 70  # more than one turn of a worker handles

Sender: TypeAlias = str  # the test, or the path of an actor


class DeliberateError(Exception):
    """A crash that the program asked for."""


# What a message has its actor do


@final
@dataclass(frozen=True, slots=True)
class Note:
    """Nothing else."""


@final
@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with `Rejected`."""


@final
@dataclass(frozen=True, slots=True)
class Crash:
    """Raise."""


@final
@dataclass(frozen=True, slots=True)
class Exit:
    """End with a reason of its own after this message."""


@final
@dataclass(frozen=True, slots=True)
class Sleep:
    """Suspend itself."""


@final
@dataclass(frozen=True, slots=True)
class Keep:
    """Take the reply, to answer with the next message that is kept or at the end not at all."""


@final
@dataclass(frozen=True, slots=True)
class Pass:
    """Tell or ask the actor at `place` something."""

    place: int
    asks: bool
    act: "Act"


@final
@dataclass(frozen=True, slots=True)
class End:
    """End the actor at `place`, perhaps itself."""

    place: int
    how: str


Act: TypeAlias = Note | Refuse | Crash | Exit | Sleep | Keep | Pass | End


# What the test does


@final
@dataclass(frozen=True, slots=True)
class Send:
    """Tell the actor at `place`, or ask it without waiting, `times` times."""

    place: int
    asks: bool
    act: Act
    times: int = 1


@final
@dataclass(frozen=True, slots=True)
class Call:
    """Ask the actor at `place` and wait."""

    place: int
    act: Act


@final
@dataclass(frozen=True, slots=True)
class Suspend:
    """Suspend the actor at `place`."""

    place: int


@final
@dataclass(frozen=True, slots=True)
class Resume:
    """Have it go on."""

    place: int


@final
@dataclass(frozen=True, slots=True)
class Restart:
    """Put a successor in the place of one that has ended."""

    place: int


@final
@dataclass(frozen=True, slots=True)
class Rest:
    """Run until nobody has anything to do, and balance the books."""


Step: TypeAlias = Send | Call | Suspend | Resume | Restart | End | Rest


@final
@dataclass(frozen=True, slots=True)
class Letter:
    """One message, with who sent it and the how-manieth of all."""

    sender: Sender
    number: int
    act: Act


@final
@dataclass
class Book:
    """What is known of one incarnation."""

    sent: dict[Sender, list[int]] = field(default_factory=lambda: defaultdict(list[int]))
    asks: dict[int, Any] = field(default_factory=dict[int, Any])  # by number: the future, if anybody has it
    in_doubt: set[int] = field(default_factory=set[int])  # asks that raised `ActorDead`: sent or not
    handled: list[Letter] = field(default_factory=list[Letter])
    kept: list[Reply[Any]] = field(default_factory=list[Reply[Any]])
    kept_numbers: set[int] = field(default_factory=set[int])
    may_end_with: list[type[ExitReason]] = field(default_factory=list[type[ExitReason]])
    is_ordered_to_end: bool = False
    sleeps: bool = False
    is_inside: bool = False
    exits: list[Exited] = field(default_factory=list[Exited])


class Player(Actor):
    """Does as its messages say."""

    def __init__(self, play: "Play", book: Book) -> None:
        super().__init__()
        self.play, self.book = play, book

    def on_receive(self, message: Letter) -> object:
        assert not self.book.is_inside, "a second turn in one actor"
        self.book.is_inside = True
        try:
            self.book.handled.append(message)
            return self._do(message.act, message.number)
        finally:
            self.book.is_inside = False

    def on_stop(self, reason: ExitReason | None = None) -> None:
        assert not self.book.is_inside, "an end inside a turn"

    def _do(self, act: Act, number: int) -> object:
        match act:
            case Note():
                return number
            case Refuse():
                raise Rejected(str(number))
            case Crash():
                self.book.may_end_with.append(Crashed)
                self.book.is_ordered_to_end = True
                raise DeliberateError(str(number))
            case Exit():
                self.book.may_end_with.append(Shutdown)
                self.book.is_ordered_to_end = True
                self.context.exit(Shutdown("by itself"))
            case Sleep():
                self.actor_ref.sys.suspend()
                self.book.sleeps = True
            case Keep():
                self.book.kept_numbers.add(number)
                for earlier in self.book.kept:
                    earlier.try_set("kept")
                self.book.kept.append(self.context.take_reply())
            case Pass(place, asks, inner):
                return self.play.pass_on(self.context.path, place, asks, inner)
            case End(place, how):
                self.play.end(place, how)
        return number


class InlinePlayer(Player):
    """One that an asker's own turn may run."""

    inline_asks = True


KINDS: Final[dict[str, type[Player]]] = {"plain": Player, "inline": InlinePlayer}


class Play:
    """The world, the books, and the two ways in: what the test does and what the actors do."""

    def __init__(self, new_world: "type[World]", kind: type[Player], seed: int) -> None:
        clock = ManualClock()
        self.dispatcher = SeededDispatcher(random.Random(seed), max_turns=MAX_TURNS)
        self.world = new_world(clock, self.dispatcher, clock)
        self.kind = kind
        self.books: dict[str, Book] = {}
        self.generations = Counter[int]()
        self.refs: dict[int, ActorRef[Any]] = {}
        self.numbers = iter(range(1_000_000))
        for place in PLACES:
            self.start(place)

    def start(self, place: int) -> None:
        self.generations[place] += 1
        path = f"/p{place}-{self.generations[place]}"
        book = self.books[path] = Book()

        def note(notice: object) -> None:
            assert not book.exits, f"{notice} after the end"
            if isinstance(notice, Exited):
                book.exits.append(notice)

        self.refs[place] = self.world.spawn(self.kind, self, book, path=path, notify=note)

    def book(self, place: int) -> Book:
        return self.books[self.refs[place].path]

    # Sending

    def send(self, sender: Sender, place: int, act: Act) -> None:
        ref, book, number = self.refs[place], self.book(place), next(self.numbers)
        try:
            ref.tell(Letter(sender, number, act))
        except ActorDead:
            assert ref.incarnation().has_ended()
        else:
            book.sent[sender].append(number)

    def ask_ahead(self, sender: Sender, place: int, act: Act) -> None:
        ref, book, number = self.refs[place], self.book(place), next(self.numbers)
        future = ref.ask(Letter(sender, number, act), block=False)
        if ref.incarnation().has_ended() and future.is_set():  # type: ignore[attr-defined]
            book.in_doubt.add(number)
        book.asks[number] = future
        book.sent[sender].append(number)

    def ask(self, sender: Sender, place: int, act: Act) -> object:
        ref, book, number = self.refs[place], self.book(place), next(self.numbers)
        book.sent[sender].append(number)
        book.asks[number] = None
        try:
            return ref.ask(Letter(sender, number, act), timeout=None)
        except ActorDead:
            book.in_doubt.add(number)
            return "dead"
        except (AskCycle, Fenced) as refused:  # before it was sent
            if number not in [letter.number for letter in book.handled]:
                book.sent[sender].remove(number)
            if isinstance(refused, Fenced):
                raise
            return "cycle"
        except (DeliberateError, Rejected) as error:
            return f"error {error}"
        except NotAnswered:
            return "not answered"

    def pass_on(self, sender: Sender, place: int, asks: bool, act: Act) -> object:
        if asks:
            return self.ask(sender, place, act)
        self.send(sender, place, act)
        return None

    def end(self, place: int, how: str) -> None:
        ref, book = self.refs[place], self.book(place)
        if not ref.incarnation().has_ended():
            book.is_ordered_to_end = True
        match how:
            case "stop":
                book.may_end_with.append(Shutdown)
                ref.request_stop(Shutdown("ordered"))
            case "kill":
                book.may_end_with.append(Killed)
                ref.kill()
            case _:
                book.may_end_with.append(Unresponsive)
                ref.incarnation().abandon(Unresponsive(1.0))

    # The test's own steps

    def take(self, step: Step) -> None:
        self.dispatcher.begin_moment()
        match step:
            case Send(place, asks, act, times):
                for _ in range(times):
                    (self.ask_ahead if asks else self.send)("test", place, act)
            case Call(place, act):
                self.ask("test", place, act)
            case Suspend(place):
                self.hold(place, sleeps=True)
            case Resume(place):
                self.hold(place, sleeps=False)
            case Restart(place):
                if self.refs[place].incarnation().has_ended():
                    self.start(place)
            case End(place, how):
                self.order(place, how)
            case Rest():
                self.rest()

    def hold(self, place: int, *, sleeps: bool) -> None:
        calls = self.refs[place].sys
        # Before the call: it overtakes a `Sleep` in the mailbox, which then has the last word.
        self.book(place).sleeps = sleeps
        try:
            (calls.suspend if sleeps else calls.resume)()
        except ActorDead:
            assert self.refs[place].incarnation().has_ended()

    def order(self, place: int, how: str) -> None:
        """An end overtakes the mailbox: nothing that waits now is handled any more."""
        before = len(self.book(place).handled)
        self.end(place, how)
        self.rest()
        assert before == len(self.book(place).handled)
        assert self.book(place).exits

    def rest(self) -> None:
        self.dispatcher.run_until_idle()
        for path, book in self.books.items():
            ref = next(ref for ref in self.world.refs if ref.path == path)
            self.balance(ref, book)
        assert () == self.world.system.asks.in_flight()

    def balance(self, ref: ActorRef[Any], book: Book) -> None:
        ended = bool(book.exits)
        assert ended == book.is_ordered_to_end == ref.incarnation().has_ended()
        if ended:
            assert type(book.exits[0].reason) in book.may_end_with
        handled: dict[Sender, list[int]] = defaultdict(list)
        for letter in book.handled:
            handled[letter.sender].append(letter.number)
        assert handled.keys() <= book.sent.keys()
        unhandled: list[int] = []
        for sender, sent in book.sent.items():
            assert sent[: len(handled[sender])] == handled[sender], "out of order, doubled, or left out"
            unhandled += sent[len(handled[sender]) :]
        told = sum(number not in book.asks for number in unhandled)
        dead = sum(letter.path == ref.path for letter in self.world.events.of(DeadLetter))
        waiting = ref.incarnation().mailbox()
        if ended:
            assert (told, 0) == (dead, waiting)
        else:
            assert (0, len(unhandled)) == (dead, waiting)
            assert book.sleeps or not unhandled
        for number, future in book.asks.items():
            if future is None:
                continue
            may_wait = not ended and (number in unhandled or number in book.kept_numbers)
            assert future.is_set() or may_wait
            if future.is_set() and number in unhandled:
                with pytest.raises(ActorDead):
                    future.get(timeout=0)


places = st.sampled_from(PLACES)
ends = st.builds(End, places, st.sampled_from(["stop", "kill", "abandon"]))
plain_acts = st.sampled_from([Note(), Note(), Note(), Keep(), Refuse(), Crash(), Exit(), Sleep()])
acts: st.SearchStrategy[Act] = st.recursive(
    plain_acts | ends, lambda inner: st.builds(Pass, places, st.booleans(), inner), max_leaves=3
)
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Send, places, st.booleans(), acts),
    st.builds(Send, places, st.booleans(), acts),
    st.builds(Send, places, st.booleans(), st.just(Note()), st.sampled_from([2, MANY])),
    st.builds(Call, places, acts),
    st.builds(Suspend, places),
    st.builds(Resume, places),
    st.builds(Restart, places),
    ends,
    st.just(Rest()),
)


def in_thread(work: Callable[[], None]) -> None:
    """Run `work` on a thread that is not the main one, as most askers are; raise what it raised."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - thread boundary: raised again below
            raised.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    for error in raised:
        raise error


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=200)
@given(program=st.lists(steps, max_size=25), seed=st.integers(0, 2**16))
def test_the_books_balance_whatever_is_sent_ended_and_restarted_in_whatever_order(
    new_world: "type[World]", kind: str, program: list[Step], seed: int
) -> None:
    play = Play(new_world, KINDS[kind], seed)

    def perform() -> None:
        with play.dispatcher.while_waiting():
            for step in [*program, Rest()]:
                play.take(step)
            for place in PLACES:
                play.order(place, "kill") if not play.book(place).exits else play.rest()

    in_thread(perform)
