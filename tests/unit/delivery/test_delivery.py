"""Every write ends once, whatever the store does. The store and Kafka are stand-ins; time is real but short."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from faust.types import TP

from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Limits, Outcome, Rejected, Retry
from connectors.sinks.errors import BatchTooLarge, Fatal, Unavailable
from schemas.headers import ERROR_MESSAGE, ERROR_STAGE, header_map
from schemas.receipts import Receipt, decode_receipt
from schemas.topics import Catalogue
from schemas.writes import CacheWrite, GraphWrite, NodeRef, Priority, encode_write
from streams.delivery.breaker import DeliveryPolicy
from streams.delivery.delivery import Delivery
from streams.runtime.publisher import Outgoing, Publisher, PublishFailed
from streams.runtime.records import Run

CATALOGUE = Catalogue()
POLICY = DeliveryPolicy(attempts=3, first_pause=0.001, longest_pause=0.005, breaker_failures=3, breaker_pause=0.01)


@dataclass
class StandInRecord:
    value: bytes | None
    offset: int
    topic: str = CATALOGUE.writes("cache").name
    partition: int = 0
    timestamp: int = 0
    key: bytes | None = b"k"
    headers: Sequence[tuple[str, bytes | None]] = ()


class StandInRun:
    """Knows whether it was finished."""

    def __init__(self, records: list[StandInRecord]) -> None:
        self.records = records
        self.tp = TP(records[0].topic, 0)
        self.stale = False
        self.finished = asyncio.Event()
        self.held_up: list[str] = []

    def finish(self) -> None:
        self.finished.set()

    def hold_up(self, reason: str, seconds: float) -> None:
        self.held_up.append(reason)


@dataclass
class StandInPublisher:
    published: list[Outgoing] = field(default_factory=list[Outgoing])
    failures: int = 0

    async def publish(self, records: Sequence[Outgoing]) -> dict[tuple[str, int], int]:
        if self.failures:
            self.failures -= 1
            raise PublishFailed("the brokers are away")
        self.published.extend(records)
        return {}

    def receipts(self) -> list[Receipt]:
        return [decode_receipt(one.value or b"") for one in self.published if one.topic == CATALOGUE.receipts.name]

    def letters(self) -> list[Outgoing]:
        return [one for one in self.published if one.topic == CATALOGUE.dead_letters.name]


class StandInSink:
    """A store whose answer is a function of the batch."""

    def __init__(self, answer: Callable[[list[str]], list[Outcome]], limits: Limits | None = None) -> None:
        self.limits = limits or Limits(linger_ms=0)
        self.answer = answer
        self.batches: list[list[str]] = []
        self.opened = 0
        self.written = threading.Event()

    def open(self) -> None:
        self.opened += 1

    def write(self, batch: Sequence[Any]) -> list[Outcome]:
        entities = [write.entity for write in batch]
        self.batches.append(entities)
        self.written.set()
        return self.answer(entities)

    def held(self, entities: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Held]:
        return {}

    def close(self) -> None: ...


def write(number: int) -> bytes:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    key = f"e{number}"
    return encode_write(CacheWrite(entity=key, version=1, source="s", event_id=key, occurred_at=now, key=key))


def run_of(count: int, *, lane: Priority = "normal", first: int = 0) -> StandInRun:
    topic = CATALOGUE.writes("cache", lane).name
    return StandInRun([StandInRecord(write(number), number, topic) for number in range(first, first + count)])


@asynccontextmanager
async def delivering(
    sink: StandInSink, publisher: StandInPublisher, now: Callable[[], float] = time.monotonic
) -> AsyncGenerator[Delivery]:
    delivery = Delivery(
        "cache", sink, publisher=cast(Publisher, publisher), catalogue=CATALOGUE, policy=POLICY, now=now
    )
    task = asyncio.create_task(delivery.run())
    try:
        yield delivery
    finally:
        task.cancel()
        await asyncio.wait([task])


def accept(delivery: Delivery, run: StandInRun) -> None:
    delivery.accept(cast(Run, run))


async def finished(*runs: StandInRun) -> None:
    await asyncio.wait_for(asyncio.gather(*(run.finished.wait() for run in runs)), 5)


async def test_every_write_gets_a_receipt_and_the_run_is_finished() -> None:
    sink, publisher = StandInSink(lambda batch: [APPLIED] * len(batch)), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = run_of(10)
        accept(delivery, run)
        await finished(run)
    assert sorted(receipt.entity for receipt in publisher.receipts()) == sorted(f"e{n}" for n in range(10))
    assert {receipt.result for receipt in publisher.receipts()} == {"applied"}


async def test_superseded_is_success() -> None:
    sink, publisher = StandInSink(lambda batch: [SUPERSEDED] * len(batch)), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = run_of(1)
        accept(delivery, run)
        await finished(run)
    assert publisher.receipts()[0].result == "superseded"
    assert publisher.letters() == []


async def test_a_rejected_write_becomes_a_dead_letter_with_its_bytes_and_the_rest_is_applied() -> None:
    def answer(batch: list[str]) -> list[Outcome]:
        return [Rejected("`ttl_seconds` is too long") if entity == "e3" else APPLIED for entity in batch]

    sink, publisher = StandInSink(answer), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = run_of(5)
        accept(delivery, run)
        await finished(run)
    (letter,) = publisher.letters()
    assert letter.value == write(3)
    assert header_map(letter.headers)[ERROR_MESSAGE] == "`ttl_seconds` is too long"
    assert [receipt.entity for receipt in publisher.receipts() if receipt.result == "rejected"] == ["e3"]


async def test_a_write_that_raises_is_found_by_bisecting_and_costs_only_itself() -> None:
    def answer(batch: list[str]) -> list[Outcome]:
        if "e7" in batch:
            raise KeyError("e7")
        return [APPLIED] * len(batch)

    sink, publisher = StandInSink(answer), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = run_of(16)
        accept(delivery, run)
        await finished(run)
    assert len(publisher.letters()) == 1
    assert sum(receipt.result == "applied" for receipt in publisher.receipts()) == 15


async def test_a_batch_that_is_too_large_is_halved() -> None:
    def answer(batch: list[str]) -> list[Outcome]:
        if len(batch) > 4:
            raise BatchTooLarge("413")
        return [APPLIED] * len(batch)

    sink, publisher = StandInSink(answer), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = run_of(16)
        accept(delivery, run)
        await finished(run)
    assert len(publisher.receipts()) == 16


async def test_a_store_that_is_away_gets_the_same_batch_when_it_is_back_and_is_opened_anew() -> None:
    calls = 0

    def answer(batch: list[str]) -> list[Outcome]:
        nonlocal calls
        calls += 1
        if calls <= 4:  # beyond the breaker's three
            raise Unavailable("connection refused")
        return [APPLIED] * len(batch)

    sink, publisher = StandInSink(answer), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = run_of(3)
        accept(delivery, run)
        await finished(run)
    assert sink.batches == [["e0", "e1", "e2"]] * 5
    assert sink.opened == 5
    assert run.held_up == ["store cache: connection refused"] * 4
    assert publisher.letters() == []


async def test_a_store_that_refuses_us_is_tried_again_until_somebody_mends_it() -> None:
    calls = 0

    def answer(batch: list[str]) -> list[Outcome]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise Fatal("the password is wrong: set stores.cache.url")
        return [APPLIED] * len(batch)

    sink, publisher = StandInSink(answer), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = run_of(1)
        accept(delivery, run)
        await finished(run)
    assert publisher.receipts()[0].result == "applied"


async def test_a_write_that_the_store_keeps_putting_off_becomes_a_dead_letter_after_its_attempts() -> None:
    sink = StandInSink(lambda batch: [Retry("429") if entity == "e0" else APPLIED for entity in batch])
    publisher = StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = run_of(2)
        accept(delivery, run)
        await finished(run)
    (letter,) = publisher.letters()
    assert header_map(letter.headers)[ERROR_MESSAGE] == "429 (after 3 attempts)"


async def test_bytes_that_are_no_write_become_a_dead_letter_and_the_writes_around_them_arrive() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    other = GraphWrite(entity="x", version=1, source="s", event_id="x", occurred_at=now, node=NodeRef("User", "x"))
    sink, publisher = StandInSink(lambda batch: [APPLIED] * len(batch)), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        values = [write(0), b"\x00garbage", None, encode_write(other), write(1)]
        run = StandInRun([StandInRecord(value, offset) for offset, value in enumerate(values)])
        accept(delivery, run)
        await finished(run)
    assert [header_map(letter.headers)[ERROR_STAGE] for letter in publisher.letters()] == ["decode"] * 3
    assert sorted(receipt.entity for receipt in publisher.receipts()) == ["e0", "e1"]


async def test_urgent_writes_go_before_those_that_wait() -> None:
    sink = StandInSink(lambda batch: [APPLIED] * len(batch), Limits(max_records=10, linger_ms=1_000))
    publisher = StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        normal, urgent = run_of(25), run_of(2, lane="urgent", first=100)
        accept(delivery, normal)
        accept(delivery, urgent)
        await finished(urgent)
        assert sink.batches[0][:2] == ["e100", "e101"]
        delivery.drain()
        await finished(normal)


async def test_writes_of_several_runs_are_batched_together() -> None:
    sink = StandInSink(lambda batch: [APPLIED] * len(batch), Limits(max_records=10, linger_ms=1_000))
    publisher = StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        runs = [run_of(5, first=first) for first in (0, 5)]
        for run in runs:
            accept(delivery, run)
        await finished(*runs)
    assert len(sink.batches) == 1


async def test_a_stop_hurries_what_waits_for_a_full_batch_and_leaves_a_pause_before_another_try_alone() -> None:
    sink = StandInSink(
        lambda batch: [Retry("429", after=60) if entity == "e0" else APPLIED for entity in batch],
        Limits(linger_ms=60_000),
    )
    publisher = StandInPublisher()
    looks = 0

    def now() -> float:
        nonlocal looks
        looks += 1
        assert looks < 1_000, "it looks again and again instead of waiting"
        return 100.0

    async with delivering(sink, publisher, now) as delivery:
        put_off, normal = run_of(1), run_of(3, first=10)
        for run in (put_off, normal):  # the second one comes while the first waits for its next try
            accept(delivery, run)
            delivery.drain()
            assert await asyncio.to_thread(sink.written.wait, 5)
        await finished(normal)
    assert sink.batches[-1] == ["e10", "e11", "e12"]
    assert not put_off.finished.is_set()
    assert looks < 1_000


async def test_a_run_that_was_taken_away_is_not_written() -> None:
    sink = StandInSink(lambda batch: [APPLIED] * len(batch), Limits(linger_ms=50))
    publisher = StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        gone, ours = run_of(3), run_of(3, first=10)
        gone.stale = True
        accept(delivery, gone)
        accept(delivery, ours)
        await finished(ours)
    assert sink.batches == [["e10", "e11", "e12"]]


async def test_receipts_that_kafka_does_not_take_are_sent_again_before_the_run_is_finished() -> None:
    sink, publisher = StandInSink(lambda batch: [APPLIED] * len(batch)), StandInPublisher(failures=2)
    async with delivering(sink, publisher) as delivery:
        run = run_of(1)
        accept(delivery, run)
        await finished(run)
    assert len(publisher.receipts()) == 1


async def test_a_write_that_the_store_wants_later_tells_what_its_run_waits_for() -> None:
    outcomes: list[Outcome] = [APPLIED, Retry("the index is read-only")]
    sink, publisher = StandInSink(lambda _: [outcomes.pop()]), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = run_of(1)
        accept(delivery, run)
        await finished(run)
    assert run.held_up == ["store cache: the index is read-only"]
