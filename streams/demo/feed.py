"""Lets a world happen: publishes its events, its GPS fixes and its bad records, and changes its tables."""

import threading
from collections.abc import Callable
from itertools import islice

import psycopg

from connectors.producers.producer import EventProducer
from schemas.topics import Catalogue
from streams.demo.faults import Fault
from streams.demo.live import ChangeApplier
from streams.demo.world import World

CHANGES_PER_SECOND = 200.0


class Feed:
    """Three threads: user events with the bad records among them, GPS fixes, and changes of the tables.

    The tables change once the source of changes has its slot, so that the changes are streamed and not part of the
    snapshot. Places that events speak of before anybody knows them are inserted once all events are out.
    """

    def __init__(
        self, world: World, producer: EventProducer, catalogue: Catalogue, *, source_dsn: str, slot: str
    ) -> None:
        self._world = world
        self._producer = producer
        self._catalogue = catalogue
        self._dsn = source_dsn
        self._slot = slot
        self._applier = ChangeApplier(source_dsn, rate=CHANGES_PER_SECOND)
        self._events_out = threading.Event()
        self._failure: BaseException | None = None
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=f"feed-{work.__name__}", daemon=True)
            for work in (self._publish_events, self._publish_fixes, self._change_tables)
        ]

    @property
    def changes_made(self) -> int:
        """Statements executed so far."""
        return self._applier.applied

    @property
    def finished(self) -> bool:
        """Whether everything was sent and acknowledged.

        Raises:
            Exception: what ended one of the threads early.
        """
        if self._failure is not None:
            raise self._failure
        return not any(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End early and wait for the threads."""
        self._stopping.set()
        self._events_out.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _publish_events(self) -> None:
        world = self._world
        faults = sorted(world.faults, key=lambda fault: fault.after)
        sent = 0
        for fault in faults:
            for event in islice(world.events, sent, fault.after):
                self._producer.publish(event)
            sent = fault.after
            self._publish_fault(fault)
            if self._stopping.is_set():
                return
        for event in world.events[sent:]:
            self._producer.publish(event)
        self._producer.flush()
        self._events_out.set()

    def _publish_fault(self, fault: Fault) -> None:
        topics = {
            "user": self._catalogue.user_events,
            "gps": self._catalogue.gps_events,
            "urgent": self._catalogue.urgent_events,
        }
        self._producer.publish_raw(topics[fault.topic].name, fault.key, fault.value, fault.headers)

    def _publish_fixes(self) -> None:
        for fix in self._world.gps:
            if self._stopping.is_set():
                return
            self._producer.publish(fix)
        self._producer.flush()

    def _change_tables(self) -> None:
        changes = self._world.changes
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not _has_slot(connection, self._slot):
                if self._stopping.wait(0.05):
                    return
        self._applier.run(changes.changes[: changes.late_from], self._stopping)
        self._events_out.wait()
        self._applier.run(changes.changes[changes.late_from :], self._stopping)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        # Handed over to whoever looks at `finished`, which raises it there: nothing else would see it in this thread.
        except BaseException as error:
            self._failure = error
            self._events_out.set()
            raise


def _has_slot(connection: psycopg.Connection, slot: str) -> bool:
    found = connection.execute(
        "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND confirmed_flush_lsn IS NOT NULL", (slot,)
    )
    return found.fetchone() is not None


def wal_position(dsn: str) -> str:
    """Return the end of the WAL: every change made before is in front of it."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
    return "" if row is None else str(row[0])
