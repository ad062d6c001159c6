"""Where each fact about movement goes: tracks, present positions, stays and segments between places."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from schemas.events import GpsUpdate
from schemas.writes import TimeSeriesWrite, WarehouseWrite, Write
from streams.routing.entities import Cause, entity
from streams.routing.meaning import Embedded
from streams.routing.shapes import iso, live, point_time, relation

POSITION_TTL_SECONDS = 7 * 86_400


def track(event: GpsUpdate, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """The fix, with what was measured from the one before it. Jumps and late fixes are marked, not dropped."""
    facts, nearest = embedded.enriched.gps, embedded.enriched.nearest
    fields: dict[str, str | int | float | bool] = {"lat": event.lat, "lon": event.lon}
    heading, speed = event.heading, event.speed
    if facts is not None:
        fields["cell"], fields["jump"], fields["late"] = facts.cell, facts.jump, facts.late
        heading, speed = facts.heading, speed if speed is not None else facts.speed_mps
        if facts.distance_m is not None:
            fields["distance"] = facts.distance_m
    if heading is not None:
        fields["heading"] = heading
    if speed is not None:
        fields["speed"] = speed
    if event.accuracy is not None:
        fields["accuracy"] = event.accuracy
    if event.altitude is not None:
        fields["altitude"] = event.altitude
    if nearest is not None:
        fields["place_id"] = nearest.place.id
    if embedded.enriched.active_trip is not None:
        fields["trip_id"] = embedded.enriched.active_trip
    time_ns = point_time(event)
    yield TimeSeriesWrite(
        version=cause["version"],
        source=cause["source"],
        event_id=cause["event_id"],
        occurred_at=cause["occurred_at"],
        entity=entity("gps", event.user_id, str(time_ns)),
        measurement="gps",
        tags={"user_id": event.user_id},
        time_ns=time_ns,
        fields=fields,
    )


def last_position(event: GpsUpdate, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """Where the traveller is now; a late fix or an impossible jump is no present position."""
    facts, nearest = embedded.enriched.gps, embedded.enriched.nearest
    if facts is None or facts.late or facts.jump:
        return
    value = {
        "lat": event.lat,
        "lon": event.lon,
        "at": iso(event.occurred_at),
        "cell": facts.cell,
        "place_id": None if nearest is None else nearest.place.id,
    }
    yield live(cause, entity("position", event.user_id), value, POSITION_TTL_SECONDS)


def travelled(event: GpsUpdate, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """ROUTE{metres, seconds, ...} between the known places where a segment of movement began and ended."""
    facts, ends = embedded.enriched.gps, embedded.enriched.ends
    if facts is None or facts.segment is None or ends is None:
        return
    segment = facts.segment
    about = {"user_id": segment.user_id, "started_at": iso(segment.started), "seconds": segment.seconds}
    about["metres"] = round(segment.distance_m, 1)
    yield relation(cause, entity("ROUTE", segment.id), "ROUTE", ("Place", ends.start.id), ("Place", ends.end.id), about)


def activity(event: GpsUpdate, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """Stays and segments of movement, each when it has ended."""
    facts, ends = embedded.enriched.gps, embedded.enriched.ends
    if facts is not None and facts.stay is not None:
        body = msgspec.to_builtins(facts.stay) | {"seconds": facts.stay.seconds}
        yield _activity(event, cause, "stay", facts.stay.id, facts.stay.arrived, body)
    if facts is not None and facts.segment is not None:
        body = msgspec.to_builtins(facts.segment) | {"seconds": facts.segment.seconds}
        body |= {} if ends is None else {"from_place_id": ends.start.id, "to_place_id": ends.end.id}
        yield _activity(event, cause, "segment", facts.segment.id, facts.segment.started, body)


def _activity(
    event: GpsUpdate, cause: Cause, kind: str, activity_id: str, began: datetime, body: dict[str, Any]
) -> Write:
    return WarehouseWrite(
        **cause,
        entity=entity(kind, activity_id),
        dataset="activities",
        day=began.date(),
        user_id=event.user_id,
        type=kind,
        body=body,
    )
