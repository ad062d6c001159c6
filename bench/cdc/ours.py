# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""`travelos cdc run` as a process, and how far it is by what lies in its topic."""

import os
import threading
import time
from pathlib import Path
from typing import Self

from confluent_kafka import Consumer, KafkaException, TopicPartition

from bench.cdc.database import TABLE, Database
from bench.runtime.broker import PARTITIONS, Broker
from bench.runtime.timeline import Point, Sample
from bench.runtime.workers import TICKS
from streams.supervisor import RoleProcess

LOOK_SECONDS = 0.05
SLOT = "bench"


class Ours:
    """Our source with its default options, reading the benchmark's table. Use as a context manager.

    Args:
        folder: for its log.
        database: what it reads.
        broker: where it writes.
        prefix: of its topics, which belong to this object alone and are removed at the end.
    """

    def __init__(self, folder: Path, database: Database, broker: Broker, prefix: str) -> None:
        self.prefix = prefix
        self.topic = f"{prefix}cdc.travel.{TABLE}"
        self.memory: list[Point] = []  # resident, in MB
        self._broker = broker
        options = {
            "KAFKA_BOOTSTRAP": broker.bootstrap,
            "KAFKA_TOPIC_PREFIX": prefix,
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "SOURCE_DSN": database.dsn,
            "SOURCE_SLOT": SLOT,
            "SOURCE_PUBLICATION": SLOT,
            "SOURCE_TABLES": TABLE,
            "LOG_FORMAT": "json",
        }
        env = {f"TRAVELOS_{name}": value for name, value in options.items()}
        self.process = RoleProcess("ours", ["cdc", "run", "--json"], folder=folder, env=env)
        self._samples: list[Sample] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, name="bench-look", daemon=True)

    def __enter__(self) -> Self:
        self.process.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self.process.stop()
        self._broker.delete(self.prefix)

    def samples(self) -> list[Sample]:
        """Return how far it was and when: the records in its topic, and the CPU time of the process."""
        return list(self._samples)

    @property
    def done(self) -> int:
        """How many records are in its topic."""
        return self._samples[-1].done if self._samples else 0

    def _look(self) -> None:
        consumer = Consumer({**self._broker.connection.consumer("look"), "log_level": 0})
        partitions = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
        try:
            while not self._stopping.wait(LOOK_SECONDS):
                pid = self.process.pid
                if pid is None:
                    return  # whoever waits for it says so
                try:
                    done = sum(consumer.get_watermark_offsets(home, timeout=10)[1] for home in partitions)
                except KafkaException:
                    continue  # its topic is not there yet
                at = time.monotonic()
                self._samples.append(Sample(at, done, cpu_seconds(pid)))
                self.memory.append(Point(at, resident_mb(pid)))
        except FileNotFoundError:
            return  # it ended between two looks
        finally:
            consumer.close()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / TICKS


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1_000_000
