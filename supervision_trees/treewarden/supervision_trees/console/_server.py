"""The console of a runtime: a Unix socket on which its owner, and nobody else, gives commands.

One thread, "treewarden-console", runs an event loop that only moves bytes; commands are carried out
in lanes of threads (`_lane`), so that neither a slow stop nor a crowd of event followers delays
`ps`. Whatever a client does (vanish, send garbage, half a frame or 100 MB, keep silent, never read)
ends its own connection and nothing else.

Not promised: fairness between clients of one lane, or that a command outlives `close`.
"""

import os
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, final

from treewarden.actors import Clock, SystemClock
from treewarden.supervision_trees.console._answering import (
    CommandExecutor,
    LaneName,
    Planned,
    carry_out,
    encode_answer,
    plan,
)
from treewarden.supervision_trees.console._binding import bind_console
from treewarden.supervision_trees.console._connection import Connection, ServerLimits
from treewarden.supervision_trees.console._lane import Lane
from treewarden.supervision_trees.console._peer import PeerSocket, peer_uid
from treewarden.supervision_trees.console._serving import Serving
from treewarden.supervision_trees.console._wire import ErrorKind, Failure

__all__ = ["ConsoleServer"]

_LIMITS: Final = ServerLimits()
_CLOCK: Final = SystemClock()


@final
class ConsoleServer:
    """Serves `executor` at `socket_path` between `start` and `close`; both may be called from any thread.

    `on_error` hears, once, what ended the server before `close`: it serves nobody any more, and only
    a new one can. `on_defect` hears of what harmed nobody else and still should be seen: an
    unexpected error in a command, a client of another user turned away; by default its traceback
    goes to stderr. Both are called from the server's threads; they must not block or raise.
    """

    def __init__(
        self,
        socket_path: Path,
        executor: CommandExecutor,
        *,
        on_error: Callable[[BaseException], None],
        on_defect: Callable[[BaseException], None] = traceback.print_exception,
        limits: ServerLimits = _LIMITS,
        read_peer_uid: Callable[[PeerSocket], int] = peer_uid,
        clock: Clock = _CLOCK,
    ) -> None:
        self._path, self._executor = socket_path, executor
        self._on_error, self._on_defect = on_error, on_defect
        self._limits, self._read_peer_uid, self._clock = limits, read_peer_uid, clock
        sizes = {
            LaneName.READ: limits.readers,
            LaneName.WAIT: limits.waiters,
            LaneName.CHANGE: limits.changers,
        }
        self._lanes: Mapping[LaneName, Lane] = {
            name: Lane(f"treewarden-console-{name.value}", size=size, clock=clock) for name, size in sizes.items()
        }
        # Guards `_serving`. Never held while waiting.
        self._lock = threading.Lock()
        self._serving: Serving | None = None

    def start(self) -> None:
        """Bind the socket and serve it; once this returns, clients can connect.

        Raises:
            ConsoleUnavailable: if the path is taken by a living console or cannot be trusted.
            OSError: if the file system refuses.
            RuntimeError: if it was started before; a server serves once.
        """
        with self._lock:
            if self._serving is not None:
                raise RuntimeError(f"the console at {self._path} was started before, expected one start per server")
            serving = Serving(
                bind_console(self._path),
                self._accepting,
                self._limits,
                on_error=self._on_error,
                on_defect=self._on_defect,
            )
            self._serving = serving
        serving.start()

    def close(self, within: float) -> bool:
        """Take no more requests, let those in hand be answered, and remove the socket if it is still ours.

        Returns within about `within` seconds: True if everything has ended, False if a command is
        still running in a thread of its own (Python cannot end it; its answer goes nowhere).
        Closing twice, or before `start`, does nothing and is True if nothing is left.
        """
        deadline = self._clock.monotonic() + within
        with self._lock:
            serving = self._serving
        if serving is None:
            return True
        ended = serving.close(within)
        left = [lane.close(within=max(deadline - self._clock.monotonic(), 0.0)) for lane in self._lanes.values()]
        return ended and not any(left)

    async def _accepting(self, connection: Connection, peer: PeerSocket, others: int) -> None:
        refusal = self._refusal(peer, others)
        if refusal is None:
            await connection.serve(lambda body: self._answer(connection, body))
        else:
            await connection.dismiss(refusal)

    def _refusal(self, peer: PeerSocket, others: int) -> Failure | None:
        uid, ours = self._read_peer_uid(peer), os.geteuid()
        if uid != ours:
            # The mode of socket and directory keep strangers out; one who is here is worth a line.
            message = f"found a client of uid {uid}, expected uid {ours}, whose runtime this is"
            self._on_defect(PermissionError(f"console {self._path}: {message}"))
            return Failure(ErrorKind.NOT_ALLOWED, message)
        if others >= self._limits.connections:
            return Failure(ErrorKind.BUSY, f"{others} clients are connected, as many as may be; try again later")
        return None

    async def _answer(self, connection: Connection, body: bytes) -> bytes:
        planned = plan(body)
        match planned:
            case Planned(command, lane):
                connection.only_waits = lane is LaneName.WAIT
                frame = await self._lanes[lane].run(lambda: carry_out(command, self._executor, self._on_defect))
                connection.only_waits = False
                return frame
            case Failure():
                return encode_answer(planned)
