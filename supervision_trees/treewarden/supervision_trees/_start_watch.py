"""Starting a child for an operator: until it has started, has failed to, or waits for a sibling.

A supervisor answers a start when the child has started. A child that needs a sibling may wait for
that for ever, and so would whoever asked. So the answer is waited for a moment only; then looks at
the supervisor's table tell how the start goes on.
"""

from collections.abc import Callable
from typing import Final, Protocol

import pykka

from treewarden.actors import ActorPath, ChildId, describe_exit
from treewarden.supervision_trees._children import Child, ChildState
from treewarden.supervision_trees._errors import SupervisionError
from treewarden.supervision_trees._supervisor import ChildRow

__all__ = ["NotStarted", "start_and_watch"]

LOOK_EVERY: Final = 0.1  # seconds between two looks at a child that takes its time to start


class Table(Protocol):
    """Shows the children of one supervisor."""

    def rows(self) -> tuple[ChildRow, ...]: ...


class NotStarted(SupervisionError):
    """A child was seen not to start, by looking: nobody was told why beyond what its row says."""


def start_and_watch(
    table: Table, path: ActorPath, start: Callable[[float], object], *, pause: Callable[[float], None]
) -> None:
    """Call `start(timeout)`, a call that starts the child at `path`, and return once its start goes on without us.

    That is when it has started, declined, or waits for a sibling it needs.

    Raises:
        SupervisionError: the call was refused, or the child did not start.
    """
    child = ChildId(path.rpartition("/")[2])
    before = _find(table, child)
    try:
        start(LOOK_EVERY)
    except pykka.Timeout:  # the call goes on; from here on only looks tell
        while _is_starting(path, _find(table, child), before):
            pause(LOOK_EVERY)


def _find(table: Table, child: ChildId) -> Child | None:
    return next((row.child for row in table.rows() if row.child.id == child), None)


def _is_starting(path: ActorPath, now: Child | None, before: Child | None) -> bool:
    """Whether the start that was asked for at `before` is neither over nor held up by a sibling.

    Raises:
        NotStarted: it is over, and has failed.
    """
    if now is None:
        raise NotStarted(f"{path} did not start and was forgotten, since it is temporary; see `treewarden events`")
    # Each exit has a reason of its own; a child that declines to start keeps the reason of an earlier life.
    is_new_exit = now.last_exit is not None and (before is None or now.last_exit is not before.last_exit)
    if now.state in (ChildState.STOPPED, ChildState.FAILED) and now.last_exit is not None and is_new_exit:
        raise NotStarted(f"{path} did not start: {describe_exit(now.last_exit)}")
    return now.state is ChildState.STARTING or (now.state is ChildState.RESTARTING and now.live)
