"""What outlives a runtime of its supervisors' restarts: windows, failure counts and crashes (supervision.md A.17).

A crash loop that takes the runtime down must not get a fresh allowance each time. So each
supervisor has one record with its window, and each child that failed has one with its own; they
are put together, before the restart that they are about.

Times are stored as wall times and given back as ages. A clock that was set back makes an event
young, never old: what seems to lie in the future has just happened. What is remembered is given to
the first incarnation of a supervisor only: one that its parent restarts begins afresh, as in OTP.
A record that cannot be believed is set aside with an event, and the one before it is used; without
one the window begins empty, for a brake that cannot be read must not keep the tree from running.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Final, TypedDict, cast, final

from treewarden.actors import ActorPath, ChildId, EventSink, SnapshotQuarantined, child_path
from treewarden.storage import Discard, Put, Quarantine, Snapshot, SnapshotCorrupt, SnapshotStore
from treewarden.supervision_trees._children import Child, CrashRecord
from treewarden.supervision_trees._restarts import Recalled

__all__ = ["RestartRecords", "is_restart_record"]

WINDOW_SCHEMA: Final = "restart-window"
CHILD_SCHEMA: Final = "restarts"
VERSION: Final = 1
# No child id has a '#' in it, so these paths are nobody's.
_WINDOW: Final = "#window"
_CHILD: Final = "#restarts"


class _StoredCrash(TypedDict):
    at: float
    generation: int
    reason: str
    traceback: str
    last_message: str | None
    mailbox: int
    state: str | None


class _StoredChild(TypedDict):
    failures: int
    own: list[float]
    crashes: list[_StoredCrash]


def is_restart_record(path: str) -> bool:
    """Whether a store's `path` is one of these records."""
    return "#" in path


@final
class RestartRecords:
    """The records of one store. Safe from any thread; `wall` gives wall seconds."""

    def __init__(self, store: SnapshotStore, wall: Callable[[], float], *, events: EventSink) -> None:
        """Read what an earlier runtime left."""
        self._store, self._wall = store, wall
        # What was left, by supervisor: its window under "", its children's records under their ids.
        self._left: dict[ActorPath, dict[str, Snapshot]] = {}
        for found in store.scan():
            if not is_restart_record(found.path):
                continue
            if isinstance(found, SnapshotCorrupt):
                events.emit(SnapshotQuarantined(ActorPath(found.path), found.why))
                store.commit([Quarantine(found.path, found.sequence)]).result()
                if found.fallback is None:
                    continue
                found = found.fallback  # noqa: PLW2901 - the record that stands for it
            if found.version == VERSION:
                supervisor, child = _owner(found.path)
                self._left.setdefault(supervisor, {})[child] = found

    def take(
        self, supervisor: ActorPath, children: Iterable[ChildId], now: float
    ) -> tuple[tuple[float, ...], dict[ChildId, Recalled]]:
        """What an earlier runtime knew: the ages of the window's restarts, and of its children. Given once.

        What it knew of children that are no more is dropped from the store.
        """
        wall, left = self._wall(), self._left.pop(supervisor, {})
        window = left.pop("", None)
        ages = () if window is None else _ages(cast("list[float]", window.state), wall)
        known: dict[ChildId, Recalled] = {}
        for child in children:
            record = left.pop(child, None)
            if record is not None:
                known[child] = _recalled(cast("_StoredChild", record.state), wall, now)
        if left:
            self._store.commit([Discard(record.path) for record in left.values()])
        return ages, known

    def remember(
        self, supervisor: ActorPath, ages: Iterable[float], child: Child, own_ages: Iterable[float], now: float
    ) -> "Future[int]":
        """Put the supervisor's window and what is known of `child`, together; resolved when they are durable.

        Raises:
            StoreError: here or through the future: it could not be put.
        """
        return self._store.commit(
            [self._window(supervisor, ages), self._child(supervisor, child, tuple(own_ages), child.failures, now)]
        )

    def calm(self, supervisor: ActorPath, children: Iterable[Child], now: float) -> "Future[int]":
        """An orderly end: windows and counts begin afresh next time; crashes stay known."""
        cleared = [self._child(supervisor, child, (), 0, now) for child in children]
        return self._store.commit([self._window(supervisor, ()), *cleared])

    def forget(self, supervisor: ActorPath, child: ChildId) -> "Future[int]":
        """Drop what is known of a child that is no more."""
        return self._store.commit([Discard(child_path(supervisor, child) + _CHILD)])

    def _window(self, supervisor: ActorPath, ages: Iterable[float]) -> Put:
        wall = self._wall()
        return Put(supervisor + _WINDOW, WINDOW_SCHEMA, VERSION, 0, [wall - age for age in ages])

    def _child(self, supervisor: ActorPath, child: Child, own: tuple[float, ...], failures: int, now: float) -> Put:
        wall = self._wall()
        crashes: list[_StoredCrash] = [
            {
                "at": wall - (now - crash.at),
                "generation": crash.generation,
                "reason": crash.reason,
                "traceback": crash.traceback,
                "last_message": crash.last_message,
                "mailbox": crash.mailbox,
                "state": crash.state,
            }
            for crash in child.crashes
        ]
        state: _StoredChild = {"failures": failures, "own": [wall - age for age in own], "crashes": crashes}
        return Put(child_path(supervisor, child.id) + _CHILD, CHILD_SCHEMA, VERSION, child.generation, state)


def _owner(path: str) -> tuple[ActorPath, str]:
    """The supervisor whose record stands at `path`, and the child it is about ("" for its own window)."""
    place, _, kind = path.partition("#")
    if "#" + kind == _WINDOW:
        return ActorPath(place), ""
    supervisor, _, child = place.rpartition("/")
    return ActorPath(supervisor), child


def _ages(walls: Iterable[float], wall: float) -> tuple[float, ...]:
    return tuple(max(0.0, wall - at) for at in walls)


def _recalled(stored: _StoredChild, wall: float, now: float) -> Recalled:
    crashes = tuple(
        CrashRecord(
            now - max(0.0, wall - crash["at"]),
            crash["generation"],
            crash["reason"],
            crash["traceback"],
            crash["last_message"],
            crash["mailbox"],
            crash["state"],
        )
        for crash in stored["crashes"]
    )
    return Recalled(stored["failures"], _ages(stored["own"], wall), crashes)
