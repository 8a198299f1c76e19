"""The wire: every command and every answer is read back as it was, through real frames; strangers are refused."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.supervision_trees._control import (
    ApplyReport,
    ApplyTree,
    Command,
    CrashesRead,
    DiscardState,
    EventPick,
    EventsRead,
    Inspect,
    LogRead,
    PlannedStep,
    PlanTree,
    ReadCrashes,
    ReadEvents,
    ReadLog,
    RestartActor,
    StartActor,
    StopActor,
    StopTree,
    TreePlan,
)
from treewarden.supervision_trees._inspect import ActorView, CrashView, TreeView
from treewarden.supervision_trees.console._fields import WireError
from treewarden.supervision_trees.console._frames import HEADER_SIZE, decode_body, encode_frame
from treewarden.supervision_trees.console._wire import (
    Answer,
    ErrorKind,
    Failure,
    answer_from_plain,
    answer_to_plain,
    command_from_plain,
    command_to_plain,
)

texts = st.text(max_size=20)
counts = st.integers(0, 2**63)
seconds = st.floats(allow_nan=False, allow_infinity=False)
texts_of = st.lists(texts, max_size=3).map(tuple)
paths = texts.map("/dev/".__add__)

commands = st.one_of(
    st.just(Inspect()),
    st.just(StopTree()),
    st.builds(StartActor, paths),
    st.builds(StopActor, paths),
    st.builds(RestartActor, paths),
    st.builds(DiscardState, paths),
    st.builds(
        ReadEvents,
        counts,
        st.integers(1, 100_000),
        st.floats(0.0, 30.0),
        st.none() | st.floats(0.0, 1e10),
        st.sampled_from(EventPick),
    ),
    st.builds(ReadCrashes, paths),
    st.builds(ReadLog, paths, st.integers(0, 100_000), st.none() | counts),
    st.builds(PlanTree, texts, paths),
    st.builds(ApplyTree, texts, paths, st.none() | texts),
)


def views(children: st.SearchStrategy[tuple[ActorView, ...]]) -> st.SearchStrategy[ActorView]:
    return st.builds(
        ActorView,
        path=paths,
        kind=texts,
        state=texts,
        ready=st.booleans(),
        generation=counts,
        restarts=counts,
        uptime=st.none() | seconds,
        last_exit=st.none() | texts,
        waiting_for=texts_of,
        retry_in=st.none() | seconds,
        pid=st.none() | counts,
        adopted=st.booleans(),
        command=texts_of,
        log=st.none() | texts,
        health=st.none() | texts,
        intensity=st.none() | texts,
        children=children,
        strategy=st.none() | texts,
    )


none: st.SearchStrategy[tuple[ActorView, ...]] = st.just(())
actors = views(st.lists(views(none), max_size=2).map(tuple))
events = st.dictionaries(texts, st.none() | st.booleans() | counts | seconds | texts | st.lists(texts), max_size=3)
steps = st.builds(PlannedStep, texts, paths, texts_of)
many_steps = st.lists(steps, max_size=3).map(tuple)
answers: st.SearchStrategy[Answer] = st.one_of(
    st.builds(TreePlan, paths, texts, many_steps, many_steps, texts),
    st.builds(ApplyReport, paths, texts, many_steps, st.none() | steps, st.none() | texts, many_steps, many_steps),
    st.none(),
    actors,
    st.builds(TreeView, texts, counts, st.none() | texts, seconds, seconds, actors),
    st.builds(EventsRead, st.lists(events, max_size=3).map(tuple), counts, counts),
    st.builds(
        CrashesRead,
        st.lists(
            st.builds(CrashView, seconds, counts, texts, texts, st.none() | texts, counts, st.none() | texts),
            max_size=3,
        ).map(tuple),
    ),
    st.builds(LogRead, texts, counts),
    st.builds(Failure, st.sampled_from(ErrorKind), texts),
)


@given(commands)
def test_every_command_is_read_back_as_it_was(command: Command) -> None:
    assert command == command_from_plain(decode_body(encode_frame(command_to_plain(command))[HEADER_SIZE:]))


def test_no_command_is_left_out_of_the_round_trip() -> None:
    tried = {Inspect, StopTree, StartActor, StopActor, RestartActor, ReadEvents, ReadCrashes, ReadLog}
    tried |= {PlanTree, ApplyTree, DiscardState}

    assert tried == set(get_args(Command))


@given(answers)
def test_every_answer_is_read_back_as_it_was(answer: Answer) -> None:
    assert answer == answer_from_plain(decode_body(encode_frame(answer_to_plain(answer))[HEADER_SIZE:]))


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({}, "'command' is missing"),
        ({"command": 7}, "found 7, expected a text"),
        ({"command": "format-disk"}, "unknown kind 'format-disk', expected one of inspect, down, start"),
        ({"command": "stop"}, "'path' is missing"),
        ({"command": "stop", "path": None}, "stop.path: found None"),
        ({"command": "stop", "path": "/dev", "kill": True}, "unknown field 'kill'"),
        ({"command": "inspect", "path": "/dev"}, "unknown field 'path'"),
        ({"command": "read-events", "since": -1, "limit": 1, "wait": 0}, "since: found -1"),
        ({"command": "read-events", "since": True, "limit": 1, "wait": 0}, "since: found True"),
        ({"command": "read-events", "since": 0, "limit": 0, "wait": 0}, "limit: found 0"),
        ({"command": "read-events", "since": 0, "limit": 1, "wait": 1e9}, "wait: found 1000000000.0"),
        ({"command": "read-events", "since": 0, "limit": 1, "wait": float("nan")}, "wait: found nan"),
        (
            {"command": "read-events", "since": 0, "limit": 1, "wait": 0, "since_time": "noon"},
            "since_time: found 'noon'",
        ),
        (
            {"command": "read-events", "since": 0, "limit": 1, "wait": 0, "since_time": None, "pick": "middle"},
            "pick: found 'middle', expected one of newest, oldest",
        ),
        ({"command": "read-log", "path": "/dev", "lines": 10**9, "offset": None}, "lines: found 1000000000"),
        ({"command": "read-log", "path": "/dev", "lines": 1, "offset": -5}, "offset: found -5"),
        ({"command": "plan", "text": "version: 1"}, "'source' is missing"),
        ({"command": "apply", "text": "", "source": "/t", "plan": 7}, "apply.plan: found 7"),
        ({"command": "plan", "text": "", "source": "/t", "force": True}, "unknown field 'force'"),
    ],
)
def test_what_is_no_command_is_refused_with_what_was_found(plain: dict[str, object], said: str) -> None:
    with pytest.raises(WireError, match=said):
        command_from_plain(plain)


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({}, "'result' is missing"),
        ({"result": "fortune", "value": 1}, "unknown kind 'fortune'"),
        ({"result": "none", "value": 1}, "expected nothing"),
        ({"result": "log", "value": [1]}, "expected a map"),
        ({"result": "log", "value": {"text": "x"}}, "'next_offset' is missing; are both sides of the same version"),
        ({"result": "events", "value": {"events": [1], "last": 0, "missed": 0}}, "expected a list of maps"),
        ({"result": "events", "value": {"events": 1, "last": 0, "missed": 0}}, "expected a list"),
        ({"result": "plan", "value": {"root": "/dev", "source": "/t", "steps": 3, "left": [], "digest": ""}}, "a list"),
        ({"error": "grumpy", "message": "no"}, "grumpy"),
        ({"error": "refused"}, "'message' is missing"),
    ],
)
def test_what_is_no_answer_is_refused_with_what_was_found(plain: dict[str, object], said: str) -> None:
    with pytest.raises(WireError, match=said):
        answer_from_plain(plain)


def test_a_field_that_a_newer_runtime_added_to_an_answer_is_let_pass() -> None:
    plain = {"result": "log", "value": {"text": "x", "next_offset": 1, "colour": "green"}}

    assert LogRead("x", 1) == answer_from_plain(plain)
