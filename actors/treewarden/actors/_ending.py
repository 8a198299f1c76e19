"""The end of an incarnation: declared once, told once, whatever brought it about.

This is where every way to end (return, exception, stop, kill, a start that hangs, being given
up on) becomes exactly one `Exited` (supervision.md A.2, A.7). The mechanism:

- *Claim.* Whoever declares the end claims it first: the run loop, `kill`, or a supervisor that
  abandons the actor. The loser's declaration is void. `Started` and `Ready` borrow
  it while they are sent, so neither can follow `Exited`.
- *Fence.* Once declared dead while a thread may still be inside, the incarnation is fenced: its
  replies and context calls are refused (A.15), and when the thread comes back it only cleans up.
  Its mailbox is turned away at once, for the thread may never come back.

Not promised: fencing of threads that the actor itself started.
"""

import contextlib

from treewarden.actors._dispatcher import report_unhandled
from treewarden.actors._durable import let_go, save_at_end
from treewarden.actors._errors import ActorCrashed
from treewarden.actors._exits import Crashed, ExitReason, Killed, is_abnormal
from treewarden.actors._lanes import Lanes
from treewarden.actors._life import making, watched
from treewarden.actors._links import cut_ties
from treewarden.actors._messages import Exited, Kill, PostMortem, StopReport
from treewarden.actors._post_mortem import compose_post_mortem, take_last_words
from treewarden.actors._status import Status

__all__ = ["Ending"]


class Ending(Lanes):
    """An incarnation as one that ends. `kill` and `abandon` are safe from any thread."""

    __slots__ = ()

    def kill(self) -> None:
        """End without `on_stop`: at once when idle, declared dead and fenced when in a handler."""
        # In this order; `_may_enter` has the counterpart. The lane first: who sees the flag finds the order.
        self._open_system_lane().appendleft(Kill())
        self._kill_ordered = True
        self._attention = True
        if self._busy:
            self._declare_end(Killed(), abandoned=True)
        self._wake()

    def abandon(self, reason: ExitReason) -> None:
        """Declare the end of an actor that does not end: its thread runs on, fenced (A.7)."""
        self._declare_end(reason, abandoned=True)
        self._wake()

    # On the actor's own turn

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
        self._let_go_of_the_actor()

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
        self._let_go_of_the_actor()

    def _let_go_of_the_actor(self) -> None:
        """Once nobody needs it any more: it and this refer to each other, and would wait for the cycle collector."""
        # Called by whoever comes last to one of two ends, after saying so: that of the turns and that of the declaration.
        if self._end_is_declared and self.status is Status.STOPPED:
            self.actor = None

    # The declaration, from any thread

    def _declare_end(self, reason: ExitReason, *, abandoned: bool) -> bool:
        """Make `reason` the end and tell the supervisor; False if this call did not."""
        # Before the end is claimed: if `_notice` has claimed it, it makes this declaration when it is done.
        if self._wanted_end is None:
            self._wanted_end = (reason, abandoned)
        if not self._claim_end():
            return False
        # The fence stands before the notice goes out: the next incarnation starts on that notice.
        self._fenced = abandoned
        self._exit_reason = reason
        self._attention = True
        if abandoned:
            self._watch_the_thread_inside()
        self.system.names.release(self)  # first of all: whoever hears of the end may want the names
        let_go(self)
        self._tell_end(reason)
        in_hand = self._in_hand
        if abandoned and in_hand is not None:
            in_hand.reply.try_fail(self._given_up_on())
        cut_ties(self, reason)  # before the notice: the successor speaks after the news of this end
        if self._notify is not None:
            report = StopReport(abandoned=(self.path,)) if abandoned else self._stop_report()
            post_mortem = self._post_mortem(reason)
            self._notify(Exited(self.spec.id, self.generation, reason, abandoned, report, post_mortem))
        if abandoned:
            self._turn_away()
        self._end_is_declared = True
        self._let_go_of_the_actor()
        return True

    def _watch_the_thread_inside(self) -> None:
        # Whoever takes the actor up says so first and looks at the fence then: one side sees the other.
        if self.inside() is not None:
            watched.append(self)
            if self.inside() is None:  # it left between the two lines, and found nothing to take out
                with contextlib.suppress(ValueError):
                    watched.remove(self)

    def _claim_end(self) -> bool:
        with making:
            mine = not self._end_is_claimed
            self._end_is_claimed = True
        return mine

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
