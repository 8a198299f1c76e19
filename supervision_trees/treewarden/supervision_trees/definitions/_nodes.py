"""A checked definition as frozen values: `TreeDefinition` and its three kinds of node.

Everything a supervisor needs is in the nodes, defaults included; nothing here reads the file
again. Values are equal if they were read from equal text, and safe from any thread.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, final

from treewarden.actors import ActorPath, Backoff, ChildId, Intensity, ProcessSpec, Restart, ShutdownTime, child_path
from treewarden.supervision_trees._strategy import AutoShutdown, Strategy
from treewarden.supervision_trees.definitions._frozen import Argument
from treewarden.supervision_trees.definitions._process_template import ProcessTemplate

if TYPE_CHECKING:
    from treewarden.actors import Actor

__all__ = ["ActorNode", "Node", "ProcessNode", "SupervisorNode", "TreeDefinition"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    """What every child has; the meanings are those of `ChildSpec`."""

    id: ChildId
    restart: Restart
    significant: bool
    shutdown: ShutdownTime
    start_timeout: float
    needs: tuple[ChildId, ...]
    """Siblings that must be ready first: those the file lists, then those that references add."""
    backoff: Backoff | None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessNode(_Child):
    """An OS process; `plan` is a template if it has references, else the spec itself."""

    intensity: Intensity | None
    plan: ProcessSpec | ProcessTemplate


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ActorNode(_Child):
    """An actor class, imported and known to take `args` as keyword arguments."""

    intensity: Intensity | None
    class_path: str
    actor_class: "type[Actor]"
    args: Mapping[str, Argument]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorNode(_Child):
    """A supervisor; `intensity` is the limit it keeps for its children."""

    strategy: Strategy
    intensity: Intensity
    auto_shutdown: AutoShutdown
    children: "tuple[Node, ...]"


Node: TypeAlias = SupervisorNode | ProcessNode | ActorNode


@final
@dataclass(frozen=True, slots=True)
class TreeDefinition:
    """A tree that may be started: every check has passed.

    `source` is the file it was read from, if any; `text_digest` is the SHA-256 of its text, in
    hex, so that two runs can tell whether the file has changed.
    """

    name: ChildId
    source: Path | None
    text_digest: str
    root: SupervisorNode

    def processes(self) -> tuple[ActorPath, ...]:
        """The paths of all processes, in start order."""
        return tuple(_process_paths(self.root, child_path(ActorPath(""), self.name)))


def _process_paths(supervisor: SupervisorNode, path: ActorPath) -> Iterator[ActorPath]:
    for child in supervisor.children:
        here = child_path(path, child.id)
        match child:
            case ProcessNode():
                yield here
            case SupervisorNode():
                yield from _process_paths(child, here)
            case ActorNode():
                pass
