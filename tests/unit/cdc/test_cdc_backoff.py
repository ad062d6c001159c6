from connectors.cdc.backoff import LONGEST_SECONDS, Backoff, Complaint
from connectors.cdc.stop import Stop


def test_the_bound_of_the_pause_doubles_up_to_the_longest() -> None:
    backoff = Backoff(draw=lambda _, bound: bound)
    assert [backoff.failed() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_pauses_are_spread_over_all_below_the_bound() -> None:
    bounds: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        bounds.append((low, high))
        return low

    backoff = Backoff(draw)
    for _ in range(100):
        assert backoff.failed() == 0
    assert bounds[-1] == (0, LONGEST_SECONDS)


def test_after_a_success_pauses_are_short_again() -> None:
    backoff = Backoff(draw=lambda _, bound: bound)
    backoff.failed()
    backoff.failed()
    backoff.succeeded()
    assert backoff.failed() == 0.5


def test_what_is_wrong_is_said_at_once_and_then_once_a_minute() -> None:
    complaint = Complaint()
    assert [complaint.due(now) for now in (5, 6, 64.9, 65, 66, 125)] == [True, False, False, True, False, True]


def test_a_pause_ends_when_a_stop_is_asked_for() -> None:
    stop = Stop()
    stop.request()
    stop.request()
    stop.pause(3_600)
    assert stop.requested
