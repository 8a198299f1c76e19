"""The actor below `/system` that takes the checkpoints that nobody waits for."""

import contextlib
from dataclasses import dataclass
from typing import Final, final

from treewarden.actors import Actor, ActorPath, CutFailed
from treewarden.storage import StoreError, Trigger
from treewarden.supervision_trees._checkpointing import Checkpointing
from treewarden.supervision_trees._control import CommandRefused

__all__ = ["CheckpointActor", "TakeRequested"]

PAUSE: Final = 1.0  # seconds that a tree may stand still for a checkpoint that nobody waits for


@final
@dataclass(frozen=True, slots=True)
class TakeRequested:
    """Take the checkpoints that were requested."""


@final
@dataclass(frozen=True, slots=True)
class _TakePeriodic:
    """It is time for one of the whole tree."""


class CheckpointActor(Actor):
    """Takes the checkpoints that nobody waits for: every `every` seconds, and when an actor asks; and prunes them.

    One that comes to nothing is told as an event, and the next one is taken in its time.
    """

    def __init__(self, checkpointing: Checkpointing, root: ActorPath, every: float | None, keep: float) -> None:
        super().__init__()
        self._checkpointing, self._root, self._every, self._keep = checkpointing, root, every, keep

    def on_start(self) -> None:
        """Set the timer, and take what was requested while none of these ran."""
        if self._every is not None:
            self.context.send_every(self._every, _TakePeriodic())
        self.context.tell_self(TakeRequested())

    def on_receive(self, message: object) -> None:
        """Take what is asked for, then remove what is old."""
        match message:
            case _TakePeriodic():
                self._take(self._root, Trigger.PERIODIC)
                with contextlib.suppress(StoreError):  # the next time
                    self._checkpointing.prune(older_than=self._keep)
            case TakeRequested():
                for path, trigger in self._checkpointing.requested().items():
                    self._take(path, trigger)
            case _:
                super().on_receive(message)

    def _take(self, path: ActorPath, trigger: Trigger) -> None:
        # What failed was told by an event; a disk that is full or a handler that is long is no defect of this actor.
        with contextlib.suppress(CutFailed, CommandRefused, StoreError):
            self._checkpointing.take(path, trigger, within=PAUSE)
