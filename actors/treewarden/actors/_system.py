"""What every actor of one runtime shares: the ports, gathered in one frozen value.

There is no global system: a runtime makes its own, so two trees in one process never meet.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, final

from treewarden.actors._asking import Asks
from treewarden.actors._clock import Clock
from treewarden.actors._dispatcher import Dispatcher
from treewarden.actors._errors import ServiceMissing
from treewarden.actors._events import EventSink
from treewarden.actors._ids import ActorPath
from treewarden.actors._instruments import Instruments
from treewarden.actors._names import Names
from treewarden.actors._timers import Timers

if TYPE_CHECKING:
    from treewarden.actors._ref import ActorRef

__all__ = ["ActorSystem", "Directory", "Log", "LogFactory"]

S = TypeVar("S")


class Directory(Protocol):
    """Which incarnation lives at a path now. Safe from any thread."""

    def lookup(self, path: ActorPath) -> "ActorRef[Any] | None":
        """The running actor at `path`, if there is one."""
        ...

    def register(self, path: ActorPath, ref: "ActorRef[Any]") -> None:
        """`ref` lives at `path` from now on."""
        ...

    def unregister(self, path: ActorPath, ref: "ActorRef[Any]") -> None:
        """`ref` lives there no longer; a newer incarnation at `path` stays."""
        ...


class Log(Protocol):
    """An actor's own log: an event name and values. Safe from any thread; never raises."""

    def info(self, event: str, **values: object) -> object:
        """Say that something happened."""
        ...

    def warning(self, event: str, **values: object) -> object:
        """Say that something is not as it should be."""
        ...

    def error(self, event: str, **values: object) -> object:
        """Say that something failed."""
        ...


class LogFactory(Protocol):
    """Makes the log of one actor."""

    def __call__(self, path: ActorPath) -> Log:
        """The log of the actor at `path`."""
        ...


@final
@dataclass(frozen=True, slots=True)
class ActorSystem:
    """The ports of one runtime. `services` are looked up by their type."""

    clock: Clock
    dispatcher: Dispatcher
    timers: Timers
    events: EventSink
    directory: Directory
    log: LogFactory
    random: random.Random
    services: Mapping[type[object], object] = field(default_factory=dict[type[object], object])
    names: Names = field(default_factory=Names)
    asks: Asks = field(default_factory=Asks)
    instruments: Instruments = field(default_factory=Instruments)

    def service(self, kind: type[S]) -> S:
        """The service of type `kind`.

        Raises:
            ServiceMissing: if this runtime was not given one.
        """
        found = self.find_service(kind)
        if found is None:
            raise ServiceMissing(kind)
        return found

    def find_service(self, kind: type[S]) -> S | None:
        """The service of type `kind`, if this runtime was given one."""
        return cast("S | None", self.services.get(kind))  # the composition root stores each under its own type
