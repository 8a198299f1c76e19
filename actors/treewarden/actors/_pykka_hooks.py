"""The hooks of pykka's `Actor` as classes written for pykka spell them.

- `on_failure(exception_type, exception_value, traceback)` hears of a crash, with its frames, before
  `on_stop`; pykka calls the one or the other, and only when nobody asked.
- `on_stop(self)` without a reason is called without one: pykka knows none.
"""

import functools
import inspect
from typing import TYPE_CHECKING, Any

import pykka

from treewarden.actors._exits import ExitReason

if TYPE_CHECKING:
    from treewarden.actors._actor import Actor
    from treewarden.actors._life import Life

__all__ = ["accept_pykkas_on_stop", "hear_failure"]


def hear_failure(life: "Life", error: BaseException) -> None:
    """Call the actor's `on_failure`, if its class has one, on the actor's own turn; what it raises is reported."""
    actor = life.actor
    if actor is None or type(actor).on_failure is pykka.Actor.on_failure or life.has_ended():
        return
    try:
        actor.on_failure(type(error), error, error.__traceback__)
    except BaseException as failure:  # noqa: BLE001 - actor boundary: the crash that it was told of is the end
        life.system.log(life.path).error("on_failure failed", error=repr(failure))


def accept_pykkas_on_stop(cls: "type[Actor]") -> None:
    """Have `cls.on_stop` take the reason, and leave it out where the class's own does not take it."""
    hook: Any = cls.on_stop
    try:
        shape = inspect.signature(hook, follow_wrapped=False)
    except ValueError:  # written in C: it says for itself what it takes
        return
    if _takes(shape, 2) or not _takes(shape, 1):
        return

    @functools.wraps(hook)
    def on_stop(self: "Actor", reason: ExitReason | None = None) -> None:  # noqa: ARG001 - pykka's has no place for it
        hook(self)

    setattr(cls, "on_stop", on_stop)  # noqa: B010 - the class's own attribute, whatever it inherits


def _takes(shape: inspect.Signature, count: int) -> bool:
    try:
        shape.bind(*range(count))
    except TypeError:
        return False
    return True
