"""Where an incarnation is in its life: the states and the only steps between them."""

import enum
from collections.abc import Mapping
from typing import Final, final

__all__ = ["Status", "may_become"]


@final
class Status(enum.Enum):
    """Where an incarnation is in its life."""

    NEW = "new"  # no code of it has run
    STARTING = "starting"  # in __init__ or on_start
    RUNNING = "running"  # takes messages
    STOPPING = "stopping"  # in on_stop
    STOPPED = "stopped"  # never runs again


_NEXT: Final[Mapping[Status, frozenset[Status]]] = {
    Status.NEW: frozenset({Status.STARTING, Status.STOPPED}),  # stopped before it began
    Status.STARTING: frozenset({Status.RUNNING, Status.STOPPING, Status.STOPPED}),  # failed or declined
    Status.RUNNING: frozenset({Status.STOPPING, Status.STOPPED}),  # killed: no on_stop
    Status.STOPPING: frozenset({Status.STOPPED}),
    Status.STOPPED: frozenset(),  # a restart is a new incarnation, not a transition
}


def may_become(now: Status, following: Status) -> bool:
    """Whether `following` may come after `now`; any other step is a defect of the framework."""
    return following in _NEXT[now]
