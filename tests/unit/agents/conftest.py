"""The ingest role's parts with real state tables (RocksDB, in memory where there is such a folder).

Kafka and the models are stand-ins: what they are given is what these tests are about.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from connectors.embedders import ImageError
from connectors.embedders import Vector as Row
from connectors.kafka.connection import Connection
from connectors.kafka.reading import StoredRecord
from schemas.clock import milliseconds
from schemas.events import Event, GpsUpdate, encode_event
from schemas.headers import Headers
from schemas.reference import Place, WaitingEvent
from schemas.sagas import SagaEntry
from schemas.topics import Catalogue
from schemas.wire import unframe_without_registry
from schemas.writes import StoreName, Write, decode_write
from streams.agents.embed import Embedders
from streams.agents.ingest import Ingest, Reference, Tables
from streams.agents.intake import IntakeRules
from streams.agents.sagas import Tables as SagaTables
from streams.enrichment.places import PlaceIndex
from streams.enrichment.track import GpsRules
from streams.enrichment.travellers import TravellerState
from streams.runtime.app import StreamApp
from streams.runtime.publisher import Outgoing, Publisher
from streams.runtime.state_folder import StateFolder
from streams.runtime.tables import StateTable
from streams.runtime.transactions import Transactions
from streams.sagas.line import Line
from tests.unit.agents.saga_world import World

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Kafka:
    """Takes records, and gives those to the changelogs offsets. `fails` decides on each call with its records."""

    def __init__(self) -> None:
        self.calls: list[list[Outgoing]] = []
        self.fails: Callable[[Sequence[Outgoing]], Exception | None] = lambda _: None
        self._offsets: Counter[tuple[str, int]] = Counter()

    @property
    def records(self) -> list[Outgoing]:
        return [record for call in self.calls for record in call]

    async def publish(self, records: Sequence[Outgoing]) -> dict[tuple[str, int], int]:
        await asyncio.sleep(0)  # as the real one, so that others may run
        error = self.fails(records)
        if error is not None:
            raise error
        if records:
            self.calls.append(list(records))
        written = [(record.topic, record.partition or 0) for record in records]
        self._offsets.update(written)
        return {home: self._offsets[home] - 1 for home in written}


class Texts:
    """Embeds a text as a direction that its length says."""

    model = "length"
    dimension = 2

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        self.batches.append(list(texts))
        return np.array([[len(text) % 2, 1 - len(text) % 2] for text in texts], "<f4")


class Images:
    """Embeds pictures that begin with "png"; others cannot be read."""

    model = "looks"
    dimension = 2

    def embed(self, images: Sequence[bytes]) -> list[Row | ImageError]:
        return [
            np.array([0, 1], "<f4") if image.startswith(b"png") else ImageError("not a picture") for image in images
        ]


class Stage:
    """What a worker of the ingest role has, and what came out of it."""

    def __init__(self, app: StreamApp) -> None:
        self.app = app
        self.catalogue = Catalogue()
        self.kafka = Kafka()
        self.texts = Texts()
        self.transactions = Transactions(cast(Publisher, self.kafka))
        self.tables = Tables(
            seen=app.state("seen", int, changelog="seen-log"),
            travellers=app.state("travellers", TravellerState, changelog="travellers-log"),
            waiting=app.state("waiting", WaitingEvent, changelog="waiting-log"),
            arrived=app.state("arrived", Place, changelog="arrived-log"),
        )
        self.reference = Reference(PlaceIndex(150), {})

    def ingest(self, **changed: Any) -> Ingest:
        """Return the parts, some of them changed."""
        parts: dict[str, Any] = {
            "catalogue": self.catalogue,
            "publisher": cast(Publisher, self.kafka),
            "transactions": self.transactions,
            "tables": self.tables,
            "reference": self.reference,
            "embedders": Embedders(cast(Any, self.texts), cast(Any, Images())),
            "unframe": unframe_without_registry,
            "intake": IntakeRules(),
            "gps": GpsRules(),
            "place_wait_ms": 60_000,
        }
        return Ingest(**(parts | changed))

    def record(
        self,
        topic: str,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Headers = (),
        timestamp: int = 1_777_636_800_000,
    ) -> StoredRecord:
        return StoredRecord(
            topic=topic, partition=0, offset=offset, timestamp=timestamp, key=key, value=value, headers=headers
        )

    def event(self, event: Event, offset: int) -> StoredRecord:
        """Return the record of an event in its topic."""
        catalogue = self.catalogue
        topic = catalogue.gps_events if isinstance(event, GpsUpdate) else catalogue.user_events
        timestamp = milliseconds(event.occurred_at)
        return self.record(topic.name, offset, event.user_id.encode(), encode_event(event), timestamp=timestamp)

    def of(self, topic: str) -> list[Outgoing]:
        """Return what was published to a topic."""
        return [one for one in self.kafka.records if one.topic == topic]

    def letters(self) -> list[Outgoing]:
        return self.of(self.catalogue.dead_letters.name)

    def writes(self, store: StoreName | None = None) -> list[Write]:
        """Return the writes that were published, to both lanes."""
        topics = {topic.name for topic, name, _ in self.catalogue.all_writes() if store in (None, name)}
        return [decode_write(one.value or b"") for one in self.kafka.records if one.topic in topics]

    def state(self, table: StateTable[Any]) -> dict[str, Any]:
        """Return what a table holds of partition 0."""
        return dict(self.transactions.begin(0).view(table).starting_with(""))

    def all_state(self) -> dict[str, dict[str, Any]]:
        tables = (self.tables.seen, self.tables.travellers, self.tables.waiting, self.tables.arrived)
        return {table.name: self.state(table) for table in tables}


@pytest.fixture
async def stage() -> AsyncGenerator[Stage]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        state_folder = StateFolder(Path(folder))
        app = StreamApp("test", Connection(bootstrap="127.0.0.1:1"), state_folder=state_folder, partitions=1)
        yield Stage(app)
        for table in cast(Any, app.tables).values():
            await table.data.stop()  # RocksDB writes to its folder as it closes
        state_folder.close()


@pytest.fixture
def world(stage: Any) -> World:
    """Return a coordinator of sagas with tables of its own."""
    app_state = stage.tables.seen._table.app
    tables = SagaTables(
        lines=cast("StateTable[Line]", app_state.state("lines", Line, changelog="lines-log")),
        ended=cast("StateTable[SagaEntry]", app_state.state("ended", SagaEntry, changelog="ended-log")),
    )
    return World(stage, tables)
