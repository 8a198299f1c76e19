"""A supervisor's table: one record for each child, changed in place.

A record costs one object however often its child changes, where a frozen value would be copied at each
step of each start (docs/decisions/0017). Nobody outside the state machine sees one: what others
read are `Child` values, made when somebody looks.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from types import MappingProxyType
from typing import Final, final

from treewarden.actors import ChildId, ChildSpec, ExitReason, Generation
from treewarden.supervision_trees._children import NOT_STARTED, Child, ChildState, CrashRecord
from treewarden.supervision_trees._effects import StartOverdue, StopOverdue
from treewarden.supervision_trees._intensity import RestartWindow

__all__ = ["ChildTable", "SeenChildren", "Slot"]

_PARKED: Final = ChildState.FAILED  # an enum's member costs a look-up of its class each time
_fields_of_child: Final = attrgetter(*(field.name for field in fields(Child)))


@final
@dataclass(slots=True, eq=False)
class Slot:
    """A child's record. Its fields are those of `Child`, which says what they mean, and what only the machine needs.

    `state` is set by the table alone, which counts those that are parked.
    """

    id: ChildId
    spec: ChildSpec
    generation: Generation
    ran: Generation
    window: RestartWindow | None
    state: ChildState = ChildState.STOPPED
    live: bool = False
    started: bool = False
    ready: bool = False
    attempts: int = 0
    restarts: int = 0
    failures: int = 0
    started_at: float | None = None
    retry_at: float | None = None
    last_exit: ExitReason | None = None
    crashes: tuple[CrashRecord, ...] = ()
    start_overdue: StartOverdue | None = None  # the timers that are set for it
    stop_overdue: StopOverdue | None = None

    def seen(self) -> Child:
        """The child as it is now."""
        return Child(*_fields_of_child(self))

    def is_addressed_by(self, generation: Generation | None) -> bool:
        """See `Child.is_addressed_by`."""
        return generation is None or generation >= self.ran


@final
class ChildTable:
    """A supervisor's children in start order. Not thread-safe: one state machine owns it.

    Finding, changing, adding and forgetting a child cost the same however many there are.
    """

    def __init__(self, specs: Iterable[ChildSpec]) -> None:
        self._slots: dict[ChildId, Slot] = {}
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
    def rows(self) -> Mapping[ChildId, Slot]:
        """The children in start order, as they are now; a view that cannot be written to."""
        return MappingProxyType(self._slots)

    @property
    def parked(self) -> int:
        """How many children are `FAILED`."""
        return self._parked

    def get(self, child: ChildId) -> Slot | None:
        """The child of that id."""
        return self._slots.get(child)

    def add(self, spec: ChildSpec) -> Slot:
        """A new child, at the end."""
        name = spec.id
        assert name not in self._slots
        for need in spec.needs:
            self._dependents.setdefault(need, {})[name] = None
        window = None if spec.intensity is None else RestartWindow(spec.intensity)
        slot = self._slots[name] = Slot(name, spec, self._forgotten, Generation(self._forgotten + 1), window)
        return slot

    def enter(self, slot: Slot, state: ChildState) -> None:
        """Have the child be in `state`."""
        if slot.state is _PARKED:
            self._parked -= 1
        if state is _PARKED:
            self._parked += 1
        slot.state = state

    def forget(self, slot: Slot) -> None:
        """Drop the child and its spec."""
        del self._slots[slot.id]
        self._parked -= slot.state is ChildState.FAILED
        self._forgotten = max(self._forgotten, slot.generation)
        for need in set(slot.spec.needs):
            dependents = self._dependents[need]
            del dependents[slot.id]
            if not dependents:
                del self._dependents[need]

    def reorder(self, specs: Iterable[ChildSpec]) -> None:
        """Have the children stand in the order of `specs`, with these specs; those not named stay, behind them.

        A child that is not known yet is added, stopped. Nothing is started or stopped.
        """
        rest = self._slots
        self._slots, self._dependents = {}, {}
        for spec in specs:
            known = rest.pop(spec.id, None)
            fresh = self.add(spec)
            if known is not None:
                # A limit of its own that stays keeps what was spent of it.
                if known.window is not None and fresh.window is not None:
                    known.window = replace(known.window, limit=fresh.window.limit)
                else:
                    known.window = fresh.window
                known.spec = spec
                self._slots[spec.id] = known
        for left in rest.values():
            self.add(left.spec)
            self._slots[left.id] = left

    def lacking(self, spec: ChildSpec) -> tuple[ChildId, ...]:
        """Those of the needs of `spec` that are not ready (or not there)."""
        if not spec.needs:
            return ()
        return tuple(need for need in spec.needs if need not in self._slots or not self._slots[need].ready)

    def dependents(self, need: ChildId) -> tuple[Slot, ...]:
        """The children that need `need`, in start order."""
        names = self._dependents.get(need)
        return () if names is None else tuple(self._slots[child] for child in names)

    def would_close_a_cycle(self, spec: ChildSpec) -> bool:
        """Whether a new child `spec` would, through its needs, need itself.

        Only a child that was forgotten while others need it can come back and do so.
        """
        if spec.id not in self._dependents:
            return False
        seen: set[ChildId] = set()
        ahead = list(spec.needs)
        while ahead:
            need = ahead.pop()
            if need == spec.id:
                return True
            if need not in seen and need in self._slots:
                ahead.extend(self._slots[need].spec.needs)
            seen.add(need)
        return False


@final
class SeenChildren(Mapping[ChildId, Child]):
    """A table as others read it: each child as it is when it is looked up, the order that of the table then."""

    def __init__(self, table: ChildTable) -> None:
        self._table = table

    def __getitem__(self, child: ChildId) -> Child:
        return self._table.rows[child].seen()

    def __iter__(self) -> Iterator[ChildId]:
        return iter(self._table.rows)

    def __len__(self) -> int:
        return len(self._table.rows)

    def __contains__(self, child: object) -> bool:
        return child in self._table.rows
