"""Why a tree ended, in words: from the root's exit reason down to the child that began it."""

from typing import final

from treewarden.actors import (
    ActorPath,
    Crashed,
    Event,
    EventSink,
    ExitReason,
    SupervisorGaveUp,
    child_path,
    describe_exit,
)
from treewarden.actors.processes import ProcessFailed
from treewarden.supervision_trees._errors import StartFailed

__all__ = ["GiveUps", "nearest_failure"]


@final
class GiveUps:
    """An event sink that passes everything on and remembers which supervisors gave up, and why.

    Safe from any thread: each supervisor's entry is written before its exit is declared.
    """

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._by_path: dict[ActorPath, SupervisorGaveUp] = {}

    def emit(self, event: Event) -> None:
        """Pass `event` on."""
        if isinstance(event, SupervisorGaveUp):
            self._by_path[event.path] = event
        self._sink.emit(event)

    def explain(self, path: ActorPath, reason: ExitReason) -> str:
        """How the tree at `path` came to end with `reason`, over several lines, with the log's last ones."""
        lines = [f"the tree {path} ended: {describe_exit(reason)}"]
        while (gave_up := self._by_path.get(path)) is not None:
            path, reason = child_path(gave_up.path, gave_up.child), gave_up.reason
            lines.append(
                f"{gave_up.path} gave up: {path} needed {gave_up.restarts} restarts within {gave_up.within:g} s,"
                f" {gave_up.allowed} are allowed; it ended last with: {describe_exit(reason)}"
            )
        return "\n".join([*lines, *_log_lines(path, reason)])


def nearest_failure(path: ActorPath, reason: ExitReason) -> StartFailed:
    """The failed start nearest to its cause: the child's, not that of the supervisors above it."""
    failed = StartFailed(path, reason)
    while isinstance(failed.reason, Crashed) and isinstance(failed.reason.error, StartFailed):
        failed = failed.reason.error
    return failed


def _log_lines(path: ActorPath, reason: ExitReason) -> list[str]:
    cause = nearest_failure(path, reason)
    error = cause.reason.error if isinstance(cause.reason, Crashed) else None
    if not isinstance(error, ProcessFailed):
        return []
    if not error.log_lines:
        return [f"the log of {cause.path} is empty"]
    return [f"last lines of the log of {cause.path}:", *(f"  | {line}" for line in error.log_lines)]
