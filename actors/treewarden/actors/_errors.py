"""Errors of the actor layer; each tells itself apart from its neighbour and carries its data."""

from typing import TYPE_CHECKING, Any

import pykka

if TYPE_CHECKING:
    from treewarden.actors._exits import ExitReason
    from treewarden.actors._ids import ActorPath
    from treewarden.actors._ref import ActorRef

__all__ = [
    "ActorCrashed",
    "ActorDead",
    "AlreadyRegistered",
    "AskCycle",
    "Fenced",
    "Ignore",
    "InvalidChildSpec",
    "Rejected",
    "ServiceMissing",
    "StateUnusable",
    "TreewardenError",
]


class TreewardenError(Exception):
    """The base of every error this project raises on purpose."""


class Rejected(TreewardenError):
    """Raise it in a handler to answer the caller with an error while the actor lives on.

    Any other exception in a handler is a crash (supervision.md A.11).
    """


class Ignore(TreewardenError):
    """Raise it in `on_start` to decline the start: no failure, nothing to restart (OTP's `ignore`)."""


class ActorDead(TreewardenError, pykka.ActorDeadError):
    """The message could not be handled: its actor has ended. `ActorCrashed`: it ended *on* your message."""


class ActorCrashed(TreewardenError):
    """The actor ended while it handled your message; `reason` says how.

    Used where the original exception must not travel: `SystemExit` and `KeyboardInterrupt`
    raised inside an actor reach its asker as this, never bare (supervision.md A.11).
    """

    def __init__(self, reason: "ExitReason") -> None:
        super().__init__(f"the actor ended while handling this message: {reason}")
        self.reason = reason


class AskCycle(TreewardenError, RuntimeError):
    """An actor was about to wait on one that, in the end, waits on it: none of them would be answered.

    `paths` is the whole cycle, beginning and ending with the actor that was refused.
    """

    def __init__(self, paths: "tuple[ActorPath, ...]") -> None:
        super().__init__(f"a cycle of asks would wait for itself: {' -> '.join(paths)}; tell, or take_reply, in one")
        self.paths = paths


class AlreadyRegistered(TreewardenError):
    """The name belongs to a living actor, `ref` (OTP's `already_started`)."""

    def __init__(self, name: str, ref: "ActorRef[Any]") -> None:
        super().__init__(f"the name {name!r} is held by {ref}; a living actor keeps its name until it ends")
        self.name, self.ref = name, ref


class Fenced(TreewardenError):
    """This incarnation was given up on: what it still does is refused (supervision.md A.15).

    Raised only inside an abandoned actor, by the context calls that would act on the world.
    """


class ServiceMissing(TreewardenError):
    """An actor asked its runtime for a service that the runtime was not given."""

    def __init__(self, service: type[object]) -> None:
        super().__init__(
            f"this actor needs {service.__module__}.{service.__qualname__}, which its runtime does not offer;"
            f" start it under treewarden.supervision_trees.Runtime, or pass the service to the supervisor"
        )
        self.service = service


class StateUnusable(TreewardenError):
    """The stored state of a durable actor cannot be restored, the one before it included; it was not started empty."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"the stored state of {path} cannot be restored: {why}")
        self.path, self.why = path, why


class InvalidChildSpec(TreewardenError):
    """A child specification cannot be right; nothing was started."""

    def __init__(self, field: str, found: object, expected: str) -> None:
        super().__init__(f"invalid child spec: {field}: found {found!r}, expected {expected}")
        self.field, self.found, self.expected = field, found, expected
