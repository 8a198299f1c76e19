"""From a definition to the child spec that a runtime starts."""

from dataclasses import replace
from typing import assert_never

from treewarden.actors import ChildSpec, ManagedProcess
from treewarden.supervision_trees._supervisor import Supervisor
from treewarden.supervision_trees.definitions._nodes import ActorNode, Node, ProcessNode, SupervisorNode, TreeDefinition

__all__ = ["child_spec"]


def child_spec(definition: TreeDefinition) -> ChildSpec:
    """The spec of the root supervisor, with those of all its children inside.

    Starts nothing. Each call answers an equal value; specs hold no state of a running tree.
    """
    return _spec(definition.root)


def _spec(node: Node) -> ChildSpec:
    return replace(
        _of_its_kind(node),
        restart=node.restart,
        significant=node.significant,
        shutdown=node.shutdown,
        start_timeout=node.start_timeout,
        needs=node.needs,
        backoff=node.backoff,
    )


def _of_its_kind(node: Node) -> ChildSpec:
    match node:
        case SupervisorNode():
            return ChildSpec.of(
                Supervisor,
                id=node.id,
                intensity=node.intensity,
                children=tuple(_spec(child) for child in node.children),
                strategy=node.strategy,
                auto_shutdown=node.auto_shutdown,
            )
        case ProcessNode():
            return ChildSpec.of(ManagedProcess, node.plan, id=node.id, intensity=node.intensity)
        case ActorNode():
            spec = ChildSpec.of(node.actor_class, id=node.id, intensity=node.intensity)
            # Not through `of`: an actor's own argument may be called `id` or `restart` too.
            return replace(spec, kwargs={**spec.kwargs, **node.args})
        case _:
            assert_never(node)
