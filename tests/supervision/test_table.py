"""The table of children: records that change, and frozen values for whoever looks."""

from collections import OrderedDict
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treewarden.actors import Actor, ChildId, ChildSpec, Crashed, Intensity
from treewarden.supervision_trees._children import Child, ChildState, CrashRecord
from treewarden.supervision_trees._intensity import RestartWindow
from treewarden.supervision_trees._table import ChildTable, SeenChildren

STATES = st.sampled_from(ChildState)
STEPS = st.lists(st.tuples(st.sampled_from(["add", "enter", "forget"]), st.sampled_from("abc"), STATES))


def spec(name: str, intensity: Intensity | None = None) -> ChildSpec:
    return ChildSpec.of(Actor, id=name, intensity=intensity)


def test_what_was_seen_of_a_child_does_not_change_with_it() -> None:
    table = ChildTable([spec("x")])
    seen = SeenChildren(table)
    before = seen[ChildId("x")]

    table.enter(table.rows[ChildId("x")], ChildState.RUNNING)

    assert (ChildState.STOPPED, ChildState.RUNNING) == (before.state, seen[ChildId("x")].state)


def test_a_child_is_seen_with_all_that_is_known_of_it() -> None:
    table = ChildTable([spec("x", Intensity(1))])
    slot = table.rows[ChildId("x")]
    values: dict[str, object] = {
        "live": True,
        "started": True,
        "ready": True,
        "attempts": 2,
        "restarts": 3,
        "failures": 4,
        "generation": 5,
        "ran": 6,
        "started_at": 7.0,
        "retry_at": 8.0,
        "last_exit": Crashed(ValueError("no"), "text"),
        "crashes": (CrashRecord(1.0, 1, "why", "text", None, 0, None),),
        "window": RestartWindow(Intensity(1), (9.0,)),
    }
    for name, value in values.items():
        setattr(slot, name, value)
    table.enter(slot, ChildState.FAILED)

    seen = slot.seen()

    assert {**values, "spec": slot.spec, "state": ChildState.FAILED} == {
        field.name: getattr(seen, field.name) for field in fields(Child)
    }


def test_the_children_seen_are_those_of_the_table_whenever_one_looks() -> None:
    table = ChildTable([spec("x"), spec("y")])
    seen = SeenChildren(table)

    table.reorder([spec("z"), spec("y")])
    table.forget(table.rows[ChildId("x")])

    assert ["z", "y"] == list(seen)
    assert (2, True, False) == (len(seen), "z" in seen, "x" in seen)
    with pytest.raises(KeyError):
        seen[ChildId("x")]


@given(steps=STEPS)
def test_the_parked_are_those_that_have_failed_however_they_came_and_went(
    steps: list[tuple[str, str, ChildState]],
) -> None:
    table, model = ChildTable(()), OrderedDict[str, ChildState]()

    for what, name, state in steps:
        slot = table.get(ChildId(name))
        if what == "add" and slot is None:
            table.add(spec(name))
            model[name] = ChildState.STOPPED
        elif what == "enter" and slot is not None:
            table.enter(slot, state)
            model[name] = state
        elif what == "forget" and slot is not None:
            table.forget(slot)
            del model[name]

        assert list(model.items()) == [(slot.id, slot.state) for slot in table.rows.values()]
        assert sum(state is ChildState.FAILED for state in model.values()) == table.parked
