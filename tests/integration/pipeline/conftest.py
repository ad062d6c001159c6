"""A pipeline for each test: its own topics, groups, databases and folder on servers that all tests share."""

import os
import signal
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from connectors.kafka.admin import TopicAdmin
from connectors.kafka.lag import LagMeter
from connectors.kafka.reading import StoredRecord, read_topics
from connectors.producers import EventProducer
from connectors.sinks.embedded import EmbeddedReaders
from deploy.local.kafka import KafkaServer
from deploy.local.postgres import PostgresServer
from schemas.clock import HybridClock
from schemas.events import Event
from schemas.writes import STORES
from streams.app import Role, group_of
from streams.demo.ledger import Ledger
from streams.demo.run import readers_of
from streams.demo.verdict import Verdict, judge
from streams.settings import Options, all_options, load
from streams.supervisor import RoleProcess

PATIENCE_SECONDS = 90.0


class Pipeline:
    """The roles of one test, and what went in."""

    def __init__(self, options: Options, environment: Mapping[str, str]) -> None:
        self.options = options
        self.catalogue = options.catalogue()
        self.ledger = Ledger()
        self.clock = HybridClock()
        self.environment = environment
        self._roles: list[RoleProcess] = []

    def start(self, role: Role | str, name: str | None = None, **variables: str) -> RoleProcess:
        """Start one more process of a role; `variables` are added to its environment."""
        arguments = (role, "run") if role in ("archive", "cdc", "erasure") else ("worker", role)
        process = RoleProcess(
            name or f"{role}-{len(self._roles)}",
            arguments,
            folder=self.options.data_dir / "run",
            env={**self.environment, **variables},
        )
        process.start()
        self._roles.append(process)
        return process

    def stop(self) -> None:
        """Stop all processes of all roles."""
        for role in self._roles:
            role.stop()
        self._roles.clear()

    def producer(self) -> EventProducer:
        """Return a producer whose acknowledgements are remembered."""
        return EventProducer(
            self.options.kafka.connection(),
            self.catalogue,
            source="/tests",
            clock=self.clock,
            on_delivery=self.ledger.note,
        )

    def publish(self, events: Sequence[Event]) -> None:
        """Publish events and wait for the brokers."""
        with self.producer() as producer:
            for event in events:
                producer.publish(event)

    def readers(self) -> EmbeddedReaders:
        """Return the readers of the stores."""
        return readers_of(self.options)

    def letters(self) -> list[StoredRecord]:
        """Return the dead letters."""
        return read_topics(self.options.kafka.connection(), [self.catalogue.dead_letters.name])

    def lag(self, role: Role) -> int:
        """Return how many records a role has not finished."""
        meter = LagMeter(self.options.kafka.connection(), group_of(role, self.options))
        try:
            return sum(one.lag for one in meter.progress(self._topics(role)).values())
        finally:
            meter.close()

    def settle(self) -> None:
        """Wait until everything that went in has been processed to its end."""
        self.wait_for(lambda: self.lag("ingest") == 0 and self.lag("deliver") == 0, "everything is processed")

    def wait_for(self, condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for a condition; fails with the ends of the logs when it does not come."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join(f"== {role.name}\n{role.last_lines()}" for role in self._roles)
                pytest.fail(f"not within {seconds:.0f} s: {what}\n{logs}")
            time.sleep(0.1)

    def through_a_kill(self, events: Sequence[Event], *, meanwhile: Callable[[], object] = lambda: None) -> Verdict:
        """Process events, the worker that delivers killed in the middle, and compare the stores with what went in.

        Args:
            events: of which half are published before it is killed.
            meanwhile: called before that.
        """
        try:
            self.start("ingest", "ingest")
            deliver = self.start("deliver", "deliver")
            half = len(events) // 2
            self.publish(events[:half])
            meanwhile()
            before = self.lag("deliver")
            self.wait_for(lambda: self.lag("ingest") == 0 or self.lag("deliver") != before, "the worker works")
            assert deliver.pid is not None
            os.kill(deliver.pid, signal.SIGKILL)
            self.wait_for(lambda: deliver.pid is None, "it is dead")
            deliver.start()
            self.publish(events[half:])
            self.settle()
            assert self.letters() == []
            return self.verdict()
        finally:
            self.stop()

    def verdict(self) -> Verdict:
        """Stop everything and compare the stores with what went in."""
        self.stop()
        return judge(self.options, self.ledger.records(), [])

    def _topics(self, role: Role) -> list[str]:
        catalogue = self.catalogue
        if role == "deliver":
            return [catalogue.writes(store, lane).name for store in STORES for lane in ("normal", "urgent")]
        sources = (catalogue.user_events, catalogue.gps_events, catalogue.urgent_events, *catalogue.all_changes)
        inner = (catalogue.waiting_events, catalogue.reference_places, catalogue.resumed_events, catalogue.claims)
        inner += (catalogue.person_changes,)
        return [topic.name for topic in (*sources, *inner)]


@pytest.fixture
def pipeline(
    kafka_server: KafkaServer, postgres_server: PostgresServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Pipeline]:
    name = f"t{zlib.crc32(request.node.nodeid.encode()):08x}"
    postgres_server.create_database(name)
    overrides: dict[str, Any] = {
        "data_dir": str(tmp_path / "data"),
        "kafka.bootstrap": kafka_server.bootstrap,
        "kafka.topic_prefix": f"{name}.",
        "source.dsn": postgres_server.dsn(name),
        "source.slot": name,
        "source.publication": name,
        "stores.relational.url": postgres_server.dsn(name),
        "enrich.place_wait_seconds": 5,
        **getattr(request, "param", {}),
    }
    options = load(environ={}, overrides=overrides).options
    variables = {option.name: option.variable for option in all_options()}
    environment = {variables[key]: _as_text(value) for key, value in overrides.items()}
    TopicAdmin(options.kafka.connection()).apply(TopicAdmin(options.kafka.connection()).plan(options.catalogue()))
    made = Pipeline(options, environment)
    yield made
    made.stop()


def _as_text(value: Any) -> str:
    return ",".join(cast("list[str]", value)) if isinstance(value, list) else str(value)


@pytest.fixture
def left_running() -> Callable[[Path], list[str]]:
    """Return what tells the command lines of processes that still use a data folder."""

    def found(folder: Path) -> list[str]:
        lines: list[str] = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                variables = (process / "environ").read_bytes().split(b"\0")
            except OSError:
                continue  # it ended meanwhile
            if str(folder) in line or f"TRAVELOS_DATA_DIR={folder}".encode() in variables:
                lines.append(line)
        return lines

    return found
