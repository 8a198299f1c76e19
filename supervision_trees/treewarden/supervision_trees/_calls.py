"""The calls to a supervisor (supervision.md A.10): what each does to the roster, and how it is refused.

A call is answered when it is done, through effects; a refused one changes nothing.
"""

from dataclasses import replace
from typing import Final, assert_never, final

from treewarden.actors import ChildSpec, InvalidChildSpec, Restart, Shutdown, TreewardenError, child_path
from treewarden.supervision_trees._checks import (
    check_child,
    check_settings,
    check_spec,
    checked_children,
    given_children,
)
from treewarden.supervision_trees._children import ChildState
from treewarden.supervision_trees._effects import (
    Answer,
    CallId,
    Change,
    DeleteChild,
    Refused,
    Remember,
    Request,
    RestartChild,
    RetireChild,
    RunsAlready,
    StartChild,
    TerminateChild,
)
from treewarden.supervision_trees._errors import (
    AlreadyPresent,
    InvalidSupervisor,
    NotApplicable,
    NotFound,
    StartFailed,
    StillRestarting,
    StillRunning,
    TooManyChildren,
)
from treewarden.supervision_trees._intensity import RestartWindow
from treewarden.supervision_trees._restarts import Restarts
from treewarden.supervision_trees._roster import Membership, Roster
from treewarden.supervision_trees._strategy import Strategy
from treewarden.supervision_trees._table import Slot

__all__ = ["Calls"]

TERMINATED: Final = Shutdown("terminated by a call")


