"""The real supervisor against a reference that is slow, plain and written apart from it.

Hypothesis plays children, callers and clock under all three strategies; the `Supervisor` actor runs
on a clock and a dispatcher that move only when told to. Whenever everything has come to rest the two
must agree: states, timers, restarts charged, answers, order of starts and stops, the end. What must
hold whatever the reference says stands in invariants of its own, over what the children and the
event sink saw.

The reference follows OTP's rules and the deviations that `_restarts` documents. Of a supervisor it
knows a list of slots and an inbox, nothing else, and looks for what to do next by going through them.
"""

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from treewarden.actors import (
    BRUTAL_KILL,
    INFINITY,
    Actor,
    ActorDead,
    ActorRef,
    Backoff,
    BrutalKill,
    ChildId,
    ChildRestarting,
    ChildSpec,
    Crashed,
    ExitReason,
    Ignore,
    Intensity,
    Killed,
    Normal,
    Restart,
    Shutdown,
    Started,
)
from treewarden.supervision_trees import AutoShutdown, Strategy, SupervisorSettings
from treewarden.supervision_trees._effects import (
    Call,
    Change,
    DeleteChild,
    RestartChild,
    RetireChild,
    StartChild,
    TerminateChild,
)

if TYPE_CHECKING:
    from .conftest import Tree

NAMES: Final = tuple(ChildId(name) for name in "abcde")
STEPS_IN_CI: Final = 10_000
OPERATOR: Final = Shutdown("operator")
BOOT_FAILED: Final = Crashed(RuntimeError("a child did not start"))
OF_THE_END: Final = "its supervisor stops"
OF_A_GROUP: Final = "a sibling is restarted"

# What an order to stop meets, and how a child ends by itself.
STOPS = ("obey", "obey", "ignore", "crash")
ENDS: dict[str, ExitReason] = {
    "exit": Normal(),
    "leave": Shutdown("done"),
    "crash": Crashed(RuntimeError("as told")),
    "kill": Killed(),
}

# A slot is in one of these. `GROUPED` waits for the start of its group, `PENDING` for the end of the boot.
UNBOOTED, REST, STARTING, UP, DELAYED, GROUPED, PENDING, STOPPING = (
    "unbooted", "rest", "starting", "up", "delayed", "grouped", "pending", "stopping",
)  # fmt: skip
ALIVE = (STARTING, UP, STOPPING)


# What the children do


@dataclass
class Script:
    """What each child will do; the reference and the real children have one each."""

    starts: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    stops: dict[str, str] = field(default_factory=dict[str, str])

    def next_start(self, name: str) -> str:
        left = self.starts.get(name)
        return left.pop(0) if left else "run"

    def at_stop(self, name: str) -> str:
        return self.stops.get(name, "obey")


@dataclass
class Stage:
    """Where the real children play: who is alive, and what they saw, as they tell it themselves."""

    round: Callable[[], int] = field(repr=False)  # how many restarts have been charged
    script: Script = field(default_factory=Script, repr=False)
    alive: dict[str, list["Player"]] = field(default_factory=dict[str, list["Player"]], repr=False)
    log: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]], repr=False)  # verb, child, why
    rounds: list[int] = field(default_factory=list[int], repr=False)  # the round of each entry
    wrong: list[str] = field(default_factory=list[str], repr=False)
    generations: dict[str, int] = field(default_factory=dict[str, int], repr=False)

    def enter(self, player: "Player") -> None:
        name, generation = player.name, player.context.generation
        for other in self.alive.get(name, ()):
            if not other.context.incarnation().is_fenced():
                self.wrong.append(f"{name}: {generation} started beside {other.context.generation}")
        if generation <= self.generations.get(name, 0):
            self.wrong.append(f"{name}: {generation} after {self.generations[name]}")
        self.generations[name] = generation
        self.alive.setdefault(name, []).append(player)
        self.note("start", name, "", player.begun_in)

    def note(self, verb: str, name: str, why: str, round_: int) -> None:
        self.log.append((verb, name, why))
        self.rounds.append(round_)

    def leave(self, player: "Player", verb: str | None, why: str = "") -> None:
        self.alive[player.name].remove(player)
        if verb is not None and not player.context.incarnation().is_fenced():
            self.note(verb, player.name, why, self.round())

    def playing(self) -> list["Player"]:
        return [player for players in self.alive.values() for player in players]


