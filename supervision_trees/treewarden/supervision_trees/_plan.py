"""What must be done to make a living tree what a definition says: a pure comparison of the two.

Order of the steps: all stops in the whole tree, in reverse start order; then all changes of what
supervisors go by, inner ones before outer ones; then all starts and restarts, in start order. So
a child that moves from one supervisor to another has let go of what it held before it is started
again, and a start meets only settings that are in force.

Rules:
- What matters only at a start (class, arguments, a process's plan) restarts the child. Policies
  change in place. A supervisor is never restarted: its children and settings change in place, and
  so does its spec in its parent's table, from which a later restart of it would begin.
- Another kind of child at the same id is another child: the old one goes, be it at rest, and the
  new one is started.
- What is at rest (stopped, failed, or a temporary child that has ended) is not started, changed
  or not, and the plan says so. A child that was added and never started, or whose last start
  failed, was not left so on purpose: it is started.
- A child that needs one which is restarted is not restarted with it, under no strategy.

A plan compares values of one moment and may be outdated in the next; whoever carries it out says so.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias, assert_never, final

from treewarden.actors import ActorPath, ChildId, ChildSpec, Generation, Intensity, Restart, child_path, is_abnormal
from treewarden.supervision_trees._children import Child, ChildState
from treewarden.supervision_trees._difference import (
    Group,
    group_of,
    kind_of,
    policy_changes,
    same_group,
    same_spec,
    settings_changes,
    start_changes,
)
from treewarden.supervision_trees._strategy import AutoShutdown, Strategy, SupervisorSettings

__all__ = [
    "Change",
    "Forget",
    "Left",
    "LiveChild",
    "LiveSupervisor",
    "Plan",
    "RestartChanged",
    "Start",
    "Step",
    "Stop",
    "live_child",
    "plan_changes",
]

NOT_IN_THE_FILE: Final = "not in the file"
_AT_REST: Final = {
    ChildState.STOPPED: "it is stopped and stays so",
    ChildState.FAILED: "it has failed and stays so",
    ChildState.STOPPING: "it is being stopped and stays so",
}


# The living tree


@final
@dataclass(frozen=True, slots=True)
class LiveChild:
    """A child as its supervisor knows it. `below` is what a living plain `Supervisor` knows in its turn."""

    spec: ChildSpec
    state: ChildState
    generation: Generation
    running: ChildSpec | None = None
    """What its living incarnation was started from, which a change since has not touched; None if none lives."""
    never_started: bool = False
    """It is at rest because it was only added, or because its last start failed: nobody left it so on purpose."""
    below: "LiveSupervisor | None" = None


@final
@dataclass(frozen=True, slots=True)
class LiveSupervisor:
    """A living supervisor: what it goes by, and its children in start order."""

    path: ActorPath
    settings: SupervisorSettings
    children: tuple[LiveChild, ...]
    declared: tuple[ChildSpec, ...] = ()
    """The children of the spec that it would be started from again: a temporary one that is missing has ended."""


def live_child(child: Child, running: ChildSpec | None, below: LiveSupervisor | None) -> LiveChild:
    """What a plan needs to know of a row in a supervisor's table."""
    failed = not child.started and child.last_exit is not None and is_abnormal(child.last_exit)
    never_started = child.state is ChildState.STOPPED and (child.attempts == 0 or failed)
    return LiveChild(child.spec, child.state, child.generation, running, never_started, below)


# Steps


@final
@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a child, and what is below it."""

    path: ActorPath
    why: str


@final
@dataclass(frozen=True, slots=True)
class Forget:
    """Have a stopped child's supervisor forget its spec."""

    path: ActorPath


@final
@dataclass(frozen=True, slots=True)
class Change:
    """Give the living supervisor at `path` other settings, other specs of its children, or both.

    None leaves a setting as it is; `children` are all that it shall know, in start order. `what`
    has a line for each difference.
    """

    path: ActorPath
    strategy: Strategy | None
    intensity: Intensity | None
    auto_shutdown: AutoShutdown | None
    children: tuple[ChildSpec, ...] | None
    what: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Start:
    """Start a child that its supervisor knows by then and that does not run."""

    path: ActorPath
    why: str


