"""The machinery around one actor object: its turns, on whichever thread takes it up.

A turn does one thing: begin, obey a system message, handle a message, end, or clean up. Nearly all
turns handle a message of an actor that runs and has nothing else to look at; those are done in
`_handle_batch` itself, all others in `_turn`. The layers below have the rest: `_starting` the start,
`_ending` the end and its notice, `_lanes` how messages get in and who may run the actor, `_life` its state.

An ask may be answered on the asker's own thread (`answer_inline`) if the actor allows it and is at rest:
the asker takes the token as a worker would, so still at most one thread is inside, and neither thread
wakes the other, which is what an ask costs. The asker cannot give up meanwhile; so an actor that takes
long for such an answer is asked the other way from then on.
"""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from pykka import messages as pykka_messages

from treewarden.actors._errors import ActorCrashed, Fenced, Rejected
from treewarden.actors._events import MessageFenced
from treewarden.actors._exits import Crashed, ExitReason
from treewarden.actors._lanes import BATCH, Lanes
from treewarden.actors._life import Ask, InlineAsk, thread, watched
from treewarden.actors._links import Signal
from treewarden.actors._messages import Kill, Stop
from treewarden.actors._post_mortem import NOTHING
from treewarden.actors._pykka_hooks import hear_failure
from treewarden.actors._reply import Reply
from treewarden.actors._requests import StateRequest, attend, turn_away_requests
from treewarden.actors._starting import Starting
from treewarden.actors._status import Status

__all__ = ["Incarnation"]

INLINE_DEPTH: Final = 16  # inline answers within each other: each takes a few frames of one stack

# What is not simply given to `on_receive`.
_NOT_PLAIN: Final[frozenset[type]] = frozenset(
    {
        Ask,
        Signal,
        pykka_messages.ProxyCall,
        pykka_messages.ProxyGetAttr,
        pykka_messages.ProxySetAttr,
        pykka_messages._ActorStop,  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - what pykka's ref.stop() sends
    }
)


