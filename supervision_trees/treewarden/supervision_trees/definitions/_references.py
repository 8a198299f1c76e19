"""Where references stand in a tree, what they mean, and what they make their holders need.

A reference is looked up among the siblings of its process, then among the siblings of each
ancestor, so the nearest child of that name is meant. Its target must be up before it can be
filled in. Therefore the child *at the target's level* that holds the reference (the process
itself, or the ancestor it is in) needs the target, as if `needs` said so; a cycle through
references is then a cycle in `needs` and is found as one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, cast, final

from treewarden.actors import ChildId
from treewarden.supervision_trees.definitions._groups import Group, groups, processes
from treewarden.supervision_trees.definitions._mistakes import Finding, Location
from treewarden.supervision_trees.definitions._schema import (
    ActorFields,
    Child,
    ProbeFields,
    ProcessFields,
    TreeFields,
)
from treewarden.supervision_trees.definitions._templates import (
    REFERENCE_RULE,
    Fact,
    Malformed,
    Reference,
    parts_of,
)
from treewarden.supervision_trees.definitions._wording import alternatives, clipped, closest

__all__ = ["Needs", "fact_of", "implied_needs", "reference_findings", "texts_of"]

Needs = Mapping[Location, tuple[ChildId, ...]]
"""For a child's location, the siblings it needs because of references in it."""

_OFFERED: Final[Mapping[str, tuple[str, ...]]] = {"process": ("pid", "log"), "actor": (), "supervisor": ()}
"""The facts each kind of child makes known."""


@final
@dataclass(frozen=True, slots=True)
class _Use:
    """A reference that stands at `location` and means `target`, a child of `group`."""

    location: Location
    reference: Reference
    group: Group
    target: Child
    target_location: Location

    @property
    def holder(self) -> Location:
        """The child at the target's level that cannot start before the target."""
        return self.group.holder_of(self.location)


def texts_of(process: ProcessFields, location: Location) -> Iterator[tuple[Location, str]]:
    """Every text of a process that may hold references, with its location."""
    if isinstance(process.command, str):
        yield (*location, "command"), process.command
    else:
        yield from (((*location, "command", index), text) for index, text in enumerate(process.command))
    yield (*location, "cwd"), process.cwd
    for name, value in process.env.items():
        if isinstance(value, str):
            yield (*location, "env", name), value
    for purpose, probe in (("ready", process.ready), ("live", process.live)):
        if probe is not None:
            yield from _probe_texts(probe, (*location, purpose))


def _probe_texts(probe: ProbeFields, location: Location) -> Iterator[tuple[Location, str]]:
    for key, text in (("http", probe.http), ("tcp", probe.tcp)):
        if text is not None:
            yield (*location, key), text
    yield from (((*location, "command", index), text) for index, text in enumerate(probe.command or ()))


def reference_findings(tree: TreeFields) -> Iterator[Finding]:
    """Every reference that cannot be filled in, or stands where none can."""
    for group in groups(tree):
        for location, process in processes(group):
            for place, text in texts_of(process, location):
                for part in parts_of(text):
                    if not isinstance(part, str):
                        yield from _wrong(part, place, group)
        for location, child in group.children():
            if isinstance(child, ActorFields):
                yield from _in_arguments(child.args, (*location, "args"))


def _wrong(part: Reference | Malformed, place: Location, group: Group) -> Iterator[Finding]:
    if isinstance(part, Malformed):
        yield Finding(place, clipped(part.text), REFERENCE_RULE)
        return
    use = _use(part, place, group)
    if use is None:
        names = [name for around in group.outward() for name in around.named]
        near = closest(part.child, names)
        hint = f"{near}, " if near else ""
        ids = tuple(around.every_id() for around in group.outward())
        yield Finding(
            place, str(part), f"{hint}a sibling or a sibling of an ancestor: {alternatives(names) or 'none'}", ids
        )
        return
    offered = _OFFERED[use.target.kind]
    rests_on = ((*use.target_location, "id"), (*use.target_location, "kind"))
    if use.holder == use.target_location and part.field in offered:
        yield Finding(place, f"{part}, which is known only after this process has started", "another child", rests_on)
    elif part.field not in offered:
        fields = alternatives(offered) or "nothing"
        yield Finding(place, str(part), f"a field that a {use.target.kind} offers: {fields}", rests_on)


def _in_arguments(value: object, place: Location) -> Iterator[Finding]:
    """References in an actor's arguments, which are made once and cannot be filled at each start."""
    if isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            yield from _in_arguments(item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[object]", value)):
            yield from _in_arguments(item, (*place, index))
    elif isinstance(value, str):
        for part in parts_of(value):
            if not isinstance(part, str):
                text = str(part) if isinstance(part, Reference) else part.text
                yield Finding(
                    place,
                    clipped(text),
                    "plain text ($${ for a literal ${): only command, cwd, env and probes of a process hold references",
                )


def implied_needs(tree: TreeFields) -> Needs:
    """What children need because of references, at whatever depth in them, in the order of the file."""
    needs: dict[Location, dict[ChildId, None]] = {}
    for group in groups(tree):
        for location, process in processes(group):
            for place, text in texts_of(process, location):
                for part in parts_of(text):
                    use = _use(part, place, group) if isinstance(part, Reference) else None
                    if use is not None and use.holder != use.target_location:
                        needs.setdefault(use.holder, {})[use.target.id] = None
    return {location: tuple(names) for location, names in needs.items()}


def fact_of(reference: Reference, group: Group) -> Fact:
    """The fact that a checked reference in a process of `group` stands for."""
    use = _use(reference, group.location, group)
    assert use is not None, f"unchecked reference: {reference}"
    return Fact(use.group.path_of(use.target.id), reference.field)


def _use(reference: Reference, place: Location, group: Group) -> _Use | None:
    for around in group.outward():
        found = around.named.get(reference.child)
        if found is not None:
            location, child = found
            return _Use(place, reference, around, child, location)
    return None
