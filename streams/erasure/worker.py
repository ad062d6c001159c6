"""The role erasure: takes up erasures, does their steps, and goes on with those of a worker that is gone."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from prometheus_client import CollectorRegistry

from connectors.kafka.connection import Connection
from connectors.kafka.errors import KafkaUnavailable
from connectors.kafka.reading import read_topics
from connectors.producers import ProducerError
from schemas.clock import milliseconds
from schemas.erasures import (
    Erasure,
    ErasureStart,
    InvalidErasureRecord,
    decode_erasure_record,
    encode_erasure_record,
)
from schemas.topics import Catalogue
from streams.erasure.eraser import Eraser
from streams.erasure.machine import Came, Deleted, Failed, after, begin, turns
from streams.erasure.metrics import ErasureMetrics, StepOutcome
from streams.erasure.plain import PlainEvents

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.1
PAUSE_SECONDS = 2.0  # after Kafka did not answer
_SESSION_MS = 6_000  # a worker that was killed is replaced after this; brokers allow no less by default
POLL_SECONDS_MOST = 3_600  # a step reads topics and rewrites stores between two polls
SAMPLE_SECONDS = 1.0  # between two samples for the metrics


class ErasureWorker:
    """One member of the consumer group that carries out erasures; each person's are done by one member, in turn.

    How far an erasure is lies in the log of erasures before its next step is done. Whoever takes a partition over reads
    from there what is not over. A beginning is committed when it is in that log.

    Args:
        connection: how to reach Kafka.
        catalogue: its topics.
        group: the consumer group.
        eraser: does the steps.
        remembered_seconds: so long may others still use a destroyed key.
        now: a clock.
        metrics: counts what happens.
        plain: events that are deleted where they came in, by one of the members; None: they stay.

    Attributes:
        state: "starting", "reading", "interrupted" while Kafka does not answer, or "stopped".
        turned_at: when it last looked for something to do, by `time.monotonic`.
    """

    def __init__(
        self,
        connection: Connection,
        catalogue: Catalogue,
        group: str,
        eraser: Eraser,
        remembered_seconds: float = 0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        metrics: ErasureMetrics | None = None,
        plain: PlainEvents | None = None,
    ) -> None:
        self._connection = connection
        self._catalogue = catalogue
        self._group = group
        self._eraser = eraser
        self._remembered_seconds = remembered_seconds
        self._now = now
        self._metrics = metrics or ErasureMetrics(CollectorRegistry())
        self.state = "starting"
        self.turned_at = time.monotonic()
        self._sampled_at = float("-inf")
        self._plain = plain
        self._deleted_at = float("-inf")
        self._known: dict[int, dict[str, Erasure]] = {}  # partition -> person -> their last erasure

    def run(self, stop: threading.Event) -> None:
        """Carry out erasures until told to stop; a step that is under way is finished; then closes the eraser."""
        with closing(self._eraser):
            while not stop.is_set():
                try:
                    self._session(stop)
                except (KafkaException, ProducerError) as error:
                    self.state = "interrupted"
                    log.warning("erasures_interrupted", reason=str(error), pause_seconds=PAUSE_SECONDS)
                    stop.wait(PAUSE_SECONDS)
                finally:
                    self._known = {}
                    self._metrics.shows(())
            self.state = "stopped"

    def _session(self, stop: threading.Event) -> None:
        consumer = Consumer(
            {
                **self._connection.consumer(self._group),
                "session.timeout.ms": _SESSION_MS,
                "max.poll.interval.ms": POLL_SECONDS_MOST * 1_000,
                "log_level": 0,
            }
        )
        try:
            topics = [self._catalogue.erasure_starts.name]
            consumer.subscribe(topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke)
            while not stop.is_set():
                self.turned_at = time.monotonic()
                message = consumer.poll(POLL_SECONDS)
                if message is not None:
                    self._take(consumer, message)
                self._go_on()
                self._delete_plain()
        finally:
            consumer.close()

    def _on_assign(self, _consumer: Consumer, homes: Sequence[TopicPartition]) -> None:
        ours = {home.partition for home in homes}
        self._known = {partition: {} for partition in ours}
        self.state = "reading"
        for record in read_topics(self._connection, [self._catalogue.erasure_log.name]):
            if record.partition not in ours:
                continue
            try:
                erasure = decode_erasure_record(record.value, Erasure)
            except InvalidErasureRecord as error:
                log.warning("erasure_not_readable", partition=record.partition, offset=record.offset, error=str(error))
                continue
            self._known[record.partition][erasure.user_id] = erasure
        going_on = [one.id for known in self._known.values() for one in known.values() if one.step != "over"]
        log.info("erasures_taken_over", partitions=sorted(ours), erasures=going_on)

    def _on_revoke(self, _consumer: Consumer, homes: Sequence[TopicPartition]) -> None:
        for home in homes:
            self._known.pop(home.partition, None)

    def _take(self, consumer: Consumer, message: Message) -> None:
        error = message.error()
        if error is not None:
            if error.fatal() or not error.retriable():
                raise KafkaException(error)
            return
        try:
            start = decode_erasure_record(message.value(), ErasureStart)
        except InvalidErasureRecord as refused:
            log.error("erasure_start_not_readable", offset=message.offset(), error=str(refused))
        else:
            self._begin(message.partition() or 0, start)
        consumer.commit(message=message, asynchronous=False)

    def _begin(self, partition: int, start: ErasureStart) -> None:
        known = self._known.get(partition, {}).get(start.user_id)
        # A later request of the same person comes only after the earlier one is over: until then it is held back.
        if known is not None and (known.id == start.id or known.version >= start.version):
            return
        log.info("erasure_began", erasure=start.id)
        self._metrics.began()
        self._keep(partition, begin(start, self._now()))

    def _go_on(self) -> None:
        """Do one step of each erasure whose turn it is."""
        homes = {one.id: partition for partition, known in self._known.items() for one in known.values()}
        everyone = [one for known in self._known.values() for one in known.values()]
        if self.turned_at - self._sampled_at >= SAMPLE_SECONDS:
            self._sampled_at = self.turned_at
            self._metrics.shows(everyone)
        for erasure in turns(everyone, milliseconds(self._now())):
            self._step(homes[erasure.id], erasure)

    def _delete_plain(self) -> None:
        plain = self._plain
        # That of the first partition does it.
        if plain is None or 0 not in self._known or self.turned_at - self._deleted_at < plain.every_seconds:
            return
        self._deleted_at = self.turned_at
        try:
            plain.delete(milliseconds(self._now()))
        except (KafkaException, KafkaUnavailable) as error:  # erasures go on without
            log.warning("plain_events_stay", reason=str(error))

    def _step(self, partition: int, erasure: Erasure) -> None:
        began = time.monotonic()
        came = self._eraser.step(erasure)
        result = after(erasure, came, self._now(), self._remembered_seconds)
        self._keep(partition, result)
        self._metrics.stepped(erasure, result, _outcome(came, result), time.monotonic() - began)
        if isinstance(came, Deleted):
            self._metrics.deleted(came.counts)
        if result.reason:
            log.warning("erasure_waits", erasure=erasure.id, step=result.step, reason=result.reason)
        elif result.step == "over":
            log.info("erasure_over", erasure=erasure.id, seconds=(self._now() - erasure.began_at).total_seconds())
        else:
            log.info("erasure_step_done", erasure=erasure.id, step=erasure.step)

    def _keep(self, partition: int, erasure: Erasure) -> None:
        topic = self._catalogue.erasure_log.name
        self._eraser.send([(topic, erasure.user_id.encode(), encode_erasure_record(erasure))])
        if partition in self._known:
            self._known[partition][erasure.user_id] = erasure


def _outcome(came: Came, result: Erasure) -> StepOutcome:
    if isinstance(came, Failed):
        return "failed"
    return "waits" if result.reason else "done"
