"""How many sagas a worker runs, how long one takes from its start to its end, and how late timers fire.

All behind a warm-up that does not count: a broker's work for a saga took twice as long in its first half minute at
load as after it, while its code was compiled on the cores that are measured.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import confluent_kafka
from confluent_kafka import Consumer

from bench.cdc.ours import cpu_seconds
from bench.report import Figure, finish
from bench.runtime.timeline import percentile
from bench.sagas.declared import saga
from bench.sagas.stages import stages_of
from bench.sagas.stand import NotReached, Stand
from bench.sagas.timers import PENDING, timers
from deploy.local.kafka import KafkaServer
from deploy.local.kafka.server import VERSION as KAFKA_VERSION
from schemas.sagas import SagaEntry, decode_saga_record

PER_SECOND = 3_000  # the bar of one worker
LATENCY_MS = 500  # the bar of the slowest hundredth, at RATE
RATE = 500
MOST_SECONDS = 45  # that the rate is measured for
WARM_UP_SAGAS = 20_000
WARM_UP_SECONDS = 20


def main(arguments: Sequence[str]) -> int:
    """Measure, print the figures beside their bars, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.sagas", description=__doc__)
    parser.add_argument("--only", choices=("rate", "latency", "timers"), help="a part")
    parser.add_argument("--sagas", type=int, default=60_000, help="that are begun for the rate")
    parser.add_argument("--seconds", type=int, default=30, help="of the latency, after a warm-up")
    given = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="bench-sagas-"))
    kafka = KafkaServer(folder / "kafka", steady=True)
    kafka.start()
    figures: list[Figure] = []
    try:
        if given.only in (None, "rate"):
            rate(kafka.bootstrap, folder / "warm-up", WARM_UP_SAGAS, name="warm-up")
            figures += rate(kafka.bootstrap, folder / "rate", given.sagas)
            figures += rate(kafka.bootstrap, folder / "replacing", given.sagas, name="replacing", replaces=True)
        if given.only in (None, "latency"):
            figures += latency(kafka.bootstrap, folder / "latency", given.seconds)
        if given.only in (None, "timers"):
            figures += timers(kafka.bootstrap, folder / "timers")
    finally:
        kafka.stop()
    setup = {
        "kafka": KAFKA_VERSION,
        "librdkafka": confluent_kafka.libversion()[0],
        "sagas": given.sagas,
        "seconds": given.seconds,
        "rate": RATE,
        "timers": PENDING,
    }
    code = finish("sagas", figures, setup=setup, rounds={}, keep=given.only is None)
    shutil.rmtree(folder)
    return code


def rate(bootstrap: str, folder: Path, count: int, *, name: str = "rate", replaces: bool = False) -> list[Figure]:
    """Run three-step sagas that lie in Kafka already through one worker, whose writes are answered at once.

    What is not over after MOST_SECONDS does not count.

    Args:
        bootstrap: of the brokers.
        folder: for state and logs.
        count: of the sagas.
        name: of the topics and groups.
        replaces: whether each write replaces something, so that what undoes it is told in a receipt of its own. The bar
            is about sagas that create something.
    """
    stand = Stand(bootstrap, f"{name}.", folder)
    stand.publish(saga(number, 1_000) for number in range(count))
    answers = ["captured"] if replaces else []
    echo = subprocess.Popen([sys.executable, "-m", "bench.sagas.echo", bootstrap, f"{name}.", *answers])
    try:
        with Log(stand) as log:
            worker = stand.start("sagas")
            stand.wait_for(lambda: log.entries, "the first sagas are over", 60)
            pid, until = worker.pid or 0, time.monotonic() + MOST_SECONDS
            cpu, before = cpu_seconds(pid), len(log.entries)
            while len(log.ended) < count and time.monotonic() < until:
                if echo.poll() is not None:
                    raise NotReached("what answers the writes has ended")
                time.sleep(0.2)  # between two looks; the condition decides
            cpu, entries = cpu_seconds(pid) - cpu, list(log.entries)
    finally:
        stand.stop()
        echo.kill()
        echo.wait()
    began, ended = min(one.began_ms for one in entries), max(one.at_ms for one in entries)
    again = sum(any(step.attempts > 1 for step in one.steps) for one in entries)
    what = "that replace something" if replaces else "that create something"
    return [
        Figure(
            name=f"sagas {what}, of one worker",
            value=len(entries) / (ended - began) * 1_000,
            unit="/s",
            bar=None if replaces else PER_SECOND,
        ),
        Figure(
            name=f"sagas {what}, CPU of the worker for each", value=cpu / max(1, len(entries) - before) * 1e6, unit="us"
        ),
        Figure(name=f"sagas {what}, of which something was sent again", value=again, unit=""),
    ]


def latency(bootstrap: str, folder: Path, seconds: int) -> list[Figure]:
    """Begin sagas at a steady rate, and see each to its end in embedded stores."""
    stand = Stand(bootstrap, "latency.", folder)
    count = (WARM_UP_SECONDS + seconds) * RATE
    sent: list[float] = []

    def pace(number: int) -> None:
        due = began + number / RATE
        if (left := due - time.monotonic()) > 0:
            time.sleep(left)  # this is the pace
        sent.append(time.monotonic())

    try:
        stand.start("deliver")
        stand.start("sagas")
        with Log(stand) as log:
            stand.publish(saga(number, 1_000) for number in range(count, count + 20))
            stand.wait_for(lambda: len(log.ended) == 20, "the workers run", 120)
            began = time.monotonic()
            # Offered one by one: what is measured is from the call that tells of the fact.
            stand.publish((saga(number, 1_000) for number in range(count)), pace=pace)
            stand.wait_for(lambda: len(log.ended) == count + 20, "all sagas are over", 120)
            ended = dict(log.ended)
    finally:
        stand.stop()
    measured = [saga(number, 1_000) for number in range(WARM_UP_SECONDS * RATE, count)]
    delays = [(ended[one.id] - sent[WARM_UP_SECONDS * RATE + place]) * 1_000 for place, one in enumerate(measured)]
    return [
        Figure(name=f"start to completed at {RATE}/s, p50", value=percentile(delays, 0.5), unit="ms"),
        Figure(
            name=f"start to completed at {RATE}/s, p99",
            value=percentile(delays, 0.99),
            unit="ms",
            bar=LATENCY_MS,
            lower_is_better=True,
        ),
        *stages_of(stand, [one.subject for one in measured]),
    ]


class Log:
    """Reads the log of sagas in a thread, and notes when each was told to be over."""

    def __init__(self, stand: Stand) -> None:
        self.ended: dict[str, float] = {}
        self.entries: list[SagaEntry] = []
        config = {**stand.connection.consumer("bench-log"), "auto.offset.reset": "earliest", "fetch.wait.max.ms": 20}
        self._consumer = Consumer(config)
        self._consumer.subscribe([stand.catalogue.saga_log.name])
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def __enter__(self) -> "Log":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            for message in self._consumer.consume(2_000, 0.05):
                # Entries of sagas that are not over are not read any further: that would take a core of the two.
                if message.error() is None and b'"status":"completed"' in (message.value() or b""):
                    entry = decode_saga_record(message.value(), SagaEntry)
                    self.ended[entry.id] = time.monotonic()
                    self.entries.append(entry)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
