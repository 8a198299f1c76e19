"""The pure rule of what stays on a shelf."""

from hypothesis import given
from hypothesis import strategies as st

from treewarden.storage._shelf import surplus


@given(places=st.dictionaries(st.integers(1, 50), st.booleans()))
def test_at_most_one_earlier_record_stays_and_it_is_the_newest_readable_place(places: dict[int, bool]) -> None:
    """`places` say of each sequence whether it is quarantined."""
    gone = set(surplus(sorted(places), quarantined=[place for place in places if places[place]]))
    readable = [place for place in places if not places[place]]

    assert ([max(readable)] if readable else []) == [place for place in places if place not in gone]
