"""How an actor takes in the messages and timers that a checkpoint kept for it, when it starts after a restore.

They come before everything else in its mailbox, in their order. The record is discarded before the
actor sees any of them, so no message is handled twice; what a crash then takes with it is in the
checkpoint still. One that cannot be read fails the start: the messages are not dropped in silence.
"""

from typing import TYPE_CHECKING

from treewarden.actors._durable import commit
from treewarden.actors._errors import StateUnusable
from treewarden.actors._ids import ActorPath
from treewarden.actors._kept_messages import MessageUnreadable, unpack_message
from treewarden.actors._snapshots import Snapshots
from treewarden.storage import Discard, SnapshotCorrupt, SnapshotMissing, StoreError, mailbox_path, read_mailbox

if TYPE_CHECKING:
    from treewarden.actors._starting import Starting

__all__ = ["take_in_mailbox"]


def take_in_mailbox(incarnation: "Starting", snapshots: Snapshots) -> None:
    """Put what was kept for `incarnation` into its mailbox, and set its timers.

    Raises:
        StateUnusable: something was kept and cannot be used; it stays.
        StoreError: the store cannot be read or written.
    """
    actor, path = incarnation.actor, ActorPath(mailbox_path(incarnation.path))
    assert actor is not None
    try:
        found = snapshots.newest(path)
    except SnapshotMissing:
        return
    except SnapshotCorrupt as corrupt:
        raise StateUnusable(incarnation.path, f"its kept mailbox: {corrupt.why}") from corrupt
    actor_class = type(actor)
    try:
        kept = read_mailbox(found)
        queue = [unpack_message(actor_class, packed) for packed in kept.queue]
        timers = [(timer.seconds_left, unpack_message(actor_class, timer.message)) for timer in kept.timers]
    except (MessageUnreadable, StoreError) as error:
        raise StateUnusable(incarnation.path, f"its kept mailbox: {error}") from error
    commit(incarnation, Discard(path))
    incarnation.put_first(queue)
    for seconds_left, message in timers:
        actor.context.send_after(seconds_left, message)
