"""How long an answer of PostgreSQL is waited for. What waits is a stand-in for a statement; the clock is set."""

from collections.abc import Generator, Sequence

import psycopg
import pytest
from psycopg.waiting import Ready, Wait

from connectors.sinks.postgres import connection


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


def statement() -> Generator[Wait, Ready | int, str]:
    """Wait to read until nothing more comes."""
    while (yield Wait.R):
        pass
    while not (yield Wait.R):
        pass
    return "done"


def waited(clock: Clock, steps: Sequence[tuple[float, bool]]) -> str:
    """Run a statement whose server has something to say, or not, at some seconds."""
    running = connection.limited(statement(), 60.0)
    next(running)
    try:
        for seconds, ready in steps:
            clock.seconds = seconds
            running.send(Ready.R if ready else Ready.NONE)
    except StopIteration as end:
        return str(end.value)
    raise AssertionError("it still waits")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(connection, "time", clock)
    return clock


def test_a_server_that_goes_on_answering_may_take_longer_than_the_limit(clock: Clock) -> None:
    answers = [(float(seconds), True) for seconds in range(0, 300, 50)]
    assert waited(clock, [*answers, (250.1, False), (309.9, False), (310.0, True)]) == "done"


def test_a_server_that_says_nothing_for_the_limit_is_given_up(clock: Clock) -> None:
    with pytest.raises(psycopg.OperationalError, match="no answer within 60 s"):
        waited(clock, [(50.0, True), (109.9, False), (110.0, False)])
