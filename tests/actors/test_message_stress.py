"""Eight senders against an actor that is ended and restarted all the while: every message is accounted for.

What is counted is public: what `tell` took, what the handler saw, the dead letters. So the sums hold
whatever a mailbox is made of. The interpreter switches threads as often as it can meanwhile.
"""

import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, final

import pytest

from treewarden.actors import (
    DEDICATED,
    Actor,
    ActorDead,
    ActorPath,
    ActorRef,
    Address,
    ChildSpec,
    DeadLetter,
    ExitReason,
    Intensity,
    Unresponsive,
)
from treewarden.supervision_trees import Supervisor, SupervisorHandle

from .conftest import in_threads

if TYPE_CHECKING:
    from .conftest import Threads

Wait = Callable[[Callable[[], bool], str], None]

PATIENCE: Final = 30.0  # seconds; reached only by a test that fails
SENDERS: Final = 8
ROUNDS: Final = 100
BURST: Final = 160  # messages a sender sends in a round, at most
EACH: Final = 250  # messages between two blows
MESSAGES_HEARD: Final = 2_000  # from each sender that waits for each
MESSAGES_KEPT: Final = 5_000  # from each sender to one that is suspended
TOP: Final = ActorPath("/top")
PLACE: Final = ActorPath("/top/counted")


class Sent:
    """The `number`-th message of one sender. Each sender has a class of its own: a dead letter shows no more."""

    __slots__ = ("crashes", "number")
    sender = -1

    def __init__(self, number: int, *, crashes: bool = False) -> None:
        self.number, self.crashes = number, crashes


SENT: Final = tuple(type(f"SentBy{number}", (Sent,), {"__slots__": (), "sender": number}) for number in range(SENDERS))


class DeliberateError(Exception):
    """A crash that a sender asked for."""


@final
class Ledger:
    """What the incarnations of one actor have seen."""

    def __init__(self) -> None:
        self.lives: dict[int, list[Sent]] = {}  # by generation, in order
        self.overlaps: list[str] = []
        self.blows = threading.Semaphore(0)  # one for every `EACH` messages
        self.heard = tuple(threading.Semaphore(0) for _ in range(SENDERS))  # one for each message to an `Echo`

    def begin(self, generation: int) -> list[Sent]:
        assert generation not in self.lives
        self.lives[generation] = []
        return self.lives[generation]

    def by_generation(self) -> list[tuple[int, list[Sent]]]:
        return list(self.lives.items())  # a copy: the last successor may be about to begin

    def handled(self) -> int:
        return sum(len(got) for _, got in self.by_generation())


class Counted(Actor):
    """Enters what it handles in the ledger; a second thread inside would show itself."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger
        self.got = ledger.begin(self.context.generation)
        self.inside, self.turns = False, 0

    def on_receive(self, message: Sent) -> tuple[int, int]:
        self._enter("on_receive")
        before = self.turns
        self.got.append(message)
        if message.number % 16 == 0:
            time.sleep(0)  # no wait: it offers the interpreter to whoever would come in as well
        self.turns = before + 1
        if self.turns != len(self.got):
            self.ledger.overlaps.append(f"{self.turns} turns made {len(self.got)} entries")
        if self.turns % EACH == 0:
            self.ledger.blows.release()
        self.inside = False
        if message.crashes:
            raise DeliberateError
        return message.sender, message.number

    def on_stop(self, reason: ExitReason | None = None) -> None:
        self._enter("on_stop")
        self.inside = False

    def on_kill(self) -> None:
        self._enter("on_kill")
        self.inside = False

    def _enter(self, where: str) -> None:
        if self.inside:
            self.ledger.overlaps.append(f"{where} of generation {self.context.generation}")
        self.inside = True


class Inline(Counted):
    """An asker's own thread may run it while it is idle."""

    inline_asks = True


class Dedicated(Counted):
    """A thread of its own runs it."""

    dispatcher = DEDICATED


KINDS: Final[dict[str, type[Counted]]] = {"plain": Counted, "inline": Inline, "dedicated": Dedicated}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> type[Counted]:
    return KINDS[request.param]


