"""The doctor's visit: look at everything, judge it, and, if asked to, treat what can be treated and look again.

Looking needs nothing and changes nothing but LMDB's own lock file, whether a runtime runs or not. Treating
needs the ownership of the state directory, so nothing starts meanwhile.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

from treewarden.actors import Clock
from treewarden.storage import Holder, OwnerLock, StoreLocked, StoreUnusable
from treewarden.supervision_trees._doctor import diagnose
from treewarden.supervision_trees._doctor_facts import (
    Area,
    Facts,
    FileFact,
    StoreAbsent,
    StoreRefused,
    StoreSeen,
    Unseen,
)
from treewarden.supervision_trees._doctor_files import FileLook, file_at
from treewarden.supervision_trees._doctor_processes import look_at_processes
from treewarden.supervision_trees._doctor_remedies import Treatment
from treewarden.supervision_trees._doctor_store import Progress, look_at_store
from treewarden.supervision_trees._findings import Finding, Outcome, Result, plan
from treewarden.supervision_trees._ports import own_directory

__all__ = ["Visit", "examine", "rehearse", "treat"]

_STORE: Final = "store"
_ROUNDS: Final = 4  # a damaged checkpoint that is dropped may uncover rows that nobody can need


@final
@dataclass(frozen=True, slots=True)
class Visit:
    """What was found, or is still there after `results`. `store` and `looked` are for people and programs."""

    findings: tuple[Finding, ...]
    results: tuple[Result, ...]
    store: str
    looked: str
    runs: bool = False
    runtime: int | None = None


def examine(state_dir: Path, *, progress: Progress | None = None) -> Visit:
    """Look at `state_dir`, and change nothing. A runtime may go on."""
    state_dir = state_dir.absolute()
    return _visit(state_dir, _owner(state_dir), progress)


def rehearse(state_dir: Path, *, progress: Progress | None = None) -> Visit:
    """Look at `state_dir`, and say what `treat` would do; change nothing.

    Raises:
        StoreLocked: a runtime owns it.
    """
    visit = examine(state_dir, progress=progress)
    if visit.runs:
        raise StoreLocked(state_dir, OwnerLock.holder(state_dir))
    return replace(visit, results=tuple(Result(finding, Outcome.PLANNED) for finding in plan(visit.findings)))


def treat(state_dir: Path, *, clock: Clock, progress: Progress | None = None) -> Visit:
    """Look at `state_dir`, treat what can be treated, and look again; what that uncovers is treated as well.

    Raises:
        StoreLocked: a runtime owns it.
        StoreUnusable: it cannot be owned, being another user's.
    """
    state_dir = state_dir.absolute()
    if not state_dir.is_dir() or not _is_of_a_runtime(state_dir):  # owning would make it, or close it to others
        return examine(state_dir)
    with contextlib.ExitStack() as closers:
        before, root = _owner(state_dir), file_at(state_dir)  # owning changes both
        own_directory(state_dir, tree="treewarden doctor --fix", console="", since=clock.wall(), closers=closers)
        visit = _visit(state_dir, before, progress, root=root)
        results: list[Result] = []
        for _ in range(_ROUNDS):
            due = [each for each in plan(visit.findings) if not any(_is_same(each, done.finding) for done in results)]
            if not due:
                break
            results += _treated(state_dir / _STORE, due)
            visit = _visit(state_dir, _Owner(runs=False), progress)
    return replace(visit, results=tuple(_checked(result, visit.findings) for result in results))


def _is_same(one: Finding, other: Finding) -> bool:
    return (one.kind, one.where, one.remedy) == (other.kind, other.where, other.remedy)


def _treated(store: Path, findings: Iterable[Finding]) -> Iterator[Result]:
    with Treatment.of(store) as treatment:
        for finding in findings:
            yield treatment.carry_out(finding)


def _checked(result: Result, there: tuple[Finding, ...]) -> Result:
    """`result`, unless the very same is found again."""
    if result.outcome is Outcome.DONE and any(_is_same(result.finding, each) for each in there):
        return Result(result.finding, Outcome.FAILED, "it is found again")
    return result


@final
@dataclass(frozen=True, slots=True)
class _Owner:
    """Whether somebody has the state directory; who he is, or who let it lie."""

    runs: bool
    owner: Holder | None = None
    left_by: Holder | None = None
    unseen: tuple[Unseen, ...] = ()


def _owner(state_dir: Path) -> _Owner:
    try:
        owner = OwnerLock.holder(state_dir)
        if owner is not None:
            return _Owner(runs=True, owner=owner)
        return _Owner(runs=False, left_by=OwnerLock.last_holder(state_dir))
    except StoreLocked:
        return _Owner(runs=True)
    except StoreUnusable as error:
        return _Owner(runs=False, unseen=(Unseen(Area.OWNER, "who owns the state directory", str(error)),))


def _visit(state_dir: Path, owner: _Owner, progress: Progress | None, *, root: FileFact | None = None) -> Visit:
    """`root` is the state directory as it was before it was owned."""
    facts = Facts(state_dir, os.geteuid(), exists=False)
    try:
        if not state_dir.is_dir():
            return Visit(diagnose(facts), (), "missing", "nothing")
    except OSError as error:  # a directory above it is closed
        refused = StoreRefused(str(error), f"give uid {facts.uid} access to {state_dir}")
        return Visit(diagnose(replace(facts, exists=True, store=refused)), (), "unreadable", "nothing")
    if not _is_of_a_runtime(state_dir):  # its modes and files are somebody else's business
        return Visit(diagnose(replace(facts, exists=True)), (), "missing", "nothing")
    files = FileLook(state_dir)
    store = look_at_store(state_dir / _STORE, progress=progress)
    facts = Facts(
        state_dir,
        os.geteuid(),
        runs=owner.runs,
        left_by=owner.left_by,
        store=store.facts,
        files=tuple(root if root is not None and each.path == root.path else each for each in files.private()),
        scratch=files.scratch(runs=owner.runs),
        sockets=() if owner.runs else files.sockets(None if owner.left_by is None else owner.left_by.console),
        logs=files.logs(),
        aside=files.aside(),
        free_bytes=files.free_bytes(),
    )
    unseen = (*owner.unseen, *store.unseen)
    if store.store_id is not None:
        processes, missed = look_at_processes(state_dir / _STORE, store.store_id, store.processes, runs=owner.runs)
        facts, unseen = replace(facts, processes=processes), (*unseen, *missed)
    facts = replace(facts, unseen=(*unseen, *files.unseen))
    pid = None if owner.owner is None else owner.owner.pid
    return Visit(diagnose(facts), (), _state(facts), store.how, owner.runs, pid)


def _is_of_a_runtime(state_dir: Path) -> bool:
    """Whether something in it says that a runtime ever owned it: else the directory is a slip of whoever named it."""
    try:
        names = {each.name for each in state_dir.iterdir()}
    except OSError:
        return True  # nobody can tell; the look says what is refused
    return not names.isdisjoint({"owner", _STORE, f"{_STORE}.restored"})


def _state(facts: Facts) -> str:
    match facts.store:
        case StoreAbsent():
            return "missing"
        case StoreRefused():
            return "unreadable"
        case StoreSeen(problems=problems):
            return "damaged" if problems else "sound"
