"""Messages and timers that a restored checkpoint kept: given back once all of the restored subtree runs.

Not at the start of each actor: the first to start would send on what it gets to those that do not run
yet, and it would be lost. So the mailbox of an actor waits for the top of what was restored to run; if
the actor itself does not run then, for itself. Its record is removed before it is given back, so no
message is handled twice; what a crash takes in that moment is still in the checkpoint.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import Any, Final, final

import pykka

from treewarden.actors import (
    ActorDead,
    ActorPath,
    ActorRef,
    EventSink,
    GivingBack,
    MailboxWithheld,
    MessageUnreadable,
    Reply,
    Runnable,
)
from treewarden.storage import (
    MAILBOX_MARK,
    Discard,
    KeptMailbox,
    Put,
    Snapshot,
    SnapshotMissing,
    SnapshotStore,
    StoreError,
    mailbox_path,
    read_mailbox,
)

__all__ = ["KeptMailboxes"]

TAKEN_WITHIN: Final = 5.0  # seconds for an actor to take it in; it is its next turn


@final
class _Job:
    """Something to run, once."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.run: Final = function


@final
class KeptMailboxes:
    """The kept mailboxes of one store. Safe from any thread.

    Args:
        store: where they are.
        lookup: who runs at a path.
        schedule: has something run soon on another thread, which may block.
        events: is told of what cannot be given back.
    """

    def __init__(
        self,
        store: SnapshotStore,
        *,
        lookup: Callable[[ActorPath], ActorRef[Any] | None],
        schedule: Callable[[Runnable], object],
        events: EventSink,
    ) -> None:
        self._store, self._lookup, self._schedule, self._events = store, lookup, schedule, events
        self._noting = threading.RLock()  # guards _waiting and _under_way, never held while calling out
        self._settled = threading.Condition(self._noting)  # notified when something was given back
        self._under_way = 0
        self._waiting: dict[ActorPath, set[ActorPath]] = {}  # whose mailboxes wait for which path to run
        for path in store.paths():
            if path.endswith(MAILBOX_MARK):
                self.note(ActorPath(path.removesuffix(MAILBOX_MARK)))

    def note(self, path: ActorPath) -> None:
        """Something is kept for `path` now."""
        try:
            kept = self._read(path)
        except StoreError as error:  # it cannot be read; its actor runs without
            self._events.emit(MailboxWithheld(path, str(error)))
            return
        if kept is not None:
            self._wait(path, ActorPath(kept.scope))

    def registered(self, path: ActorPath) -> None:
        """Somebody began to live at `path`; short, on any thread."""
        if self._waiting:
            with self._noting:
                ready = self._waiting.pop(path, None)
                self._under_way += bool(ready)
            if ready:
                self._schedule(_Job(lambda: self._carry_out(ready)))

    def wait_given(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until what can be given back now is; whether it was."""
        with self._settled:
            return self._settled.wait_for(lambda: not self._under_way, timeout)

    def _wait(self, path: ActorPath, until: ActorPath) -> None:
        with self._noting:
            self._waiting.setdefault(until, set()).add(path)

    def _carry_out(self, paths: set[ActorPath]) -> None:
        try:
            self._give_back(paths)
        finally:
            with self._settled:
                self._under_way -= 1
                self._settled.notify_all()

    def _give_back(self, paths: set[ActorPath]) -> None:
        ready: list[tuple[ActorPath, Snapshot, GivingBack]] = []
        for path in sorted(paths):
            ref = self._lookup(path)
            if ref is None:
                self._wait_for_its_start(path)
                continue
            try:
                found = self._store.latest(mailbox_path(path))
                ready.append((path, found, GivingBack(ref, read_mailbox(found))))
            except SnapshotMissing:
                continue  # it was discarded meanwhile
            except (MessageUnreadable, StoreError) as error:
                self._withhold(path, error)
        if not ready:
            return
        try:
            self._store.commit([Discard(found.path) for _, found, _ in ready]).result()
        except StoreError as error:
            for path, _, _ in ready:
                self._withhold(path, error)
            return
        given = [(path, found, giving.give()) for path, found, giving in ready]
        lost = [(path, found) for path, found, reply in given if not _was_taken(reply)]
        if lost:  # they ended before they took anything in: for those that come after them
            with contextlib.suppress(StoreError):  # the checkpoint has it still
                self._store.commit([_again(found) for _, found in lost]).result()
            for path, _ in lost:
                self._wait_for_its_start(path)

    def _wait_for_its_start(self, path: ActorPath) -> None:
        self._wait(path, path)
        if self._lookup(path) is not None:  # it has begun to live since the last look
            self.registered(path)

    def _withhold(self, path: ActorPath, error: Exception) -> None:
        self._events.emit(MailboxWithheld(path, str(error)))
        self._wait(path, path)

    def _read(self, path: ActorPath) -> KeptMailbox | None:
        try:
            return read_mailbox(self._store.latest(mailbox_path(path)))
        except SnapshotMissing:
            return None


def _was_taken(reply: Reply[None]) -> bool:
    try:
        reply.get(timeout=TAKEN_WITHIN)
    except ActorDead:
        return False
    except pykka.Timeout:
        return True  # it is in a long message, and takes it in after that
    return True


def _again(found: Snapshot) -> Put:
    return Put(found.path, found.schema, found.version, found.generation, found.state)
