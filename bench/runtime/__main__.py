"""How fast the runtime is, beside its peers, on a real Kafka.

python -m bench.runtime [--only decode,count,pass,latency,restore,memory,two] [--rounds N] [--events N] [--profile]

Every worker and every peer is a process of its own, one after the other, on one broker, which takes its share of the
same cores. A round runs ours and the peers next to each other; ratios are those of a round, and their median counts.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from bench.report import Figure, finish, median_ratio
from bench.runtime import keyed, latency, rates, whole_pass
from bench.runtime.broker import GIVEN_PEERS, Broker
from bench.runtime.mix import GPS_SHARE, Mix, mix
from bench.runtime.profile import show
from bench.runtime.quix import version
from deploy.local.kafka.server import VERSION as KAFKA_VERSION
from deploy.local.kafka.server import KafkaServer
from streams.log import configure_logging

PASS_PER_SECOND = 50_000
MIB = 1024 * 1024


class Bench(Struct):
    """What is measured with, and what came of it."""

    broker: Broker
    broker_pid: int
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

    def note(self, row: str, **values: object) -> None:
        """Note a single measurement, and say it."""
        self.rounds.setdefault(row, []).append(values)
        told = ", ".join(f"{name} {value:,.2f}" for name, value in values.items() if isinstance(value, float | int))
        print(f"{row}: {told}", flush=True)

    def series(self, row: str, name: str) -> list[float]:
        """Return one value of every round of a row."""
        return [one[name] for one in self.rounds[row]]


def decode(bench: Bench) -> None:
    """Typed events, decoded; no state."""
    _rates(bench, "decode", counted=False)
    for peer, bar in (("quix", 2.0), ("bare", 1.2), ("plain", 25.0)):
        ratio = median_ratio(bench.series("decode", "ours"), bench.series("decode", peer))
        bench.add(f"decode: ours / {_NAMES[peer]}", ratio, "", bar)


def count(bench: Bench) -> None:
    """Typed events, counted per user in a RocksDB table with a changelog."""
    _rates(bench, "count", counted=True)
    for peer, bar in (("quix", 2.5), ("plain", 35.0)):
        ratio = median_ratio(bench.series("count", "ours"), bench.series("count", peer))
        bench.add(f"count: ours / {_NAMES[peer]}", ratio, "", bar)


_NAMES = {"quix": "Quix Streams", "bare": "bare librdkafka", "plain": "plain Faust"}


def _rates(bench: Bench, row: str, *, counted: bool) -> None:
    broker, folder, events = bench.broker, bench.folder, bench.options.events
    for _ in range(bench.options.rounds):
        found = {
            "plain": rates.plain_faust(broker, folder, events, counted=counted),
            "quix": rates.quix_streams(broker, folder, events, counted=counted),
        }
        if not counted:
            found["bare"] = rates.bare_loop(broker, folder, events)
        ours = rates.ours(broker, folder, events, counted=counted)
        bench.note(
            row, ours=ours.rate, ours_cpu_us=ours.cpu / ours.done * 1e6, events_of_a_run=ours.done / ours.runs, **found
        )
    bench.add(f"{row}: ours", statistics.median(bench.series(row, "ours")), "events/s")
    for peer in ("quix", "bare", "plain"):
        if peer in bench.rounds[row][0]:
            bench.add(f"{row}: {_NAMES[peer]}", statistics.median(bench.series(row, peer)), "events/s")


def whole(bench: Bench) -> None:
    """The whole pass of the ingest role."""
    broker, folder, given = bench.broker, bench.folder, _mix(bench)
    for number in range(bench.options.rounds):
        catalogue = whole_pass.fill(broker, f"pass-{number}.", given)
        plain = whole_pass.plain_faust(broker, folder, catalogue, given.count)
        ours = whole_pass.ours(broker, bench.broker_pid, folder, catalogue, given.count)
        broker.delete(catalogue.prefix)
        bench.note(
            "pass",
            ours=ours.span.rate,
            plain=plain,
            outputs=ours.outputs,
            ours_cpu_us=ours.span.cpu / ours.span.done * 1e6,
            broker_cpu_us=ours.broker_cpu / ours.span.done * 1e6,
            events_of_a_run=ours.span.done / ours.span.runs,
        )
    bench.add("pass: ours", statistics.median(bench.series("pass", "ours")), "events/s", PASS_PER_SECOND)
    bench.add("pass: plain Faust", statistics.median(bench.series("pass", "plain")), "events/s")
    ratio = median_ratio(bench.series("pass", "ours"), bench.series("pass", "plain"))
    bench.add("pass: ours / plain Faust", ratio, "", 8.0)
    bench.add("pass: writes for each event", statistics.median(bench.series("pass", "outputs")), "")


def delay(bench: Bench) -> None:
    """From the call that produces an event to its writes being read, at a thousand events a second."""
    given, seconds = _mix(bench), bench.options.latency_seconds
    found = latency.measure(bench.broker, bench.folder, given, seconds=seconds).told()
    bench.note("latency", **found)
    bench.add("latency: p50", found["p50_ms"], "ms", 15.0, lower_is_better=True)
    bench.add("latency: p99", found["p99_ms"], "ms", 50.0, lower_is_better=True)


def restore(bench: Bench) -> None:
    """A table read back from its changelog into an empty folder."""
    broker, keys = bench.broker, bench.options.keys
    keyed.fill(broker, keys)
    for _ in range(min(3, bench.options.rounds)):
        bench.note("restore", keys_per_second=keyed.restore(broker, bench.folder, keys))
    keyed.remove(broker)
    bench.add("restore", statistics.median(bench.series("restore", "keys_per_second")), "keys/s", 150_000)


def memory(bench: Bench) -> None:
    """Resident memory of a worker with a large table, under load."""
    keyed.fill(bench.broker, bench.options.keys)
    points = keyed.memory(bench.broker, bench.folder, bench.options.keys, minutes=bench.options.memory_minutes)
    keyed.remove(bench.broker)
    found = keyed.judge(points)
    bench.note("memory", **found)
    bench.add("memory: most", found["most_mib"], "MiB", 350.0, lower_is_better=True)
    bench.add("memory: at the start", found["start_mib"], "MiB")
    bench.add("memory: at the end", found["end_mib"], "MiB")
    bench.add("memory: growth in that time", found["growth"], "%", 5.0, lower_is_better=True)


def two(bench: Bench) -> None:
    """Two workers on two cores, which the broker shares, beside one."""
    broker, folder, given = bench.broker, bench.folder, _mix(bench)
    for number in range(bench.options.rounds):
        found: dict[str, float] = {}
        for workers, name in ((1, "one"), (2, "two")):
            catalogue = whole_pass.fill(broker, f"{name}-{number}.", given)
            ours = whole_pass.ours(broker, bench.broker_pid, folder, catalogue, given.count, workers=workers)
            broker.delete(catalogue.prefix)
            found[name] = ours.span.rate
            found[f"{name}_workers_cores"] = ours.span.cpu / ours.span.seconds
            found[f"{name}_broker_cores"] = ours.broker_cpu / ours.span.seconds
        bench.note("two", **found)
    bench.add("one worker: events", statistics.median(bench.series("two", "one")), "events/s")
    bench.add("two workers: events", statistics.median(bench.series("two", "two")), "events/s")
    bench.add("two workers / one", median_ratio(bench.series("two", "two"), bench.series("two", "one")), "", 1.7)
    for workers in ("one", "two"):
        for who in ("workers", "broker"):
            cores = statistics.median(bench.series("two", f"{workers}_{who}_cores"))
            bench.add(f"{workers}: cores used by {who}", cores, "")


ROWS: dict[str, Callable[[Bench], None]] = {
    "decode": decode,
    "count": count,
    "pass": whole,
    "latency": delay,
    "restore": restore,
    "memory": memory,
    "two": two,
}


def main() -> int:
    """Run the rows and report; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description="How fast the runtime is, beside its peers, on a real Kafka.")
    parser.add_argument("--only", default=",".join(ROWS), help="rows, separated by commas: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each; the median counts")
    parser.add_argument("--events", type=int, default=600_000, help="events of a run; half as many for the whole pass")
    parser.add_argument("--keys", type=int, default=1_000_000, help="keys of the large table")
    parser.add_argument("--latency-seconds", type=float, default=40, help="how long latency is measured")
    parser.add_argument(
        "--memory-minutes", type=float, default=10, help="how long memory is watched, after a warm-up of five"
    )
    parser.add_argument("--keep", action="store_true", help="write the result file also of a part")
    parser.add_argument("--profile", action="store_true", help="only show where the time goes, of pass and latency")
    options = parser.parse_args()
    rows = options.only.split(",")
    if unknown := set(rows) - set(ROWS):
        parser.error(f"--only: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    configure_logging("warning")
    with tempfile.TemporaryDirectory(prefix="bench-runtime-") as folder:
        kafka = KafkaServer(Path(folder) / "kafka", heap="1g")
        kafka.start()
        try:
            bench = Bench(Broker(kafka.bootstrap), kafka.process.pid or 0, Path(folder), options)
            if options.profile:
                return _profile(bench, rows)
            if {"decode", "count"} & set(rows):
                bench.broker.fill(rates.TOPIC, options.events, Path(folder))
            for row in rows:
                ROWS[row](bench)
        finally:
            kafka.stop()
    bench.setup |= {
        "events": options.events,
        "kafka": KAFKA_VERSION,
        "quix_streams": version(),
        "peers": "shared/peers" if GIVEN_PEERS.exists() else "bench/peers",
    }
    whole = set(rows) == set(ROWS)
    name = "runtime" if whole else f"runtime.{'+'.join(rows)}"
    return finish(name, bench.figures, setup=bench.setup, rounds=bench.rounds, keep=whole or options.keep)


def _mix(bench: Bench) -> Mix:
    given = mix(bench.options.events // 2)
    bench.setup["pass"] = {"events": given.count, "gps_share": GPS_SHARE, "kinds": given.kinds()}
    return given


def _profile(bench: Bench, rows: Collection[str]) -> int:
    given, broker, folder = _mix(bench), bench.broker, bench.folder
    if "pass" in rows:
        catalogue = whole_pass.fill(broker, "profile.", given)
        ours = whole_pass.ours(broker, bench.broker_pid, folder, catalogue, given.count, profile=True)
        show("the whole pass", ours.profile or {}, given.count)
    if "latency" in rows:
        found = latency.measure(broker, folder, given, seconds=bench.options.latency_seconds, profile=True)
        show("a thousand events a second", found.profile or {}, round(found.span.done))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