@pytest.fixture(autouse=True)
def restless() -> Iterator[None]:
    """Let threads take turns far more often than they would."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Tree:
    """A real supervisor over one counted actor, in a world whose events are all kept."""

    def __init__(self, threads: "Threads", kind: type[Counted], wait_for: Wait) -> None:
        self.threads, self.wait_for, self.ledger = threads, wait_for, Ledger()
        child = ChildSpec.of(kind, self.ledger, id="counted")
        top = threads.spawn(
            Supervisor, children=[child], intensity=Intensity(1_000_000, within=0.05), path=TOP, notify=lambda _: None
        )
        threads.directory.register(TOP, top)
        self.address = Address(PLACE, threads.system)
        self.handle = SupervisorHandle(Address(TOP, threads.system))
        self.current()

    def current(self, *, after: int = 0) -> ActorRef[Any]:
        """The incarnation that lives now, if its generation is `after` this one; wait for it otherwise."""
        found: list[ActorRef[Any]] = []

        def is_there() -> bool:
            ref = self.address.resolve()
            if ref is None or not ref.is_alive() or ref.generation <= after:
                return False
            found.append(ref)
            return True

        self.wait_for(is_there, "somebody lives there")
        return found[-1]

    def dead_letters(self) -> Counter[str]:
        return Counter(letter.message for letter in self.threads.events.of(DeadLetter))

    def strike(self, dice: random.Random) -> None:
        """End whoever lives there, in one of the ways there are, and see a successor start."""
        ref = self.current()
        match dice.randrange(4):
            case 0:
                ref.kill()
            case 1:
                ref.request_stop()
            case 2:
                ref.incarnation().abandon(Unresponsive(1.0))
            case _:
                self.handle.terminate_child("counted", timeout=PATIENCE)
                self.handle.restart_child("counted", timeout=PATIENCE)
        ref.wait_stopped(timeout=PATIENCE)


@final
class Sender:
    """Sends numbered messages to whoever lives there, and notes what was taken by whom."""

    def __init__(self, tree: Tree, sender: int) -> None:
        self.tree, self.sender = tree, sender
        self.dice = random.Random(sender)
        self.number = 0
        self.taken: dict[int, list[int]] = defaultdict(list)  # by generation: what `tell` took, or was answered
        self.in_doubt: dict[int, int] = {}  # by generation: an ask that found the end, last of all
        self.crashed: set[tuple[int, int]] = set()  # generation and number of asks that heard of their crash
        self.told = 0

    def send_one(self, ref: ActorRef[Any]) -> bool:
        """Send the next message; False if `ref` has ended."""
        message = SENT[self.sender](self.number, crashes=self.dice.random() < 0.001)
        self.number += 1
        if self.dice.random() < 0.9:
            try:
                ref.tell(message)
            except ActorDead:
                return False
            self.told += 1
            self.taken[ref.generation].append(message.number)
            return True
        try:
            answer = ref.ask(message, timeout=PATIENCE)
        except ActorDead:
            self.in_doubt[ref.generation] = message.number
            return False
        except DeliberateError:
            self.crashed.add((ref.generation, message.number))
        else:
            assert (self.sender, message.number) == answer
        self.taken[ref.generation].append(message.number)
        return True

    def burst(self) -> None:
        """Send some, then stop."""
        ref = self.tree.current()
        for _ in range(self.dice.randrange(1, BURST)):
            if not self.send_one(ref):
                ref = self.tree.current(after=ref.generation)

    def check(self) -> int:
        """Compare with what was handled, in order; how many of what was told it was not."""
        lost = 0
        for generation, got in self.tree.ledger.by_generation():
            mine = [message.number for message in got if message.sender == self.sender]
            taken, doubt = self.taken[generation], self.in_doubt.get(generation)
            sent = taken if doubt is None else [*taken, doubt]
            # The beginning of what it sent, to the message: nothing doubled, nothing left out, nothing overtaken.
            assert sent[: len(mine)] == mine
            lost += len(sent) - len(mine) - (doubt is not None and doubt not in mine)
        return lost


def test_every_message_is_handled_once_in_order_or_a_dead_letter_whatever_ends_the_actor(
    threads: "Threads", kind: type[Counted], wait_for: Wait
) -> None:
    """Some 60,000 messages; after each round all is accounted for before anybody sends another."""
    tree = Tree(threads, kind, wait_for)
    senders = [Sender(tree, number) for number in range(SENDERS)]
    finished = threading.Event()

    def is_accounted_for() -> bool:
        dead = tree.dead_letters().total()
        ended_on = sum(len(sender.in_doubt) for sender in senders)
        answered = sum(sum(map(len, sender.taken.values())) for sender in senders)
        return answered <= tree.ledger.handled() + dead <= answered + ended_on

    def drain() -> None:
        wait_for(is_accounted_for, "everything that was sent is handled or a dead letter")

    rounds = threading.Barrier(SENDERS, action=drain)

    def send(sender: Sender) -> None:
        try:
            for _ in range(ROUNDS):
                sender.burst()
                rounds.wait()
        except BaseException:
            rounds.abort()
            raise

    def send_all() -> None:
        try:
            in_threads(*(lambda sender=sender: send(sender) for sender in senders))
        finally:
            finished.set()
            tree.ledger.blows.release()

    def reap() -> None:
        dice = random.Random(7)
        while tree.ledger.blows.acquire(timeout=PATIENCE) and not finished.is_set():
            tree.strike(dice)
        assert finished.is_set(), f"no {EACH} messages were handled within {PATIENCE} s"

    in_threads(send_all, reap)
    threads.settle()

    assert [] == tree.ledger.overlaps
    assert len(tree.ledger.lives) > 20, "hardly anybody was replaced"
    unhandled = {SENT[sender.sender].__name__: sender.check() for sender in senders}
    assert unhandled == {name: tree.dead_letters()[name] for name in unhandled}
    for sender in senders:
        assert sender.crashed <= {
            (generation, message.number)
            for generation, got in tree.ledger.by_generation()
            for message in got
            if message.sender == sender.sender and message.crashes
        }


class Echo(Counted):
    """Tells the sender of each message that it was handled."""

    def on_receive(self, message: Sent) -> tuple[int, int]:
        answer = super().on_receive(message)
        self.ledger.heard[message.sender].release()
        return answer


def test_a_message_that_meets_the_worker_on_its_way_out_is_not_left_lying(
    threads: "Threads", kind: type[Counted]
) -> None:
    """Each sender waits for each of its messages, so the actors are for ever going idle; nobody else would wake them."""
    ledgers = [Ledger() for _ in range(SENDERS // 2)]
    echo = type("Echo", (Echo, kind), {})
    refs = [threads.spawn(echo, ledger, path=f"/echo{place}") for place, ledger in enumerate(ledgers)]

    def converse(sender: int) -> None:
        dice, ref = random.Random(sender), refs[sender // 2]
        for number in range(MESSAGES_HEARD):
            if dice.random() < 0.8:
                ref.tell(SENT[sender](number))
            else:
                assert (sender, number) == ref.ask(SENT[sender](number), timeout=PATIENCE)
            heard = ledgers[sender // 2].heard[sender]
            assert heard.acquire(timeout=PATIENCE), f"message {number} of sender {sender} lies in the mailbox"

    in_threads(*(lambda sender=sender: converse(sender) for sender in range(SENDERS)))

    assert [[]] * len(ledgers) == [ledger.overlaps for ledger in ledgers]
    for place, ledger in enumerate(ledgers):
        for sender in (2 * place, 2 * place + 1):
            mine = [message.number for message in ledger.lives[1] if message.sender == sender]
            assert list(range(MESSAGES_HEARD)) == mine


def test_a_suspended_actor_keeps_what_it_was_sent_and_handles_it_in_order_when_it_goes_on(
    threads: "Threads", kind: type[Counted], wait_for: Wait
) -> None:
    """Suspended and resumed over and over while eight senders send; not one message is lost, doubled or overtaken."""
    ledger = Ledger()
    ref = threads.spawn(kind, ledger)
    finished = threading.Event()

    def send(sender: int) -> None:
        for number in range(MESSAGES_KEPT):
            ref.tell(SENT[sender](number))

    def send_all() -> None:
        try:
            in_threads(*(lambda sender=sender: send(sender) for sender in range(SENDERS)))
        finally:
            finished.set()

    def hold_up() -> None:
        while not finished.is_set():
            ref.sys.suspend(timeout=PATIENCE)
            before = ledger.handled()
            assert before == ref.sys.get_state(timeout=PATIENCE)["turns"]
            ref.sys.resume(timeout=PATIENCE)

    in_threads(send_all, hold_up)
    wait_for(lambda: ledger.handled() == SENDERS * MESSAGES_KEPT, "all is handled")

    assert [] == ledger.overlaps
    for sender in range(SENDERS):
        assert list(range(MESSAGES_KEPT)) == [each.number for each in ledger.lives[1] if each.sender == sender]
