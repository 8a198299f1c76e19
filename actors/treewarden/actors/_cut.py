"""A consistent cut: the states of many running actors as of one moment, taken while they run.

Every actor of the cut is held at a message boundary: it handles no further message until all are
held, all are captured, and all are let go. Nobody of them is inside a message then, so their states
and what waits in their mailboxes are one point in time: no message is in two places, none in neither.
Holding is taking the actor's token, as a worker does, so an actor at rest costs one `list.pop`.

What must go on, so that everybody comes to a boundary:

- the system lane: starts, ends, state requests. A supervisor is held once nothing of that waits;
- whoever an actor in the middle of a message waits on (an ask), through actors outside the cut too: it
  handles messages until that is answered, in the order of its mailbox, and is held again;
- everybody who has messages, while such an ask was taken to be answered later: anyone may bring that about;
- an actor whose full mailbox has senders wait, while nothing else goes forward: one of them may be in the cut.

An actor that comes to no boundary in time fails the cut; everybody goes on as before. Rejected:
marker messages (Chandy and Lamport 1985), and recording each actor at its own next boundary (Lai and
Yang 1987). Both keep everybody running, and both are wrong once an actor asks another one in the
middle of a message: it would be recorded with the answer of one that was recorded before it.

Not seen: an actor that has not started yet, a wait that is not on a reply, what a thread of the
actor's own does, and messages on their way from outside the cut.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final

from treewarden.actors._clock import Clock
from treewarden.actors._errors import TreewardenError, describe_error
from treewarden.actors._ids import ActorPath, Generation
from treewarden.actors._life import Life, thread
from treewarden.actors._mailbox import Room

if TYPE_CHECKING:
    from treewarden.actors._incarnation import Incarnation
    from treewarden.actors._ref import ActorRef
    from treewarden.actors._reply import Reply

__all__ = ["Captured", "Cut", "CutFailed", "Hold", "take_cut"]

FIRST_LOOK: Final = 0.001  # seconds until those that are not at a boundary are looked at again; doubled each time
LONGEST_LOOK: Final = 0.032  # up to this, for a look is at everybody


class CutFailed(TreewardenError):
    """The states could not be taken; every actor goes on as before. `paths` are those it failed on."""

    def __init__(self, why: str, paths: tuple[ActorPath, ...]) -> None:
        super().__init__(f"no consistent cut: {why}")
        self.why, self.paths = why, paths


@final
@dataclass(frozen=True, slots=True)
class Captured:
    """One actor of a cut; `content` is what the capturing function made of it."""

    path: ActorPath
    generation: Generation
    content: Any


@final
@dataclass(frozen=True, slots=True)
class Cut:
    """The actors as of one moment, in the order of their paths; they stood still for `paused` seconds."""

    actors: tuple[Captured, ...]
    paused: float
    beside: Any = None
    """What `beside` made of that moment."""


@final
class Hold:
    """The hold of one cut on its actors. `stops` and `take` are called by whoever runs an actor, on any thread."""

    def __init__(self, capture: "Callable[[Incarnation], object]") -> None:
        self._make = capture
        # Guards all below and the step of a token from an actor to this; notified with each.
        self._changed = threading.Condition()
        self._members: dict[Life, Incarnation] = {}
        self._bounded: list[Incarnation] = []  # those of them whose mailboxes have a bound
        self._held: dict[Incarnation, None] = {}  # whose tokens are here
        self._going: dict[Incarnation, Callable[[], bool]] = {}  # who handles messages as long as that is true
        self._is_over = False

    # For whoever runs an actor

    def stops(self, incarnation: "Incarnation") -> bool:
        """Whether `incarnation` is to leave its mailbox alone."""
        goes_on = self._going.get(incarnation)
        return goes_on is None or not goes_on()

    def take(self, incarnation: "Incarnation") -> bool:
        """Take over the token of `incarnation` from the calling thread, which holds it; False if it goes on."""
        with self._changed:
            if self._is_over or not incarnation.is_at_boundary() or not self.stops(incarnation):
                return False
            self._going.pop(incarnation, None)
            self._held[incarnation] = None
            self._changed.notify_all()
            return True

    # For the one who takes the cut

    def hold_all(self, members: "Callable[[], Iterable[Incarnation]]", until: float, clock: Clock) -> None:
        """Hold all `members`, those that come to be meanwhile too.

        Raises:
            CutFailed: if one is not at a boundary when `clock` says `until`.
        """
        # Doubled each time: else two whose mailboxes are full all the time would be let go on by turns for ever.
        patience = FIRST_LOOK
        while True:
            self._enlist(members())
            pause, came_at = FIRST_LOOK, clock.monotonic()
            while missing := self._missing():
                now = clock.monotonic()
                if now >= until:
                    raise self._not_at_a_boundary(missing)
                if now - came_at >= patience:
                    self._let_make_room(frozenset(missing))
                    patience, came_at = 2 * patience, now
                held = self._let_go_on(missing)
                with self._changed:
                    if len(self._held) != held or self._changed.wait(pause):  # somebody has come
                        came_at = clock.monotonic()
                pause = min(2 * pause, LONGEST_LOOK)
            # Held, supervisors too, so nobody starts anybody; those who were started just before are seen now.
            if all(incarnation in self._members for incarnation in members()) and not self._let_go_who_must():
                return

    def captured(self) -> tuple[Captured, ...]:
        """What there is of each member, all of which are held."""
        attempts = [_Attempt(incarnation, self._make) for incarnation in self._held]
        for attempt in attempts:
            attempt.begin()
        return tuple(sorted((attempt.result() for attempt in attempts), key=lambda captured: captured.path))

    def release(self) -> None:
        """Let everybody go on; idempotent."""
        with self._changed:
            self._is_over = True  # from here on nobody hands a token over
            held, self._held = tuple(self._held), {}
        for incarnation in self._members.values():
            incarnation.hold = None
        for incarnation in held:
            incarnation.give_token_back()

    def _enlist(self, members: "Iterable[Incarnation]") -> None:
        for incarnation in members:
            if incarnation not in self._members:
                self._members[incarnation] = incarnation
                if incarnation.room is not None:
                    self._bounded.append(incarnation)
                incarnation.be_held(self)

    def _missing(self) -> "list[Incarnation]":
        """Those that are neither held nor at their end, once those at rest are taken."""
        self._let_go_who_must()
        missing: list[Incarnation] = []
        for incarnation in self._members.values():
            if incarnation in self._held or incarnation.has_ended():
                continue
            if incarnation.take_token() and not self.take(incarnation):
                incarnation.give_token_back()
            if incarnation not in self._held:
                missing.append(incarnation)
        return missing

    def _let_go_who_must(self) -> bool:
        """Give those back that have something to do that is no message; whether there were any."""
        must = [incarnation for incarnation in tuple(self._held) if not incarnation.is_at_boundary()]
        for incarnation in must:
            self._give_back(incarnation)
        return bool(must)

    def _let_go_on(self, missing: "list[Incarnation]") -> int:
        """Let those handle messages for whom one of `missing` waits in the middle of its own; how many are held still."""
        for incarnation in missing:
            asks, seen = incarnation.system.asks, set[Life]()
            wait = asks.waited_on_by(incarnation)
            while wait is not None and wait[0] not in seen:
                last, reply = wait
                seen.add(last)
                asked, is_open = self._members.get(last), partial(_is_open, reply)
                if last.has_taken(reply):
                    for each in tuple(self._held):
                        if each.mailbox():
                            self._let_go_while(each, is_open)
                elif asked is not None and asked in self._held:
                    self._let_go_while(asked, is_open)
                # One of the cut is looked at for itself; another one may wait for one of the cut.
                wait = None if asked is not None else asks.waited_on_by(last)
        return len(self._held)

    def _let_make_room(self, missing: "frozenset[Incarnation]") -> None:
        """Let those handle messages whose full mailboxes have senders wait, one of `missing` perhaps."""
        for incarnation in self._bounded:
            room = incarnation.room
            if room is not None and incarnation in self._held and room.is_waited_for():
                self._let_go_while(incarnation, partial(self._makes_room, room, missing))

    def _makes_room(self, room: Room, missing: "frozenset[Incarnation]") -> bool:
        # No longer than for those: senders from outside may wait there for ever.
        return room.is_waited_for() and not all(each in self._held or each.has_ended() for each in missing)

    def _let_go_while(self, incarnation: "Incarnation", goes_on: Callable[[], bool]) -> None:
        self._going[incarnation] = goes_on
        self._give_back(incarnation)

    def _give_back(self, incarnation: "Incarnation") -> None:
        with self._changed:
            del self._held[incarnation]
        incarnation.give_token_back()

    def _not_at_a_boundary(self, missing: "list[Incarnation]") -> CutFailed:
        busy = tuple((each.path, each.message_in_hand()) for each in missing)
        named = ", ".join(f"{path} ({message or 'no message'} in hand)" for path, message in busy[:5])
        more = f" and {len(busy) - 5} more" if len(busy) > 5 else ""  # noqa: PLR2004 - as many as are named
        return CutFailed(f"not at a message boundary in time: {named}{more}", tuple(path for path, _ in busy))


@final
class _Attempt:
    """The capturing of one actor that is held: here, or on the thread that it has to itself, where its state belongs."""

    def __init__(self, incarnation: "Incarnation", make: "Callable[[Incarnation], object]") -> None:
        self._incarnation, self._make = incarnation, make
        self._done = threading.Event()
        self._content: object = None
        self._error: Exception | None = None

    def begin(self) -> None:
        own = self._incarnation.own_thread
        if own is None:
            self.run()
        else:
            own.schedule(self)

    def run(self) -> None:
        here = thread.here
        outer, here.incarnation = here.incarnation, self._incarnation  # what is called is the actor's own code
        try:
            self._content = self._make(self._incarnation)
        except Exception as error:  # noqa: BLE001 - the actor's own code: it fails the cut, not the actor
            self._error = error
        finally:
            here.incarnation = outer
            self._done.set()

    def result(self) -> Captured:
        self._done.wait()
        path = self._incarnation.path
        if self._error is not None:
            raise CutFailed(f"{path}: {describe_error(self._error)}", (path,)) from self._error
        return Captured(path, self._incarnation.generation, self._content)


def _is_open(reply: "Reply[Any]") -> bool:
    return not reply.is_set()


def take_cut(
    members: "Callable[[], Iterable[ActorRef[Any]]]",
    capture: "Callable[[Incarnation], object]",
    *,
    clock: Clock,
    within: float,
    beside: Callable[[tuple[Captured, ...]], object] = lambda _: None,
) -> Cut:
    """Hold `members`, have `capture` look at each, let them go; blocks the caller, who must be none of them.

    One cut at a time for an actor. `capture` runs on the calling thread, for an actor that has a
    thread of its own on that one; it must be short, and must not call any actor.

    Args:
        members: who is in it; asked again until nobody new is there.
        capture: makes of an actor at rest what is kept of it, while all stand still.
        clock: the clock of `within`.
        within: seconds for everybody to come to a message boundary. Actors stand still meanwhile.
        beside: looks at what else belongs to that moment, while all stand still; it is given what was captured.

    Raises:
        CutFailed: somebody did not, or `capture` raised; nothing was changed.
        Exception: what `beside` raised; likewise.
    """
    asking = thread.here.incarnation
    hold = Hold(capture)
    began = clock.monotonic()

    def incarnations() -> "list[Incarnation]":
        found = [ref.incarnation() for ref in members()]
        if asking is not None and asking in found:
            raise CutFailed(f"{asking.path} asks for it in a handler of its own, and is a part of it", (asking.path,))
        return found

    try:
        hold.hold_all(incarnations, began + within, clock)
        captured = hold.captured()
        found = beside(captured)
        return Cut(captured, clock.monotonic() - began, found)
    finally:
        hold.release()
