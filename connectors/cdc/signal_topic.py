# pyright: reportUnknownMemberType=false
"""Signals that arrive as records of a Kafka topic, and sending one."""

from collections.abc import Mapping

import structlog
from confluent_kafka import Consumer, KafkaException

from connectors.cdc.envelope import Record
from connectors.cdc.errors import Disconnected
from connectors.cdc.publisher import Publisher
from connectors.cdc.signals import Signal, Unusable, decode_signal, encode_signal
from connectors.kafka.connection import Connection
from connectors.kafka.errors import error_of
from connectors.kafka.watermarks import partitions_of, watermarks

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 5.0


class SignalTopic:
    """Reads the signals for one source; they have one key, and so an order. Use as a context manager.

    Args:
        connection: to the brokers.
        topic: of the signals.
        name: of the source (`source.topic_prefix`), which is the key of its signals.
        positions: offset of the first signal to read in each partition; where there is none, those that are sent from
            now on.

    Attributes:
        positions: offset of the next signal in each partition.

    Raises:
        Disconnected: the brokers do not answer, or there is no such topic.
    """

    def __init__(self, connection: Connection, topic: str, name: str, positions: Mapping[int, int]) -> None:
        self._name = name.encode()
        self._consumer = Consumer({**connection.consumer(f"{topic}.reader"), "fetch.wait.max.ms": 100, "log_level": 0})
        self.positions: dict[int, int] = {}
        try:
            homes = partitions_of(self._consumer, topic, timeout=ANSWER_SECONDS)
            for home in homes:
                low, end = watermarks(self._consumer, home, timeout=ANSWER_SECONDS)
                home.offset = self.positions[home.partition] = min(max(positions.get(home.partition, end), low), end)
            self._consumer.assign(homes)
        except KafkaException as exception:
            self._consumer.close()
            raise Disconnected(f"kafka.bootstrap: {topic}: {error_of(exception).str()}") from exception

    def __enter__(self) -> "SignalTopic":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def next(self) -> Signal | None:
        """Return the next signal for this source, None when there is none now; never waits."""
        while (message := self._consumer.poll(0)) is not None:
            error = message.error()
            if error is not None:
                log.debug("signals_cannot_be_read", error=error.str())
                return None
            self.positions[message.partition() or 0] = (message.offset() or 0) + 1
            value = message.value()
            if message.key() != self._name or value is None:
                continue
            try:
                return decode_signal(value)
            except Unusable as reason:
                log.warning("signal_ignored", reason=str(reason), offset=message.offset())
        return None


def send_signal(connection: Connection, topic: str, name: str, signal: Signal) -> bool:
    """Send a signal to a source; whether the brokers have it within ten seconds.

    Raises:
        KafkaRefused: they will never take it.
        Disconnected: the client has to be restarted.
    """
    publisher = Publisher(connection)
    try:
        record = Record(name.encode(), encode_signal(signal))
        publisher.send(topic, record, publisher.receipt(lambda: None))
        return publisher.flush(10.0)
    finally:
        publisher.close()
