"""Telemetry: events become log lines, a memory of the newest, and calls to subscribers."""

from treewarden.supervision_trees.telemetry._hub import EventHub as EventHub
from treewarden.supervision_trees.telemetry._hub import Subscriber as Subscriber
from treewarden.supervision_trees.telemetry._hub import Watcher as Watcher
from treewarden.supervision_trees.telemetry._render import Rendered as Rendered
from treewarden.supervision_trees.telemetry._render import event_fields as event_fields
from treewarden.supervision_trees.telemetry._render import render as render
from treewarden.supervision_trees.telemetry._structlog import LogLines as LogLines

__all__ = ["EventHub", "LogLines", "Rendered", "Subscriber", "Watcher", "event_fields", "render"]
