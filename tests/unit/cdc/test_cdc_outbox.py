from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from connectors.cdc.encoding import Encoding
from connectors.cdc.errors import Fatal, Misconfigured
from connectors.cdc.outbox import Routed, refuse_update, routed
from connectors.cdc.outbox_options import AdditionalField, Outbox, parse_field
from connectors.cdc.publisher import ANY_PARTITION
from connectors.cdc.tables import Column, Table

UUID, VARCHAR, JSONB, INT4 = 2950, 1043, 3802, 23
COLUMNS = ["id", "aggregatetype", "aggregateid", "type", "payload", "shard"]
TYPES = [UUID, VARCHAR, VARCHAR, VARCHAR, JSONB, INT4]
NOT_NULL = COLUMNS[:3]
FIELDS = [Column(name, oid, -1, not_null=name in NOT_NULL) for name, oid in zip(COLUMNS, TYPES, strict=True)]
TABLE = Table("public", "outbox", "peer.public.outbox", FIELDS, key=[0])
WITH_SCHEMAS = Table("public", "outbox", "peer.public.outbox", FIELDS, key=[0], encoding=Encoding(schemas=True))
ID = b"cc944665-fe05-4b90-85f9-7fa8fc2b5c6f"
PAYLOAD = b'{"id": 1, "name": "Rosa"}'


def route(
    body: bytes | None = PAYLOAD, aggregate: bytes | None = b"Order", table: Table = TABLE, **options: Any
) -> Routed:
    row = table.encode([ID, aggregate, b"17", b"OrderCreated", body, b"2"])
    return routed(Outbox(table="public.outbox", **options), table, row)


def with_schemas(body: bytes | None = PAYLOAD, **options: Any) -> tuple[Any, Any]:
    """Return key and value of a message, decoded."""
    record = route(body, table=WITH_SCHEMAS, **options).record
    return msgspec.json.decode(record.key or b""), msgspec.json.decode(record.value or b"")


def test_a_row_becomes_a_message_on_the_topic_of_its_aggregate() -> None:
    topic, partition, record = route()
    assert (topic, partition) == ("outbox.event.Order", ANY_PARTITION)
    assert record == (b'"17"', b'"{\\"id\\": 1, \\"name\\": \\"Rosa\\"}"', [("id", ID)], None)


def test_columns_and_topic_can_be_chosen() -> None:
    topic, _, record = route(
        route_by="type", topic="shop.${routedByValue}.events", key="aggregatetype", payload="aggregateid", id="type"
    )
    assert topic == "shop.OrderCreated.events"
    assert record == (b'"Order"', b'"17"', [("id", b"OrderCreated")], None)


@pytest.mark.parametrize(
    ("oid", "encoding", "text", "milliseconds"),
    [
        (1184, Encoding(), b"2024-02-29 10:00:00.123456+00", 1_709_200_800_123),
        (1184, Encoding(), b"1970-01-01 00:00:00+00", 0),
        (1114, Encoding(), b"2024-02-29 12:00:00.123456", 1_709_208_000_123),
        (1114, Encoding(times="isostring"), b"2024-02-29 12:00:00.123456", 1_709_208_000_123),
        (1114, Encoding(times="connect"), b"2024-02-29 12:00:00.123456", 1_709_208_000_123),
    ],
)
def test_the_time_of_a_record_can_come_from_a_column(
    oid: int, encoding: Encoding, text: bytes, milliseconds: int
) -> None:
    table = Table("public", "outbox", "x", [*FIELDS, Column("at", oid, -1)], key=[0], encoding=encoding)
    outbox = Outbox(table="public.outbox", timestamp="at")
    values = [ID, b"Order", b"17", b"OrderCreated", PAYLOAD, b"2"]
    assert routed(outbox, table, table.encode([*values, text])).record.timestamp_ms == milliseconds
    for unusable in (None, b"infinity", b"-infinity", b"1969-12-31 23:59:59.9" + (b"+00" if oid == 1184 else b"")):
        with capture_logs() as logs:
            record = routed(outbox, table, table.encode([*values, unusable])).record
        assert (record.key, record.timestamp_ms) == (b'"17"', None)  # it is sent, with the time of sending
        assert logs == [
            {"event": "outbox_time_unusable", "log_level": "warning", "table": "public.outbox", "column": "at"}
        ]


