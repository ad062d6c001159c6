"""Which writes go next: within the sink's limits, nothing lost, nothing twice, each lane in its order."""

from datetime import UTC, datetime
from itertools import count
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from connectors.kafka.reading import StoredRecord
from connectors.sinks.contract import Limits
from schemas.writes import CacheWrite, Priority
from streams.delivery.queue import Item, Parcel, WriteQueue
from streams.runtime.records import Run

WRITE = CacheWrite(
    entity="e", version=1, source="s", event_id="e", occurred_at=datetime(2026, 1, 1, tzinfo=UTC), key="e"
)


class StandInRun:
    """Stale or not, and how often it was finished."""

    def __init__(self) -> None:
        self.stale = False
        self.finished = 0

    def finish(self) -> None:
        self.finished += 1


def parcel(run: StandInRun, left: int = 1) -> Parcel:
    return Parcel(cast(Run, run), left)


def item(size: int = 10, run: StandInRun | None = None, offset: int = 0) -> Item:
    record = StoredRecord(topic="t", partition=0, offset=offset, timestamp=0, key=None, value=b"x" * size)
    return Item(WRITE, record, parcel(run or StandInRun()))


def items(*sizes: int) -> list[Item]:
    return [item(size) for size in sizes]


def queue(records: int = 100, size: int = 1_000, linger_ms: int = 20) -> WriteQueue:
    return WriteQueue(Limits(max_records=records, max_bytes=size, linger_ms=linger_ms))


def test_an_empty_queue_waits_for_nothing() -> None:
    assert queue().wait(0) is None
    assert queue().take(0) == []


def test_a_batch_waits_for_others_as_long_as_it_may_linger() -> None:
    waiting = queue(linger_ms=20)
    waiting.add(items(10), "normal", 100.0)
    waiting.add(items(10), "normal", 100.015)
    assert waiting.wait(100.0) == pytest.approx(0.02)
    assert waiting.wait(100.015) == pytest.approx(0.005)
    assert waiting.wait(100.021) == 0
    assert len(waiting.take(100.021)) == 2
    assert waiting.wait(100.021) is None


def test_a_batch_that_is_full_by_records_or_by_bytes_waits_no_more() -> None:
    by_records, by_bytes = queue(records=3), queue(size=100)
    by_records.add(items(1, 1), "normal", 0)
    by_bytes.add(items(60), "normal", 0)
    assert by_records.wait(0) == by_bytes.wait(0) == 0.02
    by_records.add(items(1), "normal", 0)
    by_bytes.add(items(40), "normal", 0)
    assert by_records.wait(0) == by_bytes.wait(0) == 0


def test_an_urgent_write_waits_for_nothing_and_goes_first() -> None:
    waiting = queue(records=3)
    normal, urgent = items(1, 1), items(1, 1)
    waiting.add(normal, "normal", 0)
    waiting.add(urgent, "urgent", 0)
    assert waiting.wait(0) == 0
    assert waiting.take(0) == [*urgent, normal[0]]


def test_in_a_hurry_a_batch_waits_for_no_others_but_a_pause_is_kept() -> None:
    waiting = queue()
    late = item()
    waiting.retry(late, 5.0)
    assert waiting.wait(1.0, hurry=True) == 4.0
    waiting.add(items(1), "normal", 1.0)
    assert waiting.wait(1.0, hurry=True) == 0
    assert late not in waiting.take(1.0)


def test_a_write_that_is_tried_again_goes_when_it_is_due_and_before_all_others() -> None:
    waiting = queue()
    soon, later = items(1, 1)
    waiting.retry(later, 9.0)
    waiting.retry(soon, 5.0)
    assert waiting.wait(2.0) == 3.0
    waiting.add(items(1), "urgent", 4.0)
    assert soon not in waiting.take(4.0)
    waiting.add(items(1), "urgent", 5.0)
    assert waiting.take(5.0)[0] is soon
    assert waiting.take(20.0) == [later]


def test_writes_that_are_due_together_go_in_the_order_they_failed_and_within_the_limits() -> None:
    waiting = queue(records=10, size=100)
    failed = items(60, 60, 30)
    for one in failed:
        waiting.retry(one, 1.0)
    assert [waiting.take(1.0), waiting.take(1.0)] == [failed[:1], failed[1:]]


def test_a_write_larger_than_the_limit_goes_alone() -> None:
    waiting = queue(size=100)
    large = items(10, 500, 10)
    waiting.add(large, "normal", 0)
    assert [waiting.take(0) for _ in range(3)] == [[one] for one in large]


