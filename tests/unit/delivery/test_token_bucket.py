"""Whatever is asked for and when: never more than the rate and what was saved up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.delivery.token_bucket import TokenBucket


def test_an_idle_store_gets_at_once_what_was_saved_up_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=100, burst=2, now=0)
    assert bucket.capacity == 200
    assert bucket.wait(50, 200) == 0
    bucket.take(50, 200)
    assert bucket.wait(50, 100) == pytest.approx(1.0)
    assert bucket.wait(51, 100) == pytest.approx(0)


def test_more_than_can_be_saved_up_goes_when_that_much_is_there_and_is_paid_for_afterwards() -> None:
    bucket = TokenBucket(rate=10, burst=1, now=0)
    assert bucket.wait(0, 35) == 0
    bucket.take(0, 35)
    assert bucket.wait(0, 1) == pytest.approx(2.6)


def test_a_rate_below_one_write_per_second_still_lets_single_writes_through() -> None:
    bucket = TokenBucket(rate=0.1, burst=1, now=0)
    bucket.take(0, 1)
    assert bucket.wait(0, 1) == pytest.approx(10)


@given(
    st.floats(0.5, 10_000),
    st.floats(0.1, 5),
    st.lists(st.tuples(st.integers(1, 500), st.floats(0, 3)), min_size=1, max_size=50),
)
def test_in_no_stretch_of_time_more_goes_than_the_rate_and_the_burst(
    rate: float, burst: float, calls: list[tuple[int, float]]
) -> None:
    bucket, now = TokenBucket(rate, burst, now=0), 0.0
    gone: list[tuple[float, int]] = []
    for wanted, idle in calls:
        count = min(wanted, bucket.capacity)
        now += idle
        now += bucket.wait(now, count)
        bucket.take(now, count)
        gone.append((now, count))
    for first, (begin, _) in enumerate(gone):
        total = 0
        for moment, count in gone[first:]:
            total += count
            assert total <= bucket.capacity + rate * (moment - begin) + 1e-6 * total + 1e-6
