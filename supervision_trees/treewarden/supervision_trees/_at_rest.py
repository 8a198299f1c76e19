"""The store of a tree that does not run, owned for as long as something is done with it.

Whoever has it keeps every runtime out meanwhile, and what it tells is kept among the events of the tree.
"""

import contextlib
import os
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Final

from treewarden.actors import ChildId, Log, SystemClock, child_path
from treewarden.storage import SnapshotStore, StoreUnusable
from treewarden.supervision_trees._checkpointing import Checkpointing
from treewarden.supervision_trees._event_keeping import keep_events
from treewarden.supervision_trees._ports import own_store
from treewarden.supervision_trees._root import ROOT_PARENT
from treewarden.supervision_trees.telemetry import EventHub, LogLines

__all__ = ["SYSTEM", "checkpoints_at_rest", "has_store", "own_log", "store_at_rest"]

SYSTEM: Final = ChildId("system")  # the supervisor of a runtime's own parts


def own_log(logs: LogLines) -> Log:
    """The log of a runtime itself."""
    return logs.of_actor(child_path(ROOT_PARENT, SYSTEM))


def has_store(state_dir: Path) -> bool:
    """Whether a store is in `state_dir`. An empty directory of that name is none: its file was lost, or never made."""
    return (state_dir / "store" / "data.mdb").is_file()


@contextlib.contextmanager
def store_at_rest(state_dir: Path, *, purpose: str) -> Generator[tuple[SnapshotStore, EventHub]]:
    """Own the store in `state_dir`, in the name of `purpose`; with it a hub whose events are kept there.

    Raises:
        StoreLocked: a runtime runs there.
        StoreUnusable: there is no store, or it cannot be used.
    """
    directory, clock = state_dir.absolute(), SystemClock()
    if not has_store(directory):  # a look must not make one
        raise StoreUnusable(
            directory, "there is no store in it", "name the state directory of a tree that has run (--state DIR)"
        )
    with contextlib.ExitStack() as closers:
        hub = EventHub(clock, first=None)
        closers.callback(hub.close)
        store = own_store(directory, tree=f"({purpose})", console="", since=clock.wall(), closers=closers)
        keep_events(hub, store, runtime=uuid.uuid4().hex, clock=clock, log=own_log(LogLines()), closers=closers)
        yield store, hub


@contextlib.contextmanager
def checkpoints_at_rest(state_dir: str | os.PathLike[str]) -> Generator[Checkpointing]:
    """Own `state_dir`, where no runtime runs, to look at or restore its checkpoints.

    Example:
        with checkpoints_at_rest(".treewarden") as checkpoints:
            checkpoints.execute(RestoreCheckpoint("/dev"))

    Raises:
        StoreLocked: a runtime runs there; ask it (`Runtime.execute`), or stop it first.
        StoreUnusable: there is no store, or it cannot be used.
    """
    with store_at_rest(Path(state_dir), purpose="checkpoint") as (store, hub):
        yield Checkpointing(store, clock=SystemClock(), events=hub)
