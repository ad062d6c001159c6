"""Settles what several sources say of one entity, and routes what they agree on as a change of the line `agreed`.

What is agreed is durable before it goes out, as in the sagas role and unlike elsewhere in the ingest role: claims and
decisions come from two topics, and what was not kept may be read again in another order, and come to something else
with the same version. So a record that comes again changes nothing, and has what is agreed sent once more.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from streams.agents.changes import routed, seal_of
from streams.agents.ingest import Ingest
from streams.conflicts.batch import Batch
from streams.conflicts.known import Known, Tally
from streams.conflicts.metrics import ConflictMetrics
from streams.conflicts.rules import Rules
from streams.runtime.records import Record
from streams.runtime.tables import StateTable


class Tables(Struct, frozen=True):
    """The state of what is settled, partitioned by entity."""

    entities: StateTable[Known]  # entity -> what is known of it
    tallies: StateTable[Tally]  # type -> how many there are in the partition


class Reconciler:
    """Processes the runs of the topics of claims and of operators' decisions.

    Args:
        ingest: how writes leave.
        rules: how types are settled.
        tables: what is known.
        metrics: counts what happens.
        now_ms: a clock, milliseconds since 1970.
    """

    def __init__(
        self, ingest: Ingest, rules: Rules, tables: Tables, metrics: ConflictMetrics, now_ms: Callable[[], int]
    ) -> None:
        self._ingest = ingest
        self._rules = rules
        self._tables = tables
        self._metrics = metrics
        self._now_ms = now_ms
        self._tallies: dict[int, dict[str, Tally]] = {}  # of partitions that this worker has
        metrics.read_from(self._look)

    async def process(self, records: Sequence[Record]) -> None:
        """See a batch through: when this returns, its state is in the changelog and its outputs are in Kafka."""
        ingest, partition = self._ingest, records[0].partition
        async with ingest.transactions.turn(partition) as transaction:
            # By its position a tally tells what it counts. An entity that is kept does not tell whether it is counted.
            tallies = transaction.view(self._tables.tallies, first=True)
            entities = transaction.view(self._tables.entities)
            batch = Batch(ingest.catalogue, self._rules, entities, tallies, self._now_ms())
            entities.prefetch({record.key for record in records if record.key})  # at once
            for record in records:
                batch.take(record)
            agreed = batch.agreed()
            outputs = [*batch.outputs(), *routed(ingest, agreed, await seal_of(ingest, agreed))]
            transaction.commit_after(lambda: ingest.publish(batch.letters))
        if partition in self._tallies:  # else they are read from the table, all of them
            self._tallies[partition] |= batch.tallies
        await ingest.publish(outputs)
        self._metrics.took(batch.outcomes)
        self._metrics.agreed(batch.agreed_at, self._now_ms())

    async def count(self, partitions: Iterable[int]) -> None:
        """Read how many entities there are in partitions that came to this worker, and forget those that left it."""
        owned = set(partitions)
        self._tallies = {partition: found for partition, found in self._tallies.items() if partition in owned}
        for partition in owned - self._tallies.keys():
            async with self._ingest.transactions.turn(partition) as transaction:
                view = transaction.view(self._tables.tallies)
                found = {name: view.get(name) or Tally() for name in self._rules.types}
            self._tallies[partition] = found

    def _look(self) -> Mapping[str, Tally]:
        counts: dict[str, Tally] = defaultdict(Tally)
        for tallies in self._tallies.values():
            for name, tally in tallies.items():
                one = counts[name]
                counts[name] = Tally(one.entities + tally.entities, one.undecided + tally.undecided)
        return counts
