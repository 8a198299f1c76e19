"""How an actor gets back the messages and timers that a checkpoint kept of it."""

from typing import Any, final

from treewarden.actors._kept_messages import unpack_message
from treewarden.actors._ref import ActorRef
from treewarden.actors._reply import Reply
from treewarden.actors._requests import TakeIn
from treewarden.storage import KeptMailbox

__all__ = ["GivingBack"]


@final
class GivingBack:
    """What was kept for the actor of `ref`, read and ready to be given back.

    Raises:
        MessageUnreadable: its class does not name the type of a message any more.
    """

    def __init__(self, ref: ActorRef[Any], kept: KeptMailbox) -> None:
        self._ref = ref
        self._queue = tuple(unpack_message(ref.actor_class, packed) for packed in kept.queue)
        self._later = tuple(
            (timer.seconds_left, unpack_message(ref.actor_class, timer.message)) for timer in kept.timers
        )

    def give(self) -> Reply[None]:
        """Put it before all that waits in the actor's mailbox; set once that is so, on the actor's next turn.

        The reply fails with `ActorDead` if the actor ends before.
        """
        given: Reply[None] = Reply()
        self._ref.incarnation().tell_system(TakeIn(given, self._queue, self._later))
        return given
