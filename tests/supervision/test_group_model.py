"""The machine against OTP's supervisor as it is written there: blocking, one call at a time, over a plain list.

Each random event is run to its end before the next one, so nothing is interleaved: what the machine
does in phases must come to what OTP does in one go. Interleavings are in test_group_invariants.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from treewarden.actors import Actor, ChildId, ChildSpec, Crashed, Intensity, Normal, Restart, Shutdown
from treewarden.supervision_trees import AutoShutdown, Strategy
from treewarden.supervision_trees._effects import (
    DeleteChild,
    Refused,
    RestartChild,
    RunsAlready,
    StartChild,
    TerminateChild,
)

if TYPE_CHECKING:
    from .conftest import Bench

NAMES = "abcd"
LIMIT = Intensity(3, within=5.0)


@dataclass
class Slot:
    """A child of the reference."""

    spec: ChildSpec
    is_up: bool = False

    @property
    def stays(self) -> bool:
        return self.spec.restart is not Restart.TEMPORARY


@dataclass
class Otp:
    """supervisor.erl's rules (supervision.md B 1.3 to B 1.10) with a scan for every question."""

    strategy: Strategy
    auto: AutoShutdown
    outcomes: list[str]
    slots: list[Slot] = field(default_factory=list[Slot])
    now: float = 0.0
    charged: list[float] = field(default_factory=list[float])
    starts: list[str] = field(default_factory=list[str])
    stops: list[str] = field(default_factory=list[str])
    ended: str | None = None

    def boot(self, specs: Sequence[ChildSpec]) -> None:
        self.slots = [Slot(spec) for spec in specs]
        for slot in tuple(self.slots):
            if self.start(slot) == "crash":
                self.end("failed")
                return

    def find(self, name: str) -> Slot | None:
        return next((slot for slot in self.slots if slot.spec.id == name), None)

    def start(self, slot: Slot) -> str:
        self.starts.append(slot.spec.id)
        outcome = self.outcomes.pop(0) if self.outcomes else "run"
        slot.is_up = outcome == "run"
        if outcome == "decline" and not slot.stays:
            self.slots.remove(slot)
        return outcome

    def stop(self, slots: Sequence[Slot]) -> None:
        """Stop those that are up, from right to left; temporary ones go."""
        for slot in reversed(slots):
            if slot.is_up:
                self.stops.append(slot.spec.id)
                slot.is_up = False
                if not slot.stays:
                    self.slots.remove(slot)

    def end(self, why: str) -> None:
        self.stop(tuple(self.slots))
        self.ended = why

    def died(self, slot: Slot, *, crashed: bool) -> None:
        slot.is_up = False
        restart = slot.spec.restart
        if restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and crashed):
            self.restart(slot)
            return
        if not slot.stays:
            self.slots.remove(slot)
        some_left = any(other.spec.significant and other.is_up for other in self.slots)
        if slot.spec.significant and (
            self.auto is AutoShutdown.ANY_SIGNIFICANT or (self.auto is AutoShutdown.ALL_SIGNIFICANT and not some_left)
        ):
            self.end("auto_shutdown")

    def restart(self, culprit: Slot) -> None:
        failed: Slot | None = culprit
        while failed is not None:
            self.charged = [at for at in self.charged if at >= self.now - LIMIT.within] + [self.now]
            if len(self.charged) > LIMIT.restarts:
                self.end("intensity")
                return
            place = self.slots.index(failed)
            scope = {
                Strategy.ONE_FOR_ONE: self.slots[place : place + 1],
                Strategy.ONE_FOR_ALL: self.slots[:],
                Strategy.REST_FOR_ONE: self.slots[place:],
            }[self.strategy]
            self.stop(scope)
            failed = next((slot for slot in scope if slot in self.slots and self.start(slot) == "crash"), None)

    def call(self, verb: str, name: str, spec: ChildSpec) -> str:
        slot = self.find(name)
        if verb == "start":
            if slot is not None:
                return "refused"
            self.slots.append(slot := Slot(spec))
            outcome = self.start(slot)
            if outcome == "crash":
                self.slots.remove(slot)
            return {"run": "up", "decline": "done", "crash": "refused"}[outcome]
        if slot is None or (verb != "terminate" and slot.is_up):
            return "refused"
        match verb:
            case "terminate":
                self.stop([slot])
            case "restart":
                return {"run": "up", "decline": "done", "crash": "refused"}[self.start(slot)]
            case _:
                self.slots.remove(slot)
        return "done"


