"""The source of changes: from a database to Kafka until it is told to stop."""

import time
from contextlib import ExitStack, closing

import structlog
from psycopg import Connection

from connectors.cdc.acknowledgement import Acknowledgements
from connectors.cdc.backoff import Backoff, Complaint
from connectors.cdc.config import CdcConfig
from connectors.cdc.connect import connect
from connectors.cdc.counters import Counters
from connectors.cdc.errors import Disconnected, SlotBusy, Stopped
from connectors.cdc.initial import take_snapshot
from connectors.cdc.lsn import format_lsn
from connectors.cdc.offset_log import OffsetLog
from connectors.cdc.offsets import OffsetReader
from connectors.cdc.preflight import Finding, Found, findings, look, require
from connectors.cdc.publication import ensure_publication
from connectors.cdc.publisher import Publisher
from connectors.cdc.replication import ReplicationConnection
from connectors.cdc.session import Session
from connectors.cdc.slot import take_lock
from connectors.cdc.start import Resume, decide
from connectors.cdc.stop import Stop
from connectors.cdc.stream import Stream
from connectors.cdc.transactions import TransactionReader
from connectors.kafka.connection import Connection as KafkaConnection

log = structlog.get_logger(__name__)

STEADY_SECONDS = 30.0  # an attempt that lasted longer was a success, and the next pause is short again
# The stream waits for its own small queries, so they must end before the server takes us for dead (60 s).
STATEMENT_SECONDS = 20
FINISH_SECONDS = 6.0  # of the ten that a graceful stop may take
MESSAGES_SINCE = 140_000  # the first server that streams logical messages


class Source:
    """The changes of one slot to Kafka. The topics have to exist. The constructor does no I/O.

    Every row there was and every change since arrives, the changes of one key in their order. After a crash some
    arrive again, with the same LSN as before. One source of a slot works at a time; others wait for their turn.
    """

    def __init__(self, config: CdcConfig, kafka: KafkaConnection) -> None:
        self.config = config
        self.counters = Counters()
        self._kafka = kafka
        self._warned: set[Finding] = set()

    def run(self, stop: Stop) -> None:
        """Work until a stop is asked for; connect again, for ever, when a connection is lost.

        Raises:
            Fatal: it will never work like this; the message names the option and what mends it.
        """
        backoff, complaint = Backoff(), Complaint()
        try:
            while not stop.requested:
                began = time.monotonic()
                try:
                    self._attempt(stop)
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

    def _attempt(self, stop: Stop) -> None:
        """Connect, take a snapshot if one is needed, and stream."""
        self.counters.phase = "connecting"
        config = self.config
        with ExitStack() as stack:
            control = connect(config.dsn, name=f"travelos cdc {config.slot}", statement_seconds=STATEMENT_SECONDS)
            stack.enter_context(closing(control))
            if not take_lock(control, config.slot):
                raise SlotBusy(f"source.slot {config.slot}: another source is at work; this one waits for its turn")
            found = self._look(control)
            with OffsetReader(self._kafka, config.offsets.name) as offsets:
                start = decide(config, found, offsets.last(config.slot, stop))
            publisher = stack.enter_context(closing(Publisher(self._kafka)))
            replication = ReplicationConnection(config.dsn, name=f"travelos cdc stream {config.slot}")
            session = Session(
                config=config,
                found=found,
                control=control,
                replication=stack.enter_context(closing(replication)),
                publisher=publisher,
                offsets=OffsetLog(publisher, config.offsets.name, config.slot, found.server.system_id),
                counters=self.counters,
                stop=stop,
            )
            if isinstance(start, Resume):
                _add_tables(session)
                session.offsets.resume(start.lsn)
            else:
                start = Resume(take_snapshot(session, start), None)
            _stream(session, start)

    def _look(self, control: Connection) -> Found:
        found = look(control, self.config)
        problems = findings(self.config, found)
        require(problems)
        for warning in problems:
            if warning not in self._warned:  # said once, not at each connection
                self._warned.add(warning)
                log.warning("source_warning", option=warning.option, problem=warning.problem, remedy=warning.remedy)
        return found


def _add_tables(session: Session) -> None:
    name = session.config.publication
    added = ensure_publication(session.control, name, session.found.publication, session.found.tables)
    if added:
        log.warning(
            "tables_added_without_snapshot",
            tables=[str(table) for table in added],
            publication=name,
            consequence="changes from now on are captured, the rows that are there already are not",
        )


def _stream(session: Session, start: Resume) -> None:
    session.replication.start(
        session.config.slot,
        session.config.publication,
        start.lsn,
        messages=session.found.server.version >= MESSAGES_SINCE,
        stop=session.stop,
    )
    session.counters.phase = "streaming"
    log.info("stream_started", lsn=format_lsn(start.lsn), slot=session.config.slot)
    acknowledgements = Acknowledgements(start.lsn, start.last_commit)
    stream = Stream(session, TransactionReader(session, acknowledgements), acknowledgements)
    try:
        stream.run()
    except Disconnected:
        stream.save(FINISH_SECONDS)  # what Kafka has taken meanwhile does not come again
        raise
    stream.finish(FINISH_SECONDS)
    log.info("stream_stopped", confirmed=format_lsn(session.offsets.acknowledged), not_sent=session.publisher.queued)
