# pyright: reportUnknownMemberType=false
"""Records to Kafka, from a loop that must never wait."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.cdc.envelope import Record
from connectors.cdc.errors import CdcError, Disconnected, KafkaRefused
from connectors.cdc.receipt import Receipt
from connectors.cdc.stop import Stop
from connectors.kafka.connection import Connection
from connectors.kafka.errors import NO_ANSWER

log = structlog.get_logger(__name__)

QUEUE_RECORDS = 200_000
QUEUE_KILOBYTES = 128 * 1024
LINGER_MS = 5
SERVE_SECONDS = 0.05
ANY_PARTITION = -1
NEEDS_ANOTHER_CLIENT = NO_ANSWER | {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._FATAL}
KEEP_WHOLE = (
    "kafka-configs.sh --alter --topic {topic} --add-config cleanup.policy=delete,retention.ms=-1, "
    "or set kafka.create_topics = true"
)

# What `send_all` takes: `key`, `value` and the receipt as `callback`, in the form that librdkafka's client takes.
Outgoing = dict[str, Any]


class Publisher:
    """A producer that waits for brokers that are away, for ever, while its callers go on.

    `send` never blocks and never refuses; who sends asks for `room` before making more. So memory is bounded by the
    queue and by what one step of the caller makes. Used by one thread.
    """

    def __init__(self, connection: Connection) -> None:
        self._producer = Producer(
            {
                **connection.producer(),
                "linger.ms": LINGER_MS,
                "batch.num.messages": 10_000,
                "queue.buffering.max.messages": QUEUE_RECORDS,
                "queue.buffering.max.kbytes": QUEUE_KILOBYTES,
                "delivery.report.only.error": True,  # see Receipt
                # A record is given up on only when a broker says that it will never take it.
                "message.timeout.ms": 0,
                "reconnect.backoff.max.ms": 2_000,  # brokers that are back are found soon
                "log_level": 0,  # what librdkafka would print arrives in error_cb
                "error_cb": self._on_error,
            }
        )
        self._overflow: deque[tuple[str, Record, Receipt, int]] = deque()
        self._is_open = True
        self._failure: CdcError | None = None
        self._last_error = ""

    @property
    def room(self) -> bool:
        """Whether to make more records."""
        return not self._overflow and len(self._producer) < QUEUE_RECORDS

    def receipt(self, acknowledged: Callable[[], None]) -> Receipt:
        """Return what to give to `send`: it calls `acknowledged` when the brokers have all records it was given with.

        Let go of it after the last of them. It says nothing any more once a record was given up, for which `serve`
        raises, or the publisher is closed.
        """
        return Receipt(acknowledged, self._delivers, self._given_up)

    def send(self, topic: str, record: Record, receipt: Receipt, partition: int = ANY_PARTITION) -> None:
        """Queue a record; records of one topic and key keep their order. The key decides the partition by default."""
        if self._overflow or not self._produce(topic, record, receipt, partition):
            self._overflow.append((topic, record, receipt, partition))

    def send_all(self, topic: str, records: list[Outgoing]) -> None:
        """Queue records without headers in their order; half as expensive as `send` for each.

        Args:
            topic: of all of them.
            records: each with its `key`, its `value` and its receipt as `callback`.
        """
        waiting = records
        if not self._overflow:
            try:
                if self._producer.produce_batch(topic, records) == len(records):
                    return
            except KafkaException as exception:
                self._failure = self._failure or _refusal(topic, exception.args[0])
                return
            waiting = []
            for record in records:
                error: KafkaError | None = record.get("_error")
                if error is None:
                    continue
                if error.code() == KafkaError._QUEUE_FULL:  # then so are all that follow
                    waiting.append(record)
                else:
                    self._failure = self._failure or _refusal(topic, error)
        self._overflow.extend(
            (topic, Record(one["key"], one["value"]), one["callback"], ANY_PARTITION) for one in waiting
        )

    def serve(self, timeout: float) -> None:
        """Handle delivery reports, waiting up to `timeout` seconds for one.

        Raises:
            KafkaRefused: the brokers will never take a record.
            Disconnected: the producer has to be replaced; what it had not delivered must be sent again.
        """
        self._producer.poll(timeout)
        while self._overflow and self._produce(*self._overflow[0]):
            self._overflow.popleft()
        if self._failure is not None:
            raise self._failure

    def flush(self, timeout: float, stop: Stop | None = None) -> bool:
        """Wait until every record is acknowledged; whether that happened within `timeout` seconds.

        Raises:
            Stopped: a stop was asked for meanwhile.
            KafkaRefused, Disconnected: see `serve`.
        """
        deadline = time.monotonic() + timeout
        while self._overflow or len(self._producer):
            if time.monotonic() > deadline:
                log.warning("kafka_has_not_acknowledged", records=self.queued, error=self._last_error)
                return False
            if stop is not None:
                stop.check()
            self.serve(SERVE_SECONDS)
        self.serve(0)
        return True

    @property
    def queued(self) -> int:
        """Records that are not acknowledged."""
        return len(self._overflow) + len(self._producer)

    def close(self) -> None:
        """Give up what is queued and let go of the producer."""
        self._is_open = False
        self._overflow.clear()
        self._producer.purge()
        self._producer.flush(1)

    def _delivers(self) -> bool:
        return self._is_open and self._failure is None

    def _given_up(self, error: KafkaError, message: Message) -> None:
        if self._failure is None:
            self._failure = _refusal(message.topic(), error, keyless=message.key() is None)

    def _produce(self, topic: str, record: Record, receipt: Receipt, partition: int) -> bool:
        key, value, headers, timestamp_ms = record
        try:
            # 0 is what librdkafka takes for the time of sending.
            at = 0 if timestamp_ms is None else timestamp_ms
            if headers is None:
                self._producer.produce(topic, value, key, partition, on_delivery=receipt, timestamp=at)
            else:
                self._producer.produce(topic, value, key, partition, headers=headers, on_delivery=receipt, timestamp=at)
        except BufferError:
            return False
        except KafkaException as exception:
            if self._failure is None:
                self._failure = _refusal(topic, exception.args[0])
        return True

    def _on_error(self, error: KafkaError) -> None:
        self._last_error = error.str()
        log.debug("kafka_client_error", error=error.str(), fatal=error.fatal())
        if error.fatal() and self._failure is None:
            self._failure = Disconnected(f"Kafka's client has to be restarted: {error.str()}")


def _refusal(topic: str | None, error: KafkaError, *, keyless: bool = False) -> CdcError:
    if error.fatal() or error.code() in NEEDS_ANOTHER_CLIENT:
        return Disconnected(f"Kafka's client has to be restarted: topic {topic}: {error.str()}")
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return KafkaRefused(f"a row is too large for topic {topic}; raise its max.message.bytes: {error.str()}")
    if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION):
        return KafkaRefused(f"there is no topic {topic}; travelos topics apply")
    if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        return KafkaRefused(f"kafka.username may not write to topic {topic}; grant WRITE on it")
    if keyless and error.code() == KafkaError.INVALID_RECORD:
        mends = KEEP_WHOLE.format(topic=topic)
        return KafkaRefused(f"topic {topic} takes no record without a key, because it is compacted; {mends}")
    return KafkaRefused(f"Kafka refuses a record for topic {topic}: {error.str()} ({error.name()})")
