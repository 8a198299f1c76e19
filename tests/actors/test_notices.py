"""What a supervisor hears of a child comes in one order: Started, Ready, Exited."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from treewarden.actors import ActorRef, ChildNotice, Exited, Ready, Started, Unresponsive
from treewarden.actors._messages import Kill

if TYPE_CHECKING:
    from .conftest import Scripted, Steps, Threads

LOST = Unresponsive(1.0)


def kinds(notices: list[ChildNotice]) -> list[str]:
    return [
        f"Started ready={notice.ready}" if isinstance(notice, Started) else type(notice).__name__ for notice in notices
    ]


def deferring(*what: str) -> Callable[["Scripted"], None]:
    def act(actor: "Scripted") -> None:
        for name in what:
            getattr(actor.context, name)()

    return act


@pytest.mark.parametrize(
    ("in_start", "then", "expected"),
    [
        ([], [], ["Started ready=True"]),
        (["defer_ready"], [], ["Started ready=False"]),
        (["defer_ready"], ["announce_ready", "announce_ready"], ["Started ready=False", "Ready"]),
        (["defer_ready", "announce_ready"], ["announce_ready"], ["Started ready=True"]),
        (["defer_started"], [], []),
        (["defer_started"], ["announce_started", "announce_started"], ["Started ready=True"]),
        (["defer_started", "announce_started"], ["announce_started"], ["Started ready=True"]),
        ([], ["announce_started", "announce_ready"], ["Started ready=True"]),
        (["defer_started", "defer_ready"], ["announce_ready", "announce_started"], ["Started ready=True"]),
        (["defer_started", "defer_ready"], ["announce_started", "announce_ready"], ["Started ready=False", "Ready"]),
    ],
    ids=" ".join,
)
def test_start_and_readiness_are_announced_once_and_in_order(
    steps: "Steps", in_start: list[str], then: list[str], expected: list[str]
) -> None:
    ref, _ = steps.script(start=deferring(*in_start))
    steps.settle()
    ref.tell(deferring(*then))
    steps.settle()

    assert expected == kinds(steps.notices)


def test_an_actor_that_ends_before_its_deferred_start_has_not_started(steps: "Steps") -> None:
    ref, _ = steps.script(start=deferring("defer_started"), stop=deferring("announce_started"))
    steps.settle()
    ref.request_stop()
    steps.settle()

    assert ["Exited"] == kinds(steps.notices)


def test_an_end_declared_while_started_is_being_sent_comes_after_it_and_is_not_lost(steps: "Steps") -> None:
    """Another thread gives up on the actor in the middle of its notice."""
    order: list[str] = []
    refs: list[ActorRef[Any]] = []

    def notify(notice: ChildNotice) -> None:
        if isinstance(notice, Started):
            other = threading.Thread(target=refs[0].incarnation().abandon, args=(LOST,))
            other.start()
            other.join()
        order.append(type(notice).__name__)

    refs.append(steps.spawn(steps.scripted, [], {}, notify=notify))
    steps.settle()

    assert ["Started", "Exited"] == order
    assert LOST == refs[0].wait_stopped(timeout=0)


def test_an_announcement_that_comes_after_the_end_is_not_sent(steps: "Steps") -> None:
    def handler(actor: "Scripted") -> None:
        actor.context.incarnation().abandon(LOST)
        actor.context.announce_started()
        actor.context.announce_ready()

    ref, _ = steps.script(start=deferring("defer_started", "defer_ready"))
    ref.tell(handler)
    steps.settle()

    assert ["Exited"] == kinds(steps.notices)


def test_under_threads_no_notice_ever_follows_the_end(threads: "Threads") -> None:
    """Actors announce while others stop, kill or give up on them."""
    logs: list[list[str]] = []

    def begin(number: int) -> ActorRef[Any]:
        log: list[str] = []
        logs.append(log)
        ref = threads.spawn(
            threads.scripted,
            [],
            {"start": deferring("defer_started", "defer_ready")},
            path=f"/a{number}",
            notify=lambda notice: log.append(type(notice).__name__),
        )
        ref.tell(deferring("announce_started", "announce_ready"))
        return ref

    ends: list[Callable[[ActorRef[Any]], None]] = [
        lambda ref: ref.kill(),
        lambda ref: ref.incarnation().abandon(LOST),
        lambda ref: ref.request_stop(),
        lambda ref: ref.incarnation().tell_system(Kill()),
    ]
    for number in range(600):
        ends[number % len(ends)](begin(number))
    threads.settle()

    assert {1} == {log.count("Exited") for log in logs}
    assert {"Exited"} == {log[-1] for log in logs}
    assert all(log[:-1] in ([], ["Started"], ["Started", "Ready"]) for log in logs)


def test_a_notice_of_the_end_is_out_before_anybody_who_waits_can_start_a_successor(threads: "Threads") -> None:
    """The fence stands by then: `Exited` is sent on the declaring thread, before `kill` returns."""
    inside, release = threading.Event(), threading.Event()

    def hang(actor: "Scripted") -> None:
        inside.set()
        release.wait()

    ref = threads.spawn(threads.scripted, [], {"start": hang})
    assert inside.wait(timeout=5)
    ref.kill()
    try:
        assert [Exited] == [type(notice) for notice in threads.notices]
        assert ref.incarnation().is_fenced()
    finally:
        release.set()


def test_ready_is_sent_by_the_actor_that_deferred_it(steps: "Steps") -> None:
    ref, _ = steps.script(start=deferring("defer_ready"))
    steps.settle()
    ref.tell(deferring("announce_ready"))
    steps.settle()

    assert Ready(ref.incarnation().spec.id, ref.generation) == steps.notices[-1]
