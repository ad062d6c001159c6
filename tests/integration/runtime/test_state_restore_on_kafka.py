"""State whose folder is lost, damaged or behind is restored from the changelog, on real Kafka, with real workers."""

import os
import shutil
import signal
import sys
import time
import zlib
from collections import Counter
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

PARTITIONS = 2
PATIENCE_SECONDS = 60.0
APP = Path(__file__).with_name("counting_app.py")
KEYS = [f"number-{one % 3_000}" for one in range(20_000)]


class Counting:
    """The table `counts` of counting_app.py and its worker."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        self.connection = Connection(bootstrap=bootstrap)
        self.prefix = prefix
        self.folder = folder
        self.worker: RoleProcess | None = None
        self._started = 0
        changelogs = [f"{prefix}counts", f"{prefix}app-words-changelog"]
        others = [f"{prefix}{name}" for name in ("runs", "plain", "counted", "worded", "failed", "ticks")]
        topics = [NewTopic(name, PARTITIONS, 1, config={"cleanup.policy": "compact"}) for name in changelogs]
        topics += [NewTopic(name, PARTITIONS, 1) for name in others]
        admin: Any = AdminClient({"bootstrap.servers": bootstrap})
        for created in admin.create_topics(topics).values():
            created.result(30)

    def start(self) -> RoleProcess:
        self._started += 1
        worker = RoleProcess(
            f"worker-{self._started}",
            ("worker", "--without-web", "-l", "info"),
            folder=self.folder,
            env={
                "APP_PREFIX": self.prefix,
                "APP_PARTITIONS": str(PARTITIONS),
                "APP_BOOTSTRAP": self.connection.bootstrap,
                "APP_FOLDER": str(self.folder / "state"),
                "PYTHONPATH": str(APP.parents[3]),
            },
            program=(sys.executable, str(APP)),
        )
        worker.start()
        self.worker = worker
        return worker

    def kill(self) -> None:
        assert self.worker is not None
        assert self.worker.pid is not None
        os.kill(self.worker.pid, signal.SIGKILL)
        self.worker.stop()

    def stop(self) -> None:
        if self.worker is not None:
            self.worker.stop()

    def databases(self) -> list[Path]:
        return sorted((self.folder / "state").rglob("counts-*.state"))

    def log(self) -> str:
        assert self.worker is not None
        return self.worker.log_file.read_text()

    def produce(self, topic: str, records: list[tuple[str, bytes]]) -> None:
        producer = Producer({**self.connection.producer(), "linger.ms": 5})
        for key, value in records:
            producer.produce(f"{self.prefix}{topic}", key=key.encode(), value=value)
        assert producer.flush(30) == 0

    def count(self) -> None:
        """Produce all keys and wait until they are counted."""
        self.produce("runs", [(key, b"x") for key in KEYS])
        self.wait_for(self._finished, "everything is processed and committed")

    def counted(self) -> dict[str, int]:
        """Return the highest count told of each key."""
        found: dict[str, int] = {}
        for record in read_topics(self.connection, [f"{self.prefix}counted"]):
            key = (record.key or b"").decode()
            found[key] = max(int(record.value or b"0"), found.get(key, 0))
        return found

    def _finished(self) -> bool:
        meter = LagMeter(self.connection, f"{self.prefix}app")
        try:
            return all(one.lag == 0 for one in meter.progress([f"{self.prefix}runs"]).values())
        finally:
            meter.close()

    def wait_for(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {PATIENCE_SECONDS:.0f} s: {what}\n{self.log()[-8_000:]}")
            time.sleep(0.1)  # between two looks


@pytest.fixture
def counting(kafka_server: KafkaServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Counting]:
    made = Counting(kafka_server.bootstrap, f"t{zlib.crc32(request.node.nodeid.encode()):08x}.", tmp_path)
    yield made
    made.stop()


def delete(database: Path) -> None:
    shutil.rmtree(database)


def damage(database: Path) -> None:
    for file in database.glob("*.sst"):
        file.write_bytes(os.urandom(file.stat().st_size))
    (database / "CURRENT").write_bytes(b"nonsense")


@pytest.mark.parametrize(("harm", "said"), [(delete, "state_empty"), (damage, "state_discarded")])
def test_state_that_is_lost_or_damaged_is_restored_from_the_changelog_and_the_log_says_so(
    counting: Counting, harm: Callable[[Path], None], said: str
) -> None:
    counting.start()
    counting.count()
    counting.stop()
    databases = counting.databases()
    assert len(databases) == PARTITIONS
    for database in databases:
        harm(database)
    counting.start()
    counting.count()
    assert counting.counted() == {key: 2 * number for key, number in Counter(KEYS).items()}
    assert counting.log().count(said) == PARTITIONS
    assert counting.log().count("state_restored") == PARTITIONS
    assert "changelog_written_by_another" not in counting.log()


def test_what_a_killed_worker_had_not_written_to_disk_is_restored(counting: Counting) -> None:
    counting.start()
    counting.count()
    counting.kill()
    counting.start()
    counting.count()
    assert counting.counted() == {key: 2 * number for key, number in Counter(KEYS).items()}


def test_a_changelog_record_that_cannot_be_read_stops_the_worker_and_is_named(counting: Counting) -> None:
    counting.produce("counts", [("number-1", b"no entry")])
    worker = counting.start()
    counting.wait_for(lambda: worker.pid is None, "the worker has stopped")
    assert "table 'counts'" in counting.log()
    assert "the record at offset 0 is no state entry" in counting.log()
    assert counting.counted() == {}