def test_writes_of_a_run_that_is_no_longer_ours_are_left_out_wherever_they_wait() -> None:
    waiting = queue()
    gone, ours = StandInRun(), StandInRun()
    kept = item(run=ours)
    waiting.add([item(run=gone), kept], "normal", 0)
    waiting.add([item(run=gone)], "urgent", 0)
    waiting.retry(item(run=gone), 0)
    gone.stale = True
    assert waiting.take(1.0) == [kept]
    assert len(waiting) == 0
    assert waiting.wait(1.0) is None


def test_a_run_is_finished_with_its_last_write() -> None:
    run = StandInRun()
    whole = parcel(run, 3)
    finished: list[int] = []
    for _ in range(3):
        whole.settle()
        finished.append(run.finished)
    assert finished == [0, 0, 1]


def test_failures_of_a_write_are_counted_from_the_first() -> None:
    one = item()
    assert one.failed(100.0) == 0.0
    first = one.first_failed_at
    assert one.failed(107.5) == 7.5
    assert (one.attempts, one.first_failed_at) == (2, first)
    assert first is not None


class AgainstAModel(RuleBasedStateMachine):
    """Any history of adds, failures, takes and lost partitions."""

    @initialize(records=st.integers(1, 5), size=st.integers(1, 200))
    def begin(self, records: int, size: int) -> None:
        self.limits = Limits(max_records=records, max_bytes=size)
        self.queue = WriteQueue(self.limits)
        self.now = 0.0
        self.lanes: dict[Priority, list[Item]] = {"urgent": [], "normal": []}
        self.due: list[tuple[float, Item]] = []
        self.out: list[Item] = []
        self.runs: list[StandInRun] = []
        self.numbers = count()

    @rule(lane=st.sampled_from(["urgent", "normal"]), sizes=st.lists(st.integers(0, 120), max_size=4))
    def add(self, lane: Priority, sizes: list[int]) -> None:
        run = StandInRun()
        self.runs.append(run)
        added = [item(size, run, next(self.numbers)) for size in sizes]
        self.queue.add(added, lane, self.now)
        self.lanes[lane] += added

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.runs)).stale = True

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        wait = self.queue.wait(self.now)
        batch = self.queue.take(self.now)
        ours = [one for one in self.waiting() if not one.parcel.run.stale]
        # When a batch is said to be there it is, unless all of it was lost meanwhile.
        assert batch or wait != 0 or len(ours) < len(self.waiting())
        assert len(batch) <= self.limits.max_records
        assert sum(one.size for one in batch) <= self.limits.max_bytes or len(batch) == 1
        assert len(set(map(id, batch))) == len(batch)
        assert all(due <= self.now for due, one in self.due if one in batch)
        ranks = [2 if one in self.lanes["normal"] else 1 if one in self.lanes["urgent"] else 0 for one in batch]
        assert ranks == sorted(ranks), "first what is due again, then urgent writes, then the rest"
        for lane in self.lanes.values():
            taken = [one for one in batch if one in lane]
            assert taken == [one for one in lane if one in taken], "in its order"
            ahead = lane[: lane.index(taken[-1]) + 1] if taken else []
            assert all(one in taken or one.parcel.run.stale for one in ahead), "nothing is passed over"
        for one in batch:
            assert one in ours
            for lane in self.lanes.values():
                if one in lane:
                    lane.remove(one)
            self.due = [(due, other) for due, other in self.due if other is not one]
        for one in batch:
            if data.draw(st.booleans()):
                due = self.now + data.draw(st.floats(0, 2))
                self.queue.retry(one, due)
                self.due.append((due, one))

    def waiting(self) -> list[Item]:
        return [*self.lanes["urgent"], *self.lanes["normal"], *(one for _, one in self.due)]

    @invariant()
    def nothing_is_lost(self) -> None:
        ours = sum(not one.parcel.run.stale for one in self.waiting())
        assert ours <= len(self.queue) <= len(self.waiting())

    def teardown(self) -> None:
        if not hasattr(self, "queue"):
            return
        found: list[Item] = []
        while len(self.queue):
            found += self.queue.take(float("inf"))
        assert sorted(map(id, found)) == sorted(id(one) for one in self.waiting() if not one.parcel.run.stale)


TestAgainstAModel = AgainstAModel.TestCase


@given(st.lists(st.tuples(st.sampled_from(["urgent", "normal"]), st.integers(0, 50)), max_size=30))
def test_draining_gives_every_write_once_and_each_lane_in_order(drawn: list[tuple[Priority, int]]) -> None:
    waiting = queue(records=4, size=90)
    added: list[tuple[Priority, Item]] = [(lane, item(size)) for lane, size in drawn]
    for lane, one in added:
        waiting.add([one], lane, 0)
    taken: list[Item] = []
    while len(waiting):
        taken += waiting.take(1)
    assert len(taken) == len(added)
    for lane in ("urgent", "normal"):
        mine = [one for name, one in added if name == lane]
        assert [one for one in taken if one in mine] == mine
