"""Children as their supervisor knows them: frozen values with a fixed set of states."""

import enum
from dataclasses import dataclass
from typing import Final, final

from treewarden.actors import ChildId, ChildSpec, ExitReason, Generation
from treewarden.supervision_trees._intensity import RestartWindow

__all__ = ["NOT_STARTED", "Child", "ChildState", "CrashRecord"]

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
    """A child at one moment, as its supervisor's table has it. Times are monotonic seconds.

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
