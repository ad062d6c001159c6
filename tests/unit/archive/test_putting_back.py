"""Records of an archive in a topic again, on librdkafka's in-memory cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from connectors.archive.names import head_path
from connectors.archive.putting_back import put_back
from connectors.archive.reading import partitions_of
from connectors.kafka.connection import Connection
from connectors.kafka.reading import StoredRecord, read_topics
from connectors.storage import FolderStorage
from deploy.local.kafka import MemoryKafka

SOURCE_PARTITIONS = MemoryKafka.partitions + 2


@pytest.fixture
def kafka() -> Iterator[Connection]:
    cluster = MemoryKafka()
    cluster.start()
    try:
        yield Connection(bootstrap=cluster.bootstrap)
    finally:
        cluster.stop()


def records(partitions: int) -> list[StoredRecord]:
    """Return ten records of each of these partitions."""
    return [
        StoredRecord(
            topic="t", partition=n % partitions, offset=n, timestamp=1_000 + n, key=b"%d" % (n % 30), value=b"%d" % n
        )
        for n in range(10 * partitions)
    ]


def partitions_by_key(kafka: Connection, topic: str) -> dict[bytes | None, set[int]]:
    found: dict[bytes | None, set[int]] = {}
    for record in read_topics(kafka, [topic]):
        found.setdefault(record.key, set()).add(record.partition)
    return found


def test_in_a_topic_with_another_number_of_partitions_the_key_decides_on_all_records(kafka: Connection) -> None:
    archived = records(SOURCE_PARTITIONS)
    assert put_back(kafka, "back", archived, SOURCE_PARTITIONS) == len(archived)
    producer = Producer(kafka.producer())
    for key in {record.key for record in archived}:
        producer.produce("by-key", b"", key)
    assert producer.flush(30) == 0
    assert partitions_by_key(kafka, "back") == partitions_by_key(kafka, "by-key")


def test_in_a_topic_with_as_many_partitions_each_record_keeps_its_own(kafka: Connection) -> None:
    archived = records(MemoryKafka.partitions)
    put_back(kafka, "back", archived, MemoryKafka.partitions)
    found = {record.value: record.partition for record in read_topics(kafka, ["back"])}
    assert found == {record.value: record.partition for record in archived}


def test_the_archive_knows_how_many_partitions_a_topic_has(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    storage.open()
    for partition in (2, 11):
        storage.put(head_path("t", partition), b"{}", "x")
    storage.put(head_path("t2", 20), b"{}", "x")
    assert partitions_of(storage, "t") == 12
    assert partitions_of(storage, "other") == 0