class Player(Actor):
    """A child that does what its stage's script says, and what it is told."""

    current_stage: ClassVar[Stage]
    begun_in: int

    def __new__(cls, *_args: object) -> Self:
        """Note the round. The supervisor makes the object as it decides to start it; the rest is the child's turn.

        Between the two another end may be charged, and a child that is to stop again for that runs until its
        turn to be stopped: this start is one of the round before.
        """
        player = super().__new__(cls)
        player.begun_in = cls.current_stage.round()
        return player

    def __init__(self, stage: Stage) -> None:  # pyright: ignore[reportInconsistentConstructor] - spawn gives `__new__` nothing
        super().__init__()
        self.stage, self.name = stage, self.context.path.rpartition("/")[2]

    def on_start(self) -> None:
        self.stage.enter(self)
        match self.stage.script.next_start(self.name):
            case "crash":
                self.stage.leave(self, None)
                raise RuntimeError("crashed at its start")
            case "decline":
                self.stage.leave(self, None)
                raise Ignore
            case "hang":
                self.context.defer_started()
            case _:
                pass

    def on_receive(self, message: object) -> None:
        match message:
            case "crash":
                raise RuntimeError("crashed as told")
            case "started":
                self.context.announce_started()
            case _:
                self.context.exit(ENDS[str(message)])

    def on_stop_request(self, reason: ExitReason) -> None:
        if self.stage.script.at_stop(self.name) != "ignore":
            super().on_stop_request(reason)

    def on_stop(self, reason: ExitReason | None = None) -> None:
        told = isinstance(reason, Shutdown) and reason.detail in (OF_THE_END, OF_A_GROUP, "terminated by a call")
        self.stage.leave(self, "stop", str(reason.detail) if isinstance(reason, Shutdown) else "")
        if told and self.stage.script.at_stop(self.name) == "crash":
            raise RuntimeError("crashed while it stopped")

    def on_kill(self) -> None:
        self.stage.leave(self, "killed")


# The reference


@dataclass(eq=False)
class Slot:
    """One child of the reference."""

    spec: ChildSpec
    rank: int  # its place in the start order: the time it was added
    status: str = UNBOOTED
    life: int = 0  # which incarnation: ends of earlier ones mean nothing
    begun: bool = False
    dead: bool = False  # it has ended, and the news is on its way
    attempts: int = 0
    failures: int = 0
    since: float = 0.0
    start_call: tuple[int, str] | None = None
    stop_calls: list[int] = field(default_factory=list[int])

    def __repr__(self) -> str:
        return f"{self.name} {self.status}"

    @property
    def name(self) -> ChildId:
        return self.spec.id

    @property
    def shown(self) -> str:
        match self.status:
            case "unbooted" | "rest":
                return "stopped"
            case "up":
                return "running"
            case "starting" if self.attempts == 1:
                return "starting"
            case "stopping":
                return "stopping"
            case _:
                return "restarting"


@dataclass(eq=False)
class Group:
    """A group restart of the reference; `phase` is stopping, delayed or starting."""

    culprit: Slot
    members: list[Slot]
    due: float
    phase: str = "stopping"
    waiting: list[Slot] = field(default_factory=list[Slot])  # their turn to start is still to come
    current: Slot | None = None


