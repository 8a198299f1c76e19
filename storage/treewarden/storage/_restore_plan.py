"""What is written to bring a subtree back to a checkpoint: one list of operations, for one transaction.

Afterwards the store has of the subtree what the checkpoint has, and not a union with what came since
(CK11): the state of each actor of it becomes the newest snapshot of its path, what waited for it lies
in its mailbox record, and a path that did not exist then is discarded, as is what the supervisors
remember of restarts. Carried out twice it leaves the same.

What names a living thing is not taken back in time. The record of a managed process says whose a
process is now, and is neither written nor discarded. A lease whose holder has died is not given to
the dead again: its record stays as it is, and the plan says so. Neither is a record discarded whose
schema cannot be read, since it may be one of a process; a state of the checkpoint may take its place.

Pure: the caller says what is stored now and which holders are alive, carries the operations out, and
has every actor of the subtree stopped meanwhile.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, final

from treewarden.storage._checkpoint_content import ActorEntry, Content, HolderIdentity, is_within
from treewarden.storage._contract import Discard, Operation, Put
from treewarden.storage._kept_mailbox import MAILBOX_MARK, put_mailbox

__all__ = ["PROCESS_SCHEMA", "RestorePlan", "restore_operations"]

PROCESS_SCHEMA: Final = "treewarden.process"

_GENERATION: Final = 0  # generations begin anew in each runtime


@final
@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What is written, and what becomes of which path.

    `states` get a state from the checkpoint, `mailboxes` (by the paths of their actors) waiting messages
    or timers. `dropped` have one now that the checkpoint does not have. `forgotten` are records of
    supervision. `leases_not_restored` and `left_alone` stay as they are; each has its reason.
    """

    operations: tuple[Operation, ...]
    states: tuple[str, ...]
    mailboxes: tuple[str, ...]
    dropped: tuple[str, ...]
    forgotten: tuple[str, ...]
    leases_not_restored: tuple[tuple[str, str], ...]
    left_alone: tuple[tuple[str, str], ...]


def restore_operations(
    content: Content, *, current: Mapping[str, str | None], holder_is_alive: Callable[[HolderIdentity], bool]
) -> RestorePlan:
    """The plan that brings the subtree of `content` back.

    Args:
        content: what was.
        current: every path that is stored now, with its schema; None if that cannot be read. Paths
            outside the subtree are ignored.
        holder_is_alive: whether a process that held something lives still.
    """
    entries = [content.runtime[path] for path in sorted(content.runtime)]
    stored = {path: current[path] for path in sorted(current) if is_within(path, content.scope)}
    leases = {
        entry.path: entry.holder
        for entry in entries
        if entry.holder is not None and entry.schema != PROCESS_SCHEMA and not holder_is_alive(entry.holder)
    }
    living = [entry for entry in entries if entry.path not in leases]
    states = [put for entry in living if stored.get(entry.path) != PROCESS_SCHEMA for put in _state(entry)]
    mailboxes = [put for entry in living for put in _mailbox(entry, content.scope)]
    put = {each.path for each in (*states, *mailboxes)}
    left_alone = dict(_left_alone(entries, stored, put))
    gone = [path for path in stored if path not in put and path not in left_alone and path not in leases]
    # What is put is discarded before: the snapshot and the journal that it would keep as its fallback are of the
    # time that is being undone.
    before = [path for path in stored if path in put]
    return RestorePlan(
        operations=(*(Discard(path) for path in (*gone, *before)), *states, *mailboxes),
        states=tuple(each.path for each in states),
        mailboxes=tuple(each.path.removesuffix(MAILBOX_MARK) for each in mailboxes),
        dropped=tuple(path for path in gone if "#" not in path),
        forgotten=tuple(path for path in gone if "#" in path),
        leases_not_restored=tuple(
            (path, f"its holder, process {holder.pid}, has ended; what is stored of it stays")
            for path, holder in leases.items()
        ),
        left_alone=tuple(left_alone.items()),
    )


def _left_alone(
    entries: list[ActorEntry], stored: Mapping[str, str | None], put: set[str]
) -> Iterator[tuple[str, str]]:
    for entry in entries:
        if entry.schema == PROCESS_SCHEMA and entry.path not in stored:
            yield entry.path, "it was a managed process, and no process is on record now"
    for path, schema in stored.items():
        if schema == PROCESS_SCHEMA:
            yield path, "it is the record of a managed process, and says what is true of it now"
        elif schema is None and path not in put and "#" not in path:
            yield path, "it cannot be read, and may be the record of a managed process"


def _state(entry: ActorEntry) -> Iterator[Put]:
    if entry.schema is not None and entry.state is not None and entry.schema != PROCESS_SCHEMA:
        yield Put(entry.path, entry.schema, entry.version, _GENERATION, entry.state)


def _mailbox(entry: ActorEntry, scope: str) -> Iterator[Put]:
    put = put_mailbox(entry, scope)
    if put is not None:
        yield put
