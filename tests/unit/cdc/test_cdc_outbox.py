from typing import Any

import pytest

from connectors.cdc.errors import Fatal, Misconfigured
from connectors.cdc.outbox import Routed, refuse_update, routed
from connectors.cdc.outbox_options import AdditionalField, Outbox, parse_field
from connectors.cdc.publisher import ANY_PARTITION
from connectors.cdc.tables import Column, Table

UUID, VARCHAR, JSONB, INT4 = 2950, 1043, 3802, 23
COLUMNS = ["id", "aggregatetype", "aggregateid", "type", "payload", "shard"]
TYPES = [UUID, VARCHAR, VARCHAR, VARCHAR, JSONB, INT4]
TABLE = Table("public", "outbox", "topic", [Column(*one, -1) for one in zip(COLUMNS, TYPES, strict=True)], key=[0])
ID = b"cc944665-fe05-4b90-85f9-7fa8fc2b5c6f"
PAYLOAD = b'{"id": 1, "name": "Rosa"}'


def route(body: bytes | None = PAYLOAD, aggregate: bytes | None = b"Order", **options: Any) -> Routed:
    row = TABLE.encode([ID, aggregate, b"17", b"OrderCreated", body, b"2"])
    return routed(Outbox(table="public.outbox", **options), TABLE, row)


def test_a_row_becomes_a_message_on_the_topic_of_its_aggregate() -> None:
    topic, partition, record = route()
    assert (topic, partition) == ("outbox.event.Order", ANY_PARTITION)
    assert record == (b'"17"', b'"{\\"id\\": 1, \\"name\\": \\"Rosa\\"}"', [("id", ID)])


def test_columns_and_topic_can_be_chosen() -> None:
    topic, _, record = route(
        route_by="type", topic="shop.${routedByValue}.events", key="aggregatetype", payload="aggregateid", id="type"
    )
    assert topic == "shop.OrderCreated.events"
    assert record == (b'"Order"', b'"17"', [("id", b"OrderCreated")])


def test_a_payload_of_json_can_be_expanded() -> None:
    assert route(expand_json=True).record.value == b'{"id":1,"name":"Rosa"}'
    assert route(b"[1]", expand_json=True).record.value == b"[1]"
    assert route(b"{no json", expand_json=True).record.value == b'"{no json"'
    assert route(b"7", expand_json=True).record.value == b'"7"'


def test_an_empty_payload_is_a_tombstone_when_asked_for() -> None:
    assert route(b" ", tombstone_on_empty=True).record.value is None
    assert route(b" ").record.value == b'" "'
    assert route(None).record.value is None


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
