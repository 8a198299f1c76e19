"""A consistent cut of running actors: no message in two places, none in neither, and everybody goes on."""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from treewarden.actors import (
    DEDICATED,
    Actor,
    ActorDead,
    ActorRef,
    Address,
    ChildSpec,
    Intensity,
    MailboxBound,
    Overflow,
    Reply,
    Shutdown,
)
from treewarden.actors._clock import SystemClock
from treewarden.actors._cut import Cut, CutFailed, take_cut
from treewarden.actors._incarnation import Incarnation
from treewarden.supervision_trees import DynamicSupervisor, Runtime, SupervisorHandle

Start = Callable[..., Runtime]
ACCOUNTS = 40
OPENING = 1_000


@dataclass(frozen=True, slots=True)
class Pay:
    """Send `amount` on to another account."""

    amount: int
    to: str


@dataclass(frozen=True, slots=True)
class Deposit:
    amount: int


@dataclass(frozen=True, slots=True)
class Collect:
    """Ask another account for `amount`, and take it in."""

    amount: int
    of: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    amount: int


@dataclass(frozen=True, slots=True)
class Enter:
    """Say that the handler has begun, and wait until it may go on."""

    inside: threading.Event
    go: threading.Event

    def wait(self) -> None:
        self.inside.set()
        assert self.go.wait(20)


class Account(Actor):
    def __init__(self) -> None:
        super().__init__()
        self.balance = OPENING

    def on_receive(self, message: object) -> Any:
        match message:
            case Deposit(amount):
                self.balance += amount
            case Withdraw(amount):
                self.balance -= amount
                return amount
            case Pay(amount, to):
                self.balance -= amount
                self.context.address(to).tell(Deposit(amount))
            case Collect(amount, of):
                got = self.context.address(of).ask(Withdraw(amount))
                self.balance += got
            case _:
                pass
        return None


class DedicatedAccount(Account):
    dispatcher = DEDICATED


def money(incarnation: Incarnation) -> int:
    """What the account has, and what is on its way to it."""
    actor = incarnation.actor
    assert isinstance(actor, Account)
    return actor.balance + sum(each.amount for each in incarnation.waiting() if isinstance(each, Deposit))


def accounts_only(incarnation: Incarnation) -> object:
    return money(incarnation) if isinstance(incarnation.actor, Account) else None


def cut_of(runtime: Runtime, capture: Callable[[Incarnation], object] = accounts_only, *, within: float = 10.0) -> Cut:
    return take_cut(lambda: runtime._registry.below(runtime._root.path), capture, clock=SystemClock(), within=within)


def sums(cut: Cut) -> int:
    return sum(each.content for each in cut.actors if each.content is not None)


@pytest.fixture
def bank(start: Start) -> Runtime:
    kinds = [DedicatedAccount if number % 10 == 0 else Account for number in range(ACCOUNTS)]
    return start(*(ChildSpec.of(kind, id=f"a{number}") for number, kind in enumerate(kinds)))


@pytest.fixture
def traffic(bank: Runtime) -> Iterator[Callable[[], int]]:
    """Transfers without end between the accounts; how many were sent so far."""
    over, sent = threading.Event(), [0, 0]

    def transfer(seed: int) -> None:
        chance = random.Random(seed)
        while not over.is_set():
            # Collecting goes upwards only: two that ask each other at once would be refused as a cycle.
            low, high = sorted(chance.sample(range(ACCOUNTS), 2))
            payer, payee = chance.sample(range(ACCOUNTS), 2)
            bank.address(f"/dev/a{payer}").tell(Pay(chance.randrange(50), f"/dev/a{payee}"))
            if chance.random() < 0.2:
                bank.address(f"/dev/a{low}").tell(Collect(chance.randrange(50), f"/dev/a{high}"))
            sent[seed] += 1
            if sent[seed] % 50 == 0:  # so that the mailboxes do not grow without end
                bank.address(f"/dev/a{low}").ask(Deposit(0), timeout=20.0)

    senders = [threading.Thread(target=transfer, args=(seed,)) for seed in range(2)]
    for sender in senders:
        sender.start()
    yield lambda: sum(sent)
    over.set()
    for sender in senders:
        sender.join()


def test_the_money_of_a_bank_is_the_same_in_every_cut_taken_while_it_is_moved(
    bank: Runtime, traffic: Callable[[], int]
) -> None:
    found: list[int] = []
    for _ in range(40):
        before = traffic()
        cut = cut_of(bank)
        found.append(sums(cut))
        assert len([each for each in cut.actors if each.content is not None]) == ACCOUNTS
        while traffic() < before + 20:  # everybody goes on
            pass

    assert [ACCOUNTS * OPENING] * 40 == found


