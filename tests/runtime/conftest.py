"""A runtime in the test's own process, and its events as things to wait for."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from treewarden.actors import ChildSpec, Event
from treewarden.supervision_trees import RecordedEvent, Runtime, Supervisor

PATIENCE = 20.0


class Events:
    """Everything a runtime said, and a way to wait for it."""

    def __init__(self) -> None:
        self.news = threading.Condition()
        self.all: list[Event] = []

    def __call__(self, recorded: RecordedEvent) -> None:
        with self.news:
            self.all.append(recorded.event)
            self.news.notify_all()

    def of(self, *kinds: type) -> list[Any]:
        with self.news:
            return [event for event in self.all if isinstance(event, kinds)]

    def wait(self, kind: type, *, count: int = 1) -> list[Any]:
        with self.news:
            came = self.news.wait_for(lambda: len(self.of(kind)) >= count, timeout=PATIENCE)
        assert came, f"{count} {kind.__name__} did not come, only {self.all}"
        return self.of(kind)


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def start(events: Events) -> Iterator[Callable[..., Runtime]]:
    """Start a runtime over children; it is stopped at the end of the test."""
    runtimes: list[Runtime] = []

    def start_runtime(*children: ChildSpec, state_dir: Any = None, **settings: Any) -> Runtime:
        root = ChildSpec.of(Supervisor, children=children, id="dev", **settings)
        runtimes.append(Runtime.start(root, state_dir=state_dir, events=events))
        return runtimes[-1]

    yield start_runtime
    for runtime in runtimes:
        runtime.stop()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    def wait(is_true: Callable[[], bool]) -> None:
        deadline, pause = time.monotonic() + PATIENCE, threading.Event()
        while not is_true():
            assert time.monotonic() < deadline, "it did not come true"
            pause.wait(0.002)  # a loop without it keeps the lock of the interpreter from whoever is to make it true

    return wait
