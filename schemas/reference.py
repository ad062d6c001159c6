"""What enrichment knows of places and travellers, and the events that wait for it."""

from msgspec import Struct

from schemas.events import AnyEvent
from schemas.fields import Latitude, Longitude


class Place(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A place as events need it, whichever table it came from. `lsn` is the version of the row it was read from."""

    id: str
    name: str
    kind: str
    city: str
    lsn: int
    cuisine: str | None = None
    area: str | None = None
    lat: Latitude | None = None
    lon: Longitude | None = None


class PlaceVector(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The vector of a place's text: float32, little endian, of length 1.

    `lsn` is the version of the row, `text_hash` BLAKE2b-128 of the text: one that did not change is not embedded again.
    """

    lsn: int
    model: str
    values: bytes
    text_hash: bytes = b""


class Profile(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A traveller as events need them."""

    id: str
    name: str
    lsn: int
    home_city: str | None = None
    language: str | None = None
    diet: str | None = None


class WaitingEvent(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """An event that names a place nobody knows yet.

    `waiting_since_ms` is the time of the record it came in, so that a replay waits no longer than the first reading.
    """

    place_id: str
    event: AnyEvent
    waiting_since_ms: int
    urgent: bool = False


class ResumedEvent(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """An event whose place has arrived; `place` is None when the wait was given up."""

    event: AnyEvent
    place: Place | None = None
    urgent: bool = False
