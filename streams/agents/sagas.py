"""Runs sagas: feeds the machine what comes in, keeps what it decides, then carries it out.

What is decided is durable before it is carried out, the other way round than in the ingest role (decision 16): a write
of which its saga knows nothing could not be undone. So a record that comes again changes nothing, and has all asked for
once more that has no end yet.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import partial

import structlog
from msgspec import Struct

from schemas.sagas import SagaEntry
from schemas.topics import Catalogue
from streams.deadletters import publish_with_letters
from streams.runtime.publisher import Outgoing, Publisher, TryAgain, Unpublishable
from streams.runtime.records import Record
from streams.runtime.tables import StateTable
from streams.runtime.transactions import Transaction, Transactions
from streams.sagas.batch import Batch
from streams.sagas.kinds import Kinds
from streams.sagas.line import Line, Turn
from streams.sagas.metrics import SagaMetrics
from streams.sagas.timers import Timers

log = structlog.get_logger(__name__)

FIRED_AT_ONCE = 500  # of a partition; receipts get their turn in between
ROUNDS = 100  # of that, before the other partitions get theirs
TOO_LARGE_MS = 60_000  # after which a subject of which something is too large for Kafka is looked at again


class Tables(Struct, frozen=True):
    """The state of the sagas role, partitioned by subject."""

    lines: StateTable[Line]  # subject -> its sagas that are not over
    # Id of a saga -> how it ended; expires. Durable before the line that has forgotten the saga: else a worker that is
    # killed in between leaves one of which nobody is ever told how it ended.
    ended: StateTable[SagaEntry]


class Coordinator:
    """Processes the runs of the topics that sagas read, and their timers.

    Args:
        catalogue: the topics.
        publisher: of all that is sent.
        transactions: of the tables.
        tables: where sagas are kept.
        kinds: those that run here.
        metrics: counts what happens.
        now_ms: a clock, milliseconds since 1970.
        ours: the partitions that this worker has; none while they change hands, and timers rest.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        publisher: Publisher,
        transactions: Transactions,
        tables: Tables,
        kinds: Kinds,
        metrics: SagaMetrics,
        now_ms: Callable[[], int],
        ours: Callable[[], Collection[int]],
    ) -> None:
        self._catalogue = catalogue
        self._publisher = publisher
        self._transactions = transactions
        self._tables = tables
        self._kinds = kinds
        self._metrics = metrics
        self._now_ms = now_ms
        self._ours = ours
        self._timers: dict[int, Timers] = {}
        metrics.read_from(self._look)

    async def process(self, records: Sequence[Record]) -> None:
        """See a batch through: when this returns, what was decided is durable, and carried out."""
        partition = records[0].partition
        if partition not in self._timers:  # before this worker begins any saga itself, whose writes would go out twice
            await self._take_over(partition)
        async with self._transactions.turn(partition) as transaction:
            batch = self._batch(partition, transaction)
            batch.prefetch(records)
            for record in records:
                batch.take(record)
            batch.keep()
            transaction.commit_after(partial(self._publish, batch.before_commit()))
        await self._carry_out(partition, batch)

    async def fire(self) -> None:
        """Do what is due; to be called several times a second."""
        ours = self._ours()
        if ours:  # else they may be on their way back to this worker, and what it knows of them still holds
            self._timers = {partition: known for partition, known in self._timers.items() if partition in ours}
        for partition in ours:
            try:
                if partition in self._timers:
                    await self._fire(partition, self._timers[partition])
                else:
                    await self._take_over(partition)
            except TryAgain as error:
                self._failed(partition, error)

    async def tell_again(self) -> None:
        """Tell of all sagas that are not over, so that the log of sagas does not forget those that do not move."""
        for partition in self._ours():
            timers = self._timers.get(partition)
            try:
                if timers is not None:
                    await self._look_at(partition, list(timers.open_subjects()), Turn.tell)
            except TryAgain as error:
                self._failed(partition, error)

    def overtaken(self, partition: int) -> None:
        """Learn that the lines of a partition came from the changelog: somebody else had it, and may have died asking.

        Where nothing came, nobody has decided anything since this worker did: its timers hold, and all that it decided
        it asks for itself.
        """
        self._timers.pop(partition, None)

    def _failed(self, partition: int, error: Exception) -> None:
        """Have the timers read again: then all is asked for again that was decided and not sent."""
        self._timers.pop(partition, None)
        log.warning("saga_timers_failed", partition=partition, error=str(error))

    async def _fire(self, partition: int, timers: Timers) -> None:
        for _ in range(ROUNDS):
            due = timers.due(self._now_ms(), FIRED_AT_ONCE)
            if not due or self._timers.get(partition) is not timers or partition not in self._ours():
                return
            await self._look_at(partition, due, Turn.wake)
            self._metrics.fired(len(due))

    async def _take_over(self, partition: int) -> None:
        """Read when sagas are due, and ask once more for what has no end yet: whoever had them may have died asking."""
        async with self._transactions.turn(partition) as transaction:
            lines = dict(transaction.view(self._tables.lines).starting_with(""))
            self._timers[partition] = Timers(lines.items())  # in the turn, so that no change falls in between
        try:
            await self._look_at(partition, lines, Turn.again)
        except BaseException:
            self._timers.pop(partition, None)
            raise

    async def _look_at(self, partition: int, subjects: Collection[str], look: Callable[[Turn], None]) -> None:
        """Look at subjects. One that is too large for Kafka must not keep the others from being seen to."""
        try:
            await self._look_at_all(partition, subjects, look)
        except Unpublishable as error:
            if len(subjects) > 1:
                for subject in subjects:
                    await self._look_at(partition, [subject], look)
                return
            [subject] = subjects
            log.error("saga_too_large", partition=partition, subject=subject, error=str(error))
            if timers := self._timers.get(partition):
                timers.put_off(subject, self._now_ms() + TOO_LARGE_MS)

    async def _look_at_all(self, partition: int, subjects: Collection[str], look: Callable[[Turn], None]) -> None:
        async with self._transactions.turn(partition) as transaction:
            batch = self._batch(partition, transaction)
            for subject in subjects:
                look(batch.turn(subject))
            batch.keep()
            transaction.commit_after(partial(self._publish, batch.before_commit()))
        await self._carry_out(partition, batch)

    def _batch(self, partition: int, transaction: Transaction) -> Batch:
        return Batch(
            self._catalogue,
            self._kinds,
            partition=partition,
            lines=transaction.view(self._tables.lines),
            ended=transaction.view(self._tables.ended, first=True),
            now_ms=self._now_ms(),
        )

    async def _publish(self, records: Sequence[Outgoing]) -> None:
        await publish_with_letters(self._publisher, self._catalogue, records)

    async def _carry_out(self, partition: int, batch: Batch) -> None:
        # Nothing was awaited since the commit: from the next time on these lines are whoever's turn it is.
        timers = self._timers.get(partition)
        if timers is not None:
            for subject, turn in batch.turns.items():
                timers.note(subject, turn.line)
        await self._publish(batch.outputs())
        self._metrics.inputs(batch.inputs)
        self._metrics.begun(Counter(start.definition for turn in batch.turns.values() for start in turn.begun))
        self._metrics.ended([entry for turn in batch.turns.values() for entry in turn.ended])
        for _, told in batch.alerts():
            log.warning("saga_stuck", saga=told.id, why=told.reason)
            self._metrics.alerted(told.definition)

    def _look(self) -> tuple[Counter[str], int]:
        counts, ours = Counter[str](), self._ours()
        known = [timers for partition, timers in self._timers.items() if partition in ours]
        for timers in known:
            counts.update(timers.counts())
        return counts, sum(map(len, known))
