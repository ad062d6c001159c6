"""Every write ends once, whatever the store does. The store and Kafka are stand-ins; time is real but short."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from connectors.sinks.contract import APPLIED, SUPERSEDED, Limits, Outcome, Rejected, Retry
from connectors.sinks.errors import BatchTooLarge, Fatal, Unavailable
from schemas.clock import milliseconds
from schemas.headers import ATTEMPTS, ERROR_CLASS, ERROR_MESSAGE, ERROR_STAGE, header_map
from schemas.writes import GraphWrite, NodeRef, decode_write, encode_write
from streams.delivery.metrics import DeliveryMetrics
from streams.routing.entities import AGREED
from streams.runtime.publisher import Outgoing
from tests.unit.delivery.stand_ins import (
    POLICY,
    StandInPublisher,
    StandInRecord,
    StandInRun,
    StandInSink,
    accept,
    delivering,
    finished,
    run_of,
    until,
    write,
)


async def test_every_write_gets_a_receipt_and_the_run_is_finished() -> None:
    sink, publisher = StandInSink(lambda batch: [APPLIED] * len(batch)), StandInPublisher()
    async with delivering(sink, publisher) as delivery:
        run = run_of(10)
        accept(delivery, run)
        await finished(run)
    assert sorted(receipt.entity for receipt in publisher.receipts()) == sorted(f"e{n}" for n in range(10))
    assert {receipt.result for receipt in publisher.receipts()} == {"applied"}


async def test_a_receipt_tells_when_the_store_answered_though_those_before_it_are_not_acknowledged_yet() -> None:
    released = asyncio.Event()

    class Holding(StandInPublisher):
        async def publish(self, records: Sequence[Outgoing]) -> dict[tuple[str, int], int]:
            await released.wait()
            return await super().publish(records)

    registry, publisher = CollectorRegistry(), Holding()
    sink = StandInSink(lambda batch: [APPLIED] * len(batch), Limits(max_records=1, linger_ms=0))
    async with delivering(sink, publisher, metrics=DeliveryMetrics(registry)) as delivery:
        run = run_of(2)
        accept(delivery, run)
        counted = partial(registry.get_sample_value, "stream_delivery_request_seconds_count", {"store": "cache"})
        await until(lambda: counted() == 2)
        answered = datetime.now(UTC)
        released.set()
        await finished(run)
    assert all(receipt.at <= answered for receipt in publisher.receipts())


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


async def test_a_write_is_put_off_for_as_long_as_its_store_may_take_however_many_attempts_that_are() -> None:
    policy = msgspec.structs.replace(POLICY, retry_seconds=60.0, first_pause=0.0, longest_pause=0.0)
    clock, put_off = 100.0, 0

    def answer(batch: list[str]) -> list[Outcome]:
        nonlocal clock, put_off
        put_off += 1
        clock += 1.0  # a node that is full for 50 s: six times as many attempts as three
        return [Retry("429")] * len(batch) if clock < 150.0 else [APPLIED] * len(batch)

    sink, publisher = StandInSink(answer), StandInPublisher()
    async with delivering(sink, publisher, lambda: clock, policy) as delivery:
        run = run_of(1)
        accept(delivery, run)
        await finished(run)
    assert put_off == 50
    assert publisher.letters() == []
    assert [receipt.result for receipt in publisher.receipts()] == ["applied"]


async def test_and_is_given_up_when_that_time_is_over() -> None:
    policy = msgspec.structs.replace(POLICY, retry_seconds=60.0, first_pause=0.0, longest_pause=0.0)
    clock = 100.0

    def answer(batch: list[str]) -> list[Outcome]:
        nonlocal clock
        clock += 1.0
        return [Retry("429")] * len(batch)

    publisher = StandInPublisher()
    async with delivering(StandInSink(answer), publisher, lambda: clock, policy) as delivery:
        run = run_of(1)
        accept(delivery, run)
        await finished(run)
    (letter,) = publisher.letters()
    assert header_map(letter.headers)[ERROR_MESSAGE] == "429 (after 61 attempts)"


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


async def test_how_long_what_was_agreed_took_to_its_store_is_told_of_writes_that_it_took_and_of_no_others() -> None:
    made = milliseconds(datetime.now(UTC)) - 4_000

    def agreed(number: int, **other: Any) -> StandInRecord:
        change = {"source": AGREED, "version": (made << 16) + 2, **other}
        return StandInRecord(encode_write(msgspec.structs.replace(decode_write(write(number)), **change)), number)

    records = [agreed(0), agreed(1), agreed(2), agreed(3, source="cdc.crm"), agreed(4, repair=True)]
    sink = StandInSink(lambda batch: [SUPERSEDED if one == "e1" else APPLIED for one in batch])
    registry = CollectorRegistry()
    async with delivering(sink, StandInPublisher(), metrics=DeliveryMetrics(registry)) as delivery:
        run = StandInRun(records)
        accept(delivery, run)
        await finished(run)
    told = partial(registry.get_sample_value, labels={"store": "cache"})
    assert told("stream_delivery_agreed_seconds_count") == 2
    assert 8 <= (told("stream_delivery_agreed_seconds_sum") or 0) < 40
