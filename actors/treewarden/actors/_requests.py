"""System messages: what every actor answers on its own turn, a suspended one too (OTP's sys; supervision.md A.13).

They travel in the system lane, so they overtake the mailbox, and each carries the reply it sets.
Not promised: an answer from an actor whose handler does not return; `SystemCalls.status` needs none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from treewarden.actors._crash import as_crash
from treewarden.actors._errors import ActorDead, Rejected, StateCallbackFailed
from treewarden.actors._instruments import Instrument
from treewarden.actors._outline import described_state, put_attributes
from treewarden.actors._reply import Reply
from treewarden.actors._tracing import TraceOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treewarden.actors._actor import Actor
    from treewarden.actors._ids import ActorPath
    from treewarden.actors._incarnation import Incarnation

__all__ = [
    "DescribeState",
    "GetState",
    "KeepEvents",
    "ReplaceState",
    "Resume",
    "SetTrace",
    "StartStatistics",
    "StateRequest",
    "StopStatistics",
    "Suspend",
    "TakeIn",
    "attend",
    "turn_away_requests",
]


@dataclass(frozen=True, slots=True)
class StateRequest:
    """A system message that is answered even while suspended: set `reply`, which fails with `ActorDead` at the end.

    Framework actors may derive their own, and answer them in `on_system`.
    """

    reply: Reply[Any]


@final
@dataclass(frozen=True, slots=True)
class GetState(StateRequest):
    """Answer `get_state()`."""


@final
@dataclass(frozen=True, slots=True)
class DescribeState(StateRequest):
    """Answer what `describe()` lets through, as text."""


@final
@dataclass(frozen=True, slots=True)
class ReplaceState(StateRequest):
    """Set the state to what `function` makes of it, and answer that."""

    function: Callable[[Any], object]


@final
@dataclass(frozen=True, slots=True)
class Suspend(StateRequest):
    """Leave the mailbox alone until `Resume`."""


@final
@dataclass(frozen=True, slots=True)
class Resume(StateRequest):
    """Go on."""


@final
@dataclass(frozen=True, slots=True)
class SetTrace(StateRequest):
    """Trace by `options`; None ends the trace."""

    options: TraceOptions | None


@final
@dataclass(frozen=True, slots=True)
class StartStatistics(StateRequest):
    """Count from now on."""


@final
@dataclass(frozen=True, slots=True)
class StopStatistics(StateRequest):
    """Forget the counters."""


@final
@dataclass(frozen=True, slots=True)
class KeepEvents(StateRequest):
    """Remember the last `count` events; 0 forgets them."""

    count: int


@final
@dataclass(frozen=True, slots=True)
class TakeIn(StateRequest):
    """Have `messages` before all that waits, and each of `later` told after its seconds."""

    messages: tuple[object, ...]
    later: tuple[tuple[float, object], ...]


def attend(incarnation: "Incarnation", request: StateRequest) -> None:
    """Answer `request`, on the turn of `incarnation`."""
    actor = incarnation.actor
    assert actor is not None
    reply = request.reply
    match request:
        case GetState():
            _answer(reply, "get_state", actor.get_state)
        case DescribeState():
            reply.try_set(described_state(actor))
        case ReplaceState(_, function):
            _answer(reply, "replace_state", lambda: _replaced(actor, function))
        case Suspend():
            incarnation.suspend()
            reply.try_set(None)
        case Resume():
            incarnation.resume()
            reply.try_set(None)
        case SetTrace(_, options):
            _set(incarnation, lambda instrument: instrument.set_trace(options, incarnation.system.clock))
            reply.try_set(None)
        case StartStatistics():
            _set(incarnation, lambda instrument: instrument.start_statistics(incarnation.system.clock))
            reply.try_set(None)
        case StopStatistics():
            _set(incarnation, lambda instrument: instrument.stop_statistics())
            reply.try_set(None)
        case KeepEvents(_, count):
            _set(incarnation, lambda instrument: instrument.keep_events(count))
            reply.try_set(None)
        case TakeIn(_, messages, later):
            incarnation.put_first(messages)
            for seconds, message in later:
                actor.context.send_after(seconds, message)
            reply.try_set(None)
        case _:
            actor.on_system(request)


def turn_away_requests(items: "Iterable[object]", path: "ActorPath") -> None:
    """Fail the requests among `items`, which nobody will attend to any more."""
    for item in items:
        if isinstance(item, StateRequest):
            item.reply.try_fail(ActorDead(f"{path} ended before it answered {type(item).__name__}"))


def _answer(reply: Reply[Any], what: str, make: Callable[[], object]) -> None:
    try:
        answer = make()
    except Rejected as refusal:
        reply.try_fail(refusal)
    except BaseException as error:  # noqa: BLE001 - actor boundary: as in OTP, the failing function is its caller's affair
        reply.try_fail(StateCallbackFailed(what, as_crash(error, where=None)))
    else:
        reply.try_set(answer)


def _replaced(actor: "Actor", function: Callable[[Any], object]) -> object:
    state = function(actor.get_state())
    before = dict(vars(actor))
    try:
        actor.set_state(state)
    except BaseException:
        # One that fails half way has changed nothing: a state that nobody chose is worse than either.
        put_attributes(actor, before)
        raise
    return state


def _set(incarnation: "Incarnation", change: Callable[[Instrument], None]) -> None:
    """Change what watches the path of `incarnation`; what is left without a use is dropped."""
    if incarnation.is_fenced():
        return  # its successor has the say at this path now
    instruments, path = incarnation.system.instruments, incarnation.path
    instrument = instruments.for_setting(path, incarnation.generation)
    change(instrument)
    if instrument.is_idle():
        instruments.forget(path)
        incarnation.watch_by(None)
    else:
        incarnation.watch_by(instrument)
