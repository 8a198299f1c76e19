"""Looking at a tree that stands still, without running it. For one thread, between turns.

A message would have to be handled, and so would what was sent before it: looking would change what
is seen. So the supervisor's handler of state requests is called from here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import pykka

from treewarden.actors import ActorPath, ActorRef, ChildType, Reply, child_path
from treewarden.supervision_trees._supervisor import ChildRow, Describe, Description

__all__ = ["Spot", "look", "spots"]


@final
@dataclass(frozen=True, slots=True)
class Spot:
    """A place in the tree as its supervisor knows it now."""

    path: ActorPath
    row: ChildRow


def look(ref: ActorRef[Any]) -> Reply[Description]:
    """The table of the supervisor `ref`, there already; `pykka.Timeout` in it if that has none (it has not begun, or has ended)."""
    reply: Reply[Description] = Reply()
    actor = ref.incarnation().actor
    # Before its __init__ has run the actor has no table to show.
    if actor is not None and ref.is_alive() and ref.incarnation().status.value != "new":
        actor.on_system(Describe(reply))
    reply.try_fail(pykka.Timeout("it has no table now"))
    return reply


def spots(parent: ActorPath, row: ChildRow) -> Iterator[Spot]:
    """`row`, a child of `parent`, and everything below it, in start order."""
    path = child_path(parent, row.child.id)
    yield Spot(path, row)
    if row.ref is None or row.child.spec.actor_class.child_type is not ChildType.SUPERVISOR:
        return
    try:
        description: Description = look(row.ref).get()
    except pykka.Timeout:
        return
    for below in description.rows:
        yield from spots(path, below)
