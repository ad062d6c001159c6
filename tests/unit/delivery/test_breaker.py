"""When a store is tried again."""

from hypothesis import given
from hypothesis import strategies as st

from streams.delivery.breaker import Breaker, DeliveryPolicy

POLICY = DeliveryPolicy(first_pause=0.1, longest_pause=30, breaker_failures=5, breaker_pause=60)


@given(st.integers(1, 1_000))
def test_a_pause_is_never_longer_than_the_bound(attempt: int) -> None:
    assert 0 <= POLICY.pause(attempt) <= min(30, 0.1 * 2 ** min(attempt - 1, 20))


def test_what_the_store_asked_for_is_the_least_pause() -> None:
    assert POLICY.pause(1, 7.5) >= 7.5


def test_the_breaker_opens_after_a_row_of_failures_and_lets_one_call_decide() -> None:
    breaker = Breaker(POLICY)
    for _ in range(4):
        assert breaker.failed(100) < 60
    assert breaker.failed(100) == 60
    assert breaker.wait(101) == 59
    assert breaker.wait(160) == 0  # half-open
    assert breaker.failed(160) == 60  # the one call failed: open again
    breaker.succeeded()
    assert breaker.wait(161) == 0
    assert breaker.failed(200) < 60


def test_a_success_ends_a_row_of_failures() -> None:
    breaker = Breaker(POLICY)
    for _ in range(20):
        breaker.failed(0)
        breaker.succeeded()
    assert breaker.failures == 0
