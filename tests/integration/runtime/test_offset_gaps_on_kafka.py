"""Offsets that hold nothing to read (ends of transactions, aborted records, what compaction removed) stall no commit.

Plain Faust waits for such offsets (robinhood/faust issue 401). On real Kafka, in runs and record by record.
"""

import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from connectors.kafka.connection import Connection
from connectors.kafka.lag import LagMeter
from connectors.kafka.reading import read_topics
from deploy.local.kafka import KafkaServer
from streams.supervisor import RoleProcess

pytestmark = pytest.mark.integration

PATIENCE_SECONDS = 90.0
APP = Path(__file__).with_name("gaps_app.py")
WAYS = ("runs", "plain")
COMPACT_NOW = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.0",
    "segment.ms": "100",
    "max.compaction.lag.ms": "100",
    "delete.retention.ms": "0",
}


class Gaps:
    """The app of gaps_app.py and its topics, one partition each."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        self.connection = Connection(bootstrap=bootstrap)
        self.prefix = prefix
        self._folder = folder
        self.workers: list[RoleProcess] = []
        names = [f"{prefix}{kind}.{way}" for kind in ("transactions", "compacted") for way in WAYS]
        topics = [NewTopic(name, 1, 1, config=COMPACT_NOW if "compacted" in name else {}) for name in names]
        topics += [NewTopic(f"{name}.out", 1, 1) for name in names]
        admin: Any = AdminClient({"bootstrap.servers": bootstrap})
        for created in admin.create_topics(topics).values():
            created.result(30)

    def start(self) -> None:
        """Start a worker."""
        environment = {
            "APP_PREFIX": self.prefix,
            "APP_BOOTSTRAP": self.connection.bootstrap,
            "APP_FOLDER": str(self._folder / "state"),
            "PYTHONPATH": str(APP.parents[3]),
        }
        program = (sys.executable, str(APP))
        worker = RoleProcess("worker", ("worker",), folder=self._folder, env=environment, program=program)
        worker.start()
        self.workers.append(worker)

    def transactional(self) -> Any:
        """Return a producer of transactions."""
        producer: Any = Producer({**self.connection.producer(), "transactional.id": f"{self.prefix}writer"})
        producer.init_transactions(30)
        return producer

    def passed_on(self, kind: str, way: str) -> list[bytes | None]:
        return [one.value for one in read_topics(self.connection, [f"{self.prefix}{kind}.{way}.out"])]

    def lag(self, kind: str, way: str) -> int:
        name = f"{self.prefix}{kind}.{way}"
        meter = LagMeter(self.connection, f"{self.prefix}app")
        try:
            return meter.progress([name])[name].lag
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
        for worker in self.workers:
            worker.stop()


@pytest.fixture
def gaps(kafka_server: KafkaServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Gaps]:
    prefix = f"g{zlib.crc32(request.node.nodeid.encode()):08x}."
    made = Gaps(kafka_server.bootstrap, prefix, tmp_path)
    yield made
    made.stop()


def transaction(gaps: Gaps, producer: Any, values: list[bytes], *, committed: bool) -> None:
    """Write values to both topics of transactions, and commit or abort."""
    producer.begin_transaction()
    for way in WAYS:
        for value in values:
            producer.produce(f"{gaps.prefix}transactions.{way}", key=b"k", value=value)
    producer.flush(30)
    if committed:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)


def test_records_of_committed_transactions_come_once_and_the_end_is_committed(gaps: Gaps) -> None:
    producer = gaps.transactional()
    expected: list[bytes] = []
    for number in range(20):
        values = [f"{number}-{one}".encode() for one in range(5)]
        committed = number % 3 != 1
        transaction(gaps, producer, values, committed=committed)
        expected += values if committed else []
    gaps.start()
    # Ended by an aborted transaction: nothing to read lies at the end of the topic, only what is to be skipped.
    transaction(gaps, producer, [b"aborted"] * 5, committed=False)
    for way in WAYS:
        gaps.wait_for(lambda way=way: len(gaps.passed_on("transactions", way)) >= len(expected), "all are passed on")
        gaps.wait_for(lambda way=way: gaps.lag("transactions", way) == 0, "the end is committed")
        assert gaps.passed_on("transactions", way) == expected


def test_a_transaction_that_is_open_holds_back_what_comes_after_it_until_it_ends(gaps: Gaps) -> None:
    gaps.start()
    producer = gaps.transactional()
    transaction(gaps, producer, [b"first"], committed=True)
    producer.begin_transaction()
    for way in WAYS:
        producer.produce(f"{gaps.prefix}transactions.{way}", key=b"k", value=b"second")
    producer.flush(30)
    plain = Producer(gaps.connection.producer())
    for way in WAYS:
        plain.produce(f"{gaps.prefix}transactions.{way}", key=b"k", value=b"third")
    plain.flush(30)
    for way in WAYS:
        gaps.wait_for(lambda way=way: gaps.passed_on("transactions", way) == [b"first"], "the first comes")
    producer.commit_transaction(30)
    for way in WAYS:
        gaps.wait_for(
            lambda way=way: gaps.passed_on("transactions", way) == [b"first", b"second", b"third"], "the others come"
        )
        gaps.wait_for(lambda way=way: gaps.lag("transactions", way) == 0, "the end is committed")


def test_what_compaction_removed_is_not_waited_for(gaps: Gaps) -> None:
    producer = Producer(gaps.connection.producer())
    topics = [f"{gaps.prefix}compacted.{way}" for way in WAYS]
    for topic in topics:
        for number in range(100):
            producer.produce(topic, key=f"k{number % 3}".encode(), value=f"v{number}".encode())
        producer.flush(30)

    def compacted() -> bool:
        # A segment is closed, and then compacted, when something is written to its successor.
        for topic in topics:
            producer.produce(topic, key=b"k3", value=b"last")
        producer.flush(30)
        return all(len(read_topics(gaps.connection, [topic])) < 50 for topic in topics)

    gaps.wait_for(compacted, "Kafka compacts")
    gaps.start()
    for way in WAYS:
        gaps.wait_for(lambda way=way: gaps.lag("compacted", way) == 0, "the end is committed")
        found = gaps.passed_on("compacted", way)
        assert {b"v97", b"v98", b"v99", b"last"} <= set(found)
        assert len(found) < 60
