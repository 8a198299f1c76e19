"""Errors of the supervision layer: OTP's error returns as typed exceptions (supervision.md A.10)."""

from typing import Any

from treewarden.actors import ActorPath, ActorRef, ExitReason, TreewardenError, describe_exit

__all__ = [
    "AlreadyPresent",
    "AlreadyStarted",
    "InvalidSupervisor",
    "NoPartitions",
    "NotApplicable",
    "NotFound",
    "StartFailed",
    "StillRestarting",
    "StillRunning",
    "SupervisionError",
    "TaskExit",
    "TooManyChildren",
]


class SupervisionError(TreewardenError):
    """A supervisor refused a call; nothing changed."""


class AlreadyStarted(SupervisionError):
    """A child of this id runs; `ref` is its incarnation. `AlreadyPresent`: it is known but does not run."""

    def __init__(self, path: ActorPath, ref: "ActorRef[Any]") -> None:
        super().__init__(f"{path} is running already (generation {ref.generation})")
        self.path, self.ref = path, ref


class AlreadyPresent(SupervisionError):
    """A child of this id is known: stopped, failed, starting or restarting. `restart_child` may be what you want."""

    def __init__(self, path: ActorPath, state: str) -> None:
        super().__init__(f"{path} is known already and is {state}; a stopped or failed child can be restarted")
        self.path, self.state = path, state


class NotFound(SupervisionError):
    """The supervisor has no child of this id; with a `generation`, none that a ref of that generation means."""

    def __init__(self, path: ActorPath, known: tuple[str, ...], generation: int | None = None) -> None:
        older = "" if generation is None else f" of generation {generation} (any more)"
        super().__init__(f"there is no {path}{older}; its supervisor has {', '.join(known) or 'no children'}")
        self.path, self.known, self.generation = path, known, generation


class StillRunning(SupervisionError):
    """The call is for a child that does not run; this one does (or is stopping)."""

    def __init__(self, path: ActorPath, state: str) -> None:
        super().__init__(f"{path} is {state}, expected it to be stopped: stop it first")
        self.path, self.state = path, state


class StillRestarting(SupervisionError):
    """The call is for a stopped child; this one is on its way up (starting, waiting or restarting)."""

    def __init__(self, path: ActorPath, state: str) -> None:
        super().__init__(f"{path} is {state}; stop it first to cancel that")
        self.path, self.state = path, state


class TooManyChildren(SupervisionError):
    """A dynamic supervisor runs as many children as it may; running and restarting ones count."""

    def __init__(self, path: ActorPath, limit: int) -> None:
        super().__init__(f"{path} has {limit} children and may have no more (max_children); stop one first")
        self.path, self.limit = path, limit


class NotApplicable(SupervisionError):
    """The call makes no sense for this kind of supervisor; `instead` says what does."""

    def __init__(self, path: ActorPath, call: str, instead: str) -> None:
        super().__init__(f"{call} is not for {path}: {instead}")
        self.path, self.call, self.instead = path, call, instead


class NoPartitions(SupervisionError):
    """A partition supervisor was resized to 0: no key leads anywhere until it is resized again."""

    def __init__(self, path: ActorPath) -> None:
        super().__init__(f"{path} has no partitions now (it was resized to 0), expected 1 or more to route a key")
        self.path = path


class TaskExit(TreewardenError):
    """A task ended without a result: stopped, killed, given up on; `reason` says which.

    What its function raised is raised as it is, except what must not travel (`SystemExit`).
    """

    def __init__(self, path: ActorPath, reason: ExitReason) -> None:
        super().__init__(f"the task {path} ended without a result: {describe_exit(reason)}")
        self.path, self.reason = path, reason


class StartFailed(SupervisionError):
    """A child did not start; `reason` carries its error and traceback."""

    def __init__(self, path: ActorPath, reason: ExitReason) -> None:
        super().__init__(f"{path} did not start: {describe_exit(reason)}")
        self.path, self.reason = path, reason


class InvalidSupervisor(TreewardenError):
    """A supervisor's own settings cannot be right; nothing was started."""

    def __init__(self, field: str, found: object, expected: str) -> None:
        super().__init__(f"invalid supervisor: {field}: found {found!r}, expected {expected}")
        self.field, self.found, self.expected = field, found, expected
