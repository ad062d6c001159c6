"""The access right on real Kafka and embedded stores: all of a person, sensitive fields in clear, nothing of others."""

import json
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from confluent_kafka import OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner

from connectors.kafka.connection import Connection
from connectors.kafka.lag import LagMeter
from schemas.events import DetailsGiven, MessageSent, PreferenceStated
from schemas.writes import STORES
from streams.archive.plan import group_of
from streams.cli.main import command_line
from tests.integration.pipeline.people import Person

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

ARCHIVED = {"keys.store": "sqlite", "archive.enabled": True, "archive.file_seconds": 1.0}

NOW = datetime.now(UTC)


def events_of(user: str) -> list[Any]:
    common: dict[str, Any] = {"user_id": user, "occurred_at": NOW}
    return [
        PreferenceStated(**common, event_id=f"{user}-1", category="cuisine", value=f"{user}'s kimchi", strength=0.9),
        MessageSent(
            **common, event_id=f"{user}-2", conversation_id=f"c-{user}", role="user", text=f"{user} says hello"
        ),
        DetailsGiven(**common, event_id=f"{user}-3", email=f"{user}@example.org"),
    ]


def exported(pipeline: Any, user: str) -> Any:
    done = CliRunner(env=dict(pipeline.environment)).invoke(command_line(["export"]), ["export", user])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@contextmanager
def open_producer(connection: Connection) -> Generator[Producer]:
    """Return a producer of any bytes; at the end the brokers have them."""
    producer = Producer({**connection.producer()})
    yield producer
    assert producer.flush(10) == 0


def kept_no_more(pipeline: Any, topic: str) -> None:
    """Have the brokers delete all that a topic holds, as they do after its retention."""
    admin = AdminClient(pipeline.options.kafka.connection().client())
    partitions = admin.list_topics(timeout=10).topics[topic].partitions
    places = [TopicPartition(topic, number, OFFSET_END) for number in partitions]
    ended = cast("dict[TopicPartition, Future[object]]", admin.delete_records(places))  # pyright: ignore[reportUnknownMemberType]
    for one in ended.values():
        one.result(timeout=10)


@pytest.mark.parametrize("pipeline", [{"keys.store": "sqlite"}], indirect=True)
def test_all_that_is_held_about_a_person_is_exported_and_nothing_of_others(pipeline: Any) -> None:
    pipeline.publish([*events_of("ann"), *events_of("rob")])
    for role in ("ingest", "deliver"):
        pipeline.start(role, role)
    pipeline.settle()
    document = exported(pipeline, "ann")
    assert {one["event_id"] for one in document["items"]} == {"ann-1", "ann-2", "ann-3"}
    assert {one["store"] for one in document["items"]} >= {"graph", "vector", "relational", "warehouse"}
    sent = [one["content"] for one in document["records"] if one["topic"].endswith("user-events")]
    assert {one["event_id"] for one in sent} == {"ann-1", "ann-2", "ann-3"}
    text = json.dumps(document)
    assert "sealed:1:" not in text
    assert "ann@example.org" in json.dumps(document["items"])
    assert "rob" not in text
    assert document["failed"] == {}
    assert set(document["by_writes_only"]) < set(STORES)


@pytest.mark.parametrize("pipeline", [ARCHIVED], indirect=True)
def test_records_about_a_person_are_told_wherever_they_lie_also_where_kafka_keeps_them_no_more(pipeline: Any) -> None:
    catalogue, ann = pipeline.catalogue, Person("ann")
    connection = pipeline.options.kafka.connection()
    events, said = catalogue.user_events.name, list(ann.events())
    for role in ("ingest", "deliver", "archive"):
        pipeline.start(role, role)
    pipeline.publish([*said, *Person("bert").events()])
    with open_producer(connection) as producer:
        producer.produce(events, b'{"type": "none that we know"}', b"ann")
    pipeline.settle()
    pipeline.wait_for(lambda: len(pipeline.letters()) == 1, "what cannot be read is a dead letter")
    with closing(LagMeter(connection, group_of(pipeline.options))) as meter:
        pipeline.wait_for(
            lambda: all(one.done == one.end for one in meter.positions([events]).values()),
            "the archive has them",
        )
    pipeline.stop()
    with open_producer(connection) as producer:  # nobody reads them any more
        producer.produce(catalogue.changes["public.users"].name, b'{"payload": {"after": {}}}', b'{"id": "ann"}')
        producer.produce(catalogue.claims.name, b'{"content": {}}', b"user:ann")
        producer.produce(catalogue.conflicts.name, b'{"sides": []}', b"user:ann")
        producer.produce(catalogue.waiting_events.name, b'{"type": "place_visited"}', b"ann")
    kept_no_more(pipeline, events)
    found = exported(pipeline, "ann")["records"]
    lies_in = {(one["lies_in"], one["topic"]) for one in found}
    assert ("archive", events) in lies_in
    beside = (catalogue.dead_letters, catalogue.changes["public.users"], catalogue.waiting_events)
    kept = {topic.name for topic in (*beside, catalogue.claims, catalogue.conflicts, catalogue.gps_events)}
    assert {("kafka", topic) for topic in kept} <= lies_in
    assert len({(one["topic"], one["partition"], one["offset"]) for one in found}) == len(found)
    sources = {events, catalogue.gps_events.name, catalogue.urgent_events.name}
    told = [one["content"]["event_id"] for one in found if one["topic"] in sources and "event_id" in one["content"]]
    assert sorted(told) == sorted(event.event_id for event in said)
    assert "bert" not in json.dumps(found)


@pytest.mark.parametrize("pipeline", [ARCHIVED], indirect=True)
def test_an_archive_that_cannot_be_read_is_named_and_what_kafka_has_is_told(pipeline: Any) -> None:
    pipeline.publish([*Person("ann").events()])
    folder = pipeline.options.data_dir / "archive"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("no folder")
    done = CliRunner(env=dict(pipeline.environment)).invoke(command_line(["export"]), ["export", "ann"])
    document = json.loads(done.stdout)
    assert (done.exit_code, list(document["failed"])) == (1, ["archive"])
    assert len(document["records"]) == len(list(Person("ann").events()))
