"""A delivery whose store and Kafka are stand-ins; time is real but short."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from faust.types import TP

from connectors.sinks.contract import Held, Limits, Outcome
from schemas.receipts import Receipt, decode_receipt
from schemas.topics import Catalogue
from schemas.writes import CacheWrite, Priority, encode_write
from streams.delivery.breaker import DeliveryPolicy
from streams.delivery.delivery import Delivery
from streams.runtime.publisher import Outgoing, Publisher, PublishFailed
from streams.runtime.records import Run

CATALOGUE = Catalogue()
POLICY = DeliveryPolicy(
    attempts=3, retry_seconds=0.0, first_pause=0.001, longest_pause=0.005, breaker_failures=3, breaker_pause=0.01
)


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
