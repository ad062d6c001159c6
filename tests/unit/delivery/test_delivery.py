"""Every write ends once, whatever the store does. The store and Kafka are stand-ins; time is real but short."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from faust.types import TP
from msgspec import structs
from prometheus_client import CollectorRegistry

from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Limits, Outcome, Rejected, Retry
from connectors.sinks.errors import BatchTooLarge, Fatal, Unavailable
from schemas.headers import ATTEMPTS, ERROR_CLASS, ERROR_MESSAGE, ERROR_STAGE, LOW_PRIORITY, header_map
from schemas.receipts import Receipt, decode_receipt
from schemas.topics import Catalogue
from schemas.writes import CacheWrite, GraphWrite, NodeRef, Priority, RelationalWrite, encode_write
from streams.delivery.breaker import DeliveryPolicy
from streams.delivery.delivery import Delivery, StorePlan
from streams.delivery.metrics import DeliveryMetrics
from streams.runtime.pauses import Pauses
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
        self.leaving = asyncio.Event()
        self.left = False
        self.held_up: list[str] = []

    def finish(self) -> None:
        self.finished.set()

    def leave(self) -> None:
        self.left = True

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
    sink: StandInSink | list[StandInSink],
    publisher: StandInPublisher,
    now: Callable[[], float] = time.monotonic,
    policy: DeliveryPolicy = POLICY,
    **more: Any,
) -> AsyncGenerator[Delivery]:
    delivery = Delivery(
        "cache",
        sink if isinstance(sink, list) else [sink],
        publisher=cast(Publisher, publisher),
        catalogue=CATALOGUE,
        now=now,
        policy=policy,
        **more,
    )
    task = asyncio.create_task(delivery.run())
    try:
        yield delivery
    finally:
        task.cancel()
        await asyncio.wait([task])


def accept(delivery: Delivery, run: StandInRun) -> None:
    delivery.accept(cast(Run, run))


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.001)  # between two looks


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
    assert header_map(letter.headers)[ERROR_CLASS] == "WriteRejected"
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
    (letter,) = publisher.letters()
    assert letter.value == write(7)
    assert header_map(letter.headers)[ERROR_CLASS] == "SinkRaised"
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
    assert header_map(letter.headers)[ERROR_CLASS] == "RetriesExhausted"
    assert header_map(letter.headers)[ATTEMPTS] == "3"


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


def keyed(keys: Sequence[str], *, first: int = 0, **more: Any) -> StandInRun:
    """A run of writes of these keys, versions counted up."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    values = [
        encode_write(
            CacheWrite(entity=key, version=version, source="s", event_id="e", occurred_at=now, key=key, **more)
        )
        for version, key in enumerate(keys, start=first)
    ]
    return StandInRun([StandInRecord(value, offset) for offset, value in enumerate(values, start=first)])


class KeepsOrder(StandInSink):
    """Notes the versions of each key in the order they came, and how many requests were under way at once."""

    under_way = 0
    most = 0
    lock = threading.Lock()

    def __init__(self, seen: dict[str, list[int]]) -> None:
        super().__init__(lambda batch: [APPLIED] * len(batch))
        self.seen = seen

    def write(self, batch: Sequence[Any]) -> list[Outcome]:
        with self.lock:
            KeepsOrder.under_way += 1
            KeepsOrder.most = max(KeepsOrder.most, KeepsOrder.under_way)
        time.sleep(0.005)  # as long as a store takes
        with self.lock:
            for one in batch:
                self.seen.setdefault(one.entity, []).append(one.version)
            KeepsOrder.under_way -= 1
        return super().write(batch)


async def test_requests_go_side_by_side_and_the_writes_of_a_key_stay_in_their_order() -> None:
    seen: dict[str, list[int]] = {}
    sinks: list[StandInSink] = [KeepsOrder(seen) for _ in range(4)]
    publisher = StandInPublisher()
    async with delivering(sinks, publisher) as delivery:
        runs = [keyed([f"k{number % 37}" for number in range(200)], first=first) for first in range(0, 2_000, 200)]
        for run in runs:
            accept(delivery, run)
        await finished(*runs)
    assert KeepsOrder.most > 1
    assert sum(map(len, seen.values())) == 2_000
    assert all(versions == sorted(versions) for versions in seen.values())
    assert all(sink.batches for sink in sinks)


