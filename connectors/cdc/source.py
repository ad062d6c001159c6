"""The source of changes: from a database to Kafka until it is told to stop."""

import time
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext

import structlog
from psycopg import Connection

from connectors.cdc.acknowledgement import Acknowledgements
from connectors.cdc.backoff import Backoff, Complaint
from connectors.cdc.catalog import has_keys
from connectors.cdc.config import CdcConfig
from connectors.cdc.connect import connect
from connectors.cdc.counters import Counters
from connectors.cdc.created_topics import CreatedTopics, CreateTopics
from connectors.cdc.errors import Disconnected, SlotBusy, SlotLost, SlotMissing, Stopped
from connectors.cdc.found import Finding, Found
from connectors.cdc.incremental import IncrementalSnapshot
from connectors.cdc.initial import read_tables_only, take_snapshot
from connectors.cdc.known_values import LIMIT_BYTES, KnownValues
from connectors.cdc.lsn import format_lsn
from connectors.cdc.matching_tables import MatchingTables
from connectors.cdc.notifications import Notifications
from connectors.cdc.offset_log import OffsetLog
from connectors.cdc.offsets import CdcOffset, OffsetReader
from connectors.cdc.preflight import findings, look, require
from connectors.cdc.publisher import Publisher
from connectors.cdc.replication import ReplicationConnection, plugin_options
from connectors.cdc.resume import resume
from connectors.cdc.session import Session
from connectors.cdc.signal_table import SignalTable
from connectors.cdc.signal_topic import SignalTopic
from connectors.cdc.signalling import Signalling
from connectors.cdc.slot import take_lock
from connectors.cdc.slot_watch import SlotWatch
from connectors.cdc.start import Finished, ReadOnly, Resume, decide
from connectors.cdc.stop import Stop
from connectors.cdc.stream import Stream
from connectors.cdc.table_watch import TableWatch
from connectors.cdc.transactions import TransactionReader
from connectors.kafka.connection import Connection as KafkaConnection

log = structlog.get_logger(__name__)

STEADY_SECONDS = 30.0  # an attempt that lasted longer was a success, and the next pause is short again
# The stream waits for its own small queries, so they must end before the server takes us for dead (60 s).
STATEMENT_SECONDS = 20
FINISH_SECONDS = 6.0  # of the ten that a graceful stop may take


