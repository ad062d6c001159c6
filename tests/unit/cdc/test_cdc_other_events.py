from typing import Any

import msgspec

from connectors.cdc.envelope import Database, Moment, Record, source_template
from connectors.cdc.filters import Filters
from connectors.cdc.other_events import TransactionMetadata, logical_message, truncated
from connectors.cdc.pgoutput import LogicalMessage
from connectors.cdc.tables import Table

NOW_NS = 1_559_033_904_863_000_000


def value_of(record: Record) -> Any:
    return msgspec.json.decode(record.value or b"")


def test_a_truncate_is_debeziums() -> None:
    assert truncated(b'{"lsn":5}', NOW_NS) == (
        b'{"before":null,"after":null,"source":{"lsn":5},"transaction":null,"op":"t","ts_ms":1559033904863,'
        b'"ts_us":1559033904863000,"ts_ns":1559033904863000000}'
    )


def test_a_logical_message_is_debeziums() -> None:
    message = LogicalMessage(transactional=True, lsn=5, prefix='fo"o', content=b"bar\x00")
    key, value, headers, _ = logical_message(message, b'{"lsn":5}', NOW_NS, schemas=False)
    assert (key, headers) == (b'{"prefix":"fo\\"o"}', None)
    assert value == (
        b'{"op":"m","ts_ms":1559033904863,"source":{"lsn":5},"transaction":null,'
        b'"message":{"prefix":"fo\\"o","content":"YmFyAA=="}}'
    )


def test_messages_and_transactions_bring_debeziums_schemas() -> None:
    message = LogicalMessage(transactional=True, lsn=5, prefix="p", content=b"c")
    record = logical_message(message, b'{"lsn":5}', NOW_NS, schemas=True)
    key, value = msgspec.json.decode(record.key or b""), value_of(record)
    assert key == {
        "schema": {
            "type": "struct",
            "fields": [{"type": "string", "optional": True, "field": "prefix"}],
            "optional": False,
            "name": "io.debezium.connector.postgresql.MessageKey",
            "version": 1,
        },
        "payload": {"prefix": "p"},
    }
    assert [field["field"] for field in value["schema"]["fields"]] == list(value["payload"])
    assert value["schema"]["fields"][-1] == {
        "type": "struct",
        "fields": [
            {"type": "string", "optional": True, "field": "prefix"},
            {"type": "bytes", "optional": True, "field": "content"},
        ],
        "optional": False,
        "name": "io.debezium.connector.postgresql.Message",
        "version": 1,
        "field": "message",
    }
    begin = TransactionMetadata(schemas=True).begin(571, 100, 5)
    assert msgspec.json.decode(begin.key or b"")["schema"]["name"] == (
        "io.debezium.connector.common.TransactionMetadataKey"
    )
    schema, payload = value_of(begin)["schema"], value_of(begin)["payload"]
    assert schema["name"] == "io.debezium.connector.common.TransactionMetadataValue"
    assert [field["field"] for field in schema["fields"]] == list(payload)
    assert schema["fields"][3] == {
        "type": "array",
        "items": {
            "type": "struct",
            "fields": [
                {"type": "string", "optional": False, "field": "data_collection"},
                {"type": "int64", "optional": False, "field": "event_count"},
            ],
            "optional": True,
            "name": "event.collection",
            "version": 1,
        },
        "optional": True,
        "field": "data_collections",
    }


def test_an_event_outside_of_transactions_names_none() -> None:
    moment = Moment(time_us=1, tx_id=None, last_commit=None)
    database = Database(version="1", name="n", db="d")
    source = source_template(database, Table("s", "t", "topic", [], key=[]), moment) % (5, 5)
    assert msgspec.json.decode(source)["txId"] is None


def test_each_event_tells_its_place_and_the_end_tells_how_many_there_were() -> None:
    metadata = TransactionMetadata(schemas=False)
    begin = metadata.begin(571, 100, 5)
    assert begin.key == b'{"id":"571:100"}'
    assert value_of(begin) == {
        "status": "BEGIN",
        "id": "571:100",
        "event_count": None,
        "data_collections": None,
        "ts_ms": 5,
    }
    plain = b'{"after":{"a":{"x":1,"transaction":null,"op":1}},"source":{},"transaction":null,"op":"c"}'
    places = [
        msgspec.json.decode(metadata.placed(plain, table, lsn))["transaction"]
        for table, lsn in (("s.a", 101), ("s.b", 102), ("s.a", 103))
    ]
    assert [(one["id"], one["total_order"], one["data_collection_order"]) for one in places] == [
        ("571:101", 1, 1),
        ("571:102", 2, 1),
        ("571:103", 3, 2),
    ]
    row = msgspec.json.decode(metadata.placed(plain, "s.a", 104))["after"]
    assert row == {"a": {"x": 1, "transaction": None, "op": 1}}
    end = value_of(metadata.end(110, 5))
    assert (end["status"], end["id"], end["event_count"]) == ("END", "571:110", 4)
    assert end["data_collections"] == [
        {"data_collection": "s.a", "event_count": 3},
        {"data_collection": "s.b", "event_count": 1},
    ]
    assert value_of(metadata.end(110, 5)) == end
    metadata.begin(572, 200, 6)
    assert value_of(metadata.end(210, 6))["event_count"] == 0


def test_prefixes_are_chosen_and_our_own_messages_make_no_events() -> None:
    assert Filters().hears("outbox")
    assert not Filters().hears("travelos.heartbeat")
    assert not Filters(include_prefixes=("audit.*",)).hears("outbox")
    assert not Filters(exclude_prefixes=("OUT.*",)).hears("outbox")
