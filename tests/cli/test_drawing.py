"""The drawing of a tree, as text."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from treewarden.supervision_trees._drawing import (
    Tone,
    describe_duration,
    describe_state,
    draw,
    one_line,
    tone_of,
    tree_lines,
)
from treewarden.supervision_trees._inspect import ActorView, TreeView


def test_a_tree_is_drawn_with_one_line_for_each_actor(tree: TreeView) -> None:
    assert """\
runtime pid 4711, up 2 min 5 s, state in /s
/dev  supervisor  running, ready  up 2 min 5 s  (1 of 3 restarts used in the last 5 s)
├─ api  process  running, ready  pid 4712  up 12.3 s
├─ tools  supervisor  running, ready  up 2 min 5 s
│  ├─ counter  actor  running, ready  up 12.3 s  2 restarts  last exit: crashed: ValueError: no such port
│  └─ flaky  actor  restarting, next try in 3.2 s
└─ web  process  waiting for api, db""" == draw(tree) == str(tree)


def test_a_tree_without_children_or_state_directory_is_two_lines(tree: TreeView) -> None:
    lonely = replace(tree, state_dir=None, root=replace(tree.root, children=(), intensity=None))

    assert "runtime pid 4711, up 2 min 5 s\n/dev  supervisor  running, ready  up 2 min 5 s" == draw(lonely)


@pytest.mark.parametrize(
    ("facts", "state", "tone"),
    [
        ({}, "running, ready", Tone.GOOD),
        ({"ready": False, "health": None}, "running, not ready", Tone.BUSY),
        ({"ready": False, "health": "refused\nat once"}, "running, not ready: refused\\nat once", Tone.BUSY),
        ({"state": "waiting", "waiting_for": ("a", "b")}, "waiting for a, b", Tone.BUSY),
        ({"state": "waiting"}, "waiting", Tone.BUSY),
        ({"state": "starting"}, "starting", Tone.BUSY),
        ({"state": "restarting", "retry_in": 3.21}, "restarting, next try in 3.2 s", Tone.BUSY),
        ({"state": "restarting"}, "restarting", Tone.BUSY),
        ({"state": "stopping"}, "stopping", Tone.BUSY),
        ({"state": "stopped"}, "stopped", Tone.QUIET),
        ({"state": "failed"}, "failed", Tone.BAD),
        ({"state": "silent"}, "silent", Tone.BAD),
    ],
)
def test_each_state_has_its_words_and_its_tone(
    actor: ActorView, facts: Mapping[str, object], state: str, tone: Tone
) -> None:
    changed = replace(actor, **facts)  # type: ignore[arg-type]  # each row has the types of its fields

    assert (state, tone) == (describe_state(changed), tone_of(changed))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"adopted": True}, "pid 4712 (adopted)"),
        ({"restarts": 1}, "1 restart"),
        ({"last_exit": "exit code 3"}, "last exit: exit code 3"),
        ({"last_exit": "two\nlines\x1b[31m"}, "last exit: two\\nlines\\x1b[31m"),
        ({"last_exit": "x" * 200}, "last exit: " + "x" * 97 + "..."),
    ],
)
def test_what_is_known_of_an_actor_ends_its_line(
    tree: TreeView, actor: ActorView, facts: Mapping[str, object], said: str
) -> None:
    changed = replace(actor, **facts)  # type: ignore[arg-type]  # each row has the types of its fields

    line = draw(replace(tree, root=replace(tree.root, children=(changed,)))).splitlines()[-1]

    assert line.startswith("└─ api  process  running, ready  pid 4712")
    assert said in line.split("  ")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.0 s"),
        (0.04, "0.0 s"),
        (3.21, "3.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (125.0, "2 min 5 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"),
        (86_399.0, "23 h 59 min"),
        (86_400.0, "1 d 0 h"),
        (266_400.0, "3 d 2 h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float, words: str) -> None:
    assert words == describe_duration(seconds)


def test_no_text_can_break_a_line_or_steer_a_terminal() -> None:
    assert "a\\nb\\r\\x1b[2J\\u202e é" == one_line("a\nb\r\x1b[2J\u202e é")
    assert "\\udc80" == one_line("\udc80")


def test_the_state_directory_is_never_cut(tree: TreeView) -> None:
    deep = f"/{'deep/' * 40}st\n"

    assert str(tree_lines(replace(tree, state_dir=deep))[0]).endswith(f", state in /{'deep/' * 40}st\\n")
