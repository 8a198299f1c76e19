"""Errors of the actor layer; each tells itself apart from its neighbour and carries its data."""

from typing import TYPE_CHECKING, Any

import pykka

if TYPE_CHECKING:
    from treewarden.actors._exits import Crashed, ExitReason
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
    "MailboxFull",
    "NotAnswered",
    "Rejected",
    "ServiceMissing",
    "StateCallbackFailed",
    "StateInUse",
    "StateNotReplaceable",
    "StateUnusable",
    "TreewardenError",
    "describe_error",
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


class MailboxFull(TreewardenError):
    """The message was not put in: as many wait at `path` as its bound allows. `ActorDead`: nobody will ever take it."""

    def __init__(self, path: "ActorPath", limit: int) -> None:
        super().__init__(f"the mailbox of {path} is full: its bound is {limit}, and so many wait already")
        self.path, self.limit = path, limit


class NotAnswered(TreewardenError, pykka.Timeout):
    """In a test without threads: nothing is left to run, and the answer is not there.

    It stands for every wait that would need time to pass, or that nobody would ever end.
    """

    def __init__(self) -> None:
        super().__init__(
            "not answered, and nothing is left to run: either time must pass (begin the call, then advance),"
            " or two actors wait for each other, or this is a future of another runtime than the one under test"
        )


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


class StateCallbackFailed(TreewardenError):
    """A state request could not be answered, as a function raised; the actor lives on, its state unchanged.

    OTP's `{error, {callback_failed, ...}}`. `call` is the request, `crash` what was raised and where.
    """

    def __init__(self, call: str, crash: "Crashed") -> None:
        super().__init__(f"{call} failed, the state is unchanged: {describe_error(crash.error)}")
        self.call, self.crash = call, crash


class StateNotReplaceable(Rejected):
    """An actor of this kind does not let its state be replaced as a whole; the message names the way there is."""


class ServiceMissing(TreewardenError):
    """An actor asked its runtime for a service that the runtime was not given."""

    def __init__(self, service: type[object]) -> None:
        super().__init__(
            f"this actor needs {service.__module__}.{service.__qualname__}, which its runtime does not offer;"
            f" start it under treewarden.supervision_trees.Runtime, or pass the service to the supervisor"
        )
        self.service = service


class StateUnusable(TreewardenError):
    """What is stored of a durable actor cannot be used, so it was not started: never empty in its place (A.18)."""

    def __init__(self, path: "ActorPath", why: str) -> None:
        super().__init__(
            f"the stored state of {path} cannot be used: {why}. It was not started;"
            f" to start it without that state: treewarden restart {path} --discard-state"
        )
        self.path, self.why = path, why


class StateInUse(TreewardenError):
    """A living incarnation holds this state; nothing was discarded or replaced."""

    def __init__(self, path: "ActorPath") -> None:
        super().__init__(f"the state of {path} is in use by a living incarnation; stop it first")
        self.path = path


class InvalidChildSpec(TreewardenError):
    """A child specification cannot be right; nothing was started."""

    def __init__(self, field: str, found: object, expected: str) -> None:
        super().__init__(f"invalid child spec: {field}: found {found!r}, expected {expected}")
        self.field, self.found, self.expected = field, found, expected


def describe_error(error: BaseException) -> str:
    """Its type and its words: `ValueError: no such port`; the type alone if it has none, or cannot say them."""
    try:
        text = str(error).strip()
    except BaseException:  # noqa: BLE001 - boundary to the error's own code: no wording must cost the news of an end
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
