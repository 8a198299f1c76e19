"""A look at processes for the doctor: what the records say, what lives, what bears the store's cookie.

Processes are looked at before the records they are judged by, as at a start (`_recovery`), so that a process
is never taken for a stray because its record was read too early. Nothing is signalled here.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from treewarden.actors import ActorPath
from treewarden.actors.processes import (
    Bearer,
    Phase,
    ProcessRecord,
    RecordUnreadable,
    find_bearers,
    is_alive,
)
from treewarden.storage import Snapshot, StoreError
from treewarden.supervision_trees._doctor_facts import Area, ProcessFacts, Unseen
from treewarden.supervision_trees._doctor_store import processes_in
from treewarden.supervision_trees._findings_of_system import suspects

__all__ = ["look_at_processes"]


def look_at_processes(
    store: Path, store_id: str, recorded: Iterable[Snapshot], *, runs: bool
) -> tuple[ProcessFacts, tuple[Unseen, ...]]:
    """What lives of the store `store_id`. `recorded` are its process records; a runtime that `runs` writes newer ones."""
    unseen: list[Unseen] = []
    bearers = _bearers(store_id, unseen)
    if runs:
        recorded = _read_again(lambda: processes_in(store), recorded, unseen)
    facts = _judged(recorded, bearers, unseen)
    if runs and suspects(facts):
        # Some may be on their way out; those that stay are none of the runtime's.
        still = frozenset(_bearers(store_id, unseen))
        facts = ProcessFacts(
            facts.records, facts.living, facts.unreadable, tuple(each for each in facts.bearers if each in still)
        )
    return facts, tuple(unseen)


def _bearers(store_id: str, unseen: list[Unseen]) -> tuple[Bearer, ...]:
    try:
        return tuple(bearer for bearer in find_bearers(store_id) if bearer.identity.pid != os.getpid())
    except OSError as error:
        unseen.append(Unseen(Area.PROCESSES, "processes that a runtime started", str(error)))
        return ()


def _read_again(
    read: Callable[[], tuple[Snapshot, ...]], before: Iterable[Snapshot], unseen: list[Unseen]
) -> Iterable[Snapshot]:
    try:
        return read()
    except StoreError as error:
        unseen.append(Unseen(Area.PROCESSES, "the newest process records", str(error)))
        return before


def _judged(recorded: Iterable[Snapshot], bearers: tuple[Bearer, ...], unseen: list[Unseen]) -> ProcessFacts:
    records: list[ProcessRecord] = []
    living: set[ActorPath] = set()
    unreadable: dict[str, str] = {}
    for snapshot in recorded:
        try:
            record = ProcessRecord.from_snapshot(snapshot)
        except RecordUnreadable as error:
            unreadable[snapshot.path] = str(error)
            continue
        records.append(record)
        try:
            if record.phase is Phase.SPAWNED and record.identity is not None and is_alive(record.identity):
                living.add(record.path)
        except OSError as error:  # not seeing is not "gone"
            unseen.append(Unseen(Area.PROCESSES, f"the process of {record.path}", str(error)))
    return ProcessFacts(tuple(records), frozenset(living), unreadable, bearers)
