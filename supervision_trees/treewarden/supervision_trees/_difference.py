"""Where two child specs differ, in the words of a definition file. Pure.

What matters only at a child's start (its class and arguments; for a process its whole plan) is
named, never shown: arguments and variables may hold secrets. Policies are shown old and new.
Equality is stricter than Python's (1, 1.0 and true are three values) and knows that NaN is NaN, so
that a file compared with itself never differs.
"""

import enum
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Final, TypeAlias, assert_never, cast, final

from treewarden.actors import Backoff, ChildSpec, FromEnv, Intensity, ManagedProcess, ProcessSpec
from treewarden.supervision_trees._strategy import SupervisorSettings
from treewarden.supervision_trees._supervisor import Supervisor
from treewarden.supervision_trees.definitions import ProcessTemplate

__all__ = [
    "FieldChange",
    "Group",
    "group_of",
    "kind_of",
    "policy_changes",
    "same_group",
    "same_spec",
    "settings_changes",
    "start_changes",
]

_POLICY: Final = ("restart", "significant", "shutdown", "start_timeout", "needs", "backoff", "intensity")

_Plan: TypeAlias = ProcessSpec | ProcessTemplate


@final
@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field, and what it was and will be in words."""

    field: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.field} {self.old} -> {self.new}"


@final
@dataclass(frozen=True, slots=True)
class Group:
    """What the spec of a plain `Supervisor` says of it: its settings, and its children in start order."""

    settings: SupervisorSettings
    children: tuple[ChildSpec, ...]


def group_of(spec: ChildSpec) -> Group | None:
    """The group that `spec` starts; None if it is no plain `Supervisor`, whose children cannot be known from outside."""
    if spec.actor_class is not Supervisor:
        return None
    named = {field.name: spec.kwargs[field.name] for field in fields(SupervisorSettings) if field.name in spec.kwargs}
    return Group(SupervisorSettings(**named), Supervisor.declared_children(spec))


def kind_of(spec: ChildSpec) -> str:
    """`supervisor`, `process` or `actor`; a child keeps its place in a living tree only while it keeps its kind."""
    if spec.actor_class is Supervisor:
        return "supervisor"
    return "process" if issubclass(spec.actor_class, ManagedProcess) else "actor"


def policy_changes(old: ChildSpec, new: ChildSpec) -> tuple[FieldChange, ...]:
    """The fields by which a supervisor treats the child: they can change while it runs."""
    return tuple(_changes(old, new, _POLICY))


def settings_changes(old: SupervisorSettings, new: SupervisorSettings) -> tuple[FieldChange, ...]:
    """The fields of a supervisor's own settings."""
    return tuple(_changes(old, new, tuple(field.name for field in fields(SupervisorSettings))))


def start_changes(old: ChildSpec, new: ChildSpec) -> tuple[str, ...]:
    """The names of what differs between the incarnations that two specs start; not for plain supervisors."""
    names: list[str] = []
    if old.actor_class is not new.actor_class:
        names.append("class")
    before, after = _plan_of(old), _plan_of(new)
    if before is not None and after is not None:
        names.extend(_process_changes(before, after))
    else:
        if not _same(old.args, new.args):
            names.append("args")
        names.extend(f"args.{name}" for name in _keys_that_differ(old.kwargs, new.kwargs))
    return tuple(names)


def same_spec(old: ChildSpec, new: ChildSpec) -> bool:
    """Whether the two say the same, however they are spelt: a default that is written out changes nothing."""
    before, after = group_of(old), group_of(new)
    if old.id != new.id or policy_changes(old, new):
        return False
    if before is not None and after is not None:
        return same_group(before, after)
    return not start_changes(old, new)


def same_group(old: Group, new: Group) -> bool:
    """Whether both begin with the same settings and the same children in the same order."""
    return (
        old.settings == new.settings
        and len(old.children) == len(new.children)
        and all(map(same_spec, old.children, new.children))
    )


def _changes(old: object, new: object, names: tuple[str, ...]) -> Iterator[FieldChange]:
    for name in names:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield FieldChange(name, _said(before), _said(after))


def _said(value: object) -> str:
    match value:
        case None | ():
            return "none"
        case bool():
            return "true" if value else "false"
        case enum.Enum():
            return str(value.value)
        case float() | int():
            return "infinity" if math.isinf(value) else f"{value:g}s"
        case tuple():
            return ", ".join(map(str, cast("tuple[object, ...]", value)))
        case Intensity(restarts, within):
            return f"{restarts} in {within:g}s"
        case Backoff():
            reset = "" if value.reset_after is None else f", reset_after {value.reset_after:g}s"
            return f"{value.initial:g}s to {value.max:g}s, factor {value.factor:g}, jitter {value.jitter:g}{reset}"
        case _:
            raise AssertionError(f"a policy of an unknown type: {value!r}")


def _plan_of(spec: ChildSpec) -> _Plan | None:
    """The plan of a process, where it is one of those that say what they consist of."""
    plan: object = spec.kwargs.get("plan", spec.args[0] if spec.args else None)
    if issubclass(spec.actor_class, ManagedProcess) and isinstance(plan, ProcessSpec | ProcessTemplate):
        return plan
    return None


def _process_changes(old: _Plan, new: _Plan) -> Iterator[str]:
    if old == new:
        return
    before, after = _written(old), _written(new)
    names = [name for name in before if before[name] != after[name]]
    names += [f"env.{name}" for name in _keys_that_differ(_variables(old), _variables(new))]
    for name in ("ready", "live"):
        one, other = getattr(old, name), getattr(new, name)
        # A check with references and one without are of two classes, which cannot be compared.
        if one != other and (type(old) is type(new) or one is None or other is None):
            names.append(name)
    yield from names or ("references",)


def _written(plan: _Plan) -> dict[str, object]:
    """What a plan says beyond its variables and checks; text that refers to nothing is plain text in both classes."""
    common: dict[str, object] = {"ports": plan.ports, "success_codes": plan.success_codes}
    match plan:
        case ProcessSpec():
            return {"command": plan.command, "cwd": plan.cwd, **common}
        case ProcessTemplate():
            return {"command": tuple(map(_text, plan.command)), "cwd": _text(plan.cwd), **common}
        case _:
            assert_never(plan)


def _variables(plan: _Plan) -> dict[str, object]:
    return {name: value if isinstance(value, str | FromEnv) else _text(value) for name, value in plan.env.items()}


def _text(template: tuple[object, ...]) -> object:
    return "".join(map(str, template)) if all(isinstance(part, str) for part in template) else template


def _keys_that_differ(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    return [
        name
        for name in dict.fromkeys((*old, *new))
        if name not in old or name not in new or not _same(old[name], new[name])
    ]


def _same(old: object, new: object) -> bool:
    match old, new:
        case ((tuple() | list()), (tuple() | list())):
            before, after = cast("tuple[object, ...]", old), cast("tuple[object, ...]", new)
            return len(before) == len(after) and all(map(_same, before, after))
        case Mapping(), Mapping():
            return not _keys_that_differ(cast("Mapping[str, object]", old), cast("Mapping[str, object]", new))
        case float(), float():
            return old == new or (math.isnan(old) and math.isnan(new))
        case _:
            return type(old) is type(new) and old == new