@final
@dataclass(frozen=True, slots=True)
class RestartChanged:
    """Stop a running child and start it from its new spec; `why` names the fields."""

    path: ActorPath
    why: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Left:
    """No step: a child that is at rest and is not started."""

    path: ActorPath
    why: str


Step: TypeAlias = Stop | Forget | Change | Start | RestartChanged


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in their order, and what is left as it is though the file has it."""

    root: ActorPath
    steps: tuple[Step, ...]
    left: tuple[Left, ...] = ()


def plan_changes(live: LiveSupervisor, wanted: ChildSpec) -> Plan:
    """What makes `live` what `wanted`, the spec of a plain supervisor of the same name, says."""
    assert live.path == child_path(ActorPath(""), wanted.id), f"{wanted.id} is another tree than {live.path}"
    group = _group(wanted)
    steps = (*_stops(live, group), *_changes(live, group), *_starts(live, group))
    return Plan(live.path, steps, tuple(_left(live, group)))


class _Fate(Enum):
    """What becomes of a child that the file has."""

    NEW = "new"
    ENDED = "it is temporary, has ended and is not started again"
    AT_REST = "at rest"
    DUE = "not started yet"
    REPLACED = "replaced"
    RESTARTED = "restarted"
    KEPT = "kept"


def _fate(child: LiveChild | None, spec: ChildSpec, declared: Mapping[ChildId, ChildSpec]) -> _Fate:
    ended_once = spec.restart is Restart.TEMPORARY and spec.id in declared
    if child is None:
        return _Fate.ENDED if ended_once else _Fate.NEW
    if child.never_started and not ended_once:
        return _Fate.DUE
    if kind_of(child.spec) != kind_of(spec):
        return _Fate.REPLACED
    if child.state in _AT_REST:
        return _Fate.AT_REST
    if group_of(spec) is None and child.running is not None and start_changes(child.running, spec):
        # Stopping a temporary child makes its supervisor forget it, so it cannot be restarted in its place.
        return _Fate.REPLACED if spec.restart is Restart.TEMPORARY else _Fate.RESTARTED
    return _Fate.KEPT


@final
@dataclass(frozen=True, slots=True)
class _Member:
    """A child that the file has, in its place."""

    path: ActorPath
    spec: ChildSpec
    child: LiveChild | None
    fate: _Fate
    is_declared: bool
    """Its supervisor's spec has the very same child."""

    def inner(self) -> tuple[LiveSupervisor, Group] | None:
        """Both sides of a supervisor that lives on."""
        group = group_of(self.spec)
        if self.fate is not _Fate.KEPT or self.child is None or self.child.below is None or group is None:
            return None
        return self.child.below, group

    def why(self) -> tuple[str, ...]:
        """The names of what makes it start again."""
        assert self.child is not None
        old = self.child.running or self.child.spec
        if kind_of(self.child.spec) != kind_of(self.spec):
            return (f"kind {kind_of(self.child.spec)} -> {kind_of(self.spec)}",)
        return start_changes(old, self.spec)


def _members(live: LiveSupervisor, group: Group) -> tuple[_Member, ...]:
    children = {child.spec.id: child for child in live.children}
    declared = {spec.id: spec for spec in live.declared}
    return tuple(
        _Member(
            child_path(live.path, spec.id),
            spec,
            child := children.get(spec.id),
            _fate(child, spec, declared),
            spec.id in declared and same_spec(declared[spec.id], spec),
        )
        for spec in group.children
    )


def _stops(live: LiveSupervisor, group: Group) -> Iterator[Step]:
    members = {member.spec.id: member for member in _members(live, group)}
    for child in reversed(live.children):
        path = child_path(live.path, child.spec.id)
        member = members.get(child.spec.id)
        if member is None or member.fate is _Fate.REPLACED:
            if child.state not in (ChildState.STOPPED, ChildState.FAILED):
                why = NOT_IN_THE_FILE if member is None else f"another one takes its place: {', '.join(member.why())}"
                yield Stop(path, why)
            yield Forget(path)
        elif (inner := member.inner()) is not None:
            yield from _stops(*inner)


