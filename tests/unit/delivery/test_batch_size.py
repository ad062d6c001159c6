"""The size of requests follows how long they take, and never leaves its bounds."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from streams.delivery.batch_size import FIRST_RECORDS, BatchSize, after_request, after_too_large, first_size

TARGET = 0.5


def after(size: BatchSize, seconds: float, *, taken: int | None = None, most: int = 1_000) -> BatchSize:
    taken = size.records if taken is None else taken
    return after_request(size, taken=taken, seconds=seconds, target=TARGET, most=most)


def settled(latency: Callable[[int], float], *, most: int = 10_000, requests: int = 200) -> list[int]:
    """Return the sizes of many full requests of a store that takes `latency(writes)` seconds."""
    size, seen = first_size(most), list[int]()
    for _ in range(requests):
        seen.append(size.records)
        size = after(size, latency(size.records), most=most)
    return seen


@given(
    st.integers(1, 20_000),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 5), st.booleans()), max_size=100),
)
def test_the_size_never_leaves_its_bounds_and_moves_by_one_doubling_at_most(
    most: int, requests: list[tuple[float, float, bool]]
) -> None:
    size = first_size(most)
    for share, seconds, too_large in requests:
        taken = max(1, round(size.records * share))
        before = size.records
        size = after_too_large(size, taken=taken) if too_large else after(size, seconds, taken=taken, most=most)
        assert 1 <= size.records <= most
        assert size.records <= before * 2


def test_it_begins_small_and_doubles_while_there_is_headroom() -> None:
    assert settled(lambda _: 0.01, most=1_000, requests=6) == [FIRST_RECORDS, 200, 400, 800, 1_000, 1_000]
    assert first_size(7).records == 7


def test_a_request_over_the_target_halves_the_next() -> None:
    assert after(BatchSize(800), 0.51).records == 400


def test_between_half_the_target_and_the_target_nothing_changes() -> None:
    assert after(BatchSize(800), 0.26).records == 800
    assert after(BatchSize(800), 0.5).records == 800


def test_a_request_that_is_not_full_says_little() -> None:
    assert after(BatchSize(800), 0.01, taken=799).records == 800
    assert after(BatchSize(800), 3.0, taken=399) == BatchSize(800)
    assert after(BatchSize(800), 3.0, taken=400).records == 400


@given(st.floats(0.0, 0.1), st.floats(0.0002, 0.01))
def test_where_each_write_costs_time_requests_settle_between_a_quarter_of_the_target_and_the_target(
    fixed: float, each: float
) -> None:
    sizes = settled(lambda writes: fixed + each * writes)[50:]
    assert all(fixed + each * size <= TARGET for size in sizes)
    assert len(set(sizes)) == 1
    assert fixed + each * sizes[0] >= TARGET / 4 or sizes[0] == 10_000


def test_where_the_number_of_writes_is_not_what_takes_long_requests_grow_to_the_bound() -> None:
    sizes = settled(lambda _: 0.8, most=1_000)
    assert max(sizes) == 1_000
    assert sum(sizes[-50:]) / 50 > 900  # now and then it is looked whether half as many would help


def test_a_store_that_slows_down_and_recovers_is_followed_in_both_directions() -> None:
    size = first_size(1_000)
    for _ in range(10):
        size = after(size, 0.001 * size.records / 4)
    assert size.records == 1_000
    for _ in range(10):
        size = after(size, 0.01 * size.records)
    assert size.records <= 50
    for _ in range(10):
        size = after(size, 0.001 * size.records / 4)
    assert size.records == 1_000


def test_a_request_that_was_too_large_for_the_store_halves_the_next() -> None:
    assert after_too_large(BatchSize(1_000), taken=300).records == 150
    assert after_too_large(BatchSize(1), taken=1).records == 1
