"""A supervisor answers system messages as every actor does (A.13, B 3.4: "supervisors included")."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import (
    Actor,
    ActorDead,
    ActorRef,
    ChildSpec,
    Exited,
    Reply,
    Shutdown,
    StateNotReplaceable,
    StateRequest,
)
from treewarden.actors._requests import GetState, ReplaceState, Resume, StartStatistics, Suspend
from treewarden.supervision_trees._supervisor import Description
from treewarden.supervision_trees._views import describe_supervisor

if TYPE_CHECKING:
    from .conftest import Threads, Tree


def child(name: str, actor: type[Actor] = Actor) -> ChildSpec:
    return ChildSpec.of(actor, id=name)


def send(tree: "Tree", ref: ActorRef[Any], make: Callable[[Reply[Any]], StateRequest]) -> Reply[Any]:
    """What a call of `ref.sys` does, without waiting: on these steps nobody runs meanwhile."""
    reply: Reply[Any] = Reply()
    ref.incarnation().tell_system(make(reply))
    tree.settle()
    return reply


class Fragile(Actor):
    def on_receive(self, message: object) -> None:
        raise ValueError("broken")


def test_the_state_of_a_supervisor_is_its_table(tree: "Tree") -> None:
    top = tree.start(child("a"), child("b"))

    found = send(tree, top, GetState).get(timeout=0)

    assert isinstance(found, Description)
    assert ["a", "b"] == [row.child.id for row in found.rows]


def test_the_state_of_a_supervisor_is_not_replaced_and_the_refusal_names_the_way(tree: "Tree") -> None:
    """A deviation from OTP: the table says what really runs."""
    top = tree.start(child("a"))

    reply = send(tree, top, lambda found: ReplaceState(found, lambda state: state))

    with pytest.raises(StateNotReplaceable, match="`change`"):
        reply.get(timeout=0)
    assert {"a": "running"} == tree.states()


def test_a_suspended_supervisor_restarts_nobody_until_it_goes_on(tree: "Tree") -> None:
    top = tree.start(child("a", Fragile))
    first = tree.ref("a")
    send(tree, top, Suspend)
    tree.tell("a", "crash")

    assert not first.is_alive()
    assert {"a": "running"} == tree.states(), "it answers, and has not heard of the end"
    send(tree, top, Resume)
    assert tree.ref("a").is_alive()
    assert tree.ref("a") is not first


def test_a_suspended_supervisor_stops_its_children_when_it_is_told_to_stop(tree: "Tree") -> None:
    top = tree.start(child("a"), child("b"))
    refs = [tree.ref("a"), tree.ref("b")]
    send(tree, top, Suspend)
    top.request_stop(Shutdown("enough"))
    tree.settle()

    assert isinstance(tree.exit, Exited)
    assert Shutdown("enough") == tree.exit.reason
    assert not any(ref.is_alive() for ref in refs)


def test_a_suspended_supervisor_takes_its_children_along_when_it_is_killed(tree: "Tree") -> None:
    top = tree.start(child("a"))
    ref = tree.ref("a")
    send(tree, top, Suspend)
    top.kill()
    tree.settle()

    assert not ref.is_alive()


def test_the_statistics_of_a_child_go_on_over_its_restart(tree: "Tree") -> None:
    """A.13."""
    tree.start(child("a", Fragile))
    send(tree, tree.ref("a"), StartStatistics)
    tree.tell("a", "crash")

    found = tree.ref("a").sys.statistics()

    assert found is not None
    assert (1, 1, 2) == (found.messages_in, found.crashes, found.generation)


def test_a_supervisor_tells_its_statistics_and_what_it_lets_through_of_its_state(threads: "Threads") -> None:
    top = threads.start(child("a"))
    top.sys.start_statistics()
    with pytest.raises(StateNotReplaceable):
        top.sys.replace_state(lambda state: state)
    seen = top.sys.status(timeout=5)

    assert seen.statistics is not None
    assert "{'a': 'running'}" == seen.state


def test_an_ended_supervisor_is_described_by_nobody(threads: "Threads") -> None:
    top = threads.start(child("a"))
    top.kill()
    top.wait_stopped(timeout=5)

    with pytest.raises(ActorDead):
        describe_supervisor(top, timeout=5)
