"""A tree under test has the history that the same tree has in a `Runtime`, on threads and in real time."""

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Final

import pytest

from treewarden.actors import Actor, Address, ChildSpec, ChildStarted, Event, Ignore, Intensity, Restart
from treewarden.supervision_trees import RecordedEvent, Runtime, StartFailed, Supervisor, SupervisorHandle
from treewarden.supervision_trees.testing import TreeUnderTest

PATIENCE: Final = 10.0

Story = Callable[[Callable[[str], Address], Callable[[str], SupervisorHandle], Callable[[str, int], None]], None]


class Worker(Actor):
    """Fails, ends or declines as it is told."""

    def __init__(self, start: str = "") -> None:
        super().__init__()
        self.start_as = start

    def on_start(self) -> None:
        match self.start_as:
            case "decline":
                raise Ignore
            case "fail":
                raise RuntimeError(self.start_as)
            case _:
                pass

    def on_receive(self, message: str) -> str:
        if message == "exit":
            self.context.exit()
        elif message == "crash":
            raise RuntimeError(message)
        return message


def spec() -> ChildSpec:
    inner = ChildSpec.of(
        Supervisor,
        children=[ChildSpec.of(Worker, id="c"), ChildSpec.of(Worker, id="d")],
        intensity=Intensity(0, within=60.0),
        id="inner",
    )
    children = [
        ChildSpec.of(Worker, id="a"),
        ChildSpec.of(Worker, id="b", restart=Restart.TRANSIENT, needs=("a",)),
        ChildSpec.of(Worker, "decline", id="declining"),
        inner,
    ]
    return ChildSpec.of(Supervisor, children=children, id="top")


def crashes(
    address: Callable[[str], Address], top: Callable[[str], SupervisorHandle], up: Callable[[str, int], None]
) -> None:
    with pytest.raises(RuntimeError, match="crash"):
        address("/top/a").ask("crash")
    up("/top/a", 2)
    assert address("/top/a").ask("hello") == "hello"


def gives_up(
    address: Callable[[str], Address], top: Callable[[str], SupervisorHandle], up: Callable[[str, int], None]
) -> None:
    address("/top/inner/c").tell("crash")
    up("/top/inner", 2)


def calls(
    address: Callable[[str], Address], top: Callable[[str], SupervisorHandle], up: Callable[[str, int], None]
) -> None:
    handle = top("/top")
    handle.start_child(ChildSpec.of(Worker, id="new"))
    with pytest.raises(StartFailed):
        handle.start_child(ChildSpec.of(Worker, "fail", id="failing"))
    assert handle.start_child(ChildSpec.of(Worker, "decline", id="none")) is None
    handle.terminate_child("new")
    handle.restart_child("new")
    handle.terminate_child("inner")
    assert [(row.id, row.state.value) for row in handle.which_children()] == [
        ("a", "running"),
        ("b", "running"),
        ("declining", "stopped"),
        ("inner", "stopped"),
        ("new", "running"),
        ("none", "stopped"),
    ]


def by_path(events: list[Event]) -> dict[str, list[str]]:
    """What happened at each path, in order; between paths no order is promised."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for event in events:
        path = getattr(event, "path", None)
        if path is not None:
            found[path].append(f"{type(event).__name__} {getattr(event, 'generation', '')}")
    return dict(found)


def in_a_runtime(story: Story) -> dict[str, list[str]]:
    events, changed = list[Event](), threading.Condition()

    def take(recorded: RecordedEvent) -> None:
        with changed:
            events.append(recorded.event)
            changed.notify_all()

    def up(path: str, generation: int) -> None:
        def is_up() -> bool:
            return any(isinstance(e, ChildStarted) and (e.path, e.generation) == (path, generation) for e in events)

        with changed:
            assert changed.wait_for(is_up, timeout=PATIENCE)

    with Runtime.start(spec(), events=take) as runtime:
        story(runtime.address, runtime.supervisor, up)
    return by_path(events)


def under_test(story: Story, seed: int) -> dict[str, list[str]]:
    with TreeUnderTest(spec(), seed=seed) as tree:

        def up(path: str, generation: int) -> None:
            tree.wait_idle()
            assert tree.child(path).generation == generation

        story(tree.address, tree.supervisor, up)
        tree.stop()
        return by_path(list(tree.events.all))


@pytest.mark.parametrize("story", [crashes, gives_up, calls])
def test_what_happens_at_each_path_is_the_same(story: Story) -> None:
    real = in_a_runtime(story)

    assert len(real) >= 6
    for seed in range(3):
        assert real == under_test(story, seed)
