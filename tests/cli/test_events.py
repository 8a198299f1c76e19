"""`events`: of a running tree with scripted answers, of a stopped one from its store, and what `--since` takes."""

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.actors import ChildSpec
from treewarden.supervision_trees import EventPick, Runtime, Supervisor
from treewarden.supervision_trees._control import Command, EventsRead, ReadEvents
from treewarden.supervision_trees.cli._event_since import SINCE_RULE, Since, parse_since

Answers: TypeAlias = dict[type[Command], Callable[[Command], object]]
Run: TypeAlias = Callable[..., tuple[int, str, str]]
Serve: TypeAlias = Callable[[], object]

NOW = datetime(2026, 11, 30, 15, 0, 0).astimezone().timestamp()


def event(sequence: int, text: str = "it happened") -> dict[str, object]:
    return {"sequence": sequence, "at": 1_700_000_000.25, "event": "ChildStarted", "level": "info", "text": text}


@pytest.fixture
def asked(answers: Answers) -> list[Command]:
    """What the runtime, which has told ten events, was asked for."""
    commands: list[Command] = []

    def read(command: Command) -> EventsRead:
        assert isinstance(command, ReadEvents)
        commands.append(command)
        later = [event(number) for number in range(command.since + 1, 11)]
        if command.pick is EventPick.NEWEST:
            found = later[-command.limit :]
            return EventsRead(tuple(found), 10, len(later) - len(found))
        found = later[:3]  # as few as if they were long
        return EventsRead(tuple(found), command.since + len(found), 0)

    answers[ReadEvents] = read
    return commands


def sequences(out: str) -> list[int]:
    return [int(line.split()[0]) for line in out.splitlines()]


def test_events_are_lines_with_their_number_time_level_and_text(serve: Serve, run: Run, answers: Answers) -> None:
    answers[ReadEvents] = lambda _: EventsRead((event(8, "/dev/api started"), event(9, "two\nlines")), 9, 0)
    serve()

    code, out, err = run("events")

    assert (0, "") == (code, err)
    first, second = out.splitlines()
    day = datetime.fromtimestamp(1_700_000_000.25).astimezone().date()
    assert ["8", day.isoformat(), "info", "/dev/api", "started"] == [*first.split()[:2], *first.split()[3:]]
    assert first.split()[2].endswith(".250")
    assert second.endswith("two\\nlines")


def test_an_event_of_today_has_no_date(serve: Serve, run: Run, answers: Answers) -> None:
    now = datetime.now().astimezone().timestamp()
    answers[ReadEvents] = lambda _: EventsRead(({**event(1), "at": now},), 1, 0)
    serve()

    assert "-" not in run("events")[1]


def test_without_since_the_newest_thousand_are_told_and_what_came_before_is_pointed_at(
    serve: Serve, run: Run, answers: Answers
) -> None:
    answers[ReadEvents] = lambda _: EventsRead((event(8), event(9)), 9, 5)
    serve()

    code, out, err = run("events")

    assert (0, [8, 9]) == (code, sequences(out))
    assert "treewarden: 5 earlier events are not shown; all that are kept: treewarden events --since 0\n" == err


def test_since_a_number_tells_all_after_it_page_by_page(serve: Serve, run: Run, asked: list[Command]) -> None:
    serve()

    assert (0, [3, 4, 5, 6, 7, 8, 9, 10], "") == (
        (found := run("events", "--since", "2"))[0],
        sequences(found[1]),
        found[2],
    )
    assert [2, 5, 8] == [command.since for command in asked[1:] if isinstance(command, ReadEvents)]


def test_a_limit_tells_the_newest_and_says_nothing_of_the_others(serve: Serve, run: Run, asked: list[Command]) -> None:
    serve()

    assert ([9, 10], "") == ((found := run("events", "-n", "2"))[1] and sequences(found[1]), found[2])
    assert [9, 10] == sequences(run("events", "--limit", "2", "--since", "3")[1])
    assert [ReadEvents(limit=2), ReadEvents(since=3, limit=2)] == asked


def test_since_a_time_asks_for_that_time(serve: Serve, run: Run, asked: list[Command]) -> None:
    serve()

    run("events", "--since", "2026-11-30T12:00:00+00:00", "-n", "5")

    noon = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
    assert [ReadEvents(since_time=noon, limit=5)] == asked


def test_as_json_it_is_one_document_with_what_is_missed(serve: Serve, run: Run, answers: Answers) -> None:
    answers[ReadEvents] = lambda _: EventsRead((event(8), event(9)), 9, 5)
    serve()

    assert {"events": [event(8), event(9)], "last": 9, "missed": 5} == json.loads(run("events", "--json")[1])


