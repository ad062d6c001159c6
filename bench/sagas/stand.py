"""The roles that run sagas, as processes on a real Kafka with embedded stores, and what can be asked of them."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, Producer

from bench.sagas.declared import SOURCE, THREE, Shape
from connectors.kafka.admin import ensure_topics
from connectors.kafka.errors import error_of
from connectors.kafka.lag import LagMeter, Progress
from connectors.kafka.reading import read_topics
from connectors.sinks.content import stored
from schemas.sagas import Request, SagaEntry, SagaStart, decode_saga_record, encode_saga_record
from schemas.writes import StoreName, encode_write, key_of, store_of
from streams.app import Role, group_of
from streams.settings import all_options, load
from streams.stores import sink_of
from streams.supervisor import RoleProcess

KINDS = "bench.sagas.declared:KINDS"
EMBEDDED: Mapping[StoreName, str] = {
    "cache": "bench.sagas.refusing:RefusingCache",
    "graph": "bench.sagas.refusing:RefusingGraph",
    "search": "bench.sagas.refusing:RefusingSearch",
    "vector": "bench.sagas.refusing:RefusingVector",
}
# Of vectors there is no server to be had.
SERVERS: Mapping[StoreName, str] = {
    "cache": "bench.sagas.refusing:RefusingRedis",
    "graph": "bench.sagas.refusing:RefusingNeo4j",
    "search": "bench.sagas.refusing:RefusingElasticsearch",
    "relational": "bench.sagas.refusing:RefusingRelational",
    "timeseries": "bench.sagas.refusing:RefusingInflux",
    "objects": "bench.sagas.refusing:RefusingS3",
    "warehouse": "bench.sagas.refusing:RefusingS3Warehouse",
}
CONTENT: Mapping[StoreName, Callable[[Any], Any]] = {
    "cache": lambda write: write.value,
    "graph": lambda write: write.properties,
    "search": lambda write: write.name,
    "relational": lambda write: write.columns["title"],
    "vector": lambda write: write.text,
    "timeseries": lambda write: write.fields,
    "objects": lambda write: write.data,
    "warehouse": lambda write: write.body,
}


def content_of(write: Any) -> Any:
    """Return what is told apart of a write; None of one that says that there is nothing."""
    return None if write.op == "delete" else CONTENT[store_of(write)](write)


class NotReached(AssertionError):  # noqa: N818 - says what is wrong
    """Something did not come about in time; the message says what, with the ends of the logs."""


class Stand:
    """One installation.

    Args:
        bootstrap: of the brokers.
        prefix: of its topics and groups.
        folder: for its stores, state and logs.
        refused: share of the writes that each store refuses.
        servers: the variables that say where the servers of stores are; without them, stores are embedded.
        shape: of its sagas; those of all stores need servers.
    """

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        folder: Path,
        *,
        refused: float = 0.0,
        servers: Mapping[str, str] | None = None,
        shape: Shape = THREE,
    ) -> None:
        overrides: dict[str, Any] = {
            "data_dir": str(folder),
            "kafka.bootstrap": bootstrap,
            "kafka.topic_prefix": prefix,
            "sagas.enabled": True,
            "sagas.declared": KINDS,
        }
        for store in shape.steps.values():
            served = bool(servers) and store in SERVERS
            overrides[f"stores.{store}.kind"] = (SERVERS if served else EMBEDDED)[store]
            if not served:
                overrides[f"stores.{store}.path"] = str(folder / "stores" / f"{store}.db")
            overrides[f"stores.{store}.share"] = refused
        variables = {option.name: option.variable for option in all_options()}
        self.environment = {
            **(servers or {}),
            **{
                variables.get(name, f"TRAVELOS_{name.replace('.', '_').upper()}"): str(value)
                for name, value in overrides.items()
            },
        }
        self.options = load(environ=self.environment).options
        self.catalogue = self.options.catalogue()
        self.connection = self.options.kafka.connection()
        self.shape = shape
        self._folder = folder
        self._roles: list[RoleProcess] = []
        ensure_topics(self.connection, self.catalogue)

    def start(self, role: Role, **environment: str) -> RoleProcess:
        """Start one worker of a role."""
        name = f"{role}-{len(self._roles)}"
        folder = self._folder / "run"
        process = RoleProcess(name, ("worker", role), folder=folder, env={**self.environment, **environment})
        process.start()
        self._roles.append(process)
        return process

    def stop(self) -> None:
        """Stop all workers."""
        for role in self._roles:
            role.stop()
        self._roles.clear()

    def leave(self, process: RoleProcess) -> None:
        """Have a worker not started again."""
        self._roles.remove(process)

    def check(self) -> None:
        """Start again what has ended."""
        for role in self._roles:
            role.check()

    def publish(self, starts: Iterable[SagaStart], *, pace: Callable[[int], None] = lambda _: None) -> None:
        """Have sagas begin; return when Kafka has all of them.

        Args:
            starts: the sagas.
            pace: called before each with how many there were before it; may wait.
        """
        producer = Producer({**self.connection.producer(), "linger.ms": 2, "queue.buffering.max.messages": 1_000_000})
        topic = self.catalogue.saga_starts.name
        for number, start in enumerate(starts):
            pace(number)
            producer.produce(topic, encode_saga_record(start), start.subject.encode())
            producer.poll(0)
        if left := producer.flush(60):
            raise NotReached(f"{left} sagas were not taken by Kafka")

    def write_again(self, starts: Iterable[SagaStart]) -> None:
        """Send the writes of sagas once more, past their coordinator, as one that comes late."""
        producer = Producer(self.connection.producer())
        for start in starts:
            for write in start.writes.values():
                if not isinstance(write, Request):
                    topic = self.catalogue.writes(store_of(write)).name
                    producer.produce(topic, encode_write(write), key_of(write).encode())
        if left := producer.flush(60):
            raise NotReached(f"{left} writes were not taken by Kafka")

    def undelivered(self) -> int:
        """Return how many writes have not come to their end."""
        return sum(one.lag for one in self._progress("deliver"))

    def committed(self, role: Role) -> int:
        """Return how many records a role has committed of what begins its work."""
        return sum(one.done for one in self._progress(role))

    def _progress(self, role: Role) -> Sequence[Progress]:
        of_sagas = [self.catalogue.saga_starts.name]
        topics = of_sagas if role == "sagas" else [topic.name for topic, _, _ in self.catalogue.all_writes()]
        meter = LagMeter(self.connection, group_of(role, self.options))
        try:
            return list(meter.progress(topics).values())
        finally:
            meter.close()

    def entries(self) -> dict[str, SagaEntry]:
        """Return what the log says last of each saga, by id."""
        found: dict[str, SagaEntry] = {}
        records = read_topics(self.connection, [self.catalogue.saga_log.name])
        for record in sorted(records, key=lambda one: (one.partition, one.offset)):
            entry = decode_saga_record(record.value, SagaEntry)
            found[entry.id] = entry
        return found

    def statuses(self) -> Counter[str]:
        """Return how many sagas have which status."""
        return Counter(entry.status for entry in self.entries().values())

    def alerts(self) -> int:
        """Return how many alerts there were."""
        return len(read_topics(self.connection, [self.catalogue.saga_alerts.name]))

    def wait_for(self, condition: Callable[[], Any], what: str, seconds: float) -> None:
        """Wait for a condition; while a broker is too busy to answer it is not there yet.

        Raises:
            NotReached: it did not come in time.
        """
        deadline = time.monotonic() + seconds
        while not self._holds(condition):
            if time.monotonic() > deadline:
                logs = "\n".join(f"== {role.name}\n{role.last_lines()}" for role in self._roles)
                raise NotReached(f"not within {seconds:.0f} s: {what}\n{logs}")
            time.sleep(0.2)  # between two looks; the condition decides

    def _holds(self, condition: Callable[[], Any]) -> bool:
        try:
            return bool(condition())
        except KafkaException as error:
            print(f"  {error_of(error).str()}", flush=True)
            return False

    def wrong(self, starts: Iterable[SagaStart]) -> list[str]:
        """Return the subjects of which a store holds something else than what their sagas left.

        That is the content that the newest saga wrote which was completed, in all stores; nothing where there is none.
        The workers must have stopped.
        """
        entries = self.entries()
        subjects: dict[str, SagaStart] = {}
        left: dict[str, SagaStart] = {}
        for start in sorted(starts, key=lambda one: one.version):
            subjects[start.subject] = start
            if entries[start.id].status == "completed":
                left[start.subject] = start
        found: dict[str, None] = {}
        for step, store in self.shape.steps.items():
            sink: Any = sink_of(store, self.options)
            sink.open()
            try:
                places = [start.writes[step] for start in subjects.values()]
                for first in range(0, len(places), 1_000):
                    part = places[first : first + 1_000]
                    for write, held in zip(part, stored(sink, part), strict=True):
                        start = left.get(write.entity)
                        if content_of(held) != (None if start is None else content_of(start.writes[step])):
                            found[write.entity] = None
            finally:
                sink.close()
        return list(found)

    def held(self, subject: str) -> int:
        """Return how many stores hold a subject."""
        count = 0
        for store in self.shape.steps.values():
            sink = sink_of(store, self.options)
            sink.open()
            try:
                found = sink.held([(subject, SOURCE)]).get((subject, SOURCE))
                count += found is not None and not found.deleted and found.copies > 0
            finally:
                sink.close()
        return count


def killed_itself(process: RoleProcess) -> bool:
    """Whether a worker has ended, as by kill -9.

    Raises:
        NotReached: it has ended by itself; the message says how.
    """
    if process.pid is not None or process.exit_code is None:
        return False
    if process.exit_code != -signal.SIGKILL:
        raise NotReached(f"{process.name} has ended with {process.exit_code}\n{process.last_lines()}")
    return True


def kill(process: RoleProcess) -> None:
    """Kill a worker, -9; nothing is done when it is dead already."""
    pid = process.pid
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
