"""Notifications as Debezium's sink channel writes them."""

import json
from typing import Any, cast

from connectors.cdc.envelope import Record
from connectors.cdc.notifications import Notifications
from connectors.cdc.publisher import Publisher


class Sent:
    def __init__(self) -> None:
        self.records: list[tuple[str, Record]] = []

    def receipt(self, acknowledged: object) -> object:
        return acknowledged

    def send(self, topic: str, record: Record, receipt: object) -> None:
        self.records.append((topic, record))


def test_a_notification_has_debeziums_members() -> None:
    sent = Sent()
    told = Notifications(
        cast(Publisher, sent), "cdc.travel.notification", "cdc.travel", clock=lambda: 1_700_000_000_123_456_789
    )
    told.send("Initial Snapshot", "STARTED", data_collections="public.a,public.b")
    [(topic, record)] = sent.records
    value: dict[str, Any] = json.loads(record.value or b"")
    assert topic == "cdc.travel.notification"
    assert json.loads(record.key or b"") == {"id": value.pop("id")}
    assert value == {
        "aggregate_type": "Initial Snapshot",
        "type": "STARTED",
        "additional_data": {"connector_name": "cdc.travel", "data_collections": "public.a,public.b"},
        "timestamp": 1_700_000_000_123,
    }


def test_a_notification_brings_debeziums_schemas_when_asked_for() -> None:
    sent = Sent()
    Notifications(cast(Publisher, sent), "topic", schemas=True).send("Incremental Snapshot", "PAUSED", "7")
    [(_, record)] = sent.records
    key, value = json.loads(record.key or b""), json.loads(record.value or b"")
    assert key["payload"] == {"id": value["payload"]["id"]} == {"id": "7"}
    assert key["schema"]["name"] == "io.debezium.connector.common.NotificationKey"
    text = {"type": "string", "optional": False}
    assert value["schema"] == {
        "type": "struct",
        "fields": [
            {**text, "field": "id"},
            {**text, "field": "type"},
            {**text, "field": "aggregate_type"},
            {"type": "map", "keys": text, "values": text, "optional": True, "field": "additional_data"},
            {"type": "int64", "optional": False, "field": "timestamp"},
        ],
        "optional": False,
        "name": "io.debezium.connector.common.Notification",
        "version": 1,
    }


def test_without_a_topic_nothing_is_told() -> None:
    sent = Sent()
    Notifications(cast(Publisher, sent), None).send("Slot", "WARNING")
    Notifications().send("Slot", "WARNING")
    assert sent.records == []
