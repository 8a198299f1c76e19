"""One client of the console, from its first byte to its last.

A connection carries one request at a time: a frame, its answer, the next frame. It ends when the
client hangs up, breaks the protocol (it is told how, if it still listens), leaves a frame
unfinished or an answer unread for too long, or says nothing for a long time. A client that vanishes
while it only waits for events is noticed at once, so that it takes no other client's place.
"""

import asyncio
import select
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast, final

from treewarden.supervision_trees.console._answering import encode_answer
from treewarden.supervision_trees.console._frames import HEADER_SIZE, MAX_REQUEST, FrameError, body_length
from treewarden.supervision_trees.console._wire import ErrorKind, Failure

__all__ = ["Connection", "ServerLimits"]


@final
@dataclass(frozen=True, slots=True)
class ServerLimits:
    """How much a console gives to its clients; times in seconds."""

    connections: int = 64
    frame_within: float = 10.0  # to finish a frame once begun, or to take an answer
    idle_for: float = 60.0  # between an answer and the next request
    readers: int = 4  # threads for commands that are answered at once
    waiters: int = 16  # threads for reads that wait for events
    changers: int = 4  # threads for commands that start and stop


@final
class Connection:
    """A client. Used on the event loop only."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: ServerLimits) -> None:
        self._reader, self._writer, self._limits = reader, writer, limits
        # Nothing of an answer stays in our memory once `drain` has returned.
        writer.transport.set_write_buffer_limits(0)
        self.admitted = False  # it was not turned away
        self.in_hand = False  # a request was read whole and is not answered yet
        self.only_waits = False  # and it changes nothing: it may be dropped if the client is gone
        self._last = False  # the request in hand is the last one

    async def serve(self, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        """Answer request after request; returns when the connection has ended.

        `answer` makes the frame that answers the body of a request; a `FrameError` from it ends
        the connection, since where the next frame begins can no longer be trusted.
        """
        self.admitted = True
        try:
            while not self._last and (body := await self._next_body()) is not None:
                self.in_hand = True
                await self._send(await answer(body))
                self.in_hand = False
        except FrameError as error:
            await self.dismiss(Failure(ErrorKind.PROTOCOL, str(error)))
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client vanished, or stopped in the middle: it ends itself and nobody else
        finally:
            self._writer.transport.abort()

    def finish(self) -> None:
        """Take no request after the one in hand."""
        self._last = True

    def is_deserted(self) -> bool:
        """Whether the client has closed its end; one that only sends no more still wants its answer."""
        looked = select.poll()
        looked.register(cast("socket.socket", self._writer.get_extra_info("socket")).fileno(), 0)
        return any(found & select.POLLHUP for _, found in looked.poll(0))

    async def hang_up(self) -> None:
        """End the connection now and return when its descriptor is closed."""
        self._writer.transport.abort()
        with suppress(ConnectionError):  # it had ended already, by the client's doing
            await self._writer.wait_closed()

    async def dismiss(self, failure: Failure) -> None:
        """Say why this connection ends, as far as the client listens, and end it."""
        try:
            await self._send(encode_answer(failure))
            self._writer.close()  # after what was sent; an abort could overtake it
            async with asyncio.timeout(self._limits.frame_within):
                await self._writer.wait_closed()
        except (ConnectionError, TimeoutError):
            self._writer.transport.abort()

    async def _next_body(self) -> bytes | None:
        """The body of the next request; None if there is none: the client hung up or stayed silent."""
        try:
            async with asyncio.timeout(self._limits.idle_for):
                first = await self._reader.read(1)
        except TimeoutError:
            return None
        if not first:
            return None
        async with asyncio.timeout(self._limits.frame_within):
            header = first + await self._reader.readexactly(HEADER_SIZE - 1)
            return await self._reader.readexactly(body_length(header, most=MAX_REQUEST))

    async def _send(self, frame: bytes) -> None:
        async with asyncio.timeout(self._limits.frame_within):
            self._writer.write(frame)
            await self._writer.drain()
