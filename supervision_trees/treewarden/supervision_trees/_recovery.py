"""What a runtime does with what an earlier one left behind, before it starts anything.

The order is processes.md R3: processes are read first and the store second, so that a process
seen is always judged by a record at least as new. What is ended is ended on two witnesses: the
cookie of this very store in its environment, and an identity verified through a pidfd.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from treewarden.actors import (
    Actor,
    ActorPath,
    ChildSpec,
    EventSink,
    ManagedProcess,
    ProcessStuck,
    SnapshotQuarantined,
    Snapshots,
    StrayEnded,
    TreewardenError,
    child_path,
)
from treewarden.actors.processes import (
    PROCESS_SCHEMA,
    Bearer,
    Phase,
    ProcessRecord,
    RecordUnreadable,
    end_bearers,
    end_session,
    find_bearers,
    is_alive,
)
from treewarden.storage import Discard, Quarantine, SnapshotCorrupt, SnapshotStore, mailbox_path
from treewarden.supervision_trees._records import is_restart_record
from treewarden.supervision_trees._supervisor import Supervisor

__all__ = [
    "AnotherTree",
    "StateCorrupt",
    "SweepReport",
    "process_paths",
    "sweep",
    "sweep_all",
]

GRACE: Final = 5.0  # seconds between TERM and KILL for what nobody supervises
ROUNDS: Final = 5  # a stray may fork while it is being ended


class StateCorrupt(TreewardenError):
    """Stored records cannot be believed, so nothing was started.

    They are kept aside, never taken for empty: a process that one of them names may still live.
    """

    def __init__(self, state_dir: Path | None, problems: Mapping[ActorPath, str]) -> None:
        lines = "".join(f"\n  {path}: {why}" for path, why in problems.items())
        flags = " ".join(f"--discard-state {path}" for path in problems)
        super().__init__(
            f"the store of {state_dir} has {len(problems)} corrupt record(s), set aside in its quarantine;"
            f" nothing was started:{lines}\n"
            f"expected sound records. To go on without them: treewarden up FILE {flags}\n"
            f"(processes they may have named are found by their cookie and ended first)"
        )
        self.problems = dict(problems)


class AnotherTree(TreewardenError):
    """The state directory holds living processes of a tree with another name."""

    def __init__(self, state_dir: Path | None, found: str, expected: str, pids: Sequence[int]) -> None:
        super().__init__(
            f"{state_dir} holds {len(pids)} living process(es) of the tree {found} (pid {', '.join(map(str, pids))}),"
            f" expected the tree {expected}: run `treewarden down` on it first, or use another --state directory"
        )


@final
@dataclass(frozen=True, slots=True)
class SweepReport:
    """Which processes a sweep ended, and which it could not."""

    ended: tuple[int, ...] = ()
    survivors: tuple[int, ...] = ()

    def __add__(self, other: "SweepReport") -> "SweepReport":
        return SweepReport(self.ended + other.ended, self.survivors + other.survivors)


def process_paths(root: ChildSpec) -> Iterator[ActorPath]:
    """The paths of all managed processes that the tree `root` declares."""
    return (path for path, actor_class in _declared_actors(root) if issubclass(actor_class, ManagedProcess))


def _declared_actors(
    root: ChildSpec,
    parent: ActorPath = ActorPath(""),  # noqa: B008 - a string
) -> Iterator[tuple[ActorPath, type[Actor]]]:
    """The path and class of every actor that the tree `root` declares."""
    path = child_path(parent, root.id)
    yield path, root.actor_class
    if issubclass(root.actor_class, Supervisor):
        for child in root.actor_class.declared_children(root):
            yield from _declared_actors(child, path)


def _read_records(
    store: SnapshotStore,
    *,
    declared: Mapping[ActorPath, type[Actor]],
    discard: Iterable[ActorPath],
    state_dir: Path | None,
    events: EventSink,
) -> dict[ActorPath, ProcessRecord]:
    """All process records, after the paths in `discard` were forgotten.

    `declared` tells which class will run where. The corrupt record of a durable actor is left as it
    is: that actor sees to it when it starts. So is one at a path that the tree does not declare,
    if the record before it shows that it is an actor's.

    Raises:
        StateCorrupt: if any other record cannot be believed, since it may be that of a living
            process; those are in quarantine then.
    """
    forgotten = [Discard(stored) for path in discard for stored in (path, mailbox_path(path))]
    if forgotten:
        store.commit(forgotten).result()
    records: dict[ActorPath, ProcessRecord] = {}
    problems: dict[ActorPath, str] = {}
    for found in store.scan():
        if is_restart_record(found.path):
            continue  # names no process, and has a recovery of its own
        if isinstance(found, SnapshotCorrupt):
            if _is_of_durable_actor(found, declared):
                continue
            problems[ActorPath(found.path)] = found.why
            store.commit([Quarantine(found.path, found.sequence)]).result()
            events.emit(SnapshotQuarantined(ActorPath(found.path), found.why))
        elif found.schema == PROCESS_SCHEMA:
            try:
                records[ActorPath(found.path)] = ProcessRecord.from_snapshot(found)
            except RecordUnreadable as unreadable:
                problems[ActorPath(found.path)] = str(unreadable)
    if problems:
        raise StateCorrupt(state_dir, problems)
    return records


def _is_of_durable_actor(corrupt: SnapshotCorrupt, declared: Mapping[ActorPath, type[Actor]]) -> bool:
    actor_class = declared.get(ActorPath(corrupt.path), Actor)
    if actor_class.is_durable() or issubclass(actor_class, ManagedProcess):
        return actor_class.is_durable()
    return corrupt.fallback is not None and Snapshots.is_actor_state(corrupt.fallback)


def _strays(
    bearers: Iterable[Bearer], living: Mapping[ActorPath, ProcessRecord], wanted: frozenset[ActorPath]
) -> tuple[Bearer, ...]:
    """Which bearers of this store's cookie belong to nothing that goes on.

    `living` are the records whose own process is alive; `wanted` the paths that will be run. A
    bearer is kept when it is of the very incarnation that lives on at a wanted path.
    """

    def goes_on(bearer: Bearer) -> bool:
        path = ActorPath(bearer.cookie.path)
        record = living.get(path)
        return path in wanted and record is not None and record.incarnation == bearer.cookie.incarnation

    return tuple(bearer for bearer in bearers if not goes_on(bearer))


def sweep(
    store: SnapshotStore,
    root: ChildSpec,
    *,
    discard: Iterable[ActorPath],
    state_dir: Path | None,
    events: EventSink,
) -> None:
    """Before a tree starts: end what nobody in it will adopt, and check that the rest can be read.

    What was ended is a `StrayEnded` event, what could not be a `ProcessStuck`.

    Raises:
        StateCorrupt: a record cannot be believed; nothing was ended.
        AnotherTree: living processes belong to a tree of another name; nothing was ended.
    """
    bearers = find_bearers(store.store_id)  # processes first, the store second (R3)
    records = _read_records(
        store, declared=dict(_declared_actors(root)), discard=discard, state_dir=state_dir, events=events
    )
    living = {path: record for path, record in records.items() if _lives(record)}
    _refuse_another_tree(living.values(), f"/{root.id}", state_dir)
    wanted = frozenset(process_paths(root))
    _end_sessions((record for path, record in living.items() if path not in wanted), events)
    if _strays(bearers, living, wanted):  # mostly there are none, and one look at all processes is enough
        _end_strays(lambda: _strays(find_bearers(store.store_id), living, wanted), events)


def sweep_all(store: SnapshotStore, *, events: EventSink) -> SweepReport:
    """End every process that belongs to this store: no runtime is left to supervise any."""
    report = _end_sessions((record for record in _readable(store) if _lives(record)), events)
    return report + _end_strays(lambda: find_bearers(store.store_id), events)


def _readable(store: SnapshotStore) -> Iterator[ProcessRecord]:
    """The records that can be read. The others stay, for the next start to name; their processes bear the cookie."""
    for found in store.scan():
        if not isinstance(found, SnapshotCorrupt) and found.schema == PROCESS_SCHEMA:
            try:
                record = ProcessRecord.from_snapshot(found)
            except RecordUnreadable:
                continue
            yield record


def _lives(record: ProcessRecord) -> bool:
    return record.phase is Phase.SPAWNED and record.identity is not None and is_alive(record.identity)


def _refuse_another_tree(living: Iterable[ProcessRecord], root: str, state_dir: Path | None) -> None:
    foreign = [record for record in living if record.path.split("/")[1] != root.strip("/")]
    if foreign:
        pids = [record.identity.pid for record in foreign if record.identity is not None]
        raise AnotherTree(state_dir, "/" + foreign[0].path.split("/")[1], root, pids)


def _end_sessions(records: Iterable[ProcessRecord], events: EventSink) -> SweepReport:
    # Nothing is written: whoever reads such a record later looks at the process and sees that it is
    # gone, and a full disk must not keep the rest alive.
    report = SweepReport()
    for record in records:
        assert record.identity is not None
        ended = end_session(record.identity, grace=GRACE)
        if ended.survivors:
            report += SweepReport(survivors=ended.survivors)
            events.emit(ProcessStuck(record.path, record.incarnation, ended.survivors))
        else:
            report += SweepReport(ended=(record.identity.pid,))
            events.emit(StrayEnded(record.path, record.incarnation, record.identity.pid))
    return report


def _end_strays(find: Callable[[], Iterable[Bearer]], events: EventSink) -> SweepReport:
    """End what `find` finds, until it finds nothing but what could not be ended before."""
    report = SweepReport()
    for _ in range(ROUNDS):
        bearers = [bearer for bearer in find() if bearer.identity.pid not in report.survivors]
        if not bearers:
            break
        survivors = end_bearers(bearers, grace=GRACE)
        for bearer in bearers:
            path, incarnation, pid = ActorPath(bearer.cookie.path), bearer.cookie.incarnation, bearer.identity.pid
            stuck = pid in survivors
            events.emit(ProcessStuck(path, incarnation, (pid,)) if stuck else StrayEnded(path, incarnation, pid))
        report += SweepReport(tuple(b.identity.pid for b in bearers if b.identity.pid not in survivors), survivors)
    return report