def _changes(live: LiveSupervisor, group: Group) -> Iterator[Step]:
    members = _members(live, group)
    # Inner ones first: the spec in the outer table is what tells a later plan which temporary children have
    # ended, so it must not name one that an interrupted run never added.
    for member in members:
        if (inner := member.inner()) is not None:
            yield from _changes(*inner)
    settings = tuple(map(str, settings_changes(live.settings, group.settings)))
    specs = tuple(_spec_changes(live, members))
    if settings or specs:
        old, new = live.settings, group.settings
        yield Change(
            live.path,
            strategy=None if new.strategy is old.strategy else new.strategy,
            intensity=None if new.intensity == old.intensity else new.intensity,
            auto_shutdown=None if new.auto_shutdown is old.auto_shutdown else new.auto_shutdown,
            children=_known(members) if specs else None,
            what=(*settings, *specs),
        )


def _spec_changes(live: LiveSupervisor, members: tuple[_Member, ...]) -> Iterator[str]:
    for member in members:
        match member.fate:
            case _Fate.NEW | _Fate.REPLACED:
                yield f"{member.spec.id}: new"
            case _Fate.ENDED:
                if not member.is_declared:
                    yield f"{member.spec.id}: changed, known again but not started"
            case _Fate.AT_REST | _Fate.DUE | _Fate.RESTARTED | _Fate.KEPT:
                assert member.child is not None
                if not same_spec(member.child.spec, member.spec):
                    yield f"{member.spec.id}: {_said(member.child.spec, member.spec)}"
            case _:
                assert_never(member.fate)
    stay = {member.spec.id for member in members if member.fate not in (_Fate.NEW, _Fate.REPLACED)}
    order = [child.spec.id for child in live.children if child.spec.id in stay]
    wanted = [member.spec.id for member in members if member.child is not None and member.spec.id in stay]
    if order != wanted:
        yield f"start order: {', '.join(wanted)}"


def _known(members: tuple[_Member, ...]) -> tuple[ChildSpec, ...]:
    """The specs that the supervisor shall have; a temporary child that has ended only if a sibling names it."""
    named = {need for member in members for need in member.spec.needs}
    return tuple(
        member.spec
        for member in members
        if member.fate is not _Fate.ENDED or not member.is_declared or member.spec.id in named
    )


def _said(old: ChildSpec, new: ChildSpec) -> str:
    """The difference of two specs that differ."""
    parts = list(map(str, policy_changes(old, new)))
    if kind_of(old) != kind_of(new):
        parts.append(f"kind {kind_of(old)} -> {kind_of(new)}")
    elif group_of(new) is not None:
        parts += () if same_group(_group(old), _group(new)) else ("what it begins with when it is started again",)
    else:
        parts += start_changes(old, new)
    return ", ".join(parts)


def _starts(live: LiveSupervisor, group: Group) -> Iterator[Step]:
    for member in _members(live, group):
        match member.fate:
            case _Fate.NEW | _Fate.DUE:
                yield Start(member.path, member.fate.value)
            case _Fate.REPLACED:
                yield Start(member.path, f"in place of the old one: {', '.join(member.why())}")
            case _Fate.RESTARTED:
                yield RestartChanged(member.path, member.why())
            case _Fate.KEPT:
                if (inner := member.inner()) is not None:
                    yield from _starts(*inner)
            case _Fate.ENDED | _Fate.AT_REST:
                pass
            case _:
                assert_never(member.fate)


def _left(live: LiveSupervisor, group: Group) -> Iterator[Left]:
    for member in _members(live, group):
        if member.fate is _Fate.ENDED:
            yield Left(member.path, member.fate.value)
        elif member.fate is _Fate.AT_REST:
            assert member.child is not None
            yield Left(member.path, _AT_REST[member.child.state])
        elif (inner := member.inner()) is not None:
            yield from _left(*inner)


def _group(spec: ChildSpec) -> Group:
    group = group_of(spec)
    assert group is not None, f"{spec.id} is no plain supervisor"
    return group
