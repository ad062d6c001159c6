# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""Records out of fetch responses, a record batch at a time and bounded by bytes.

aiokafka unpacks record by record, through a generator, an iterator, two calls and a dataclass of eleven fields: 1.2 us
for each, of the 3.4 us that a decoded event may cost in all; here it is 0.3 us. Fetching, positions, errors and what
belongs to transactions stay aiokafka's.
"""

import weakref
from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import Any

from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult
from aiokafka.errors import CorruptRecordException
from faust.types import TP

from streams.runtime.records import KafkaRecord


class FetchedRecords(OrderedDict[Any, Any]):
    """What a fetcher holds by partition; results put here are unpacked by `Unpacked`.

    A poll stops giving out records of a partition once they have `poll_bytes`, whatever their number: a thousand of the
    largest that a broker takes by default would be a gigabyte.

    A poll takes from the partitions in their order here, and what it took may be all that it may take. The fetcher puts
    what comes behind what is there, so under a backlog an urgent record waited for five seconds.
    """

    poll_bytes: int = 1024 * 1024

    def __setitem__(self, key: Any, value: Any) -> None:
        """Note the result of a fetch, or an error to raise when its partition is asked for."""
        if isinstance(value, FetchResult):
            # The fetcher asks for exactly this class, so a subclass of it would not be noticed.
            value.getall = Unpacked(value, self).take  # type: ignore[method-assign]
        super().__setitem__(key, value)

    def put_first(self, topics: Collection[str]) -> None:
        """Have the next poll begin with these topics."""
        for tp in [tp for tp in self if tp.topic in topics]:
            self.move_to_end(tp, last=False)

    def took(self, tps: Iterable[TP]) -> None:
        """Note what the last poll took from: the others come before them next time."""
        for tp in tps:
            if tp in self:
                self.move_to_end(tp)


class Unpacked:
    """The records that one fetch brought of one partition.

    It goes with its result as soon as that is dropped. While each held the other, all that was fetched lay about until
    the garbage was collected, in pauses of some 100 ms.
    """

    def __init__(self, result: FetchResult, limits: FetchedRecords) -> None:
        self._limits = limits
        self._result = weakref.ref(result)
        self._found: Any = result._partition_records
        self._found._records_iterator = None  # aiokafka's own: it holds what it is held by, and nobody asks it
        self._tp: TP = result._topic_partition
        self._batch: list[KafkaRecord] = []  # the record batch that is being given out
        self._given = 0  # how many of it were
        self._after = 0  # the offset to go on with after it
        self._corrupt: CorruptRecordException | None = None

    def take(self, max_records: int | None = None) -> list[KafkaRecord]:
        """Return the next records: at most `max_records`, and once they have `poll_bytes` no more.

        Raises:
            CorruptRecordException: the checksum of a record batch is wrong; it is fetched again.
        """
        result = self._held()
        if not result.check_assignment(self._tp) or not result.has_more():
            return []
        taken: list[KafkaRecord] = []
        size, enough = 0, self._limits.poll_bytes
        while size < enough and (max_records is None or len(taken) < max_records):
            if self._given == len(self._batch) and not self._unpack_next(raising=not taken):
                break
            room = None if max_records is None else self._given + max_records - len(taken)
            part = self._batch[self._given : room]
            part, size = _within(part, size, enough)
            taken += part
            self._given += len(part)
            # Past a whole batch its own end counts: compaction may have removed its last records, and asking for them
            # would bring the same batch again.
            whole = self._given == len(self._batch)
            self._found.next_fetch_offset = self._after if whole else part[-1].offset + 1
        result._update_position()
        if self._corrupt is None and self._given == len(self._batch) and not self._found._records.has_next():
            result._partition_records = None  # type: ignore[assignment]
        return taken

    def _held(self) -> FetchResult:
        """Return the result, which whoever takes from it holds."""
        result = self._result()
        assert result is not None
        return result

    def _unpack_next(self, *, raising: bool) -> bool:
        """Unpack the next record batch that holds records for us; False when there is none, or a bad one comes later.

        What was read before a bad record batch is given out first: raising at once would lose it.
        """
        found = self._found
        topic, partition = self._tp
        while self._corrupt is None and found._records.has_next():
            batch = found._records.next_batch()
            if found._check_crcs and not batch.validate_crc():
                self._corrupt = CorruptRecordException(f"a record batch of {topic}-{partition} has a wrong checksum")
                break
            wanted = found.next_fetch_offset
            if self._is_for_us(batch):
                # A fetch begins with the batch that the position lies in; what is before it was read already.
                self._batch = [
                    KafkaRecord(topic, partition, one.offset, one.timestamp, one.key, one.value, one.headers)
                    for one in batch
                    if one.offset >= wanted
                ]
                self._given, self._after = 0, batch.next_offset
                if self._batch:
                    return True
            found.next_fetch_offset = max(wanted, batch.next_offset)
        if self._corrupt is not None and raising:
            self._held()._partition_records = None  # type: ignore[assignment] # so that it is fetched again
            raise self._corrupt
        return False

    def _is_for_us(self, batch: Any) -> bool:
        """Whether a batch holds records, of a transaction that was not aborted where only such are read."""
        found = self._found
        if found._isolation_level == READ_COMMITTED and batch.producer_id is not None:
            found._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and found._contains_abort_marker(batch):
                found._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in found._aborted_producers:
                return False
        return not batch.is_control_batch


def _within(records: list[KafkaRecord], size: int, enough: int) -> tuple[list[KafkaRecord], int]:
    """Return the first records, at least one, up to where they and the `size` before are `enough`, and the sum."""
    sizes = [len(one.value) if one.value is not None else 0 for one in records]
    total = size + sum(sizes)
    if total <= enough:
        return records, total
    count = 0
    for count, one in enumerate(sizes, start=1):  # noqa: B007 - the count is what is asked for
        size += one
        if size >= enough:
            break
    return records[:count], size
