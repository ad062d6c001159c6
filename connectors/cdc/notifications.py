"""What happens to snapshots and to the slot, told on a topic for programs that wait for it.

Format: Debezium 3.4, `notification.enabled.channels=sink`, JSON converter. The aggregates "Initial Snapshot" and
"Incremental Snapshot", their types and their data are Debezium's; "Slot" is ours.
"""

import time
from collections.abc import Callable
from typing import Any, Literal
from uuid import uuid4

import msgspec

from connectors.cdc.envelope import Record
from connectors.cdc.publisher import Publisher
from connectors.cdc.schema_blocks import Schema, placed, simple, struct_of, wrapped

Aggregate = Literal["Initial Snapshot", "Incremental Snapshot", "Slot"]
Kind = Literal[
    "STARTED", "IN_PROGRESS", "TABLE_SCAN_COMPLETED", "COMPLETED", "ABORTED", "SKIPPED", "PAUSED", "RESUMED", "WARNING"
]

_TEXT = placed(simple("string"), optional=False)
_TEXTS: Schema = {"type": "map", "keys": _TEXT, "values": _TEXT}


def _required(name: str, kind: str = "string") -> dict[str, Any]:
    return placed(simple(kind), optional=False, field=name)


def _named(name: str, *fields: dict[str, Any]) -> bytes:
    schema = struct_of(fields, name=f"io.debezium.connector.common.{name}", version=1)
    return msgspec.json.encode(placed(schema, optional=False))


_KEY = _named("NotificationKey", _required("id"))
_VALUE = _named(
    "Notification",
    _required("id"),
    _required("type"),
    _required("aggregate_type"),
    placed(_TEXTS, optional=True, field="additional_data"),
    _required("timestamp", "int64"),
)


class Notifications:
    """Sends notifications; without a topic none. They take the way of all records and never hold anything up.

    Args:
        publisher: for the records.
        topic: where they go; None for nowhere.
        connector: Debezium's `topic.prefix`.
        schemas: whether keys and values bring their schemas.
        clock: nanoseconds since 1970.
    """

    def __init__(
        self,
        publisher: Publisher | None = None,
        topic: str | None = None,
        connector: str = "",
        *,
        schemas: bool = False,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._publisher = publisher
        self._topic = topic
        self._connector = connector
        self._schemas = schemas
        self._clock = clock

    def send(self, aggregate: Aggregate, kind: Kind, identity: str = "", **data: str) -> None:
        """Tell of one thing that happened.

        Args:
            aggregate: what it happened to.
            kind: what happened.
            identity: of the signal that asked for it; empty for a new one.
            data: its `additional_data`, texts as in Debezium.
        """
        if self._publisher is None or self._topic is None:
            return
        identity = identity or str(uuid4())
        value = {
            "id": identity,
            "type": kind,
            "aggregate_type": aggregate,
            "additional_data": {"connector_name": self._connector, **data},
            "timestamp": self._clock() // 1_000_000,
        }
        key, payload = msgspec.json.encode({"id": identity}), msgspec.json.encode(value)
        if self._schemas:
            key, payload = wrapped(_KEY, key), wrapped(_VALUE, payload)
        self._publisher.send(self._topic, Record(key, payload), self._publisher.receipt(_nothing))


def _nothing() -> None:
    """A notification that is lost in a crash comes again with what it tells of, or is out of date."""
