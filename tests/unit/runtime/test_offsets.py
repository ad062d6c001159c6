"""What may be committed of a partition, against a model that remembers everything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streams.runtime.offsets import PartitionOffsets


def test_nothing_is_committable_before_anything_is_finished() -> None:
    offsets = PartitionOffsets()
    offsets.start(10, 19)
    assert offsets.committable is None


def test_unfinished_work_holds_back_what_was_finished_after_it() -> None:
    # faust-streaming issue 606: committed 2585, in flight 2585, acked 2586..2589 -> plain Faust commits 2590.
    offsets = PartitionOffsets()
    for offset in range(2585, 2590):
        offsets.start(offset, offset)
    for offset in range(2586, 2590):
        offsets.finish(offset)
    assert offsets.committable is None
    offsets.finish(2585)
    assert offsets.committable == 2590


def test_offsets_without_a_record_do_not_stall_commits() -> None:
    offsets = PartitionOffsets()
    offsets.start(3, 7)
    offsets.start(100, 100)  # 8..99 were compacted away, or hold the markers of transactions
    offsets.finish(3)
    offsets.finish(100)
    assert offsets.committable == 101


def test_what_holds_no_record_at_the_end_is_committed_with_what_comes_before_it() -> None:
    offsets = PartitionOffsets()
    offsets.start(3, 7)
    offsets.pass_over(10)  # 8 and 9 are the end of a transaction
    assert offsets.committable is None
    offsets.finish(3)
    assert offsets.committable == 10
    offsets.pass_over(12)
    assert offsets.committable == 12
    offsets.pass_over(5)
    assert offsets.committable == 12


def test_finishing_twice_changes_nothing() -> None:
    offsets = PartitionOffsets()
    offsets.start(0, 4)
    offsets.finish(0)
    offsets.finish(0)
    assert offsets.committable == 5


@pytest.mark.parametrize(("first", "last"), [(4, 8), (3, 2), (0, 0)])
def test_records_delivered_out_of_order_are_refused(first: int, last: int) -> None:
    offsets = PartitionOffsets()
    offsets.start(1, 5)
    with pytest.raises(ValueError, match="out of order"):
        offsets.start(first, last)


class OffsetsAgainstModel(RuleBasedStateMachine):
    """The model: every offset delivered, and whether its work is done."""

    def __init__(self) -> None:
        super().__init__()
        self.offsets = PartitionOffsets()
        self.next = 0
        self.open: list[int] = []
        self.delivered: dict[int, bool] = {}
        self.stretches: dict[int, int] = {}

    @rule(gap=st.integers(0, 5), length=st.integers(1, 20))
    def deliver(self, gap: int, length: int) -> None:
        first = self.next + gap
        last = first + length - 1
        self.offsets.start(first, last)
        self.open.append(first)
        self.stretches[first] = last
        self.delivered.update(dict.fromkeys(range(first, last + 1), False))
        self.next = last + 1

    @rule(gap=st.integers(0, 5))
    def pass_over(self, gap: int) -> None:
        self.offsets.pass_over(self.next + gap)
        self.delivered.update(dict.fromkeys(range(self.next, self.next + gap), True))
        self.next += gap

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def advance(self, data: st.DataObject) -> None:
        first = data.draw(st.sampled_from(self.open))
        if first == self.stretches[first]:
            return  # its only record is its end
        offset = data.draw(st.integers(first + 1, self.stretches[first]))
        self.offsets.advance(first, offset)
        self.delivered.update(dict.fromkeys(range(first, offset), True))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        first = data.draw(st.sampled_from(self.open))
        self.open.remove(first)
        self.offsets.finish(first)
        self.delivered.update(dict.fromkeys(range(first, self.stretches[first] + 1), True))

    @invariant()
    def never_past_unfinished_work_and_never_short_of_what_is_done(self) -> None:
        undone = [offset for offset, done in self.delivered.items() if not done]
        done = [offset for offset, done in self.delivered.items() if done and (not undone or offset < min(undone))]
        expected = max(done) + 1 if done else None
        assert self.offsets.committable == expected


TestOffsetsAgainstModel = OffsetsAgainstModel.TestCase


@given(st.permutations(range(8)))
def test_the_order_of_finishing_does_not_matter(order: list[int]) -> None:
    offsets = PartitionOffsets()
    for number in range(8):
        offsets.start(number * 10, number * 10 + 9)
    for number in order:
        offsets.finish(number * 10)
    assert offsets.committable == 80
    assert offsets.unfinished == 0
