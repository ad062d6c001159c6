"""A worker with a large table: how fast it is restored from its changelog, and how much memory it takes under load."""

import random
import shutil
import threading
import time
import uuid
from pathlib import Path

import msgspec
from confluent_kafka import Producer

from bench.runtime.broker import COMPACTED, Broker
from bench.runtime.timeline import Point, slope
from bench.runtime.workers import Worker, wait_until
from streams.runtime.entries import Entry, encode

TOPIC = "keyed"
CHANGELOG = "keyed-changelog"
LOAD_PER_SECOND = 5_000
PAUSE_SECONDS = 0.02
WATCH_SECONDS = 1.0
# RocksDB's cache and write buffers, 112 MiB at most, are full by then: they take what they read and write under load.
WARM_UP_MINUTES = 5.0
MIB = 1024 * 1024


def key(number: int) -> str:
    """Return one of the keys: 36 characters, as ids of events have."""
    return str(uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128))


def fill(broker: Broker, keys: int) -> None:
    """Make the input, and a changelog with one record of each key, as a table of the runtime writes them."""
    broker.create(TOPIC)
    broker.create(CHANGELOG, COMPACTED)
    producer = Producer({**broker.connection.producer(), "linger.ms": 20, "log_level": 3})
    for number in range(keys):
        entry = encode(Entry({TOPIC: 0}, 1_780_000_000_000 + number))
        _produce(producer, CHANGELOG, key(number), entry)
    producer.flush()


def remove(broker: Broker) -> None:
    """Remove both topics."""
    broker.delete(TOPIC)


def restore(broker: Broker, folder: Path, keys: int) -> float:
    """Return how many keys a second a worker with an empty folder restores."""
    with_table = _Started(broker, folder)
    try:
        told = with_table.restored()
    finally:
        with_table.stop()
    if told["records"] != keys:
        raise ValueError(f"{told['records']} records were restored, expected {keys}")
    return told["records"] / told["seconds"]


def memory(broker: Broker, folder: Path, keys: int, *, minutes: float) -> list[Point]:
    """Return the resident memory of a worker under load, once it has had load for WARM_UP_MINUTES."""
    with_table = _Started(broker, folder)
    stopping = threading.Event()
    load = threading.Thread(target=_load, args=(broker, keys, stopping), name="load", daemon=True)
    points: list[Point] = []
    try:
        with_table.restored()
        load.start()
        begins = time.monotonic() + WARM_UP_MINUTES * 60
        ends = begins + minutes * 60
        while (now := time.monotonic()) < ends:
            if now >= begins:
                points.append(Point(now, with_table.resident_mib()))
            time.sleep(WATCH_SECONDS)  # between two looks
        loaded = (WARM_UP_MINUTES + minutes) * 60 * LOAD_PER_SECOND
        wait_until(lambda: with_table.worker.done >= 0.9 * loaded, [with_table.worker])
    finally:
        stopping.set()
        if load.ident is not None:
            load.join()
        with_table.stop()
    return points


def judge(points: list[Point]) -> dict[str, float]:
    """Return what is to be said of memory: MiB, and the growth in percent from the beginning to the end."""
    window = max(1, len(points) // 20)
    before, after = _mean(points[:window]), _mean(points[-window:])
    return {
        "start_mib": points[0].value,
        "end_mib": after,
        "most_mib": max(point.value for point in points),
        "growth": (after / before - 1) * 100,
        "slope_kib_per_minute": slope(points) * 60 * 1024,
    }


class _Started:
    """A worker with the table and an empty folder."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self._home = folder / f"keyed-{uuid.uuid4()}"
        arguments = {
            "bootstrap": broker.bootstrap,
            "topic": TOPIC,
            "group": self._home.name,
            "folder": self._home / "state",
            "changelog": CHANGELOG,
        }
        self.worker = Worker("keyed", "keyed", arguments, self._home)

    def restored(self) -> dict[str, float]:
        """Return what the worker tells when its table is restored."""
        wait_until(lambda: any("restored" in one for one in self.worker.told()), [self.worker])
        return next(one["restored"] for one in self.worker.told() if "restored" in one)

    def resident_mib(self) -> float:
        """Return how much memory the worker has."""
        status = Path(f"/proc/{self.worker.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def stop(self) -> None:
        """Stop the worker and remove its folder."""
        self.worker.stop()
        shutil.rmtree(self._home)


def _load(broker: Broker, keys: int, stopping: threading.Event) -> None:
    """Send records of keys drawn at random, at a steady rate."""
    producer = Producer({**broker.connection.producer(), "linger.ms": 5, "log_level": 3})
    dice = random.Random(1)
    value = msgspec.json.encode(1)
    due = time.monotonic()
    while not stopping.is_set():
        for _ in range(int(LOAD_PER_SECOND * PAUSE_SECONDS)):
            _produce(producer, TOPIC, key(dice.randrange(keys)), value)
        due += PAUSE_SECONDS
        stopping.wait(max(0.0, due - time.monotonic()))
    producer.flush()


def _produce(producer: Producer, topic: str, name: str, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, value, key=name)
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


def _mean(points: list[Point]) -> float:
    return sum(point.value for point in points) / len(points)
