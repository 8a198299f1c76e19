"""Records of earlier versions become records of this one, step by step; newer ones are refused by name."""

from typing import cast

import pytest

from treewarden.storage import MAILBOX_SCHEMA, Migrations, SchemaUnknown, VersionTooNew
from treewarden.storage._migrations import CHECKPOINT_ROW_SCHEMA, CHECKPOINT_SCHEMA, MIGRATIONS


def named(state: object) -> object:
    """Version 1 was a bare count; version 2 names it."""
    return {"count": state}


def dated(state: object) -> object:
    """Version 3 knows since when."""
    return {**cast("dict[str, object]", state), "since": 0.0}


@pytest.fixture
def migrations() -> Migrations:
    return Migrations({"counter": {1: named, 2: dated}, "unchanged": {}})


@pytest.mark.parametrize(("version", "state"), [(1, 5), (2, {"count": 5}), (3, {"count": 5, "since": 0.0})])
def test_every_earlier_version_becomes_the_newest(migrations: Migrations, version: int, state: object) -> None:
    assert migrations.migrate("counter", version, state) == (3, {"count": 5, "since": 0.0})


def test_migrating_leaves_what_it_was_given_and_may_run_again(migrations: Migrations) -> None:
    kept = {"count": 5}

    assert migrations.migrate("counter", 2, kept) == migrations.migrate("counter", 2, kept)
    assert kept == {"count": 5}


def test_a_schema_that_never_changed_is_of_version_1(migrations: Migrations) -> None:
    assert migrations.newest("unchanged") == 1
    assert migrations.migrate("unchanged", 1, "as it is") == (1, "as it is")


def test_a_newer_version_is_refused_by_name_and_no_step_is_run(migrations: Migrations) -> None:
    with pytest.raises(VersionTooNew, match="a 'counter' record has version 4, this release reads up to 3") as raised:
        migrations.migrate("counter", 4, None)

    assert (raised.value.schema, raised.value.found, raised.value.known) == ("counter", 4, 3)


@pytest.mark.parametrize(("schema", "version"), [("nobody's", 1), ("counter", 0), ("counter", -1)])
def test_what_no_release_has_written_is_refused(migrations: Migrations, schema: str, version: int) -> None:
    with pytest.raises(SchemaUnknown, match="was never written"):
        migrations.migrate(schema, version, None)


@pytest.mark.parametrize("steps", [{2: named}, {1: named, 3: dated}, {0: named}, {0: named, 1: dated}])
def test_a_missing_step_is_an_error_where_the_table_is_made(steps: dict[int, object]) -> None:
    with pytest.raises(ValueError, match="'counter' start from versions"):
        Migrations({"counter": steps})  # type: ignore[dict-item]  # the steps are never run


def test_a_table_does_not_change_with_what_it_was_made_from() -> None:
    steps = {1: named}
    made = Migrations({"counter": steps})

    steps[2] = dated

    assert made.newest("counter") == 2
    assert made.schemas == {"counter"}


def test_our_own_schemas_are_of_version_1() -> None:
    """Whoever raises one adds a step, and a golden file (`test_golden.py`)."""
    assert {schema: MIGRATIONS.newest(schema) for schema in MIGRATIONS.schemas} == {
        CHECKPOINT_SCHEMA: 1,
        CHECKPOINT_ROW_SCHEMA: 1,
        MAILBOX_SCHEMA: 1,
    }
