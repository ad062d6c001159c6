# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""What comes out of fetch responses, against what went into them."""

import gc
import struct
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.records import KafkaRecord
from streams.runtime.unpacking import FetchedRecords, Unpacked

HOME = TopicPartition("t", 3)


class _Position:
    """The consumer's position in the partition."""

    def __init__(self) -> None:
        self.reached = -1

    def consumed_to(self, position: int) -> None:
        self.reached = position


class _Assignment:
    def __init__(self) -> None:
        self.position = _Position()

    def is_active(self) -> bool:
        return True

    def state_value(self, tp: Any) -> Any:
        return self.position


def batch(base: int, deltas: Sequence[int], *, size: int = 3, codec: int = 0, last: int | None = None) -> bytes:
    """Return a record batch as a broker keeps it: `last` is the last offset delta before compaction removed some."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 24)
    for delta in deltas:
        builder.append(delta, timestamp=1_000 + delta, key=b"k%d" % (base + delta), value=b"v" * size, headers=[])
    built = bytearray(builder.build())
    struct.pack_into(">q", built, 0, base)
    if last is not None:
        struct.pack_into(">i", built, 23, last)  # LastOffsetDelta
        builder_crc = unpacked_crc(built)
        struct.pack_into(">I", built, 17, builder_crc)
    return bytes(built)


def unpacked_crc(built: bytearray) -> int:
    from aiokafka.record.util import calc_crc32c

    return calc_crc32c(bytes(built[21:]))


class Fetched:
    """A fetch response put where the fetcher puts it."""

    def __init__(
        self, data: bytes, *, position: int = 0, isolation: int = READ_UNCOMMITTED, poll_bytes: int = 1 << 20
    ) -> None:
        self.assignment = _Assignment()
        records = PartitionRecords(HOME, MemoryRecords(data), None, position, None, None, True, isolation)
        assignment: Any = self.assignment
        fetched = FetchedRecords()
        fetched.poll_bytes = poll_bytes
        fetched[HOME] = FetchResult(HOME, assignment=assignment, partition_records=records, backoff=0.1)
        self.fetched = fetched
        self.result: FetchResult = fetched[HOME]
        self.result.check_assignment = lambda tp: True  # type: ignore[method-assign]

    @property
    def position(self) -> int:
        return self.assignment.position.reached

    def take(self, limit: int | None = None) -> list[KafkaRecord]:
        return self.result.getall(limit)


def _offsets(records: Sequence[KafkaRecord]) -> list[int]:
    return [one.offset for one in records]


@given(
    st.lists(st.sets(st.integers(0, 9), min_size=1), min_size=1, max_size=6),
    st.integers(0, 70),
    st.integers(1, 7),
    st.sampled_from([0, 1, 3]),
)
def test_everything_from_the_position_on_is_given_out_once_and_in_order(
    shapes: list[set[int]], position: int, limit: int, codec: int
) -> None:
    data = b"".join(batch(10 * one, sorted(shape), codec=codec, last=9) for one, shape in enumerate(shapes))
    everything = [10 * one + delta for one, shape in enumerate(shapes) for delta in sorted(shape)]
    fetched = Fetched(data, position=position)
    given_out: list[int] = []
    while fetched.result.has_more():
        part = fetched.take(limit)
        assert len(part) <= limit
        assert not part or fetched.position > part[-1].offset
        given_out += _offsets(part)
    assert given_out == [offset for offset in everything if offset >= position]
    assert fetched.position == max(position, 10 * len(shapes))


def test_a_record_keeps_what_the_broker_has_of_it() -> None:
    [record] = Fetched(batch(7, [0])).take()
    assert record == KafkaRecord("t", 3, 7, 1_000, b"k7", b"vvv", [])


def test_a_poll_ends_when_it_has_enough_bytes() -> None:
    fetched = Fetched(batch(0, range(5), size=100) + batch(5, range(5), size=100), poll_bytes=250)
    assert _offsets(fetched.take(1_000)) == [0, 1, 2]
    assert fetched.position == 3
    assert _offsets(fetched.take(1_000)) == [3, 4, 5]
    assert _offsets(fetched.take(1_000)) == [6, 7, 8]
    assert _offsets(fetched.take(1_000)) == [9]
    assert not fetched.result.has_more()


def test_a_record_larger_than_the_bytes_of_a_poll_is_given_out_alone() -> None:
    fetched = Fetched(batch(0, range(2), size=100), poll_bytes=10)
    assert [_offsets(fetched.take()), _offsets(fetched.take())] == [[0], [1]]


def test_records_before_a_corrupt_batch_are_given_out_and_the_batch_is_fetched_again() -> None:
    broken = bytearray(batch(5, range(5)))
    broken[-1] ^= 0xFF
    fetched = Fetched(batch(0, range(5)) + bytes(broken))
    assert _offsets(fetched.take()) == [0, 1, 2, 3, 4]
    assert fetched.position == 5
    with pytest.raises(CorruptRecordException, match=r"t-3"):
        fetched.take()
    assert not fetched.result.has_more()  # which has the fetcher ask for it again
    assert fetched.position == 5


def _transactional(data: bytes, producer: int, *, control: bool = False) -> bytes:
    changed = bytearray(data)
    struct.pack_into(">h", changed, 21, 0x10 | (0x20 if control else 0))  # Attributes: transactional, control
    struct.pack_into(">q", changed, 43, producer)
    struct.pack_into(">I", changed, 17, unpacked_crc(changed))
    return bytes(changed)


def _marker(base: int, producer: int, kind: int) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 1, producer, 0, -1, 1 << 20)
    builder.append(0, timestamp=0, key=struct.pack(">hh", 0, kind), value=b"", headers=[])
    built = bytearray(builder.build())
    struct.pack_into(">q", built, 0, base)
    return _transactional(bytes(built), producer, control=True)


@pytest.mark.parametrize(("isolation", "seen"), [(READ_COMMITTED, [0, 6]), (READ_UNCOMMITTED, [0, 3, 4, 6])])
def test_markers_are_never_given_out_and_aborted_records_only_to_who_reads_uncommitted(
    isolation: int, seen: list[int]
) -> None:
    data = (
        _transactional(batch(0, [0]), 1)
        + _marker(1, 1, 1)  # commits producer 1
        + _transactional(batch(3, [0, 1]), 2)
        + _marker(5, 2, 0)  # aborts producer 2
        + batch(6, [0])
        + _marker(7, 2, 1)
    )
    fetched = Fetched(data, isolation=isolation)
    assert fetched.result._partition_records is not None
    fetched.result._partition_records._aborted_transactions = [(2, 3)]  # the broker says so in its response
    assert _offsets(fetched.take()) == seen
    assert fetched.take() == []
    assert fetched.position == 8


def test_a_poll_begins_with_urgent_topics_then_with_what_was_not_taken_from_longest() -> None:
    fetched = FetchedRecords()
    one, two, urgent = TP("t", 0), TP("t", 1), TP("u", 0)
    for tp in (one, two, urgent):
        fetched[tp] = "its records"
    fetched.put_first({"u", "not fetched"})
    assert list(fetched) == [urgent, one, two]
    fetched.took([urgent, one, TP("t", 2)])
    fetched.put_first({"u"})
    assert list(fetched) == [urgent, two, one]


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_nothing_of_a_fetch_is_left_to_the_garbage_collector_however_much_of_it_was_taken(taken: int) -> None:
    gc.collect()
    gc.disable()
    try:
        fetched = Fetched(batch(0, [0, 1, 2]))
        assert len(fetched.take(taken)) == taken
        fetched.fetched.clear()  # as the fetcher drops what it has given out, or what is of a partition that moved away
        del fetched
        left = [one for one in gc.get_objects() if isinstance(one, (FetchResult, PartitionRecords, Unpacked))]
    finally:
        gc.enable()
    assert left == [], "each would lie about with the bytes of its records, until a pause of some 100 ms"
