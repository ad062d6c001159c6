# pyright: reportUnknownMemberType=false, reportIncompatibleMethodOverride=false
"""A `faust.App` whose agents may ask for runs, with a publisher and state tables."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import aiokafka.helpers
import faust
import structlog
from faust.types.transports import TransportT

from connectors.kafka.connection import Connection
from streams.runtime.agents import Process, SetAside, hand_over, run_agent
from streams.runtime.publisher import Publisher
from streams.runtime.records import Run
from streams.runtime.state_folder import StateFolder
from streams.runtime.tables import StateTable, Transactions
from streams.runtime.transport import RunTransport

V = TypeVar("V")

log = structlog.get_logger(__name__)

SESSION_SECONDS = 10.0
STOP_SECONDS = 10.0
# How much of the input may be in work at a time, over all partitions; records that are larger come one by one.
BUFFER_BYTES = 64 * 1024 * 1024


class StreamApp(faust.App):
    """A Faust app on the run transport.

    Everything of Faust works as documented; what is added: `runs` (an agent that takes runs), `state` (a state table),
    `publisher` (started and stopped with the app) and `transactions`.
    """

    run_topics: frozenset[str]
    urgent_topics: frozenset[str]
    run_changelogs: frozenset[str]

    def __init__(
        self,
        group: str,
        connection: Connection,
        *,
        state_folder: StateFolder,
        partitions: int,
        buffer_bytes: int = BUFFER_BYTES,
        **settings: Any,
    ) -> None:
        self.state_folder = state_folder
        self.buffer_bytes = buffer_bytes
        self._followed: list[Followed] = []
        self.run_topics = frozenset()
        self.urgent_topics = frozenset()
        self.run_changelogs = frozenset()
        self.publisher = Publisher(connection)
        self.transactions = Transactions(self.publisher)
        self._drains: list[Callable[[], None]] = []
        hosts = ";".join(f"aiokafka://{host}" for host in connection.bootstrap.split(","))
        super().__init__(
            group,
            broker=hosts,
            broker_credentials=_credentials(connection),
            datadir=str(state_folder.path),
            store="rocksdb://",
            topic_partitions=partitions,
            # The catalogue creates topics; Faust would create others, with other settings.
            topic_allow_declare=False,
            topic_disable_leader=True,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=4 * 1024 * 1024,
            # A run is processed in one go: this bounds how long an urgent one waits for its turn.
            broker_max_poll_records=1_000,
            broker_commit_interval=1.0,
            # Faust's 60 s mean that for a minute nobody reads what a killed worker left. Heartbeats come from a thread
            # of their own, so a long batch does not miss them.
            broker_session_timeout=SESSION_SECONDS,
            broker_heartbeat_interval=SESSION_SECONDS / 5,
            stream_wait_empty=True,
            web_enabled=False,
            **settings,
        )

    def runs(
        self, topics: Sequence[str], process: Process, set_aside: SetAside, *, name: str, urgent: bool = False
    ) -> None:
        """Register an agent that takes runs; see `streams.runtime.agents.run_agent`."""
        self.run_topics |= set(topics)
        if urgent:
            self.urgent_topics |= set(topics)
        run_agent(self, topics, process, set_aside, name=name)

    def hand_over(
        self, topics: Sequence[str], accept: Callable[[Run], None], *, name: str, urgent: bool = False
    ) -> None:
        """Register an agent that gives its runs away; see `streams.runtime.agents.hand_over`."""
        self.run_topics |= set(topics)
        if urgent:
            self.urgent_topics |= set(topics)
        hand_over(self, topics, accept, name=name)

    def state(self, name: str, value_type: type[V], *, changelog: str, ttl_seconds: int | None = None) -> StateTable[V]:
        """Define a state table; see `streams.runtime.tables.StateTable`."""
        return StateTable(self, name, value_type, changelog=changelog, ttl_seconds=ttl_seconds)

    def owned(self, topic: str) -> list[int]:
        """Return the partitions of a topic that this worker reads now; none while they change hands."""
        if self.rebalancing:
            return []
        return sorted(tp.partition for tp in self.consumer.assignment() if tp.topic == topic)

    def on_drain(self) -> None:
        """Tell everything that lingers that the consumer waits for it."""
        for drain in self._drains:
            drain()

    def add_drain(self, drain: Callable[[], None]) -> None:
        """Have `drain` called before a rebalance or a stop."""
        self._drains.append(drain)

    def follow(self, reader: "Followed") -> None:
        """Have a reader started before the agents, which begin when it is ready, and stopped after them."""
        self._followed.append(reader)

    def every(self, seconds: float, function: Callable[[], Awaitable[None]]) -> None:
        """Have `function` called at an interval while the app runs."""
        self.timer(seconds)(function)

    def background(self, function: Callable[[], Awaitable[None]]) -> None:
        """Have `function` run from when the app is ready until it stops."""
        self.task(function)

    async def on_start(self) -> None:
        """Start what the agents need before they can get a record."""
        self.publisher.start()
        for reader in self._followed:
            reader.start()
        for reader in self._followed:
            await reader.ready.wait()
        await super().on_start()

    async def on_stop(self) -> None:
        """Stop reading; when brokers that are away hold this up, the process ends all the same."""
        last_resort = threading.Timer(STOP_SECONDS, _end_process)
        last_resort.daemon = True
        last_resort.start()
        await super().on_stop()

    async def on_shutdown(self) -> None:
        """Stop it after them."""
        await super().on_shutdown()
        for reader in self._followed:
            await reader.stop()
        await self.publisher.stop()
        self.state_folder.close()

    def _new_transport(self) -> TransportT:
        return RunTransport(self.conf.broker_consumer, self)


def _end_process() -> None:
    # What was not finished is not committed: the next worker does it again.
    log.warning("stop_took_too_long", seconds=STOP_SECONDS)
    os._exit(1)


class Followed(Protocol):
    """Something that reads beside the agents."""

    ready: asyncio.Event

    def start(self) -> None:
        """Begin to read."""
        ...

    async def stop(self) -> None:
        """Stop reading."""
        ...


def _credentials(connection: Connection) -> Any:
    if connection.security_protocol == "PLAINTEXT":
        return None
    context = None
    if connection.security_protocol.endswith("SSL"):
        context = aiokafka.helpers.create_ssl_context(cafile=connection.ca_file)
    if connection.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=connection.username,
            password=connection.password,
            mechanism=connection.sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context)
