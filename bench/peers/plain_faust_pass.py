# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The peer of the whole pass: Faust as it is, calling the same stages for each event, with its own tables and producer.

PREFIX=p OUTPUT=o COUNT=n BROKER=kafka://host:port python -m faust -A bench.peers.plain_faust_pass worker --without-web
"""

import os
import time
from typing import Any

import faust
import msgspec

from bench.runtime.mix import mix
from connectors.embedders import image_embedder, text_embedder
from schemas.events import SealedEvent
from schemas.headers import Headers
from schemas.topics import Catalogue
from schemas.writes import STORES, encode_write, key_of, store_of
from streams.agents.embed import Embedders, embed
from streams.agents.intake import IntakeRules, intake
from streams.enrichment.joins import Accepted, enrich
from streams.enrichment.places import PlaceIndex
from streams.enrichment.track import GpsRules
from streams.enrichment.travellers import TravellerState
from streams.routing.table import route
from streams.runtime.records import KafkaRecord, Record
from streams.settings import Options

COUNT = int(os.environ["COUNT"])
known = mix(COUNT)
options = Options()
catalogue = Catalogue(prefix=os.environ["PREFIX"])
outputs = Catalogue(prefix=os.environ["OUTPUT"])
app = faust.App(
    f"{outputs.prefix}app",
    broker=os.environ["BROKER"],
    store="rocksdb://",
    topic_partitions=catalogue.partitions,
    consumer_auto_offset_reset="earliest",
    stream_wait_empty=False,
)
seen_table: Any = app.Table("seen")
traveller_table: Any = app.Table("travellers")
topics = {
    store: app.topic(outputs.writes(store).name, key_serializer="raw", value_serializer="raw") for store in STORES
}
places = PlaceIndex(options.enrich.nearest_place_metres)
for place in known.places():
    places.upsert(place)
profiles = {profile.id: profile for profile in known.profiles()}
texts = text_embedder(options.embed.text_model, options.embed.cache_entries)
texts.embed(known.texts())
images = image_embedder(options.embed.image_model, options.embed.cache_entries)
images.embed(known.images())
embedders = Embedders(texts, images)
intake_rules, gps_rules = IntakeRules(), GpsRules()


class Seen:
    """The table of event ids, as intake wants it."""

    def get(self, key: str, /) -> int | None:
        """Return when an id was seen first."""
        found = seen_table.get(key)
        return None if found is None else found[0]

    def position(self, key: str, topic: str, /) -> int:
        """Return the offset at which an id was seen first."""
        found = seen_table.get(key)
        return found[2] if found is not None and found[1] == topic else -1

    def put(self, key: str, value: int, record: Record, /) -> None:
        """Remember an id."""
        seen_table[key] = [value, record.topic, record.offset]


class Travellers:
    """The table of travellers, as enrichment wants it."""

    def get(self, user_id: str, /) -> TravellerState | None:
        """Return the state of a traveller."""
        found = traveller_table.get(user_id)
        return None if found is None else msgspec.convert(found, TravellerState)

    def __setitem__(self, user_id: str, state: TravellerState, /) -> None:
        traveller_table[user_id] = msgspec.to_builtins(state)


def as_it_is(value: bytes, headers: Headers = ()) -> bytes:  # noqa: ARG001 - what takes values out of frames has two
    """Return the value: no event of the benchmark has a frame."""
    return value


@app.agent(
    app.topic(catalogue.user_events.name, catalogue.gps_events.name, key_serializer="raw", value_serializer="raw")
)
async def see_through(stream: Any) -> None:
    """Do the whole pass for each event; end the process with the rate once there are enough."""
    done, started = 0, 0.0
    seen, travellers = Seen(), Travellers()
    async for event in stream.events():
        started = started or time.monotonic()
        message = event.message
        record = KafkaRecord(
            message.topic,
            message.partition,
            message.offset,
            int(message.timestamp * 1_000),
            message.key,
            message.value,
            list(message.headers or ()),
        )
        checked = intake([record], seen=seen, rules=intake_rules, unframe=as_it_is)
        accepted = [Accepted(one.event) for one in checked.admitted if not isinstance(one.event, SealedEvent)]
        joined = enrich(accepted, places=places, profiles=profiles.get, travellers=travellers, rules=gps_rules)
        for embedded in embed(joined.enriched, embedders):
            for write in route(embedded):
                await topics[store_of(write)].send(key=key_of(write).encode(), value=encode_write(write))
        done += 1
        if done == COUNT:
            print(f"{done / (time.monotonic() - started):.0f} events/s", flush=True)
            os._exit(0)