async def test_a_store_whose_breaker_is_open_has_its_topics_paused_until_it_answers() -> None:
    pauses, away = Pauses(), True

    def answer(batch: list[str]) -> list[Outcome]:
        if away:
            raise Unavailable("connection refused")
        return [APPLIED] * len(batch)

    topics = [
        CATALOGUE.writes("cache").name,
        CATALOGUE.writes("cache", "urgent").name,
        CATALOGUE.deferred("cache").name,
    ]
    sink, publisher = StandInSink(answer), StandInPublisher()
    policy = DeliveryPolicy(first_pause=0.0, longest_pause=0.0, breaker_failures=2, breaker_pause=0.1)
    async with delivering(sink, publisher, pauses=pauses, policy=policy) as delivery:
        run = run_of(3)
        accept(delivery, run)
        await until(lambda: pauses.kinds(topics[0]))
        assert [pauses.kinds(topic) for topic in topics] == [["breaker"]] * 3
        assert "2 requests in a row failed" in (pauses.reason(topics[0]) or "")
        assert pauses.kinds(CATALOGUE.writes("graph").name) == []
        away = False
        await finished(run)
        assert [pauses.kinds(topic) for topic in topics] == [[]] * 3


async def test_an_open_breaker_with_nothing_to_try_the_store_with_reads_again_when_its_time_has_passed() -> None:
    pauses = Pauses()
    topic = CATALOGUE.writes("cache").name

    def answer(batch: list[str]) -> list[Outcome]:
        raise Unavailable("connection refused")

    policy = DeliveryPolicy(first_pause=0.0, longest_pause=0.0, breaker_failures=1, breaker_pause=0.05)
    async with delivering(StandInSink(answer), StandInPublisher(), pauses=pauses, policy=policy) as delivery:
        run = run_of(1)
        accept(delivery, run)
        await until(lambda: pauses.kinds(topic))
        run.stale = True  # the partition was taken away, and comes back without it
        await until(lambda: not pauses.kinds(topic))


async def test_a_paused_store_is_not_called_and_goes_on_where_it_was() -> None:
    pauses = Pauses()
    sink, publisher = StandInSink(lambda batch: [APPLIED] * len(batch)), StandInPublisher()
    async with delivering(sink, publisher, pauses=pauses) as delivery:
        delivery.pause("paused by ann")
        run = run_of(3)
        accept(delivery, run)
        delivery.drain()
        assert not await asyncio.to_thread(sink.written.wait, 0.05)  # long enough for many a request
        assert sink.batches == []
        assert pauses.reason(CATALOGUE.writes("cache").name) == "paused by ann"
        delivery.resume()
        await finished(run)
        assert pauses.reason(CATALOGUE.writes("cache").name) is None
    assert sink.batches == [["e0", "e1", "e2"]]


@pytest.mark.parametrize("away", [False, True], ids=["paused", "breaker open"])
async def test_what_cannot_be_written_now_is_left_to_the_next_owner_when_the_partition_goes(away: bool) -> None:
    def answer(batch: list[str]) -> list[Outcome]:
        raise Unavailable("connection refused")

    policy = DeliveryPolicy(first_pause=0.0, longest_pause=0.0, breaker_failures=1, breaker_pause=60)
    sink, pauses = StandInSink(answer), Pauses()
    async with delivering(sink, StandInPublisher(), pauses=pauses, policy=policy) as delivery:
        if not away:
            delivery.pause("paused by ann")
        run = run_of(3)
        accept(delivery, run)
        await until(lambda: not away or pauses.kinds(CATALOGUE.writes("cache").name))
        delivery.drain()
        assert not run.left  # nobody takes anything away yet: records suspected of a crash are hurried, too
        run.leaving.set()
        delivery.drain()
        assert run.left
        assert not run.finished.is_set()


async def test_requests_grow_while_the_store_is_fast_and_shrink_when_it_is_slow_and_both_show_in_the_metrics() -> None:
    registry, delay, clock = CollectorRegistry(), 0.0, 100.0

    def answer(batch: list[str]) -> list[Outcome]:
        nonlocal clock
        clock += delay * len(batch)  # as long as the store takes
        return [APPLIED] * len(batch)

    def limit() -> float | None:
        return registry.get_sample_value("stream_delivery_batch_limit_records", {"store": "cache"})

    policy = DeliveryPolicy(target_seconds=0.05)
    sink, publisher = StandInSink(answer, Limits(max_records=1_000, linger_ms=0)), StandInPublisher()
    metrics = DeliveryMetrics(registry)
    async with delivering(sink, publisher, lambda: clock, policy=policy, metrics=metrics) as delivery:
        assert limit() == 100
        run = run_of(3_000)
        accept(delivery, run)
        await finished(run)
        assert limit() == 1_000
        assert [len(batch) for batch in sink.batches[:4]] == [100, 200, 400, 800]
        delay = 0.000_2
        run = run_of(3_000)
        accept(delivery, run)
        await finished(run)
        assert (limit() or 0) < 500
    applied = {"store": "cache", "outcome": "applied"}
    assert registry.get_sample_value("stream_delivery_writes_total", applied) == 6_000
    assert registry.get_sample_value("stream_delivery_queue_records", {"store": "cache"}) == 0
    assert registry.get_sample_value("stream_delivery_breaker", {"store": "cache", "state": "closed"}) == 1


