"""The events that travellers' applications publish: one tagged union, told apart by `type`.

Every event is keyed by `user_id`, so one traveller's events keep their order. Unknown fields are ignored (a newer
producer may add one); unknown types are refused.
"""

from typing import Annotated, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

from schemas.fields import (
    END,
    Accuracy,
    Altitude,
    Amount,
    Currency,
    Day,
    Guests,
    Heading,
    Identifier,
    Label,
    Latitude,
    Longitude,
    Rating,
    Results,
    Speed,
    Strength,
    Text,
    Timestamp,
    Version,
    check_day,
    check_time,
)
from schemas.reasons import shortened
from schemas.sensitive import BlindIndex, Card, Email, Home, Passport, Phone

T = TypeVar("T")


class BaseEvent(Struct, kw_only=True, frozen=True, tag_field="type", omit_defaults=True):
    """What every event carries. `version` 0 means that intake derives one from the time and the id."""

    event_id: Identifier
    user_id: Identifier
    occurred_at: Timestamp
    version: Version = 0

    def __post_init__(self) -> None:
        check_time("occurred_at", self.occurred_at)


class MessageSent(BaseEvent, frozen=True, tag="message_sent"):
    """One message of a conversation between a traveller and the assistant."""

    conversation_id: Identifier
    role: Literal["user", "assistant", "system"]
    text: Text
    intent: Label | None = None
    trip_id: Identifier | None = None


class PreferenceStated(BaseEvent, frozen=True, tag="preference_stated"):
    """A taste, with its strength; a later statement about the same value replaces the earlier one.

    `value` is a place's id where the category is "place", else a word ("italian", "hiking").
    """

    category: Literal["cuisine", "place", "activity", "lodging", "transport", "budget", "diet"]
    value: Label
    strength: Strength
    text: Text | None = None


class PlaceVisited(BaseEvent, frozen=True, tag="place_visited"):
    """A visit; several visits of one traveller to one place are several facts."""

    place_id: Identifier
    rating: Rating | None = None
    would_return: bool | None = None
    minutes: Annotated[int, Meta(ge=0, le=100_000, description="minutes stayed")] | None = None


class PlaceReviewed(BaseEvent, frozen=True, tag="place_reviewed"):
    """A written review; a traveller's later review of the same place replaces the earlier one."""

    place_id: Identifier
    rating: Rating
    text: Text


class TripPlanned(BaseEvent, frozen=True, tag="trip_planned"):
    """A plan, and every later change of it (same `trip_id`). `ends_on` is not before `starts_on`."""

    trip_id: Identifier
    title: Label
    destinations: Annotated[list[Label], Meta(max_length=100)]
    starts_on: Day
    ends_on: Day
    place_ids: Annotated[list[Identifier], Meta(max_length=500, description="in the order of the route")] = []

    def __post_init__(self) -> None:
        super().__post_init__()
        check_day("starts_on", self.starts_on)
        check_day("ends_on", self.ends_on)
        if self.ends_on < self.starts_on:
            raise ValueError(f"Expected `ends_on` not before `starts_on` ({self.starts_on}), got {self.ends_on}")


class TripStarted(BaseEvent, frozen=True, tag="trip_started"):
    """The traveller set out: this trip is the active one until it ends or another starts."""

    trip_id: Identifier


class TripEnded(BaseEvent, frozen=True, tag="trip_ended"):
    """The traveller is back."""

    trip_id: Identifier


class BookingMade(BaseEvent, frozen=True, tag="booking_made"):
    """A reservation at a place; the same `booking_id` again changes it.

    `ends_at` is not before `starts_at`; `amount` and `currency` come together.
    """

    booking_id: Identifier
    place_id: Identifier
    starts_at: Timestamp
    guests: Guests
    ends_at: Timestamp | None = None
    trip_id: Identifier | None = None
    amount: Amount | None = None
    currency: Currency | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_time("starts_at", self.starts_at)
        check_time("ends_at", self.ends_at)
        if self.ends_at is not None and self.ends_at < self.starts_at:
            raise ValueError("Expected `ends_at` not before `starts_at`")
        if (self.amount is None) != (self.currency is None):
            raise ValueError("Expected `amount` and `currency` together")


class BookingCancelled(BaseEvent, frozen=True, tag="booking_cancelled"):
    """The reservation no longer stands."""

    booking_id: Identifier
    reason: Text | None = None


class PhotoTaken(BaseEvent, frozen=True, tag="photo_taken"):
    """A photo: its bytes, or where they lie. Exactly one of `data` and `object_uri`; `lat` and `lon` come together."""

    photo_id: Identifier
    content_type: Literal["image/png", "image/jpeg"]
    data: Annotated[bytes, Meta(min_length=1, max_length=700_000, description="the file, base64 in JSON")] | None = None
    object_uri: Annotated[str, Meta(max_length=2_048, pattern=rf"^[a-z][a-z0-9+.-]*://\S+{END}")] | None = None
    place_id: Identifier | None = None
    lat: Latitude | None = None
    lon: Longitude | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.data is None) == (self.object_uri is None):
            raise ValueError("Expected exactly one of `data` and `object_uri`")
        if (self.lat is None) != (self.lon is None):
            raise ValueError("Expected `lat` and `lon` together")


class FriendAdded(BaseEvent, frozen=True, tag="friend_added"):
    """Two different travellers are friends; friendship has no direction."""

    friend_id: Identifier

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_friend(self.user_id, self.friend_id)


