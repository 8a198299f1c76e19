"""One child as its supervisor knows it: a frozen value with a fixed set of states."""

import enum
from dataclasses import dataclass
from typing import Final, final

from treewarden.actors import ChildId, ChildSpec, ExitReason, Generation
from treewarden.supervision_trees._intensity import RestartWindow

__all__ = ["Child", "ChildState"]

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
    FAILED = "failed"  # used up its own intensity


@final
@dataclass(frozen=True, slots=True)
class Child:
    """A slot in a supervisor's table. Times are monotonic seconds.

    Invariant: an incarnation exists if and only if `live` (it was asked to start and its end is not
    known yet), so at most one does.
    """

    spec: ChildSpec
    state: ChildState = ChildState.STOPPED
    generation: Generation = NOT_STARTED  # of the current or last incarnation; 0 before the first
    live: bool = False
    ready: bool = False
    restarts: int = 0  # automatic ones since the runtime started
    failures: int = 0  # in a row, for the backoff
    window: RestartWindow | None = None  # its own, if its spec has an intensity
    started_at: float | None = None
    retry_at: float | None = None
    last_exit: ExitReason | None = None

    @property
    def id(self) -> ChildId:
        """Its name among its siblings."""
        return self.spec.id
