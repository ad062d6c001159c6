"""A step may have a deadline of its own: what becomes of a saga whose step is late."""

import pytest
from msgspec.structs import replace

from schemas.writes import Write
from streams.sagas.commands import resume, retry
from streams.sagas.definition import Definition
from tests.unit.sagas.saga_run import Run, Tell


@pytest.fixture
def timed(booking: Definition, writes: dict[str, Write], receipt: Tell) -> Run:
    """A saga of which two steps have a deadline of their own, which is over before their patience."""
    deadlines = {"search": 2_500, "cache": 1_500}
    steps = tuple(replace(step, deadline_ms=deadlines.get(step.name)) for step in booking.steps)
    return Run(Definition(name="timed", steps=steps, undo=booking.undo), writes, receipt)


def test_a_step_that_is_past_its_own_deadline_turns_the_saga_back(timed: Run) -> None:
    timed.captured("graph")
    timed.told("graph")
    timed.later(1_000)
    timed.later(1_499)
    assert not timed.saga.backward
    assert timed.saga.due_ms == timed.now + 1, "it is looked at when the step is late"
    timed.forget()
    timed.later(1)
    assert timed.asked == ["Compensate graph"]
    assert timed.saga.status == "compensating"
    timed.told("graph", undone=True)
    assert timed.saga.status == "compensating", "nobody knows yet what search holds"
    timed.told("search", "rejected")
    assert timed.saga.status == "compensated"


def past_the_deadline_of_cache(timed: Run) -> None:
    for step in ("graph", "search", "booking"):
        timed.told(step)
    timed.later(1_000)
    timed.forget()
    timed.later(500)


def test_past_the_deadline_of_a_step_that_can_only_be_done_somebody_is_told_once_and_it_is_sent_again(
    timed: Run,
) -> None:
    past_the_deadline_of_cache(timed)
    assert timed.asked == ["Alert the write of step cache is past the deadline of its step, at the store cache"]
    assert (timed.saga.status, timed.saga.backward) == ("stuck", False)
    assert timed.saga.due_ms is not None
    assert timed.saga.due_ms > timed.now, "what was told is no reason to look again"
    timed.later(1_500)
    assert timed.asked == ["Send cache"]
    timed.told("cache")
    assert timed.saga.status == "completed"


def test_a_retry_gives_a_step_its_time_once_more_and_resume_takes_it_as_done(timed: Run) -> None:
    past_the_deadline_of_cache(timed)
    stuck, at = timed.saga, timed.now
    timed.take(retry(timed.definition, timed.saga, timed.now))
    assert timed.saga.status == "started"
    timed.later(1_499)
    assert timed.saga.status == "started"
    timed.later(1)
    assert timed.saga.status == "stuck"
    assert resume(timed.definition, stuck, at).saga.status == "completed"


def test_the_deadline_of_a_step_that_was_done_in_time_is_over(timed: Run) -> None:
    timed.told("search")
    timed.later(2_500)
    assert timed.saga.status == "started"
