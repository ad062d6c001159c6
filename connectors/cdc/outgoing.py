"""The records of one run of messages on their way to the publisher."""

from collections import defaultdict

from connectors.cdc.acknowledgement import Transaction
from connectors.cdc.envelope import Record
from connectors.cdc.publisher import ANY_PARTITION, Outgoing, Publisher, Report


class OutgoingRecords:
    """Collects records by topic, because many at once are cheaper; those of one topic keep their order.

    Args:
        publisher: takes them.
        tombstones: whether to send those too: Debezium's `tombstones.on.delete`.
    """

    def __init__(self, publisher: Publisher, *, tombstones: bool) -> None:
        self._publisher = publisher
        self._tombstones = tombstones
        self._by_topic: defaultdict[str, list[Outgoing]] = defaultdict(list)

    def add(
        self,
        topic: str,
        record: Record,
        transaction: Transaction,
        report: Report,
        *,
        partition: int = ANY_PARTITION,
    ) -> None:
        """Add a record, which is one more that the transaction waits for."""
        key, value, headers = record
        if value is None and not self._tombstones:
            return
        transaction.sent()
        if headers is None and partition == ANY_PARTITION:
            self._by_topic[topic].append({"key": key, "value": value, "callback": report})
            return
        before = self._by_topic.pop(topic, None)
        if before is not None:
            self._publisher.send_all(topic, before)
        self._publisher.send(topic, record, report, partition)

    def add_plain(
        self, topic: str, key: bytes | None, value: bytes | None, transaction: Transaction, report: Report
    ) -> None:
        """Add a record without headers; cheaper than `add`."""
        if value is not None or self._tombstones:
            transaction.sent()
            self._by_topic[topic].append({"key": key, "value": value, "callback": report})

    def send(self) -> None:
        """Hand all of them to the publisher."""
        for topic, records in self._by_topic.items():
            self._publisher.send_all(topic, records)
        self._by_topic.clear()
