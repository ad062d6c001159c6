"""How many requests, how large and how soon: order per key, breaker, pauses, rates, and what is put off."""

import asyncio
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from connectors.sinks.contract import APPLIED, Limits, Outcome
from connectors.sinks.errors import Unavailable
from schemas.headers import LOW_PRIORITY
from schemas.writes import RelationalWrite, encode_write
from streams.delivery.breaker import DeliveryPolicy
from streams.delivery.delivery import Delivery, StorePlan
from streams.delivery.metrics import DeliveryMetrics
from streams.runtime.pauses import Pauses
from streams.runtime.publisher import Publisher
from tests.unit.delivery.stand_ins import (
    CATALOGUE,
    POLICY,
    StandInPublisher,
    StandInRecord,
    StandInRun,
    StandInSink,
    accept,
    delivering,
    finished,
    keyed,
    run_of,
    until,
)


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
