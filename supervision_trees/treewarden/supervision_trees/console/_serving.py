"""The thread and event loop behind one listening socket: accept, keep count, end in order.

What is done with a connection is the caller's; here is only the life of the loop. At the end the
socket file goes first (nobody new comes), then the listener, then idle clients; a client whose
request is in hand gets its answer until the time is up.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, cast, final

from treewarden.supervision_trees.console._binding import BACKLOG, BoundSocket
from treewarden.supervision_trees.console._connection import Connection, ServerLimits
from treewarden.supervision_trees.console._peer import PeerSocket

__all__ = ["AcceptClient", "Serving"]

AcceptClient: TypeAlias = Callable[[Connection, PeerSocket, int], Awaitable[None]]

_LAST_WORDS: Final = 0.2  # seconds kept back from a closing's time, to end what was cut off


@final
class _Reader(asyncio.StreamReader):
    """A reader that calls `on_end` when the other side sends no more, whether or not anybody reads just then."""

    on_end: Callable[[], None] | None = None

    def feed_eof(self) -> None:
        super().feed_eof()
        if self.on_end is not None:
            self.on_end()


@final
class Serving:
    """Serves `bound` with `accept(connection, peer, how many others are admitted)` from `start` to `close`.

    `on_error` hears, once, what ended the thread; `on_defect` hears of errors that it survived.
    """

    def __init__(
        self,
        bound: BoundSocket,
        accept: AcceptClient,
        limits: ServerLimits,
        *,
        on_error: Callable[[BaseException], None],
        on_defect: Callable[[BaseException], None],
    ) -> None:
        self._bound, self._accept, self._limits = bound, accept, limits
        self._on_error, self._on_defect = on_error, on_defect
        # These belong to the loop's thread, except that `close` wakes it through the first two.
        self._loop = asyncio.SelectorEventLoop()  # not the policy's: `remove_reader` below is its way to stop accepting
        self._closing = asyncio.Event()
        self._clients: dict[asyncio.Task[None], Connection] = {}
        self._within = 0.0
        self._thread = threading.Thread(target=self._run, name="treewarden-console", daemon=True)
        # Guards `_closed`, and with it the order of an end: the file is unlinked while the listener is open.
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Begin to serve. The socket listens already: a client that comes before the loop runs waits for it."""
        try:
            self._thread.start()
        except BaseException:
            self._end()
            self._loop.close()
            raise

    def close(self, within: float) -> bool:
        """End it; whether the thread has ended within `within` seconds."""
        with self._lock:
            first, self._closed = not self._closed, True
            if first:
                self._bound.unlink()
                self._within = within
                # The loop is open: its thread closes it only after it took this lock in `_end`.
                self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(within)
        return not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._serve())
            except BaseException as error:  # noqa: BLE001 - thread boundary: there is nobody above to tell
                self._on_error(error)
            finally:
                self._end()

    def _end(self) -> None:
        """Let go of the socket; if nobody asked for the end, of its file first."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._bound.unlink()
        self._bound.listener.close()

    async def _serve(self) -> None:
        self._loop.set_exception_handler(self._report)
        server = await self._loop.create_unix_server(
            lambda: asyncio.StreamReaderProtocol(_Reader(), self._connected),
            sock=self._bound.listener,
            backlog=BACKLOG,
        )
        await self._closing.wait()
        # Accept no more, let what was accepted arrive, and only then close: a connection that asyncio
        # takes from the listener but hands over after `close` would leak (base_events.Server._attach).
        self._loop.remove_reader(self._bound.listener)
        await self._wait_accepted()
        server.close()
        clients = dict(self._clients)
        for task, connection in clients.items():
            connection.finish()
            if not connection.in_hand:
                task.cancel()
        if clients:
            await asyncio.wait(clients, timeout=max(self._within - _LAST_WORDS, 0.0))
        for task, connection in clients.items():
            task.cancel()
            await connection.hang_up()

    async def _wait_accepted(self) -> None:
        """Wait for connections that asyncio took from the listener and has not handed over yet."""
        accepting = asyncio.all_tasks() - self._clients.keys() - {asyncio.current_task()}
        if accepting:
            await asyncio.wait(accepting)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, self._limits)
        peer = cast("PeerSocket", writer.get_extra_info("socket"))
        task = self._loop.create_task(self._client(connection, peer))
        self._clients[task] = connection

        def desert() -> None:
            if connection.only_waits and connection.is_deserted():
                task.cancel()

        assert isinstance(reader, _Reader), "made in `_serve`"
        reader.on_end = desert
        task.add_done_callback(self._ended)

    async def _client(self, connection: Connection, peer: PeerSocket) -> None:
        await self._accept(connection, peer, sum(other.admitted for other in self._clients.values()))

    def _ended(self, task: "asyncio.Task[None]") -> None:
        del self._clients[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_defect(error)

    def _report(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        message = str(context.get("message", "the console's event loop met an error"))
        self._on_defect(error if isinstance(error, BaseException) else RuntimeError(message))
