"""The start of an incarnation: `__init__`, what is restored, `on_start`, and the notices that say how it went.

A start that fails runs no `on_stop`; one that is given up on runs no further than the step it is in.
`Started` and `Ready` are sent at most once each, and never after the end.
"""

from collections.abc import Callable

from treewarden.actors._durable import let_go
from treewarden.actors._ending import Ending
from treewarden.actors._errors import Ignore
from treewarden.actors._exits import Killed, Normal
from treewarden.actors._links import Signal, cut_ties, drop_ties
from treewarden.actors._messages import Declined, Ready, Started
from treewarden.actors._restoring import recover
from treewarden.actors._status import Status

__all__ = ["Starting"]


class Starting(Ending):
    """An incarnation as one that starts."""

    __slots__ = ()

    def start(self, make: Callable[[], None]) -> None:
        """Begin: `make` (the actor's `__init__`) and `on_start` run on a worker."""
        self._make = make
        self._wake()

    # On the actor's own turn

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
                self._on_start()
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

    def _on_start(self) -> None:
        assert self.actor is not None
        self.actor.on_start()

    def make_again(self, make: Callable[[], None]) -> None:
        """For `_restoring`: run `__init__` on the emptied object; what the attempt before it set going is undone.

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

    def _decline(self) -> None:
        self._cancel_timers()
        let_go(self)
        self._become(Status.STOPPED)
        if self._claim_end():  # otherwise it was given up on meanwhile
            self._exit_reason = Normal()
            self.system.names.release(self)
            self._tell_end(Normal())
            cut_ties(self, Normal())
            if self._notify is not None:
                self._notify(Declined(self.spec.id, self.generation))
            self._end_is_declared = True
        self._turn_away()
        self._let_go_of_the_actor()

    # Notices; the actor may put them off

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

    def _notice_started(self) -> None:
        self._notice(Started(self.spec.id, self.generation, ready=not self._ready_deferred))

    def _notice(self, notice: Started | Ready) -> None:
        """Send a notice that must not follow `Exited`: whoever declares the end meanwhile finds the end claimed."""
        if self._notify is None or not self._claim_end():
            return
        try:
            self._notify(notice)
        finally:
            self._end_is_claimed = False
        # Such a declaration was left in `_wanted_end` before it tried to claim: one of the two makes it.
        if self._wanted_end is not None:
            reason, abandoned = self._wanted_end
            self._declare_end(reason, abandoned=abandoned)
