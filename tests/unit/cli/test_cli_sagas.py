"""`travelos sagas`: what is shown first, and what is said when nobody can answer."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from msgspec import structs
from typer.testing import CliRunner, Result

from connectors.kafka.reading import read_topics
from deploy.local.kafka import MemoryKafka
from schemas.sagas import Moment, SagaCommand, SagaEntry, Status, StepEntry, decode_saga_record, encode_saga_record
from streams.cli import common, sagas
from streams.cli.sagas import last_answer
from streams.settings import load

PLACES = ("started", "completed", "stuck", "compensating")


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common.out, "width", 250)
    monkeypatch.setattr(sagas, "ANSWER_SECONDS", 0.5)
    handlers = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers


def entry(name: str, status: Status, *, began_ms: int = 1_000) -> SagaEntry:
    return SagaEntry(
        id=name,
        definition="booking_made",
        subject=f"booking:{name}",
        version=5,
        event_id="e",
        status=status,
        began_ms=began_ms,
        at_ms=2_000,
        steps=[StepEntry(name="booked", store="graph", entity="BOOKED:1", version=5, op="upsert", status="sent")],
        history=[Moment(began_ms, "began"), Moment(1_500, "sent", "booked", "attempt 2")],
        stuck="the store is away" if status == "stuck" else None,
    )


@pytest.fixture
def brokers() -> Iterator[str]:
    """A cluster whose log tells of a saga of each status, of one of them twice, and of something unreadable."""
    kafka = MemoryKafka()
    kafka.start()
    catalogue = load(environ={}).options.catalogue()
    for topic in (catalogue.saga_log, catalogue.saga_commands):
        AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(topic.name)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 0})
    told = [entry("s-stuck", "started"), *(entry(f"s-{status}", status) for status in PLACES)]
    for one in (*told, entry("s-early", "started", began_ms=10)):
        producer.produce(catalogue.saga_log.name, encode_saga_record(one), one.id, partition=0)
    producer.produce(catalogue.saga_log.name, b"{", "s-broken", partition=0)
    assert producer.flush(10) == 0
    try:
        yield kafka.bootstrap
    finally:
        kafka.stop()


def run(brokers: str, *arguments: str) -> Result:
    return CliRunner().invoke(sagas.app, list(arguments), env={"TRAVELOS_KAFKA_BOOTSTRAP": brokers})


def listed(brokers: str, *arguments: str) -> list[str]:
    result = run(brokers, "list", "--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return [row["id"] for row in json.loads(result.stdout)]


def test_stuck_ones_come_first_then_the_oldest_and_those_that_are_over_only_when_asked_for(brokers: str) -> None:
    assert listed(brokers) == ["s-stuck", "s-compensating", "s-early", "s-started"]
    assert listed(brokers, "--ended")[-1] == "s-completed"
    assert listed(brokers, "--status", "completed") == ["s-completed"]
    assert listed(brokers, "--subject", "booking:s-early", "--definition", "booking_made") == ["s-early"]
    assert "3 more" in run(brokers, "list", "--limit", "1").stdout


def test_a_saga_is_shown_with_its_steps_and_all_that_happened_to_it(brokers: str) -> None:
    shown: dict[str, Any] = json.loads(run(brokers, "show", "s-stuck", "--json").stdout)
    assert (shown["status"], shown["why"]) == ("stuck", "the store is away")
    assert [one["what"] for one in shown["history"]] == ["began", "sent"]
    assert shown["history"][1]["after_ms"] == 500
    assert "BOOKED:1" in run(brokers, "show", "s-stuck").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "s-none"), "there is no saga 's-none'"),
        (("abort", "s-none"), "there is no saga 's-none'"),
        (("retry", "s-completed"), "saga s-completed is over: completed"),
    ],
)
def test_what_cannot_be_done_is_said_and_not_sent(brokers: str, arguments: tuple[str, ...], said: str) -> None:
    result = run(brokers, *arguments)
    assert (result.exit_code, said in result.stderr) == (1, True), result.stderr


def test_an_answer_is_found_in_a_history_that_drops_as_much_as_it_takes() -> None:
    told = [Moment(1, "began"), Moment(2, "retry"), Moment(3, "retry refused", "", "me: not stuck")]
    before = structs.replace(entry("s", "stuck"), history=told)
    after = structs.replace(before, history=[told[0], told[2], Moment(4, "retry", "", "me")])
    assert last_answer(before, "retry") == before.history[2]
    assert last_answer(after, "retry") == Moment(4, "retry", "", "me")
    assert last_answer(after, "abort") is None


def test_a_command_that_nobody_takes_waits_in_kafka_and_that_is_said(brokers: str) -> None:
    result = run(brokers, "abort", "s-stuck", "--why", "enough")
    assert result.exit_code == 1
    assert "when a worker of the role sagas runs" in result.stderr
    options = load(environ={"TRAVELOS_KAFKA_BOOTSTRAP": brokers}).options
    (record,) = read_topics(options.kafka.connection(), [options.catalogue().saga_commands.name])
    command = decode_saga_record(record.value, SagaCommand)
    assert record.key == b"booking:s-stuck"
    assert (command.id, command.action, command.why) == ("s-stuck", "abort", "enough")
