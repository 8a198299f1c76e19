"""What is measured and traced at a path, kept across restarts (supervision.md A.13; OTP loses it).

An `Instrument` belongs to a path, not to an incarnation: the next one there picks it up when it is
made. It is written on the turn of the incarnation that lives there, and read from anywhere; what
is read is frozen. An actor without one pays one look at a slot per message.

Not promised: exact counters while an incarnation that was given up on still runs beside its
successor; what the old one still does is not counted, save for what both do in that very moment.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from treewarden.actors._clock import Clock
from treewarden.actors._errors import Rejected
from treewarden.actors._events import ActorTraced
from treewarden.actors._exits import Crashed, ExitReason
from treewarden.actors._ids import ActorPath, Generation
from treewarden.actors._outline import described_message
from treewarden.actors._tracing import TraceBudget, TraceOptions, TraceVerdict, admit, open_budget

if TYPE_CHECKING:
    from treewarden.actors._incarnation import Incarnation

__all__ = ["KEPT_EVENTS", "ActorStatistics", "Instrument", "Instruments"]

KEPT_EVENTS: Final = 10  # OTP's default


@final
@dataclass(frozen=True, slots=True)
class ActorStatistics:
    """What was counted at a path since `since`, over all incarnations; both times are wall seconds."""

    path: ActorPath
    generation: Generation  # of the incarnation that was the last to begin
    since: float
    now: float
    messages_in: int  # taken from the mailbox
    messages_out: int  # tells and asks made in a handler, to whomever
    asks_answered: int  # at once or later, `Rejected` included
    crashes: int
    busy: float  # seconds spent in handlers


@final
class _Tally:
    """Counters, since `since`."""

    __slots__ = ("answered", "busy", "crashes", "received", "sent", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.received = self.sent = self.answered = self.crashes = 0
        self.busy = 0.0


@final
class Instrument:
    """What watches one path."""

    __slots__ = ("_budget", "_generation", "_keep", "_kept", "_path", "_tally")

    def __init__(self, path: ActorPath, generation: Generation) -> None:
        self._path, self._generation = path, generation
        self._tally: _Tally | None = None
        self._budget: TraceBudget | None = None
        self._keep = 0
        self._kept: tuple[str, ...] = ()  # replaced, never changed: it is read from any thread

    # Settings, on the actor's own turn

    def start_statistics(self, clock: Clock) -> None:
        """Count from now on; what was counted so far goes on."""
        if self._tally is None:
            self._tally = _Tally(clock.wall())

    def stop_statistics(self) -> None:
        """Forget the counters."""
        self._tally = None

    def set_trace(self, options: TraceOptions | None, clock: Clock) -> None:
        """Begin a trace, in place of the one there was, or end it."""
        self._budget = None if options is None else open_budget(options, clock.monotonic())

    def keep_events(self, count: int) -> None:
        """Remember the last `count` events; 0 forgets them."""
        self._keep = count
        self._kept = self._kept[-count:] if count else ()

    def is_idle(self) -> bool:
        """Whether nothing is measured or traced here any more."""
        return self._tally is None and self._budget is None and not self._keep

    # Readings, from any thread

    def statistics(self, clock: Clock) -> ActorStatistics | None:
        """The counters now; None if nobody asked for them."""
        tally = self._tally
        if tally is None:
            return None
        return ActorStatistics(
            self._path,
            self._generation,
            since=tally.since,
            now=clock.wall(),
            messages_in=tally.received,
            messages_out=tally.sent,
            asks_answered=tally.answered,
            crashes=tally.crashes,
            busy=tally.busy,
        )

    def trace(self, clock: Clock) -> TraceOptions | None:
        """The trace that goes on, if one does."""
        budget = self._budget
        return budget.options if budget is not None and clock.monotonic() < budget.until else None

    def kept(self) -> int:
        """How many events are remembered at most."""
        return self._keep

    def last_events(self) -> tuple[str, ...]:
        """The last events, oldest first."""
        return self._kept

    # What happens to an actor

    def begin(self, generation: Generation) -> None:
        """A new incarnation lives here."""
        self._generation = generation

    def handle(self, incarnation: "Incarnation", message: object) -> object:
        """Have the actor handle `message`, and note it."""
        assert incarnation.actor is not None
        clock, reply = incarnation.system.clock, incarnation.reply_in_hand()
        if self._tally is not None:
            self._tally.received += 1
        self._note(incarnation, "told" if reply is None else "asked", message)
        began = clock.monotonic()
        try:
            answer: Any = incarnation.actor.handle(message)
        except Rejected:
            if reply is not None:
                self._count_answer()
            raise
        finally:
            if self._tally is not None and not incarnation.is_fenced():
                self._tally.busy += clock.monotonic() - began
        if reply is not None and not incarnation.is_fenced():
            if incarnation.reply_in_hand() is reply:
                self._count_answer()
            else:  # it was taken for later
                reply.when_done(lambda: None if incarnation.has_ended() else self._count_answer())
        return answer

    def sent(self, incarnation: "Incarnation", message: object) -> None:
        """The actor sends `message` to somebody."""
        if self._tally is not None:
            self._tally.sent += 1
        self._note(incarnation, "sent", message)

    def ended(self, reason: ExitReason) -> None:
        """The incarnation ended with `reason`."""
        if isinstance(reason, Crashed) and self._tally is not None:
            self._tally.crashes += 1
        self._remember("ended", type(reason).__name__)

    def _count_answer(self) -> None:
        if self._tally is not None:
            self._tally.answered += 1

    def _note(self, incarnation: "Incarnation", what: str, message: object) -> None:
        if not self._keep and self._budget is None:
            return  # only counted: nothing is worded
        assert incarnation.actor is not None
        name = described_message(incarnation.actor, message)
        self._remember(what, name)
        self._show(incarnation, what, name)

    def _remember(self, what: str, name: str) -> None:
        if self._keep:
            self._kept = (*self._kept, f"{what} {name} (generation {self._generation})")[-self._keep :]

    def _show(self, incarnation: "Incarnation", what: str, name: str) -> None:
        if self._budget is None:
            return
        self._budget, verdict = admit(self._budget, incarnation.system.clock.monotonic())
        events, generation = incarnation.system.events, incarnation.generation
        if verdict in (TraceVerdict.SHOW, TraceVerdict.SHOW_AND_END):
            events.emit(ActorTraced(self._path, generation, what, name))
        if verdict in (TraceVerdict.END, TraceVerdict.SHOW_AND_END):
            budget, self._budget = self._budget, None
            shown = budget.options.limit - budget.left
            told = f"trace after {shown} lines, {budget.left_out} left out"
            events.emit(ActorTraced(self._path, generation, "ended", told))


@final
class Instruments:
    """The instruments of one runtime, by path. Safe from any thread."""

    def __init__(self) -> None:
        self._at: dict[ActorPath, Instrument] = {}

    def at(self, path: ActorPath) -> Instrument | None:
        """What watches `path`, if anything does."""
        return self._at.get(path)

    def for_setting(self, path: ActorPath, generation: Generation) -> Instrument:
        """What watches `path`, made now if nothing does."""
        return self._at.setdefault(path, Instrument(path, generation))

    def forget(self, path: ActorPath) -> None:
        """Drop what is set at `path`: no incarnation to come picks it up."""
        self._at.pop(path, None)

    def paths(self) -> frozenset[ActorPath]:
        """Where something is set; a path that nobody will live at again stays until it is forgotten."""
        return frozenset(self._at.copy())
