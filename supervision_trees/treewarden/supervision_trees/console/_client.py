"""The asking side of the console: connect, put a command, get its result, all with deadlines.

Synchronous, one command at a time, not thread-safe. The client checks who listens as the server
checks who asks: a socket that another user put where ours is expected is not spoken to.
"""

import os
import socket
import struct
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, final, overload

from treewarden.actors import Clock, SystemClock
from treewarden.supervision_trees._control import (
    ApplyReport,
    ApplyTree,
    CheckpointDocument,
    Command,
    CommandRefused,
    CrashesRead,
    CreateCheckpoint,
    DiffCheckpoints,
    DiscardState,
    EventsRead,
    Inspect,
    ListCheckpoints,
    LogRead,
    PlanTree,
    PruneCheckpoints,
    ReadCrashes,
    ReadEvents,
    ReadLog,
    RestartActor,
    RestoreCheckpoint,
    ShowCheckpoint,
    StartActor,
    StopActor,
    StopTree,
    TreePlan,
)
from treewarden.supervision_trees._inspect import ActorView, TreeView
from treewarden.supervision_trees.console._errors import (
    CommandFailed,
    ConsoleProtocolError,
    ConsoleUnavailable,
    RuntimeNotRunning,
)
from treewarden.supervision_trees.console._fields import WireError
from treewarden.supervision_trees.console._frames import (
    HEADER_SIZE,
    MAX_FRAME,
    FrameError,
    body_length,
    decode_body,
    encode_frame,
)
from treewarden.supervision_trees.console._peer import peer_uid
from treewarden.supervision_trees.console._wire import (
    ErrorKind,
    Failure,
    Result,
    answer_from_plain,
    command_to_plain,
)

__all__ = ["ConsoleClient"]

_CLOCK: Final = SystemClock()