class Reference:
    """What OTP would do, with our documented deviations; one thing at a time."""

    def __init__(self, specs: list[ChildSpec], settings: SupervisorSettings, script: Script, now: float) -> None:
        self.settings, self.script, self.now = settings, script, now
        self._ranks = itertools.count()
        self.slots = [Slot(spec, next(self._ranks)) for spec in specs]
        self.to_boot = list(self.slots)
        self.booting: Slot | None = None
        self.announced = False
        self.group: Group | None = None
        self.ending: ExitReason | None = None
        self.ended: ExitReason | None = None
        self.postponed: list[tuple[Slot, int, ExitReason, float]] = []
        self.significant_ended = False
        self.charged: list[float] = []
        self.paused = 0.0
        self.paused_since: float | None = None
        self.inbox: deque[Callable[[], None]] = deque()
        self.timers: dict[tuple[str, object], tuple[float, int, Callable[[], None]]] = {}
        self._timer_order = itertools.count()
        self.log: list[tuple[str, str, str]] = []
        self.answers: dict[int, str] = {}
        self.settle()

    def find(self, name: str) -> Slot | None:
        return next((slot for slot in self.slots if slot.name == name), None)

    def window_time(self) -> float:
        return self.now - self.paused - (0.0 if self.paused_since is None else self.now - self.paused_since)

    def used(self) -> int:
        return sum(self.window_time() - at <= self.settings.intensity.within for at in self.charged)

    # Going on

    def settle(self) -> None:
        """Take the next news, then do the next step; until there is neither."""
        self.step()
        while self.inbox:
            self.inbox.popleft()()
            self.step()

    def step(self) -> None:
        if self.ending is None:
            self.step_boot()
        if self.ending is None:
            self.step_group()
        if self.ending is not None and self.ended is None:
            alive = [slot for slot in self.slots if slot.status in ALIVE]
            if not alive:
                self.ended = self.ending
            elif alive[-1].status != STOPPING:
                self.stop(alive[-1], OF_THE_END)

    def step_boot(self) -> None:
        if self.booting is None and self.to_boot:
            self.booting = self.to_boot.pop(0)
            self.attempt(self.booting)
        if self.booting is None and not self.announced:
            self.announced = True
            ends, self.postponed = self.postponed, []
            for slot, life, reason, uptime in ends:
                if slot.status == PENDING and slot.life == life:
                    self.restart(slot, reason, uptime=uptime)
            if self.significant_ended:
                self.shut_down_automatically()

    def step_group(self) -> None:
        group = self.group
        if group is None:
            return
        if group.phase == "stopping":
            alive = [slot for slot in group.members if slot.status in ALIVE]
            if alive:
                if alive[-1].status != STOPPING:
                    self.stop(alive[-1], OF_A_GROUP)
                return
            self.count_on()
            group.phase = "delayed"
            if group.due > self.now:
                self.set_timer("group", "", group.due - self.now, self.begin_group)
            else:
                self.begin_group()
        if group.phase == "starting" and group.current is None:
            if group.waiting:
                group.current = group.waiting.pop(0)
                self.attempt(group.current)
            else:
                self.group = None

    def begin_group(self) -> None:
        assert self.group is not None
        self.group.phase, self.group.waiting = "starting", list(self.group.members)

    def count_on(self) -> None:
        """Time counts for the window again."""
        if self.paused_since is not None:
            self.paused, self.paused_since = self.paused + self.now - self.paused_since, None

    def set_timer(self, kind: str, what: object, delay: float, due: Callable[[], None]) -> None:
        if delay < INFINITY:
            self.timers[kind, what] = self.now + delay, next(self._timer_order), due

    def cancel(self, kind: str, what: object) -> None:
        self.timers.pop((kind, what), None)

    def next_due(self) -> float:
        return min((at for at, _, _ in self.timers.values()), default=INFINITY)

    def fire(self) -> None:
        """All that is due now."""
        due = sorted((order, key) for key, (at, order, _) in self.timers.items() if at <= self.now)
        self.inbox.extend([self.timers.pop(key)[2] for _, key in due])
        self.inbox.popleft()()
        self.settle()

    # Children

    def attempt(self, slot: Slot) -> None:
        slot.status, slot.begun, slot.dead = STARTING, False, False
        slot.life, slot.attempts = slot.life + 1, slot.attempts + 1
        self.set_timer("start", slot, slot.spec.start_timeout, lambda: self.give_up_on(slot))
        life = slot.life
        self.inbox.append(lambda: self.begin(slot, life))

    def begin(self, slot: Slot, life: int) -> None:
        """The child's turn to act has come; it may have been told to stop before."""
        if slot.life != life or slot.dead or slot.status == STOPPING:
            return
        slot.begun = True
        self.log.append(("start", slot.name, ""))
        match self.script.next_start(slot.name):
            case "run":
                self.inbox.append(lambda: self.started(slot, life))
            case "crash":
                self.will_end(slot, ENDS["crash"])
            case "decline":
                self.will_end(slot, None)
            case _:
                pass

    def will_end(self, slot: Slot, reason: ExitReason | None) -> None:
        slot.dead, life = True, slot.life
        self.inbox.append(lambda: self.gone(slot, life, reason))

    def give_up_on(self, slot: Slot) -> None:
        if not slot.dead:
            self.will_end(slot, Killed())  # any abnormal reason will do

    def stop(self, slot: Slot, why: str) -> None:
        slot.status, life = STOPPING, slot.life
        if not isinstance(slot.spec.shutdown, BrutalKill):
            self.set_timer("stop", slot, slot.spec.shutdown, lambda: self.give_up_on(slot))
        self.inbox.append(lambda: self.obey(slot, life, why))

    def obey(self, slot: Slot, life: int, why: str) -> None:
        """The order to stop has reached the child."""
        if slot.life != life or slot.dead:
            return
        word, brutal = self.script.at_stop(slot.name), isinstance(slot.spec.shutdown, BrutalKill)
        if not slot.begun:
            self.will_end(slot, Killed() if brutal else Shutdown(why))
        elif brutal:
            self.log.append(("killed", slot.name, ""))
            self.will_end(slot, Killed())
        elif word != "ignore":
            self.log.append(("stop", slot.name, why))
            self.will_end(slot, ENDS["crash"] if word == "crash" else Shutdown(why))

    def ends_by_itself(self, slot: Slot, how: str) -> None:
        self.log.append(
            ("killed", slot.name, "") if how == "kill" else ("stop", slot.name, "done" if how == "leave" else "")
        )
        self.will_end(slot, ENDS[how])

    def started(self, slot: Slot, life: int) -> None:
        if slot.life != life or slot.status not in ALIVE:
            return
        self.cancel("start", slot)
        slot.since = self.now
        if slot.status == STARTING:
            slot.status = UP
            self.answer_start(slot, slot.name)
            self.attempted(slot)

    def attempted(self, slot: Slot) -> None:
        """Its start is over, whatever came of it."""
        self.booting = None if self.booting is slot else self.booting
        if self.group is not None and self.group.current is slot:
            self.group.current = None
            self.group.members.remove(slot)

    def gone(self, slot: Slot, life: int, reason: ExitReason | None) -> None:
        """An incarnation is no more; without a reason it declined."""
        if slot.life != life or slot.status not in ALIVE:
            return
        was, group, booting = slot.status, self.group, self.booting is slot
        self.cancel("start", slot)
        self.cancel("stop", slot)
        if reason is None:
            self.to_rest(slot, "none")
            self.attempted(slot)
            return
        by_hand = slot.start_call
        if self.ending is None and group is not None and group.phase == "stopping" and slot in group.members:
            self.to_rest(slot, "StartFailed", keep=GROUPED)  # who started it waits on, if it comes back
            self.attempted(slot)
        elif was == STOPPING or self.ending is not None:
            self.to_rest(slot, "StartFailed")
            self.attempted(slot)
        elif was == UP:
            self.ended_by_itself(slot, reason, uptime=self.now - slot.since)
        else:
            self.attempted(slot)
            if by_hand is not None:
                self.to_rest(slot, "StartFailed")
                if by_hand[1] == "start" and slot in self.slots:
                    self.slots.remove(slot)
            elif booting:
                self.to_rest(slot, "StartFailed")
                self.end(BOOT_FAILED)
            elif slot.spec.restart is Restart.TEMPORARY:
                self.to_rest(slot, "StartFailed")
            else:
                self.restart(slot, reason, uptime=0.0)

    def ended_by_itself(self, slot: Slot, reason: ExitReason, *, uptime: float) -> None:
        normally = isinstance(reason, Normal | Shutdown)
        if slot.spec.restart is Restart.TEMPORARY or (slot.spec.restart is Restart.TRANSIENT and normally):
            self.to_rest(slot, "")
            if slot.spec.significant:
                self.significant_ended = True
                if self.announced:
                    self.shut_down_automatically()
        elif not self.announced and self.settings.strategy is not Strategy.ONE_FOR_ONE:
            slot.status = PENDING
            self.postponed.append((slot, slot.life, reason, uptime))
        else:
            self.restart(slot, reason, uptime=uptime)

    def shut_down_automatically(self) -> None:
        """B 1.9, at the end of a significant child or, if that was in the boot, after it."""
        left = any(slot.spec.significant and self.counts_as_alive(slot) for slot in self.slots)
        if self.settings.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT or not left:
            self.end(Shutdown("auto_shutdown"))

    def counts_as_alive(self, slot: Slot) -> bool:
        """One that a call is stopping counts as gone, unless its group starts it again afterwards."""
        group = self.group
        if slot.status == STOPPING and slot.stop_calls:
            return group is not None and group.phase == "stopping" and slot in group.members
        return slot.status not in (REST, UNBOOTED)

    # Restarts

    def restart(self, slot: Slot, reason: ExitReason, *, uptime: float) -> None:
        if self.group is not None and self.group.phase == "stopping" and slot in self.group.members:
            slot.status = GROUPED  # one that was postponed, and whose group is restarted for another already
            return
        if self.used() >= self.settings.intensity.restarts:
            slot.status = REST
            self.end(Shutdown("intensity"))
            return
        self.charged.append(self.window_time())
        backoff, delay = slot.spec.backoff, 0.0
        if backoff is not None:
            calm = uptime >= (backoff.reset_after or INFINITY)
            slot.failures = 1 if calm else slot.failures + 1
            delay = min(backoff.max, backoff.initial * backoff.factor ** (slot.failures - 1))
        if self.settings.strategy is not Strategy.ONE_FOR_ONE:
            slot.status = GROUPED
            all_of_them = self.settings.strategy is Strategy.ONE_FOR_ALL
            scope = [other for other in self.slots if all_of_them or other.rank >= slot.rank]
            is_starting = self.group is not None and self.group.phase == "starting"
            if scope != [slot] or (self.group is not None and not is_starting) or (self.group is None and delay):
                self.restart_group(slot, scope, delay)
            elif self.group is not None and not delay:  # the last one, behind those whose turn is still to come
                self.group.members.append(slot)
                self.group.waiting.append(slot)
            else:
                self.restart_alone(slot, delay)
        else:
            self.restart_alone(slot, delay)

    def restart_alone(self, slot: Slot, delay: float) -> None:
        if delay:
            slot.status = DELAYED
            self.set_timer("retry", slot, delay, lambda: self.attempt(slot))
        else:
            self.attempt(slot)

    def restart_group(self, culprit: Slot, scope: list[Slot], delay: float) -> None:
        self.cancel("group", "")
        due, before = self.now + delay, self.group
        wanted = list(scope)
        if before is not None:
            if before.culprit in before.members and before.culprit not in scope:
                culprit = before.culprit
            # The one in its start goes on alone unless this end concerns it.
            wanted += [slot for slot in before.members if slot is not before.current]
            due = max(due, before.due)
        members = [slot for slot in self.slots if slot in wanted]
        for slot in members:
            if ("retry", slot) in self.timers:
                due = max(due, self.timers["retry", slot][0])
                self.cancel("retry", slot)
        self.group = Group(culprit, members, due)
        if self.paused_since is None:
            self.paused_since = self.now
        for slot in members:
            if slot.status not in ALIVE:
                slot.status = GROUPED

    # Rest and the end

    def to_rest(self, slot: Slot, start_answer: str, *, keep: str = REST) -> None:
        slot.status = keep
        if keep is REST or slot.spec.restart is Restart.TEMPORARY:
            self.answer_start(slot, start_answer)
        for call in slot.stop_calls:
            self.answers[call] = "none"
        slot.stop_calls = []
        if slot.spec.restart is Restart.TEMPORARY:
            self.slots.remove(slot)
            if self.group is not None and self.group.phase == "stopping" and slot in self.group.members:
                self.group.members.remove(slot)

    def answer_start(self, slot: Slot, answer: str) -> None:
        if slot.start_call is not None:
            self.answers[slot.start_call[0]], slot.start_call = answer, None

    def end(self, reason: ExitReason) -> None:
        if self.ending is not None:
            return
        self.ending, self.to_boot, self.postponed = reason, [], []
        self.call_off_group()
        for slot in tuple(self.slots):
            self.call_off(slot)

    def is_killed(self, calls: list[int]) -> None:
        """It takes its children along, and its callers hear that it is gone."""
        self.ending = self.ended = Killed()
        self.timers.clear()
        for slot in self.slots:
            slot.status = REST
        self.answers |= {call: "ActorDead" for call in calls if call not in self.answers}

    def call_off(self, slot: Slot) -> None:
        """Have a slot that waits for its next start have none."""
        if slot.status in (DELAYED, GROUPED, PENDING):
            self.cancel("retry", slot)
            self.to_rest(slot, "StartFailed")

    def call_off_group(self) -> None:
        self.count_on()
        group, self.group = self.group, None
        self.cancel("group", "")
        for slot in group.members if group is not None else []:
            self.call_off(slot)

    # Calls

    def call(self, number: int, call: Call) -> None:
        match call:
            case StartChild(spec):
                self.start_child(number, spec)
            case Change() | RetireChild():
                raise AssertionError("not played here")
            case _:
                slot = self.find(call.child)
                if slot is None:
                    self.answers[number] = "NotFound"
                else:
                    self.call_for(number, call, slot)
        self.settle()

    def start_child(self, number: int, spec: ChildSpec) -> None:
        known = self.find(spec.id)
        if self.ending is not None:
            self.answers[number] = "StartFailed"
        elif known is not None:
            self.answers[number] = "AlreadyStarted" if known.status == UP else "AlreadyPresent"
        elif spec.significant and self.settings.auto_shutdown is AutoShutdown.NEVER:
            self.answers[number] = "InvalidChildSpec"
        else:
            self.slots.append(Slot(spec, next(self._ranks), start_call=(number, "start")))
            self.attempt(self.slots[-1])

    def call_for(self, number: int, call: TerminateChild | RestartChild | DeleteChild, slot: Slot) -> None:
        refused = ""
        if slot in self.to_boot or slot.status in (STARTING, DELAYED, GROUPED, PENDING):
            refused = "StillRestarting"
        elif slot.status in (UP, STOPPING):
            refused = "StillRunning"
        match call:
            case TerminateChild():
                self.terminate(number, slot)
            case RestartChild() if self.ending is not None:
                self.answers[number] = "StartFailed"
            case _ if refused:
                self.answers[number] = refused
            case RestartChild():
                slot.failures, slot.start_call = 0, (number, "restart")
                self.attempt(slot)
            case DeleteChild():
                self.slots.remove(slot)
                self.answers[number] = "none"

    def terminate(self, number: int, slot: Slot) -> None:
        group = self.group
        if group is not None and slot in group.members:
            group.members.remove(slot)
            group.waiting = [other for other in group.waiting if other is not slot]
            if group.current is slot:
                group.current = None
            if group.culprit is slot:
                self.call_off_group()
        if slot in self.to_boot:
            self.to_boot.remove(slot)
        if slot.status not in ALIVE:
            self.cancel("retry", slot)
            self.to_rest(slot, "StartFailed")
            self.answers[number] = "none"
            return
        slot.stop_calls.append(number)
        if slot.status != STOPPING:
            self.stop(slot, "terminated by a call")


