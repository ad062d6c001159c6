"""`travelos conflicts`: what is shown first, what is sent, and what is said of the answer."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from msgspec import structs
from typer.testing import CliRunner, Result

from connectors.kafka.reading import read_topics
from deploy.local.kafka import MemoryKafka
from schemas.conflicts import (
    ConflictCommand,
    ConflictEntry,
    Side,
    Status,
    Verdict,
    decode_conflict_record,
    encode_conflict_record,
)
from streams.cli import conflicts, newest
from streams.cli.common import records_of
from streams.settings import load

pytestmark = pytest.mark.usefixtures("surroundings")

CATALOGUE = load(environ={}).options.catalogue()


def entry(name: str, status: Status, *, began_ms: int = 1_000) -> ConflictEntry:
    return ConflictEntry(
        id=f"place:{name}/app/1",
        entity=f"place:{name}",
        table="public.places",
        strategy="manual",
        status=status,
        sides=[
            Side(source="app", version=1, at_ms=900, content={"id": name, "name": "Napoli"}),
            Side(source="crm", version=7, at_ms=800, content=None),
        ],
        agreed={"id": name, "name": "Roma"},
        agreed_version=5,
        began_ms=began_ms,
        at_ms=2_000,
    )


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[str]:
    """A cluster whose topic tells of a conflict of each status, one twice, one forgotten, and something unreadable."""
    kafka = MemoryKafka()
    kafka.start()
    for topic in (CATALOGUE.conflicts, CATALOGUE.conflict_commands):
        AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(topic.name)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 0})
    told = [entry("over", "undecided"), entry("over", "settled"), entry("late", "undecided")]
    told += [entry("early", "undecided", began_ms=10), entry("done", "decided"), entry("forgotten", "undecided")]
    for one in told:
        producer.produce(CATALOGUE.conflicts.name, encode_conflict_record(one), one.entity, partition=0)
    producer.produce(CATALOGUE.conflicts.name, None, "place:forgotten", partition=0)
    producer.produce(CATALOGUE.conflicts.name, b"{", "place:broken", partition=0)
    assert producer.flush(10) == 0
    try:
        yield kafka.bootstrap
    finally:
        kafka.stop()


def run(brokers: str, *arguments: str) -> Result:
    return CliRunner().invoke(conflicts.app, list(arguments), env={"TRAVELOS_KAFKA_BOOTSTRAP": brokers})


def listed(brokers: str, *arguments: str) -> list[str]:
    result = run(brokers, "list", "--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return [row["entity"] for row in json.loads(result.stdout)]


def test_those_that_wait_for_somebody_are_listed_the_oldest_first(brokers: str) -> None:
    assert listed(brokers) == ["place:early", "place:late"]
    assert listed(brokers, "--status", "settled") == ["place:over"]
    assert listed(brokers, "--all") == ["place:early", "place:late", "place:done", "place:over"]
    assert "1 more" in run(brokers, "list", "--limit", "1").stdout


def test_a_conflict_is_shown_with_what_each_source_says_and_what_holds(brokers: str) -> None:
    shown: dict[str, Any] = json.loads(run(brokers, "show", "place:late", "--json").stdout)
    assert [(side["source"], side["content"]) for side in shown["sides"]] == [
        ("app", {"id": "late", "name": "Napoli"}),
        ("crm", None),
    ]
    assert shown["agreed"] == {"version": 5, "content": {"id": "late", "name": "Roma"}}
    assert "Napoli" in run(brokers, "show", "place:late").stdout


def test_a_conflict_that_was_forgotten_is_not_there_and_each_look_reads_what_is_new(
    brokers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def counted(*arguments: Any, **named: Any) -> list[Any]:
        found = records_of(*arguments, **named)
        read.append(len(found))
        return found

    monkeypatch.setattr(newest, "records_of", counted)
    log = newest.conflicts_of(load(environ={"TRAVELOS_KAFKA_BOOTSTRAP": brokers}).options)
    assert "place:forgotten" not in log.look()
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0})
    producer.produce(CATALOGUE.conflicts.name, None, "place:late", partition=0)
    assert producer.flush(10) == 0
    assert log.look().keys() == {"place:over", "place:early", "place:done"}
    assert read == [8, 1]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("show", "place:none"), 1, "there is no conflict about 'place:none'"),
        (("resolve", "place:none", "--gone"), 1, "there is no conflict about 'place:none'"),
        (("resolve", "place:done", "--gone"), 1, "waits for nobody: decided"),
        (("resolve", "place:late"), 2, "one of --take SOURCE, --content JSON and --gone"),
        (("resolve", "place:late", "--take", "app", "--gone"), 2, "one of --take SOURCE"),
        (("resolve", "place:late", "--take", "erp"), 1, "it is between app, crm"),
        (("resolve", "place:late", "--content", "{"), 2, "--content is no JSON"),
        (("resolve", "place:late", "--content", "[1]"), 2, "must be a JSON object"),
    ],
)
def test_what_cannot_be_done_is_said_and_not_sent(
    brokers: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    result = run(brokers, *arguments)
    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        (("--take", "app"), {"id": "late", "name": "Napoli"}),
        (("--take", "crm"), None),
        (("--content", '{"id": "late", "name": "Milano"}'), {"id": "late", "name": "Milano"}),
    ],
)
def test_a_decision_that_nobody_takes_waits_in_kafka_and_that_is_said(
    brokers: str, arguments: tuple[str, ...], content: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conflicts, "ANSWER_SECONDS", 0.1)
    result = run(brokers, "resolve", "place:late", *arguments, "--why", "called them")
    assert (result.exit_code, "whose options give this type a strategy" in result.stderr) == (1, True)
    options = load(environ={"TRAVELOS_KAFKA_BOOTSTRAP": brokers}).options
    (record,) = read_topics(options.kafka.connection(), [CATALOGUE.conflict_commands.name])
    command = decode_conflict_record(record.value, ConflictCommand)
    assert (record.key, command.content, command.why) == (b"place:late", content, "called them")
    assert command.seen == {"app": 1, "crm": 7}


@pytest.mark.parametrize(
    ("refused", "status", "by", "said"),
    [
        ("", "decided", "me", "place:late: decided"),
        ("look at it again", "undecided", "me", "place:late: look at it again"),
        ("", "decided", "somebody else", "settled meanwhile: decided"),
        ("", "decided", "", "place:late was forgotten meanwhile"),
    ],
)
def test_what_came_of_a_decision_is_said(
    brokers: str, monkeypatch: pytest.MonkeyPatch, refused: str, status: Status, by: str, said: str
) -> None:
    told = entry("late", "undecided")
    at = datetime(2026, 11, 21, tzinfo=UTC)
    answer = structs.replace(told, status=status, verdict=Verdict(by=by, at=at, refused=refused))
    answers = iter([{told.entity: told}, {told.entity: told}, {told.entity: answer} if by else {}])

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return at

    def looked(_: newest.Newest[ConflictEntry]) -> dict[str, ConflictEntry]:
        return next(answers)

    monkeypatch.setattr(newest.Newest, "look", looked)
    monkeypatch.setattr(conflicts, "operator", lambda: "me")
    monkeypatch.setattr(conflicts, "datetime", Clock)
    result = run(brokers, "resolve", "place:late", "--take", "app")
    assert said in result.stdout + result.stderr
    assert result.exit_code == (0 if said.endswith(": decided") and by == "me" else 1)
