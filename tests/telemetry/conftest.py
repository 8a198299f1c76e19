"""An event hub on a manual clock, closed however the test ends, and one sample of every event."""

import threading
import typing
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import pytest

from treewarden.actors import Crashed, Event, Normal, Shutdown
from treewarden.actors.testing import ManualClock
from treewarden.supervision_trees.telemetry import EventHub

PATIENCE = 10.0  # seconds; reached only by a test that fails

EVENT_CLASSES: tuple[type[Event], ...] = typing.get_args(Event)

# One sensible value for each field name; a field that is not here fails the tests until it is.
VALUES: dict[str, Any] = {
    "actors": 12,
    "added": 4096,
    "freed": 8192,
    "numbers": (1, 2),
    "paused": 0.004,
    "stalled_for": 2.5,
    "state_dir": "/srv/dev/.treewarden",
    "states": 7,
    "trigger": "periodic",
    "abandoned": ("/dev/stuck",),
    "action": "restart",
    "after": 5.0,
    "allowed": 3,
    "child": "api",
    "code": 3,
    "consequence": "it is the root: the runtime ends",
    "delay": 0.25,
    "generation": 2,
    "in_a_row": 3,
    "incarnation": 7,
    "message": "Increment",
    "last_message": "Increment",
    "log": ("got Increment",),
    "lost": 3,
    "mailbox": 2,
    "needs": ("db", "cache"),
    "number": 2,
    "of": 5,
    "others": ("web", "worker"),
    "orphaned_pids": (4711,),
    "path": "/dev/api",
    "pid": 4712,
    "purpose": "ready",
    "reason": Crashed(ValueError("no such port")),
    "restarts": 4,
    "root": "/dev",
    "record": 41,
    "signal": None,
    "source": "/srv/dev/tree.yaml",
    "steps": 5,
    "state": "Counter(count=3)",
    "stopped": 12,
    "supervisor": "/dev",
    "survivors": (4713, 4714),
    "then": "it is restarted at once",
    "traceback": "Traceback (most recent call last): ...",
    "used": 1,
    "what": "told",
    "why": "because",
    "within": 5.0,
    "written_at": 1_700_000_000.25,
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def hub(clock: ManualClock) -> Iterator[EventHub]:
    hub = EventHub(clock, remembered=3)
    yield hub
    hub.close()


@pytest.fixture
def wait_set() -> Callable[[threading.Event], None]:
    """Wait for a flag that another thread sets; fail after `PATIENCE` seconds."""

    def wait(flag: threading.Event) -> None:
        assert flag.wait(PATIENCE), f"not set within {PATIENCE} s"

    return wait


@pytest.fixture(params=EVENT_CLASSES, ids=lambda found: found.__name__)
def event_class(request: pytest.FixtureRequest) -> type[Event]:
    found: type[Event] = request.param
    return found


@pytest.fixture
def sample() -> Callable[..., Event]:
    """Make an event of a class, each field with its sample value unless it is given."""

    def make(event_class: type[Event], **given: Any) -> Event:
        values: dict[str, Any] = {field.name: VALUES[field.name] for field in fields(event_class)}
        return event_class(**{**values, **given})

    return make


@pytest.fixture(params=[Normal(), Shutdown("terminated by a call")], ids=["normal", "shutdown"])
def orderly(request: pytest.FixtureRequest) -> Normal | Shutdown:
    found: Normal | Shutdown = request.param
    return found
