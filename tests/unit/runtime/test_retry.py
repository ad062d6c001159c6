"""When a record that failed is tried again."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.publisher import Unpublishable
from streams.runtime.retry import Retries, RetryPolicy


@given(st.integers(1, 10_000), st.floats(0, 5), st.floats(5, 60))
def test_a_pause_is_never_longer_than_the_doubled_bound_nor_than_the_longest(
    attempt: int, first: float, longest: float
) -> None:
    pause = RetryPolicy(first_pause=first, longest_pause=longest).pause(attempt)
    assert 0 <= pause <= min(longest, first * 2 ** min(attempt - 1, 40))


def test_what_was_asked_for_is_the_least_pause() -> None:
    assert RetryPolicy().pause(1, asked_for=7.5) == 7.5


def test_pauses_differ_so_that_workers_do_not_come_back_together() -> None:
    assert len({RetryPolicy().pause(3) for _ in range(20)}) > 1


def test_a_record_has_as_many_attempts_as_the_policy_says() -> None:
    policy = RetryPolicy(attempts=3)
    assert [policy.tries_again(OSError(), attempt) for attempt in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize("error", [msgspec.ValidationError("bad"), msgspec.DecodeError("bad"), Unpublishable("large")])
def test_what_fails_in_the_same_way_every_time_has_one_attempt(error: Exception) -> None:
    assert not RetryPolicy(attempts=9).tries_again(error, 1)


@given(st.integers(1, 200), st.integers(1, 6))
def test_the_pauses_of_a_run_add_up_to_no_more_than_the_longest(records: int, attempts: int) -> None:
    policy = RetryPolicy(attempts=attempts, first_pause=1, longest_pause=10)
    retries, waited, tries = Retries(policy), 0.0, 0
    for _ in range(records):
        while (pause := retries.failed(OSError())) is not None:
            waited += pause
            tries += 1
        retries.next_record()
    assert waited <= 10 + 1e-9
    assert tries == records * (attempts - 1)


def test_a_policy_that_never_tries_is_refused() -> None:
    with pytest.raises(ValueError, match="attempts is 0"):
        RetryPolicy(attempts=0)
    with pytest.raises(ValueError, match="first_pause"):
        RetryPolicy(first_pause=-1)
