"""What a saga does next, one input at a time."""

import msgspec
import pytest
from msgspec.structs import replace

from schemas.writes import Write
from streams.sagas.commands import CommandRefused, abort, resume, retry
from streams.sagas.definition import Definition
from streams.sagas.effects import Compensate, Send
from streams.sagas.machine import begin, hear
from streams.sagas.state import Saga
from tests.unit.sagas.saga_run import Run, Tell


@pytest.fixture
def run(booking: Definition, writes: dict[str, Write], receipt: Tell) -> Run:
    return Run(booking, writes, receipt)


def test_steps_go_out_side_by_side_then_the_pivot_then_the_rest(run: Run) -> None:
    assert run.asked == ["Send graph", "Send search"]
    run.told("graph")
    assert run.asked == []
    run.told("search", "superseded")
    assert run.asked == ["Send booking"]
    run.told("booking")
    assert run.asked == ["Send cache"]
    run.told("cache")
    assert (run.saga.status, run.saga.due_ms) == ("completed", None)


def test_every_write_asks_for_what_it_replaces(run: Run) -> None:
    assert all(step.write.undo for step in run.saga.steps)


def test_a_refused_step_is_undone_with_those_before_it(run: Run, writes: dict[str, Write]) -> None:
    run.captured("graph", "search")
    run.told("graph")
    run.forget()
    run.take(hear(run.definition, run.saga, run.tell(writes["search"], "rejected", reason="no name"), run.now))
    compensations = [effect for effect in run.effects if isinstance(effect, Compensate)]
    assert [(one.step, one.write.op, one.write.version, one.write.undo) for one in compensations] == [
        ("graph", "delete", 501, False),
        ("search", "delete", 501, False),  # so that the refused write is too late when somebody replays it
    ]
    run.told("graph", undone=True)
    assert run.saga.status == "compensating"
    run.told("search", "superseded", undone=True)
    assert run.saga.status == "compensated"


def test_a_refused_pivot_undoes_what_went_before_it_once_it_is_fenced_off(run: Run) -> None:
    run.captured("graph", "search")
    run.told("graph")
    run.told("search")
    run.captured("booking")
    run.forget()
    run.told("booking", "rejected")
    assert run.asked == ["Compensate booking"]
    run.told("booking", undone=True)
    assert run.asked == ["Compensate graph", "Compensate search"]


def test_a_refused_compensation_is_told_at_once_and_once_and_is_sent_again_all_the_same(run: Run) -> None:
    run.captured("graph", "search")
    run.told("graph")
    run.told("search", "rejected", reason="no name")
    run.forget()
    for _ in range(2):
        run.told("graph", "rejected", undone=True, reason="the copy has expired")
    assert run.asked == ["Alert the store graph refuses the compensation of step graph: the copy has expired"]
    assert run.saga.status == "stuck"
    run.later(3_600_000)
    assert "Compensate graph" in run.asked
    run.told("graph", undone=True)
    assert run.saga.status == "compensating"
    run.told("search", undone=True)
    assert run.saga.status == "compensated"


def test_a_refused_compensation_may_be_done_by_hand_at_once_and_that_of_another_step_is_still_waited_for(
    run: Run,
) -> None:
    run.captured("graph", "search")
    run.told("graph")
    run.told("search", "rejected", reason="no name")
    run.told("graph", "rejected", undone=True, reason="the copy has expired")
    run.take(resume(run.definition, run.saga, run.now))
    assert {step.name: step.status for step in run.saga.steps if step.name in ("graph", "search")} == {
        "graph": "undone",
        "search": "undoing",
    }
    run.told("search", undone=True)
    assert run.saga.status == "compensated"


def test_after_the_pivot_a_refusal_is_tried_again_and_told(run: Run) -> None:
    for step in ("graph", "search", "booking"):
        run.told(step)
    run.forget()
    run.told("cache", "rejected", reason="out of memory")
    run.later(1_000)
    assert run.asked == ["Send cache"]
    run.later(2_000)
    run.later(4_000)
    assert run.asked == [
        "Send cache",
        "Alert the write of step cache was sent 3 times to the store cache: out of memory",
        "Send cache",
    ]
    assert run.saga.status == "stuck"
    run.later(4_000)
    assert run.asked == ["Send cache"], "said once, and tried for ever"
    run.told("cache")
    assert run.saga.status == "completed"


def test_a_step_that_nothing_is_heard_of_turns_the_saga_back_and_is_undone_once_something_is(run: Run) -> None:
    run.captured("graph")
    run.told("graph")
    for pause in (1_000, 2_000, 4_000):
        run.later(pause)
    assert run.saga.status == "compensating"
    assert run.asked[-2:] == ["Send search", "Compensate graph"]
    run.told("graph", undone=True)
    assert run.saga.status == "compensating", "nobody knows yet what search holds"
    run.captured("search")
    run.told("search")
    assert run.asked == ["Compensate search"]
    run.told("search", undone=True)
    assert run.saga.status == "compensated"


def test_past_its_deadline_it_turns_back_or_when_it_cannot_somebody_is_told(run: Run) -> None:
    other = Run(run.definition, run.writes, run.tell)
    run.later(60_000)
    assert run.saga.backward
    other.told("graph")
    other.told("search")
    other.forget()
    other.now += 59_000
    other.told("booking")
    other.later(1_000)
    assert other.saga.status == "stuck"
    assert not other.saga.backward
    assert "Alert it is past its deadline, and its pivot was sent: it can only go on" in other.asked


def test_what_a_store_cannot_tell_the_undo_of_waits_for_somebody(run: Run) -> None:
    run.told("graph")
    run.forget()
    run.told("search", "rejected")
    assert run.asked == ["Alert step graph cannot be undone: the store graph did not tell what it held before"]
    run.take(resume(run.definition, run.saga, run.now))
    assert run.saga.status == "compensated"


