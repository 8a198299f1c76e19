"""Ten million messages of eight senders to actors that are ended and restarted all the while; nothing may go wrong.

Each sender numbers what it sends to an incarnation and waits, by an ask, after every few hundred
messages: so memory stays small and every ask races whatever happens. The actors compare what comes
with what is due; at the end what each incarnation was given must be what it handled, from the
beginning and without a gap, and dead letters.

Bounded: an ask, a successor and the last message are waited for `PATIENCE` seconds each. Progress goes to stderr.
"""

import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, final

import pykka
from measure import Effort, Row, Target
from progress import say

from treewarden.actors import Actor, ActorDead, ActorRef, ChildSpec, DeadLetter, ExitReason, Intensity, Unresponsive
from treewarden.supervision_trees import RecordedEvent, Runtime, Supervisor

PATIENCE: Final = 60.0  # seconds
MESSAGES_A_SAMPLE: Final = 50_000  # so that a full run has ten million
SENDERS: Final = 8
SENDER_BITS: Final = 3
CRASH: Final = 1 << SENDER_BITS  # this bit has the handler raise
WINDOW: Final = 256  # messages between two asks, at most
CRASH_EVERY: Final = 20_000
STRIKE_EVERY: Final = 10_000  # messages handled between two ends from outside
REPORTS: Final = 4  # lines of progress for each round
FAULTS: Final = ("lost", "doubled", "out of order", "overlaps", "unresolved asks")


def measure(effort: Effort) -> list[Row]:
    """A runtime for each round, in each 50,000 messages for each sample."""
    found: dict[str, list[float]] = defaultdict(list)
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        for number in range(effort.rounds):
            result = _Run(number, MESSAGES_A_SAMPLE * effort.samples).result()
            say(f"stress: round {number + 1} of {effort.rounds}: {result}")
            for name, value in result.items():
                found[name].append(value)
    finally:
        sys.setswitchinterval(switching)
    none = Target("max", at_most=0)
    return [
        *(Row(f"stress: {name}", "faults", found[name], must=none) for name in FAULTS),
        Row("stress: messages handled", "/s", found["messages/s"]),
        Row("stress: actors that lived", "actors", found["incarnations"]),
    ]


class DeliberateError(Exception):
    """A crash that a sender asked for."""


@final
class _Life:
    """What one incarnation has seen of each sender."""

    def __init__(self) -> None:
        self.first = [-1] * SENDERS
        self.due = [-1] * SENDERS
        self.handled = [0] * SENDERS
        self.overlaps = self.repeated = self.skipped = 0


class _Checked(Actor):
    """Compares what comes with what is due."""

    def __init__(self, lives: dict[int, _Life]) -> None:
        super().__init__()
        self.life = lives[self.context.generation] = _Life()
        self.inside = False

    def on_receive(self, message: int) -> int:
        life = self.life
        if self.inside:
            life.overlaps += 1
        self.inside = True
        sender, number = message & (SENDERS - 1), message >> (SENDER_BITS + 1)
        due = life.due[sender]
        if number != due:
            if due < 0:
                life.first[sender] = number
            elif number < due:
                life.repeated += 1
            else:
                life.skipped += 1
        life.due[sender] = number + 1
        life.handled[sender] += 1
        self.inside = False
        if message & CRASH:
            raise DeliberateError
        return message

    def on_stop(self, reason: ExitReason | None = None) -> None:
        self.life.overlaps += self.inside


class _CheckedInline(_Checked):
    """One that its askers may run."""

    inline_asks = True


@final
class _Sender:
    """Sends to one place, whoever lives there, and counts what was taken by whom."""

    def __init__(self, run: "_Run", sender: int, messages: int) -> None:
        self.run, self.sender, self.messages = run, sender, messages
        self.place = "/bench/" + ("plain", "inline")[sender % 2]
        self.dice = random.Random(sender)
        self.first: dict[int, int] = {}  # by generation
        self.taken: dict[int, int] = defaultdict(int)  # by generation: told, or asked and answered
        self.in_doubt: dict[int, int] = defaultdict(int)  # by generation: asks that met the end, one at most
        self.unresolved = 0
        self.number = 0

    def send(self) -> None:
        """Send all; end early if an ask is not answered."""
        ended = 0
        while self.number < self.messages and not self.unresolved:
            ref = self.run.find(self.place, after=ended)
            ended = ref.generation
            try:
                self._send_to(ref)
            except ActorDead:
                continue

    def _send_to(self, ref: ActorRef[Any]) -> None:
        """Send to one incarnation until it is dead (`ActorDead`) or all is sent."""
        generation, taken = ref.generation, self.taken
        self.first.setdefault(generation, self.number)
        while self.number < self.messages:
            try:
                for _ in range(self.dice.randrange(WINDOW)):
                    ref.tell(self.number << (SENDER_BITS + 1) | self.sender)
                    taken[generation] += 1
                    self.number += 1
            except ActorDead:
                self.number += 1
                raise
            self._ask(ref)

    def _ask(self, ref: ActorRef[Any]) -> None:
        message = self.number << (SENDER_BITS + 1) | self.sender
        if self.dice.random() < WINDOW / CRASH_EVERY:
            message |= CRASH
        self.number += 1
        try:
            if ref.ask(message, timeout=PATIENCE) != message:
                raise AssertionError(f"{ref} answered another's ask")
            self.taken[ref.generation] += 1
        except DeliberateError:
            self.taken[ref.generation] += 1
        except ActorDead:
            self.in_doubt[ref.generation] = 1
            raise
        except pykka.Timeout:
            self.in_doubt[ref.generation] = 1
            self.unresolved += 1
            raise ActorDead("gave up on it") from None


