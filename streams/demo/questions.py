"""Real questions, answered from the stores."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

from msgspec import Struct

from connectors.embedders import ImageEmbedder, ImageError, TextEmbedder, to_bytes
from connectors.sinks.embedded import EmbeddedReaders
from schemas.events import GpsUpdate, PhotoTaken
from schemas.writes import NodeRef
from streams.demo.world import World
from streams.enrichment.geo import distance_m
from streams.routing.table import photo_key

TIMES_SQUARE = (40.7580, -73.9855)
QUESTION = "somewhere quiet with good vegetarian food"


class Answer(Struct, frozen=True):
    """A question with the rows that answer it; no rows is no answer."""

    question: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def ask(readers: EmbeddedReaders, text: TextEmbedder, image: ImageEmbedder, world: World) -> list[Answer]:
    """Return the answers to all questions, in the order they are shown."""
    questions: list[Callable[[], Answer]] = [
        lambda: restaurants_nearby(readers),
        lambda: same_meaning(readers, text),
        lambda: friends_favourites(readers, world),
        lambda: last_track(readers, world),
        lambda: photo(readers, image, world),
        lambda: busiest_day(readers),
    ]
    return [question() for question in questions]


def restaurants_nearby(readers: EmbeddedReaders) -> Answer:
    """Search: restaurants within 2 km of a point, best first."""
    with readers.search() as reader:
        found = reader.within(*TIMES_SQUARE, 2_000, kind="restaurant", limit=5)
    rows = [
        (one.name, str(one.fields.get("cuisine", "")), _score(one.score), f"{one.metres or 0:,.0f} m") for one in found
    ]
    return Answer("Restaurants within 2 km of Times Square, best first", ("name", "cuisine", "score", "away"), rows)


def same_meaning(readers: EmbeddedReaders, embedder: TextEmbedder) -> Answer:
    """Vectors: messages that mean the same as a question."""
    vector = to_bytes(embedder.embed([QUESTION])[0])
    with readers.vector() as reader:
        found = reader.nearest("conversations", vector, 3)
    rows = [(one.text, f"{1 - one.distance:.2f}") for one in found]
    return Answer(f"Messages that mean: “{QUESTION}”", ("message", "similarity"), rows)


def friends_favourites(readers: EmbeddedReaders, world: World) -> Answer:
    """Graph: what a traveller's friends rated best."""
    with readers.graph() as reader:
        for traveller in world.travellers:
            user = NodeRef("User", traveller.id)
            found = reader.suggestions(user, "FRIEND", "VISITED", weight="rating", label="Place", limit=3)
            if len(found) >= 3:
                rows = [
                    (str(one.node_properties.get("name", one.node.id)), f"{one.weight or 0:.1f}", str(one.through))
                    for one in found
                ]
                return Answer(f"Favourites of {traveller.name}'s friends", ("place", "rating", "visits"), rows)
    return Answer("Favourites of somebody's friends", ("place", "rating", "visits"), [])


def last_track(readers: EmbeddedReaders, world: World) -> Answer:
    """Time series: the last hour of the track of the traveller who moved last."""
    columns = ("traveller", "fixes", "from", "to", "metres")
    last = max(world.gps, key=lambda fix: fix.occurred_at, default=None)
    if last is None:
        return Answer("The last hour's track", columns, [])
    start = int((last.occurred_at - timedelta(hours=1)).timestamp() * 1e9)
    with readers.timeseries() as reader:
        points = reader.range("gps", {"user_id": last.user_id}, start)
    fixes = [(point.fields["lat"], point.fields["lon"]) for point in points if not point.fields.get("jump")]
    metres = sum(distance_m(*one, *two) for one, two in pairwise(fixes))
    row = (last.user_id, str(len(points)), _clock(last, -1), _clock(last, 0), f"{metres:,.0f}")
    return Answer("The last hour's track", columns, [row] if points else [])


def photo(readers: EmbeddedReaders, image: ImageEmbedder, world: World) -> Answer:
    """Objects and vectors: a photo's object, and the other photo that looks most like it."""
    columns = ("object", "type", "bytes", "looks most like")
    taken = next((event for event in world.events if isinstance(event, PhotoTaken) and event.data), None)
    if taken is None:
        return Answer("A photo's object", columns, [])
    with readers.objects() as objects:
        stored = objects.get(photo_key(taken))
    if stored is None or stored.data is None:
        return Answer("A photo's object", columns, [])
    (looks,) = image.embed([stored.data])
    found: list[str] = []
    if not isinstance(looks, ImageError):
        with readers.vector() as vectors:
            near = vectors.nearest("photos", to_bytes(looks), 2)
        found = [str(one.metadata.get("object")) for one in near if one.metadata.get("object") != photo_key(taken)]
    row = (photo_key(taken), stored.description.content_type, f"{len(stored.data):,}", "".join(found[:1]))
    return Answer("A photo's object", columns, [row])


def busiest_day(readers: EmbeddedReaders) -> Answer:
    """Warehouse: what happened on which day."""
    with readers.warehouse() as reader:
        found = reader.query(
            "SELECT day, type, count(*) AS events FROM events GROUP BY ALL ORDER BY events DESC, type LIMIT 3"
        )
    rows = [(str(row["day"]), str(row["type"]), f"{row['events']:,}") for row in found]
    return Answer("What happened most, by day", ("day", "event", "count"), rows)


def _score(score: float | None) -> str:
    return "" if score is None else f"{score:.2f}"


def _clock(fix: GpsUpdate, hours: int) -> str:
    return (fix.occurred_at + timedelta(hours=hours)).astimezone(datetime.now().astimezone().tzinfo).strftime("%H:%M")
