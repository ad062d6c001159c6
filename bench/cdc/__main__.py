"""How fast the source of Postgres changes is, beside Debezium, on one Postgres and a real Kafka.

python -m bench.cdc [--only snapshot,stream,latency,large] [--rounds N] [--rows N]

Ours is `travelos cdc run` with its default options, and a row counts once it lies in its topic. Debezium's embedded
engine has no Kafka to write to: its rows count once its JSON is made. They run one after the other.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from bench.cdc import latency, rates
from bench.cdc.database import TABLE, Database
from bench.cdc.debezium import VERSION as DEBEZIUM_VERSION
from bench.cdc.debezium import Debezium
from bench.cdc.ours import Ours
from bench.report import Figure, finish, median_ratio
from bench.runtime.broker import Broker
from deploy.local.kafka.server import VERSION as KAFKA_VERSION
from deploy.local.kafka.server import KafkaServer
from deploy.local.postgres.server import PostgresServer
from streams.log import configure_logging

WARM_UP_ROWS = 100_000
TRANSACTION_ROWS = 1_000


class Bench(Struct):
    """What is measured with, and what came of it."""

    broker: Broker
    database: Database
    folder: Path
    options: argparse.Namespace
    figures: list[Figure] = field(default_factory=list[Figure])
    rounds: dict[str, Any] = field(default_factory=dict[str, Any])
    numbers: Iterator[int] = field(default_factory=count)

    def add(
        self, name: str, value: float, unit: str, bar: float | None = None, *, lower_is_better: bool = False
    ) -> None:
        """Note a figure."""
        self.figures.append(Figure(name=name, value=value, unit=unit, bar=bar, lower_is_better=lower_is_better))

    def note(self, row: str, **values: float) -> None:
        """Note a single measurement, and say it."""
        self.rounds.setdefault(row, []).append(values)
        told = ", ".join(f"{name} {value:,.2f}" for name, value in values.items())
        print(f"{row}: {told}", flush=True)

    def series(self, row: str, name: str) -> list[float]:
        """Return one value of every round of a row."""
        return [one[name] for one in self.rounds[row]]

    @contextmanager
    def ours(self) -> Generator[Ours]:
        """Run our source on the table; nothing of it is left afterwards."""
        name = f"run-{next(self.numbers)}"
        try:
            with Ours(self.folder / name, self.database, self.broker, f"{name}.") as reader:
                yield reader
        finally:
            self.database.forget()

    @contextmanager
    def peer(self) -> Generator[Debezium]:
        """Run Debezium on the table; nothing of it is left afterwards."""
        folder = self.folder / f"run-{next(self.numbers)}"
        try:
            with Debezium(folder, self.database.options, [TABLE]) as reader:
                yield reader
        finally:
            self.database.forget()


def snapshot(bench: Bench) -> None:
    """The rows that a table holds, from the first one to the last one."""
    rows = bench.options.rows
    bench.database.make(rows)
    for _ in range(bench.options.rounds):
        with bench.peer() as reader:
            peer = rates.snapshot(reader, rows)
        with bench.ours() as reader:
            ours = rates.snapshot(reader, rows)
        _note_pair(bench, "snapshot", ours, peer)
    _compare(bench, "snapshot")


def stream(bench: Bench) -> None:
    """Rows that were written in transactions of a thousand while the reader was stopped."""
    options = bench.options
    for _ in range(options.rounds):
        found: list[rates.Measured] = []
        for start in (bench.peer, bench.ours):
            bench.database.make()
            with start() as reader:
                found.append(
                    rates.stream(
                        reader, bench.database, warm_up=WARM_UP_ROWS, rows=options.rows, transaction=TRANSACTION_ROWS
                    )
                )
        peer, ours = found
        _note_pair(bench, "stream", ours, peer)
    _compare(bench, "stream")
    cpu = [bench.series("stream", f"{name}_cpu_s_per_million") for name in ("ours", "peer")]
    bench.add("stream: CPU of ours", statistics.median(cpu[0]), "s per million events")
    bench.add("stream: CPU of Debezium", statistics.median(cpu[1]), "s per million events")
    bench.add("stream: CPU, ours / Debezium", median_ratio(*cpu), "", 0.25, lower_is_better=True)


def _note_pair(bench: Bench, row: str, ours: rates.Measured, peer: rates.Measured) -> None:
    bench.note(
        row,
        ours=ours.rate,
        peer=peer.rate,
        ours_cpu_s_per_million=ours.cpu_per_million,
        peer_cpu_s_per_million=peer.cpu_per_million,
    )


def _compare(bench: Bench, row: str) -> None:
    ours, peer = bench.series(row, "ours"), bench.series(row, "peer")
    bench.add(f"{row}: ours", statistics.median(ours), "rows/s")
    bench.add(f"{row}: Debezium", statistics.median(peer), "rows/s")
    bench.add(f"{row}: ours / Debezium", median_ratio(ours, peer), "", 3.0)


def delay(bench: Bench) -> None:
    """From commit to topic, at a thousand transactions of one row a second."""
    bench.database.make()
    with bench.ours() as reader:
        bench.database.insert(-WARM_UP_ROWS, -1, transaction=TRANSACTION_ROWS)
        rates.wait_for(reader, WARM_UP_ROWS)
        delays = latency.measure(bench.database, bench.broker, reader.topic, seconds=bench.options.latency_seconds)
    found = latency.told(delays)
    bench.note("latency", **found)
    bench.add("latency: p50", found["p50_ms"], "ms", 20.0, lower_is_better=True)
    bench.add("latency: p99", found["p99_ms"], "ms", 100.0, lower_is_better=True)


def large(bench: Bench) -> None:
    """One transaction of five million rows: the most memory that the source has, and how fast it gets through."""
    rows = bench.options.large_rows
    bench.database.make()
    with bench.ours() as reader:
        bench.database.insert(1, WARM_UP_ROWS, transaction=TRANSACTION_ROWS)
        rates.wait_for(reader, WARM_UP_ROWS)
        before = reader.memory[-1]
        bench.database.insert(WARM_UP_ROWS + 1, WARM_UP_ROWS + rows)
        committed = reader.samples()[-1]
        rates.wait_for(reader, WARM_UP_ROWS + rows, patience=600)
        last, memory = reader.samples()[-1], [point for point in reader.memory if point.at >= before.at]
    middle = (memory[0].at + memory[-1].at) / 2
    halves = [max(one.value for one in memory if (one.at < middle) is first) for first in (True, False)]
    found = {
        "start_mb": before.value,
        "first_half_mb": halves[0],
        "second_half_mb": halves[1],
        "arrived_before_commit": committed.done - WARM_UP_ROWS,
        "commit_to_last_s": last.at - committed.at,
    }
    bench.note("large", **found)
    bench.add("large: most memory", max(halves), "MB", 300.0, lower_is_better=True)
    bench.add("large: memory before it", before.value, "MB")
    bench.add("large: commit to last row", found["commit_to_last_s"], "s")


ROWS: dict[str, Callable[[Bench], None]] = {"snapshot": snapshot, "stream": stream, "latency": delay, "large": large}


def main() -> int:
    """Run the rows and report; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description="How fast the source of Postgres changes is, beside Debezium.")
    parser.add_argument("--only", default=",".join(ROWS), help="rows, separated by commas: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the median counts")
    parser.add_argument("--rows", type=int, default=600_000, help="rows of a run of snapshot and stream")
    parser.add_argument("--large-rows", type=int, default=5_000_000, help="rows of the one transaction")
    parser.add_argument("--latency-seconds", type=float, default=30, help="how long latency is measured")
    options = parser.parse_args()
    rows = options.only.split(",")
    if unknown := set(rows) - set(ROWS):
        parser.error(f"--only: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    configure_logging("warning")
    with tempfile.TemporaryDirectory(prefix="bench-cdc-") as folder:
        kafka = KafkaServer(Path(folder) / "kafka", heap="1g")
        postgres = PostgresServer(Path(folder) / "postgres")
        try:
            kafka.start()
            postgres.start()
            bench = Bench(Broker(kafka.bootstrap), Database(postgres.dsn()), Path(folder), options)
            for row in rows:
                ROWS[row](bench)
        finally:
            kafka.stop()
            postgres.delete()
    setup = {
        "rows": options.rows,
        "transaction_rows": TRANSACTION_ROWS,
        "large_rows": options.large_rows,
        "kafka": KAFKA_VERSION,
        "postgres": "18",
        "debezium": DEBEZIUM_VERSION,
        "debezium_options": "defaults, JSON without schemas, -Xmx1g",
    }
    return finish("cdc", bench.figures, setup=setup, rounds=bench.rounds, keep=set(rows) == set(ROWS))


if __name__ == "__main__":
    raise SystemExit(main())
