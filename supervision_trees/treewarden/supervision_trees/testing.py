"""Test a tree without threads, sleeping or luck: `TreeUnderTest` and the children that follow a script.

Importing it starts nothing. See docs/testing.md.
"""

from treewarden.actors.testing import EndlessLoop, ManualClock, NotAnswered
from treewarden.supervision_trees._child_under_test import ChildUnderTest, UnknownChild, WrongState
from treewarden.supervision_trees._event_log import LogLine, RecordedEvents
from treewarden.supervision_trees._scripted import (
    CrashesAtStop,
    Declines,
    FailsAtStart,
    HangsAtStart,
    IgnoresStop,
    Life,
    NotReady,
    Runs,
    Scripted,
    ScriptedCrash,
    SlowStop,
    scripted,
)
from treewarden.supervision_trees._tree_under_test import LeftAlive, TreeUnderTest

__all__ = [
    "ChildUnderTest",
    "CrashesAtStop",
    "Declines",
    "EndlessLoop",
    "FailsAtStart",
    "HangsAtStart",
    "IgnoresStop",
    "LeftAlive",
    "Life",
    "LogLine",
    "ManualClock",
    "NotAnswered",
    "NotReady",
    "RecordedEvents",
    "Runs",
    "Scripted",
    "ScriptedCrash",
    "SlowStop",
    "TreeUnderTest",
    "UnknownChild",
    "WrongState",
    "scripted",
]
