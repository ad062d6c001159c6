# pyright: reportUnknownMemberType=false, reportIncompatibleMethodOverride=false
# pyright: reportIncompatibleVariableOverride=false
"""A `faust.App` whose agents may ask for runs, with a publisher and state tables."""

import asyncio
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import aiokafka.helpers
import faust
import structlog
from faust.types.transports import ProducerT, TransportT
from mode import ServiceT

from connectors.kafka.connection import Connection
from streams.runtime.agents import PlainWork, Process, SetAside, hand_over, run_agent
from streams.runtime.assignor import EvenAssignor
from streams.runtime.batches import BatchAgent, BatchFunction, decoder
from streams.runtime.crash_journal import CrashJournal
from streams.runtime.crashes import DEATHS_ALONE
from streams.runtime.faults import FaultPoints
from streams.runtime.hold_ups import HoldUps
from streams.runtime.lanes import Lanes, Urgency
from streams.runtime.metrics import RuntimeMetrics
from streams.runtime.pauses import Pauses
from streams.runtime.progress import PATIENCE_SECONDS
from streams.runtime.publisher import QUEUE_RECORDS, Publisher
from streams.runtime.records import Record, Run
from streams.runtime.retry import RetryPolicy
from streams.runtime.sampling import take_sample, where
from streams.runtime.state_folder import StateFolder
from streams.runtime.state_memory import StateMemory
from streams.runtime.tables import StateTable
from streams.runtime.transactions import Transactions
from streams.runtime.transport import RunTransport
from streams.runtime.watch import Watch
from streams.runtime.web import WorkerPages
from streams.runtime.windows import WindowTable

V = TypeVar("V")

log = structlog.get_logger(__name__)

SESSION_SECONDS = 10.0
STOP_SECONDS = 10.0
# How much of the input may be in work at a time, over all partitions; records that are larger come one by one.
BUFFER_BYTES = 64 * 1024 * 1024