@final
class _Run:
    """One runtime, and what was found in it."""

    def __init__(self, seed: int, messages: int) -> None:
        self._messages, self._dice = messages, random.Random(seed)
        self._lives: dict[str, dict[int, _Life]] = {"/bench/plain": {}, "/bench/inline": {}}
        self._dead = self._missed = self._last_event = 0
        self._senders = [_Sender(self, sender, messages // SENDERS) for sender in range(SENDERS)]
        children = [
            ChildSpec.of(_Checked, self._lives["/bench/plain"], id="plain"),
            ChildSpec.of(_CheckedInline, self._lives["/bench/inline"], id="inline"),
        ]
        tree = ChildSpec.of(Supervisor, children=children, intensity=Intensity(1_000_000, within=0.05), id="bench")
        with Runtime.start(tree, events=self._note) as self._runtime:
            self._supervisor = self._runtime.supervisor("/bench")
            self._seconds = self._send_all()
            _wait(lambda: self._unaccounted() <= 0)

    def find(self, place: str, *, after: int = 0) -> ActorRef[Any]:
        """Who lives at `place`, if that is one `after` this generation; waits for it otherwise."""
        found: list[ActorRef[Any]] = []

        def is_there() -> bool:
            ref = self._runtime.whereis(place)
            if ref is None or not ref.is_alive() or ref.generation <= after:
                return False
            found.append(ref)
            return True

        if not _wait(is_there):
            raise TimeoutError(f"nobody lives at {place} after {PATIENCE:g} s")
        return found[0]

    def result(self) -> dict[str, float]:
        """The faults found, and the pace."""
        if self._missed:
            raise RuntimeError(f"{self._missed} events were missed, so dead letters cannot be counted")
        lives = [life for place in self._lives.values() for life in place.values()]
        astray = sum(self._astray(sender) for sender in self._senders)
        unaccounted = self._unaccounted()
        return {
            "lost": max(unaccounted, 0),
            "doubled": max(-unaccounted, 0) + sum(life.repeated for life in lives),
            "out of order": astray + sum(life.skipped for life in lives),
            "overlaps": sum(life.overlaps for life in lives),
            "unresolved asks": sum(sender.unresolved for sender in self._senders),
            "messages/s": round(self._handled() / self._seconds),
            "incarnations": len(lives),
        }

    def _astray(self, sender: _Sender) -> int:
        """How many incarnations did not begin with what `sender` sent them first, or handled more than it sent."""
        found = 0
        for generation, life in self._lives[sender.place].items():
            handled = life.handled[sender.sender]
            sent = sender.taken[generation] + sender.in_doubt[generation]
            found += handled > sent or (handled > 0 and life.first[sender.sender] != sender.first[generation])
        return found

    def _unaccounted(self) -> int:
        """Messages that were taken and neither handled nor a dead letter; below 0 if there are too many of these."""
        taken = in_doubt = 0
        for sender in self._senders:
            for generation, count in sender.taken.items():
                life, doubt = self._lives[sender.place].get(generation), sender.in_doubt[generation]
                handled = 0 if life is None else life.handled[sender.sender]
                taken += count
                # What met the end may have been handled, and then it was the last.
                in_doubt += doubt and handled > count
        return taken + in_doubt - self._handled() - self._dead

    def _handled(self) -> int:
        return sum(sum(life.handled) for place in self._lives.values() for life in list(place.values()))

    def _send_all(self) -> float:
        begun = time.perf_counter()
        with ThreadPoolExecutor(SENDERS) as pool:
            sending = [pool.submit(sender.send) for sender in self._senders]
            self._strike_until(lambda: all(future.done() for future in sending))
        for future in sending:
            future.result()
        return time.perf_counter() - begun

    def _strike_until(self, is_done: Callable[[], bool]) -> None:
        """End somebody after every few thousand messages."""
        next_strike, next_report = STRIKE_EVERY, self._messages // REPORTS
        while not is_done():
            sent = self._sent()
            if sent >= next_report:
                sys.stderr.write(f"stress: {sent:,} of {self._messages:,} messages sent\n")
                next_report += self._messages // REPORTS
            if sent >= next_strike:
                self._strike()
                next_strike = self._sent() + STRIKE_EVERY
            time.sleep(0.001)

    def _sent(self) -> int:
        return sum(sender.number for sender in self._senders)

    def _strike(self) -> None:
        place = self._dice.choice([*self._lives])
        ref = self.find(place)
        match self._dice.randrange(4):
            case 0:
                ref.kill()
            case 1:
                ref.request_stop()
            case 2:
                ref.incarnation().abandon(Unresponsive(1.0))
            case _:
                self._supervisor.terminate_child(place.rpartition("/")[2], timeout=PATIENCE)
                self._supervisor.restart_child(place.rpartition("/")[2], timeout=PATIENCE)
        ref.wait_stopped(timeout=PATIENCE)

    def _note(self, recorded: RecordedEvent) -> None:
        if self._last_event:
            self._missed += recorded.sequence - self._last_event - 1
        self._last_event = recorded.sequence
        self._dead += isinstance(recorded.event, DeadLetter)


def _wait(condition: Callable[[], bool]) -> bool:
    """Poll `condition` for up to `PATIENCE` seconds; whether it holds."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.0005)
    return True
