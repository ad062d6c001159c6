"""One store's delivery: its topics, the worker, what goes in, and whether store and topic add up."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException, Producer

from bench.stores.adding_up import Identity, differences, newest, unaccounted
from bench.stores.writes import writes
from connectors.kafka.admin import TopicAdmin
from connectors.kafka.errors import NO_ANSWER, error_of
from connectors.kafka.lag import LagMeter, Progress
from connectors.kafka.reading import read_topics
from connectors.kafka.watermarks import LEADERLESS
from connectors.sinks.contract import Held
from schemas.receipts import decode_receipt
from schemas.writes import BaseWrite, StoreName, decode_write, encode_write, key_of
from streams.app import group_of
from streams.settings import load
from streams.stores import sink_of
from streams.supervisor import RoleProcess

PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.05
ASKED_AT_ONCE = 500
# What brokers say, or do not, that are short of processor time.
PASSING = NO_ANSWER | LEADERLESS


class NotReached(TimeoutError):  # noqa: N818 - says what happened
    """What was waited for did not come; the message ends with the last lines of the worker's log."""


class Delivered:
    """A worker that delivers the writes of one store.

    Args:
        store: which one.
        bootstrap: of a running broker.
        prefix: of its topics, consumer group and transactional ids; new.
        folder: for its log and state.
        through: variables of the store, as the worker sees it.
        directly: as whoever reconciles sees it, without a proxy.
        seed: of what is written.
        entities: how many different ones.
    """

    def __init__(
        self,
        store: StoreName,
        bootstrap: str,
        prefix: str,
        folder: Path,
        *,
        through: Mapping[str, str],
        directly: Mapping[str, str],
        seed: int = 1,
        entities: int = 500,
    ) -> None:
        self.store: StoreName = store
        common = {
            "TRAVELOS_DATA_DIR": str(folder),
            "TRAVELOS_KAFKA_BOOTSTRAP": bootstrap,
            "TRAVELOS_KAFKA_TOPIC_PREFIX": prefix,
        }
        self._options = load(environ={**common, **directly}).options
        self.catalogue = self._options.catalogue()
        self.connection = self._options.kafka.connection()
        self._topic = self.catalogue.writes(store).name
        self._writes = writes(store, entities, seed)
        self._producer = Producer({**self.connection.producer(), "linger.ms": 5, "log_level": 2})
        self._meter = LagMeter(self.connection, group_of("deliver", self._options))
        self.worker = RoleProcess("deliver", ("worker", "deliver"), folder=folder / "run", env={**common, **through})

    def __enter__(self) -> Self:
        """Make the topics and start the worker."""
        admin = TopicAdmin(self.connection)
        admin.apply(admin.plan(self.catalogue))
        self.worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the worker."""
        self.worker.stop()
        self._meter.close()

    def send(self, count: int) -> None:
        """Send so many writes and wait for Kafka's acknowledgement."""
        self.produce(islice(self._writes, count))
        left = self._producer.flush(PATIENCE_SECONDS)
        if left:
            raise NotReached(f"{left} writes were not acknowledged by Kafka")

    def produce(self, some: Iterable[BaseWrite]) -> None:
        """Hand writes to the producer."""
        for write in some:
            while True:
                try:
                    self._producer.produce(self._topic, encode_write(write), key=key_of(write))
                except BufferError:
                    self._producer.poll(0.1)
                else:
                    break
        self._producer.poll(0)

    def next(self) -> BaseWrite:
        """Return the next write of the load, for whoever paces it."""
        return next(self._writes)

    def lag(self) -> int:
        """Return how many writes have no end yet."""
        return self._progress().lag

    def done(self) -> int:
        """Return how many writes have one."""
        return self._progress().done

    def settle(self, seconds: float = PATIENCE_SECONDS) -> float:
        """Wait until all that was sent has an end; return how long that took."""
        began = time.monotonic()
        self.wait_for(lambda: self.lag() == 0, "every write has an end", seconds)
        return time.monotonic() - began

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for a condition.

        Raises:
            NotReached: it did not come true in time.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise NotReached(f"not within {seconds:.0f} s: {what}\n{self.worker.last_lines()}")
            time.sleep(LOOK_SECONDS)  # between two looks; nothing tells when it comes true

    def kill(self) -> None:
        """End the worker as a crash would, and start the next one."""
        pid = self.worker.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        self.wait_for(lambda: self.worker.pid is None, "the worker is gone")
        self.worker.start()

    def problems(self) -> list[str]:
        """Compare topic, receipts, dead letters and store as sets; return what does not add up.

        Every write has an end, none was applied twice, none is a dead letter, and of each entity the store holds the
        last version, once, or nothing where that is a delete.
        """
        sent = [decode_write(record.value or b"") for record in read_topics(self.connection, [self._topic])]
        receipts = [
            decode_receipt(record.value or b"")
            for record in read_topics(self.connection, [self.catalogue.receipts.name])
        ]
        letters = read_topics(self.connection, [self.catalogue.dead_letters.name])
        last = newest(sent)
        return [
            *unaccounted(sent, (one for one in receipts if one.store == self.store)),
            *(f"dead letter of {letter.key!r}" for letter in letters),
            *differences(last, self._held(list(last))),
        ]

    def _progress(self) -> Progress:
        """Ask for offsets, again and again while brokers that are short of processor time do not say.

        Raises:
            KafkaException: they did not within the patience of a trial, or never will.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._meter.progress([self._topic])[self._topic]
            except KafkaException as error:
                if error_of(error).code() not in PASSING or time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_SECONDS)  # between two questions; nothing tells when there is an answer

    def _held(self, identities: list[Identity]) -> dict[Identity, Held]:
        sink = sink_of(self.store, self._options)
        sink.open()
        try:
            held: dict[Identity, Held] = {}
            for start in range(0, len(identities), ASKED_AT_ONCE):
                held |= sink.held(identities[start : start + ASKED_AT_ONCE])
            return held
        finally:
            sink.close()
