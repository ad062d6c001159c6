# pyright: reportUnknownMemberType=false
"""How far the source has got, kept in a compacted topic with the slot's name as key."""

import time
from collections.abc import Mapping
from datetime import datetime

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from msgspec import Struct

from connectors.cdc.errors import Disconnected, Fatal, KafkaRefused
from connectors.cdc.snapshot_state import SnapshotState
from connectors.cdc.stop import Stop
from connectors.kafka.connection import Connection
from connectors.kafka.errors import REFUSED, error_of
from connectors.kafka.watermarks import watermarks

WINDOW = 500  # records looked at first, from the end of a partition backwards
POLL_SECONDS = 0.2
ANSWER_SECONDS = 5.0


class CdcOffset(Struct, frozen=True, kw_only=True):
    """Everything in the WAL before `lsn` is in Kafka.

    Attributes:
        lsn: where to go on; 0 as long as there is no slot.
        snapshot_completed: whether the tables have been read once.
        at: when this was written.
        commit_lsn: end of the last transaction that was streamed.
        system_id: of the server that the LSN belongs to.
        tables: those that were captured; none are named by older versions.
        snapshot: what is still to be read, None for nothing.
        signals: offset of the next signal in each partition of their topic; empty when none were looked for.
    """

    lsn: int
    snapshot_completed: bool
    at: datetime
    commit_lsn: int | None = None
    system_id: str = ""
    tables: tuple[str, ...] = ()
    snapshot: SnapshotState | None = None
    signals: Mapping[int, int] = {}


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[CdcOffset] = msgspec.json.Decoder(CdcOffset)


def encode_offset(offset: CdcOffset) -> bytes:
    """Write an offset as JSON."""
    return _encoder.encode(offset)


def decode_offset(data: bytes) -> CdcOffset:
    """Read an offset.

    Raises:
        Fatal: the bytes are no offset.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Fatal(f"the topic of offsets holds something else: {error}") from error


class OffsetReader:
    """Finds the last offset of a slot. Use as a context manager."""

    def __init__(self, connection: Connection, topic: str) -> None:
        self._topic = topic
        self._refusal: KafkaError | None = None
        try:
            self._consumer = Consumer(
                {
                    **connection.consumer(f"{topic}.reader"),
                    "enable.partition.eof": True,
                    "fetch.wait.max.ms": 10,
                    "log_level": 0,
                    "error_cb": self._on_error,
                }
            )
        except KafkaException as exception:
            raise KafkaRefused(f"the kafka options do not fit together: {error_of(exception).str()}") from exception

    def __enter__(self) -> "OffsetReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def last(self, slot: str, stop: Stop) -> CdcOffset | None:
        """Return the last offset of a slot; None when there is none.

        Raises:
            Stopped: a stop was asked for meanwhile.
            Disconnected: the brokers do not answer.
            KafkaRefused: we may not read the topic.
            Fatal: the topic holds something else.
        """
        try:
            metadata = self._consumer.list_topics(self._topic, timeout=ANSWER_SECONDS).topics[self._topic]
            if metadata.error is not None:
                raise KafkaException(metadata.error)
            found = [self._last_in(partition, slot.encode(), stop) for partition in metadata.partitions]
        except KafkaException as exception:
            raise self._explained(error_of(exception)) from exception
        # One key lives in one partition, unless their number has been changed since.
        return max((offset for offset in found if offset is not None), key=lambda offset: offset.at, default=None)

    def _last_in(self, partition: int, key: bytes, stop: Stop) -> CdcOffset | None:
        """Look through a partition from its end backwards, in windows that grow."""
        home = TopicPartition(self._topic, partition)
        low, end = watermarks(self._consumer, home, timeout=ANSWER_SECONDS)
        window = WINDOW
        while end > low:
            start = max(low, end - window)
            last = None
            for message in self._between(partition, start, end, stop):
                if message.key() == key:
                    last = message.value()
            if last is not None:
                return decode_offset(last)
            end, window = start, window * 8
        return None

    def _between(self, partition: int, start: int, end: int, stop: Stop) -> list[Message]:
        self._consumer.assign([TopicPartition(self._topic, partition, start)])
        messages: list[Message] = []
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            stop.check()
            message = self._consumer.poll(POLL_SECONDS)
            if message is None:
                continue
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return messages
            if error is not None:
                raise KafkaException(error)
            messages.append(message)
            if (message.offset() or 0) >= end - 1:
                return messages
        raise Disconnected(f"kafka.bootstrap: {self._topic} could not be read within {ANSWER_SECONDS:.0f} s")

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in REFUSED:
            self._refusal = error

    def _explained(self, error: KafkaError) -> Disconnected | KafkaRefused:
        self._consumer.poll(0)  # runs `_on_error`, which may know why nobody answers
        if self._refusal is not None:
            return KafkaRefused(f"kafka.username and kafka.password are refused: {self._refusal.str()}")
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return KafkaRefused(f"there is no topic {self._topic}; travelos topics apply")
        if error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED):
            return KafkaRefused(f"kafka.username may not read {self._topic}; grant READ on it")
        return Disconnected(f"kafka.bootstrap: {error.str()}")
