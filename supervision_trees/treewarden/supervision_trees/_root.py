"""The root of a runtime's tree: its start, the order to stop, and how it ended.

The runtime is the root's supervisor, and never restarts it: the end of the root is the end of the
tree. An order to stop may come from any thread at any time, also before there is a root.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, assert_never, final

import pykka

from treewarden.actors import (
    ActorPath,
    ActorRef,
    ActorSystem,
    ChildNotice,
    ChildSpec,
    Clock,
    Declined,
    EventSink,
    Exited,
    ExitReason,
    Generation,
    Killed,
    Normal,
    Ready,
    Reply,
    RuntimeStopping,
    Shutdown,
    Started,
    StopReport,
    child_path,
    spawn,
)
from treewarden.supervision_trees._children import Child, ChildState
from treewarden.supervision_trees._errors import StartFailed
from treewarden.supervision_trees._explanation import GiveUps, nearest_failure
from treewarden.supervision_trees._ports import CLOSING
from treewarden.supervision_trees._supervisor import ChildRow

__all__ = ["FIRST", "ROOT_PARENT", "Root", "RuntimeEnd"]

ROOT_PARENT: Final = ActorPath("")
FIRST: Final = Generation(1)  # and the only one, of what the runtime itself starts


@final
@dataclass(frozen=True, slots=True)
class RuntimeEnd:
    """How a tree ended: `ok` if it was asked to; `message` says what happened, over several lines."""

    ok: bool
    reason: ExitReason
    message: str
    report: StopReport


@final
class Root:
    """The root actor of one runtime. Safe from any thread; `start` is called once."""

    def __init__(
        self,
        spec: ChildSpec,
        give_ups: GiveUps,
        *,
        clock: Clock,
        since: float,
        events: EventSink,
        below: Callable[[ActorPath], tuple[ActorRef[Any], ...]],
    ) -> None:
        """Take the spec of the root, and the wall time `since` which the runtime is there.

        `below` tells who runs at a path or below it.
        """
        self.spec = spec  # what it goes by; an apply changes it
        self.path: Final = child_path(ROOT_PARENT, spec.id)
        self._give_ups, self._clock, self._since, self._events = give_ups, clock, since, events
        self._below = below
        self._ref: ActorRef[Any] | None = None
        self._started: Reply[None] = Reply()
        self._ended: Reply[RuntimeEnd] = Reply()
        self._stop_asked: str | None = None

    def adopt(self, spec: ChildSpec) -> None:
        """Take note of what the living root goes by since an apply changed it."""
        self.spec = spec

    @property
    def was_started(self) -> bool:
        """Whether `start` got as far as starting it."""
        return self._ref is not None

    def start(self, system: ActorSystem) -> ActorRef[Any] | None:
        """Start it and wait for that; None if it has ended because it was asked to meanwhile.

        Raises:
            StartFailed: it ended for any other reason.
        """
        self._ref = ref = spawn(
            system, self.spec, path=self.path, parent=None, generation=FIRST, notify=self._take_notice
        )
        if self._stop_asked is not None:  # by the console, before there was a root to tell
            ref.request_stop(Shutdown(self._stop_asked))
        try:
            self._started.get()
        except StartFailed:
            if self._stop_asked is None:
                raise
            return None  # it was asked to: `wait` says how it ended
        return ref

    def request_stop(self, why: str) -> None:
        """Begin an orderly stop and return; asking again changes nothing."""
        if self._stop_asked is None:
            self._stop_asked = why
            self._events.emit(RuntimeStopping(why))
        if self._ref is not None:
            self._ref.request_stop(Shutdown(why))

    def wait(self, timeout: float | None) -> RuntimeEnd | None:
        """Wait until it has ended; None if it runs on after `timeout` seconds."""
        try:
            end: RuntimeEnd = self._ended.get(timeout=timeout)
        except pykka.Timeout:
            return None
        return end

    def end(self, within: float) -> RuntimeEnd:
        """Stop it, once it was started; it is killed if it runs on after `within` seconds."""
        assert self._ref is not None
        running = self._below(self.path)
        if not self._ended.is_set():
            self.request_stop("stop")
        end = self.wait(within)
        if end is not None:
            return end
        running = (*running, *self._below(self.path), self._ref)  # those that started since, too
        self._ref.kill()
        end = self.wait(CLOSING)
        if end is None:
            end = RuntimeEnd(ok=False, reason=Killed(), message=f"{self.path} did not end", report=StopReport())
        return replace(end, report=end.report + _fates(running, end.report))

    def row(self) -> ChildRow:
        """What a view shows of it, as its supervisor would."""
        end = self.wait(0)
        ended = end is not None
        started = self._started.is_set()
        state = ChildState.STOPPED if ended else ChildState.RUNNING if started else ChildState.STARTING
        if self._stop_asked is not None and not ended:
            state = ChildState.STOPPING
        now = self._clock.monotonic()
        child = Child(
            self.spec,
            state=state,
            generation=FIRST,
            live=not ended,
            ready=started and not ended,
            started_at=now - (self._clock.wall() - self._since),
            last_exit=None if end is None else end.reason,
        )
        return ChildRow(child, None if ended else self._ref)

    def _take_notice(self, notice: ChildNotice) -> None:
        match notice:
            case Started():
                self._started.try_set(None)
            case Exited(reason=reason):
                self._ended.try_set(self._end_with(reason, notice.report))
                self._started.try_fail(nearest_failure(self.path, reason))
            case Declined():
                self._ended.try_set(self._end_with(Normal(), StopReport()))
                self._started.try_fail(StartFailed(self.path, Normal()))
            case Ready():
                pass
            case _:
                assert_never(notice)

    def _end_with(self, reason: ExitReason, report: StopReport) -> RuntimeEnd:
        # Who asks while it gives up has not stopped it (A.4).
        ok = self._stop_asked is not None and reason != Shutdown("intensity")
        if ok:
            message = f"the tree {self.path} was stopped: {self._stop_asked}"
        else:
            message = self._give_ups.explain(self.path, reason)
        return RuntimeEnd(ok=ok, reason=reason, message=message, report=report)


def _fates(running: Iterable[ActorRef[Any]], known: StopReport) -> StopReport:
    """What became of the actors of a tree that was killed, beyond what its root heard of: it ended at once."""
    stopped, abandoned, patience = list[ActorPath](), list[ActorPath](), CLOSING
    for ref in {ref.path: ref for ref in running}.values():
        try:
            ref.wait_stopped(timeout=patience)
        except pykka.Timeout:
            patience = 0.0  # they were all killed at the same time
        left_behind = ref.is_alive() or ref.incarnation().is_fenced()
        (abandoned if left_behind else stopped).append(ref.path)
    heard_stopped, heard_abandoned = frozenset(known.stopped), frozenset(known.abandoned)
    return StopReport(
        tuple(path for path in stopped if path not in heard_stopped),
        tuple(path for path in abandoned if path not in heard_abandoned),
    )