def test_the_test_of_the_bank_can_fail(bank: Runtime, traffic: Callable[[], int]) -> None:
    """The same sum, looked at without a hold."""
    refs = [ref for ref in bank._registry.below(bank._root.path) if issubclass(ref.actor_class, Account)]

    assert any(sum(money(ref.incarnation()) for ref in refs) != ACCOUNTS * OPENING for _ in range(50_000))


def test_a_cut_is_in_the_order_of_paths_and_names_each_incarnation(bank: Runtime) -> None:
    cut = cut_of(bank)

    paths = [each.path for each in cut.actors]
    assert sorted(paths) == paths
    assert {"/dev", "/dev/a0", "/dev/a39"} <= set(paths)
    assert {each.generation for each in cut.actors} == {1}
    assert cut.paused > 0


class Gate(Actor):
    """Waits in a handler until it is let go."""

    def __init__(self, inside: threading.Event, go: threading.Event) -> None:
        super().__init__()
        self.inside, self.go = inside, go

    def on_receive(self, message: object) -> str:
        self.inside.set()
        assert self.go.wait(20)
        return "through"


@pytest.fixture
def gate() -> Iterator[tuple[threading.Event, threading.Event]]:
    inside, go = threading.Event(), threading.Event()
    yield inside, go
    go.set()


def test_one_that_comes_to_no_boundary_fails_the_cut_by_name_and_everybody_goes_on(
    start: Start, gate: tuple[threading.Event, threading.Event]
) -> None:
    inside, go = gate
    runtime = start(ChildSpec.of(Gate, inside, go, id="gate"), ChildSpec.of(Account, id="other"))
    runtime.address("/dev/gate").tell("enter")
    assert inside.wait(20)

    with pytest.raises(CutFailed, match=r"/dev/gate \(str in hand\)") as caught:
        cut_of(runtime, within=0.05)

    assert caught.value.paths == ("/dev/gate",)
    assert runtime.address("/dev/other").ask(Withdraw(1)) == 1
    go.set()
    assert runtime.address("/dev/gate").ask("again") == "through"
    assert len(cut_of(runtime).actors) == 3


class Failing(Account):
    pass


def fail_on_failing(incarnation: Incarnation) -> object:
    failing = isinstance(incarnation.actor, Failing)
    if failing:
        raise ValueError("its snapshot() failed")
    return None


@pytest.mark.parametrize("kind", [Failing, type("DedicatedFailing", (Failing,), {"dispatcher": DEDICATED})])
def test_an_actor_whose_capture_raises_fails_the_cut_by_name_and_lives_on(start: Start, kind: type[Actor]) -> None:
    runtime = start(ChildSpec.of(Account, id="good"), ChildSpec.of(kind, id="bad"))

    with pytest.raises(CutFailed, match=r"/dev/bad: .*its snapshot\(\) failed"):
        cut_of(runtime, fail_on_failing)

    assert [runtime.address(f"/dev/{name}").ask(Withdraw(1)) for name in ("good", "bad")] == [1, 1]
    assert len(cut_of(runtime).actors) == 3


def test_an_actor_with_a_thread_of_its_own_is_captured_on_it(start: Start) -> None:
    runtime = start(ChildSpec.of(DedicatedAccount, id="own"), ChildSpec.of(Account, id="shared"))

    cut = cut_of(runtime, lambda _: threading.current_thread().name)

    on = {str(each.path): each.content for each in cut.actors}
    assert on["/dev/own"] == "treewarden/dev/own"
    assert on["/dev/shared"] == threading.current_thread().name


class Boss(Actor):
    """Has a child started in the middle of a message."""

    def on_receive(self, message: object) -> str:
        pool: Address = self.context.address("/dev/pool")
        assert isinstance(message, Enter)
        message.wait()
        SupervisorHandle(pool).start_child(ChildSpec.of(Account, id="new"))
        return "started"


def test_a_child_that_is_started_by_an_actor_in_the_middle_of_a_message_is_in_the_cut(
    start: Start, gate: tuple[threading.Event, threading.Event]
) -> None:
    inside, go = gate
    runtime = start(
        ChildSpec.of(DynamicSupervisor, id="pool"), ChildSpec.of(Boss, id="boss"), ChildSpec.of(Account, id="a")
    )
    runtime.address("/dev/boss").tell(Enter(inside, go))
    assert inside.wait(20)
    pool = runtime.whereis("/dev/pool")
    assert pool is not None
    let_go = threading.Thread(target=let_go_once_held, args=(pool, go))
    let_go.start()

    cut = cut_of(runtime)
    let_go.join()

    assert "/dev/pool/new" in [each.path for each in cut.actors]


