"""The machinery around one actor object: its turns, on whichever worker takes it up.

A turn does one thing: begin, obey a system message, handle a message, end, or clean up. The layers
below have the rest: `_starting` the start, `_ending` the end and its notice, `_lanes` how messages
get in and who may run the actor, `_life` its state.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, final

from treewarden.actors._errors import ActorCrashed, ActorDead, Rejected
from treewarden.actors._events import MessageFenced
from treewarden.actors._exits import ExitReason
from treewarden.actors._life import Ask, running_incarnation, thread
from treewarden.actors._links import Signal
from treewarden.actors._messages import Kill, Stop
from treewarden.actors._post_mortem import NOTHING
from treewarden.actors._pykka_hooks import hear_failure
from treewarden.actors._reply import Reply
from treewarden.actors._requests import StateRequest, attend, turn_away_requests
from treewarden.actors._starting import Starting
from treewarden.actors._status import Status

__all__ = ["Incarnation"]

BATCH: Final = 64  # messages one turn on a worker may handle


@final
class Incarnation(Starting):
    """One life of an actor. `tell`, `tell_system`, `kill` and `abandon` are safe from any thread."""

    __slots__ = ()

    def run(self) -> None:
        """Handle up to a batch of messages on the calling worker, which holds the token."""
        outer = running_incarnation()
        thread.incarnation = self
        self._inside = (threading.get_ident(), self.system.clock.monotonic())
        try:
            turns = 0
            while turns < BATCH and self._turn():
                turns += 1
        except BaseException as error:  # noqa: BLE001 - worker boundary: without it the token would be lost
            self._collapse(error)
        finally:
            thread.incarnation = outer
            self._inside = None
            self._token.append(True)
            if self._has_work():
                self._wake()

    def _turn(self) -> bool:
        """Do one thing; False when there is nothing to do."""
        if self.status is Status.STOPPED:
            while self._system_lane:
                turn_away_requests((self._system_lane.popleft(),), self.path)
            self._turn_away()
            return False
        if self._exit_reason is not None:
            self._clean_up_after_fence()
        elif self.status is Status.NEW and not self._is_end_ordered():
            self._begin()  # before any system message: `on_system` needs what `__init__` made
        elif self._system_lane:
            self._handle_system(self._system_lane.popleft())
        elif self._exit_request is not None:
            self._end(self._exit_request)
        elif self._user_lane and self._suspended is None:
            self._handle_user()
        else:
            return False
        return True

    def _is_end_ordered(self) -> bool:
        return bool(self._system_lane) and isinstance(self._system_lane[0], Stop | Kill)

    # The system lane

    def _handle_system(self, message: object) -> None:
        match message:
            case Stop(reason):
                self._stop_ordered = True
                self.resume()  # to stop takes what waits: a supervisor's children report their ends
                if self.status is Status.NEW:
                    self._finish(reason)
                elif self._may_enter():
                    self._guarded(reason, self._on_stop_request, None)
            case Kill():
                self._end_killed()
            case StateRequest():
                if self._may_enter():
                    self._guarded(message, partial(attend, self), None)
                else:
                    turn_away_requests((message,), self.path)
            case _ if self._suspended is not None:
                self._suspended.append(message)
            case _:
                if self._may_enter():  # otherwise it falls with the rest of the lane
                    self._guarded(message, self._on_system, None)

    def _on_stop_request(self, reason: ExitReason) -> None:
        assert self.actor is not None
        self.actor.on_stop_request(reason)

    def _on_system(self, message: object) -> None:
        assert self.actor is not None
        self.actor.on_system(message)

    # The mailbox

    def _handle_user(self) -> None:
        assert self.actor is not None
        if not self._may_enter():
            return
        try:
            item = self._user_lane.popleft()
        except IndexError:  # turned away a moment ago by whoever declared the end
            self._busy = False
            return
        if isinstance(item, Signal):
            if item.is_void():
                self._busy = False
                return
            item = item.message
        handle = self.actor.handle if self.instrument is None else partial(self.instrument.handle, self)
        if isinstance(item, Ask):
            self._in_hand = item
            self._guarded(item.message, handle, item.reply)
        else:
            self._guarded(item, handle, None)

    def _guarded(self, message: object, handle: Callable[[Any], object], reply: Reply[Any] | None) -> None:
        """Run `handle(message)`, which `_may_enter` has allowed, and answer."""
        self._message = message
        try:
            answer = handle(message)
        except Rejected as rejection:
            self._busy = False
            if reply is None:
                self.system.log(self.path).warning(
                    "message rejected", message=type(message).__name__, why=str(rejection)
                )
            else:
                reply.try_fail(rejection)
        except BaseException as error:  # noqa: BLE001 - actor boundary: the supervisor decides, not us
            hear_failure(self, error)  # still its own code, and the frames are still there
            self._busy = False
            crash = self._crashed(error)
            if self._exit_reason is not None:  # fenced meanwhile, perhaps it was `Fenced`; the next turn cleans up
                self._report_late(crash)
            else:
                if reply is not None:
                    # Taken for later or not, the exception is its answer now.
                    self._deferred.discard(reply)
                    self._in_hand = Ask(message, reply)
                self._end(crash)
            # The asker hears of it after the exit was declared, as OTP's caller does: whoever acts on
            # the error finds the actor gone.
            if reply is not None:
                reply.try_fail(error if isinstance(error, Exception) else ActorCrashed(crash))
        else:
            self._busy = False
            if reply is not None and self._in_hand is not None:  # otherwise it was taken for later
                self._answer(reply, answer)
        finally:
            self._in_hand, self._message = None, NOTHING

    def _answer(self, reply: Reply[Any], answer: object) -> None:
        if self._fenced:
            self.system.events.emit(MessageFenced(self.path, self.generation, "Reply"))
            # Whoever gave up on this actor failed the reply, unless the message was just being taken in hand.
            reply.try_fail(ActorDead(f"{self.path} was given up on while it handled this message"))
        else:
            reply.try_set(answer)
