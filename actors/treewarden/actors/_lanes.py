"""The two lanes of an incarnation: how a message gets in, who takes the actor up, and what is turned away.

- *Lanes.* Stop, kill, state requests and children's notices go by the system lane, which overtakes
  the mailbox. Messages from one sender arrive in order.
- *Token.* `_token` holds one item while nobody runs this actor. Whoever pops it may run or schedule
  it; whoever ran it puts it back. `list.pop` is atomic under the GIL, so `tell` takes no lock and at
  most one thread is ever inside an actor. A message is in the mailbox before its sender looks for the
  token, and the token is back before a worker looks at the lanes for the last time: one side sees the other.
- *Attention.* A worker looks at one flag before each message. Whatever else than a message an actor is
  to look at is put where it belongs first, and the flag is raised then.
- *Bound.* A mailbox with a bound asks its `Room` for a place; one without pays nothing for it.
- *Turning away.* A message that meets a dead actor is answered `ActorDead` if somebody asked, and
  becomes a `DeadLetter` event otherwise; none vanishes.

Not promised: anything without a GIL.
"""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pykka import messages as pykka_messages

from treewarden.actors._dispatcher import run_steppers
from treewarden.actors._errors import ActorDead, MailboxFull, NotAnswered
from treewarden.actors._events import DeadLetter
from treewarden.actors._exits import ExitReason, describe_exit
from treewarden.actors._life import Ask, Life, running_incarnation, thread, watched
from treewarden.actors._links import Signal
from treewarden.actors._mailbox import Overflow, Room
from treewarden.actors._reply import Reply
from treewarden.actors._requests import turn_away_requests
from treewarden.actors._status import Status

if TYPE_CHECKING:
    from treewarden.actors._cut import Hold
    from treewarden.actors._incarnation import Incarnation

__all__ = ["BATCH", "Lanes"]

BATCH: Final = 64  # messages that a worker may handle before others have their turn


