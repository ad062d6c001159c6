"""What would undo a write is told before the store is asked to take it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs

from connectors.sinks.contract import APPLIED, SUPERSEDED, Outcome
from connectors.sinks.errors import Unavailable
from schemas.receipts import decode_receipt
from schemas.sagas import saga_headers
from schemas.writes import CacheWrite, decode_write
from streams.runtime.faults import FaultPoints
from tests.unit.delivery.stand_ins import (
    CATALOGUE,
    StandInPublisher,
    StandInSink,
    accept,
    delivering,
    finished,
    keyed,
)


class Remembers(StandInSink):
    """Knows what it holds, and tells what would undo a write."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__(lambda batch: [APPLIED] * len(batch))
        self.holds: dict[str, CacheWrite] = {}
        self.failures = failures
        self.asked = 0

    def write(self, batch: Sequence[Any]) -> list[Outcome]:
        outcomes = super().write(batch)
        self.holds.update({one.entity: one for one in batch})
        if self.failures:
            self.failures -= 1
            raise Unavailable("the connection was lost before the answer came")
        return outcomes

    def before(self, writes: Sequence[CacheWrite]) -> list[CacheWrite | None]:
        self.asked += len(writes)
        gone = [structs.replace(write, op="delete", version=0, undo=False) for write in writes]
        return [self.holds.get(write.entity, delete) for write, delete in zip(writes, gone, strict=True)]


def undoing(publisher: StandInPublisher) -> list[tuple[int, int]]:
    """Return the version of each write whose undo was told, and of its undo."""
    return [(one.version, one.undo.version) for one in publisher.receipts() if one.undo is not None]


class Recognises(Remembers):
    """Tells a write that it took before it was cut off from one that it never took."""

    def write(self, batch: Sequence[Any]) -> list[Outcome]:
        newer = [one for one in batch if one.entity not in self.holds or self.holds[one.entity].version < one.version]
        super().write(newer)
        return [APPLIED if one in newer else SUPERSEDED for one in batch]

    def before(self, writes: Sequence[CacheWrite]) -> list[CacheWrite | None]:
        undos = super().before(writes)
        return [None if undo and undo.version >= one.version else undo for one, undo in zip(writes, undos, strict=True)]

    def own(self, writes: Sequence[CacheWrite]) -> list[CacheWrite | None]:
        held = [self.holds.get(write.entity) for write in writes]
        return [
            structs.replace(write, op="delete", version=0, undo=False) if one and one.version == write.version else None
            for write, one in zip(writes, held, strict=True)
        ]


async def test_that_a_store_held_nothing_is_told_with_the_end_where_it_recognises_what_it_took() -> None:
    sink, publisher = Recognises(), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = keyed(["a", "b"], first=2, undo=True)
        accept(delivery, run)
        await finished(run)
    assert [(one.result, one.undo and one.undo.op) for one in publisher.receipts()] == [("applied", "delete")] * 2


async def test_what_a_store_held_is_told_before_also_where_it_recognises_what_it_took() -> None:
    sink, publisher = Recognises(), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        for run in (keyed(["a"], first=1), keyed(["a"], first=2, undo=True)):
            accept(delivery, run)
            await finished(run)
    assert [one.result for one in publisher.receipts()] == ["applied", "captured", "applied"]
    assert undoing(publisher) == [(2, 1)]


@pytest.mark.parametrize(("held", "told"), [(2, [(2, 0)]), (3, [])], ids=["itself", "a newer one"])
async def test_a_write_that_was_cut_off_and_comes_again_is_told_to_have_replaced_nothing(
    held: int, told: list[tuple[int, int]]
) -> None:
    """By a worker that knows nothing of it. Where the store holds a newer one there is nothing to undo."""
    sink, publisher = Recognises(), StandInPublisher()
    sink.holds["a"] = decode_write(keyed(["a"], first=held).records[0].value or b"")  # type: ignore[assignment]
    sink.before = lambda writes: [None] * len(writes)  # type: ignore[method-assign]
    async with delivering(sink, publisher) as delivery:
        run = keyed(["a"], first=2, undo=True)
        accept(delivery, run)
        await finished(run)
    assert [one.result for one in publisher.receipts()] == ["superseded"]
    assert undoing(publisher) == told


async def test_only_the_coordinator_of_a_saga_is_told_what_undoes_its_write() -> None:
    sink, publisher = Recognises(), StandInPublisher()
    run = keyed(["a"], first=2, undo=True)
    run.records[0].headers = saga_headers("s", "subject")
    async with delivering(sink, publisher) as delivery:
        accept(delivery, run)
        await finished(run)
    assert undoing(publisher) == []
    (told,) = [one for one in publisher.published if one.topic == CATALOGUE.saga_receipts.name]
    receipt = decode_receipt(told.value or b"")
    assert (receipt.result, receipt.undo and receipt.undo.op) == ("applied", "delete")


