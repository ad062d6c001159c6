"""Agents that take batches: the records of a partition, decoded, with the tables and the outputs that belong to them.

    @app.batches("orders", value_type=Order, dead_letters="orders.dead")
    async def add_up(batch: Batch[Order]) -> None:
        view = batch.table(totals)
        for record, order in batch:
            total = view.update(order.customer, record, lambda old: (old or 0) + order.amount)
            batch.send("totals", key=order.customer, value=total)

When the function returns, what it sent is published and acknowledged, with the dead letters; then the changes of its
tables are committed; then the next batch comes. When it raises, nothing of that is done.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from streams.runtime.dead_letters import dead_letter, publish_with_letters
from streams.runtime.processing import Failure, WrongUse
from streams.runtime.publisher import Outgoing, Publisher, TryAgain
from streams.runtime.records import Record, Run
from streams.runtime.transactions import Transaction, Transactions, View, Viewable

V = TypeVar("V")
W = TypeVar("W", bound=View)

_encode = msgspec.json.Encoder().encode


class NullValue(ValueError):  # noqa: N818 - says what the value is
    """A record has no value, and its agent did not ask for deletions."""

    def __init__(self) -> None:
        super().__init__("the value is null; an agent that takes deletions is registered with tombstones=True")


class Rejected(ValueError):  # noqa: N818 - says what happened
    """The agent's function refused a record; the message is the reason it gave."""


class Invalid(NamedTuple):
    """A record that is dead-lettered, and why."""

    record: Record
    error: Exception


def decode_records(
    records: Sequence[Record], decode: Callable[[bytes], V], *, tombstones: bool = False
) -> tuple[list[Any], list[Invalid]]:
    """Return the values of records, in order, and the records that have none.

    Raises:
        TryAgain: what `decode` needs is away; nothing is wrong with the records.
    """
    values: list[Any] = []
    invalid: list[Invalid] = []
    add = values.append
    for record in records:
        value = record.value
        if value is not None:
            try:
                add(decode(value))
            except TryAgain:
                raise
            # A decoder of the user's may raise anything; whatever it is belongs to this record.
            except Exception as error:  # noqa: BLE001
                invalid.append(Invalid(record, error))
        elif tombstones:
            add(None)
        else:
            invalid.append(Invalid(record, NullValue()))
    return values, invalid


class Batch(Generic[V]):
    """Consecutive records of one partition and their values, in order.

    Attributes:
        records: those that decode.
        values: their values, one for each.
        invalid: the records that do not decode, with the reason; they are dead-lettered without further ado.
    """

    __slots__ = ("_keeps_state", "_outputs", "_rejected", "_transaction", "invalid", "records", "values")

    def __init__(
        self,
        records: Sequence[Record],
        values: Sequence[V],
        invalid: Sequence[Invalid],
        transaction: Transaction,
        *,
        keeps_state: bool,
    ) -> None:
        self.records = records
        self.values = values
        self.invalid = invalid
        self._transaction = transaction
        self._keeps_state = keeps_state
        self._outputs: list[Outgoing] = []
        self._rejected: list[Invalid] = []

    def __iter__(self) -> Iterator[tuple[Record, V]]:
        return zip(self.records, self.values, strict=True)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def topic(self) -> str:
        """Where the records come from."""
        return self.records[0].topic

    @property
    def partition(self) -> int:
        """Where the records come from."""
        return self.records[0].partition

    def table(self, table: Viewable[W]) -> W:
        """Return a view of the partition of a table. Its changes are committed after the batch.

        Raises:
            WrongUse: the agent was registered as one that keeps no state.
        """
        if not self._keeps_state:
            raise WrongUse(f"table {table.name} is used by an agent with keeps_state=False; register it without that")
        return self._transaction.view(table)

    def send(
        self,
        topic: str,
        *,
        key: str | bytes | None,
        value: Any,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int | None = None,
    ) -> None:
        """Send a record once the function has returned.

        Args:
            topic: where to.
            key: a text is sent as UTF-8.
            value: bytes as they are, a text as UTF-8, None as null, anything else as JSON.
            headers: of the record.
            partition: None leaves the choice to the key.

        Raises:
            TypeError: the value is nothing that msgspec encodes.
        """
        if isinstance(value, str):
            value = value.encode()
        elif value is not None and not isinstance(value, bytes):
            value = _encode(value)
        self._outputs.append(Outgoing(topic, key.encode() if isinstance(key, str) else key, value, headers, partition))

    def reject(self, record: Record, reason: str) -> None:
        """Have one record dead-lettered; what was sent and changed because of it stays."""
        self._rejected.append(Invalid(record, Rejected(reason)))

    @property
    def outputs(self) -> Sequence[Outgoing]:
        """What was sent so far."""
        return self._outputs

    @property
    def rejected(self) -> Sequence[Invalid]:
        """What was rejected so far."""
        return self._rejected


