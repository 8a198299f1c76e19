"""Tests of a tree, as its owner would write them: pytest, one thread, and not a second of waiting.

Run it with `pytest examples/test_my_tree.py`, or as a script.
"""

from collections.abc import Iterator

import pytest

from treewarden.actors import (
    Actor,
    Backoff,
    ChildAbandoned,
    ChildRestarting,
    ChildSpec,
    Intensity,
    ManagedProcess,
    ProcessSpec,
    Restart,
    Shutdown,
)
from treewarden.supervision_trees import ChildState, Supervisor
from treewarden.supervision_trees.testing import FailsAtStart, IgnoresStop, TreeUnderTest, scripted

# What is tested. In your project this stands in a module of its own.


class Indexer(Actor):
    """Collects words; a message that is no text crashes it."""

    def on_start(self) -> None:
        """Begin with an empty index, and clear it each minute."""
        self.words: set[str] = set()
        self.context.send_every(60.0, "clear")

    def on_receive(self, message: str) -> int:
        """Add a word and answer with the number of words."""
        if message == "clear":
            self.words.clear()
        else:
            self.words.add(message.lower())
        return len(self.words)


def my_tree() -> ChildSpec:
    """A database, and an indexer that needs it."""
    return ChildSpec.of(
        Supervisor,
        id="dev",
        intensity=Intensity(3, within=5.0),
        children=[
            ChildSpec.of(ManagedProcess, ProcessSpec(command=("redis-server",)), id="db", backoff=Backoff(jitter=0.0)),
            ChildSpec.of(Indexer, id="indexer", needs=("db",), restart=Restart.TRANSIENT),
        ],
    )


# The tests.


@pytest.fixture
def tree() -> Iterator[TreeUnderTest]:
    """The tree, started. No process runs: a scripted child stands in for `db`."""
    with TreeUnderTest(my_tree()) as started:
        yield started


def test_the_indexer_counts_words(tree: TreeUnderTest) -> None:
    """An `ask` runs the tree until there is an answer."""
    indexer = tree.address("/dev/indexer")

    assert indexer.ask("Hello") == 1
    assert indexer.ask("hello") == 1


def test_each_minute_it_forgets(tree: TreeUnderTest) -> None:
    """A minute of the tree's clock takes no time."""
    tree.address("/dev/indexer").tell("hello")
    tree.advance(60.0)

    assert tree.address("/dev/indexer").ask("world") == 1


def test_after_a_crash_it_starts_with_an_empty_index(tree: TreeUnderTest) -> None:
    """The exception reaches whoever asked, and the supervisor starts a fresh indexer."""
    indexer = tree.address("/dev/indexer")
    indexer.tell("hello")
    with pytest.raises(AttributeError):
        indexer.ask(7)
    tree.wait_idle()

    assert tree.child("indexer").restarts == 1
    assert indexer.ask("world") == 1


def test_a_database_that_does_not_come_back_is_tried_again_later(tree: TreeUnderTest) -> None:
    """Orders to a child take effect when the tree is run."""
    tree.child("db").next_start(FailsAtStart(), FailsAtStart())
    tree.child("db").crashes()
    tree.wait_idle()
    assert tree.child("db").state is ChildState.RESTARTING

    tree.advance(0.2 + 0.4 + 0.8)
    assert tree.child("db").state is ChildState.RUNNING
    assert [event.delay for event in tree.events.of(ChildRestarting)] == [0.2, 0.4, 0.8]


def test_a_database_that_keeps_crashing_takes_the_tree_down(tree: TreeUnderTest) -> None:
    """More than three restarts within five seconds."""
    tree.child("db").next_start(*[FailsAtStart()] * 3)
    tree.child("db").crashes()
    tree.advance(5.0)

    assert tree.ended == Shutdown("intensity")


@pytest.mark.parametrize("seed", range(5))
def test_a_child_that_ignores_its_stop_is_abandoned(seed: int) -> None:
    """Children can be scripted from the start; each seed lets the actors run in another order."""
    with TreeUnderTest.of(scripted("stubborn", IgnoresStop(), shutdown=2.0), scripted("good"), seed=seed) as tree:
        report = tree.stop()

        assert report.abandoned == ("/top/stubborn",)
        assert [event.after for event in tree.events.of(ChildAbandoned)] == [2.0]


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-p", "no:cacheprovider"]))
