"""What goes and what stays: pure rules over marks."""

from hypothesis import given
from hypothesis import strategies as st

from treewarden.storage._retention import CheckpointMark, Standing, checkpoints_to_drop

NOW = 1_000_000.0
DAY = 86_400.0


def mark(number: int, *, days: float, scope: str = "/app", standing: Standing = Standing.GOOD) -> CheckpointMark:
    return CheckpointMark(number, scope, standing, NOW - days * DAY)


def test_the_newest_good_checkpoint_of_each_scope_stays_whatever_its_age() -> None:
    """CK14."""
    marks = [mark(1, days=30), mark(2, days=20), mark(3, days=30, scope="/other"), mark(4, days=0, scope="/third")]

    assert checkpoints_to_drop(marks, older_than=7 * DAY, now=NOW) == (1,)


def test_a_damaged_or_failed_one_does_not_stand_for_the_good_one_before_it() -> None:
    """CK14: the newest row is not always one that can be used."""
    marks = [
        mark(1, days=30),
        mark(2, days=29),
        mark(3, days=28, standing=Standing.UNUSABLE),
        mark(4, days=0, standing=Standing.UNUSABLE),
    ]

    assert checkpoints_to_drop(marks, older_than=7 * DAY, now=NOW) == (1, 3)


def test_what_is_in_progress_is_never_dropped() -> None:
    marks = [mark(1, days=30, standing=Standing.IN_PROGRESS), mark(2, days=0)]

    assert checkpoints_to_drop(marks, older_than=7 * DAY, now=NOW) == ()


def test_the_highest_number_stays_so_that_no_number_is_given_twice() -> None:
    marks = [mark(1, days=30), mark(2, days=30, standing=Standing.UNUSABLE)]

    assert checkpoints_to_drop(marks, older_than=7 * DAY, now=NOW) == ()


def test_which_is_newer_is_a_matter_of_numbers_and_not_of_clocks() -> None:
    """CK17: the clock was set back between 1 and 2."""
    marks = [mark(1, days=10), mark(2, days=20), mark(3, days=30, standing=Standing.UNUSABLE)]

    assert checkpoints_to_drop(marks, older_than=7 * DAY, now=NOW) == (1,)


@given(
    st.lists(
        st.builds(
            CheckpointMark,
            number=st.integers(1, 50),
            scope=st.sampled_from(["/a", "/b"]),
            standing=st.sampled_from(Standing),
            kept_from=st.floats(0, NOW),
        ),
        unique_by=lambda found: found.number,
    )
)
def test_every_scope_that_had_a_good_checkpoint_keeps_its_newest(marks: list[CheckpointMark]) -> None:
    gone = set(checkpoints_to_drop(marks, older_than=DAY, now=NOW))

    good = [found for found in marks if found.standing is Standing.GOOD]
    for scope in {found.scope for found in good}:
        assert max(found.number for found in good if found.scope == scope) not in gone
