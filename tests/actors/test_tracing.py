"""Statistics, traces and last events: set at a path, kept over restarts, and ended by themselves (A.13, B 3.4)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.actors import (
    Actor,
    ActorRef,
    ActorStatistics,
    ActorTraced,
    Generation,
    Rejected,
    Reply,
    StateRequest,
    TraceOptions,
    Unresponsive,
    spawn,
)
from treewarden.actors._requests import KeepEvents, SetTrace, StartStatistics, StopStatistics
from treewarden.actors._tracing import TraceVerdict, admit, open_budget

if TYPE_CHECKING:
    from .conftest import Scripted, Steps, Threads, World

TRACE = TraceOptions(limit=100, within=60.0, per_second=100)


def doing(act: "Callable[[Scripted], object]") -> "Callable[[Scripted], object]":
    """A message for a scripted actor, which calls it; what `act` returns is the answer."""
    return act


def crash(actor: "Scripted") -> None:
    raise ValueError("broken")


def reject(actor: "Scripted") -> None:
    raise Rejected("no")


def send(steps: "Steps", ref: ActorRef[Any], make: Callable[[Reply[Any]], StateRequest]) -> None:
    """What a call of `ref.sys` does, without waiting: on these steps nobody runs meanwhile."""
    steps.settle()
    reply: Reply[Any] = Reply()
    ref.incarnation().tell_system(make(reply))
    steps.settle()
    assert reply.get(timeout=0) is None


def trace(steps: "Steps", ref: ActorRef[Any], options: TraceOptions | None) -> None:
    send(steps, ref, lambda reply: SetTrace(reply, options))


def keep(steps: "Steps", ref: ActorRef[Any], count: int) -> None:
    send(steps, ref, lambda reply: KeepEvents(reply, count))


def again(world: "World", ref: ActorRef[Any]) -> ActorRef[Any]:
    """The next incarnation at the path of `ref`."""
    it = ref.incarnation()
    following = spawn(
        world.system,
        it.spec,
        path=it.path,
        parent=it.parent,
        generation=Generation(it.generation + 1),
        notify=world.notices.append,
    )
    world.refs.append(following)
    world.settle()
    return following


def traced(steps: "Steps") -> list[tuple[int, str, str]]:
    return [(event.generation, event.what, event.message) for event in steps.events.of(ActorTraced)]


def counted(ref: ActorRef[Any]) -> ActorStatistics:
    found = ref.sys.statistics()
    assert found is not None
    return found


# Traces


def test_each_message_taken_or_sent_is_an_event_that_names_its_type(steps: "Steps") -> None:
    other, _ = steps.script("/b")
    ref, _ = steps.script()
    trace(steps, ref, TRACE)
    ref.tell("secret")
    ref.ask(b"secret", block=False)
    ref.tell(doing(lambda _: other.tell(4)))
    steps.settle()

    assert [(1, "told", "str"), (1, "asked", "bytes"), (1, "told", "function"), (1, "sent", "int")] == traced(steps)


class Talkative(Actor):
    def describe_message(self, message: object) -> str:
        if message == "bad":
            raise ValueError(message)
        return f"<{message}>"


def test_an_actor_says_what_a_trace_may_show_and_its_failure_costs_nothing(steps: "Steps") -> None:
    ref = steps.spawn(Talkative)
    trace(steps, ref, TRACE)
    for message in ("good", "bad", "x" * 500):
        ref.tell(message)
    steps.settle()

    assert [(1, "told", "<good>"), (1, "told", "str")] == traced(steps)[:2]
    assert len(traced(steps)[2][2]) < 250
    assert ref.is_alive()


def test_a_trace_ends_by_its_count_and_says_so(steps: "Steps") -> None:
    ref, _ = steps.script()
    trace(steps, ref, TraceOptions(limit=2))
    for number in range(5):
        ref.tell(number)
    steps.settle()

    assert [
        (1, "told", "int"),
        (1, "told", "int"),
        (1, "ended", "trace after 2 lines, 0 left out"),
    ] == traced(steps)


def test_a_trace_ends_by_its_time_and_says_so(steps: "Steps") -> None:
    ref, _ = steps.script()
    trace(steps, ref, TraceOptions(within=10.0))
    ref.tell(1)
    steps.settle()
    steps.clock.advance(9.9)
    ref.tell(2)
    steps.settle()
    assert ref.sys.status(timeout=0).trace == TraceOptions(within=10.0)
    steps.clock.advance(0.1)
    assert ref.sys.status(timeout=0).trace is None
    ref.tell(3)
    ref.tell(4)
    steps.settle()

    assert ["told", "told", "ended"] == [what for _, what, _ in traced(steps)]


def test_a_trace_shows_no_more_lines_in_a_second_than_allowed_and_counts_the_rest(steps: "Steps") -> None:
    ref, _ = steps.script()
    trace(steps, ref, TraceOptions(limit=4, per_second=2))
    for _ in range(5):
        ref.tell("burst")
    steps.settle()
    assert 2 == len(traced(steps))
    steps.clock.advance(1.0)
    for _ in range(2):
        ref.tell("later")
    steps.settle()

    assert (1, "ended", "trace after 4 lines, 3 left out") == traced(steps)[-1]
    assert 5 == len(traced(steps))


def test_a_trace_is_ended_by_hand_without_a_word(steps: "Steps") -> None:
    ref, _ = steps.script()
    trace(steps, ref, TRACE)
    trace(steps, ref, None)
    ref.tell(1)
    steps.settle()

    assert [] == traced(steps)


def test_a_trace_survives_a_restart_with_what_is_left_of_it(steps: "Steps") -> None:
    """A.13: OTP loses it."""
    ref, _ = steps.script()
    trace(steps, ref, TraceOptions(limit=3))
    ref.tell(doing(crash))
    steps.settle()
    following = again(steps, ref)
    for _ in range(3):
        following.tell("x")
    steps.settle()

    assert [(1, "told"), (2, "told"), (2, "told"), (2, "ended")] == [(who, what) for who, what, _ in traced(steps)]


@given(
    gaps=st.lists(st.floats(0, 3), max_size=60),
    limit=st.integers(1, 20),
    within=st.floats(0.1, 30),
    per_second=st.integers(1, 5),
)
def test_no_trace_goes_on_beyond_its_bounds(gaps: list[float], limit: int, within: float, per_second: int) -> None:
    now = 100.0
    budget, shown = open_budget(TraceOptions(limit, within, per_second), now), list[float]()
    for gap in gaps:
        now += gap
        budget, verdict = admit(budget, now)
        if verdict in (TraceVerdict.SHOW, TraceVerdict.SHOW_AND_END):
            shown.append(now)
        if verdict in (TraceVerdict.END, TraceVerdict.SHOW_AND_END):
            break

    assert len(shown) <= limit
    assert all(at - 100.0 < within for at in shown)
    # Any second touches two of those that are counted.
    assert all(sum(at <= other < at + 1.0 for other in shown) <= 2 * per_second for at in shown)


@pytest.mark.parametrize("field", ["limit", "within", "per_second"])
@pytest.mark.parametrize("found", [0, -1, float("nan")])
def test_a_trace_without_an_end_is_refused(field: str, found: float) -> None:
    with pytest.raises(ValueError, match=rf"TraceOptions\({field}={found!r}\): expected a number above 0"):
        TraceOptions(**{field: found})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - what is refused


# Statistics


def test_nothing_is_counted_unless_asked_for(steps: "Steps") -> None:
    """An actor that nobody watches pays one look at a slot, and the runtime remembers nothing of it."""
    ref, _ = steps.script()
    steps.settle()

    assert ref.incarnation().instrument is None
    assert ref.sys.statistics() is None
    assert frozenset() == steps.system.instruments.paths()


def test_messages_answers_and_busy_time_are_counted(steps: "Steps") -> None:
    other, _ = steps.script("/b")
    later: list[Reply[Any]] = []
    ref, _ = steps.script()
    send(steps, ref, StartStatistics)
    since = steps.clock.wall()
    ref.tell(doing(lambda actor: [other.tell(1), other.ask(2, block=False)]))
    ref.tell(doing(lambda actor: steps.clock.advance(2.5)))
    ref.ask("answered", block=False)
    ref.ask(doing(reject), block=False)
    ref.ask(doing(lambda actor: later.append(actor.context.take_reply())), block=False)
    steps.settle()
    steps.clock.advance(1.0)

    seen = counted(ref)
    assert (5, 2, 2, 0, 2.5) == (seen.messages_in, seen.messages_out, seen.asks_answered, seen.crashes, seen.busy)
    assert (since, since + 3.5, 1) == (seen.since, seen.now, seen.generation)
    later[0].set("at last")
    assert 3 == counted(ref).asks_answered


def test_statistics_go_on_over_a_restart_and_tell_the_generation(steps: "Steps") -> None:
    """A.13: OTP answers `no_statistics` after one."""
    ref, _ = steps.script()
    send(steps, ref, StartStatistics)
    ref.tell(1)
    ref.ask(doing(lambda actor: actor.context.take_reply()), block=False)
    ref.tell(doing(crash))
    steps.settle()
    following = again(steps, ref)
    following.tell(2)
    steps.settle()

    seen = counted(following)
    assert (4, 1, 2) == (seen.messages_in, seen.crashes, seen.generation)
    assert 0 == seen.asks_answered, "an ask that the end failed was not answered"


def test_what_a_zombie_still_does_is_not_counted(steps: "Steps") -> None:
    """A.15: the counters are its successor's."""

    def handler(zombie: "Scripted") -> str:
        zombie.context.incarnation().abandon(Unresponsive(1.0))
        steps.clock.advance(9.0)
        return "too late"

    ref, _ = steps.script()
    send(steps, ref, StartStatistics)
    ref.ask(handler, block=False)
    steps.settle()

    assert (1, 0, 0.0) == (counted(ref).messages_in, counted(ref).asks_answered, counted(ref).busy)


