"""Reads topics and writes them to the archive."""

import random
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry

from connectors.archive.errors import ArchiveError
from connectors.archive.partition import Overtaken
from connectors.kafka.connection import Connection
from connectors.kafka.errors import error_of
from connectors.kafka.reading import stored
from connectors.kafka.watermarks import watermarks
from connectors.sinks.errors import Unavailable
from connectors.storage.contract import Storage
from streams.archive.collecting import Collected, Reason
from streams.archive.lane import Lane, largest_beyond
from streams.archive.metrics import ArchiveMetrics
from streams.archive.plan import Plan

log = structlog.get_logger(__name__)

CONSUMED_AT_ONCE = 2_000
POLL_SECONDS = 0.2
TOPICS_SECONDS = 10.0  # between two looks for new topics
SAMPLE_SECONDS = 1.0  # between two samples for the metrics
KAFKA_SECONDS = 15.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
_QUEUE_KIB = 32 * 1024  # of records that librdkafka reads ahead
_SESSION_MS = 10_000  # a worker that was killed is replaced after this
# What a partition answers whose topic was deleted; it is taken from the consumer soon.
_DELETED = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC})
POLL_SECONDS_MOST = 600  # an upload to a slow store happens between two polls


class Archiver:
    """One member of the archive's consumer group.

    Offsets are committed when the object that answers for them is there; where to go on, the archive itself says. When
    the store or Kafka does not answer, everything that was collected is let go of and read again later, so memory does
    not grow with the outage. A partition whose archive does not fit the topic is left out, and the others go on.

    Args:
        connection: how to reach Kafka.
        group: the consumer group.
        storage: where the objects go; opened and closed here.
        plan: which topics, and how.
        metrics: counts what happens.
        now: a clock in seconds that is never set back; that of the metrics.

    Attributes:
        state: "starting", "reading", "interrupted" while the store or Kafka does not answer, or "stopped".
        turned_at: when it last looked for something to do, by this clock.
    """

    def __init__(
        self,
        connection: Connection,
        group: str,
        storage: Storage,
        plan: Plan,
        metrics: ArchiveMetrics | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._group = group
        self._storage = storage
        self._plan = plan
        self._metrics = metrics or ArchiveMetrics(CollectorRegistry(), now)
        self._now = now
        self._sampled_at = float("-inf")
        self.state = "starting"
        self.turned_at = now()
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._uncommitted: dict[tuple[str, int], int] = {}  # where partitions are archived to, as nobody was told yet
        self._left_out: dict[tuple[str, int], ArchiveError] = {}  # of the partitions that this member has
        self._told: dict[tuple[str, int], str] = {}  # why partitions were left out, also those that moved away

    def run(self, stop: threading.Event) -> None:
        """Archive until told to stop; then what was collected becomes objects too.

        Raises:
            Fatal: the store will never take it like this.
            ArchiveError: partitions that it had at last were left out, because what lies in the archive does not fit
                them.
        """
        pause = FIRST_PAUSE_SECONDS
        while not stop.is_set():
            began = self.turned_at = self._now()
            try:
                self._storage.open()
                self._session(stop)
            except (Unavailable, Overtaken, KafkaException) as error:
                self.state = "interrupted"
                self._metrics.failed(error)
                if self._now() - began > LONGEST_PAUSE_SECONDS:
                    pause = FIRST_PAUSE_SECONDS
                log.warning("archive_interrupted", reason=str(error), pause_seconds=round(pause, 1))
                stop.wait(pause * random.random())
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            finally:
                self._lanes = {}
                self._uncommitted = {}
                self._metrics.shows((), len(self._left_out))
                self._storage.close()
        self.state = "stopped"
        if self._left_out:
            (topic, partition), error = next(iter(self._left_out.items()))
            count = len(self._left_out)
            raise ArchiveError(
                f"{count} partitions are not archived; the first, {topic}, partition {partition}: {error}"
            ) from error

    def _session(self, stop: threading.Event) -> None:
        consumer = Consumer(
            {
                **self._connection.consumer(self._group),
                "auto.offset.reset": "error",  # records that are gone are told, not jumped over
                "enable.partition.eof": True,
                "partition.assignment.strategy": "cooperative-sticky",
                "queued.max.messages.kbytes": _QUEUE_KIB,
                "session.timeout.ms": _SESSION_MS,
                "max.poll.interval.ms": POLL_SECONDS_MOST * 1_000,
                "log_level": 0,
            }
        )
        self._left_out = {}  # whether this member gets them again, it does not know yet
        try:
            subscribed: list[str] = []
            looked = float("-inf")
            while not stop.is_set():
                if self._now() - looked > TOPICS_SECONDS:
                    looked = self._now()
                    subscribed = self._subscribe(consumer, subscribed)
                for message in consumer.consume(CONSUMED_AT_ONCE, POLL_SECONDS):
                    self._take(consumer, message)
                self._close_complete(consumer)
                self._commit_again(consumer)
                self.state, self.turned_at = "reading", self._now()
                self._show(consumer)
            self._close(consumer, list(self._lanes.values()), "stop")
            self._commit_again(consumer)
        finally:
            left_out = self._left_out.copy()  # to close is to give all partitions back
            consumer.close()
            self._left_out = left_out

    def _show(self, consumer: Consumer) -> None:
        if self._now() - self._sampled_at >= SAMPLE_SECONDS:
            self._sampled_at = self._now()
            self._metrics.shows(
                [lane.sample(_end(consumer, lane)) for lane in self._lanes.values()], len(self._left_out)
            )

    def _subscribe(self, consumer: Consumer, before: list[str]) -> list[str]:
        topics = self._plan.topics(consumer.list_topics(timeout=KAFKA_SECONDS).topics)
        if topics == before:
            return topics
        if topics:
            consumer.subscribe(topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke)
        else:
            consumer.unsubscribe()
        log.info("archive_topics", topics=topics)
        return topics

    def _on_assign(self, consumer: Consumer, homes: Sequence[TopicPartition]) -> None:
        left_out: list[TopicPartition] = []
        for home in homes:
            lane = Lane(self._storage, home.topic, home.partition, self._plan.form)
            try:
                home.offset = _start(consumer, lane)
            except ArchiveError as error:
                self._leave_out(lane, error)
                home.offset = OFFSET_END
                left_out.append(home)
            else:
                self._lanes[home.topic, home.partition] = lane
                if lane.archived_to is not None:
                    self._uncommitted[home.topic, home.partition] = lane.archived_to
                self._told.pop((home.topic, home.partition), None)
        consumer.incremental_assign(list(homes))
        consumer.pause(left_out)

    def _on_revoke(self, consumer: Consumer, homes: Sequence[TopicPartition]) -> None:
        # Nothing is written: the next owner reads it again, and every rebalance would leave small objects. Of a topic
        # that was deleted there is no next owner.
        lanes = [self._lanes[home] for one in homes if (home := (one.topic, one.partition)) in self._lanes]
        self._save_deleted(consumer, [lane for lane in lanes if lane.records])
        for home in homes:
            self._lanes.pop((home.topic, home.partition), None)
            self._uncommitted.pop((home.topic, home.partition), None)
            self._left_out.pop((home.topic, home.partition), None)
        consumer.incremental_unassign(list(homes))

    def _save_deleted(self, consumer: Consumer, lanes: Sequence[Lane]) -> None:
        if not lanes:
            return
        # By a client of its own: `list_topics` of a consumer inside of one of its callbacks has the next callback abort
        # the process (confluent-kafka 2.16, "CallState_get: Assertion `cs != NULL' failed").
        there = set(
            AdminClient({**self._connection.client(), "log_level": 0}).list_topics(timeout=KAFKA_SECONDS).topics
        )
        for lane in lanes:
            if lane.topic not in there:
                log.warning("archive_topic_deleted", topic=lane.topic, partition=lane.partition, records=lane.records)
                with self._leaving_out(consumer, lane):
                    self._write(lane, "deleted")

    def _take(self, consumer: Consumer, message: Message) -> None:
        lane = self._lanes.get((message.topic() or "", message.partition() or 0))
        error = message.error()
        if error is not None:
            self._on_error(consumer, lane, message, error)
        elif lane is not None:
            record = stored(message)
            if (reason := lane.complete_before(record)) is not None:
                self._close(consumer, [lane], reason)
            if not self._has(lane):
                return
            lane.add(record, self._now())
            if (reason := lane.complete(self._plan.bounds, self._now())) is not None:
                self._close(consumer, [lane], reason)

    def _on_error(self, consumer: Consumer, lane: Lane | None, message: Message, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            if lane is not None and lane.complete_at(message.offset() or 0):
                self._close(consumer, [lane], "pending")
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            if lane is not None:
                self._begin_again(consumer, lane)
        elif error.code() not in _DELETED and (error.fatal() or not error.retriable()):
            raise KafkaException(error)

    def _begin_again(self, consumer: Consumer, lane: Lane) -> None:
        self._close(consumer, [lane], "stop")
        if self._has(lane):
            with self._leaving_out(consumer, lane):
                consumer.seek(TopicPartition(lane.topic, lane.partition, _start(consumer, lane)))

    def _close_complete(self, consumer: Consumer) -> None:
        """Close what is complete although nothing new comes, and the largest objects when all take too much memory."""
        now = self._now()
        for lane in list(self._lanes.values()):
            if (reason := lane.complete(self._plan.bounds, now)) is not None:
                self._close(consumer, [lane], reason)
        self._close(consumer, largest_beyond(self._plan.memory_bytes, self._lanes.values()), "memory")

    def _close(self, consumer: Consumer, lanes: Sequence[Lane], reason: Reason) -> None:
        done: list[TopicPartition] = []
        for lane in lanes:
            with self._leaving_out(consumer, lane):
                written = self._write(lane, reason)
                if written is not None:
                    done.append(TopicPartition(lane.topic, lane.partition, written.name.last + 1))
        if done:
            self._commit(consumer, done)

    def _has(self, lane: Lane) -> bool:
        return self._lanes.get((lane.topic, lane.partition)) is lane

    @contextmanager
    def _leaving_out(self, consumer: Consumer, lane: Lane) -> Generator[None]:
        try:
            yield
        except ArchiveError as error:
            self._leave_out(lane, error)
            consumer.pause([TopicPartition(lane.topic, lane.partition)])

    def _leave_out(self, lane: Lane, error: ArchiveError) -> None:
        home = lane.topic, lane.partition
        self._lanes.pop(home, None)
        if self._told.get(home) != str(error):  # told once, not at every rebalance
            log.error("archive_partition_left_out", topic=lane.topic, partition=lane.partition, reason=str(error))
        self._left_out[home], self._told[home] = error, str(error)

    def _write(self, lane: Lane, reason: Reason) -> Collected | None:
        began = self._now()
        written = lane.close(reason, began)
        if written is not None:
            seconds = self._now() - began
            self._metrics.written(written, reason, seconds)
            log.info(
                "archive_object_written",
                path=written.name.path,
                records=written.records,
                bytes=len(written.data),
                seconds=round(seconds, 3),
                reason=reason,
            )
        return written

    def _commit(self, consumer: Consumer, offsets: list[TopicPartition]) -> None:
        self._uncommitted |= {(one.topic, one.partition): one.offset for one in offsets}
        try:
            consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            # Others see how far the archive is by them; where it goes on, it knows by itself.
            log.warning("archive_commit_failed", reason=error_of(error).str())
        else:
            for one in offsets:
                del self._uncommitted[one.topic, one.partition]

    def _commit_again(self, consumer: Consumer) -> None:
        """Commit what could not be committed in a rebalance, or was not by an owner who was killed.

        Where nothing new came, the partition would look as if it were not archived for ever.
        """
        offsets = [TopicPartition(*home, offset) for home, offset in self._uncommitted.items() if home in self._lanes]
        if offsets:
            self._commit(consumer, offsets)


def _start(consumer: Consumer, lane: Lane) -> int:
    home = TopicPartition(lane.topic, lane.partition)

    def committed() -> int:
        (found,) = consumer.committed([home], timeout=KAFKA_SECONDS)
        return found.offset

    return lane.start(partial(watermarks, consumer, home, timeout=KAFKA_SECONDS), committed)


def _end(consumer: Consumer, lane: Lane) -> int | None:
    """Return where a partition ends as the last answer of its broker had it; nothing is asked for."""
    _, high = consumer.get_watermark_offsets(TopicPartition(lane.topic, lane.partition), cached=True)
    return high if high >= 0 else None
