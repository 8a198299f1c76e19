"""Records by the supervisor they are about, and which supervisors with records lie below which path.

Finding what lies below a path costs what there is, however much there is elsewhere: a runtime of many
supervisors asks once for each (docs/decisions/0017). Not thread-safe.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar, final

__all__ = ["RecordTree"]

T = TypeVar("T")


@final
class _Node(Generic[T]):
    """A path at or above which there are records."""

    __slots__ = ("below", "records")

    def __init__(self) -> None:
        self.records: dict[str, T] = {}
        self.below: dict[str, None] = {}  # paths of the nodes one step further down


@final
class RecordTree(Generic[T]):
    """What is kept of each record. Invariant: a node that is not the root has records, or nodes below it."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node[T]] = {"": _Node()}

    def put(self, supervisor: str, record: str, value: T) -> None:
        """Keep `value` for `record`, which is about `supervisor` or a child of it."""
        self._node(supervisor).records[record] = value

    def discard(self, supervisor: str, record: str) -> None:
        """Keep nothing of `record`; fine if nothing was kept."""
        node = self._nodes.get(supervisor)
        if node is not None:
            node.records.pop(record, None)
            self._prune(supervisor)

    def pop(self, supervisor: str) -> dict[str, T]:
        """What is kept about `supervisor` itself and its children, which is kept no longer."""
        node = self._nodes.get(supervisor)
        if node is None:
            return {}
        found, node.records = node.records, {}
        self._prune(supervisor)
        return found

    def steps_below(self, supervisor: str) -> tuple[str, ...]:
        """The children of `supervisor` that are supervisors with records, or have such ones below them, as paths."""
        node = self._nodes.get(supervisor)
        return () if node is None else tuple(node.below)

    def subtree(self, path: str) -> list[str]:
        """The records about `path` as a supervisor, and about everything below it."""
        return [record for place in self._places(path) for record in self._nodes[place].records]

    def pop_subtree(self, path: str) -> list[str]:
        """The same; they are kept no longer."""
        return [record for place in tuple(self._places(path)) for record in self.pop(place)]

    def _places(self, path: str) -> Iterator[str]:
        """The nodes at and below `path`, each before those below it."""
        ahead = [path] if path in self._nodes else []
        while ahead:
            place = ahead.pop()
            yield place
            ahead.extend(self._nodes[place].below)

    def _node(self, path: str) -> _Node[T]:
        """The node at `path`, made with those above it if there is none."""
        found = self._nodes.get(path)
        if found is not None:
            return found
        made = self._nodes[path] = _Node()
        step = path
        while step:
            above = step.rpartition("/")[0]
            is_known = above in self._nodes
            self._nodes.setdefault(above, _Node()).below[step] = None
            if is_known:
                break
            step = above
        return made

    def _prune(self, path: str) -> None:
        while path and not (node := self._nodes[path]).records and not node.below:
            del self._nodes[path]
            above = path.rpartition("/")[0]
            del self._nodes[above].below[path]
            path = above
