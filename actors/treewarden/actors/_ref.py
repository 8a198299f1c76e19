"""How to reach an actor: a ref names one incarnation, an address a place in the tree."""

import math
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast, final, overload

import pykka

from treewarden.actors._errors import ActorDead, MailboxFull
from treewarden.actors._events import DeadLetter
from treewarden.actors._exits import ExitReason, Normal
from treewarden.actors._ids import ActorPath, Generation, parse_path
from treewarden.actors._incarnation import Incarnation
from treewarden.actors._life import INLINE_WITHIN, Ask
from treewarden.actors._messages import Kill, Stop
from treewarden.actors._reply import Reply
from treewarden.actors._sys import SystemCalls
from treewarden.actors._system import ActorSystem

if TYPE_CHECKING:
    from treewarden.actors._actor import Actor

__all__ = ["ActorRef", "Address"]

DEFAULT_DEADLINE: Final = 5.0

A = TypeVar("A", bound="Actor")


class ActorRef(pykka.ActorRef[A]):
    """One incarnation of an actor. Safe to share between threads.

    Messages from one sender arrive in order. A restarted actor has a new ref; use an `Address`
    to follow it.
    """

    def __init__(self, incarnation: Incarnation) -> None:
        # Not pykka's, which keeps an inbox, an event and a weak reference; the incarnation has it all.
        self._incarnation = incarnation

    @property
    def actor_class(self) -> type[A]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride] - read-only here
        """The class of the actor."""
        return cast("type[A]", self._incarnation.spec.actor_class)

    @property
    def actor_urn(self) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride] - read-only here
        """What tells this incarnation from every other of this process."""
        return self._incarnation.urn()

    def _actor_weakref(self) -> A | None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride] - pykka's proxies call it
        return cast("A | None", self._incarnation.actor)

    @property
    def path(self) -> ActorPath:
        """Where the actor lives."""
        return self._incarnation.path

    @property
    def generation(self) -> Generation:
        """Which incarnation this is."""
        return self._incarnation.generation

    @property
    def spawn_number(self) -> int:
        """Its place among all incarnations that this process spawned: a child's is above its supervisor's."""
        return self._incarnation.number

    @property
    def status(self) -> object:
        """What the actor last made known of itself (`context.publish`); None if nothing."""
        return self._incarnation.published

    @property
    def sys(self) -> SystemCalls:
        """System messages: look into the actor, suspend it, trace it."""
        return SystemCalls(self._incarnation)

    def __str__(self) -> str:
        return f"{self.actor_class.__name__} {self.path} (generation {self.generation})"

    def is_alive(self) -> bool:
        """False once the end was declared, which is after `on_stop` has finished."""
        return not self._incarnation.is_stopped()

    def tell(self, message: Any) -> None:
        """Put `message` in the mailbox and return; one whose bound says `BLOCK` has the caller wait for a place.

        Raises:
            ActorDead: if the actor has ended (a pykka `ActorDeadError`).
            MailboxFull: if its mailbox has a bound and no place; nothing was put in.
        """
        self._incarnation.tell(message)

    async def tell_async(self, message: object) -> None:
        """`tell` for asyncio callers: one that waits for a place does not block the event loop.

        Raises:
            ActorDead: if the actor has ended.
            MailboxFull: if its mailbox has a bound and no place; nothing was put in.
        """
        if not self._incarnation.offer(message):
            await self._offer_in_time(message, math.inf)

    async def _offer_in_time(self, message: object, patience: float) -> None:
        import asyncio  # noqa: PLC0415 - a tenth of the time that importing this package takes, for those who await

        room = self._incarnation.room
        assert room is not None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(min(patience, room.bound.within)):
                while not self._incarnation.offer(message):
                    made = asyncio.Event()

                    def wake(made: asyncio.Event = made) -> None:
                        try:
                            loop.call_soon_threadsafe(made.set)
                        except RuntimeError:  # the loop was closed: nobody waits here any more
                            room.made()

                    room.when_made(wake)
                    try:
                        await made.wait()
                    except BaseException:
                        room.forget(wake)
                        raise
        except TimeoutError:
            raise MailboxFull(self.path, room.bound.limit) from None

    # Unlike pykka's, `timeout` has a finite default: an ask without a deadline hides a dead end.
    @overload
    def ask(self, message: Any, *, block: Literal[False], timeout: float | None = ...) -> pykka.Future[Any]: ...
    @overload
    def ask(self, message: Any, *, block: Literal[True], timeout: float | None = ...) -> Any: ...
    @overload
    def ask(self, message: Any, *, block: bool = ..., timeout: float | None = ...) -> Any | pykka.Future[Any]: ...

    def ask(  # pyright: ignore[reportIncompatibleMethodOverride] - only the default of `timeout` differs
        self, message: Any, *, block: bool = True, timeout: float | None = DEFAULT_DEADLINE
    ) -> Any | pykka.Future[Any]:
        """Send `message` and wait at most `timeout` seconds for the answer (`block=False`: return the future).

        Raises:
            pykka.Timeout: no answer in time; the actor goes on, a late answer is dropped.
            ActorDead: the actor ended before it handled the message.
            MailboxFull: its mailbox has a bound and no place; nothing was sent.
            Exception: what the handler raised, `Rejected` included.
            AskCycle: an actor asked itself (gen_server's `calling_self`), or one that waits on it already;
                nothing was sent. With `block=False` the future's `get` raises it.
        """
        if not block:
            future: Reply[Any] = Reply(self._incarnation)
            self._send(message, future)
            return future
        reply: Reply[Any] = Reply()
        if self._incarnation.inline and (timeout is None or timeout >= INLINE_WITHIN):
            took = self._incarnation.answer_inline(Ask(message, reply))
            if took is not None:
                if timeout is not None and took > timeout:
                    raise pykka.Timeout(f"{timeout} seconds")
                if reply.is_set():
                    return reply.get()
                with self._incarnation.waited_on(reply):  # it was taken to be answered later
                    return reply.get(timeout=None if timeout is None else timeout - took)
        # Before it is sent: what is refused must not be handled.
        with self._incarnation.waited_on(reply):
            if self._incarnation.room is not None:
                timeout = self._send_within(message, reply, timeout)
            else:
                self._incarnation.tell(Ask(message, reply))
            return reply.get(timeout=timeout)

    def _send_within(self, message: object, reply: Reply[Any], timeout: float | None) -> float | None:
        """Send it to one who may have the sender wait, and return what is left of `timeout`."""
        if timeout is None:
            self._incarnation.tell(Ask(message, reply))
            return None
        clock = self._incarnation.system.clock
        until = clock.monotonic() + timeout
        self._incarnation.tell(Ask(message, reply), patience=timeout)
        return until - clock.monotonic()

    def _send(self, message: object, reply: Reply[Any]) -> None:
        try:
            self._incarnation.tell(Ask(message, reply))
        except (ActorDead, MailboxFull) as refusal:
            reply.try_fail(refusal)

    async def ask_async(self, message: object, *, timeout: float = DEFAULT_DEADLINE) -> Any:  # noqa: ASYNC109 - as `ask`
        """`ask` for asyncio callers: never blocks the event loop.

        Raises:
            TimeoutError: no answer within `timeout` seconds; the actor goes on, a late answer is dropped.
            ActorDead: the actor ended before it handled the message.
            MailboxFull: its mailbox has a bound and no place; nothing was sent.
            Exception: what the handler raised, `Rejected` included.
        """
        import asyncio  # noqa: PLC0415 - a tenth of the time that importing this package takes, for those who await

        reply: Reply[Any] = Reply()
        ask = Ask(message, reply)
        if not self._incarnation.offer(ask):
            loop = asyncio.get_running_loop()
            until = loop.time() + timeout
            await self._offer_in_time(ask, timeout)
            timeout = until - loop.time()
        async with asyncio.timeout(timeout):
            return await reply

    def request_stop(self, reason: ExitReason | None = None) -> None:
        """Ask the actor to end after the message in hand (`on_stop` runs) and return."""
        order = Stop(Normal() if reason is None else reason)
        self._incarnation.check_order(order)
        self._incarnation.tell_system(order)

    def kill(self) -> None:
        """End the actor without `on_stop`, reason `Killed()`; its handler in hand, if any, is fenced."""
        self._incarnation.check_order(Kill())
        self._incarnation.kill()

    def wait_stopped(self, *, timeout: float) -> ExitReason:
        """Wait until the end was declared.

        Raises:
            pykka.Timeout: if it was not within `timeout` seconds.
        """
        reason: ExitReason = self._incarnation.stopped.get(timeout=timeout)
        return reason

    def incarnation(self) -> Incarnation:
        """The machinery itself, for supervisors."""
        return self._incarnation