def test_events_that_are_missing_are_told_of_where_they_would_be(serve: Serve, run: Run, answers: Answers) -> None:
    answers[ReadEvents] = lambda _: EventsRead((event(8), event(9)), 9, 5)
    serve()

    assert "5 events are missing here: they are no longer kept, or could not be" in run("events", "--since", "2")[2]


def test_of_a_stopped_tree_they_are_read_from_its_store(run: Run, state_dir: Path) -> None:
    tree = ChildSpec.of(Supervisor, id="dev")
    for _ in range(2):
        Runtime.start(tree, state_dir=state_dir).stop()

    code, out, err = run("events")
    count = len(out.splitlines())

    assert (0, "", list(range(1, count + 1))) == (code, err, sequences(out))
    assert 2 == out.count("runs the tree /dev")
    assert out.splitlines()[-1].endswith("the tree has stopped: 1 ended")
    assert list(range(6, count + 1)) == sequences(run("events", "--since", "5")[1])
    assert [count] == sequences(run("events", "-n", "1", "--since", "1h")[1])
    assert list(range(1, count + 1)) == sequences(run("events", "--since", "1d")[1])
    document = json.loads(run("events", "--json", "--since", "0")[1])
    assert (count, count, 0) == (len(document["events"]), document["last"], document["missed"])
    assert (0, "", "") == run("events", "--since", str(count))
    assert (0, "", "") == run("events", "--since", str(2**63 - 1))
    with Runtime.start(tree, state_dir=state_dir):
        assert count + 1 in sequences(run("events")[1]), "reading changed nothing, and the numbers go on"


def test_a_stopped_tree_cannot_be_followed_and_says_how_to_look_back(run: Run, state_dir: Path) -> None:
    Runtime.start(ChildSpec.of(Supervisor, id="dev"), state_dir=state_dir).stop()

    code, out, err = run("events", "-f")

    assert (1, "") == (code, out)
    assert err.startswith("treewarden: no runtime is running with the state directory")
    assert f"treewarden events --state {state_dir} (without -f)" in err


def test_where_nothing_ever_ran_there_are_no_events_and_nothing_is_made(run: Run, state_dir: Path) -> None:
    code, out, err = run("events")

    assert (1, "") == (code, out)
    assert err.startswith("treewarden: no runtime is running with the state directory")
    assert not state_dir.exists()


def test_a_time_of_day_is_of_today_and_local() -> None:
    assert Since(time=NOW - 3 * 3600) == parse_since("12:00", now=NOW)
    assert Since(time=NOW - 3 * 3600 + 30) == parse_since("12:00:30", now=NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", Since()),
        ("17", Since(sequence=17)),
        (" 17 ", Since(sequence=17)),
        ("10m", Since(time=NOW - 600)),
        ("1.5h", Since(time=NOW - 5400)),
        ("36500d", Since(time=0.0)),
        ("2026-11-30T12:00", Since(time=NOW - 3 * 3600)),
        ("2026-11-30 12:00", Since(time=NOW - 3 * 3600)),
        ("2026-11-30", Since(time=NOW - 15 * 3600)),
        ("2026-11-30T12:00:00Z", Since(time=datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp())),
        ("0001-01-01T00:00:00+00:00", Since(time=0.0)),
    ],
)
def test_since_takes_numbers_durations_and_times(text: str, expected: Since) -> None:
    assert expected == parse_since(text, now=NOW)


@pytest.mark.parametrize(
    "text", ["", "-1", "10x", "yesterday", "25:00", "2026-13-01", "1e3", "10m ago", "nan", "\u0661", "m", "--since"]
)
def test_anything_else_gets_one_line_that_says_what_would_be_right(run: Run, text: str) -> None:
    code, out, err = run("events", f"--since={text}")

    assert (2, "") == (code, out)
    first, hint = err.splitlines()
    assert first == f"treewarden: Invalid value for '--since': found {text!r}, expected {SINCE_RULE}"
    assert "try: treewarden events --help" == hint


def test_a_number_too_large_for_a_sequence_is_refused(run: Run) -> None:
    for text in (str(2**63), "9" * 5000):
        code, _, err = run("events", f"--since={text}")
        assert 2 == code
        assert err.splitlines()[0].endswith(f"expected at most {2**63 - 1}")
        assert len(err) < 400


@given(text=st.text(max_size=30) | st.from_regex(r"[0-9TZ:+. dhms-]{0,30}", fullmatch=True))
def test_any_text_is_understood_or_refused_and_never_breaks(text: str) -> None:
    with contextlib.suppress(ValueError):  # another error would be a traceback for whoever typed it
        found = parse_since(text, now=NOW)
        assert found.sequence >= 0
        assert found.time is None or found.time >= 0
