"""How soon three stores hold what two sources agree on, under load, and whether they hold the same at the end.

Before it is measured the same load runs for half a minute: so long the broker's compiler takes a quarter of a core.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import confluent_kafka
from confluent_kafka import Producer

from bench.conflicts.agreement import STORES, Agreement, Delay, Receipts, share_in_agreement
from bench.conflicts.changes import SOURCES, TABLE, Said, Sources
from bench.conflicts.stand import Stand
from bench.report import Figure, finish
from bench.runtime.timeline import percentile
from deploy.local.kafka import KafkaServer
from deploy.local.kafka.server import VERSION as KAFKA_VERSION

AGREED_MS = 1_000  # the bar of the slowest hundredth
IN_AGREEMENT = 99.99  # % of the time of all entities
WARM_UP_SECONDS = 30


def main(arguments: Sequence[str]) -> int:
    """Measure, print the figures beside their bars, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.conflicts", description=__doc__)
    parser.add_argument("--rate", type=int, default=1_000, help="changes a second, of both sources together")
    parser.add_argument("--seconds", type=int, default=30, help="after a warm-up")
    parser.add_argument("--places", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="bench-conflicts-"))
    kafka = KafkaServer(folder / "kafka", steady=True)
    kafka.start()
    try:
        stand = Stand(kafka.bootstrap, folder / "data")
        figures = measure(stand, given.rate, given.seconds, given.places, given.seed)
    finally:
        kafka.stop()
    setup = {"kafka": KAFKA_VERSION, "librdkafka": confluent_kafka.libversion()[0], "strategy": "last_write_wins"}
    code = finish("conflicts", figures, setup=setup | vars(given), rounds={})
    shutil.rmtree(folder)
    return code


def measure(stand: Stand, rate: int, seconds: int, places: int, seed: int) -> list[Figure]:
    """Have two sources change places at a steady rate, and see each change to its end in three stores."""
    sources, agreement = Sources(places, seed), Agreement()
    speaker = Speaker(stand, agreement)
    try:
        stand.start("ingest")
        stand.start("deliver")
        with Receipts(stand.connection, stand.catalogue.receipts.name, agreement):
            speaker.say(sources.first(place, now_ms()) for place in range(places))
            stand.wait_for(lambda: agreement.open == 0, "all places are in the stores", 180)
            told_before = stand.told()
            began = time.monotonic()
            speaker.say(paced(sources, rate, (WARM_UP_SECONDS + seconds) * rate))
            ended = time.monotonic()
            stand.wait_for(lambda: agreement.open == 0 and not agreement.disagreement(), "all are agreed", 180)
            stand.wait_for(lambda: stand.lag() == 0, "nothing is on its way", 60)
            told = stand.told() - told_before
    finally:
        stand.stop()
    steady = [one for one in agreement.delays if one.made >= began + WARM_UP_SECONDS]
    wrong = stand.wrong(sources.expected) + agreement.refused
    return figures_of(steady, ended - began - WARM_UP_SECONDS, rate, places, told / (rate * (ended - began)), wrong)


def figures_of(
    delays: Sequence[Delay], seconds: float, rate: int, places: int, conflicts: float, wrong: int
) -> list[Figure]:
    """Return the figures beside their bars.

    The plain share, of entities of which nothing was on its way, is 1 - rate x mean delay / entities: it tells of the
    load as much as of what is measured, so it has no bar.
    """
    took = [one.took * 1_000 for one in delays]
    patient = share_in_agreement(delays, entities=places, seconds=seconds, patience=AGREED_MS / 1_000)
    at_once = share_in_agreement(delays, entities=places, seconds=seconds, patience=0)
    return [
        Figure(name="changes", value=len(delays) / seconds, unit="/s"),
        Figure(name="conflicts per 1,000 changes", value=conflicts * 1_000, unit=""),
        Figure(name=f"change to agreement in three stores at {rate}/s, p50", value=percentile(took, 0.5), unit="ms"),
        Figure(
            name=f"change to agreement in three stores at {rate}/s, p99",
            value=percentile(took, 0.99),
            unit="ms",
            bar=AGREED_MS,
            lower_is_better=True,
        ),
        Figure(
            name="entities in agreement, or out of it for less than a second",
            value=patient * 100,
            unit="%",
            bar=IN_AGREEMENT,
        ),
        Figure(name="entities of which nothing was on its way", value=at_once * 100, unit="%"),
        Figure(
            name=f"wrong in any of {', '.join(STORES)} after quiescence",
            value=wrong,
            unit="",
            bar=0,
            lower_is_better=True,
        ),
    ]


class Speaker:
    """Publishes changes as sources of changes do."""

    def __init__(self, stand: Stand, agreement: Agreement) -> None:
        self._agreement = agreement
        self._topics = {source: stand.catalogue.changes_of(TABLE, source).name for source in SOURCES}
        self._producer = Producer({**stand.connection.producer(), "linger.ms": 2})

    def say(self, changes: Iterable[Said]) -> None:
        """Publish changes; return when Kafka has all of them."""
        for change in changes:
            self._agreement.said(change, time.monotonic())
            self._producer.produce(self._topics[change.source], change.value, change.key)
            self._producer.poll(0)
        if left := self._producer.flush(60):
            raise AssertionError(f"{left} changes were not taken by Kafka")


def paced(sources: Sources, rate: int, count: int) -> Iterable[Said]:
    """Yield changes, each in its time: what is late is not made up for by what comes after it."""
    began = time.monotonic()
    for number in range(count):
        if (left := began + number / rate - time.monotonic()) > 0:
            time.sleep(left)  # this is the pace
        yield sources.any(now_ms())


def now_ms() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
