"""How to reach an actor: a ref names one incarnation, an address a place in the tree."""

import asyncio
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, final, overload

import pykka

from treewarden.actors._errors import ActorDead
from treewarden.actors._events import DeadLetter
from treewarden.actors._exits import ExitReason, Normal
from treewarden.actors._ids import ActorPath, Generation, parse_path
from treewarden.actors._incarnation import Incarnation
from treewarden.actors._life import Ask
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

    def __init__(self, actor: A, incarnation: Incarnation) -> None:
        super().__init__(actor)
        self._incarnation = incarnation

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
        return int(self.actor_urn.rpartition(".")[2])

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
        return not self._incarnation.stopped.is_set()

    def tell(self, message: Any) -> None:
        """Put `message` in the mailbox and return.

        Raises:
            ActorDead: if the actor has ended (a pykka `ActorDeadError`).
        """
        self._incarnation.tell(message)

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
            Exception: what the handler raised, `Rejected` included.
            AskCycle: an actor asked itself (gen_server's `calling_self`), or one that waits on it already;
                nothing was sent. With `block=False` the future's `get` raises it.
        """
        if not block:
            future: Reply[Any] = Reply(self._incarnation)
            self._send(message, future)
            return future
        reply: Reply[Any] = Reply()
        # Before it is sent: what is refused must not be handled.
        with self._incarnation.waited_on(reply):
            self._send(message, reply)
            return reply.get(timeout=timeout)

    def _send(self, message: object, reply: Reply[Any]) -> None:
        try:
            self._incarnation.tell(Ask(message, reply))
        except ActorDead as dead:
            reply.try_fail(dead)

    async def ask_async(self, message: object, *, timeout: float = DEFAULT_DEADLINE) -> Any:  # noqa: ASYNC109 - as `ask`
        """`ask` for asyncio callers: never blocks the event loop.

        Raises:
            TimeoutError: no answer within `timeout` seconds; the actor goes on, a late answer is dropped.
            ActorDead: the actor ended before it handled the message.
            Exception: what the handler raised, `Rejected` included.
        """
        reply: Reply[Any] = Reply()
        self._incarnation.tell(Ask(message, reply))
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
        self._system.events.emit(DeadLetter(self.path, type(message).__name__))

    def ask(self, message: object, *, timeout: float | None = DEFAULT_DEADLINE) -> Any:
        """`ActorRef.ask` to whoever lives there; `ActorDead` if nobody does."""
        return self.require().ask(message, timeout=timeout)

    async def ask_async(self, message: object, *, timeout: float = DEFAULT_DEADLINE) -> Any:  # noqa: ASYNC109 - as `ask`
        """`ActorRef.ask_async` to whoever lives there; `ActorDead` if nobody does."""
        return await self.require().ask_async(message, timeout=timeout)

    def require(self) -> ActorRef[Any]:
        """The incarnation that runs there now; `ActorDead` if none does."""
        ref = self.resolve()
        if ref is None:
            raise ActorDead(f"nobody runs at {self.path} now")
        return ref
