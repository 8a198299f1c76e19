"""The states of durable actors in a store, and who may write them.

An incarnation claims its path before it reads, and lets go when its end is declared. Only the
newest claim may write, and claiming waits for what an earlier holder has under way: so nobody
who was given up on can write after its successor has read (supervision.md A.15). What such a
holder handed in and the store has not begun is withdrawn when it lets go.

Not promised: an order by generation across runtimes, since generations begin anew in each; the
store's sequence orders there.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Final, final

from treewarden.actors._dispatcher import worker_waits
from treewarden.actors._errors import StateInUse, TreewardenError
from treewarden.actors._ids import ActorPath
from treewarden.storage import Discard, Journal, Operation, Snapshot, SnapshotStore, mailbox_path

__all__ = ["ACTOR_SCHEMA", "Claim", "ClaimLost", "Snapshots"]

ACTOR_SCHEMA: Final = "actor:"  # what the schema of every actor's state begins with


class ClaimLost(TreewardenError):
    """Somebody else has claimed the path, or the holder has ended; nothing was written."""

    def __init__(self, path: ActorPath) -> None:
        super().__init__(f"the state of {path} is no longer this incarnation's to write")
        self.path = path


@final
class Claim:
    """The right to write the state of one path, until somebody else claims it. Compared by identity."""

    __slots__ = ("path", "recovered")

    def __init__(self, path: ActorPath) -> None:
        self.path: Final = path
        self.recovered = False  # whether what was stored is taken in; only the holder's own turn touches it


@final
class Snapshots:
    """The states of the durable actors of one runtime, in `store`. Safe from any thread."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        # Guards _claims and _under_way, and is held while a commit is handed over: nothing of an
        # earlier claim enters the store's queue once a new one was made. Never held while waiting
        # or while a future is cancelled, which runs callbacks.
        self._lock = threading.Lock()
        self._claims: dict[ActorPath, Claim] = {}
        # At most one for each path: a holder does nothing until its commit is over, and the next one for it as well.
        self._under_way: dict[ActorPath, tuple[Claim | None, Future[int]]] = {}

    @staticmethod
    def is_actor_state(snapshot: Snapshot) -> bool:
        """Whether `snapshot` is the state of a durable actor."""
        return snapshot.schema.startswith(ACTOR_SCHEMA)

    def claim(self, path: ActorPath, *, unless: Callable[[], bool]) -> Claim:
        """Take the right to write the state of `path` from whoever has it; blocks while that one's commit runs.

        Raises:
            ClaimLost: `unless()`, which tells whether the claimant has ended; whoever has the right keeps it.
        """
        claim = Claim(path)
        with self._lock:
            # Under the lock: a successor is made, and claims, only after this end was declared. So it
            # is seen here, or the successor claims later and takes the right back.
            if unless():
                raise ClaimLost(path)
            self._claims[path] = claim
        self._settle(path)
        return claim

    def release(self, claim: Claim) -> None:
        """Give the right back, and withdraw a commit that has not begun. Never blocks; twice does nothing."""
        with self._lock:
            if self._claims.get(claim.path) is not claim:
                return
            del self._claims[claim.path]
            holder, commit = self._under_way.get(claim.path, (None, None))
        if commit is not None and holder is claim:
            commit.cancel()

    def newest(self, path: ActorPath) -> Snapshot:
        """The newest state of `path`; see `SnapshotStore.latest` for the errors."""
        return self._store.latest(path)

    def older(self, path: ActorPath) -> Snapshot | None:
        """The state before the newest; see `SnapshotStore.older`."""
        return self._store.older(path)

    def journal(self, path: ActorPath, *, after: int) -> Journal:
        """What was recorded of `path` after the record `after`; see `SnapshotStore.journal`."""
        return self._store.journal(path, after=after)

    def when_writable(self, callback: Callable[[], object]) -> None:
        """Call `callback` once commits are taken again; see `SnapshotStore.when_writable`."""
        self._store.when_writable(callback)

    def hand_in(self, claim: Claim, operations: Sequence[Operation]) -> "Future[int]":
        """Have `operations` carried out on the claimed path; the future is cancelled if they are withdrawn.

        Raises:
            ClaimLost: the claim is not the newest any more; nothing was handed in.
            StoreError: the store refused; nothing was handed in.
        """
        with self._lock:
            if self._claims.get(claim.path) is not claim:
                raise ClaimLost(claim.path)
            commit = self._hand_in(claim.path, claim, operations)
        self._forget_when_done(claim.path, commit)
        return commit

    def commit(self, claim: Claim, operations: Sequence[Operation]) -> None:
        """Carry out `operations` on the claimed path; return once they are durable.

        Raises:
            ClaimLost: the claim is not the newest any more; nothing was written.
            StoreError: the store refused, or the medium did; nothing was written.
        """
        commit = self.hand_in(claim, operations)
        try:
            _wait(commit)
        except CancelledError:
            raise ClaimLost(claim.path) from None

    def discard(self, path: ActorPath) -> None:
        """Forget the state of `path`; return once that is durable.

        Raises:
            StateInUse: a living incarnation holds it.
            StoreError: the medium refused; nothing was forgotten.
        """
        self._settle(path)
        self.replace((path,), [Discard(path), Discard(mailbox_path(path))])

    def replace(self, paths: Collection[ActorPath], operations: Sequence[Operation]) -> None:
        """Carry out `operations`, which write the states of `paths` and nobody else's; return once they are durable.

        Raises:
            StateInUse: a living incarnation holds one of them, though it may not have started yet.
            StoreError: the medium refused; nothing was written.
        """
        with self._lock:
            for path in paths:
                if path in self._claims:
                    raise StateInUse(path)
            commit = self._store.commit(operations)
            for path in paths:  # whoever claims one of them now reads it after that
                self._under_way[path] = (None, commit)
        for path in paths:
            self._forget_when_done(path, commit)
        _wait(commit)

    def _hand_in(self, path: ActorPath, claim: Claim | None, operations: Sequence[Operation]) -> "Future[int]":
        commit = self._store.commit(operations)
        self._under_way[path] = (claim, commit)
        return commit

    def _forget_when_done(self, path: ActorPath, commit: "Future[int]") -> None:
        commit.add_done_callback(partial(self._forget, path))

    def _forget(self, path: ActorPath, commit: "Future[int]") -> None:
        with self._lock:
            if self._under_way.get(path, (None, None))[1] is commit:
                del self._under_way[path]

    def _settle(self, path: ActorPath) -> None:
        """Wait until nothing of `path` is under way; how it ended is its holder's to know."""
        with self._lock:
            _, commit = self._under_way.get(path, (None, None))
        if commit is not None:
            done = threading.Event()
            commit.add_done_callback(lambda _: done.set())
            with worker_waits():
                done.wait()


def _wait(commit: "Future[int]") -> None:
    if not commit.done():
        with worker_waits():
            commit.exception()
    commit.result()
