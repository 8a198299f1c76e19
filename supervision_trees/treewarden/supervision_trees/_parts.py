"""The runtime's own parts as supervised actors, below `/system`."""

import enum
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from treewarden.actors import Actor, ExitReason
from treewarden.storage import StoreError, StoreFull
from treewarden.supervision_trees._event_keeping import GATHER, EventKeeping, is_trace_of
from treewarden.supervision_trees._inspect import RecordedEvent
from treewarden.supervision_trees.console import CommandExecutor, ConsoleServer

__all__ = ["ConsoleActor", "EventsActor"]

CLOSING: Final = 2.0  # seconds for answers in flight
_FIRST_RETRY: Final = 1.0  # seconds, doubled each time
_LONGEST_RETRY: Final = 60.0


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


@final
@dataclass(frozen=True, slots=True)
class _News:
    """There are events to write."""


@final
@dataclass(frozen=True, slots=True)
class _Write:
    """It is time to write."""


@final
@dataclass(frozen=True, slots=True)
class _Written:
    future: "Future[int]"


class _Keeping(enum.Enum):
    """What the events actor is doing."""

    RESTING = enum.auto()
    GATHERING = enum.auto()  # a timer runs
    WRITING = enum.auto()  # a commit is under way
    HELD = enum.auto()  # the store took no writes; a timer runs, or the store will call


class EventsActor(Actor):
    """Writes the events of the runtime into its journal, a batch at a time. It waits for nothing, and never polls.

    While the store takes no writes the hub goes on remembering; what it forgets becomes a gap. Of that
    trouble it tells one line in the log, and no event: an event about events that cannot be kept would be one more of them.
    """

    def __init__(self, keeping: EventKeeping) -> None:
        super().__init__()
        self._keeping = keeping
        self._doing = _Keeping.RESTING
        self._is_told = False  # a `_News` is on its way, or what it is about is not taken yet; set on the hub's thread
        self._retry = 0.0  # seconds; above 0 while the store takes no writes

    def on_start(self) -> None:
        """Write what is there, then whatever comes."""
        self._keeping.watch(self._hear)
        self._write()

    def on_stop(self, reason: ExitReason | None = None) -> None:  # noqa: ARG002 - every end is the same here
        """Hear no more; what is left is written by the runtime, before it closes the store."""
        self._keeping.unwatch(self._hear)

    def on_kill(self) -> None:
        """As `on_stop`."""
        self._keeping.unwatch(self._hear)

    def on_receive(self, message: object) -> None:
        """Go on with the next batch when it is time, and when the one before is durable."""
        match message:
            case _News():
                if self._doing is _Keeping.RESTING:
                    self._doing = _Keeping.GATHERING
                    self.context.send_after(GATHER, _Write())
            case _Write():
                if self._doing is not _Keeping.WRITING:
                    self._write()
            case _Written(future):
                self._take(future)
            case _:
                super().on_receive(message)

    def _hear(self, news: Sequence[RecordedEvent]) -> None:
        # On the hub's thread. That this actor is traced is no news: each message would make the next one.
        if not self._is_told and not all(is_trace_of(recorded.event, self.context.path) for recorded in news):
            self._is_told = True
            self.context.tell_self(_News())

    def _write(self) -> None:
        self._is_told = False  # before the hub is read: what comes from now on is news again
        try:
            future = self._keeping.write(self.context.path)
        except StoreError as error:
            self._hold(error)
            return
        if future is None:
            self._doing = _Keeping.RESTING
            return
        self._doing = _Keeping.WRITING
        tell_self = self.context.tell_self
        future.add_done_callback(lambda done: tell_self(_Written(done)))

    def _take(self, future: "Future[int]") -> None:
        error = future.exception()
        if error is not None:
            self._hold(error)
            return
        if self._retry:
            self._retry = 0.0
            self.context.log.info("events are kept again")
        self._write()

    def _hold(self, error: BaseException) -> None:
        self._doing = _Keeping.HELD
        if not self._retry:
            self.context.log.error("events are not kept for now", error=str(error) or repr(error))
        self._retry = min(max(_FIRST_RETRY, self._retry * 2), _LONGEST_RETRY)
        if isinstance(error, StoreFull):
            tell_self = self.context.tell_self
            self._keeping.when_writable(lambda: tell_self(_Write()))
        else:
            self.context.send_after(self._retry, _Write())
