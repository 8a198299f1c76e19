"""The runtime's own parts as supervised actors, below `/system`."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

from treewarden.actors import Actor, ExitReason
from treewarden.supervision_trees.console import CommandExecutor, ConsoleServer

__all__ = ["ConsoleActor"]

CLOSING = 2.0  # seconds for answers in flight


@final
@dataclass(frozen=True, slots=True)
class _ServerFailed:
    error: BaseException


class ConsoleActor(Actor):
    """Owns the console server: if its thread fails, this actor crashes and is started again."""

    def __init__(self, socket_path: Path, executor: CommandExecutor) -> None:
        super().__init__()
        self._server = ConsoleServer(
            socket_path,
            executor,
            on_error=lambda error: self.context.tell_self(_ServerFailed(error)),
            on_defect=self._tell_of,
        )

    def _tell_of(self, error: BaseException) -> None:
        # A stranger turned away, a command that failed in its own way: no reason to crash. Any thread.
        self.context.log.warning("console", problem=str(error) or repr(error))

    def on_start(self) -> None:
        """Bind the socket and serve."""
        self._server.start()

    def on_receive(self, message: object) -> None:
        """Crash with what ended the server."""
        if isinstance(message, _ServerFailed):
            raise message.error
        super().on_receive(message)

    def on_stop(self, reason: ExitReason | None = None) -> None:  # noqa: ARG002 - every end is the same here
        """Close connections, end the thread, unlink the socket."""
        self._server.close(CLOSING)
