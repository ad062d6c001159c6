"""How late a timer fired, by what the log of sagas and the records of writes say."""

import pytest

from bench.sagas.stand import NotReached
from bench.sagas.timers import late_ms

ONE, OTHER = ("s/1", "cache"), ("s/1", "graph")


def test_what_went_out_for_the_second_time_is_late_by_what_passed_since_it_was_due() -> None:
    assert late_ms({ONE: 1_000, OTHER: 1_010}, {OTHER: [20, 1_400], ONE: [1_250, 10, 9_000]}) == [250, 390]


@pytest.mark.parametrize("sent", [{}, {ONE: [10]}, {ONE: [10, 999, 1_250]}])
def test_a_timer_that_did_not_fire_or_fired_too_early_is_told(sent: dict[tuple[str, str], list[int]]) -> None:
    with pytest.raises(NotReached, match=r"sent again"):
        late_ms({ONE: 1_000}, sent)
