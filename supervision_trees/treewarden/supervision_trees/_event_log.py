"""What a tree under test said: its events and its actors' log lines, in order. One thread only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar, final

from treewarden.actors import ActorPath, Event, Log

__all__ = ["LogLine", "RecordedEvents", "RecordedLog"]

E = TypeVar("E", bound=Event)


@final
class RecordedEvents:
    """Every event since the tree was started, or since `clear`, in order."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def emit(self, event: Event) -> None:
        """Take `event` (the tree calls this)."""
        self._events.append(event)

    @property
    def all(self) -> tuple[Event, ...]:
        """All of them."""
        return tuple(self._events)

    def of(self, kind: type[E]) -> list[E]:
        """Those of one class."""
        return [event for event in self._events if isinstance(event, kind)]

    def names(self) -> list[str]:
        """The class names of all of them."""
        return [type(event).__name__ for event in self._events]

    def clear(self) -> None:
        """Forget them: what comes next is what the test is about."""
        self._events.clear()


@final
@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that an actor, or the framework for it, logged; `level` is `info`, `warning` or `error`."""

    path: ActorPath
    level: str
    event: str
    values: Mapping[str, object]


@final
class RecordedLog:
    """A `LogFactory` that keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []

    def __call__(self, path: ActorPath) -> Log:
        """The log of the actor at `path`."""
        return _ActorLog(path, self.lines)


@final
class _ActorLog:
    """One actor's log."""

    def __init__(self, path: ActorPath, lines: list[LogLine]) -> None:
        self._path, self._lines = path, lines

    def info(self, event: str, **values: object) -> None:
        self._lines.append(LogLine(self._path, "info", event, values))

    def warning(self, event: str, **values: object) -> None:
        self._lines.append(LogLine(self._path, "warning", event, values))

    def error(self, event: str, **values: object) -> None:
        self._lines.append(LogLine(self._path, "error", event, values))
