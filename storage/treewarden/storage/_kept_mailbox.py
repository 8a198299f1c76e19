"""The mailbox of an actor as a record: what waited for it in a checkpoint, until it is given back.

It lies beside the actor's own record, at its path with a mark that no child id can have. It names the
subtree that was restored, for it is given back once all of that runs.
"""

from dataclasses import dataclass
from typing import Final, final

from treewarden.storage._checkpoint_content import ActorEntry, KeptTimer
from treewarden.storage._contract import Packed, Put, Snapshot
from treewarden.storage._migrations import MAILBOX_SCHEMA, MIGRATIONS
from treewarden.storage._shape import listed, mapped, optional, several, typed

__all__ = ["MAILBOX_MARK", "KeptMailbox", "mailbox_path", "put_mailbox", "read_mailbox"]

MAILBOX_MARK: Final = "#mailbox"

_GENERATION: Final = 0  # nobody's: generations begin anew in each runtime


@final
@dataclass(frozen=True, slots=True)
class KeptMailbox:
    """Messages that waited, oldest first, and timers that had not gone off; `scope` was restored."""

    scope: str
    queue: tuple[Packed, ...]
    timers: tuple[KeptTimer, ...]


def mailbox_path(path: str) -> str:
    """Where the mailbox record of the actor at `path` is."""
    return path + MAILBOX_MARK


def put_mailbox(entry: ActorEntry, scope: str) -> Put | None:
    """The record of what waited for `entry`'s actor; None if nothing did."""
    if not (entry.queue or entry.timers):
        return None
    state = {
        "scope": scope,
        "queue": [message.body for message in entry.queue],
        "timers": [[timer.seconds_left, timer.repeat_every, timer.message.body] for timer in entry.timers],
    }
    return Put(mailbox_path(entry.path), MAILBOX_SCHEMA, MIGRATIONS.newest(MAILBOX_SCHEMA), _GENERATION, state)


def read_mailbox(found: Snapshot) -> KeptMailbox:
    """What a mailbox record says.

    Raises:
        ContentDamaged, SchemaUnknown: it is none.
        VersionTooNew: a newer release wrote it.
    """
    _, state = MIGRATIONS.migrate(found.schema, found.version, found.state)
    fields = mapped(state, found.path)
    return KeptMailbox(
        typed(fields.get("scope"), str, found.path),
        tuple(Packed(typed(body, bytes, found.path)) for body in listed(fields.get("queue"), found.path)),
        tuple(_timer(each, found.path) for each in listed(fields.get("timers"), found.path)),
    )


def _timer(value: object, what: str) -> KeptTimer:
    seconds_left, repeat_every, body = several(value, 3, what)
    return KeptTimer(
        typed(seconds_left, float, what), optional(repeat_every, float, what), Packed(typed(body, bytes, what))
    )
