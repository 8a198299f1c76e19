"""How a running tree becomes frozen views: ask each supervisor for its table, with one deadline.

A supervisor that does not answer in time is shown as `silent`, and what lies below it is not
shown; everybody else is.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, final

import pykka

from treewarden.actors import ActorDead, ActorPath, ActorRef, ChildId, ChildType, Reply, child_path, describe_exit
from treewarden.actors.processes import ManagedProcess, ProcessStatus
from treewarden.supervision_trees._children import Child, ChildState
from treewarden.supervision_trees._inspect import ActorView
from treewarden.supervision_trees._intensity import RestartWindow
from treewarden.supervision_trees._supervisor import ChildRow, Describe, Description

__all__ = ["TreeViewer", "describe_supervisor"]

DEADLINE: Final = 2.0  # seconds for the whole tree


def describe_supervisor(ref: ActorRef[Any], *, timeout: float, child: ChildId | None = None) -> Description:
    """The table of the supervisor `ref`; with `child`, only what it has of that one, however many there are.

    Raises:
        pykka.Timeout: if it did not answer within `timeout` seconds.
        ActorDead: if it has ended.
    """
    description: Description = _ask(ref, child).get(timeout=timeout)
    return description


def _ask(ref: ActorRef[Any], child: ChildId | None = None) -> Reply[Description]:
    reply: Reply[Description] = Reply()
    ref.incarnation().tell_system(Describe(reply, child))
    return reply


@final
class TreeViewer:
    """Takes one view of a tree. For one use, on one thread."""

    def __init__(
        self, monotonic: Callable[[], float], *, ask: Callable[[ActorRef[Any]], Reply[Description]] | None = None
    ) -> None:
        """`ask` requests a supervisor's table; without it, by a message in its system lane."""
        self._monotonic, self._ask = monotonic, _ask if ask is None else ask
        self._deadline = monotonic() + DEADLINE

    def view(self, parent: ActorPath, row: ChildRow) -> ActorView:
        """`row` and everything below it."""
        return self._view(parent, row, self._request(row))

    def _request(self, row: ChildRow) -> Reply[Description] | None:
        if row.ref is None or row.child.spec.actor_class.child_type is not ChildType.SUPERVISOR:
            return None
        return self._ask(row.ref)

    def _view(self, parent: ActorPath, row: ChildRow, asked: Reply[Description] | None) -> ActorView:
        path = child_path(parent, row.child.id)
        if asked is None:
            return _leaf(path, row.child, row.ref, self._monotonic())
        try:
            found = asked.get(timeout=max(self._deadline - self._monotonic(), 0.0))
        except (pykka.Timeout, ActorDead):
            return replace(_any(path, row.child, self._monotonic()), state="silent")
        # All supervisors of a level are asked before any is waited for, so a silent one costs once.
        requests = [(below, self._request(below)) for below in found.rows]
        children = tuple(self._view(path, below, request) for below, request in requests)
        return replace(
            _any(path, row.child, found.now),
            intensity=_intensity(found.window, found.window_time),
            children=children,
            strategy=found.settings.strategy.value,
        )


def _leaf(path: ActorPath, child: Child, ref: ActorRef[Any] | None, now: float) -> ActorView:
    status = None if ref is None else ref.status
    view = _any(path, child, now)
    if not isinstance(status, ProcessStatus):
        return view
    return replace(
        view,
        pid=status.pid,
        adopted=status.adopted,
        command=status.command,
        log=status.log,
        health=status.health,
    )


def _any(path: ActorPath, child: Child, now: float) -> ActorView:
    return ActorView(
        path=path,
        kind=_kind(child),
        state=child.state.value,
        ready=child.ready,
        generation=child.generation,
        restarts=child.restarts,
        uptime=None if not child.live or child.started_at is None else max(now - child.started_at, 0.0),
        last_exit=None if child.last_exit is None else describe_exit(child.last_exit),
        waiting_for=child.spec.needs if child.state is ChildState.WAITING else (),
        retry_in=None if child.retry_at is None else max(child.retry_at - now, 0.0),
        pid=None,
        adopted=False,
        command=(),
        log=None,
        health=None,
        intensity=None,
        children=(),
    )


def _kind(child: Child) -> str:
    if issubclass(child.spec.actor_class, ManagedProcess):
        return "process"
    return "supervisor" if child.spec.actor_class.child_type is ChildType.SUPERVISOR else "actor"


def _intensity(window: RestartWindow, now: float) -> str:
    limit = window.limit
    return f"{window.used(now)} of {limit.restarts} restarts used in the last {limit.within:g} s"
