"""Whatever comes in, the records around it arrive, and it lies in the dead letters as it was."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.events import GpsUpdate, MessageSent, encode_event
from schemas.headers import ERROR_MESSAGE, ERROR_STAGE, ERROR_TOPIC, header_map, without_error_headers

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC)


def fix(number: int, **changed: Any) -> dict[str, Any]:
    event = {
        "type": "gps_update",
        "event_id": f"fix-{number}",
        "user_id": "u1",
        "occurred_at": (NOW + timedelta(seconds=number)).isoformat(),
        "lat": 40.7,
        "lon": -74.0,
    }
    return {name: value for name, value in (event | changed).items() if value is not ...}


def encoded(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


# what it is -> (key, value, what the dead letter says)
BAD: dict[str, tuple[bytes | None, bytes | None, str]] = {
    "no JSON": (b"u1", b"lat=40.7;lon=-74", "JSON is malformed"),
    "cut off": (b"u1", b'{"type": "gps_upd', "truncated"),
    "empty": (b"u1", b"", "truncated"),
    "no value": (b"u1", None, "the value is missing"),
    "a list": (b"u1", b"[1, 2, 3]", "Expected `object`, got `array`"),
    "another shape": (b"u1", b'{"hello": "world"}', "`type`"),
    "unknown type": (b"u1", encoded(fix(1, type="teleported")), "$.type"),
    "wrong type": (b"u1", encoded(fix(1, lat="north")), "$.lat"),
    "missing field": (b"u1", encoded(fix(1, lon=...)), "`lon`"),
    "NaN": (b"u1", encoded(fix(1, lat=float("nan"))), "JSON is malformed"),
    "latitude of 95": (b"u1", encoded(fix(1, lat=95.0)), "$.lat"),
    "longitude of 200": (b"u1", encoded(fix(1, lon=200.0)), "$.lon"),
    "year 1": (b"u1", encoded(fix(1, occurred_at="0001-01-01T00:00:00Z")), "occurred_at"),
    "year 9999": (b"u1", encoded(fix(1, occurred_at="9999-12-31T23:59:59Z")), "occurred_at"),
    "a time without zone": (b"u1", encoded(fix(1, occurred_at="2026-01-01T00:00:00")), "$.occurred_at"),
    "next week": (b"u1", encoded(fix(1, occurred_at=(NOW + timedelta(days=7)).isoformat())), "max_future_hours"),
    "5 MB": (b"u1", b'{"type": "' + b"x" * 5_000_000 + b'"}', "5,000,012 bytes"),
    "not UTF-8": (b"u1", b'{"type": "\xff\xfe"}', "utf-8"),
    "nested too deeply": (b"u1", b'{"a":' * 100_000, "nested"),
    "unknown schema id": (b"u1", b"\x00\x00\x00\x00\x2a" + encoded(fix(1)), "schema id 42"),
    "half a frame": (b"u1", b"\x00\x01", "incomplete frame"),
    "no key": (None, encoded(fix(1)), "the key is missing"),
    "another key": (b"u2", encoded(fix(1)), "key"),
    "a key that is no text": (b"\xff\xff", encoded(fix(1)), "key"),
}


def test_every_kind_of_bad_record_becomes_a_dead_letter_and_the_records_around_it_arrive(pipeline: Any) -> None:
    good: list[GpsUpdate | MessageSent] = []
    with pipeline.producer() as producer:
        for number, (what, (key, value, _)) in enumerate(BAD.items()):
            event = GpsUpdate(
                event_id=f"good-{number}",
                user_id="u1",
                occurred_at=NOW - timedelta(hours=1) + timedelta(seconds=number),
                lat=40.7,
                lon=-74.0 + number / 1_000,
            )
            good.append(event)
            producer.publish(event)
            headers = [("what", what.encode()), ("binary", b"\xff\x00"), ("empty", None)]
            for topic in (pipeline.catalogue.gps_events, pipeline.catalogue.user_events):
                producer.publish_raw(topic.name, key, value, headers)
    pipeline.start("ingest")
    pipeline.start("deliver")
    pipeline.settle()

    letters = pipeline.letters()
    assert len(letters) == 2 * len(BAD)
    for letter in letters:
        said = header_map(letter.headers)
        key, value, reason = BAD[said["what"]]
        assert (letter.key, letter.value) == (key, value), said["what"]
        assert reason in said[ERROR_MESSAGE], said["what"]
        assert said[ERROR_STAGE] in {"decode", "unframe"}
        assert said[ERROR_TOPIC] in {pipeline.catalogue.gps_events.name, pipeline.catalogue.user_events.name}
        kept = [(name, content or b"") for name, content in without_error_headers(letter.headers)]
        assert kept == [("what", said["what"].encode()), ("binary", b"\xff\x00"), ("empty", b"")]
    with pipeline.readers().timeseries() as reader:
        assert len(reader.range("gps", {"user_id": "u1"})) == len(good)


def test_changes_that_make_no_sense_become_dead_letters_and_the_rest_goes_on(pipeline: Any) -> None:
    topic = pipeline.catalogue.changes["public.places"].name
    source = {
        "version": "1",
        "connector": "postgresql",
        "name": "cdc.travel",
        "ts_ms": 1_795_000_000_000,
        "db": "travel",
    }
    source |= {"schema": "public", "table": "places", "lsn": 10, "txId": 1}
    row = {"id": "cam-hotel-1", "name": "A Hotel", "kind": "hotel"}
    change = {"before": None, "after": row, "source": source, "op": "c", "ts_ms": 1_795_000_000_000}
    placeholder = {**change, "after": {**row, "description": "__debezium_unavailable_value"}}
    bad: dict[bytes, str] = {
        b"garbage": "JSON is malformed",
        encoded({**change, "op": "x"}): "$.op",
        encoded({**change, "source": {**source, "lsn": None}}): "source.lsn",
        encoded({**change, "source": {**source, "ts_ms": 10**18}}): "source.ts_ms",
        encoded({**change, "after": {"id": "cam-hotel-1"}}): "`name`",
        encoded(placeholder): "description",
    }
    with pipeline.producer() as producer:
        for value in bad:
            producer.publish_raw(topic, b'{"id": "cam-hotel-1"}', value)
        producer.publish_raw(topic, b'{"id": "cam-hotel-1"}', encoded(change))
        wrapped = {"schema": {}, "payload": {**change, "after": {**row, "id": "cam-hotel-2"}}}
        producer.publish_raw(topic, b'{"schema": {}, "payload": {"id": "cam-hotel-2"}}', encoded(wrapped))
        producer.publish_raw(topic, b'{"id": "cam-hotel-3"}', None)
    pipeline.start("ingest")
    pipeline.start("deliver")
    pipeline.settle()

    letters = pipeline.letters()
    assert len(letters) == len(bad)
    for letter in letters:
        assert bad[letter.value] in header_map(letter.headers)[ERROR_MESSAGE]
    with pipeline.readers().search() as reader:
        assert sorted(one.entity for one in reader.matching("hotel")) == ["place:cam-hotel-1", "place:cam-hotel-2"]


def test_bytes_that_are_no_write_do_not_stop_a_store(pipeline: Any) -> None:
    topic = pipeline.catalogue.writes("search").name
    event = MessageSent(
        event_id="m1", user_id="u1", occurred_at=NOW, conversation_id="c1", role="user", text="still here"
    )
    with pipeline.producer() as producer:
        producer.publish_raw(topic, b"k", b"no write")
        producer.publish_raw(topic, b"k", encode_event(event))
        producer.publish(event)
    pipeline.start("ingest")
    pipeline.start("deliver")
    pipeline.settle()
    assert [header_map(letter.headers)[ERROR_STAGE] for letter in pipeline.letters()] == ["decode", "decode"]
    with pipeline.readers().relational() as reader:
        assert [row["text"] for row in reader.query("SELECT text FROM messages")] == ["still here"]
