"""What one supervisor has remembered of its restarts, and the starts that wait until it is on record (A.17).

A start that follows a crash must not happen before the crash is counted on disk (docs/decisions/0015):
it is held while a commit is on its way. A store that fails holds nothing up: it is logged. A
supervisor that was given up on writes nothing over what its successor knows: it is refused with
`Fenced`, and counted (A.15).
"""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import final

from treewarden.actors import ChildId, Context, ExitReason, ServiceMissing, Shutdown, is_abnormal
from treewarden.storage import StoreError
from treewarden.supervision_trees._effects import Start
from treewarden.supervision_trees._machine import SupervisorMachine
from treewarden.supervision_trees._records import RestartRecords

__all__ = ["RestartMemory", "Saved"]


@final
@dataclass(frozen=True, slots=True)
class Saved:
    """To the supervisor itself: what it had remembered is on record, or could not be put."""

    future: "Future[int]"


@final
class RestartMemory:
    """The records of one supervisor, where the runtime keeps any. Not thread-safe: its actor owns it."""

    def __init__(self, context: Context, machine: SupervisorMachine) -> None:
        self._context, self._machine = context, machine
        self._records = _find_records(context)
        self._unsaved: Future[int] | None = None  # the newest commit that is not durable yet
        self._held: dict[ChildId, Start] = {}  # starts that wait for it

    def recall(self, now: float) -> None:
        """Before the boot: have the machine take over what an earlier runtime remembered."""
        if self._records is not None:
            self._machine.recall(*self._records.take(self._context.path, self._machine.children, now), now)

    def remember(self, child: ChildId, now: float) -> None:
        """Put the window and what is known of `child` on record; `Saved` comes when it is there."""
        known = self._machine.children.get(child)
        if self._records is None or known is None:  # forgotten since
            return
        self._context.ensure_current()
        time = self._machine.window_time(now)
        ages = [time - at for at in self._machine.window.spent]
        own_ages = [] if known.window is None else [time - at for at in known.window.spent]
        try:
            future = self._records.remember(self._context.path, ages, known, own_ages, now)
        except StoreError as error:
            self._not_saved(error)
            return
        if future.done():
            self._note_failure(future)
        else:
            # Commits of one thread become durable in their order, so the newest speaks for all.
            self._unsaved = future
            tell_me = self._context.incarnation().tell_system
            future.add_done_callback(lambda done: tell_me(Saved(done)))

    def forget(self, child: ChildId) -> None:
        """Drop what is on record of `child`."""
        if self._records is not None:
            self._context.ensure_current()
            try:
                self._records.forget(self._context.path, child)
            except StoreError as error:
                self._not_saved(error)

    def calm(self, reason: ExitReason, now: float) -> None:
        """The supervisor ends: after an orderly end the next runtime begins with full allowances."""
        if self._records is None or is_abnormal(reason) or reason == Shutdown("intensity"):
            return
        uncalm = self._machine.failing()
        if uncalm or self._machine.window.spent:
            self._context.ensure_current()
            try:
                self._records.calm(self._context.path, uncalm, now)
            except StoreError as error:
                self._not_saved(error)

    # Held starts

    def hold(self, start: Start) -> bool:
        """Keep `start` until what was remembered is on record; False if it is, and it may go now."""
        if self._unsaved is None:
            return False
        self._held[start.spec.id] = start
        return True

    def release(self, saved: Saved) -> tuple[Start, ...]:
        """The starts that `saved` lets go, in their order."""
        self._note_failure(saved.future)
        if self._unsaved is not None and self._unsaved is not saved.future:
            return ()
        self._unsaved = None
        held, self._held = self._held, {}
        return tuple(held.values())

    def drop(self, child: ChildId) -> Start | None:
        """Take back the start of `child` if it is still held."""
        return self._held.pop(child, None)

    def _note_failure(self, done: "Future[int]") -> None:
        error = done.exception()
        if error is not None:
            self._not_saved(error)

    def _not_saved(self, error: BaseException) -> None:
        # A full disk must not keep a service down; the price is an allowance that a restart of the runtime renews.
        self._context.log.error("restarts are not on record", error=str(error) or repr(error))


def _find_records(context: Context) -> RestartRecords | None:
    try:
        return context.service(RestartRecords)
    except ServiceMissing:
        return None  # nothing of this runtime outlives it
