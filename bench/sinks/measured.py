"""What the rows of this benchmark share: figures and rounds, and how a sink is driven."""

import argparse
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct, field

from bench.report import Figure, median_ratio
from connectors.sinks.contract import Applied, Outcome, Retry, Sink, Superseded
from schemas.receipts import Receipt, encode_receipt
from schemas.writes import BaseWrite, key_of, store_of

T = TypeVar("T")
C = TypeVar("C")

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Bench(Struct):
    """What is measured with, and what came of it."""

    folder: Path
    options: argparse.Namespace
    figures: list[Figure] = field(default_factory=list[Figure])
    rounds: dict[str, Any] = field(default_factory=dict[str, Any])
    setup: dict[str, Any] = field(default_factory=dict[str, Any])

    def add(
        self, name: str, value: float, unit: str, bar: float | None = None, *, lower_is_better: bool = False
    ) -> None:
        """Note a figure."""
        self.figures.append(Figure(name=name, value=value, unit=unit, bar=bar, lower_is_better=lower_is_better))

    def note(self, row: str, **values: float) -> None:
        """Note a single measurement, and say it."""
        self.rounds.setdefault(row, []).append(values)
        told = ", ".join(f"{name} {value:,.0f}" for name, value in values.items())
        print(f"{row}: {told}", flush=True)

    @property
    def turns(self) -> range:
        """The rounds of a row, those that warm up included."""
        return range(self.options.warm_up + self.options.rounds)

    def in_turns(self, row: str, number: int, contenders: Mapping[str, Callable[[], float]]) -> None:
        """Note the rates of contenders that run one after the other, each round beginning with another one of them.

        What one leaves its server to do (compactions, checkpoints, garbage) slows down the one behind it.
        """
        names = list(contenders)
        first = number % len(names)
        found = {name: contenders[name]() for name in names[first:] + names[:first]}
        self.note(row, **{name: found[name] for name in names})

    def series(self, row: str, name: str) -> list[float]:
        """Return one value of every round of a row."""
        return [one[name] for one in self.rounds[row]]

    def compare(
        self, row: str, peer: str, bar: float | None = None, *, who: str = "ours", unit: str = "writes/s"
    ) -> None:
        """Add the figures of a row whose rounds have `who` and the peer, those that are there already left out."""
        rounds = self.rounds[row][self.options.warm_up :]
        values = {name: [one[name] for one in rounds] for name in (who, peer)}
        there = {figure.name for figure in self.figures}
        for name, found in values.items():
            if f"{row}: {name}" not in there:
                self.add(f"{row}: {name}", sorted(found)[len(rounds) // 2], unit)
        self.add(f"{row}: {who} / {peer}", median_ratio(values[who], values[peer]), "", bar)


def rate(count: int, work: Callable[[], object]) -> float:
    """Return how many a second `work` gets through."""
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


def batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield the items in batches."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def deliver(sinks: Sequence[Sink[Any]], writes: Sequence[BaseWrite]) -> None:
    """Write everything as the framework would: each key through one of the sinks, and a receipt for each write.

    As there, receipts are made in one thread for all sinks, those of a batch while the next one is written.

    Raises:
        AssertionError: a write was rejected.
    """
    with ThreadPoolExecutor(1) as accounts:
        side_by_side(partial(_lane, accounts), sinks, lanes(writes, len(sinks), key_of))


def lanes(items: Sequence[T], ways: int, key: Callable[[T], str]) -> list[list[T]]:
    """Return the items of each way, those of one key in order in one way; asks for keys only where there are several.

    As `Delivery` does.
    """
    found: list[list[T]] = [[] for _ in range(ways)]
    for item in items:
        found[zlib.crc32(key(item).encode()) % ways if ways > 1 else 0].append(item)
    return found


def side_by_side(work: Callable[[C, Sequence[T]], object], connections: Sequence[C], parts: Sequence[list[T]]) -> None:
    """Have each connection do its part in a thread of its own, and wait for all."""
    with ThreadPoolExecutor(len(connections)) as pool:
        for one in [pool.submit(work, *given) for given in zip(connections, parts, strict=True)]:
            one.result()


def _lane(accounts: Executor, sink: Sink[Any], writes: Sequence[BaseWrite]) -> None:
    settling: Future[None] | None = None
    for batch in batches(writes, sink.limits.max_records):
        waiting = batch
        while waiting:
            outcomes = sink.write(waiting)
            at = datetime.now(UTC)
            if settling is not None:
                settling.result()
            settling = accounts.submit(_settle, waiting, outcomes, at)
            waiting = [write for write, outcome in zip(waiting, outcomes, strict=True) if isinstance(outcome, Retry)]
    if settling is not None:
        settling.result()


def _settle(writes: Sequence[BaseWrite], outcomes: Sequence[Outcome], at: datetime) -> None:
    for write, outcome in zip(writes, outcomes, strict=True):
        if not isinstance(outcome, Retry):
            _receipt(write, outcome, at)


def _receipt(write: BaseWrite, outcome: Outcome, at: datetime) -> bytes:
    assert isinstance(outcome, Applied | Superseded), outcome
    return encode_receipt(
        Receipt(
            store=store_of(write),
            entity=write.entity,
            version=write.version,
            source=write.source,
            event_id=write.event_id,
            result="applied" if isinstance(outcome, Applied) else "superseded",
            at=at,
        )
    )
