"""Events and actors' own logs as structlog lines: the only module that imports structlog."""

import sys
from typing import TextIO

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
        log: Log = self._logger.bind(actor=path)
        return log

    def _write(self, recorded: RecordedEvent) -> None:
        rendered = render(recorded.event)
        getattr(self._logger, rendered.level)(rendered.text)
