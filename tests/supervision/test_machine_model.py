"""The state machine against a reference that is slow, plain and written apart from it.

Hypothesis plays children, clock and callers. After each step the machine's table, its timers, its
answers and its report must be what the reference says; what must hold at every single effect is
checked by `Bench` itself (one incarnation per id, the next generation each time, one answer per
call, nothing after the end).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

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
    Backoff,
    BrutalKill,
    ChildId,
    ChildRestarting,
    ChildSpec,
    Crashed,
    ExitReason,
    Intensity,
    Killed,
    Normal,
    Restart,
    Shutdown,
)
from treewarden.supervision_trees._effects import (
    Call,
    CallId,
    Change,
    DeleteChild,
    Outcome,
    Refused,
    RestartChild,
    RetryDue,
    RunsAlready,
    StartChild,
    StartOverdue,
    StopOverdue,
    TerminateChild,
)

if TYPE_CHECKING:
    from .conftest import Bench

NAMES = tuple(ChildId(name) for name in "abcdef")
LIMIT = Intensity(2, within=4.0)
OWN_LIMIT = Intensity(1, within=3.0)
BACKOFF = Backoff(initial=0.5, max=3.0, factor=3.0, jitter=0.0, reset_after=6.0)

SHUTDOWNS: list[float | BrutalKill] = [1.0, 2.0, BRUTAL_KILL, INFINITY]

# A slot is in one of these; the machine calls the first two "stopped" and the two of a delay "restarting".
UNBOOTED, REST, WAITING, STARTING, UP, DELAYED, STOPPING, FAILED = (
    "unbooted", "rest", "waiting", "starting", "up", "delayed", "stopping", "failed",
)  # fmt: skip
ALIVE = (STARTING, UP, STOPPING)


@dataclass
class Slot:
    """One child of the reference."""

    spec: ChildSpec
    status: str
    ready: bool = False
    attempts: int = 0
    reported: bool = False  # this incarnation said Started
    since: float = 0.0
    start_deadline: float | None = None
    deadline: float | None = None  # of its delay or its stop
    failures: int = 0
    own: list[float] = field(default_factory=list[float])
    start_call: tuple[CallId, str] | None = None
    stop_calls: list[CallId] = field(default_factory=list[CallId])


class Reference:
    """What OTP would do, with a scan of the whole list for every question."""

    def __init__(self, specs: tuple[ChildSpec, ...]) -> None:
        self.slots = [Slot(spec, UNBOOTED) for spec in specs]
        self.now = 100.0
        self.booting: Slot | None = None
        self.charged: list[float] = []
        self.ending = self.ended = self.announced = False
        self.answers: dict[CallId, str] = {}
        self.abandoned: set[str] = set()
        self.settle()

    def find(self, name: ChildId) -> Slot | None:
        return next((slot for slot in self.slots if slot.spec.id == name), None)

    def settle(self) -> None:
        """Do what follows until nothing does: boot, wake, stop, end."""
        if self.ending:
            for slot in tuple(self.slots):
                if slot.status in (WAITING, DELAYED):
                    self.to_rest(slot, "refused")
            alive = [slot for slot in self.slots if slot.status in ALIVE]
            if not alive:
                self.ended = True
            elif alive[-1].status != STOPPING:
                self.stop(alive[-1])
            return
        while self.booting is None and any(slot.status == UNBOOTED for slot in self.slots):
            slot = next(slot for slot in self.slots if slot.status == UNBOOTED)
            self.attempt(slot)
            if slot.status == STARTING:
                self.booting = slot
        self.announced |= self.booting is None
        for slot in self.slots:
            if slot.status == WAITING and self.has_needs(slot.spec):
                self.attempt(slot)

    def has_needs(self, spec: ChildSpec) -> bool:
        return all((need := self.find(name)) is not None and need.ready for name in spec.needs)

    def attempt(self, slot: Slot) -> None:
        slot.deadline = None
        slot.status = WAITING
        if self.has_needs(slot.spec):
            slot.status, slot.attempts, slot.reported = STARTING, slot.attempts + 1, False
            slot.start_deadline = self.now + slot.spec.start_timeout

    def started(self, slot: Slot, *, ready: bool) -> None:
        slot.reported, slot.start_deadline = True, None
        if slot.status == STARTING:
            slot.status, slot.ready, slot.since = UP, ready, self.now
            self.answer_start(slot, slot.spec.id)
            self.booting = None if self.booting is slot else self.booting
        self.settle()

    def gone(self, slot: Slot, reason: ExitReason | None) -> None:
        """Its incarnation is no more; without a reason it declined."""
        was, slot.ready, slot.start_deadline, slot.deadline = slot.status, False, None, None
        was_booting = self.booting is slot
        self.booting = None if was_booting else self.booting
        if reason is None:
            self.to_rest(slot, "none")
        elif was == STOPPING or self.ending:
            self.to_rest(slot, "refused")
        elif was == STARTING and slot.start_call is not None:
            forget = slot.start_call[1] == "start"
            self.to_rest(slot, "refused")
            if forget and slot in self.slots:
                self.slots.remove(slot)
        elif was == STARTING and was_booting:
            self.to_rest(slot, "refused")
            self.ending = True
        elif slot.spec.restart is Restart.TEMPORARY:
            self.slots.remove(slot)
        elif was == UP and slot.spec.restart is Restart.TRANSIENT and isinstance(reason, Normal | Shutdown):
            self.to_rest(slot, "refused")
        else:
            self.restart(slot, uptime=self.now - slot.since if was == UP else 0.0)
        self.settle()

    def restart(self, slot: Slot, *, uptime: float) -> None:
        limit, charged = (OWN_LIMIT, slot.own) if slot.spec.intensity is not None else (LIMIT, self.charged)
        if sum(self.now - at <= limit.within for at in charged) >= limit.restarts:
            self.ending = slot.spec.intensity is None
            slot.status = REST if self.ending else FAILED
            return
        charged.append(self.now)
        if slot.spec.backoff is None:
            self.attempt(slot)
            return
        slot.failures = 1 if uptime >= 6.0 else slot.failures + 1
        slot.status, slot.deadline = DELAYED, self.now + min(3.0, 0.5 * 3.0 ** (slot.failures - 1))

    def stop(self, slot: Slot) -> None:
        slot.status, slot.ready = STOPPING, False
        if isinstance(slot.spec.shutdown, BrutalKill):
            self.gone(slot, Killed())
        else:
            slot.deadline = self.now + slot.spec.shutdown

    def to_rest(self, slot: Slot, start_answer: str) -> None:
        slot.status, slot.deadline, slot.ready = REST, None, False
        self.answer_start(slot, start_answer)
        for call in slot.stop_calls:
            self.answers[call] = "none"
        slot.stop_calls = []
        if slot.spec.restart is Restart.TEMPORARY:
            self.slots.remove(slot)

    def answer_start(self, slot: Slot, answer: str) -> None:
        if slot.start_call is not None:
            self.answers[slot.start_call[0]] = answer
            slot.start_call = None

    def overdue(self, slot: Slot) -> None:
        """Its deadline has come."""
        if slot.status == DELAYED:
            self.attempt(slot)
            self.settle()
        else:
            self.abandoned.add(f"/top/{slot.spec.id}")
            self.gone(slot, Killed())  # any abnormal reason will do

    def call(self, name: CallId, call: Call) -> None:
        match call:
            case StartChild(spec):
                self.call_start(name, spec)
                return
            case Change():
                raise AssertionError("not played here")
            case _:
                slot = self.find(call.child)
        if slot is None:
            self.answers[name] = "refused"
            return
        match call:
            case TerminateChild():
                if slot.status in ALIVE:
                    slot.stop_calls.append(name)
                    if slot.status != STOPPING:
                        self.stop(slot)
                else:
                    self.to_rest(slot, "refused")
                    self.answers[name] = "none"
            case RestartChild() if slot.status in (REST, FAILED) and not self.ending:
                slot.own, slot.failures, slot.start_call = [], 0, (name, "restart")
                self.attempt(slot)
            case DeleteChild() if slot.status in (REST, FAILED) or (self.ending and slot.status == UNBOOTED):
                self.slots.remove(slot)
                self.answers[name] = "none"
            case _:
                self.answers[name] = "refused"
        self.settle()

    def call_start(self, name: CallId, spec: ChildSpec) -> None:
        known = self.find(spec.id)
        if (
            self.ending
            or known is not None
            or any(self.find(need) is None for need in spec.needs)
            or self.needs_itself(spec)
        ):
            self.answers[name] = "refused"
        else:
            self.slots.append(Slot(spec, UNBOOTED, start_call=(name, "start")))
            self.attempt(self.slots[-1])
        self.settle()

    def needs_itself(self, spec: ChildSpec) -> bool:
        reached = set(spec.needs)
        for _ in NAMES:
            for name in tuple(reached):
                slot = self.find(name)
                reached |= set(slot.spec.needs) if slot is not None else set()
        return spec.id in reached


def in_word(outcome: Outcome) -> str:
    match outcome:
        case None:
            return "none"
        case Refused() | RunsAlready():
            return "refused"
        case _:
            return outcome


SHOWN = {
    UNBOOTED: "stopped",
    REST: "stopped",
    WAITING: "waiting",
    UP: "running",
    DELAYED: "restarting",
    STOPPING: "stopping",
    FAILED: "failed",
}


def at_start(slot: Slot) -> str:
    return "starting" if slot.attempts == 1 else "restarting"


@st.composite
def specs(draw: st.DrawFn, name: ChildId, siblings: Sequence[ChildId] = NAMES) -> ChildSpec:
    others = [other for other in siblings if other != name] or [other for other in NAMES if other != name]
    return ChildSpec.of(
        Actor,
        id=name,
        restart=draw(st.sampled_from([*Restart, Restart.PERMANENT])),
        needs=tuple(draw(st.lists(st.sampled_from(others), max_size=2))),
        backoff=draw(st.sampled_from([None, None, BACKOFF])),
        intensity=draw(st.sampled_from([None, None, OWN_LIMIT])),
        shutdown=draw(st.sampled_from(SHUTDOWNS)),
        start_timeout=draw(st.sampled_from([1.5, 5.0, INFINITY])),
    )


class Supervision(RuleBasedStateMachine):
    """Everything that can happen to a supervisor."""

    make_bench: "ClassVar[type[Bench]]"

    @initialize(data=st.data(), count=st.integers(0, 4))
    def boot(self, data: st.DataObject, count: int) -> None:
        made: list[ChildSpec] = []
        for name in NAMES[:count]:
            spec = data.draw(specs(name))
            before = {spec.id for spec in made} | ({NAMES[count - 1]} if name != NAMES[count - 1] else set[ChildId]())
            needs = tuple(need for need in spec.needs if need in before)
            if NAMES[count - 1] in needs:  # one may look ahead, to the last, which then needs nobody
                needs = (NAMES[count - 1],)
            made.append(replace(spec, needs=() if name == NAMES[count - 1] else needs))
        self.bench = self.make_bench(*made, intensity=LIMIT)
        self.bench.boot()
        self.reference = Reference(tuple(made))

    def pick(self, data: st.DataObject, wanted: Callable[[Slot], bool]) -> Slot | None:
        found = [slot for slot in self.reference.slots if slot.status in ALIVE and wanted(slot)]
        return data.draw(st.sampled_from(found)) if found else None

    @rule(data=st.data(), ready=st.booleans())
    def a_start_succeeds(self, data: st.DataObject, ready: bool) -> None:
        slot = self.pick(data, lambda slot: not slot.reported)
        if slot is not None:
            self.reference.started(slot, ready=ready)
            self.bench.started(slot.spec.id, ready=ready)

    @rule(data=st.data())
    def a_child_becomes_ready(self, data: st.DataObject) -> None:
        slot = self.pick(data, lambda slot: slot.reported and not slot.ready)
        if slot is not None:
            slot.ready = slot.status == UP
            self.reference.settle()
            self.bench.ready(slot.spec.id)

    @rule(data=st.data())
    def a_start_declines(self, data: st.DataObject) -> None:
        slot = self.pick(data, lambda slot: not slot.reported)
        if slot is not None:
            self.reference.gone(slot, None)
            self.bench.declines(slot.spec.id)

    @rule(
        data=st.data(),
        reason=st.sampled_from([Normal(), Shutdown("x"), Killed(), *[Crashed(RuntimeError())] * 3]),
    )
    def a_child_ends(self, data: st.DataObject, reason: ExitReason) -> None:
        slot = self.pick(data, lambda _: True)
        if slot is not None:
            self.reference.gone(slot, reason)
            self.bench.ends(slot.spec.id, reason)

    @rule(data=st.data())
    def a_child_stops_as_told(self, data: st.DataObject) -> None:
        slot = self.pick(data, lambda slot: slot.status == STOPPING)
        if slot is not None:
            self.reference.gone(slot, Shutdown())
            self.bench.ends(slot.spec.id)

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 1.5, 3.0, 4.0, 7.0]))
    def time_passes(self, seconds: float) -> None:
        end = self.bench.now + seconds
        while self.bench.timers and min(self.bench.timers.values()) <= end:
            due, at = min(self.bench.timers.items(), key=lambda item: item[1])
            self.bench.now = self.reference.now = max(self.bench.now, at)
            self.bench.old_timers.append(due)
            del self.bench.timers[due]
            slot = self.reference.find(due.child)
            assert slot is not None
            self.reference.overdue(slot)
            self.bench.feed(due)
            self.agree()
        self.bench.now = self.reference.now = end

    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def start_child(self, data: st.DataObject, name: ChildId) -> None:
        known = [slot.spec.id for slot in self.reference.slots]
        self.call(StartChild(data.draw(specs(name, data.draw(st.sampled_from([known, known, NAMES]))))))

    @rule(name=st.sampled_from(NAMES), verb=st.sampled_from([TerminateChild, RestartChild, RestartChild, DeleteChild]))
    def call_for_a_child(self, name: ChildId, verb: Callable[[ChildId], Call]) -> None:
        self.call(verb(name))

    def call(self, call: Call) -> None:
        if not self.reference.ended:  # an ended supervisor takes no calls: its actor is gone
            self.reference.call(CallId(len(self.bench.answers) + len(self.bench.unanswered) + 1), call)
            self.bench.call(call)

    @precondition(lambda self: self.reference.announced)
    @rule(really=st.integers(0, 5))
    def shut_down(self, really: int) -> None:
        if really == 0 and not self.reference.ending:
            self.reference.ending = True
            self.reference.settle()
            self.bench.shut_down()

    @rule(data=st.data())
    def something_comes_too_late(self, data: st.DataObject) -> None:
        """Timers that were cancelled, and notices of incarnations that are gone."""
        gone = [late for late in self.bench.old_notices if self.bench.live.get(late.child) != late.generation]
        late = [*self.bench.old_timers, *gone]
        if late:
            events = len(self.bench.events)
            chosen = data.draw(st.sampled_from(late))
            self.bench.feed(chosen)
            is_timer = isinstance(chosen, RetryDue | StartOverdue | StopOverdue)
            counted = 0 if is_timer or self.reference.ended else 1
            assert counted == len(self.bench.events) - events

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "bench"):
            return
        self.bench.check_table()
        reference, bench = self.reference, self.bench
        assert reference.ended == (bench.ended is not None)
        if not reference.ending:
            assert reference.announced == bench.has_started()
        shown = {slot.spec.id: SHOWN.get(slot.status) or at_start(slot) for slot in reference.slots}
        assert shown == {child.id: child.state.value for child in bench.machine.children.values()}
        assert [slot.spec.id for slot in reference.slots] == list(bench.machine.children)
        assert {slot.spec.id for slot in reference.slots if slot.ready} == {
            child.id for child in bench.machine.children.values() if child.ready
        }
        deadlines = [(slot.spec.id, at) for slot in reference.slots for at in (slot.start_deadline, slot.deadline)]
        assert sorted((name, at) for name, at in deadlines if at is not None and at < INFINITY) == sorted(
            (due.child, at) for due, at in bench.timers.items()
        )
        assert reference.answers == {call: in_word(outcome) for call, outcome in bench.answers.items()}
        assert reference.abandoned == set(bench.machine.report.abandoned)
        assert len(reference.charged) == sum(child_charges(bench))

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        if not self.reference.ending:
            self.reference.ending = True
            self.reference.settle()
            self.bench.shut_down()
        while not self.reference.ended:
            slot = next(slot for slot in self.reference.slots if slot.status == STOPPING)
            self.reference.gone(slot, Shutdown())
            self.bench.ends(slot.spec.id)
            self.agree()
        assert not self.bench.unanswered
        assert not self.bench.live
        assert not self.bench.timers


def child_charges(bench: "Bench") -> list[int]:
    """A one for each announced restart that was charged to the supervisor."""
    return [event.allowed == LIMIT.restarts for event in bench.of(ChildRestarting)]


def test_the_machine_does_what_the_reference_does(bench_class: "type[Bench]") -> None:
    """A.2 to A.7, A.10, A.15, whatever happens in whatever order."""
    Supervision.make_bench = bench_class
    run_state_machine_as_test(
        Supervision,
        settings=settings(
            max_examples=300,
            stateful_step_count=30,
            deadline=None,
            database=None,
            phases=(Phase.generate,),  # shrinking takes minutes, and thirty steps can be read
        ),
    )
