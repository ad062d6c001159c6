"""The stream: from what the server sends to records, and back to it how far they are safe.

One thread, one loop, nothing in it waits: records go to a queue that never blocks, and when that is full the loop stops
reading and goes on reporting. So a slow Kafka slows the reading down but cannot get us cut off by `wal_sender_timeout`.
"""

import time
from collections.abc import Callable, Iterator
from operator import itemgetter

from connectors.cdc.acknowledgement import Acknowledgements
from connectors.cdc.connect import translated
from connectors.cdc.errors import Disconnected, MalformedMessage
from connectors.cdc.incremental import IncrementalSnapshot
from connectors.cdc.replication import DATA, KEEPALIVE, KIND, keepalive, start_lsn
from connectors.cdc.session import Session
from connectors.cdc.signalling import Signalling
from connectors.cdc.slot_watch import SlotWatch
from connectors.cdc.streamed import CONTROL, StreamedTransactions
from connectors.cdc.table_watch import TableWatch
from connectors.cdc.transactions import TransactionReader

IDLE_SECONDS = 0.2  # the longest wait for the server, so that a stop is noticed
OWED_SECONDS = 0.01  # the same while Kafka owes acknowledgements
FULL_SECONDS = 0.05  # the wait for Kafka when its queue is full
SILENCE_SECONDS = 60.0  # the server answers every status; when it does not for so long, nobody is there
_END = object()
_type_of, _kind_of = itemgetter(0), itemgetter(KIND)
HEARTBEAT = b"SELECT pg_logical_emit_message(false, 'travelos.heartbeat', '')"


