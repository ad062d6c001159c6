# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The broker of the benchmark: topics made and removed, filled, and looked at."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.report import ROOT
from bench.runtime.workers import rate_of
from connectors.kafka.connection import Connection
from connectors.kafka.watermarks import partitions_of, watermarks

PARTITIONS = 4
COMPACTED = {"cleanup.policy": "compact"}
GIVEN_PEERS = ROOT.parent / "shared" / "peers"  # the peers as they were given, where they lie beside the tree
SECONDS = 10.0


class Broker:
    """One broker and what is asked of it."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.connection = Connection(bootstrap=bootstrap)
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    def create(self, topic: str, config: Mapping[str, str] | None = None) -> None:
        """Make a topic."""
        self._admin.create_topics([NewTopic(topic, PARTITIONS, 1, config=dict(config or {}))])[topic].result()

    def delete(self, *prefixes: str) -> None:
        """Remove all topics whose names begin so."""
        names = [name for name in self._admin.list_topics(timeout=SECONDS).topics if name.startswith(prefixes)]
        for future in self._admin.delete_topics(names).values() if names else ():
            future.result()

    def fill(self, topic: str, count: int, folder: Path) -> None:
        """Make a topic of the peers' events: 237 bytes each, of a thousand users."""
        given = GIVEN_PEERS / "fill.py"
        if given.exists():  # it makes its topic itself
            rate_of([sys.executable, given, topic, str(count), self.bootstrap], folder=folder)
        else:
            self.create(topic)
            module = "bench.peers.dict_producer"
            rate_of([sys.executable, "-m", module, topic, str(count), self.bootstrap], folder=folder)

    def ends(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """Return the offset after the last record, by topic and partition."""
        consumer = Consumer(self.connection.consumer("ends"))
        try:
            homes = [home for topic in topics for home in partitions_of(consumer, topic, timeout=SECONDS)]
            return {(home.topic, home.partition): watermarks(consumer, home, timeout=SECONDS)[1] for home in homes}
        finally:
            consumer.close()

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """Return what a group has committed, by topic and partition."""
        asked = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        found = asked[group].result().topic_partitions or []
        return {(home.topic, home.partition): home.offset for home in found if home.offset >= 0}