async def test_a_write_that_asks_for_it_has_a_receipt_that_says_what_the_store_held_before() -> None:
    sink, publisher = Remembers(), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        for run in (keyed(["a"], first=1), keyed(["a", "b"], first=2, undo=True), keyed(["a"], first=9)):
            accept(delivery, run)
            await finished(run)
    assert undoing(publisher) == [(2, 1), (3, 0)]
    assert [one.result for one in publisher.receipts()] == ["applied", *["captured"] * 2, *["applied"] * 3]
    (undo,) = [one.undo for one in publisher.receipts() if one.entity == "b" and one.result == "captured"]
    assert undo is not None
    assert undo.op == "delete"
    assert sink.asked == 2


async def test_a_write_after_another_one_of_its_entity_is_undone_to_that_one_also_in_one_batch() -> None:
    sink, publisher = Remembers(), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = keyed(["a", "b", "a", "a"], first=1, undo=True)
        accept(delivery, run)
        await finished(run)
    assert undoing(publisher) == [(1, 0), (2, 0), (3, 1), (4, 3)]


async def test_what_was_held_before_the_first_attempt_is_what_counts() -> None:
    sink, publisher = Remembers(failures=1), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = keyed(["a"], first=5, undo=True)
        accept(delivery, run)
        await finished(run)
    assert undoing(publisher) == [(5, 0)]


async def test_what_would_undo_a_write_is_in_kafka_before_the_store_is_asked_to_take_it() -> None:
    """A worker that dies in between finds the write in the store, which then no longer knows what it held before."""
    publisher = StandInPublisher()

    class Looks(Remembers):
        def write(self, batch: Sequence[Any]) -> list[Outcome]:
            assert undoing(publisher) == [(5, 0)]
            return super().write(batch)

    async with delivering(Looks(), publisher) as delivery:
        run = keyed(["a"], first=5, undo=True)
        accept(delivery, run)
        await finished(run)
    assert [one.result for one in publisher.receipts()] == ["captured", "applied"]


async def test_a_store_that_cannot_tell_what_it_held_gives_receipts_without_undo() -> None:
    sink, publisher = StandInSink(lambda batch: [APPLIED] * len(batch)), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = keyed(["a"], first=1, undo=True)
        accept(delivery, run)
        await finished(run)
    assert [one.result for one in publisher.receipts()] == ["applied"]


async def test_a_write_that_the_sink_raises_on_when_it_is_asked_for_the_undo_has_none_and_holds_up_no_other() -> None:
    class Raises(Remembers):
        def before(self, writes: Sequence[CacheWrite]) -> list[CacheWrite | None]:
            if any(write.entity == "bad" for write in writes):
                raise ValueError("what lies there is no JSON")
            return super().before(writes)

    sink, publisher = Raises(), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = keyed(["a", "b", "bad", "c", "d"], first=1, undo=True)
        accept(delivery, run)
        await finished(run)
    assert undoing(publisher) == [(1, 0), (2, 0), (4, 0), (5, 0)]
    assert [one.result for one in publisher.receipts()] == [*["captured"] * 4, *["applied"] * 5]
    assert [one.entity for one in publisher.receipts() if one.undo_unknown] == ["bad"]


async def test_a_sink_that_does_not_answer_for_every_write_is_asked_for_fewer_at_once() -> None:
    class Short(Remembers):
        def before(self, writes: Sequence[CacheWrite]) -> list[CacheWrite | None]:
            return super().before(writes)[:2]

    sink, publisher = Short(), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = keyed(["a", "b", "c", "d"], first=1, undo=True)
        accept(delivery, run)
        await finished(run)
    assert undoing(publisher) == [(1, 0), (2, 0), (3, 0), (4, 0)]


@pytest.mark.parametrize(("point", "versions"), [("before-store-write", []), ("after-store-write", [7])])
async def test_a_worker_can_be_killed_between_what_undoes_a_write_and_its_receipt_on_both_sides_of_the_store(
    point: str, versions: list[int]
) -> None:
    sink, publisher, died = Remembers(), StandInPublisher(), asyncio.Event()

    def die() -> None:
        died.set()
        raise asyncio.CancelledError  # stands for kill -9: nothing behind it happens

    async with delivering(sink, publisher, faults=FaultPoints(point, kill=die)) as delivery:
        accept(delivery, keyed(["a"], first=7, undo=True))
        await asyncio.wait_for(died.wait(), 5)
    assert [one.result for one in publisher.receipts()] == ["captured"]
    assert [one.version for one in sink.holds.values()] == versions