def test_a_failed_start_counts_as_a_crash(steps: "Steps") -> None:
    fails: list[bool] = []

    def start(actor: "Scripted") -> None:
        if fails:
            raise LookupError("missing")

    ref, _ = steps.script(start=start)
    send(steps, ref, StartStatistics)
    ref.kill()
    steps.settle()
    fails.append(True)
    following = again(steps, ref)

    assert not following.is_alive()
    assert (1, 2) == (counted(following).crashes, counted(following).generation)


def test_starting_statistics_again_loses_nothing_and_stopping_them_forgets(steps: "Steps") -> None:
    ref, _ = steps.script()
    send(steps, ref, StartStatistics)
    ref.tell(1)
    send(steps, ref, StartStatistics)
    assert 1 == counted(ref).messages_in
    send(steps, ref, StopStatistics)

    assert ref.sys.statistics() is None
    assert ref.incarnation().instrument is None
    assert frozenset() == steps.system.instruments.paths()


def test_what_one_setting_leaves_the_others_keep(steps: "Steps") -> None:
    ref, _ = steps.script()
    send(steps, ref, StartStatistics)
    keep(steps, ref, 3)
    send(steps, ref, StopStatistics)
    ref.tell(1)
    steps.settle()

    assert ("told int (generation 1)",) == ref.sys.last_events()
    assert {ref.path} == steps.system.instruments.paths()
    steps.system.instruments.forget(ref.path)
    assert again(steps, ref).incarnation().instrument is None


