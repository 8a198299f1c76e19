"""The event hub: order, a bounded memory, readers that wait, subscribers that fail."""

import threading
from collections.abc import Callable, Sequence

import pytest

from treewarden.actors import RuntimeStopping
from treewarden.actors.testing import ManualClock
from treewarden.supervision_trees import RecordedEvent
from treewarden.supervision_trees.telemetry import EventHub

WaitSet = Callable[[threading.Event], None]


def whys(recorded: tuple[RecordedEvent, ...]) -> list[str]:
    return [found.event.why for found in recorded if isinstance(found.event, RuntimeStopping)]


def test_events_are_numbered_from_one_in_the_order_they_were_emitted(hub: EventHub, clock: ManualClock) -> None:
    hub.emit(RuntimeStopping("a"))
    clock.advance(2.5)
    hub.emit(RuntimeStopping("b"))

    found, missed = hub.since(0, limit=10, wait=0)

    assert [(1, "a"), (2, "b")] == list(zip((r.sequence for r in found), whys(found), strict=True))
    assert [0.0, 2.5] == [recorded.at - found[0].at for recorded in found]
    assert missed == 0


def test_a_subscriber_gets_each_event_once_in_order_even_from_many_threads(clock: ManualClock) -> None:
    hub = EventHub(clock, remembered=1000)
    got: list[RecordedEvent] = []
    hub.subscribe(got.append)

    def emit_many(name: str) -> None:
        for number in range(200):
            hub.emit(RuntimeStopping(f"{name} {number}"))

    threads = [threading.Thread(target=emit_many, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hub.close()

    assert list(range(1, 801)) == [recorded.sequence for recorded in got]
    for name in "abcd":  # and each sender's own events in its order
        assert [f"{name} {n}" for n in range(200)] == [why for why in whys(tuple(got)) if why.startswith(name)]


def test_a_subscriber_hears_nothing_of_what_came_before_it(hub: EventHub, wait_set: WaitSet) -> None:
    entered, gate = threading.Event(), threading.Event()
    got: list[RecordedEvent] = []

    def hold(_: RecordedEvent) -> None:
        entered.set()
        gate.wait(10.0)

    hub.subscribe(hold)
    hub.emit(RuntimeStopping("held"))
    wait_set(entered)
    hub.emit(RuntimeStopping("before"))
    hub.subscribe(got.append)
    hub.emit(RuntimeStopping("after"))
    gate.set()
    hub.close()

    assert whys(tuple(got)) == ["after"]


def test_a_subscriber_runs_on_the_hubs_thread_and_holds_up_no_sender(hub: EventHub, wait_set: WaitSet) -> None:
    entered, gate = threading.Event(), threading.Event()
    threads: list[str] = []

    def slow(_: RecordedEvent) -> None:
        threads.append(threading.current_thread().name)
        entered.set()
        gate.wait(10.0)

    hub.subscribe(slow)
    hub.emit(RuntimeStopping("a"))
    wait_set(entered)
    hub.emit(RuntimeStopping("b"))  # returns although the subscriber is busy
    found, _ = hub.since(0, limit=10, wait=0)
    gate.set()
    hub.close()

    assert ["a", "b"] == whys(found)
    assert ["treewarden-events"] * 2 == threads


def test_only_the_newest_events_are_remembered_and_the_others_are_counted_as_missed(hub: EventHub) -> None:
    for number in range(10):
        hub.emit(RuntimeStopping(str(number)))

    assert (["7", "8", "9"], 7) == (whys(hub.since(0, limit=100, wait=0)[0]), hub.since(0, limit=100, wait=0)[1])
    assert (["8", "9"], 0) == (whys(hub.since(8, limit=100, wait=0)[0]), hub.since(8, limit=100, wait=0)[1])


def test_a_limit_gives_the_newest_and_counts_what_it_cut(hub: EventHub) -> None:
    for number in range(3):
        hub.emit(RuntimeStopping(str(number)))

    found, missed = hub.since(0, limit=2, wait=0)

    assert (["1", "2"], 1) == (whys(found), missed)
    assert ((), 3) == hub.since(0, limit=0, wait=0)


def test_a_reader_ahead_of_the_hub_gets_nothing_and_misses_nothing(hub: EventHub) -> None:
    hub.emit(RuntimeStopping("a"))

    assert ((), 0) == hub.since(99, limit=10, wait=0)


def test_a_waiting_reader_wakes_at_the_next_event(hub: EventHub) -> None:
    answers: list[tuple[tuple[RecordedEvent, ...], int]] = []
    hub.emit(RuntimeStopping("seen"))
    reader = threading.Thread(target=lambda: answers.append(hub.since(1, limit=10, wait=30.0)))
    reader.start()

    hub.emit(RuntimeStopping("news"))
    reader.join(10.0)

    assert [(["news"], 0)] == [(whys(found), missed) for found, missed in answers]


def test_a_waiting_reader_is_let_go_when_the_hub_closes(hub: EventHub) -> None:
    answers: list[tuple[tuple[RecordedEvent, ...], int]] = []
    reader = threading.Thread(target=lambda: answers.append(hub.since(0, limit=10, wait=30.0)))
    reader.start()

    hub.close()
    reader.join(10.0)

    assert [((), 0)] == answers


def test_a_wait_for_an_event_that_does_not_come_ends(hub: EventHub) -> None:
    assert ((), 0) == hub.since(0, limit=10, wait=0.01)


def test_a_failing_subscriber_is_dropped_with_one_report_and_the_others_go_on(
    hub: EventHub, capsys: pytest.CaptureFixture[str]
) -> None:
    good: list[RecordedEvent] = []
    calls: list[RecordedEvent] = []

    def bad(recorded: RecordedEvent) -> None:
        calls.append(recorded)
        raise ValueError("the disk is full")

    hub.subscribe(bad)
    hub.subscribe(good.append)
    for why in "abc":
        hub.emit(RuntimeStopping(why))
    hub.close()

    assert ["a"] == whys(tuple(calls))
    assert ["a", "b", "c"] == whys(tuple(good))
    said = capsys.readouterr().err
    assert said.startswith("treewarden: an event subscriber failed and was dropped:\n")
    assert said.endswith("ValueError: the disk is full\n")
    assert said.count("treewarden:") == 1


def test_closing_passes_on_what_was_emitted_and_may_be_repeated(hub: EventHub) -> None:
    got: list[RecordedEvent] = []
    hub.subscribe(got.append)
    for why in "ab":
        hub.emit(RuntimeStopping(why))

    hub.close()
    hub.close()

    assert ["a", "b"] == whys(tuple(got))
    assert "treewarden-events" not in [thread.name for thread in threading.enumerate()]


def test_a_subscriber_may_close_the_hub(hub: EventHub, wait_set: WaitSet) -> None:
    closed = threading.Event()

    def close(_: RecordedEvent) -> None:
        hub.close()
        closed.set()

    hub.subscribe(close)
    hub.emit(RuntimeStopping("a"))

    wait_set(closed)


def test_a_subscriber_may_subscribe_another(hub: EventHub) -> None:
    got: list[RecordedEvent] = []

    def subscribe_once(recorded: RecordedEvent) -> None:
        if recorded.sequence == 1:
            hub.subscribe(got.append)
            hub.emit(RuntimeStopping("second"))

    hub.subscribe(subscribe_once)
    hub.emit(RuntimeStopping("first"))
    hub.since(1, limit=1, wait=10.0)
    hub.close()

    assert ["second"] == whys(tuple(got))


def test_a_hub_that_nobody_has_subscribed_to_has_no_thread(hub: EventHub, wait_set: WaitSet) -> None:
    hub.emit(RuntimeStopping("before"))
    assert "treewarden-events" not in [thread.name for thread in threading.enumerate()]
    heard, got = threading.Event(), list[RecordedEvent]()

    def hear(recorded: RecordedEvent) -> None:
        got.append(recorded)
        heard.set()

    hub.subscribe(hear)
    hub.emit(RuntimeStopping("after"))
    wait_set(heard)

    assert [(2, "after")] == [(recorded.sequence, why) for recorded, why in zip(got, whys(tuple(got)), strict=True)]


def test_a_subscriber_after_the_end_hears_nothing_and_begins_no_thread(hub: EventHub) -> None:
    got: list[RecordedEvent] = []
    hub.close()

    hub.subscribe(got.append)
    hub.emit(RuntimeStopping("late"))

    assert got == []
    assert "treewarden-events" not in [thread.name for thread in threading.enumerate()]


def test_an_event_after_the_end_is_remembered_and_reaches_no_subscriber(hub: EventHub) -> None:
    got: list[RecordedEvent] = []
    hub.subscribe(got.append)
    hub.close()

    hub.emit(RuntimeStopping("late"))

    assert got == []
    assert ["late"] == whys(hub.since(0, limit=1, wait=0)[0])


def test_a_subscriber_that_falls_too_far_behind_misses_the_oldest_and_is_told(
    clock: ManualClock, wait_set: WaitSet, capsys: pytest.CaptureFixture[str]
) -> None:
    """Memory stays bounded however slow a terminal is."""
    hub = EventHub(clock, remembered=10)
    entered, gate = threading.Event(), threading.Event()
    got: list[RecordedEvent] = []

    def slow(recorded: RecordedEvent) -> None:
        entered.set()
        gate.wait(10.0)
        got.append(recorded)

    hub.subscribe(slow)
    hub.emit(RuntimeStopping("first"))
    wait_set(entered)
    for number in range(25):
        hub.emit(RuntimeStopping(str(number)))
    gate.set()
    hub.close()

    assert whys(tuple(got)) == ["first", *(str(number) for number in range(15, 25))]
    assert "missed 15 events" in capsys.readouterr().err


def test_numbers_begin_where_they_are_told_to(clock: ManualClock) -> None:
    hub = EventHub(clock, first=42)
    got: list[RecordedEvent] = []
    hub.subscribe(got.append)

    hub.emit(RuntimeStopping("a"))
    hub.emit(RuntimeStopping("b"))
    hub.close()

    assert [42, 43] == [recorded.sequence for recorded in got]
    assert ([42, 43], 0) == (
        [r.sequence for r in hub.since(41, limit=10, wait=0)[0]],
        hub.since(41, limit=10, wait=0)[1],
    )


def test_what_is_emitted_before_the_numbers_are_known_is_heard_of_once_they_are(clock: ManualClock) -> None:
    hub = EventHub(clock, first=None)
    early, late = list[RecordedEvent](), list[RecordedEvent]()
    hub.subscribe(early.append)
    hub.emit(RuntimeStopping("a"))
    hub.subscribe(late.append)
    hub.emit(RuntimeStopping("b"))

    hub.number_from(100)
    hub.emit(RuntimeStopping("c"))
    hub.close()

    assert [(100, "a"), (101, "b"), (102, "c")] == list(
        zip((r.sequence for r in early), whys(tuple(early)), strict=True)
    )
    assert [101, 102] == [recorded.sequence for recorded in late]


def test_a_hub_that_never_learns_its_numbers_passes_on_what_it_has_when_it_closes(clock: ManualClock) -> None:
    """A store that cannot be opened: what led to that is to be heard of."""
    hub = EventHub(clock, first=None)
    got: list[RecordedEvent] = []
    hub.subscribe(got.append)
    hub.emit(RuntimeStopping("a"))

    hub.close()

    assert [(1, "a")] == [(recorded.sequence, why) for recorded, why in zip(got, whys(tuple(got)), strict=True)]


def test_the_oldest_that_are_remembered_come_first_with_what_is_forgotten_before_them(hub: EventHub) -> None:
    for number in range(10):
        hub.emit(RuntimeStopping(str(number)))

    for sequence, limit, expected, forgotten in ((0, 2, ["7", "8"], 7), (7, 10, ["7", "8", "9"], 0), (9, 1, ["9"], 0)):
        found, missing = hub.after(sequence, limit=limit)
        assert (expected, forgotten) == (whys(found), missing)
    assert ((), 0) == hub.after(10, limit=5) == hub.after(99, limit=5)
    assert 10 == hub.last


def test_the_first_event_of_a_time_is_found_and_whether_there_may_be_an_earlier_one(
    hub: EventHub, clock: ManualClock
) -> None:
    began = clock.wall()
    for number in range(5):  # the last three are remembered: 3, 4 and 5, of 2, 3 and 4 seconds
        hub.emit(RuntimeStopping(str(number)))
        clock.advance(1.0)

    assert (3, False) == hub.first_at(began + 1.0)
    assert (4, True) == hub.first_at(began + 2.5)
    assert (6, True) == hub.first_at(began + 9.0)


def test_a_watcher_hears_that_there_is_news_until_it_is_let_go(hub: EventHub, wait_set: WaitSet) -> None:
    heard, news, got = threading.Event(), list[RecordedEvent](), list[RecordedEvent]()

    def hear(found: Sequence[RecordedEvent]) -> None:
        news.extend(found)
        heard.set()

    hub.emit(RuntimeStopping("before"))
    hub.watch(hear)
    hub.subscribe(got.append)
    hub.emit(RuntimeStopping("a"))
    wait_set(heard)
    hub.unwatch(hear)
    hub.unwatch(hear)
    hub.emit(RuntimeStopping("b"))
    hub.close()

    assert (["a"], ["a", "b"]) == (whys(tuple(news)), whys(tuple(got)))


def test_a_burst_that_a_watcher_slept_through_is_no_ones_loss(
    clock: ManualClock, wait_set: WaitSet, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = EventHub(clock, remembered=10)
    entered, gate, news = threading.Event(), threading.Event(), list[RecordedEvent]()

    def hear(found: Sequence[RecordedEvent]) -> None:
        entered.set()
        gate.wait(10.0)
        news.extend(found)

    hub.watch(hear)
    hub.emit(RuntimeStopping("first"))
    wait_set(entered)
    for number in range(25):
        hub.emit(RuntimeStopping(str(number)))
    gate.set()
    hub.close()

    assert whys(tuple(news)) == ["first", *(str(number) for number in range(15, 25))]
    assert "" == capsys.readouterr().err


def test_a_failing_watcher_is_dropped_and_the_subscribers_go_on(
    hub: EventHub, capsys: pytest.CaptureFixture[str]
) -> None:
    got: list[RecordedEvent] = []

    def bad(_: object) -> None:
        raise ValueError("no")

    hub.watch(bad)
    hub.subscribe(got.append)
    hub.emit(RuntimeStopping("a"))
    hub.close()

    assert ["a"] == whys(tuple(got))
    assert 1 == capsys.readouterr().err.count("was dropped")