class Lanes(Life, ABC):
    """An incarnation as one that is sent to. `tell`, `tell_if_alive` and `tell_system` are safe from any thread."""

    __slots__ = ()

    @abstractmethod
    def run(self, turns: int = BATCH) -> None:
        """Take the actor up, on the calling thread, for so many turns at most."""

    def tell(self, message: object, *, patience: float = math.inf) -> None:
        """Put `message` (or an `Ask`) in the mailbox; wait for a place, if it is one that has one wait, `patience` at most.

        Raises:
            ActorDead: if the actor has ended.
            MailboxFull: if the mailbox has a bound, and no place for it.
        """
        if watched and self._look_at_sender(message):
            return
        if self._exit_reason is not None:
            raise self._dead()
        if self.room is None:
            self._user_lane.append(message)
        else:
            self._find_place(self.room, message, patience)
        if self._token:
            self._wake()
        # The end may have been declared, and the mailbox turned away, between the look and the
        # append; the stuck thread holds the token and would leave the message there.
        if self._fenced:
            self._turn_away()

    def offer(self, message: object) -> bool:
        """`tell`, but False where that would wait for a place."""
        room = self.room
        if room is None or room.bound.overflow is not Overflow.BLOCK:
            self.tell(message)
            return True
        sender = running_incarnation() if watched else None
        if sender is not None and sender.is_fenced():
            sender.refuse(message)
        if self._exit_reason is not None:
            raise self._dead()
        if sender is not None and sender.holds_back(self, message):
            _note_sent(sender, message)
            return True
        if not room.put(message):
            return False
        if sender is not None:  # only now: it may have been offered before
            _note_sent(sender, message)
        if self._token:
            self._wake()
        if self._fenced:
            self._turn_away()
        return True

    def tell_if_alive(self, message: object) -> None:
        """Put `message` in the mailbox unless the actor has ended; for what its end makes moot (timers)."""
        if self._exit_reason is None:
            self._user_lane.append(message)
            if self._token:
                self._wake()

    def tell_system(self, message: object) -> None:
        """Put a stop request, state request or child's notice in the lane that overtakes the mailbox."""
        lane = self._system_lane
        if lane is None:
            lane = self._open_system_lane()
        lane.append(message)
        self._attention = True
        if self._token:
            self._wake()

    def _look_at_sender(self, message: object) -> bool:
        """Refuse or note what is sent; whether its sender sends it later, by itself."""
        sender = running_incarnation()
        if sender is None:
            return False
        if sender.is_fenced():
            sender.refuse(message)
        if self._exit_reason is not None:
            return False
        _note_sent(sender, message)
        return sender.holds_back(self, message)

    def _given_up_on(self) -> ActorDead:
        return ActorDead(f"{self.path} was given up on while it handled this message")

    def _dead(self) -> ActorDead:
        assert self._exit_reason is not None
        return ActorDead(f"{self.path} (generation {self.generation}) has ended: {describe_exit(self._exit_reason)}")

    def _find_place(self, room: Room, message: object, patience: float) -> None:
        if room.put(message):
            return
        if isinstance(message, Ask) and isinstance(message.message, pykka_messages._ActorStop):  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - what pykka's ref.stop() sends
            self._user_lane.append(message)  # a full mailbox must not keep an actor from being stopped
            return
        match room.bound.overflow:
            case Overflow.DROP if not isinstance(message, Ask):
                self.system.events.emit(DeadLetter(self.path, type(message).__name__))
            case Overflow.BLOCK if not self._is_held_up_here():
                self._wait_for_place(room, message, min(patience, room.bound.within))
            case _:
                raise MailboxFull(self.path, room.bound.limit)

    def _is_held_up_here(self) -> bool:
        """Whether the calling thread is in this actor's code: then nobody would empty its mailbox meanwhile."""
        here = thread.here
        return here.incarnation is self or any(inline.asker is self for inline in here.inline)

    def _wait_for_place(self, room: Room, message: object, within: float) -> None:
        clock = self.system.clock
        until = clock.monotonic() + within
        while not room.put(message):
            try:
                made = run_steppers(room.has_place) or room.wait(until - clock.monotonic())
            except NotAnswered:  # in a test without threads: nothing is left to run
                made = False
            if not made:
                raise MailboxFull(self.path, room.bound.limit)
            if self._exit_reason is not None:
                raise self._dead()
            if watched and (sender := running_incarnation()) is not None and sender.is_fenced():
                room.made()  # the place is for the next: whoever was given up on meanwhile is not let in
                sender.refuse(message)

    # On the actor's own turn

    def request_exit(self, reason: ExitReason) -> None:
        """End with `reason` after the message in hand; the first request wins."""
        if self._exit_request is None:
            self._exit_request = reason
        self._attention = True
        self._wake()

    def suspend(self) -> None:
        """Leave the mailbox alone, and what is in the system lane but state requests, stop and kill (B 3.4).

        Nothing in one that is stopping: it needs what is in the lane, a supervisor the ends of its children.
        """
        if self._suspended is None and not self._stop_ordered:
            self._suspended = deque()
            self._attention = True

    def resume(self) -> None:
        """Go on, first with the system messages that waited, then with the mailbox."""
        if self._suspended is not None:
            waiting, self._suspended = self._suspended, None
            if waiting:
                self._open_system_lane().extendleft(reversed(waiting))
                self._attention = True

    def take_reply(self) -> Reply[Any]:
        """The reply to the message in hand, to be set later; it fails if the actor ends before."""
        in_hand, self._in_hand = self._in_hand, None
        if in_hand is None:
            return Reply()  # the message came by `tell`: nobody waits
        if self._deferred is None:
            self._deferred = set()
        deferred = self._deferred
        deferred.add(in_hand.reply)
        in_hand.reply.when_done(lambda: deferred.discard(in_hand.reply))
        if self._fenced:  # perhaps since a moment ago, when the deferred replies were turned away without this one
            self._turn_away()
            self.refuse(in_hand.reply)
        return in_hand.reply

    def put_first(self, messages: Sequence[object]) -> None:
        """Have `messages` before all that waits; on its own turn."""
        self._user_lane.extendleft(reversed(messages))

    # Being held, by whoever takes a cut

    def be_held(self, hold: "Hold") -> None:
        """From now on the mailbox is left alone as `hold` says, and the token given to it."""
        self.hold = hold
        self._attention = True  # in this order: who sees the flag finds the hold

    def take_token(self) -> bool:
        """Be the one who may run it; False if somebody is."""
        try:
            self._token.pop()
        except IndexError:
            return False
        return True

    def give_token_back(self) -> None:
        """Be run by nobody, and by somebody soon if there is work."""
        self._token.append(True)
        if self._has_work():
            self._wake()

    # Being taken up

    def _wake(self) -> None:
        try:
            self._token.pop()
        except IndexError:
            return  # a worker is inside, or it is on the run queue already
        ahead = thread.here.ahead
        if ahead is not None and self._may_be_put_aside():
            ahead.append(self)
        else:
            self.schedule()

    def schedule(self) -> None:
        """Have it run soon, by a worker or on its own thread; by whoever holds the token."""
        own = self.own_thread
        (self.system.dispatcher if own is None else own).schedule(self)

    def _may_be_put_aside(self) -> bool:
        """Whether the calling thread may run it later, though nobody else sees it until then."""
        if not (self.inline and (self.status is Status.NEW or self.blocks_nowhere())):
            return False
        running = running_incarnation()  # it runs no code that might block, or this one would wait behind it
        return running is not None and (running.blocks_nowhere() or not running.is_in_own_code())

    def _has_work(self) -> bool:
        if not self._attention:
            return bool(self._user_lane)
        if self._system_lane or (self._user_lane and self._suspended is None):
            return True
        # An end declared from outside wants its clean-up, though no lane says so.
        return self.status is not Status.STOPPED and (self._exit_request or self._exit_reason) is not None

    # Turning away

    def _turn_away(self) -> None:
        """Answer or report what nobody will handle any more. Safe from any thread; each item is met once."""
        system_lane = self._system_lane
        turn_away_requests((self._message, *(() if system_lane is None else system_lane.copy())), self.path)
        for reply in () if self._deferred is None else self._deferred.copy():
            reply.try_fail(ActorDead(f"{self.path} ended before it answered"))
        while self._user_lane:
            try:
                item = self._user_lane.popleft()
            except IndexError:  # another thread took the last one
                break
            self._turn_away_one(item)
        if self.room is not None:
            self.room.close()

    def _turn_away_one(self, item: object) -> None:
        if isinstance(item, Ask):
            item.reply.try_fail(ActorDead(f"{self.path} ended before it handled this message"))
        elif not isinstance(item, Signal):  # news of another's end is moot, and nobody sent it
            self.system.events.emit(DeadLetter(self.path, type(item).__name__))


def _note_sent(sender: "Incarnation", message: object) -> None:
    if sender.instrument is not None:
        sender.instrument.sent(sender, message.message if isinstance(message, Ask) else message)
