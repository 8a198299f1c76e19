"""Events and actors' logs as structlog lines on a stream."""

import io
from collections.abc import Callable

import pytest
import structlog

from treewarden.actors import ActorPath, Event, RuntimeStopping
from treewarden.supervision_trees import RecordedEvent
from treewarden.supervision_trees.telemetry import LogLines, render


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_every_event_is_one_line_with_its_level_and_text(
    event_class: type[Event], sample: Callable[..., Event]
) -> None:
    stream = io.StringIO()
    event = sample(event_class)

    LogLines(stream).subscriber()(RecordedEvent(1, 0.0, event))

    line = stream.getvalue()
    assert line.count("\n") == 1
    assert render(event).text in line
    assert render(event).level in line


def test_an_actors_lines_carry_its_path_and_its_values() -> None:
    stream = io.StringIO()
    log = LogLines(stream).of_actor(ActorPath("/dev/api"))

    log.info("first", port=8000)
    log.warning("second")
    log.error("third")

    lines = stream.getvalue().splitlines()
    words = ("first", "second", "third")
    assert [word for line in lines for word in line.split() if word in words] == list(words)
    assert all("actor=/dev/api" in line for line in lines)
    assert "port=8000" in lines[0]


class Unsayable:
    """A value that cannot be written."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


def test_a_line_that_cannot_be_written_costs_the_actor_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """The `Log` of an actor never raises: its machinery writes lines where nothing may go wrong."""
    stream = io.StringIO()
    log = LogLines(stream).of_actor(ActorPath("/dev/api"))
    log.error("unsayable", value=Unsayable())
    log.info("goes on")
    stream_text = stream.getvalue()
    stream.close()
    for write in (log.info, log.warning, log.error):
        write("lost")

    assert "goes on" in stream_text
    told = capsys.readouterr().err.splitlines()
    assert ["RuntimeError", *["ValueError"] * 3] == [line.rpartition(": ")[2] for line in told]


def test_colours_are_for_terminals_only() -> None:
    plain, terminal = io.StringIO(), Terminal()

    for stream in (plain, terminal):
        LogLines(stream).subscriber()(RecordedEvent(1, 0.0, RuntimeStopping("down")))

    assert "\x1b[" not in plain.getvalue()
    assert "\x1b[" in terminal.getvalue()


def test_without_a_stream_the_lines_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    LogLines().subscriber()(RecordedEvent(1, 0.0, RuntimeStopping("down")))

    said = capsys.readouterr()
    assert "the tree stops: down" in said.err
    assert said.out == ""


def test_the_applications_own_structlog_settings_are_left_alone() -> None:
    before = structlog.get_config()

    LogLines(io.StringIO()).subscriber()(RecordedEvent(1, 0.0, RuntimeStopping("down")))

    assert before == structlog.get_config()
    assert not structlog.is_configured()
