"""The events of the whole pass: what a world of the demo does, told of as many travellers as are wanted.

Four events in five are GPS fixes, as with travellers whose telephone reports one every few seconds; the others are what
the demo's travellers do, in its proportions. Copies of a world differ in the travellers and in the ids of events, so
each traveller's own events stay in order, and texts and photos repeat: the cache of vectors can know them all.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import cast

import msgspec
from confluent_kafka import Producer
from msgspec import Struct

from bench.runtime.broker import Broker
from connectors.producers import EventProducer
from schemas.changes import PlaceRow, RestaurantRow
from schemas.events import Event, event_name
from schemas.reference import Place, Profile
from schemas.topics import Catalogue
from streams.demo.spots import spots
from streams.demo.tables import load_places, load_restaurants
from streams.demo.world import World, generate
from streams.routing.meaning import image_of, text_of

SEED = 7
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)  # the same in all processes, so that all have the same texts
WORLD_RECORDS = 40_000
GPS_SHARE = 0.8


class Mix(Struct, frozen=True):
    """So many events, and all that has to be known of them."""

    world: World
    count: int

    def events(self) -> Iterator[Event]:
        """Yield the events that are no GPS fixes."""
        return _copies(self.world.events, self.count - self._fixes)

    def fixes(self) -> Iterator[Event]:
        """Yield the GPS fixes."""
        return _copies(self.world.gps, self._fixes)

    @property
    def _fixes(self) -> int:
        return round(self.count * GPS_SHARE)

    def kinds(self) -> dict[str, int]:
        """Return how many there are of each type, the most frequent first."""
        return dict(Counter(event_name(event) for event in (*self.fixes(), *self.events())).most_common())

    def places(self) -> list[Place]:
        """Return the places that the events speak of, and all others."""
        rows = self.world.changes.expected
        restaurants = cast("Iterable[RestaurantRow]", rows["restaurants"].values())
        found = spots(restaurants, cast("Iterable[PlaceRow]", rows["places"].values()))
        return [
            Place(
                id=spot.id,
                name=spot.name,
                kind=spot.kind,
                city=spot.city,
                lsn=1,
                cuisine=spot.cuisine,
                area=spot.area,
                lat=spot.lat,
                lon=spot.lon,
            )
            for spot in found
        ]

    def profiles(self) -> list[Profile]:
        """Return the travellers and their copies."""
        copies = max(-(-self._fixes // len(self.world.gps)), -(-self.count // len(self.world.events)))
        return [
            Profile(id=f"{row.id}.{copy}", name=row.name, lsn=1, home_city=row.home_city, language=row.language)
            for row in (traveller.row for traveller in self.world.travellers)
            for copy in range(copies)
        ]

    def texts(self) -> list[str]:
        """Return all texts that are embedded."""
        return sorted({text for event in self.world.events if (text := text_of(event)) is not None})

    def images(self) -> list[bytes]:
        """Return all photos that are embedded."""
        return sorted({image for event in self.world.events if (image := image_of(event)) is not None})


def mix(count: int) -> Mix:
    """Return so many events; the same ones in every process."""
    restaurants, places = load_restaurants().rows, load_places().rows
    return Mix(generate(seed=SEED, now=NOW, count=WORLD_RECORDS, restaurants=restaurants, places=places), count)


def publish_reference(broker: Broker, catalogue: Catalogue, given: Mix) -> None:
    """Write what is known of places and travellers."""
    reference = Producer({**broker.connection.producer(), "log_level": 3})
    for topic, known in (
        (catalogue.reference_places.name, given.places()),
        (catalogue.reference_users.name, given.profiles()),
    ):
        for one in known:
            reference.produce(topic, msgspec.json.encode(one), key=one.id)
    reference.flush()


def publish_events(broker: Broker, catalogue: Catalogue, given: Mix) -> None:
    """Write the events, as producers do."""
    with EventProducer(broker.connection, catalogue, source="/bench") as producer:
        for event in given.events():
            producer.publish(event)
        for fix in given.fixes():
            producer.publish(fix)


def _copies(events: Iterable[Event], count: int) -> Iterator[Event]:
    """Yield copies of events next to each other, up to a number."""
    events = list(events)
    copies = -(-count // len(events))
    copied = (
        msgspec.structs.replace(event, event_id=f"{event.event_id}.{copy}", user_id=f"{event.user_id}.{copy}")
        for event in events
        for copy in range(copies)
    )
    return islice(copied, count)