@final
class Address:
    """A place in the tree: reaches whichever incarnation lives there now. Safe from any thread."""

    __slots__ = ("_system", "path")

    def __init__(self, path: ActorPath, system: ActorSystem) -> None:
        self.path: Final = path
        self._system = system

    @classmethod
    def of(cls, path: str, system: ActorSystem) -> "Address":
        """The address `path` (`ValueError` if that is no path)."""
        return cls(parse_path(path), system)

    def __repr__(self) -> str:
        return f"<Address {self.path}>"

    def resolve(self) -> ActorRef[Any] | None:
        """The incarnation that runs there now."""
        return self._system.directory.lookup(self.path)

    def beside(self, path: str) -> "Address":
        """The address `path` in the same runtime (`ValueError` if that is no path)."""
        return Address.of(path, self._system)

    def tell(self, message: object) -> None:
        """Send `message`; if nobody lives there it becomes a `DeadLetter` event."""
        ref = self.resolve()
        try:
            if ref is not None:
                ref.tell(message)
                return
        except ActorDead:
            pass  # it ended since the look-up: the same dead letter
        self._lose(message)

    def ask(self, message: object, *, timeout: float | None = DEFAULT_DEADLINE) -> Any:
        """`ActorRef.ask` to whoever lives there; `ActorDead` if nobody does."""
        return self.require().ask(message, timeout=timeout)

    async def tell_async(self, message: object) -> None:
        """`tell` for asyncio callers: one that waits for a place does not block the event loop."""
        ref = self.resolve()
        try:
            if ref is not None:
                await ref.tell_async(message)
                return
        except ActorDead:
            pass  # as in `tell`
        self._lose(message)

    def _lose(self, message: object) -> None:
        self._system.events.emit(DeadLetter(self.path, type(message).__name__))

    async def ask_async(self, message: object, *, timeout: float = DEFAULT_DEADLINE) -> Any:  # noqa: ASYNC109 - as `ask`
        """`ActorRef.ask_async` to whoever lives there; `ActorDead` if nobody does."""
        return await self.require().ask_async(message, timeout=timeout)

    def require(self) -> ActorRef[Any]:
        """The incarnation that runs there now; `ActorDead` if none does."""
        ref = self.resolve()
        if ref is None:
            raise ActorDead(f"nobody runs at {self.path} now")
        return ref
