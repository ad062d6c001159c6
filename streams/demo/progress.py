"""How far a demo has got: measured from Kafka and the stores, shown as a table."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

import psycopg
from msgspec import Struct
from rich.table import Table

from connectors.kafka.connection import Connection
from connectors.kafka.lag import LagMeter, Progress
from connectors.sinks.embedded import EmbeddedReaders
from connectors.sinks.errors import SinkError
from connectors.sinks.reader import QueryRefused, Reader
from schemas.topics import Catalogue
from schemas.writes import STORES, StoreName

RATE_WINDOW_SECONDS = 3.0


class Sample(Struct, frozen=True):
    """The state of everything at one moment. Rows are None for a store that is not there yet.

    `waiting` events are put aside until their place arrives.
    """

    at: float
    published: int
    changes: int
    ingest: Progress
    deliver: Mapping[StoreName, Progress]
    rows: Mapping[StoreName, int | None]
    waiting: int
    cdc_behind: bool
    sagas: int = 0  # records that their coordinator has not seen through

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way any more."""
        on_the_way = self.ingest.lag or self.sagas or any(one.lag for one in self.deliver.values())
        return not on_the_way and not self.cdc_behind


class Gauge:
    """Takes samples. Offsets upstream are read before those downstream, so `settled` is never said too early.

    Sagas are upstream of deliveries and downstream as well: theirs are read before and after.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        catalogue: Catalogue,
        groups: tuple[str, str],
        sagas: str | None = None,
        readers: EmbeddedReaders,
        source_dsn: str,
        slot: str,
    ) -> None:
        self._catalogue = catalogue
        self._ingest = LagMeter(connection, groups[0])
        self._deliver = LagMeter(connection, groups[1])
        self._sagas = None if sagas is None else LagMeter(connection, sagas)
        self._readers = readers
        self._source_dsn = source_dsn
        self._slot = slot
        self._source: psycopg.Connection | None = None

    def sample(self, *, published: int, changes: int, wal_position: str | None) -> Sample:
        """Return the present state.

        Args:
            published: events acknowledged so far.
            changes: statements executed so far.
            wal_position: where the last change lies in the WAL; None while changes are still made.
        """
        catalogue = self._catalogue
        behind = wal_position is None or not self._confirmed(wal_position)
        sources = [catalogue.user_events, catalogue.gps_events, catalogue.urgent_events, *catalogue.changes.values()]
        upstream = self._ingest.progress([topic.name for topic in sources])
        inner = (catalogue.waiting_events, catalogue.reference_places, catalogue.person_changes)
        waiting = self._ingest.progress([topic.name for topic in inner])
        resumed = self._ingest.progress([catalogue.resumed_events.name])[catalogue.resumed_events.name]
        still = waiting[catalogue.waiting_events.name].end - resumed.end
        ingest = _sum([*upstream.values(), *waiting.values(), resumed])
        sagas = self._sagas_left()
        deliver: dict[StoreName, Progress] = {store: self._delivered(store) for store in STORES}
        sagas += self._sagas_left()
        return Sample(
            at=time.monotonic(),
            published=published,
            changes=changes,
            ingest=ingest,
            deliver=deliver,
            rows={store: self._rows(store) for store in STORES},
            waiting=max(0, still),
            cdc_behind=behind,
            sagas=sagas,
        )

    def close(self) -> None:
        """Let go of all connections."""
        self._ingest.close()
        self._deliver.close()
        if self._sagas is not None:
            self._sagas.close()
        if self._source is not None:
            self._source.close()

    def _sagas_left(self) -> int:
        if self._sagas is None:
            return 0
        catalogue = self._catalogue
        topics = (catalogue.saga_starts, catalogue.saga_receipts, catalogue.saga_commands)
        return sum(one.lag for one in self._sagas.progress([topic.name for topic in topics]).values())

    def _delivered(self, store: StoreName) -> Progress:
        topics = [self._catalogue.writes(store, "normal").name, self._catalogue.writes(store, "urgent").name]
        if self._sagas is not None:
            topics.append(self._catalogue.compensations(store).name)
        return _sum(self._deliver.progress(topics).values())

    def _rows(self, store: StoreName) -> int | None:
        readers: dict[StoreName, Callable[[], Reader]] = {
            "graph": self._readers.graph,
            "vector": self._readers.vector,
            "search": self._readers.search,
            "timeseries": self._readers.timeseries,
            "objects": self._readers.objects,
            "cache": self._readers.cache,
            "relational": self._readers.relational,
            "warehouse": self._readers.warehouse,
        }
        try:
            with readers[store]() as reader:
                return sum(reader.counts().values())
        except (SinkError, QueryRefused):
            return None  # the deliver role has not made it yet

    def _confirmed(self, wal_position: str) -> bool:
        if self._source is None:
            self._source = psycopg.connect(self._source_dsn, autocommit=True)
        row = self._source.execute(
            "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s",
            (wal_position, self._slot),
        ).fetchone()
        return row is not None and bool(row[0])


class Board:
    """The samples as a table with rates."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()

    def add(self, sample: Sample) -> None:
        """Take in a sample; those older than the window go."""
        self._samples.append(sample)
        while self._samples[-1].at - self._samples[0].at > RATE_WINDOW_SECONDS:
            self._samples.popleft()

    def table(self) -> Table:
        """Return the present state, a line for each stage."""
        first, last = self._samples[0], self._samples[-1]
        seconds = max(last.at - first.at, 0.001)
        table = Table(header_style="bold", title_justify="left")
        for column, justify in (("stage", "left"), ("done", "right"), ("per second", "right"), ("lag", "right")):
            table.add_column(column, justify=justify)  # pyright: ignore[reportArgumentType]
        table.add_column("rows in store", justify="right")

        def line(name: str, done: int, before: int, lag: int | None, rows: int | None = None) -> None:
            rate = (done - before) / seconds
            shown = ("" if number is None else f"{number:,}" for number in (lag, rows))
            table.add_row(name, f"{done:,}", f"{rate:,.0f}", *shown)

        line("produce events", last.published, first.published, None)
        line("change tables", last.changes, first.changes, None)
        line("ingest", last.ingest.done, first.ingest.done, last.ingest.lag)
        if last.waiting:
            table.add_row("wait for their place", f"{last.waiting:,}")
        for store in STORES:
            now, before = last.deliver[store], first.deliver[store]
            line(f"deliver {store}", now.done, before.done, now.lag, last.rows[store])
        return table

    def summary(self) -> str:
        """Return the present state in one line, for output that is no terminal."""
        last = self._samples[-1]
        lag = sum(one.lag for one in last.deliver.values())
        return (
            f"published {last.published:,}, changes {last.changes:,}, "
            f"ingested {last.ingest.done:,} (lag {last.ingest.lag:,}), "
            f"delivered {sum(one.done for one in last.deliver.values()):,} (lag {lag:,})"
        )


def _sum(parts: Iterable[Progress]) -> Progress:
    done, end = 0, 0
    for part in parts:
        done, end = done + part.done, end + part.end
    return Progress(done, end)
