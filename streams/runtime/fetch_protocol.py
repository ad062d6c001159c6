# pyright: reportPrivateUsage=false
"""Fetch requests and their responses, written and read in one pass.

aiokafka goes through them field by field, by classes of its schema, and a worker that delivers to eight stores asks for
a hundred partitions with each fetch, most of which hold nothing new. What is asked and answered stays the same, but for
what broker and consumer know of each other already: see `streams.runtime.fetch_sessions`.
"""

import struct
from io import BytesIO
from typing import Any, Self

from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11, FetchResponse_v11

from streams.runtime.fetch_sessions import Asked, FetchSession

_ASKED = struct.Struct(">iiiibiii")  # replica, wait, bytes at least and most, isolation, session, its epoch, topics
_ASKED_PARTITION = struct.Struct(">iiqqi")  # number, epoch of its leader, offset, first offset, bytes at most
_ANSWERED = struct.Struct(">ihii")  # throttled for, error, session, topics
_ANSWERED_PARTITION = struct.Struct(">ihqqqi")  # number, error, end, stable end, first offset, aborted transactions
_RECORDS = struct.Struct(">ii")  # replica to prefer, bytes of records
_ABORTED = struct.Struct(">qq")  # producer, first offset
_LENGTH, _SHORT = struct.Struct(">i"), struct.Struct(">h")
_UNKNOWN = -1

Partition = tuple[int, int, int, int, int, list[tuple[int, int]] | None, int, bytes | None]


class Response(FetchResponse_v11):
    """A response that is read in one pass."""

    @classmethod
    def decode(cls, data: BytesIO | bytes) -> Self:
        """Read a response.

        Raises:
            ValueError: the bytes are no response.
        """
        with (BytesIO(data) if isinstance(data, bytes) else data).getbuffer() as whole:
            try:
                return cls(*_read(whole, 0 if isinstance(data, bytes) else data.tell()))
            except struct.error as error:
                raise ValueError(f"a fetch response ends too early: {error}") from error


class _Asked(FetchRequest_v11):
    RESPONSE_TYPE = Response

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded

    def encode(self) -> bytes:
        return self._encoded

    def __repr__(self) -> str:
        return f"FetchRequest_v11 of {len(self._encoded)} bytes"


class Request(FetchRequest):
    """A request that is written in one pass, for brokers that know its newest version; others get aiokafka's.

    Attributes:
        asked: what the written one says, once it is written.
    """

    session: FetchSession
    asked: Asked | None = None

    @classmethod
    def of(cls, request: FetchRequest, session: FetchSession) -> "Request":
        """Return the same request, as one of a session."""
        ours = cls(
            request._max_wait_ms,
            request._min_bytes,
            request._max_bytes,
            request._isolation_level,
            request._topics,
            request._rack_id,
        )
        ours.session = session
        return ours

    def build(self, request_struct_class: Any) -> Any:
        """Return what is sent."""
        if request_struct_class is FetchRequest_v11:
            self.asked = self.session.ask(self._topics)
            return _Asked(self._written(self.asked))
        return super().build(request_struct_class)

    def _written(self, asked: Asked) -> bytes:
        limits = self._max_wait_ms, self._min_bytes, self._max_bytes, self._isolation_level
        parts = [_ASKED.pack(_UNKNOWN, *limits, asked.session, asked.epoch, len(asked.topics))]
        for topic, partitions in asked.topics.items():
            parts += (_text(topic), _LENGTH.pack(len(partitions)))
            parts += [
                _ASKED_PARTITION.pack(number, _UNKNOWN, offset, _UNKNOWN, most) for number, offset, most in partitions
            ]
        parts.append(_LENGTH.pack(len(asked.forgotten)))
        for topic, numbers in asked.forgotten.items():
            parts += (_text(topic), _LENGTH.pack(len(numbers)), *map(_LENGTH.pack, numbers))
        parts.append(_text(self._rack_id))
        return b"".join(parts)


def _text(text: str) -> bytes:
    data = text.encode()
    return _SHORT.pack(len(data)) + data


def _read(whole: memoryview, at: int) -> tuple[int, int, int, list[tuple[str, list[Partition]]]]:
    throttled, error, session, topics = _ANSWERED.unpack_from(whole, at)
    at += _ANSWERED.size
    found: list[tuple[str, list[Partition]]] = []
    for _ in range(topics):
        (length,) = _SHORT.unpack_from(whole, at)
        at += _SHORT.size
        topic = str(_bytes(whole, at, length, "the name of a topic"), "utf-8")
        at += length
        (count,) = _LENGTH.unpack_from(whole, at)
        at += _LENGTH.size
        partitions: list[Partition] = []
        for _ in range(count):
            partition, at = _read_partition(whole, at)
            partitions.append(partition)
        found.append((topic, partitions))
    return throttled, error, session, found


def _read_partition(whole: memoryview, at: int) -> tuple[Partition, int]:
    number, error, end, stable, first, transactions = _ANSWERED_PARTITION.unpack_from(whole, at)
    at += _ANSWERED_PARTITION.size
    aborted: list[tuple[int, int]] | None = None if transactions < 0 else []
    for _ in range(transactions):
        assert aborted is not None
        aborted.append(_ABORTED.unpack_from(whole, at))
        at += _ABORTED.size
    preferred, size = _RECORDS.unpack_from(whole, at)
    at += _RECORDS.size
    if size < 0:
        return (number, error, end, stable, first, aborted, preferred, None), at
    records = _bytes(whole, at, size, "records")
    return (number, error, end, stable, first, aborted, preferred, records), at + size


def _bytes(whole: memoryview, at: int, size: int, what: str) -> bytes:
    found = bytes(whole[at : at + size])
    if len(found) != size:
        raise ValueError(f"a fetch response ends too early: {what} of {size} bytes, {len(found)} are there")
    return found
