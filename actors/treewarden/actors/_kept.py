"""One life of an actor whose state is written by itself: of class `SNAPSHOT` or `JOURNAL`.

What such an actor says in its turns (messages, answers, the news that it has started) is held until what
those turns changed is on disk. Nobody waits for that: at the end of a batch what is pending is handed to the
store, and the token is not given back. The thread that resolves the commit lets the words go and gives the
token back, as a worker that leaves does. So the turns of one batch share a commit, no message is handled
while it is under way, and no thread is held up by a disk that is full: the actor is parked, without a
worker, until the store takes commits again.

- *Crash.* What a turn that crashes has changed and said is nothing. What the turns before it changed is
  written first, and heard, and then the crash takes its way.
- *Refusal.* If the medium refuses, the actor crashes with that: its state is ahead of what is kept.
- *End.* While a commit is under way the actor counts as busy: `kill` and `abandon` declare its end at once,
  and letting its claim go withdraws what the store has not begun. Nothing it said is heard then.

Only an incarnation of these classes is a `KeptIncarnation`; all others are what they were.
"""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, final
from weakref import ref as weak_reference

from treewarden.actors._durable import commit, compose
from treewarden.actors._errors import ActorCrashed, ActorDead, MailboxFull, Rejected
from treewarden.actors._exits import Crashed, ExitReason
from treewarden.actors._incarnation import Incarnation
from treewarden.actors._keeping import Keeping, Setback
from treewarden.actors._lanes import BATCH, Lanes
from treewarden.actors._life import Ask, running_incarnation, thread, watched
from treewarden.actors._mailbox import Overflow
from treewarden.actors._messages import Ready, Started
from treewarden.actors._outbox import Announcement, Answer, Tell
from treewarden.actors._post_mortem import NOTHING
from treewarden.actors._reply import Reply
from treewarden.actors._snapshots import ClaimLost, Snapshots
from treewarden.actors._status import Status
from treewarden.storage import StoreFull

__all__ = ["KeptIncarnation"]