@final
class Calls:
    """Takes the calls of one supervisor. Not thread-safe: one state machine owns it."""

    def __init__(self, roster: Roster, restarts: Restarts, *, max_children: int | None) -> None:
        self._roster, self._restarts, self._max_children = roster, restarts, max_children

    def take(self, request: Request, now: float) -> None:
        """Carry out, or refuse, one call."""
        call = request.call
        match call:
            case StartChild(spec):
                self._start_child(request, spec, now)
                return
            case Change():
                self._change(request.id, call, now)
                return
            case _:
                child = self._roster.table.get(call.child)
        if child is None or not child.is_addressed_by(call.generation):
            known = tuple(self._roster.table.rows)
            self._refuse(request.id, NotFound(child_path(self._roster.path, call.child), known, call.generation))
            return
        match call:
            case TerminateChild():
                self._terminate_child(request.id, child, now)
            case RestartChild():
                self._restart_child(request, child, now)
            case DeleteChild():
                self._delete_child(request.id, child)
            case RetireChild():
                self._retire_child(request.id, child)
            case _:
                assert_never(call)

    # Starting

    def _start_child(self, request: Request, spec: ChildSpec, now: float) -> None:
        try:
            check_spec("spec", spec)
        except InvalidChildSpec as invalid:
            self._refuse(request.id, invalid)
            return
        refused = self._not_to_be_added(spec)
        if refused is not None:
            self._roster.note(Answer(request.id, refused))
            return
        self._roster.expect_start(request, spec.id)
        self._roster.begin_attempt(self._roster.table.add(spec), now)

    def _not_to_be_added(self, spec: ChildSpec) -> Refused | RunsAlready | None:
        roster, known = self._roster, self._roster.table.get(spec.id)
        if roster.ending is not None:
            return Refused(StartFailed(child_path(roster.path, spec.id), roster.ending))
        if known is not None and known.state is ChildState.RUNNING:
            return RunsAlready(spec.id)
        if known is not None:
            return Refused(AlreadyPresent(roster.path_of(known), known.state.value))
        if self._max_children is not None and self._counted() >= self._max_children:
            return Refused(TooManyChildren(roster.path, self._max_children))
        try:
            check_child(spec, self._restarts.settings)
        except InvalidChildSpec as invalid:
            return Refused(invalid)
        field = f"children.{spec.id}.needs"
        unknown = [need for need in spec.needs if need not in roster.table.rows]
        if unknown:
            expected = f"siblings that exist: {', '.join(roster.table.rows) or 'there are none'}"
            return Refused(InvalidSupervisor(field, unknown, expected))
        if roster.table.would_close_a_cycle(spec):
            expected = f"siblings that do not need {spec.id} themselves"
            return Refused(InvalidSupervisor(field, list(spec.needs), expected))
        return None

    def _counted(self) -> int:
        """Children that run or will (Elixir's rule for max_children); parked ones do not count.

        A dynamic supervisor, which alone has a limit, knows no child that is neither.
        """
        return len(self._roster.table.rows) - self._roster.table.parked

    def _restart_child(self, request: Request, child: Slot, now: float) -> None:
        refused = self._not_at_rest(child)
        if self._roster.ending is not None:
            refused = StartFailed(self._roster.path_of(child), self._roster.ending)
        if refused is None and self._max_children is not None and self._counted() >= self._max_children:
            refused = TooManyChildren(self._roster.path, self._max_children)
        if refused is not None:
            self._refuse(request.id, refused)
            return
        self._roster.expect_start(request, child.id)
        window = None if child.window is None else RestartWindow(child.window.limit)
        if child.failures or window != child.window:
            # Else an earlier runtime's word would stand against the person who started it afresh.
            self._roster.note(Remember(child.id))
        child.window, child.failures = window, 0
        self._roster.begin_attempt(child, now)

    # Stopping

    def _terminate_child(self, call: CallId, child: Slot, now: float) -> None:
        self._restarts.leave(child, TERMINATED, now)
        self._stop_child(call, child)

    def _retire_child(self, call: CallId, child: Slot) -> None:
        self._restarts.drop(child)
        # Temporary from now on: whatever ends it, and whoever restarts its siblings meanwhile, it is forgotten.
        child.spec = replace(child.spec, restart=Restart.TEMPORARY)
        self._stop_child(call, child)

    def _stop_child(self, call: CallId, child: Slot) -> None:
        if not child.live:
            self._roster.call_off(child, TERMINATED)
            self._roster.note(Answer(call, None))
            return
        self._roster.expect_stop(call, child.id)
        if child.state is not ChildState.STOPPING:
            self._roster.stop(child, TERMINATED)

    def _delete_child(self, call: CallId, child: Slot) -> None:
        refused = self._not_at_rest(child)
        if self._roster.membership is Membership.DYNAMIC:
            refused = NotApplicable(
                self._roster.path, "delete_child", "terminate_child forgets a child, a parked one too"
            )
        if refused is not None:
            self._refuse(call, refused)
            return
        self._roster.forget(child)
        self._roster.note(Answer(call, None))

    def _not_at_rest(self, child: Slot) -> TreewardenError | None:
        path, state = self._roster.path_of(child), child.state
        if child.id in self._roster.to_boot:
            return StillRestarting(path, "next to start")
        match state:
            case ChildState.STOPPED | ChildState.FAILED:
                return None
            case ChildState.RUNNING | ChildState.STOPPING:
                return StillRunning(path, state.value)
            case ChildState.STARTING | ChildState.RESTARTING | ChildState.WAITING:
                return StillRestarting(path, state.value)
            case _:
                assert_never(state)

    # Changing (OTP's code_change: all or nothing, and nothing is restarted)

    def _change(self, call: CallId, change: Change, now: float) -> None:
        try:
            self._apply(change)
        except (InvalidSupervisor, InvalidChildSpec, NotApplicable) as error:
            self._refuse(call, error)
            return
        for child in tuple(self._roster.table.rows.values()):
            # It may have lost the need it waited for.
            if child.state is ChildState.WAITING and not self._roster.table.lacking(child.spec):
                self._roster.begin_attempt(child, now)
        self._roster.note(Answer(call, None))

    def _apply(self, change: Change) -> None:
        settings = self._restarts.settings
        wanted = replace(
            settings,
            strategy=settings.strategy if change.strategy is None else change.strategy,
            intensity=settings.intensity if change.intensity is None else change.intensity,
            auto_shutdown=settings.auto_shutdown if change.auto_shutdown is None else change.auto_shutdown,
        )
        if self._roster.membership is Membership.DYNAMIC and (
            change.children is not None or wanted.strategy is not Strategy.ONE_FOR_ONE or change.auto_shutdown
        ):
            raise NotApplicable(
                self._roster.path, "change", "of a dynamic supervisor only the intensity; start and terminate children"
            )
        check_settings(wanted)  # what is none would be noticed at the next crash only, and be the supervisor's own
        kept = [child.spec for child in self._roster.table.rows.values()]
        if change.children is None:
            for spec in kept:
                # Not their needs, which stay as they are: one may name a sibling that was forgotten since.
                check_child(spec, wanted)
        else:
            given = given_children(change.children)
            ids = {spec.id for spec in given}
            # Those that are missing run on, so what they need must go on being there too.
            checked_children((*given, *(spec for spec in kept if spec.id not in ids)), wanted)
            self._roster.table.reorder(given)
            self._roster.reorder_boot()
        self._restarts.change(wanted)

    def _refuse(self, call: CallId, error: TreewardenError) -> None:
        self._roster.note(Answer(call, Refused(error)))
