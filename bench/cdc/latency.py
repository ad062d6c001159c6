# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""From commit to topic at a steady rate: one process writes to Postgres and reads from Kafka, with one clock."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from msgspec import Struct

from bench.cdc.database import TABLE, Database
from bench.runtime.broker import PARTITIONS, Broker
from bench.runtime.timeline import percentile
from bench.runtime.workers import MeasurementFailed

PER_SECOND = 1_000
WRITERS = 4  # one connection is not sure to commit a thousand times a second
WARM_UP_SECONDS = 5.0
REST_SECONDS = 30.0
MOST_LATE_SECONDS = 5.0  # a machine that pauses for longer cannot measure this
INSERT = (f"INSERT INTO {TABLE} VALUES (%s, 'name', 1, 1.25, now(), true, 'note') -- one row, one transaction").encode()


class _Key(Struct):
    id: int


_key_of = msgspec.json.Decoder(_Key).decode


def measure(database: Database, broker: Broker, topic: str, *, seconds: float) -> Sequence[float]:
    """Return the milliseconds from when each commit was asked for until its event was read, after a warm-up.

    Raises:
        MeasurementFailed: an event did not arrive, or the rows could not be written at their rate.
    """
    count = round((WARM_UP_SECONDS + seconds) * PER_SECOND)
    arrived: dict[int, float] = {}
    stopping = threading.Event()
    reader = threading.Thread(target=_read, args=(broker, topic, arrived, stopping), name="reader", daemon=True)
    reader.start()
    try:
        sent = _write(database, count)
        deadline = time.monotonic() + REST_SECONDS
        while len(arrived) < count:
            if time.monotonic() > deadline:
                raise MeasurementFailed(f"{count - len(arrived)} of {count} events have not arrived")
            time.sleep(0.1)  # between two looks; the condition decides
    finally:
        stopping.set()
        reader.join()
    first = sent[1] + WARM_UP_SECONDS
    return [(arrived[row] - at) * 1_000 for row, at in sent.items() if at >= first]


def told(delays: Sequence[float]) -> dict[str, float]:
    """Return what is to be said of delays."""
    return {
        "events": len(delays),
        "p50_ms": percentile(delays, 0.5),
        "p90_ms": percentile(delays, 0.9),
        "p99_ms": percentile(delays, 0.99),
        "most_ms": max(delays),
    }


def _write(database: Database, count: int) -> dict[int, float]:
    """Commit rows one by one at their rate, on some connections; return when each commit was asked for."""
    began = time.monotonic()
    with ThreadPoolExecutor(WRITERS) as pool:
        shares = [
            pool.submit(_write_share, database, range(one, count + 1, WRITERS), began) for one in range(1, 1 + WRITERS)
        ]
        return {row: at for share in shares for row, at in share.result().items()}


def _write_share(database: Database, numbers: range, began: float) -> dict[int, float]:
    sent: dict[int, float] = {}
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        for number in numbers:
            due = began + number / PER_SECOND
            if (left := due - time.monotonic()) > 0:
                time.sleep(left)  # this is the pace
            elif left < -MOST_LATE_SECONDS:
                raise MeasurementFailed(f"rows go out {-left:.1f} s late: this machine does not keep the pace")
            sent[number] = time.monotonic()
            connection.execute(INSERT, (number,))
    return sent


def _read(broker: Broker, topic: str, arrived: dict[int, float], stopping: threading.Event) -> None:
    consumer = Consumer({**broker.connection.consumer("latency"), "fetch.wait.max.ms": 100})
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(PARTITIONS)])
    try:
        while not stopping.is_set():
            message = consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            at = time.monotonic()
            row = _key_of(message.key() or b"").id
            if row > 0:  # those before were there to warm up
                arrived[row] = at
    finally:
        consumer.close()
