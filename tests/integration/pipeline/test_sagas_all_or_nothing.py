"""Sagas on real Kafka and embedded stores, some of whose writes are refused, with workers that are killed."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.sagas.chaos import PLACES
from bench.sagas.declared import PATIENT, THREE_PATIENT, saga
from bench.sagas.points import POINTS_OF, TIME, kill_at
from bench.sagas.stand import Stand, kill
from connectors.kafka.reading import read_topics
from deploy.local.kafka import KafkaServer
from schemas.sagas import ENDED, SagaEntry, decode_saga_record
from streams.app import Role
from streams.cli import sagas
from streams.runtime.faults import Point

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

COUNT = 200
LATE_MS = 8_000  # that a timer may fire after its time while CI is busy; the next one is due 60 s later
Make = Callable[..., Stand]


@pytest.fixture
def make(kafka_server: KafkaServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Return what makes an installation."""
    made: list[Stand] = []

    def one(**options: Any) -> Stand:
        stand = Stand(kafka_server.bootstrap, f"s{time.time_ns()}.", tmp_path / "data", **options)
        made.append(stand)
        return stand

    yield one
    for stand in made:
        stand.stop()


def run(stand: Stand, *arguments: str) -> Any:
    return CliRunner().invoke(sagas.app, list(arguments), env=stand.environment)


def shown(stand: Stand, entries: Iterable[SagaEntry]) -> set[str]:
    """Return what `travelos sagas show` lists of the saga of which most was told."""
    longest = max(entries, key=lambda one: len({moment.what for moment in one.history}))
    result = run(stand, "show", longest.id, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)["history"]
    assert all(moment["step"] for moment in told if moment["what"] in ("sent", "applied", "compensation sent"))
    return {moment["what"] for moment in told}


def settle(stand: Stand, count: int) -> None:
    """Wait until so many sagas are over; workers that end are started again."""

    def over() -> bool:
        stand.check()
        statuses = stand.statuses()
        return sum(statuses[status] for status in ENDED) == count

    stand.wait_for(over, f"{count} sagas are over", 120)


def test_what_one_store_refuses_is_in_none_of_them(make: Make) -> None:
    stand = make(refused=0.1)
    stand.start("deliver")
    stand.start("sagas")
    begun = [saga(number, 1_000, ordered=number % 2 == 0) for number in range(COUNT)]
    stand.publish(begun)
    settle(stand, COUNT)
    stand.stop()
    statuses = stand.statuses()
    assert min(statuses["completed"], statuses["compensated"]) > 0, statuses
    assert stand.wrong(begun) == []
    entries = stand.entries().values()
    assert {stand.held(one.subject) for one in list(entries)[:20] if one.status == "completed"} <= {3}
    undone = [one for one in entries if one.status == "compensated"]
    assert {stand.held(one.subject) for one in undone} == {0}
    assert {"sent", "applied", "rejected", "compensation sent", "compensation applied", "compensated"} <= shown(
        stand, undone
    )


def test_a_write_that_arrives_after_it_was_taken_back_is_refused_by_every_store(make: Make) -> None:
    stand = make(refused=0.2)
    stand.start("deliver")
    stand.start("sagas")
    begun = [saga(number, 1_000) for number in range(40)]
    stand.publish(begun)
    settle(stand, 40)
    undone = [one for one in begun if stand.entries()[one.id].status == "compensated"]
    assert undone
    stand.write_again(undone)
    stand.wait_for(lambda: stand.undelivered() == 0, "they have come to their end", 60)
    stand.stop()
    assert {stand.held(one.subject) for one in undone} == {0}


@pytest.mark.slow
def test_sagas_go_on_in_another_worker_when_one_joins_and_the_first_is_killed(make: Make) -> None:
    stand = make(refused=0.1)
    stand.start("deliver")
    first = stand.start("sagas")
    begun = [saga(number, 1_000, ordered=number % 2 == 0) for number in range(2 * COUNT)]
    stand.publish(begun[:COUNT])
    stand.wait_for(lambda: len(stand.entries()) > 0, "it has begun", 60)
    stand.start("sagas")
    stand.publish(begun[COUNT:])
    kill(first)
    stand.wait_for(lambda: first.pid is None, "it is dead", 20)
    stand.leave(first)
    settle(stand, 2 * COUNT)
    stand.stop()
    assert stand.wrong(begun) == []