def test_of_what_a_store_told_before_it_took_the_write_the_last_counts(run: Run, writes: dict[str, Write]) -> None:
    run.captured("graph")
    told = replace(writes["graph"], version=450)  # the worker died, and somebody else wrote meanwhile
    run.take(hear(run.definition, run.saga, run.tell(writes["graph"], "captured", told), run.now))
    run.told("graph")
    run.told("search", "rejected")
    assert [one.write for one in run.effects if isinstance(one, Compensate)] == [replace(told, version=501, undo=False)]


def test_what_the_store_held_something_newer_of_is_not_undone(run: Run) -> None:
    run.told("graph", "superseded")
    run.told("search", "rejected")
    assert run.saga.status == "compensated"


def test_steps_that_left_nothing_behind_are_undone_at_once_whatever_they_wait_for(run: Run) -> None:
    run.told("graph", "superseded")
    run.told("search", "superseded")
    run.told("booking", "rejected")
    assert run.saga.status == "compensated"


def test_a_saga_survives_its_way_through_a_topic(run: Run) -> None:
    run.captured("graph")
    run.told("search", "rejected", reason="no name")
    assert msgspec.json.decode(msgspec.json.encode(run.saga), type=Saga) == run.saga


def test_receipts_that_come_twice_or_late_or_of_something_else_change_nothing(
    run: Run, writes: dict[str, Write]
) -> None:
    run.told("graph")
    before = run.saga
    run.told("graph")
    run.told("graph", "rejected")
    run.told("graph", undone=True)
    run.told("cache")
    run.take(hear(run.definition, run.saga, run.tell(replace(writes["search"], entity="booking:8")), run.now))
    run.take(hear(run.definition, run.saga, run.tell(replace(writes["search"], version=499)), run.now))
    assert run.saga == before


def test_a_compensation_is_sent_again_for_ever_and_told_after_a_while(run: Run) -> None:
    run.captured("graph")
    run.told("graph")
    run.told("search", "rejected")
    run.forget()
    for pause in (1_000, 2_000, 4_000, 4_000, 4_000):
        run.later(pause)
    asked = run.asked
    assert asked.count("Compensate graph") == 5
    assert asked.count("Alert the compensation of step graph was sent 3 times to the store graph") == 1
    assert run.saga.status == "stuck"
    run.told("graph", undone=True)
    assert run.saga.status == "compensated"


def test_a_step_without_a_write_is_left_out(run: Run, writes: dict[str, Write]) -> None:
    saga, effects = begin(run.definition, "s2", "e8", {"search": writes["search"], "cache": writes["cache"]}, 0)
    assert [step.name for step in saga.steps] == ["search", "cache"]
    saga, effects = hear(run.definition, saga, run.tell(writes["search"]), 1)
    assert [effect.step for effect in effects if isinstance(effect, Send)] == ["cache"]


def test_writes_that_belong_to_no_step_are_refused(run: Run, writes: dict[str, Write]) -> None:
    with pytest.raises(ValueError, match="has no step trip"):
        begin(run.definition, "s2", "e8", {"trip": writes["search"]}, 0)
    with pytest.raises(ValueError, match="step graph: its write goes to the store search"):
        begin(run.definition, "s2", "e8", {"graph": writes["search"]}, 0)


def test_an_operator_may_abort_until_the_pivot_is_sent(run: Run) -> None:
    run.captured("graph")
    run.told("graph")
    other = run.saga
    run.take(abort(run.definition, run.saga, run.now))
    assert run.saga.status == "compensating"
    with pytest.raises(CommandRefused, match="being undone already"):
        abort(run.definition, run.saga, run.now)
    run.saga = other
    run.told("search")
    with pytest.raises(CommandRefused, match="its pivot was sent"):
        abort(run.definition, run.saga, run.now)


def test_an_operator_may_have_it_tried_again_at_once(run: Run) -> None:
    run.forget()
    run.take(retry(run.definition, run.saga, run.now))
    assert run.asked == ["Send graph", "Send search"]
    assert {step.attempts for step in run.saga.steps if step.status == "sent"} == {1}


def test_an_operator_who_did_a_step_by_hand_has_it_go_on(run: Run) -> None:
    for step in ("graph", "search", "booking"):
        run.told(step)
    with pytest.raises(CommandRefused, match="is not stuck"):
        resume(run.definition, run.saga, run.now)
    for pause in (1_000, 2_000, 4_000):
        run.later(pause)
    assert run.saga.status == "stuck"
    run.take(resume(run.definition, run.saga, run.now))
    assert run.saga.status == "completed"
    with pytest.raises(CommandRefused, match="has ended: completed"):
        retry(run.definition, run.saga, run.now)


def test_what_a_store_held_may_be_told_after_it_took_the_write(run: Run, writes: dict[str, Write]) -> None:
    run.told("graph")
    run.captured("graph")
    other = replace(writes["graph"], version=450)  # told late: that which was told before the end counts
    run.take(hear(run.definition, run.saga, run.tell(writes["graph"], "captured", other), run.now))
    run.forget()
    run.told("search", "rejected")
    assert [(one.step, one.write.op) for one in run.effects if isinstance(one, Compensate)] == [("graph", "delete")]
    run.told("graph", undone=True)
    assert run.saga.status == "compensated"


def test_what_is_stuck_for_want_of_what_the_store_held_goes_on_when_that_is_told(run: Run) -> None:
    run.told("graph")
    run.told("search", "rejected")
    assert run.saga.status == "stuck"
    run.forget()
    run.captured("graph")
    assert run.asked == ["Compensate graph"]
    assert run.saga.status == "compensating"
