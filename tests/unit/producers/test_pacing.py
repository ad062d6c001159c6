import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.producers.pacing import BURST_SECONDS, LEAST_WAIT_SECONDS, TokenBucket


def run(rate: float, seconds: float, late: float = 0.0) -> list[float]:
    """Return when records pass, for a caller that waits as told and wakes up `late` seconds too late."""
    now, bucket = 0.0, TokenBucket(rate, 0.0)
    passed: list[float] = []
    while now < seconds:
        wait = bucket.take(now)
        if wait:
            now += wait + late
        else:
            passed.append(now)
    return passed


@pytest.mark.parametrize("rate", [0.5, 1, 10, 1_000, 50_000])
@pytest.mark.parametrize("late", [0.0, 0.001])
def test_the_rate_is_kept_also_when_every_wait_is_a_little_too_long(rate: float, late: float) -> None:
    seconds = max(10 / rate, 2)
    assert len(run(rate, seconds, late)) == pytest.approx(rate * seconds, rel=0.01, abs=2)


def test_the_first_record_passes_at_once_and_the_second_when_it_is_due() -> None:
    assert run(2, 1.4) == [0.0, 0.5, 1.0]


@given(st.floats(0.1, 100_000), st.lists(st.floats(0, 10), min_size=1, max_size=100))
def test_no_more_than_a_burst_passes_at_once_however_long_the_pause(rate: float, pauses: list[float]) -> None:
    bucket, now = TokenBucket(rate, 0.0), 0.0
    for pause in pauses:
        now += pause
        passed = 0
        while not bucket.take(now):
            passed += 1
        assert passed <= max(2, rate * BURST_SECONDS) + 1


@given(st.floats(0.001, 1_000_000))
def test_a_wait_is_never_so_short_that_it_becomes_a_busy_loop(rate: float) -> None:
    bucket = TokenBucket(rate, 0.0)
    while not (wait := bucket.take(0.0)):
        pass
    assert wait >= LEAST_WAIT_SECONDS


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_that_means_nothing_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate must be above 0"):
        TokenBucket(rate, 0.0)
