"""The directory of a runtime (supervision.md A.16)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import Actor, ActorPath, ActorRef, ChildSpec, Generation, spawn
from treewarden.supervision_trees._registry import Registry

if TYPE_CHECKING:
    from .conftest import Tree

PATH = ActorPath("/x")


class Known:
    """A status with facts."""

    def facts(self) -> dict[str, int]:
        return {"pid": 42}


@pytest.fixture
def make(tree: "Tree") -> Any:
    """Start an incarnation at `PATH`, known to nobody yet."""

    def start(generation: int = 1) -> ActorRef[Any]:
        ref = spawn(
            tree.system,
            ChildSpec.of(Actor, id="x"),
            path=PATH,
            parent=None,
            generation=Generation(generation),
            notify=None,
        )
        tree.settle()
        tree.refs.append(ref)
        return ref

    return start


def test_a_path_leads_to_what_was_registered_while_it_lives(tree: "Tree", make: Callable[..., ActorRef[Any]]) -> None:
    registry, ref = Registry(), make()
    assert registry.lookup(PATH) is None
    registry.register(PATH, ref)
    assert registry.lookup(PATH) is ref
    ref.kill()
    tree.settle()
    assert registry.lookup(PATH) is None


def test_letting_go_of_an_older_incarnation_leaves_the_newer_one(make: Callable[..., ActorRef[Any]]) -> None:
    registry, old, new = Registry(), make(1), make(2)
    registry.register(PATH, old)
    registry.register(PATH, new)
    registry.unregister(PATH, old)
    assert registry.lookup(PATH) is new
    registry.unregister(PATH, new)
    assert registry.lookup(PATH) is None
    registry.unregister(PATH, new)


def test_a_fact_is_told_or_the_error_says_why_not(make: Callable[..., ActorRef[Any]]) -> None:
    registry, ref = Registry(), make()
    with pytest.raises(LookupError, match="/x is not running, so its pid is not known"):
        registry.fact(PATH, "pid")
    registry.register(PATH, ref)
    with pytest.raises(LookupError, match="/x has no pid; it has nothing to offer"):
        registry.fact(PATH, "pid")
    ref.incarnation().published = Known()
    assert "42" == registry.fact(PATH, "pid")
    with pytest.raises(LookupError, match="/x has no port; it has pid"):
        registry.fact(PATH, "port")
