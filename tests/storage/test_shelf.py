"""The pure rule of what stays on a shelf."""

from hypothesis import given
from hypothesis import strategies as st

from treewarden.storage._shelf import fallback_and_surplus


@given(places=st.dictionaries(st.integers(1, 50), st.booleans()))
def test_at_most_one_earlier_record_stays_and_it_is_the_newest_readable_place(places: dict[int, bool]) -> None:
    """`places` say of each sequence whether it is quarantined."""
    quarantined = [place for place in places if places[place]]
    fallback, gone = fallback_and_surplus(sorted(places), quarantined=quarantined)

    assert max(places.keys() - quarantined, default=None) == fallback
    assert sorted(places.keys() - {fallback}) == list(gone)
