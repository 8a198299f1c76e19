"""What goes and what stays: pure rules over marks."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from treewarden.storage._retention import CheckpointMark, EventMark, Standing, checkpoints_to_drop, events_to_drop

NOW = 1_000_000.0
DAY = 86_400.0


def event(number: int, *, age: float = 0.0, size: int = 10) -> EventMark:
    return EventMark(number, NOW - age, size)


def dropped(*rows: EventMark, max_bytes: int = 10**9, max_age: float = DAY) -> tuple[int, ...]:
    total = sum(row.size for row in rows)
    return events_to_drop(rows, total_bytes=total, max_bytes=max_bytes, max_age=max_age, now=NOW)


def mark(number: int, *, days: float, scope: str = "/app", standing: Standing = Standing.GOOD) -> CheckpointMark:
    return CheckpointMark(number, scope, standing, NOW - days * DAY)


def test_events_that_are_young_and_few_all_stay() -> None:
    assert dropped(event(1), event(2), max_bytes=20) == ()


def test_events_go_from_the_oldest_until_the_rest_is_small_enough() -> None:
    assert dropped(event(1), event(2), event(3), event(4), max_bytes=25) == (1, 2)


def test_events_go_once_they_are_older_than_their_age() -> None:
    assert dropped(event(1, age=DAY + 1), event(2, age=DAY), event(3)) == (1,)


def test_the_newest_event_stays_however_old_and_large_it_is() -> None:
    assert dropped(event(1, age=9 * DAY), event(2, age=9 * DAY, size=99), max_bytes=0) == (1,)
    assert dropped() == ()


def test_an_event_from_the_future_is_as_good_as_new() -> None:
    assert dropped(event(1, age=-DAY), event(2)) == ()


def test_rows_are_read_only_as_far_as_they_may_go() -> None:
    read: list[int] = []

    def rows() -> Iterator[EventMark]:
        for number in range(1, 1000):
            read.append(number)
            yield event(number)

    gone = events_to_drop(rows(), total_bytes=10_000, max_bytes=9_975, max_age=DAY, now=NOW)

    assert gone == (1, 2, 3)
    assert read == [1, 2, 3, 4]


@given(sizes=st.lists(st.integers(1, 50), max_size=30), max_bytes=st.integers(0, 500))
def test_what_is_left_of_events_is_small_enough_or_a_single_row(sizes: list[int], max_bytes: int) -> None:
    rows = [event(number, size=size) for number, size in enumerate(sizes)]

    gone = dropped(*rows, max_bytes=max_bytes)

    left = sizes[len(gone) :]
    assert list(gone) == list(range(len(gone)))
    assert sum(left) <= max_bytes or len(left) == 1
    assert not gone or sum(sizes[len(gone) - 1 :]) > max_bytes


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
