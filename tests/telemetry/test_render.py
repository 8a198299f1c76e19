"""Every event as a line for a person and plain values for a machine."""

import json
from collections.abc import Callable
from dataclasses import fields
from typing import get_args

import pytest

from treewarden.actors import (
    ChildExited,
    ChildRestarting,
    Crashed,
    Event,
    ExitReason,
    Gone,
    Killed,
    Normal,
    ProbeFailed,
    ProcessExited,
    RuntimeStopped,
    Shutdown,
    SupervisorGaveUp,
    Unresponsive,
)
from treewarden.supervision_trees.telemetry import render

Sample = Callable[..., Event]


def test_every_event_has_a_line_that_names_its_actor(event_class: type[Event], sample: Sample) -> None:
    event = sample(event_class)

    rendered = render(event)

    assert rendered.name == event_class.__name__
    assert rendered.level in ("info", "warning", "error")
    assert rendered.text
    assert "\n" not in rendered.text
    if "path" in [field.name for field in fields(event_class)]:
        assert "/dev/api" in rendered.text


def test_every_line_says_more_than_its_neighbours(sample: Sample) -> None:
    """No two events read the same."""
    lines = [render(sample(event_class)).text for event_class in get_args(Event)]

    assert len(set(lines)) == len(lines)


def test_every_field_is_there_under_its_own_name_as_a_plain_value(event_class: type[Event], sample: Sample) -> None:
    rendered = render(sample(event_class))

    assert [field.name for field in fields(event_class)] == list(rendered.fields)
    assert json.loads(json.dumps(rendered.fields)) == rendered.fields


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (Normal(), "normal"),
        (Shutdown("intensity"), "shutdown (intensity)"),
        (Crashed(ValueError("no such port")), "crashed: ValueError: no such port"),
        (Killed(), "killed"),
        (Unresponsive(5.0), "unresponsive after 5 s"),
        (Gone(), "gone (reason no longer known)"),
    ],
)
def test_an_exit_reason_becomes_its_words(reason: ExitReason, said: str, sample: Sample) -> None:
    rendered = render(sample(ChildExited, reason=reason))

    assert said == rendered.fields["reason"]
    assert rendered.text.endswith(said)


def test_an_orderly_end_is_no_error_and_a_failure_is(orderly: Normal | Shutdown, sample: Sample) -> None:
    assert render(sample(ChildExited, reason=orderly)).level == "info"
    assert render(sample(ChildExited, reason=Killed())).level == "error"


def test_a_tree_that_left_processes_alive_is_an_error_that_names_them(sample: Sample) -> None:
    left = render(sample(RuntimeStopped))
    clean = render(sample(RuntimeStopped, abandoned=(), orphaned_pids=()))

    assert (left.level, clean.level) == ("error", "info")
    assert "4711" in left.text
    assert clean.text == "the tree has stopped: 12 ended"


def test_a_restart_says_when_it_comes_and_what_is_left_of_the_budget(sample: Sample) -> None:
    assert render(sample(ChildRestarting)).text == "/dev/api is restarted in 0.25 s (1 of 3 restarts used)"
    assert render(sample(ChildRestarting, delay=0.0)).text == "/dev/api is restarted (1 of 3 restarts used)"


def test_giving_up_names_the_child_its_last_end_the_limit_and_what_follows(sample: Sample) -> None:
    text = render(sample(SupervisorGaveUp, path="/dev")).text

    for part in (
        "/dev gives up",
        "api needed 4 restarts within 5 s",
        "3 are allowed",
        "no such port",
        "the runtime ends",
    ):
        assert part in text


def test_a_probe_that_failed_once_is_not_counted_in_words(sample: Sample) -> None:
    assert render(sample(ProbeFailed)).text == "/dev/api is not ready (3 in a row): because"
    assert render(sample(ProbeFailed, in_a_row=1)).text == "/dev/api is not ready: because"


def test_the_end_of_a_process_says_by_what(sample: Sample) -> None:
    by_code = render(sample(ProcessExited)).text
    by_signal = render(sample(ProcessExited, code=None, signal=9)).text
    unknown = render(sample(ProcessExited, code=None, signal=None)).text

    assert "3" in by_code
    assert "SIGKILL" in by_signal
    assert len({by_code, by_signal, unknown}) == 3
