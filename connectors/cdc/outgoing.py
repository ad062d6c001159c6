"""The records of one run of messages on their way to the publisher."""

from collections import defaultdict

from connectors.cdc.envelope import Record
from connectors.cdc.publisher import ANY_PARTITION, Outgoing, Publisher
from connectors.cdc.receipt import Receipt


class OutgoingRecords:
    """Collects records by topic, because many at once are cheaper; those of one topic keep their order."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._by_topic: defaultdict[str, list[Outgoing]] = defaultdict(list)

    def add(self, topic: str, record: Record, receipt: Receipt, *, partition: int = ANY_PARTITION) -> None:
        """Add a record."""
        key, value, headers, timestamp_ms = record
        if headers is None and timestamp_ms is None and partition == ANY_PARTITION:
            self._by_topic[topic].append({"key": key, "value": value, "callback": receipt})
            return
        self._send(topic, self._by_topic[topic])
        self._publisher.send(topic, record, receipt, partition)

    def of(self, topic: str) -> list[Outgoing]:
        """Return the list of a topic's records, for whoever adds to it himself."""
        return self._by_topic[topic]

    def send(self) -> None:
        """Hand all of them to the publisher."""
        for topic, records in self._by_topic.items():
            self._send(topic, records)

    def _send(self, topic: str, records: list[Outgoing]) -> None:
        if records:
            self._publisher.send_all(topic, records)
            records.clear()