def test_a_column_that_holds_no_times_is_refused_as_the_time_of_records() -> None:
    with pytest.raises(Misconfigured, match=r"source\.outbox_timestamp: public\.outbox\.shard has to be a column"):
        route(timestamp="shard")


def test_a_payload_of_json_can_be_expanded() -> None:
    assert route(expand_json=True).record.value == b'{"id":1,"name":"Rosa"}'
    assert route(b'{"id": 1, "none": null}', expand_json=True).record.value == b'{"id":1}'
    assert route(b"[1]", expand_json=True).record.value == b"[1]"
    assert route(b"{no json", expand_json=True).record.value == b'"{no json"'
    assert route(b"7", expand_json=True).record.value == b'"7"'


def test_an_empty_payload_is_a_tombstone_when_asked_for() -> None:
    assert route(b" ", tombstone_on_empty=True).record.value is None
    assert route(b" ").record.value == b'" "'
    assert route(None, tombstone_on_empty=True).record.value is None
    fields = (parse_field("type:envelope"),)
    assert route(None, tombstone_on_empty=True, fields=fields).record.value is None


def test_an_empty_payload_is_null_when_no_tombstone_is_asked_for() -> None:
    assert route(None).record.value == b"null"
    assert route(None, fields=(parse_field("type:envelope"),)).record.value == b'{"payload":null,"type":"OrderCreated"}'


def test_keys_and_payloads_bring_debeziums_schemas() -> None:
    json = {"type": "string", "optional": True, "name": "io.debezium.data.Json", "version": 1}
    key, value = with_schemas(b"7")
    assert key == {"schema": {"type": "string", "optional": False}, "payload": "17"}
    assert value == {"schema": json, "payload": "7"}
    assert with_schemas(None)[1] == {"schema": json, "payload": None}
    _, value = with_schemas(fields=tuple(map(parse_field, ["shard:envelope:sh", "type:envelope"])))
    assert value["schema"] == {
        "type": "struct",
        "fields": [
            {**json, "field": "payload"},
            {"type": "int32", "optional": True, "field": "sh"},
            {"type": "string", "optional": True, "field": "type"},
        ],
        "optional": False,
        "name": "peer.public.outbox.Order.Value",
    }
    assert value["payload"] == {"payload": PAYLOAD.decode(), "sh": 2, "type": "OrderCreated"}
    _, value = with_schemas(b'{"id": 1}', expand_json=True)
    fields = [{"type": "int32", "optional": True, "field": "id"}]
    schema = {"type": "struct", "fields": fields, "optional": True, "name": "payload"}
    assert value == {"schema": schema, "payload": {"id": 1}}


def test_other_columns_become_headers_members_and_the_partition() -> None:
    fields = tuple(map(parse_field, ["type:header:eventType", "shard:header", "type:envelope", "shard:partition"]))
    _, partition, record = route(fields=fields, expand_json=True)
    assert partition == 2
    assert record.headers == [("id", ID), ("eventType", b"OrderCreated"), ("shard", b"2")]
    assert record.value == b'{"payload":{"id":1,"name":"Rosa"},"type":"OrderCreated"}'


def test_fields_are_read() -> None:
    assert parse_field("a:header:b") == AdditionalField("a", "header", "b")
    assert parse_field("a:envelope") == AdditionalField("a", "envelope", "a")
    for text in ("a", "a:elsewhere", ":header"):
        with pytest.raises(Misconfigured, match=r"source\.outbox_fields"):
            parse_field(text)


def test_what_the_table_lacks_names_the_option() -> None:
    with pytest.raises(Misconfigured, match=r"source\.outbox_payload: the outbox table has no column body"):
        routed(Outbox(table="public.outbox", payload="body"), TABLE, TABLE.encode([ID, b"a", b"1", b"t", None, None]))
    with pytest.raises(Misconfigured, match=r"source\.outbox_route_by: public\.outbox\.aggregatetype is null"):
        route(aggregate=None)
    with pytest.raises(Misconfigured, match="number of a partition"):
        route(fields=(AdditionalField("type", "partition", "type"),))


def test_an_update_is_logged_or_ends_the_source() -> None:
    refuse_update(Outbox(table="public.outbox"))
    with pytest.raises(Fatal, match=r"source\.outbox_invalid_operation"):
        refuse_update(Outbox(table="public.outbox", invalid_operation="fatal"))
