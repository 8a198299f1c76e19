"""docs/reference/events.md says of every event when it comes and what it carries, and of no other."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

from treewarden.actors import Event

CATALOGUE = Path(__file__).parents[2] / "docs" / "reference" / "events.md"


def documented() -> dict[str, tuple[str, list[str]]]:
    """Each event that has a row: when it comes, and the fields it names outside parentheses."""
    rows: dict[str, tuple[str, list[str]]] = {}
    for line in CATALOGUE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and (name := re.fullmatch(r"`(\w+)`", cells[0])):
            assert name[1] not in rows, f"{name[1]} has two rows"
            rows[name[1]] = (cells[1], re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", cells[2])))
    return rows


def test_every_event_has_a_row_in_the_catalogue_and_every_row_an_event() -> None:
    assert {event_class.__name__ for event_class in get_args(Event)} == set(documented())


def test_every_row_names_the_fields_of_its_event_in_order(event_class: type[Event]) -> None:
    when, named = documented()[event_class.__name__]

    assert when
    assert [field.name for field in fields(event_class)] == named
