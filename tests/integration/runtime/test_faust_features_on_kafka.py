"""What Faust users know works on `StreamApp` as ever, and all of it leaves through librdkafka; on real Kafka."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic

from connectors.kafka.connection import Connection
from connectors.kafka.lag import LagMeter
from connectors.kafka.reading import StoredRecord, read_topics
from deploy.local.kafka import KafkaServer
from deploy.local.ports import free_port
from streams.runtime.declaring import TopicNotCreated, declare_topic
from streams.runtime.producer import partition_of
from streams.supervisor import RoleProcess

pytestmark = pytest.mark.integration

PARTITIONS = 4
PATIENCE_SECONDS = 60.0
APP = Path(__file__).with_name("faust_features_app.py")
INPUTS = ("words", "numbers", "people")


class Features:
    """The app of faust_features_app.py, its worker, and what it has done."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        self.connection = Connection(bootstrap=bootstrap)
        self.prefix = prefix
        self.folder = folder
        self.workers: list[RoleProcess] = []
        self.port = free_port()
        self.environment = {
            "APP_PREFIX": prefix,
            "APP_PARTITIONS": str(PARTITIONS),
            "APP_BOOTSTRAP": bootstrap,
            "APP_FOLDER": str(folder / "state"),
            "APP_PORT": str(self.port),
            "PYTHONPATH": str(APP.parents[3]),
        }
        self.admin: Any = AdminClient({"bootstrap.servers": bootstrap})
        names = [f"{prefix}{name}" for name in (*INPUTS, "relayed", "doubled", "ticks")]
        for created in self.admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names]).values():
            created.result(30)

    def start(self) -> RoleProcess:
        """Start one more worker and wait until it is ready."""
        worker = RoleProcess(
            f"worker-{len(self.workers)}",
            ("worker", "-l", "info"),
            folder=self.folder,
            env=self.environment,
            program=(sys.executable, str(APP)),
        )
        worker.start()
        self.workers.append(worker)
        self.wait_for(lambda: "Worker ready" in worker.log_file.read_text(), "the worker is ready")
        return worker

    def command(self, *arguments: str) -> str:
        """Run one of Faust's commands and return what it printed."""
        ended = subprocess.run(
            [sys.executable, str(APP), *arguments],
            env=os.environ | self.environment | {"APP_FOLDER": str(self.folder / "command")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def get(self, path: str) -> Any:
        """Ask the worker's web server."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return json.load(answer)

    def produce(self, topic: str, records: Sequence[tuple[str, bytes]]) -> None:
        """Send keys and values, and wait for the broker."""
        producer = Producer({**self.connection.producer(), "linger.ms": 5})
        for key, value in records:
            producer.produce(f"{self.prefix}{topic}", key=key.encode(), value=value)
        assert producer.flush(30) == 0

    def records(self, topic: str) -> list[StoredRecord]:
        return read_topics(self.connection, [f"{self.prefix}{topic}"])

    def lag(self, *topics: str) -> int:
        """Return how many records of the input are not committed."""
        meter = LagMeter(self.connection, f"{self.prefix}app")
        try:
            return sum(one.lag for one in meter.progress([f"{self.prefix}{topic}" for topic in topics]).values())
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
def features(kafka_server: KafkaServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Features]:
    prefix = f"f{zlib.crc32(request.node.nodeid.encode()):08x}."
    made = Features(kafka_server.bootstrap, prefix, tmp_path)
    yield made
    made.stop()


def test_sends_sinks_replies_groups_timers_and_pages_work(features: Features) -> None:
    features.start()
    words = [f"word-{one % 40}" for one in range(400)]
    features.produce("words", [(word, b"v") for word in words] + [("gone", b"tombstone")])
    features.produce("people", [(f"p{one}", f"name-{one % 3}".encode()) for one in range(300)])
    assert features.get("/asked/21/") == {"reply": 42}
    features.get("/cast/50/")
    features.wait_for(lambda: features.lag(*INPUTS) == 0, "everything is processed and committed")

    relayed = features.records("relayed")
    assert Counter((one.key or b"").decode() for one in relayed) == Counter(words) + Counter({"gone": 2})
    by_key = [one for one in relayed if one.value is not None]
    assert all(one.partition == partition_of(one.key or b"", PARTITIONS) for one in by_key)
    (tombstone,) = (one for one in relayed if one.value is None)
    assert (tombstone.partition, list(tombstone.headers)) == (3, [("from", b"relay")])
    assert tombstone.timestamp == 1_700_000_000_500
    assert {one.value for one in features.records("doubled")} == {b"42", b"100"}
    features.wait_for(lambda: features.get("/counts/")["by_last"] == {"0": 100, "1": 100, "2": 100}, "all are grouped")
    assert features.records("ticks")


def test_a_table_is_restored_from_its_changelog_after_kill_9(features: Features) -> None:
    worker = features.start()
    features.produce("words", [(f"word-{one % 40}", b"v") for one in range(400)])
    features.wait_for(lambda: features.lag("words") == 0, "everything is processed and committed")
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    features.wait_for(lambda: worker.pid is None, "it is dead")
    databases = list((features.folder / "state").rglob("words-*.db"))
    assert len(databases) == PARTITIONS
    for database in databases:
        database.rename(database.with_suffix(".away"))
    features.start()
    features.wait_for(
        lambda: features.get("/counts/")["words"] == {f"word-{one}": 10 for one in range(40)}, "it is restored"
    )
    resource = ConfigResource(ConfigResource.Type.TOPIC, f"{features.prefix}app-words-changelog")
    (settings,) = (future.result(30) for future in features.admin.describe_configs([resource]).values())
    assert settings["cleanup.policy"].value == "compact"
    assert len(features.admin.list_topics(timeout=30).topics[resource.name].partitions) == PARTITIONS


def test_commands_of_faust_work(features: Features) -> None:
    assert "double" in features.command("agents")
    features.start()
    told = features.command("send", f"{features.prefix}words", "hello", "--key", "k", "--partition", "2")
    assert f"{features.prefix}words" in told
    features.wait_for(lambda: [one.value for one in features.records("relayed")] == [b"hello"], "it is relayed")


def test_a_record_that_kafka_does_not_take_stops_commits_and_not_the_worker(features: Features) -> None:
    worker = features.start()
    features.produce("words", [("a", b"v")] * 20)
    features.wait_for(lambda: features.lag("words") == 0, "everything is processed and committed")
    features.produce("words", [("a", b"too large")])
    features.produce("words", [("b", b"v")] * 20)
    features.wait_for(lambda: "commit_refused" in worker.log_file.read_text(), "the commit is refused")
    features.wait_for(lambda: len(features.records("relayed")) == 40, "what comes after it is processed")
    assert "max.message.bytes" in worker.log_file.read_text()
    assert features.lag("words") >= 1
    assert worker.pid is not None


def test_a_topic_that_is_missing_for_a_while_loses_nothing(features: Features) -> None:
    worker = features.start()
    for deleted in features.admin.delete_topics([f"{features.prefix}relayed"]).values():
        deleted.result(30)
    features.produce("words", [("a", b"v")] * 20)
    features.wait_for(lambda: "commit_refused" in worker.log_file.read_text(), "the commit is refused")
    for created in features.admin.create_topics([NewTopic(f"{features.prefix}relayed", PARTITIONS, 1)]).values():
        created.result(30)
    features.wait_for(lambda: features.lag("words") == 0, "everything is processed and committed")
    assert len(features.records("relayed")) >= 20


def test_a_topic_that_cannot_be_created_names_the_setting(features: Features) -> None:
    with pytest.raises(TopicNotCreated, match="topic_replication_factor"):
        declare_topic(
            features.connection, f"{features.prefix}wide", partitions=1, replication=3, settings={}, timeout=20
        )
    declare_topic(features.connection, f"{features.prefix}words", partitions=9, replication=3, settings={}, timeout=20)
    assert len(features.admin.list_topics(timeout=30).topics[f"{features.prefix}words"].partitions) == PARTITIONS
