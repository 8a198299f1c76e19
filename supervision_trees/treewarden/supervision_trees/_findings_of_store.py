"""What is wrong with what a store keeps, and what can be done about it. Pure.

The rules, besides those in docs/decisions/0025-doctor.md: what the next start would do by itself may be
done now; what would take something away that somebody could still use is left to a person. Of a store that
a newer release wrote to, nothing is changed.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, assert_never, final

from treewarden.storage import (
    MAILBOX_MARK,
    RecordTooNew,
    StructureDamaged,
)
from treewarden.supervision_trees._doctor_facts import (
    CheckpointState,
    StoreAbsent,
    StoreFacts,
    StoreRefused,
    StoreSeen,
)
from treewarden.supervision_trees._findings import (
    ClearReaders,
    Finding,
    FindingKind,
    FinishRestore,
    Severity,
)
from treewarden.supervision_trees._findings_of_records import findings_of_records
from treewarden.supervision_trees._findings_of_rows import findings_of_rows

__all__ = ["findings_of_store"]

_RESTARTS: Final = "#restarts"
_NEWER: Final = "start the newer release of treewarden that wrote to this store"


def findings_of_store(store: StoreFacts, *, state: str, runs: bool) -> Iterator[Finding]:
    """Everything that `store`, of the state directory `state`, is not as it should be in. `runs`: a runtime has it."""
    match store:
        case StoreAbsent():
            yield _absent(store, state)
        case StoreRefused(found, remedy):
            yield Finding(
                FindingKind.STORE_UNREADABLE,
                f"{state}/store",
                found,
                "a store that this user can open",
                Severity.DAMAGE,
                command=remedy,
            )
        case StoreSeen():
            yield from _Seen(store, state, runs=runs).findings()
        case _:
            assert_never(store)


def _absent(store: StoreAbsent, state: str) -> Finding:
    where = f"{state}/store"
    if store.restored is not None:
        return Finding(
            FindingKind.RESTORE_UNFINISHED,
            where,
            f"a restore was killed; the whole copy is {store.restored}",
            "the copy in the place of the store; the next start puts it there",
            Severity.LEFTOVER,
            FinishRestore(store.restored),
        )
    if store.is_begun:
        return Finding(
            FindingKind.STORE_MISSING,
            where,
            "its creation was killed, before anything was kept",
            "nothing: the next start makes it",
            Severity.NOTE,
        )
    return Finding(
        FindingKind.STORE_MISSING,
        where,
        "there is none",
        "the store of a tree that has run; if it had one, a backup of it",
        Severity.DAMAGE,
        command=f"treewarden store restore BACKUP --state {state}",
    )


@final
class _Seen:
    """One store's findings."""

    def __init__(self, store: StoreSeen, state: str, *, runs: bool) -> None:
        self._store, self._state, self._runs = store, state, runs

    def findings(self) -> Iterator[Finding]:
        broken = [problem.why for problem in self._store.problems if isinstance(problem, StructureDamaged)]
        if self._store.network is not None:
            yield Finding(
                FindingKind.STORE_ON_NETWORK,
                f"{self._state}/store",
                self._store.network,
                "a file system of this machine alone",
                Severity.DAMAGE,
                command="move the state directory to a disk of this machine",
            )
        if broken:
            more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
            yield Finding(
                FindingKind.STORE_DAMAGED,
                f"{self._state}/store",
                f"the structure of its file is damaged: {broken[0]}{more}",
                "a sound file: nothing in this one can be trusted",
                Severity.DAMAGE,
                command=f"treewarden store restore BACKUP --state {self._state}",
            )
            return
        treatable = [
            *findings_of_records(self._store, state=self._state),
            *findings_of_rows(self._store, state=self._state, runs=self._runs),
        ]
        if self._is_newer():
            treatable = [
                each if each.remedy is None else replace(each, remedy=None, command=_NEWER) for each in treatable
            ]
        yield from treatable
        yield from self._rest()

    def _is_newer(self) -> bool:
        """Whether a newer release wrote to it."""
        return any(isinstance(problem, RecordTooNew) for problem in self._store.problems) or any(
            checkpoint.state is CheckpointState.TOO_NEW for checkpoint in self._store.checkpoints or ()
        )

    def _rest(self) -> Iterator[Finding]:
        store, state = self._store, self._state
        if store.stale_reader is not None:
            reader = store.stale_reader
            yield Finding(
                FindingKind.READER_STALE,
                f"{state}/store",
                f"process {reader.pid}, which is gone, reads it, {reader.behind} commits behind: its pages are not used again",
                "readers that live",
                Severity.LEFTOVER,
                ClearReaders(),
            )
        if store.quarantined:
            yield Finding(
                FindingKind.QUARANTINE,
                f"{state}/store",
                f"{store.quarantined} records of {store.quarantined_bytes} bytes lie aside",
                "nothing: they are kept for a person, and never deleted",
                Severity.NOTE,
            )
        yield from self._without_state()

    def _without_state(self) -> Iterator[Finding]:
        """Records about actors that keep nothing themselves."""
        paths = self._store.paths
        for path in sorted(paths):
            of = path.removesuffix(MAILBOX_MARK)
            if path.endswith(MAILBOX_MARK) and of not in paths:
                yield Finding(
                    FindingKind.RECORD_WITHOUT_STATE,
                    path,
                    "messages are kept for an actor of which nothing else is kept",
                    "nothing, if something is to run there: it is given them then",
                    Severity.NOTE,
                )
        remembered = sorted(
            path.removesuffix(_RESTARTS)
            for path in paths
            if path.endswith(_RESTARTS) and path.removesuffix(_RESTARTS) not in paths
        )
        if remembered:
            yield Finding(
                FindingKind.RECORD_WITHOUT_STATE,
                f"{self._state}/store",
                f"the restarts of {len(remembered)} actors are remembered that keep nothing else: {_some(remembered)}",
                "nothing: they are forgotten with the child",
                Severity.NOTE,
            )


def _some(paths: list[str], most: int = 3) -> str:
    return ", ".join(paths[:most]) + (f" and {len(paths) - most} more" if len(paths) > most else "")
