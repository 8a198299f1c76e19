"""Events and actors' own logs as structlog lines: the only module that imports structlog."""

import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import TextIO, final

import structlog
from structlog.typing import FilteringBoundLogger

from treewarden.actors import ActorPath, Log
from treewarden.supervision_trees._inspect import RecordedEvent
from treewarden.supervision_trees.telemetry._hub import Subscriber
from treewarden.supervision_trees.telemetry._render import render

__all__ = ["LogLines"]


class LogLines:
    """Log lines on a stream (stderr if none is given), coloured on a terminal.

    Makes its own structlog logger and leaves structlog's global configuration to the application.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        output: TextIO = sys.stderr if stream is None else stream
        self._logger: FilteringBoundLogger = structlog.wrap_logger(
            structlog.PrintLogger(output),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
                structlog.dev.ConsoleRenderer(
                    colors=output.isatty(),
                    pad_event_to=0,
                    exception_formatter=structlog.dev.plain_traceback,  # the usual one shows locals, secrets too
                ),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(0),
        )

    def subscriber(self) -> Subscriber:
        """What to give to `EventHub.subscribe`."""
        return self._write

    def of_actor(self, path: ActorPath) -> Log:
        """The log that the actor at `path` writes to."""
        return _ActorLog(self._logger.bind(actor=path))

    def _write(self, recorded: RecordedEvent) -> None:
        rendered = render(recorded.event)
        getattr(self._logger, rendered.level)(rendered.text)


@final
class _ActorLog:
    """One actor's lines. It never raises: the machinery writes a line between an end and its notice, too."""

    def __init__(self, logger: FilteringBoundLogger) -> None:
        self._logger = logger

    def info(self, event: str, **values: object) -> None:
        self._write(self._logger.info, event, values)

    def warning(self, event: str, **values: object) -> None:
        self._write(self._logger.warning, event, values)

    def error(self, event: str, **values: object) -> None:
        self._write(self._logger.error, event, values)

    def _write(self, write: Callable[..., object], event: str, values: Mapping[str, object]) -> None:
        try:
            write(event, **values)
        except Exception as failure:  # noqa: BLE001 - log boundary: a closed stream, or a value without a repr, costs the line
            with contextlib.suppress(OSError, ValueError):  # stderr may be the stream that is closed
                sys.stderr.write(f"treewarden: a log line {event!r} could not be written: {type(failure).__name__}\n")