def settle(world: "Bench", outcomes: list[str]) -> None:
    """Carry out what the machine asks for, each start as the script says."""
    while True:
        in_start = [name for name in world.live if not world.child(name).started and name not in world.asked_to_stop]
        if world.asked_to_stop:
            world.ends(next(iter(world.asked_to_stop)))
        elif in_start:
            assert 1 == len(in_start)
            outcome = outcomes.pop(0) if outcomes else "run"
            {"run": world.started, "decline": world.declines, "crash": world.crashes}[outcome](in_start[0])
        else:
            return


def compare(world: "Bench", otp: Otp) -> None:
    assert otp.starts == [name for name, _ in world.starts]
    assert otp.stops == world.stops
    ended = {Shutdown("intensity"): "intensity", Shutdown("auto_shutdown"): "auto_shutdown", None: None}
    assert otp.ended == ("failed" if isinstance(world.ended, Crashed) else ended[world.ended])  # type: ignore[index]  # no other
    if otp.ended is None:
        table = [(name, name in world.live) for name in world.machine.children]
        assert [(slot.spec.id, slot.is_up) for slot in otp.slots] == table
        recent = [at for at in otp.charged if otp.now - at <= LIMIT.within]
        assert len(recent) == world.machine.window.used(world.machine.window_time(world.now))


@st.composite
def specs(draw: st.DrawFn, name: str, auto: AutoShutdown) -> ChildSpec:
    restart = draw(st.sampled_from([Restart.PERMANENT, Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY]))
    may = auto is not AutoShutdown.NEVER and restart is not Restart.PERMANENT
    return ChildSpec.of(Actor, id=name, restart=restart, significant=may and draw(st.booleans()))


OUTCOMES = st.lists(st.sampled_from(["run", "run", "run", "run", "crash", "decline"]), max_size=12)


@settings(max_examples=250, deadline=None)
@given(data=st.data(), strategy=st.sampled_from(Strategy), auto=st.sampled_from(AutoShutdown), calm=st.booleans())
def test_event_by_event_the_machine_does_what_otp_does(
    data: st.DataObject, strategy: Strategy, auto: AutoShutdown, calm: bool, bench_class: "type[Bench]"
) -> None:
    """A.1, A.3, A.8, A.9, A.10, B 1.3 to B 1.10: starts, stops, charges, answers, table and end are the same."""
    draw: Any = data.draw
    children = [draw(specs(name, auto)) for name in NAMES[: draw(st.integers(1, 4))]]
    outcomes = draw(OUTCOMES)
    otp = Otp(strategy, auto, [] if calm else list(outcomes))
    world = bench_class(*children, strategy=strategy, auto_shutdown=auto, intensity=LIMIT)
    script = [] if calm else list(outcomes)
    otp.boot(children)
    world.boot()
    settle(world, script)
    compare(world, otp)
    for _ in range(draw(st.integers(0, 12))):
        if otp.ended is not None:
            break
        seconds = draw(st.sampled_from([0.0, 1.0, 5.0, 6.0]))
        otp.now += seconds
        world.advance(seconds)
        more = draw(OUTCOMES)
        otp.outcomes, script = list(more), list(more)
        name = ChildId(draw(st.sampled_from(NAMES)))
        slot = otp.find(name)
        what = draw(st.sampled_from(["crash", "crash", "end", "start", "terminate", "restart", "delete"]))
        if what in ("crash", "end"):
            if slot is None or not slot.is_up:
                continue
            otp.died(slot, crashed=what == "crash")
            world.ends(name, Crashed(RuntimeError()) if what == "crash" else Normal())
            settle(world, script)
        else:
            spec = draw(specs(name, auto))
            calls = {"terminate": TerminateChild(name), "restart": RestartChild(name), "delete": DeleteChild(name)}
            expected = otp.call(what, name, spec)
            call = world.call(calls.get(what, StartChild(spec)))
            settle(world, script)
            match world.answers[call]:
                case Refused() | RunsAlready():
                    assert "refused" == expected
                case None:
                    assert "done" == expected
                case _:
                    assert "up" == expected
        compare(world, otp)
        world.check_table()
    if world.ended is None:
        world.shut_down()
        settle(world, [])
