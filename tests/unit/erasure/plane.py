"""A cluster of this process and embedded stores, with what follows from every event of a person."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import structs

from connectors.kafka.connection import Connection
from connectors.kafka.reading import read_topics
from connectors.producers import EventProducer
from connectors.sinks.contract import Held, Sink
from connectors.sinks.embedded import embedded_sink
from connectors.sinks.errors import Unavailable
from connectors.storage import FolderStorage
from deploy.local.kafka import MemoryKafka
from schemas.claims import Claim, encode_claim
from schemas.erasures import (
    ErasureStart,
)
from schemas.headers import dead_letter_headers
from schemas.topics import Catalogue
from schemas.writes import STORES, StoreName, Write, decode_write, encode_write, key_of, store_of
from streams.erasure.eraser import Eraser, Parts
from streams.erasure.stores import Stores
from streams.persons.holdings import Holdings
from streams.routing.changes import route_change
from streams.routing.examples import events, inserts
from streams.routing.table import route

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
START = ErasureStart(id="forget", user_id="ann", version=10, requested_at=NOON)
OF_CARL = ("message_sent", "preference_stated", "place_reviewed", "search_performed", "urgent_request")
LARGE = Claim(bucket="local", key="aa/aa", size=1, sha256="aa", content_type="text/plain")


class NoRows:
    """Stands for the relational store, which needs a server: it takes all deletes and holds nothing."""

    def open(self) -> None: ...

    def close(self) -> None: ...

    def write(self, batch: Sequence[Any]) -> None: ...

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        return {one: Held(version=1, deleted=True, copies=0) for one in entities}


class Keys:
    """Stands for users' keys."""

    def __init__(self) -> None:
        self.destroyed: list[str] = []
        self.afresh: list[str] = []
        self.closed = 0

    def destroy(self, users: list[str]) -> None:
        self.destroyed += users

    def start_afresh(self, users: list[str]) -> None:
        self.afresh += users

    def close(self) -> None:
        self.closed += 1


class Plane:
    """Topics and stores, with what follows from every event of ann, and from some of carl."""

    def __init__(self, bootstrap: str, folder: Path, *, new: bool = True) -> None:
        self.catalogue = Catalogue(partitions=MemoryKafka.partitions)
        self.connection = Connection(bootstrap=bootstrap)
        self.folder = folder
        self.large = FolderStorage(folder / "large")
        self.keys = Keys()
        self.away: set[StoreName] = set()
        self.unfit: set[str] = set()  # names that no store takes
        self.large.open()
        if new:
            self._begin()

    def _begin(self) -> None:
        self.large.put(LARGE.key, b"x", "text/plain")
        value, header = encode_claim(LARGE)
        with self.producer() as producer:
            for write in [*self.of("ann", list(events())), *self.of("carl", OF_CARL)]:
                topic = self.catalogue.writes(store_of(write)).name
                producer.publish_raw(topic, key_of(write).encode(), encode_write(write))
            producer.publish_raw(self.catalogue.user_events.name, b"ann", value, (header,))
            producer.publish_raw(self.catalogue.reference_users.name, b"ann", b"{}")
            producer.publish_raw(self.catalogue.changes["public.users"].name, b'{"id": "ann"}', b"{}")

    def of(self, user: str, names: Sequence[str]) -> list[Write]:
        found: list[Write] = []
        for one in (events()[name] for name in names):
            event = structs.replace(one.enriched.event, user_id=user, event_id=f"{user}-{one.enriched.event.event_id}")
            found += route(structs.replace(one, enriched=structs.replace(one.enriched, event=event)))
        return [*found, *route_change(structs.replace(inserts()["public.users"], row_id=user), None)]

    def refuse(self, write: Write, error: str = "WriteRejected", offset: int = 99) -> None:
        """Make a dead letter of a write, as deliveries do."""
        topic, store = self.catalogue.writes(store_of(write)).name, store_of(write)
        headers = dead_letter_headers(
            (),
            topic=topic,
            partition=0,
            offset=offset,
            component=f"deliver.{store}",
            stage="write",
            error=error,
            message="no",
            store=store,
        )
        with self.producer() as producer:
            name = self.catalogue.dead_letters.name
            producer.publish_raw(name, key_of(write).encode(), encode_write(write), headers)

    def producer(self) -> EventProducer:
        return EventProducer(self.connection, self.catalogue, source="/tests")

    def sink(self, store: StoreName) -> Sink[Any]:
        if store in self.away:
            raise Unavailable(f"{store} is away")
        made: Any = NoRows() if store == "relational" else embedded_sink(store, self.folder / "stores", "")
        return made

    def deliver(self) -> None:
        """Have all writes applied that lie in Kafka."""
        for store in STORES:
            sink = self.sink(store)
            sink.open()
            writes = self.written(store)
            sink.write([one for one in writes if one.entity not in self.unfit])
            sink.close()
            for one in writes:
                if one.entity in self.unfit:
                    self.refuse(one, offset=100)

    def written(self, store: StoreName) -> list[Write]:
        records = read_topics(self.connection, [self.catalogue.writes(store).name])
        return [decode_write(one.value or b"") for one in records]

    def eraser(self, policy: Any = "refuse") -> Eraser:
        """Return a new one, as after a crash."""
        keys: Any = self.keys
        parts = Parts(
            connection=self.connection,
            catalogue=self.catalogue,
            stores=Stores(self.sink),
            large_values=self.large,
            keys=keys,
            policy=policy,
            rewrite=True,
            signing_key=Ed25519PrivateKey.from_private_bytes(b"k" * 32),
            certificates=self.folder / "certificates",
            archived=False,
        )
        return Eraser(parts)

    def held(self, user: str) -> list[str]:
        holdings = Holdings(user)
        Stores(self.sink).search(holdings)
        return [one.write.entity for one in holdings.all()]

    def last(self, topic: str) -> bytes | None:
        return read_topics(self.connection, [topic])[-1].value


@contextmanager
def begun(folder: Path) -> Generator[Plane]:
    """Yield a plane on a cluster that ends with it."""
    kafka = MemoryKafka()
    kafka.start()
    try:
        yield Plane(kafka.bootstrap, folder)
    finally:
        kafka.stop()