def let_go_once_held(ref: ActorRef[Any], go: threading.Event) -> None:
    wait_for_hold(ref)
    go.set()


def wait_for_hold(ref: ActorRef[Any]) -> None:
    while ref.incarnation().hold is None:
        pass


class Sender(Actor):
    """Sends to a full mailbox that has it wait."""

    def on_receive(self, message: object) -> str:
        assert isinstance(message, Enter)
        message.wait()
        for _ in range(10):
            self.context.address("/dev/narrow").tell(Deposit(1))
        return "sent"


class Narrow(Account):
    mailbox = MailboxBound(1, Overflow.BLOCK, within=20.0)


def test_a_full_mailbox_that_keeps_an_actor_waiting_is_emptied_for_the_cut(
    start: Start, gate: tuple[threading.Event, threading.Event]
) -> None:
    inside, go = gate
    runtime = start(ChildSpec.of(Narrow, id="narrow"), ChildSpec.of(Sender, id="sender"))
    runtime.address("/dev/sender").tell(Enter(inside, go))
    assert inside.wait(20)
    narrow = runtime.whereis("/dev/narrow")
    assert narrow is not None
    let_go = threading.Thread(target=let_go_once_held, args=(narrow, go))
    let_go.start()

    cut = cut_of(runtime)
    let_go.join()

    assert [each.content for each in cut.actors if each.path == "/dev/narrow"] == [OPENING + 10]


class Asker(Actor):
    """Asks its neighbour in the middle of a message, and that one the next."""

    def __init__(self, following: str | None) -> None:
        super().__init__()
        self.following, self.seen = following, 0

    def on_receive(self, message: object) -> int:
        self.seen += 1
        if isinstance(message, Enter):
            message.wait()
        if self.following is None:
            return 1
        behind: int = self.context.address(self.following).ask("on", timeout=20.0)
        return 1 + behind


def test_a_chain_of_asks_that_is_under_way_is_answered_before_the_cut(
    start: Start, gate: tuple[threading.Event, threading.Event]
) -> None:
    inside, go = gate
    chain = [ChildSpec.of(Asker, f"/dev/c{n + 1}" if n < 4 else None, id=f"c{n}") for n in range(5)]
    runtime = start(*chain)
    runtime.address("/dev/c4").tell("before")  # what was sent before comes first
    answers: list[object] = []
    asking = threading.Thread(
        target=lambda: answers.append(runtime.address("/dev/c0").ask(Enter(inside, go), timeout=20.0))
    )
    asking.start()
    assert inside.wait(20)
    last = runtime.whereis("/dev/c4")
    assert last is not None
    let_go = threading.Thread(target=let_go_once_held, args=(last, go))
    let_go.start()

    cut = cut_of(runtime, lambda it: it.actor.seen if isinstance(it.actor, Asker) else None)
    let_go.join()

    asking.join()
    assert answers == [5]
    assert [each.content for each in cut.actors if each.content is not None] == [1, 1, 1, 1, 2]


