"""The runtime by itself, as any Faust user would use it, on real Kafka."""

import os
import signal
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from connectors.kafka.connection import Connection
from connectors.kafka.lag import LagMeter
from connectors.kafka.reading import StoredRecord, read_topics
from deploy.local.kafka import KafkaServer
from streams.supervisor import RoleProcess

pytestmark = pytest.mark.integration

PARTITIONS = 4
PATIENCE_SECONDS = 60.0
APP = Path(__file__).with_name("counting_app.py")


class Counting:
    """The app of counting_app.py: its topics, its workers, what went in and what came out."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        self.connection = Connection(bootstrap=bootstrap)
        self.prefix = prefix
        self._folder = folder
        self.workers: list[RoleProcess] = []
        changelogs = [f"{prefix}counts", f"{prefix}app-words-changelog"]
        others = [f"{prefix}{name}" for name in ("runs", "plain", "counted", "worded", "failed", "ticks")]
        compacted = {"cleanup.policy": "compact"}
        topics = [NewTopic(name, PARTITIONS, 1, config=compacted) for name in changelogs]
        topics += [NewTopic(name, PARTITIONS, 1) for name in others]
        admin: Any = AdminClient({"bootstrap.servers": bootstrap})
        for created in admin.create_topics(topics).values():
            created.result(30)

    def start(self) -> RoleProcess:
        """Start one more worker."""
        environment = {
            "APP_PREFIX": self.prefix,
            "APP_PARTITIONS": str(PARTITIONS),
            "APP_BOOTSTRAP": self.connection.bootstrap,
            "APP_FOLDER": str(self._folder / "state"),
            "PYTHONPATH": str(APP.parents[3]),
        }
        name = f"worker-{len(self.workers)}"
        worker = RoleProcess(
            name,
            ("worker", "--without-web", "-l", "info"),
            folder=self._folder,
            env=environment,
            program=(sys.executable, str(APP)),
        )
        worker.start()
        self.workers.append(worker)
        return worker

    def produce(self, topic: str, keys: Sequence[str], value: bytes = b"x") -> None:
        """Send a record for each key and wait for the broker."""
        producer = Producer({**self.connection.producer(), "linger.ms": 5})
        for key in keys:
            producer.produce(f"{self.prefix}{topic}", key=key.encode(), value=value)
        assert producer.flush(30) == 0

    def records(self, topic: str) -> list[StoredRecord]:
        return read_topics(self.connection, [f"{self.prefix}{topic}"])

    def highest(self, topic: str) -> dict[str, int]:
        """Return the highest count that was told of each key."""
        found: dict[str, int] = {}
        for record in self.records(topic):
            key, number = (record.key or b"").decode(), int(record.value or b"0")
            found[key] = max(number, found.get(key, 0))
        return found

    def finished(self) -> bool:
        """Whether the offsets of all input are committed."""
        meter = LagMeter(self.connection, f"{self.prefix}app")
        try:
            progress = meter.progress([f"{self.prefix}runs", f"{self.prefix}plain"])
            return all(one.lag == 0 for one in progress.values())
        finally:
            meter.close()

    def wait_for(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for a condition; fails with the ends of the logs when it does not come."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join(f"== {worker.name}\n{worker.last_lines()}" for worker in self.workers)
                pytest.fail(f"not within {PATIENCE_SECONDS:.0f} s: {what}\n{logs}")
            time.sleep(0.1)  # between two looks

    def stop(self) -> None:
        """Stop all workers."""
        for worker in self.workers:
            worker.stop()


@pytest.fixture
def counting(kafka_server: KafkaServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Counting]:
    prefix = f"t{zlib.crc32(request.node.nodeid.encode()):08x}."
    made = Counting(kafka_server.bootstrap, prefix, tmp_path)
    yield made
    made.stop()


def test_agents_by_record_tables_and_timers_work_beside_runs(counting: Counting) -> None:
    counting.start()
    numbers = [f"number-{one % 50}" for one in range(5_000)]
    words = [f"word-{one % 20}" for one in range(200)]
    counting.produce("runs", numbers)
    counting.produce("plain", words)
    counting.wait_for(counting.finished, "everything is processed and committed")
    assert counting.highest("counted") == Counter(numbers)
    assert counting.highest("worded") == Counter(words)
    assert counting.records("ticks")
    assert len(counting.records("counted")) == len(numbers)
    assert len(counting.records("worded")) == len(words)


def test_a_record_that_fails_is_set_aside_alone(counting: Counting) -> None:
    counting.start()
    counting.produce("runs", ["a"] * 300)
    counting.produce("runs", ["a"], b"poison")
    counting.produce("runs", ["a"] * 300)
    counting.wait_for(counting.finished, "everything is processed and committed")
    assert counting.highest("counted") == {"a": 600}
    assert [record.value for record in counting.records("failed")] == [b"poison"]


def test_workers_that_come_and_are_killed_leave_every_count_exact(counting: Counting) -> None:
    keys = [f"number-{one % 200}" for one in range(20_000)]
    first = counting.start()
    counting.produce("runs", keys)
    counting.wait_for(lambda: counting.records("counted"), "the first worker counts")
    second = counting.start()
    counting.produce("runs", keys)
    counting.wait_for(lambda: "Worker ready" in second.log_file.read_text(), "the second one has joined")
    counting.produce("runs", keys)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    counting.produce("runs", keys)
    counting.wait_for(counting.finished, "the other one has taken over and finished")
    assert counting.highest("counted") == {key: 4 * number for key, number in Counter(keys).items()}