# The play


# One draw each: Hypothesis takes its time for every one.
VARIANTS: Final = tuple(
    itertools.product(
        (Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY),
        (1.0, 2.0, BRUTAL_KILL, INFINITY),  # shutdown
        (1.5, INFINITY),  # start_timeout
        (0.0, 0.0, 0.5),  # backoff
        (True, False),  # significant
    )
)
PLANS: Final = tuple(
    (words, stop)
    for length in (1, 2, 3)
    for words in itertools.product(("crash", "decline", "hang", "run"), repeat=length)
    for stop in STOPS
)
SETTINGS: Final = tuple(
    SupervisorSettings(strategy, Intensity(restarts, within=4.0), auto)
    for restarts, strategy, auto in itertools.product((4, 8, 2, 1, 0), Strategy, AutoShutdown)
)
AT_BOOT: Final = tuple(itertools.product(("run",) * 9 + ("hang",) * 3 + ("decline", "crash"), STOPS))


class Play(RuleBasedStateMachine):
    """Everything that can happen to a supervisor and its children."""

    make_tree: "ClassVar[type[Tree]]"
    steps: ClassVar[int] = 0
    seen: ClassVar[set[str]] = set()

    @initialize(data=st.data())
    def boot(self, data: st.DataObject) -> None:
        self.settings = data.draw(st.sampled_from(SETTINGS))
        self.tree = self.make_tree()
        self.stage = Player.current_stage = Stage(lambda: len(self.tree.sink.of(ChildRestarting)))
        self.story: list[str] = []  # for whoever must find out what went wrong
        self.futures: dict[int, Any] = {}
        self.looked_at = 0  # so much of the children's log was judged
        self.by_hand: set[int] = set()  # the entries in it of starts that a call led to
        self.started: set[str] = set()
        self.ranks: dict[str, int] = {}
        self.last_rank: dict[tuple[str, int], int] = {}
        made: list[ChildSpec] = []
        planned = Script()
        for name in NAMES[: data.draw(st.sampled_from([4, 3, 5, 2, 0]))]:
            made.append(self.spec(data, name))
            start, planned.stops[name] = data.draw(st.sampled_from(AT_BOOT))
            planned.starts[name] = [start]
            self.stage.script.starts[name], self.stage.script.stops[name] = [start], planned.stops[name]
        self.reference = Reference(made, self.settings, planned, self.tree.clock.monotonic())
        self.top: ActorRef[Any] = self.tree.start(
            *made,
            strategy=self.settings.strategy,
            intensity=self.settings.intensity,
            auto_shutdown=self.settings.auto_shutdown,
        )

    def spec(self, data: st.DataObject, name: ChildId) -> ChildSpec:
        restart, shutdown, start_timeout, backoff, significant = data.draw(st.sampled_from(VARIANTS))
        # Their times differ by odd fractions, exact in binary, so that two hardly ever fall due together.
        own = (NAMES.index(name) + 1) / 128
        may_matter = self.settings.auto_shutdown is not AutoShutdown.NEVER and restart is not Restart.PERMANENT
        return ChildSpec.of(
            Player,
            self.stage,
            id=name,
            restart=restart,
            shutdown=shutdown if isinstance(shutdown, BrutalKill) else shutdown + own * 3,
            start_timeout=start_timeout + own / 4,
            backoff=Backoff(backoff + own / 8, max=3.0, factor=3.0, jitter=0.0, reset_after=6.0) if backoff else None,
            significant=significant and may_matter,
        )

    def on_stage(self) -> bool:
        return hasattr(self, "tree") and self.reference.ended is None

    def alive(self) -> list[Slot]:
        return [slot for slot in self.reference.slots if slot.status in ALIVE]

    def player(self, slot: Slot) -> Player:
        return self.stage.alive[slot.name][-1]

    def act(self, kind: str, *details: object) -> None:
        """Count a step that does something."""
        Play.steps += 1
        Play.seen.add(kind)
        self.story.append(f"{kind} {details or ''} {self.reference.slots}")

    def do(self, slot: Slot, how: str) -> None:
        ref = self.player(slot).actor_ref
        if how == "kill":
            ref.kill()
        else:
            ref.tell(how)

    @precondition(lambda self: self.on_stage() and self.alive())
    @rule(data=st.data(), how=st.sampled_from(["crash", "exit", "kill", "crash", "leave"]))
    def a_child_ends_by_itself(self, data: st.DataObject, how: str) -> None:
        slot = data.draw(st.sampled_from(self.alive()))
        self.act(f"{how} while {slot.status}", slot)
        self.do(slot, how)
        self.reference.ends_by_itself(slot, how)
        self.reference.inbox.popleft()()
        self.settle()

    @precondition(lambda self: self.on_stage() and len(self.alive()) > 1)
    @rule(data=st.data())
    def two_children_are_killed_at_the_same_instant(self, data: st.DataObject) -> None:
        pair = data.draw(st.lists(st.sampled_from(self.alive()), min_size=2, max_size=2, unique_by=lambda s: s.name))
        self.act("two killed", *pair)
        for slot in pair:
            self.do(slot, "kill")
            self.reference.ends_by_itself(slot, "kill")
        self.reference.inbox.popleft()()
        self.settle()

    @precondition(lambda self: self.on_stage() and any(slot.status == STARTING for slot in self.reference.slots))
    @rule(data=st.data())
    def a_hanging_start_succeeds(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from([slot for slot in self.alive() if slot.status == STARTING]))
        self.act("a hanging start succeeds", slot)
        self.player(slot).actor_ref.tell("started")
        self.reference.started(slot, slot.life)
        self.settle()

    @precondition(lambda self: self.on_stage())
    @rule(name=st.sampled_from(NAMES), plan=st.sampled_from(PLANS))
    def a_child_will_behave(self, name: ChildId, plan: tuple[tuple[str, ...], str]) -> None:
        words, stop = plan
        self.act("behaviour planned", name, words, stop)
        for script in (self.stage.script, self.reference.script):
            script.starts[name], script.stops[name] = list(words), stop

    @precondition(lambda self: self.on_stage())
    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 1.5, 3.0, 4.0, 7.0]))
    def time_passes(self, seconds: float) -> None:
        self.act("time passes", seconds)
        reference, clock = self.reference, self.tree.clock
        end = clock.monotonic() + seconds
        while reference.next_due() <= end:
            reference.now = reference.next_due()
            clock.advance(reference.now - clock.monotonic())
            reference.fire()
            self.settle()
            self.agree()
        clock.advance(end - clock.monotonic())
        reference.now = end

    @precondition(lambda self: self.on_stage())
    @rule(data=st.data())
    def start_child(self, data: st.DataObject) -> None:
        new = [name for name in NAMES if self.reference.find(name) is None]
        name = data.draw(st.sampled_from(data.draw(st.sampled_from([new, new, new, NAMES])) or NAMES))
        self.call(StartChild(self.spec(data, name)))

    @precondition(lambda self: self.on_stage())
    @rule(data=st.data(), verb=st.sampled_from([TerminateChild, TerminateChild, RestartChild, DeleteChild]))
    def call_for_a_child(self, data: st.DataObject, verb: Callable[[ChildId], Call]) -> None:
        known = [slot.name for slot in self.reference.slots]
        at_rest = [slot.name for slot in self.reference.slots if slot.status == REST]
        wanted = known if verb is TerminateChild else at_rest
        names = data.draw(st.sampled_from([wanted, wanted, known, NAMES])) or NAMES
        self.call(verb(data.draw(st.sampled_from(names))))

    def call(self, call: Call) -> None:
        number, name = len(self.futures), call.spec.id if isinstance(call, StartChild) else getattr(call, "child", "")
        before = len(self.stage.log)
        self.futures[number] = self.tree.request(call)
        self.reference.call(number, call)
        self.settle()
        if isinstance(call, StartChild | RestartChild):
            self.by_hand.update(range(before, len(self.stage.log)))
        self.act(f"{type(call).__name__}: {self.reference.answers.get(number, 'later')}", name)

    @precondition(lambda self: self.on_stage() and self.reference.ending is None)
    @rule(really=st.sampled_from([False] * 9 + [True]))
    def the_supervisor_is_told_to_stop(self, really: bool) -> None:
        if really:
            self.act("stop")
            self.top.request_stop(OPERATOR)
            self.reference.end(OPERATOR)
            self.settle()

    @precondition(lambda self: self.on_stage())
    @rule(really=st.sampled_from([False] * 9 + [True]))
    def the_supervisor_is_killed(self, really: bool) -> None:
        if really:
            self.act("killed")
            self.top.kill()
            self.tree.settle()
            self.reference.is_killed(list(self.futures))
            self.reference.log = list(self.stage.log)  # in whatever order

    @precondition(lambda self: hasattr(self, "tree") and self.reference.ended is not None)
    @rule(data=st.data())
    def another_supervisor_starts(self, data: st.DataObject) -> None:
        ended = self.reference.ended
        why = ended.detail if isinstance(ended, Shutdown) else "killed" if isinstance(ended, Killed) else "boot"
        self.act(f"ended: {why}")
        with pytest.raises(ActorDead):
            self.tree.ask(RestartChild(NAMES[0]))
        self.boot(data)

    def settle(self) -> None:
        self.reference.settle()
        self.tree.settle()

    # What must hold

    @invariant()
    def agree(self) -> None:
        """The supervisor is where the reference is."""
        if not hasattr(self, "tree"):
            return
        reference, tree, compare = self.reference, self.tree, self.compare
        if reference.ended is None:
            described = tree.describe()
            shown = [(row.child.id, row.child.state.value) for row in described.rows]
            compare("states", shown, [(slot.name, slot.shown) for slot in reference.slots])
            compare("restarts spent", described.window.used(described.window_time), reference.used())
        compare("what children saw", self.stage.log, reference.log)
        compare("the end", self.the_end(), reference.ended)
        if reference.ending is None:
            announced = any(isinstance(notice, Started) for notice in tree.notices)
            compare("whether it has started", announced, reference.announced)
        compare(
            "who is alive",
            {player.name for player in self.stage.playing()},
            {slot.name for slot in reference.slots if slot.status in ALIVE},
        )
        for slot in reference.slots:
            if slot.status != STOPPING:
                compare(f"who is reached at {slot.name}", tree.whereis(slot.name) is not None, slot.status == UP)
        pending = sorted(due for due, _, timer in tree.clock._heap if timer.callback is not None)
        compare("timers", pending, sorted(at for at, _, _ in reference.timers.values()))
        answers = {number: reference.answers.get(number, "later") for number in self.futures}
        compare("answers", {number: in_word(future) for number, future in self.futures.items()}, answers)
        compare("restarts charged", len(self.restarts()), len(reference.charged))

    def compare(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            story = "\n".join(self.story)
            raise AssertionError(
                f"{what}: the supervisor\n  {found}\nthe reference\n  {expected}\n{self.settings}\n{story}"
            )

    def the_end(self) -> ExitReason | None:
        exit_ = self.tree.exit
        if exit_ is None:
            return None
        return BOOT_FAILED if isinstance(exit_.reason, Crashed) else exit_.reason

    def restarts(self) -> list[float]:
        sink = self.tree.sink
        return [at for at, event in zip(sink.times, sink.events, strict=True) if isinstance(event, ChildRestarting)]

    @invariant()
    def never_more_restarts_in_a_window_than_allowed(self) -> None:
        """A.3, by the clock: it never runs slower than the time that counts."""
        if hasattr(self, "tree"):
            limit, times = self.settings.intensity, self.restarts()
            for first, last in zip(times, times[limit.restarts :], strict=False):
                assert last - first > limit.within

    @invariant()
    def no_two_incarnations_of_a_child_overlap(self) -> None:
        """A.7, A.15: unless the older one was abandoned; and generations grow."""
        if hasattr(self, "tree"):
            assert [] == self.stage.wrong

    @invariant()
    def children_start_from_the_left_and_stop_from_the_right(self) -> None:
        """A.6, A.7, A.8: in the boot, in each restart, in the end; as the children saw it."""
        if not hasattr(self, "tree"):
            return
        self.ranks.update({slot.name: slot.rank for slot in self.reference.slots})
        for index in range(self.looked_at, len(self.stage.log)):
            verb, name, why = self.stage.log[index]
            rank, round_ = self.ranks.get(name), self.stage.rounds[index]
            is_first = name not in self.started
            if verb == "start":
                self.started.add(name)
            if rank is None or index in self.by_hand:
                continue
            match verb, why:
                case "start", _ if is_first or self.settings.strategy is not Strategy.ONE_FOR_ONE:
                    assert rank > self.last_rank.get(("start", round_), -1), self.stage.log
                    self.last_rank["start", round_] = rank
                case "stop", str() if why in (OF_THE_END, OF_A_GROUP):
                    order = (why, round_ if why == OF_A_GROUP else 0)
                    assert rank < self.last_rank.get(order, len(self.ranks) + 1_000), self.stage.log
                    self.last_rank[order] = rank
                case _:
                    pass
        self.looked_at = len(self.stage.log)

    @invariant()
    def nothing_is_alive_after_the_end(self) -> None:
        """A.4, A.7: no child, no timer, no name, no caller without an answer."""
        if hasattr(self, "tree") and self.tree.exit is not None:
            assert [] == self.stage.playing()
            assert 0 == self.tree.clock.pending()
            assert {} == self.tree.registry._refs
            assert "later" not in map(in_word, self.futures.values())

    def teardown(self) -> None:
        if not hasattr(self, "tree") or self.reference.ended is not None:
            return
        self.top.request_stop(OPERATOR)
        self.reference.end(OPERATOR)
        self.settle()
        while self.reference.ended is None:
            slot = next(slot for slot in self.reference.slots if slot.status == STOPPING)
            self.do(slot, "exit")
            self.reference.ends_by_itself(slot, "exit")
            self.reference.inbox.popleft()()
            self.settle()
            self.agree()
        self.nothing_is_alive_after_the_end()


def in_word(future: Any) -> str:
    """What a caller got."""
    if not future.is_set():
        return "later"
    try:
        answer = future.get(timeout=0)
    except Exception as refused:  # noqa: BLE001 - the class is what is compared
        return type(refused).__name__
    return "none" if answer is None else str(answer.path.rpartition("/")[2])


# Of all that can be played: what no ten thousand steps lack unless the play itself is broken.
MUST_BE_SEEN: Final = {
    "a hanging start succeeds",
    "two killed",
    "time passes",
    "stop",
    *(f"{how} while up" for how in ENDS),
    "crash while starting",
    "crash while stopping",
    "TerminateChild: none",
    "TerminateChild: later",
    "StartChild: later",
    "StartChild: AlreadyStarted",
    "RestartChild: StillRunning",
    "DeleteChild: none",
    "ended: intensity",
    "ended: auto_shutdown",
    "ended: operator",
    "ended: boot",
    "ended: killed",
}


@pytest.mark.timeout(300)  # a quarter of a minute, unless the machine has much else to do
def test_the_supervisor_does_what_the_reference_does(tree_class: "type[Tree]") -> None:
    """A.1 to A.10 and A.15 in any order of events, for ten thousand steps and more."""
    Play.make_tree, Play.steps, Play.seen = tree_class, 0, set()
    while Play.steps < STEPS_IN_CI:
        before = Play.steps
        run_state_machine_as_test(
            Play,
            settings=settings(
                max_examples=100,
                stateful_step_count=40,
                deadline=None,
                database=None,
                phases=(Phase.generate,),  # shrinking takes minutes, and forty steps can be read
            ),
        )
        assert Play.steps > before, "nothing is played"

    assert set() == MUST_BE_SEEN - Play.seen


def test_a_start_that_was_decided_before_the_next_end_belongs_to_the_round_before(tree: "Tree") -> None:
    """A.7, A.8: it is stopped in its turn, from the right, and until then it runs; then it is started again."""
    stage = Player.current_stage = Stage(lambda: len(tree.sink.of(ChildRestarting)))

    def child(name: ChildId) -> ChildSpec:
        return ChildSpec.of(Player, stage, id=name, shutdown=INFINITY)

    a, b, c, d = NAMES[:4]
    stage.script.stops[a] = "ignore"
    tree.start(child(a), child(b), strategy=Strategy.ONE_FOR_ALL)
    tree.tell(b, "crash")  # the first round waits for `a`
    for name in (c, d):
        tree.ask(StartChild(child(name)))

    stage.script.stops[a] = "obey"
    # With the end of `a` its start is decided on; with that of `d` a second round begins, and `c` is to stop first.
    for name in (a, d):
        stage.alive[name][-1].actor_ref.kill()
    tree.settle()

    seen = [(round_, verb, name) for (verb, name, _), round_ in zip(stage.log, stage.rounds, strict=True)]
    assert seen[-7:] == [
        (1, "start", a),
        (2, "stop", c),
        (2, "stop", a),
        *((2, "start", name) for name in (a, b, c, d)),
    ]