BatchFunction = Callable[[Batch[Any]], Awaitable[None]]


class BatchAgent(Struct, frozen=True, kw_only=True):
    """A function that takes batches, and all it needs around it."""

    function: BatchFunction
    decode: Callable[[bytes], Any]
    tombstones: bool
    keeps_state: bool
    dead_letters: str
    component: str
    publisher: Publisher
    transactions: Transactions

    def work_on(self, run: Run) -> "BatchWork":
        """Return what is done with one run."""
        return BatchWork(self, run)


class BatchWork:
    """A run on its way through a `BatchAgent`; see `streams.runtime.processing.Work`."""

    def __init__(self, agent: BatchAgent, run: Run) -> None:
        self._agent = agent
        self._run = run
        self._letters: list[Outgoing] = []  # of records set aside; they leave before anything that comes after them

    async def process(self, records: Sequence[Record]) -> None:
        """Call the function with a batch of these records and make durable what came of it."""
        agent, partition = self._agent, self._run.tp.partition
        if agent.keeps_state:
            # Agents of several topics share the tables of a partition.
            async with agent.transactions.turn(partition) as transaction:
                outgoing = await self._outgoing(records, transaction)
                if outgoing is not None:
                    transaction.commit_after(lambda: self._publish(outgoing))
        else:
            outgoing = await self._outgoing(records, agent.transactions.begin(partition))
            if outgoing is not None:
                await self._publish(outgoing)

    async def _outgoing(self, records: Sequence[Record], transaction: Transaction) -> list[Outgoing] | None:
        """Call the function; return what goes out, or None when the run's next owner does that."""
        agent = self._agent
        values, invalid = decode_records(records, agent.decode, tombstones=agent.tombstones)
        if invalid:
            bad = {one.record.offset for one in invalid}
            records = [record for record in records if record.offset not in bad]
        batch = Batch(records, values, invalid, transaction, keeps_state=agent.keeps_state)
        if records:
            await agent.function(batch)
        if self._run.stale:
            return None
        return [
            *self._letters,
            *(self._letter(one, "decode") for one in invalid),
            *(self._letter(one, "process") for one in batch.rejected),
            *batch.outputs,
        ]

    async def _publish(self, outgoing: Sequence[Outgoing]) -> None:
        await publish_with_letters(self._agent.publisher, self._agent.dead_letters, outgoing)
        self._letters.clear()

    def _letter(self, one: Invalid, stage: str) -> Outgoing:
        agent = self._agent
        return dead_letter(agent.dead_letters, one.record, component=agent.component, stage=stage, error=one.error)

    async def set_aside(self, record: Record, failure: Failure) -> None:
        """Keep the dead letter of a record; it leaves with what comes after it, so that many leave at once."""
        letter = dead_letter(
            self._agent.dead_letters,
            record,
            component=self._agent.component,
            stage="process",
            error=failure.error,
            attempts=failure.attempts,
            first_failed_at=failure.first_failed_at,
            foreseen=failure.foreseen,
        )
        self._letters.append(letter)

    async def settle(self) -> None:
        """Publish the dead letters that are left."""
        await publish_with_letters(self._agent.publisher, self._agent.dead_letters, self._letters)
        self._letters.clear()


def decoder(value_type: Any, decode: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """Return what turns bytes into values: `decode`, or JSON as `value_type`.

    Raises:
        ValueError: both were given.
    """
    if decode is None:
        return msgspec.json.Decoder(value_type).decode
    if value_type is not Any:
        raise ValueError("value_type says how JSON is decoded; with decode= of your own leave it out")
    return decode
