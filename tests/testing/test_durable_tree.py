"""Durable actors in `TreeUnderTest`: no thread writes, so what they say leaves in the same turn."""

from typing import Any

from treewarden.actors import Actor, ChildSpec, Durability, Snapshots
from treewarden.storage import MemoryStore
from treewarden.supervision_trees.testing import TreeUnderTest


class Tally(Actor):
    """Adds what it is told, tells its neighbour, and asks it for its sum."""

    def __init__(self, neighbour: str | None = None) -> None:
        super().__init__()
        self.sum, self.neighbour = 0, neighbour

    def on_receive(self, message: int) -> int:
        self.sum += message
        if self.neighbour is not None:
            neighbour = self.context.address(self.neighbour)
            neighbour.tell(message)
            sum_: int = neighbour.ask(0)
            return sum_
        return self.sum

    def snapshot(self) -> int:
        return self.sum

    def restore(self, state: int) -> None:
        self.sum = state


class Ledger(Tally):
    """Does so by a journal."""

    durability = Durability.JOURNAL
    snapshot_every = 3

    def on_receive(self, message: int) -> int:
        self.context.record(message)
        return super().on_receive(message)

    def replay(self, entry: int) -> None:
        self.sum += entry


def tree(store: MemoryStore, kind: type[Tally]) -> TreeUnderTest:
    last, first = ChildSpec.of(kind, id="last"), ChildSpec.of(kind, "/top/last", id="first")
    return TreeUnderTest.of(last, first, services={Snapshots: Snapshots(store)})


def test_actors_that_keep_their_state_ask_each_other_crash_and_go_on() -> None:
    """One in whose turn the other is run holds what it said itself, and nothing else."""
    for kind in (Tally, Ledger):
        store = MemoryStore()
        with tree(store, kind) as under_test:
            first: Any = under_test.address("/top/first")
            answers = [first.ask(number) for number in (1, 2, 3, 4)]
            first.tell("no number")
            under_test.wait_idle()
            answers.append(first.ask(5))
        with tree(store, kind) as under_test:
            answers.append(under_test.address("/top/first").ask(0))

        assert [1, 3, 6, 10, 15, 15] == answers


class Relay(Tally):
    """Tells its neighbour."""

    def on_receive(self, message: int) -> int:
        self.sum += message
        self.context.address("/top/sink").tell(message)
        return self.sum


class Asker(Tally):
    """Asks the relay and crashes."""

    def on_receive(self, message: int) -> int:
        self.sum += message
        self.context.address("/top/relay").ask(message)
        raise ValueError("bad")


def test_what_leaves_while_another_actors_turn_is_under_way_on_the_same_thread_is_not_taken_for_its_word() -> None:
    """The relay runs, writes and lets go in the middle of the asker's turn; the asker's crash drops nothing of it."""
    kinds = {"sink": Tally, "relay": Relay, "asker": Asker}
    specs = [ChildSpec.of(kind, id=name) for name, kind in kinds.items()]
    with TreeUnderTest.of(*specs, services={Snapshots: Snapshots(MemoryStore())}) as under_test:
        under_test.address("/top/asker").tell(5)
        under_test.wait_idle()

        assert [5, 5] == [under_test.address(f"/top/{name}").ask(0) for name in ("sink", "relay")]