class Source:
    """The changes of one slot to Kafka. The topics have to exist. The constructor does no I/O.

    Those of tables are created with `create_topics`, if that is given: only the database knows which tables there are,
    and whether they have keys.

    Every row there was and every change since arrives, the changes of one key in their order. After a crash some
    arrive again, with the same LSN as before. One source of a slot works at a time; others wait for their turn.
    """

    def __init__(
        self,
        config: CdcConfig,
        kafka: KafkaConnection,
        *,
        create_topics: CreateTopics | None = None,
    ) -> None:
        self.config = config
        self._tables = MatchingTables(config)
        self._topics = CreatedTopics(kafka, create_topics)
        self.counters = Counters()
        self._kafka = kafka
        self._warned: set[Finding] = set()
        self._first = True

    def run(self, stop: Stop) -> None:
        """Work until a stop is asked for; connect again, for ever, when a connection is lost.

        With `snapshot="initial_only"` it ends by itself when the tables have been read.

        Raises:
            Fatal: it will never work like this; the message names the option and what mends it.
        """
        backoff, complaint = Backoff(), Complaint()
        try:
            while not stop.requested:
                began = time.monotonic()
                try:
                    if not self._attempt(stop):
                        return
                    log.info("source_starts_again", reason="tables were created that are captured too")
                except (SlotLost, SlotMissing) as error:
                    if self.counters.phase != "streaming":
                        raise
                    # Lost while it was streamed from: the next look decides, and `when_needed` reads the tables again.
                    log.error("slot_lost", reason=str(error))
                    self.counters.phase = "waiting"
                except Disconnected as error:
                    now = time.monotonic()
                    if now - began > STEADY_SECONDS:
                        backoff.succeeded()
                    pause = backoff.failed()
                    self.counters.phase = "waiting"
                    self.counters.disconnects += 1
                    if complaint.due(now):
                        log.warning("source_disconnected", reason=str(error), attempts=backoff.failures)
                    stop.pause(pause)
        except Stopped:
            log.info("source_stopped_while_it_waited")
        finally:
            self.counters.phase = "stopped"

    def _attempt(self, stop: Stop) -> bool:
        """Connect, take a snapshot if one is needed, and stream; whether to do so again, for more tables."""
        self.counters.phase = "connecting"
        config = self.config
        with ExitStack() as stack:
            control = connect(config.dsn, name=f"travelos cdc {config.slot}", statement_seconds=STATEMENT_SECONDS)
            stack.enter_context(closing(control))
            if not take_lock(control, config.slot):
                raise SlotBusy(f"source.slot {config.slot}: another source is at work; this one waits for its turn")
            config = self.config = self._tables.look(control)
            found = self._look(control)
            self._make_topics(found)
            with OffsetReader(self._kafka, config.offsets.name) as offsets:
                offset = offsets.last(config.slot, stop)
            start = decide(config, found, offset, first=self._first)
            if isinstance(start, Finished):
                log.info("nothing_to_do", snapshot=config.snapshot)
                return False
            publisher = stack.enter_context(closing(Publisher(self._kafka)))
            replication = ReplicationConnection(config.dsn, name=f"travelos cdc stream {config.slot}")
            session = Session(
                config=config,
                found=found,
                control=control,
                replication=stack.enter_context(closing(replication)),
                publisher=publisher,
                offsets=_offset_log(config, publisher, found, offset),
                counters=self.counters,
                stop=stop,
                known=KnownValues(LIMIT_BYTES if config.encoding.unavailable == "fill" else 0),
                signal_table=SignalTable(config.signal_table),
                notifications=_notifications(config, publisher),
                topics=self._topics,
            )
            if isinstance(start, ReadOnly):
                read_tables_only(session, start)
                return False
            if isinstance(start, Resume):
                if self._first and start.state.done and not start.new:
                    session.notifications.send("Initial Snapshot", "SKIPPED")
                resume(session, start)
            else:
                start = Resume(take_snapshot(session, start), None)
            self._first = False
            watch = TableWatch(self._tables, session)
            _stream(session, start, stack.enter_context(self._signals(offset)), watch)
            return watch.found

    def _signals(self, offset: CdcOffset | None) -> AbstractContextManager[SignalTopic | None]:
        config = self.config
        if config.signals is None:
            return nullcontext()
        return SignalTopic(self._kafka, config.signals.name, config.name, offset.signals if offset is not None else {})

    def _make_topics(self, found: Found) -> None:
        """Create the topics of tables; one of a table without keys is never compacted."""
        tables = [(table, self.config.topics[str(table)]) for table in found.tables]
        filters = self.config.filters
        self._topics.ensure([topic if has_keys(table, filters) else topic.without_keys() for table, topic in tables])

    def _look(self, control: Connection) -> Found:
        found = look(control, self.config)
        problems = findings(self.config, found)
        require(problems)
        for warning in problems:
            if warning not in self._warned:  # said once, not at each connection
                self._warned.add(warning)
                log.warning("source_warning", option=warning.option, problem=warning.problem, remedy=warning.remedy)
        return found


def _notifications(config: CdcConfig, publisher: Publisher) -> Notifications:
    topic = None if config.notifications is None else config.notifications.name
    return Notifications(publisher, topic, config.name, schemas=config.encoding.schemas)


def _offset_log(config: CdcConfig, publisher: Publisher, found: Found, offset: CdcOffset | None) -> OffsetLog:
    log = OffsetLog(publisher, config.offsets.name, config.slot, found.server.system_id, list(config.topics))
    log.signals = offset.signals if offset is not None else {}
    return log


def _stream(session: Session, start: Resume, signals: SignalTopic | None, tables: TableWatch) -> None:
    config = session.config
    # While a transaction runs the server sends messages without their savepoint: what is rolled back would stay.
    streaming = config.streaming and config.messages is None
    options = plugin_options(session.found.server.version, config.publication, streaming=streaming)
    session.replication.start(config.slot, start.lsn, options, session.stop)
    session.counters.turned_at = time.monotonic()
    session.counters.phase = "streaming"
    log.info("stream_started", lsn=format_lsn(start.lsn), slot=session.config.slot)
    acknowledgements = Acknowledgements(start.lsn, start.last_commit)
    reader = TransactionReader(session, acknowledgements)
    watch = SlotWatch(session.control, config.slot, session.counters, session.notifications)
    with ExitStack() as stack:
        snapshot = stack.enter_context(closing(IncrementalSnapshot(session, acknowledgements)))
        signalling = Signalling(session, snapshot, signals)
        stream = Stream(session, reader, acknowledgements, snapshot, signalling, watch, tables)
        stack.enter_context(closing(stream))
        try:
            stream.run()
        except Disconnected:
            stream.save(FINISH_SECONDS)  # what Kafka has taken meanwhile does not come again
            raise
        stream.finish(FINISH_SECONDS)
    log.info("stream_stopped", confirmed=format_lsn(session.offsets.acknowledged), not_sent=session.publisher.queued)