def test_an_incarnation_that_was_given_up_on_sets_nothing_at_its_path(steps: "Steps") -> None:
    """A.15: the path is its successor's."""
    ref, _ = steps.script()

    def handler(zombie: "Scripted") -> None:
        zombie.context.incarnation().abandon(Unresponsive(1.0))
        zombie.actor_ref.sys.start_statistics()

    ref.tell(handler)
    steps.settle()

    assert frozenset() == steps.system.instruments.paths()


# Last events


def test_the_last_events_are_kept_oldest_first(steps: "Steps") -> None:
    ref, _ = steps.script()
    keep(steps, ref, 2)
    ref.tell(1)
    ref.ask("a", block=False)
    ref.tell(b"")
    steps.settle()

    assert ("asked str (generation 1)", "told bytes (generation 1)") == ref.sys.last_events()
    keep(steps, ref, 1)
    assert ("told bytes (generation 1)",) == ref.sys.last_events()
    keep(steps, ref, 0)
    assert () == ref.sys.last_events()


def test_the_last_events_survive_a_restart_and_show_it(steps: "Steps") -> None:
    ref, _ = steps.script()
    keep(steps, ref, 10)
    ref.tell(doing(crash))
    steps.settle()
    following = again(steps, ref)
    following.tell(1)
    steps.settle()

    assert (
        "told function (generation 1)",
        "ended Crashed (generation 1)",
        "told int (generation 2)",
    ) == following.sys.last_events()


def test_ten_events_are_kept_unless_said_otherwise_and_a_negative_number_is_refused(threads: "Threads") -> None:
    """B 3.4: OTP's ring holds ten."""
    ref, _ = threads.script()
    ref.sys.keep_events()
    assert 10 == ref.sys.status().kept_events
    for number in range(12):
        ref.ask(number)

    assert 10 == len(ref.sys.last_events())
    with pytest.raises(ValueError, match=r"keep_events\(-1\): expected a number of events, 0 or more"):
        ref.sys.keep_events(-1)


def test_all_settings_by_their_calls(threads: "Threads") -> None:
    ref, _ = threads.script()
    ref.sys.trace(TRACE)
    ref.sys.start_statistics()
    ref.sys.keep_events(3)
    ref.ask(1)
    seen = ref.sys.status()

    assert (TRACE, 3) == (seen.trace, seen.kept_events)
    assert seen.statistics is not None
    assert 1 == seen.statistics.messages_in
    assert ["asked"] == [event.what for event in threads.events.of(ActorTraced)]
    ref.sys.trace(None)
    ref.sys.stop_statistics()
    ref.sys.keep_events(0)
    assert ref.incarnation().instrument is None


def test_an_unwatched_neighbour_is_not_counted(steps: "Steps") -> None:
    ref, _ = steps.script()
    other = steps.spawn(Actor, path="/b")
    send(steps, ref, StartStatistics)
    other.tell(1)
    steps.settle()

    assert 0 == counted(ref).messages_in
    assert other.incarnation().instrument is None
