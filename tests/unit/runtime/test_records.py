"""Runs, and runs that were joined: what happens to the whole happens to each of them."""

from typing import Any, cast

from faust.types import TP

from streams.runtime.offsets import PartitionOffsets
from streams.runtime.records import KafkaRecord, Run, joined


class Books:
    """Keeps the offsets as the consumer does."""

    def __init__(self) -> None:
        self.offsets = PartitionOffsets()

    def run(self, first: int, last: int) -> Run:
        self.offsets.start(first, last)
        records = [KafkaRecord("t", 0, offset, 0, b"k", b"v") for offset in range(first, last + 1)]
        return Run(TP("t", 0), cast(Any, records), self.offsets, cast(Any, self))

    def finish(self, run: Run) -> None:
        self.offsets.finish(run.records[0].offset)

    def reach(self, run: Run, offset: int) -> None:
        self.offsets.advance(run.records[0].offset, offset)


def test_what_was_done_of_joined_runs_may_be_committed_up_to_any_record() -> None:
    books = Books()
    whole = joined([books.run(0, 4), books.run(5, 9), books.run(20, 24)])
    assert [record.offset for record in whole.records] == [*range(10), *range(20, 25)]
    for offset in (1, 4, 5, 7, 10, 22):
        whole.reach(offset)
        assert books.offsets.committable == offset
    whole.finish()
    assert books.offsets.committable == 25
    assert books.offsets.unfinished == 0


def test_one_run_is_not_joined() -> None:
    run = Books().run(3, 5)
    assert joined([run]) is run
