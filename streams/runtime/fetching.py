# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""What is fetched at a time: the part of the transport that runs in the consumer's own thread."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any, cast

from aiokafka.conn import CloseReason
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.runtime.commits import RunApp
from streams.runtime.fetch_client import FetchClient
from streams.runtime.fetch_planning import actions_per_node
from streams.runtime.unpacking import FetchedRecords

# How many bytes of a partition are delivered and not finished before no more of it is asked for. A run may be a handful
# of records, so counting runs would starve whoever batches across them. With many partitions each gets its share of the
# app's `buffer_bytes`: a store that is down fills its own share and leaves the others theirs.
PARTITION_BYTES = 512 * 1024
# How long a broker holds a fetch when it has nothing new. Faust has 1.5 s: a partition that has room again waits for
# that fetch, which was sent without it.
FETCH_WAIT_MS = 50
# aiokafka leaves the group when it was not polled for `broker_max_poll_interval`, because a store hangs, say. It joins
# again only once it is polled, and Faust does not poll during a rebalance: it stays out for ever, and so does each
# worker that gets the same record next. Here heartbeats alone keep the place; `Watch` tells when nothing moves.
LONGEST_POLL_INTERVAL_MS = 2**31 - 1


def share_of(buffer_bytes: int, partitions: int) -> int:
    """Return how many bytes each of so many partitions may have open, so that all together keep to `buffer_bytes`."""
    return max(1, min(PARTITION_BYTES, buffer_bytes // max(1, partitions)))


async def open_connection(get: Callable[..., Awaitable[Any]], node_id: object, **options: Any) -> Any:
    """Return aiokafka's connection to a broker, as `get` does; None when there is none, also when it has just closed.

    A transport of uvloop that has closed raises RuntimeError when it is written to, before its connection knows.
    aiokafka's task that looks for the brokers ends with that, unnoticed, when a broker is killed at a bad moment; from
    then on the worker reads and sends as ever, but neither heartbeats nor commits.
    """
    connection = await get(node_id, **options)
    if connection is None or connection._writer is None:
        return connection
    if connection._writer.transport.is_closing():
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        return None
    return connection


class FetchThread(driver.AIOKafkaConsumerThread):
    """Faust's thread around an aiokafka consumer, with our limits and with `streams.runtime.unpacking`."""

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._max_poll_interval_ms = LONGEST_POLL_INTERVAL_MS
        consumer._client._get_conn = partial(open_connection, consumer._client._get_conn)
        interval = cast(RunApp, self.app).fetch_interval
        consumer._client.send = FetchClient(consumer._client.send, consumer._subscription, interval).send
        # Records of a transaction that was aborted, or is not over, never happened. Faust reads them.
        consumer._isolation_level = "read_committed"
        # What is fetched ahead, compressed; aiokafka holds at most one response of each broker.
        consumer._fetch_max_bytes = cast(RunApp, self.app).buffer_bytes // 4
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Collection[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Any:
        fetched = consumer._fetcher._records
        if not isinstance(fetched, FetchedRecords):
            fetched = consumer._fetcher._records = FetchedRecords(fetched)
            consumer._fetcher._get_actions_per_node = partial(actions_per_node, consumer._fetcher)
        fetched.poll_bytes = cast(Any, self.consumer).share
        app = cast(RunApp, self.app)
        if all(tp.topic in app.run_changelogs for tp in active_partitions):
            # A restore: nothing urgent waits meanwhile, and a changelog's records are small. In polls of a thousand,
            # handing each over from thread to thread took twice as long as applying it.
            max_records = None
        fetched.put_first(app.urgent_topics)
        found = await super()._fetch_records(consumer, cast(Any, active_partitions), timeout, max_records)
        fetched.took(found)
        # Nothing was awaited since: the positions are those after exactly these records.
        return Fetched(found, _positions(consumer, active_partitions))


class Fetched(dict[TP, list[Any]]):
    """Records by partition, and up to where each partition was read.

    A position may lie after the last record: what is between holds none (the end of a transaction, records of an
    aborted one, what compaction removed).
    """

    def __init__(self, records: Mapping[TP, list[Any]], positions: Mapping[TP, int]) -> None:
        super().__init__(records)
        self.positions = positions


def _positions(consumer: Any, tps: Collection[TP]) -> dict[TP, int]:
    subscription = consumer._subscription.subscription
    assignment = None if subscription is None else subscription.assignment
    if assignment is None:
        return {}
    states = assignment._tp_state
    found = ((tp, states.get(tp)) for tp in tps)
    return {tp: state._position for tp, state in found if state is not None and state._position is not None}
