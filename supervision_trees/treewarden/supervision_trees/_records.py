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

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Final, TypedDict, cast, final

from treewarden.actors import ActorPath, ChildId, EventSink, SnapshotQuarantined, child_path
from treewarden.storage import Discard, Put, Quarantine, Snapshot, SnapshotCorrupt, SnapshotStore, StoreError
from treewarden.supervision_trees._children import Child, CrashRecord
from treewarden.supervision_trees._record_tree import RecordTree
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


_CRASH_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "at": (float, int),
    "generation": (int,),
    "reason": (str,),
    "traceback": (str,),
    "last_message": (str, type(None)),
    "mailbox": (int,),
    "state": (str, type(None)),
}


class _StoredChild(TypedDict):
    failures: int
    own: list[float]
    crashes: list[_StoredCrash]


def is_restart_record(path: str) -> bool:
    """Whether a store's `path` is a record about an actor or supervisor, not the state of one: it names no process."""
    return "#" in path


@final
class RestartRecords:
    """The records of one store. Safe from any thread; `wall` gives wall seconds."""

    def __init__(self, store: SnapshotStore, wall: Callable[[], float], *, events: EventSink) -> None:
        """Read what an earlier runtime left."""
        self._store, self._wall, self._events = store, wall, events
        # Guards _left and _stored, which supervisors use on their own threads; never held over a commit.
        self._storing = threading.Lock()
        self._left = RecordTree[Snapshot]()  # what nobody has taken yet
        self._stored = RecordTree[None]()  # which records the store has, so that none is left over
        for found in tuple(store.scan()):
            # A path with another '#' in it is somebody else's, as an actor's kept mailbox.
            if found.path.endswith((_WINDOW, _CHILD)):
                believed = self._believed(found)
                if believed is not None and believed.version == VERSION:
                    supervisor = _supervisor_of(believed.path)
                    self._left.put(supervisor, believed.path, believed)
                    self._stored.put(supervisor, believed.path, None)

    def take(
        self, supervisor: ActorPath, children: Iterable[ChildId], now: float
    ) -> tuple[tuple[float, ...], dict[ChildId, Recalled]]:
        """What an earlier runtime knew: the ages of the window's restarts, and of its children. Given once.

        What it knew of children that are not there any more is discarded, and of all below them: whoever
        comes to live at such a path later is somebody else.
        """
        wall, children = self._wall(), frozenset(children)
        with self._storing:
            left = self._left.pop(supervisor)
            gone = [
                record
                for path in self._left.steps_below(supervisor)
                if path.rpartition("/")[2] not in children
                for record in self._left.pop_subtree(path)
            ]
        window = left.pop(supervisor + _WINDOW, None)
        ages = () if window is None else _ages(cast("list[float]", window.state), wall)
        known: dict[ChildId, Recalled] = {}
        for record in tuple(left):
            child = ChildId(record.removesuffix(_CHILD).rpartition("/")[2])
            if child in children:
                known[child] = _recalled(cast("_StoredChild", left.pop(record).state), wall, now)
        if left or gone:
            with contextlib.suppress(StoreError):  # they are in nobody's way
                self._discard([*left, *gone])
        return ages, known

    def remember(
        self, supervisor: ActorPath, ages: Iterable[float], child: Child, own_ages: Iterable[float], now: float
    ) -> "Future[int]":
        """Put the supervisor's window and what is known of `child`, together; resolved when they are durable.

        Raises:
            StoreError: here or through the future: it could not be put.
        """
        return self._put(
            supervisor,
            [self._window(supervisor, ages), self._child(supervisor, child, tuple(own_ages), child.failures, now)],
        )

    def calm(self, supervisor: ActorPath, children: Iterable[Child], now: float) -> "Future[int]":
        """An orderly end: windows and counts begin afresh next time; crashes stay known."""
        cleared = [self._child(supervisor, child, (), 0, now) for child in children]
        return self._put(supervisor, [self._window(supervisor, ()), *cleared])

    def forget(self, supervisor: ActorPath, child: ChildId) -> "Future[int]":
        """Drop what is known of a child that is no more, and of all that was below it."""
        path = child_path(supervisor, child)
        with self._storing:
            below = self._stored.subtree(path)
        return self._discard([path + _CHILD, *below])

    def _put(self, supervisor: ActorPath, puts: list[Put]) -> "Future[int]":
        with self._storing:
            for put in puts:
                self._stored.put(supervisor, put.path, None)
        return self._store.commit(puts)

    def _discard(self, paths: list[str]) -> "Future[int]":
        with self._storing:
            for path in paths:
                self._stored.discard(_supervisor_of(path), path)
        return self._store.commit([Discard(path) for path in paths])

    def _believed(self, found: Snapshot | SnapshotCorrupt) -> Snapshot | None:
        """The record, or the one that stands for it."""
        if isinstance(found, SnapshotCorrupt):
            fallback = found.fallback if found.fallback is not None and _has_its_shape(found.fallback) else None
            self._set_aside(found.path, found.sequence, found.why, fallback)
            return fallback
        if found.version == VERSION and not _has_its_shape(found):
            self._set_aside(found.path, found.sequence, f"it is no {found.schema} record", None)
            return None
        return found

    def _set_aside(self, path: str, sequence: int, why: str, instead: Snapshot | None) -> None:
        self._events.emit(SnapshotQuarantined(ActorPath(path), why))
        # What stands for it is put anew, or the path forgotten: otherwise each start would meet it again.
        then: Put | Discard = (
            Discard(path)
            if instead is None
            else Put(path, instead.schema, instead.version, instead.generation, instead.state)
        )
        # A full disk must not keep the tree from running: then the next start meets it again after all.
        with contextlib.suppress(StoreError):
            self._store.commit([Quarantine(path, sequence), then]).result()

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


def _has_its_shape(found: Snapshot) -> bool:
    """Whether the state of a record of this version is what this version writes."""
    if found.schema == WINDOW_SCHEMA:
        return _are_times(found.state)
    return found.schema == CHILD_SCHEMA and _is_child(found.state)


def _is_child(found: object) -> bool:
    if not isinstance(found, dict):
        return False
    state = cast("dict[object, object]", found)
    crashes = state.get("crashes")
    return (
        isinstance(state.get("failures"), int)
        and _are_times(state.get("own"))
        and isinstance(crashes, list)
        and all(map(_is_crash, cast("list[object]", crashes)))
    )


def _are_times(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(at, float | int) for at in cast("list[object]", found))


def _is_crash(found: object) -> bool:
    if not isinstance(found, dict):
        return False
    crash = cast("dict[object, object]", found)
    return all(name in crash and isinstance(crash[name], kinds) for name, kinds in _CRASH_KINDS.items())


def _supervisor_of(path: str) -> str:
    if path.endswith(_WINDOW):
        return path.removesuffix(_WINDOW)
    return path.removesuffix(_CHILD).rpartition("/")[0]


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
