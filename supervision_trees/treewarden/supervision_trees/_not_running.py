"""What is stored of actors that do not run when a checkpoint is taken: one that is restarted, backs off, or was stopped.

Restoring discards what a checkpoint does not have, so these belong into it as much as those that run. Their state is
what the store has of them. Likewise what an earlier restore kept and has not given back yet, whoever runs.

Not kept: what a journal has after its snapshot. Only the actor's class can make a state of it, so there is no
checkpoint until it runs, or its state is discarded. Who held a lease is not known of an actor that does not run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from treewarden.actors import ActorPath, CutFailed, Snapshots
from treewarden.storage import (
    MAILBOX_MARK,
    ActorEntry,
    Snapshot,
    SnapshotCorrupt,
    SnapshotMissing,
    SnapshotStore,
    is_within,
    pack,
    read_mailbox,
)

__all__ = ["with_stored"]


def with_stored(store: SnapshotStore, scope: ActorPath, running: Mapping[str, ActorEntry]) -> dict[str, ActorEntry]:
    """`running` with what is stored at and below `scope` of those that are not in it; nothing there may start meanwhile.

    Raises:
        CutFailed: one has recorded something after its snapshot.
        StoreError: the store cannot be read.
    """
    entries = dict(running)
    stored = sorted(path for path in store.paths() if is_within(path, scope))
    for path in stored:  # a mailbox comes after its actor: "#" ends the path
        if path.endswith(MAILBOX_MARK):
            _add_mailbox(store, path, entries)
        elif path not in running:
            entries.update((each.path, each) for each in _state(store, path))
    return entries


def _state(store: SnapshotStore, path: str) -> Iterator[ActorEntry]:
    found = _newest(store, path)
    if found is not None and not Snapshots.is_actor_state(found):
        return
    if store.journal(path, after=0 if found is None else found.sequence).entries:
        raise CutFailed(
            f"{path} does not run, and only it can tell what it recorded after its snapshot: start it, or discard it",
            (ActorPath(path),),
        )
    if found is not None:
        yield ActorEntry(path, found.schema, found.version, pack(path, found.state))


def _add_mailbox(store: SnapshotStore, path: str, entries: dict[str, ActorEntry]) -> None:
    entry, found = entries.get(path.removesuffix(MAILBOX_MARK)), _newest(store, path)
    if entry is not None and found is not None:
        kept = read_mailbox(found)
        entries[entry.path] = replace(entry, queue=(*kept.queue, *entry.queue), timers=(*kept.timers, *entry.timers))


def _newest(store: SnapshotStore, path: str) -> Snapshot | None:
    try:
        return store.latest(path)
    except SnapshotMissing:
        return None
    except SnapshotCorrupt as corrupt:  # its actor would begin with this one as well
        return corrupt.fallback
