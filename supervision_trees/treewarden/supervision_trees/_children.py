"""Children as their supervisor knows them: frozen values with a fixed set of states, and their table."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, final

from treewarden.actors import ChildId, ChildSpec, ExitReason, Generation
from treewarden.supervision_trees._intensity import RestartWindow

__all__ = ["Child", "ChildState", "ChildTable", "CrashRecord"]

NOT_STARTED: Final = Generation(0)


@final
class ChildState(enum.Enum):
    """Where a child is, as its supervisor sees it."""

    WAITING = "waiting"  # for siblings it needs
    STARTING = "starting"  # its first incarnation is in on_start
    RUNNING = "running"
    RESTARTING = "restarting"  # waiting out its delay, or a later incarnation is in on_start
    STOPPING = "stopping"  # told to stop, not ended yet
    STOPPED = "stopped"  # until somebody starts it
    FAILED = "failed"  # parked: it used up its own intensity, or its stored state cannot be restored


@final
@dataclass(frozen=True, slots=True)
class CrashRecord:
    """One abnormal end of a child, as text: what is kept must not keep a dead actor's objects alive.

    `at` is in monotonic seconds of this runtime; of an earlier runtime's crash it may be below 0.
    """

    at: float
    generation: int
    reason: str
    traceback: str
    last_message: str | None
    mailbox: int
    state: str | None


@final
@dataclass(frozen=True, slots=True)
class Child:
    """A slot in a supervisor's table. Times are monotonic seconds.

    Invariant: an incarnation exists if and only if `live` (it was asked to start and its end is not
    known yet), so at most one does.
    """

    spec: ChildSpec
    state: ChildState = ChildState.STOPPED
    generation: Generation = NOT_STARTED  # of the current or last incarnation; the first has the next
    ran: Generation = NOT_STARTED  # of the last incarnation that had started, else of the first
    live: bool = False
    started: bool = False  # whether the current or last incarnation had, be it told to stop since
    ready: bool = False
    attempts: int = 0  # incarnations since it was added
    restarts: int = 0  # automatic ones since the runtime started
    failures: int = 0  # in a row, for the backoff
    window: RestartWindow | None = None  # its own, if its spec has an intensity
    started_at: float | None = None  # when the current or last incarnation had started, or was asked to
    retry_at: float | None = None
    last_exit: ExitReason | None = None
    crashes: tuple[CrashRecord, ...] = ()  # the last ones, oldest first; those before a runtime restart included

    @property
    def id(self) -> ChildId:
        """Its name among its siblings."""
        return self.spec.id

    def is_addressed_by(self, generation: Generation | None) -> bool:
        """Whether a ref of that generation means this child: not once a newer one ran (None: by its id alone).

        So the ref of a child that is being restarted still addresses it (Elixir's rule, B 4).
        """
        return generation is None or generation >= self.ran


@final
class ChildTable:
    """A supervisor's children in start order. Not thread-safe: one state machine owns it.

    Finding, replacing, adding and forgetting a child cost the same however many there are.
    """

    def __init__(self, specs: Iterable[ChildSpec]) -> None:
        self._children: dict[ChildId, Child] = {}
        # Who names whom in its `needs`, in start order; a need that was forgotten keeps its entry.
        self._dependents: dict[ChildId, dict[ChildId, None]] = {}
        # The highest generation of a forgotten child. New ones begin above it: a late notice or timer
        # of a forgotten child then never fits a new child of the same id. One number for all ids,
        # since one for each would grow with every child that ever was.
        self._forgotten = NOT_STARTED
        self._parked = 0
        for spec in specs:
            self.add(spec)

    @property
    def rows(self) -> Mapping[ChildId, Child]:
        """The children in start order, as they are now; a view that cannot be written to."""
        return MappingProxyType(self._children)

    @property
    def parked(self) -> int:
        """How many children are `FAILED`."""
        return self._parked

    def get(self, child: ChildId) -> Child | None:
        """The child of that id."""
        return self._children.get(child)

    def add(self, spec: ChildSpec) -> Child:
        """A new child, at the end."""
        assert spec.id not in self._children
        for need in spec.needs:
            self._dependents.setdefault(need, {})[spec.id] = None
        window = None if spec.intensity is None else RestartWindow(spec.intensity)
        first = Generation(self._forgotten + 1)
        return self.put(Child(spec, generation=self._forgotten, ran=first, window=window))

    def put(self, child: Child) -> Child:
        """Have `child` stand where its id stands."""
        before = self._children.get(child.id)
        was_parked = before is not None and before.state is ChildState.FAILED
        self._parked += (child.state is ChildState.FAILED) - was_parked
        self._children[child.id] = child
        return child

    def forget(self, child: Child) -> None:
        """Drop `child` and its spec."""
        self._parked -= self._children.pop(child.id).state is ChildState.FAILED
        self._forgotten = max(self._forgotten, child.generation)
        for need in set(child.spec.needs):
            dependents = self._dependents[need]
            del dependents[child.id]
            if not dependents:
                del self._dependents[need]

    def reorder(self, specs: Iterable[ChildSpec]) -> None:
        """Have the children stand in the order of `specs`, with these specs; those not named stay, behind them.

        A child that is not known yet is added, stopped. Nothing is started or stopped.
        """
        rest = self._children
        self._children, self._dependents, self._parked = {}, {}, 0
        for spec in specs:
            known = rest.pop(spec.id, None)
            fresh = self.add(spec)
            if known is not None:
                # A limit of its own that stays keeps what was spent of it.
                window = (
                    fresh.window
                    if known.window is None or fresh.window is None
                    else replace(known.window, limit=fresh.window.limit)
                )
                self.put(replace(known, spec=spec, window=window))
        for child in rest.values():
            self.add(child.spec)
            self.put(child)

    def lacking(self, spec: ChildSpec) -> tuple[ChildId, ...]:
        """Those of the needs of `spec` that are not ready (or not there)."""
        return tuple(need for need in spec.needs if need not in self._children or not self._children[need].ready)

    def dependents(self, need: ChildId) -> tuple[Child, ...]:
        """The children that need `need`, in start order."""
        return tuple(self._children[child] for child in self._dependents.get(need, ()))

    def would_close_a_cycle(self, spec: ChildSpec) -> bool:
        """Whether a new child `spec` would, through its needs, need itself.

        Only a child that was forgotten while others need it can come back and do so.
        """
        seen: set[ChildId] = set()
        ahead = list(spec.needs) if spec.id in self._dependents else []
        while ahead:
            need = ahead.pop()
            if need == spec.id:
                return True
            if need not in seen and need in self._children:
                ahead.extend(self._children[need].spec.needs)
            seen.add(need)
        return False
