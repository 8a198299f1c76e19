"""From a state directory to a connected console, or a message that says which of the ways it failed."""

from pathlib import Path
from typing import Final

from treewarden.storage import Holder, OwnerLock, StoreLocked
from treewarden.supervision_trees.cli._output import Failed
from treewarden.supervision_trees.console import ConsoleClient, RuntimeNotRunning, socket_path_for

__all__ = ["ANSWER_WITHIN", "CONNECT_WITHIN", "is_ending", "open_console", "state_holder"]

CONNECT_WITHIN: Final = 5.0  # seconds
ANSWER_WITHIN: Final = 10.0  # seconds, for a read


def open_console(state_dir: Path) -> ConsoleClient:
    """The console of the runtime that owns `state_dir`.

    Raises:
        RuntimeNotRunning: if no runtime does.
        Failed: if one does and nobody listens at its console: it is starting, or ending.
    """
    derived = socket_path_for(state_dir)
    try:
        return ConsoleClient.connect(derived, timeout=CONNECT_WITHIN)
    except RuntimeNotRunning:
        # Another XDG_RUNTIME_DIR than the runtime's leads elsewhere; the owner file knows where.
        holder = state_holder(state_dir)
    if holder is None:
        raise RuntimeNotRunning(state_dir)
    try:
        return ConsoleClient.connect(Path(holder.console or derived), timeout=CONNECT_WITHIN)
    except RuntimeNotRunning as error:
        raise Failed(
            f"a runtime (pid {holder.pid}) owns the state directory {state_dir}, but nobody listens at its console:"
            f" it is starting or ending; try again in a moment, or see what it is with: ps -p {holder.pid}"
        ) from error


def is_ending(state_dir: Path) -> bool:
    """Whether no runtime listens for `state_dir` any more, though one may still have to let go of it."""
    try:
        ConsoleClient.connect(socket_path_for(state_dir), timeout=CONNECT_WITHIN).close()
    except RuntimeNotRunning:
        return True
    return False


def state_holder(state_dir: Path) -> Holder | None:
    """Who owns `state_dir`; None if nobody does.

    Raises:
        Failed: if somebody does but cannot be named.
    """
    try:
        return OwnerLock.holder(state_dir)
    except StoreLocked as error:
        raise Failed(str(error)) from error
