"""What a checkpoint keeps of one actor that stands still: its state, what waits for it, its timers.

For an actor that keeps state (`snapshot()`): the state, the waiting messages and one-time timers of the
types it names in `durable_messages`, and who holds what it stands for. Of any other actor only that it
was there, and how many messages waited. An ask that waits is not kept, for nobody would hear the answer.
"""

import time
from typing import TYPE_CHECKING

from treewarden.actors._durable import compose
from treewarden.actors._kept_messages import pack_message
from treewarden.storage import ActorEntry, KeptTimer, Packed

if TYPE_CHECKING:
    from treewarden.actors._incarnation import Incarnation

__all__ = ["capture"]


def capture(incarnation: "Incarnation") -> ActorEntry:
    """What is kept of `incarnation`, which runs nothing now. It calls the actor's `snapshot()`."""
    actor, actor_class = incarnation.actor, incarnation.spec.actor_class
    assert actor is not None
    holder = actor.lease_holder()
    if not actor_class.is_durable():
        return ActorEntry(incarnation.path, None, 0, None, queue_left=incarnation.mailbox(), holder=holder)
    waiting, pending = _waiting_and_pending(incarnation)
    queue = [packed for each in waiting if (packed := pack_message(actor_class, each)) is not None]
    now = incarnation.system.clock.monotonic()
    timers = [
        KeptTimer(max(0.0, due - now), None, packed)
        for due, message in pending
        if (packed := pack_message(actor_class, message)) is not None
    ]
    put = compose(incarnation)
    assert isinstance(put.state, Packed)
    return ActorEntry(
        incarnation.path,
        put.schema,
        put.version,
        put.state,
        queue=tuple(queue),
        queue_left=len(waiting) - len(queue),
        timers=tuple(timers),
        holder=holder,
    )


def _waiting_and_pending(incarnation: "Incarnation") -> tuple[tuple[object, ...], list[tuple[float, object]]]:
    """What waits, and which message comes when; a timer that goes off meanwhile is in one of the two."""
    while True:
        before = _pending(incarnation)
        # After the look: one that goes off since then is not in `before` any more, or it is there already.
        is_whole = not any(timer.is_on_its_way() for timer in incarnation.timers())
        waiting = incarnation.waiting()
        if is_whole and _pending(incarnation) == before:  # by identity, mostly; a false alarm costs a look
            return waiting, before
        time.sleep(0)  # the thread of the timers is between two lines


def _pending(incarnation: "Incarnation") -> list[tuple[float, object]]:
    return [found for timer in incarnation.timers() if (found := timer.message_once()) is not None]
