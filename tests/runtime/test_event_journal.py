"""Events over restarts of a runtime: their numbers, what is kept, bursts, kill -9, and a store that takes no writes."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast, final

import pytest

from treewarden.actors import (
    Actor,
    ActorTraced,
    ChildSpec,
    DeadLetter,
    Event,
    RuntimeStopping,
    SystemClock,
    TraceOptions,
)
from treewarden.storage import (
    CommitFailed,
    EventJournal,
    KeptEvent,
    LmdbStore,
    MemoryStore,
    Operation,
    SnapshotStore,
    StoreError,
    StoreFull,
    StoreUnusable,
)
from treewarden.supervision_trees import (
    EventPick,
    EventsRead,
    ReadEvents,
    Runtime,
    StartFailed,
    Supervisor,
)
from treewarden.supervision_trees._event_keeping import BATCH, EventKeeping
from treewarden.supervision_trees._event_reading import EventReading
from treewarden.supervision_trees._parts import EventsActor
from treewarden.supervision_trees.telemetry import EventHub

PATIENCE = 20.0
WaitUntil = Callable[[Callable[[], bool]], None]
Start = Callable[..., Runtime]


class Teller(Actor):
    """Emits as many events as it is told."""

    def on_receive(self, message: int) -> None:
        for number in range(message):
            self.context.system.events.emit(DeadLetter(self.context.path, f"letter {number}"))


class FailsAtStart(Actor):
    def on_start(self) -> None:
        raise ValueError("no such port")


@final
class Refusing:
    """A store that takes no writes while it has something to say."""

    def __init__(self) -> None:
        self._store = MemoryStore()
        self.at_once: StoreError | None = None
        self.later: StoreError | None = None
        self.unreadable: StoreError | None = None
        self.refused = 0
        self._waiting: list[Callable[[], object]] = []

    def __getattr__(self, name: str) -> object:
        if self.unreadable is not None and name in {"row", "rows", "last_row"}:
            raise self.unreadable
        return getattr(self._store, name)

    def commit(self, operations: Sequence[Operation]) -> "Future[int]":
        for error in (self.at_once, self.later):
            if error is None:
                continue
            self.refused += 1
            if error is self.at_once:
                raise error
            failed = Future[int]()
            failed.set_exception(error)
            return failed
        return self._store.commit(operations)

    def when_writable(self, callback: Callable[[], object]) -> None:
        self._waiting.append(callback)

    def mend(self) -> None:
        """Take writes again."""
        self.at_once = self.later = self.unreadable = None
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

    def journal(self) -> EventJournal:
        return EventJournal(cast("SnapshotStore", self), wall=lambda: 2000.0)


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, event: str, **_: object) -> None:
        self.lines.append(event)

    def warning(self, event: str, **_: object) -> None:
        self.lines.append(event)

    def error(self, event: str, **_: object) -> None:
        self.lines.append(event)


def tree(*children: ChildSpec) -> ChildSpec:
    return ChildSpec.of(Supervisor, children=children, id="dev")


def read(runtime: Runtime, **fields: Any) -> EventsRead:
    answer = runtime.execute(ReadEvents(**fields))
    assert isinstance(answer, EventsRead)
    return answer


def read_all(runtime: Runtime, since: int = 0) -> tuple[list[dict[str, object]], int]:
    """Every event after `since`, read from the oldest on, and how many are missed."""
    found, missed, last = list[dict[str, object]](), 0, since
    while (page := read(runtime, since=last, pick=EventPick.OLDEST)).events:
        found += page.events
        missed, last = missed + page.missed, page.last
    return found, missed


def names(found: Sequence[dict[str, object]]) -> list[object]:
    return [event["event"] for event in found]


def numbers(found: Sequence[dict[str, object]]) -> list[object]:
    return [event["sequence"] for event in found]


def letters(keeping_hub: EventHub, count: int) -> None:
    for number in range(count):
        keeping_hub.emit(RuntimeStopping(str(number)))


def kept(journal: EventJournal) -> list[KeptEvent]:
    return list(journal.pages.since(0, 1_000_000).events)


@pytest.fixture
def run_teller() -> Iterator[Callable[[Path], "subprocess.Popen[str]"]]:
    """Start the program that tells events; it is killed at the end at the latest."""
    started: list[subprocess.Popen[str]] = []

    def start(state_dir: Path) -> "subprocess.Popen[str]":
        program = Path(__file__).parent / "programs" / "killed_teller.py"
        process = subprocess.Popen(
            [sys.executable, program, state_dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()


def hear(process: "subprocess.Popen[str]", until: str) -> list[int]:
    """The numbers that the program printed before the line `until`."""
    assert process.stdout is not None
    heard = list[int]()
    for line in process.stdout:
        if line.strip() == until:
            return heard
        heard.append(int(line))
    raise AssertionError(f"it ended before it said {until!r}")


def test_numbers_go_on_and_each_runtime_reads_what_all_before_told(start: Start, tmp_path: Path) -> None:
    for run in range(3):
        runtime = start(ChildSpec.of(Teller, id="teller"), state_dir=tmp_path)
        runtime.address("/dev/teller").ask(run)
        runtime.stop()

    runtime = start(state_dir=tmp_path)
    found, missed = read_all(runtime)

    assert (list(range(1, len(found) + 1)), 0) == (numbers(found), missed)
    assert 4 == len({event["runtime"] for event in found}), "each run has its name"
    assert 4 == names(found).count("RuntimeStarted")
    assert 3 == names(found).count("RuntimeStopped"), "the last event of a run is kept too"
    assert 3 == names(found).count("DeadLetter")
    assert [event["at"] for event in found] == sorted(cast("float", event["at"]) for event in found)


def test_a_number_is_never_given_twice_though_runtimes_are_killed(
    run_teller: Callable[[Path], "subprocess.Popen[str]"], start: Start, tmp_path: Path
) -> None:
    """Three runs, killed at any moment: what one told and could not keep no other tells under its number."""
    given: list[int] = []
    for _ in range(3):
        process = run_teller(tmp_path)
        given += hear(process, "ready")
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("500\n")
        process.stdin.flush()
        given += hear(process, "told")
        process.kill()
        given += [int(line) for line in process.stdout if line.strip() != "told"]
        process.wait()

    runtime = start(state_dir=tmp_path)
    found, missed = read_all(runtime)

    assert len(given) == len(set(given))
    assert sorted(given) == given
    assert min(cast("list[int]", numbers(found))[-5:]) > max(given), "the next run begins above them"
    assert 3 == names(found).count("EventsLost"), "after each of the killed ones"
    assert 0 == missed, "nobody knows how many, so none is counted"


def test_what_was_written_before_a_kill_is_there_after_it(
    run_teller: Callable[[Path], "subprocess.Popen[str]"], start: Start, tmp_path: Path
) -> None:
    process = run_teller(tmp_path)
    given = hear(process, "ready")
    for line in ("700\n", "0\n"):
        assert process.stdin is not None
        process.stdin.write(line)
        process.stdin.flush()
        given += hear(process, "told")
    process.kill()
    process.wait()

    found, missed = read_all(start(state_dir=tmp_path))

    assert (set(given) - set(numbers(found)), missed) == (set(), 0)
    assert 700 == names(found).count("DeadLetter")


def test_a_sweep_after_a_kill_goes_on_with_the_numbers_too(
    run_teller: Callable[[Path], "subprocess.Popen[str]"], start: Start, tmp_path: Path
) -> None:
    process = run_teller(tmp_path)
    given = hear(process, "ready")
    process.kill()
    process.wait()

    Runtime.sweep(tmp_path)
    found, missed = read_all(start(state_dir=tmp_path))

    assert 1 == names(found).count("EventsLost"), "the sweep has accounted for it, and ended in order"
    after = cast("list[int]", numbers(found))
    assert 0 == missed
    assert max(given) < after[-1] < max(given) + 10_100


def test_a_reader_goes_on_over_a_restart_where_it_was(start: Start, tmp_path: Path) -> None:
    first = start(state_dir=tmp_path)
    before, _ = read_all(first)
    last = cast("int", before[-1]["sequence"])
    first.stop()

    second = start(state_dir=tmp_path)
    after, missed = read_all(second, last)

    assert 0 == missed
    assert list(range(last + 1, last + 1 + len(after))) == numbers(after)
    assert ["RuntimeStopping", "RuntimeStopped"] == [n for n in names(after) if str(n).startswith("RuntimeStop")]


def test_the_newest_of_earlier_runs_are_read_too(start: Start, tmp_path: Path) -> None:
    first = start(ChildSpec.of(Teller, id="teller"), state_dir=tmp_path)
    first.address("/dev/teller").ask(20)
    first.stop()
    second = start(state_dir=tmp_path)

    newest = read(second, limit=12)

    assert (12, newest.last - 12) == (len(newest.events), newest.missed)
    assert list(range(newest.last - 11, newest.last + 1)) == numbers(newest.events)
    assert 2 == len({event["runtime"] for event in newest.events})


def test_events_since_a_time_come_from_the_run_of_that_time(start: Start, tmp_path: Path) -> None:
    start(state_dir=tmp_path).stop()
    runtime = start(state_dir=tmp_path)
    found, _ = read_all(runtime)
    middle = found[4]

    page = read(runtime, since_time=middle["at"], pick=EventPick.OLDEST)
    rest, _ = read_all(runtime, page.last)

    assert [event for event in found if cast("float", event["at"]) >= cast("float", middle["at"])] == [
        *page.events,
        *rest,
    ]
    assert () == read(runtime, since_time=2e10).events
    assert len(found) == len(read(runtime, since_time=0.0).events)


def test_what_a_failed_start_told_is_kept(start: Start, tmp_path: Path) -> None:
    with pytest.raises(StartFailed):
        Runtime.start(tree(ChildSpec.of(FailsAtStart, id="bad")), state_dir=tmp_path)

    found, _ = read_all(start(state_dir=tmp_path))

    assert "/dev/bad" in [event.get("path") for event in found if event["event"] == "ChildStartFailed"]


def test_a_stop_that_was_asked_for_before_the_store_was_open_has_its_number(tmp_path: Path) -> None:
    Runtime.start(tree(), state_dir=tmp_path).stop()

    with Runtime.start(tree(), state_dir=tmp_path, stop_requests=lambda ask: ask("before it began")) as runtime:
        found, _ = read_all(runtime)

    early = next(event for event in found if event.get("why") == "before it began")
    assert 10 == early["sequence"], "the first of the second run"
    assert list(range(1, len(found) + 1)) == numbers(found)


def test_without_a_state_directory_numbers_begin_at_one_and_nothing_is_kept(start: Start) -> None:
    for _ in range(2):
        runtime = start()
        assert 1 == read(runtime).events[0]["sequence"]
        assert runtime.whereis("/system/events") is None
        runtime.stop()


def test_a_burst_of_fifty_thousand_events_is_kept_or_counted(start: Start, tmp_path: Path) -> None:
    first = start(ChildSpec.of(Teller, id="teller"), state_dir=tmp_path)
    first.address("/dev/teller").ask(50_000, timeout=60.0)
    first.stop()
    second = start(state_dir=tmp_path)

    found, missed = read_all(second)

    told = [event for event in found if event["event"] == "DeadLetter"]
    lost = sum(cast("int", event["lost"]) for event in found if event["event"] == "EventsLost")
    assert missed == lost
    assert 50_000 <= len(told) + lost < 50_050
    assert len(told) >= 10_000, "what the hub remembers at the end is kept in any case"
    assert numbers(found) == sorted(cast("list[int]", numbers(found)))


def test_no_actor_waits_for_the_journal(start: Start, tmp_path: Path) -> None:
    runtime = start(ChildSpec.of(Teller, id="teller"), state_dir=tmp_path)
    ref = runtime.whereis("/system/events")
    assert ref is not None
    ref.sys.suspend()

    runtime.address("/dev/teller").ask(1000, timeout=PATIENCE)
    found, _ = read_all(runtime)

    ref.sys.resume()
    assert 1000 == names(found).count("DeadLetter")


def test_once_all_is_written_the_actor_rests(start: Start, tmp_path: Path, wait_until: WaitUntil) -> None:
    """An idle runtime has no timer of it, and makes no commits."""
    runtime = start(ChildSpec.of(Teller, id="teller"), state_dir=tmp_path)
    runtime.address("/dev/teller").ask(BATCH * 3)
    actor = cast("Any", runtime.whereis("/system/events")).incarnation().actor

    wait_until(lambda: actor._keeping.journal.last() == read(runtime, limit=1).last)

    wait_until(lambda: actor._doing.name == "RESTING")


def test_tracing_the_journals_own_actor_ends(start: Start, tmp_path: Path, wait_until: WaitUntil) -> None:
    """Each message of a traced actor is an event; one for each event would be one for each event."""
    runtime = start(state_dir=tmp_path)
    ref = runtime.whereis("/system/events")
    assert ref is not None
    actor = cast("Any", ref).incarnation().actor
    ref.sys.trace(TraceOptions(limit=1000, within=60.0))
    runtime._hub.emit(DeadLetter(ref.path, "something"))

    wait_until(lambda: actor._keeping.journal.last() >= read(runtime, limit=1).last - 10)
    wait_until(lambda: actor._doing.name == "RESTING")

    assert len([e for e in read(runtime).events if e["event"] == ActorTraced.__name__]) < 50


# With a store that fails


@pytest.fixture
def store() -> Refusing:
    return Refusing()


def keeping_of(store: Refusing, hub: EventHub) -> EventKeeping:
    return EventKeeping(hub, store.journal(), runtime="run", clock=SystemClock())


@pytest.fixture
def hub() -> Iterator[EventHub]:
    hub = EventHub(SystemClock(), first=None, remembered=100)
    yield hub
    hub.close()


FULL = StoreFull(Path("/s"), "no space left", "make room")


@pytest.mark.parametrize("how", ["at_once", "later"])
def test_while_the_store_takes_no_writes_the_hub_remembers_and_one_line_tells(  # noqa: PLR0917 - fixtures, by name
    start: Start, store: Refusing, hub: EventHub, wait_until: WaitUntil, capfd: pytest.CaptureFixture[str], how: str
) -> None:
    keeping = keeping_of(store, hub)
    keeping.begin(Lines(), within=PATIENCE)
    runtime = start(ChildSpec.of(EventsActor, keeping, id="events"))
    letters(hub, 3)
    wait_until(lambda: keeping.journal.last() == 3)

    setattr(store, how, FULL)
    letters(hub, 1)
    wait_until(lambda: store.refused == 1)
    letters(hub, 50)
    wait_until(lambda: len(store._waiting) == 1)
    store.mend()
    wait_until(lambda: keeping.journal.last() == 54)

    assert [str(n) for n in (0, 1, 2, 0, *range(50))] == [event.fields["why"] for event in kept(keeping.journal)]
    assert 1 == store.refused, "nobody asked again and again"
    runtime.stop()
    said = capfd.readouterr().err
    assert (1, 1) == (said.count("events are not kept for now"), said.count("events are kept again"))


def test_what_the_hub_forgets_meanwhile_is_a_gap_with_its_count(
    start: Start, store: Refusing, hub: EventHub, wait_until: WaitUntil
) -> None:
    keeping = keeping_of(store, hub)
    keeping.begin(Lines(), within=PATIENCE)
    start(ChildSpec.of(EventsActor, keeping, id="events"))
    store.at_once = FULL
    letters(hub, 1)
    wait_until(lambda: store.refused == 1)
    letters(hub, 350)  # it remembers 100

    store.mend()
    wait_until(lambda: keeping.journal.last() == 351)

    found = kept(keeping.journal)
    assert ("EventsLost", 1, 251, 251) == (found[0].fields["event"], found[0].first, found[0].sequence, found[0].lost)
    assert [str(n) for n in range(250, 350)] == [event.fields["why"] for event in found[1:]]
    assert 251 == keeping.journal.pages.since(0, 1000).missed


def test_a_store_that_fails_for_another_reason_is_tried_again_later(
    start: Start, store: Refusing, hub: EventHub, wait_until: WaitUntil
) -> None:
    keeping = keeping_of(store, hub)
    keeping.begin(Lines(), within=PATIENCE)
    start(ChildSpec.of(EventsActor, keeping, id="events"))
    store.later = CommitFailed(Path("/s"), "EIO", "look at the disk")
    letters(hub, 2)
    wait_until(lambda: store.refused == 1)
    store.later = None

    wait_until(lambda: keeping.journal.last() == 2)


def test_a_full_store_keeps_no_tree_from_starting_and_none_from_stopping(store: Refusing, hub: EventHub) -> None:
    log = Lines()
    keeping = keeping_of(store, hub)
    store.at_once = FULL

    keeping.begin(log, within=PATIENCE)
    letters(hub, 3)
    keeping.finish(log, within=PATIENCE)

    assert ["numbers of events are not reserved", "the last events are not kept"] == log.lines
    assert 3 == hub.last


def test_a_journal_that_cannot_be_read_is_an_error_to_whoever_asks(store: Refusing, hub: EventHub) -> None:
    keeping = keeping_of(store, hub)
    keeping.begin(Lines(), within=PATIENCE)
    letters(hub, 150)
    store.unreadable = StoreUnusable(Path("/s"), "EIO", "look at the disk")

    with pytest.raises(Exception, match="cannot be read: cannot use /s: EIO"):
        EventReading(hub, store.journal().pages, runtime="run").read(ReadEvents())
    remembered = EventReading(hub, store.journal().pages, runtime="run").read(
        ReadEvents(since=60, pick=EventPick.OLDEST)
    )
    assert 90 == len(remembered.events)


def test_an_event_that_cannot_be_told_keeps_no_other_from_being_kept(store: Refusing, hub: EventHub) -> None:
    class Untold(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even its text")

    from treewarden.actors import ChildExited, Crashed

    keeping = keeping_of(store, hub)
    keeping.begin(Lines(), within=PATIENCE)
    events: list[Event] = [
        RuntimeStopping("a"),
        cast("Any", ChildExited)("/dev/x", 1, Crashed(Untold())),
        RuntimeStopping("b"),
    ]
    for event in events:
        hub.emit(event)

    keeping.finish(Lines(), within=PATIENCE)

    assert ["RuntimeStopping", "ChildExited", "RuntimeStopping"] == [e.fields["event"] for e in kept(keeping.journal)]


def test_a_damaged_event_is_a_line_at_its_place(start: Start, tmp_path: Path) -> None:
    start(state_dir=tmp_path).stop()
    from treewarden.storage import PutRow, Table
    from treewarden.storage._event_rows import key_of

    store = LmdbStore.open(tmp_path / "store")
    store.commit([PutRow(Table.EVENTS, key_of(4), b"\xc1")]).result(PATIENCE)
    store.close()

    found, missed = read_all(start(state_dir=tmp_path))

    assert (list(range(1, len(found) + 1)), 1) == (numbers(found), missed)
    assert ("EventDamaged", "error") == (found[3]["event"], found[3]["level"])
    assert str(found[3]["text"]).startswith("event 4 cannot be read: ")


def test_a_page_of_very_long_events_is_cut_and_the_next_one_goes_on(start: Start, tmp_path: Path) -> None:
    runtime = start(state_dir=tmp_path)
    for number in range(30):
        runtime._hub.emit(RuntimeStopping(f"{number} " + "long " * 30_000))

    newest = read(runtime)
    found, missed = read_all(runtime)

    assert 0 < len(newest.events) < 30
    assert newest.last - len(newest.events) == newest.missed
    assert (list(range(1, len(found) + 1)), 0) == (numbers(found), missed)
