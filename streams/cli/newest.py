"""What a compacted topic says last under each key."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Generic, TypeVar

import structlog

from schemas.conflicts import ConflictEntry, decode_conflict_record
from schemas.erasures import Erasure, decode_erasure_record
from schemas.sagas import SagaEntry, decode_saga_record
from schemas.topic import Topic
from streams.cli.common import records_of
from streams.settings import Options

log = structlog.get_logger(__name__)

V = TypeVar("V")


class Newest(Generic[V]):
    """The newest value of each key; each look reads what is new. Leaves with FAILED when Kafka does not answer.

    Args:
        options: name the brokers.
        topic: compacted.
        decode: reads a value; raises a `ValueError` when it is none. Such a record is logged and passed over.
    """

    def __init__(self, options: Options, topic: Topic, decode: Callable[[bytes], V]) -> None:
        self._options = options
        self._topic = topic
        self._decode = decode
        self._next: dict[tuple[str, int], int] = {}
        self._values: dict[str, V] = {}

    def look(self) -> Mapping[str, V]:
        """Return the values that are there now, by key: without those that a tombstone has taken away."""
        for record in records_of(self._options, self._topic, since=self._next):
            self._next[record.topic, record.partition] = record.offset + 1
            key = (record.key or b"").decode(errors="replace")
            if record.value is None:
                self._values.pop(key, None)
                continue
            try:
                self._values[key] = self._decode(record.value)
            except ValueError as error:
                where = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
                log.warning("record_not_readable", **where, error=str(error))
        return self._values


def sagas_of(options: Options) -> Newest[SagaEntry]:
    """Return what the log of sagas says, by id."""
    return Newest(options, options.catalogue().saga_log, partial(decode_saga_record, kind=SagaEntry))


def conflicts_of(options: Options) -> Newest[ConflictEntry]:
    """Return the last conflict of each entity."""
    return Newest(options, options.catalogue().conflicts, partial(decode_conflict_record, kind=ConflictEntry))


def erasures_of(options: Options) -> Newest[Erasure]:
    """Return the last erasure of each person."""
    return Newest(options, options.catalogue().erasure_log, partial(decode_erasure_record, kind=Erasure))