class FriendRemoved(BaseEvent, frozen=True, tag="friend_removed"):
    """Two different travellers are friends no longer."""

    friend_id: Identifier

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_friend(self.user_id, self.friend_id)


class SearchPerformed(BaseEvent, frozen=True, tag="search_performed"):
    """What a traveller looked for, and how much was found. `lat` and `lon` come together."""

    query: Text
    results: Results
    lat: Latitude | None = None
    lon: Longitude | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.lat is None) != (self.lon is None):
            raise ValueError("Expected `lat` and `lon` together")


class GpsUpdate(BaseEvent, frozen=True, tag="gps_update"):
    """One GPS fix as the device reported it."""

    lat: Latitude
    lon: Longitude
    accuracy: Accuracy | None = None
    speed: Speed | None = None
    heading: Heading | None = None
    altitude: Altitude | None = None


class UrgentRequest(BaseEvent, frozen=True, tag="urgent_request"):
    """A traveller needs help now; overtakes everything else. `lat` and `lon` come together."""

    category: Literal["medical", "safety", "lost", "stranded", "documents", "other"]
    text: Text
    lat: Latitude | None = None
    lon: Longitude | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.lat is None) != (self.lon is None):
            raise ValueError("Expected `lat` and `lon` together")


class DetailsGiven(BaseEvent, frozen=True, tag="details_given"):
    """How a traveller can be reached, and what identifies them. What is not given stays as it was given before."""

    email: Email | None = None
    email_index: BlindIndex | None = None
    phone: Phone | None = None
    phone_index: BlindIndex | None = None
    passport: Passport | None = None
    card: Card | None = None
    home: Home | None = None


class ErasureRequested(BaseEvent, frozen=True, tag="erasure_requested"):
    """A traveller asks to be forgotten."""

    reason: Text | None = None


Event = (
    MessageSent
    | PreferenceStated
    | PlaceVisited
    | PlaceReviewed
    | TripPlanned
    | TripStarted
    | TripEnded
    | BookingMade
    | BookingCancelled
    | PhotoTaken
    | FriendAdded
    | FriendRemoved
    | SearchPerformed
    | GpsUpdate
    | UrgentRequest
    | DetailsGiven
    | ErasureRequested
)

EVENT_TYPES: tuple[type[BaseEvent], ...] = get_args(Event)
EVENT_NAMES: tuple[str, ...] = tuple(str(kind.__struct_config__.tag) for kind in EVENT_TYPES)


class SealedEvent(BaseEvent, frozen=True, tag="sealed"):
    """An event whose fields only the key of its traveller opens, but for those that every event carries.

    Whoever passes it on, or drops it as a duplicate, needs no key.
    """

    of_type: Annotated[str, Meta(min_length=1, max_length=64, description="the type of the event that was sealed")]
    key_id: Annotated[str, Meta(min_length=1, max_length=64, description="which key of the traveller")]
    data: Annotated[bytes, Meta(description="nonce, ciphertext and tag of AES-256-GCM over the event as MessagePack")]


AnyEvent = Event | SealedEvent

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_any_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_encoder = msgspec.json.Encoder()
_UNENCODABLE = (msgspec.MsgspecError, TypeError, ValueError, OverflowError)  # what the encoder raises for bad values


class InvalidEvent(ValueError):  # noqa: N818 - it names what the bytes are, as `Invalid...` in msgspec's own messages
    """Bytes that are no event; the message names the field and what it allows."""


def decode_event(data: bytes) -> Event:
    """Read and check one event that is not sealed.

    Raises:
        InvalidEvent: whatever the bytes are, nothing else is raised.
    """
    return _decoded(data, _decoder)


def decode_any_event(data: bytes) -> AnyEvent:
    """Read and check one event, which may be sealed: then only what every event carries is checked.

    Raises:
        InvalidEvent: whatever the bytes are, nothing else is raised.
    """
    return _decoded(data, _any_decoder)


def _decoded(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidEvent(shortened(str(error))) from error
    except RecursionError as error:
        raise InvalidEvent("JSON is nested too deeply") from error


def encode_event(event: AnyEvent) -> bytes:
    """Write one event as JSON; `decode_any_event` gives it back, and `decode_event` where it is not sealed.

    Raises:
        InvalidEvent: a struct built in code can hold what its type forbids; that is found here, not by the reader.
    """
    try:
        data = _encoder.encode(event)
    except _UNENCODABLE as error:
        raise InvalidEvent(f"{shortened(str(error))} - at `$.{_unencodable_field(event)}`") from error
    decoded = decode_any_event(data)
    if decoded != event:
        _check_numbers(event, decoded)
    return data


def event_name(event: BaseEvent) -> str:
    """Return the `type` of an event, as it stands in JSON and in `ce_type`."""
    return str(event.__struct_config__.tag)


def _check_friend(user_id: str, friend_id: str) -> None:
    if user_id == friend_id:
        raise ValueError("Expected `friend_id` to be another traveller than `user_id`")


def _check_numbers(event: AnyEvent, decoded: AnyEvent) -> None:
    # JSON has no NaN and no infinity: the encoder writes null, which an optional field would take for "not given".
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if isinstance(value, float) and getattr(decoded, name) is None:
            raise InvalidEvent(f"Expected a finite number - at `$.{name}`, got {value}")


def _unencodable_field(event: AnyEvent) -> str:
    for name in event.__struct_fields__:
        try:
            _encoder.encode(getattr(event, name))
        except _UNENCODABLE:
            return name
    return event_name(event)