class Stream:
    """The changes of one connection, from START_REPLICATION on.

    Args:
        session: its replication connection streams.
        reader: for what it sends.
        acknowledgements: of the reader.
        snapshot: of tables that are read meanwhile.
        signalling: what is asked of us meanwhile.
        slot_watch: looks at the slot with each heartbeat.
        table_watch: looks for tables that are captured too.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        session: Session,
        reader: TransactionReader,
        acknowledgements: Acknowledgements,
        snapshot: IncrementalSnapshot | None = None,
        signalling: Signalling | None = None,
        slot_watch: SlotWatch | None = None,
        table_watch: TableWatch | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = session.config
        self._status_seconds = status_interval(session.config.status_seconds, session.found.server.sender_timeout_ms)
        self._is_standby = session.found.server.in_recovery
        self._control = session.control
        self._replication = session.replication
        self._publisher = session.publisher
        self._offsets = session.offsets
        self._counters = session.counters
        self._stop = session.stop
        self._reader = reader
        self._acknowledgements = acknowledgements
        self._snapshot = snapshot
        self._signalling = signalling
        self._slot_watch = slot_watch
        self._table_watch = table_watch
        self._clock = clock
        self._received = acknowledgements.confirmed
        self._reported = 0
        # When each was done last.
        self._heard = self._status = self._offset = self._heartbeat = clock()
        self._asked = False  # the server wants to hear from us at once
        self._streamed = StreamedTransactions(session.config.spill_folder)
        self._left: Iterator[None] | None = None  # of the messages that were read last

    def close(self) -> None:
        """Let go of what is kept of large transactions; the server sends it again."""
        self._streamed.close()

    def run(self) -> None:
        """Stream until a stop is asked for, or tables are found for which another connection is needed.

        Raises:
            Fatal: going on cannot be right.
            Disconnected: Postgres or Kafka is gone; what they have not both confirmed comes again after a restart.
        """
        while not self._stop.requested:
            snapshot = self._snapshot
            if self._publisher.room and not (snapshot is not None and snapshot.holds_stream):
                self._go_on()
                self._publisher.serve(0)
            else:
                self._publisher.serve(self._patience() if self._publisher.room else FULL_SECONDS)
                self._heard = self._clock()  # who does not read cannot say that the server is silent
            if self._signalling is not None:
                self._signalling.step()
            if snapshot is not None:
                snapshot.step()
            self._keep_up()
            tables = self._table_watch
            if tables is not None and tables.found and self._left is None and self._reader.is_between:
                return

    def _patience(self) -> float:
        """Return how long to wait for the server, in seconds."""
        if self._snapshot is not None and self._snapshot.busy:
            return 0.0
        owed = self._publisher.queued or (self._snapshot is not None and self._snapshot.waiting)
        return OWED_SECONDS if owed else IDLE_SECONDS

    def save(self, timeout: float) -> None:
        """Wait until Kafka has what was sent, and its offset. What takes longer comes again after a restart.

        Raises:
            Fatal, Disconnected: see `run`.
        """
        deadline = self._clock() + timeout
        self._publisher.flush(timeout)
        self._write_offset()
        self._publisher.flush(max(0.0, deadline - self._clock()))

    def finish(self, timeout: float) -> None:
        """Save, and tell the server.

        Raises:
            Fatal, Disconnected: see `run`.
        """
        self.save(timeout)
        self._send_status()

    def _go_on(self) -> None:
        """Handle what is left of the last messages, or the next ones."""
        if self._left is not None:
            if next(self._left, _END) is _END:
                self._left = None
            self._heard = self._clock()  # who does not read cannot say that the server is silent
            return
        messages = self._replication.read(self._patience())
        if messages:
            self._heard = self._clock()
            left = self._handle(messages)
            if next(left, _END) is not _END:
                self._left = left

    def _handle(self, messages: list[bytes]) -> Iterator[None]:
        """Handle messages; stop after each part of a large transaction, so that its end is not waited for."""
        streamed = self._streamed
        if not streamed.inside and _are_changes(messages):
            self._handle_all(messages)
            self._counters.received_lsn = self._received
            return
        run: list[bytes] = []
        for message in messages:
            if message[0] == DATA:
                if message[KIND] not in CONTROL:
                    if streamed.inside:
                        streamed.keep(message)
                    else:
                        run.append(message)
                elif (transaction := streamed.take(message)) is not None:
                    self._handle_all(run)
                    run = []
                    for part in transaction:
                        self._handle_all(part)
                        yield
                continue
            self._handle_all(run)
            run = []
            if message[0] != KEEPALIVE:
                raise MalformedMessage(f"unknown message {message[:1]!r} in the stream")
            alive = keepalive(message)
            self._acknowledgements.reached(alive.lsn)
            self._received = max(self._received, alive.lsn)
            self._asked |= alive.reply_requested
        self._handle_all(run)
        self._counters.received_lsn = self._received

    def _handle_all(self, run: list[bytes]) -> None:
        if run:
            self._reader.handle_all(run)
            self._received = max(self._received, start_lsn(run[-1]))

    def _keep_up(self) -> None:
        """Do what is due: an offset to Kafka, a status to the server, a heartbeat to its WAL."""
        now = self._counters.turned_at = self._clock()
        self._counters.queued = self._publisher.queued
        if self._asked or now - self._offset >= self._config.offset_seconds:
            self._write_offset()
        confirmed = self._offsets.acknowledged
        if self._asked or confirmed > self._reported or now - self._status >= self._status_seconds:
            self._send_status()
        if now - self._heartbeat >= self._config.heartbeat_seconds:
            self._heartbeat = now
            if not self._is_standby:  # which tells by its keepalives how far it is
                with translated("writing a heartbeat"):
                    self._control.execute(HEARTBEAT)
            if self._slot_watch is not None:
                self._slot_watch.look(now)
        if self._table_watch is not None:
            self._table_watch.look(now)
        if now - self._heard > SILENCE_SECONDS:
            raise Disconnected(f"source.dsn: the server has been silent for {SILENCE_SECONDS:.0f} s")

    def _write_offset(self) -> None:
        self._offset = self._clock()
        self._offsets.write(self._acknowledgements.confirmed, self._acknowledgements.last_commit)

    def _send_status(self) -> None:
        # A reply tells how far the server is: with nothing of ours in its WAL, nothing else would.
        due = self._clock() - self._status >= self._status_seconds
        self._replication.send_status(received=self._received, confirmed=self._offsets.acknowledged, reply=due)
        self._reported = self._counters.confirmed_lsn = self._offsets.acknowledged
        self._asked = False
        if due:
            self._status = self._clock()


def _are_changes(messages: list[bytes]) -> bool:
    """Whether there is nothing else among them; looked at by loops of the library, as it is for each row."""
    return set(map(_type_of, messages)) == {DATA} and CONTROL.isdisjoint(map(_kind_of, messages))


def status_interval(wanted: float, sender_timeout_ms: int) -> float:
    """Return the seconds between two statuses: as wanted, but a third of what the server allows at most."""
    return min(wanted, sender_timeout_ms / 3_000) if sender_timeout_ms > 0 else wanted
