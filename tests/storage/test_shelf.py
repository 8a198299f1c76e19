"""The pure rule of what stays on a shelf."""

from hypothesis import given
from hypothesis import strategies as st

from treewarden.storage._shelf import Place, surplus

places = st.lists(
    st.builds(Place, sequence=st.integers(1, 50), is_quarantined=st.booleans()), unique_by=lambda each: each.sequence
)


@given(earlier=places)
def test_at_most_one_earlier_record_stays_and_it_is_the_newest_readable_place(earlier: list[Place]) -> None:
    gone = set(surplus(earlier))
    stay = [each for each in earlier if each.sequence not in gone]
    readable = [each.sequence for each in earlier if not each.is_quarantined]

    assert ([max(readable)] if readable else []) == [each.sequence for each in stay]
    assert not any(each.is_quarantined for each in stay)