class StreamApp(faust.App):
    """A Faust app on the run transport.

    Everything of Faust works as documented; what is added: `runs` (an agent that takes runs), `state` (a state table),
    `publisher` (started and stopped with the app), `transactions`, `metrics`, `pauses` (topics of which nothing more is
    to be fetched for now), and `watch`, which knows if it is stuck.

    Args:
        group: the consumer group.
        connection: how to reach the brokers.
        state_folder: where tables lie.
        partitions: of every topic.
        buffer_bytes: how much may be delivered and not finished, over all partitions.
        fetch_interval: seconds between two fetches from a broker, at least: fewer and larger runs cost less.
        queue_records: how many records may be sent and not acknowledged; whoever sends more waits.
        patience: how many seconds something that has work may not move before the worker counts as stuck.
        dead_letters: the topic of dead letters; without one each record that is set aside counts as a dead letter.
        set_aside_after_crashes: how often in a row the process may die at one suspected record before that record is
            set aside.
        urgent_may_wait: so many records of urgent topics may wait to begin before others let them pass.
        settings: those of Faust; they win over the ones that are chosen here.
    """

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
        fetch_interval: float = 0.0,
        queue_records: int = QUEUE_RECORDS,
        patience: float = PATIENCE_SECONDS,
        dead_letters: str | None = None,
        set_aside_after_crashes: int = DEATHS_ALONE,
        urgent_may_wait: int = 0,
        **settings: Any,
    ) -> None:
        self.group = group
        self.state_folder = state_folder
        self.crashes = CrashJournal(state_folder.path, group, allowed=set_aside_after_crashes)
        self.state_memory = StateMemory()
        self.buffer_bytes = buffer_bytes
        self.fetch_interval = fetch_interval
        self._followed: list[Followed] = []
        self.urgent_topics = frozenset()
        self.run_changelogs = frozenset()
        self._counts_letters = dead_letters is not None
        self.metrics = RuntimeMetrics(dead_letters)
        self.hold_ups = HoldUps()
        self.pauses = Pauses()
        self.urgency = Urgency(may_wait=urgent_may_wait)
        self.lanes: dict[str, Lanes] = {}
        self.watch = Watch(partial(take_sample, self), partial(where, self), patience=patience)
        self.metrics.read_from(group, self.watch.snapshot)
        self._pages: WorkerPages | None = None
        self._agents_by_topic: dict[str, str] = {}
        self.faults = FaultPoints.from_environment()
        self.publisher = Publisher(
            connection, queue_records=queue_records, faults=self.faults, on_published=self.metrics.published
        )
        self.transactions = Transactions(self.publisher, self.faults)
        self._drains: list[Callable[[], None]] = []
        self._closes: list[Callable[[], None]] = []
        hosts = ";".join(f"aiokafka://{host}" for host in connection.bootstrap.split(","))
        defaults: dict[str, Any] = {
            "broker": hosts,
            "broker_credentials": _credentials(connection),
            "datadir": str(state_folder.path),
            "store": "rocksdb://",
            "topic_partitions": partitions,
            # The catalogue creates topics; Faust would create others, with other settings.
            "topic_allow_declare": False,
            "topic_disable_leader": True,
            "consumer_auto_offset_reset": "earliest",
            "consumer_max_fetch_size": 4 * 1024 * 1024,
            # A run is processed in one go: this bounds how long an urgent one waits for its turn. In longer runs more
            # records share the reading and writing of a key.
            "broker_max_poll_records": 2_000,
            "broker_commit_interval": 1.0,
            # Faust's 60 s mean that for a minute nobody reads what a killed worker left. Heartbeats come from a thread
            # of their own, so a long batch does not miss them.
            "broker_session_timeout": SESSION_SECONDS,
            "broker_heartbeat_interval": SESSION_SECONDS / 5,
            "stream_wait_empty": True,
            "PartitionAssignor": EvenAssignor,
            "web_enabled": False,
        }
        chosen = defaults | settings
        self.most_records: int = chosen["broker_max_poll_records"]
        super().__init__(group, **chosen)

    def runs(
        self, topics: Sequence[str], process: Process, set_aside: SetAside, *, name: str, urgent: bool = False
    ) -> None:
        """Register an agent that takes runs; see `streams.runtime.agents.run_agent`."""
        if urgent:
            self.urgent_topics |= set(topics)
        work = PlainWork(process, set_aside if self._counts_letters else self._counted(set_aside))
        run_agent(self, topics, lambda _: work, retry=RetryPolicy(attempts=1), crashes=self.crashes, name=name)

    def batches(
        self,
        *topics: str,
        dead_letters: str,
        value_type: Any = Any,
        decode: Callable[[bytes], Any] | None = None,
        tombstones: bool = False,
        keeps_state: bool = True,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - it cannot be changed
        name: str | None = None,
        urgent: bool = False,
    ) -> Callable[[BatchFunction], BatchFunction]:
        """Register the function below as an agent that takes batches; see `streams.runtime.batches`.

        Args:
            topics: what it reads.
            dead_letters: the topic for records that do not decode or that it fails on; their headers tell why.
            value_type: a msgspec type; values are JSON of it.
            decode: makes values of bytes in another way.
            tombstones: null values are deletions and given as None; without it they do not decode.
            keeps_state: False for one that uses no table; it then does not wait for others that use the partition's.
            retry: how often a record that fails is tried.
            name: of the agent; that of the function when not given.
            urgent: its topics' batches are taken first.
        """

        def register(function: BatchFunction) -> BatchFunction:
            called = name or function.__name__
            agent = BatchAgent(
                function=function,
                decode=decoder(value_type, decode),
                tombstones=tombstones,
                keeps_state=keeps_state,
                dead_letters=dead_letters,
                component=f"{self.group}.{called}",
                publisher=self.publisher,
                transactions=self.transactions,
            )
            if urgent:
                self.urgent_topics |= set(topics)
            self.metrics.count_letters(dead_letters)
            run_agent(self, topics, agent.work_on, retry=retry, crashes=self.crashes, name=called)
            return function

        return register

    def hand_over(
        self,
        topics: Sequence[str],
        accept: Callable[[Run], None],
        set_aside: SetAside,
        *,
        name: str,
        urgent: bool = False,
    ) -> None:
        """Register an agent that gives its runs away; see `streams.runtime.agents.hand_over`."""
        if urgent:
            self.urgent_topics |= set(topics)
        set_aside = set_aside if self._counts_letters else self._counted(set_aside)
        hand_over(self, topics, accept, set_aside, hurry=self.on_drain, crashes=self.crashes, name=name)

    def state(
        self,
        name: str,
        value_type: type[V],
        *,
        changelog: str,
        ttl_seconds: int | None = None,
        reuses: bool = False,
    ) -> StateTable[V]:
        """Define a state table; see `streams.runtime.tables.StateTable`."""
        return StateTable(
            self,
            name,
            value_type,
            changelog=changelog,
            ttl_seconds=ttl_seconds,
            memory=self.state_memory,
            reuses=reuses,
        )

    def windows(
        self,
        name: str,
        value_type: type[V],
        *,
        changelog: str,
        size: timedelta,
        step: timedelta | None = None,
        lateness: timedelta = timedelta(0),
    ) -> WindowTable[V]:
        """Define a windowed table; see `streams.runtime.windows.WindowTable`."""
        return WindowTable(
            self,
            name,
            value_type,
            changelog=changelog,
            size=size,
            step=step,
            lateness=lateness,
            memory=self.state_memory,
        )

    def serve(self, listener: socket.socket) -> None:
        """Have /metrics, /live and /ready answered while the app runs; see `streams.runtime.web.listen`."""
        self._pages = WorkerPages(listener, self.metrics.registry, self.watch)

    def agent_of(self, topic: str) -> str:
        """Return the name of the agent that reads a topic; that of the topic when there is none."""
        if topic not in self._agents_by_topic:
            agents = cast("Mapping[str, Any]", self.agents)
            self._agents_by_topic |= {read: name for name, one in agents.items() for read in one.get_topic_names()}
        return self._agents_by_topic.setdefault(topic, topic)

    def owned(self, topic: str) -> list[int]:
        """Return the partitions of a topic that this worker reads now; none while they change hands, or it stops."""
        if self.rebalancing or self.should_stop:
            return []
        return sorted(tp.partition for tp in self.consumer.assignment() if tp.topic == topic)

    def on_drain(self) -> None:
        """Tell everything that lingers that the consumer waits for it."""
        for drain in self._drains:
            drain()

    def add_drain(self, drain: Callable[[], None]) -> None:
        """Have `drain` called before a rebalance or a stop."""
        self._drains.append(drain)

    def at_end(self, close: Callable[[], None]) -> None:
        """Have `close` called after the agents have stopped."""
        self._closes.append(close)

    def follow(self, reader: "Followed") -> None:
        """Have a reader started before the agents, which begin when it is ready, and stopped after them."""
        self._followed.append(reader)

    def every(self, seconds: float, function: Callable[[], Awaitable[None]]) -> None:
        """Have `function` called at an interval while the app runs."""
        self.timer(seconds)(function)

    def background(self, function: Callable[[], Awaitable[None]]) -> None:
        """Have `function` run from when the app is ready until it stops."""
        self.task(function)

    async def maybe_start_producer(self) -> ProducerT:
        """Return the producer. Faust takes three turns of the event loop to see that it runs, for every record."""
        producer = self.producer
        return producer if cast(ServiceT, producer).started else await super().maybe_start_producer()

    async def on_start(self) -> None:
        """Start what the agents need before they can get a record."""
        self.watch.start()
        if self._pages is not None:
            await self._pages.start()
        self.crashes.open()
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
        # Whoever kills a worker that was asked to stop is impatient; no record is to blame.
        self.crashes.close()
        await super().on_stop()

    async def on_shutdown(self) -> None:
        """Stop it after them."""
        await super().on_shutdown()
        for reader in self._followed:
            await reader.stop()
        for close in self._closes:
            close()
        await self.publisher.stop()
        self.state_folder.close()
        if self._pages is not None:
            await self._pages.stop()
        await self.watch.stop()

    def on_rebalance_start(self) -> None:
        """Count a rebalance as it begins."""
        self.metrics.rebalanced()
        super().on_rebalance_start()

    def _counted(self, set_aside: SetAside) -> SetAside:
        async def counted(record: Record, error: Exception) -> None:
            await set_aside(record, error)
            self.metrics.dead_lettered(record.topic, type(error).__name__)

        return counted

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
