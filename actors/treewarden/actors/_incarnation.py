"""One life of an actor: its two mailbox lanes, its status, and the single notice of its end.

This is where every way to end (return, exception, stop, kill, a start that hangs, being given
up on) becomes exactly one `Exited` (supervision.md A.2, A.7). The mechanism:

- *Token.* `_token` holds one item while nobody runs this actor. Whoever pops it may schedule it;
  the worker puts it back when it leaves. `list.pop` is atomic under the GIL, so `tell` takes no
  lock and at most one thread is ever inside an actor. After giving the token back the worker
  looks at the lanes once more: a message put in between is seen by one side or the other.
- *Exit token.* `_exit_token` is popped by whoever declares the end: the run loop, `kill`, or a
  supervisor that abandons the actor. The loser's declaration is void. `Started` and `Ready` borrow
  it while they are sent, so neither can follow `Exited`.
- *Fence.* Once declared dead while a thread may still be inside, the incarnation is fenced: its
  replies and context calls are refused (A.15), and when the thread comes back it only cleans up.
  Its mailbox is turned away at once, for the thread may never come back.

Messages from one sender arrive in order. A message that meets a dead actor is answered
`ActorDead` if somebody asked, and becomes a `DeadLetter` event otherwise; none vanishes.
Not promised: fencing of threads that the actor itself started, or anything without a GIL.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final

from treewarden.actors._crash import as_crash
from treewarden.actors._dispatcher import report_unhandled
from treewarden.actors._durable import let_go, recover, save_at_end
from treewarden.actors._errors import ActorCrashed, ActorDead, Fenced, Ignore, Rejected
from treewarden.actors._events import DeadLetter, MessageFenced
from treewarden.actors._exits import Crashed, ExitReason, Killed, Normal, describe_exit, is_abnormal
from treewarden.actors._ids import ActorPath, Generation
from treewarden.actors._links import Signal, Ties, cut_ties, drop_ties
from treewarden.actors._messages import (
    ChildNotice,
    Declined,
    Exited,
    Kill,
    PostMortem,
    Ready,
    Started,
    Stop,
    StopReport,
)
from treewarden.actors._post_mortem import NOTHING, LastWords, compose_post_mortem, name_of, take_last_words
from treewarden.actors._reply import Reply
from treewarden.actors._requests import StateRequest, attend, turn_away_requests
from treewarden.actors._status import Status, may_become

if TYPE_CHECKING:
    from treewarden.actors._actor import Actor
    from treewarden.actors._child_spec import ChildSpec
    from treewarden.actors._snapshots import Claim
    from treewarden.actors._system import ActorSystem
    from treewarden.actors._timers import Timer

__all__ = ["Ask", "Incarnation", "running_incarnation"]

BATCH: Final = 64  # messages one turn on a worker may handle

_thread = threading.local()


def running_incarnation() -> "Incarnation | None":
    """The incarnation whose code the calling thread is in, if any."""
    found: Incarnation | None = getattr(_thread, "incarnation", None)
    return found


@final
class Ask:
    """A message that somebody waits on."""

    __slots__ = ("message", "reply")

    def __init__(self, message: object, reply: Reply[Any]) -> None:
        self.message, self.reply = message, reply


@final
class Incarnation:
    """The machinery around one actor object. `tell`, `ask`, `stop`, `kill`, `abandon` are safe from any thread."""

    __slots__ = (
        "_busy",
        "_deferred",
        "_exit_reason",
        "_exit_request",
        "_exit_token",
        "_fenced",
        "_held",
        "_in_hand",
        "_inside",
        "_kill_ordered",
        "_last_words",
        "_made",
        "_make",
        "_message",
        "_notify",
        "_ready_deferred",
        "_started",
        "_stop_ordered",
        "_suspended",
        "_system_lane",
        "_timers",
        "_token",
        "_user_lane",
        "_wanted_end",
        "actor",
        "claim",
        "generation",
        "instrument",
        "parent",
        "path",
        "published",
        "spec",
        "status",
        "stopped",
        "system",
        "ties",
    )

    def __init__(
        self,
        system: "ActorSystem",
        spec: "ChildSpec",
        *,
        path: ActorPath,
        parent: ActorPath | None,
        generation: Generation,
        notify: Callable[[ChildNotice], None] | None,
    ) -> None:
        self.system, self.spec = system, spec
        self.path, self.parent, self.generation = path, parent, generation
        self.actor: Actor | None = None
        self.status = Status.NEW
        self.stopped: Reply[ExitReason] = Reply()
        self.published: object = None
        self.claim: Claim | None = None  # on its stored state, if it is durable
        self._notify = notify
        self._make: Callable[[], None] | None = None
        self._made = False  # whether __init__ has returned: before that no hook may be called
        self._system_lane: deque[object] = deque()
        self._user_lane: deque[object] = deque()
        self._token = [True]
        self._exit_token = [True]
        self._exit_reason: ExitReason | None = None
        self._exit_request: ExitReason | None = None
        self._wanted_end: tuple[ExitReason, bool] | None = None  # the first declaration; see _declare_end
        self._fenced = False
        self._busy = False  # whether the actor's own code runs
        self._kill_ordered = False
        self._in_hand: Ask | None = None
        self._deferred: set[Reply[Any]] = set()
        self._held = False
        self._ready_deferred = False
        self._timers: set[Timer] = set()
        self.ties: Ties | None = None  # _links guards it
        self._started = False  # whether it has ever run
        self._stop_ordered = False
        self._suspended: deque[object] | None = None  # the system messages that wait for `resume`, in order
        self._message: object = NOTHING  # what the actor handles now
        self._inside: tuple[int, float] | None = None  # the thread that runs this actor, and since when
        self._last_words: LastWords | None = None
        self.instrument = system.instruments.at(path)  # None, nearly always: each message pays one look at it
        if self.instrument is not None:
            self.instrument.begin(generation)

    # Sending

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

    def start(self, make: Callable[[], None]) -> None:
        """Begin: `make` (the actor's `__init__`) and `on_start` run on a worker."""
        self._make = make
        self._wake()

    def kill(self) -> None:
        """End without `on_stop`: at once when idle, declared dead and fenced when in a handler."""
        # In this order; `_may_enter` has the counterpart. The lane first: who sees the flag finds the order.
        self._system_lane.appendleft(Kill())
        self._kill_ordered = True
        if self._busy:
            self._declare_end(Killed(), abandoned=True)
        self._wake()

    def abandon(self, reason: ExitReason) -> None:
        """Declare the end of an actor that does not end: its thread runs on, fenced (A.7)."""
        self._declare_end(reason, abandoned=True)
        self._wake()

    # For the actor's own context

    def is_fenced(self) -> bool:
        """Whether this incarnation was declared dead while its code may still run."""
        return self._fenced

    def has_ended(self) -> bool:
        """Whether the end was declared."""
        return self._exit_reason is not None

    def exit_reason(self) -> ExitReason | None:
        """How it ended, from the moment the end is declared."""
        return self._exit_reason

    def waited_on(self, reply: Reply[Any]) -> AbstractContextManager[None]:
        """Entered while the calling thread waits for `reply` of this actor; `AskCycle` if only a deadline could end it."""
        asker = running_incarnation()
        return (self if asker is None else asker).system.asks.waiting(asker, self, reply)

    def has_taken(self, reply: Reply[Any]) -> bool:
        """Whether the actor took `reply` to be set later, by whomever."""
        return reply in self._deferred

    def check_order(self, order: object) -> None:
        """Raise `Fenced` in a fenced actor that orders this one to end.

        Its own children it may end: a supervisor that was given up on must still take them along.
        """
        sender = running_incarnation()
        if sender is not None and sender.is_fenced() and self.parent != sender.path:
            sender.refuse(order)

    def refuse(self, what: object) -> None:
        """Count an act of a fenced incarnation and raise `Fenced` in it."""
        name = type(what.message if isinstance(what, Ask) else what).__name__
        self.system.events.emit(MessageFenced(self.path, self.generation, name))
        raise Fenced(f"{self.path} generation {self.generation} was given up on; its {name} is refused")

    def request_exit(self, reason: ExitReason) -> None:
        """End with `reason` after the message in hand; the first request wins."""
        if self._exit_request is None:
            self._exit_request = reason
        self._wake()

    def keep_timer(self, timer: "Timer") -> None:
        """Cancel `timer` when this incarnation ends."""
        self._timers.add(timer)

    def drop_timer(self, timer: "Timer") -> None:
        """Forget a timer that has run or was cancelled."""
        self._timers.discard(timer)

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

    def defer_started(self) -> None:
        """Do not report `Started` when `on_start` returns; `announce_started` will."""
        self._held = True

    def announce_started(self) -> None:
        """Report a deferred start, once."""
        if self._held:
            self._held = False
            if self.status is Status.RUNNING:  # otherwise `on_start` is still running, and its return reports
                self._notice_started()

    def defer_ready(self) -> None:
        """Report the start as not ready yet; `announce_ready` will."""
        self._ready_deferred = True

    def announce_ready(self) -> None:
        """Report readiness, once."""
        if self._ready_deferred:
            self._ready_deferred = False
            if self.status is Status.RUNNING and not self._held:  # otherwise `Started` will say so itself
                self._notice(Ready(self.spec.id, self.generation))

    # For system messages; `suspend` and `resume` on the actor's own turn, the rest from any thread

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

    def is_suspended(self) -> bool:
        """Whether the mailbox is left alone."""
        return self._suspended is not None

    def reply_in_hand(self) -> Reply[Any] | None:
        """The reply to the message in hand, unless nobody waits or it was taken for later."""
        return None if self._in_hand is None else self._in_hand.reply

    def message_in_hand(self) -> str | None:
        """The type of the message that is being handled."""
        return name_of(self._message)

    def inside(self) -> tuple[int, float] | None:
        """The thread that runs this actor now (`threading.get_ident`), and since when (monotonic)."""
        return self._inside

    def mailbox(self) -> int:
        """How many messages wait."""
        return len(self._user_lane)

    # Running

    def run(self) -> None:
        """Handle up to a batch of messages on the calling worker, which holds the token."""
        outer = running_incarnation()
        _thread.incarnation = self
        self._inside = (threading.get_ident(), self.system.clock.monotonic())
        try:
            turns = 0
            while turns < BATCH and self._turn():
                turns += 1
        except BaseException as error:  # noqa: BLE001 - worker boundary: without it the token would be lost
            self._collapse(error)
        finally:
            _thread.incarnation = outer
            self._inside = None
            self._token.append(True)
            if self._has_work():
                self._wake()

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

    def _may_enter(self) -> bool:
        """Mark the actor's code as running, unless a kill was ordered first."""
        self._busy = True
        # `kill` leaves its order and then looks at `_busy`; here it is the other way round, so one
        # side sees the other, and no kill waits for code that began after it.
        if self._kill_ordered:
            self._busy = False
        return self._busy

    def _begin(self) -> None:
        assert self._make is not None
        assert self.actor is not None
        if not self._may_enter():
            return
        make, self._make = self._make, None  # the spec keeps the arguments; a dead actor need not
        self._become(Status.STARTING)
        try:
            make()
            self._made = True
            if self._exit_reason is None:
                recover(self, make)  # before on_start and the first message (A.18)
            given_up = self._exit_reason
            if given_up is None:
                self.actor.on_start()
        except Ignore:
            self._busy = False
            self._decline()
            return
        except BaseException as error:  # noqa: BLE001 - actor boundary: the supervisor decides, not us
            self._busy = False
            # No on_stop, as in OTP: an object whose __init__ or on_start failed cannot be asked to clean up.
            self._finish(self._crashed(error))
            return
        self._busy = False
        if given_up is not None:
            # In __init__ already, so on_start did not run and there is nothing to stop; a kill's hook runs next.
            if not isinstance(given_up, Killed):
                self._finish(given_up)
        elif self._exit_reason is None:
            self._become(Status.RUNNING)
            self._started = True
            if not self._held:
                self._notice_started()

    def make_again(self, make: Callable[[], None]) -> None:
        """For `_durable`: run `__init__` on the emptied object; what the attempt before it set going is undone.

        Its timers, names, monitors and links: else they would meet those of the new attempt.
        """
        self._cancel_timers()
        self.system.names.release(self)
        drop_ties(self)
        for item in self._user_lane.copy():
            if isinstance(item, Signal):  # from one that was dead already when it was tied to
                item.call_off()
        self._made = False
        make()
        self._made = True

    def _notice_started(self) -> None:
        self._notice(Started(self.spec.id, self.generation, ready=not self._ready_deferred))

    def _notice(self, notice: Started | Ready) -> None:
        """Send a notice that must not follow `Exited`: whoever declares the end meanwhile finds the token gone."""
        if self._notify is None or not self._claim_end():
            return
        try:
            self._notify(notice)
        finally:
            self._exit_token.append(True)
        # Such a declaration was left in `_wanted_end` before it tried the token: one of the two makes it.
        if self._wanted_end is not None:
            reason, abandoned = self._wanted_end
            self._declare_end(reason, abandoned=abandoned)

    def _decline(self) -> None:
        self._cancel_timers()
        let_go(self)
        self._become(Status.STOPPED)
        if self._claim_end():  # otherwise it was given up on meanwhile
            self._exit_reason = Normal()
            self.system.names.release(self)
            self.stopped.try_set(Normal())
            cut_ties(self, Normal())
            if self._notify is not None:
                self._notify(Declined(self.spec.id, self.generation))
        self._turn_away()

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

    # Ending

    def _end(self, reason: ExitReason) -> None:
        """Run `on_stop(reason)`, then declare the end."""
        assert self.actor is not None
        if not self._may_enter():
            if isinstance(reason, Crashed):
                self._report_late(reason)
            self._end_killed()
            return
        self._become(Status.STOPPING)
        self._cancel_timers()
        if is_abnormal(reason) and self._exit_reason is None:
            self._last_words = take_last_words(self.actor, self._message)
        try:
            self.actor.on_stop(reason)
            save_at_end(self, reason)
        except BaseException as error:  # noqa: BLE001 - actor boundary; its own failure replaces the reason (gen_server terminate)
            if self._last_words is None:
                self._last_words = take_last_words(self.actor, self._message)
            reason = self._crashed(error)
        finally:
            self._busy = False
        self._finish(reason)

    def _end_killed(self) -> None:
        assert self.actor is not None
        if self._made:
            try:
                self.actor.on_kill()
            except BaseException as error:  # noqa: BLE001 - actor boundary: a kill always ends
                self.system.log(self.path).error("on_kill failed", error=repr(error))
        self._finish(Killed())

    def _clean_up_after_fence(self) -> None:
        """The thread came back to an incarnation that was declared dead meanwhile."""
        assert self._exit_reason is not None
        if isinstance(self._exit_reason, Killed):
            self._end_killed()
        elif self.status is Status.NEW:
            self._finish(self._exit_reason)
        else:
            self._end(self._exit_reason)

    def _finish(self, reason: ExitReason) -> None:
        """Never run again; declare the end unless somebody did."""
        self._cancel_timers()  # `on_stop` may have set new ones
        self._become(Status.STOPPED)
        if not self._declare_end(reason, abandoned=False) and isinstance(reason, Crashed):
            self._report_late(reason)
        self._turn_away()

    def _collapse(self, error: BaseException) -> None:
        """End an actor whose ports failed (a notice, a log line): a crash that is seen, not an actor that hangs."""
        self._busy = False
        self.status = Status.STOPPED  # past the table: the failure may have come at any point
        crash, in_hand = self._crashed(error), self._in_hand
        self._in_hand = None
        if not self._declare_end(crash, abandoned=False):
            report_unhandled(error)
        if in_hand is not None:
            in_hand.reply.try_fail(ActorCrashed(crash))
        self._turn_away()

    def _claim_end(self) -> bool:
        try:
            self._exit_token.pop()
        except IndexError:
            return False
        return True

    def _declare_end(self, reason: ExitReason, *, abandoned: bool) -> bool:
        """Make `reason` the end and tell the supervisor; False if this call did not."""
        # Before the token is tried: if `_notice` has it, it makes this declaration when it is done.
        if self._wanted_end is None:
            self._wanted_end = (reason, abandoned)
        if not self._claim_end():
            return False
        # The fence stands before the notice goes out: the next incarnation starts on that notice.
        self._fenced = abandoned
        self._exit_reason = reason
        self.system.names.release(self)  # first of all: whoever hears of the end may want the names
        let_go(self)
        self.stopped.try_set(reason)
        in_hand = self._in_hand
        if abandoned and in_hand is not None:
            in_hand.reply.try_fail(ActorDead(f"{self.path} was given up on while it handled this message"))
        cut_ties(self, reason)  # before the notice: the successor speaks after the news of this end
        if self._notify is not None:
            report = StopReport(abandoned=(self.path,)) if abandoned else self._stop_report()
            post_mortem = self._post_mortem(reason)
            self._notify(Exited(self.spec.id, self.generation, reason, abandoned, report, post_mortem))
        if abandoned:
            self._turn_away()
        return True

    def _post_mortem(self, reason: ExitReason) -> PostMortem:
        instrument = self.instrument  # looked at once: the thread inside may just be dropping it
        found = compose_post_mortem(
            reason,
            words=self._last_words,
            message=self._message,
            mailbox=len(self._user_lane),
            log=() if instrument is None else instrument.last_events(),
            had_started=self._started,
        )
        if instrument is not None:
            instrument.ended(reason)
        return found

    def _stop_report(self) -> StopReport:
        assert self.actor is not None
        if self._made:
            try:
                return self.actor.stop_report()
            except BaseException as error:  # noqa: BLE001 - actor boundary: no report must cost the notice of the end
                self.system.log(self.path).error("stop_report failed", error=repr(error))
        return StopReport(stopped=(self.path,))

    def _report_late(self, crash: Crashed) -> None:
        """Show a failure that did not become the exit reason."""
        if not isinstance(crash.error, Fenced):  # that one was counted when it was raised
            self.system.log(self.path).error(
                "failed after its end was decided", error=repr(crash.error), traceback=crash.traceback
            )

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

    def _cancel_timers(self) -> None:
        while self._timers:
            with contextlib.suppress(KeyError):  # the last one has just run, on the timer thread
                self._timers.pop().cancel()

    def _become(self, status: Status) -> None:
        if not may_become(self.status, status):
            raise AssertionError(f"{self.path}: {self.status} cannot become {status}")
        self.status = status

    def _crashed(self, error: BaseException) -> Crashed:
        asked = self._in_hand is not None
        return as_crash(error, where=f"{self.path} (generation {self.generation})" if asked else None)