@pytest.mark.slow
@pytest.mark.parametrize(("role", "point"), PLACES)
def test_a_worker_that_is_killed_at_any_point_leaves_all_or_nothing(make: Make, role: Role, point: Point) -> None:
    stand = make(refused=0.1)
    workers = {name: stand.start(name) for name in POINTS_OF}
    half = COUNT // 2
    first = [saga(number, 1_000, ordered=number % 2 == 0) for number in range(half)]
    stand.publish(first)
    settle(stand, half)
    # The others replace what the first left: what undoes them is told before a store is asked to take them.
    begun = [*first, *(saga(half + one, 2_000, ordered=one % 2 == 1, subject=one) for one in range(half))]
    workers[role].stop()
    # Commits are seconds apart: so few sagas may be over before the third of them.
    time = 1 if point == "before-commit" else TIME
    kill_at(stand, role, point, workers[role], time=time, meanwhile=lambda: stand.publish(begun[half:]))
    settle(stand, COUNT)
    stand.stop()
    assert stand.wrong(begun) == []


def test_a_saga_that_does_not_get_on_is_told_of_shown_first_and_helped_by_hand(make: Make) -> None:
    stand = make()
    stand.start("sagas")
    stand.publish([saga(1, 1_000), saga(2, 1_000, ordered=True)])
    stand.wait_for(lambda: len(stand.entries()) == 2, "both have begun", 60)

    first = saga(1, 1_000).id
    shown = run(stand, "show", first)
    assert shown.exit_code == 0, shown.output
    assert "sent" in shown.output
    refused = run(stand, "resume", first)
    assert (refused.exit_code, "is not stuck" in refused.output) == (1, True), refused.output
    aborted = run(stand, "abort", first, "--why", "a test")
    assert aborted.exit_code == 0, aborted.output
    listed = run(stand, "list", "--json")
    assert listed.exit_code == 0
    assert listed.output.index(first) < listed.output.index(saga(2, 1_000).id.replace("parallel", "ordered"))
    stand.start("deliver")
    settle(stand, 2)
    stand.stop()
    assert (stand.held("trial:1"), stand.held("trial:2")) == (0, 3)
    assert run(stand, "retry", first).exit_code == 1


@pytest.mark.slow
def test_a_worker_killed_while_timers_are_pending_has_them_fire_in_its_successor(make: Make) -> None:
    stand = make()
    worker = stand.start("sagas")
    stand.publish([saga(1, 1_000)])
    stand.wait_for(lambda: len(stand.entries()) == 1, "it has begun", 60)
    kill(worker)
    stand.wait_for(lambda: worker.pid is None, "it is dead", 20)
    stand.check()
    attempts = lambda: max(step.attempts for step in next(iter(stand.entries().values())).steps)  # noqa: E731
    stand.wait_for(lambda: stand.check() or attempts() >= 2, "its writes are sent again", 60)


@pytest.mark.slow
def test_timers_fire_in_time_in_partitions_that_stay_through_a_rebalance_and_in_those_that_move(make: Make) -> None:
    stand = make()
    stand.start("sagas")
    begun = [saga(number, 1_000, shape=THREE_PATIENT) for number in range(40)]
    stand.publish(begun)
    stand.wait_for(lambda: len(stand.entries()) == len(begun), "all have begun", 60)
    stand.start("sagas")
    stand.wait_for(lambda: told_again(stand), "another worker has told of what it took over", 60)
    assert len(told_again(stand)) < len(begun), "of what stayed nothing is told, nor asked for"

    attempts = lambda: min(step.attempts for one in stand.entries().values() for step in one.steps)  # noqa: E731
    stand.wait_for(lambda: attempts() >= 2, "all writes are sent again", 60)
    for one in stand.entries().values():
        sent = [moment.at_ms - one.began_ms for moment in one.history if moment.what == "sent"]
        due_ms = 3 * [0] + 3 * [PATIENT.first_ms]
        assert all(0 <= at - due < LATE_MS for at, due in zip(sent, due_ms, strict=False)), (one.id, sent)


def told_again(stand: Stand) -> set[str]:
    """Return the sagas of which the log was told twice without anything having been asked for once more."""
    told = Counter[tuple[str, tuple[int, ...]]]()
    for record in read_topics(stand.connection, [stand.catalogue.saga_log.name]):
        entry = decode_saga_record(record.value, SagaEntry)
        told[entry.id, tuple(step.attempts for step in entry.steps)] += 1
    return {saga_id for (saga_id, _), times in told.items() if times > 1}
