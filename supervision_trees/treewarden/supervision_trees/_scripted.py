"""Scripted children for tests: each incarnation leads the life that its script has next.

A `ChildSpec` is used again for every restart, so the script must not be in the actor: where each
path has got to is kept in `Scripts`, a service of the tree under test. One thread only.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, assert_never, cast, final

from treewarden.actors import (
    Actor,
    ActorPath,
    Backoff,
    ChildSpec,
    ChildType,
    ExitReason,
    Ignore,
    Intensity,
    ManagedProcess,
    Restart,
    ShutdownTime,
)

__all__ = [
    "BecomeReady",
    "CompleteStart",
    "Crash",
    "CrashesAtStop",
    "Declines",
    "Exit",
    "FailsAtStart",
    "GiveIn",
    "HangsAtStart",
    "IgnoresStop",
    "Life",
    "NotReady",
    "Order",
    "Runs",
    "Scripted",
    "ScriptedCrash",
    "Scripts",
    "SlowStop",
    "scripted",
    "with_stand_ins",
]


class ScriptedCrash(Exception):
    """What a scripted child crashes with if the test named no error."""


# Lives


@final
@dataclass(frozen=True, slots=True)
class Runs:
    """Starts, is ready at once, and stops when told to."""


@final
@dataclass(frozen=True, slots=True)
class FailsAtStart:
    """Raises `error` in its `on_start`."""

    error: Exception = field(default_factory=lambda: ScriptedCrash("crashed at its start, as scripted"))


@final
@dataclass(frozen=True, slots=True)
class Declines:
    """Raises `Ignore` in its `on_start`."""


@final
@dataclass(frozen=True, slots=True)
class HangsAtStart:
    """Does not start until the test calls `starts()`; told to stop before, it does so no sooner either."""


@final
@dataclass(frozen=True, slots=True)
class NotReady:
    """Starts, and is not ready until the test calls `becomes_ready()`."""


@final
@dataclass(frozen=True, slots=True)
class IgnoresStop:
    """Starts, and does not stop when told to until the test calls `stops()`: it is abandoned after its shutdown."""


@final
@dataclass(frozen=True, slots=True)
class CrashesAtStop:
    """Starts, and raises `error` in its `on_stop`, however it ends."""

    error: Exception = field(default_factory=lambda: ScriptedCrash("crashed while it stopped, as scripted"))


@final
@dataclass(frozen=True, slots=True)
class SlowStop:
    """Starts, and stops `seconds` after it was told to, or when the test calls `stops()`."""

    seconds: float


Life: TypeAlias = Runs | FailsAtStart | Declines | HangsAtStart | NotReady | IgnoresStop | CrashesAtStop | SlowStop
"""What one incarnation of a scripted child does by itself."""

RUNS: Final = Runs()


# What the test orders. Ordinary messages, so they come after whatever was sent before.


@final
@dataclass(frozen=True, slots=True)
class Crash:
    """Raise `error`."""

    error: BaseException


@final
@dataclass(frozen=True, slots=True)
class Exit:
    """End with `reason`."""

    reason: ExitReason


@final
@dataclass(frozen=True, slots=True)
class CompleteStart:
    """Have the start that hangs complete."""


@final
@dataclass(frozen=True, slots=True)
class BecomeReady:
    """Be ready."""


@final
@dataclass(frozen=True, slots=True)
class GiveIn:
    """Stop as told to, or at once when told to."""


Order: TypeAlias = Crash | Exit | CompleteStart | BecomeReady | GiveIn


@final
@dataclass(slots=True)
class _Place:
    """How far the script at one path has got."""

    plan: tuple[Life, ...] = ()
    lived: int = 0  # lives of `plan`
    inserted: deque[Life] = field(default_factory=deque[Life])


@final
class Scripts:
    """Where the scripts of one tree have got to, by path."""

    def __init__(self) -> None:
        self._places: dict[ActorPath, _Place] = {}

    def next_life(self, path: ActorPath, plan: tuple[Life, ...], then: Life) -> Life:
        """The life of the incarnation that begins at `path` now: inserted ones, then `plan`, then `then`."""
        place = self._places.setdefault(path, _Place())
        if place.plan is not plan:  # another spec, of a child that was deleted and added anew
            place.plan, place.lived = plan, 0
        if place.inserted:
            return place.inserted.popleft()
        if place.lived == len(plan):
            return then
        place.lived += 1
        return plan[place.lived - 1]

    def insert(self, path: ActorPath, lives: Iterable[Life]) -> None:
        """Have the next incarnations at `path` lead `lives`, before what is scripted further."""
        self._places.setdefault(path, _Place()).inserted.extendleft(reversed(tuple(lives)))


@final
class Scripted(Actor):
    """A child that does as its script and the test say; any other message it answers with itself."""

    def __init__(self, plan: tuple[Life, ...] = (), then: Life = RUNS) -> None:
        super().__init__()
        self.life: Final = self.context.service(Scripts).next_life(self.context.path, plan, then)
        self._stop_wanted: ExitReason | None = None
        self._stops: Final[bool] = not isinstance(self.life, HangsAtStart | IgnoresStop | SlowStop)
        self._gave_in = False

    def on_start(self) -> None:
        """Start as scripted."""
        match self.life:
            case FailsAtStart(error):
                raise error
            case Declines():
                raise Ignore
            case HangsAtStart():
                self.context.defer_started()
            case NotReady():
                self.context.defer_ready()
            case Runs() | IgnoresStop() | CrashesAtStop() | SlowStop():
                pass
            case _:
                assert_never(self.life)

    def on_receive(self, message: object) -> object:
        """Carry out an order of the test."""
        match message:
            case Crash(error):
                raise error
            case Exit(reason):
                self.context.exit(reason)
            case CompleteStart():
                self.context.announce_started()
                self._give_in()
            case BecomeReady():
                self.context.announce_ready()
            case GiveIn():
                self._give_in()
            case _:
                return message
        return None

    def on_stop_request(self, reason: ExitReason) -> None:
        """Stop as scripted."""
        if self._stops or self._gave_in:
            super().on_stop_request(reason)
            return
        self._stop_wanted = reason
        if isinstance(self.life, SlowStop):
            self.context.send_after(self.life.seconds, GiveIn())

    def on_stop(self, reason: ExitReason | None = None) -> None:  # noqa: ARG002 - it fails whatever the reason
        """End as scripted."""
        if isinstance(self.life, CrashesAtStop):
            raise self.life.error

    def _give_in(self) -> None:
        self._gave_in = True
        if self._stop_wanted is not None:
            self.context.exit(self._stop_wanted)


def scripted(
    id: str,  # noqa: A002 - OTP's name for the field
    *plan: Life,
    then: Life = RUNS,
    restart: Restart = Restart.PERMANENT,
    shutdown: ShutdownTime | None = None,
    start_timeout: float | None = None,
    needs: tuple[str, ...] = (),
    backoff: Backoff | None = None,
    intensity: Intensity | None = None,
    significant: bool = False,
) -> ChildSpec:
    """A child for a `TreeUnderTest`: its first incarnations lead the lives of `plan`, one each, all later ones `then`.

    The other fields are those of `ChildSpec.of`.

    Raises:
        InvalidChildSpec: as `ChildSpec`.
    """
    return ChildSpec.of(
        Scripted,
        plan,
        then,
        id=id,
        restart=restart,
        shutdown=shutdown,
        start_timeout=start_timeout,
        needs=needs,
        backoff=backoff,
        intensity=intensity,
        significant=significant,
    )


def with_stand_ins(spec: ChildSpec) -> ChildSpec:
    """`spec` with a scripted child in the place of each managed process, which needs the real clock.

    Looked at are a supervisor's arguments that are specs, or lists or tuples of them. Children that a
    supervisor of your own makes in its `__init__` are not seen.
    """
    if issubclass(spec.actor_class, ManagedProcess):
        return replace(spec, actor_class=Scripted, args=(), kwargs={})
    if spec.actor_class.child_type is not ChildType.SUPERVISOR:
        return spec
    return replace(
        spec,
        args=tuple(_argument(value) for value in spec.args),
        kwargs={name: _argument(value) for name, value in spec.kwargs.items()},
    )


def _argument(value: object) -> object:
    if isinstance(value, ChildSpec):
        return with_stand_ins(value)
    if not isinstance(value, list | tuple):
        return value
    items = cast("list[object] | tuple[object, ...]", value)
    if not any(isinstance(item, ChildSpec) for item in items):
        return items
    return tuple(with_stand_ins(item) if isinstance(item, ChildSpec) else item for item in items)