@final
class KeptIncarnation(Incarnation):
    """One life of an actor that keeps its state. The hooks below are those of `Incarnation` and its layers."""

    __slots__ = ("_keeping",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        actor_class = self.spec.actor_class
        self._keeping = Keeping(actor_class.durability, actor_class.snapshot_every)
        self.inline = False  # it cannot answer before its handler returns, and an inline ask is over then

    def keeping(self) -> Keeping:
        """What is still to be written of this incarnation."""
        return self._keeping

    # A turn

    def run(self, turns: int = BATCH) -> None:
        watched.append(self)  # so that who is sent to sees who sends
        super().run(turns)

    def _turn(self) -> bool:
        try:
            return super()._turn()
        finally:
            self._attention = True  # each message of this actor is a turn, never just handled

    def _do_one_thing(self) -> bool:
        keeping = self._keeping
        if self._exit_reason is not None or self._kill_ordered:  # it ends, and nothing more is written
            return super()._do_one_thing()
        if keeping.pending:
            if keeping.setback is not None or self._exit_request is not None or self._system_lane:
                return False  # the batch is over: first of all what is pending, then an end or whatever else
        elif keeping.outbox:
            if self._may_enter():
                self._let_words_go()
                self._busy = False
            return True
        elif keeping.setback is not None:
            self._take_up(keeping.setback)
            return True
        was_new = self.status is Status.NEW
        done = super()._do_one_thing()
        # The start is a batch of its own: what it announces must not wait for messages.
        return done and not (was_new and keeping.pending)

    def _on_start(self) -> None:
        self._keeping.begin_turn()
        try:
            super()._on_start()
        except BaseException:
            self._keeping.abort_turn()
            raise
        self._end_turn()

    def _guarded(self, message: object, handle: Callable[[Any], object], reply: Reply[Any] | None) -> None:
        super()._guarded(message, partial(self._handle_in_turn, handle), reply)

    def _handle_in_turn(self, handle: Callable[[Any], object], message: object) -> object:
        self._keeping.begin_turn()
        try:
            answer = handle(message)
        except Rejected:  # an answer like any other
            self._end_turn()
            raise
        self._end_turn()
        return answer

    def _end_turn(self) -> None:
        keeping = self._keeping
        if self._fenced:
            keeping.abort_turn()
            return
        keeping.end_turn(partial(compose, self))
        if not keeping.pending:
            self._let_words_go()

    def _let_words_go(self) -> None:
        """Have what was said be heard, on the actor's own turn: nothing is pending any more."""
        with _Nobody():
            self._keeping.outbox.let_go()

    # What it says

    def holds_back(self, target: Lanes, message: object) -> bool:
        if not self._keeping.in_turn or target is self:
            return False
        if isinstance(message, Ask):  # its handler may wait for the answer
            self._let_go_before_ask(target)
            return False
        room = target.room
        if room is not None and room.bound.overflow is Overflow.REFUSE and not room.has_place():
            raise MailboxFull(target.path, room.bound.limit)
        self._keeping.say(Tell(target, message))
        return True

    def _let_go_before_ask(self, target: Lanes) -> None:
        """What was said to `target` before an ask arrives before it: order counts more than being held."""
        keeping = self._keeping
        if keeping.outbox.holds_for(target):
            if keeping.pending:
                commit(self, *keeping.pending)
                keeping.was_written()
            self._let_words_go()
        with _Nobody():
            for tell in keeping.said_to(target):
                tell.leave()

    def _answer(self, reply: Reply[Any], answer: object) -> None:
        if self._fenced or not self._keeping.must_hold():
            super()._answer(reply, answer)
        else:
            self._keeping.outbox.put([Answer(reply, answer)])

    def _reject(self, reply: Reply[Any], refusal: Rejected) -> None:
        if self._keeping.must_hold():
            self._keeping.outbox.put([Answer(reply, None, refusal)])
        else:
            super()._reject(reply, refusal)

    def take_reply(self) -> Reply[Any]:
        reply = super().take_reply()
        front: Reply[Any] = Reply()
        # Weak: the front would hold itself, and with it this incarnation. Whoever sets it has it.
        front.when_done(partial(self._answered_later, weak_reference(front), reply))
        return front

    def _answered_later(self, front: "weak_reference[Reply[Any]]", reply: Reply[Any]) -> None:
        settled = front()
        assert settled is not None
        try:
            answer = Answer(reply, settled.get(timeout=0))
        except BaseException as error:  # noqa: BLE001 - it is the answer, whatever it is
            answer = Answer(reply, None, error)
        if self._is_own_turn():
            self._keeping.say(answer)
        else:
            answer.leave()

    def _notice(self, notice: Started | Ready) -> None:
        keeping = self._keeping
        if self._is_own_turn():
            keeping.say(Announcement(partial(super()._notice, notice)))
        elif running_incarnation() is self and keeping.must_hold():  # `on_start` has just returned
            keeping.outbox.put([Announcement(partial(super()._notice, notice))])
        else:
            super()._notice(notice)

    def _is_own_turn(self) -> bool:
        return self._keeping.in_turn and running_incarnation() is self

    # The commit

    def _leave(self) -> None:
        if self._exit_reason is not None:
            self._drop_words()
        # Busy while the commit is under way: who declares the end need not wait for the disk.
        elif self._keeping.pending and self.status is not Status.STOPPED and self._may_enter():
            self._inside = None
            self._look_away()
            self._hand_in()
            return
        super()._leave()

    def _hand_in(self) -> None:
        assert self.claim is not None
        try:
            handed_in = self.system.service(Snapshots).hand_in(self.claim, self._keeping.pending)
        except ClaimLost:  # the end was declared a moment ago
            self._go_on()
        except BaseException as error:  # noqa: BLE001 - boundary: without it the token would be lost
            self._fail(error)
        else:
            handed_in.add_done_callback(self._take_outcome)

    def _take_outcome(self, handed_in: "Future[int]") -> None:
        """The store is done with the commit; on its thread, so briefly."""
        try:
            if not handed_in.cancelled():  # otherwise it was withdrawn: the end was declared
                error = handed_in.exception()
                if isinstance(error, StoreFull):
                    self._park()
                    return
                if error is not None:
                    self._fail(error)
                    return
                self._keeping.was_written()
                if self._exit_reason is None:
                    with _Nobody():
                        self._keeping.outbox.let_go_nowait()
        except BaseException as error:  # noqa: BLE001 - boundary: a port failed, and the token would be lost
            self._fail(error)
            return
        self._go_on()

    def _park(self) -> None:
        """The disk is full: keep the token and what is pending until the store takes commits again."""
        keeping = self._keeping
        keeping.park()
        # Whoever declares the end does so first and takes it out then: one side sees the other.
        if self._exit_reason is None:
            self.system.service(Snapshots).when_writable(self._try_again)
        elif keeping.take_parked():
            self._go_on()

    def _try_again(self) -> None:
        if self._keeping.take_parked():
            self._hand_in()

    def _fail(self, error: BaseException) -> None:
        """What is pending cannot be written: on its own turn the actor crashes with that."""
        keeping = self._keeping
        setback = keeping.setback
        if setback is None:
            setback = Setback(error, NOTHING)
        else:  # it has crashed already, over the message after what was to be written
            self.system.log(self.path).error("what came before the crash was not written", error=repr(error))
        keeping.failed(setback)
        self._go_on()

    def _go_on(self) -> None:
        """Give the token back, as whoever ran the actor does."""
        if self._exit_reason is not None:
            self._drop_words()
        super()._leave()

    def is_at_boundary(self) -> bool:
        """Not while something waits to be written, or to leave after that."""
        keeping = self._keeping
        return super().is_at_boundary() and not (keeping.setback or keeping.pending or keeping.outbox)

    def _has_work(self) -> bool:
        keeping = self._keeping
        if self._exit_reason is None and (keeping.setback is not None or keeping.outbox):
            return True
        return super()._has_work()

    # A crash

    def _failed(self, message: object, error: BaseException, reply: Reply[Any] | None) -> None:
        keeping = self._keeping
        if not isinstance(error, Rejected):
            keeping.abort_turn()
            if self._exit_reason is None:
                if keeping.pending:
                    keeping.setback = Setback(error, message, in_hand=self._in_hand, reply=reply)
                    self._busy = False
                    return
                self._let_words_go()  # of turns before it, which it has persisted itself
        super()._failed(message, error, reply)

    def _take_up(self, setback: Setback) -> None:
        """Let the crash take its way, now that what came before it is written, or never will be."""
        if setback.has_begun or not self._may_enter():  # a kill was ordered; it is next
            return
        setback.has_begun = True
        self._in_hand, self._message = setback.in_hand, setback.message
        try:
            super()._failed(setback.message, setback.error, setback.reply)
        finally:
            self._in_hand, self._message = None, NOTHING

    # The end

    def _declare_end(self, reason: ExitReason, *, abandoned: bool) -> bool:
        declared = super()._declare_end(reason, abandoned=abandoned)
        if declared and self._keeping.take_parked():
            self._go_on()
        return declared

    def _turn_away(self) -> None:
        super()._turn_away()
        self._drop_words()

    def _drop_words(self) -> None:
        reason = self._exit_reason
        if isinstance(reason, Crashed):
            self._keeping.drop(ActorCrashed(reason))
        else:
            self._keeping.drop(ActorDead(f"{self.path} ended before what it answered was durable"))


@final
class _Nobody:
    """Meanwhile the calling thread is in nobody's code: what leaves was said, looked at and counted before."""

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        here = thread.here
        self._before = here.incarnation
        here.incarnation = None

    def __exit__(self, *_: object) -> None:
        thread.here.incarnation = self._before
