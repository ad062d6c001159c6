"""What of a fact has a meaning worth a vector: the text or the picture, and where its vector goes."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Literal

from msgspec import Struct

from schemas.events import Event, MessageSent, PhotoTaken, PlaceReviewed, PreferenceStated, TripPlanned
from streams.enrichment.joins import Enriched

Namespace = Literal["conversations", "preferences", "places", "trips", "photos"]


class Vector(Struct, frozen=True, gc=False):
    """A vector as it goes into a write: float32, little endian; and what made it."""

    values: bytes
    model: str


class Embedded(Struct, frozen=True, gc=False):
    """An enriched event with the vector of its meaning, if it has one."""

    enriched: Enriched
    vector: Vector | None = None


def text_of(event: Event) -> str | None:
    """Return the text of an event that is to be embedded; None when it has none."""
    found = _TEXTS.get(type(event))
    return None if found is None else found(event)


def _taste(event: PreferenceStated) -> str:
    return event.text or f"{'dislikes' if event.strength < 0 else 'likes'} {event.category}: {event.value}"


def _plan(event: TripPlanned) -> str:
    return f"{event.title}: {', '.join(event.destinations)}"


_TEXTS: dict[type[Event], Callable[[Any], str]] = {
    MessageSent: attrgetter("text"),
    PlaceReviewed: attrgetter("text"),
    PreferenceStated: _taste,
    TripPlanned: _plan,
}


def image_of(event: Event) -> bytes | None:
    """Return the picture of an event that is to be embedded; None when it has none, or only a reference to it."""
    return event.data if isinstance(event, PhotoTaken) else None
