"""`travelos dlq` and `travelos replay` on a real broker, with dead letters of the pipeline's own writer."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
import typer
from confluent_kafka import Consumer, Producer, TopicPartition
from msgspec import structs
from typer.testing import CliRunner, Result

from connectors.kafka.admin import ensure_topics
from connectors.kafka.connection import Connection
from connectors.kafka.reading import StoredRecord, read_topics
from deploy.local.kafka import KafkaServer
from schemas.events import MessageSent, encode_event
from schemas.headers import Headers
from schemas.topics import MIB, Catalogue, Topic
from streams.app import Role, group_of
from streams.cli import common, dlq, replay
from streams.deadletters import dead_letter, publish_with_letters
from streams.runtime.publisher import Outgoing, Publisher
from streams.settings import Options, load

pytestmark = pytest.mark.integration

PARTITIONS = 3
PATIENCE_SECONDS = 60.0
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
UNPRINTABLE = b"\xff\x00\x01"
HEADERS: Headers = (("ce_id", b"1"), ("tag", b"one"), ("tag", None), ("tag", b""), ("raw", UNPRINTABLE))
_prefixes = (f"redrive{number}." for number in count())

replay_app = typer.Typer()
replay_app.command()(replay.command)


class Installation:
    """Topics and groups of one test."""

    def __init__(self, bootstrap: str) -> None:
        self.environ = {
            "TRAVELOS_KAFKA_BOOTSTRAP": bootstrap,
            "TRAVELOS_KAFKA_TOPIC_PREFIX": next(_prefixes),
            "TRAVELOS_KAFKA_PARTITIONS": str(PARTITIONS),
        }
        self.options: Options = load(environ=self.environ).options
        self.connection: Connection = self.options.kafka.connection()
        self.catalogue: Catalogue = self.options.catalogue()

    def create(self, *topics: Topic) -> None:
        ensure_topics(self.connection, topics)

    def records(self, topic: Topic) -> list[StoredRecord]:
        """Return what a topic holds, by partition and offset."""
        return sorted(read_topics(self.connection, [topic.name]), key=lambda one: (one.partition, one.offset))

    def produce(self, topic: Topic, records: Sequence[tuple[bytes | None, bytes | None, Headers]]) -> None:
        producer = Producer(self.connection.producer())
        for key, value, headers in records:
            sent: list[tuple[str, str | bytes | None]] = list(headers)
            producer.produce(topic.name, value, key, headers=sent)
        assert producer.flush(30) == 0

    async def set_aside(self, letters: Sequence[Outgoing]) -> None:
        """Publish dead letters as the pipeline does."""
        publisher = Publisher(self.connection)
        publisher.start()
        try:
            await publish_with_letters(publisher, self.catalogue, letters)
        finally:
            await publisher.stop()

    def letter(self, record: StoredRecord, message: str = "no `lat`", store: str | None = None) -> Outgoing:
        component, stage = ("ingest", "decode") if store is None else (f"deliver.{store}", "write")
        error = ValueError(message)
        return dead_letter(self.catalogue, record, component=component, stage=stage, error=error, store=store)

    def dlq(self, *arguments: str) -> Result:
        return CliRunner().invoke(dlq.app, list(arguments), env=self.environ)

    def replay(self, role: Role, start: str, *arguments: str) -> Result:
        return CliRunner().invoke(replay_app, [role, "--from", start, *arguments], env=self.environ)

    def consumer(self, role: Role) -> Consumer:
        """Return a member-to-be of the group of a role."""
        return Consumer(dict(self.connection.consumer(group_of(role, self.options))))


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common.out, "width", 200)


@pytest.fixture
def installation(kafka_server: KafkaServer) -> Installation:
    return Installation(kafka_server.bootstrap)


def parsed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def content(records: Sequence[StoredRecord]) -> list[tuple[int, bytes | None, bytes | None, Headers]]:
    return [(one.partition, one.key, one.value, tuple(one.headers)) for one in records]


async def test_records_come_back_from_dead_letters_exactly_as_they_were_and_in_their_order(
    installation: Installation,
) -> None:
    events, letters = installation.catalogue.user_events, installation.catalogue.dead_letters
    installation.create(events, letters)
    sent = [
        (b"u1", b'{"a": 1}', HEADERS),
        (b"u1", b'{"a": 2}', ()),
        (UNPRINTABLE, UNPRINTABLE, (("tag", b"two"),)),
        (b"u2", None, (("tag", b"tombstone"),)),
        (b"u3", b"", ()),
    ]
    installation.produce(events, sent)
    originals = installation.records(events)
    await installation.set_aside([installation.letter(one) for one in originals])

    for before, after in zip(originals, _by_origin(installation.records(letters)), strict=True):
        assert (after.key, after.value) == (before.key, before.value)
        assert tuple(after.headers)[: len(before.headers)] == tuple(before.headers)

    assert parsed(installation.dlq("replay", "--all", "--dry-run", "--json"))["would_send"] == len(sent)
    assert installation.records(events) == originals

    summary = parsed(installation.dlq("replay", "--all", "--json"))
    assert (summary["sent"], summary["would_send"], summary["without_value"]) == (len(sent), len(sent), 0)
    again = [one for one in installation.records(events) if one not in originals]
    assert content(again) == content(originals)  # in the same partitions, too
    assert len(installation.records(letters)) == len(sent)  # the letters stay


def _by_origin(letters: Sequence[StoredRecord]) -> list[StoredRecord]:
    def origin(one: StoredRecord) -> tuple[int, int]:
        said = dict(one.headers)
        return int(said["__connect.errors.partition"] or b""), int(said["__connect.errors.offset"] or b"")

    return sorted(letters, key=origin)


async def test_letters_are_listed_by_what_is_asked_for_and_shown_whole(installation: Installation) -> None:
    catalogue = installation.catalogue
    writes = catalogue.writes("graph")
    installation.create(catalogue.user_events, writes, catalogue.dead_letters)
    installation.produce(catalogue.user_events, [(UNPRINTABLE, b'{"a": 1}', HEADERS), (b"u2", b"x", ())])
    installation.produce(writes, [(b"e1", b"w", ())])
    first, second = sorted(installation.records(catalogue.user_events), key=lambda one: one.key == b"u2")
    (write,) = installation.records(writes)
    await installation.set_aside(
        [
            installation.letter(first, "no `lat`"),
            installation.letter(second, "no `lon`"),
            installation.letter(write, "is no place", store="graph"),
        ]
    )
    kinds = {row["component"]: row["count"] for row in parsed(installation.dlq("list", "--json"))}
    assert kinds == {"ingest": 2, "deliver.graph": 1}

    def found(*filters: str) -> list[str]:
        return sorted(row["message"] for row in parsed(installation.dlq("list", "--each", "--json", *filters)))

    assert found() == ["is no place", "no `lat`", "no `lon`"]
    assert found("--topic", catalogue.user_events.name, "--stage", "decode") == ["no `lat`", "no `lon`"]
    assert found("--store", "graph") == ["is no place"]

    (row,) = parsed(installation.dlq("list", "--each", "--json", "--message", "lat"))
    shown = parsed(installation.dlq("show", row["position"], "--json"))
    assert shown["origin"] == f"{first.topic}-{first.partition}@{first.offset}"
    assert (shown["key"], shown["value"], shown["message"]) == ("base64:/wAB", '{"a": 1}', "no `lat`")
    assert [(one["name"], one["value"]) for one in shown["headers"]] == [
        ("ce_id", "1"),
        ("tag", "one"),
        ("tag", None),
        ("tag", ""),
        ("raw", "base64:/wAB"),
    ]
    assert "value: x\n" in installation.dlq("show", _position(installation, "lon")).stdout


def _position(installation: Installation, message: str) -> str:
    (row,) = parsed(installation.dlq("list", "--each", "--json", "--message", message))
    return row["position"]


async def test_only_the_letters_that_are_named_are_put_back(installation: Installation) -> None:
    catalogue = installation.catalogue
    installation.create(catalogue.user_events, catalogue.dead_letters)
    installation.produce(catalogue.user_events, [(b"u1", b"1", ()), (b"u1", b"2", ()), (b"u1", b"3", ())])
    originals = installation.records(catalogue.user_events)
    await installation.set_aside([installation.letter(one, f"reason {one.offset}") for one in originals])
    named = [_position(installation, "reason 0"), _position(installation, "reason 2")]

    refused = installation.dlq("replay", *named, "9:9")
    assert (refused.exit_code, installation.records(catalogue.user_events)) == (1, originals)
    assert "no dead letter that matches at 9:9; nothing was sent" in refused.stderr

    assert parsed(installation.dlq("replay", *named, "--json"))["sent"] == 2
    assert [one.value for one in installation.records(catalogue.user_events)] == [b"1", b"2", b"3", b"1", b"3"]


async def test_a_letter_that_fails_again_after_it_was_put_back_is_one_of_its_own(installation: Installation) -> None:
    catalogue = installation.catalogue
    installation.create(catalogue.user_events, catalogue.dead_letters)
    installation.produce(catalogue.user_events, [(b"u1", b"1", HEADERS)])
    await installation.set_aside([installation.letter(one) for one in installation.records(catalogue.user_events)])
    parsed(installation.dlq("replay", "--all", "--json"))
    _, again = installation.records(catalogue.user_events)
    await installation.set_aside([installation.letter(again)])
    (kind,) = parsed(installation.dlq("list", "--json"))
    assert kind["count"] == 2
    shown = parsed(installation.dlq("show", kind["last"], "--json"))
    assert shown["origin"].endswith(f"@{again.offset}")
    assert len(shown["headers"]) == len(HEADERS)


async def test_a_letter_whose_value_the_brokers_did_not_take_says_where_the_value_lies(
    installation: Installation,
) -> None:
    catalogue = installation.catalogue
    small = structs.replace(catalogue.dead_letters, max_message_bytes=MIB // 2)
    installation.create(catalogue.user_events, small)
    noise = Random(1).randbytes(MIB)  # which no compression makes smaller
    record = StoredRecord(
        topic=catalogue.user_events.name, partition=1, offset=40, timestamp=0, key=b"u1", value=noise, headers=()
    )
    whole = structs.replace(record, key=b"u2", value=b"small", offset=41)
    await installation.set_aside([installation.letter(record, "too large"), installation.letter(whole, "odd")])

    result = installation.dlq("replay", "--all", "--json")
    assert result.exit_code == 3
    summary = json.loads(result.stdout)
    assert (summary["sent"], summary["would_send"], summary["without_value"]) == (1, 1, 1)
    position = _position(installation, "too large")
    assert f"{position}: its value was left out; it lies at {record.topic}-1@40\n" in result.stderr
    assert [one.value for one in installation.records(catalogue.user_events)] == [b"small"]


@pytest.mark.slow  # the client hopes for half a minute that the topic appears
def test_a_topic_that_is_gone_is_an_error_that_names_it_and_no_record_counts_as_sent(
    installation: Installation,
) -> None:
    catalogue = installation.catalogue
    installation.create(catalogue.user_events, catalogue.dead_letters)
    gone = structs.replace(catalogue.user_events, name=f"{catalogue.prefix}gone")
    record = StoredRecord(topic=gone.name, partition=0, offset=0, timestamp=0, key=b"k", value=b"v", headers=())
    installation.produce(catalogue.dead_letters, [(b"k", b"v", installation.letter(record).headers)])
    result = installation.dlq("replay", "--all")
    assert (result.exit_code, result.stdout) == (1, "")
    assert gone.name in result.stderr
    assert "Traceback" not in result.output


@pytest.fixture
def minutes(installation: Installation) -> Topic:
    """A topic of the ingest role with five events in its first partition, a minute apart from noon on."""
    events = installation.catalogue.user_events
    installation.create(events)
    producer = Producer(installation.connection.producer())
    for minute in range(5):
        at = int((NOON + timedelta(minutes=minute)).timestamp() * 1_000)
        producer.produce(events.name, str(minute), b"u1", partition=0, timestamp=at)
    assert producer.flush(30) == 0
    return events


def committed(installation: Installation, topic: Topic) -> list[int | None]:
    """Return what the ingest role has committed of each partition."""
    consumer = installation.consumer("ingest")
    try:
        homes = [TopicPartition(topic.name, partition) for partition in range(PARTITIONS)]
        return [home.offset if home.offset >= 0 else None for home in consumer.committed(homes, timeout=30)]
    finally:
        consumer.close()


def test_a_role_is_set_to_an_edge_an_offset_or_a_time(installation: Installation, minutes: Topic) -> None:
    before: int | None = None
    for start, offset in (
        ("end", 5),
        ("beginning", 0),
        ("3", 3),
        ("99", 5),
        ("2026-03-01T12:02:00Z", 2),
        ("2026-03-01T14:01:30+02:00", 2),  # the first record not before it
        ("2026-03-01T12:04", 4),  # without a zone it is UTC
        ("2026-03-01", 0),
        ("2040-01-01T00:00:00Z", 5),
        ("1969-12-31T23:59:59.999Z", 0),
    ):
        rows = parsed(installation.replay("ingest", start, "--topic", minutes.name, "--json"))
        assert rows[0] == {"topic": minutes.name, "partition": 0, "from": before, "to": offset}, start
        assert len(rows) == PARTITIONS
        assert committed(installation, minutes) == [offset, 0, 0]
        before = offset


def test_a_worker_of_the_role_then_reads_from_there(installation: Installation, minutes: Topic) -> None:
    parsed(installation.replay("ingest", "2026-03-01T12:03:00Z", "--topic", minutes.name, "--json"))
    consumer = installation.consumer("ingest")
    try:
        consumer.subscribe([minutes.name])
        found: list[bytes | None] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(found) < 2:
            assert time.monotonic() < deadline
            found += [message.value() for message in consumer.consume(10, 0.2)]
    finally:
        consumer.close()
    assert found == [b"3", b"4"]


def test_a_dry_run_sets_nothing(installation: Installation, minutes: Topic) -> None:
    rows = parsed(installation.replay("ingest", "2", "--topic", minutes.name, "--dry-run", "--json"))
    assert [(row["from"], row["to"]) for row in rows] == [(None, 2), (None, 0), (None, 0)]
    assert committed(installation, minutes) == [None, None, None]


def test_while_the_role_runs_nothing_is_set_and_once_it_has_stopped_it_is(
    installation: Installation, minutes: Topic
) -> None:
    arguments = ("ingest", "4", "--topic", minutes.name)
    worker = installation.consumer("ingest")
    try:
        worker.subscribe([minutes.name])
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not worker.assignment():
            assert time.monotonic() < deadline
            worker.poll(0.1)
        refused = installation.replay(*arguments)
        assert (refused.exit_code, refused.stdout) == (1, "")
        group = group_of("ingest", installation.options)
        assert refused.stderr == f"error: the group {group} has members: stop its workers first\n"
        assert committed(installation, minutes) == [None, None, None]
        assert parsed(installation.replay(*arguments, "--dry-run", "--json"))[0]["to"] == 4
    finally:
        worker.close()
    assert parsed(installation.replay(*arguments, "--json"))[0]["to"] == 4
    assert committed(installation, minutes) == [4, 0, 0]


def test_a_store_is_rebuilt_from_both_lanes_and_the_others_stay_where_they_are(installation: Installation) -> None:
    catalogue = installation.catalogue
    lanes = [catalogue.writes("search"), catalogue.writes("search", "urgent"), catalogue.deferred("search")]
    lanes.append(catalogue.compensations("search"))
    graph = catalogue.writes("graph")
    installation.create(graph, *lanes)
    for topic in (graph, *lanes):
        installation.produce(topic, [(b"e1", b"w", ())])
    parsed(installation.replay("deliver", "end", "--topic", graph.name, "--json"))
    rows = parsed(installation.replay("deliver", "beginning", "--store", "search", "--json"))
    assert {(row["topic"], row["to"]) for row in rows} == {(lane.name, 0) for lane in lanes}
    rows = parsed(installation.replay("deliver", "beginning", "--topic", graph.name, "--dry-run", "--json"))
    assert sum(row["from"] for row in rows) == 1


def test_topics_that_are_not_there_are_an_error_not_a_trace(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.kafka.seek.TIMEOUT_SECONDS", 1.0)
    result = installation.replay("ingest", "beginning")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: kafka.bootstrap {installation.connection.bootstrap}: ")


async def test_letters_are_edited_and_discarded_once_and_who_did_it_is_written_down(installation: Installation) -> None:
    catalogue = installation.catalogue
    installation.create(catalogue.user_events, catalogue.dead_letters)
    installation.produce(catalogue.user_events, [(b"u1", b'{"type": "?"}', HEADERS), (b"u1", b"cut o", ())])
    originals = installation.records(catalogue.user_events)
    await installation.set_aside([installation.letter(one, f"no {one.offset}") for one in originals])
    event = MessageSent(event_id="e", user_id="u1", occurred_at=NOON, conversation_id="c", role="user", text="hi")
    edited, discarded = (_position(installation, f"no {one.offset}") for one in originals)
    assert parsed(installation.dlq("edit", edited, "--value", _saved(encode_event(event)), "--json"))["sent"] == 1
    assert parsed(installation.dlq("discard", discarded, "--json"))["discarded"] == 1
    assert parsed(installation.dlq("discard", "--all", "--json"))["dealt_with_before"] == 2
    assert parsed(installation.dlq("replay", "--all", "--json"))["sent"] == 0
    [sent] = installation.records(catalogue.user_events)[len(originals) :]
    assert (sent.key, sent.value, tuple(sent.headers)) == (b"u1", encode_event(event), HEADERS)
    rows = parsed(installation.dlq("audit", "--json"))
    assert [(one["deed"], one["position"]) for one in rows] == [("edited", edited), ("discarded", discarded)]
    assert all("@" in one["by"] for one in rows)


def _saved(value: bytes) -> str:
    Path("mended.json").write_bytes(value)
    return "mended.json"
