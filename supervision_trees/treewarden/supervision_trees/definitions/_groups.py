"""A tree seen as groups: a supervisor with its children, and the groups around it.

`needs` and references look only at siblings and at the siblings of one's ancestors, so a group
and the ones above it are all that a check has to see. Places are kept beside the values, since
the values themselves do not know where they stand.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

from treewarden.actors import ActorPath, ChildId, child_path
from treewarden.supervision_trees.definitions._mistakes import EVERY, Location
from treewarden.supervision_trees.definitions._schema import Child, ProcessFields, SupervisorFields, TreeFields

__all__ = ["Group", "groups", "processes"]


@final
@dataclass(frozen=True, slots=True)
class Group:
    """The children of one supervisor; `above` is the group that this supervisor belongs to."""

    owner: TreeFields | SupervisorFields
    location: Location
    path: ActorPath
    above: "Group | None"
    named: Mapping[str, tuple[Location, Child]]
    """Each child by its id; of several with one id, which is a mistake of its own, the first."""

    @classmethod
    def of(
        cls, owner: TreeFields | SupervisorFields, location: Location, path: ActorPath, above: "Group | None" = None
    ) -> "Group":
        """The group of `owner`, which stands at `location`."""
        named: dict[str, tuple[Location, Child]] = {}
        for index, child in enumerate(owner.children):
            named.setdefault(child.id, ((*location, "children", index), child))
        return cls(owner, location, path, above, named)

    def children(self) -> Iterator[tuple[Location, Child]]:
        """Each child with its location, in the order of the file."""
        for index, child in enumerate(self.owner.children):
            yield (*self.location, "children", index), child

    def path_of(self, child: ChildId) -> ActorPath:
        """The path of a child of this group."""
        return child_path(self.path, child)

    def holder_of(self, location: Location) -> Location:
        """The child of this group that is at `location` or contains it."""
        return location[: len(self.location) + 2]

    def every_id(self) -> Location:
        """The ids of all children, as a dependency of a finding."""
        return (*self.location, "children", EVERY, "id")

    def outward(self) -> Iterator["Group"]:
        """This group, the one around it, and so on to the root's."""
        group: Group | None = self
        while group is not None:
            yield group
            group = group.above


def groups(tree: TreeFields) -> Iterator[Group]:
    """Every group of the tree, outer ones before inner ones, in the order of the file."""
    pending = [Group.of(tree, (), child_path(ActorPath(""), tree.name))]
    while pending:
        group = pending.pop()
        yield group
        inner = [
            Group.of(child, location, group.path_of(child.id), group)
            for location, child in group.children()
            if isinstance(child, SupervisorFields)
        ]
        pending.extend(reversed(inner))


def processes(group: Group) -> Iterator[tuple[Location, ProcessFields]]:
    """The processes among the children of `group`."""
    for location, child in group.children():
        if isinstance(child, ProcessFields):
            yield location, child
