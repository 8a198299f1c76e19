"""How a child wants to be treated: a frozen value that its supervisor reads.

The fields are OTP's child specification (supervisor(3), "Child specification") with what its
users ask for added: backoff, a start timeout, a per-child intensity, and siblings it needs.
All durations are float seconds.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from treewarden.actors._errors import InvalidChildSpec
from treewarden.actors._ids import CHILD_ID_RULE, ChildId, is_child_id

if TYPE_CHECKING:
    from treewarden.actors._actor import Actor

__all__ = [
    "BRUTAL_KILL",
    "INFINITY",
    "Backoff",
    "BrutalKill",
    "ChildSpec",
    "ChildType",
    "Intensity",
    "Restart",
    "ShutdownTime",
]

DEFAULT_SHUTDOWN: Final = 5.0
DEFAULT_START_TIMEOUT: Final = 30.0
INFINITY: Final = float("inf")


@final
class Restart(enum.Enum):
    """When a child that ended by itself is started again (OTP's restart types)."""

    PERMANENT = "permanent"  # always
    TRANSIENT = "transient"  # only after an abnormal exit
    TEMPORARY = "temporary"  # never, and its spec is forgotten


@final
class ChildType(enum.Enum):
    """What a child is; sets only defaults, counts, and how a tree is walked (OTP's `type`)."""

    WORKER = "worker"
    SUPERVISOR = "supervisor"


@final
class BrutalKill(enum.Enum):
    """The type of `BRUTAL_KILL`."""

    BRUTAL_KILL = "brutal_kill"


BRUTAL_KILL: Final = BrutalKill.BRUTAL_KILL
"""As `shutdown`: end the child at once, without its `on_stop`."""

ShutdownTime: TypeAlias = float | BrutalKill


@final
@dataclass(frozen=True, slots=True)
class Intensity:
    """More than `restarts` restarts within `within` seconds are too many (both ends included).

    An event exactly `within` seconds old still counts (supervision.md A.3).
    """

    restarts: int = 3
    within: float = 5.0

    def __post_init__(self) -> None:
        if not _is_a(self.restarts, int) or self.restarts < 0:
            raise InvalidChildSpec("intensity.restarts", self.restarts, "a whole number, 0 or more")
        if not _is_a(self.within, int, float) or not 0 < self.within < INFINITY:
            raise InvalidChildSpec("intensity.within", self.within, "a finite number of seconds above 0")


@final
@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before each restart in a row.

    The n-th wait is `initial * factor ** (n - 1)`, at most `max`, spread by up to `jitter` of
    itself either way and never above `max`. A child that stayed up for `reset_after` seconds
    starts again at `initial`; `None` means `max`, but at least 10 s.
    """

    initial: float = 0.2
    max: float = 30.0
    factor: float = 2.0
    jitter: float = 0.2
    reset_after: float | None = None

    def __post_init__(self) -> None:
        for name in ("initial", "max", "factor", "jitter", "reset_after"):
            value = getattr(self, name)
            if not _is_a(value, int, float) and not (name == "reset_after" and value is None):
                raise InvalidChildSpec(f"backoff.{name}", value, "a number")
        for name, value, expected, fine in (
            ("initial", self.initial, "seconds, 0 or more", 0 <= self.initial < INFINITY),
            ("max", self.max, "finite seconds, not below initial", self.initial <= self.max < INFINITY),
            ("factor", self.factor, "a finite number, 1 or more", 1 <= self.factor < INFINITY),
            ("jitter", self.jitter, "a fraction from 0 to 1", 0 <= self.jitter <= 1),
            ("reset_after", self.reset_after, "seconds above 0", self.reset_after is None or self.reset_after > 0),
        ):
            if not fine:
                raise InvalidChildSpec(f"backoff.{name}", value, expected)


@final
@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child of a supervisor: what to start, and how to treat it.

    Build it with `ChildSpec.of`, which reads the class's own defaults. A spec is checked when
    it is made, so a supervisor never meets an invalid one.

    Raises:
        InvalidChildSpec: naming the field, what was found and what would be right.
    """

    id: ChildId
    actor_class: "type[Actor]"
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    restart: Restart = Restart.PERMANENT
    shutdown: ShutdownTime = DEFAULT_SHUTDOWN
    start_timeout: float = DEFAULT_START_TIMEOUT
    needs: tuple[ChildId, ...] = ()
    backoff: Backoff | None = None
    intensity: Intensity | None = None
    significant: bool = False
    """Whether its end may end its supervisor (OTP's flag; see `AutoShutdown`)."""
    id_is_given: bool = field(default=True, compare=False)
    """False: `id` is only the class's name, and a dynamic supervisor adds a number to it."""

    def __post_init__(self) -> None:
        if not _is_a(self.id, str) or not is_child_id(self.id):
            raise InvalidChildSpec("id", self.id, CHILD_ID_RULE)
        _check_class(self.actor_class)
        if not _is_a(self.args, tuple):
            raise InvalidChildSpec("args", self.args, "a tuple")
        if not _is_a(self.kwargs, dict, Mapping):
            raise InvalidChildSpec("kwargs", self.kwargs, "a mapping of names")
        if not _is_a(self.needs, tuple) or (self.needs and not all(_is_a(need, str) for need in self.needs)):
            raise InvalidChildSpec("needs", self.needs, "a tuple of ids")
        # What is no such value would be noticed at the first crash only, and be the supervisor's own.
        if self.backoff is not None and not _is_a(self.backoff, Backoff):
            raise InvalidChildSpec("backoff", self.backoff, "a Backoff, or None")
        if self.intensity is not None and not _is_a(self.intensity, Intensity):
            raise InvalidChildSpec("intensity", self.intensity, "an Intensity, or None")
        if not _is_a(self.restart, Restart):
            raise InvalidChildSpec("restart", self.restart, f"one of {', '.join(map(str, Restart))}")
        if not _is_a(self.significant, bool):
            raise InvalidChildSpec("significant", self.significant, "True or False")
        if not isinstance(self.shutdown, BrutalKill) and not (_is_a(self.shutdown, int, float) and self.shutdown >= 0):
            raise InvalidChildSpec("shutdown", self.shutdown, "seconds (0 or more), INFINITY or BRUTAL_KILL")
        if not _is_a(self.start_timeout, int, float) or not self.start_timeout > 0:
            raise InvalidChildSpec("start_timeout", self.start_timeout, "seconds above 0, or INFINITY")
        if self.id in self.needs:
            raise InvalidChildSpec("needs", list(self.needs), "siblings; a child cannot need itself")
        if self.significant and self.restart is Restart.PERMANENT:
            # It never ends for good, so its end can mean nothing (OTP: bad_combination).
            raise InvalidChildSpec("significant", True, "False, or restart TRANSIENT or TEMPORARY")  # noqa: FBT003 - the value found

    @classmethod
    def of(
        cls,
        actor_class: "type[Actor]",
        *args: Any,
        id: str | None = None,  # noqa: A002 - OTP's name for the field
        restart: Restart = Restart.PERMANENT,
        shutdown: ShutdownTime | None = None,
        start_timeout: float | None = None,
        needs: tuple[str, ...] = (),
        backoff: Backoff | None = None,
        intensity: Intensity | None = None,
        significant: bool = False,
        **kwargs: Any,
    ) -> "ChildSpec":
        """Describe a child made by `actor_class(*args, **kwargs)`.

        Without `id` the class name is used (under a `DynamicSupervisor`: that and a number). Without `shutdown` and `start_timeout` a worker gets
        5 s and 30 s, a supervisor no limit, since it bounds its children one by one. For a
        supervisor, `intensity` is the limit it keeps for its children.

        Raises:
            InvalidChildSpec: naming the field, what was found and what would be right.
        """
        _check_class(actor_class)
        if _is_a(needs, str) or not _is_a(needs, tuple, Iterable):
            raise InvalidChildSpec("needs", needs, "a tuple of ids")
        supervises = actor_class.child_type is ChildType.SUPERVISOR
        if supervises and intensity is not None:
            # The limit a supervisor keeps for its children (A.3), not the one kept for it (A.5).
            kwargs["intensity"], intensity = intensity, None
        return cls(
            id=ChildId(actor_class.__name__.lower() if id is None else id),
            actor_class=actor_class,
            args=args,
            kwargs=kwargs,
            restart=restart,
            shutdown=(INFINITY if supervises else DEFAULT_SHUTDOWN) if shutdown is None else shutdown,
            start_timeout=(INFINITY if supervises else DEFAULT_START_TIMEOUT)
            if start_timeout is None
            else start_timeout,
            needs=tuple(ChildId(need) for need in needs),
            backoff=backoff,
            intensity=intensity,
            significant=significant,
            id_is_given=id is not None,
        )

    def named(self, child: ChildId) -> "ChildSpec":
        """This spec with `child`, a valid id, as one that was given."""
        # Not by `replace`, which would check all that was checked before: a supervisor does this at each start.
        copy = object.__new__(ChildSpec)
        for name in self.__slots__:
            object.__setattr__(copy, name, getattr(self, name))
        object.__setattr__(copy, "id", child)
        object.__setattr__(copy, "id_is_given", True)
        return copy


def _check_class(found: object) -> None:
    # `Actor` itself cannot be named here, since its module builds on this one; nothing else has a child type.
    if not isinstance(found, type) or not _is_a(getattr(found, "child_type", None), ChildType):
        raise InvalidChildSpec("actor_class", found, "a subclass of Actor")


def _is_a(found: object, *kinds: type) -> bool:
    """Whether `found` is of one of `kinds`, whatever its annotation says; True is no number here."""
    # The first look decides nearly always, and a spec has a dozen of them.
    return type(found) in kinds or (isinstance(found, kinds) and not isinstance(found, bool))
