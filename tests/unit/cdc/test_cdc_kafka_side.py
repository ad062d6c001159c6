"""Publisher and offsets on librdkafka's in-memory cluster, which needs nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from confluent_kafka import Producer

from connectors.cdc import publisher as publisher_module
from connectors.cdc.envelope import Record
from connectors.cdc.errors import Disconnected, Fatal, KafkaRefused, Stopped
from connectors.cdc.offset_log import OffsetLog
from connectors.cdc.offsets import WINDOW, CdcOffset, OffsetReader, decode_offset, encode_offset
from connectors.cdc.publisher import Publisher
from connectors.cdc.snapshot_state import SnapshotState
from connectors.cdc.stop import Stop
from connectors.kafka.connection import ClientConfig, Connection
from deploy.local.kafka import MemoryKafka
from deploy.local.ports import free_port

MORNING = datetime(2026, 1, 1, tzinfo=UTC)
names = (f"topic{number}" for number in count())


class PlainConnection(Connection, frozen=True, kw_only=True):
    """Without idempotence, for which librdkafka asks half a second after its start."""

    def producer(self) -> ClientConfig:
        return {**super().producer(), "enable.idempotence": False}


@pytest.fixture(scope="module")
def kafka() -> Iterator[Connection]:
    cluster = MemoryKafka()
    cluster.start()
    yield PlainConnection(bootstrap=cluster.bootstrap)
    cluster.stop()


@pytest.fixture
def topic(kafka: Connection) -> str:
    name = next(names)
    Producer({**kafka.client()}).list_topics(name, timeout=10)  # makes it appear
    return name


@pytest.fixture
def publisher(kafka: Connection) -> Iterator[Publisher]:
    opened = Publisher(kafka)
    yield opened
    opened.close()


def offset(lsn: int, *, at: datetime = MORNING) -> CdcOffset:
    return CdcOffset(lsn=lsn, snapshot_completed=True, at=at, commit_lsn=lsn - 1, system_id="7")


def write(kafka: Connection, topic: str, key: str, *offsets: CdcOffset, partition: int = -1) -> None:
    producer = Producer({**kafka.producer()})
    for one in offsets:
        producer.produce(topic, encode_offset(one), key.encode(), partition)
    assert producer.flush(10) == 0


def last(kafka: Connection, topic: str, slot: str) -> CdcOffset | None:
    with OffsetReader(kafka, topic) as reader:
        return reader.last(slot, Stop())


def test_an_offset_survives_the_round_trip() -> None:
    assert decode_offset(encode_offset(offset(5))) == offset(5)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"lsn": "x"}', b"\xff"])
def test_what_is_no_offset_is_refused(data: bytes) -> None:
    with pytest.raises(Fatal, match="the topic of offsets holds something else"):
        decode_offset(data)


def test_a_new_slot_has_no_offset(kafka: Connection, topic: str) -> None:
    write(kafka, topic, "other", offset(1))
    assert last(kafka, topic, "mine") is None


def test_the_last_offset_of_a_slot_is_found_among_those_of_others(kafka: Connection, topic: str) -> None:
    write(kafka, topic, "mine", offset(1), offset(2))
    write(kafka, topic, "other", offset(9))
    assert last(kafka, topic, "mine") == offset(2)


def test_an_offset_is_found_however_far_from_the_end_it_lies(kafka: Connection, topic: str) -> None:
    write(kafka, topic, "mine", offset(1), partition=2)
    write(kafka, topic, "other", *[offset(9)] * (WINDOW * 10), partition=2)
    assert last(kafka, topic, "mine") == offset(1)


def test_after_a_change_of_the_number_of_partitions_the_youngest_offset_counts(kafka: Connection, topic: str) -> None:
    write(kafka, topic, "mine", offset(2, at=MORNING + timedelta(hours=1)), partition=0)
    write(kafka, topic, "mine", offset(1), partition=3)
    found = last(kafka, topic, "mine")
    assert found is not None
    assert found.lsn == 2


def test_a_cluster_that_does_not_answer_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.cdc.offsets.ANSWER_SECONDS", 0.2)
    with pytest.raises(Disconnected, match=r"kafka\.bootstrap"):
        last(Connection(bootstrap=f"127.0.0.1:{free_port()}"), "topic", "mine")


def test_only_what_the_brokers_have_counts_as_acknowledged(kafka: Connection, topic: str, publisher: Publisher) -> None:
    log = OffsetLog(publisher, topic, "mine", "7")
    log.keep(SnapshotState(initial=True).with_tables(["public.t"]))
    log.write(0, None)
    log.keep(log.snapshot.finished(1))
    log.write(50, 40)
    assert log.acknowledged == 0
    assert publisher.flush(10)
    assert log.acknowledged == 50
    log.write(50, 40)
    log.write(49, 40)
    assert publisher.queued == 0
    found = last(kafka, topic, "mine")
    assert found is not None
    assert (found.lsn, found.commit_lsn, found.system_id, found.snapshot_completed) == (50, 40, "7", True)


def test_records_that_find_no_room_wait_without_blocking_and_keep_their_order(
    kafka: Connection, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "QUEUE_RECORDS", 10)
    publisher = Publisher(kafka)
    taken: list[int] = []
    for number in range(100):
        publisher.send(topic, Record(b"key", b"%d" % number), publisher.receipt(lambda one=number: taken.append(one)))
    assert not publisher.room
    assert publisher.queued >= 100  # the client counts a report that waits to be served as well
    assert taken == []
    assert publisher.flush(10)
    assert taken == list(range(100))
    assert publisher.room
    publisher.close()


def test_a_record_that_is_too_large_is_refused_when_it_is_served(topic: str, publisher: Publisher) -> None:
    publisher.send(topic, Record(b"key", bytes(13 * 1024 * 1024)), publisher.receipt(lambda: None))
    with pytest.raises(KafkaRefused, match=rf"a row is too large for topic {topic}; raise its max\.message\.bytes"):
        publisher.serve(0)


def test_a_cluster_that_is_away_is_waited_for(kafka: Connection) -> None:
    away = PlainConnection(bootstrap=f"127.0.0.1:{free_port()}")
    publisher = Publisher(away)
    publisher.send("topic", Record(b"key", b"value"), publisher.receipt(lambda: None))
    assert not publisher.flush(0.2)
    assert publisher.queued >= 1  # the client counts a refused connection that waits to be told as well
    stop = Stop()
    stop.request()
    with pytest.raises(Stopped):
        publisher.flush(10, stop)
    publisher.close()
    assert publisher.queued == 0


def test_records_that_are_sent_together_keep_their_order_when_the_queue_is_full(
    kafka: Connection, topic: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "QUEUE_RECORDS", 10)
    small = Publisher(kafka)
    taken: list[int] = []
    try:
        for start in range(0, 90, 30):
            small.send_all(
                topic,
                [
                    {"key": b"k", "value": b"%d" % one, "callback": small.receipt(lambda one=one: taken.append(one))}
                    for one in range(start, start + 30)
                ],
            )
        assert not small.room
        assert small.flush(10.0)
    finally:
        small.close()
    assert taken == list(range(90))


def test_a_record_that_is_too_large_among_others_ends_the_session(topic: str, publisher: Publisher) -> None:
    receipt = publisher.receipt(lambda: None)
    large = {"key": b"key", "value": bytes(13 * 1024 * 1024), "callback": receipt}
    publisher.send_all(topic, [large, {"key": b"key", "value": None, "callback": receipt}])
    with pytest.raises(KafkaRefused, match=r"a row is too large for topic .*max\.message\.bytes"):
        publisher.serve(0)
