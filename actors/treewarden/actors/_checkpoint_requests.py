"""The way from an actor that wants a checkpoint to whoever takes it: a service of a runtime that takes some."""

from collections.abc import Callable
from typing import Final, final

from treewarden.actors._ids import ActorPath
from treewarden.storage import Trigger

__all__ = ["CheckpointRequests"]


@final
class CheckpointRequests:
    """Hands each request to `take_up`, which must neither block nor raise. Safe from any thread."""

    def __init__(self, take_up: Callable[[ActorPath, Trigger], None]) -> None:
        self.take_up: Final = take_up
