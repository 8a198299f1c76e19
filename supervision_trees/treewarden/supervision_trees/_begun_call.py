"""A supervisor's call that is sent and not waited for, whichever call `SupervisorHandle` has.

A handle asks its address and returns what that answers. Here the address sends, and leaves the call
with the future in hand. One thread only.
"""

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, cast, final

import pykka

from treewarden.actors import ActorPath, ActorRef, Address, Reply
from treewarden.supervision_trees._handle import SupervisorHandle

__all__ = ["begun"]

T = TypeVar("T")


def begun(address: Address, call: Callable[[SupervisorHandle], T]) -> pykka.Future[T]:
    """Send `call` to the supervisor at `address`; the future of its answer.

    A call that is answered at once, such as `which_children`, is answered before this returns.

    Raises:
        ActorDead: nobody runs there.
    """
    sender = _Sender(address)
    answer: Reply[T] = Reply()
    try:
        answer.set(call(SupervisorHandle(cast("Address", sender))))  # it has what a handle uses of an address
    except _Sent as sent:
        return cast("pykka.Future[T]", sent.answer)  # a handle returns what it is answered
    return answer


@final
class _Sent(BaseException):
    """Leaves the call early; no error, so nothing that catches those may stop it."""

    def __init__(self, answer: "pykka.Future[Any]") -> None:
        super().__init__("the call was sent, and is not waited for")
        self.answer = answer


@final
class _Sender:
    """Stands for an address in a call that must not wait."""

    def __init__(self, address: Address) -> None:
        self._address = address

    @property
    def path(self) -> ActorPath:
        """Where the call goes."""
        return self._address.path

    def require(self) -> ActorRef[Any]:
        """The incarnation that runs there."""
        return self._address.require()

    def ask(self, message: object, *, timeout: float | None = None) -> NoReturn:  # noqa: ARG002 - nothing is waited for
        """Send `message` and leave the call."""
        raise _Sent(self.require().ask(message, block=False))
