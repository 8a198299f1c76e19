"""A supervisor's children and the elementary steps over them.

Each step changes the table and notes what must be done in the world, as effects in order. What
calls for which step is decided above: by the boot, the restarts, the calls, the ends and the machine.
"""

import enum
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, final

from treewarden.actors import (
    INFINITY,
    ActorPath,
    BrutalKill,
    ChildId,
    ChildSpec,
    ChildType,
    ChildWaiting,
    Crashed,
    CrashReport,
    Event,
    Exited,
    ExitReason,
    Generation,
    Restart,
    child_path,
    describe_exit,
    is_abnormal,
)
from treewarden.supervision_trees._children import ChildState, CrashRecord
from treewarden.supervision_trees._effects import (
    Answer,
    CallId,
    CancelTimer,
    Effect,
    Emit,
    Forget,
    Kill,
    Outcome,
    Refused,
    Remember,
    Request,
    RequestStop,
    RetryDue,
    SetTimer,
    Start,
    StartOverdue,
    StopOverdue,
    TimerDue,
)
from treewarden.supervision_trees._errors import StartFailed
from treewarden.supervision_trees._table import ChildTable, Slot

__all__ = ["CRASHES_KEPT", "Membership", "Roster", "stop_patience"]

CRASHES_KEPT: Final = 10  # of each child, as OTP's sys keeps its last events
TRACEBACK_KEPT: Final = 4_000  # characters of each, its end: where it happened


@final
class Membership(enum.Enum):
    """What becomes of a child that has ended and is not to be restarted."""

    STATIC = "static"  # it keeps its place, stopped, unless it is temporary (OTP's supervisor)
    DYNAMIC = "dynamic"  # it is forgotten (Elixir's DynamicSupervisor)


