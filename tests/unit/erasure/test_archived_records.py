"""What the archive holds of a person is found by its keys, once the archive has come to the request."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from connectors.archive.formats import encoder_of
from connectors.archive.names import Name
from connectors.archive.reading import Wanted, read
from connectors.kafka.connection import Connection
from connectors.kafka.reading import StoredRecord
from connectors.producers import EventProducer
from connectors.sinks.errors import Unavailable
from connectors.storage import FolderStorage
from deploy.local.kafka import MemoryKafka
from schemas.topics import Catalogue
from streams.archive.collecting import Bounds
from streams.archive.plan import Plan
from streams.erasure.archived import ArchivedRecords

GROUP = "travelos-archive"
PLAN = Plan(
    include=(".*",),
    exclude=("gps-events",),
    form="jsonl",
    bounds=Bounds(records=100, bytes=10**7, seconds=3_600),
    memory_bytes=10**8,
)


class Setting:
    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.catalogue = Catalogue(partitions=MemoryKafka.partitions)
        self.connection = Connection(bootstrap=bootstrap)
        self.storage = FolderStorage(folder)
        self.records = ArchivedRecords(self.connection, self.catalogue, GROUP, PLAN, self.storage)
        self.users = self.catalogue.changes["public.users"].name
        with EventProducer(self.connection, self.catalogue, source="/tests") as producer:
            for topic, key in self.said:
                producer.publish_raw(topic, key, b"{}")

    @property
    def said(self) -> list[tuple[str, bytes]]:
        events = self.catalogue.user_events.name
        rows = [(self.users, b'{"id":"ann"}'), (self.users, b'{"schema":{},"payload":{"id":"bob"}}')]
        return [(events, b"ann"), (events, b"bob"), (self.catalogue.gps_events.name, b"ann"), *rows]

    def archive(self) -> None:
        """Put into the archive what was said, an object for each record."""
        self.storage.open()
        for offset, (topic, key) in enumerate(self.said):
            encoder = encoder_of("jsonl")
            encoder.add(StoredRecord(topic=topic, partition=0, offset=offset, timestamp=7, key=key, value=b"{}"))
            name = Name(topic, 0, "2026-01-31", offset, offset, "jsonl")
            self.storage.put(name.path, encoder.finish(), encoder.content_type)

    def commit(self, ends: dict[str, int]) -> None:
        """Have the group of the archive where the topics end."""
        consumer = Consumer(self.connection.consumer(GROUP))
        places = [(name.rpartition("/"), end) for name, end in ends.items()]
        consumer.commit(
            offsets=[TopicPartition(topic, int(number), end) for (topic, _, number), end in places], asynchronous=False
        )
        consumer.close()

    def left(self) -> list[tuple[str, bytes | None]]:
        topics = sorted({topic for topic, _ in self.said})
        return [(topic, one.key) for topic in topics for one in read(self.storage, topic, Wanted())]


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    kafka = MemoryKafka()
    kafka.start()
    try:
        yield Setting(kafka.bootstrap, tmp_path)
    finally:
        kafka.stop()


def test_events_and_rows_of_a_person_are_taken_out_of_what_is_archived(setting: Setting) -> None:
    setting.archive()
    ends = dict(setting.records.ends())
    assert sum(ends.values()) == 4  # those of a topic that is not archived do not count
    setting.commit(ends)
    # What lies there of a topic that is archived no more is looked through all the same.
    assert setting.records.remove("ann", ends) == 3
    assert sorted(setting.left()) == sorted(
        [
            (setting.catalogue.user_events.name, b"bob"),
            (setting.users, b'{"schema":{},"payload":{"id":"bob"}}'),
        ]
    )


def test_what_is_still_being_collected_is_waited_for(setting: Setting) -> None:
    setting.archive()
    ends = dict(setting.records.ends())
    with pytest.raises(Unavailable, match=r"not come to the request yet in .*user-events.*travelos archive run"):
        setting.records.remove("ann", ends)
    assert len(setting.left()) == 5
    setting.commit(ends)
    with EventProducer(setting.connection, setting.catalogue, source="/tests") as producer:
        producer.publish_raw(setting.catalogue.user_events.name, b"ann", b"{}")  # what comes later is not waited for
    assert setting.records.remove("ann", ends) == 3
