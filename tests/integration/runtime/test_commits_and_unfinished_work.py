"""faust-streaming issue 606 on real Kafka: what plain Faust commits while a record is in work, and what we do."""

import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.local.kafka import KafkaServer
from streams.supervisor import RoleProcess

pytestmark = pytest.mark.integration

APP = Path(__file__).with_name("hanging_app.py")
RECORDS = 40
PATIENCE_SECONDS = 60.0


def _committed(admin: Any, group: str, topic: str) -> int:
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])])
    return asked[group].result(10).topic_partitions[0].offset


@pytest.mark.parametrize(("kind", "loses"), [("plain", True), ("ours", False)])
def test_work_that_hangs_is_committed_past_by_plain_faust_and_never_by_us(
    kafka_server: KafkaServer, tmp_path: Path, kind: str, loses: bool
) -> None:
    name = f"t{zlib.crc32(kind.encode()):08x}.hanging"
    admin: Any = AdminClient({"bootstrap.servers": kafka_server.bootstrap})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)
    producer = Producer({"bootstrap.servers": kafka_server.bootstrap})
    for number in range(RECORDS):
        producer.produce(name, key=b"k", value=str(number).encode())
    assert producer.flush(30) == 0
    environment = {
        "APP_KIND": kind,
        "APP_TOPIC": name,
        "APP_GROUP": name,
        "APP_BOOTSTRAP": kafka_server.bootstrap,
        "APP_FOLDER": str(tmp_path / "state"),
        "PYTHONPATH": str(APP.parents[3]),
    }
    worker = RoleProcess(
        kind,
        ("worker", "--without-web", "-l", "info"),
        folder=tmp_path,
        env=environment,
        program=(sys.executable, str(APP)),
    )
    worker.start()
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS

        def done() -> int:
            return worker.log_file.read_text().count("done ")

        while done() < RECORDS - 1 and time.monotonic() < deadline:
            time.sleep(0.1)  # between two looks
        if not loses:
            # Three of four workers' records are done; what follows the first is held back until the worker is stopped,
            # which takes the last commit with it.
            assert done() == RECORDS - 1, worker.last_lines()
        else:
            while _committed(admin, name, name) < 0 and time.monotonic() < deadline:
                time.sleep(0.1)  # between two looks
    finally:
        worker.stop()
    committed = _committed(admin, name, name)
    assert (committed > 0) is loses, f"committed {committed} of {RECORDS}\n{worker.last_lines()}"