@final
class Roster:
    """The table, who waits for an answer about a child, and the effects so far. One state machine owns it."""

    def __init__(self, path: ActorPath, children: Iterable[ChildSpec], membership: Membership) -> None:
        self.path: Final = path
        self.membership: Final = membership
        self.table: Final = ChildTable(children)
        # Not started yet and not called off; an OrderedDict, since a dict whose first keys go one by one is
        # searched from its old beginning each time.
        self.to_boot: Final[OrderedDict[ChildId, None]] = OrderedDict.fromkeys(self.table.rows)
        self.ending: ExitReason | None = None  # why the supervisor ends, once it does: nothing starts any more
        self._effects: list[Effect] = []
        self._starting_calls: dict[ChildId, Request] = {}  # one each at most: a second one is refused
        self._stopping_calls: dict[ChildId, list[CallId]] = {}

    # Effects

    def take_effects(self) -> tuple[Effect, ...]:
        """What was noted since the last time, in order."""
        effects, self._effects = tuple(self._effects), []
        return effects

    def note(self, effect: Effect) -> None:
        """Note one more thing to do."""
        self._effects.append(effect)

    def emit(self, event: Event) -> None:
        """Note that the world is to be told."""
        self._effects.append(Emit(event))

    def set_timer(self, due: TimerDue, delay: float) -> None:
        """Note a timer; one that never falls due is none."""
        if delay < INFINITY:
            self._effects.append(SetTimer(due, delay))

    def cancel(self, due: TimerDue) -> None:
        """Note that a timer is not wanted any more; fine if it was never set."""
        self._effects.append(CancelTimer(due))

    def start_is_over(self, child: Slot) -> None:
        """Watch the start of `child` no longer."""
        if child.start_overdue is not None:
            self.cancel(child.start_overdue)
            child.start_overdue = None

    def stop_is_over(self, child: Slot) -> None:
        """Watch the stop of `child` no longer."""
        if child.stop_overdue is not None:
            self.cancel(child.stop_overdue)
            child.stop_overdue = None

    def path_of(self, child: Slot) -> ActorPath:
        """Where `child` lives."""
        return child_path(self.path, child.id)

    # Starting

    def begin_attempt(self, child: Slot, now: float) -> Slot:
        """Start an incarnation of `child`, or let it wait for what it needs."""
        lacking = self.table.lacking(child.spec)
        if lacking:
            self.emit(ChildWaiting(self.path_of(child), lacking))
            self.table.enter(child, ChildState.WAITING)
            child.retry_at = None
            return child
        generation = child.generation = Generation(child.generation + 1)
        self.table.enter(child, ChildState.RESTARTING if child.attempts else ChildState.STARTING)
        child.attempts += 1
        child.live, child.started, child.ready = True, False, False
        child.started_at, child.retry_at = now, None
        self._effects.append(Start(child.spec, generation))
        if child.spec.start_timeout < INFINITY:
            child.start_overdue = StartOverdue(child.id, generation)
            self._effects.append(SetTimer(child.start_overdue, child.spec.start_timeout))
        return child

    def reorder_boot(self) -> None:
        """Have those that are still to boot do so in the order in which they stand now."""
        waiting = dict(self.to_boot)
        self.to_boot.clear()
        self.to_boot.update((name, None) for name in self.table.rows if name in waiting)

    def expect_start(self, request: Request, child: ChildId) -> None:
        """Let `request` be answered when `child` has started, or has not."""
        assert child not in self._starting_calls
        self._starting_calls[child] = request

    def answer_start(self, child: Slot, outcome: Outcome) -> Request | None:
        """Answer whoever started `child` by hand; the call that was answered."""
        request = self._starting_calls.pop(child.id, None)
        if request is not None:
            self._effects.append(Answer(request.id, outcome))
        return request

    def is_started_by_hand(self, child: Slot) -> bool:
        """Whether somebody waits for `child` to start."""
        return child.id in self._starting_calls

    # Stopping

    def stop(self, child: Slot, reason: ExitReason) -> None:
        """Tell the incarnation of `child` to end."""
        assert child.live
        self.table.enter(child, ChildState.STOPPING)
        child.ready = False
        if isinstance(child.spec.shutdown, BrutalKill):
            self._effects.append(Kill(child.id, child.generation))
        else:
            self._effects.append(RequestStop(child.id, child.generation, reason))
            patience = stop_patience(child.spec)
            if patience < INFINITY:
                child.stop_overdue = StopOverdue(child.id, child.generation)
                self._effects.append(SetTimer(child.stop_overdue, patience))

    def expect_stop(self, call: CallId, child: ChildId) -> None:
        """Let `call` be answered when `child` has ended."""
        self._stopping_calls.setdefault(child, []).append(call)

    def is_stopped_by_hand(self, child: Slot) -> bool:
        """Whether somebody waits for `child` to stop."""
        return child.id in self._stopping_calls

    def answer_stops(self, child: Slot) -> None:
        """Answer whoever stopped `child` by hand."""
        for call in self._stopping_calls.pop(child.id, ()):
            self._effects.append(Answer(call, None))

    def call_off(self, child: Slot, reason: ExitReason) -> None:
        """Let a child without an incarnation have none: no retry, no wait, no start."""
        assert not child.live
        if child.retry_at is not None:
            self.cancel(RetryDue(child.id, child.generation))
        self.to_boot.pop(child.id, None)
        self.rest(child, ChildState.STOPPED)
        self.answer_start(child, Refused(StartFailed(self.path_of(child), reason)))

    def rest(self, child: Slot, state: ChildState) -> None:
        """Leave `child` without an incarnation, in `state`; one that keeps no place is forgotten."""
        stays = self.membership is Membership.STATIC or state is ChildState.FAILED
        if stays and child.spec.restart is not Restart.TEMPORARY:
            self._rest(child, state)
        else:
            self.forget(child)

    def park(self, child: Slot) -> None:
        """Leave `child` failed, whatever its restart type, until somebody restarts it."""
        self._rest(child, ChildState.FAILED)

    def _rest(self, child: Slot, state: ChildState) -> None:
        self.table.enter(child, state)
        child.ready, child.retry_at = False, None

    def forget(self, child: Slot) -> None:
        """Drop `child`, its spec and what is remembered of it."""
        self.table.forget(child)
        supervises = child.spec.actor_class.child_type is ChildType.SUPERVISOR
        # Else nothing of it was ever remembered, nor of anything below it.
        if child.crashes or child.failures or child.restarts or supervises:
            self._effects.append(Forget(child.id))

    # Failing

    def report_crash(self, child: Slot, notice: Exited, now: float, *, used: int, allowed: int, then: str) -> None:
        """Tell of an abnormal end, and keep it in the child's ring while the child is known (A.14).

        Also has it remembered: what follows must not start before a crash loop's next count is on record.
        """
        reason, mortem = notice.reason, notice.post_mortem
        if not is_abnormal(reason):
            return
        traceback = reason.traceback if isinstance(reason, Crashed) else ""
        self.emit(
            CrashReport(
                self.path,
                self.path_of(child),
                notice.generation,
                reason,
                traceback=traceback,
                last_message=mortem.last_message,
                mailbox=mortem.mailbox,
                state=mortem.state,
                log=mortem.log,
                used=used,
                allowed=allowed,
                then=then,
            )
        )
        known = self.table.get(child.id)
        if known is not None:
            record = CrashRecord(
                now,
                notice.generation,
                _encodable(describe_exit(reason)),
                _encodable(traceback[-TRACEBACK_KEPT:]),
                None if mortem.last_message is None else _encodable(mortem.last_message),
                mortem.mailbox,
                None if mortem.state is None else _encodable(mortem.state),
            )
            known.crashes = (*known.crashes, record)[-CRASHES_KEPT:]
            self._effects.append(Remember(child.id))


def stop_patience(spec: ChildSpec) -> float:
    """Seconds from the request to stop until the child is given up on; a brutal kill needs none."""
    return 0.0 if isinstance(spec.shutdown, BrutalKill) else spec.shutdown + spec.actor_class.stop_allowance


def _encodable(text: str) -> str:
    """`text` without lone surrogates (an error may quote a file name of other bytes): neither store nor wire takes one."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
