"""The roles that settle conflicts, as processes on a real Kafka with embedded stores, and what can be asked of them."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.conflicts.agreement import STORES
from bench.conflicts.changes import SOURCES, TABLE
from connectors.kafka.admin import ensure_topics
from connectors.kafka.lag import LagMeter
from schemas.writes import StoreName
from streams.app import group_of
from streams.demo.run import readers_of
from streams.routing.entities import AGREED
from streams.settings import load
from streams.stores import sink_of
from streams.supervisor import RoleProcess

ASKED_AT_ONCE = 1_000


class NotReached(AssertionError):  # noqa: N818 - says what is wrong
    """Something did not come about in time; the message says what, with the ends of the logs."""


class Stand:
    """One installation in which places have two sources; the last write wins.

    Relations between similar places are not kept: they follow from all places, not from what was agreed on one.

    Args:
        bootstrap: of the brokers.
        folder: for its stores, state and logs.
    """

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.environment = {
            "TRAVELOS_DATA_DIR": str(folder),
            "TRAVELOS_KAFKA_BOOTSTRAP": bootstrap,
            "TRAVELOS_SOURCE_TABLES": TABLE,
            "TRAVELOS_ENRICH_SIMILAR_PLACES": "0",
            "TRAVELOS_CONFLICTS_SOURCES": SOURCES[1],
            "TRAVELOS_CONFLICTS_TYPES_PLACE_STRATEGY": "last_write_wins",
        }
        self.options = load(environ=self.environment).options
        self.catalogue = self.options.catalogue()
        self.connection = self.options.kafka.connection()
        self._folder = folder
        self._roles: list[RoleProcess] = []
        ensure_topics(self.connection, self.catalogue)

    def start(self, role: str) -> None:
        """Start a worker of a role."""
        process = RoleProcess(role, ("worker", role), folder=self._folder / "run", env=self.environment)
        process.start()
        self._roles.append(process)

    def stop(self) -> None:
        """Stop all workers."""
        for role in self._roles:
            role.stop()
        self._roles.clear()

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait for a condition.

        Raises:
            NotReached: it did not come in time.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join(f"== {role.name}\n{role.last_lines()}" for role in self._roles)
                raise NotReached(f"not within {seconds:.0f} s: {what}\n{logs}")
            time.sleep(0.2)  # between two looks; the condition decides

    def told(self) -> int:
        """Return how many conflicts there were so far."""
        meter = LagMeter(self.connection, "bench-conflicts")
        try:
            return meter.progress([self.catalogue.conflicts.name])[self.catalogue.conflicts.name].end
        finally:
            meter.close()

    def lag(self) -> int:
        """Return how many changes, claims and writes have not come to their end."""
        read = [topic.name for topic in (*self.catalogue.all_changes, self.catalogue.claims)]
        topics = {"ingest": read, "deliver": [self.catalogue.writes(store).name for store in STORES]}
        left = 0
        for role in ("ingest", "deliver"):
            meter = LagMeter(self.connection, group_of(role, self.options))
            try:
                left += sum(one.lag for one in meter.progress(topics[role]).values())
            finally:
                meter.close()
        return left

    def wrong(self, expected: Mapping[str, str]) -> int:
        """Return of how many places a store lacks what was said last, or another version than the others.

        Args:
            expected: the phone of each place.
        """
        with readers_of(self.options).search() as reader:
            rows = reader.query("SELECT entity, fields ->> 'phone' AS phone FROM documents")
        shown = {row["entity"]: row["phone"] for row in rows}
        wrong = {entity for entity, phone in expected.items() if shown.get(entity) != phone}
        versions = [self._versions(list(expected), store) for store in STORES]
        for entity in expected:
            held = {one.get(entity) for one in versions}
            if len(held) != 1 or held == {None}:
                wrong.add(entity)
        return len(wrong | shown.keys() - expected.keys())

    def _versions(self, entities: list[str], store: StoreName) -> dict[str, int]:
        sink = sink_of(store, self.options)
        sink.open()
        try:
            found: dict[str, int] = {}
            for first in range(0, len(entities), ASKED_AT_ONCE):
                asked = [(entity, AGREED) for entity in entities[first : first + ASKED_AT_ONCE]]
                held = sink.held(asked)
                found |= {entity: one.version for (entity, _), one in held.items() if one.copies == 1}
            return found
        finally:
            sink.close()
