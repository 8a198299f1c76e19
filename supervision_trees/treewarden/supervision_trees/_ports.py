"""What a runtime works through: its store and its ports, made in the order in which they need each other.

Each is put on the caller's `ExitStack` as soon as it is there, so a failure at any point undoes
what came before it, and a stop takes them down the other way round: threads, store, lock.
"""

import contextlib
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from treewarden.actors import (
    ActorSystem,
    CheckpointRequests,
    Clock,
    EventSink,
    LogFactory,
    Snapshots,
    ThreadDispatcher,
    TimerThread,
)
from treewarden.actors.probes import ProbeLoop
from treewarden.actors.processes import Launcher, ProcessRecords, ProcessSystem, exit_watch, own_identity
from treewarden.storage import Holder, LmdbStore, OwnerLock, SnapshotStore
from treewarden.supervision_trees._records import RestartRecords
from treewarden.supervision_trees._registry import Registry

__all__ = ["CLOSING", "make_processes", "make_system", "own_directory", "own_store"]

CLOSING: Final = 5.0  # seconds for threads to end once the tree has


def own_directory(
    state_dir: Path, *, tree: str, console: str, since: float, closers: contextlib.ExitStack
) -> OwnerLock:
    """Own `state_dir` in the name of this process.

    Raises:
        StoreLocked: another runtime owns it.
        StoreUnusable: it cannot be used.
    """
    me = own_identity()
    lock = OwnerLock.acquire(state_dir, Holder(me.pid, me.start_ticks, me.boot_id, tree, console, since))
    closers.callback(lock.release)
    return lock


def own_store(
    state_dir: Path, *, tree: str, console: str, since: float, closers: contextlib.ExitStack
) -> SnapshotStore:
    """Own `state_dir` in the name of this process, then open its store.

    Raises:
        StoreLocked: another runtime owns it.
        StoreUnusable: it cannot be used.
    """
    own_directory(state_dir, tree=tree, console=console, since=since, closers=closers)
    store = LmdbStore.open(state_dir / "store")
    closers.callback(store.close)
    return store


def make_processes(
    store: SnapshotStore,
    *,
    state_dir: Path | None,
    registry: Registry,
    runtime: str,
    on_error: Callable[[BaseException], None],
    closers: contextlib.ExitStack,
) -> ProcessSystem:
    """What managed processes work through. Without `state_dir` their logs go when the runtime goes."""
    if state_dir is None:
        logs = Path(closers.enter_context(tempfile.TemporaryDirectory(prefix="treewarden-logs-")))
    else:
        logs = state_dir / "logs"
    exits = exit_watch(on_error=on_error)
    closers.callback(exits.close)
    probes = ProbeLoop(on_error=on_error)

    def close_probes() -> None:
        try:
            probes.close(within=CLOSING)
        except TimeoutError as error:  # a look-up of a name hangs: a daemon thread, and every check is answered
            on_error(error)

    closers.callback(close_probes)
    return ProcessSystem(
        records=ProcessRecords(store),
        launcher=Launcher(),
        exits=exits,
        probes=probes,
        facts=registry,
        environment=dict(os.environ),
        logs=logs,
        store_id=store.store_id,
        runtime=runtime,
    )


def make_system(
    processes: ProcessSystem,
    snapshots: Snapshots,
    *,
    restarts: RestartRecords | None,
    checkpoints: CheckpointRequests,
    clock: Clock,
    events: EventSink,
    registry: Registry,
    log: LogFactory,
    on_error: Callable[[BaseException], None],
    closers: contextlib.ExitStack,
) -> ActorSystem:
    """What every actor of the runtime works through; its threads end before those of `processes`."""
    timers = TimerThread(clock, on_error=on_error)
    closers.callback(timers.close)
    dispatcher = ThreadDispatcher()
    closers.callback(dispatcher.close, within=CLOSING)
    services: dict[type[object], object] = {
        ProcessSystem: processes,
        Snapshots: snapshots,
        CheckpointRequests: checkpoints,
    }
    if restarts is not None:
        services[RestartRecords] = restarts
    return ActorSystem(
        clock=clock,
        dispatcher=dispatcher,
        timers=timers,
        events=events,
        directory=registry,
        log=log,
        random=random.Random(),  # noqa: S311 - spreads restarts in time, keeps no secret
        services=services,
    )
