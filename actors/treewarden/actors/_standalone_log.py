"""Where actors without a supervisor write: pykka's logger, since pykka's users listen there.

pykka's logger drops what nobody listens to. A crash that nobody supervises must not vanish, so that
one goes to standard error then, as any error does that Python's logging finds no handler for.
"""

import logging
from typing import Any, Final, final

from treewarden.actors._events import CrashReport, Event, SupervisorGaveUp
from treewarden.actors._exits import Crashed, describe_exit
from treewarden.actors._ids import ActorPath

__all__ = ["LoggedEvents", "PykkaLog", "log_crash"]

_logger: Final = logging.getLogger("pykka")


def log_crash(actor: object, crash: Crashed) -> None:
    """Say that `actor` has ended of `crash`, in pykka's words."""
    error = crash.error
    if not _logger.isEnabledFor(logging.ERROR):
        return
    record = _logger.makeRecord(
        _logger.name, logging.ERROR, __file__, 0, f"Unhandled exception in {actor}:", (), (type(error), error, None)
    )
    record.exc_text = crash.traceback.rstrip("\n")  # the frames themselves were let go of
    _write(record)


@final
class PykkaLog:
    """One actor's lines. Safe from any thread; never raises."""

    def __init__(self, path: ActorPath) -> None:
        self._path = path

    def info(self, event: str, **values: object) -> None:
        """Say that something happened."""
        _logger.info("%s", _Line(self._path, event, values))

    def warning(self, event: str, **values: object) -> None:
        """Say that something is not as it should be."""
        _logger.warning("%s", _Line(self._path, event, values))

    def error(self, event: str, **values: object) -> None:
        """Say that something failed."""
        _logger.error("%s", _Line(self._path, event, values))


@final
class LoggedEvents:
    """Events as lines: what a supervisor without a supervisor has to report as errors, all else for debugging."""

    def emit(self, event: Event) -> None:
        """Write `event`."""
        match event:
            case CrashReport(path=path, reason=reason, traceback=traceback, then=then):
                text = f"{path} ended: {describe_exit(reason)}; {then}"
                _say(logging.ERROR, f"{text}\n{traceback}".rstrip("\n"))
            case SupervisorGaveUp(path=path, child=child, restarts=restarts, within=within):
                _say(logging.ERROR, f"{path} gave up: {restarts} restarts within {within} s, the last one of {child}")
            case _:
                _logger.debug("%s", event)


@final
class _Line:
    """A line whose text is made when it is written, so one that nobody wants costs nothing."""

    def __init__(self, path: ActorPath, event: str, values: dict[str, Any]) -> None:
        self._path, self._event, self._values = path, event, values

    def __str__(self) -> str:
        return " ".join((f"{self._path}: {self._event}", *(f"{name}={value}" for name, value in self._values.items())))


def _say(level: int, text: str) -> None:
    if _logger.isEnabledFor(level):
        _write(_logger.makeRecord(_logger.name, level, __file__, 0, text, (), None))


def _write(record: logging.LogRecord) -> None:
    _logger.handle(record)
    if not _is_heard() and logging.lastResort is not None:
        logging.lastResort.handle(record)


def _is_heard() -> bool:
    logger: logging.Logger | None = _logger
    while logger is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False
