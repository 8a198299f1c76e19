"""Checkpoints of one runtime's tree: taken from the running actors, looked at, restored, pruned.

Each is announced in the store, cut from the living tree, and written in one transaction; what goes
wrong is written down with it and told as an event. One is taken at a time. Restoring writes the
store alone, so nothing of the subtree may run: the actors take in what they find when they start.

The same object serves a tree that is at rest; it can take none then.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, Final, cast, final

from treewarden.actors import (
    ActorPath,
    ActorRef,
    CheckpointFailed,
    CheckpointRestored,
    CheckpointsPruned,
    CheckpointTaken,
    Clock,
    EventSink,
    Snapshots,
    StateInUse,
    capture,
    take_cut,
)
from treewarden.actors.processes import ProcessIdentity, is_alive
from treewarden.storage import (
    ActorEntry,
    Checkpoint,
    CheckpointMissing,
    Checkpoints,
    CheckpointStatus,
    Content,
    HolderIdentity,
    RowCorrupt,
    SnapshotCorrupt,
    SnapshotStore,
    Trigger,
    diff,
    is_within,
    restore_operations,
)
from treewarden.supervision_trees._control import (
    CheckpointDocument,
    CommandRefused,
    CreateCheckpoint,
    DiffCheckpoints,
    ListCheckpoints,
    PruneCheckpoints,
    RestoreCheckpoint,
    ShowCheckpoint,
    path_in_command,
)
from treewarden.supervision_trees._kept_mailboxes import KeptMailboxes
from treewarden.supervision_trees._not_running import with_stored

__all__ = ["CheckpointCommand", "Checkpointing"]

CheckpointCommand = (
    CreateCheckpoint | ListCheckpoints | ShowCheckpoint | DiffCheckpoints | RestoreCheckpoint | PruneCheckpoints
)

MOST_SHOWN: Final = 2_000  # actors in one answer


@final
class Checkpointing:
    """The checkpoints in `store`, of the actors that `members` gives for a path. Safe from any thread.

    Args:
        store: where they are; nobody else makes any there meanwhile.
        clock: wall times are for people, monotonic ones for the wait for message boundaries.
        events: is told of each.
        members: the running actors at and below a path; none where no tree runs.
        last_event: the number of the last event so far.
        mailboxes: gives back what is restored; None where no tree runs.
        snapshots: knows whose states are held; None where no tree runs.
    """

    def __init__(
        self,
        store: SnapshotStore,
        *,
        clock: Clock,
        events: EventSink,
        members: Callable[[ActorPath], Iterable[ActorRef[Any]]] = lambda _: (),
        last_event: Callable[[], int | None] = lambda: None,
        mailboxes: KeptMailboxes | None = None,
        snapshots: Snapshots | None = None,
    ) -> None:
        self._store, self._clock, self._events = store, clock, events
        self._members, self._last_event, self._mailboxes = members, last_event, mailboxes
        self._snapshots = snapshots or Snapshots(store)
        self._checkpoints = Checkpoints(store, wall=clock.wall)
        self._taking = threading.Lock()  # an actor can be held for one cut at a time
        self._noting = threading.Lock()  # guards _requested
        self._requested: dict[ActorPath, Trigger] = {}

    def sweep(self) -> None:
        """See to what an earlier runtime has begun and not finished; it is told as failed."""
        for number in self._checkpoints.sweep().failed:
            left = self._checkpoints.get(number)
            self._events.emit(CheckpointFailed(ActorPath(left.scope), number, left.why or ""))

    def take(
        self, path: ActorPath, trigger: Trigger, *, within: float, durable: Mapping[str, object] | None = None
    ) -> Checkpoint:
        """Take a checkpoint of the subtree at `path` while it runs; return it once it is durable.

        Args:
            path: of an actor or supervisor that runs.
            trigger: what it is taken for.
            within: seconds for every actor to come to a message boundary; they stand still meanwhile.
            durable: values of the caller's that belong to it, by name.

        Raises:
            CommandRefused: nothing runs there.
            CutFailed: an actor came to no boundary, or its `snapshot()` failed.
            StoreError: it could not be written.
        """
        with self._taking:
            if not any(True for _ in self._members(path)):
                raise CommandRefused(f"nothing runs at {path}, expected the path of a running actor or supervisor")
            number: int | None = None
            try:
                number = self._checkpoints.begin(path, trigger)
                cut = take_cut(
                    lambda: self._members(path),
                    capture,
                    clock=self._clock,
                    within=within,
                    beside=lambda actors: with_stored(self._store, path, {each.path: each.content for each in actors}),
                )
                entries: dict[str, ActorEntry] = cut.beside
                content = Content(path, entries, durable or {})
                taken = self._checkpoints.complete(
                    number, content, events_through=self._last_event(), paused=cut.paused
                )
            except BaseException as error:
                why = str(error) or type(error).__name__
                if number is not None:
                    self._checkpoints.fail(number, why)  # what goes wrong there the next sweep mends
                self._events.emit(CheckpointFailed(path, number, why))
                raise
        added = taken.bytes_added if taken.number == number else 0
        self._events.emit(CheckpointTaken(path, taken.number, trigger.value, taken.actors, added, round(cut.paused, 6)))
        return taken

    def note_request(self, path: ActorPath, trigger: Trigger) -> bool:
        """Note that somebody wants a checkpoint of `path`, and waits for nothing; whether nobody did already."""
        with self._noting:
            is_new = path not in self._requested
            self._requested.setdefault(path, trigger)
            return is_new

    def requested(self) -> dict[ActorPath, Trigger]:
        """What was noted since the last call."""
        with self._noting:
            requested, self._requested = self._requested, {}
            return requested

    def prune(self, *, older_than: float) -> CheckpointDocument:
        """Remove what is older than `older_than` seconds; see `Checkpoints.prune`."""
        report = self._checkpoints.prune(older_than=older_than, now=self._clock.wall())
        if report.removed:
            self._events.emit(CheckpointsPruned(report.removed, report.bytes_removed))
        return CheckpointDocument({**asdict(report), "removed": list(report.removed)})

    def execute(self, command: CheckpointCommand) -> CheckpointDocument:
        """Carry out `command`; see `control` for what the answer has.

        Raises:
            CommandRefused: it was not carried out, and why.
            CutFailed, StoreError: likewise.
        """
        match command:
            case CreateCheckpoint(path, within, durable):
                taken = self.take(path_in_command(path), Trigger.MANUAL, within=within, durable=durable)
                return CheckpointDocument(_row(taken))
            case ListCheckpoints(path):
                rows = self._checkpoints.all(None if path is None else path_in_command(path))
                return CheckpointDocument({"checkpoints": [_row(row) for row in rows]})
            case ShowCheckpoint(number):
                return self._show(number)
            case DiffCheckpoints(earlier, later):
                found = diff(self._checkpoints.load(earlier), self._checkpoints.load(later))
                return CheckpointDocument(
                    {
                        "earlier": earlier,
                        "later": later,
                        "added": list(found.added),
                        "removed": list(found.removed),
                        "changed": {change.path: [part.value for part in change.parts] for change in found.changed},
                        "unchanged": found.unchanged,
                        "durable": {change.name: change.kind.value for change in found.durable},
                    }
                )
            case RestoreCheckpoint(path, number):
                return self._restore(path_in_command(path), number)
            case PruneCheckpoints(older_than):
                return self.prune(older_than=older_than)

    def _show(self, number: int) -> CheckpointDocument:
        row = self._checkpoints.get(number)
        document = _row(row)
        if row.status is CheckpointStatus.COMPLETED:
            content = self._checkpoints.load(number)
            document["contents"] = [_entry(content.runtime[path]) for path in sorted(content.runtime)[:MOST_SHOWN]]
            document["durable"] = _readable(content.durable)
        return CheckpointDocument(document)

    def _restore(self, path: ActorPath, number: int | None) -> CheckpointDocument:
        running = sorted(ref.path for ref in self._members(path))
        if running:
            more = f" and {len(running) - 1} more" if len(running) > 1 else ""
            raise CommandRefused(
                f"{running[0]}{more} runs, expected nothing at or below {path} to run: stop it first"
                f" (treewarden stop {path}; the whole tree: treewarden down)"
            )
        found, content, skipped = self._wanted(path, number)
        current = self._current()
        plan = restore_operations(content, current=current, holder_is_alive=_is_alive)
        within = {each for each in (*current, *content.runtime) if is_within(each, path)}
        operations = [*plan.operations, self._checkpoints.note_recovery(found.number, self._clock.wall())]
        try:
            self._snapshots.replace([ActorPath(each) for each in within], operations)
        except StateInUse as error:  # it is starting, and has read what is stored perhaps
            raise CommandRefused(f"nothing was restored: {error}") from None
        if self._mailboxes is not None:
            for actor in plan.mailboxes:
                self._mailboxes.note(ActorPath(actor))
        self._events.emit(CheckpointRestored(path, found.number, len(plan.states)))
        return CheckpointDocument(
            {
                "path": path,
                "number": found.number,
                "created_at": found.created_at,
                "states": list(plan.states),
                "mailboxes": list(plan.mailboxes),
                "dropped": list(plan.dropped),
                "not_restored": dict((*plan.leases_not_restored, *plan.left_alone)),
                "skipped": {str(newer): why for newer, why in skipped},
            }
        )

    def _wanted(self, path: ActorPath, number: int | None) -> tuple[Checkpoint, Content, tuple[tuple[int, str], ...]]:
        if number is None:
            newest = self._checkpoints.latest(self._scope_with(path))
            found, content, skipped = newest.checkpoint, newest.content, newest.skipped
        else:
            found, content, skipped = self._checkpoints.get(number), self._checkpoints.load(number), ()
        if not is_within(path, content.scope):
            raise CommandRefused(f"checkpoint {found.number} is of {content.scope}, expected one with {path} in it")
        below = {each: entry for each, entry in content.runtime.items() if is_within(each, path)}
        if not below:
            raise CommandRefused(f"checkpoint {found.number} of {content.scope} has nothing at {path}")
        return found, replace(content, scope=path, runtime=below), skipped

    def _scope_with(self, path: ActorPath) -> str:
        """The scope of the newest completed checkpoint with `path` in it."""
        for row in reversed(self._checkpoints.all()):
            if isinstance(row, RowCorrupt) or row.status is not CheckpointStatus.COMPLETED:
                continue
            if is_within(path, row.scope):
                return row.scope
        raise CheckpointMissing(f"completed checkpoint with {path} in it")

    def _current(self) -> dict[str, str | None]:
        """What is stored of which path: its schema; "" for a journal alone, None for what cannot be read."""
        known: dict[str, str | None] = dict.fromkeys(self._store.paths(), "")
        for found in self._store.scan():
            known[found.path] = None if isinstance(found, SnapshotCorrupt) else found.schema
        return known


def _row(row: Checkpoint | RowCorrupt) -> dict[str, object]:
    if isinstance(row, RowCorrupt):
        return {"number": int.from_bytes(row.key, "big"), "status": "unreadable", "why": row.why}
    return {**asdict(row), "status": row.status.value, "trigger": row.trigger.value, "recoveries": list(row.recoveries)}


def _entry(entry: ActorEntry) -> dict[str, object]:
    return {
        "path": entry.path,
        "schema": entry.schema,
        "version": entry.version,
        "bytes": 0 if entry.state is None else len(entry.state.body),
        "queue": len(entry.queue),
        "queue_left": entry.queue_left,
        "timers": len(entry.timers),
        "holder": None if entry.holder is None else entry.holder.pid,
    }


def _readable(value: object) -> object:
    """`value` as JSON has it: bytes in hexadecimal."""
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {str(_readable(key)): _readable(each) for key, each in items}
    if isinstance(value, list):
        return [_readable(each) for each in cast("list[object]", value)]
    return value


def _is_alive(holder: HolderIdentity) -> bool:
    return is_alive(ProcessIdentity(holder.pid, holder.start_ticks, holder.boot_id))