@final
class ConsoleClient:
    """A connection to a running console; a context manager that closes it. Made by `connect`."""

    def __init__(self, connection: socket.socket, socket_path: Path, *, clock: Clock = _CLOCK) -> None:
        self._connection, self._path, self._clock = connection, socket_path, clock

    @classmethod
    def connect(cls, socket_path: Path, *, timeout: float, clock: Clock = _CLOCK) -> "ConsoleClient":
        """Connect to the console at `socket_path` within `timeout` seconds.

        Raises:
            RuntimeNotRunning: if nobody listens there.
            ConsoleUnavailable: if somebody else listens there, or the way to it is closed to us.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _connect(connection, socket_path, timeout)
            uid = peer_uid(connection)
        except BaseException:
            connection.close()
            raise
        if uid != os.geteuid():
            connection.close()
            raise ConsoleUnavailable(socket_path, f"a listener of uid {uid}", f"one of uid {os.geteuid()}")
        return cls(connection, socket_path, clock=clock)

    @overload
    def execute(self, command: Inspect, *, timeout: float) -> TreeView: ...
    @overload
    def execute(
        self, command: StartActor | StopActor | RestartActor | DiscardState, *, timeout: float
    ) -> ActorView: ...
    @overload
    def execute(self, command: ReadEvents, *, timeout: float) -> EventsRead: ...
    @overload
    def execute(self, command: ReadCrashes, *, timeout: float) -> CrashesRead: ...
    @overload
    def execute(self, command: ReadLog, *, timeout: float) -> LogRead: ...
    @overload
    def execute(self, command: PlanTree, *, timeout: float) -> TreePlan: ...
    @overload
    def execute(self, command: ApplyTree, *, timeout: float) -> ApplyReport: ...
    @overload
    def execute(
        self,
        command: CreateCheckpoint
        | ListCheckpoints
        | ShowCheckpoint
        | DiffCheckpoints
        | RestoreCheckpoint
        | PruneCheckpoints,
        *,
        timeout: float,
    ) -> CheckpointDocument: ...
    @overload
    def execute(self, command: StopTree, *, timeout: float) -> None: ...
    def execute(self, command: Command, *, timeout: float) -> Result:
        """The result of `command`, waited for up to `timeout` seconds.

        Raises:
            CommandRefused: if the runtime says no; nothing was done.
            CommandFailed: if the runtime met an unexpected error in it.
            ConsoleProtocolError: if no answer came in time, the connection broke, or what came is
                no answer. The connection is closed then.
        """
        try:
            answer = answer_from_plain(self._exchange(encode_frame(command_to_plain(command)), timeout))
        except (FrameError, WireError) as error:
            self.close()
            raise ConsoleProtocolError(f"console {self._path}: found {error}") from error
        except BaseException:
            # Half an answer may be under way: the next one could not be told from its rest.
            self.close()
            raise
        if isinstance(answer, Failure):
            raise self._error(answer)
        expected = _RESULT_OF[type(command)]
        if not isinstance(answer, expected):
            self.close()
            raise ConsoleProtocolError(
                f"console {self._path}: found a {type(answer).__name__} for {type(command).__name__},"
                f" expected {expected.__name__}"
            )
        return answer

    def close(self) -> None:
        """Hang up. Closing twice does nothing."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _exchange(self, frame: bytes, timeout: float) -> dict[str, object]:
        deadline = self._clock.monotonic() + timeout
        try:
            self._await_until(deadline)
            # Turned away already? What the server said before it hung up can still be read.
            with suppress(BrokenPipeError):
                self._connection.sendall(frame)
            return decode_body(
                self._receive(body_length(self._receive(HEADER_SIZE, deadline), most=MAX_FRAME), deadline)
            )
        except TimeoutError as error:
            raise ConsoleProtocolError(f"console {self._path}: no answer within {timeout:g} s") from error
        except OSError as error:
            raise ConsoleProtocolError(f"console {self._path}: the connection broke: {error}") from error

    def _receive(self, count: int, deadline: float) -> bytes:
        received = bytearray()
        while len(received) < count:
            self._await_until(deadline)
            chunk = self._connection.recv(count - len(received))
            if not chunk:
                raise ConsoleProtocolError(
                    f"console {self._path}: it hung up after {len(received)} of {count} bytes;"
                    f" the runtime may just have ended"
                )
            received += chunk
        return bytes(received)

    def _await_until(self, deadline: float) -> None:
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)

    def _error(self, failure: Failure) -> Exception:
        match failure.kind:
            case ErrorKind.REFUSED:
                return CommandRefused(failure.message)
            case ErrorKind.BUSY | ErrorKind.NOT_ALLOWED:
                self.close()
                return CommandRefused(f"console {self._path}: {failure.message}")
            case ErrorKind.PROTOCOL | ErrorKind.TOO_LARGE:
                return ConsoleProtocolError(f"console {self._path}: {failure.message}")
            case ErrorKind.FAILED:
                return CommandFailed(failure.message)


def _connect(connection: socket.socket, socket_path: Path, timeout: float) -> None:
    # A non-blocking connect to a full backlog fails at once (unix(7)); a blocking one with a send
    # timeout (socket(7)) waits for a place in it.
    seconds = int(timeout)
    connection.setsockopt(
        socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", seconds, int((timeout - seconds) * 1_000_000))
    )
    try:
        connection.connect(os.fspath(socket_path))
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        raise RuntimeNotRunning(socket_path.parent) from error
    except (TimeoutError, BlockingIOError) as error:
        raise ConsoleUnavailable(
            socket_path, f"no connection within {timeout:g} s", "one; the runtime is stuck, or stopped by SIGSTOP"
        ) from error
    except OSError as error:
        raise ConsoleUnavailable(socket_path, str(error), "a socket that this user may use") from error


_RESULT_OF: Final[dict[type[Command], type[object]]] = {
    Inspect: TreeView,
    StartActor: ActorView,
    StopActor: ActorView,
    RestartActor: ActorView,
    DiscardState: ActorView,
    ReadEvents: EventsRead,
    ReadCrashes: CrashesRead,
    ReadLog: LogRead,
    StopTree: type(None),
    PlanTree: TreePlan,
    ApplyTree: ApplyReport,
    CreateCheckpoint: CheckpointDocument,
    ListCheckpoints: CheckpointDocument,
    ShowCheckpoint: CheckpointDocument,
    DiffCheckpoints: CheckpointDocument,
    RestoreCheckpoint: CheckpointDocument,
    PruneCheckpoints: CheckpointDocument,
}