class Incarnation(Starting):
    """One life of an actor. `tell`, `tell_system`, `kill` and `abandon` are safe from any thread.

    `_kept` has the one for an actor whose state is written by itself.
    """

    __slots__ = ()

    def run(self, turns: int = BATCH) -> None:
        """Take so many turns at most, on the calling thread, which holds the token."""
        here = thread.here
        outer = here.incarnation
        here.incarnation = self
        self._inside = (here.ident, self.system.clock.monotonic())
        if self._fenced or self.instrument is not None:
            watched.append(self)
        try:
            self._handle_batch(turns)
        except BaseException as error:  # noqa: BLE001 - worker boundary: without it the token would be lost
            self._collapse(error)
        finally:
            here.incarnation = outer
            self._leave()

    def answer_inline(self, ask: Ask) -> float | None:
        """Answer `ask` now, on the calling thread; how many seconds that took, None if it cannot be done.

        It can be if the actor allows it and is at rest with an empty mailbox. Not on the main thread, which
        signals interrupt: what they raise would be the actor's crash. A supervisor has the calling thread
        go on with what the answer waits for (see `_run_ahead`).
        """
        here = thread.here
        if (
            (watched and here.incarnation in watched)
            or here.is_main
            or len(here.inline) >= INLINE_DEPTH
            or not self._has_nothing_to_do()
        ):
            return None
        try:
            self._token.pop()
        except IndexError:
            return None
        clock, asker, outer = self.system.clock, here.incarnation, here.ahead
        began = clock.monotonic()
        self._inside = (here.ident, began)
        here.ahead = [] if self.blocks_nowhere() else None
        answered = collapsed = False
        try:
            self._busy = True  # before the look, as in `_handle_batch`
            if self._has_nothing_to_do():
                here.incarnation = self
                here.inline.append(InlineAsk(asker, self, ask.reply))
                answered = True
                self._handle_item(ask)
        except BaseException as error:  # noqa: BLE001 - worker boundary: without it the token would be lost
            collapsed = True
            self._collapse(error)
        finally:
            ahead, here.ahead = here.ahead, outer
            if answered:
                here.inline.pop()
                here.incarnation = asker
            if collapsed and ahead:
                _leave_to_workers(ahead)
            self._leave()
        if not answered:
            return None
        took = clock.monotonic() - began
        if ahead is None:
            self.judge_inline(took, type(ask.message).__name__)
        elif ahead:
            self._run_ahead(ahead, ask.reply)
            took = clock.monotonic() - began
        return took

    def _run_ahead(self, ahead: list[Lanes], reply: Reply[Any]) -> None:
        """Run what this supervisor has set going, as far as `reply` waits for it; the rest is for the workers.

        That is a child that starts, and then the supervisor again, which hears that it has started: two
        thread switches less. A child that allows inline asks allows this as well. While its own code runs,
        which might block, nothing is kept from the workers.
        """
        here, clock = thread.here, self.system.clock
        asker, outer = here.incarnation, here.ahead
        here.ahead = ahead
        try:
            while ahead and not reply.is_set():
                following = ahead.pop(0)
                _leave_to_workers(ahead)
                began = clock.monotonic()
                here.inline.append(InlineAsk(asker, following, reply))
                try:
                    following.run(BATCH if following.blocks_nowhere() else 1)
                finally:
                    here.inline.pop()
                following.judge_inline(clock.monotonic() - began, "its start")
        finally:
            here.ahead = outer
            _leave_to_workers(ahead)

    def _has_nothing_to_do(self) -> bool:
        return not (self._attention or self._user_lane)

    def _leave(self) -> None:
        """Be run by nobody, and by somebody soon if there is work."""
        self._busy = False
        self._inside = None
        self._look_away()
        if self.own_thread is not None and self.status is Status.STOPPED:
            self.own_thread.end()
        hold = self.hold
        if hold is None or not hold.take(self):
            self.give_token_back()

    def _look_away(self) -> None:
        while watched and self in watched:  # twice if the fence came when it had begun to run
            with contextlib.suppress(ValueError):  # whoever raised the fence has just taken it out
                watched.remove(self)

    def _handle_batch(self, turns: int) -> None:
        lane, room, actor = self._user_lane, self.room, self.actor
        plainly = actor is None or actor.receives_plainly  # None: it has ended, and no message is given to it
        for _ in range(turns):
            if not (lane or self._attention):
                return
            # In this order: `kill` leaves its order, raises the attention and then looks at `_busy`. One
            # side sees the other, and no kill waits for code that began after it.
            self._busy = True
            if self._attention:
                self._busy = False
                if not self._turn():
                    return
                continue
            try:
                item = lane.popleft()
            except IndexError:  # turned away a moment ago by whoever declared the end
                continue
            if room is not None:
                room.made()
            if self._fenced or type(item) in _NOT_PLAIN:
                self._handle_item(item)
                continue
            assert actor is not None
            self._message = item
            try:
                if plainly:
                    actor.on_receive(item)
                else:
                    actor.handle(item)
            except BaseException as error:  # noqa: BLE001 - actor boundary: the supervisor decides, not us
                self._failed(item, error, None)
            self._message = NOTHING
            self._busy = False  # here already: a kill that comes now need not give up on it

    def _turn(self) -> bool:
        """Do one thing, whatever it is; False when there is nothing to do."""
        # Lowered first: what is put in while the turn goes on raises it again.
        self._attention = False
        try:
            return self._do_one_thing()
        finally:
            if (
                self._system_lane
                or self.status is not Status.RUNNING
                or self.instrument is not None
                or self._suspended is not None
                or self._kill_ordered
                or self.hold is not None
                or (self._exit_request or self._exit_reason) is not None
            ):
                self._attention = True

    def _do_one_thing(self) -> bool:
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
        elif self._user_lane and self._suspended is None and ((hold := self.hold) is None or not hold.stops(self)):
            self._handle_user()
        else:
            return False
        return True

    def _is_end_ordered(self) -> bool:
        lane = self._system_lane
        return lane is not None and len(lane) > 0 and isinstance(lane[0], Stop | Kill)

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
        if not self._may_enter():
            return
        try:
            item = self._user_lane.popleft()
        except IndexError:  # turned away a moment ago by whoever declared the end
            self._busy = False
            return
        if self.room is not None:
            self.room.made()
        self._handle_item(item)

    def _handle_item(self, item: object) -> None:
        """Handle what was in the mailbox, or would have been; `_busy` says so already."""
        assert self.actor is not None
        if isinstance(item, Ask):
            self._in_hand = item
        # Since a moment ago: those before it were turned away without it. Whoever raises the fence fails what is in
        # hand then, so one side sees the other.
        if self._fenced:
            self._in_hand, self._busy = None, False
            self._turn_away_one(item)
            return
        if isinstance(item, Signal):
            if item.is_void():
                self._busy = False
                return
            item = item.message
        handle = self.actor.handle if self.instrument is None else partial(self.instrument.handle, self)
        if isinstance(item, Ask):
            self._guarded(item.message, handle, item.reply)
        else:
            self._guarded(item, handle, None)

    def _guarded(self, message: object, handle: Callable[[Any], object], reply: Reply[Any] | None) -> None:
        """Run `handle(message)`, which `_may_enter` or its like has allowed, and answer."""
        self._message = message
        try:
            answer = handle(message)
        except BaseException as error:  # noqa: BLE001 - actor boundary: the supervisor decides, not us
            self._failed(message, error, reply)
        else:
            self._busy = False
            if reply is not None and self._in_hand is not None:  # otherwise it was taken for later
                self._answer(reply, answer)
        finally:
            self._in_hand, self._message = None, NOTHING

    def _failed(self, message: object, error: BaseException, reply: Reply[Any] | None) -> None:
        """`error` came out of the handler of `message`: a refusal, or a crash."""
        if isinstance(error, Rejected):
            self._busy = False
            if reply is None:
                self.system.log(self.path).warning("message rejected", message=type(message).__name__, why=str(error))
            else:
                self._reject(reply, error)
            return
        hear_failure(self, error)  # still its own code, and the frames are still there
        self._busy = False
        crash = self._crashed(error)
        try:
            self._end_of_crash(message, crash, reply)
        finally:
            # The asker hears of it after the exit was declared, as OTP's caller does: whoever acts on
            # the error finds the actor gone.
            if reply is not None:
                reply.try_fail(self._as_answer(error, crash))

    def _reject(self, reply: Reply[Any], refusal: Rejected) -> None:
        reply.try_fail(refusal)

    def _as_answer(self, error: BaseException, crash: Crashed) -> Exception:
        if self._fenced and isinstance(error, Fenced):  # the asker was given up on by nobody
            return self._given_up_on()
        return error if isinstance(error, Exception) else ActorCrashed(crash)

    def _end_of_crash(self, message: object, crash: Crashed, reply: Reply[Any] | None) -> None:
        if self._exit_reason is not None:  # fenced meanwhile, perhaps it was `Fenced`; the next turn cleans up
            self._report_late(crash)
            return
        if reply is not None:
            # Taken for later or not, the exception is its answer now.
            if self._deferred is not None:
                self._deferred.discard(reply)
            self._in_hand = Ask(message, reply)
        self._end(crash)

    def _answer(self, reply: Reply[Any], answer: object) -> None:
        if self._fenced:
            self.system.events.emit(MessageFenced(self.path, self.generation, "Reply"))
            # Whoever gave up on this actor failed the reply, unless the message was just being taken in hand.
            reply.try_fail(self._given_up_on())
        else:
            reply.try_set(answer)


def _leave_to_workers(ahead: list[Lanes]) -> None:
    while ahead:
        ahead.pop(0).schedule()