async def test_a_store_gets_no_more_than_its_rate() -> None:
    sink, publisher = StandInSink(lambda batch: [APPLIED] * len(batch)), StandInPublisher()
    async with delivering(sink, publisher, plan=StorePlan(rate=1_000, burst=0.02)) as delivery:
        began = time.monotonic()
        run = run_of(300)
        accept(delivery, run)
        await finished(run)
    assert time.monotonic() - began >= (300 - 20) / 1_000
    assert max(map(len, sink.batches)) <= 20


async def test_a_plan_makes_requests_smaller_than_the_sink_takes_and_never_larger() -> None:
    sink = StandInSink(lambda batch: [APPLIED] * len(batch), Limits(max_records=50, linger_ms=0))
    async with delivering(sink, StandInPublisher(), plan=StorePlan(max_records=7)) as delivery:
        run = run_of(100)
        accept(delivery, run)
        await finished(run)
    assert max(map(len, sink.batches)) == 7
    assert StorePlan(max_records=900, max_bytes=9, linger_ms=90).within(sink.limits) == Limits(
        max_records=50, max_bytes=9, linger_ms=90
    )


async def test_over_a_lag_low_priority_writes_are_put_off_as_they_are_and_all_others_go_on() -> None:
    pauses = Pauses()
    deferred = CATALOGUE.deferred("cache").name
    sink, publisher = StandInSink(lambda batch: [APPLIED] * len(batch)), StandInPublisher()
    async with delivering(sink, publisher, pauses=pauses, plan=StorePlan(shed_lag=100)) as delivery:
        delivery.note_lag(101)
        assert pauses.kinds(deferred) == ["deferred"]
        low, normal, removed = keyed(["low"]), keyed(["normal"]), keyed(["removed"], op="delete")
        for run in (low, removed):
            run.records[0].headers = (("tag", b"t"), LOW_PRIORITY)
        for run in (low, normal, removed):
            accept(delivery, run)
        await finished(low, normal, removed)
        assert sorted(receipt.entity for receipt in publisher.receipts()) == ["normal", "removed"]
        (put_off,) = [one for one in publisher.published if one.topic == deferred]
        record = low.records[0]
        assert (put_off.key, put_off.value, put_off.headers) == (record.key, record.value, record.headers)
        delivery.note_lag(51)
        assert pauses.kinds(deferred) == ["deferred"]  # until the lag is below half the limit
        delivery.note_lag(50)
        assert pauses.kinds(deferred) == []
        record.topic = deferred
        back = StandInRun([record])
        delivery.note_lag(101)
        accept(delivery, back)  # it had been read already: it is not put off again
        await finished(back)
    assert sorted(receipt.entity for receipt in publisher.receipts()) == ["low", "normal", "removed"]


async def test_an_erasure_is_never_put_off() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    erasure = RelationalWrite(
        entity="x", version=1, source="s", event_id="e", occurred_at=now, table="erasure_requests", key="x"
    )
    record = StandInRecord(encode_write(erasure), 0, CATALOGUE.writes("relational").name, headers=(LOW_PRIORITY,))
    sink, publisher = StandInSink(lambda batch: [APPLIED] * len(batch)), StandInPublisher()
    delivery = Delivery(
        "relational",
        [sink],
        publisher=cast(Publisher, publisher),
        catalogue=CATALOGUE,
        policy=POLICY,
        plan=StorePlan(shed_lag=1),
    )
    task = asyncio.create_task(delivery.run())
    delivery.note_lag(1_000)
    run = StandInRun([record])
    accept(delivery, run)
    await finished(run)
    task.cancel()
    await asyncio.wait([task])
    assert sink.batches == [["x"]]


async def test_a_sink_that_raises_while_it_is_opened_is_tried_again_like_a_store_that_is_away() -> None:
    class CannotOpen(StandInSink):
        def open(self) -> None:
            super().open()
            if self.opened < 3:
                raise KeyError("x")

    sink, publisher = CannotOpen(lambda batch: [APPLIED] * len(batch)), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = run_of(2)
        accept(delivery, run)
        await finished(run)
    assert [receipt.result for receipt in publisher.receipts()] == ["applied"] * 2
    assert "opening the sink raised KeyError" in run.held_up[0]


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
