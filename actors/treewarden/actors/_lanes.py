"""The two lanes of an incarnation: how a message gets in, who takes the actor up, and what is turned away.

- *Lanes.* Stop, kill, state requests and children's notices go by the system lane, which overtakes
  the mailbox. Messages from one sender arrive in order.
- *Token.* `_token` holds one item while nobody runs this actor. Whoever pops it may schedule it;
  the worker puts it back when it leaves. `list.pop` is atomic under the GIL, so `tell` takes no
  lock and at most one thread is ever inside an actor. After giving the token back the worker
  looks at the lanes once more: a message put in between is seen by one side or the other.
- *Turning away.* A message that meets a dead actor is answered `ActorDead` if somebody asked, and
  becomes a `DeadLetter` event otherwise; none vanishes.

Not promised: anything without a GIL.
"""

from abc import ABC, abstractmethod
from collections import deque
from typing import Any

from treewarden.actors._errors import ActorDead
from treewarden.actors._events import DeadLetter
from treewarden.actors._exits import ExitReason, describe_exit
from treewarden.actors._life import Ask, Life, running_incarnation
from treewarden.actors._links import Signal
from treewarden.actors._reply import Reply
from treewarden.actors._requests import turn_away_requests
from treewarden.actors._status import Status

__all__ = ["Lanes"]


class Lanes(Life, ABC):
    """An incarnation as one that is sent to. `tell`, `tell_if_alive` and `tell_system` are safe from any thread."""

    __slots__ = ()

    @abstractmethod
    def run(self) -> None:
        """Take the actor up, on the calling worker."""

    def tell(self, message: object) -> None:
        """Put `message` (or an `Ask`) in the mailbox; `ActorDead` if the actor has ended."""
        sender = running_incarnation()
        if sender is not None and sender.is_fenced():
            sender.refuse(message)
        if self._exit_reason is not None:
            raise ActorDead(f"{self.path} (generation {self.generation}) has ended: {describe_exit(self._exit_reason)}")
        if sender is not None and sender.instrument is not None:
            sender.instrument.sent(sender, message.message if isinstance(message, Ask) else message)
        self._user_lane.append(message)
        self._wake()
        # The end may have been declared, and the mailbox turned away, between the look and the
        # append; the stuck thread holds the token and would leave the message there.
        if self._fenced:
            self._turn_away()

    def tell_if_alive(self, message: object) -> None:
        """Put `message` in the mailbox unless the actor has ended; for what its end makes moot (timers)."""
        if self._exit_reason is None:
            self._user_lane.append(message)
            self._wake()

    def tell_system(self, message: object) -> None:
        """Put a stop request, state request or child's notice in the lane that overtakes the mailbox."""
        self._system_lane.append(message)
        self._wake()

    # On the actor's own turn

    def request_exit(self, reason: ExitReason) -> None:
        """End with `reason` after the message in hand; the first request wins."""
        if self._exit_request is None:
            self._exit_request = reason
        self._wake()

    def suspend(self) -> None:
        """Leave the mailbox alone, and what is in the system lane but state requests, stop and kill (B 3.4).

        Nothing in one that is stopping: it needs what is in the lane, a supervisor the ends of its children.
        """
        if self._suspended is None and not self._stop_ordered:
            self._suspended = deque()

    def resume(self) -> None:
        """Go on, first with the system messages that waited, then with the mailbox."""
        if self._suspended is not None:
            waiting, self._suspended = self._suspended, None
            self._system_lane.extendleft(reversed(waiting))

    def take_reply(self) -> Reply[Any]:
        """The reply to the message in hand, to be set later; it fails if the actor ends before."""
        in_hand, self._in_hand = self._in_hand, None
        if in_hand is None:
            return Reply()  # the message came by `tell`: nobody waits
        self._deferred.add(in_hand.reply)
        in_hand.reply.when_done(lambda: self._deferred.discard(in_hand.reply))
        if self._fenced:  # perhaps since a moment ago, when the deferred replies were turned away without this one
            self._turn_away()
            self.refuse(in_hand.reply)
        return in_hand.reply

    # Being taken up

    def _wake(self) -> None:
        try:
            self._token.pop()
        except IndexError:
            return  # a worker is inside, or it is on the run queue already
        self.system.dispatcher.schedule(self)

    def _has_work(self) -> bool:
        if self._system_lane or (self._user_lane and self._suspended is None):
            return True
        # An end declared from outside wants its clean-up, though no lane says so.
        return self.status is not Status.STOPPED and (self._exit_request or self._exit_reason) is not None

    # Turning away

    def _turn_away(self) -> None:
        """Answer or report what nobody will handle any more. Safe from any thread; each item is met once."""
        turn_away_requests((self._message, *self._system_lane.copy()), self.path)
        for reply in self._deferred.copy():
            reply.try_fail(ActorDead(f"{self.path} ended before it answered"))
        while self._user_lane:
            try:
                item = self._user_lane.popleft()
            except IndexError:  # another thread took the last one
                return
            if isinstance(item, Ask):
                item.reply.try_fail(ActorDead(f"{self.path} ended before it handled this message"))
            elif not isinstance(item, Signal):  # news of another's end is moot, and nobody sent it
                self.system.events.emit(DeadLetter(self.path, type(item).__name__))
