"""Registered names in a running tree (supervision.md A.16)."""

from collections.abc import Callable
from typing import Any

import pytest

from treewarden.actors import Actor, AlreadyRegistered, ChildReady, ChildSpec, Intensity, Restart
from treewarden.supervision_trees import StartFailed


class Printer(Actor):
    """Takes its name as early as it can."""

    def __init__(self) -> None:
        super().__init__()
        self.context.register("printer", "paper")
        self.context.join("machines")

    def on_receive(self, message: object) -> object:
        if message == "jam":
            raise ValueError("paper jam")
        return message


class BrokenPrinter(Printer):
    def on_start(self) -> None:
        raise ValueError("no paper")


def test_a_name_follows_its_actor_through_restarts(
    start: Any, events: Any, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    """A.16: it resolves to the new incarnation once that runs, and no restart fails of its predecessor's name."""
    runtime = start(ChildSpec.of(Printer, id="p"), intensity=Intensity(100, within=60.0))
    generations = {runtime.names.whereis("printer").generation}
    for number in range(2, 22):
        runtime.names.whereis("printer").tell("jam")
        events.wait(ChildReady, count=number)
        wait_until(lambda: runtime.names.whereis("printer") is not None)
        assert runtime.names.whereis("printer") is runtime.whereis("/dev/p")
        generations.add(runtime.names.whereis("printer").generation)

    assert 21 == len(generations)
    assert 1 == len(runtime.names.members("machines"))


def test_a_failed_start_leaves_its_name_to_the_next(start: Any) -> None:
    """A.16: it is free before the starter hears of the failure."""
    runtime = start()
    supervisor = runtime.supervisor("/dev")
    for number in range(20):
        with pytest.raises(StartFailed) as caught:
            supervisor.start_child(ChildSpec.of(BrokenPrinter, id=f"b{number}", restart=Restart.TEMPORARY))
        assert not isinstance(getattr(caught.value.reason, "error", None), AlreadyRegistered)
        assert runtime.names.whereis("printer") is None
    ref = supervisor.start_child(ChildSpec.of(Printer, id="p"))

    assert ref is runtime.names.whereis("printer")
    supervisor.terminate_child("p")
    assert runtime.names.whereis("printer") is None
    assert () == runtime.names.members("machines")
