"""What happens to snapshots and to the slot, told on a topic for programs that wait for it.

Format: Debezium 3.4, `notification.enabled.channels=sink`, JSON without schemas. The aggregates "Initial Snapshot" and
"Incremental Snapshot", their types and their data are Debezium's; "Slot" is ours.
"""

import time
from collections.abc import Callable
from typing import Literal
from uuid import uuid4

import msgspec

from connectors.cdc.envelope import Record
from connectors.cdc.publisher import Publisher

Aggregate = Literal["Initial Snapshot", "Incremental Snapshot", "Slot"]
Kind = Literal[
    "STARTED", "IN_PROGRESS", "TABLE_SCAN_COMPLETED", "COMPLETED", "ABORTED", "SKIPPED", "PAUSED", "RESUMED", "WARNING"
]


class Notifications:
    """Sends notifications; without a topic none. They take the way of all records and never hold anything up.

    Args:
        publisher: for the records.
        topic: where they go; None for nowhere.
        connector: Debezium's `topic.prefix`.
        clock: nanoseconds since 1970.
    """

    def __init__(
        self,
        publisher: Publisher | None = None,
        topic: str | None = None,
        connector: str = "",
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._publisher = publisher
        self._topic = topic
        self._connector = connector
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
            "aggregate_type": aggregate,
            "type": kind,
            "additional_data": {"connector_name": self._connector, **data},
            "timestamp": self._clock() // 1_000_000,
        }
        record = Record(msgspec.json.encode({"id": identity}), msgspec.json.encode(value))
        self._publisher.send(self._topic, record, self._publisher.report(_nothing))


def _nothing() -> None:
    """A notification that is lost in a crash comes again with what it tells of, or is out of date."""
