from typing import Any

import msgspec

from connectors.cdc.envelope import Record
from connectors.cdc.filters import Filters
from connectors.cdc.other_events import TransactionMetadata, logical_message, truncated
from connectors.cdc.pgoutput import LogicalMessage

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
    key, value, headers = logical_message(message, b'{"lsn":5}', NOW_NS)
    assert (key, headers) == (b'{"prefix":"fo\\"o"}', None)
    assert value == (
        b'{"op":"m","ts_ms":1559033904863,"source":{"lsn":5},"transaction":null,'
        b'"message":{"prefix":"fo\\"o","content":"YmFyAA=="}}'
    )


def test_each_event_tells_its_place_and_the_end_tells_how_many_there_were() -> None:
    metadata = TransactionMetadata()
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
