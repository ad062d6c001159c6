"""The graph as it was designed: which relations there are, from what to what, and what each of them says."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from schemas.changes import Change, ChangeSource
from schemas.events import Event, FriendAdded, GpsUpdate, PlaceVisited, PreferenceStated
from schemas.reference import Place
from schemas.writes import GraphWrite, NodeRef, Scalar, Write
from streams.enrichment.joins import Ends, Enriched
from streams.enrichment.similar import Similar
from streams.enrichment.track import GpsFacts, Segment
from streams.routing.changes import read_change, route_change
from streams.routing.examples import NOON
from streams.routing.meaning import Embedded
from streams.routing.similar import SIMILAR, similar
from streams.routing.table import route

ANN, PIZZA, PARK = NodeRef("User", "ann"), NodeRef("Place", "pizza"), NodeRef("Place", "park")
Found = dict[str, tuple[NodeRef | None, NodeRef | None, dict[str, Scalar]]]


def stamp() -> dict[str, Any]:
    return {"event_id": "e", "user_id": "ann", "occurred_at": NOON, "version": 9}


def place(name: str) -> Place:
    return Place(id=name, name=name, kind="restaurant", city="new-york", lsn=1)


def found(writes: Iterable[Write]) -> Found:
    graph = [write for write in writes if isinstance(write, GraphWrite) and write.relation is not None]
    return {str(write.relation): (write.start, write.end, write.properties) for write in graph}


def of(event: Event, **known: Any) -> Found:
    facts: dict[str, Any] = {"place": None, "profile": None, "active_trip": None, "gps": None, "nearest": None}
    return found(route(Embedded(Enriched(0, event, **(facts | known)), None)))


def test_likes_has_its_strength() -> None:
    event = PreferenceStated(**stamp(), category="cuisine", value="Pizza", strength=0.7)
    start, end, says = of(event)["LIKES"]
    assert (start, end, says["strength"]) == (ANN, NodeRef("Cuisine", "pizza"), 0.7)


def test_visited_has_its_date_rating_and_whether_they_would_return() -> None:
    event = PlaceVisited(**stamp(), place_id="pizza", rating=4, would_return=True, minutes=50)
    start, end, says = of(event)["VISITED"]
    assert (start, end) == (ANN, PIZZA)
    assert says == {"date": NOON.date().isoformat(), "rating": 4, "would_return": True, "minutes": 50}


def test_friend_joins_two_travellers() -> None:
    start, end, _ = of(FriendAdded(**stamp(), friend_id="ben"))["FRIEND"]
    assert (start, end) == (ANN, NodeRef("User", "ben"))


def test_route_joins_the_places_where_a_segment_began_and_ended() -> None:
    segment = Segment(
        "ann:1", "ann", NOON, NOON + timedelta(minutes=5), 40.7, -74.0, 40.71, -74.0, 1_234.56, 1.0, 2.0, 5
    )
    gps = GpsFacts("892a1072893ffff", heading=None, distance_m=None, speed_mps=None, segment=segment)
    ends = Ends(place("pizza"), place("park"))
    start, end, says = of(GpsUpdate(**stamp(), lat=40.71, lon=-74.0), gps=gps, ends=ends)["ROUTE"]
    assert (start, end) == (PIZZA, PARK)
    assert (says["metres"], says["seconds"]) == (1_234.6, 300)


def test_a_place_is_in_its_city_and_serves_its_cuisine() -> None:
    row = {"id": "pizza", "name": "Joe's", "cuisine": "Pizza", "borough": "Manhattan", "lat": 40.7, "lon": -74.0}
    origin: dict[str, Any] = {"version": "3", "connector": "postgresql", "name": "cdc", "db": "d", "schema": "public"}
    source = ChangeSource(**origin, table="restaurants", ts_ms=1_777_636_800_000, lsn=5)
    change = read_change(Change(after=row, source=source, op="c"), {"id": "pizza"})
    assert change is not None
    graph = found(route_change(change, None))
    assert graph["IN_CITY"][:2] == (PIZZA, NodeRef("City", "New York"))
    assert graph["SERVES"][:2] == (PIZZA, NodeRef("Cuisine", "pizza"))


def test_similar_to_has_its_rank_and_similarity() -> None:
    cause: Any = {"version": 1, "source": SIMILAR, "event_id": "e", "occurred_at": NOON}
    start, end, says = found(similar(cause, "pizza", [Similar("park", 0.75)], None, 1))["SIMILAR_TO"]
    assert (start, end, says) == (PIZZA, PARK, {"rank": 1, "similarity": 0.75})
