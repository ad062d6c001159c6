import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.clock import COUNTER_MAX, MAX_AHEAD_MS, HybridClock, derived_version, milliseconds, pack, unpack

NOW = 1_772_000_000_000
MILLISECONDS = st.integers(0, 2**47 - 1)


class SetClock:
    """Physical time as a test sets it."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@given(MILLISECONDS, st.integers(0, COUNTER_MAX))
def test_a_version_holds_its_time_and_counter_in_63_bits(time: int, counter: int) -> None:
    version = pack(time, counter)
    assert 0 <= version < 2**63
    assert unpack(version) == (time, counter)


@given(st.tuples(MILLISECONDS, st.integers(0, COUNTER_MAX)), st.tuples(MILLISECONDS, st.integers(0, COUNTER_MAX)))
def test_versions_compare_as_their_times(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (pack(*one) < pack(*other)) == (one < other)


@pytest.mark.parametrize(("time", "counter"), [(-1, 0), (2**47, 0), (0, -1), (0, COUNTER_MAX + 1)])
def test_parts_that_do_not_fit_are_refused(time: int, counter: int) -> None:
    with pytest.raises(ValueError, match="must be in"):
        pack(time, counter)


@given(st.lists(st.integers(NOW - 10**9, NOW + 10**9), min_size=1, max_size=50))
def test_versions_strictly_increase_however_the_clock_is_set(times: list[int]) -> None:
    physical = SetClock()
    clock = HybridClock(physical)
    last = 0
    for physical.now in times:
        version = clock.tick()
        assert version > last
        assert unpack(version)[0] >= physical.now
        last = version


def test_more_versions_than_a_millisecond_has_still_increase() -> None:
    clock = HybridClock(SetClock())
    versions = [clock.tick() for _ in range(COUNTER_MAX + 3)]
    assert versions == sorted(set(versions))
    assert unpack(versions[-1])[0] == NOW + 1


def test_versions_strictly_increase_across_threads() -> None:
    clock = HybridClock()
    seen: list[list[int]] = [[] for _ in range(4)]

    def tick(into: list[int]) -> None:
        into.extend(clock.tick() for _ in range(5_000))

    threads = [threading.Thread(target=tick, args=(into,)) for into in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(versions == sorted(versions) for versions in seen)
    assert len({version for versions in seen for version in versions}) == 20_000


@given(st.integers(NOW - 10**9, NOW + MAX_AHEAD_MS), st.integers(0, COUNTER_MAX))
def test_what_is_caused_by_an_event_sorts_after_it(time: int, counter: int) -> None:
    clock = HybridClock(SetClock())
    clock.observe(pack(time, counter))
    assert clock.tick() > pack(time, counter)


def test_a_version_from_a_broken_clock_does_not_carry_this_one_away() -> None:
    clock = HybridClock(SetClock())
    clock.observe(2**63 - 1)
    assert unpack(clock.tick())[0] == NOW


@given(st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31)), st.text(min_size=1, max_size=20))  # noqa: DTZ001
def test_a_derived_version_is_the_same_at_every_replay(moment: datetime, event_id: str) -> None:
    occurred_at = moment.replace(tzinfo=UTC)
    version = derived_version(occurred_at, event_id)
    assert version == derived_version(occurred_at, event_id)
    assert unpack(version)[0] == milliseconds(occurred_at)


def test_derived_versions_are_those_of_the_first_release() -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 123_999, tzinfo=UTC)
    assert derived_version(moment, "e-1") == 116_153_804_398_496_268
    assert derived_version(moment + timedelta(milliseconds=1), "e-1") == 116_153_804_398_496_268 + 65_536


@given(st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31)))  # noqa: DTZ001
def test_milliseconds_are_exact_and_rounded_down(moment: datetime) -> None:
    found = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds(moment.replace(tzinfo=UTC)))
    assert timedelta() <= moment.replace(tzinfo=UTC) - found < timedelta(milliseconds=1)