class Later(Actor):
    """Answers once another one has told it to."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Reply[Any] | None = None

    def on_receive(self, message: object) -> None:
        if message == "now":
            assert self.answer is not None
            self.answer.set("at last")
        else:
            self.answer = self.context.take_reply()
            self.context.address("/dev/helper").tell("help")


class Helper(Actor):
    def on_receive(self, message: object) -> None:
        assert message == "help"
        self.context.address("/dev/later").tell("now")


class Asking(Actor):
    def on_receive(self, message: object) -> str:
        assert isinstance(message, Enter)
        message.wait()
        answer: str = self.context.address("/dev/later").ask("please", timeout=20.0)
        return answer


def test_an_answer_that_was_taken_for_later_is_brought_about_by_whoever_can(
    start: Start, gate: tuple[threading.Event, threading.Event]
) -> None:
    inside, go = gate
    runtime = start(*(ChildSpec.of(kind, id=kind.__name__.lower()) for kind in (Asking, Later, Helper)))
    asking, helper = runtime.whereis("/dev/asking"), runtime.whereis("/dev/helper")
    assert asking is not None
    assert helper is not None
    answer = asking.ask(Enter(inside, go), block=False)
    assert inside.wait(20)
    let_go = threading.Thread(target=let_go_once_held, args=(helper, go))
    let_go.start()

    cut_of(runtime)
    let_go.join()

    assert answer.get(timeout=20) == "at last"


def test_an_actor_of_the_cut_that_one_outside_of_it_asks_for_one_inside_answers(
    start: Start, gate: tuple[threading.Event, threading.Event]
) -> None:
    inside, go = gate
    runtime = start(
        ChildSpec.of(Asker, "/dev/outside", id="first"),
        ChildSpec.of(Asker, "/dev/last", id="outside"),
        ChildSpec.of(Asker, None, id="last"),
    )
    first, last = runtime.whereis("/dev/first"), runtime.whereis("/dev/last")
    assert first is not None
    assert last is not None
    answer = first.ask(Enter(inside, go), block=False)
    assert inside.wait(20)
    let_go = threading.Thread(target=let_go_once_held, args=(last, go))
    let_go.start()

    take_cut(lambda: (first, last), accounts_only, clock=SystemClock(), within=10.0)
    let_go.join()

    assert answer.get(timeout=20) == 3


def test_senders_from_outside_that_fill_a_mailbox_all_the_time_do_not_keep_a_cut_from_succeeding(
    start: Start, gate: tuple[threading.Event, threading.Event]
) -> None:
    inside, go = gate
    runtime = start(ChildSpec.of(Narrow, id="narrow"), ChildSpec.of(Sender, id="sender"))
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            runtime.address("/dev/narrow").tell(Deposit(1))

    runtime.address("/dev/sender").tell(Enter(inside, go))
    assert inside.wait(20)
    narrow = runtime.whereis("/dev/narrow")
    assert narrow is not None
    threads = [threading.Thread(target=send) for _ in range(4)]
    threads.append(threading.Thread(target=let_go_once_held, args=(narrow, go)))
    for thread in threads:
        thread.start()
    try:
        cut_of(runtime)
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_an_actor_cannot_take_a_cut_that_it_is_a_part_of(start: Start) -> None:
    box: list[Any] = []

    class Taker(Actor):
        def on_receive(self, message: object) -> str:
            try:
                cut_of(box[0])
            except CutFailed as failed:
                return str(failed)
            return "taken"

    runtime = start(ChildSpec.of(Taker, id="taker"))
    box.append(runtime)

    assert "/dev/taker asks for it in a handler of its own" in runtime.address("/dev/taker").ask("take")


def test_a_stop_that_is_ordered_while_a_cut_waits_is_obeyed(
    start: Start, gate: tuple[threading.Event, threading.Event]
) -> None:
    inside, go = gate
    runtime = start(ChildSpec.of(Gate, inside, go, id="gate"), ChildSpec.of(Account, id="other"))
    runtime.address("/dev/gate").tell("enter")
    assert inside.wait(20)
    other = runtime.whereis("/dev/other")
    assert other is not None

    def stop_and_let_go() -> None:
        wait_for_hold(other)
        other.request_stop(Shutdown("on demand"))
        other.wait_stopped(timeout=20.0)
        go.set()

    stopping = threading.Thread(target=stop_and_let_go)
    stopping.start()
    cut = cut_of(runtime)
    stopping.join()

    assert not other.is_alive()
    assert {"/dev", "/dev/gate"} <= {each.path for each in cut.actors}


def test_cuts_of_a_tree_whose_actors_crash_and_restart_all_the_time_leave_nobody_held(
    start: Start, wait_until: Callable[..., None]
) -> None:
    class Fragile(Account):
        def on_receive(self, message: object) -> Any:
            if message == "crash":
                raise RuntimeError("on demand")
            return super().on_receive(message)

    runtime = start(*(ChildSpec.of(Fragile, id=f"a{n}") for n in range(8)), intensity=Intensity(1_000_000, within=1.0))
    over = threading.Event()

    def crash() -> None:
        chance = random.Random(7)
        while not over.is_set():
            ref = runtime.whereis(f"/dev/a{chance.randrange(8)}")
            if ref is not None and ref.is_alive():
                with contextlib.suppress(ActorDead):  # in between
                    ref.tell("crash")

    crashing = threading.Thread(target=crash)
    crashing.start()
    try:
        for _ in range(30):
            assert "/dev" in [each.path for each in cut_of(runtime).actors]
    finally:
        over.set()
        crashing.join()

    def answers(number: int) -> bool:
        with contextlib.suppress(ActorDead):  # of the last crash, which may wait still
            return bool(runtime.address(f"/dev/a{number}").ask(Withdraw(0), timeout=20.0) == 0)
        return False

    for number in range(8):
        wait_until(partial(answers, number))
    assert all(ref.incarnation().hold is None for ref in runtime._registry.below(runtime._root.path))
