"""Up to where events may be deleted that lie as they came."""

from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.lag import Position
from streams.erasure.plain import Home, cuts
from streams.settings.erasure import ErasureOptions

HOME: Home = ("user-events", 0)


@given(
    low=st.integers(0, 50),
    taken=st.lists(st.integers(0, 100), min_size=1, max_size=3),
    new=st.none() | st.integers(0, 100),
)
def test_nothing_goes_that_somebody_has_not_taken_or_that_is_too_new(
    low: int, taken: list[int], new: int | None
) -> None:
    positions = [{HOME: Position(low, max(done, low), 150)} for done in taken]
    found = cuts(positions, {HOME: new})
    for offset in range(low, found.get(HOME, low)):
        assert all(offset < done for done in taken)
        assert new is None or offset < new
    if found:
        assert found[HOME] in {*taken, new}


def test_who_does_not_take_a_topic_does_not_hold_it_up_and_what_is_of_no_known_age_stays() -> None:
    known = {HOME: Position(0, 5, 5)}
    assert cuts([known, {}], {HOME: None}) == {HOME: 5}
    assert cuts([known], {}) == {}


def test_segments_end_as_early_as_events_are_to_go_where_they_are_to_go() -> None:
    assert ErasureOptions(enabled=True, plain_minutes=2).segment_ms == 120_000
    assert ErasureOptions(enabled=True).segment_ms is None
    assert ErasureOptions(plain_minutes=2).segment_ms is None
